"""Paper A v1 Figs. 2 and 4: KL(data || sampler) against the number of steps, exact and sampled."""

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from figures.parts.style import (
    GREY,
    INK,
    PROCESSES,
    SCHEDULES,
    SMALL,
    TEXT,
    TOYS,
    Look,
    captioned,
    key,
    known,
    new_figure,
    number,
    panel,
    shared_legend,
    toy_label,
    toys_in,
)

BAND = 0.13  # share of a panel's height, at its top, where infinite values are drawn
DODGE = 0.0125  # share of the steps axis between the marks of two schedules
NUMBERS = ("kl_data_model", "sd", "kl_finite_mean", "infinite_repeats", "error")
PAPER = (
    "Paper A v1, figs. 2 and 4, uses 15 points and 15 Gaussians of mean 0 and std 1, stochastic "
    "DDIM, 10⁴ paths, 10² repeats and kernel bandwidth 10⁻² with 10³ data points. It does not give "
    "the ends of time, β, bin width, law and weights of the points, stds of the Gaussians or "
    "numbers of steps; the values above are our own. EDM grid and log-SNR are added to its three "
    "schedules."
)


def draw(table: pd.DataFrame) -> Figure:
    """One row of panels per process, one column per target; lines are exact, marks Monte Carlo."""
    # A column that holds only nulls is read as objects.
    table = table.assign(**{name: pd.to_numeric(table[name]) for name in NUMBERS})
    toys = toys_in(table["toy"])
    processes = known(list(PROCESSES), table["process"])
    labels = known(list(SCHEDULES), table["label"])
    figure = new_figure(10.5, 7.6)
    axes = figure.subplots(len(processes), len(toys), sharex=True, sharey=True, squeeze=False)
    low, high, top = _range(table)
    aside = float(table["n_steps"].max() / table["n_steps"].min() * 2.0) ** DODGE
    for i, ax in enumerate(axes.flat):
        process, toy = processes[i // len(toys)], toys[i % len(toys)]
        rows = table[(table["process"] == process) & (table["toy"] == toy)]
        panel(ax, f"({'abcdefghij'[i]}) {PROCESSES[process]}, {toy_label(toy)}")
        if top > high:
            ax.axhspan(high, top, color="#efefef", linewidth=0.0, gid="band")
        for label in labels:
            _lines(ax, rows[rows["label"] == label], label, aside)
        _infinities(ax, rows[rows["kl_data_model"].isna()], aside)
    for ax in axes[-1]:
        ax.set_xlabel("steps N  (= denoiser calls)", fontsize=TEXT)
    for ax in axes[:, 0]:
        ax.set_ylabel("KL(data ‖ sampler)  (nats)", fontsize=TEXT)
    _scales(axes[0, 0], table, low, high, top)
    shared_legend(figure, [[key(SCHEDULES[label]) for label in labels], _meanings(table)])
    own = [PAPER] if set(toys) <= set(TOYS) else []
    return captioned(figure, *_settings(table), *own)


def _range(table: pd.DataFrame) -> tuple[float, float, float]:
    """Lowest and highest value with a margin, and the top of the band for infinite ones."""
    values = pd.concat([table["kl_data_model"], table["kl_finite_mean"]])
    values = values[values > 0]
    low, high = (values.min() / 1.6, values.max() * 1.8) if len(values) else (0.1, 10.0)
    infinite = table["kl_data_model"].isna().any()
    return low, high, high * (high / low) ** (BAND / (1.0 - BAND)) if infinite else high


def _lines(ax: Axes, rows: pd.DataFrame, label: str, aside: float) -> None:
    """The exact line and the Monte Carlo marks of one schedule."""
    look = SCHEDULES[label]
    rows = rows.sort_values("n_steps")
    exact, sampled = rows[rows["paths"] == 0], rows[rows["paths"] > 0]
    whole = sampled[sampled["kl_data_model"].notna()]
    part = sampled[sampled["kl_data_model"].isna() & sampled["kl_finite_mean"].notna()]
    ax.plot(
        exact["n_steps"],
        exact["kl_data_model"],
        color=look.colour,
        linestyle=look.line,
        linewidth=look.width,
        gid=f"exact {label}",
    )
    shift = aside ** (list(SCHEDULES).index(label) - 2)
    bars = ax.errorbar(
        whole["n_steps"] * shift,
        whole["kl_data_model"],
        yerr=whole["sd"].fillna(0.0),
        fmt="none",
        ecolor=look.colour,
        elinewidth=0.9,
        capsize=1.8,
    )
    bars[2][0].set_gid(f"sd {label}")
    _mark(ax, whole["n_steps"] * shift, whole["kl_data_model"], look, f"sampled {label}")
    _mark(ax, part["n_steps"] * shift, part["kl_finite_mean"], look, f"finite {label}")


def _mark(ax: Axes, x: pd.Series, y: pd.Series, look: Look, gid: str) -> None:
    """Filled marks; hollow ones where only the finite repeats are averaged."""
    hollow = gid.startswith("finite")
    ax.plot(
        x,
        y,
        look.marker,
        markersize=4.8 if look.marker in "Xv" else 4.0,
        markerfacecolor="white" if hollow else look.colour,
        markeredgecolor=look.colour if hollow else "white",
        markeredgewidth=0.9 if hollow else 0.4,
        zorder=3.0,
        gid=gid,
    )


def _infinities(ax: Axes, infinite: pd.DataFrame, aside: float) -> None:
    """A mark in the top band for every infinite value (filled exact, hollow sampled)."""
    across = ax.get_xaxis_transform()
    for n in sorted(set(infinite["n_steps"])):
        here = infinite[infinite["n_steps"] == n]
        order = [label for label in SCHEDULES if label in set(here["label"])]
        for place, label in enumerate(order):
            shift = aside ** (1.6 * (place - 0.5 * (len(order) - 1)))
            for exact in sorted(set(here.loc[here["label"] == label, "paths"] == 0)):
                ax.plot(
                    [n * shift],
                    [1.0 - 0.3 * BAND],
                    "^",
                    transform=across,
                    markersize=4.0,
                    markeredgecolor=SCHEDULES[label].colour,
                    markerfacecolor=SCHEDULES[label].colour if exact else "white",
                    gid=f"infinite {label} {'exact' if exact else 'sampled'}",
                )
        sampled = here[here["paths"] > 0]
        if len(sampled):
            counts = sorted({int(count) for count in sampled["infinite_repeats"]})
            span = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
            text = f"{span}/{int(sampled['repeats'].max())}"
            style: dict[str, Any] = {
                "fontsize": SMALL - 1.0,
                "color": INK,
                "ha": "center",
                "va": "center",
            }
            ax.text(n, 1.0 - 0.74 * BAND, text, transform=across, gid="count", **style)


def _scales(ax: Axes, table: pd.DataFrame, low: float, high: float, top: float) -> None:
    """Logarithmic axes, shared by all panels; the band is labelled infinity."""
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    steps = sorted(set(table["n_steps"]))
    ax.set_xlim(steps[0] / 1.6, steps[-1] * 1.4)
    ax.set_ylim(low, top)
    ax.xaxis.set_major_locator(FixedLocator(steps))
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.xaxis.set_minor_locator(NullLocator())
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    ticks = {10.0**power: f"$10^{{{power}}}$" for power in powers}
    if top > high:
        ticks[math.sqrt(high * top)] = "∞"
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.yaxis.set_minor_locator(NullLocator())


def _meanings(table: pd.DataFrame) -> list[Line2D]:
    """Legend entries of the lines and marks that occur."""

    def entry(text: str, marker: str, face: str = GREY, line: str = "") -> Line2D:
        return Line2D(
            [],
            [],
            color=GREY,
            linestyle="-" if line else "",
            marker=marker,
            markerfacecolor=face,
            markersize=5.0,
            label=text,
        )

    sampled, infinite = table["paths"] > 0, table["kl_data_model"].isna()
    partly = sampled & infinite & table["kl_finite_mean"].notna()
    entries = [
        (~sampled, entry("line: exact law", "", line="-")),
        (sampled & ~infinite, entry("mark: Monte Carlo ± sd", "o")),
        (sampled & infinite, entry("Monte Carlo infinite", "^", "white")),
        (partly, entry("mean of finite repeats", "o", "white")),
        (~sampled & infinite, entry("exact law infinite", "^")),
    ]
    return [line for occurs, line in entries if occurs.any()]


def _targets(toys: pd.Series) -> str:
    """What the targets are."""
    if set(toys) <= set(TOYS):
        return "Targets: 15 random means, equal weights, standardised to mean 0 and std 1."
    return f"Target: {', '.join(map(toy_label, toys_in(toys)))}."


def _settings(table: pd.DataFrame) -> list[str]:
    """The caption: the settings, read from the table."""
    processes = []
    for process in known(list(PROCESSES), table["process"]):
        rows = table[table["process"] == process]
        times = " (β 0.1 to 20, t 10⁻³ to 1)" if process == "vp" else ""
        ends = f"{number(rows['sigma_min'].min())} to {number(rows['sigma_max'].max())}"
        processes.append(f"{PROCESSES[process]}, σ {ends}{times}")
    terminal = {
        policy: [toy_label(toy) for toy in toys_in(table["toy"][table["terminal"] == policy])]
        for policy in sorted(set(table["terminal"]))
    }
    policies = "; ".join(f"{policy} for {' and '.join(toys)}" for policy, toys in terminal.items())
    solvers = ", ".join(sorted(set(table["solver"]))).replace("stochastic_ddim", "stochastic DDIM")
    steps = ", ".join(str(n) for n in sorted(set(table["n_steps"])))
    setting = (
        f"{_targets(table['toy'])} Processes: {'; '.join(processes)}. Solver: {solvers} with the "
        f"exact denoiser, N = {steps}. Terminal policy: {policies}."
    )
    ours = set(table["toy"]) <= set(TOYS)
    if ours:
        setting += (
            " With “zero” the last step returns the denoised value, and laws are compared by bins "
            "of half width 0.49 of the smallest gap; what falls outside them is lost, and at N = 2 "
            "no level is left to choose, so that all schedules agree. With “stop” densities at "
            "the lowest σ are compared."
        )
    worst = table.loc[table["paths"] == 0, "error"].max()
    law = f"Exact law: its own error estimate is at most {number(worst)} nats. "
    sampled = table[table["paths"] > 0]
    if sampled.empty:
        return [setting, law]
    first = sampled.iloc[0]
    protocol = (
        f"{law}Monte Carlo, by paper A's protocol: {int(first['paths'])} paths, "
        f"{int(first['repeats'])} repeats, seed {int(first['seed'])}. Bars: sd over repeats."
    )
    if not ours:
        return [setting, f"{protocol} The bias of the kernel estimate is not known."]
    return [
        setting,
        f"{law}Monte Carlo, by paper A's protocol: {int(first['paths'])} paths, "
        f"{int(first['repeats'])} repeats, seed {int(first['seed'])}. Bars: sd over repeats (a bar "
        "down to the axis: sd > mean). Marks stand side by side around their N. 15 points: from "
        "the frequencies of the bins, about 7/paths too high; a repeat with an empty bin is "
        "infinite (k/R under a triangle: k of R repeats). Gaussians: kernel estimate of bandwidth "
        "10⁻² at 10³ data points. Marks off their line show its bias: far too high where paths are "
        "rare (few steps), too high by about 0.01 nats elsewhere (10⁴ paths), too low where the "
        "kernel widens a law that is narrower than the data (std 0.02).",
    ]
