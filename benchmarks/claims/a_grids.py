"""Paper A's optimal grids on Gaussian data, and their consequences.

On N(0, c^2) both DDIM samplers are linear, so that a recursion gives the variance after a grid. Let
V_s = s^2 + c^2 and start from the true law. A step from a to b does the following:

    deterministic DDIM (Euler in sigma) multiplies the standard deviation by (a b + c^2) / V_a
    = sqrt(V_b / V_a) cos(angle), angle = arctan(a / c) - arctan(b / c);
    stochastic DDIM multiplies the state by exactly V_b / V_a and loses the variance
    c^2 (a^2 - b^2)^2 / (a^2 V_a), which later steps multiply by (V_end / V_b)^2.

The result for stochastic DDIM is derived by us. The relative loss of the whole grid is therefore
    loss = V_end sum c^2 (a^2 - b^2)^2 / (a^2 V_a V_b^2).
On fine grids it tends to 4 c^2 V_end sum (da)^2 / V_a^3. That is least when int da / V_a^(3/2),
which is a / (c^2 sqrt(V_a)), falls in equal parts. The optimal grid is then uniform in
sin(arctan(sigma / c)); that of the deterministic sampler is uniform in the angle itself.

Equations have v1's numbers; theorem C.1, section 5.4 and the algorithms have the final version's.
"""

import numpy as np
from scipy.optimize import minimize, root

from benchmarks.claims.cases import Case
from benchmarks.claims.ledger import IDENTITY, Reading, relative, sampled
from theory.checks import Array
from theory.gaussian import (
    arctan_ddim_kl_data_model,
    arctan_ddim_variance,
    gaussian_kl_data_model,
    gaussian_mmse,
    gaussian_rescaled_entropy,
    table_variances,
)
from theory.profiles.profile import Profile
from theory.profiles.spectral import spectral_rescaled_entropy
from theory.schedules.arctan import arctan_sigmas
from theory.schedules.standard import edm_sigmas, log_snr_sigmas
from theory.schedules.time_change import entropic_sigmas, rescaled_sigmas, time_change_sigmas
from theory.solvers.ddim import ddim_table, stochastic_ddim_table
from toys.information import information

COMPETITORS = 40
FIELDS = 4000
LEAST_KL = 1e-10  # smallest KL that the recursion resolves


def _scale(case: Case) -> float:
    return float(case.toy.stds[0, 0])


def _ends(case: Case) -> tuple[int, float, float]:
    """Number of steps, highest and lowest level of the case's grid."""
    return case.sigmas.size - 1, float(case.sigmas[0]), float(case.sigmas[-1])


def ddim_kl(sigmas: Array, c: float) -> float:
    """KL(data || DDIM) on N(0, c^2), started from the true law, by the suite's recursion."""
    table = ddim_table(sigmas, float(np.hypot(c, sigmas[0])))
    variance = float(table_variances(table, c)[-1])
    return float(gaussian_kl_data_model(c**2 + sigmas[-1] ** 2, variance))


def stochastic_loss(sigmas: Array, c: float) -> float:
    """Relative variance lost by stochastic DDIM on N(0, c^2), by the closed form above."""
    a, b = sigmas[:-1], sigmas[1:]
    v_a, v_b = a**2 + c**2, b**2 + c**2
    return float(v_b[-1] * np.sum((c * (a**2 - b**2) / (a * v_b)) ** 2 / v_a))


def sine_sigmas(n_steps: int, sigma_max: float, sigma_min: float, c: float) -> Array:
    """Levels uniform in sigma / sqrt(sigma^2 + c^2), shape (n_steps + 1,), falling."""
    high, low = (s / np.hypot(s, c) for s in (sigma_max, sigma_min))
    # 1 - u^2 is formed without subtraction, since it vanishes where u is near 1.
    rest_high = c / np.hypot(sigma_max, c)
    part = np.linspace(0.0, 1.0, n_steps + 1)
    u = high + part * (low - high)
    rest = np.sqrt(rest_high**2 + part * (high - low) * (high + u))
    return np.asarray(c * u / rest)


def optimised(start: Array, loss: object, c: float) -> Array:
    """The grid of least loss with the same ends, by a quasi-Newton search on log-gaps."""
    assert callable(loss)
    x = np.log(start)
    top, span = x[0], x[0] - x[-1]
    gaps = np.log(-np.diff(x) / span)

    def grid(free: Array) -> Array:
        shares = np.exp(free - free.max())
        y = top - span * np.concatenate([[0.0], np.cumsum(shares / shares.sum())])
        y[-1] = x[-1]
        return np.asarray(np.exp(y))

    found = minimize(lambda free: np.log(loss(grid(free), c)), gaps, method="BFGS",
                     options={"maxiter": 300})  # fmt: skip
    return grid(found.x)


def arctan_closed_form(case: Case) -> Reading:
    """(6), theorem C.1: on the arctan grid the recursion gives the variance V_end cos^(2 N)."""
    n, high, low = _ends(case)
    c = _scale(case)
    table = ddim_table(arctan_sigmas(n, high, low, c=c), float(np.hypot(c, high)))
    return relative(table_variances(table, c)[-1], arctan_ddim_variance(n, high, low, c))


def arctan_is_optimal(case: Case) -> Reading:
    """(6), theorem C.1: no other grid of N steps has a smaller KL for the ODE's Euler rule."""
    n, high, low = _ends(case)
    n, c = max(n, 2), _scale(case)  # one step has no level to move
    base = arctan_sigmas(n, high, low, c=c)
    best = ddim_kl(base, c)
    if best < LEAST_KL:
        return Reading(-1.0, 0.0, f"KL {best:.2g}: below what the recursion resolves")
    found = np.inf
    rng = case.rng
    for scale in np.geomspace(1e-4, 1.0, COMPETITORS):
        x = np.log(base)
        x[1:-1] += scale * np.diff(-x).min() * 0.45 * rng.uniform(-1.0, 1.0, n - 1)
        found = min(found, ddim_kl(np.exp(x), c))
    for start in (edm_sigmas(n, high, low), log_snr_sigmas(n, high, low)):
        found = min(found, ddim_kl(start, c), ddim_kl(optimised(start, ddim_kl, c), c))
    return Reading(1.0 - found / best, 0.0, f"{best:.9g} <= {found:.9g} nats")


def euler_is_ddim(case: Case) -> Reading:
    """Theorem C.1: on Gaussian data deterministic DDIM is Euler's rule for the ODE in sigma."""
    a, b, c = float(case.sigmas[0]), float(case.sigmas[-1]), _scale(case)
    row = ddim_table(np.array([a, b]))
    ddim = row.keep[0, 0] + row.weights[0, 0] * (c / np.hypot(c, a)) ** 2
    euler = 1.0 + (b - a) * a / (c**2 + a**2)  # dx / dsigma = -sigma score = sigma x / V
    return relative(ddim, euler)


def stochastic_closed_form(case: Case) -> Reading:
    """Derived by us: the variance that stochastic DDIM loses, closed form against the recursion."""
    sigmas, c = case.sigmas, _scale(case)
    table = stochastic_ddim_table(sigmas, float(np.hypot(c, sigmas[0])))
    v_end = c**2 + sigmas[-1] ** 2
    left = table_variances(table, c)[-1] + v_end * stochastic_loss(sigmas, c)
    return relative(left, v_end)


def least_loss(start: Array, c: float) -> Array:
    """The grid of least `stochastic_loss` with the same ends, a root of the loss's derivatives.

    The unknowns are the inner u = sigma / sqrt(sigma^2 + c^2); the derivatives are in closed form.
    """
    ends = (start / np.hypot(start, c))[[0, -1]]

    def squares(u: Array) -> Array:
        every = np.concatenate([ends[:1], u, ends[1:]])
        return np.asarray(c**2 * every**2 / (1.0 - every**2))

    def slope(u: Array) -> Array:
        a, b = squares(u)[:-1], squares(u)[1:]
        term = (a - b) ** 2 / (a * (a + c**2) * (b + c**2) ** 2)
        from_left = term * (2.0 / (a - b) - 1.0 / a - 1.0 / (a + c**2))
        from_right = term * (-2.0 / (a - b) - 2.0 / (b + c**2))
        return np.asarray((from_left[1:] + from_right[:-1]) * u / (1.0 - u**2) ** 2)

    found = root(slope, (start / np.hypot(start, c))[1:-1], tol=1e-13)
    grid = np.sqrt(squares(found.x))
    if not (np.diff(grid) < 0).all():
        raise ValueError("the stationary grid must fall, got levels out of order")
    return np.asarray(grid)


def sine_is_optimal(case: Case) -> Reading:
    """Derived by us: the excess loss of the sine grid over the optimal one vanishes as 1 / N^2.

    The value is the ratio of the excess at 64 steps to that at 32 steps, minus a quarter.
    """
    c = _scale(case)
    high, low = c * case.rng.uniform(2.0, 5.0), c * case.rng.uniform(0.1, 0.3)
    excess = []
    for n in (32, 64):
        grid = sine_sigmas(n, high, low, c)
        best = least_loss(grid, c)
        excess.append(stochastic_loss(grid, c) / stochastic_loss(best, c) - 1.0)
    shown = f"excess {excess[0]:.3g} at 32 steps, {excess[1]:.3g} at 64"
    if min(excess) < 0:
        return Reading(float("inf"), 0.0, shown + ": the optimiser did not reach it")
    return Reading(excess[1] / excess[0] - 0.25, 0.0, shown)


def rescaled_of_gaussian(case: Case) -> Reading:
    """(22), (23): R = c arctan(t / c), the suite's closed form and its integral of the mmse."""
    c, s = _scale(case), np.sort(case.sigmas)
    levels = np.unique(np.concatenate([np.geomspace(2e-5 * c, s[-1], 800), s]))
    profile = Profile(1, levels, information.mmse(case.toy, levels))
    at = np.searchsorted(levels, s[s >= levels[0]])
    numeric = profile.rescaled_entropy()[at]
    closed = gaussian_rescaled_entropy(levels[at], c)
    written = c * np.arctan(levels[at] / c)
    first, second = relative(numeric, closed), relative(closed, written)
    return first if first.value > second.value else second


def rescaled_grid_is_arctan(case: Case) -> Reading:
    """(24): the grid that is uniform in the rescaled entropy is the arctan grid."""
    n, high, low = _ends(case)
    c = _scale(case)
    levels = np.geomspace(low, high, 800)
    grid = rescaled_sigmas(n, high, low, profile=Profile(1, levels, gaussian_mmse(levels, c)))
    return relative(grid, arctan_sigmas(n, high, low, c=c))


def tabulated_time_change(case: Case) -> Reading:
    """Algorithm 1, steps (a) to (d), written out, against the suite's, on a table of 500 times.

    There are N levels uniform in phi and a last level 0: terminal "zero".
    """
    n, high, low = _ends(case)
    n = n + 1  # at least two levels
    table = np.geomspace(low, high, 500)
    phi = gaussian_rescaled_entropy(table, _scale(case))
    written = [0.0]
    for j in range(n):
        tau = phi[0] + j / (n - 1) * (phi[-1] - phi[0])
        i = min(int(np.searchsorted(phi, tau, side="right")) - 1, phi.size - 2)
        share = (tau - phi[i]) / (phi[i + 1] - phi[i])
        written.append(float(table[i] + share * (table[i + 1] - table[i])))
    ours = time_change_sigmas(n, high, low, "zero", sigma=table, phi=phi, interpolation="linear")
    return relative(written[::-1], ours)


def algorithm_2(case: Case) -> Reading:
    """Algorithm 2, a left Riemann sum on 128 EDM levels, against the suite's rule "left".

    In EDM's time: R_{i+1} = R_i + eps^2(t_i) / t_i^2 (t_{i+1} - t_i).
    """
    levels = edm_sigmas(127, 80.0, 0.002)[::-1]
    errors = gaussian_mmse(levels, _scale(case))
    listed = [0.0]
    for i in range(levels.size - 1):
        listed.append(listed[-1] + errors[i] / levels[i] ** 2 * (levels[i + 1] - levels[i]))
    ours = Profile(1, levels, errors).rescaled_entropy("left", include_below=False)
    return relative(listed, ours)


def algorithm_3(case: Case) -> Reading:
    """Algorithm 3: the squared errors of all frequencies add up to the whole (Parseval).

    The residuals are those of an 8 x 8 Gaussian field with a 1/f spectrum under its own denoiser,
    by an orthonormal FFT. The sample mean of each frequency is compared with its mmse
    c_k^2 s^2 / (c_k^2 + s^2).
    """
    n, s, rng = 8, float(np.clip(case.sigma, 0.05, 5.0)), case.rng
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(n, 1 / n), np.fft.fftfreq(n, 1 / n)))
    c = 1.0 / np.maximum(k, 1.0)
    white = [np.fft.fft2(rng.normal(size=(FIELDS, n, n)), norm="ortho") for _ in range(2)]
    clean, noisy = c * white[0], c * white[0] + s * white[1]
    residual = np.fft.ifft2(c**2 / (c**2 + s**2) * noisy - clean, norm="ortho").real
    split = np.abs(np.fft.fft2(residual, norm="ortho")) ** 2
    whole = relative(split.sum(axis=(1, 2)), (residual**2).sum(axis=(1, 2)))
    means = np.stack([gaussian_mmse(s, float(v)) for v in c.ravel()])
    found = sampled(split.reshape(FIELDS, -1), means)
    if whole.value > IDENTITY:
        return Reading(float("inf"), 0.0, f"Parseval: {whole.detail}")
    return found


def left_sum(case: Case, points: int = 128, against: int = 512) -> Reading:
    """Algorithm 2: relative error of a 16-step grid from its left Riemann sum on 128 EDM levels.

    The reference is the same sum on 512 levels. The value is the largest relative change of an
    inner level.
    """
    grids = []
    for m in (points, against):
        levels = edm_sigmas(m - 1, 80.0, 0.002)[::-1]
        profile = Profile(1, levels, information.mmse(case.toy, levels))
        phi = profile.rescaled_entropy("left", include_below=False)
        grids.append(np.interp(np.linspace(phi[-1], phi[0], 17), phi, levels)[1:-1])
    moved = np.abs(np.log(grids[0] / grids[1]))
    return Reading(float(moved.max()), 0.0, f"inner levels move by up to {100 * moved.max():.2g} %")


def spectral_is_rescaled(case: Case) -> Reading:
    """Section 5.4: on a 1/f^a Gaussian field spectral and rescaled entropic time coincide.

    Derived by us, in the limit of a high sigma_max, here 10^10 times the largest c_k. The c_k are
    those of the frequencies of a 16 x 16 field, and A_k = E|x_k| is proportional to c_k.
    """
    power = float(case.rng.uniform(0.5, 2.0))
    k = np.hypot(*np.meshgrid(np.fft.fftfreq(16, 1 / 16), np.fft.fftfreq(16, 1 / 16)))
    distinct, count = np.unique(k[k > 0], return_counts=True)
    c = _scale(case) * distinct**-power
    levels = np.geomspace(1e-4 * c.min(), 1e10 * c.max(), 1400)
    mmse = np.stack([gaussian_mmse(levels, v) for v in c])
    spectral = spectral_rescaled_entropy(levels, mmse, count * c)
    whole = Profile(1, levels, count @ mmse).rescaled_entropy()
    return relative(spectral, whole / whole[-1])


def entropic_against_arctan(case: Case) -> Reading:
    """Fig. 5's statement on N(0, c^2): log ratio of the KLs on the entropic and the arctan grid.

    Both grids have 64 steps of deterministic DDIM.
    """
    c, high, low = _scale(case), 80.0, 0.002
    levels = np.geomspace(low, high, 800)
    entropic = entropic_sigmas(64, high, low, profile=Profile(1, levels, gaussian_mmse(levels, c)))
    ratio = ddim_kl(entropic, c) / arctan_ddim_kl_data_model(64, high, low, c)
    return Reading(
        float(np.log(ratio)), 0.0, f"on N(0, {c:.3g}) entropic has {ratio:.3g} times the KL"
    )
