"""Paper A's times: the SDE in several coordinates, time changes and invariance under them."""

from itertools import pairwise

import numpy as np

from benchmarks.claims.cases import Case
from benchmarks.claims.channel import WINDOW, entropy_gained, norm_relative
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from benchmarks.claims.posterior import STEP, Posterior
from benchmarks.measure.expectation import over_log_sigma
from theory.checks import Array
from theory.noise.processes import SNR, VP
from theory.profiles.profile import Profile
from theory.schedules.time_change import entropic_sigmas, rate_sigmas, rescaled_sigmas
from theory.solvers.ddim import ddim_table
from toys import sampling
from toys.information import information

PROCESS = VP()


def beta(time: Array) -> Array:
    """The rate of the VP process at a time, from its definition."""
    return np.asarray(PROCESS.beta_min + (PROCESS.beta_max - PROCESS.beta_min) * time)


def beta_integral(time: Array) -> Array:
    """The integral of the VP process's rate from 0 to a time."""
    return np.asarray(
        PROCESS.beta_min * time + 0.5 * (PROCESS.beta_max - PROCESS.beta_min) * time**2
    )


def sde_kernel(case: Case) -> Reading:
    """(1): with f = -beta x / 2 and g^2 = beta the suite's kernel is N(s x0, s^2 sigma^2)."""
    t = PROCESS.time(case.sigmas)
    s, sigma = PROCESS.alpha(t), PROCESS.sigma(t)
    drift = relative(np.log(s), -0.5 * beta_integral(t))
    # The variance v of the linear SDE solves dv / dt = 2 f v + g^2 with v = s^2 sigma^2.
    noise = relative(2.0 * s**2 * sigma * PROCESS.dsigma_dtime(t), beta(t))
    return worst([drift, noise])


def time_change(case: Case) -> Reading:
    """Definitions 4.1, 4.2: the VP SDE in t and in sigma satisfy conditions 1 and 2."""
    t = PROCESS.time(case.sigmas)
    sigma, rise = PROCESS.sigma(t), PROCESS.dsigma_dtime(t)
    drift = relative(rise * sigma / (1.0 + sigma**2), 0.5 * beta(t))
    noise = relative(rise * 2.0 * sigma / (1.0 + sigma**2), beta(t))
    rising = at_most(-rise, 0.0)
    return worst([drift, noise, Reading(max(rising.value, 0.0), 0.0, rising.detail)])


def invariance(case: Case, rescaled: bool = False) -> Reading:
    """Theorem 5.2: (rescaled) entropic levels from rates in VP time and in sigma are the same."""
    low, high = case.sigma, 2.0 * case.sigma
    levels = np.geomspace(low, high, 100)
    mmse = information.mmse(case.toy, levels)
    if mmse[0] < 1e-280:  # an mmse that underflows has no logarithm
        levels = np.geomspace(1.0, 2.0, 100) * np.sqrt(case.toy.variance)
        low, high = float(levels[0]), float(levels[-1])
        mmse = information.mmse(case.toy, levels)
    power = 2 if rescaled else 3
    schedule = rescaled_sigmas if rescaled else entropic_sigmas
    ours = schedule(8, high, low, profile=Profile(1, levels, mmse))
    time = PROCESS.time(levels)
    rate = PROCESS.dsigma_dtime(time) * mmse / levels**power
    theirs = rate_sigmas(8, high, low, time=time, rate=rate, coordinate=PROCESS)
    return relative(ours, theirs)


def entropy_rises(case: Case) -> Reading:
    """Theorem 5.1: H[x0 | x_t] rises strictly with noise if the data have at least two values."""
    levels = case.sigmas[::-1]
    rises = [entropy_gained(case.toy, a, b) for a, b in pairwise(levels)]
    positive = np.isfinite(information.log_mmse(case.toy, levels)).all()
    seen = [r for r in rises if abs(r) > 1e-290]
    value = max((-np.sign(r) for r in seen), default=-1.0)
    return Reading(float(value) if positive else 1.0, 0.0, f"least rise {min(rises):.3g} nats")


def rescaled_entropy_rises(case: Case) -> Reading:
    """Theorem 5.1: the rescaled entropy is finite and rises strictly."""
    low, high = case.sigma, WINDOW * case.sigma
    rise = float(over_log_sigma(low, high, lambda s: information.mmse(case.toy, s) / s)[0])
    # mmse <= sigma^2 for any data, so that R(sigma) <= sigma is finite.
    whole = at_most(information.rescaled_entropy(case.toy, [high], points=60), high)
    if rise == 0.0 and np.isfinite(information.log_mmse(case.toy, high)).all():
        return whole  # positive, but below float64
    return worst([whole, Reading(-np.sign(rise), 0.0, f"R rises by {rise:.3g}")])


def ddim_in_vp_time(case: Case) -> Reading:
    """Final appendix C: deterministic DDIM does not depend on the time parametrisation.

    The VP update x_t' = s' x0_hat + s' sigma' eps_hat, written out, against the suite's table.
    """
    x = case.states(20) * case.sigmas[0] / case.sigma
    t = PROCESS.time(case.sigmas)
    s, sigma = PROCESS.alpha(t), PROCESS.sigma(t)
    state = s[0] * x
    for i in range(t.size - 1):
        mean = Posterior(case.toy, state / s[i], float(sigma[i])).mean
        eps = (state - s[i] * mean) / (s[i] * sigma[i])
        state = s[i + 1] * mean + s[i + 1] * sigma[i + 1] * eps
    walked = sampling.walk_states(case.toy, ddim_table(case.sigmas), x, 0)
    return norm_relative(state / s[-1], walked)


def snr_rate(case: Case, printed: bool = False) -> Reading:
    """Below (13), in VP time: dSNR/dt is -sigma' / sigma^3 as printed, and twice that in fact.

    The correct rate is that of SNR = 1 / sigma^2.
    """
    t = PROCESS.time(case.sigmas)
    sigma, rise = PROCESS.sigma(t), PROCESS.dsigma_dtime(t)
    # dSNR/dt by the chain rule through the suite's SNR and VP coordinates, against the display.
    chain = rise / SNR().dsigma_dtime(SNR().time(sigma))
    return relative(chain, -(1.0 if printed else 2.0) * rise / sigma**3)


def snr_rate_by_complex_step(case: Case) -> float:
    """The excess of the printed rate: d/dt of 1 / (exp(B) - 1) by complex step."""
    t = PROCESS.time(case.sigmas) + 1j * STEP
    slope = PROCESS.beta_max - PROCESS.beta_min
    exponent = np.exp(PROCESS.beta_min * t + 0.5 * slope * t**2) - 1.0
    exact = (1.0 / exponent).imag / STEP
    variance = exponent.real  # sigma^2; sigma' = beta (1 + sigma^2) / (2 sigma)
    beta = PROCESS.beta_min + slope * t.real
    printed = -beta * (1.0 + variance) / (2.0 * variance**2)
    gap = np.abs(exact - printed) / np.maximum(np.abs(exact), np.abs(printed))
    return float(gap.max())
