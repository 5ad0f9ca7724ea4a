"""Paper D Fig. 11: the entropy rate at low noise, its local slope, and the gate."""

from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator
from matplotlib.typing import LineStyleType

from figures.parts.style import (
    BLACK,
    BLUE,
    GREY,
    NOISE_LABEL,
    ORANGE,
    SMALL,
    TEXT,
    TOYS,
    VERMILION,
    Look,
    captioned,
    key,
    new_figure,
    number,
    panel,
    shared_legend,
)

RATE_LABEL = "$dH/d\\sigma$ (nats per data unit)"
FLOOR, CEILING = 1e-6, 1e5  # limits of the rate axes
SLOPES = (-4.0, 8.0)  # limits of the slope axis
LOOKS = {
    "gaussian": Look(TOYS["gaussian"], BLUE, "", "-", 2.6),
    "gaussians15_overlap": Look(TOYS["gaussians15_overlap"], BLACK, "", (0, (3, 3)), 1.1),
    "two_points": Look(f"{TOYS['two_points']}, exact", VERMILION, "", "-"),
    "points15": Look(f"{TOYS['points15']}, exact", ORANGE, "", (0, (6, 1.5, 1, 1.5))),
}
FIRST = ("gaussian", "two_points", "points15")  # targets in the legend's first row
IMPERFECT: dict[str, LineStyleType] = {"two_points": (0, (2, 1)), "points15": (0, (1, 1))}
GATED = ("gaussian", "two_points")


def draw(table: pd.DataFrame) -> Figure:
    """Rates of continuous and of discrete data, their local slopes, raw against gated."""
    figure = new_figure(10.0, 8.4)
    axes = figure.subplots(2, 2, sharex=True)
    (continuous, discrete), (slopes, gate) = axes
    panel(continuous, "(a) entropy rate, continuous data", y=RATE_LABEL)
    panel(discrete, "(b) entropy rate, discrete data", y=RATE_LABEL)
    panel(slopes, "(c) local log-log slopes of (a) and (b)", x=NOISE_LABEL)
    slopes.set_ylabel("$d\\log(dH/d\\sigma)\\,/\\,d\\log\\sigma$", fontsize=TEXT)
    panel(gate, "(d) raw (thin) and gated (thick) rate", x=NOISE_LABEL, y=RATE_LABEL)
    _asymptotes(continuous, discrete, slopes, table)
    first: list[Line2D] = []
    second: list[Line2D] = []
    pairs = table[["toy", "denoiser_error"]].drop_duplicates().to_numpy().tolist()
    for toy, error in sorted(pairs, key=lambda pair: (list(LOOKS).index(pair[0]), pair[1])):
        mine = (table["toy"] == toy) & (table["denoiser_error"] == error)
        rows, look = table[mine].sort_values("sigma"), _look(toy, error)
        home = continuous if rows["data"].iloc[0] == "continuous" else discrete
        _curve(home, rows, "rate", look)
        _curve(slopes, rows, "slope", look)
        if toy in GATED:
            _gate(gate, rows, look)
        (first if error == 0 and toy in FIRST else second).append(key(look))
    _scales(axes, table)
    shared_legend(figure, [first, second])
    return captioned(figure, *_settings(table))


def _look(toy: str, error: float) -> Look:
    """The look of the exact posterior, or with another dash that of the imperfect denoiser."""
    if error == 0:
        return LOOKS[toy]
    name = f"{TOYS[toy]}, denoiser off by {error:g}"
    return replace(LOOKS[toy], label=name, line=IMPERFECT[toy])


def _asymptotes(continuous: Axes, discrete: Axes, slopes: Axes, table: pd.DataFrame) -> None:
    """Dotted grey lines: eq. (48), the imperfect denoiser's power law, and both slopes."""
    sigma = table["sigma"].drop_duplicates().sort_values()
    style: dict[str, Any] = {
        "color": GREY,
        "linewidth": 1.1,
        "linestyle": (0, (1, 1)),
        "gid": "asymptote",
    }
    continuous.plot(sigma, 1.0 / sigma, **style)
    continuous.text(5.0, 0.45, "D/σ, D = 1  (eq. 48)", fontsize=SMALL, color=GREY)
    error = table["denoiser_error"].max()
    if error > 0:
        discrete.plot(sigma, error**2 / sigma**3, **style)
        discrete.text(0.21, 4e-6, f"{error:g}²/σ³", fontsize=SMALL, color=GREY)
    for level in (-1.0, -3.0):
        slopes.axhline(level, **style)


def _curve(ax: Axes, rows: pd.DataFrame, column: str, look: Look) -> None:
    """One line, without the rates that underflow to 0, since the axis is logarithmic."""
    ax.plot(
        rows["sigma"],
        rows[column].where(rows["rate"] > 0),
        color=look.colour,
        linestyle=look.line,
        linewidth=look.width,
        gid=f"{column} {look.label}",
    )


def _gate(ax: Axes, rows: pd.DataFrame, look: Look) -> None:
    """Raw rate, gated rate and the pivot."""
    _curve(ax, rows, "rate", replace(look, width=0.8))
    _curve(ax, rows, "gated_rate", replace(look, width=2.2))
    pivot = rows["pivot"].iloc[0]
    ax.axvline(pivot, color=look.colour, linewidth=0.8, linestyle=look.line, gid="pivot")
    ax.text(
        pivot * 1.1,
        0.985,
        f"c = {number(pivot)}",
        transform=ax.get_xaxis_transform(),
        fontsize=SMALL,
        color=look.colour,
        va="top",
    )


def _scales(axes: "list[list[Axes]]", table: pd.DataFrame) -> None:
    """Logarithmic axes, except for the slopes."""
    (continuous, discrete), (slopes, gate) = axes
    for ax in (continuous, discrete, gate):
        ax.set_yscale("log")
        ax.set_ylim(FLOOR, CEILING)
        ax.yaxis.set_major_locator(LogLocator(numticks=12))
        ax.yaxis.set_minor_formatter(NullFormatter())
    slopes.set_ylim(*SLOPES)
    slopes.set_yticks([-3, -1, 0, 2, 4, 6, 8])
    slopes.set_xscale("log")
    slopes.set_xlim(table["sigma"].min(), table["sigma"].max())
    slopes.xaxis.set_major_locator(FixedLocator([0.002, 0.01, 0.1, 1.0, 10.0, 80.0]))
    slopes.xaxis.set_major_formatter("{x:g}")
    slopes.xaxis.set_minor_locator(NullLocator())


def _settings(table: pd.DataFrame) -> list[str]:
    """The caption: the settings, read from the table."""
    exact = table[(table["data"] == "discrete") & (table["denoiser_error"] == 0)]
    pivots = exact.drop_duplicates("toy").sort_values("toy")
    found = "; ".join(
        f"{TOYS[toy]}: {number(pivot)}"
        for toy, pivot in zip(pivots["toy"], pivots["pivot"], strict=True)
    )
    lowest = exact["rate"].min()
    rates = (
        f"Rates mmse/σ³ of 1-D targets at {table['sigma'].nunique()} log-spaced σ from "
        f"{number(table['sigma'].min())} to {number(table['sigma'].max())}, exact; no "
        "process, solver, steps, terminal policy or samples are involved. Dotted grey: the "
        "limiting laws. Continuous data: slope −1 at low noise (eq. 48). Discrete data: the exact "
        f"rate falls faster than any power. The rate axes are cut at {number(FLOOR)}; the lowest "
        f"value is {number(lowest)}{' by underflow' if lowest == 0 else ''}. The slope axis is cut "
        f"at {SLOPES[1]:g}; the largest slope is {number(table['slope'].max())}."
    )
    error = table["denoiser_error"].max()
    if error > 0:
        rates += (
            f" A denoiser off by {error:g} (r.m.s., data units) adds {error:g}² to the mmse: this "
            "error, not the posterior, makes the power law of discrete data that paper D reports "
            "(eq. 49), here of slope −3."
        )
    gate = (
        "(d): gate σ³/(σ³ + c³) (eq. 50); pivot c (vertical line): the largest σ at which the raw "
        "rate reaches 0.002 of its maximum (eq. 18). The gated rate vanishes like σ² for "
        "continuous data (eq. 51), but only levels off for a rate of slope −3. For exact discrete "
        f"data this rule puts c above the informative levels ({found}). Exponent 3 and threshold "
        "0.002 are known from third parties only. For discrete data paper D has another pivot rule "
        "(B.4), which is not drawn because its tolerances are not published. Its ranges of σ and "
        "its targets are not given in the text of the paper available to us; the values above are "
        "our own."
    )
    return [rates, gate]
