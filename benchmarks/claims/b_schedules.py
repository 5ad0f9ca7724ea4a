"""Paper B, sections 5 and 6, appendices F and G: risks, the LAS objective, and its two algorithms.

The x0-prediction risk is l(snr) = E |x0 - D|^2. The objective is
J = sum l(snr_k) (phi(snr_{k+1}) - phi(snr_k)) + mu sum |d_{k+1} - d_k|^p with
d_k = log(snr_{k+1} / snr_k). The text at hand has lost the form of phi. We infer
snr / (1 + lambda snr), which reproduces the paper's toy tables best (docs/papers/b.md).
"""

from itertools import combinations, pairwise

import numpy as np

from benchmarks.claims.b_channel import denoise, errors, one_step, over_step
from benchmarks.claims.b_pathwise import direct
from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import Reading, at_most, relative, worst
from benchmarks.measure.expectation import expect
from benchmarks.measure.mmse_slope import disc, variance
from theory.bounds import approximation_error, discretisation_error
from theory.checks import Array
from theory.gaussian import gaussian_conditional_entropy, gaussian_mmse
from theory.noise.processes import VP
from theory.profiles.profile import Profile
from theory.profiles.risks import x0_risks
from theory.schedules.las import IDENTITY, Objective, Saturating, optimal_grid
from theory.schedules.las_levels import las_sigmas
from theory.schedules.standard import log_snr_sigmas

CANDIDATES, MANY = 11, 10**6
PLAIN_LEVELS = 400
COMPETITORS = 40


def risk(case: Case, sigma: float) -> float:
    """E |x0 - D|^2 of the wrong denoiser, by own quadrature."""

    def f(x: Array) -> Array:
        gap = denoise(case.toy, x, sigma).real - case.wrong.denoise(x, sigma)
        return np.asarray(variance(case.toy, x, sigma) + gap**2)[None]

    return float(expect(case.toy, sigma, f)[0])


def mmse(case: Case, sigma: float) -> float:
    """E Var(x0 | x), by own quadrature."""
    return float(expect(case.toy, sigma, lambda x: variance(case.toy, x, sigma)[None])[0])


def risks_make_the_kl(case: Case) -> Reading:
    """(5.1) on one step: E_disc + E_approx + int mmse / 2 = dsnr l / 2."""
    a, b = one_step(case)
    grid = np.array([a, b])
    left = disc(case.toy, grid).sum() + approximation_error(grid, errors(case, grid)).sum()
    left += 0.5 * over_step(lambda s: mmse(case, s), a, b)
    return relative(left, 0.5 * (b**-2 - a**-2) * risk(case, a))


def same_constant(case: Case) -> Reading:
    """The integral of (5.1) does not depend on the schedule: (3.2) on two grids with equal ends."""
    other = log_snr_sigmas(case.sigmas.size, float(case.sigmas[0]), float(case.sigmas[-1]))
    moved = Case(case.name, case.toy, other, case.wrong, case.seed)
    sums = [
        0.5 * float(np.diff(grid**-2.0) @ [risk(case, s) for s in grid[:-1].tolist()])
        for grid in (case.sigmas, other)
    ]
    first, second = (float(direct(c, wrong=True).sum()) for c in (case, moved))
    return relative(first + sums[1], second + sums[0])


def axis(case: Case) -> Reading:
    """Phi is the SNR after extra noise of variance lambda; lambda = 0 leaves the SNR."""
    lam = float(10.0 ** case.rng.uniform(-4.0, 2.0))
    snr = np.sort(case.sigmas**-2.0)
    readings = []
    for value in (lam, 0.0):
        steps = np.diff(Saturating(value).phi(snr))
        right = np.diff(snr) / ((1.0 + value * snr[1:]) * (1.0 + value * snr[:-1]))
        readings.append(relative(steps, right))
    return worst(readings)


def axis_saturates(case: Case) -> Reading:
    """Phi rises, stays below 1 / lambda, and makes every step shorter than the SNR does."""
    lam = float(10.0 ** case.rng.uniform(-4.0, 2.0))
    snr = np.sort(case.sigmas**-2.0)
    steps = np.diff(Saturating(lam).phi(snr))
    return at_most([*(-steps), *steps, steps.sum()], [*(0.0 * steps), *np.diff(snr), 1.0 / lam])


def objective(case: Case) -> Reading:
    """(5.2), (6.1) = (F.1): the suite's J against its terms summed one by one."""
    rng = case.rng
    lam, mu, power = 10.0 ** rng.uniform(-3, 1), 10.0 ** rng.uniform(-2, 2), rng.uniform(0.5, 3.0)
    snr, risks = case.sigmas**-2.0, rng.uniform(0.0, 1.0, case.sigmas.size)
    ratio = np.log(snr[1:] / snr[:-1])
    found = 0.0
    for k in range(snr.size - 1):
        # The difference of phi is one fraction, because phi itself saturates.
        room = (snr[k + 1] - snr[k]) / ((1.0 + lam * snr[k + 1]) * (1.0 + lam * snr[k]))
        found += risks[k] * room
    for k in range(ratio.size - 1):
        found += mu * abs(ratio[k + 1] - ratio[k]) ** power
    return relative(Objective(Saturating(lam), mu, power)(snr, risks), found)


def _candidates(case: Case) -> tuple[Array, Array, int, np.random.Generator]:
    rng = case.rng
    snr = np.exp(np.cumsum(rng.uniform(0.2, 1.5, CANDIDATES)))
    risks = rng.uniform(0.0, 1.0, CANDIDATES)
    if rng.random() < 0.5:  # risks that never rise with SNR use another programme
        risks = np.sort(risks)[::-1].copy()
    return snr, risks, int(rng.integers(2, 7)), rng


def _least(snr: Array, risks: Array, n_steps: int, mu: float, power: float, lam: float) -> float:
    """The least J over all choices of inner candidates."""
    phi, x, last = snr / (1.0 + lam * snr), np.log(snr), snr.size - 1
    best = np.inf
    for inner in combinations(range(1, last), n_steps - 1):
        path = np.array([0, *inner, last])
        cost = float(risks[path[:-1]] @ np.diff(phi[path]))
        best = min(best, cost + mu * float(np.sum(np.abs(np.diff(x[path], 2)) ** power)))
    return best


def exact_programme(case: Case) -> Reading:
    """Algorithm 1 finds the least J (mu = 0) of all grids, compared with exhaustive search."""
    snr, risks, n, rng = _candidates(case)
    lam = float(10.0 ** rng.uniform(-3.0, 0.0))
    goal = Objective(Saturating(lam))
    found = [optimal_grid(snr, risks, n, goal, how) for how in ("auto", "quadratic")]
    values = [goal(snr[g.indices], risks[g.indices]) for g in found] + [g.value for g in found]
    return relative(values, np.full(len(values), _least(snr, risks, n, 0.0, 2.0, lam)))


def beam_programme(case: Case) -> Reading:
    """Algorithm 2 is exact if beam and window span the candidates; its J is that of its grid."""
    snr, risks, n, rng = _candidates(case)
    lam, mu = float(10.0 ** rng.uniform(-3.0, 0.0)), float(10.0 ** rng.uniform(-2.0, 1.0))
    goal = Objective(Saturating(lam), mu, 2.0)
    wide = optimal_grid(snr, risks, n, goal, "beam", beam=200, radius=CANDIDATES)
    values = [wide.value, goal(snr[wide.indices], risks[wide.indices])]
    return relative(values, np.full(2, _least(snr, risks, n, mu, 2.0, lam)))


def beam_is_never_below(case: Case) -> Reading:
    """Algorithm 2 with default settings on 120 candidates, against the exact programme."""
    rng = case.rng
    snr = np.geomspace(1e-3, 1e3, 120)
    risks = 1.0 / (1.0 + snr) * np.exp(0.1 * rng.normal(size=snr.size))
    goal = Objective(Saturating(0.05), float(10.0 ** rng.uniform(-3.0, 1.0)), 2.0)
    found = optimal_grid(snr, risks, int(rng.integers(3, 9)), goal, "beam")
    reading = at_most(found.least, found.value)
    return reading._replace(detail=f"{reading.detail}, {found.gap:.2g} above the optimum")


def prediction(case: Case) -> Reading:
    """(F.2): the window is centred where the log-SNR ratio repeats.

    Without risks, with a single path, one neighbour on either side and no global set, algorithm 2
    must find the geometric grid among geometric candidates, whose penalty is 0.
    """
    n, stride = int(case.rng.integers(2, 8)), int(case.rng.integers(2, 8))
    snr = np.geomspace(1.0, 1e4, n * stride + 1)
    goal = Objective(IDENTITY, 1.0, 2.0)
    found = optimal_grid(snr, 0.0 * snr, n, goal, "beam", beam=1, radius=1, everywhere=0)
    predicted = 2.0 * np.log(snr[found.indices][1:-1]) - np.log(snr[found.indices][:-2])
    return relative(predicted + 1.0, np.log(snr[found.indices][2:]) + 1.0)


def _gaussian(case: Case) -> tuple[float, int, float, float]:
    """c, the number of steps, and the highest and lowest level."""
    c = float(case.toy.stds[0, 0])
    return c, max(case.sigmas.size - 1, 2), 100.0 * c, 0.05 * c


def gaussian_optimum(case: Case) -> Reading:
    """For N(0, c^2) the sum of l dsnr is least on levels geometric in snr + 1 / c^2."""
    c, n, top, low = _gaussian(case)
    ends = np.array([top, low]) ** -2.0 + c**-2
    u = np.geomspace(ends[0], ends[1], n + 1)
    least = n * np.expm1(np.log(ends[1] / ends[0]) / n)  # J of that grid, in closed form
    others = ends[0] * (ends[1] / ends[0]) ** np.sort(
        np.pad(case.rng.random((COMPETITORS, n - 1)), ((0, 0), (1, 1)), constant_values=(0, 1)),
        axis=1,
    )
    found = (np.diff(others, axis=1) / others[:, :-1]).sum(axis=1).min()
    same = relative((np.diff(u) / u[:-1]).sum(), least)
    reading = at_most(least, found)
    return reading._replace(value=max(reading.value, same.value))


def gaussian_levels(case: Case) -> Reading:
    """The suite's schedule (programme and Newton's method) reaches the J of that optimum."""
    c, n, top, low = _gaussian(case)
    grid = np.geomspace(low, top, PLAIN_LEVELS)
    sigmas = las_sigmas(n, top, low, profile=Profile(1, grid, gaussian_mmse(grid, c)), lambda_=0.0)
    u = sigmas**-2.0 + c**-2
    least = n * np.expm1(np.log(u[-1] / u[0]) / n)
    return relative((np.diff(u) / u[:-1]).sum(), least)


def eps_losses(case: Case) -> Reading:
    """Remark 6: l = E |eps - eps_hat|^2 / snr, for every draw in DDPM's coordinates.

    x_t = sqrt(abar) x0 + sqrt(1 - abar) eps, x0_hat = (x_t - sqrt(1 - abar) eps_hat) / sqrt(abar)
    and snr = abar / (1 - abar). The suite converts eps losses to x0 risks.
    """
    rng, toy = case.rng, case.toy
    levels = np.geomspace(0.05, 100.0, 6)
    process = VP()
    abar = process.alpha(process.time(levels)) ** 2
    draws = toy.sample(50, case.seed)[:, 0], rng.normal(size=50)
    direct, losses = [], []
    for sigma, share in zip(levels.tolist(), abar.tolist(), strict=True):
        x0, eps = draws
        x_t = np.sqrt(share) * x0 + np.sqrt(1.0 - share) * eps
        x = x_t / np.sqrt(share)
        eps_hat = (x - case.wrong.denoise(x, sigma)) / sigma
        x0_hat = (x_t - np.sqrt(1.0 - share) * eps_hat) / np.sqrt(share)
        direct.append(float(np.mean((x0 - x0_hat) ** 2)))
        losses.append(float(np.mean((eps - eps_hat) ** 2)))
    found = x0_risks(levels, losses, "eps", 1)[1]
    return worst([relative(direct, found), relative(levels**-2.0, abar / (1.0 - abar))])


def klub(case: Case) -> Reading:
    """The bound of Align Your Steps (its eqs. (10), (13)) is E_disc, on N(0, c^2) in closed form.

    KLUB = sum int E |D(x_t, t) - D(x_ti, ti)|^2 dsigma / sigma^3, and the expectation is
    c^4 (1 / (sigma^2 + c^2) - 1 / (sigma_i^2 + c^2)).
    """
    c = float(case.toy.stds[0, 0])
    nodes, weights = np.polynomial.legendre.leggauss(60)
    found = []
    for a, b in pairwise(case.sigmas.tolist()):
        # Panels in log sigma; the difference of the two fractions is formed as one fraction.
        edges = np.linspace(np.log(b), np.log(a), int(np.ceil(np.log(a / b))) + 1)
        piece = 0.0
        for low, high in pairwise(edges.tolist()):
            s = np.exp(0.5 * (low + high) + 0.5 * (high - low) * nodes)
            square = c**4 * (a - s) * (a + s) / ((s**2 + c**2) * (a**2 + c**2))
            piece += 0.5 * (high - low) * float(weights @ (square / s**2))
        found.append(piece)
    entropy = gaussian_conditional_entropy(case.sigmas, c)
    mmses = gaussian_mmse(case.sigmas, c)
    right = 0.5 * np.diff(case.sigmas**-2.0) * mmses[:-1]
    moved = np.array(found) - np.diff(entropy)
    direct = discretisation_error(case.sigmas, mmses, entropy).sum()
    return relative(moved, right, f"KLUB {sum(found):.9g}, E_disc {direct:.9g}")
