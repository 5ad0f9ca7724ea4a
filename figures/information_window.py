"""Paper D Figs. 1 and 10: where two modes merge, and which noise levels carry information."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm, Normalize, PowerNorm
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from figures.parts.style import (
    BLACK,
    BLUE,
    GREY,
    NOISE_LABEL,
    SMALL,
    TEXT,
    TOYS,
    VERMILION,
    Look,
    captioned,
    new_figure,
    number,
    panel,
)

CRITICAL = 1.0  # sigma_c = a for points at -a and a; here a = 1
PEAKS = {"rate": 0.6438, "rate_log_sigma": 0.8142}  # of the closed forms for a = 1, to 4 digits
RATES = {
    "rate": Look("$dH/d\\sigma$ (nats per data unit)", BLUE, "o", "-"),
    "rate_log_sigma": Look("$dH/d\\log\\sigma$ (nats)", VERMILION, "s", (0, (6, 1.5))),
}
SIGMA_TICKS = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0)
CURVATURE_TICKS = (-1, 0, 1, 10, 100, 1000, 10000)


def draw(table: pd.DataFrame) -> Figure:
    """Density, denoiser and posterior entropy over (sigma, x); entropy, rates and curvature."""
    figure = new_figure(10.5, 8.0)
    axes = figure.subplots(2, 3, sharex=True, height_ratios=[1.15, 1.0])
    field = table[table["kind"] == "field"]
    curve = table[table["kind"] == "curve"].sort_values("sigma")
    norms = (PowerNorm(0.5, 0.0), CenteredNorm(), Normalize(0.0, math.log(2.0)))
    _map(axes[0, 0], field, curve, "density", "cividis", norms[0])
    _map(axes[0, 1], field, curve, "denoised", "PuOr", norms[1])
    _map(axes[0, 2], field, curve, "posterior_entropy", "cividis", norms[2])
    _entropy(axes[1, 0], curve)
    _rates(axes[1, 1], curve)
    _curvature(axes[1, 2], curve)
    for ax in axes.flat:
        ax.set_xscale("log")
        ax.set_xlim(field["sigma"].min(), field["sigma"].max())
        ax.set_xticks(SIGMA_TICKS, [f"{sigma:g}" for sigma in SIGMA_TICKS])
        ax.tick_params(axis="x", which="major", labelbottom=True)
        ax.minorticks_off()
    for ax in axes[1]:
        ax.axvline(CRITICAL, color=GREY, linewidth=0.9, linestyle=(0, (4, 2)), gid="critical")
        ax.text(
            CRITICAL * 1.06,
            0.985,
            "$\\sigma_c = a = 1$",
            transform=ax.get_xaxis_transform(),
            fontsize=SMALL,
            color=GREY,
            va="top",
        )
    return captioned(figure, _settings(field, curve))


def _map(
    ax: Axes, field: pd.DataFrame, curve: pd.DataFrame, column: str, colours: str, norm: Normalize
) -> None:
    """One heat map with its colour bar below and the denoiser's fixed points drawn over it."""
    title, unit, ticks = {
        "density": (
            "(a) marginal density $p_\\sigma(x)$",
            "per data unit (square-root colours)",
            [0, 0.1, 0.5, 1, 1.5, 2],
        ),
        "denoised": (
            "(b) denoised value $E[x_0\\,|\\,x]$",
            "data units",
            [-1, -0.5, 0, 0.5, 1],
        ),
        "posterior_entropy": (
            "(c) posterior entropy of $x_0$ given $x$",
            "nats (top of the scale: ln 2)",
            [0, 0.2, 0.4, 0.6],
        ),
    }[column]
    grid = field.pivot(index="x", columns="sigma", values=column)
    image = ax.pcolormesh(
        grid.columns, grid.index, grid, cmap=colours, norm=norm, rasterized=True, gid=column
    )
    panel(ax, title, y="x (data units)" if column == "density" else "")
    ax.grid(visible=False)
    ax.set_ylim(field["x"].min(), field["x"].max())
    bar = ax.figure.colorbar(image, ax=ax, location="bottom", pad=0.02, aspect=35)
    bar.set_ticks([tick for tick in ticks if tick <= image.get_clim()[1]])
    bar.set_label(unit, fontsize=SMALL)
    bar.ax.tick_params(labelsize=SMALL, color=GREY)
    bar.outline.set_visible(False)
    _fixed_points(ax, curve)


def _fixed_points(ax: Axes, curve: pd.DataFrame) -> None:
    """The pitchfork: stable branches solid, the unstable one dotted."""
    low, high = curve[curve["sigma"] < CRITICAL], curve[curve["sigma"] > CRITICAL]
    below, above = [*low["sigma"], CRITICAL], [CRITICAL, *high["sigma"]]
    branches = {
        "stable +": (below, [*low["fixed_point"], 0.0]),
        "stable -": (below, [*-low["fixed_point"], 0.0]),
        "stable 0": (above, [0.0, *high["fixed_point"]]),
        "unstable": (below, [0.0] * len(below)),
    }
    for name, (sigma, x) in branches.items():
        ax.plot(
            sigma,
            x,
            color=BLACK,
            linewidth=1.3,
            linestyle=(0, (1, 1.5)) if name == "unstable" else "-",
            path_effects=[withStroke(linewidth=2.8, foreground="white")],
            gid=name,
        )


def _entropy(ax: Axes, curve: pd.DataFrame) -> None:
    """H[x0 | x] against sigma, with its upper limit ln 2."""
    panel(ax, "(d) conditional entropy $H[x_0\\,|\\,x_\\sigma]$", x=NOISE_LABEL, y="nats")
    ax.axhline(math.log(2.0), color=GREY, linewidth=0.9, linestyle=(0, (1, 1)))
    ax.text(0.11, math.log(2.0) + 0.01, "ln 2", fontsize=SMALL, color=GREY, va="bottom")
    ax.plot(curve["sigma"], curve["posterior_entropy"], color=BLACK, linewidth=1.5, gid="entropy")
    ax.set_ylim(0.0, 0.85)


def _rates(ax: Axes, curve: pd.DataFrame) -> None:
    """Both rates, with marks at the table's largest values and labels from the closed forms."""
    panel(ax, "(e) entropy rates", x=NOISE_LABEL, y="nats per data unit, nats")
    for column, look in RATES.items():
        ax.plot(
            curve["sigma"],
            curve[column],
            color=look.colour,
            linestyle=look.line,
            linewidth=1.5,
            label=look.label,
            gid=column,
        )
        top = curve[curve[column] == curve[column].max()].iloc[0]
        ax.plot(
            top["sigma"], top[column], look.marker, color=look.colour, ms=4.0, gid=f"peak {column}"
        )
        ax.annotate(
            f"peak at {PEAKS[column]:g}",
            xy=(top["sigma"], top[column]),
            xytext=(0.12, top[column]),
            va="center",
            fontsize=SMALL,
            color=look.colour,
            arrowprops={"arrowstyle": "-", "color": look.colour, "linewidth": 0.6},
        )
    ax.set_ylim(0.0, 1.0)
    ax.legend(fontsize=SMALL, frameon=False, loc="upper left", handlelength=2.6)


def _curvature(ax: Axes, curve: pd.DataFrame) -> None:
    """Eq. (47): the density has a minimum at 0 below sigma_c and its maximum there above."""
    panel(ax, "(f) curvature of $\\log p_\\sigma$ at $x = 0$", x=NOISE_LABEL)
    ax.set_ylabel("per squared data unit (asinh axis)", fontsize=TEXT)
    ax.set_yscale("asinh", linear_width=0.2)
    sigma, values = curve["sigma"], curve["curvature_at_0"]
    ax.fill_between(sigma, values, 0.0, where=values > 0, color="#f6d9c8", linewidth=0.0)
    ax.fill_between(sigma, values, 0.0, where=values < 0, color="#c9dfee", linewidth=0.0)
    ax.axhline(0.0, color=GREY, linewidth=0.9)
    ax.plot(sigma, values, color=BLACK, linewidth=1.5, gid="curvature")
    ax.set_ylim(-1.0, 3e4)
    ax.set_yticks(CURVATURE_TICKS, [f"{value:,}".replace("-", "−") for value in CURVATURE_TICKS])
    ax.text(0.11, 0.45, "positive: two modes, 0 repels", fontsize=SMALL, va="center")
    ax.text(3.9, -0.6, "negative: one mode", fontsize=SMALL, va="center", ha="right")


def _settings(field: pd.DataFrame, curve: pd.DataFrame) -> str:
    """The caption: the settings, read from the table."""
    return (
        f"Target: {TOYS[field['toy'].iloc[0]]}, equal weights (a = 1); x = x₀ + σ ε. Everything is "
        "exact; no process, solver, steps, terminal policy or samples are involved. "
        f"{field['sigma'].nunique()} × {field['x'].nunique()} values of (σ, x) in the maps, "
        f"{len(curve)} values of σ from {number(curve['sigma'].min())} to "
        f"{number(curve['sigma'].max())} in the curves. Lines on the maps: the fixed points "
        "x = tanh(x/σ²) of the denoiser (eq. 45), solid if stable, else dotted; they meet at "
        "σ = a, where the curvature (1/σ² − 1)/σ² of the log density at 0 (eq. 47) changes sign. "
        f"(e): marks stand at the largest values of the table; the peaks are at σ = "
        f"{PEAKS['rate']:g} (rate per σ) and {PEAKS['rate_log_sigma']:g} (rate per log σ), both "
        "below the critical noise level. Paper D's figs. 1 and 10 show "
        "this example; its ranges, and whether a is 1 there, are not given in the text of the "
        "paper available to us; the values above are our own."
    )
