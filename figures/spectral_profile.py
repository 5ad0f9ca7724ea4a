"""Paper A v2 Fig. 2: the rescaled entropy split over frequencies, on digits."""

from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

from figures.parts.style import (
    GREY,
    MAGENTA,
    NETWORK_SCHEDULES,
    NOISE_LABEL,
    PURPLE,
    SMALL,
    Look,
    captioned,
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

RINGS = ("#0a0826", "#4a1a78", "#a02c6f", "#dd5b3f", "#f2a531", "#f0d86b")  # low to high
LOOKS = {
    "rescaled": Look("rescaled entropy", NETWORK_SCHEDULES["rescaled"].colour, "", "-", 2.2),
    "spectral_mean": Look("spectral, A = E|x̂|", MAGENTA, "", (0, (4, 1.5)), 1.4),
    "spectral_rms": Look("spectral, A = r.m.s. |x̂|", PURPLE, "", (0, (1, 1)), 1.6),
    "edm": Look("EDM grid (ρ = 7)", NETWORK_SCHEDULES["edm"].colour, "", (0, (6, 1.5, 1, 1.5))),
}
AMPLITUDES = {"amplitude_mean": ("o", "spectral_mean"), "amplitude_rms": ("s", "spectral_rms")}
CYCLES = "frequency (cycles per image)"
SHARE = "share of the time change up to σ"
NUMBERS = ("sigma", "share", "mmse", "cycles")


def draw(table: pd.DataFrame) -> Figure:
    """Shares of the rings, the three time changes and EDM's grid, risks and amplitudes."""
    table = table.assign(**{name: pd.to_numeric(table[name]) for name in NUMBERS})
    known(["ring", *LOOKS, *AMPLITUDES], table["kind"])
    rings = table[table["kind"] == "ring"].sort_values(["cycles", "sigma"])
    cycles = sorted(set(rings["cycles"]))
    looks = dict(zip(cycles, _ring_looks(cycles), strict=True))
    figure = new_figure(11.0, 8.2)
    (split, whole), (risk, amplitude) = figure.subplots(2, 2)
    panel(split, "rescaled entropy, frequency by frequency", NOISE_LABEL, SHARE)
    panel(whole, "all frequencies together: what schedules follow", NOISE_LABEL, SHARE)
    panel(risk, "squared error of one coefficient", NOISE_LABEL, "squared error (data units²)")
    panel(amplitude, "amplitudes", CYCLES, "amplitude A (data units)")
    for cycle, mine in rings.groupby("cycles"):
        _line(split, mine["sigma"], mine["share"], looks[cycle], f"ring {cycle:g}")
        _line(risk, mine["sigma"], mine["mmse"], looks[cycle], f"risk {cycle:g}")
    for kind in known(list(LOOKS), table["kind"][table["kind"].isin(LOOKS)]):
        mine = table[table["kind"] == kind].sort_values("sigma")
        _line(whole, mine["sigma"], mine["share"], LOOKS[kind], kind)
        if kind == "rescaled":
            _line(split, mine["sigma"], mine["share"], LOOKS[kind], kind)
    _differences(whole, table)
    sigma = np.array(sorted(set(rings["sigma"])))
    risk.plot(sigma, sigma**2, color=GREY, linewidth=1.0, linestyle=":", gid="identity")
    decades(risk)
    risk.set_ylim(0.5 * rings["mmse"].min(), 3.0 * rings["mmse"].max())
    for ax in (split, whole, risk):
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(numticks=9))
        ax.xaxis.set_minor_locator(NullLocator())
    _amplitudes(amplitude, table)
    lettered([split, whole, risk, amplitude])
    identity = Line2D(
        [], [], color=GREY, linestyle=":", linewidth=1.0, label="returning x itself: σ²"
    )
    rows = [[*(key(look) for look in looks.values()), identity], [key(v) for v in LOOKS.values()]]
    shared_legend(figure, rows)
    return captioned(figure, *_settings(table, rings))


def _differences(ax: Axes, table: pd.DataFrame) -> None:
    """Inset: both spectral readings minus the rescaled entropy, which they hide in the panel."""
    inner = ax.inset_axes((0.7, 0.12, 0.28, 0.26))
    panel(inner)
    inner.set_title("spectral minus rescaled", fontsize=SMALL, loc="left")
    inner.set_xscale("log")
    inner.xaxis.set_major_locator(FixedLocator([1e-2, 1.0, 1e2]))
    inner.xaxis.set_minor_locator(NullLocator())
    inner.axhline(0.0, color=LOOKS["rescaled"].colour, linewidth=1.4)
    wide = _time_changes(table)
    for kind in known(list(LOOKS)[1:3], pd.Series(wide.columns.drop("rescaled"), name="kind")):
        x, y = wide.index.to_series(), wide[kind] - wide["rescaled"]
        _line(inner, x, y, LOOKS[kind], f"difference {kind}")


def _time_changes(table: pd.DataFrame) -> pd.DataFrame:
    """Shares by level, one column per time change."""
    kinds = table[table["kind"].isin([kind for kind in LOOKS if kind != "edm"])]
    return kinds.pivot(index="sigma", columns="kind", values="share")


def _ring_looks(cycles: list[float]) -> list[Look]:
    """Looks from dark to light over the frequencies, every second one dashed."""
    shades = np.linspace(0, len(RINGS) - 1, len(cycles)).round().astype(int)
    unit = [f"{c:g} cycle{'' if c == 1 else 's'}" for c in cycles]
    return [
        Look(unit[i], RINGS[shade], "", "-" if i % 2 == 0 else (0, (5, 1)), 1.3)
        for i, shade in enumerate(shades)
    ]


def _line(ax: Axes, x: pd.Series, y: pd.Series, look: Look, gid: str) -> None:
    ax.plot(x, y, color=look.colour, linestyle=look.line, linewidth=look.width, gid=gid)


def _amplitudes(ax: Axes, table: pd.DataFrame) -> None:
    """Both readings of the amplitude against the frequency."""
    plain_ticks(ax, "y")
    for kind, (marker, like) in AMPLITUDES.items():
        mine, look = table[table["kind"] == kind].sort_values("cycles"), LOOKS[like]
        curve(ax, mine["cycles"], mine["share"], replace(look, marker=marker), kind, 5.0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _settings(table: pd.DataFrame, rings: pd.DataFrame) -> list[str]:
    """The caption: the settings and the results, read from the table."""
    wide = _time_changes(table)
    apart = {name: (wide[name] - wide["rescaled"]).abs() for name in wide.columns}
    edm = _of(table, "edm")
    grid = np.interp(np.log(wide.index), np.log(edm["sigma"]), edm["share"])
    off = (wide["rescaled"] - grid).abs()
    cycles = sorted(set(rings["cycles"]))
    halves = [number(_half(rings[rings["cycles"] == cycle])) for cycle in cycles]
    setting = (
        "The squared error of a small network of the digits (8 × 8 pixels, one channel) on "
        f"training data, at {len(wide)} levels of EDM's grid, σ {number(wide.index.min())} to "
        f"{number(wide.index.max())}, is transformed (orthonormally) and averaged over rings of "
        "one cycle per image. Share: integral of squared error / σ² dσ from the lowest level to σ, "
        "over that to the highest level; trapezoid rule in log σ. Spectral: mean of the shares of "
        "all frequencies, weighted by their amplitudes A in the data, in the two readings of paper "
        "A. EDM's grid does not depend on the data; its share counts steps."
    )
    outcome = (
        "The share is one half at σ = "
        f"{', '.join(halves)} for "
        f"{', '.join(f'{float(c):g}' for c in cycles)} cycles; for the rescaled entropy at "
        f"{number(_half(_of(table, 'rescaled')))} and for EDM's grid at "
        f"{number(_half(_of(table, 'edm')))}. Largest difference from the share of the rescaled "
        "entropy: spectral "
        f"{number(apart['spectral_mean'].max())} (mean) and {number(apart['spectral_rms'].max())} "
        f"(r.m.s.), EDM's grid {number(off.max())}. In (c), the network does worse than returning "
        f"x itself at {_worse(rings)} of {len(rings)} levels, counted over all rings."
    )
    return [setting, outcome]


def _of(table: pd.DataFrame, kind: str) -> pd.DataFrame:
    return table[table["kind"] == kind].sort_values("sigma")


def _worse(rings: pd.DataFrame) -> int:
    return int((rings["mmse"] > rings["sigma"] ** 2).sum())


def _half(rows: pd.DataFrame) -> float:
    """The noise level at which the share passes one half."""
    return float(np.exp(np.interp(0.5, rows["share"], np.log(rows["sigma"]))))
