"""Squared errors of a denoiser on the same clean samples at every level of a grid.

Algorithm 2 of Stancevic et al. (final version) draws the clean samples once and reuses them at all
levels. Errors at different levels are therefore correlated, and a bootstrap must resample whole
samples.
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
    """Squared errors |x0 - D(x0 + sigma eps)|^2 of n samples at m levels, summed over coordinates.

    Args:
        dim: Number of coordinates d of x0.
        sigma: Noise levels, shape (m,), m >= 4, positive, strictly increasing, in data units.
        errors: Squared errors, shape (n, m), n >= 2, at least 0, in squared data units; one row per
            clean sample.
        spectral: Means over the samples for the field `spectral` of
            `theory.profiles.profile.Profile`, shape (m,) each.
        source: Origin of the numbers, which the profile keeps.

    Raises:
        ValueError: A shape or a value is invalid; the message is one line and names the argument.
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
        """Profile of the mean errors with their standard errors.

        It overestimates the mmse unless the denoiser is exact: E|x0 - D|^2 = mmse +
        E|D - E[x0|x]|^2 (Stancevic et al., v1, eq. 16).
        """
        n = len(self.errors)
        stderr = self.errors.std(axis=0, ddof=1) / np.sqrt(n)
        mean = self.errors.mean(axis=0)
        return Profile(self.dim, self.sigma, mean, stderr, self.source, self.spectral)

    def resampled(self, rng: np.random.Generator) -> Profile:
        """Profile of n samples drawn with replacement, each with its errors at all levels."""
        n = len(self.errors)
        share = rng.multinomial(n, np.full(n, 1.0 / n)) / n
        mean = share @ self.errors
        variance = np.maximum(share @ self.errors**2 - mean**2, 0.0)
        stderr = np.sqrt(variance / (n - 1))
        return Profile(self.dim, self.sigma, mean, stderr, self.source, self.spectral)


def read_level_errors(path: StrPath, profile: Profile) -> LevelErrors:
    """The errors from which a profile was measured, from the .npz file written with it.

    Args:
        path: The file, with the arrays `sigma`, shape (m,), and `errors`, shape (n, m).
        profile: The profile, whose levels and means the file must have.

    Raises:
        ValueError: The file is invalid or belongs to another profile; the message is one line and
            starts with the path.
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
