"""Statements of our own on the level of the call, which `docs/called_levels.md` derives.

A step from a to b = a e^{-h} keeps k = e^{-kappa h} of the state, calls the denoiser at
a e^{-theta h} and adds noise of variance b^2 - k^2 a^2.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import ROUNDING, Claim, Reading, relative
from benchmarks.measure.divergences import exact_kl
from benchmarks.optimum.kernel import ErrorKernel
from benchmarks.studies.schedule_regret import HIGH, LOW, drawn
from theory.checks import Array
from theory.gaussian import table_variances
from theory.schedules.standard import edm_sigmas, log_snr_sigmas
from theory.solvers.called import GaussianRisk
from theory.solvers.ddim import ddim_table, stochastic_ddim_table
from theory.solvers.gaussian_kl import gaussian_sum_kl
from theory.solvers.registry import make_table
from theory.solvers.table import SolverTable
from toys.mixture import Mixture

RADIUS, NODES = 0.04, 16  # of the circle in the plane of h on which a series is read off
PER_STD, REACH = 12.0, 9.0  # points per least std of the noisy data, and their range in stds
WIDE = 1e9  # the range of a ladder, over and under the data's std, whose ends do not count
STEPS = 64  # and twice as many, from which the limit of many steps is extrapolated
ORDER_STEPS = 256  # and twice as many, for an order


def _posterior(data: Mixture, x: Array, sigma: complex) -> tuple[Array, Array, Array]:
    """Shares of the components, shape (n, K), and means and variances of x0 within each."""
    stds, means = data.stds[:, 0], data.means[:, 0]
    noisy = stds**2 + sigma**2
    logs = np.log(data.weights) - 0.5 * np.log(noisy) - 0.5 * (x[:, None] - means) ** 2 / noisy
    shares = np.exp(logs - logs.real.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    inner = stds**2 / noisy
    return (
        shares,
        means + inner * (x[:, None] - means),
        np.broadcast_to(inner * sigma**2, x.shape + stds.shape),
    )


def _denoise(data: Mixture, x: Array, sigma: complex) -> Array:
    """The denoiser at a level that may be complex, shape (n,)."""
    shares, means, _ = _posterior(data, x, sigma)
    return np.asarray((shares * means).sum(axis=1))


class _Step:
    """One step on the data's law, by the characteristic function of its result.

    Args:
        case: The case, which draws the data, the level, the step and the frequency.
        is_third: Whether theta is kappa / 4.
    """

    def __init__(self, case: Case, is_third: bool) -> None:
        rng = case.rng
        self.data = drawn(rng, 0.15, 0.6)
        self.a = float(np.exp(rng.uniform(np.log(0.15), np.log(3.0))))
        self.kappa = float(rng.uniform(1.0, 2.0))
        self.theta = 0.25 * self.kappa if is_third else float(rng.uniform(0.0, 1.0))
        stds, means = np.hypot(self.data.stds[:, 0], self.a), self.data.means[:, 0]
        self.omega = float(rng.uniform(0.3, 1.5)) / float(np.sqrt(1.0 + self.a**2))
        low, high = (means - REACH * stds).min(), (means + REACH * stds).max()
        self.x = np.linspace(low, high, int((high - low) / stds.min() * PER_STD))
        self.mass = np.exp(self.data.log_density(self.x[:, None], self.a)) * (self.x[1] - self.x[0])

    def gap(self, h: complex) -> complex:
        """The result's characteristic function less that of the data's law at b."""
        a, omega, b, keep = self.a, self.omega, self.a * np.exp(-h), np.exp(-self.kappa * h)
        moved = keep * self.x + (1.0 - keep) * _denoise(
            self.data, self.x, a * np.exp(-self.theta * h)
        )
        noise = np.exp(-0.5 * omega**2 * (b**2 - keep**2 * a**2))
        means, stds = self.data.means[:, 0], self.data.stds[:, 0]
        true = self.data.weights @ np.exp(1j * omega * means - 0.5 * omega**2 * (stds**2 + b**2))
        return complex(noise * (self.mass @ np.exp(1j * omega * moved)) - true)

    def series(self) -> Array:
        """The first three coefficients of the gap in h, from its values on a circle."""
        turns = np.exp(2j * np.pi * np.arange(NODES) / NODES)
        values = np.array([self.gap(RADIUS * turn) for turn in turns])
        return np.array([np.mean(values * turns**-n) / RADIUS**n for n in range(3)])

    def mean(self, function: Array) -> complex:
        """E[function(x) e^{i omega x}] under the data's law at a."""
        return complex((self.mass * function) @ np.exp(1j * self.omega * self.x))


def second_order(case: Case) -> Reading:
    """The coefficient of h^2 in the error of the density, for any kappa and theta."""
    step = _Step(case, False)
    shares, means, variances = _posterior(step.data, step.x, step.a)
    mean = (shares * means).sum(axis=1)
    variance = (shares * (variances + (means - mean[:, None]) ** 2)).sum(axis=1)
    tiny = 1e-30
    by_log = _denoise(step.data, step.x, step.a * np.exp(1j * tiny)).imag / tiny
    own = 0.5 * step.kappa**2 * step.omega**2 * step.mean(variance)
    called = -1j * step.omega * step.kappa * step.theta * step.mean(by_log)
    return _compared(step, own + called)


def third_cumulant(case: Case) -> Reading:
    """The coefficient of h^2 for theta = kappa / 4, from the third cumulant of x0 given x."""
    step = _Step(case, True)
    shares, means, variances = _posterior(step.data, step.x, step.a)
    from_mean = means - (shares * means).sum(axis=1)[:, None]
    third = (shares * (from_mean**3 + 3.0 * from_mean * variances)).sum(axis=1)
    return _compared(step, 0.25j * step.omega * step.kappa**2 * step.mean(third) / step.a**2)


def _compared(step: _Step, expected: complex) -> Reading:
    """Difference of the series from 0, 0 and the coefficient, in units of (kappa omega)^2."""
    found = step.series()
    scale = step.kappa**2 * step.omega**2 * abs(step.mean(np.ones_like(step.x)))
    gaps = np.abs([found[0] / RADIUS**2, found[1] / RADIUS, found[2] - expected]) / scale
    return Reading(float(gaps.max()), 0.0, f"{found[2]:.9g} for {expected:.9g}")


def matched_call(case: Case) -> Reading:
    """The variance after one step with the matched call, on N(0, c^2)."""
    rng = case.rng
    c, a = np.exp(rng.uniform(np.log(1e-2), np.log(1e2), 2))
    sigmas = [a, a * rng.uniform(0.01, 0.99)]
    eta, start = float(rng.uniform()), float(np.hypot(a, c))
    table = stochastic_ddim_table(sigmas, start, eta, "matched", GaussianRisk(float(c)))
    shown = f"c = {c:.3g}, a = {a:.3g}, b = {sigmas[1]:.3g}, eta = {eta:.3g}"
    return relative(table_variances(table, float(c))[-1], c**2 + sigmas[1] ** 2, shown)


def ladder_ddim(case: Case) -> Reading:
    """Variance of the geometric call on a log-uniform ladder, against its Fourier series."""
    rng = case.rng
    h, c, sigmas = _ladder(rng)
    table = ddim_table(sigmas, float(np.hypot(c, sigmas[0])), "geometric")
    found = np.log(table_variances(table, c)[-1] / (c**2 + sigmas[-1] ** 2))
    angle = 2.0 * np.pi * np.log(sigmas[0] / c) / h
    expected = sum(
        4.0 * sign * np.sin(m * angle) / (m * np.sinh(m * np.pi**2 / h))
        for m, sign in ((1, 1.0), (3, -1.0), (5, 1.0), (7, -1.0))
    )
    return Reading(abs(found - expected), 0.0, f"h = {h:.3f}: {found:.9g} for {expected:.9g}")


def ladder_ancestral(case: Case) -> Reading:
    """Variance of the log-mean call on a log-uniform ladder, against its Fourier series."""
    rng = case.rng
    h, c, sigmas = _ladder(rng)
    table = stochastic_ddim_table(sigmas, float(np.hypot(c, sigmas[0])), call="log_mean")
    found = table_variances(table, c)[-1] / (c**2 + sigmas[-1] ** 2) - 1.0
    shift = 0.5 * np.log(-np.expm1(-2.0 * h) / (2.0 * h))
    angle = 2.0 * np.pi * (np.log(sigmas[-1] / c) + shift) / h
    expected = sum(
        2.0 * np.pi**2 * m / h * np.cos(m * angle) / np.sinh(m * np.pi**2 / h) for m in range(1, 9)
    )
    return Reading(abs(found - expected), 0.0, f"h = {h:.3f}: {found:.9g} for {expected:.9g}")


def _ladder(rng: np.random.Generator) -> tuple[float, float, Array]:
    """A step, a std and levels uniform in log sigma, far beyond the std at both ends."""
    c, h = float(np.exp(rng.uniform(-1.0, 1.0))), float(rng.uniform(0.3, 3.0))
    high = c * WIDE * float(np.exp(rng.uniform(0.0, h)))
    n_steps = int(np.ceil(2.0 * np.log(WIDE) / h))
    return h, c, high * np.exp(-h * np.arange(n_steps + 1))


def gaussian_order(case: Case, solver: str) -> Reading:
    """Order in law on a product of Gaussians of several scales, on EDM's grid: half the KL's."""
    rng = case.rng
    scales = np.exp(rng.uniform(np.log(0.05), np.log(2.0), 6))
    weights = rng.dirichlet(np.full(6, 2.0))
    values = []
    for n_steps in (ORDER_STEPS, 2 * ORDER_STEPS):
        table = make_table(solver, edm_sigmas(n_steps, HIGH, LOW))
        assert isinstance(table, SolverTable)
        values.append(gaussian_sum_kl(table, weights, scales, "data")[0])
    found = 0.5 * float(np.log2(values[0] / values[1]))
    return Reading(abs(found - 2.0), 0.0, f"fitted {found:.4f}, claimed 2")


def leading_kl(case: Case) -> Reading:
    """KL of called_ancestral over its leading part tends to 1, from two counts of steps."""
    data = drawn(case.rng, 0.15, 0.6)
    shares = []
    for n_steps in (STEPS, 2 * STEPS):
        sigmas = log_snr_sigmas(n_steps, HIGH, LOW)
        kl = exact_kl(data, make_table("called_ancestral", sigmas, HIGH), rtol=1e-7).value
        assert kl is not None  # noise has a density everywhere
        shares.append(kl / ErrorKernel(data, sigmas, 1.0).kl())
    shown = f"KL over its leading part: {shares[0]:.5f}, {shares[1]:.5f}"
    return relative(2.0 * shares[1] - shares[0], 1.0, shown)


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "O.called_error",
        "docs/called_levels.md, one step",
        "The error that a step leaves in the density, to second order, for any level of the call.",
        "q' - p_b = h^2 {-kappa^2/2 (V p)'' + kappa theta (p D_u)'} + O(h^3)",
        "identity",
        "none",
        second_order,
        1e-9,
        "the series on a circle of radius 0.04, and rounding",
    ),
    Claim(
        "O.called_cumulant",
        "docs/called_levels.md, one step",
        "At theta = kappa/4 only the third cumulant of x0 given x is left.",
        "q' - p_b = -h^2 kappa^2/4 (p kappa_3)'/sigma^2 + O(h^3)",
        "identity",
        "none",
        third_cumulant,
        1e-9,
        "the series on a circle of radius 0.04, and rounding",
    ),
    Claim(
        "O.called_matched",
        "docs/called_levels.md, the matched call",
        "With the matched call every step is exact on Gaussian data, for any eta and length.",
        "sigma_call^2 = a^2 (G + k)/(1 + G), G^2 = R + (1 - R) k^2: var x' = c^2 + b^2",
        "identity",
        "none",
        matched_call,
        1e-13,
        ROUNDING,
    ),
    Claim(
        "O.called_ladder",
        "docs/called_levels.md, ladders",
        "On a log-uniform ladder the geometric call of DDIM is exact for every Gaussian scale but "
        "for terms exponentially small in 1/h.",
        "log(V_N/(c^2 + sigma_N^2)) = sum over odd m of +-4 sin(2 pi m log(sigma_0/c)/h)/"
        "(m sinh(m pi^2/h))",
        "identity",
        "none",
        ladder_ddim,
        1e-11,
        ROUNDING,
    ),
    Claim(
        "O.called_ladder_ancestral",
        "docs/called_levels.md, ladders",
        "The same for the logarithmic mean and ancestral sampling.",
        "V_N/(c^2 + sigma_N^2) - 1 = sum over m of (2 pi^2 m/h) cos(2 pi m log(sigma_N "
        "mu^(1/2)/c)/h)/sinh(m pi^2/h), mu = (1 - e^{-2h})/(2h)",
        "identity",
        "none",
        ladder_ancestral,
        1e-10,
        "the terms beyond m = 8, and rounding",
    ),
    *(
        Claim(
            f"O.{solver}_order",
            "docs/called_levels.md, order",
            f"{solver} has order 2 in law on Gaussian data of any covariance.",
            "KL^(1/2) = O(N^-2) on a product of six Gaussians of unequal scales",
            "order",
            "none",
            partial(gaussian_order, solver=solver),
            0.05,
            "256 and 512 steps",
        )
        for solver in ("called_ddim", "called_ancestral")
    ),
    Claim(
        "O.called_kl",
        "docs/called_levels.md, mixtures",
        "With many steps the KL of called_ancestral on mixtures is that of the third cumulant.",
        "KL / (2 sum K(u_i, u_j) h_i^2 h_j^2) -> 1 as N -> infinity, K from g = (p V')'/(2 p)",
        "empirical",
        "none",
        leading_kl,
        2e-2,
        "terms of second order in the step at 64 and 128 steps",
        most=6,
    ),
)
