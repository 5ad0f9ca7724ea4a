"""Acceptance checks of measured profiles: `python -m benchmarks.acceptance.profiles [CHECK ...]`.

The checks are grid (the exact mmse on 128 levels), samples (1024 samples per level) and band
(coverage of the bootstrap over clean samples). All run by default, on two densities and a set of
points of the zoo, for the rescaled and the entropic schedule.
"""

import sys
from collections.abc import Iterator

import numpy as np
from joblib import Parallel, delayed

from benchmarks.acceptance.report import Check, run
from theory.checks import Array
from theory.profiles.level_errors import LevelErrors
from theory.profiles.loss_log import bootstrap_band
from theory.profiles.profile import Profile
from theory.schedules.registry import schedule
from theory.schedules.standard import edm_sigmas
from toys import zoo
from toys.information import information
from toys.mixture import normals

LEVELS = edm_sigmas(127, 80.0, 0.002)[::-1].copy()
LEVELS[0], LEVELS[-1] = 0.002, 80.0
STEPS, SAMPLES, REPEATS, COVERED, REPLICATES = 16, 1024, 200, 500, 200
CASES = (
    ("gaussian", "rescaled"),
    ("gaussian", "entropic"),
    ("gaussians15_overlap", "rescaled"),
    ("gaussians15_overlap", "entropic"),
    ("points15", "rescaled"),
    ("points15", "entropic"),
)
LIMIT = {"rescaled": 0.08, "entropic": 0.13}


def inner(method: str, profile: Profile, rule: str = "trapezoid") -> Array:
    """Inner levels of the 16-step grid of a profile, shape (15,)."""
    return schedule(method, STEPS, "edm", profile, rule=rule)[1:-1]


def exact(toy: str, method: str) -> Array:
    """Inner levels from the exact mmse on 500 levels with the spline, shape (15,)."""
    sigma = np.geomspace(0.002, 80.0, 500)
    sigma[0], sigma[-1] = 0.002, 80.0
    return inner(method, Profile(1, sigma, information.curves(zoo.toy(toy), sigma).mmse), "spline")


def measured(toy: str, repeat: int) -> LevelErrors:
    """Errors of the exact denoiser on one set of clean samples, with new noise at every level."""
    data = zoo.toy(toy)
    path = repeat * SAMPLES
    x0 = data.sample(SAMPLES, 0, path)
    errors = np.empty((SAMPLES, LEVELS.size))
    for k, sigma in enumerate(LEVELS.tolist()):
        x = x0 + sigma * normals(SAMPLES, 1, 1, path, k)
        errors[:, k] = ((data.denoise(x, sigma) - x0) ** 2)[:, 0]
    return LevelErrors(1, LEVELS, errors)


def grid() -> Iterator[Check]:
    """Error of the grid from the exact mmse on 128 levels, by trapezoid, spline and left sum."""
    for toy, method in CASES:
        aim = exact(toy, method)
        profile = Profile(1, LEVELS, information.curves(zoo.toy(toy), LEVELS).mmse)
        worst = {
            rule: float(np.abs(inner(method, profile, rule) / aim - 1.0).max())
            for rule in ("trapezoid", "spline", "left")
        }
        said = ", ".join(f"{rule} {100 * gap:.2f} %" for rule, gap in worst.items())
        yield Check(f"128 exact levels, {toy}, {method}", "<= 1 % (trapezoid)", said,
                  worst["trapezoid"] <= 0.01)  # fmt: skip


def _largest(toy: str, method: str, repeat: int) -> float:
    found = inner(method, measured(toy, repeat).profile())
    return float(np.abs(found / exact_levels(toy, method) - 1.0).max())


_EXACT: dict[tuple[str, str], Array] = {}


def exact_levels(toy: str, method: str) -> Array:
    """`exact`, computed once per process."""
    if (toy, method) not in _EXACT:
        _EXACT[toy, method] = exact(toy, method)
    return _EXACT[toy, method]


def samples() -> Iterator[Check]:
    """Largest error of the 15 inner levels with 1024 samples per level."""
    for toy, method in CASES:
        gaps = Parallel(2)(delayed(_largest)(toy, method, r) for r in range(REPEATS))
        middle, high = np.quantile(gaps, [0.5, 0.95])
        yield Check(
            f"{SAMPLES} samples a level, {REPEATS} repeats, {toy}, {method}",
            f"<= {100 * LIMIT[method]:.0f} % in 95 %",
            f"median {100 * middle:.1f} %, 95 % quantile {100 * high:.1f} %",
            bool(high <= LIMIT[method]),
        )


def _covered(toy: str, method: str, repeat: int) -> list[bool]:
    low, high = bootstrap_band(
        measured(toy, repeat).resampled, lambda p: inner(method, p), REPLICATES, repeat
    )
    aim = exact_levels(toy, method)
    return [bool(inside) for inside in (low <= aim) & (aim <= high)]


def band() -> Iterator[Check]:
    """Coverage of the exact level by the 90 % band, for each level separately."""
    for toy, method in CASES:
        inside = np.array(
            Parallel(2)(delayed(_covered)(toy, method, r) for r in range(COVERED))
        ).mean(axis=0)
        said = f"{100 * inside.mean():.1f} %, levels {100 * inside.min():.1f} to "
        yield Check(
            f"90 % band, {COVERED} repeats, {toy}, {method}",
            "86 to 94 %",
            f"{said}{100 * inside.max():.1f} %",
            bool(0.86 <= inside.mean() <= 0.94),
        )


CHECKS = {"grid": grid, "samples": samples, "band": band}

if __name__ == "__main__":
    sys.exit(run(CHECKS, sys.argv[1:]))
