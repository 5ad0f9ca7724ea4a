"""Paper B, sections 3 and 4: paths, the two errors, and the KL of the terminal laws.

Statements about integrals over paths are evaluated as integrals over the joint law of two levels.
Statements about Doob's martingale are evaluated at single states of the noisier level.
"""

from itertools import pairwise

import numpy as np

from benchmarks.claims.b_channel import denoise, errors, given, joint, mismatch, one_step, over_step
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from benchmarks.measure.expectation import expect
from benchmarks.measure.mmse_slope import disc, entropies, variance
from benchmarks.measure.pathwise import terminal_kl
from theory.bounds import approximation_error, pathwise_kl
from theory.checks import Array
from theory.solvers.ddim import ddim_table, stochastic_ddim_table
from toys.information import information
from toys.sampling import walk_states

LAW_RTOL = 1e-6  # tolerance of the exact laws; their error estimates are far below it
SUB_LEVELS = (1, 16, 64)  # numbers of parts of a step at whose ends its path is observed
STATES = 3


def tweedie(case: Case) -> Reading:
    """The denoiser is x + sigma^2 score; both sides are measured from a point below the data."""
    x = case.states()
    low = min(float(case.toy.means.min()), float(x.min())) - case.sigma
    right = x + case.sigma**2 * case.toy.score(x, case.sigma) - low
    return relative(case.toy.denoise(x, case.sigma) - low, right)


def exact_step(case: Case) -> Reading:
    """A step of the frozen reverse SDE, by integrating factor and quadrature, against the table.

    In dY = (D - Y) / tau ds + dW, tau = T - s falls from a^2 to b^2. Mean and variance solve linear
    equations, whose integrals over log tau are computed numerically.
    """
    table = stochastic_ddim_table(case.sigmas)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    rows = []
    for a, b in pairwise(case.sigmas.tolist()):
        length = 2.0 * np.log(a / b)
        u = np.exp(2.0 * np.log(b) + 0.5 * length * (nodes + 1.0))  # tau at the nodes
        measure = 0.5 * length * weights * u  # d tau
        factor = b**2 / u  # factor of the state at tau in the state at b^2
        rows.append([b**2 / a**2, measure @ (factor / u), measure @ factor**2])
    keep, weight, noise = np.array(rows).T
    found = np.stack([table.keep[:, 0], table.weights[:, 0], table.noise**2])
    return relative(np.stack([keep, weight, noise]), found)


def learned_step(case: Case) -> Reading:
    """DDIM with a learned denoiser, written out, against the suite's table for a wrong denoiser.

    The learned denoiser is scale m' + tilt x with m' the posterior mean of another mixture.
    """
    wrong, x = case.wrong, case.toy.sample_noisy(20, float(case.sigmas[0]), case.seed)
    state = x[:, 0]
    for a, b in pairwise(case.sigmas.tolist()):
        guess = wrong.scale * denoise(wrong.model, state, a).real + wrong.tilt * state
        state = b / a * state + (1.0 - b / a) * guess
    walked = walk_states(wrong.model, wrong.applied(ddim_table(case.sigmas)), x, 0)[:, 0]
    gap = np.linalg.norm(walked - state) / np.linalg.norm(state)
    return Reading(float(gap), 0.0, f"|state| = {np.linalg.norm(state):.6g}")


def doob(case: Case) -> Reading:
    """E[m(X_b) | X_a] = m(X_a), for a few states, by quadrature over X_b given X_a."""
    readings = []
    a, b = case.sigmas[0].item(), case.sigmas[-1].item()
    for x in case.toy.sample_noisy(STATES, a, case.seed)[:, 0].tolist():
        law, extra, (share, rest) = given(case.toy, x, a, b)
        # An offset just below the posterior makes both sides positive beyond rounding.
        low = float((law.means - law.stds).min() - np.sqrt(law.variance))
        low -= 1e-5 * float(np.abs(law.means).max())

        def f(y: Array, x: float = x, share: float = share, rest: float = rest) -> Array:
            return np.asarray(case.toy.denoise(share * y + rest * x, b) - low)[None]  # noqa: B023

        mean = float(denoise(case.toy, np.array([x]), a)[0].real)
        readings.append(relative(expect(law, extra, f), mean - low))
    return worst(readings)


def doob_increments(case: Case) -> Reading:
    """(B.1) given X_a: Var(x0 | X_a) = E[Var(x0 | X_b) | X_a] + E[(m_b - m_a)^2 | X_a]."""
    readings = []
    a, b = case.sigmas[0].item(), case.sigmas[-1].item()
    for x in case.toy.sample_noisy(STATES, a, case.seed)[:, 0].tolist():
        law, extra, (share, rest) = given(case.toy, x, a, b)
        mean = float(denoise(case.toy, np.array([x]), a)[0].real)

        def f(y: Array, x: float = x, share: float = share, rest: float = rest) -> Array:
            state = share * y + rest * x
            gap = (case.toy.denoise(state, b) - mean) ** 2  # noqa: B023
            return np.stack([case.toy.posterior_variance(state, b), gap])

        left = variance(case.toy, np.array([x]), a)
        readings.append(relative(left, expect(law, extra, f).sum()))
    return worst(readings)


def missed_increments(case: Case) -> Reading:
    """(B.1) averaged: E (m_b - m_a)^2 + mmse_b = mmse_a, over the joint law of two levels."""
    a, b = one_step(case)
    mmse = entropies(case.toy, np.array([a, b]))[0]
    return relative(mismatch(case, b, a) + mmse[1], mmse[0])


def cross_term(case: Case) -> Reading:
    """E (m_b - m_a)(m_a - D_a) = 0: E m_b (m_a - D_a) against E m_a (m_a - D_a)."""
    a, b = one_step(case)
    centre = float(case.toy.mean[0])

    def gap(x: Array) -> Array:
        return np.asarray(denoise(case.toy, x, a).real - case.wrong.denoise(x, a))

    left, size = joint(
        case.toy, b, a, lambda x: denoise(case.toy, x, b).real - centre, gap, lambda u, v: u * v
    )
    right = expect(case.toy, a, lambda x: ((denoise(case.toy, x, a).real - centre) * gap(x))[None])[
        0
    ]
    if size <= 1e-290:
        return Reading(0.0, 0.0, "0 = 0")
    return Reading(abs(left - right) / size, 0.0, f"{left:.12g} = {right:.12g}")


def direct(case: Case, wrong: bool) -> Array:
    """Right side of (3.2) for every step, from the joint laws."""
    out = []
    for a, b in pairwise(case.sigmas.tolist()):

        def guess(x: Array, a: float = a) -> Array:
            return case.wrong.denoise(x, a)

        def square(level: float, a: float = a) -> float:
            return mismatch(case, level, a, guess if wrong else None)

        out.append(0.5 * over_step(square, a, b))
    return np.array(out)


def split_is_exact(case: Case) -> Reading:
    """(3.3), summed over all steps, with the entropy term of E_disc on the other side."""
    mmse, entropy = entropies(case.toy, case.sigmas)
    approx = approximation_error(case.sigmas, errors(case, case.sigmas)).sum()
    left = direct(case, wrong=True).sum() + entropy[0] - entropy[-1]
    right = approx + 0.5 * np.diff(case.sigmas**-2.0) @ mmse[:-1]
    return relative(left, right)


def discretisation(case: Case) -> Reading:
    """(3.4) = (4.1) for every step, with the integral of the mmse on the other side."""
    mmse, entropy = entropies(case.toy, case.sigmas)
    left = direct(case, wrong=False) - np.diff(entropy)
    return relative(left, 0.5 * np.diff(case.sigmas**-2.0) * mmse[:-1])


def approximation(case: Case) -> Reading:
    """E_approx of (3.4) for every step, the time integral and the expectation by quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(40)
    rows = []
    for a, b in pairwise(case.sigmas.tolist()):
        length = 2.0 * np.log(a / b)
        tau = np.exp(2.0 * np.log(b) + 0.5 * length * (nodes + 1.0))
        time = 0.5 * length * float(weights @ (1.0 / tau))  # integral of ds / (T - s)^2

        def f(x: Array, a: float = a) -> Array:
            return np.asarray((denoise(case.toy, x, a).real - case.wrong.denoise(x, a)) ** 2)[None]

        rows.append(0.5 * time * float(expect(case.toy, a, f)[0]))
    return relative(approximation_error(case.sigmas, errors(case, case.sigmas)), rows)


def total(case: Case) -> float:
    """E_disc + E_approx of all steps with the wrong denoiser, by the suite's engine."""
    mmse, entropy = entropies(case.toy, case.sigmas)
    return float(pathwise_kl(case.sigmas, mmse + errors(case, case.sigmas), entropy).sum())


def square_integrable(case: Case) -> Reading:
    """(3.1) is at most sum dsnr_k E |x0 - D|^2, which is finite."""
    mmse = entropies(case.toy, case.sigmas)[0]
    risk = mmse + errors(case, case.sigmas)
    bound = float(np.diff(case.sigmas**-2.0) @ risk[:-1])
    if not np.isfinite(bound):
        return Reading(float("inf"), 0.0, "infinite")
    return at_most(2.0 * total(case), bound)


def diverges_at_zero(case: Case) -> Reading:
    """(3.1) fails for delta = 0: E_disc of a last step from a to b grows as 1 / b^2.

    E_disc is mmse_a dsnr / 2 minus the decrease of H, and that is at most log(1 + mmse_a dsnr) / 2,
    its value for a Gaussian.
    """
    a = float(case.sigmas[0])
    low = a * np.array([1.0, 0.3, 0.1, 0.03])
    mmse, entropy = entropies(case.toy, low)
    u = mmse[0] * (low[1:] ** -2.0 - a**-2.0)
    return at_most(0.5 * u - 0.5 * np.log1p(u) + entropy[0] - entropy[1:], 0.5 * u)


def transition(case: Case) -> Reading:
    """(3.2) given X_a: KL(law of X_b || sampler's law) equals the path integral of the step.

    In the channel by which X_b adds information, the sampler's law is a Gaussian about D. The path
    between two levels adds nothing: given both ends it is the same Brownian bridge under both laws.
    """
    readings = []
    a, b = case.sigmas[0].item(), case.sigmas[-1].item()
    for x in case.toy.sample_noisy(STATES, a, case.seed)[:, 0].tolist():
        law, extra, _ = given(case.toy, x, a, b)
        guess = float(case.wrong.denoise(np.array([x]), a)[0])

        def f(y: Array, extra: float = extra, guess: float = guess) -> Array:
            model = -0.5 * ((y - guess) / extra) ** 2 - 0.5 * np.log(2.0 * np.pi * extra**2)
            return np.asarray(law.log_density(y, extra) - model)[None]  # noqa: B023

        kl = float(expect(law, extra, f)[0])
        told = float(information.mutual_information(law, extra))
        square = variance(case.toy, np.array([x]), a)[0]
        square += (denoise(case.toy, np.array([x]), a)[0].real - guess) ** 2
        readings.append(relative(kl + told, 0.5 * square / extra**2))
    return worst(readings)


def seen_at_levels(case: Case) -> Reading:
    """KL of the paths observed at 2, 17 and 65 levels of a step: all equal the path integral.

    The data are Gaussian and the denoiser affine, so that both laws are Gaussian vectors and their
    KL is linear algebra.
    """
    a, b = one_step(case)
    found = [_levels_kl(case, a, b, n) for n in SUB_LEVELS]
    return relative(found, np.full(len(found), _affine_path(case, a, b)))


def _affine_path(case: Case, a: float, b: float) -> float:
    grid = np.array([a, b])
    return float(disc(case.toy, grid).sum() + approximation_error(grid, errors(case, grid)).sum())


def _levels_kl(case: Case, a: float, b: float, n: int) -> float:
    """KL of (X_0..X_n) from the sampler's law, at n + 1 levels spaced geometrically from a to b."""
    tau = np.geomspace(a, b, n + 1) ** 2
    shift, sloped = case.wrong.denoise(np.array([0.0, 1.0]), a)
    truth = float(case.toy.stds[0, 0]) ** 2 + np.minimum(tau[:, None], tau)
    maps, mean = np.zeros((n + 1, n + 1)), np.zeros(n + 1)
    maps[0, 0] = np.sqrt(truth[0, 0])
    for j in range(n):
        q = tau[j + 1] / tau[j]
        maps[j + 1] = q * maps[j] + (1.0 - q) * (sloped - shift) * maps[0]
        maps[j + 1, j + 1] = np.sqrt(tau[j + 1] * (1.0 - q))
        mean[j + 1] = q * mean[j] + (1.0 - q) * shift
    white = np.linalg.solve(maps, np.linalg.solve(maps, truth).T)  # in units of the sampler's noise
    offset = np.linalg.solve(maps, mean)
    return float(0.5 * (np.trace(white) - n - 1.0 + offset @ offset - np.linalg.slogdet(white)[1]))


def terminal(case: Case) -> Reading:
    """The KL of the terminal laws is at most that of the paths, for exact and wrong denoisers."""
    exact = terminal_kl(case.toy, case.sigmas, rtol=LAW_RTOL)
    mistaken = terminal_kl(case.toy, case.sigmas, case.wrong, rtol=LAW_RTOL)
    paths = [float(disc(case.toy, case.sigmas).sum()), total(case)]
    found = [np.inf if d.value is None else d.value for d in (exact, mistaken)]
    return at_most(found, paths, error=max(exact.error or 0.0, mistaken.error or 0.0))
