"""Gaussian mixtures with exact posteriors in the channel x = x0 + sigma eps.

p(x0) = sum_k weights[k] N(x0; means[k], diag(stds[k]**2)). A component of std 0 is a point, so that
K components of std 0 are a finite set of points. Shapes: K components, d coordinates, n states. A
one-dimensional mixture takes and returns states of shape (n,) as well as (n, 1).
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, check_seed, floats, plain, require, whole
from toys import kernels

SIZE_LIMIT = 1e12  # largest |mean| and std, as for sigma: the range of scales in float64
SIGMA_RANGE = (1e-12, 1e12)
DATA_STEP, PICK_STEP = 2**32 - 2, 2**32 - 1  # noise counters that no row of a table uses
SHOWN_NUMBERS = 8  # largest number of means that are printed in full
CHUNK_NUMBERS = 2**22  # numbers in the largest temporary (n, K) table: 32 MiB


class Packed(NamedTuple):
    """Components in the form of the kernels, with K padded to a multiple of kernels.GROUP."""

    log_weights: Array
    means: Array
    stds: Array


class Mixture:
    """An immutable Gaussian mixture, p(x0) = sum_k weights[k] N(x0; means[k], diag(stds[k]**2)).

    Args:
        weights: Positive weights, shape (K,); they are normalised to sum 1.
        means: Means, shape (K, d), or (K,) for d = 1, in data units.
        stds: Standard deviations, at least 0, in data units: shape (K,), one per component; shape
            (K, d), one per component and axis; or one number for all. 0 makes points.

    Raises:
        ValueError: The shapes disagree, or a number is not finite or out of its range.
    """

    def __init__(self, weights: ArrayLike, means: ArrayLike, stds: ArrayLike) -> None:
        w, m, s = (
            floats(name, v) for name, v in (("weights", weights), ("means", means), ("stds", stds))
        )
        require(np.abs(m) <= SIZE_LIMIT, "means", m, f"lie within {SIZE_LIMIT:g}")
        require((s >= 0) & (s <= SIZE_LIMIT), "stds", s, f"lie in [0, {SIZE_LIMIT:g}]")
        if m.ndim == 1:
            m = m[:, None]
        k_max = w.size
        if w.ndim != 1 or k_max == 0:
            raise ValueError(f"weights must have shape (K,) with K >= 1, got {w.shape}")
        if m.ndim != 2 or m.shape[0] != k_max or m.shape[1] == 0:
            raise ValueError(f"means must have shape ({k_max}, d), got {np.shape(means)}")
        if s.ndim == 0:
            s = np.full(k_max, float(s))
        if s.ndim == 1 and s.size == k_max:
            s = np.broadcast_to(s[:, None], m.shape)
        if s.shape != m.shape:
            raise ValueError(f"stds must have shape ({k_max},) or {m.shape}, got {np.shape(stds)}")
        require(w > 0, "weights", w, "be positive")
        w = w / w.max()
        w = w / w.sum()
        require(w > 0, "weights", w, "lie within a factor 1e300 of each other")
        self.weights, self.means, self.stds = _frozen(w), _frozen(m), _frozen(s)

    def __repr__(self) -> str:
        if self.means.size <= SHOWN_NUMBERS:
            fields = self.to_dict()
            return "Mixture({weights!r}, {means!r}, {stds!r})".format_map(fields)
        low, high = float(self.stds.min()), float(self.stds.max())
        stds = f"{low:g}" if low == high else f"{low:g} to {high:g}"
        kind = "points" if self.is_points else f"Gaussians of std {stds}"
        return f"<Mixture of {self.size} {kind}, d = {self.dim}, variance {self.variance:.6g}>"

    @property
    def dim(self) -> int:
        """Number of coordinates d."""
        return int(self.means.shape[1])

    @property
    def size(self) -> int:
        """Number of components K."""
        return int(self.weights.size)

    @property
    def is_points(self) -> bool:
        """Whether every std is 0, so that the data are a finite set of points."""
        return not self.stds.any()

    @property
    def has_density(self) -> bool:
        """Whether every std is positive, so that the data have a density."""
        return bool(np.all(self.stds > 0))

    @cached_property
    def mean(self) -> Array:
        """Mean of the data, shape (d,), in data units."""
        return _frozen(self.weights @ self.means)

    @cached_property
    def variance(self) -> float:
        """Variance of the data, summed over coordinates, in squared data units."""
        return float(self.weights @ np.sum(self.stds**2 + (self.means - self.mean) ** 2, axis=1))

    @cached_property
    def packed(self) -> Packed:
        """Components as the arrays that the kernels take."""
        extra = -self.size % kernels.GROUP
        log_w = np.concatenate([np.log(self.weights), np.full(extra, kernels.NO_WEIGHT)])
        pad = ((0, extra), (0, 0))
        return Packed(
            log_w, np.pad(self.means, pad, mode="edge"), np.pad(self.stds, pad, mode="edge")
        )

    def scaled(self, shift: float, factor: float) -> Mixture:
        """The mixture that is the law of factor * (x0 - shift).

        Args:
            shift: Shift of every coordinate, in data units.
            factor: Factor of every coordinate.
        """
        return Mixture(self.weights, factor * (self.means - shift), abs(factor) * self.stds)

    def noisy_stds(self, sigma: float) -> Array:
        """Standard deviations of the components of x0 + sigma eps, shape (K, d), in data units."""
        return np.hypot(self.stds, sigma)

    def denoise(self, x: ArrayLike, sigma: float) -> Array:
        """The exact denoiser E[x0 | x0 + sigma eps = x], in data units, shape of x.

        Args:
            x: States, shape (n, d), or (n,) for d = 1; one state may be a number or shape (d,).
            sigma: Noise level, in [1e-12, 1e12], in data units.

        Raises:
            ValueError: The shape of x does not fit, or sigma is out of its range.
        """
        return self._kernel_denoise(x, sigma)[0]

    def log_density(self, x: ArrayLike, sigma: float = 0.0) -> Array:
        """Log density of x0 + sigma eps at x, shape (n,), in nats; a number for one state.

        Args:
            x: States, shape (n, d), or (n,) for d = 1; one state may be a number or shape (d,).
            sigma: Noise level, in data units; 0 needs a mixture whose stds are all positive.

        Raises:
            ValueError: The shape of x does not fit, or sigma is out of its range.
        """
        if sigma != 0.0:
            return self._kernel_denoise(x, sigma)[1]
        sharper, floor = self._floored()
        return sharper._kernel_denoise(x, floor)[1]

    def _floored(self) -> tuple[Mixture, float]:
        """The data as a mixture with noise, which has the smallest of the components' stds."""
        if not self.has_density:
            raise ValueError(
                "sigma must be positive where a std is 0, got 0; points have no density"
            )
        floor = min(float(self.stds.min()), SIGMA_RANGE[1])
        sharper = np.sqrt((self.stds - floor) * (self.stds + floor))
        return Mixture(self.weights, self.means, sharper), floor

    def score(self, x: ArrayLike, sigma: float) -> Array:
        """The score, the gradient of the log density of x0 + sigma eps at x, shape of x.

        It is in 1 / data unit. It is summed over components, because Tweedie's formula cancels at
        small sigma. Values beyond float64 are clipped to the largest float.

        Args:
            x: States, shape (n, d), or (n,) for d = 1; one state may be a number or shape (d,).
            sigma: Noise level, in data units; 0 needs a mixture whose stds are all positive.

        Raises:
            ValueError: The shape of x does not fit, or sigma is out of its range.
        """
        if sigma == 0.0:
            sharper, floor = self._floored()
            return sharper.score(x, floor)
        states, shape = self._states(x)
        precision = 1.0 / self.noisy_stds(_checked_sigma(sigma)) ** 2
        largest = np.finfo(np.float64).max
        out = np.empty_like(states)
        with np.errstate(over="ignore", under="ignore"):
            for part in self._chunks(len(states), self.dim):
                r = self.responsibilities(states[part], sigma)
                gaps = self.means - states[part][:, None]
                out[part] = np.sum(r[:, :, None] * precision * gaps, axis=1)
        return cast("Array", plain(np.clip(out, -largest, largest).reshape(shape)))

    def responsibilities(self, x: ArrayLike, sigma: float) -> Array:
        """Posterior probabilities of the components given x0 + sigma eps = x, shape (n, K).

        Args:
            x: States, shape (n, d), or (n,) for d = 1; one state may be a number or shape (d,), for
                which the result has shape (K,).
            sigma: Noise level, in [1e-12, 1e12], in data units.

        Raises:
            ValueError: The shape of x does not fit, or sigma is out of its range.
        """
        states, shape = self._states(x)
        std = self.noisy_stds(_checked_sigma(sigma))
        limit = kernels.LIMIT
        logs = np.log(self.weights) - np.log(std / std[0]).sum(axis=1)
        logs = np.broadcast_to(logs, (len(states), self.size)).copy()
        for j in range(self.dim):
            z = (np.clip(states[:, j, None], -limit, limit) - self.means[:, j]) / std[:, j]
            logs -= 0.5 * z**2
        logs -= logs.max(axis=1, keepdims=True)
        r = np.exp(logs)
        return self._rows(np.asarray(r / r.sum(axis=1, keepdims=True)), shape)

    def posterior_variance(self, x: ArrayLike, sigma: float) -> Array:
        """Trace of Cov(x0 | x0 + sigma eps = x), shape (n,), in squared data units.

        Args:
            x: States, shape (n, d), or (n,) for d = 1; one state may be a number or shape (d,), for
                which the result is a number.
            sigma: Noise level, in [1e-12, 1e12], in data units.

        Raises:
            ValueError: The shape of x does not fit, or sigma is out of its range.
        """
        return self._posterior_moments(x, sigma)[0]

    def posterior_frobenius(self, x: ArrayLike, sigma: float) -> Array:
        """Frobenius norm of Cov(x0 | x0 + sigma eps = x), shape (n,), in squared data units.

        Args:
            x: States, shape (n, d), or (n,) for d = 1; one state may be a number or shape (d,), for
                which the result is a number.
            sigma: Noise level, in [1e-12, 1e12], in data units.

        Raises:
            ValueError: The shape of x does not fit, or sigma is out of its range.
        """
        return self._posterior_moments(x, sigma)[1]

    def sample(self, n: int, seed: int, path: int = 0, sigma: float = 0.0) -> Array:
        """Draws of x0 + sigma eps, shape (n, d), in data units, independent of those of samplers.

        Each draw is a pure function of (seed, path), with noise counters that no solver table uses.

        Args:
            n: Number of draws, for paths path .. path + n - 1.
            seed: Seed, an integer in [0, 2**32).
            path: Index of the first path.
            sigma: Noise level, at least 0, in data units.
        """
        return self._draw(n, sigma, seed, path, DATA_STEP)

    def sample_noisy(self, n: int, sigma: float, seed: int, path: int = 0) -> Array:
        """Draws of x0 + sigma eps as initial states of a sampler, shape (n, d), in data units.

        The noise is that of step 0 of the paths.

        Args:
            n: Number of draws, for paths path .. path + n - 1.
            sigma: Noise level, at least 0, in data units.
            seed: Seed, an integer in [0, 2**32).
            path: Index of the first path.
        """
        return self._draw(n, sigma, seed, path, 0)

    def to_dict(self) -> dict[str, Any]:
        """The mixture as plain lists, in the format of a mixture file."""
        one_std = bool(np.all(self.stds == self.stds[:, :1]))
        return {
            "kind": "mixture",
            "weights": self.weights.tolist(),
            "means": (self.means[:, 0] if self.dim == 1 else self.means).tolist(),
            "stds": (self.stds[:, 0] if one_std else self.stds).tolist(),
        }

    def _draw(self, n: int, sigma: float, seed: int, path: int, step: int) -> Array:
        whole("n", n, 0)
        k = np.searchsorted(np.cumsum(self.weights), uniforms(n, seed, path, PICK_STEP), "right")
        k = np.minimum(k, self.size - 1)
        return self.means[k] + np.hypot(self.stds[k], sigma) * normals(
            n, self.dim, seed, path, step
        )

    def _posterior_moments(self, x: ArrayLike, sigma: float) -> tuple[Array, Array]:
        """Trace and Frobenius norm of the posterior covariance, (n,) each.

        Cov = diag(g) + sum_k r_k u_k u_k^T, where g is the mean of the components' variances and
        u_k are the offsets of their posterior means. No (d, d) matrix is needed.
        """
        states, shape = self._states(x)
        var = self.noisy_stds(_checked_sigma(sigma)) ** 2
        rho = self.stds**2 / var
        own = self.stds**2 * (sigma**2 / var)
        trace, norm = np.empty(len(states)), np.empty(len(states))
        for part in self._chunks(len(states), self.dim + self.size):
            y = states[part]
            r = self.responsibilities(y, sigma)
            top = r.argmax(axis=1)
            # Offsets from the posterior mean of the most likely component do not cancel.
            u = (1 - rho) * (self.means - self.means[top][:, None]) + (rho - rho[top][:, None]) * (
                y[:, None] - self.means[top][:, None]
            )
            u -= np.einsum("nk,nkd->nd", r, u)[:, None]
            g = r @ own
            trace[part] = g.sum(axis=1) + np.einsum("nk,nkd->n", r, u**2)
            spread = np.einsum("nkd,nld->nkl", u, u)
            norm[part] = np.sqrt(
                (g**2).sum(axis=1)
                + 2 * np.einsum("nd,nk,nkd->n", g, r, u**2)
                + np.einsum("nk,nl,nkl->n", r, r, spread**2)
            )
        return self._rows(trace, shape), self._rows(norm, shape)

    def _kernel_denoise(self, x: ArrayLike, sigma: float) -> tuple[Array, Array]:
        """Posterior means, shape of x, and log densities (n,), by the compiled kernel."""
        sigma = _checked_sigma(sigma)
        states, shape = self._states(x)
        n = len(states)
        padded = np.zeros((self.dim, n + -n % kernels.BLOCK))
        padded[:, :n] = states.T
        out, logs = np.empty_like(padded), np.empty(padded.shape[1])
        kernels.denoise(padded, sigma, *self.packed, out, logs)
        first = np.hypot(self.stds[0], sigma)
        logs -= np.sum(np.log(first)) + 0.5 * self.dim * np.log(2 * np.pi)
        denoised = np.ascontiguousarray(out[:, :n].T).reshape(shape)
        return cast("Array", plain(denoised)), self._rows(logs[:n], shape)

    def _states(self, x: ArrayLike) -> tuple[Array, tuple[int, ...]]:
        """States as an array (n, d), and the shape in which they were given."""
        states = floats("x", x)
        shape = states.shape
        if self._is_one(shape):
            states = states.reshape(1, self.dim)
        elif states.ndim == 1 and self.dim == 1:
            states = states[:, None]
        if states.ndim != 2 or states.shape[1] != self.dim:
            raise ValueError(f"x must have shape (n, {self.dim}), got {shape}")
        return np.ascontiguousarray(states), shape

    def _is_one(self, shape: tuple[int, ...]) -> bool:
        """Whether the shape is that of one state: a number for d = 1, otherwise (d,)."""
        return shape == (() if self.dim == 1 else (self.dim,))

    def _rows(self, values: Array, shape: tuple[int, ...]) -> Array:
        """Values per state, shape (n, ...), or without the first axis for a single state."""
        return cast("Array", plain(np.asarray(values[0]))) if self._is_one(shape) else values

    def _chunks(self, n: int, width: int = 1) -> list[slice]:
        """Slices of range(n) that limit temporary tables (n, K, width) to CHUNK_NUMBERS numbers."""
        rows = max(1, CHUNK_NUMBERS // (self.size * width))
        return [slice(i, min(i + rows, n)) for i in range(0, n, rows)]


def normals(n: int, d: int, seed: int, path: int, step: int) -> Array:
    """Standard normals of paths path .. path + n - 1 at one step, shape (n, d).

    Args:
        n: Number of paths.
        d: Number of coordinates.
        seed: Seed, an integer in [0, 2**32).
        path: Index of the first path.
        step: Index of the step.
    """
    check_seed(seed)
    # Full blocks, so that no number is computed in a scalar remainder loop.
    full = n + -n % kernels.BLOCK
    high, low = np.empty(full, np.uint64), np.empty(full, np.uint64)
    out = np.empty((d, full))
    for j in range(d):
        kernels.fill_normals(seed, path, step, j, high, low, out[j])
    return np.ascontiguousarray(out[:, :n].T)


def uniforms(n: int, seed: int, path: int, step: int) -> Array:
    """Uniform numbers in [0, 1) of paths path .. path + n - 1 at one step, shape (n,).

    Args:
        n: Number of paths.
        seed: Seed, an integer in [0, 2**32).
        path: Index of the first path.
        step: Index of the step.
    """
    check_seed(seed)
    high, low = np.empty(n, np.uint64), np.empty(n, np.uint64)
    kernels.philox(0, step, path, seed, 0, high, low)
    return (high >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _checked_sigma(sigma: float) -> float:
    low, high = SIGMA_RANGE
    if not isinstance(sigma, (int, float, np.number)):
        raise ValueError(f"sigma must be one number, got {sigma!r:.80}")
    if not low <= sigma <= high:
        raise ValueError(f"sigma must lie in [{low:g}, {high:g}], got {sigma!r}; rescale the data?")
    return float(sigma)


def _frozen(array: Array) -> Array:
    array = np.array(array, dtype=np.float64)
    array.setflags(write=False)
    return array
