"""Where every schedule places its levels, and the risk curve on which some of them depend."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator

from figures.parts.style import (
    ALL_SCHEDULES,
    GREY,
    INK,
    NOISE_LABEL,
    SMALL,
    TEXT,
    TOYS,
    captioned,
    curve,
    key,
    known,
    lettered,
    new_figure,
    number,
    panel,
    plain_ticks,
    shared_legend,
    toy_label,
)

SCHEDULES = (
    "edm_linear",
    "edm",
    "log_snr",
    "vp_linear",
    "cosine",
    "arctan",
    "rescaled",
    "entropic",
    "las",
)
LOG_SNR = "log SNR = −2 ln σ (nats)"
AIR = 0.25  # nats of margin at both ends of the log-SNR axis
AREA = "#dcdcdc"
SHADE = 3.0  # the darkest grey stands for this many times the greatest risk


def draw(table: pd.DataFrame) -> Figure:
    """Levels against steps, sizes of steps, and levels on the log-SNR axis below the noise risk."""
    numbers = {name: pd.to_numeric(table[name]) for name in ("sigma", "noise_risk", "step")}
    table = table.assign(**numbers, log_snr=-2.0 * np.log(numbers["sigma"]))
    levels = table[table["kind"] == "level"].sort_values("step")
    risk = table[table["kind"] == "curve"].sort_values("log_snr")
    names = known(SCHEDULES, levels["schedule"])
    figure = new_figure(12.0, 8.4)
    spec = figure.add_gridspec(1, 2, width_ratios=[1.0, 1.5])
    (upper,), (lower,) = spec[0].subgridspec(2, 1).subplots(sharex=True, squeeze=False)
    (top,), (strips,) = (
        spec[1].subgridspec(2, 1, height_ratios=[1.0, 1.6]).subplots(sharex=True, squeeze=False)
    )
    panel(upper, "levels", "", LOG_SNR)
    panel(lower, "sizes of steps", "step", "rise of log SNR in the step (nats)")
    plain_ticks(lower, "y")
    for name in names:
        mine, look = levels[levels["schedule"] == name], ALL_SCHEDULES[name]
        curve(upper, mine["step"], mine["log_snr"], look, f"level {name}", 4.5)
        rises = mine["log_snr"].diff().iloc[1:]
        curve(lower, mine["step"].iloc[1:], rises, look, f"rise {name}", 4.5)
    upper.xaxis.set_major_locator(FixedLocator(sorted(set(levels["step"]))))
    _risk(top, risk)
    _strips(strips, levels, risk, names)
    lettered([upper, lower, top, strips])
    shared_legend(figure, [[key(ALL_SCHEDULES[name]) for name in names]])
    return captioned(figure, _settings(table, levels))


def _risk(ax: Axes, risk: pd.DataFrame) -> None:
    """The noise-prediction risk against log SNR, with sigma along the top."""
    panel(ax, "noise-prediction risk of the exact denoiser", "", "mmse / σ²")
    ax.plot(risk["log_snr"], risk["noise_risk"], color=INK, linewidth=1.5, gid="risk")
    ax.fill_between(risk["log_snr"], risk["noise_risk"], color=AREA, linewidth=0.0)
    ax.set_ylim(0.0, None)
    ax.set_xlim(risk["log_snr"].min() - AIR, risk["log_snr"].max() + AIR)
    above = ax.secondary_xaxis("top", functions=(lambda x: x, lambda x: x))
    sigmas = [10.0**power for power in range(-2, 3)]
    above.set_xticks([-2.0 * np.log(s) for s in sigmas], [f"{s:g}" for s in sigmas])
    above.set_xlabel(NOISE_LABEL, fontsize=TEXT)
    above.tick_params(labelsize=SMALL, color=GREY)
    above.spines["top"].set_color(GREY)


def _strips(ax: Axes, levels: pd.DataFrame, risk: pd.DataFrame, names: list[str]) -> None:
    """One strip per schedule with a tick at every level; darker grey means greater risk."""
    panel(ax, "levels: a strip per schedule, dark where the risk is high", LOG_SNR)
    x = risk["log_snr"].to_numpy()
    middles = 0.5 * (x[1:] + x[:-1])
    edges = np.concatenate([x[:1], middles, x[-1:]])
    shade = risk["noise_risk"].to_numpy()[None]
    ends = [-0.5, len(names) - 0.5]
    top = SHADE * float(shade.max())
    ax.pcolormesh(edges, ends, shade, cmap="Greys", vmin=0.0, vmax=top, rasterized=True, gid="risk")
    for i, name in enumerate(names):
        mine, look = levels.loc[levels["schedule"] == name, "log_snr"], ALL_SCHEDULES[name]
        ax.vlines(mine, i - 0.32, i + 0.32, color=look.colour, linewidth=1.6, gid=f"ticks {name}")
        ax.plot(mine, [i] * len(mine), color=look.colour, linestyle=look.line, linewidth=1.0)
        ax.axhline(i - 0.5, color="white", linewidth=1.5)
    ax.set_yticks(range(len(names)), [ALL_SCHEDULES[name].label for name in names])
    ax.tick_params(axis="y", length=0.0)
    ax.grid(visible=False, axis="y")
    ax.set_ylim(*reversed(ends))


def _target(toy: str) -> str:
    """The target, in words."""
    return f"{TOYS[toy]} (std 0.25, radius 4)" if toy == "circle8" else toy_label(toy)


def _risk_source(table: pd.DataFrame) -> str:
    """Where the risk comes from, and what it shows."""
    levels = int((table["kind"] == "curve").sum())
    if table["toy"].iloc[0] != "circle8":
        return f"at {levels} levels."
    return (
        f"estimated from samples (seed 0) at {levels} levels. It is 2 at high SNR, one per "
        "dimension, where only the Gaussian within a mode is left; the hump marks the choice of a "
        "mode."
    )


def _settings(table: pd.DataFrame, levels: pd.DataFrame) -> str:
    """The caption: the settings, read from the table, and what each schedule depends on."""
    first, ends = table.iloc[0], (levels["sigma"].max(), levels["sigma"].min())
    return (
        f"{int(levels['step'].max())} steps of every schedule on one target: "
        f"{_target(first['toy'])}, {first['process'].upper()} process, σ {number(ends[0])} to "
        f"{number(ends[1])}, terminal policy: {first['terminal']}. No solver, no paths: only "
        f"levels are shown. Risk: mmse of the exact denoiser over σ², {_risk_source(table)} "
        "Linear σ, EDM grid, log-SNR, linear time and cosine do not depend on it. Entropic: "
        "equal areas under this curve between levels; rescaled: the same under σ times the curve; "
        "arctan: the rescaled schedule of the single Gaussian that fits best; LAS: the least sum "
        f"of mmse times saturating step, here with λ = {number(first['natural_lambda'])} by our "
        "rule."
    )
