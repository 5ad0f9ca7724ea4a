"""A log of denoising losses from a training run: noisy, uneven, with repeated levels.

Rows are averaged into a profile of risks. A bootstrap within each level or bin shows how far their
noise moves the levels of a schedule.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.checks import Array, require, vector, whole
from theory.profiles.isotonic import isotonic
from theory.profiles.profile import Profile

MOST_LEVELS = 64  # distinct levels beyond which rows are binned
FEWEST = 8  # samples that a bin must contain; otherwise it is merged with its neighbour


class LossLog:
    """Rows (sigma, risk, samples) of a loss log, grouped by level or in bins of log sigma.

    Up to `bins` distinct levels are kept as they are. Otherwise rows are put into that many bins of
    equal width in log sigma, and a bin of fewer than 8 samples is merged with the next.

    A bin averages the ratio of the risk to a reference, sigma^2 / (s^2 + sigma^2), where s^2 is the
    largest risk of a bin over the largest risk / sigma^2 of a bin. At both ends of the noise range
    the risk is proportional to this reference, so that wide bins have no bias there. The level of a
    bin is its mean log sigma. The outer bins are extended to the ends of the log along the
    reference.

    Args:
        sigma: Noise levels, shape (n,), positive, in any order, in data units.
        risk: x0-prediction risks E|x0 - D|^2 (`theory.profiles.risks.x0_risks`), shape (n,), at
            least 0, in squared data units.
        samples: Number of samples whose mean each row is, shape (n,), at least 1. Default: 1.
        dim: Number of coordinates d of x0.
        bins: Number of distinct levels beyond which rows are binned, at least 4.
        source: Origin of the numbers, which the profile keeps.

    Raises:
        ValueError: A shape or a value is invalid, or there are fewer than 4 levels or bins.
    """

    def __init__(
        self,
        sigma: ArrayLike,
        risk: ArrayLike,
        samples: ArrayLike | None = None,
        dim: int = 1,
        bins: int = MOST_LEVELS,
        source: Mapping[str, Any] | None = None,
    ) -> None:
        levels, risks = vector("sigma", sigma, 4), vector("risk", risk)
        counts = np.ones_like(levels) if samples is None else vector("samples", samples)
        for name, values in (("risk", risks), ("samples", counts)):
            if values.shape != levels.shape:
                raise ValueError(f"{name} must have shape {levels.shape}, got {values.shape}")
        require(levels > 0, "sigma", levels, "be positive")
        require(risks >= 0, "risk", risks, "be at least 0")
        require(counts >= 1, "samples", counts, "be at least 1")
        self.dim, self.source = dim, dict(source or {})
        distinct, group = np.unique(levels, return_inverse=True)
        if distinct.size < 4:
            raise ValueError(f"losses must hold at least 4 distinct levels, got {distinct.size}")
        self.levels = int(distinct.size)
        self.binned = distinct.size > whole("bins", bins, 4)
        if self.binned:
            group = _bins(np.log(levels), counts, bins)
        order = np.argsort(group, kind="stable")
        self._weight, self._group = counts[order], group[order]
        self._rows = np.bincount(self._group)
        self._total = np.bincount(self._group, self._weight)
        self._first = np.concatenate([[0], np.cumsum(self._rows)[:-1]])
        self._sigma = np.exp(self._mean(np.log(levels)[order]))
        self._ends = np.array([distinct[0], distinct[-1]])
        if not self.binned:
            self._sigma[[0, -1]] = self._ends  # without the rounding of exp(log)
        noise_risk = self._mean((risks / levels**2)[order]).max()
        highest = self._mean(risks[order]).max()
        self._scale = highest / noise_risk if noise_risk > 0 else 1.0  # s^2
        self._ratio = risks[order] / self._reference(levels[order])
        mean, spread = self._moments()
        several = (self._rows > 1) & (mean > 0)
        # Relative spread of one sample, also used for levels with one row.
        share = spread[several] / mean[several]
        self._typical = float(np.median(share)) if several.any() else None

    @property
    def samples(self) -> int:
        """Total number of samples."""
        return int(self._weight.sum())

    @property
    def fewest_samples(self) -> int:
        """Number of samples of the level or bin that has the fewest."""
        return int(self._total.min())

    @property
    def groups(self) -> int:
        """Number of levels or bins in which the risks are averaged."""
        return int(self._rows.size)

    def profile(self, *, monotone: bool = False) -> Profile:
        """Profile of the mean risks, with standard errors if any level or bin has several rows.

        Args:
            monotone: Whether to pool risks so that they never fall with sigma
                (`theory.profiles.isotonic.isotonic`).
        """
        mean, spread = self._moments()
        stderr: Array | None = None
        if self._typical is not None:
            alone = self._rows == 1
            stderr = np.where(alone, self._typical * mean, spread) / np.sqrt(self._total)
        return self._profile(mean, stderr, monotone)

    def rising(self) -> int:
        """Number of levels or bins at which the risk falls as sigma increases; no mmse does so."""
        return int(np.count_nonzero(np.diff(self.profile().mmse) < 0))

    def resampled(self, rng: np.random.Generator, *, monotone: bool = False) -> Profile:
        """Profile of rows drawn with replacement within each level or bin.

        A single row is multiplied by a random factor instead, with the median relative spread of
        the other levels.

        Args:
            rng: Generator of the draws.
            monotone: Whether to pool risks so that they never fall with sigma.

        Raises:
            ValueError: Every level has one row, so that the noise is unknown.
        """
        if self._typical is None:
            raise ValueError("losses must repeat some level for a band, got every level once")
        pick = self._first[self._group] + np.floor(
            rng.random(self._group.size) * self._rows[self._group]
        ).astype(np.int64)
        drawn, weight = self._ratio[pick], self._weight[pick]
        rows = self._rows[self._group]
        width = np.sqrt(np.log1p(self._typical**2 / weight))
        drawn = np.where(rows == 1, drawn * _scatter(width, rng), drawn)
        mean = np.bincount(self._group, drawn * weight) / np.bincount(self._group, weight)
        old = self._moments()[0]
        # The variance of means resampled from n rows is (n - 1) / n of that of new rows.
        more = np.sqrt(self._rows / np.maximum(self._rows - 1, 1))
        mean = np.maximum(old + np.where(self._rows > 1, more, 1.0) * (mean - old), 1e-3 * old)
        return self._profile(mean, self._typical * mean / np.sqrt(self._total), monotone)

    def _mean(self, values: Array) -> Array:
        """Weighted mean over each level or bin, shape (groups,)."""
        return np.asarray(np.bincount(self._group, values * self._weight) / self._total)

    def _reference(self, sigma: Array) -> Array:
        return np.asarray(sigma**2 / (self._scale + sigma**2))

    def _moments(self) -> tuple[Array, Array]:
        """Mean ratio of risk to reference, and spread of one sample, shape (groups,) each."""
        mean = self._mean(self._ratio)
        square = np.bincount(self._group, self._weight * (self._ratio - mean[self._group]) ** 2)
        return mean, np.sqrt(square / np.maximum(self._rows - 1, 1))

    def _profile(self, mean: Array, stderr: Array | None, monotone: bool) -> Profile:
        """The profile from means and standard errors of risk / reference, shape (groups,) each."""
        if monotone:
            risk = mean * self._reference(self._sigma)
            pooled = isotonic(risk[::-1], self._total[::-1])[::-1]
            mean = pooled / self._reference(self._sigma)
        sigma, low, high = self._sigma, *self._ends
        before, after = int(low < sigma[0]), int(high > sigma[-1])
        sigma = np.concatenate([[low] * before, sigma, [high] * after])
        reference = self._reference(sigma)

        def carried(values: Array) -> Array:
            return np.asarray(np.pad(values, (before, after), mode="edge") * reference)

        error, risk = None if stderr is None else carried(stderr), carried(mean)
        if monotone:  # equal risks may differ by rounding after the multiplication by the reference
            risk = np.maximum.accumulate(risk)
        return Profile(self.dim, sigma, risk, error, self.source)


def _bins(x: Array, weight: Array, bins: int) -> NDArray[np.int64]:
    """Bin of every row: equal widths, sparse bins merged with the next, numbered without gaps."""
    edges = np.linspace(x.min(), x.max(), bins + 1)
    at = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, bins - 1)
    total = np.bincount(at, weight, minlength=bins)
    label, held = np.empty(bins, dtype=np.int64), 0.0
    current = 0
    for i in range(bins):
        label[i] = current
        held += total[i]
        if held >= FEWEST:
            current, held = current + 1, 0.0
    if held < FEWEST and current > 0:  # a sparse rest at the top is merged with the last full bin
        label[label == current] = current - 1
    if label.max() < 3:
        raise ValueError(
            f"losses must fill at least 4 bins of {FEWEST} samples, got {label.max() + 1}"
        )
    return label[at]


def _scatter(width: Array, rng: np.random.Generator) -> Array:
    """Log-normal factors of mean 1 whose logarithms have standard deviation `width`."""
    return np.asarray(np.exp(width * (rng.normal(size=width.size) - 0.5 * width)))


def scattered(profile: Profile, rng: np.random.Generator) -> Profile:
    """A profile whose risks are multiplied by log-normal noise of their relative standard errors.

    Args:
        profile: A profile with standard errors.
        rng: Generator of the noise.

    Raises:
        ValueError: The profile has no standard errors.
    """
    if profile.stderr is None:
        raise ValueError("profile must have standard errors for a band, got none")
    share = profile.stderr / np.maximum(profile.mmse, 1e-300)
    width = np.sqrt(np.log1p(np.minimum(share, 1e3) ** 2))
    risk = profile.mmse * _scatter(width, rng)
    return Profile(profile.dim, profile.sigma, risk, profile.stderr, profile.source)


def bootstrap_band(
    draw: Callable[[np.random.Generator], Profile],
    make: Callable[[Profile], Array],
    replicates: int,
    seed: int,
    level: float = 0.9,
    count: Callable[[range], Any] = iter,
) -> tuple[Array, Array]:
    """Lower and upper quantile of every level of a schedule over resampled profiles.

    The band contains the middle share `level` of the replicates. It shows how far noise moves the
    levels. It is not a confidence interval, because an optimum over noisy risks prefers their dips.

    Args:
        draw: Draws a resampled profile, as `LossLog.resampled` and `scattered` do.
        make: Maps a profile to noise levels, shape (n_steps + 1,).
        replicates: Number of replicates, at least 10.
        seed: Seed of the draws.
        level: Share of the replicates inside the band, for every level by itself.
        count: Wraps the range of the loop, for instance to show progress.

    Returns:
        The two quantiles, shape (n_steps + 1,) each, in data units.
    """
    whole("replicates", replicates, 10)
    rng = np.random.default_rng(seed)
    drawn = np.array([make(draw(rng)) for _ in count(range(replicates))])
    low, high = np.quantile(drawn, [0.5 * (1.0 - level), 0.5 * (1.0 + level)], axis=0)
    return low, high
