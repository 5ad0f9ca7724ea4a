"""Schedules and solvers on networks trained here: scores against calls, winners, and images."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator

from figures.parts.digits_images import CLOSE, draw_images, draw_winners
from figures.parts.style import (
    INK,
    NETWORK_SCHEDULES,
    TARGETS,
    captioned,
    count_axis,
    curve,
    key,
    known,
    lettered,
    new_figure,
    number,
    panel,
    plain_ticks,
    shared_legend,
)

SOLVERS = {
    "ddim": "DDIM",
    "stochastic_ddim": "stochastic DDIM",
    "heun": "Heun",
    "dpmpp_2m": "DPM++(2M)",
    "sde_dpmpp_2m": "SDE-DPM++(2M)",
    "re_multi": "RE multi-step",
}
SCORES = {"digits": "Fréchet distance", "mixture": "W₁ to the law (data units)"}
FIRST_ORDER = ("ddim", "stochastic_ddim")  # the first-order solvers of paper A's tables
WIDE = 40.0  # a larger ratio of its ends gives an axis fewer tick labels
NUMBERS = ("calls", "nfe", "score", "edm_over_best", "lead", "image", "pixel", "value")


def draw(table: pd.DataFrame) -> Figure:
    """One row of panels per target, one panel per solver; below them, images and all winners."""
    table = table.assign(**{name: pd.to_numeric(table[name]) for name in NUMBERS})
    scores = table[table["kind"] == "score"]
    targets = known(list(SCORES), scores["target"])
    solvers = known(list(SOLVERS), scores["solver"])
    schedules = known(list(NETWORK_SCHEDULES), scores["schedule"])
    figure = new_figure(12.0, 2.7 * len(targets) + 5.6)
    spec = figure.add_gridspec(2, 1, height_ratios=[2.7 * len(targets), 3.9])
    axes = (
        spec[0]
        .subgridspec(len(targets), len(solvers))
        .subplots(sharex=True, sharey="row", squeeze=False)
    )
    for row, target in zip(axes, targets, strict=True):
        mine = table[table["target"] == target]
        for ax, solver in zip(row, solvers, strict=True):
            y = f"{TARGETS[target]}: {SCORES[target]}"
            panel(ax, SOLVERS[solver], "denoiser calls (NFE)", y)
            _scores(ax, mine[mine["solver"] == solver], mine[mine["kind"] == "floor"])
            ax.label_outer()
        low, high = _span(mine)
        row[0].set_ylim(low, high)
        if high > WIDE * low:
            row[0].yaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    below = _below(figure, spec[1], table, targets, solvers)
    lettered([*axes.flat, *below])
    shared_legend(figure, [[key(NETWORK_SCHEDULES[name]) for name in schedules], _meanings()])
    return captioned(figure, *_settings(table, targets))


def _scores(ax: Axes, rows: pd.DataFrame, floor: pd.DataFrame) -> None:
    """Scores against calls, with a ring around the best and a line at the floor."""
    scores = rows[rows["kind"] == "score"].sort_values("nfe")
    count_axis(ax, sorted(set(scores["calls"].astype(int))))
    plain_ticks(ax, "y")
    for name in known(list(NETWORK_SCHEDULES), scores["schedule"]):
        mine = scores[scores["schedule"] == name]
        curve(ax, mine["nfe"], mine["score"], NETWORK_SCHEDULES[name], f"score {name}", 4.0)
    best = (
        rows[rows["kind"] == "winner"]
        .sort_values("calls")
        .merge(
            scores[["calls", "schedule", "nfe"]], on=["calls", "schedule"], suffixes=("_none", "")
        )
    )
    ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": INK, "linestyle": ""}
    ax.plot(
        best["nfe"], best["score"], marker="o", markersize=9.0, markeredgewidth=0.8, zorder=4.0,
        gid="best", **ring,
    )  # fmt: skip
    for value in floor["score"]:
        ax.axhline(value, color=INK, linewidth=1.0, linestyle=":", zorder=2.0, gid="floor")


def _span(rows: pd.DataFrame) -> tuple[float, float]:
    """Limits of the axis for all of a target's scores, with a margin."""
    values = rows.loc[rows["kind"].isin(["score", "floor"]), "score"]
    return 0.85 * float(values.min()), 1.2 * float(values.max())


def _below(
    figure: Figure, spec: SubplotSpec, table: pd.DataFrame, targets: Sequence[str],
    solvers: Sequence[str],
) -> list[Axes]:  # fmt: skip
    """Left: images, one block per number of calls. Right: winners, one table per target."""
    pixels = table[table["kind"] == "pixel"]
    calls = sorted(set(pixels["nfe"]))[:-1]  # the run with the most calls is the reference
    halves = spec.subgridspec(1, 2, width_ratios=[1.3, 1.0])
    left = halves[0].subgridspec(1, len(calls)).subplots(squeeze=False)[0]
    right = halves[1].subgridspec(len(targets), 1).subplots(squeeze=False)[:, 0]
    for i, (ax, nfe) in enumerate(zip(left, calls, strict=True)):
        panel(ax, f"digits by DDIM, NFE {nfe:g}")
        draw_images(ax, pixels, nfe, named=i == 0)
    for ax, target in zip(right, targets, strict=True):
        panel(ax, f"{TARGETS[target]}: winner, and EDM's score over the winner's")
        wins = table[(table["kind"] == "winner") & (table["target"] == target)]
        draw_winners(ax, wins, {name: SOLVERS[name] for name in solvers})
        ax.set_xlabel("denoiser calls allowed" if target == targets[-1] else "")
    return [*left, *right]


def _meanings() -> list[Artist]:
    """Legend entries of everything but the schedules."""
    ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": INK, "linestyle": ""}
    square: dict[str, Any] = {"marker": "s", "markersize": 7.0, "linestyle": "", "color": INK}
    return [
        Line2D([], [], marker="o", markersize=9.0, label="best schedule", **ring),
        Line2D([], [], color=INK, linestyle=":", linewidth=1.0, label="real samples"),
        Line2D([], [], label=f"solid: runner-up ≥ {CLOSE:g} times the best", **square),
        Line2D([], [], label="framed: less", markerfacecolor="white", **square),
    ]


def _settings(table: pd.DataFrame, targets: Sequence[str]) -> list[str]:
    """The caption: the settings and the results, read from the table."""
    scores = table[table["kind"] == "score"]
    first = scores.iloc[0]
    floors = table[table["kind"] == "floor"].set_index("target")["score"]
    ends = sorted(set(scores["terminal"]))
    pixels = table[table["kind"] == "pixel"]
    lost = int(scores["score"].isna().sum())
    setting = (
        "One small trained network per target; the profiles used by all schedules except EDM's "
        "grid and log-SNR are its squared errors on training data. Every solver takes as many "
        f"steps as the calls allow, terminal policy: {', '.join(ends)}. Scores: "
        f"{int(first['samples'])} samples, seed {int(first['seed'])}, the same noise for all, "
        f"device: {', '.join(sorted(set(scores['device'])))}; one seed, so no error bars: wins in "
        f"framed cells, with the runner-up within {100 * (CLOSE - 1):.0f} %, may be chance. "
        "Dotted: as many real samples, "
        f"{', '.join(f'{number(floors[t])} ({TARGETS[t]})' for t in targets)}; for digits they are "
        "drawn with replacement from held-out images, and a score below the line means that the "
        "samples lie closer to the training images, which are the reference. "
        f"{f'Not drawn: {lost} scores, whose solver diverges. ' if lost else ''}Images: the same "
        f"noise in all rows, seed {int(pixels['seed'].iloc[0])}."
    )
    return [setting, *(_outcome(table[table["target"] == t], t) for t in targets)]


def _outcome(rows: pd.DataFrame, target: str) -> str:
    """One target's wins, and how often paper A's statements hold."""
    wins = rows.loc[rows["kind"] == "winner", "schedule"]
    names = known(list(NETWORK_SCHEDULES), wins)
    counts = ", ".join(f"{NETWORK_SCHEDULES[n].label} {int((wins == n).sum())}" for n in names)
    scores = rows[rows["kind"] == "score"]
    wide = scores.pivot(index=["solver", "calls"], columns="schedule", values="score")
    first = wide[wide.index.get_level_values("solver").isin(FIRST_ORDER)]
    heun = wide[wide.index.get_level_values("solver") == "heun"]
    texts = [f"wins in {len(wins)} cells: {counts}"]
    if {"rescaled", "edm"} <= set(wide):
        texts.append(
            f"rescaled is below EDM's grid in {_below_count(first, 'rescaled', 'edm')} cells with "
            f"DDIM and stochastic DDIM and in {_below_count(heun, 'rescaled', 'edm')} with Heun"
        )
    if {"rescaled", "spectral"} <= set(wide):
        texts.append(f"spectral is below rescaled in {_below_count(wide, 'spectral', 'rescaled')}")
    return f"{TARGETS[target]}, {'; '.join(texts)}."


def _below_count(wide: pd.DataFrame, one: str, other: str) -> str:
    return f"{int((wide[one] < wide[other]).sum())} of {len(wide)}"
