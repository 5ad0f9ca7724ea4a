"""Loss-adaptive schedules on continuous levels: the best of many candidates, then Newton's method.

Between the levels of a profile the risk is a spline of log risk in log sigma.
"""

import numpy as np
from numpy.typing import NDArray

from theory.checks import Array, whole
from theory.levels import Span
from theory.profiles.profile import UNDERFLOW, Profile
from theory.schedules.las import Objective, Saturating, optimal_grid
from theory.schedules.time_change import covers

CANDIDATES = 1000
MOST_SEARCHED = 1000  # steps; with more, Newton's method starts from the limit of many steps
RESOLVED = 0.8  # share of the largest noise-prediction risk that defines the scale s
ROUNDING = 1e-15
LEAST_GAP = 1e-3  # least distance of two levels, in units of the candidates' spacing
BANDS = 3  # J couples a level with two neighbours on either side


def natural_lambda(profile: Profile, n_steps: int) -> float:
    """Default lambda of `Saturating` for a profile, 2 s^2 / n_steps, in squared data units.

    s is the finest scale of the data. It is twice the noise level, above the peak of the
    noise-prediction risk mmse / sigma^2, at which this risk has fallen to 0.8 of its maximum. For
    data N(0, c^2 I) it is c; for a mixture of distant components it is their standard deviation.

    The rule is not in the paper, which searched a grid of lambdas for each data set. On seven
    one-dimensional mixtures and 5 to 40 steps, the KL of stochastic DDIM is within a third of that
    of the best lambda (`benchmarks.acceptance.las`), which is also proportional to 1 / n_steps.
    Data with rare finer scales need a smaller lambda, and so do points in many steps.

    Args:
        profile: Risks over noise levels.
        n_steps: Number of steps between the positive ends, at least 1.
    """
    alive = profile.mmse >= UNDERFLOW
    if not alive.any():
        return 2.0 * float(profile.sigma[-1]) ** 2 / whole("n_steps", n_steps, 1)
    sigmas = profile.sigma[alive]
    share = profile.mmse[alive] / sigmas**2
    noise = np.zeros_like(share) if profile.stderr is None else profile.stderr[alive] / sigmas**2
    peak = int(np.argmax(share - 2.0 * noise))
    level = RESOLVED * (share - 2.0 * noise)[peak]
    below = np.flatnonzero((share + 3.0 * noise)[peak:] <= level)
    if not below.size or level <= 0:
        sigma = float(sigmas[-1])
    else:
        left = int(np.flatnonzero(share[: peak + below[0]] > level)[-1])
        y, x = np.log(share[left : left + 2]), np.log(sigmas[left : left + 2])
        place = x[0] + (np.log(level) - y[0]) / (y[1] - y[0]) * (x[1] - x[0])
        sigma = float(np.exp(place))
    return 2.0 * sigma**2 * RESOLVED / (1.0 - RESOLVED) / whole("n_steps", n_steps, 1)


def las_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    profile: Profile,
    lambda_: float | None = None,
    mu: float = 0.0,
    power: float | None = None,
) -> Array:
    """Levels of least pathwise KL, damped at high SNR: the loss-adaptive schedule (paper B).

    It is that of Aghapour, Bayraktar and Zhang, section 5 and appendix F, on the axis
    snr / (1 + lambda snr). `objective_sigmas` finds the levels.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        profile: The x0-prediction risks, which must cover sigma_min..sigma_max: the exact mmse, or
            a network's losses (`theory.profiles.risks.profile_from_losses`).
        lambda_: Variance that damps high SNR, at least 0, in squared data units. Default: 2 s^2 / n
            for n steps between positive levels, where s is the finest scale of the data
            (`natural_lambda`).
        mu: Weight of the penalty on changes of the step size in log SNR, at least 0.
        power: Exponent of the penalty, positive. Default: 2.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, the profile does not cover the levels, or two
            levels coincide in float64.
    """
    goal = las_objective(profile, n_steps, terminal, lambda_, mu, power)
    return objective_sigmas(
        n_steps, sigma_max, sigma_min, terminal, profile=profile, objective=goal
    )


def las_objective(
    profile: Profile,
    n_steps: int,
    terminal: str = "stop",
    lambda_: float | None = None,
    mu: float = 0.0,
    power: float | None = None,
) -> Objective:
    """The objective of `las_sigmas` with these options."""
    if power is not None and not mu:
        raise ValueError(f"power must come with a positive mu, got {power:g} and mu {mu:g}")
    moved = max(whole("n_steps", n_steps, 1) - (terminal == "zero"), 1)
    lam = natural_lambda(profile, moved) if lambda_ is None else lambda_
    return Objective(Saturating(lam), mu, 2.0 if power is None else power)


def objective_sigmas(
    n_steps: int,
    sigma_max: float,
    sigma_min: float,
    terminal: str = "stop",
    *,
    profile: Profile,
    objective: Objective,
) -> Array:
    """Levels that minimise an objective J of loss-adaptive schedules, shape (n_steps + 1,).

    The search starts from the best of at least 1000 log-spaced candidates and continues with
    Newton's method on the levels themselves. The result is a minimum of J to rounding, except that
    levels which J would let coincide stay a thousandth of the candidates' spacing apart. With more
    than 1000 steps, Newton's method starts from the limit of many steps, levels uniform in the
    integral of sqrt(-dl/dphi) dphi, where l is the risk. Penalties with a power below 2 have no
    second derivative at 0, so that the levels stay on the candidates and there are at most 1000
    steps. The last step to 0 costs the same wherever the other levels are.

    Args:
        n_steps: Number of steps, 1 to 10^6.
        sigma_max: Highest noise level, in data units.
        sigma_min: Lowest positive noise level, in data units.
        terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.
        profile: The x0-prediction risks, which must cover sigma_min..sigma_max: the exact mmse, or
            a network's losses (`theory.profiles.risks.profile_from_losses`).
        objective: The objective J: its axis and its penalty.

    Returns:
        Noise levels, shape (n_steps + 1,), strictly decreasing, in data units.

    Raises:
        ValueError: An argument is out of its range, the profile does not cover the levels, or two
            levels coincide in float64.
    """
    span = Span(n_steps, sigma_max, sigma_min, terminal)
    covers("profile", float(profile.sigma[0]), float(profile.sigma[-1]), span)
    moved = span.n_steps - (terminal == "zero")  # steps between sigma_max and sigma_min
    if moved < 2:
        return span.finish(np.empty(0))
    curve = RiskCurve(profile)
    ends = -2.0 * np.log(np.clip([span.sigma_max, span.sigma_min], *profile.sigma[[0, -1]]))
    if curve.at(ends[:1])[0][0] == 0:
        where = f"sigma {span.sigma_max:g}"
        raise ValueError(f"profile must have positive risk at {where}, got 0; lower sigma_max")
    x = _start(ends, moved, curve, objective)
    if objective.mu == 0 or objective.power >= 2.0:
        x = polish(x, curve, objective)
    return span.finish(np.exp(-0.5 * x[1:-1]))


class RiskCurve:
    """Risk over x = log snr, with two derivatives, from a profile.

    The risk is the profile's own cubic spline. If the profile has standard errors, it is the
    monotone cubic (PCHIP) of log risk in log sigma, since a spline would oscillate on noisy values.

    Args:
        profile: Risks over noise levels.
    """

    def __init__(self, profile: Profile) -> None:
        from scipy.interpolate import PchipInterpolator

        curve = profile.curve(0.0)
        self._spline = None if curve is None else curve.spline
        self._low = -np.inf if curve is None else float(curve.edges[0])
        self._high = np.inf if curve is None else float(curve.edges[-1])
        if curve is not None and profile.stderr is not None:
            alive = profile.mmse >= UNDERFLOW
            self._spline = PchipInterpolator(
                np.log(profile.sigma[alive]), np.log(profile.mmse[alive])
            )

    def at(self, x: Array) -> tuple[Array, Array, Array]:
        """Risk at x and its two derivatives, each of shape (n,); 0 where the profile underflows."""
        if self._spline is None:
            return np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
        s = np.clip(-0.5 * x, self._low, self._high)
        f, slope, bend = (self._spline(s, k) for k in range(3))
        risk = np.where(-0.5 * x < self._low - 1e-9, 0.0, np.exp(f))
        return risk, -0.5 * slope * risk, 0.25 * (bend + slope**2) * risk


def _start(ends: Array, steps: int, curve: RiskCurve, goal: Objective) -> Array:
    """Levels in x = log snr from which Newton's method starts, shape (steps + 1,)."""
    x = np.linspace(ends[0], ends[1], max(CANDIDATES, 4 * min(steps, MOST_SEARCHED)))
    risk = curve.at(x)[0]
    if steps <= MOST_SEARCHED:
        return np.asarray(x[optimal_grid(np.exp(x), risk, steps, goal).indices])
    if goal.mu > 0 and goal.power < 2.0:
        rule = f"be at most {MOST_SEARCHED} for a penalty of power below 2"
        raise ValueError(f"n_steps must {rule}, got {steps}")
    phi = goal.phi(np.exp(x))
    # Where the risk rises with SNR a step gains nothing: only new minima of the risk count.
    drops = -np.diff(np.minimum.accumulate(risk)) * np.diff(phi)
    density = np.sqrt(np.maximum(drops, 1e-12 * drops.max()))
    share = np.concatenate([[0.0], np.cumsum(density)])
    return np.asarray(np.interp(np.linspace(0.0, share[-1], steps + 1), share, x))


def polish(x: Array, curve: RiskCurve, goal: Objective, most: int = 300) -> Array:
    """A minimum of J near x with the same ends, shape (n_steps + 1,), by damped Newton steps.

    Args:
        x: Log SNRs of the first levels, shape (n_steps + 1,), strictly increasing.
        curve: The risk.
        goal: Axis and penalty, of power at least 2 unless mu = 0.
        most: Largest number of iterations.
    """
    from scipy.linalg import LinAlgError, solveh_banded

    damping, calm = 0.0, 0
    free = np.ones(x.size - 2, dtype=bool)  # levels that have not met a neighbour
    least = LEAST_GAP * (x[-1] - x[0]) / max(CANDIDATES, 4 * x.size)
    height = value(x, curve, goal)
    for _ in range(most):
        gradient, bands = derivatives(x, curve, goal)
        _pin(gradient, bands, free)
        bands[-1] += damping * np.abs(bands[-1]) + 1e-300
        try:
            step = -solveh_banded(bands, gradient)
        except (LinAlgError, ValueError):
            damping = max(10.0 * damping, 1e-3)
            continue
        full = np.concatenate([[0.0], step, [0.0]])
        gaps, closing = np.diff(x), -np.diff(full)
        touching = (closing > 0) & (gaps <= 2.0 * least)
        if touching.any():
            free &= ~(touching[1:] | touching[:-1])
            continue
        room = np.minimum(0.5 * gaps, gaps - least)
        tight = closing > room
        length = float((room[tight] / closing[tight]).min()) if tight.any() else 1.0
        gain = -float(gradient @ step)
        new = x + length * full
        lower = value(new, curve, goal)
        if gain <= 1e3 * ROUNDING * abs(height):
            # J no longer resolves the gain: make two full steps by the gradient, then stop.
            if lower <= height + 1e4 * ROUNDING * abs(height):
                x, height = new, lower
            calm += 1
            if calm == 2:
                break
        elif lower < height:
            x, height, damping = new, lower, 0.1 * damping if damping > 1e-6 else 0.0
        else:
            damping = max(10.0 * damping, 1e-3)
            if damping > 1e12:
                break
    return x


def _pin(gradient: Array, bands: Array, free: NDArray[np.bool_]) -> None:
    """Remove the levels that are not free from a Newton step."""
    if free.all():
        return
    gradient[~free] = 0.0
    for apart in (1, 2):
        kept = free[apart:] & free[:-apart]
        bands[2 - apart, apart:] *= kept
    bands[2, ~free] = 1.0


def value(x: Array, curve: RiskCurve, goal: Objective) -> float:
    """J of levels with log SNRs x, shape (n_steps + 1,); see `theory.schedules.las.Objective`."""
    steps = np.diff(goal.axis.phi(np.exp(x)))
    bends = np.abs(np.diff(x, 2)) ** goal.power
    return float(curve.at(x[:-1])[0] @ steps + goal.mu * bends.sum())


def derivatives(x: Array, curve: RiskCurve, goal: Objective) -> tuple[Array, Array]:
    """Gradient of J in the n inner levels, shape (n,), and upper bands of its Hessian, (3, n)."""
    snr = np.exp(x)
    phi = goal.axis.phi(snr)
    first, second = goal.axis.derivatives(snr)
    risk, slope, bend = curve.at(x)
    ahead, drop = np.diff(phi)[1:], (risk[:-1] - risk[1:])[:-1]  # phi_{k+1} - phi_k; l_{k-1} - l_k
    inner = slice(1, -1)
    gradient = slope[inner] * ahead + drop * first[inner]
    bands = np.zeros((BANDS, gradient.size))
    bands[2] = bend[inner] * ahead - 2.0 * slope[inner] * first[inner] + drop * second[inner]
    bands[1, 1:] = slope[1:-2] * first[2:-1]
    if goal.mu > 0:
        turn = np.diff(x, 2)
        force = goal.mu * goal.power * np.abs(turn) ** (goal.power - 1.0) * np.sign(turn)
        stiff = goal.mu * goal.power * (goal.power - 1.0) * np.abs(turn) ** (goal.power - 2.0)
        pad = np.pad(force, 1)
        gradient += pad[:-2] - 2.0 * pad[1:-1] + pad[2:]
        pad = np.pad(stiff, 1)
        bands[2] += pad[:-2] + 4.0 * pad[1:-1] + pad[2:]
        bands[1, 1:] -= 2.0 * (stiff[:-1] + stiff[1:])
        bands[0, 2:] += stiff[1:-1]
    return gradient, bands
