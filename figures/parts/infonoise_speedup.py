"""The speed-ups that paper D reports, and ours beside them."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from figures.parts.style import INK, SMALL, TARGETS, TEXT, TRAINING, plain_ticks

# Range over the best fixed baseline: discrete data, and images that EDM's noise was tuned for.
PRINTED = {"discrete": (1.5, 2.8), "digits": (1.0, 1.0)}
PAPER = "#cfcfcf"
# A ratio is only a bound where one of its two medians is the budget.
MARKS = {"exact": "o", "at most": "<", "at least": ">", "open": "d"}


def draw_speedups(ax: Axes, found: pd.DataFrame) -> None:
    """One row per target: the ratio with its interval, and what paper D prints for similar data."""
    colour = TRAINING["infonoise"].colour
    for i, (target, row) in enumerate(found.iterrows()):
        printed = printed_for(str(target), row)
        if printed is not None:
            low, high = (
                printed if printed[0] < printed[1] else (0.98 * printed[0], 1.02 * printed[0])
            )
            band = ax.fill_betweenx([i - 0.16, i + 0.2], low, high, color=PAPER, linewidth=0.0)
            band.set(gid=f"printed {target}", zorder=1.0)
        ax.plot([row["low"], row["high"]], [i, i], color=colour, gid=f"interval {target}")
        (mark,) = ax.plot([row["speedup"]], [i], MARKS[row["bound"]], color=colour, markersize=7.0)
        mark.set(gid=f"speedup {target}", zorder=4.0)
        mark.set_markerfacecolor(colour if row["bound"] == "exact" else "white")
        text: dict[str, Any] = {"color": INK, "va": "bottom", "transform": ax.get_yaxis_transform()}
        text["bbox"] = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        ax.text(
            0.02, i - 0.42, f"{TARGETS[str(target)]}: {ratio(row)}",
            fontsize=TEXT, gid=f"words {target}", **text,
        )  # fmt: skip
        seeds = int(row["seeds"])
        ax.text(
            0.02, i - 0.22,
            f"runs that reach Q*: InfoNoise {int(row['infonoise_reached'])}/{seeds}, "
            f"{TRAINING[row['baseline']].label} {int(row['baseline_reached'])}/{seeds}",
            fontsize=SMALL, gid=f"counts {target}", **text,
        )  # fmt: skip
    ax.axvline(1.0, color=INK, linewidth=0.8, zorder=1.5)
    plain_ticks(ax, "x")
    values = found[["low", "high", "speedup"]].to_numpy(float)
    low, high = float(np.nanmin(values)), max(float(np.nanmax(values)), PRINTED["discrete"][1])
    ax.set_xlim(0.8 * low, 1.15 * high)
    ax.set_ylim(len(found) - 0.7, -0.75)
    ax.set_yticks([])
    ax.grid(visible=False, axis="y")


def printed_for(target: str, row: pd.Series) -> tuple[float, float] | None:
    """The range that paper D prints for similar data, or None."""
    return PRINTED.get("discrete" if row["discrete"] else target)


def ratio(row: pd.Series) -> str:
    """The speed-up with its interval as text, marked where it is only a bound."""
    words = {"exact": "", "at most": "at most ", "at least": "at least "}
    if row["bound"] == "open":
        return "not known"
    return f"{words[row['bound']]}{row['speedup']:.2f} ({row['low']:.2f} to {row['high']:.2f})"


def outcome(found: pd.DataFrame) -> str:
    """How often InfoNoise reaches Q*, and its speed-ups and their intervals against 1 and 1.5."""
    median = int((2 * found["infonoise_reached"] > found["seeds"]).sum())
    ratios = "; ".join(f"{TARGETS[str(name)]} {ratio(row)}" for name, row in found.iterrows())
    no_less, no_more = (found["bound"].isin(["exact", side]) for side in ("at least", "at most"))
    above = int((no_less & (found["low"] > 1.0)).sum())
    below = int((no_more & (found["high"] < 1.0)).sum())
    least, discrete = PRINTED["discrete"][0], found["discrete"].astype(bool)
    short = int((no_more & discrete & (found["high"] < least)).sum())
    return (
        f"InfoNoise's median run reaches Q* on {median} of {len(found)} targets. Speed-up: "
        f"{ratios}. The interval lies above 1 on {above} targets, below 1 on {below}, and below "
        f"{least:g} on {short} of {int(discrete.sum())} discrete ones."
    )
