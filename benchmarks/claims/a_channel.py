"""Paper A's identities: entropy production, its two Fisher informations, and losses.

Time derivatives are integrated over a window of noise levels. The coordinate is x = x0 + sigma eps
unless a formula is about the scale s.
"""

import numpy as np

from benchmarks.claims.a_times import PROCESS, beta_integral
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
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from benchmarks.claims.posterior import Posterior
from benchmarks.measure.expectation import expect, over_log_sigma
from theory.checks import Array
from theory.profiles.risks import x0_risks
from toys.information import information
from toys.mixture import Mixture


def _score_square(toy: Mixture, sigma: float) -> Array:
    """E|score|^2, shape (1,), by the suite's score."""
    return expect(toy, sigma, lambda x: toy.score(x, sigma)[None] ** 2)


def fokker_planck(case: Case, printed: bool = False) -> Reading:
    """(2) integrated, f = 0, g^2 = 2 sigma: p_b - p_a = int c(sigma) p'' dsigma at fixed states.

    The correct c is g^2 / 2; the paper prints g. p'' = p (score^2 + Var / sigma^4 - 1 / sigma^2).
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
    """First and second derivatives of four test functions on the scale of x, (4, n) each."""
    scale = float(np.hypot(np.sqrt(case.toy.variance), case.sigma))
    u = (x - case.toy.mean[0]) / scale
    phase = case.rng.uniform(0.0, 1.0, 2)
    t = np.tanh(u)
    first = [2.0 * u, 1.0 - t**2, np.cos(u + phase[0]), -np.sin(2.0 * u + phase[1]) * 2.0]
    second = [2.0 + 0.0 * u, -2.0 * t * (1.0 - t**2), -np.sin(u + phase[0]),
              -4.0 * np.cos(2.0 * u + phase[1])]  # fmt: skip
    return np.stack(first) / scale, np.stack(second) / scale**2


def reverse_sde(case: Case) -> Reading:
    """(3) in weak form: both generators cancel on the marginals, E[score phi'] = -E[phi'']."""

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
    # g^2 / 2 |grad log p_t|^2 dt = sigma |score|^2 dsigma for any scale s.
    push = over_log_sigma(low, high, lambda s: s**2 * _score_square(case.toy, s))[0]
    divergence = 0.5 * (beta_integral(t)[1] - beta_integral(t)[0])
    return relative(change + divergence, push)


def entropy_production_by_parts(case: Case) -> Reading:
    """(18), (19): -E[(dp/dt) / p log p] = g^2 / 2 E|score|^2, by parts, f = 0."""
    toy, s = case.toy, case.sigma
    shift = float(np.log(np.hypot(np.sqrt(toy.variance), s)))

    def f(x: Array) -> Array:
        p = Posterior(toy, x, s)
        curvature = toy.score(x, s) ** 2 + toy.posterior_variance(x, s) / s**4 - s**-2.0
        # A constant added to log p changes nothing, since dp/dt integrates to 0, and keeps the
        # terms small.
        return np.stack([-curvature * (p.log_p + shift), toy.score(x, s) ** 2, curvature * s**2])

    by_parts, square, total = expect(toy, s, f)
    lost = Reading(abs(float(total)), 0.0, f"int dp/dt = {total:.2g}")
    return worst([relative(by_parts, square), lost])


def kernel_and_marginal(case: Case) -> Reading:
    """(10) integrated: the marginal's Fisher information (left) and the kernel's (right)."""
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
    rate = rise * float(information.entropy_rate(case.toy, sigma))
    return relative(rate + s**2 * rise * sigma * square, rise / sigma)


def losses_differ_by_a_constant(case: Case) -> Reading:
    """(5): L_DSM - L_SM is the same for any two denoisers."""
    other = Case(case.name, case.toy, case.sigmas, random_wrong(case.toy, case.rng), case.seed)
    s = case.sigma
    first, second = posterior_risk(case, s)[1], posterior_risk(other, s)[1]
    return relative(first + other.wrong.error(case.toy, s), second + case.wrong.error(case.toy, s))


def explicit_loss_is_smaller(case: Case) -> Reading:
    """(5): L_SM <= L_DSM for the score errors at one level."""
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
    # Level by level: in the mean over times the lowest level would dominate the others.
    return relative(explicit + case.sigmas**-2.0, denoising + square)


def loss_and_entropy(case: Case) -> Reading:
    """(15): L_DSM = L_SM + 2 / g^2 dH/dt at every time of the grid, g^2 = 2 sigma."""
    explicit, denoising, _ = _score_losses(case)
    rate = information.entropy_rate(case.toy, case.sigmas) / case.sigmas
    return relative(denoising, explicit + rate)


def loss_at_one_level(case: Case) -> Reading:
    """(16): dH/dt + g^2 / 2 delta^2 = g^2 / 2 E|s_theta - score of kernel|^2."""
    s = case.sigma
    rate = float(information.entropy_rate(case.toy, s)) + case.wrong.error(case.toy, s) / s**3
    return relative(rate, float(posterior_risk(case, s)[1]) / s**3)


def estimate_is_above(case: Case) -> Reading:
    """(16): the entropy production computed from a network's loss is never below the true one."""
    s = case.sigma
    estimate = float(x0_risks([s], [posterior_risk(case, s)[1]], "x0", 1)[1][0]) / s**3
    return at_most(information.entropy_rate(case.toy, s), estimate)


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


def information_sign(case: Case, printed: bool = False) -> Reading:
    """(7): T = H[x0] - H[x0|x] = I, with H = E log p (as printed below (7)) or H = -E log p."""
    toy = information.merged(case.toy)
    h0 = information.entropy(toy)
    transferred = h0 - posterior_entropy(toy, case.sigma)
    sign = -1.0 if printed else 1.0
    found = float(information.mutual_information(toy, case.sigma))
    # Rearranged so that nothing cancels at high noise, where I is far below H[x0].
    return (
        relative(sign * transferred, found)
        if printed
        else relative(found + posterior_entropy(toy, case.sigma), h0)
    )
