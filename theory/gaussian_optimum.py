"""The levels of least KL(data || sampler) for data N(0, c^2 I), at any number of steps.

The proof is in docs/optimum.md.
"""

import numpy as np

from theory.checks import Array, one_of, positive
from theory.levels import Span
from theory.schedules.arctan import arctan_sigmas


def gaussian_optimal_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    c: float,
    solver: str = "stochastic_ddim",
) -> Array:
    """Levels of least KL(data || sampler) for data N(0, c^2 I), shape (n_steps + 1,).

    A step of stochastic DDIM loses variance in proportion to (u - u')^2 / u, where u = sigma^2 /
    (sigma^2 + c^2) falls to u'. The sum of the losses is convex in the u, and at its minimum the
    ratios r = u' / u of successive steps obey r = (1 + r'^2) / 2. For deterministic DDIM the levels
    are uniform in arctan(sigma / c). Both hold for an initial variance up to c^2 + sigma_max^2, and
    for either terminal: the step from sigma_min to 0 loses the same on all levels.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        c: Standard deviation of the data, in data units.
        solver: "stochastic_ddim" with eta = 1, or "ddim".

    Raises:
        ValueError: An argument is out of its range, or two levels coincide in float64.
    """
    from scipy.optimize import brentq

    span, scale = Span(n_steps, sigma_max, sigma_min, terminal), positive("c", c)
    if one_of("solver", solver, ("stochastic_ddim", "ddim")) == "ddim":
        return arctan_sigmas(n_steps, sigma_max, sigma_min, terminal, c=scale)
    high, low, count = scale / span.sigma_max, scale / span.sigma_min, span.fractions.size + 1
    fall = float(np.log1p((low - high) * ((low + high) / (1.0 + high**2))))  # of log u in all

    def ratios(last: float) -> Array:
        """-log r of each step, given the last, by g = g' - g'^2 / 2 for g = 1 - r."""
        gaps = [-float(np.expm1(-last))]
        for _ in range(count - 1):
            gaps.append(gaps[-1] - 0.5 * gaps[-1] ** 2)
        return np.append(-np.log1p(-np.array(gaps[:0:-1])), last)

    # No step is larger than the last, whose log ratio is thus between the mean and the whole.
    ends, xtol = (fall / count, fall), 1e-16 * fall / count
    last = brentq(lambda x: ratios(x).sum() - fall, *ends, xtol=xtol) if count > 1 else fall
    falls = np.log1p(high**2) + np.cumsum(ratios(last)[:-1])
    return span.finish(scale / np.sqrt(np.expm1(falls)))
