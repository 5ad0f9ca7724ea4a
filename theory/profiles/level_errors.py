"""Squared errors of a denoiser on the same clean samples at every level of a grid.

Algorithm 2 of Stancevic et al. (final text) draws the clean samples once and reuses them at all
levels, so errors at different levels move together: a bootstrap has to draw whole samples.
"""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from theory.checks import Array, floats, monotone, require, vector, whole
from theory.profiles.profile import Profile
from theory.reading import StrPath, naming


@dataclass(frozen=True, eq=False)
class LevelErrors:
    """|x0 - D(x0 + sigma eps)|^2 of n samples at m levels, summed over coordinates.

    Args:
        dim: Number of coordinates d of x0.
        sigma: Levels, shape (m,), m >= 4, positive and rising, in data units.
        errors: Shape (n, m), n >= 2, >= 0, in squared data units; one row a clean sample.
        spectral: See `theory.profiles.profile.Profile`; means over the samples, shape (m,) each.
        source: Kept in the profile.
    """

    dim: int
    sigma: Array
    errors: Array
    spectral: Mapping[str, Array] = field(default_factory=dict)
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        sigma, errors = vector("sigma", self.sigma, 4), floats("errors", self.errors)
        monotone("sigma", sigma)
        if errors.ndim != 2 or errors.shape[0] < 2 or errors.shape[1] != sigma.size:
            raise ValueError(f"errors must have shape (n, {sigma.size}), got {errors.shape}")
        require(errors >= 0, "errors", errors, "be at least 0")
        object.__setattr__(self, "dim", whole("dim", self.dim, 1))
        object.__setattr__(self, "sigma", sigma)
        object.__setattr__(self, "errors", errors)

    def profile(self) -> Profile:
        """Mean errors with their standard errors; from above, unless the denoiser is exact.

        E|x0 - D|^2 = mmse + E|D - E[x0|x]|^2 (Stancevic et al., eq. 16).
        """
        n = len(self.errors)
        stderr = self.errors.std(axis=0, ddof=1) / np.sqrt(n)
        mean = self.errors.mean(axis=0)
        return Profile(self.dim, self.sigma, mean, stderr, self.source, self.spectral)

    def resampled(self, rng: np.random.Generator) -> Profile:
        """The profile of n samples drawn again with replacement, each with all its levels."""
        n = len(self.errors)
        share = rng.multinomial(n, np.full(n, 1.0 / n)) / n
        mean = share @ self.errors
        variance = np.maximum(share @ self.errors**2 - mean**2, 0.0)
        stderr = np.sqrt(variance / (n - 1))
        return Profile(self.dim, self.sigma, mean, stderr, self.source, self.spectral)


def read_level_errors(path: StrPath, profile: Profile) -> LevelErrors:
    """The errors behind a measured profile, from the .npz (`sigma`, `errors`) written with it.

    Raises:
        ValueError: One line starting with the path; also if the means are not the profile's.
    """
    with naming(path):
        try:
            with np.load(path, allow_pickle=False) as found:
                sigma, errors = found["sigma"], found["errors"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"the file must hold sigma and errors, got {error}") from None
        out = LevelErrors(profile.dim, sigma, errors, profile.spectral, profile.source)
        same = out.sigma.shape == profile.sigma.shape and np.array_equal(out.sigma, profile.sigma)
        if not same or not np.allclose(out.errors.mean(axis=0), profile.mmse, rtol=1e-9):
            raise ValueError("the file must belong to the profile, got other levels or means")
        return out
