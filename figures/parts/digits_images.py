"""Images of digits at equal seeds, and the winners of all cells as a table."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from figures.parts.style import INK, NETWORK_SCHEDULES, SMALL, known

CLOSE = 1.05  # least ratio of the runner-up's score to the best's for a solid cell
BETWEEN = "#c8c8c8"
SOLID, FRAME = 0.94, 0.72  # sides of the colour and of the white in it, as shares of a cell's


def draw_images(ax: Axes, pixels: pd.DataFrame, nfe: float, named: bool) -> None:
    """Images at this NFE, one row per schedule, below the reference at the most calls.

    Args:
        ax: Axes to draw on, which lose their frame and ticks.
        pixels: Table with one row per pixel.
        nfe: Denoiser calls of the rows below the reference.
        named: Whether the rows' names are written on the left.
    """
    most = pixels["nfe"].max()
    mine = pixels[pixels["nfe"] == nfe]
    names = known(list(NETWORK_SCHEDULES), mine["schedule"])
    rows = [pixels[pixels["nfe"] == most], *(mine[mine["schedule"] == name] for name in names)]
    ax.imshow(
        np.ma.masked_invalid(np.vstack([_strip(row) for row in rows])),
        cmap="gray_r", vmin=-1.0, vmax=1.0, interpolation="nearest", gid=f"images {nfe:g}",
    )  # fmt: skip
    ax.set_facecolor(BETWEEN)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    side = _side(mine)
    places = [i * (side + 1) + (side - 1) / 2 for i in range(len(rows))]
    labels = [f"EDM grid, {most:g} calls", *(NETWORK_SCHEDULES[name].label for name in names)]
    ax.set_anchor("N")
    ax.set_xticks([])
    ax.set_yticks(places, labels if named else [""] * len(rows))
    ax.tick_params(length=0.0)


def _side(pixels: pd.DataFrame) -> int:
    """Number of pixels along one side of an image."""
    return round(float(np.sqrt(pixels["pixel"].max() + 1)))


def _strip(rows: pd.DataFrame) -> np.ndarray:
    """The images side by side, shape (side + 1, n (side + 1) - 1), with lines of NaN between."""
    wide = rows.pivot(index="image", columns="pixel", values="value").to_numpy()
    side = _side(rows)
    apart = np.full((len(wide), side + 1, side + 1), np.nan)
    apart[:, :side, :side] = wide.reshape(-1, side, side)
    return np.asarray(np.hstack(list(apart))[:, :-1])


def draw_winners(ax: Axes, wins: pd.DataFrame, solvers: Mapping[str, str]) -> None:
    """One cell per solver and number of calls: best schedule's colour, EDM's score over its."""
    calls = sorted(set(wins["calls"].astype(int)))
    for row in wins.sort_values(["solver", "calls"]).to_dict("records"):
        solver, count, schedule = str(row["solver"]), int(row["calls"]), str(row["schedule"])
        x, y = calls.index(count), list(solvers).index(solver)
        look, name = NETWORK_SCHEDULES[schedule], f"{solver} {count}"
        solid = float(row["lead"]) >= CLOSE
        _square(ax, x, y, SOLID, look.colour, f"cell {schedule} {name}")
        if not solid:
            _square(ax, x, y, FRAME, "white", f"inset {name}")
        ax.plot(
            [x - 0.3], [y], look.marker, markersize=5.0, markeredgewidth=0.0,
            color=_ink(look.colour) if solid else look.colour,
        )  # fmt: skip
        ax.text(
            x + 0.08, y, _written(float(row["edm_over_best"])), fontsize=SMALL, ha="center",
            va="center", color=_ink(look.colour) if solid else INK, gid=f"ratio {name}",
        )  # fmt: skip
    ax.set_xlim(-0.5, len(calls) - 0.5)
    ax.set_ylim(len(solvers) - 0.5, -0.5)
    ax.set_xticks(range(len(calls)), [str(n) for n in calls])
    ax.set_yticks(range(len(solvers)), list(solvers.values()))
    ax.tick_params(length=0.0)
    ax.grid(visible=False)


def _square(ax: Axes, x: int, y: int, share: float, colour: str, gid: str) -> None:
    corner = x - 0.5 * share, y - 0.5 * share
    ax.add_patch(Rectangle(corner, share, share, facecolor=colour, linewidth=0.0, gid=gid))


def _written(ratio: float) -> str:
    """The ratio to two decimals, from ten on to one; a dash where EDM's score is not known."""
    if not np.isfinite(ratio):
        return "–"
    return f"{ratio:.2f}" if ratio < 10.0 else f"{ratio:.1f}"


def _ink(colour: str) -> str:
    """White or black, whichever contrasts better with a colour."""
    red, green, blue = to_rgb(colour)
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.55 else INK
