"""Paper B's bound, the pathwise KL, against the KL of the terminal laws; both are exact."""

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.typing import LineStyleType

from figures.parts.style import (
    ALL_SCHEDULES,
    GREEN,
    GREY,
    INK,
    SMALL,
    TOYS,
    Look,
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
    toy_label,
)

SCHEDULES = ("edm", "log_snr", "entropic", "rescaled", "las_0", "las")
FOLLOWED = ("las_0", "log_snr", "rescaled", "las")
BOUND, EXACT = "pathwise_kl", "kl_data_model"
BOUND_LABEL, EXACT_LABEL = "pathwise KL (nats)", "KL(data ‖ sampler) (nats)"
GREENS = ("#7ccfb4", GREEN, "#00402e")  # colours of LAS with few, more and many steps
SLACK = "#e6e6e6"
LEAST = 1e-4  # nats, the least lower end of the KL axes over levels


def draw(table: pd.DataFrame) -> Figure:
    """Bound and exact KL over steps, along the levels of some schedules, and over lambda."""
    table = table.assign(**{name: pd.to_numeric(table[name]) for name in (BOUND, EXACT, "lambda")})
    names = known(SCHEDULES, table["schedule"])
    steps, levels, lambdas = (table[table["kind"] == k] for k in ("steps", "level", "lambda"))
    followed = [name for name in FOLLOWED if name in set(levels["schedule"])]
    figure = new_figure(12.0, 10.2)
    spec = figure.add_gridspec(3, 1, height_ratios=[1.1, 1.0, 1.0])
    top = list(spec[0].subgridspec(1, 3).subplots(squeeze=False)[0])
    _over_steps(top, steps)
    row = spec[1].subgridspec(1, len(followed))
    middle = row.subplots(sharex=True, sharey=True, squeeze=False)[0]
    for ax, name in zip(middle, followed, strict=True):
        _along(ax, levels[levels["schedule"] == name].sort_values("n_steps"), name)
        ax.label_outer()
    values = levels.loc[levels["schedule"].isin(followed), [BOUND, EXACT]].to_numpy()
    middle[0].set_ylim(max(LEAST, 0.5 * np.nanmin(values)), 3.0 * np.nanmax(values))
    bottom = list(spec[2].subgridspec(1, 3).subplots(squeeze=False)[0])
    _over_lambda(bottom, lambdas)
    lettered([*top, *middle, *bottom])
    shared_legend(figure, [[key(ALL_SCHEDULES[name]) for name in names], _meanings()])
    return captioned(figure, *_settings(table, steps, lambdas))


def _over_steps(axes: list[Axes], rows: pd.DataFrame) -> None:
    """The bound, the exact KL on the same scale, and the ratio of the two."""
    counts = sorted(set(rows["n_steps"]))
    panel(axes[0], "the bound: KL of the paths", "steps N (= denoiser calls)", BOUND_LABEL)
    panel(axes[1], "exact KL of the final laws", "steps N (= denoiser calls)", EXACT_LABEL)
    panel(axes[2], "bound / exact KL", "steps N (= denoiser calls)", "ratio")
    for ax in axes:
        count_axis(ax, counts)
        decades(ax)
    for name, mine in rows.sort_values("n_steps").groupby("schedule"):
        look, n = ALL_SCHEDULES[str(name)], mine["n_steps"]
        curve(axes[0], n, mine[BOUND], look, f"bound {name}")
        curve(axes[1], n, mine[EXACT], look, f"exact {name}")
        curve(axes[2], n, mine[BOUND] / mine[EXACT], look, f"ratio {name}")
    values = rows[[BOUND, EXACT]].to_numpy()
    for ax in axes[:2]:
        ax.set_ylim(0.5 * np.nanmin(values), 2.0 * np.nanmax(values))
    axes[2].axhline(1.0, color=INK, linewidth=0.8, gid="tight")


def _along(ax: Axes, rows: pd.DataFrame, name: str) -> None:
    """Bound and exact KL up to each level of one schedule, with the gap between them shaded."""
    look, sigma = ALL_SCHEDULES[name], rows["sigma_min"]
    panel(ax, look.label, "level σ (data units)", "KL up to the level (nats)")
    ax.set_xscale("log")
    decades(ax)
    ax.fill_between(sigma, rows[EXACT], rows[BOUND], color=SLACK, linewidth=0.0, zorder=1.0)
    dashed = Look("", look.colour, look.marker, (0, (4, 1.5)))
    curve(ax, sigma, rows[BOUND], dashed, f"bound {name}")
    curve(ax, sigma, rows[EXACT], Look("", look.colour, look.marker, "-", 2.0), f"exact {name}")
    ax.set_xlim(rows["sigma_max"].max(), 0.7 * sigma.min())
    last = rows.iloc[-1]
    ax.text(
        0.97,
        0.04,
        f"at the end: bound {number(last[BOUND])}, KL {number(last[EXACT])}",
        transform=ax.transAxes,
        fontsize=SMALL,
        color=INK,
        ha="right",
        gid=f"end {name}",
    )


def _over_lambda(axes: list[Axes], rows: pd.DataFrame) -> None:
    """Exact KL and bound against lambda, and KL / least KL against lambda / the rule's lambda."""
    panel(axes[0], "LAS: exact KL over λ", "λ (squared data units)", EXACT_LABEL)
    panel(axes[1], "LAS: pathwise KL over λ", "λ (squared data units)", BOUND_LABEL)
    panel(axes[2], "exact KL on the scale of our rule", "λ / (2 s² / N)", "KL / least KL")
    for ax in axes:
        ax.set_xscale("log")
        decades(ax)
    counts = sorted(set(rows["of_steps"]))
    for n, look in zip(counts, _step_looks(counts), strict=True):
        mine = rows[rows["of_steps"] == n].sort_values("lambda")
        lam, rule = mine["lambda"], float(mine["natural_lambda"].iloc[0])
        best = mine.sort_values(EXACT).iloc[0]
        for ax, x, y, scale, name in (
            (axes[0], lam, mine[EXACT], 1.0, "exact"),
            (axes[1], lam, mine[BOUND], 1.0, "bound"),
            (axes[2], lam / rule, mine[EXACT] / best[EXACT], 1.0 / rule, "relative"),
        ):
            ax.plot(x, y, color=look.colour, linestyle=look.line, linewidth=1.5, gid=f"{name} {n}")
            for at, face, what in ((rule, "white", "rule"), (best["lambda"], look.colour, "best")):
                # On the line as drawn, which is straight between two lambdas of the table.
                height = np.exp(np.interp(np.log(at), np.log(lam), np.log(y)))
                ax.plot(
                    [at * scale],
                    [height],
                    "D" if what == "rule" else "*",
                    markersize=6.0 if what == "rule" else 10.0,
                    markeredgecolor=look.colour,
                    markerfacecolor=face,
                    gid=f"{what} {name} {n}",
                )
    axes[0].set_ylim(10.0 ** np.floor(np.log10(rows[EXACT].min())), None)
    plain_ticks(axes[2], "y")
    axes[2].axvline(1.0, color=GREY, linewidth=0.8, linestyle=":")
    handles = [
        Line2D([], [], color=look.colour, linestyle=look.line, label=f"N = {n}")
        for n, look in zip(counts, _step_looks(counts), strict=True)
    ]
    axes[1].legend(handles=handles, fontsize=SMALL, frameon=False, handlelength=3.0)


def _step_looks(counts: list[int]) -> list[Look]:
    lines: tuple[LineStyleType, ...] = ((0, (1, 1)), (0, (5, 1.5)), "-")
    return [Look("", GREENS[i % 3], "", lines[i % 3]) for i in range(len(counts))]


def _meanings() -> list[Artist]:
    """Legend entries of lines, areas and marks."""

    def entry(text: str, marker: str, line: LineStyleType, face: str = GREY) -> Line2D:
        handle = Line2D([], [], color=GREY, marker=marker, linestyle=line, label=text)
        handle.set(markerfacecolor=face, markersize=9.0 if marker == "*" else 5.5)
        return handle

    return [
        entry("pathwise KL", "", (0, (4, 1.5))),
        entry("exact KL", "", "-"),
        Patch(color=SLACK, label="slack of the bound"),
        entry("λ by our rule", "D", "", "white"),
        entry("best λ", "*", ""),
    ]


def _target(toy: str) -> str:
    """The target, in words."""
    words = ", on the line (random means, mean 0 and std 1)" if toy in TOYS else ""
    return f"{toy_label(toy)}{words}"


def _settings(table: pd.DataFrame, steps: pd.DataFrame, lambdas: pd.DataFrame) -> list[str]:
    """The caption: the settings and the results, read from the table."""
    first = table.iloc[0]
    counts = ", ".join(str(n) for n in sorted(set(steps["n_steps"])))
    followed = ", ".join(str(n) for n in sorted(set(table["of_steps"][table["kind"] == "level"])))
    setting = (
        f"Target: {_target(first['toy'])}. Stochastic "
        f"DDIM with the exact denoiser, from the true law at σ = {number(first['sigma_max'])} down "
        f"to {number(steps['sigma_min'].min())} (EDM process, terminal policy: {first['terminal']}"
        f"), N = {counts}. The KL(data ‖ sampler) of the laws at the last level is exact (no "
        f"samples, no seeds), with an error estimate of at most {number(table['error'].max())} "
        "nats; pathwise KL: paper B's sum over steps (eqs. 3.2, 4.1, no approximation error), "
        "which bounds it. LAS with λ = 0 has the least pathwise KL of all schedules and hides the "
        "entropic one in (a)–(c); “LAS” without a given λ takes λ from our rule."
    )
    wide = steps.assign(ratio=steps[BOUND] / steps[EXACT]).sort_values("ratio").iloc[-1]
    most = steps["n_steps"].max()
    last = steps[steps["n_steps"] == most]
    bound, exact = (
        ", ".join(ALL_SCHEDULES[name].label for name in last.sort_values(by)["schedule"])
        for by in (BOUND, EXACT)
    )
    message = (
        f"The bound is up to {number(wide['ratio'])} times the KL "
        f"({ALL_SCHEDULES[wide['schedule']].label}, N = {wide['n_steps']}), and ranks the "
        f"schedules differently. At N = {most}, best first, by the bound: {bound}; by the KL: "
        f"{exact}. (d)–(g): pathwise KL of the steps so far and KL of the laws at that level, "
        f"along {followed} steps (0 at the start; axes begin at 10⁻⁴ nats). At low σ, that is, at "
        "high SNR, the bound keeps growing while the KL hardly changes: there it is loose, which "
        "is why LAS saturates its axis."
    )
    return [setting, message, _rule(lambdas)]


def _rule(lambdas: pd.DataFrame) -> str:
    """By how much the KL at the rule's lambda exceeds the least KL, as text."""
    excess, scale = [], 0.0
    for n in sorted(set(lambdas["of_steps"])):
        rows = lambdas[lambdas["of_steps"] == n].sort_values("lambda")
        rule = float(rows["natural_lambda"].iloc[0])
        height = np.exp(np.interp(np.log(rule), np.log(rows["lambda"]), np.log(rows[EXACT])))
        excess.append(f"{100.0 * (height / rows[EXACT].min() - 1.0):.0f} % (N = {n})")
        scale = (0.5 * rule * n) ** 0.5
    return (
        f"(h)–(j): LAS over λ. With our rule λ = 2 s² / N, s = {number(scale)} from the target's "
        f"risk curve alone, the KL exceeds that of the table's best λ by {', '.join(excess)}; "
        "lines are straight between its λs."
    )
