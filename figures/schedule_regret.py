"""How far every schedule and published optimiser is from the best levels."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from figures.parts.solver_looks import SOLVERS
from figures.parts.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    TEXT,
    TITLE,
    VERMILION,
    captioned,
    known,
    new_figure,
    number,
    panel,
)

PANELS = 2  # solvers shown; the others are in the table of the documentation
ORDER = ("stochastic_ddim", "dpmpp_2m", "ddim", "heun", "unipc_2")
FROM = {
    "profile": ("blue: from a profile", BLUE),
    "data": ("red: from the data's denoiser", VERMILION),
    "nothing": ("grey: the same for all data", GREY),
}
METHODS = {
    "optimal": ("optimal", "profile"),
    "optimal_noisy": ("optimal, 1 % noise", "profile"),
    "law": ("law", "profile"),
    "las": ("LAS", "profile"),
    "arctan": ("arctan, c from the profile", "profile"),
    "entropic": ("entropic", "profile"),
    "rescaled": ("rescaled entropic", "profile"),
    "infogrid": ("InfoGrid", "profile"),
    "ays": ("Align Your Steps", "data"),
    "ays_converged": ("Align Your Steps, converged", "data"),
    "klub": ("KLUB minimum", "data"),
    "gits": ("GITS", "data"),
    "gits_dev": ("GITS, deviation", "data"),
    "oss": ("OptimalSteps", "data"),
    "dm_nonuniform": ("DM-NonUniform", "nothing"),
    "score_optimal": ("score-optimal", "data"),
    "tangent_law": ("tangent law", "data"),
    "sdm": ("SDM", "data"),
    "edm": ("EDM grid (ρ = 7)", "nothing"),
    "log_snr": ("log-SNR", "nothing"),
    "cosine": ("cosine", "nothing"),
    "vp_linear": ("linear time (VP)", "nothing"),
    "edm_linear": ("linear σ", "nothing"),
}
LOW, HIGH = 0.1, 0.9  # quantiles that a bar spans
FAR = 1e4  # times the least KL: the right end of the axes
LEFT_OUT = ("optimum",)  # 1 by definition


def draw(table: pd.DataFrame) -> Figure:
    """Median and range of KL over the least KL, one row per method."""
    table = table.assign(regret=_regret(table), error=pd.to_numeric(table["error"]))
    table = table[~table["schedule"].isin(LEFT_OUT) & (table["half"] == "report")]
    solvers = known(ORDER, table["solver"])
    names = known(tuple(METHODS), table["schedule"])
    shown = solvers[:PANELS]
    first = table[table["solver"] == shown[0]].dropna(subset="regret").groupby("schedule")["regret"]
    order = first.quantile(0.5, "lower")
    names.sort(key=lambda name: float(order.get(name, np.inf)))
    figure = new_figure(6.67, 6.4)
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0].tolist()
    for ax, solver in zip(axes, shown, strict=True):
        panel(ax, _label(solver), "KL / least KL, same calls")
        _rows(ax, table[table["solver"] == solver], names)
    axes[0].set_yticks(range(len(names)), [METHODS[name][0] for name in names], fontsize=TEXT)
    for tick, name in zip(axes[0].get_yticklabels(), names, strict=True):
        tick.set_color(FROM[METHODS[name][1]][1])
    axes[0].set_ylim(len(names) - 0.4, -0.6)
    figure.suptitle(_message(table, shown[0]), fontsize=TITLE, x=0.02, ha="left", color=INK)
    return captioned(figure, _words(table, shown))


def _regret(table: pd.DataFrame) -> pd.Series:
    """KL over the least KL: infinite where the KL is, NaN where one of them is unknown."""
    infinite = table["kl_data_model"].isna() & pd.to_numeric(table["error"]).notna()
    return pd.to_numeric(table["regret"]).mask(infinite, np.inf)


def _rows(ax: Axes, table: pd.DataFrame, names: list[str]) -> None:
    """Bar from the tenth to the ninetieth percentile with the median, per method."""
    ax.set_xscale("log")
    ax.set_xlim(0.9, FAR)
    for row, name in enumerate(names):
        found = table[table["schedule"] == name]["regret"].dropna()
        if found.empty:
            continue
        low, middle, high = np.minimum(_quantiles(found), 2.0 * FAR).tolist()
        colour = FROM[METHODS[name][1]][1]
        ax.plot([low, high], [row, row], color=colour, lw=1.6, gid=f"range {name}")
        ax.plot([middle], [row], "o", color=colour, ms=4.5, gid=f"median {name}")
        exact = float(_quantiles(found)[1])
        text = number(exact) if np.isfinite(exact) else "∞"
        right = min(high * 1.25, FAR)
        inside = right < FAR / 6.0
        ax.text(
            right if inside else min(low, FAR) / 1.25,
            row,
            text,
            fontsize=TEXT,
            color=colour,
            va="center",
            ha="left" if inside else "right",
            clip_on=True,
        )
    ax.axvline(1.0, color=ORANGE, lw=1.0)
    ax.grid(visible=False, axis="y")


def _quantiles(values: pd.Series) -> NDArray[np.float64]:
    """Tenth percentile, median and ninetieth percentile of values, which may be infinite."""
    ends = np.quantile(values, (LOW, HIGH), method="nearest")
    middle = np.quantile(values, 0.5, method="lower")
    return np.array([ends[0], middle, ends[1]])


def _label(solver: str) -> str:
    return SOLVERS[solver].label.partition("\n")[0]


def _message(table: pd.DataFrame, solver: str) -> str:
    """The finding in one sentence."""
    own = table[table["solver"] == solver]
    found = [
        number(float(_quantiles(own[own["schedule"] == name]["regret"].dropna())[1]))
        for name in ("optimal", "las", "edm")
    ]
    return (
        f"{_label(solver)}: levels from the profile alone cost {found[0]} times the least KL, "
        f"LAS {found[1]}, EDM's grid {found[2]}"
    )


def _calls(table: pd.DataFrame) -> str:
    return ", ".join(str(int(count)) for count in sorted(set(table["calls"])))


def _words(table: pd.DataFrame, shown: list[str]) -> str:
    """Setting and meaning."""
    counts = {name: _calls(table[table["solver"] == name]) for name in shown}
    calls = counts[shown[0]]
    for name in shown[1:]:
        calls += f" ({_label(name)}: {counts[name]})" if counts[name] != counts[shown[0]] else ""
    own = table[table["regret"].notna()]
    unknown = 1.0 - len(own) / len(table)
    return (
        f"{table['toy'].nunique()} mixtures that no rule was made on; {calls} network calls, σ "
        "from 80 to 0.002, exact KL. Dot and number: median; bar: the middle 80 %; "
        f"{', '.join(text for text, _ in FROM.values())}. Least KL: the least of several "
        "searches and of all these levels, per mixture, solver and count. Unknown: "
        f"{unknown:.1%} of values."
    )
