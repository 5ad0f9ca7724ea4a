"""Paper A Fig. 1: paths of one SDE and the conditional entropy, in standard and entropic time."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.parts.style import (
    BLACK,
    BLUE,
    GREY,
    PROCESSES,
    SMALL,
    TEXT,
    TOYS,
    VERMILION,
    captioned,
    new_figure,
    number,
    panel,
)

CLOCKS = {"time": "standard VP time", "entropic_time": "entropic time"}
# Ticks of the other time, along the top of a panel.
OTHER = {
    "time": ("entropic_time", (0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999)),
    "entropic_time": ("time", (0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5, 1.0)),
}
PAPER = (
    "Paper A's fig. 1 makes this comparison. Its target, ends of time and number of paths are not "
    "given in the text of the paper available to us; the values above are our own."
)


def draw(table: pd.DataFrame) -> Figure:
    """Paths on top, entropy below; left in standard time, right in entropic time."""
    figure = new_figure(9.0, 6.8)
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    table = table.sort_values(["path", "sigma"])
    paths, entropy = (table[table["kind"] == kind] for kind in ("path", "entropy"))
    for column, (clock, name) in enumerate(CLOCKS.items()):
        top, bottom = axes[:, column]
        panel(top, f"({'ab'[column]}) paths of the reverse SDE in {name}")
        panel(bottom, f"({'cd'[column]}) conditional entropy in {name}")
        bottom.set_xlabel(f"{name}  (data at 0, noise at 1)", fontsize=TEXT)
        bottom.set_xlim(0.0, 1.0)
        bottom.set_xticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
        _paths(top, paths, clock)
        _other_clock(top, entropy, clock)
        _entropy(bottom, entropy, clock)
    axes[0, 0].set_ylabel("state of the VP process (data units)", fontsize=TEXT)
    axes[1, 0].set_ylabel("$H[x_0\\,|\\,x_t]$ (nats)", fontsize=TEXT)
    return captioned(figure, _settings(table), PAPER)


def _paths(ax: Axes, paths: pd.DataFrame, clock: str) -> None:
    """One thin line per path, coloured by the side on which it ends."""
    ax.axhline(0.0, color=GREY, linewidth=0.6)
    for _, line in paths.groupby("path"):
        colour = BLUE if line["value"].iloc[0] > 0 else VERMILION
        ax.plot(line[clock], line["value"], color=colour, linewidth=0.6, alpha=0.9, gid="path")
    low, high = paths["value"].min(), paths["value"].max()
    ax.set_ylim(low - 0.2, high + 0.75)
    ax.annotate(
        "generation",
        xy=(0.03, 0.955),
        xytext=(0.24, 0.955),
        xycoords="axes fraction",
        va="center",
        fontsize=SMALL,
        arrowprops={"arrowstyle": "->", "linewidth": 0.8},
    )


def _other_clock(ax: Axes, entropy: pd.DataFrame, clock: str) -> None:
    """Ticks of the other time along the top, at the table's rows nearest to round values."""
    other, values = OTHER[clock]
    places: dict[float, str] = {}
    for value in values:
        nearest = entropy[clock].to_numpy()[(entropy[other] - value).abs().argmin()]
        places.setdefault(float(nearest), f"{value:g}")
    top = ax.secondary_xaxis("top")
    top.set_xticks(list(places), list(places.values()))
    top.tick_params(labelsize=SMALL - 1.0, color=GREY, length=2.5, pad=1.5)
    top.spines["top"].set_color(GREY)
    top.set_xlabel(CLOCKS[other], fontsize=SMALL, labelpad=3.0)


def _entropy(ax: Axes, entropy: pd.DataFrame, clock: str) -> None:
    """The exact curve and its upper limit ln 2."""
    ax.axhline(math.log(2.0), color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), gid="ln 2")
    ax.text(0.02, math.log(2.0) + 0.01, "ln 2", fontsize=SMALL, color=GREY, va="bottom")
    ax.plot(entropy[clock], entropy["value"], color=BLACK, linewidth=1.6, gid="entropy")
    ax.set_ylim(0.0, 0.78)


def _settings(table: pd.DataFrame) -> str:
    """The caption: the settings, read from the table."""
    row = table.iloc[0]
    n_paths = table.loc[table["kind"] == "path", "path"].nunique()
    return (
        f"Target: {TOYS[row['toy']]}, equal weights. Process: {PROCESSES[row['process']]}, β from "
        f"0.1 to 20, t from {number(table['time'].min())} to {number(table['time'].max())}, that "
        f"is σ from {number(table['sigma'].min())} to {number(table['sigma'].max())}. {n_paths} "
        f"paths (seed {row['seed']}) of the reverse SDE with the exact score, solver: stochastic "
        "DDIM on a fine log-SNR grid down to the lowest σ (terminal: stop). Colour: the side on "
        "which the path ends. Left and right show the same paths and the same exact entropy; only "
        "the horizontal axis differs. Entropic time is the entropy's share between its two ends, "
        "so that (d) is a straight line: the choice between the points is spread out evenly."
    )
