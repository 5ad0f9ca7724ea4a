"""Denoisers with a known error, as exactly computable examples of learned denoisers.

D(x, sigma) = scale m'(x, sigma) + tilt x, where m' is the exact denoiser of another mixture.
"""

from dataclasses import dataclass, replace

import numpy as np

from theory.checks import Array
from theory.solvers.table import SolverTable
from toys.information.quadrature import integrals
from toys.mixture import Mixture

REACH = 9.0  # standard deviations of the noisy components; the rest has probability 2e-19
RTOL = 1e-12


@dataclass(frozen=True)
class WrongDenoiser:
    """The denoiser D(x, sigma) = scale m'(x, sigma) + tilt x, wrong for data of another law.

    Args:
        model: The mixture whose exact denoiser is m'.
        scale: Factor of the exact denoiser.
        tilt: Factor of the state.
    """

    model: Mixture
    scale: float = 1.0
    tilt: float = 0.0

    def denoise(self, x: Array, sigma: float) -> Array:
        """D(x, sigma), in data units, shape of x."""
        return np.asarray(self.scale * self.model.denoise(x, sigma) + self.tilt * x)

    def error(self, truth: Mixture, sigma: float) -> float:
        """E(m(x) - D(x))^2 over x = x0 + sigma eps, in squared data units, to 1e-12 by quadrature.

        Args:
            truth: The data, one-dimensional, with exact denoiser m.
            sigma: Noise level, positive, in data units.
        """
        stds = truth.noisy_stds(sigma)[:, 0]
        ladder = np.linspace(-REACH, REACH, 19)
        cuts = np.unique(truth.means[:, 0, None] + stds[:, None] * ladder)
        kept = np.append(True, np.diff(cuts) > 1e-9 * stds.min())

        def f(x: Array) -> Array:
            gap = truth.denoise(x, sigma) - self.denoise(x, sigma)
            return np.asarray(np.exp(truth.log_density(x, sigma)) * gap**2)[None]

        scale = truth.variance + float(stds.max()) ** 2
        return float(integrals(f, cuts[kept], RTOL, 1e-15 * scale)[0][0])

    def applied(self, table: SolverTable) -> SolverTable:
        """The table that gives with the exact denoiser of `model` the states of `table` with D.

        Args:
            table: A solver table.
        """
        keep, weights = np.asarray(table.keep), np.asarray(table.weights)
        wide = max(keep.shape[1], weights.shape[1])
        keep, weights = (np.pad(c, ((0, 0), (0, wide - c.shape[1]))) for c in (keep, weights))
        return replace(table, keep=keep + self.tilt * weights, weights=self.scale * weights)
