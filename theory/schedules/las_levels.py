"""Loss-adaptive schedules on continuous levels: the best of many candidates, then Newton.

Risks between the levels of a profile are
those of its curve (a spline of log risk in log sigma).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.linalg import LinAlgError, solveh_banded

from theory.checks import Array, whole
from theory.levels import Span
from theory.profiles.profile import UNDERFLOW, Profile
from theory.schedules.las import Objective, Saturating, optimal_grid
from theory.schedules.time_change import covers

CANDIDATES = 1000
MOST_SEARCHED = 1000  # steps; beyond, the start is the limit of many steps
RESOLVED = 0.8  # of the greatest noise-prediction risk, where s is read off
ROUNDING = 1e-15
LEAST_GAP = 1e-3  # of the candidates' spacing, below which two levels do not come closer
BANDS = 3  # a level meets its two neighbours on either side


def natural_lambda(profile: Profile, n_steps: int) -> float:
    """A lambda for `Saturating` from a profile alone: 2 s^2 / n_steps, in squared data units.

    s is the finest scale of the data: twice the sigma above its peak at which the
    noise-prediction risk mmse / sigma^2 has fallen to 0.8 of its maximum, which is c for data
    N(0, c^2 I) and the std of its components for a mixture of distant ones. The rule is ours;
    the paper searched a grid of lambdas for each data set. On seven one-dimensional mixtures, 5 to
    40 steps, the KL of stochastic DDIM comes within a third of that of the best lambda
    (`benchmarks.acceptance.las`), which falls with the number of steps as 1 / n_steps does; data
    with rare finer scales, and points in many steps, want less.

    Args:
        profile: Risks over sigma.
        n_steps: Steps between the positive ends, at least 1.
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
    objective: Objective | None = None,
) -> Array:
    """The loss-adaptive schedule of Aghapour, Bayraktar and Zhang (section 5, appendix F).

    The best of at least 1000 log-spaced candidates, then Newton's method on the levels
    themselves: a minimum of J to rounding, but for levels that J would let coincide, which stay a
    thousandth of the candidates' spacing apart. Beyond 1000 steps it starts from the limit of many
    steps, levels uniform in the integral of sqrt(-dl/dphi) dphi. Penalties with a power below 2
    have no second derivative at 0: levels stay on the candidates, 1000 steps at most. The step
    to 0 that terminal "zero" adds costs the same wherever the other levels are.

    Args:
        n_steps: See `theory.levels.Span`, as the next three.
        sigma_max: In data units.
        sigma_min: In data units.
        terminal: "stop" or "zero".
        profile: Its mmse is the x0-prediction risk: exact, or a network's losses
            (`theory.profiles.profile.profile_from_losses`). Must cover sigma_min..sigma_max.
        objective: Axis and penalty; by default mu = 0 and
            `Saturating(natural_lambda(profile, n))`, n the steps down to sigma_min.
    """
    span = Span(n_steps, sigma_max, sigma_min, terminal)
    covers("profile", float(profile.sigma[0]), float(profile.sigma[-1]), span)
    moved = span.n_steps - (terminal == "zero")  # steps between sigma_max and sigma_min
    if moved < 2:
        return span.finish(np.empty(0))
    goal = objective or Objective(Saturating(natural_lambda(profile, moved)))
    curve = RiskCurve(profile)
    ends = -2.0 * np.log(np.clip([span.sigma_max, span.sigma_min], *profile.sigma[[0, -1]]))
    if curve.at(ends[:1])[0][0] == 0:
        where = f"sigma {span.sigma_max:g}"
        raise ValueError(f"profile must have positive risk at {where}, got 0; lower sigma_max")
    x = _start(ends, moved, curve, goal)
    if goal.mu == 0 or goal.power >= 2.0:
        x = polish(x, curve, goal)
    return span.finish(np.exp(-0.5 * x[1:-1]))


class RiskCurve:
    """Risk over x = log snr, with two derivatives, from a profile.

    The profile's own curve, a cubic spline; where it has standard errors, noise that a spline
    would swing on, the monotone cubic (PCHIP) of log risk in log sigma.
    """

    def __init__(self, profile: Profile) -> None:
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
        """The risk and its derivatives, each of shape (n,); 0 where the profile underflows."""
        if self._spline is None:
            return np.zeros_like(x), np.zeros_like(x), np.zeros_like(x)
        s = np.clip(-0.5 * x, self._low, self._high)
        f, slope, bend = (self._spline(s, k) for k in range(3))
        risk = np.where(-0.5 * x < self._low - 1e-9, 0.0, np.exp(f))
        return risk, -0.5 * slope * risk, 0.25 * (bend + slope**2) * risk


def _start(ends: Array, steps: int, curve: RiskCurve, goal: Objective) -> Array:
    """Levels in x, shape (steps + 1,), to polish."""
    x = np.linspace(ends[0], ends[1], max(CANDIDATES, 4 * min(steps, MOST_SEARCHED)))
    risk = curve.at(x)[0]
    if steps <= MOST_SEARCHED:
        return np.asarray(x[optimal_grid(np.exp(x), risk, steps, goal).indices])
    if goal.mu > 0 and goal.power < 2.0:
        rule = f"be at most {MOST_SEARCHED} for a penalty of power below 2"
        raise ValueError(f"n_steps must {rule}, got {steps}")
    phi = goal.phi(np.exp(x))
    # Where risks rise with SNR a step gains nothing: only what is below all before counts.
    drops = -np.diff(np.minimum.accumulate(risk)) * np.diff(phi)
    density = np.sqrt(np.maximum(drops, 1e-12 * drops.max()))
    share = np.concatenate([[0.0], np.cumsum(density)])
    return np.asarray(np.interp(np.linspace(0.0, share[-1], steps + 1), share, x))


def polish(x: Array, curve: RiskCurve, goal: Objective, most: int = 300) -> Array:
    """A minimum of J near x, shape (n_steps + 1,), the ends staying, by damped Newton steps.

    Args:
        x: Log SNRs, rising strictly.
        curve: The risk.
        goal: Axis and penalty, of power >= 2 unless mu = 0.
        most: Iterations at most.
    """
    damping, calm = 0.0, 0
    free = np.ones(x.size - 2, dtype=bool)  # levels that no neighbour has closed up to
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
            # Below what J resolves the gradient alone decides: two full steps to the end.
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
    """Take the levels that are not free out of a Newton step."""
    if free.all():
        return
    gradient[~free] = 0.0
    for apart in (1, 2):
        kept = free[apart:] & free[:-apart]
        bands[2 - apart, apart:] *= kept
    bands[2, ~free] = 1.0


def value(x: Array, curve: RiskCurve, goal: Objective) -> float:
    """J at x, shape (n_steps + 1,); see `theory.schedules.las`."""
    steps = np.diff(goal.axis.phi(np.exp(x)))
    bends = np.abs(np.diff(x, 2)) ** goal.power
    return float(curve.at(x[:-1])[0] @ steps + goal.mu * bends.sum())


def derivatives(x: Array, curve: RiskCurve, goal: Objective) -> tuple[Array, Array]:
    """Gradient (n,) of J in the inner levels, and the upper bands (3, n) of its Hessian."""
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
