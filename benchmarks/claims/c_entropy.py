"""Paper C, (3.8) to (3.11): entropies of one noisy state given a noisier one.

Let x_b = x0 + b eps and x_a = x_b + t z with t^2 = a^2 - b^2. Then x_b follows a mixture with wider
components, and x_a observes it through noise t. So H(x_b | x_a) and I(x_b; x_a) are the engine's
curves of that mixture.
"""

import numpy as np

from benchmarks.claims.c_process import balance
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, relative, worst
from benchmarks.measure.expectation import expect
from theory.checks import Array
from theory.gaussian import gaussian_conditional_entropy
from theory.solvers.ddim import stochastic_ddim_table
from toys.information import information
from toys.mixture import Mixture

UNIT = 0.5 * float(np.log(2.0 * np.pi * np.e))  # entropy of N(0, 1)


def pair(case: Case) -> tuple[Mixture, float, float, float]:
    """The law of x_b as a mixture, the levels a and b, and the noise t between them."""
    a, b = case.sigmas[:2].tolist()
    toy = case.toy
    wide = Mixture(toy.weights, toy.means, np.hypot(toy.stds, b))
    return wide, a, b, float(np.sqrt((a - b) * (a + b)))


def own_entropy(toy: Mixture, sigma: float) -> float:
    """H(x0 + sigma eps) by quadrature of -log p in this file."""
    return float(expect(toy, sigma, lambda x: -toy.log_density(x, sigma)[None])[0])


def information_of_states(case: Case) -> Reading:
    """(3.8): I(x_b; x_a) = H(x_b) - H(x_b | x_a), and also H(x_a) - H(x_a | x_b).

    I and H(x_b | x_a) come from the engine, the entropies of the states from this file.
    """
    wide, a, b, t = pair(case)
    shared = float(information.mutual_information(wide, t))
    left = float(information.conditional_entropy(wide, t))
    given = UNIT + float(np.log(t))
    return worst(
        [
            balance(shared, -own_entropy(case.toy, b), left),
            balance(shared, -own_entropy(case.toy, a), given),
        ]
    )


def transition(case: Case) -> Reading:
    """(3.9): given x_a and x0, x_b is Gaussian; Bayes' rule and the engine's ancestral step agree.

    log p(x_b | x0) + log p(x_a | x_b) = log p(x_a | x0) + log N(x_b; keep x_a + w x0, noise^2).
    """
    _, a, b, t = pair(case)
    table = stochastic_ddim_table([a, b])
    keep, w, std = (float(v.ravel()[0]) for v in (table.keep, table.weights, table.noise))
    x0, eps, z = case.rng.normal(size=(3, 30))
    x_b = x0 + b * eps
    x_a = x_b + t * z
    logs = [
        -0.5 * ((v / s) ** 2) - np.log(s)
        for v, s in ((b * eps, b), (t * z, t), (x_a - x0, a), (x_b - keep * x_a - w * x0, std))
    ]
    return balance(logs[0], logs[1], -logs[2], -logs[3])


def gaussian_formula(case: Case) -> Reading:
    """(3.10) where it is exact: for Gaussian data H(x_b | x_a) is log(2 pi e Var) / 2."""
    wide, _, _, t = pair(case)
    x = np.zeros(1)
    variance = float(wide.posterior_variance(x, t)[0])
    return relative(float(information.conditional_entropy(wide, t)), _formula(variance))


def _formula(variance: float) -> float:
    """The right side of (3.10) at d = 1, from the variance."""
    return 0.5 * (float(np.log(2.0 * np.pi)) + 1.0) + 0.5 * float(np.log(variance))


def approximation_errs_upwards(case: Case) -> Reading:
    """(3.10) on other data: its mean over x_a is at least H(x_b | x_a)."""
    wide, _, _, t = pair(case)

    def f(x: Array) -> Array:
        return np.asarray(UNIT + 0.5 * np.log(wide.posterior_variance(x, t)))[None]

    above = float(expect(wide, t, f)[0])
    exact = float(information.conditional_entropy(wide, t))
    size = 1.0 + max(abs(above), abs(exact))
    detail = f"H = {exact:.6g}, Gaussian formula {above:.6g}"
    return Reading((exact - above) / size, 1e-11, detail)


def _two_entropies(case: Case) -> tuple[Array, Array]:
    """H(x_b | x_a) and log Var(x_b | x_a) of a Gaussian, at two pairs of levels with ratio 2."""
    c, (_, a, b, _) = float(case.toy.stds[0, 0]), pair(case)
    entropies, logs = [], []
    for high, low in ((a, b), (0.5 * a, 0.5 * b)):
        std, t = float(np.hypot(c, low)), float(np.sqrt((high - low) * (high + low)))
        entropies.append(float(gaussian_conditional_entropy(t, std)))
        logs.append(2.0 * float(np.log(std * t / np.hypot(std, t))))
    return np.array(entropies), np.array(logs)


def proportional(case: Case) -> Reading:
    """(3.11) as printed: H is a multiple of log Var, so the ratios at two pairs of levels agree."""
    entropies, logs = _two_entropies(case)
    return relative(entropies[0] * logs[1], entropies[1] * logs[0])


def affine(case: Case) -> Reading:
    """(3.11) corrected: H changes by half the change of log Var."""
    entropies, logs = _two_entropies(case)
    return balance(entropies[0], -entropies[1], -0.5 * logs[0], 0.5 * logs[1])


def proportional_by_precision(case: Case) -> float:
    """The excess of `proportional` from precisions: 1 / Var = 1 / (c^2 + b^2) + 1 / t^2."""
    c2 = float(case.toy.stds[0, 0]) ** 2
    a, b = case.sigmas[:2].tolist()
    logs = [
        -float(np.log(1.0 / (c2 + (f * b) ** 2) + 1.0 / (f**2 * (a - b) * (a + b))))
        for f in (1.0, 0.5)
    ]
    left, right = (UNIT + 0.5 * logs[0]) * logs[1], (UNIT + 0.5 * logs[1]) * logs[0]
    return abs(left - right) / max(abs(left), abs(right))
