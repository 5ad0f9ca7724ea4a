"""Bins evenly spaced in log sigma: their most recent losses, and moving averages of the means.

`theory.infonoise.allocation.InfoNoise` is built on these two classes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.checks import Array, positive, require, vector, whole
from theory.profiles.profile import LARGEST

IntArray = NDArray[np.int64]
ROUNDING = 1e-6  # relative: how far a level may lie beyond an end, to allow for float32
MOST_BINS = 4096


class LossBins:
    """First-in, first-out stores of losses, one per bin, as the rows of one array.

    Attributes:
        edges: Edges of the bins in log sigma, shape (K + 1,).
        levels: Middles of the bins, as noise levels in data units, shape (K,).
        counts: Number of losses ever put into each bin, shape (K,).
        shared: Number of those that all ranks had at the last merge, shape (K,).

    Args:
        sigma_min: Lowest noise level, in data units.
        sigma_max: Highest noise level, in data units, at least 1.001 sigma_min.
        bins: Number K of bins, 4 to 4096.
        capacity: Number of losses that a bin holds.
    """

    def __init__(self, sigma_min: float, sigma_max: float, bins: int, capacity: int) -> None:
        self.low, self.high = positive("sigma_min", sigma_min), positive("sigma_max", sigma_max)
        if not self.low * 1.001 <= self.high:
            rule = f"be at most sigma_max / 1.001 = {self.high / 1.001:g}"
            raise ValueError(f"sigma_min must {rule}, got {self.low:g}")
        size = whole("bins", bins, 4, MOST_BINS)
        self.capacity = whole("capacity", capacity, 1)
        self.edges = np.linspace(np.log(self.low), np.log(self.high), size + 1)
        self.levels = np.exp(0.5 * (self.edges[1:] + self.edges[:-1]))
        self.width = (self.edges[-1] - self.edges[0]) / size
        self.counts = np.zeros(size, np.int64)
        self.shared = np.zeros(size, np.int64)
        self._losses = np.zeros((size, self.capacity))  # loss number i of a bin at i % capacity

    def inside(self, name: str, sigma: ArrayLike) -> Array:
        """The levels, shape (n,), clipped to the range, which they may leave by 1e-6 (relative)."""
        levels = vector(name, sigma, 0)
        low, high = self.low * (1.0 - ROUNDING), self.high * (1.0 + ROUNDING)
        good = (levels >= low) & (levels <= high)
        require(good, name, levels, f"be in [{self.low:g}, {self.high:g}]")
        return np.clip(levels, self.low, self.high)

    def index(self, sigma: Array) -> IntArray:
        """Index of the bin of every level, shape of sigma; the levels must be in the range."""
        place = np.asarray((np.log(sigma) - self.edges[0]) / self.width)
        return np.clip(place.astype(np.int64), 0, self.counts.size - 1)

    def push(self, index: IntArray, losses: Array) -> None:
        """Put losses into the bins of the given indices, in this order; both have shape (n,)."""
        order = np.argsort(index.astype(np.int16), kind="stable")  # 16 bits: a radix sort
        bins, values = index[order], losses[order]
        new = np.bincount(index, minlength=self.counts.size)
        rank = np.arange(bins.size) - (np.cumsum(new) - new)[bins]
        slot = (self.counts[bins] + rank) % self.capacity
        if new.max() > self.capacity:  # otherwise no two losses share a slot
            kept = rank >= new[bins] - self.capacity
            bins, slot, values = bins[kept], slot[kept], values[kept]
        self._losses[bins, slot] = values
        self.counts += new

    def held(self) -> IntArray:
        """Number of losses held by every bin, shape (K,)."""
        return np.minimum(self.counts, self.capacity)

    def means(self) -> Array:
        """Mean loss of every bin, shape (K,); 0 where it is empty."""
        return np.asarray(self._losses.sum(axis=1) / np.maximum(self.held(), 1))

    def latest(self, k: int, n: int | None = None) -> Array:
        """The last n losses of bin k, oldest first. Default: all that it holds."""
        count = int(self.counts[k])
        n = min(count, self.capacity) if n is None else n
        return np.asarray(self._losses[k, np.arange(count - n, count) % self.capacity])

    def absorb(self, other: "LossBins") -> None:
        """Add what another rank has recorded since the last merge, oldest first in each bin."""
        fresh = other.counts - other.shared
        kept = np.minimum(fresh, self.capacity)
        self.counts += fresh - kept  # counted, but no longer held by the other rank
        parts = [other.latest(k, int(n)) for k, n in enumerate(kept)]
        self.push(np.repeat(np.arange(kept.size), kept), np.concatenate(parts))

    def state(self) -> dict[str, Any]:
        """Copies of everything that recording changes."""
        return {
            "losses": self._losses.copy(),
            "counts": self.counts.copy(),
            "shared": self.shared.copy(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore a `state` of bins of the same sizes; ValueError if it does not fit."""
        counts = [whole_array(name, state[name], self.counts) for name in ("counts", "shared")]
        losses = float_array("losses", state["losses"], self._losses)
        require(counts[1] <= counts[0], "shared", counts[1].astype(np.float64), "be at most counts")
        require((losses >= 0) & (losses <= LARGEST), "losses", losses, "be in [0, 1e+100]")
        (self.counts, self.shared), self._losses = counts, losses


class LossAverages:
    """Moving averages of the bins' mean losses, renewed every `refresh` steps.

    Attributes:
        mean: The averages, shape (K,), in squared data units; nan before the first renewal.
        steps: Number of steps recorded.
        renewals: Number of renewals made.

    Args:
        bins: Empty bins, which this object fills.
        ema: Weight of the *new* value in the moving average, in (0, 1].
        refresh: Number of steps between renewals.
        least: Number of losses that a bin needs for a renewal, at most its capacity.
        warmup: Number of steps before the first renewal.
        patience: Number of renewals that are skipped before sparse bins are interpolated.
    """

    def __init__(
        self, bins: LossBins, *, ema: float, refresh: int, least: int, warmup: int, patience: int
    ) -> None:
        self._bins, self._ema = bins, positive("ema", ema)
        if not self._ema <= 1:
            raise ValueError(f"ema must be in (0, 1], got {ema:g}")
        self._every, self._least = whole("refresh", refresh, 1), whole("least", least, 1)
        if self._least > bins.capacity:
            raise ValueError(f"least must be at most capacity {bins.capacity}, got {least}")
        self._warmup, self._patience = whole("warmup", warmup, 0), whole("patience", patience, 0)
        self.mean = np.full_like(bins.levels, np.nan)
        self.steps = self.renewals = self._turn = self._skipped = 0

    @property
    def is_due(self) -> bool:
        """Whether a renewal is due: one per multiple of `refresh`, from step `warmup` on."""
        turn = self.steps // self._every
        return turn > self._turn and turn * self._every >= self._warmup

    def record(self, sigma: Array, losses: Array) -> None:
        """Count a step and keep its losses; levels and losses, shape (n,), are not checked."""
        self._bins.push(self._bins.index(sigma), losses)
        self.steps += 1

    def renew(self) -> bool:
        """Make a renewal that is due; False if sparse bins or losses that are all 0 prevent it."""
        self._turn = self.steps // self._every
        full = self._bins.held() >= self._least
        if not full.all() and (self._skipped < self._patience or not full.any()):
            self._skipped += 1
            return False
        new, square = self._bins.means(), self._bins.levels**2
        if not full.all():  # interpolate the entropy rate per unit of log sigma
            x = np.log(self._bins.levels)
            new = np.where(full, new, square * np.interp(x, x[full], (new / square)[full]))
        if not new.max() > 0:
            return False
        mixed = (1.0 - self._ema) * self.mean + self._ema * new
        self.mean = np.where(np.isnan(mixed), new, mixed)
        self.renewals += 1
        return True

    def state(self) -> dict[str, Any]:
        """Copies of everything that recording changes."""
        counters = {
            "steps": self.steps,
            "turn": self._turn,
            "skipped": self._skipped,
            "renewals": self.renewals,
        }
        return {**counters, "mean": self.mean.copy(), **self._bins.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore a `state` of averages of the same sizes; ValueError if it does not fit."""
        names = ("steps", "turn", "skipped", "renewals")
        counters = [whole(name, np.asarray(state[name]).tolist(), 0) for name in names]
        mean = float_array("mean", state["mean"], self.mean)
        good = ((mean >= 0) & (mean <= LARGEST) & (mean.max() > 0)) | np.isnan(mean).all()
        require(good, "mean", mean, f"be in [0, {LARGEST:g}], not all 0, or nan throughout")
        self._bins.load(state)
        self.steps, self._turn, self._skipped, self.renewals = counters
        self.mean = mean

    def merge(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Replace the state by what all ranks have recorded.

        Args:
            states: The `state` of every rank, in the order of ranks, all after the same step.

        Raises:
            ValueError: The states disagree on what the ranks share.
        """
        for rank, state in enumerate(states):
            for name in ("steps", "turn", "skipped", "renewals", "mean", "shared"):
                if not np.array_equal(state[name], states[0][name], equal_nan=name == "mean"):
                    rule = f"agree on {name!r} with that of rank 0"
                    raise ValueError(f"states must {rule}, got another at rank {rank}")
        own, others = self._bins, []
        for state in states[1:]:
            others.append(LossBins(own.low, own.high, own.counts.size, own.capacity))
            others[-1].load(state)
        self.load(states[0])
        for other in others:
            own.absorb(other)
        own.shared = own.counts.copy()


def host_array(value: Any) -> Any:
    """A tensor of PyTorch, of any precision and device, as a NumPy array; others as they are."""
    if hasattr(value, "detach") and hasattr(value, "is_floating_point"):
        tensor = value.detach().cpu()
        return (tensor.double() if tensor.is_floating_point() else tensor).numpy()
    return value


def mask_array(name: str, value: Any, like: Array) -> NDArray[np.bool_]:
    """The value as a new array of booleans of the shape of `like`."""
    out = np.array(value)
    if out.shape != like.shape or out.dtype.kind != "b":
        raise ValueError(f"{name} must be booleans of shape {like.shape}, got {_looks(out)}")
    return out


def float_array(name: str, value: Any, like: Array) -> Array:
    """The value as a new float64 array of the shape of `like`; nan and infinity are allowed."""
    out = np.array(value)
    if out.dtype.kind == "V" and out.dtype.names is None and out.dtype.itemsize in (1, 2):
        out = out.astype(np.float64)  # bfloat16 and shorter of JAX
    if out.shape != like.shape or (out.size and out.dtype.kind not in "fiu"):
        raise ValueError(f"{name} must be numbers of shape {like.shape}, got {_looks(out)}")
    return out.astype(np.float64)


def whole_array(name: str, value: Any, like: IntArray) -> IntArray:
    """The value as a new int64 array; it must have the shape of `like` and no negative entry."""
    out = np.array(value)
    if out.shape != like.shape or out.dtype.kind not in "iu":
        raise ValueError(f"{name} must be whole numbers of shape {like.shape}, got {_looks(out)}")
    require(out >= 0, name, out.astype(np.float64), "be at least 0")
    return out.astype(np.int64)


def _looks(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"
