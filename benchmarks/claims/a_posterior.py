"""Paper A's appendix E: Tweedie's formulas of both orders, with a scale, and slopes of samplers.

Derivatives in the state are taken by complex step.
"""

import numpy as np

from benchmarks.claims.a_times import PROCESS
from benchmarks.claims.cases import Case
from benchmarks.claims.channel import norm_relative
from benchmarks.claims.ledger import Reading
from benchmarks.claims.posterior import STEP, Posterior, denoiser_slope, score_slope
from theory.checks import Array
from theory.solvers.ddim import ddim_table
from theory.solvers.two_calls import heun_table
from toys.laws.flow import Flow, Stretch
from toys.mixture import Mixture


def denoised_from_scaled_score(case: Case) -> Reading:
    """(25), (33): x0_hat = (x_t + s^2 sigma^2 grad log p_t) / s, in the VP process's coordinate."""
    s = float(PROCESS.alpha(PROCESS.time(case.sigma)))
    x = case.states()
    scaled = case.toy.scaled(0.0, s)
    left = (s * x + (s * case.sigma) ** 2 * scaled.score(s * x, s * case.sigma)) / s
    return norm_relative(left, case.toy.denoise(x, case.sigma))


def _scaled(case: Case) -> tuple[float, Mixture, Array, float]:
    """A scale s in [1/4, 4], the law of s x0, states y = s x, and their noise level s sigma."""
    s = float(4.0 ** case.rng.uniform(-1.0, 1.0))
    return s, case.toy.scaled(0.0, s), s * case.states(), s * case.sigma


def covariance_with_scale(case: Case, of: str) -> Reading:
    """(34), (38), (39): Var(x0|y) = s sigma^2 grad E[x0|y] = sigma^2 (I + s^2 sigma^2 Hess log p).

    The traces are compared; y = s x0 + s sigma eps. E[x0|y] is the posterior mean of s x0 over s.
    """
    s, scaled, y, noise = _scaled(case)
    engine = case.toy.posterior_variance(y / s, case.sigma)
    if of == "denoiser":
        slope = denoiser_slope(scaled, y, noise) / s
        trace = slope if slope.ndim == 1 else np.trace(slope, axis1=1, axis2=2)
        return norm_relative(engine, s * case.sigma**2 * trace)
    slope = score_slope(scaled, y, noise)
    trace = slope if slope.ndim == 1 else np.trace(slope, axis1=1, axis2=2)
    left = engine / case.sigma**2 - s**2 * case.sigma**2 * trace
    return norm_relative(left, np.full(len(y), float(case.toy.dim)))


def second_moment_of_posterior(case: Case) -> Reading:
    """(35) to (37): E[x0^2|y] = y E[x0|y] / s + s sigma^2 / p grad(p E[x0|y]), with scale s."""
    s, scaled, states, noise = _scaled(case)
    y = states[:, 0]
    moved = Posterior(scaled, y + 1j * STEP, noise)
    product = np.exp(moved.log_p - moved.log_p.real) * moved.mean[:, 0] / s
    right = y * product.real / s + s * case.sigma**2 * product.imag / STEP
    left = case.toy.posterior_variance(y / s, case.sigma) + case.toy.denoise(y / s, case.sigma) ** 2
    return norm_relative(left, right)


def slope_of_a_step(case: Case) -> Reading:
    """(34) in a sampler: a DDIM step's map has the slope b / a + (1 - b / a) Var(x0 | x) / a^2.

    The suite's slope comes from the compiled kernel that also computes the exact laws of samplers.
    """
    a, b = float(case.sigmas[0]), float(case.sigmas[1])
    x = case.toy.sample_noisy(40, a, case.seed)[:, 0]
    found = Flow(case.toy, ddim_table([a, b]), Stretch(0, 1, 0.0))(x)[1]
    return norm_relative(found, b / a + (a - b) / a * denoiser_slope(case.toy, x, a))


def slope_of_two_calls(case: Case) -> Reading:
    """The slope of a whole Heun step, by complex step through both of its denoiser calls."""
    a, b = float(case.sigmas[0]), float(case.sigmas[1])
    x = case.toy.sample_noisy(40, a, case.seed)[:, 0]
    moved = x + 1j * STEP
    first = Posterior(case.toy, moved, a).mean[:, 0]
    middle = b / a * moved + (a - b) / a * first
    second = Posterior(case.toy, middle, b).mean[:, 0]
    slopes = (moved - first) / a, (middle - second) / b  # of the ODE, at both ends
    end = moved + 0.5 * (b - a) * (slopes[0] + slopes[1])
    found = Flow(case.toy, heun_table([a, b]), Stretch(0, 2, 0.0))(x)[1]
    return norm_relative(found, np.asarray(end.imag / STEP, dtype=np.float64))
