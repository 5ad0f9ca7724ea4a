"""Looks that every figure shares: colours, panels, captions under the picture.

Figures are plain Figure objects: no pyplot, no global state, no display.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import Literal

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, NullFormatter, NullLocator
from matplotlib.typing import LineStyleType

TITLE, TEXT, SMALL = 9.0, 8.0, 7.0  # font sizes, points
GREY, INK = "#6b6b6b", "#222222"
BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PURPLE = (  # the palette of Okabe and Ito
    "#000000",
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#0072b2",
    "#d55e00",
    "#cc79a7",
)
BROWN, WINE, VIOLET = "#6b3d12", "#882255", "#4b1fa8"  # distinct from those also for deuteranopes
NAVY, MAGENTA = "#1b2a6b", "#aa4499"  # likewise
POINTS_PER_INCH = 72.0
MARGIN = 0.12  # around the caption, inches
CHARACTER = 0.53  # mean width of DejaVu Sans's characters over the font size, rounded up
LEADING = 1.25  # line spacing of the caption over the font size


@dataclass(frozen=True)
class Look:
    """How one thing is drawn wherever it appears; it stays legible in grey."""

    label: str
    colour: str
    marker: str
    line: LineStyleType
    width: float = 1.3


SCHEDULES = {
    "standard": Look("standard time", BLACK, "o", (0, (1, 1))),
    "edm": Look("EDM grid (ρ = 7)", ORANGE, "X", (0, (6, 1.5, 1, 1.5))),
    "log_snr": Look("log-SNR", SKY, "v", (0, (4, 1.5))),
    "entropic": Look("entropic", BLUE, "s", "-"),
    "rescaled": Look("rescaled entropic", VERMILION, "D", (0, (7, 1.5))),
}
ALL_SCHEDULES = {  # by the names in theory.schedules.registry; las_0 is LAS with lambda 0
    "vp_linear": Look("linear time (VP)", BLACK, "o", (0, (1, 1))),
    "edm_linear": Look("linear σ", BROWN, ">", (0, (3, 1, 1, 1, 1, 1))),
    "edm": SCHEDULES["edm"],
    "log_snr": SCHEDULES["log_snr"],
    "cosine": Look("cosine", WINE, "^", (0, (2, 1.2))),
    "arctan": Look("arctan", VIOLET, "p", (0, (5, 1, 1, 1, 1, 1))),
    "entropic": SCHEDULES["entropic"],
    "rescaled": SCHEDULES["rescaled"],
    "las_0": Look("LAS, λ = 0", PURPLE, "P", (0, (3, 3))),
    "las": Look("LAS", GREEN, "*", "-", 2.0),
}
NETWORK_SCHEDULES = {  # those that need only a measured profile
    "edm": SCHEDULES["edm"],
    "log_snr": SCHEDULES["log_snr"],
    "rescaled": SCHEDULES["rescaled"],
    "spectral": Look("spectral rescaled", MAGENTA, "h", (0, (1.5, 1.5))),
    "las": ALL_SCHEDULES["las"],
    "infogrid": Look("InfoGrid", NAVY, "<", (0, (8, 1.5, 1, 1.5, 1, 1.5))),
}
TRAINING = {  # distributions of training noise, in the colours of similar schedules
    "log_uniform": Look("log-uniform", SKY, "v", (0, (4, 1.5))),
    "edm": Look("EDM log-normal", ORANGE, "X", (0, (6, 1.5, 1, 1.5))),
    "edm_transfer": Look("EDM and its weight", BROWN, ">", (0, (3, 1, 1, 1, 1, 1))),
    "uniform_time": Look("uniform VP time", BLACK, "o", (0, (1, 1))),
    "min_snr": Look("min-SNR", PURPLE, "P", (0, (3, 3))),
    "infonoise": Look("InfoNoise", BLUE, "*", "-", 2.0),
}
TARGETS = {  # of the training studies
    "points": "15 points",
    "mixture": "4 Gaussians",
    "digits": "digits",
    "binary-digits": "binary digits",
    "dna": "synthetic DNA",
}
TOYS = {
    "two_points": "2 points at −1 and 1",
    "points15": "15 points",
    "gaussians15_narrow": "15 Gaussians, std 0.02",
    "gaussians15_overlap": "15 Gaussians, std 0.2",
    "gaussian": "one Gaussian, std 1",
    "circle8": "8 Gaussians on a circle",
    "grid8": "8 Gaussians on a grid",
}
PROCESSES = {"vp": "VP", "edm": "EDM"}
NOISE_LABEL = "noise level σ (data units)"


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches."""
    return Figure(figsize=(width, height), dpi=100, layout="constrained", facecolor="white")


def panel(ax: Axes, title: str = "", x: str = "", y: str = "") -> None:
    """Title, labels, subtle grid and open frame of one panel."""
    ax.set_title(title, fontsize=TITLE, loc="left")
    ax.set_xlabel(x, fontsize=TEXT)
    ax.set_ylabel(y, fontsize=TEXT)
    ax.tick_params(which="both", labelsize=SMALL, color=GREY)
    ax.grid(visible=True, which="major", color="#d9d9d9", linewidth=0.5)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)


def count_axis(ax: Axes, counts: Sequence[int], air: float = 1.25) -> None:
    """Logarithmic x-axis of steps or calls, with ticks at these numbers."""
    ax.set_xscale("log")
    ax.set_xlim(counts[0] / air, counts[-1] * air)
    ax.xaxis.set_major_locator(FixedLocator(counts))
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.xaxis.set_minor_locator(NullLocator())


def curve(ax: Axes, x: pd.Series, y: pd.Series, look: Look, gid: str, size: float = 4.0) -> None:
    """A line with its marks, which breaks where y is NaN."""
    ax.plot(
        x,
        y,
        color=look.colour,
        linestyle=look.line,
        linewidth=look.width,
        marker=look.marker,
        markersize=1.6 * size if look.marker == "*" else size,
        markeredgewidth=0.4,
        markeredgecolor="white",
        zorder=3.5 if look.marker == "*" else 3.0,
        gid=gid,
    )


def decades(ax: Axes) -> None:
    """Logarithmic y-axis with powers of ten."""
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator())
    ax.yaxis.set_minor_formatter(NullFormatter())


def plain_ticks(ax: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic axis of about a decade, with plain numbers instead of powers."""
    ax.set(**{f"{which}scale": "log"})
    axis = ax.xaxis if which == "x" else ax.yaxis
    axis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 5.0, 7.0)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())


def lettered(axes: Sequence[Axes]) -> None:
    """Put (a), (b), ... before the titles of these panels."""
    for letter, ax in zip(ascii_lowercase, axes, strict=False):
        ax.set_title(f"({letter}) {ax.get_title(loc='left')}", fontsize=TITLE, loc="left")


def key(look: Look) -> Line2D:
    """Legend entry of a look."""
    return Line2D(
        [],
        [],
        color=look.colour,
        linestyle=look.line,
        marker=look.marker,
        markersize=5.0,
        linewidth=look.width,
        label=look.label,
    )


def shared_legend(figure: Figure, rows: Sequence[Sequence[Artist]], title: str = "") -> None:
    """One legend above all panels, row by row, under the figure's title if there is one."""
    columns = max(len(row) for row in rows)
    blank = Line2D([], [], linestyle="", label=" ")
    full = [[*row, *[blank] * (columns - len(row))] for row in rows]
    legend = figure.legend(
        # Matplotlib fills a legend column by column.
        handles=[row[c] for c in range(columns) for row in full],
        loc="outside upper center",
        ncols=columns,
        fontsize=TEXT,
        frameon=False,
        handlelength=3.0,
        columnspacing=1.8,
        alignment="left",
    )
    if title:
        legend.set_title(title, prop=FontProperties(size=TITLE))


def captioned(figure: Figure, *paragraphs: str) -> Figure:
    """Put wrapped text under the panels and fix the layout, as the last step; returns the figure.

    The layout engine starts from its last result. If it stayed on, every drawing would move the
    panels a little, and a figure saved twice would differ.
    """
    width, height = figure.get_size_inches().tolist()
    columns = int((width - 2 * MARGIN) * POINTS_PER_INCH / (CHARACTER * SMALL))
    text = "\n".join(textwrap.fill(part, columns) for part in paragraphs)
    lines = text.count("\n") + 1
    room = (lines * LEADING * SMALL / POINTS_PER_INCH + 2 * MARGIN) / height
    figure.text(
        MARGIN / width,
        MARGIN / height,
        text,
        fontsize=SMALL,
        color=INK,
        linespacing=LEADING,
        va="bottom",
        gid="caption",
    )
    engine = ConstrainedLayoutEngine(rect=(0.0, room, 1.0, 1.0 - room), w_pad=0.07, h_pad=0.05)
    figure.set_layout_engine(engine)
    engine.execute(figure)
    figure.set_layout_engine("none")
    for ax in figure.axes:  # the last bits of the layout vary from run to run
        ax.set_position(tuple(round(part, 6) for part in ax.get_position(original=True).bounds))
        ax.set_in_layout(True)  # setting a position excludes it
    return figure


def caption_text(figure: Figure) -> str:
    """The caption as one line."""
    texts = [text.get_text() for text in figure.texts if text.get_gid() == "caption"]
    return " ".join(" ".join(texts).split())


def known(names: Sequence[str], column: pd.Series) -> list[str]:
    """The names that occur in a column, in the order given; ValueError for any other value."""
    present = set(column)
    for other in sorted(present.difference(names)):
        raise ValueError(f"{column.name} must be one of {', '.join(names)}, got {other}")
    return [name for name in names if name in present]


def toy_label(toy: str) -> str:
    """How a target is called: one of TOYS by its label, a user's mixture by the end of its name."""
    return TOYS.get(toy, toy.replace("\\", "/").rpartition("/")[2][:32])


def toys_in(column: pd.Series, first: Iterable[str] = TOYS) -> list[str]:
    """The targets of a column, those named first in their order and then the others."""
    present = list(dict.fromkeys(column.dropna()))
    ordered = [toy for toy in first if toy in present]
    return ordered + [toy for toy in present if toy not in ordered]


def number(value: float) -> str:
    """The value to three significant figures, powers of ten as in print: 0.0105, 152, 10⁻⁶."""
    text = f"{value:.3g}"
    if "e" not in text:
        return text
    digits, power = text.split("e")
    raised = f"10{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return raised if digits == "1" else f"{digits}·{raised}"
