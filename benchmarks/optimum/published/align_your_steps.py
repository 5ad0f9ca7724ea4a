"""Align Your Steps: levels of small path divergence for the stochastic sampler.

Sabour, Fidler and Kreis (2024), arXiv 2404.14507v1. For stochastic DDIM their upper bound of the KL
is, with sigma(t) = t (eq. 10),

    KLUB = sum_i int_{t_{i-1}}^{t_i} E|D(x_t, t) - D(x_{t_i}, t_i)|^2 / t^3 dt.

With the exact denoiser D(x_{t_i}, t_i) = E[D(x_t, t) | x_{t_i}], so that the expectation is
mmse(t_i) - mmse(t). Up to a constant, KLUB is then half of J = sum_i mmse(t_i) (1 / t_{i-1}^2 -
1 / t_i^2), which the exact mmse gives without their Monte Carlo estimate. J is the objective of
`theory.schedules.las` on the axis of the SNR without penalty. The bound of every first-order solver
with noise is proportional to it (appendix A.3), and the paper applies the levels to deterministic
and second-order solvers too.
"""

from collections.abc import Callable

import numpy as np

from benchmarks.measure.exact import kl
from benchmarks.optimum.published.line import line_profile, line_span
from theory.checks import Array
from theory.levels import Span, resampled
from theory.schedules.las import Objective
from theory.schedules.las_levels import RiskCurve, objective_sigmas
from theory.schedules.standard import edm_sigmas
from theory.solvers.ddim import stochastic_ddim_table
from toys.mixture import Mixture

FIRST_STEPS = 10  # of the first stage; two subdivisions make 40 (section 3.3)
SUBDIVISIONS = 2
REACH = np.arange(-5, 6) / 10.0  # 11 candidates (appendix B.1), up to half way to either neighbour
MOST_SWEEPS = 300  # their largest number of iterations
PATIENCE = 5  # sweeps without a lower KL after which the first stage stops
KL_RTOL = 1e-4


def klub_sigmas(
    mixture: Mixture, n_steps: int, sigma_max: float, sigma_min: float, *, solver: str
) -> Array:
    """Levels that minimise KLUB at this number of steps (Sabour et al. 2024, eqs. 10 and 12).

    The minimum is exact to rounding. The levels do not depend on the solver.

    Args:
        mixture: Data of one coordinate.
        n_steps: Number of steps, 1 to 256.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest noise level, in data units.
        solver: Name of the solver.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or two levels coincide in float64.
    """
    span = line_span(mixture, n_steps, sigma_max, sigma_min, solver)
    return objective_sigmas(
        span.n_steps,
        span.sigma_max,
        span.sigma_min,
        profile=line_profile(mixture, span),
        objective=Objective(),
    )


def align_your_steps_sigmas(
    mixture: Mixture,
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    *,
    solver: str,
    stop_early: bool = True,
) -> Array:
    """Levels of the whole published procedure (Sabour et al. 2024, section 3.3 and appendix B.1).

    Ten steps start from the EDM levels and are optimised by coordinate search (algorithm 1): each
    inner level moves to the best of 11 candidates, until none moves. Two subdivisions at the means
    of log sigma follow, in each of which only the new levels are optimised. Other numbers of steps
    interpolate the 40 steps linearly in log sigma. The paper does not say how far the candidates
    reach; here it is half way to either neighbour, uniformly in log sigma.

    The paper stops the first stage early, since KLUB is only an upper bound, and judges by image
    quality. Here the stage stops at the sweep whose ten steps of stochastic DDIM have the least
    exact KL, which no user of a network could know: it is the choice most in favour of the method.
    The levels do not depend on the solver.

    Args:
        mixture: Data of one coordinate.
        n_steps: Number of steps, 1 to 256.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest noise level, in data units.
        solver: Name of the solver.
        stop_early: Whether the first stage stops at the least KL, or when no level moves.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, or two levels coincide in float64.
    """
    span = line_span(mixture, n_steps, sigma_max, sigma_min, solver)
    curve = RiskCurve(line_profile(mixture, span))

    def distance(logs: Array) -> float:
        return kl(mixture, stochastic_ddim_table(np.exp(logs)), rtol=KL_RTOL).value

    logs = np.log(edm_sigmas(FIRST_STEPS, span.sigma_max, span.sigma_min))
    logs = search(logs, curve, np.arange(1, FIRST_STEPS), distance if stop_early else None)
    for _ in range(SUBDIVISIONS):
        both = np.empty(2 * logs.size - 1)
        both[::2], both[1::2] = logs, 0.5 * (logs[1:] + logs[:-1])
        logs = search(both, curve, np.arange(1, both.size, 2))
    fine = Span(logs.size - 1, span.sigma_max, span.sigma_min).finish(np.exp(logs[1:-1]))
    return span.finish(resampled(fine, span.n_steps)[1:-1])


def search(
    logs: Array,
    curve: RiskCurve,
    free: np.ndarray,
    distance: Callable[[Array], float] | None = None,
) -> Array:
    """Levels after coordinate search on KLUB (Sabour et al. 2024, algorithm 1), in log sigma.

    Args:
        logs: Log levels to start from, shape (n_steps + 1,), strictly decreasing.
        curve: The mmse as a function of log SNR.
        free: Indices of the levels that may move.
        distance: Distance of the sampler with these log levels from the data. If given, the result
            is the sweep of the least distance.
    """
    logs = logs.copy()
    best, least, calm = logs, np.inf if distance is None else distance(logs), 0
    for _ in range(MOST_SWEEPS):
        # From the lowest level up, as in the paper, where t_0 is the lowest.
        moved = [_move(logs, i, curve) for i in free[::-1]]
        if distance is not None:
            now = distance(logs)
            calm = 0 if now < least else calm + 1
            if now < least:
                best, least = logs.copy(), now
        if not any(moved) or calm == PATIENCE:
            break
    return logs if distance is None else best


def _move(logs: Array, i: int, curve: RiskCurve) -> bool:
    """Move level i to the candidate of least KLUB; whether it has moved."""
    gaps = np.where(REACH < 0, logs[i] - logs[i + 1], logs[i - 1] - logs[i])
    tried = logs[i] + REACH * gaps
    snr = np.exp(-2.0 * tried)
    above, below = np.exp(-2.0 * logs[i - 1]), np.exp(-2.0 * logs[i + 1])
    risks = curve.at(-2.0 * np.append(tried, logs[i - 1]))[0]
    bounds = risks[-1] * (snr - above) + risks[:-1] * (below - snr)
    stay = REACH.size // 2
    place = int(np.argmin(bounds))
    if bounds[place] >= bounds[stay]:
        return False
    logs[i] = tried[place]
    return True
