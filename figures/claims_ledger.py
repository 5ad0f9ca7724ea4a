"""The ledger of claims on one page: every claim, its verdict and the measured number."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from figures.parts.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SMALL,
    VERMILION,
    Look,
    captioned,
    known,
    new_figure,
    panel,
)

VERDICTS = {
    "holds": Look("holds", BLUE, "o", "-"),
    "holds_as_corrected": Look("holds as corrected", ORANGE, "D", "-"),
    "fails": Look("fails", VERMILION, "X", "-"),
    "needs_data": Look("needs published files", GREY, "s", "-"),
}
KINDS = ("identity", "inequality", "optimality", "order", "empirical")
PAPERS = {
    "A": "Paper A: entropic time",
    "B": "Paper B: bounds, loss-adaptive schedules",
    "C": "Paper C: entropy-reducing iterations",
    "D": "Paper D: InfoNoise",
}
DIGITS = 16.0
LEAST_BAR = 0.5  # digits; a shorter bar is too small to see, so the number is printed
ROW = 0.148  # height of one claim's line, inches
ID_SIZE = 6.0


def draw(table: pd.DataFrame) -> Figure:
    """One column per paper, one line per claim, sorted by `place`; bars: digits of identities."""
    known(list(VERDICTS), table["verdict"])
    known(KINDS, table["kind"])
    papers = known(list(PAPERS), table["paper"])
    table = table.sort_values("place")
    table = table.assign(place=table.groupby("paper").cumcount())
    most = int(table["paper"].value_counts().max())
    figure = new_figure(4.0 * len(papers), ROW * most + 1.6)
    axes = figure.subplots(1, len(papers), squeeze=False)[0]
    for ax, paper in zip(axes, papers, strict=True):
        _column(ax, PAPERS[paper], table[table["paper"] == paper], most)
    entries = [_mark(look) for name, look in VERDICTS.items() if name in set(table["verdict"])]
    figure.legend(
        handles=entries,
        loc="outside upper center",
        ncols=len(entries),
        fontsize=SMALL,
        frameon=False,
    )
    counts = table["verdict"].value_counts()
    said = ", ".join(
        f"{look.label} {counts[name]}" for name, look in VERDICTS.items() if name in counts
    )
    cases = int(table["cases"].sum())
    return captioned(
        figure,
        f"{len(table)} statements of the four papers: {said}. Bars: digits to which the two sides "
        "of an identity, as printed, agree in the worst case (−log₁₀ of the relative difference); "
        "dotted line: the 9 digits required. Numbers: for inequalities (left − right) / larger "
        "side, for optima the share by which the best competitor improves, for orders the distance "
        "of the fitted from the claimed order, for empirical statements the share of settings that "
        "disagree or, for printed scores, a ratio minus 1; where a side is sampled, in standard "
        f"errors. {cases} cases: the papers’ own targets and random mixtures, in 1-D of 1 to 12 "
        "components, std 0 to 1, σ 10⁻³ to 10³. The process, solver, number of steps and terminal "
        "policy are set only where a statement names them.",
    )


def _mark(look: Look) -> Line2D:
    """Legend entry of a verdict."""
    return Line2D([], [], color=look.colour, marker=look.marker, linestyle="none", markersize=5.0,
                  label=look.label)  # fmt: skip


def _column(ax: Axes, title: str, rows: pd.DataFrame, most: int) -> None:
    """One paper's claims, in order from the top."""
    panel(ax, f"{title} ({len(rows)})", "digits (identities)", "")
    ax.grid(visible=False)
    place = rows["place"].to_numpy(float)
    value = pd.to_numeric(rows["value"]).to_numpy(float)
    with np.errstate(divide="ignore"):
        digits = np.clip(-np.log10(np.maximum(np.abs(value), 1e-300)), 0.0, DIGITS)
    identity = (rows["kind"] == "identity").to_numpy() & (rows["made_of"].str[:1] != "4").to_numpy()
    colours = [VERDICTS[name].colour for name in rows["verdict"]]
    ax.barh(
        place[identity], digits[identity], height=0.55, alpha=0.45, gid="digits",
        color=[c for c, is_one in zip(colours, identity, strict=True) if is_one],
    )  # fmt: skip
    ax.axvline(9.0, color=GREY, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=0.5)
    has_bar = identity & (digits >= LEAST_BAR)
    for y, amount, is_bar, kind, name in zip(
        place, value, has_bar, rows["kind"], rows["verdict"], strict=True
    ):
        look = VERDICTS[name]
        ax.plot([-0.55], [y], color=look.colour, marker=look.marker, markersize=4.4,
                linestyle="none", clip_on=False, gid=f"verdict {name}")  # fmt: skip
        if not is_bar:
            ax.text(0.3, y, f"{kind}: {_amount(amount)}", fontsize=ID_SIZE, va="center", color=INK)
    ax.set_xlim(-1.1, DIGITS)
    ax.set_ylim(most - 0.4, -0.6)
    ax.xaxis.set_major_locator(FixedLocator([0, 3, 6, 9, 12, 15]))
    ax.yaxis.set_major_locator(FixedLocator(place.tolist()))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_yticklabels(list(rows["id"]), fontsize=ID_SIZE)
    ax.tick_params(axis="y", length=0.0)


def _amount(value: float) -> str:
    """The value with two significant figures and a true minus sign."""
    return f"{value:.2g}".replace("-", "−")
