"""Denoisers that are wrong in a stated way, so that a learned one's error is an exact number.

D(x, sigma) = scale m'(x, sigma) + tilt x, m' the exact denoiser of another mixture.
"""

from dataclasses import dataclass, replace

import numpy as np

from theory.checks import Array
from theory.solvers.table import SolverTable
from toys.information.quadrature import integrals
from toys.mixture import Mixture

REACH = 9.0  # deviations of the noisy components; the rest weighs 2e-19
RTOL = 1e-12


@dataclass(frozen=True)
class WrongDenoiser:
    """A denoiser of a mixture other than the data's, scaled and tilted.

    Args:
        model: The mixture whose exact denoiser it starts from.
        scale: Factor of that.
        tilt: Share of the state added.
    """

    model: Mixture
    scale: float = 1.0
    tilt: float = 0.0

    def denoise(self, x: Array, sigma: float) -> Array:
        """Denoised states, of the shape of x."""
        return np.asarray(self.scale * self.model.denoise(x, sigma) + self.tilt * x)

    def error(self, truth: Mixture, sigma: float) -> float:
        """E(m(x) - D(x))^2 over x = x0 + sigma eps of the truth (1-D), to 1e-12 by quadrature."""
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
        """The table whose walk with the exact denoiser of `model` is the given one with this."""
        keep, weights = np.asarray(table.keep), np.asarray(table.weights)
        wide = max(keep.shape[1], weights.shape[1])
        keep, weights = (np.pad(c, ((0, 0), (0, wide - c.shape[1]))) for c in (keep, weights))
        return replace(table, keep=keep + self.tilt * weights, weights=self.scale * weights)
