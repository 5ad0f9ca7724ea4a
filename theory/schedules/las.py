"""Loss-adaptive schedules (Aghapour, Bayraktar and Zhang): the levels that a loss curve asks for.

With x0-prediction risks l(snr) = E|x0 - D|^2, snr = 1 / sigma^2, the pathwise KL of stochastic
DDIM is half of sum_k l(snr_k) (snr_{k+1} - snr_k) less a constant (their eq. 5.1). A schedule
minimises, between fixed ends (eqs. 5.2, 6.1, F.1),

    J = sum_k l(snr_k) (phi(snr_{k+1}) - phi(snr_k)) + mu sum_k |d_{k+1} - d_k|^power,

d_k = log(snr_{k+1} / snr_k), phi an axis that may give less room to high SNR. Here over a list of
candidates, exactly; `theory.las_polish` goes on from there on continuous levels.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.checks import Array, floats, monotone, one_of, positive, require, vector, whole, within
from theory.profiles.profile import LARGEST
from theory.schedules import las_kernels

MOST_NUMBERS = 2**28  # (n_steps + 1) N^2 up to which the exact second-order programme runs
BEAM, RADIUS, EVERYWHERE = 8, 20, 32  # of beam and window; the paper does not give its own
MOST_POWER = 100.0
METHODS = ("auto", "quadratic", "beam")


class Axis(Protocol):
    """phi(snr), rising strictly, with its derivatives in x = log snr."""

    def phi(self, snr: Array) -> Array:
        """The axis at positive SNRs, any shape, up to a constant: only differences count."""

    def derivatives(self, snr: Array) -> tuple[Array, Array]:
        """dphi/dx and d2phi/dx2 at positive SNRs, x = log snr, each of the shape of snr."""


@dataclass(frozen=True)
class Saturating:
    """phi = snr / (1 + lam snr), the SNR after extra noise of variance lam; lam = 0 is snr itself.

    The form is not in the paper's text; this one reproduces its tables on mixtures.

    Args:
        lam: Their lambda, >= 0, in squared data units.
    """

    lam: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lam", float(within("lambda", self.lam, 0.0, LARGEST)))

    def phi(self, snr: Array) -> Array:
        """The axis, or where that tells high SNRs apart better in float64, less its 1 / lam."""
        if self.lam**2 * float(snr.min()) * float(snr.max()) > 1.0:
            return np.asarray(-1.0 / (self.lam * (1.0 + self.lam * snr)))
        return np.asarray(1.0 / (1.0 / snr + self.lam))

    def derivatives(self, snr: Array) -> tuple[Array, Array]:
        """In log snr."""
        damping = 1.0 / (1.0 + self.lam * snr)
        first = snr * damping**2
        return first, first * (2.0 * damping - 1.0)


@dataclass(frozen=True)
class Exponential:
    """phi = 1 - exp(-snr / c); flat in float64 from snr = 700 c on.

    Args:
        c: SNR at which it saturates, positive.
    """

    c: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "c", positive("c", self.c))

    def phi(self, snr: Array) -> Array:
        """The axis, less 1 where that tells high SNRs apart better in float64."""
        if float(snr.min()) > 1e-8 * self.c:
            return np.asarray(-np.exp(-snr / self.c))
        return np.asarray(-np.expm1(-snr / self.c))

    def derivatives(self, snr: Array) -> tuple[Array, Array]:
        """In log snr."""
        share = snr / self.c
        first = share * np.exp(-share)
        return first, first * (1.0 - share)


@dataclass(frozen=True)
class UserAxis:
    """Any phi; its derivatives are differences of fourth order.

    Args:
        function: Maps SNRs of any shape to numbers that rise strictly with them.
    """

    function: Callable[[Array], Array]

    def phi(self, snr: Array) -> Array:
        """The axis; ValueError where the function gives no finite numbers."""
        out = floats("axis", self.function(snr))
        if out.shape != snr.shape:
            raise ValueError(f"axis must keep the shape {snr.shape}, got {out.shape}")
        return out

    def derivatives(self, snr: Array) -> tuple[Array, Array]:
        """In log snr."""
        step = 2e-3
        low2, low, mid, high, high2 = (self.phi(snr * np.exp(step * k)) for k in range(-2, 3))
        first = (8.0 * (high - low) - (high2 - low2)) / (12.0 * step)
        second = (16.0 * (high + low) - (high2 + low2) - 30.0 * mid) / (12.0 * step**2)
        return first, second


IDENTITY = Saturating(0.0)
AXES: dict[str, Callable[[float], Axis]] = {
    "saturating": Saturating,
    "exponential": lambda lam: Exponential(1.0 / positive("lambda", lam)),
}


@dataclass(frozen=True)
class Objective:
    """What a schedule minimises: J of the module, its axis and its penalty.

    Args:
        axis: phi.
        mu: Weight of the penalty on changes of the step in log SNR, >= 0; 0 for first-order
            samplers.
        power: Exponent of the penalty, positive, below 100.
    """

    axis: Axis = IDENTITY
    mu: float = 0.0
    power: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mu", float(within("mu", self.mu, 0.0, LARGEST)))
        object.__setattr__(self, "power", positive("power", self.power))
        within("power", self.power, 0.0, MOST_POWER)

    def phi(self, snr: Array) -> Array:
        """The axis at rising SNRs, shape (n,); ValueError where it does not rise strictly."""
        with np.errstate(over="ignore", under="ignore"):
            phi = self.axis.phi(snr)
        require(np.isfinite(phi), "axis", phi, "be finite")
        monotone(
            "axis", phi, advice="flat there in float64: narrow the span of sigma, or change lambda"
        )
        return phi

    def __call__(self, snr: ArrayLike, risk: ArrayLike) -> float:
        """J of levels with rising SNR, shape (n_steps + 1,), and their risks, same shape."""
        levels, risks = _levels(snr, risk)
        smooth = np.abs(np.diff(np.log(levels), 2)) ** self.power
        return float(risks[:-1] @ np.diff(self.phi(levels)) + self.mu * smooth.sum())


@dataclass(frozen=True, eq=False)
class Grid:
    """A schedule picked from candidates.

    Args:
        indices: Candidates taken, rising, shape (n_steps + 1,).
        value: Its J.
        programme: "hull", "tree", "quadratic", "second-order" (all exact) or "beam".
        least: What no path over these candidates goes below: the exact optimum where that is
            affordable, else the optimum without penalty.
    """

    indices: NDArray[np.int64]
    value: float
    programme: str
    least: float

    @property
    def gap(self) -> float:
        """How far above the optimum it can be, relative; 0 where exact, inf above 0."""
        if self.value <= self.least:
            return 0.0
        return (self.value - self.least) / self.least if self.least > 0 else float("inf")


def optimal_grid(
    snr: ArrayLike,
    risk: ArrayLike,
    n_steps: int,
    objective: Objective = Objective(),
    method: str = "auto",
    *,
    beam: int = BEAM,
    radius: int = RADIUS,
    everywhere: int = EVERYWHERE,
) -> Grid:
    """The best n_steps + 1 of the candidates, the first and the last among them.

    mu = 0: exact, O(K N) for risks that never rise with SNR and O(K N log N) for any others.
    mu > 0: the exact second-order programme, O(K N^2 log N) for powers >= 1, else O(K N^3), as
    long as (K + 1) N^2 <= 2^28; beyond, or by method "beam", algorithm 2 of the paper.

    Args:
        snr: Candidates, shape (N,), positive and rising strictly.
        risk: x0-prediction risks there, shape (N,), >= 0, in squared data units.
        n_steps: In 1..N - 1.
        objective: Axis and penalty.
        method: "auto"; "quadratic", algorithm 1 of the paper (mu = 0 only); or "beam".
        beam: Paths kept per last candidate, B.
        radius: Half width of the window, w.
        everywhere: Candidates that are tried from every path.

    Raises:
        ValueError: One line naming the argument, the rule, the value and the index.
    """
    one_of("method", method, METHODS)
    levels, risks = _levels(snr, risk)
    n = levels.size
    whole("n_steps", n_steps, 1, n - 1)
    phi, x = objective.phi(levels), np.log(levels)
    if objective.mu == 0 and method != "beam":
        falls = bool(np.all(np.diff(risks) <= 0))
        layer = 0 if method == "quadratic" else 1 if falls else 2
        back = np.empty((n_steps + 1, n), dtype=np.int32)
        value = _finite(las_kernels.first_order(risks, phi, n_steps, layer, back))
        return Grid(_walk_back(back, n_steps), value, ("quadratic", "hull", "tree")[layer], value)
    if method == "quadratic":
        raise ValueError(f"mu must be 0 for the quadratic programme, got {objective.mu:g}")
    if n_steps == 1:
        value = objective(levels[[0, -1]], risks[[0, -1]])
        return Grid(np.array([0, n - 1]), value, "second-order", value)
    exact: Grid | None = None
    if (n_steps + 1) * n**2 <= MOST_NUMBERS:
        exact = _second_order(risks, phi, x, n_steps, objective)
        if method == "auto":
            return exact
    tried = np.unique(np.linspace(0, n - 1, max(whole("everywhere", everywhere, 0), 1)))
    shape = (n_steps + 1, n, whole("beam", beam, 1, 1000))
    from_end, from_slot = np.empty(shape, dtype=np.int32), np.empty(shape, dtype=np.int16)
    value = las_kernels.beam(
        risks,
        phi,
        x,
        n_steps,
        objective.mu,
        objective.power,
        beam,
        whole("radius", radius, 1),
        tried.astype(np.int32),
        from_end,
        from_slot,
    )
    _finite(value)
    path, slot = [n - 1], 0
    for k in range(n_steps, 0, -1):
        here = (k, path[-1], slot)
        path.append(int(from_end[here]))
        slot = int(from_slot[here])
    least = exact or optimal_grid(levels, risks, n_steps, replace(objective, mu=0.0))
    return Grid(np.array(path[::-1]), value, "beam", least.value)


def _levels(snr: ArrayLike, risk: ArrayLike) -> tuple[Array, Array]:
    """Checked levels and risks."""
    levels, risks = vector("snr", snr, 2), vector("risk", risk)
    require(levels > 0, "snr", levels, "be positive")
    monotone("snr", levels, advice="sort the candidates by falling sigma, each once")
    if risks.shape != levels.shape:
        raise ValueError(f"risk must have shape {levels.shape}, got {risks.shape}")
    require(risks >= 0, "risk", risks, "be at least 0")
    return levels, risks


def _finite(value: float) -> float:
    """The least J, which must be finite."""
    if not np.isfinite(value):
        raise ValueError(f"risk, mu and power must leave J finite, got {value:g} on every path")
    return value


def _walk_back(back: NDArray[np.int32], n_steps: int) -> NDArray[np.int64]:
    """Indices of a path from its predecessors (n_steps + 1, N)."""
    path = [back.shape[1] - 1]
    for k in range(n_steps, 0, -1):
        path.append(int(back[k, path[-1]]))
    return np.array(path[::-1])


def _second_order(risks: Array, phi: Array, x: Array, n_steps: int, objective: Objective) -> Grid:
    """The exact programme for mu > 0."""
    n = risks.size
    back = np.empty((n_steps + 1, n, n), dtype=np.int16)
    value = _finite(
        las_kernels.second_order(risks, phi, x, n_steps, objective.mu, objective.power, back)
    )
    path = [n - 1, int(back[0, 0, 0])]
    for k in range(n_steps, 1, -1):
        path.append(int(back[k, path[-2], path[-1]]))
    return Grid(np.array(path[::-1]), value, "second-order", value)
