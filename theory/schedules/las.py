"""Loss-adaptive schedules (Aghapour, Bayraktar and Zhang): optimal levels for a curve of losses.

With x0-prediction risks l(snr) = E|x0 - D|^2 and snr = 1 / sigma^2, the pathwise KL of stochastic
DDIM is half of sum_k l(snr_k) (snr_{k+1} - snr_k), less a constant (their eq. 5.1). A schedule
minimises, between fixed ends (eqs. 5.2, 6.1 and F.1),

    J = sum_k l(snr_k) (phi(snr_{k+1}) - phi(snr_k)) + mu sum_k |d_{k+1} - d_k|^power

with d_k = log(snr_{k+1} / snr_k). The axis phi may compress high SNRs. This module minimises J
exactly over a list of candidates; `theory.schedules.las_levels` continues on continuous levels.
"""

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.checks import Array, monotone, one_of, positive, require, vector, whole, within
from theory.profiles.profile import LARGEST
from theory.schedules import las_kernels

MOST_NUMBERS = 2**28  # largest (n_steps + 1) N^2 for which the exact second-order programme runs
BEAM, RADIUS, EVERYWHERE = 8, 20, 32  # the paper does not give its values
MOST_POWER = 100.0
METHODS = ("auto", "quadratic", "beam")


class Axis(Protocol):
    """Interface of an axis phi(snr): strictly increasing, with its derivatives in x = log snr."""

    def phi(self, snr: Array) -> Array:
        """Values at positive SNRs of any shape, up to a constant, since only differences count."""

    def derivatives(self, snr: Array) -> tuple[Array, Array]:
        """dphi/dx and d2phi/dx2 with x = log snr, at positive SNRs, each of the shape of snr."""


@dataclass(frozen=True)
class Saturating:
    """The axis phi = snr / (1 + lam snr), the SNR after more noise of variance lam.

    lam = 0 is the SNR itself. The paper's text does not give the form of its axis; this one
    reproduces the paper's tables on mixtures.

    Args:
        lam: The paper's lambda, at least 0, in squared data units.
    """

    lam: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "lam", float(within("lambda", self.lam, 0.0, LARGEST)))

    def phi(self, snr: Array) -> Array:
        """The axis, less 1 / lam if float64 resolves high SNRs better that way; shape of snr."""
        if self.lam**2 * float(snr.min()) * float(snr.max()) > 1.0:
            return np.asarray(-1.0 / (self.lam * (1.0 + self.lam * snr)))
        return np.asarray(1.0 / (1.0 / snr + self.lam))

    def derivatives(self, snr: Array) -> tuple[Array, Array]:
        """First and second derivative of phi in log snr, each of the shape of snr."""
        damping = 1.0 / (1.0 + self.lam * snr)
        first = snr * damping**2
        return first, first * (2.0 * damping - 1.0)


IDENTITY = Saturating(0.0)


@dataclass(frozen=True)
class Objective:
    """The objective J of a loss-adaptive schedule: its axis and its penalty.

    J = sum_k l_k (phi(snr_{k+1}) - phi(snr_k)) + mu sum_k |d_{k+1} - d_k|^power, where l_k is the
    x0-prediction risk at level k and d_k = log(snr_{k+1} / snr_k) (Aghapour, Bayraktar and Zhang,
    eqs. 5.2, 6.1 and F.1).

    Args:
        axis: The axis phi.
        mu: Weight of the penalty on changes of the step in log SNR, at least 0. First-order
            samplers take 0.
        power: Exponent of the penalty, positive, below 100.

    Raises:
        ValueError: mu or power is out of its range.
    """

    axis: Axis = IDENTITY
    mu: float = 0.0
    power: float = 2.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "mu", float(within("mu", self.mu, 0.0, LARGEST)))
        object.__setattr__(self, "power", positive("power", self.power))
        within("power", self.power, 0.0, MOST_POWER)

    def phi(self, snr: Array) -> Array:
        """The axis at increasing SNRs, shape (n,), which must be finite and strictly increasing."""
        with np.errstate(over="ignore", under="ignore"):
            phi = self.axis.phi(snr)
        require(np.isfinite(phi), "axis", phi, "be finite")
        monotone(
            "axis", phi, advice="flat there in float64: narrow the span of sigma, or change lambda"
        )
        return phi

    def __call__(self, snr: ArrayLike, risk: ArrayLike) -> float:
        """J of levels with increasing SNR, shape (n_steps + 1,), and their risks, same shape."""
        levels, risks = _levels(snr, risk)
        smooth = np.abs(np.diff(np.log(levels), 2)) ** self.power
        return float(risks[:-1] @ np.diff(self.phi(levels)) + self.mu * smooth.sum())


@dataclass(frozen=True, eq=False)
class Grid:
    """A schedule chosen from candidates.

    Args:
        indices: Indices of the chosen candidates, increasing, shape (n_steps + 1,).
        value: J of the schedule.
        programme: "hull", "tree", "quadratic", "second-order" (all exact) or "beam".
        least: Lower bound of J over all paths: the exact optimum if it can be computed, else the
            optimum without penalty.
    """

    indices: NDArray[np.int64]
    value: float
    programme: str
    least: float

    @property
    def gap(self) -> float:
        """Bound of the relative excess over the optimum; 0 if exact, inf if the bound is 0."""
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
    """The best n_steps + 1 of the candidates; the first and the last are always among them.

    Without a penalty (mu = 0) the optimum is exact, in O(K N) for K steps and N candidates if the
    risks never increase with SNR, and in O(K N log N) otherwise. With a penalty the exact
    second-order programme takes O(K N^2 log N) for powers of at least 1 and O(K N^3) below. It
    runs if (K + 1) N^2 <= 2^28. For larger problems, or with the method "beam", the search is
    algorithm 2 of Aghapour, Bayraktar and Zhang.

    Args:
        snr: SNRs of the candidates, shape (N,), positive, strictly increasing.
        risk: x0-prediction risks of the candidates, shape (N,), at least 0, in squared data units.
        n_steps: Number of steps K, 1 to N - 1.
        objective: Axis and penalty. Default: the SNR itself, without penalty.
        method: "auto"; "quadratic" for the paper's algorithm 1 (mu = 0 only); or "beam".
        beam: Number B of paths kept per last candidate, 1 to 1000.
        radius: Half width w of the window of candidates around the predicted one, at least 1.
        everywhere: Number of evenly spaced candidates that are tried from every path.

    Returns:
        The chosen indices, their J, the programme used and a lower bound of J.

    Raises:
        ValueError: An argument is out of its range; the message is one line and names it.
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
    """Levels and risks as checked arrays."""
    levels, risks = vector("snr", snr, 2), vector("risk", risk)
    require(levels > 0, "snr", levels, "be positive")
    monotone("snr", levels, advice="sort the candidates by falling sigma, each once")
    if risks.shape != levels.shape:
        raise ValueError(f"risk must have shape {levels.shape}, got {risks.shape}")
    require(risks >= 0, "risk", risks, "be at least 0")
    return levels, risks


def _finite(value: float) -> float:
    """The minimum of J, which must be finite."""
    if not np.isfinite(value):
        raise ValueError(f"risk, mu and power must leave J finite, got {value:g} on every path")
    return value


def _walk_back(back: NDArray[np.int32], n_steps: int) -> NDArray[np.int64]:
    """Indices of a path from the table of predecessors, shape (n_steps + 1, N)."""
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
