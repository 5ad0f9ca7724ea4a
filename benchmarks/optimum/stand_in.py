"""Stand-ins: one-dimensional Gaussian mixtures whose exact profile equals a given one.

The profile mmse(sigma) of one-dimensional data does not determine the data, but mixtures of one
profile nearly always have the same optimal noise levels. Near-equal stand-ins show the exceptions.

The search maximises the posterior of `benchmarks.optimum.stand_in_posterior` from many starts, with
1 to 15 components. The noise of the data is lowered in stages (annealing), without which equal
lattices are missed, and the worse candidates are dropped after each stage. Then parts of the best
ones are exchanged, reversed, dropped or split, because most other local maxima differ from the best
in the order of components and gaps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.optimum.mmse_jacobian import COARSE, FINE, MEDIUM
from benchmarks.optimum.stand_in_levels import Levels, ProfileGrid
from benchmarks.optimum.stand_in_posterior import (
    FAMILIES,
    GAP_SPREAD,
    LATTICE,
    LOG_RANGE,
    STAGES,
    Candidate,
    Family,
    Posterior,
    arrays_of,
    refined,
    targets_of,
    theta_of,
)
from theory.checks import Array, check_seed, whole
from theory.profiles.profile import Profile
from toys.mixture import Mixture
from toys.progress import meter

COMPONENTS = 15  # largest number of components
FEW = 6  # number of components up to which there are three times as many random starts
KEPT = (16, 10, 6)  # candidates that go on after a stage
CHANGES = 128  # components of the candidates that are changed, in all, which bounds the time
PARENTS = 3  # candidates that are changed in turn
RATIOS = (0.05, 0.15, 0.35, 0.8)  # std over typical gap, from which a start chooses
JITTER = 0.05  # of lattices, because at a symmetric start the search stays symmetric
WINDOW = 4.0  # nats above the best score within which stand-ins are kept
CHECKED = 100  # largest number of levels at which the misfit of an exact profile is computed
DISTINCT = 0.03  # Wasserstein-1 distance, in standard deviations, of stand-ins that differ


@dataclass(frozen=True)
class StandIn:
    """A mixture that stands in for the data of a profile.

    Attributes:
        mixture: The mixture, of mean 0, in data units.
        misfit: Root mean square of the relative error of R = mmse / sigma^2, which is
            (R - R of the profile) / (R of the profile + 0.003), over the levels of the profile that
            say something about the data. It includes the noise of the profile.
        misfit_error: Standard error of the misfit, or None for an exact profile.
        score: Minus the log evidence of its family and size, in nats, up to a constant of the
            profile. The lowest is best.
    """

    mixture: Mixture
    misfit: float
    misfit_error: float | None
    score: float


def fit_stand_ins(
    profile: Profile, seed: int = 0, keep: int = 4, starts: Sequence[Mixture] = ()
) -> list[StandIn]:
    """Mixtures whose exact profile equals a given one, the best first.

    The others differ from it and from each other, with scores within 4 nats of its own: the profile
    does not tell them apart. A profile without standard errors counts as exact unless it has
    visible white noise.

    Args:
        profile: Profile of data of one coordinate.
        seed: Seed of the random starts, an integer in [0, 2**32).
        keep: Largest number of stand-ins, at least 1.
        starts: One-dimensional mixtures that are refined instead of a search, for a profile that is
            close to theirs.

    Raises:
        ValueError: An argument is invalid; the message is one line and names it.
    """
    check_seed(seed)
    whole("keep", keep, 1)
    for mixture in starts:
        if mixture.dim != 1:
            raise ValueError(f"starts must be mixtures of dim 1, got {mixture.dim}")
    grid = ProfileGrid(profile)
    found = _refined_starts(grid, starts) if starts else _search(grid, seed)
    best = min(c.score for c in found)
    kept: list[StandIn] = []
    for candidate in sorted(found, key=_score):
        if len(kept) == keep or candidate.score > best + WINDOW:
            break
        weights, means, stds = arrays_of(candidate.theta)
        mixture = Mixture(weights, grid.scale * means, grid.scale * stds)
        if all(distance(mixture, k.mixture) > DISTINCT * grid.scale for k in kept):
            kept.append(StandIn(mixture, *_misfit(grid, candidate.theta), candidate.score))
    return kept


def _refined_starts(grid: ProfileGrid, starts: Sequence[Mixture]) -> list[Candidate]:
    """Refined starts, each in the family under which it is likeliest."""
    thetas = [theta_of(mixture, grid.scale) for mixture in starts]
    levels = grid.levels(targets_of(thetas[0], grid.sigma, MEDIUM))
    out = []
    for theta, mixture in zip(thetas, starts, strict=True):
        cost = [Posterior(levels, f, mixture.size, STAGES[-1]).prior_cost(theta) for f in FAMILIES]
        out.append(refined(levels, theta, FAMILIES[int(np.argmin(cost))], STAGES[-1]))
    return out


def _search(grid: ProfileGrid, seed: int) -> list[Candidate]:
    """Candidates of the last stage."""
    rng = np.random.default_rng(seed)
    levels = grid.levels()
    starts = [
        (size, family, is_lattice)
        for size in range(1, COMPONENTS + 1)
        for family in FAMILIES
        for is_lattice in [True] * (family is LATTICE) + [False] * (3 if 1 < size <= FEW else 1)
    ]
    with meter(len(starts) + sum(KEPT) + CHANGES, "stand-ins") as bar:
        pool = []
        for size, family, is_lattice in starts:
            theta = _start(levels.every(4), family, size, is_lattice, rng)
            pool.append(refined(levels.every(2), theta, family, STAGES[0]))
            bar.update()
        for n, stage in zip(KEPT, STAGES[1:], strict=True):
            pool = sorted(pool, key=_score)[:n]
            levels = grid.levels(targets_of(pool[0].theta, grid.sigma, COARSE))
            for i, one in enumerate(pool):
                pool[i] = refined(levels, one.theta, one.family, stage)
                bar.update()
        trial = changed = 0
        while changed < CHANGES:
            pool.sort(key=_score)
            one = pool[trial % min(PARENTS, len(pool))]
            theta = _changed(one.theta, trial, rng)
            for stage in STAGES[1:]:
                some = levels.every(2) if stage is STAGES[1] else levels
                new = refined(some, theta, one.family, stage)
                theta = new.theta
            pool.append(new)
            size = max((theta.size + 1) // 3, 4)
            bar.update(min(size, CHANGES - changed))
            trial, changed = trial + 1, changed + size
    return pool


def _start(
    levels: Levels, family: Family, size: int, is_lattice: bool, rng: np.random.Generator
) -> Array:
    """A lattice, or a draw with the spreads of the family, with the std that fits best."""
    sizes = (size, size - 1, size)
    spreads = (JITTER,) * 3 if is_lattice else (family.weight, GAP_SPREAD, family.std)
    draw = np.repeat(spreads, sizes) * rng.standard_t(4, 3 * size - 1)
    draw = np.clip(draw, *LOG_RANGE)
    thetas = []
    for ratio in RATIOS if size > 1 else (1.0,):
        theta = draw + np.repeat([0.0, 0.0, np.log(ratio)], sizes)
        weights, means, stds = arrays_of(theta)
        theta[size:] -= 0.5 * np.log(weights @ (means**2 + stds**2))
        thetas.append(theta)
    posterior = Posterior(levels, family, size, STAGES[0])
    return min(thetas, key=posterior.misfit)


def _changed(theta: Array, kind: int, rng: np.random.Generator) -> Array:
    """Parameters with two gaps exchanged, a component dropped, a run reversed, or one split."""
    k = (theta.size + 1) // 3
    log_w, gaps, log_s = theta[:k].copy(), theta[k : 2 * k - 1].copy(), theta[2 * k - 1 :].copy()
    place = int(rng.integers(k))
    if kind % 4 == 0 and k > 2:
        i, j = rng.choice(k - 1, 2, replace=False)
        gaps[[i, j]] = gaps[[j, i]]
    elif kind % 4 == 1 and k > 2:
        log_w, log_s = np.delete(log_w, place), np.delete(log_s, place)
        if 0 < place < k - 1:  # the gaps on both sides become one
            gaps[place] = np.logaddexp(gaps[place - 1], gaps[place])
        gaps = np.delete(gaps, max(place - 1, 0))
    elif kind % 4 == 2 and k > 2:
        i, j = sorted(rng.choice(k, 2, replace=False).tolist())
        log_w[i : j + 1] = log_w[i : j + 1][::-1].copy()
        log_s[i : j + 1] = log_s[i : j + 1][::-1].copy()
        gaps[i:j] = gaps[i:j][::-1].copy()
    elif k < COMPONENTS:
        log_w[place] -= np.log(2.0)
        gaps = np.insert(gaps, place, log_s[place])
        log_w, log_s = np.insert(log_w, place, log_w[place]), np.insert(log_s, place, log_s[place])
    return np.concatenate([log_w - log_w.mean(), gaps, log_s])


def _misfit(grid: ProfileGrid, theta: Array) -> tuple[float, float | None]:
    """Misfit of a mixture and its standard error, or None for an exact profile."""
    # Every digit of an exact misfit counts, but not every level.
    step = grid.sigma.size // CHECKED + 1 if grid.is_exact else 1
    accuracy = FINE if grid.is_exact else MEDIUM
    fitted = targets_of(theta, grid.sigma[::step], accuracy)
    squares = np.expm1(fitted - grid.target[::step]) ** 2
    misfit = float(np.sqrt(squares.mean()))
    if grid.is_exact:
        return misfit, None
    error = float(squares.std(ddof=1) / np.sqrt(squares.size))
    return misfit, error / max(2.0 * misfit, 1e-300)


def distance(a: Mixture, b: Mixture) -> float:
    """Wasserstein-1 distance of two 1-D mixtures of mean 0, up to a mirror image, in data units.

    The mirror image of a mixture has the same profile.
    """
    from scipy.special import ndtr  # slow to import

    top = max(float(np.max(np.abs(m.means) + 5.0 * m.stds)) for m in (a, b))
    x = np.linspace(-top, top, 4001)
    one, two = (ndtr((x[:, None] - m.means[:, 0]) / m.stds[:, 0]) @ m.weights for m in (a, b))
    apart = min(np.abs(one - two).sum(), np.abs(one - 1.0 + two[::-1]).sum())
    return float(apart * (x[1] - x[0]))


def _score(candidate: Candidate) -> float:
    return candidate.score
