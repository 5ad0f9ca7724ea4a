"""Where the best levels of five solvers are, the density that explains them, and the kernel."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.parts.solver_looks import SOLVERS
from figures.parts.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    INK,
    NOISE_LABEL,
    ORANGE,
    PURPLE,
    TEXT,
    TITLE,
    VERMILION,
    captioned,
    known,
    new_figure,
    number,
    panel,
    toy_label,
)

# Every solver has a row of its own, so that the colours need not be those of other figures.
COLOURS = {
    "stochastic_ddim": BLUE,
    "ddim": ORANGE,
    "heun": GREEN,
    "dpmpp_2m": VERMILION,
    "unipc_2": PURPLE,
}
AREA = "#dcdcdc"
NEAR, ADDING = 3.0, 0.9  # factor between levels of neighbours, and correlation that adds up
Floats = NDArray[np.float64]
NUMBERS = ("sigma", "step", "rescaled_rate", "law", "diagonal", "sigma_other", "correlation")


def draw(table: pd.DataFrame) -> Figure:
    """Levels above R, their density for stochastic DDIM with its explanation, and the kernel."""
    table = table.assign(**{name: pd.to_numeric(table[name]) for name in NUMBERS})
    levels = table[table["kind"] == "level"].sort_values("step")
    rates = table[table["kind"] == "rate"].sort_values("sigma")
    kernel = table[table["kind"] == "kernel"]
    names = known(tuple(COLOURS), levels["solver"])
    figure = new_figure(6.67, 6.6)
    spec = figure.add_gridspec(2, 1, height_ratios=[1.0, 1.35])
    top = figure.add_subplot(spec[0])
    bottom, right = (
        spec[1].subgridspec(1, 2, width_ratios=[1.0, 1.05]).subplots(squeeze=False)[0].tolist()
    )
    figure.suptitle(_message(levels, rates, kernel), fontsize=TITLE, x=0.02, ha="left", color=INK)
    _strips(top, levels, rates, names)
    _density(bottom, levels, rates)
    _kernel(right, kernel, levels)
    return captioned(figure, _words(table, levels))


def _label(solver: str) -> str:
    return SOLVERS[solver].label.partition("\n")[0]


def _message(levels: pd.DataFrame, rates: pd.DataFrame, kernel: pd.DataFrame) -> str:
    """The finding in one sentence: where the best levels are thinnest against the law."""
    sigma = levels[levels["solver"] == "stochastic_ddim"]["sigma"].to_numpy()
    inner = rates["sigma"].between(sigma[-2], sigma[1]).to_numpy()
    inside = rates[inner]
    steps = np.searchsorted(-sigma, -inside["sigma"].to_numpy()) - 1
    found = 1.0 / np.log(sigma[steps] / sigma[steps + 1])
    shares = found / _scaled(rates, "law", sigma)[inner]
    place = int(np.argmin(shares))
    where = float(inside["sigma"].iloc[place])
    near = kernel[kernel["sigma"].between(where / NEAR, where * NEAR)]
    near = near[near["sigma_other"].between(where / NEAR, where * NEAR)]
    adds_up = bool(near["correlation"].min() > ADDING)  # errors of neighbouring steps
    text = (
        f"At σ = {where:.2g}"
        if adds_up
        else f"Where the errors of steps do not add up (σ = {where:.2g})"
    )
    return f"{text}, the optimum takes {shares[place]:.2g} of the law's steps"


def _scaled(rates: pd.DataFrame, column: str, sigma: Floats) -> Floats:
    """A density of steps over log sigma, with as many steps as the levels."""
    shape = rates[column].to_numpy(dtype=float)
    total = np.trapezoid(shape, np.log(rates["sigma"].to_numpy()))
    return np.asarray(shape * (sigma.size - 1) / total)


def _strips(ax: Axes, levels: pd.DataFrame, rates: pd.DataFrame, names: list[str]) -> None:
    """One row of marks per solver over the curve of R."""
    panel(ax, "(a) best levels of five solvers", NOISE_LABEL, "R = mmse / σ²")
    ax.fill_between(rates["sigma"], rates["rescaled_rate"], color=AREA, lw=0, gid="rate")
    ax.set_xscale("log")
    for row, name in enumerate(names):
        label, colour = _label(name), COLOURS[name]
        own = levels[levels["solver"] == name]["sigma"]
        height = 1.12 + 0.2 * (len(names) - 1 - row)
        ax.plot(
            own, np.full(own.size, height), "|", color=colour, ms=9.0, mew=1.4, gid=f"levels {name}"
        )
        ax.text(110.0, height, label, color=colour, fontsize=TEXT, va="center")
    ax.set_xlim(rates["sigma"].min(), 100.0)
    ax.set_ylim(0.0, 1.12 + 0.2 * len(names))
    ax.set_yticks([0.0, 0.5, 1.0])
    ax.grid(visible=False, axis="y")


def _density(ax: Axes, levels: pd.DataFrame, rates: pd.DataFrame) -> None:
    """Steps per nat of the best levels of stochastic DDIM, of the law and of the kernel."""
    panel(ax, "(b) stochastic DDIM: steps per nat", NOISE_LABEL, "steps per nat")
    sigma = levels[levels["solver"] == "stochastic_ddim"]["sigma"].to_numpy()
    ax.stairs(
        1.0 / np.log(sigma[:-1] / sigma[1:])[::-1], sigma[::-1], color=BLUE, lw=1.6, gid="optimum"
    )
    looks = (("law", "R (1 − R)$^{1/2}$", BLACK, "--"), ("diagonal", "kernel, K(u, u)", GREY, "-"))
    for column, label, colour, line in looks:
        shape = _scaled(rates, column, sigma)
        ax.plot(rates["sigma"], shape, color=colour, ls=line, lw=1.3, gid=column, label=label)
    ax.plot([], [], color=BLUE, lw=1.6, label="optimum")
    ax.legend(fontsize=TEXT, frameon=False, loc="upper left", handlelength=1.6, borderpad=0.1)
    ax.set_xscale("log")
    ax.set_ylim(0.0, 1.4 * ax.get_ylim()[1])
    ax.set_xlim(rates["sigma"].min(), 100.0)


def _kernel(ax: Axes, kernel: pd.DataFrame, levels: pd.DataFrame) -> None:
    """Correlation of the errors of steps at two levels, with the best levels at its side."""
    panel(ax, "(c) correlation of two steps' errors", "σ of one step", "σ of the other")
    wide = kernel.pivot(index="sigma", columns="sigma_other", values="correlation")
    mesh = ax.pcolormesh(
        wide.columns, wide.index, wide.to_numpy(), cmap="RdBu_r", vmin=-1.0, vmax=1.0,
        shading="nearest", gid="kernel", rasterized=True,
    )  # fmt: skip
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.grid(visible=False)
    low, high = float(kernel["sigma"].min()), float(kernel["sigma"].max())
    own = levels[(levels["solver"] == "stochastic_ddim") & levels["sigma"].between(low, high)]
    ax.plot(own["sigma"], own["sigma"], "o", color=INK, ms=2.5, gid="levels on the kernel")
    ax.set_xlim(low, high)
    ax.set_ylim(low, high)
    ax.set_aspect("equal")
    bar = ax.figure.colorbar(mesh, ax=ax, location="bottom", shrink=0.9, pad=0.03, aspect=30)
    bar.set_ticks([-1.0, 0.0, 1.0])
    bar.ax.tick_params(labelsize=TEXT)


def _words(table: pd.DataFrame, levels: pd.DataFrame) -> str:
    """Setting and meaning."""
    toy, calls = toy_label(str(table["toy"].iloc[0])), int(levels["calls"].iloc[0])
    kls = levels.groupby("solver")["kl_data_model"].first()
    names = known(tuple(COLOURS), levels["solver"])
    listed = ", ".join(f"{_label(name)} {number(float(kls[name]))}" for name in names)
    return (
        f"{toy}; {calls} network calls, σ from 80 to 0.002. Least KL in nats: {listed}. (b) The "
        "law and the kernel's diagonal, (K/2)$^{1/4}$, are scaled to as many steps. (c) Errors "
        "add up where the correlation is near 1 (red) and hardly where it is near 0; a local law "
        "cannot know that. Dots: the best levels of stochastic DDIM."
    )
