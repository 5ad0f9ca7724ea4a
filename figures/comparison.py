"""A metric against denoiser calls for the schedules and solvers of `entropic compare`."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import LineStyleType

from figures.parts.style import (
    ALL_SCHEDULES,
    BLUE,
    BROWN,
    GREEN,
    MAGENTA,
    NETWORK_SCHEDULES,
    ORANGE,
    PURPLE,
    SKY,
    TEXT,
    VERMILION,
    WINE,
    captioned,
    count_axis,
    decades,
    new_figure,
    panel,
)

WIDTH, HEIGHT = 6.67, 4.4
METRICS = {
    "kl_data_model": "KL(data ‖ sampler), nats",
    "kl_discretisation": "KL(data ‖ sampler), start from the data, nats",
    "kl_start": "KL(data ‖ initial law), nats",
    "tv": "total variation",
    "w1": "Wasserstein-1 distance, data units",
}
MARKS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">", "p", "h")
LINES: tuple[LineStyleType, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))
OTHERS = (BROWN, WINE, MAGENTA, PURPLE, GREEN, BLUE, ORANGE, SKY, VERMILION)
MOST_ENTRIES = 14  # curves beyond which only the best are named in the legend


def draw_comparison(table: pd.DataFrame) -> Figure:
    """The first metric of a comparison against NFE, one curve per schedule and solver.

    Args:
        table: Rows of `entropic.compare`.

    Raises:
        ValueError: No setting has a step.
    """
    metric = str(table["metric"].iloc[0])
    rows = table[(table["metric"] == metric) & table["nfe"].notna()].copy()
    if rows.empty:
        raise ValueError("table must have a setting with a step to draw, got none")
    rows["nfe"] = rows["nfe"].astype(int)
    for left, options in (("schedule", "schedule_options"), ("solver", "solver_options")):
        rows[left] = [
            f"{name}:{given.replace(' ', ',')}" if given else name
            for name, given in zip(rows[left], rows[options], strict=True)
        ]
    rows["value"] = pd.to_numeric(rows["value"])
    schedules, solvers = list(rows["schedule"].unique()), list(rows["solver"].unique())
    figure = new_figure(WIDTH, HEIGHT)
    ax = figure.subplots()
    handles = []
    calls = _judged(rows)
    for (schedule, solver), mine in rows.groupby(["schedule", "solver"], sort=False):
        place = schedules.index(schedule), solvers.index(solver)
        looks = _colour(str(schedule), place[0]), MARKS[place[1] % 12], LINES[place[1] % 4]
        handles.append((_rank(mine, calls), _curve(ax, mine, *looks, f"{schedule}, {solver}")))
    panel(ax, _title(rows, calls), "denoiser calls (NFE)", METRICS.get(metric, metric))
    counts = sorted(int(n) for n in rows["nfe"].unique())
    count_axis(ax, counts if len(counts) < 12 else counts[:: -(-len(counts) // 8)])
    if (rows["value"] > 0).any():
        decades(ax)
    best = [handle for _, handle in sorted(handles, key=lambda pair: pair[0])][:MOST_ENTRIES]
    ax.legend(
        handles=best,
        fontsize=TEXT,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        handlelength=2.6,
    )
    return captioned(figure, _caption(rows))


def _colour(schedule: str, place: int) -> str:
    """The colour that a schedule has in every figure, or the next free one."""
    known = ALL_SCHEDULES | NETWORK_SCHEDULES
    return known[schedule].colour if schedule in known else OTHERS[place % len(OTHERS)]


def _judged(rows: pd.DataFrame) -> int:
    """The largest number of calls that every curve has, or else the largest of all."""
    shared = set.intersection(*(set(own) for _, own in rows.groupby(["schedule", "solver"])["nfe"]))
    return int(max(shared or rows["nfe"]))


def _rank(rows: pd.DataFrame, calls: int) -> float:
    """The value at a number of calls, or else at the curve's largest, which orders the legend."""
    at = rows[rows["nfe"] == min(calls, rows["nfe"].max())]
    value = float(at["value"].iloc[0]) if len(at) else float("inf")
    return value if value == value else float("inf")


def _curve(
    ax: Axes, rows: pd.DataFrame, colour: str, mark: str, line: LineStyleType, label: str
) -> Line2D:
    """The line with marks of one schedule and solver; bars are standard errors."""
    rows = rows.sort_values("nfe")
    sampled = rows["error_kind"] == "standard"
    bars = pd.to_numeric(rows["error"]).where(sampled & rows["value"].notna())
    ax.errorbar(
        rows["nfe"],
        rows["value"],
        yerr=bars.fillna(0.0) if sampled.any() else None,
        color=colour,
        linestyle=line,
        linewidth=1.3,
        marker=mark,
        markersize=4.5,
        markerfacecolor="white" if sampled.any() else colour,
        markeredgewidth=0.6,
        capsize=2.0,
        label=label,
        gid=label,
    )
    return Line2D(
        [], [], color=colour, linestyle=line, marker=mark, markersize=4.5, linewidth=1.3,
        markerfacecolor="white" if sampled.any() else colour, label=label,
    )  # fmt: skip


def _title(rows: pd.DataFrame, calls: int) -> str:
    """What is best at that number of calls."""
    toy = _short(str(rows["toy"].iloc[0]))
    good = rows[(rows["nfe"] == calls) & rows["value"].notna()]
    if good.empty:
        return f"{toy}: no value at {calls} calls"
    best = good.sort_values("value").iloc[0]
    return (
        f"{toy}: {best['schedule']} with {best['solver']} is best at {calls} calls "
        f"({best['value']:.2g})"
    )


def _short(toy: str) -> str:
    return toy if len(toy) <= 40 else toy.rpartition("/")[2][:40]


def _caption(rows: pd.DataFrame) -> str:
    """The settings."""
    first = rows.iloc[0]
    spans = [
        f"{high:.3g} to {low:.3g}"
        for high, low in dict.fromkeys(zip(rows["sigma_max"], rows["sigma_min"], strict=True))
    ]
    many = f"from {rows['sigma_min'].min():.3g} to {rows['sigma_max'].max():.3g}, not all alike"
    parts = [
        f"Target {_short(str(first['toy']))}, {first['process']} process, terminal "
        f"{' and '.join(rows['terminal'].unique())}, start {first['start']}, noise levels "
        f"{' and '.join(spans) if len(spans) < 4 else many}."
    ]
    if (rows["error_kind"] == "standard").any():
        parts.append(
            "Open marks are Monte Carlo with standard errors; the bias of a kernel estimate is "
            "not known."
        )
    if (rows["error_kind"] == "exact").any():
        parts.append("Full marks are exact.")
    missing = int(rows["value"].isna().sum())
    if missing:
        parts.append(f"{missing} settings have no value, or an infinite one.")
    return " ".join(parts)
