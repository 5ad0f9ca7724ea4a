"""Solvers as coloured cells: the winner at a number of calls, and orders of several, best first.

The printed FIDs of paper C's tables are rows of benchmarks/published/C_tables.csv.
"""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from figures.parts.printed import printed
from figures.parts.solver_looks import SOLVERS
from figures.parts.style import BLACK, BLUE, GREEN, INK, SMALL

CODES = {
    "ddim": "DD",
    "dpmpp_2m": "2M",
    "unipc_2": "U2",
    "unipc_3": "U3",
    "heun": "He",
    "deis_2": "D2",
    "deis_3": "D3",
    "re_single": "RS",
    "re_multi": "RM",
    "re_multi_2025": "R2",
    "evodiff": "EV",
}
# Printed names and the closest solvers here. The papers do not print UniPC's order.
PRINTED = {
    "DPM++": "dpmpp_2m",
    "UniPC": "unipc_2",
    "Heun": "heun",
    "RE": "re_multi",
    "EVODiff": "evodiff",
    "DPM-Solver-v3": "v3",
}
PAPERS = {"C-v1": "v1", "C-note": "2025"}
DARK = (BLACK, BLUE, GREEN)  # colours that need white letters
PITCH, WIDTH = 0.175, 0.16  # of the cells of an order, in columns
LABELS = 2.1  # width of the labels, in columns


def cell(
    ax: Axes,
    left: float,
    bottom: float,
    width: float,
    height: float,
    solver: str,
    gid: str,
    centre: float | None = None,
) -> None:
    """A filled box with a solver's code, in its middle unless `centre` is given."""
    colour = SOLVERS[solver].colour if solver in SOLVERS else "#cccccc"
    box = Rectangle((left, bottom), width, height, facecolor=colour, linewidth=0.0, gid=gid)
    ax.add_patch(box)
    ax.text(
        left + 0.5 * width if centre is None else centre,
        bottom + 0.47 * height,
        CODES.get(solver, solver),
        fontsize=SMALL - 1.0,
        color="white" if colour in DARK else INK,
        ha="center",
        va="center",
        gid=gid,
    )


def published() -> pd.DataFrame:
    """The printed FIDs: line (a name), solver (ours, or v3), calls and value."""
    read = printed("C", keep_default_na=False)
    read = read[(read["metric"] == "FID") & (read["table"] != "third-party re-run")]
    net = read["net"].str.split(",").str[0]
    line = read["dataset"] + ", " + net + " (" + read["paper"].map(PAPERS) + ")"
    return pd.DataFrame(
        {
            "line": line,
            "solver": read["solver"].map(PRINTED),
            "calls": read["nfe"].astype(int),
            "value": read["value"].astype(float),
        }
    )


def draw_orders(
    ax: Axes, calls: Sequence[int], blocks: Sequence[tuple[str, Sequence[tuple[str, pd.DataFrame]]]]
) -> None:
    """Lines of cells that order the solvers from best to worst at every number of calls.

    Args:
        ax: Axes to draw on.
        calls: Numbers of denoiser calls, one column each.
        blocks: Headings with their lines, each a label and rows of solver, calls and value.
    """
    text: dict[str, Any] = {"fontsize": SMALL, "color": INK, "va": "center"}
    for i, n in enumerate(calls):
        ax.text(i + 0.45, -0.5, f"NFE {n}", ha="center", **text)
        ax.axvline(i - 0.04, color="#d9d9d9", linewidth=0.5)
    place = 0.0
    for heading, lines in blocks:
        ax.text(-LABELS, place + 0.5, heading, fontweight="bold", **text)
        place += 1.0
        for label, rows in lines:
            ax.text(-0.08, place + 0.5, label, ha="right", **text)
            for i, n in enumerate(calls):
                _order(ax, rows[rows["calls"] == n], float(i), place, f"order {label} {n}")
            place += 1.0
    ax.set_xlim(-LABELS, float(len(calls)))
    ax.set_ylim(place, -1.0)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.spines[["top", "right", "left", "bottom"]].set_visible(False)


def _order(ax: Axes, rows: pd.DataFrame, left: float, bottom: float, gid: str) -> None:
    """One order; solvers of equal value are joined by a bar below."""
    before = None
    ordered = rows.sort_values(["value", "solver"])
    for k, (solver, value) in enumerate(zip(ordered["solver"], ordered["value"], strict=True)):
        at = left + PITCH * k
        cell(ax, at, bottom + 0.06, WIDTH, 0.8, str(solver), gid)
        if value == before:
            joined = [at - PITCH + 0.01, at + WIDTH - 0.01]
            ax.plot(joined, [bottom + 0.93] * 2, color=INK, linewidth=1.1, gid=f"tie {gid}")
        before = value


def firsts(lines: Sequence[tuple[str, pd.DataFrame]], solvers: Sequence[str]) -> tuple[int, int]:
    """In how many orders one of these solvers is first or tied for it, and the number of orders."""
    best = [
        rows.loc[rows["value"] == rows["value"].min(), "solver"].isin(solvers).any()
        for _, line in lines
        for _, rows in line.groupby("calls")
    ]
    return sum(best), len(best)
