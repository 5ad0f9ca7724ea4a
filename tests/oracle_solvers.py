"""Plain loops of the diffusion samplers, each from its paper's own formula: expected values.

Nothing here imports the project. The state is x = x0 + sigma eps, shape (n, d). `sigmas` falls
strictly, shape (n_steps + 1,); its last level may be 0, and the step to 0 returns the denoised
value at the point before it. A paper in variance preserving (VP) variables is walked in them:

    y = alpha x,  alpha = 1 / sqrt(1 + sigma^2),  sigma_vp = sigma alpha,  lambda = -log sigma

An oracle takes a `Walk`, the sigmas and its options and returns the final state x, shape (n, d).
A multistep solver of order p uses at most i + 1 points in step i and, with `lower_order_final`
and fewer than 15 steps, at most n_steps - i. All of them by name: ORACLES.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from math import exp, expm1, factorial, log, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

Array = NDArray[np.float64]
Form = Literal["noise", "data"]
Stage = Literal["sqrt", "interval"]


@dataclass
class Walk:
    """One sampler's walk: its denoiser, its start and everything it asked for.

    Attributes:
        denoise: (x (n, d), sigma) -> (n, d).
        x: State at the first call, shape (n, d).
        z: Normals, shape (calls, n, d), one row per call; None for a deterministic sampler.
        points: The calls so far, (x, sigma, denoised); their number is the NFE.
        drawn: Rows of z used so far.
        weights: EVODiff and RE only: a dict of arrays (n, channels) for every step that has
            weights of its own (not the first, DDIM, nor EVODiff's special last).
    """

    denoise: Callable[[Array, float], Array]
    x: Array
    z: Array | None = None
    points: list[tuple[Array, float, Array]] = field(default_factory=list)
    drawn: list[int] = field(default_factory=list)
    weights: list[dict[str, Array]] = field(default_factory=list)

    def call(self, x: Array, sigma: float) -> Array:
        """The denoiser at (x, sigma), shape (n, d)."""
        denoised = self.denoise(x, float(sigma))
        self.points.append((x, float(sigma), denoised))
        return denoised

    def call_vp(self, y: Array, sigma: float) -> Array:
        """The denoiser at the VP state y = alpha x, shape (n, d)."""
        return self.call(y * sqrt(1 + sigma**2), sigma)

    def normal(self) -> Array:
        """The normals of the latest call, shape (n, d); to be asked for once per call."""
        row = len(self.points) - 1
        if self.z is None or row in self.drawn:
            raise RuntimeError(f"a row must give its normals once, got {self.drawn} and {row}")
        self.drawn.append(row)
        return self.z[row]


Oracle = Callable[..., Array]


def vp(sigma: Array) -> tuple[Array, Array, Array]:
    """alpha, sigma_vp and lambda = log(alpha / sigma_vp) of noise levels."""
    sigma = np.asarray(sigma, dtype=float)
    alpha = 1 / np.sqrt(1 + sigma**2)
    with np.errstate(divide="ignore"):  # lambda is inf at 0
        return alpha, sigma * alpha, -np.log(sigma)


def orders(n_steps: int, p: int, lower_order_final: bool) -> list[int]:
    """Order of each step of a multistep solver (see the module's docstring)."""
    lowered = lower_order_final and n_steps < 15
    return [min(p, i + 1, n_steps - i if lowered else p) for i in range(n_steps)]


def gauss(f: Callable[[Array], Array], a: float, b: float) -> float:
    """The integral of a smooth f from a to b, by 80 Gauss-Legendre nodes."""
    nodes, weights = np.polynomial.legendre.leggauss(80)
    return float(0.5 * (b - a) * weights @ f(0.5 * (a + b) + 0.5 * (b - a) * nodes))


# --------------------------------------------------------------------------------------------------
# One-step samplers
# --------------------------------------------------------------------------------------------------


def ddim(walk: Walk, sigmas: Array, call: str | float = "state") -> Array:
    """Song, Meng & Ermon 2021 (DDIM), eq. (13): y / alpha moves along eps by its d sigma."""
    if call != "state":
        return called(walk, sigmas, 0.0, call)
    alpha, sigma_vp, _ = vp(sigmas)
    y = alpha[0] * walk.x
    for s, t in pairwise(range(len(sigmas))):
        x0 = walk.call_vp(y, sigmas[s])
        if sigmas[t] == 0:
            return x0
        eps = (y - alpha[s] * x0) / sigma_vp[s]
        y = alpha[t] * (y / alpha[s] + (sigma_vp[t] / alpha[t] - sigma_vp[s] / alpha[s]) * eps)
    return y / alpha[-1]


def stochastic_ddim(
    walk: Walk, sigmas: Array, eta: float = 1.0, call: str | float = "state"
) -> Array:
    """Song, Meng & Ermon 2021 (DDIM), eq. (12) with the noise of eq. (16)."""
    if call != "state":
        return called(walk, sigmas, eta, call)
    alpha, sigma_vp, _ = vp(sigmas)
    y = alpha[0] * walk.x
    for s, t in pairwise(range(len(sigmas))):
        x0 = walk.call_vp(y, sigmas[s])
        if sigmas[t] == 0:
            return x0
        eps = (y - alpha[s] * x0) / sigma_vp[s]
        noise = eta * sigma_vp[t] / sigma_vp[s] * sqrt(1 - alpha[s] ** 2 / alpha[t] ** 2)
        y = alpha[t] * x0 + sqrt(sigma_vp[t] ** 2 - noise**2) * eps + noise * walk.normal()
    return y / alpha[-1]


def euler_ancestral(walk: Walk, sigmas: Array, eta: float = 1.0) -> Array:
    """k-diffusion: Euler to sigma_down, then noise sigma_up, down^2 + up^2 = sigma_next^2."""
    x = walk.x
    for a, b in pairwise(sigmas):
        x0 = walk.call(x, a)
        if b == 0:
            return x0
        up = min(b, eta * sqrt(b**2 * (a**2 - b**2) / a**2))
        down = sqrt(b**2 - up**2)
        x = x + (x - x0) / a * (down - a) + walk.normal() * up
    return x


def called(
    walk: Walk, sigmas: Array, eta: float = 1.0, call: str | float = "state", spread: bool = False
) -> Array:
    """docs/called_levels.md: DDIM of any eta, whose denoiser is told a level below the state's.

    The mmse of the matched call, and of Analytic-DPM's noise (Bao et al. 2022), is that of N(0, 1).
    """
    x = walk.x
    for a, b in pairwise(sigmas):
        noise = eta * b * sqrt(1 - b**2 / a**2)
        k, rate = sqrt(b**2 - noise**2) / a, 1 / (1 + a**2)
        g = sqrt(rate + (1 - rate) * k**2)
        share = 1.0 if call == "geometric" else call
        if call == "state":
            mean = 1.0
        elif call == "matched":
            mean = (g + k) / (1 + g)
        elif b == 0:
            mean = 0.5 if isinstance(share, str) else 0.5**share
        elif call == "log_mean":
            mean = (k - 1) / log(k)
        else:
            assert isinstance(share, float)
            mean = k ** (share / 2)
        x0 = walk.call(x, a * sqrt(mean))
        if b == 0:
            return x0
        if spread:
            noise = sqrt(noise**2 + (1 - k) ** 2 * a**2 * rate)
        x = k * x + (1 - k) * x0
        if noise:
            x = x + noise * walk.normal()
    return x


def heun(walk: Walk, sigmas: Array, correct_last: bool = True) -> Array:
    """Karras et al. 2022 (EDM), alg. 1 for sigma(t) = t, s(t) = 1."""
    x = walk.x
    for i, (a, b) in enumerate(pairwise(sigmas)):
        d = (x - walk.call(x, a)) / a
        x_next = x + (b - a) * d
        if b == 0:
            return walk.points[-1][2]
        if i < len(sigmas) - 2 or correct_last:
            d_prime = (x_next - walk.call(x_next, b)) / b
            x_next = x + (b - a) * (d / 2 + d_prime / 2)
        x = x_next
    return x


def edm_stochastic(
    walk: Walk,
    sigmas: Array,
    s_churn: float = 40,
    s_min: float = 0.05,
    s_max: float = 50,
    s_noise: float = 1.003,
    correct_last: bool = True,
) -> Array:
    """Karras et al. 2022 (EDM), alg. 2; walk.x is churned already, at sigma_hat of step 0."""
    x, n_steps = walk.x, len(sigmas) - 1
    for i, (a, b) in enumerate(pairwise(sigmas)):
        churn = min(s_churn / n_steps, sqrt(2) - 1) if s_min <= a <= s_max else 0.0
        a_hat = a + churn * a
        if i > 0 and churn > 0:
            x = x + sqrt(a_hat**2 - a**2) * s_noise * walk.normal()
        d = (x - walk.call(x, a_hat)) / a_hat
        if b == 0:
            return walk.points[-1][2]
        x_next = x + (b - a_hat) * d
        if i < n_steps - 1 or correct_last:
            d_prime = (x_next - walk.call(x_next, b)) / b
            x_next = x + (b - a_hat) * (d / 2 + d_prime / 2)
        x = x_next
    return x


def dpm_solver_2(walk: Walk, sigmas: Array) -> Array:
    """Lu et al. 2022a (DPM-Solver), alg. 1: DPM-Solver-2 with r1 = 1/2, noise prediction."""
    alpha, sigma_vp, lam = vp(sigmas)
    y = alpha[0] * walk.x
    for s, t in pairwise(range(len(sigmas))):
        x0 = walk.call_vp(y, sigmas[s])
        if sigmas[t] == 0:
            return x0
        h = lam[t] - lam[s]
        middle = exp(-(lam[s] + lam[t]) / 2)
        alpha_m, sigma_m, _ = vp(middle)
        eps = (y - alpha[s] * x0) / sigma_vp[s]
        u = alpha_m / alpha[s] * y - sigma_m * expm1(h / 2) * eps
        eps_m = (u - alpha_m * walk.call_vp(u, middle)) / sigma_m
        y = alpha[t] / alpha[s] * y - sigma_vp[t] * expm1(h) * eps_m
    return y / alpha[-1]


# --------------------------------------------------------------------------------------------------
# Paper C, one step: df / dkappa = d
# --------------------------------------------------------------------------------------------------


def form_at(form: Form, sigma: float) -> tuple[float, float]:
    """(y / f, kappa): noise form f = y / alpha, kappa = sigma / alpha; data form reversed."""
    alpha, sigma_vp, _ = (float(v) for v in vp(np.asarray(sigma)))
    return (alpha, sigma_vp / alpha) if form == "noise" else (sigma_vp, alpha / sigma_vp)


def snr(sigma: float) -> float:
    """(alpha / sigma_vp)^2."""
    alpha, sigma_vp, _ = vp(np.asarray(sigma))
    return float((alpha / sigma_vp) ** 2)


def slope(walk: Walk, form: Form, f: Array, sigma: float) -> Array:
    """The direction d at f: eps in the noise form, x0 in the data form."""
    alpha, sigma_vp, _ = vp(np.asarray(sigma))
    y = form_at(form, sigma)[0] * f
    x0 = walk.call_vp(y, sigma)
    return x0 if form == "data" else (y - alpha * x0) / sigma_vp


def stage_level(form: Form, stage: Stage, a: float, b: float) -> float:
    """The level s in (b, a): sqrt(ab), or h / hhat = 4 SNR(s) / (SNR(a) + SNR(s)), prop. 3.2."""
    if stage == "sqrt":
        return sqrt(a * b)
    kappa_a, kappa_b = form_at(form, a)[1], form_at(form, b)[1]

    def excess(log_s: float) -> float:  # hhat times the difference of the two sides
        s = exp(log_s)
        upper = 4 / (snr(a) / snr(s) + 1)
        return (kappa_b - kappa_a) - upper * (form_at(form, s)[1] - kappa_a)

    return exp(float(brentq(excess, log(b), log(a), xtol=1e-15, rtol=1e-15)))


def paper_c_single(
    walk: Walk, sigmas: Array, form: Form, stage: Stage, update: Callable[..., Array]
) -> Array:
    """The loop of (3.7) and (4.1): d_s at the DDIM predictor; update gives f's increment."""
    f = walk.x / sqrt(1 + sigmas[0] ** 2) / form_at(form, sigmas[0])[0]
    for a, b in pairwise(sigmas):
        if b == 0:
            return walk.call_vp(form_at(form, a)[0] * f, a)
        d_a = slope(walk, form, f, a)
        s = stage_level(form, stage, a, b)
        h = form_at(form, b)[1] - form_at(form, a)[1]
        h_hat = form_at(form, s)[1] - form_at(form, a)[1]
        d_s = slope(walk, form, f + h_hat * d_a, s)
        f = f + update(d_a, d_s, h, h_hat, snr(a), snr(s))
    return form_at(form, sigmas[-1])[0] * f * sqrt(1 + sigmas[-1] ** 2)


def fd_2(walk: Walk, sigmas: Array, form: Form = "noise", stage: Stage = "sqrt") -> Array:
    """Paper C, (3.7): f_b = f_a + h d_a + h^2/2 F, F = (d_s - d_a) / hhat."""

    def update(d_a: Array, d_s: Array, h: float, h_hat: float, snr_a: float, snr_s: float) -> Array:
        return h * d_a + h**2 / 2 * (d_s - d_a) / h_hat

    return paper_c_single(walk, sigmas, form, stage, update)


def re_single(
    walk: Walk,
    sigmas: Array,
    form: Form = "noise",
    stage: Stage = "sqrt",
    mix: Literal["lower", "upper", "minimum"] | float = "lower",
    compensated: bool = False,
) -> Array:
    """Paper C, (4.1): f_b = f_a + h (g d_s + (1 - g) d_a) + h^2/2 F.

    g = `mix`: the two ends of prop. 4.1's interval, the minimum of (4.2), or a number.
    `compensated` takes (h^2/2 - g h hhat) F as the last term, which gives (3.7) back.
    """

    def update(d_a: Array, d_s: Array, h: float, h_hat: float, snr_a: float, snr_s: float) -> Array:
        named = {"lower": snr_a, "upper": max(2 * snr_a, snr_s), "minimum": snr_s}
        g = named[mix] / (snr_a + snr_s) if isinstance(mix, str) else mix
        last = h**2 / 2 - (g * h * h_hat if compensated else 0)
        return h * (g * d_s + (1 - g) * d_a) + last * (d_s - d_a) / h_hat

    return paper_c_single(walk, sigmas, form, stage, update)


# --------------------------------------------------------------------------------------------------
# Multistep samplers
# --------------------------------------------------------------------------------------------------


def dpmpp(
    walk: Walk,
    sigmas: Array,
    p: int = 2,
    corrected: bool = False,
    lower_order_final: bool = True,
) -> Array:
    """Lu et al. 2022b (DPM-Solver++): p = 2 alg. 2 (2M), p = 3 the authors' multistep update.

    The published D2 is the second divided difference times h^2; `corrected` doubles it, which
    makes it h^2 times the second derivative. Ramp-up and lowered steps are 2M, then DDIM.
    """
    alpha, sigma_vp, lam = vp(sigmas)
    y, m = alpha[0] * walk.x, []
    for s, order in enumerate(orders(len(sigmas) - 1, p, lower_order_final)):
        t = s + 1
        m.append(walk.call_vp(y, sigmas[s]))
        if sigmas[t] == 0:
            return m[-1]
        h = lam[t] - lam[s]
        phi_1 = expm1(-h)
        y = sigma_vp[t] / sigma_vp[s] * y - alpha[t] * phi_1 * m[-1]
        if order == 2:
            r0 = (lam[s] - lam[s - 1]) / h
            y = y - alpha[t] * phi_1 * (m[-1] - m[-2]) / (2 * r0)
        if order == 3:
            phi_2 = phi_1 / h + 1
            phi_3 = phi_2 / h - 0.5
            r0, r1 = (lam[s] - lam[s - 1]) / h, (lam[s - 1] - lam[s - 2]) / h
            d1_0, d1_1 = (m[-1] - m[-2]) / r0, (m[-2] - m[-3]) / r1
            d1 = d1_0 + r0 / (r0 + r1) * (d1_0 - d1_1)
            d2 = (2 if corrected else 1) * (d1_0 - d1_1) / (r0 + r1)
            y = y + alpha[t] * phi_2 * d1 - alpha[t] * phi_3 * d2
    return y / alpha[-1]


def sde_dpmpp_2m(
    walk: Walk,
    sigmas: Array,
    variant: Literal["midpoint", "heun"] = "midpoint",
    lower_order_final: bool = True,
) -> Array:
    """Lu et al. 2022b (DPM-Solver++), SDE-DPM-Solver++(2M); "heun" as in the authors' code."""
    alpha, sigma_vp, lam = vp(sigmas)
    y, m = alpha[0] * walk.x, []
    for s, order in enumerate(orders(len(sigmas) - 1, 2, lower_order_final)):
        t = s + 1
        m.append(walk.call_vp(y, sigmas[s]))
        if sigmas[t] == 0:
            return m[-1]
        h = lam[t] - lam[s]
        rise = -expm1(-2 * h)
        y = sigma_vp[t] / sigma_vp[s] * exp(-h) * y + alpha[t] * rise * m[-1]
        y = y + sigma_vp[t] * sqrt(rise) * walk.normal()
        if order == 2:
            d1 = (m[-1] - m[-2]) / ((lam[s] - lam[s - 1]) / h)
            y = y + alpha[t] * (rise / 2 if variant == "midpoint" else 1 - rise / (2 * h)) * d1
    return y / alpha[-1]


def unipc(
    walk: Walk,
    sigmas: Array,
    p: int = 2,
    variant: Literal["bh2", "bh1"] = "bh2",
    lower_order_final: bool = True,
) -> Array:
    """Zhao et al. 2023 (UniPC), sec. 3 in data prediction: UniP-p and UniC-p, multistep.

    rho solves sum_j rho_j r_j^(k-1) B(h) = -h k! phi_{k+1}(-h) for k = 1, 2, ..., where
    phi_{k+1}(z) is the integral over u in (0, 1) of exp((1 - u) z) u^k / k!; UniP-2 and UniC-1
    take 1/2 instead, as in the authors' code. The denoised value at the predictor's point is
    kept for the next step. The last step has no corrector; a step to 0 returns the kept value.
    """
    alpha, sigma_vp, lam = vp(sigmas)
    y = alpha[0] * walk.x
    m = [walk.call_vp(y, sigmas[0])]
    for s, order in enumerate(orders(len(sigmas) - 1, p, lower_order_final)):
        t = s + 1
        if sigmas[t] == 0:
            return m[-1]
        h = lam[t] - lam[s]
        r = np.array([(lam[s - j] - lam[s]) / h for j in range(1, order)] + [1.0])
        d = [(m[-1 - j] - m[-1]) / r[j - 1] for j in range(1, order)]
        big_b = -h if variant == "bh1" else expm1(-h)
        phi = [
            gauss(lambda u, k=k, h=h: np.exp(-(1 - u) * h) * u**k / factorial(k), 0, 1)
            for k in range(1, order + 1)
        ]  # phi_2, ..., phi_{order + 1}
        matrix = np.array([r**k for k in range(order)])
        right = np.array([-h * factorial(k + 1) * phi[k] / big_b for k in range(order)])
        rho_p = np.linalg.solve(matrix[:-1, :-1], right[:-1]) if order > 2 else [0.5]
        rho_c = np.linalg.solve(matrix, right) if order > 1 else [0.5]

        base = sigma_vp[t] / sigma_vp[s] * y - alpha[t] * expm1(-h) * m[-1]
        y = base - alpha[t] * big_b * sum(rho * d_j for rho, d_j in zip(rho_p, d, strict=False))
        if t == len(sigmas) - 1:
            break
        m.append(walk.call_vp(y, sigmas[t]))
        d.append(m[-1] - m[-2])
        y = base - alpha[t] * big_b * sum(rho * d_j for rho, d_j in zip(rho_c, d, strict=True))
    return y / alpha[-1]


def deis(
    walk: Walk,
    sigmas: Array,
    p: int = 3,
    time: Literal["edm", "vp"] | None = None,
    lower_order_final: bool = True,
) -> Array:
    """Zhang & Chen 2023 (DEIS), tAB: dx = eps dsigma, eps by Lagrange through p values.

    The polynomial is in log sigma (time=None), in t = sigma ("edm"), or in the t of the VP
    process ("vp"): sigma^2 + 1 = exp(0.1 t + 9.95 t^2).
    """

    def clock(sigma: Array) -> Array:
        if time is None:
            return np.log(sigma)
        if time == "edm":
            return sigma
        return (np.sqrt(0.01 + 4 * 9.95 * np.log1p(sigma**2)) - 0.1) / (2 * 9.95)

    x, eps = walk.x, []
    for i, order in enumerate(orders(len(sigmas) - 1, p, lower_order_final)):
        a, b = sigmas[i], sigmas[i + 1]
        x0 = walk.call(x, a)
        if b == 0:
            return x0
        eps.append((x - x0) / a)
        times = [clock(sigmas[i - j]) for j in range(order)]
        for j in range(order):
            others = [t for t in times if t != times[j]]

            def integrand(v: Array, t_j: float = times[j], others: list[float] = others) -> Array:
                sigma = np.exp(v)  # dsigma = sigma dv
                factors = [(clock(sigma) - t) / (t_j - t) for t in others]
                return np.asarray(sigma * np.prod([np.ones_like(v), *factors], axis=0))

            x = x + gauss(integrand, log(a), log(b)) * eps[-1 - j]
    return x


def ab_2(walk: Walk, sigmas: Array, lower_order_final: bool = True) -> Array:
    """Adams-Bashforth 2 in sigma (Hairer, Norsett & Wanner, sec. III.5), slope (x - x0) / sigma."""
    x, slopes = walk.x, []
    for i, order in enumerate(orders(len(sigmas) - 1, 2, lower_order_final)):
        x0 = walk.call(x, sigmas[i])
        if sigmas[i + 1] == 0:
            return x0
        slopes.append((x - x0) / sigmas[i])
        h = sigmas[i + 1] - sigmas[i]
        x = x + h * slopes[-1]
        if order == 2:
            x = x + h**2 / 2 * (slopes[-1] - slopes[-2]) / (sigmas[i] - sigmas[i - 1])
    return x


# --------------------------------------------------------------------------------------------------
# EVODiff and RE, multistep: weights from inner products, one per sample and channel
# --------------------------------------------------------------------------------------------------


def dot(u: Array, v: Array) -> Array:
    """Inner products of grouped states (n, C, d / C), shape (n, C, 1)."""
    return np.asarray((u * v).sum(axis=-1, keepdims=True))


def ratio(top: Array, bottom: Array, bound: float = np.inf) -> Array:
    """The quotient, between -bound and bound; 0 where bottom is below 1e-300."""
    fine = bottom >= 1e-300
    return np.clip(np.where(fine, top / np.where(fine, bottom, 1.0), 0.0), -bound, bound)


def record(walk: Walk, **weights: Array) -> None:
    """Append weights (n, C, 1) to the walk as (n, C)."""
    walk.weights.append({name: w[..., 0] for name, w in weights.items()})


def evodiff(
    walk: Walk, sigmas: Array, mu: float = 0.5, channels: int = 1, special_last: bool = True
) -> Array:
    """EVODiff (NeurIPS 2025) as released; items 1 to 4 of docs/papers/c.md, EVODiff as released."""
    levels = sigmas[sigmas > 0]
    n_steps, sigma_max, sigma_min = len(levels) - 1, levels[0], levels[-1]
    flat = walk.x.shape
    x = walk.x.reshape(flat[0], channels, -1)

    def denoise(x: Array, sigma: float) -> Array:
        return walk.call(x.reshape(flat), sigma).reshape(x.shape)

    for i, (a, b) in enumerate(pairwise(levels)):
        h, rho0 = 1 / b - 1 / a, b / a
        # 1. First step: DDIM.
        if i == 0:
            d0 = denoise(x, a)
            x = rho0 * x + b * h * d0
            if n_steps > 1:
                d0, d1 = denoise(x, b), d0
            continue
        a1 = levels[i - 1]
        # 3. Last step.
        if i == n_steps - 1 and special_last:
            c_f = 1 - sqrt(a * b)
            r_f = 1 - 0.5 * (sqrt(rho0) if rho0 < 0.5 else sqrt(rho0 - 0.5))
            x = c_f * (rho0 * x + b * h * d0) + 0.5 * b * h * (d0 - r_f * d1)
            continue
        # 2. Each other step: the probe.
        x_e = rho0 * x + b * h * d0
        r = log(a1 / a) / log(a / b)
        tau = (b + sigma_min) / (sigma_max + sigma_min)
        w, beta = 0.5 * (1 - tau**2), sqrt(rho0 / (a / a1))
        beta1 = (1 - w) * beta + w * ratio(dot(d0, d1), dot(d1, d1), 2)
        delta1 = d0 - beta1 * d1
        r_probe = np.clip(r * expit(0.25 * np.abs(beta1)), 0.25 * r, 1.5 * r)
        x_p = x_e + b * h / (2 * r_probe) * delta1
        d_t = denoise(x_p, b)
        # The blend eta of the two differences.
        beta2 = (1 - w) * beta + w * ratio(dot(d_t, d0), dot(d0, d0), 2)
        delta2 = d_t - beta2 * d0
        minus, plus = delta1 / (r * h), r * delta2 / h
        gap = plus - minus
        eta = 0.5 * expit(np.abs(0.5 * ratio(dot(plus + minus, gap), dot(gap, gap), 2)))
        g = -eta / r * delta1 + r * (1 - eta) * delta2
        # The weight zeta of the correction.
        p = x_p - x_e - b * h / (2 * r_probe) * g
        v = np.abs(ratio(dot(p, delta1), dot(delta1, delta1), 2) / (h * b)) - mu
        if n_steps <= 20:
            zeta = expit(v)
        else:
            g10 = (d0 - d1) / h
            zeta = expit(-v * expit(ratio(dot(d0, g10), dot(g10, g10), 2) * (2 - rho0**2)))
        record(walk, beta1=beta1, r_probe=r_probe, beta2=beta2, eta=eta, zeta=zeta)
        x = x_e + b * h / (2 * zeta) * g
        d0, d1 = d_t, d0
    # 4. Denoise to zero.
    return walk.call(x.reshape(flat), sigma_min) if sigmas[-1] == 0 else x.reshape(flat)


def re_multi(
    walk: Walk,
    sigmas: Array,
    mu: float = 0.5,
    channels: int = 1,
    prior: Literal["log_snr", "printed", "minimiser"] = "log_snr",
    sign: int = 1,
    bound: float = np.inf,
) -> Array:
    """Paper C, alg. 1 in data form, f = x / sigma, kappa = 1 / sigma: zeta B, eta by (4.4)-(4.19).

    zeta = sigmoid(sign (|zeta*| - mu)): sign 1 in the ICLR version, -1 in the NeurIPS one. The
    printed ratios (4.16), (4.19) have no bound; `bound` clips them as EVODiff's code does.
    """
    levels = sigmas[sigmas > 0]
    flat = walk.x.shape
    x = walk.x.reshape(flat[0], channels, -1)

    def denoise(x: Array, sigma: float) -> Array:
        return walk.call(x.reshape(flat), sigma).reshape(x.shape)

    for i, (a, b) in enumerate(pairwise(levels)):
        h = 1 / b - 1 / a
        # (i) The DDIM state, which is all of the first step.
        if i == 0:
            d0 = denoise(x, a)
            x = b * (x / a + h * d0)
            if len(levels) > 2:
                d0, d1 = denoise(x, b), d0
            continue
        f_e = x / a + h * d0
        # (ii), (iii) The explicit prediction with B(t_i, l_i), and the call there.
        a1 = levels[i - 1]
        h1 = 1 / a - 1 / a1
        if prior == "log_snr":
            b_l = (d0 - d1) / (log(a1 / a) / log(a / b) * h)
        else:  # prop. 4.2
            top = a**2 if prior == "printed" else a1**2
            zeta_l = top / (a**2 + a1**2)
            b_l = (d0 - (zeta_l * d0 + (1 - zeta_l) * d1)) / h1
        x_p = b * (f_e + h**2 / 2 * b_l)
        d_t = denoise(x_p, b)
        if prior == "log_snr":
            d_s = d_t
        else:
            top = b**2 if prior == "printed" else a**2
            zeta_s = top / (a**2 + b**2)
            d_s = zeta_s * d_t + (1 - zeta_s) * d0
        # (iv), (v) The blend, (4.19).
        f_back, f_ahead = (d1 - d0) / (1 / a1 - 1 / a), (d_t - d0) / h
        gap = f_back - f_ahead
        eta = expit(np.abs(ratio(dot(gap, f_back), dot(gap, gap), bound)))
        blend = eta / 2 * (d_s - d0) / h + (1 - eta / 2) * b_l
        # (vi) The weight, (4.11)-(4.16), with F(s_i, t_i) = F(s_i, t_{i-1}) = f_ahead. The
        # printed P adds two states, so zeta* is large; with -x_hat, p_tilde would be 0 here.
        x_hat = a * (x_p / b - h * d_t + h**2 / 2 * f_ahead)
        p = x_hat + a / b * x_p - a * h**2 / 2 * f_ahead
        p_tilde, d_i = p - a * h * d0, d_s - d0
        zeta_star = ratio(np.abs(dot(d_i, p_tilde)), a * h * dot(d_i, d_i), bound)
        zeta = expit(sign * (zeta_star - mu))
        # (vii)
        record(walk, eta=eta, zeta=zeta)
        x = b * (f_e + h**2 / 2 * zeta * blend)
        d0, d1 = d_t, d0
    return walk.call(x.reshape(flat), levels[-1]) if sigmas[-1] == 0 else x.reshape(flat)


ORACLES: dict[str, Oracle] = {
    "ddim": ddim,
    "stochastic_ddim": stochastic_ddim,
    "euler_ancestral": euler_ancestral,
    "called_ddim": partial(called, eta=0.0, call="geometric"),
    "called_ancestral": partial(called, call="log_mean"),
    "analytic_ddpm": partial(called, spread=True),
    "heun": heun,
    "dpm_solver_2": dpm_solver_2,
    "fd_2": fd_2,
    "re_single": re_single,
    "dpmpp_2m": partial(dpmpp, p=2),
    "dpmpp_3m": partial(dpmpp, p=3),
    "sde_dpmpp_2m": sde_dpmpp_2m,
    "unipc_1": partial(unipc, p=1),
    "unipc_2": partial(unipc, p=2),
    "unipc_3": partial(unipc, p=3),
    "deis_1": partial(deis, p=1),
    "deis_2": partial(deis, p=2),
    "deis_3": partial(deis, p=3),
    "ab_2": ab_2,
    "edm_stochastic": edm_stochastic,
    "re_multi": re_multi,
    "re_multi_2025": partial(re_multi, sign=-1),
    "evodiff": evodiff,
}
