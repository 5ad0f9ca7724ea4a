"""Paper B's two tables on mixtures: its likelihoods, ours, and what the likelihood measures."""

import itertools

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import SubplotSpec
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from figures.parts.las_printed import PLACES, SAMPLERS, Cases, draw_numbers, of_case, published
from figures.parts.style import (
    ALL_SCHEDULES,
    GREY,
    INK,
    TEXT,
    captioned,
    count_axis,
    curve,
    decades,
    key,
    known,
    lettered,
    new_figure,
    number,
    panel,
    plain_ticks,
    shared_legend,
)

SCHEDULES = ("vp_linear", "edm", "log_snr", "entropic", "rescaled", "las")
LOWERED = 15  # from this many steps on, 2M's last step is of second order, as in common code
BELOW = "#ececec"
VALUES = ("nll", "kl_data_model")
NUMBERS = (*VALUES, "kl_model_data", "within_std", "x", "y")


def draw(table: pd.DataFrame) -> Figure:
    """Likelihoods, divergences, samples, the printed numbers beside ours, and widths of modes."""
    table = table.assign(**{name: pd.to_numeric(table[name]) for name in NUMBERS})
    study, points = table[table["kind"] == "sampler"], table[table["kind"] != "sampler"]
    names = known(SCHEDULES, study["schedule"])
    solvers = known(list(SAMPLERS), study["solver"])
    pairs = itertools.product(known(list(PLACES), study["toy"]), solvers)
    cases = {case: of_case(study, *case).sort_values("nfe") for case in pairs}
    printed = published()
    toys = known(list(PLACES), points["toy"])
    heights = [2.5, 2.5, 1.62 * len(toys), 0.65 + 0.165 * (2 + 3 * len(cases))]
    figure = new_figure(12.0, sum(heights) + 2.9)
    spec = figure.add_gridspec(3, 1, height_ratios=[sum(heights[:2]), *heights[2:]])
    lines, kls = (
        spec[0].subgridspec(2, len(cases)).subplots(sharex=True, sharey="row", squeeze=False)
    )
    for ax, other, (case, rows) in zip(lines, kls, cases.items(), strict=True):
        panel(ax, f"{PLACES[case[0]]}, {SAMPLERS[case[1]]}", y="NLL under the true mixture (nats)")
        _likelihoods(ax, rows, of_case(printed, *case))
        panel(other, "", "denoiser calls (NFE)", "KL of blurred laws (nats)")
        _divergences(other, rows)
        for both in (ax, other):
            both.label_outer()
    printed = printed[printed["toy"].isin(set(study["toy"]))]
    values = pd.concat([study["nll"], study["nll_data"], printed["value"]])
    lines[0].set_ylim(0.9 * values.min(), 1.1 * values.max())
    firsts = _samples(figure, spec[1], points, toys, names)
    low = spec[2].subgridspec(1, 2, width_ratios=[2.2, 1.0])
    left, right = (figure.add_subplot(part) for part in (low[0], low[1]))
    draw_numbers(left, cases, printed)
    _widths(right, cases)
    lettered([*lines, *kls, *firsts, left, right])
    shared_legend(figure, [[key(ALL_SCHEDULES[name]) for name in names], _meanings()])
    return captioned(figure, *_settings(study, points))


def _likelihoods(ax: Axes, rows: pd.DataFrame, theirs: pd.DataFrame) -> None:
    """Our values as lines, the printed ones as marks; grey below the data law's own NLL."""
    _call_axis(ax, rows)
    plain_ticks(ax, "y")
    for name, mine in rows.groupby("schedule"):
        curve(ax, mine["nfe"], mine["nll"], ALL_SCHEDULES[str(name)], f"nll {name}")
    for name, mine in theirs.groupby("schedule"):
        look = ALL_SCHEDULES[str(name)]
        ax.plot(
            mine["nfe"],
            mine["value"],
            look.marker,
            markersize=10.5 if look.marker == "*" else 7.5,
            markerfacecolor="none",
            markeredgecolor=look.colour,
            zorder=4.0,
            gid=f"printed {name}",
        )
    floor = float(rows["nll_data"].iloc[0])
    ax.axhline(floor, color=INK, linewidth=1.0, zorder=2.5, gid="data")
    ax.axhspan(0.01, floor, color=BELOW, linewidth=0.0, zorder=0.5)


def _divergences(ax: Axes, rows: pd.DataFrame) -> None:
    """KL(data || sampler) with marks, KL(sampler || data) as thin lines without them."""
    _call_axis(ax, rows)
    decades(ax)
    for name, mine in rows.groupby("schedule"):
        look = ALL_SCHEDULES[str(name)]
        curve(ax, mine["nfe"], mine["kl_data_model"], look, f"forward {name}")
        (thin,) = ax.plot(mine["nfe"], mine["kl_model_data"], color=look.colour, linewidth=0.6)
        thin.set(gid=f"backward {name}", zorder=2.2)


def _call_axis(ax: Axes, rows: pd.DataFrame) -> None:
    calls = sorted(set(rows["nfe"]))
    count_axis(ax, calls)
    if set(rows["solver"]) == {"sde_dpmpp_2m"} and calls[0] < LOWERED < calls[-1]:
        ax.axvline(LOWERED, color=GREY, linewidth=0.9, linestyle=":", gid="lowered")


def _samples(
    figure: Figure, spec: SubplotSpec, points: pd.DataFrame, toys: list[str], names: list[str]
) -> list[Axes]:
    """Square panels of points for the data and each schedule; returns the first of every row."""
    columns = ["data", *known(names, points["schedule"][points["kind"] == "sample"])]
    axes = spec.subgridspec(len(toys), len(columns)).subplots(squeeze=False)
    for row, toy in zip(axes, toys, strict=True):
        mine = points[points["toy"] == toy].sort_values(["x", "y"])
        edge = 1.06 * float(mine[["x", "y"]].abs().to_numpy().max())
        for ax, name in zip(row, columns, strict=True):
            label = "data" if name == "data" else ALL_SCHEDULES[name].label
            panel(ax, label if toy == toys[0] else "", "x (data units)" if toy == toys[-1] else "")
            rows = mine[mine["schedule"] == name]
            ax.scatter(
                rows["x"],
                rows["y"],
                s=1.2,
                color=INK if name == "data" else ALL_SCHEDULES[name].colour,
                linewidths=0.0,
                rasterized=True,
                gid=f"points {toy} {name}",
            )
            ax.set(xlim=(-edge, edge), ylim=(-edge, edge), aspect="equal")
            ax.set(xticks=(-4, 0, 4) if edge > 4 else (-3, 0, 3))
            ax.set(yticks=ax.get_xticks())
            ax.tick_params(labelleft=name == "data")
        row[0].set_ylabel(f"{PLACES[toy]}\ny (data units)", fontsize=TEXT)
    return list(axes[:, 0])


def _widths(ax: Axes, cases: Cases) -> None:
    """NLL against the width of the modes for all rows, and the curve if only the width mattered."""
    panel(ax, "NLL follows the width of the modes", "std within modes / data's", "NLL (nats)")
    rows = pd.concat(cases)
    for (name, solver), mine in rows.groupby(["schedule", "solver"]):
        look = ALL_SCHEDULES[str(name)]
        ax.plot(
            mine["within_std"],
            mine["nll"],
            look.marker,
            markersize=5.5 if look.marker == "*" else 3.6,
            markerfacecolor=look.colour if solver == "stochastic_ddim" else "none",
            markeredgecolor=look.colour,
            markeredgewidth=0.7,
            gid=f"width {name} {solver}",
        )
    floor = float(rows["nll_data"].mean())
    std = np.geomspace(0.9 * rows["within_std"].min(), 1.1 * rows["within_std"].max(), 100)
    ax.plot(std, floor + std**2 - 1.0, color=INK, linewidth=0.8, zorder=1.5, gid="guide")
    ax.plot([1.0], [floor], "+", color=INK, markersize=14.0, zorder=5.0, gid="truth")
    plain_ticks(ax, "x")
    plain_ticks(ax, "y")
    low = 0.9 * rows["nll"].min()
    ax.set(xlim=(std[0], std[-1]), ylim=(low, 1.1 * rows["nll"].max()))
    ax.axhspan(low, floor, color=BELOW, linewidth=0.0, zorder=0.5)


def _meanings() -> list[Artist]:
    """Legend entries of lines, areas and marks."""

    def entry(text: str, marker: str, line: str, width: float = 1.0, size: float = 4.0) -> Line2D:
        look = {"marker": marker, "linestyle": line, "linewidth": width, "markersize": size}
        return Line2D([], [], color=INK, label=text, **look)  # type: ignore[arg-type]

    printed = entry("printed by paper B", "o", "", size=7.0)
    printed.set_markerfacecolor("none")
    return [
        printed,
        entry("NLL of data", "", "-"),
        Patch(color=BELOW, label="below the NLL of data"),
        entry("KL(data ‖ sampler)", "o", "-", 1.3),
        entry("KL(sampler ‖ data)", "", "-", 0.6),
        entry("2M: last step not of 1st order", "", ":"),
    ]


def _settings(study: pd.DataFrame, points: pd.DataFrame) -> list[str]:
    """The caption: the settings, those that are inferred, and the results, read from the table."""
    first = study.iloc[0]
    calls = ", ".join(str(int(n)) for n in sorted(set(study["nfe"])))
    ends = f"{number(study['sigma_max'].max())} to {number(study['sigma_min'].min())}"
    paths = " to ".join(number(n) for n in (study["paths"].min(), study["paths"].max()))
    errors = [study[name].max() for name in ("nll_stderr", "kl_data_model_stderr")]
    shown = len(points) // max(1, points.groupby(["toy", "schedule"]).ngroups)
    shown_calls = "–".join(f"{n:g}" for n in sorted(set(points["nfe"])))
    lost = int(study["kl_model_data"].isna().sum())
    setting = (
        f"Exact denoiser, {first['process'].upper()} process, σ {ends}, start N(0, I) in VP "
        f"coordinates, terminal policy: {first['terminal']}, N = NFE = {calls} steps; all "
        f"schedules share the ends. NLL: −E log p of the sampler's output, with a standard error "
        f"of at most {number(errors[0])} ({paths} paths, seed {int(first['seed'])}; error bars "
        f"would be smaller than the marks). KL: both laws are blurred by N(0, {first['blur']:g}² "
        "I), which bounds the KL of the laws themselves from below; from the same paths, standard "
        f"error at most {number(errors[1])}"
        f"{f'; missing values of thin lines: {lost} (samples off the histogram)' if lost else ''}. "
        f"Points: {shown} samples of stochastic DDIM after "
        f"{shown_calls} calls."
    )
    inferred = (
        "The paper's text does not give the settings. We inferred the following settings because "
        "they reproduce its numbers: std 0.25; circle of radius 4, 3 × 3 grid of spacing 3 without "
        "its centre; mildly unequal weights; β 0.1 to 20, t in [10⁻³, 1], stop at σ(10⁻³); LAS "
        "with λ = 1/16 over 1000 candidates uniform in t, for both samplers; and which table "
        "belongs to which target. Agreement cannot show that these are the paper's own."
    )
    gap = study["nll"] - study["nll_data"] - study["within_std"] ** 2 + 1.0
    groups = [group for _, group in study.groupby(["toy", "solver", "nfe"])]
    winners = [[g.sort_values(by)["schedule"].iloc[0] for by in VALUES] for g in groups]
    parted = sum(one != other for one, other in winners)
    best = study.sort_values("nll").iloc[0]
    message = (
        "A lower NLL is not always better: below the NLL of the data's own law (grey), the sampler "
        "has made the modes narrower than those of the data. Last panel (filled: stochastic DDIM, "
        "hollow: 2M, +: data): with s the std within modes over the data's, NLL = NLL of data + "
        f"s² − 1 (curve) holds to within {number(gap.abs().max())} nats for all {len(study)} rows. "
        f"The lowest NLL, {best['nll']:.3f}, has s = {best['within_std']:.2f}. The lowest NLL and "
        "the lowest KL(data ‖ sampler) belong to different schedules in "
        f"{parted} of {len(groups)} cases. From {LOWERED} steps on (dotted line) the last step of "
        "2M is no longer of first order, as in common code, so that LAS, linear and rescaled, "
        "whose last step is long, rise at NFE 20."
    )
    return [setting, inferred, message]
