"""KL and scores against calls: first-order samplers that call below the state's level."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from figures.parts.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    VERMILION,
    Look,
    captioned,
    count_axis,
    curve,
    key,
    new_figure,
    panel,
    shared_legend,
)

LOOKS = {
    "ddim": Look("DDIM", BLACK, "o", (0, (1, 1))),
    "called_ddim": Look("DDIM, called below", BLACK, "o", "-", 1.8),
    "stochastic_ddim": Look("ancestral", BLUE, "s", (0, (1, 1))),
    "called_ancestral": Look("ancestral, called below", BLUE, "s", "-", 1.8),
    "dpmpp_2m": Look("DPM++(2M)", ORANGE, "D", (0, (4, 1.5))),
    "unipc_2": Look("UniPC-2", VERMILION, "v", (0, (4, 1.5))),
    "heun": Look("Heun", GREY, "X", (0, (4, 1.5))),
}
PAIRS = (("ddim", "called_ddim"), ("stochastic_ddim", "called_ancestral"))
MIXTURE, PRODUCT, NETWORK = "report-03", "1/k, d = 64", "digits"
GRID = "edm"


def draw(table: pd.DataFrame) -> Figure:
    """One mixture, one product of Gaussians and, where there are scores, one network."""
    table = table[table["schedule"] == GRID].copy()
    for name in ("kl_data_model", "calls", "score", "share"):
        table[name] = pd.to_numeric(table[name]) if name in table else np.nan
    network = _scores(table)
    figure = new_figure(6.67, 4.2)
    axes = figure.subplots(1, 2 + (not network.empty), squeeze=False)[0].tolist()
    _kl(axes[0], table[table["data"] == "mixture"], MIXTURE, "(a) one mixture")
    _kl(axes[1], table[table["data"] == "product"], PRODUCT, "(b) 64 Gaussian scales, 1/k")
    if not network.empty:
        panel(axes[2], "(c) network of the digits", "denoiser calls", "Fréchet distance")
        for name, look in LOOKS.items():
            own = network[network["sampler"] == name].sort_values("calls")
            if not own.empty:
                curve(axes[2], own["calls"], own["score"], look, f"network {name}")
        axes[2].set_yscale("log")
        count_axis(axes[2], sorted(set(network["calls"].astype(int))))
    shown = [name for name in LOOKS if name in set(table["sampler"])]
    half = (len(shown) + 1) // 2
    keys = [[key(LOOKS[n]) for n in part] for part in (shown[:half], shown[half:])]
    shared_legend(figure, keys, _message(table))
    return captioned(figure, _words(table))


def _scores(table: pd.DataFrame) -> pd.DataFrame:
    """Scores of the network, with the whole shift under the names of the called samplers."""
    rows = table[(table["data"] == "network") & (table["toy"] == NETWORK)].copy()
    rows = rows[rows["share"].isin((0.0, 1.0))]
    called = dict(PAIRS)
    whole = (rows["share"] == 1.0) & rows["sampler"].isin(called)
    rows.loc[whole, "sampler"] = rows.loc[whole, "sampler"].map(called)
    return rows


def _kl(ax: Axes, rows: pd.DataFrame, preferred: str, title: str) -> None:
    """KL against calls on one data set: the preferred one, or the first there is."""
    toys = list(dict.fromkeys(rows["toy"]))
    rows = rows[rows["toy"] == (preferred if preferred in toys else toys[0])]
    panel(ax, title, "denoiser calls", "KL(data || sampler), nats")
    for name, look in LOOKS.items():
        own = rows[rows["sampler"] == name].sort_values("calls")
        if not own.empty:
            curve(ax, own["calls"], own["kl_data_model"], look, f"{preferred} {name}")
    ax.set_yscale("log")
    count_axis(ax, sorted(set(rows["calls"].astype(int))))


def _message(table: pd.DataFrame) -> str:
    """The finding in one sentence: the median gain with eight calls."""
    rows = table[(table["data"] == "mixture") & (table["half"] == "report")]
    wide = rows[rows["calls"] == 8].pivot(index="toy", columns="sampler", values="kl_data_model")
    gains = []
    for plain, called in PAIRS:
        if {plain, called} <= set(wide):
            gains.append(f"{float((wide[plain] / wide[called]).median()):.2g}")
    names = ("DDIM", "ancestral sampling")[: len(gains)]
    have = "have" if len(gains) > 1 else "has"
    times = " and ".join(gains)
    return f"Told a lower level, {' and '.join(names)} {have} a KL {times} times lower"


def _words(table: pd.DataFrame) -> str:
    """Setting and meaning."""
    count = table[(table["data"] == "mixture") & (table["half"] == "report")]["toy"].nunique()
    return (
        f"EDM's grid, σ from 80 to 0.002, exact KL; the same levels, coefficients and calls within "
        f"each pair. Title: medians of {count} mixtures, 8 calls. (b): KL per coordinate. "
        "(c): mean of three trainings, last step to 0, the whole shift."
    )
