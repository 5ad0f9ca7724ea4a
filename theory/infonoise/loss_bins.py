"""Bins even in log sigma: their last losses, and moving averages of those.

Parts of `theory.infonoise.allocation.InfoNoise`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from theory.checks import Array, positive, require, vector, whole
from theory.profiles.profile import LARGEST

IntArray = NDArray[np.int64]
ROUNDING = 1e-6  # relative: how far past an end a level may lie, for that of float32
MOST_BINS = 4096


class LossBins:
    """One first-in-first-out store of losses a bin, as rows of one array.

    Attributes:
        edges: Of the bins in log sigma, shape (K + 1,).
        levels: Their middles, as noise levels in data units, shape (K,).
        counts: Losses ever put into each bin, shape (K,).
        shared: Those of them that all ranks had at the last merge, shape (K,).

    Args:
        sigma_min: Lowest level, in data units.
        sigma_max: Highest level.
        bins: Their number K, 4..4096.
        capacity: How many losses a bin holds.
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
        """The levels, shape (n,), pulled onto the ends from at most 1e-6 (relative) beyond."""
        levels = vector(name, sigma)
        low, high = self.low * (1.0 - ROUNDING), self.high * (1.0 + ROUNDING)
        good = (levels >= low) & (levels <= high)
        require(good, name, levels, f"be in [{self.low:g}, {self.high:g}]")
        return np.clip(levels, self.low, self.high)

    def index(self, sigma: Array) -> IntArray:
        """The bins of levels within the range, shape of sigma."""
        place = np.asarray((np.log(sigma) - self.edges[0]) / self.width)
        return np.clip(place.astype(np.int64), 0, self.counts.size - 1)

    def push(self, index: IntArray, losses: Array) -> None:
        """Put losses into their bins in the order given, shape (n,) each."""
        order = np.argsort(index.astype(np.int16), kind="stable")  # 16 bits: a radix sort
        bins, values = index[order], losses[order]
        new = np.bincount(index, minlength=self.counts.size)
        rank = np.arange(bins.size) - (np.cumsum(new) - new)[bins]
        slot = (self.counts[bins] + rank) % self.capacity
        if new.max() > self.capacity:  # else two losses may not meet in one slot
            kept = rank >= new[bins] - self.capacity
            bins, slot, values = bins[kept], slot[kept], values[kept]
        self._losses[bins, slot] = values
        self.counts += new

    def held(self) -> IntArray:
        """Losses in every bin, shape (K,)."""
        return np.minimum(self.counts, self.capacity)

    def means(self) -> Array:
        """Mean loss of every bin, shape (K,); 0 where it is empty."""
        return np.asarray(self._losses.sum(axis=1) / np.maximum(self.held(), 1))

    def latest(self, k: int, n: int | None = None) -> Array:
        """The last n losses of bin k, all that it holds by default, oldest first."""
        count = int(self.counts[k])
        n = min(count, self.capacity) if n is None else n
        return np.asarray(self._losses[k, np.arange(count - n, count) % self.capacity])

    def absorb(self, other: "LossBins") -> None:
        """Put in what another rank recorded since the last merge, oldest first in each bin."""
        fresh = other.counts - other.shared
        kept = np.minimum(fresh, self.capacity)
        self.counts += fresh - kept  # those that the other has dropped itself
        parts = [other.latest(k, int(n)) for k, n in enumerate(kept)]
        self.push(np.repeat(np.arange(kept.size), kept), np.concatenate(parts))

    def state(self) -> dict[str, Any]:
        """Copies of all that changes."""
        return {
            "losses": self._losses.copy(),
            "counts": self.counts.copy(),
            "shared": self.shared.copy(),
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a `state` of bins of the same sizes."""
        counts = [whole_array(name, state[name], self.counts) for name in ("counts", "shared")]
        losses = float_array("losses", state["losses"], self._losses)
        require(counts[1] <= counts[0], "shared", counts[1].astype(np.float64), "be at most counts")
        require((losses >= 0) & (losses <= LARGEST), "losses", losses, "be in [0, 1e+100]")
        (self.counts, self.shared), self._losses = counts, losses


class LossAverages:
    """Moving averages of the bins' mean losses, renewed every so many steps.

    Attributes:
        mean: The averages, shape (K,); nan before the first renewal.
        steps: Steps recorded.
        renewals: Renewals made.

    Args:
        bins: Empty.
        ema: Weight of the *new* value, in (0, 1].
        refresh: Steps from one renewal to the next.
        least: Losses that a bin needs, at most its capacity.
        warmup: Steps before the first renewal.
        patience: Renewals skipped for the sake of sparse bins before these are interpolated.
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
        """Whether a renewal waits, one a multiple of `refresh` from `warmup` on."""
        turn = self.steps // self._every
        return turn > self._turn and turn * self._every >= self._warmup

    def record(self, sigma: Array, losses: Array) -> None:
        """Count a step and keep its losses, shape (n,) each, checked."""
        self._bins.push(self._bins.index(sigma), losses)
        self.steps += 1

    def renew(self) -> bool:
        """One due renewal; False if skipped for want of losses or of any loss above 0."""
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
        """Copies of all that changes."""
        counters = {
            "steps": self.steps,
            "turn": self._turn,
            "skipped": self._skipped,
            "renewals": self.renewals,
        }
        return {**counters, "mean": self.mean.copy(), **self._bins.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take over a `state` of averages of the same sizes."""
        names = ("steps", "turn", "skipped", "renewals")
        counters = [whole(name, np.asarray(state[name]).tolist(), 0) for name in names]
        mean = float_array("mean", state["mean"], self.mean)
        good = ((mean >= 0) & (mean <= LARGEST) & (mean.max() > 0)) | np.isnan(mean).all()
        require(good, "mean", mean, f"be in [0, {LARGEST:g}], not all 0, or nan throughout")
        self._bins.load(state)
        self.steps, self._turn, self._skipped, self.renewals = counters
        self.mean = mean

    def merge(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Take over what all ranks recorded, see `theory.infonoise.allocation.InfoNoise.merge`."""
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


def float_array(name: str, value: Any, like: Array) -> Array:
    """A fresh float64 array of the shape of `like`, whatever its entries."""
    out = np.array(value)
    if out.shape != like.shape or out.dtype.kind not in "fiu":
        raise ValueError(f"{name} must be numbers of shape {like.shape}, got {_looks(out)}")
    return out.astype(np.float64)


def whole_array(name: str, value: Any, like: IntArray) -> IntArray:
    """A fresh int64 array of the shape of `like`, every entry at least 0."""
    out = np.array(value)
    if out.shape != like.shape or out.dtype.kind not in "iu":
        raise ValueError(f"{name} must be whole numbers of shape {like.shape}, got {_looks(out)}")
    require(out >= 0, name, out.astype(np.float64), "be at least 0")
    return out.astype(np.int64)


def _looks(array: NDArray[Any]) -> str:
    return f"{array.dtype} of shape {array.shape}"
