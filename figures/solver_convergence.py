"""Error of every solver against its denoiser calls: one row per target, one column per family."""

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from figures.parts.solver_looks import SOLVERS, names
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
    toy_label,
    toys_in,
)

FAMILIES = {
    "(a) DDIM and DPM-Solver++": ("ddim", "dpmpp_2m", "dpmpp_3m", "dpmpp_3m corrected=True"),
    "(b) other multistep": (
        "unipc_1",
        "unipc_2",
        "unipc_3",
        "deis_1",
        "deis_2",
        "deis_3",
        "ab_2",
    ),
    "(c) two calls per step": ("heun", "dpm_solver_2", "fd_2", "re_single"),
    "(d) paper C, one call per step": (
        "re_multi",
        "re_multi_2025",
        "evodiff",
        "evodiff special_last=False",
    ),
    "(e) with noise: weak error": (
        "stochastic_ddim",
        "sde_dpmpp_2m",
        "edm_stochastic s_noise=1.0",
        "edm_stochastic s_noise=1.003",
    ),
}
WEAK = "(e) with noise: weak error"
TARGETS = ("gaussian", "two_points", "gaussians15_overlap", "circle8")
CONTEXT = "#dddddd"  # colour of the other columns' solvers
BAND = 0.1  # share of a panel's height, at its top, for solvers that lose paths
CALLS = (3.2, 680.0)  # limits of the axis of calls
TICKS = (4, 16, 64, 256)
SURE = 2.0  # standard errors; a smaller Monte Carlo error is not distinguished from 0
FAN = 4.0  # ratio of calls that a guide line spans


def draw(table: pd.DataFrame) -> Figure:
    """Panels of strong errors share their row's axis; weak errors have their own, on the right."""
    # A column that holds only nulls is read as objects.
    table = table.assign(
        name=names(table),
        value=pd.to_numeric(table["value"]),
        stderr=pd.to_numeric(table["stderr"]),
    )
    known(list(SOLVERS), table["name"])
    toys = toys_in(table["toy"], TARGETS)
    figure = new_figure(12.0, 2.2 + 2.15 * len(toys))
    grid = figure.add_gridspec(
        len(toys) + 1, len(FAMILIES), height_ratios=[0.4] + [1.0] * len(toys)
    )
    for j, (family, members) in enumerate(FAMILIES.items()):
        _legend(figure.add_subplot(grid[0, j]), family, members)
    for i, toy in enumerate(toys):
        rows = table[table["toy"] == toy]
        first = figure.add_subplot(grid[i + 1, 0])
        for j, (family, members) in enumerate(FAMILIES.items()):
            share = None if family == WEAK else first
            ax = first if j == 0 else figure.add_subplot(grid[i + 1, j], sharey=share)
            panel(ax)
            if family == WEAK:
                _weak(ax, rows[rows["metric"] == "moment"])
            else:
                _strong(ax, rows[rows["metric"] == "path_rms"], members)
                ax.tick_params(labelleft=j == 0)
            ax.tick_params(labelbottom=toy == toys[-1])
            if toy == toys[-1]:
                ax.set_xlabel("denoiser calls (NFE)", fontsize=TEXT)
        first.set_ylabel(f"{toy_label(toy)}\nRMS distance (data units)", fontsize=TEXT)
    return captioned(figure, *_settings(table))


def _legend(ax: Axes, family: str, members: tuple[str, ...]) -> None:
    """The heading of a column: its family and its solvers."""
    ax.axis("off")
    ax.set_title(family, fontsize=TITLE, loc="left")
    ax.legend(
        handles=[key(SOLVERS[name]) for name in members],
        loc="upper left",
        bbox_to_anchor=(-0.04, 1.06),
        fontsize=SMALL,
        frameon=False,
        handlelength=2.6,
        labelspacing=0.25,
        borderaxespad=0.0,
    )


def _scales(ax: Axes, values: pd.Series, lost: bool = False) -> tuple[float, float]:
    """Logarithmic axes around the positive values, with a band above them if any path is lost."""
    values = values[values > 0]
    low, high = (values.min() / 3.0, values.max() * 3.0) if len(values) else (1e-3, 1.0)
    top = high * (high / low) ** (BAND / (1.0 - BAND)) if lost else high
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xlim(*CALLS)
    ax.set_ylim(low, top)
    ax.xaxis.set_major_locator(FixedLocator(TICKS))
    ax.xaxis.set_major_formatter("{x:.0f}")
    ax.xaxis.set_minor_locator(NullLocator())
    powers = range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1)
    every = 2 if len(powers) > 6 else 1
    ticks = {10.0**power: f"$10^{{{power}}}$" for power in powers if power % every == 0}
    if lost:
        ax.axhspan(high, top, color="#efefef", linewidth=0.0, gid="band")
        ticks[math.sqrt(high * top)] = "lost"
    ax.set_yticks(list(ticks), list(ticks.values()))
    ax.yaxis.set_minor_locator(NullLocator())
    return low, high


def _strong(ax: Axes, rows: pd.DataFrame, members: tuple[str, ...]) -> None:
    """A family's lines over those of the others, with a cross in the band where paths are lost."""
    low, high = _scales(ax, rows["value"], bool(rows["value"].isna().any()))
    for name in SOLVERS:
        mine, look = rows[rows["name"] == name].sort_values("nfe"), SOLVERS[name]
        if name not in members:
            ax.plot(mine["nfe"], mine["value"], color=CONTEXT, linewidth=0.7, zorder=1.0)
            continue
        ax.plot(
            mine["nfe"],
            mine["value"],
            color=look.colour,
            linestyle=look.line,
            linewidth=look.width,
            marker=look.marker,
            markersize=5.0 if look.marker == "*" else 3.2,
            markeredgewidth=0.6,
            zorder=3.0,
            gid=f"error {name}",
        )
        lost = mine[mine["value"].isna()]
        if len(lost):
            ax.plot(
                lost["nfe"],
                # Offset: the released and the plain EVODiff lose paths at neighbouring calls.
                [1.0 - (0.3 if look.line == "-" else 0.7) * BAND] * len(lost),
                "x",
                transform=ax.get_xaxis_transform(),
                color=look.colour,
                markersize=4.0,
                gid=f"lost {name}",
            )
    _slopes(ax, 4.4, low * (high / low) ** 0.4, (1, 2, 3, 4))


def _slopes(ax: Axes, x: float, y: float, orders: tuple[int, ...]) -> None:
    """Guide lines that fall like the powers -1, -2, ... of the calls, from one point."""
    for order in orders:
        end = y * FAN**-order
        ax.plot([x, FAN * x], [y, end], color=GREY, linewidth=0.6, zorder=2.0, gid="slope")
        ax.text(
            1.08 * FAN * x,
            end,
            f"{order}",
            fontsize=SMALL - 1.5,
            color=GREY,
            va="center",
            clip_on=True,
        )


def _weak(ax: Axes, rows: pd.DataFrame) -> None:
    """Exact lines and Monte Carlo marks with error bars; hollow where the error is within noise."""
    ax.yaxis.tick_right()
    ax.yaxis.set_label_position("right")
    ax.set_ylabel("relative error of E |x|²", fontsize=TEXT)
    ax.spines["left"].set_visible(False)
    ax.spines["right"].set(visible=True, color=GREY)
    low, high = _scales(ax, rows["value"])
    for name in FAMILIES[WEAK]:
        look, mine = SOLVERS[name], rows[rows["name"] == name].sort_values("nfe")
        exact, sampled = mine[mine["paths"] == 0], mine[mine["paths"] > 0]
        style: dict[str, Any] = {"color": look.colour, "linewidth": look.width}
        ax.plot(exact["nfe"], exact["value"], linestyle=look.line, gid=f"exact {name}", **style)
        bars = ax.errorbar(
            sampled["nfe"],
            sampled["value"],
            yerr=sampled["stderr"],
            fmt="none",
            ecolor=look.colour,
            elinewidth=0.8,
            capsize=1.5,
        )
        bars[2][0].set_gid(f"stderr {name}")
        sure = sampled["value"] > SURE * sampled["stderr"]
        for part, gid in ((sampled[sure], "sampled"), (sampled[~sure], "unsure")):
            ax.plot(
                part["nfe"],
                part["value"],
                look.marker,
                color=look.colour,
                markerfacecolor=look.colour if gid == "sampled" else "white",
                markersize=3.6,
                markeredgewidth=0.7,
                zorder=3.0,
                gid=f"{gid} {name}",
            )
    _slopes(ax, 96.0, low * (high / low) ** 0.94, (1, 2))


def _settings(table: pd.DataFrame) -> list[str]:
    """The caption: the settings, read from the table."""
    strong, weak = table[table["metric"] == "path_rms"], table[table["metric"] == "moment"]
    first = table.iloc[0]
    setting = (
        f"Every solver on the {first['schedule'].replace('log_snr', 'log-SNR')} grid of the "
        f"{first['process'].upper()} process, σ {number(table['sigma_max'].max())} to "
        f"{number(table['sigma_min'].min())}, terminal policy: {first['terminal']}, exact "
        f"denoiser, N = {table['n_steps'].min()} to {table['n_steps'].max()} steps, NFE "
        f"{table['nfe'].min()} to {table['nfe'].max()}. Fans of grey lines: slopes −1, −2, ... "
        "Light grey in (a)-(d): the solvers of the other columns."
        + (
            " The targets (rows) lie on the line, except the circle, which lies in the plane."
            if set(table["toy"]) <= set(TOYS)
            else ""
        )
    )
    paths = strong.iloc[0]
    distance = (
        f"(a)-(d) strong error: root mean square over {int(paths['paths'])} starts from "
        f"N(0, {number(paths['sigma_max'])}²) (seed {int(paths['seed'])}, the same for all) of the "
        "distance between the solver's end and that of the probability flow, solved to 10⁻¹². "
        "The table gives its standard error over starts and the median. A start near a boundary "
        "between components may end at a different component from the one that the flow takes it "
        "to: a single such path keeps the RMS high, and the RMS drops sharply once that path ends "
        "at the right component. Other dips are changes of sign."
    )
    lost = strong[strong["value"].isna()]
    if len(lost):
        who = " and ".join(dict.fromkeys(SOLVERS[name].label for name in sorted(set(lost["name"]))))
        distance += (
            f" Crosses in the band “lost”: {who}, where at least one path overflows or ends more "
            "than 10³ from its place (reasons in the table). The released last step, which shrinks "
            "the state, keeps EVODiff's error from falling on one Gaussian."
        )
    exact, sampled = weak[weak["paths"] == 0], weak[weak["paths"] > 0]
    moment = (
        "(e) weak error: |E |x|² of the sampler / true value − 1| from the true law at the highest "
        f"σ. Lines: exact ({', '.join(sorted(set(exact['method'])))}), where there is such a law"
    )
    if len(sampled):
        one = sampled.iloc[0]
        moment += (
            f"; marks: Monte Carlo, {int(one['paths'])} paths, seed {int(one['seed'])}, bars: "
            f"± one standard error; hollow: within {SURE:g} standard errors of 0, that is, noise"
        )
    return [setting, distance, moment + ". EDM churn makes two calls per step, with S_churn = 40."]
