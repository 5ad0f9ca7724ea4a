"""Paper C, (2.1) to (2.6): the forward and reverse processes, and the network's two predictions.

A process is x_t = alpha x0 + s eps with the paper's s = alpha sigma. This file has formulas for
alpha and s^2, and differentiates them by complex steps to obtain the coefficients
f = d log alpha / dt and g^2 = d s^2 / dt - 2 f s^2. The engine's `theory.noise.processes` gives
sigma, its slope and alpha independently.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, relative, worst
from benchmarks.measure.expectation import expect, over_log_sigma
from theory.checks import Array
from theory.noise.processes import EDM, VP, Flow
from toys.information import information
from toys.information.quadrature import integrals

TINY = 1e-30  # complex step
WAVE = 0.5  # k of the test functions cos(k x) and sin(k x), per deviation of the noisy data


def slope(f: Callable[[complex], Any], at: float) -> float:
    """Derivative of an analytic real function, by one complex step."""
    return float(np.imag(f(at + 1j * TINY)) / TINY)


def balance(*terms: Array | float) -> Reading:
    """Largest |sum of the terms|, which should be 0, over the largest |term|.

    For arrays, (n,) each, both maxima are over all entries.
    """
    table = np.array([np.ravel(np.asarray(t, dtype=np.float64)) for t in terms])
    size = float(np.abs(table).max())
    gap = float(np.abs(table.sum(axis=0)).max())
    if not np.isfinite(gap):
        return Reading(float("inf"), 0.0, "not finite")
    value = gap / size if size > 0 else 0.0
    return Reading(value, 0.0, f"{len(terms)} terms up to {size:.6g} add up to {gap:.3g}")


@dataclass(frozen=True)
class Formulas:
    """A process by the formulas of this file, and the engine's coordinate of the same process.

    Args:
        coordinate: The engine's time coordinate of the process.
        log_alpha: Log of the signal scale at a time, real or complex.
        variance: s^2 at a time.
    """

    coordinate: Any
    log_alpha: Callable[[Any], Any]
    variance: Callable[[Any], Any]

    def drift(self, t: float) -> float:
        """The coefficient f(t)."""
        return slope(self.log_alpha, t)

    def diffusion(self, t: float) -> float:
        """The coefficient g^2(t), as the paper defines it."""
        return slope(self.variance, t) - 2.0 * self.drift(t) * float(np.real(self.variance(t)))

    def at(self, sigma: float) -> tuple[float, float, float, float, float]:
        """Time, alpha, s, f and g^2 at a level."""
        t = float(self.coordinate.time(sigma))
        alpha = float(np.exp(np.real(self.log_alpha(t))))
        return t, alpha, float(np.sqrt(self.variance(t))), self.drift(t), self.diffusion(t)


def clock(axis: Any, t: float) -> float:
    """Rate of log alpha by the engine: alpha is (1 + sigma^2)^(-1/2), 1 / (1 + sigma) or 1."""
    sigma = float(axis.sigma(t))
    of_sigma = {VP: -sigma / (1.0 + sigma**2), Flow: -1.0 / (1.0 + sigma), EDM: 0.0}[type(axis)]
    return of_sigma * float(axis.dsigma_dtime(t))


def processes(case: Case) -> tuple[Formulas, ...]:
    """VP with random betas, flow matching, and EDM."""
    low, high = np.sort(10.0 ** case.rng.uniform(-1.0, 1.3, 2))

    def exponent(t: Any) -> Any:
        return t * (low + 0.5 * (high - low) * t)

    return (
        Formulas(VP(low, high), lambda t: -0.5 * exponent(t), lambda t: -np.expm1(-exponent(t))),
        Formulas(Flow(), lambda t: np.log1p(-t), lambda t: t * t),
        Formulas(EDM(), lambda t: 0.0 * t, lambda t: t * t),
    )


def forward_sde(case: Case) -> Reading:
    """(2.1): f and g^2 carry N(alpha x0, s^2) from the lowest to the highest level.

    The variance of the SDE, (alpha / alpha_1)^2 s_1^2 + int (alpha / alpha_r)^2 g^2 dr, and the
    mean's factor exp int f are compared with the engine's alpha and alpha sigma.
    """
    high, low = float(case.sigmas[0]), float(case.sigmas[-1])
    readings = []
    for process in processes(case):
        axis = process.coordinate

        def rates(sigma: float, process: Formulas = process, axis: Any = axis) -> Array:
            t, alpha, _, f, g2 = process.at(sigma)
            dt = sigma / float(axis.dsigma_dtime(t))  # per unit of log sigma
            return np.array([g2 / alpha**2 * dt, f * dt])

        added, log_ratio = over_log_sigma(low, high, rates, 1.5)
        alphas = [float(axis.alpha(axis.time(s))) for s in (low, high)]
        variance = alphas[1] ** 2 * (low**2 + added)
        readings.append(relative(variance, (alphas[1] * high) ** 2))
        readings.append(relative(alphas[0] * np.exp(log_ratio), alphas[1]))
    return worst(readings)


def _waves(case: Case, sigma: float) -> tuple[float, float, float, float]:
    """E score phi', E y phi', E phi'' and k, for phi(y) = cos k (y - mean), y = x0 + sigma eps."""
    toy, mean = case.toy, float(case.toy.mean[0])
    k = WAVE / np.sqrt(toy.variance + sigma**2)

    def f(y: Array) -> Array:
        phase = k * (y - mean)
        return np.array(
            [
                -k * np.sin(phase) * toy.score(y, sigma),
                -k * y * np.sin(phase),
                -(k**2) * np.cos(phase),
            ]
        )

    score, drift, second = expect(toy, sigma, f).tolist()
    return score, drift, second, float(k)


def marginals(case: Case, reverse: bool) -> Reading:
    """(2.2) and (2.3): both processes have the marginals of the forward one.

    For phi(x) = cos k (x / alpha - mean) the time derivative of E phi, from the characteristic
    function of the mixture, is compared with the terms of the generator, integrated with the
    engine's score. For the reverse SDE, in its own direction of time, they are
    E[(f x - g^2 score) phi'] - g^2 / 2 E phi''; for the ODE, E[(f x - g^2 / 2 score) phi'].
    """
    sigma, toy, mean = case.sigma, case.toy, float(case.toy.mean[0])
    score, drift, second, k = _waves(case, sigma)
    readings = []
    for process in processes(case):
        t, alpha, _, f, g2 = process.at(sigma)

        def phi(time: Any, process: Formulas = process) -> Any:
            variance = process.variance(time) * np.exp(-2.0 * process.log_alpha(time))
            damped = np.exp(-0.5 * k**2 * (toy.stds[:, 0] ** 2 + variance))
            return toy.weights @ (np.cos(k * (toy.means[:, 0] - mean)) * damped)

        rate = slope(phi, t)
        flux: tuple[float, ...] = (0.5 * g2 * score / alpha**2,)
        if reverse:
            flux = (g2 * score / alpha**2, 0.5 * g2 * second / alpha**2)
        readings.append(balance(rate, -(f - clock(process.coordinate, t)) * drift, *flux))
    return worst(readings)


def training_loss(case: Case) -> Reading:
    """(2.4): the loss of any network is mmse / sigma^2 plus its distance from E[eps | x].

    mmse / sigma^2 is the loss of E[eps | x] itself. The left side is the display, component by
    component, where x and eps are jointly Gaussian.
    """
    toy, sigma, wrong = case.toy, case.sigma, case.wrong
    cuts = np.linspace(-9.5, 9.5, 25)
    total = 0.0
    for share, mean, std in zip(toy.weights, toy.means[:, 0], toy.stds[:, 0], strict=True):
        variance = float(std**2 + sigma**2)

        def missed(
            z: Array, mean: float = mean, std: float = std, variance: float = variance
        ) -> Array:
            x = mean + np.sqrt(variance) * z
            miss = ((x - mean) * std**2 / variance + mean - wrong.denoise(x, sigma)) / sigma
            return np.asarray(np.exp(-0.5 * z**2) * miss**2 / np.sqrt(2.0 * np.pi))[None]

        found = integrals(missed, cuts, 1e-12, 1e-300)[0][0]
        total += share * (float(found) + std**2 / variance)
    least = float(information.mmse(toy, sigma))
    return relative(total, (least + wrong.error(toy, sigma)) / sigma**2)


def ode(case: Case, data: bool) -> Reading:
    """(2.5), (2.6): with any network they are the engine's dx / dsigma = (x - D) / sigma.

    In time that is dx / dt = alpha' y + alpha sigma' (y - D) / sigma with y = x / alpha and the
    engine's slopes.
    """
    sigma = case.sigma
    y = case.states()[:, 0]
    denoised = case.wrong.denoise(y, sigma)
    eps = (y - denoised) / sigma
    readings = []
    for process in processes(case):
        t, alpha, s, f, g2 = process.at(sigma)
        x = alpha * y
        if data:
            terms = ((f + 0.5 * g2 / s**2) * x, -alpha * 0.5 * g2 / s**2 * denoised)
        else:
            terms = (f * x, 0.5 * g2 / s * eps)
        engine = alpha * float(process.coordinate.dsigma_dtime(t)) / sigma
        own = clock(process.coordinate, t)
        readings.append(balance(*terms, -own * x, -engine * y, engine * denoised))
    return worst(readings)


def noise_prediction_is_score(case: Case) -> Reading:
    """The prediction in (2.5) is eps = -s grad log q, and D = (x - s eps) / alpha."""
    sigma, y = case.sigma, case.states()[:, 0]
    eps = -sigma * case.toy.score(y, sigma)
    return balance(y, -sigma * eps, -case.toy.denoise(y, sigma))
