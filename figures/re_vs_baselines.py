"""Paper C's tables 2 and 3 on toys: its iterations against other solvers at equal calls."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator

from figures.parts.solver_looks import SOLVERS
from figures.parts.solver_orders import CODES, cell, draw_orders, firsts, published
from figures.parts.style import (
    GREY,
    SMALL,
    TEXT,
    TITLE,
    TOYS,
    captioned,
    key,
    known,
    new_figure,
    number,
    panel,
    shared_legend,
)

REDUCING = ("re_single", "re_multi", "re_multi_2025", "evodiff")
GRIDS = {"log_snr": "log-SNR grid", "edm": "EDM grid (ρ = 7)", "rescaled": "rescaled entropic grid"}
METRICS = {
    "w1": "Wasserstein-1 (data units)",
    "kl_data_model": "KL(data ‖ sampler) (nats)",
    "path_rms": "RMS distance (data units)",
}
COLUMNS = (
    ("gaussians15_overlap", "w1"),
    ("gaussians15_overlap", "kl_data_model"),
    ("gaussians15_narrow", "w1"),
    ("gaussians15_narrow", "kl_data_model"),
    ("circle8", "path_rms"),
)
ORDERED = (COLUMNS[0], COLUMNS[2], COLUMNS[4])  # columns in which every solver has a value
SHARED = ("dpmpp_2m", "unipc_2", "heun", "re_multi", "evodiff")  # the papers compare these too
BAND = 0.14  # share of a panel's height, at its top, for values that are infinite or unknown
OFF_SCALE = "heun"  # so much worse at few calls that its line leaves the axis
Lines = list[tuple[str, pd.DataFrame]]  # lines of an order: label; rows of solver, calls, value
INFINITE = "no mass"  # in the reason of every infinite divergence; any other is unknown


def draw(table: pd.DataFrame) -> Figure:
    """Values against calls with a strip of winners, and the order of the methods below."""
    numbers = {name: pd.to_numeric(table[name]) for name in ("value", "error", "stderr", "rank")}
    table = table.assign(**numbers)
    known(list(CODES), table["solver"])
    known(list(METRICS), table["metric"])
    grids = known(list(GRIDS), table["schedule"])
    calls = sorted(set(table["calls"]))
    blocks = [
        ("here: by W₁ (circle: RMS distance)", _own_lines(table, grids)),
        ("printed by paper C: by FID", _printed_lines(calls)),
    ]
    lines = sum(1 + len(block) for _, block in blocks)
    figure = new_figure(12.0, 2.3 + 2.1 * len(grids) + 0.17 * lines)
    letters = "abcdefghijklmnop"[: len(grids) * len(COLUMNS) + 1]
    ratios = [1.0, 0.14] * len(grids) + [0.098 * lines]
    spec = figure.add_gridspec(len(ratios), len(COLUMNS), height_ratios=ratios)
    for j, (toy, metric) in enumerate(COLUMNS):
        column = table[(table["toy"] == toy) & (table["metric"] == metric)]
        for i, grid in enumerate(grids):
            rows = column[column["schedule"] == grid]
            ax, strip = figure.add_subplot(spec[2 * i, j]), figure.add_subplot(spec[2 * i + 1, j])
            letter = letters[i * len(COLUMNS) + j]
            panel(ax, f"({letter}) {TOYS[toy]}" if i == 0 else f"({letter})")
            _values(ax, rows, column, calls)
            _winners(strip, rows, calls)
            strip.tick_params(labelbottom=i == len(grids) - 1)
            if i == len(grids) - 1:
                strip.set_xlabel("denoiser calls allowed (NFE)", fontsize=TEXT)
            what = METRICS[metric]
            ax.set_ylabel(f"{GRIDS[grid]}\n{what}" if j == 0 else what, fontsize=TEXT)
    bottom = figure.add_subplot(spec[-1, :])
    title = f"({letters[-1]}) ranking of the solvers that the papers compare, best first"
    bottom.set_title(title, fontsize=TITLE, loc="left")
    draw_orders(bottom, calls, blocks)
    baselines = [_entry(name) for name in CODES if name not in REDUCING]
    shared_legend(figure, [baselines, _second_row(table)])
    return captioned(figure, *_settings(table), _places(table, blocks[0][1], blocks[1][1]))


def _entry(name: str) -> Line2D:
    look = SOLVERS[name]
    return key(replace(look, label=f"{CODES[name]}: {look.label}"))


def _second_row(table: pd.DataFrame) -> list[Line2D]:
    """Legend entries of paper C's solvers, and of the marks in the band that occur."""

    def mark(text: str, marker: str) -> Line2D:
        return Line2D([], [], linestyle="", marker=marker, color=GREY, markersize=4.5, label=text)

    missing = table[table["value"].isna()]
    infinite = missing["reason"].astype(str).str.contains(INFINITE)
    entries = [_entry(name) for name in REDUCING]
    entries += [mark("infinite", "^")] if infinite.any() else []
    return entries + ([mark("not converged", "x")] if (~infinite).any() else [])


def _values(ax: Axes, rows: pd.DataFrame, column: pd.DataFrame, calls: list[int]) -> None:
    """Lines of all solvers; marks in the band where there is no value."""
    values = column["value"][(column["value"] > 0) & (column["solver"] != OFF_SCALE)]
    low, high = (values.min() / 1.6, values.max() * 1.6) if len(values) else (0.1, 10.0)
    banded = column["value"].isna().any()
    top = high * (high / low) ** (BAND / (1.0 - BAND)) if banded else high
    _call_axis(ax, calls)
    ax.tick_params(labelbottom=False)
    ax.set_yscale("log")
    ax.set_ylim(low, top)
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    ticks = {10.0**power: f"$10^{{{power}}}$" for power in powers}
    if banded:
        ax.axhspan(high, top, color="#efefef", linewidth=0.0, gid="band")
        ticks[math.sqrt(high * top)] = "none"
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.yaxis.set_minor_locator(LogLocator(subs=range(2, 10)))
    ax.yaxis.set_minor_formatter(NullFormatter())
    edges = ax.get_xlim()
    inside = Rectangle((edges[0], low), edges[1] - edges[0], high - low, transform=ax.transData)
    for name in CODES:
        mine, look = rows[rows["solver"] == name].sort_values("calls"), SOLVERS[name]
        front = name in REDUCING
        style: dict[str, Any] = {"color": look.colour, "zorder": 4.0 if front else 3.0}
        (line,) = ax.plot(
            mine["calls"],
            mine["value"],
            linestyle=look.line,
            linewidth=1.5 if front else 1.0,
            marker=look.marker,
            markersize=(5.0 if look.marker == "*" else 3.4) if front else 2.6,
            markeredgewidth=0.5,
            gid=f"value {name}",
            **style,
        )
        line.set_clip_path(inside)
        sampled = mine[mine["stderr"] > 0]
        if len(sampled):
            bars = ax.errorbar(
                sampled["calls"],
                sampled["value"],
                yerr=sampled["stderr"],
                fmt="none",
                elinewidth=0.7,
                ecolor=look.colour,
            )
            bars[2][0].set_gid(f"stderr {name}")
    _missing(ax, rows[rows["value"].isna()], calls)


def _missing(ax: Axes, rows: pd.DataFrame, calls: list[int]) -> None:
    """Marks side by side in the band: a triangle if infinite, a cross if the law is not settled."""
    aside = (calls[-1] / calls[0]) ** 0.028
    for n in sorted(set(rows["calls"])):
        here = rows[rows["calls"] == n].set_index("solver")
        order = [name for name in CODES if name in here.index]
        for place, name in enumerate(order):
            infinite = INFINITE in str(here.loc[name, "reason"])
            ax.plot(
                [n * aside ** (place - 0.5 * (len(order) - 1))],
                [1.0 - BAND * (0.3 + 0.4 * (place % 2))],
                "^" if infinite else "x",
                transform=ax.get_xaxis_transform(),
                color=SOLVERS[name].colour,
                markersize=3.6,
                gid=f"{'infinite' if infinite else 'unsettled'} {name}",
            )


def _call_axis(ax: Axes, calls: list[int]) -> None:
    edges = _edges(calls)
    ax.set_xscale("log")
    ax.set_xlim(edges[0], edges[-1])
    ax.xaxis.set_major_locator(FixedLocator(calls))
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.xaxis.set_minor_locator(NullLocator())


def _edges(calls: list[int]) -> list[float]:
    """The cells' edges: midpoints between the calls on a logarithmic axis."""
    inner = [math.sqrt(a * b) for a, b in pairwise(calls)]
    first = inner[0] if inner else calls[0] * 1.2
    last = inner[-1] if inner else calls[0] / 1.2
    return [calls[0] ** 2 / first, *inner, calls[-1] ** 2 / last]


def _winners(ax: Axes, rows: pd.DataFrame, calls: list[int]) -> None:
    """One cell per number of calls, in the colour of the solver of rank 1."""
    _call_axis(ax, calls)
    ax.set_ylim(0.0, 1.0)
    ax.set_yticks([])
    ax.spines[["top", "right", "left", "bottom"]].set_visible(False)
    ax.tick_params(labelsize=SMALL, length=0.0)
    edges = _edges(calls)
    best = rows[rows["rank"] == 1].set_index("calls")["solver"]
    for n, (low, high) in zip(calls, pairwise(edges), strict=True):
        if n in best.index:
            cell(ax, low, 0.06, 0.96 * (high - low), 0.88, str(best.loc[n]), f"winner {n}", n)


def _own_lines(table: pd.DataFrame, grids: list[str]) -> Lines:
    """Rows of the shared solvers, one line for each target and grid."""
    rows = table[table["solver"].isin(SHARED)]
    lines: Lines = []
    for toy, metric in ORDERED:
        for grid in grids:
            mine = (rows["toy"] == toy) & (rows["metric"] == metric) & (rows["schedule"] == grid)
            lines.append((f"{TOYS[toy]}, {GRIDS[grid]}", rows[mine]))
    return lines


def _printed_lines(calls: list[int]) -> Lines:
    """The printed rows at these calls, one line for each of the papers' tables."""
    rows = published()
    rows = rows[rows["calls"].isin(calls)]
    return [(str(name), mine) for name, mine in rows.groupby("line", sort=False)]


def _settings(table: pd.DataFrame) -> list[str]:
    """The caption: the settings, read from the table."""
    first = table.iloc[0]
    plane = table[table["metric"] == "path_rms"]
    kl, w1 = (table[table["metric"] == name] for name in ("kl_data_model", "w1"))
    calls = ", ".join(str(n) for n in sorted(set(table["calls"])))
    setting = (
        f"Paper C's iterations (thick) and other solvers at NFE {calls}: each solver takes as many "
        "steps as fit in that number of calls; two-call solvers make one call fewer if the number "
        "is odd. "
        f"Targets: 15 random means on the line, 8 Gaussians on a circle in the plane. Process: "
        f"{first['process'].upper()}, σ {number(table['sigma_max'].max())} to "
        f"{number(table['sigma_min'].min())}, start N(0, {number(table['sigma_max'].max())}²), "
        f"terminal policy: {first['terminal']}, exact denoiser. Strips: the best solver at each "
        "NFE. The axes cover all solvers but Heun, which reaches "
        f"{number(table['value'][table['solver'] == OFF_SCALE].max())}. Below 15 steps the last "
        "steps of DPM++, UniPC and DEIS are of lower order, as in common code, which causes jumps "
        "from 12 to 15 calls on the rescaled grid, whose last step is long."
    )
    measures = []
    if len(w1):
        measures.append(
            "Wasserstein-1: from the quantiles of the start through the sampler's map, numerical "
            f"error at most {number(w1['error'].max())}"
        )
    if len(kl):
        measures.append(
            f"KL: from the exact law, error at most {number(kl['error'].max())}; triangles: the "
            "KL is infinite, since no start reaches some interval of the data's range (EVODiff's "
            "clipped ratios make its map discontinuous; a map of the multi-step RE that is steeper "
            "than float64 resolves counts as discontinuous); crosses: the computation of the law "
            "does not converge"
        )
    if len(plane):
        one = plane.iloc[0]
        measures.append(
            f"RMS distance: over {int(one['paths'])} paths (seed {int(one['seed'])}), to where the "
            "probability flow takes the same starts; bars: ± one standard error (delta method)"
        )
    return [setting, ". ".join(measures) + "."]


def _places(table: pd.DataFrame, own: Lines, printed: Lines) -> str:
    """How often paper C's iterations come first."""
    best = table[table["rank"] == 1].drop_duplicates(["toy", "schedule", "metric", "calls", "rank"])
    ours = int(best["solver"].isin(REDUCING).sum())
    here, there = (firsts(lines, ("re_multi", "evodiff")) for lines in (own, printed))
    return (
        f"An iteration of paper C wins {ours} of the {len(best)} cells of the strips. In the last "
        "panel, among the solvers that its tables compare, one of its iterations is first in "
        f"{here[0]} of {here[1]} rankings here and in {there[0]} of {there[1]} printed ones. These "
        "are by FID of trained networks, which is not comparable with our distances; only the "
        "rankings are. Bar: equal values. 2M and U2 stand for the printed DPM++ and UniPC, whose "
        "orders, like the grids, are not given in the text of the paper available to us; RM for RE "
        "(v1), EV for EVODiff (2025), v3 for DPM-Solver-v3, whose statistics of a network have no "
        "counterpart here."
    )
