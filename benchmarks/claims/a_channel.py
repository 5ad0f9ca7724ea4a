"""Paper A's identities: the SDE in two coordinates, entropy production, losses, Tweedie's formulas.

Time derivatives are integrated over a window of noise levels; derivatives in the state are taken
by complex step. The coordinate is x = x0 + sigma eps unless a formula is about the scale s.
"""

from itertools import pairwise

import numpy as np

from benchmarks.claims.cases import Case, random_wrong
from benchmarks.claims.channel import (
    STATE_WINDOW,
    WINDOW,
    entropy_gained,
    noise_entropy,
    norm_relative,
    observed_entropy,
    posterior_entropy,
    posterior_risk,
)
from benchmarks.claims.expectation import expect, over_log_sigma
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from benchmarks.claims.posterior import STEP, Posterior, denoiser_slope, score_slope
from theory.noise import SNR, VP
from theory.profile import Profile, x0_risks
from theory.schedules import entropic_sigmas, rate_sigmas, rescaled_sigmas
from theory.solvers import ddim_table, heun_table
from toys import information, sampling
from toys.flow import Flow, Stretch
from toys.kernels import Array
from toys.mixture import Mixture

PROCESS = VP()


def _beta(time: Array) -> Array:
    """Rate beta(t) of the VP process, from its definition."""
    return np.asarray(PROCESS.beta_min + (PROCESS.beta_max - PROCESS.beta_min) * time)


def _beta_integral(time: Array) -> Array:
    return np.asarray(
        PROCESS.beta_min * time + 0.5 * (PROCESS.beta_max - PROCESS.beta_min) * time**2
    )


def _score_square(toy: Mixture, sigma: float) -> Array:
    """E|score|^2, shape (1,), by the suite's score."""
    return expect(toy, sigma, lambda x: toy.score(x, sigma)[None] ** 2)


def sde_kernel(case: Case) -> Reading:
    """(1): f = -beta x / 2, g^2 = beta has the kernel N(s x0, s^2 sigma^2), both the suite's."""
    t = PROCESS.time(case.sigmas)
    s, sigma = PROCESS.alpha(t), PROCESS.sigma(t)
    drift = relative(np.log(s), -0.5 * _beta_integral(t))
    # The variance v of the linear SDE solves dv / dt = 2 f v + g^2 with v = s^2 sigma^2.
    noise = relative(2.0 * s**2 * sigma * PROCESS.dsigma_dtime(t), _beta(t))
    return worst([drift, noise])


def time_change(case: Case) -> Reading:
    """Definitions 4.1, 4.2: the VP SDE in t and in sigma satisfy conditions 1 and 2."""
    t = PROCESS.time(case.sigmas)
    sigma, rise = PROCESS.sigma(t), PROCESS.dsigma_dtime(t)
    drift = relative(rise * sigma / (1.0 + sigma**2), 0.5 * _beta(t))
    noise = relative(rise * 2.0 * sigma / (1.0 + sigma**2), _beta(t))
    rising = at_most(-rise, 0.0)
    return worst([drift, noise, Reading(max(rising.value, 0.0), 0.0, rising.detail)])


def fokker_planck(case: Case, printed: bool = False) -> Reading:
    """(2) integrated, f = 0, g^2 = 2 sigma: p_b - p_a = int c(sigma) p'' dsigma at fixed states.

    c = g^2 / 2; c = g as printed. p'' = p (score^2 + Var / sigma^4 - 1 / sigma^2).
    """
    x, toy = case.states()[:, 0], case.toy
    low, high = case.sigma, STATE_WINDOW * case.sigma

    def flux(s: float) -> Array:
        slope = toy.posterior_variance(x, s) / s**4 - s**-2.0
        curvature = np.exp(toy.log_density(x, s)) * (toy.score(x, s) ** 2 + slope)
        return np.asarray((np.sqrt(2.0 * s) if printed else s) * curvature * s)

    change = np.exp(Posterior(toy, x, high).log_p) - np.exp(Posterior(toy, x, low).log_p)
    return norm_relative(change, over_log_sigma(low, high, flux))


def _trials(x: Array, case: Case) -> tuple[Array, Array]:
    """First and second derivatives of four test functions of the scale of x, (4, n) each."""
    scale = float(np.hypot(np.sqrt(case.toy.variance), case.sigma))
    u = (x - case.toy.mean[0]) / scale
    phase = case.rng.uniform(0.0, 1.0, 2)
    t = np.tanh(u)
    first = [2.0 * u, 1.0 - t**2, np.cos(u + phase[0]), -np.sin(2.0 * u + phase[1]) * 2.0]
    second = [2.0 + 0.0 * u, -2.0 * t * (1.0 - t**2), -np.sin(u + phase[0]),
              -4.0 * np.cos(2.0 * u + phase[1])]  # fmt: skip
    return np.stack(first) / scale, np.stack(second) / scale**2


def reverse_sde(case: Case) -> Reading:
    """(3) weakly: both generators cancel on the marginals, E[score phi'] = -E[phi'']."""

    def f(x: Array) -> Array:
        first, second = _trials(x, case)
        return np.concatenate([first * case.toy.score(x, case.sigma), second])

    found = expect(case.toy, case.sigma, f)
    return norm_relative(found[:4], -found[4:])


def entropy_of_state(case: Case) -> Reading:
    """(8): H[x0|x_b] - H[x0|x_a] + h(x_b) - h(x_a) = h(x_b|x0) - h(x_a|x0)."""
    low, high = float(case.sigmas[-1]), float(case.sigmas[0])
    toy = case.toy
    h = [
        information.differential_entropy(Mixture(toy.weights, toy.means, toy.noisy_stds(s)))
        for s in (low, high)
    ]
    left = entropy_gained(toy, low, high) + h[1] - h[0]
    return relative(left, noise_entropy(high) - noise_entropy(low))


def entropy_production(case: Case) -> Reading:
    """(9), (17) on the VP SDE, integrated: dh/dt = E div f + g^2 / 2 E|grad log p_t|^2."""
    low, high = case.sigma, WINDOW * case.sigma
    t = PROCESS.time(np.array([low, high]))
    scale = np.log(PROCESS.alpha(t))
    change = (
        observed_entropy(case.toy, high) + scale[1] - observed_entropy(case.toy, low) - scale[0]
    )
    # g^2 / 2 |grad log p_t|^2 dt = sigma |score|^2 dsigma, whatever s is.
    push = over_log_sigma(low, high, lambda s: s**2 * _score_square(case.toy, s))[0]
    divergence = 0.5 * (_beta_integral(t)[1] - _beta_integral(t)[0])
    return relative(change + divergence, push)


def entropy_production_by_parts(case: Case) -> Reading:
    """(18), (19): -E[(dp/dt) / p log p] = g^2 / 2 E|score|^2, by parts, f = 0."""
    toy, s = case.toy, case.sigma
    shift = float(np.log(np.hypot(np.sqrt(toy.variance), s)))

    def f(x: Array) -> Array:
        p = Posterior(toy, x, s)
        curvature = toy.score(x, s) ** 2 + toy.posterior_variance(x, s) / s**4 - s**-2.0
        # A constant on log p changes nothing, since dp/dt integrates to 0; it takes out size.
        return np.stack([-curvature * (p.log_p + shift), toy.score(x, s) ** 2, curvature * s**2])

    by_parts, square, total = expect(toy, s, f)
    lost = Reading(abs(float(total)), 0.0, f"int dp/dt = {total:.2g}")
    return worst([relative(by_parts, square), lost])


def kernel_and_marginal(case: Case) -> Reading:
    """(10) integrated, the marginal's Fisher information on the left, the kernel's on the right."""
    low, high = case.sigma, WINDOW * case.sigma
    push = over_log_sigma(low, high, lambda s: s**2 * _score_square(case.toy, s))[0]
    return relative(entropy_gained(case.toy, low, high) + push, np.log(high / low))


def edm_form(case: Case) -> Reading:
    """(11) on the VP process: dH/dt + s^2 sigma' sigma E|grad log p_t|^2 = D sigma' / sigma."""
    t = PROCESS.time(case.sigma)
    sigma, rise, s = (
        float(v) for v in (PROCESS.sigma(t), PROCESS.dsigma_dtime(t), PROCESS.alpha(t))
    )
    scaled = case.toy.scaled(0.0, s)  # s x0, so that x_t has noise s sigma
    square = float(_score_square(scaled, s * sigma)[0])
    rate = rise * float(information.entropy_rate(case.toy, sigma)[0])
    return relative(rate + s**2 * rise * sigma * square, rise / sigma)


def losses_differ_by_a_constant(case: Case) -> Reading:
    """(5): L_DSM - L_SM is the same for two denoisers."""
    other = Case(case.name, case.toy, case.sigmas, random_wrong(case.toy, case.rng), case.seed)
    s = case.sigma
    first, second = posterior_risk(case, s)[1], posterior_risk(other, s)[1]
    return relative(first + other.wrong.error(case.toy, s), second + case.wrong.error(case.toy, s))


def explicit_loss_is_smaller(case: Case) -> Reading:
    """(5): L_SM <= L_DSM, score errors at one level."""
    explicit = case.wrong.error(case.toy, case.sigma)
    return at_most(explicit, float(posterior_risk(case, case.sigma)[1]))


def _score_losses(case: Case) -> tuple[Array, Array, Array]:
    """L_SM and L_DSM of score errors, and E|score|^2, at every level of the grid, (m,) each."""
    levels = case.sigmas.tolist()
    explicit = np.array([case.wrong.error(case.toy, s) for s in levels]) / case.sigmas**4
    denoising = np.array([posterior_risk(case, s)[1] for s in levels]) / case.sigmas**4
    square = np.array([_score_square(case.toy, s)[0] for s in levels])
    return explicit, denoising, square


def loss_gap(case: Case) -> Reading:
    """(14): L_SM + E|score of kernel|^2 = L_DSM + E|score|^2 at every time of the grid."""
    explicit, denoising, square = _score_losses(case)
    # Level by level: in the mean over times the lowest level would drown the others.
    return relative(explicit + case.sigmas**-2.0, denoising + square)


def loss_and_entropy(case: Case) -> Reading:
    """(15): L_DSM = L_SM + 2 / g^2 dH/dt at every time of the grid, g^2 = 2 sigma."""
    explicit, denoising, _ = _score_losses(case)
    rate = information.entropy_rate(case.toy, case.sigmas) / case.sigmas
    return relative(denoising, explicit + rate)


def loss_at_one_level(case: Case) -> Reading:
    """(16): dH/dt + g^2 / 2 delta^2 = g^2 / 2 E|s_theta - score of kernel|^2."""
    s = case.sigma
    rate = float(information.entropy_rate(case.toy, s)[0]) + case.wrong.error(case.toy, s) / s**3
    return relative(rate, float(posterior_risk(case, s)[1]) / s**3)


def estimate_is_above(case: Case) -> Reading:
    """(16): the entropy production read off a network's loss is never below the true one."""
    s = case.sigma
    estimate = float(x0_risks([s], [posterior_risk(case, s)[1]], "x0", 1)[1][0]) / s**3
    return at_most(information.entropy_rate(case.toy, s), estimate)


def denoised_from_scaled_score(case: Case) -> Reading:
    """(25), (33): x0_hat = (x_t + s^2 sigma^2 grad log p_t) / s, in the VP process's coordinate."""
    s = float(PROCESS.alpha(PROCESS.time(case.sigma)))
    x = case.states()
    scaled = case.toy.scaled(0.0, s)
    left = (s * x + (s * case.sigma) ** 2 * scaled.score(s * x, s * case.sigma)) / s
    return norm_relative(left, case.toy.denoise(x, case.sigma))


def preconditioned_loss(case: Case) -> Reading:
    """(29)-(31): EDM's loss of a preconditioned network is lambda s^2 times its squared error."""
    s, spread = case.sigma, 0.5
    skip = spread**2 / (s**2 + spread**2)
    out = s * spread / np.hypot(s, spread)
    weight = (s**2 + spread**2) / (s * spread) ** 2

    def f(x: Array) -> Array:
        p = Posterior(case.toy, x, s)
        network = (case.wrong.denoise(x, s) - skip * x) / out  # F of the paper's display
        return np.asarray(p.second_moment((out * network + skip * x)[:, None])[None])

    loss = weight * expect(case.toy, s, f)
    risk = x0_risks([s], loss, "edm", 1, spread)[1]
    return relative(risk, information.mmse(case.toy, s) + case.wrong.error(case.toy, s))


def _scaled(case: Case) -> tuple[float, Mixture, Array, float]:
    """A scale s in [1/4, 4], the law of s x0, states y = s x, and their noise s sigma."""
    s = float(4.0 ** case.rng.uniform(-1.0, 1.0))
    return s, case.toy.scaled(0.0, s), s * case.states(), s * case.sigma


def covariance_with_scale(case: Case, of: str) -> Reading:
    """(34), (38), (39): Var(x0|y) = s sigma^2 grad E[x0|y] = sigma^2 (I + s^2 sigma^2 Hess log p).

    In the trace; y = s x0 + s sigma eps. E[x0|y] is a posterior mean of s x0, divided by s.
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
    """(35)-(37): E[x0^2|y] = y E[x0|y] / s + s sigma^2 / p grad(p E[x0|y]), with scale s."""
    s, scaled, states, noise = _scaled(case)
    y = states[:, 0]
    moved = Posterior(scaled, y + 1j * STEP, noise)
    product = np.exp(moved.log_p - moved.log_p.real) * moved.mean[:, 0] / s
    right = y * product.real / s + s * case.sigma**2 * product.imag / STEP
    left = case.toy.posterior_variance(y / s, case.sigma) + case.toy.denoise(y / s, case.sigma) ** 2
    return norm_relative(left, right)


def slope_of_a_step(case: Case) -> Reading:
    """(34) in a sampler: a DDIM step's map has the slope b / a + (1 - b / a) Var(x0 | x) / a^2.

    The slope is the one that the exact laws of samplers are made of, from a compiled kernel.
    """
    a, b = float(case.sigmas[0]), float(case.sigmas[1])
    x = case.toy.sample_noisy(40, a, case.seed)[:, 0]
    found = Flow(case.toy, ddim_table([a, b]), Stretch(0, 1, 0.0))(x)[1]
    return norm_relative(found, b / a + (a - b) / a * denoiser_slope(case.toy, x, a))


def slope_of_two_calls(case: Case) -> Reading:
    """The slope of a whole Heun step, by complex step through both of its calls."""
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


def snr_rate(case: Case, printed: bool = False) -> Reading:
    """Below (13): dSNR/dt = -sigma' / sigma^3 as printed, twice that for SNR = 1 / sigma^2; VP."""
    t = PROCESS.time(case.sigmas)
    sigma, rise = PROCESS.sigma(t), PROCESS.dsigma_dtime(t)
    # dSNR/dt by the chain of SNR and VP coordinates of the suite, against the display.
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


def entropy_rises(case: Case) -> Reading:
    """Theorem 5.1: H[x0 | x_t] rises strictly with noise, data of two values or more."""
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
    # mmse <= sigma^2 for every x0, so that R(sigma) <= sigma: finite whatever the data are.
    whole = at_most(information.rescaled_entropy(case.toy, [high], points=60), high)
    if rise == 0.0 and np.isfinite(information.log_mmse(case.toy, high)).all():
        return whole  # positive, but below float64
    return worst([whole, Reading(-np.sign(rise), 0.0, f"R rises by {rise:.3g}")])


def invariance(case: Case, rescaled: bool = False) -> Reading:
    """Theorem 5.2: (rescaled) entropic levels from rates in VP time and in sigma are the same."""
    low, high = case.sigma, 2.0 * case.sigma
    levels = np.geomspace(low, high, 100)
    mmse = information.mmse(case.toy, levels)
    if mmse[0] < 1e-280:  # what underflows has no logarithm: another curve, above it
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


def ddim_in_vp_time(case: Case) -> Reading:
    """Section C.1 of A-final: deterministic DDIM does not depend on the time parametrisation.

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


def information_sign(case: Case, printed: bool = False) -> Reading:
    """(7), T = H[x0] - H[x0|x] = I, with H = E log p as the line below it prints, or -E log p."""
    toy = information.merged(case.toy)
    h0 = information.entropy(toy)
    transferred = h0 - posterior_entropy(toy, case.sigma)
    sign = -1.0 if printed else 1.0
    found = float(information.mutual_information(toy, case.sigma)[0])
    # Rearranged so that nothing cancels at high noise, where I is far below H[x0].
    return (
        relative(sign * transferred, found)
        if printed
        else relative(found + posterior_entropy(toy, case.sigma), h0)
    )
