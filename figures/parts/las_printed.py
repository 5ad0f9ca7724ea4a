"""The likelihoods that paper B prints for its mixtures, and a table of them beside ours.

The printed numbers are rows of benchmarks/published/B_tables.csv.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from figures.parts.printed import printed
from figures.parts.style import ALL_SCHEDULES, GREY, INK, SMALL, panel

PLACES = {"circle8": "circle", "grid8": "grid"}
SAMPLERS = {"stochastic_ddim": "stochastic DDIM", "sde_dpmpp_2m": "SDE-DPM++(2M)"}
PRINTED_SAMPLERS = {"DDIM (eta = 1)": "stochastic_ddim", "SDE-DPM++(2M)": "sde_dpmpp_2m"}
PRINTED_SCHEDULES = {"LAS": "las", "linear time": "vp_linear", "EDM (rho = 7)": "edm"}
COLUMNS = {5: 0.36, 7: 0.58, 10: 0.80}  # printed calls, and the left ends of their columns
WIDE, WORDS = 0.0655, ("paper", "ours", "difference")
FAR = 0.1  # nats; a larger difference from the paper is bold
Cases = dict[tuple[str, str], pd.DataFrame]  # rows by toy and sampler


def published() -> pd.DataFrame:
    """The printed likelihoods: toy, solver, schedule (our names), nfe and value."""
    read = printed("B")
    read = read[read["metric"] == "NLL"]
    return read.assign(
        toy=read["dataset"],
        solver=read["solver"].map(PRINTED_SAMPLERS),
        schedule=read["schedule"].map(PRINTED_SCHEDULES),
    )


def of_case(table: pd.DataFrame, toy: str, solver: str) -> pd.DataFrame:
    """Rows of one toy and sampler."""
    return table[(table["toy"] == toy) & (table["solver"] == solver)]


def draw_numbers(ax: Axes, cases: Cases, printed: pd.DataFrame) -> None:
    """The paper's value, ours and their difference for every printed cell."""
    panel(ax, f"NLL: the paper's tables and ours (bold: more than {FAR:g} nats apart)")
    ax.set_axis_off()
    text: dict[str, Any] = {"fontsize": SMALL, "color": INK, "va": "center", "ha": "right"}
    for n, left in COLUMNS.items():
        ax.text(left + 2 * WIDE, 0.0, f"NFE {n}", **text | {"ha": "center"})
        for j, word in enumerate(("paper", "ours", "diff."), 1):
            ax.text(left + j * WIDE, 1.0, word, **text | {"color": GREY})
    place = 2.0
    for (toy, solver), rows in cases.items():
        ax.axhline(place - 0.5, color="#d9d9d9", linewidth=0.6)
        ax.text(0.0, place, f"{PLACES[toy]}, {SAMPLERS[solver]}", **text | {"ha": "left"})
        for name in PRINTED_SCHEDULES.values():
            look = ALL_SCHEDULES[name]
            ax.plot([0.225], [place], look.marker, color=look.colour, markersize=4.5)
            ax.text(0.24, place, look.label, **text | {"ha": "left"})
            for n, left in COLUMNS.items():
                theirs = _cell(of_case(printed, toy, solver), name, n, "value")
                ours = _cell(rows, name, n, "nll")
                words = (three(theirs), three(ours), three(ours - theirs, "+"))
                for j, (word, what) in enumerate(zip(words, WORDS, strict=True), 1):
                    far = what == "difference" and abs(ours - theirs) > FAR
                    gid = f"{what} {toy} {solver} {name} {n}"
                    weight = "bold" if far else "normal"
                    ax.text(left + j * WIDE, place, word, gid=gid, fontweight=weight, **text)
            place += 1.0
    ax.set(xlim=(0.0, 1.0), ylim=(place - 0.4, -0.6))


def _cell(rows: pd.DataFrame, schedule: str, calls: int, column: str) -> float:
    """The value of this schedule and number of calls, or NaN."""
    return float(rows.loc[(rows["schedule"] == schedule) & (rows["nfe"] == calls), column].mean())


def three(value: float, sign: str = "") -> str:
    """The value to three decimals, as the paper prints it; a dash if it is not finite."""
    return f"{value:{sign}z.3f}".replace("-", "−") if np.isfinite(value) else "–"
