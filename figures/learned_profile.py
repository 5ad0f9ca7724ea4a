"""Paper A's inequality (16) on networks trained here: learned against exact profiles."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from figures.parts.style import (
    BLACK,
    BLUE,
    GREY,
    INK,
    NOISE_LABEL,
    ORANGE,
    TARGETS,
    Look,
    captioned,
    decades,
    key,
    known,
    lettered,
    new_figure,
    number,
    panel,
    shared_legend,
)

LOOKS = {
    "exact": Look("exact mmse", BLACK, "", "-", 2.2),
    "train": Look("learned, training data", BLUE, "", (0, (4, 1.5)), 1.5),
    "held_out": Look("learned, held-out data", ORANGE, "", "-", 1.2),
}
SHORT = {"exact": "exact", "train": "training", "held_out": "held out"}
BASES = {"exact": "the exact mmse", "train": "the training error"}
ORDER = ("mixture", "digits")
CLEAR = 2.0  # standard errors
NUMBERS = ("sigma", "mmse", "stderr", "rate", "ratio", "ratio_stderr", "step", "samples")


def draw(table: pd.DataFrame) -> Figure:
    """One row per target: profiles, their ratio, rates, and the resulting noise levels."""
    table = table.assign(**{name: pd.to_numeric(table[name]) for name in NUMBERS})
    targets = known(ORDER, table["target"])
    names = known(list(LOOKS), table["of"])
    figure = new_figure(12.0, 3.0 * len(targets) + 1.9)
    axes = figure.subplots(len(targets), 4, sharex=True, squeeze=False, width_ratios=[1, 1, 1, 1.2])
    for row, target in zip(axes, targets, strict=True):
        mine = table[table["target"] == target].sort_values("sigma")
        profiles, base = mine[mine["kind"] == "profile"], str(mine["base"].iloc[0])
        mmse, ratio, rate, levels = row
        panel(mmse, f"{TARGETS[target]}: profile", y="squared error per dimension")
        panel(ratio, f"ratio to {BASES[base]}", y=f"ratio to {SHORT[base]}")
        panel(rate, "entropy rate per unit of log σ", y="squared error / σ² (nats)")
        panel(levels, f"rescaled levels, {_steps(mine)} steps")
        for name in known(names, profiles["of"]):
            part, look = profiles[profiles["of"] == name], LOOKS[name]
            _line(mmse, part["sigma"], part["mmse"] / part["dim"], look, f"mmse {name}")
            _line(rate, part["sigma"], part["rate"], look, f"rate {name}")
            if name != base:
                _line(ratio, part["sigma"], part["ratio"], look, f"ratio {name}")
                ends = part["ratio"] - part["ratio_stderr"], part["ratio"] + part["ratio_stderr"]
                band = ratio.fill_between(part["sigma"], *ends, color=look.colour, alpha=0.25)
                band.set(linewidth=0.0, gid=f"band {name}")
        ratio.axhline(1.0, color=INK, linewidth=0.8, zorder=1.5)
        decades(mmse)
        ratio.set_yscale("log")
        ratio.yaxis.set_major_locator(MaxNLocator(6))
        ratio.yaxis.set_major_formatter("{x:g}")
        ratio.yaxis.set_minor_locator(NullLocator())
        rate.axhline(mine["dim"].iloc[0], color=GREY, linewidth=1.0, linestyle=":", gid="identity")
        _levels(levels, mine[mine["kind"] == "level"])
    for ax in axes.flat:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(numticks=9))
        ax.xaxis.set_minor_locator(NullLocator())
    for ax in axes[-1]:
        ax.set_xlabel(NOISE_LABEL, fontsize=mmse.xaxis.label.get_size())
    lettered(list(axes.flat))
    identity = Line2D(
        [], [], color=GREY, linestyle=":", linewidth=1.0, label="returning x itself: d"
    )
    shared_legend(figure, [[*(key(LOOKS[name]) for name in names), identity]])
    return captioned(figure, *_settings(table, targets))


def _line(ax: Axes, x: pd.Series, y: pd.Series, look: Look, gid: str) -> None:
    ax.plot(x, y, color=look.colour, linestyle=look.line, linewidth=look.width, gid=gid)


def _steps(rows: pd.DataFrame) -> int:
    return int(rows["step"].max())


def _levels(ax: Axes, rows: pd.DataFrame) -> None:
    """One strip per profile, with a tick at every positive level."""
    names = known(list(LOOKS), rows["of"])
    for i, name in enumerate(names):
        sigma = rows.loc[(rows["of"] == name) & (rows["sigma"] > 0), "sigma"]
        look = LOOKS[name]
        ax.vlines(sigma, i - 0.36, i + 0.36, color=look.colour, linewidth=1.8, gid=f"ticks {name}")
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_yticks(range(len(names)), [SHORT[name] for name in names])
    ax.tick_params(axis="y", length=0.0)
    ax.grid(visible=False, axis="y")


def _settings(table: pd.DataFrame, targets: list[str]) -> list[str]:
    """The caption: the settings and the results, read from the table."""
    profiles = table[table["kind"] == "profile"]
    learned = profiles[profiles["of"] != "exact"]
    sizes = " or ".join(f"{n:g}" for n in sorted(set(learned["samples"])))
    setting = (
        "One network per target with EDM's preconditioning, its squared error at "
        f"{learned.groupby(['target', 'of']).size().max()} levels of EDM's grid, σ from "
        f"{number(learned['sigma'].min())} to {number(learned['sigma'].max())}, on {sizes} clean "
        "samples; all levels share the clean samples, with fresh noise, so that errors at "
        "neighbouring levels are correlated. Bands: one standard error of the ratio, with both "
        "sides taken as independent. The 4 Gaussians are on the line, where the mmse is exact, and "
        "both of their data sets are fresh samples, since training draws anew at every step; the "
        "mmse of digits is not known. By inequality (16) of paper A, a learned error lies above "
        "the mmse on held-out data. Dotted: the dimension d, the rate for returning the noisy x "
        "itself; that of the mmse is lower. Levels: terminal policy zero (the last level, 0, is "
        "not shown), trapezoid rule."
    )
    return [setting, *(_outcome(table[table["target"] == t], t) for t in targets)]


def _outcome(rows: pd.DataFrame, target: str) -> str:
    """Ratios, levels below 1, and how far the schedule's levels move."""
    base = str(rows["base"].iloc[0])
    profiles = rows[(rows["kind"] == "profile") & (rows["of"] != "exact")]
    levels = rows[(rows["kind"] == "level") & (rows["sigma"] > 0)]
    wide = levels.pivot(index="step", columns="of", values="sigma")
    texts = []
    for name in known(list(LOOKS), profiles["of"]):
        part = profiles[profiles["of"] == name]
        if name == base:
            continue
        worst = part.sort_values("ratio").iloc[-1]
        z = ((part["ratio"] - 1.0) / part["ratio_stderr"]).to_numpy()
        moved = np.expm1(np.abs(np.log((wide[name] / wide[base]).to_numpy())))
        texts.append(
            f"{SHORT[name]} over {SHORT[base]}: median ratio {number(part['ratio'].median())}, at "
            f"most {number(worst['ratio'])} at σ = {number(worst['sigma'])}. Of {len(part)} levels "
            f"{int((z > CLEAR).sum())} are above 1 by more than {CLEAR:g} standard errors and "
            f"{int((z < -CLEAR).sum())} below; the schedule's levels differ by at most "
            f"{100 * moved.max():.1f} % (median {100 * np.median(moved):.1f} %)"
        )
    worse = int((profiles["rate"] > profiles["dim"]).groupby(profiles["of"]).sum().max())
    texts.append(f"at {worse} levels the network is worse than x itself")
    later = [text[0].upper() + text[1:] for text in texts[1:]]
    return f"{TARGETS[target]}, {'. '.join([texts[0], *later])}."
