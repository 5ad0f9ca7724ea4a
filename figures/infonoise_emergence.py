"""Paper D Fig. 5: the density of training noise that emerges, its pivot, and how it settles."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

from figures.parts.style import (
    BLUE,
    GREY,
    INK,
    NOISE_LABEL,
    ORANGE,
    SKY,
    TARGETS,
    VERMILION,
    captioned,
    decades,
    known,
    lettered,
    new_figure,
    number,
    panel,
    shared_legend,
)

SHADES = ("#f5c242", "#e8892b", "#c94c4c", "#8b2a6b", "#3b1263", "#0a0826")  # early to late
WARM_UP: dict[str, Any] = {"color": SKY, "linestyle": "--", "linewidth": 1.4}
AIM: dict[str, Any] = {"color": GREY, "linestyle": ":", "linewidth": 1.2}
RULES = {"onset": ("o", BLUE), "slope": ("s", ORANGE), "knee": ("^", VERMILION), "top": ("D", INK)}
RULE_NAMES = {
    "onset": "onset",
    "slope": "constant slope",
    "knee": "knee",
    "top": "highest level",
}
PRINTED = 0.01  # paper D: soon after the first rebuilds, consecutive samplers differ by less
ZONE = "#ececec"
AIR = 1.5  # margin factor above and below pivots and distances
NUMBERS = ("kex", "sigma", "density", "emphasis", "gated_rate", "pivot", "refreshes", "distance")


def draw(table: pd.DataFrame) -> Figure:
    """One column per target: densities, emphases, pivots, distances."""
    table = table.assign(**{name: pd.to_numeric(table[name]) for name in NUMBERS})
    targets = known(list(TARGETS), table["target"])
    known(["none", *RULES], table["rule"].dropna())
    budget = table.groupby("target")["kex"].transform("max")
    table = table.assign(share=(100.0 * table["kex"] / budget).round())
    shares = sorted(set(table.loc[table["refreshes"] > 0, "share"]))
    colours = dict(zip(shares, _shades(len(shares)), strict=True))
    figure = new_figure(2.4 * max(len(targets), 4), 10.6)
    axes = figure.subplots(4, len(targets), squeeze=False)
    for column, target in zip(axes.T, targets, strict=True):
        density, emphasis, pivot, distance = column
        rows = table[table["target"] == target].sort_values(["kex", "sigma"])
        levels, evaluations = (rows[rows["kind"] == kind] for kind in ("level", "evaluation"))
        panel(density, TARGETS[target], y="density π per unit of log σ")
        panel(emphasis, "", NOISE_LABEL, "emphasis π w per unit of log σ")
        panel(pivot, "", y="pivot c (data units)")
        panel(distance, "", "examples seen (kex)", "largest CDF difference")
        _densities(density, levels, colours)
        _emphases(emphasis, levels)
        _pivots(pivot, evaluations)
        _distances(distance, evaluations)
        for ax in (density, emphasis):
            ax.set_xscale("log")
            ax.xaxis.set_major_locator(LogLocator(numticks=9))
            ax.xaxis.set_minor_locator(NullLocator())
        for ax in (pivot, distance):
            _examples(ax, evaluations)
        for ax in (density, pivot):
            ax.tick_params(labelbottom=False)
    for row in (axes[0], axes[2], axes[3]):  # emphases depend on the weight: own scales
        _share(row)
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    lettered(list(axes[0]))
    shared_legend(figure, _legend(table, colours))
    return captioned(figure, *_settings(table, targets))


def _shades(count: int) -> list[str]:
    """`count` shades, of which the last is the darkest."""
    return [SHADES[round(i)] for i in np.linspace(0, len(SHADES) - 1, count)]


def _densities(ax: Axes, levels: pd.DataFrame, colours: Mapping[float, str]) -> None:
    """The density at every evaluation after the first refresh, and that of the warm-up once."""
    warm = _last(levels, learned=False)
    ax.plot(warm["sigma"], warm["density"], gid="density warm-up", **WARM_UP)
    learned = levels[levels["refreshes"] > 0]
    for kex in sorted(set(learned["kex"])):
        mine = learned[learned["kex"] == kex]
        colour = colours[float(mine["share"].iloc[0])]
        ax.plot(mine["sigma"], mine["density"], color=colour, linewidth=1.2, gid=f"density {kex:g}")


def _last(levels: pd.DataFrame, learned: bool) -> pd.DataFrame:
    """The levels of the last evaluation, after the warm-up if `learned`, otherwise within it."""
    mine = levels[(levels["refreshes"] > 0) == learned]
    last: pd.DataFrame = mine[mine["kex"] == mine["kex"].max()]
    return last


def _emphases(ax: Axes, levels: pd.DataFrame) -> None:
    """Density times weight in the warm-up and at the end, and the gated rate, its target."""
    decades(ax)
    warm, final = _last(levels, learned=False), _last(levels, learned=True)
    ax.plot(warm["sigma"], warm["emphasis"], gid="emphasis warm-up", **WARM_UP)
    ax.plot(final["sigma"], final["emphasis"], gid="emphasis final", color=SHADES[-1])
    ax.plot(final["sigma"], final["gated_rate"], gid="aim", **AIM)
    both = pd.concat([warm["emphasis"], final["emphasis"]])
    ax.set_ylim(0.1 * both.min(), 3.0 * both.max())
    ax.yaxis.set_major_locator(LogLocator(numticks=6))


def _pivots(ax: Axes, rows: pd.DataFrame) -> None:
    """The pivot at every evaluation, marked by the rule that gave it."""
    decades(ax)
    found = rows[rows["pivot"].notna()]
    ax.plot(found["kex"], found["pivot"], color=GREY, linewidth=0.8, zorder=2.0)
    for rule in known(list(RULES), found["rule"]):
        mine, (marker, colour) = found[found["rule"] == rule], RULES[rule]
        ax.plot(
            mine["kex"], mine["pivot"], marker, color=colour, markersize=5.0, gid=f"pivot {rule}"
        )
    if not found.empty:
        ax.set_ylim(found["pivot"].min() / AIR, AIR * found["pivot"].max())


def _distances(ax: Axes, rows: pd.DataFrame) -> None:
    """Change of the distribution since the last evaluation; nothing before the first refresh."""
    decades(ax)
    moved = _moved(rows)
    values = [PRINTED, *moved["distance"]]
    ax.set_ylim(min(values) / AIR, AIR * max(values))
    ax.plot(
        moved["kex"], moved["distance"], "-o", color=INK, markersize=3.6, linewidth=1.0,
        gid="distance",
    )  # fmt: skip
    ax.axhline(PRINTED, color=GREY, linewidth=1.0, linestyle=":", gid="printed")


def _moved(rows: pd.DataFrame) -> pd.DataFrame:
    """Evaluations after the first refresh that have a distance to the one before."""
    return rows[(rows["refreshes"] > 0) & rows["distance"].notna()]


def _examples(ax: Axes, rows: pd.DataFrame) -> None:
    """Logarithmic axis of examples; the warm-up is grey."""
    last, first = float(rows["kex"].max()), float(rows["kex"].min())
    ax.set_xscale("log")
    ax.set_xlim(0.85 * first, 1.2 * last)
    ax.xaxis.set_major_locator(FixedLocator([last / 4**k for k in range(3)]))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_locator(NullLocator())
    warm = rows.loc[rows["refreshes"] == 0, "kex"]
    if not warm.empty:
        ax.axvspan(0.85 * first, float(warm.max()), color=ZONE, linewidth=0.0, gid="warm-up")


def _share(row: Sequence[Axes]) -> None:
    """One y-axis for a row of panels, labelled on the left."""
    low = min(ax.get_ylim()[0] for ax in row)
    high = max(ax.get_ylim()[1] for ax in row)
    for ax in row:
        ax.set_ylim(low, high)
    for ax in row[1:]:
        ax.tick_params(labelleft=False)


def _legend(table: pd.DataFrame, colours: Mapping[float, str]) -> list[list[Artist]]:
    """Legend entries: shares of the budget in one row, pivot rules and other marks in the next."""

    def line(label: str, **look: Any) -> Line2D:
        return Line2D([], [], label=label, **look)

    times: list[Artist] = [line("warm-up", **WARM_UP)]
    times += [line(f"after {share:g} % of kex", color=colour) for share, colour in colours.items()]
    rules = known(list(RULES), table.loc[table["pivot"].notna(), "rule"])
    looks: list[Artist] = [
        line(
            f"pivot: {RULE_NAMES[rule]}", marker=RULES[rule][0], color=RULES[rule][1], linestyle=""
        )
        for rule in rules
    ]
    looks = [
        line("gated rate, scaled", **AIM),
        *looks,
        Patch(color=ZONE, label="warm-up"),
        line("paper D: below 0.01", color=GREY, linestyle=":", linewidth=1.0),
    ]
    return [times, looks]


def _settings(table: pd.DataFrame, targets: list[str]) -> list[str]:
    """The caption: the settings and the results, read from the table."""
    rows = table[table["kind"] == "evaluation"].sort_values(["target", "kex"])
    rows = rows.assign(gap=rows.groupby("target")["refreshes"].diff())
    later = _moved(rows)
    later = later[later.groupby("target").cumcount() > 0]  # the first is to the warm-up
    sigma = np.array(sorted(set(table["sigma"].dropna())))
    step = float(np.log(sigma[1] / sigma[0]))
    least = table.loc[table["refreshes"] > 0, "density"].min() * step
    setting = (
        f"One InfoNoise training run per target, seed {int(rows['seed'].iloc[0])}; its density at "
        f"{rows.groupby('target').size().max()} log-spaced evaluations, in {sigma.size} bins from "
        f"σ = {number(sigma[0])} to {number(sigma[-1])} (middles). Grey: the warm-up, where the "
        "density is uniform in log σ. Weight w: 1 on discrete data, EDM's on 4 Gaussians and "
        "digits. For the latter the emphasis π w departs from the gated rate (dotted, scaled to "
        f"the same greatest density) at low noise, since every bin keeps a mass of {number(least)} "
        "while w grows as 1/σ². Distance: largest difference between the distribution functions of "
        f"consecutive evaluations, {_span(later['gap'])} refreshes apart after the first; paper "
        "D's 0.01 is for consecutive refreshes."
    )
    near = int((later["distance"] < PRINTED).sum())
    ends = later[later["kex"] == later.groupby("target")["kex"].transform("max")]
    pivots = "; ".join(
        f"{TARGETS[target]} {_span(found['pivot'])}, at the end {number(found['pivot'].iloc[-1])} "
        f"by {RULE_NAMES[found['rule'].iloc[-1]]}"
        for target in targets
        for found in [rows[(rows["target"] == target) & rows["pivot"].notna()]]
        if not found.empty
    )
    distances = ", ".join(
        f"{number(ends.loc[ends['target'] == target, 'distance'].iloc[0])} ({TARGETS[target]})"
        for target in targets
        if target in set(ends["target"])
    )
    outcome = (
        f"Pivots: {pivots}. Last distances: {distances}; below 0.01 in {near} of {len(later)} "
        "evaluations after the first with a learned density."
    )
    return [setting, outcome]


def _span(values: pd.Series) -> str:
    """The range of the values as text, from the least to the greatest."""
    return " to ".join(dict.fromkeys(number(v) for v in (values.min(), values.max())))
