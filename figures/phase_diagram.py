"""Paper A section 6.1 as a phase diagram: the schedule of least KL by overlap and steps."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from figures.parts.style import (
    GREY,
    INK,
    PROCESSES,
    SCHEDULES,
    SMALL,
    TEXT,
    Look,
    captioned,
    known,
    new_figure,
    number,
    panel,
    shared_legend,
)

PAIR = ["std", "process", "terminal", "sigma_min", "n_steps"]
CELL = [*PAIR, "smoothing"]
TERMINALS = ("stop", "zero")
CLEAR, CLOSE = 2.0, 1.1  # KL of runner-up over winner: solid from CLEAR, thin frame below CLOSE
INSETS = {"clear": 0.0, "modest": 0.6, "close": 0.82}  # white inset's sides over the cell's
GAP = 0.35  # between points and the least std, in widths of a cell
HATCH = "//////"
NUMBERS = ("kl_data_model", "error", "lead", "smoothing")


def draw(table: pd.DataFrame) -> Figure:
    """One column of panels per terminal policy, one row per process and smoothing."""
    table = table.assign(**{name: pd.to_numeric(table[name]) for name in NUMBERS})
    processes = known(list(PROCESSES), table["process"])
    known(TERMINALS, table["terminal"])
    known(list(SCHEDULES), table["label"])
    ends = sorted({*zip(table["terminal"], table["sigma_min"], strict=True)})
    rows = list(itertools.product(processes, sorted(set(table["smoothing"]))))
    figure = new_figure(10.5, 2.1 * len(rows) + 2.5)
    axes = figure.subplots(len(rows), len(ends), sharex=True, sharey=True, squeeze=False)
    cells = table.sort_values(CELL).drop_duplicates(CELL)
    for i, ((process, smoothing), (terminal, low)) in enumerate(itertools.product(rows, ends)):
        ax = axes.flat[i]
        mine = (cells["process"] == process) & (cells["smoothing"] == smoothing)
        mine &= (cells["terminal"] == terminal) & (cells["sigma_min"] == low)
        law = f"smoothed by {number(smoothing)}" if smoothing else "no smoothing"
        end = f"{terminal} {'after' if terminal == 'zero' else 'at'} σ = {number(low)}"
        title = f"{PROCESSES[process]}, {end}, {law}"
        panel(ax, f"({'abcdefghijklmnopqrstuvwxyz'[i]}) {title}")
        _cells(ax, cells[mine], _places(sorted(set(table["std"]))))
    _axes(axes, table)
    shared_legend(figure, _legend(table, cells))
    return captioned(figure, *_settings(table, cells))


def _places(stds: Sequence[float]) -> dict[float, tuple[float, float]]:
    """Left and right edge of each std's column: log-spaced, with points set apart on the left."""
    positive = np.array([std for std in stds if std > 0])
    if positive.size < 2:
        return {std: (1.0 + i, 2.0 + i) for i, std in enumerate(stds)}
    middles = np.sqrt(positive[1:] * positive[:-1])
    edges = [positive[0] ** 2 / middles[0], *middles, positive[-1] ** 2 / middles[-1]]
    places = dict(zip(positive.tolist(), itertools.pairwise(edges), strict=True))
    if stds[0] == 0:
        ratio = edges[1] / edges[0]
        right = edges[0] / ratio**GAP
        places[0.0] = (right / ratio, right)
    return {std: (float(a), float(b)) for std, (a, b) in places.items()}


def _cells(ax: Axes, rows: pd.DataFrame, places: dict[float, tuple[float, float]]) -> None:
    """One cell per setting in the winner's colour, framed where the lead is small."""
    wanted = ["std", "n_steps", "winner", "lead", "decided"]
    for std, n, winner, lead, decided in rows[wanted].itertuples(index=False, name=None):
        span, half = places[std], 2.0**0.5
        height = n / half, n * half
        name = f"{std:g} {n}"
        if not isinstance(winner, str):
            look: dict[str, Any] = {"facecolor": "white", "edgecolor": GREY, "hatch": HATCH}
            _box(ax, span, height, 0.94, gid=f"cell none {name}", linewidth=0.4, **look)
            continue
        own = SCHEDULES[winner]
        inset = INSETS[_class(lead, decided)]
        _box(ax, span, height, 0.94, gid=f"cell {winner} {name}", facecolor=own.colour)
        if inset:
            _box(ax, span, height, inset, gid=f"inset {name}", facecolor="white")
        ax.plot(
            [np.sqrt(span[0] * span[1])],
            [n],
            own.marker,
            markersize=4.6 if inset else 3.6,
            color=own.colour if inset else "white",
            markeredgewidth=0.0,
            gid=f"glyph {winner} {name}",
        )


def _class(lead: float, decided: bool) -> str:
    """How clear a win is: "clear", "modest" or "close"."""
    if not decided or lead < CLOSE:
        return "close"
    return "clear" if lead >= CLEAR else "modest"


def _box(
    ax: Axes, x: tuple[float, float], y: tuple[float, float], share: float, gid: str, **look: Any
) -> None:
    """A rectangle with this share of the sides of a cell on two logarithmic axes."""
    (left, right), (low, high) = (_shrunk(ends, share) for ends in (x, y))
    look = {"linewidth": 0.0} | look
    ax.add_patch(Rectangle((left, low), right - left, high - low, gid=gid, **look))


def _shrunk(ends: tuple[float, float], share: float) -> tuple[float, float]:
    """The middle share of an interval on a logarithmic axis."""
    middle, half = np.sqrt(ends[0] * ends[1]), (ends[1] / ends[0]) ** (0.5 * share)
    return float(middle / half), float(middle * half)


def _axes(axes: Any, table: pd.DataFrame) -> None:
    """Logarithmic axes of std and steps; the overlap above the top row."""
    stds = sorted(set(table["std"]))
    places, steps = _places(stds), sorted(set(table["n_steps"]))
    centres = [float(np.sqrt(a * b)) for a, b in (places[std] for std in stds)]
    ratio = table.drop_duplicates("std").set_index("std")["std_over_gap"]
    for ax in axes.flat:
        ax.set_xscale("log")
        ax.set_yscale("log", base=2)
        ax.set_xlim(min(a for a, _ in places.values()), max(b for _, b in places.values()))
        ax.set_ylim(steps[0] / 2.0**0.5, steps[-1] * 2.0**0.5)
        ax.grid(visible=False)
        ax.tick_params(length=2.0)
        for axis, spots, names in (
            (ax.xaxis, centres, [f"{std:g}" if std else "points" for std in stds]),
            (ax.yaxis, steps, [f"{n:g}" for n in steps]),
        ):
            axis.set_major_locator(FixedLocator(spots))
            axis.set_major_formatter(FixedFormatter(names))
            axis.set_minor_locator(NullLocator())
    for ax in axes[-1]:
        ax.tick_params(axis="x", labelrotation=90)
        ax.set_xlabel("std of the components  (data units)", fontsize=TEXT)
    for ax in axes[:, 0]:
        ax.set_ylabel("steps N", fontsize=TEXT)
    for ax in axes[0]:
        above = ax.secondary_xaxis("top")
        above.xaxis.set_major_locator(FixedLocator(centres))
        names = [f"{ratio[std]:.2g}" if std else "0" for std in stds]
        above.xaxis.set_major_formatter(FixedFormatter(names))
        above.xaxis.set_minor_locator(NullLocator())
        above.tick_params(labelsize=SMALL, labelrotation=90, length=2.0, color=GREY)
        above.set_xlabel("overlap: std / median gap", fontsize=SMALL, color=INK)
        above.spines["top"].set_visible(False)


def _legend(table: pd.DataFrame, cells: pd.DataFrame) -> list[list[Any]]:
    """Legend entries of the competing schedules, and of the frames and hatches that occur."""
    labels = known(list(SCHEDULES), table["label"])
    won = cells[cells["winner"].notna()]
    classes = {_class(lead, sure) for lead, sure in zip(won["lead"], won["decided"], strict=True)}
    words = {
        "clear": f"solid: runner-up's KL ≥ {CLEAR:g} times the winner's",
        "modest": f"frame: {CLOSE:g} to {CLEAR:g} times",
        "close": f"thin frame: below {CLOSE:g} times",
    }
    marks: list[Any] = [
        Line2D(
            [],
            [],
            linestyle="",
            marker="s",
            markersize=8.0,
            markeredgewidth=4.0 * (1.0 - INSETS[name]),
            markeredgecolor=GREY,
            markerfacecolor="white" if INSETS[name] else GREY,
            label=text,
        )
        for name, text in words.items()
        if name in classes
    ]
    if cells["winner"].isna().any():
        hatched = Patch(facecolor="white", edgecolor=GREY, hatch=HATCH, linewidth=0.4)
        hatched.set_label("hatched: no winner")
        marks.append(hatched)
    return [[_swatch(SCHEDULES[label]) for label in labels], marks]


def _swatch(look: Look) -> Line2D:
    """Legend entry of a schedule: its colour with its glyph, as in a solid cell."""
    return Line2D(
        [],
        [],
        color=look.colour,
        linewidth=9.0,
        solid_capstyle="butt",
        marker=look.marker,
        markersize=4.5,
        markerfacecolor="white",
        markeredgewidth=0.0,
        label=look.label,
    )


def _settings(table: pd.DataFrame, cells: pd.DataFrame) -> list[str]:
    """The caption: the settings, read from the table."""
    stds = sorted(set(table["std"]))
    spans = [std for std in stds if std > 0]
    ends = [
        f"{PROCESSES[process]} from σ = "
        f"{number(table.loc[table['process'] == process, 'sigma_max'].max())}"
        for process in known(list(PROCESSES), table["process"])
    ]
    steps = ", ".join(str(n) for n in sorted(set(table["n_steps"])))
    solvers = ", ".join(sorted(set(table["solver"]))).replace("stochastic_ddim", "stochastic DDIM")
    span = " to ".join(number(std) for std in dict.fromkeys([*spans[:1], *spans[-1:]]))
    setting = (
        "Colour: the schedule of least KL(data ‖ sampler). Targets: 15 random means (one draw), "
        "equal weights, mean 0 and total variance 1, components of one std, "
        f"{span}{' and 0 (points)' if 0.0 in stds else ''}. Processes: "
        f"{'; '.join(ends)}; standard time is σ for EDM and t for VP (β 0.1 to 20). Solver: "
        f"{solvers} with the exact denoiser, N = {steps} (denoiser calls). Terminal policy "
        "“stop”: data and sampler are compared by densities at the lowest σ; “zero”: a last step "
        "returns the denoised value, which is compared with clean data, points by bins of half "
        "width 0.49 of the least gap."
    )
    worst = (table["error"] / table["kl_data_model"]).max()
    law = (
        "Smoothed: a Gaussian of that std is added to the sampler's output but not to the data, "
        "as paper A's kernel estimate does on average. Exact law, without samples or seeds; its "
        f"error estimate is at most {number(worst)} of the KL. Paper A compares standard, entropic "
        "and rescaled time; log-SNR is added. "
    )
    labels = known(list(SCHEDULES), table["label"])
    return [setting, law + _counts(cells, labels)]


def _counts(cells: pd.DataFrame, labels: Sequence[str]) -> str:
    """How often each schedule wins, and how many settings are undecided or have no winner."""
    won = cells[cells["winner"].notna()]
    times = ", ".join(
        f"{SCHEDULES[label].label} {int((won['winner'] == label).sum())}" for label in labels
    )
    text = f"Wins in {len(won)} settings: {times}. "
    pairs = won.pivot(index=PAIR, columns="smoothing", values="winner").dropna()
    if pairs.shape[1] == 2:
        changed = int((pairs.iloc[:, 0] != pairs.iloc[:, 1]).sum())
        text += f"Smoothing changes the winner in {changed} of {len(pairs)} settings. "
    close = int((~won["decided"].astype(bool)).sum())
    if close:
        text += f"Gaps within the errors: {close}. "
    lost = cells[cells["winner"].isna()]
    left = lost["winner_reason"].astype(str).str.startswith("left out")
    if left.any():
        text += (
            f"No winner in {int(left.sum())} settings: after smoothing, points cannot be "
            "compared by bins. "
        )
    if (~left).any():
        text += (
            f"No winner in {int((~left).sum())} settings: the KL is infinite for all, or one is "
            "not known. "
        )
    return text.strip()
