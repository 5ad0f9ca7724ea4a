"""InfoNoise: training noise allocated by the entropy rate that the losses of training estimate.

The method is that of Raya et al. (2026), section 5. The rate of the conditional entropy is
r = mmse / sigma^3 per unit of sigma (eq. 12) and r sigma per unit of log sigma; g is the gate of
`theory.profiles.pivots` (eq. 17). Noise levels are drawn from a density pi proportional to r g / w
(eq. 16), so that pi times the loss weight w, the effective emphasis, follows r g.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import (
    Array,
    above_zero,
    one_of,
    positive,
    require,
    scalars,
    whole,
    within,
)
from theory.infonoise.loss_bins import (
    LossAverages,
    LossBins,
    float_array,
    host_array,
    mask_array,
)
from theory.infonoise.warm_up import Prior, WarmUp
from theory.levels import Span
from theory.profiles.pivots import (
    GATE_POWER,
    ONSET,
    PIVOTS,
    Allocation,
    Pivot,
    allocate,
    gate,
    onset_pivot,
    slope_pivot,
)
from theory.profiles.profile import LARGEST, Profile

__all__ = [
    "GATE_POWER",
    "ONSET",
    "PIVOTS",
    "Allocation",
    "InfoNoise",
    "Pivot",
    "allocate",
    "edm_weight",
    "gate",
    "onset_pivot",
    "slope_pivot",
]

REDUCTIONS = ("sum", "mean")


class InfoNoise:
    """An online sampler of training noise levels (Raya et al. 2026, section 5).

    At every training step, train on `sample(n, rng)` and pass the losses to `record`, which counts
    the step. K bins, evenly spaced in log sigma, each keep their most recent losses. After `warmup`
    steps the density is refreshed every `refresh` steps. A refresh updates the moving average of
    every bin, m = (1 - ema) m + ema * (mean loss of the bin), which is the mean itself the first
    time. It then sets r = m / sigma^3 at the bins' middles, finds the pivot and applies the gate.
    Bin k receives a mass proportional to sigma_k r_k g_k / w_k, spread evenly in log sigma.

    A refresh that is due while a bin holds fewer than `least` losses is skipped, at most `patience`
    times in all. After that, r sigma is interpolated linearly in log sigma for such bins, and
    constant beyond the outermost filled bin. If all averages are 0, the density stays as it was.

    With several processes, give their number as `ranks` and let each record its own samples. When
    `is_due` is true, pass the states of all processes to `merge` on every one of them; only `merge`
    then refreshes.

    Args:
        dim: Number of coordinates d of x0.
        sigma_min: Lowest noise level, in data units.
        sigma_max: Highest noise level, in data units.
        bins: Number K of bins, 4 to 4096.
        capacity: Number of losses that a bin keeps, first in, first out.
        ema: Weight of the *new* value in the moving average, in (0, 1].
        refresh: Number of steps between refreshes.
        least: Number of losses that a bin needs for a refresh, at most `capacity`.
        warmup: Number of steps before the first refresh.
        gate_power: Exponent n of the gate, positive.
        onset: Threshold p of the onset rule, in (0, 1].
        pivot: "onset" for data with a density, "slope" for discrete data, or the pivot itself, in
            data units. If the rate exceeds the onset even in the highest bin, the pivot is that
            bin's level.
        floor: Least mass of pi in any bin, below 1 / K; the other bins share the rest by r g / w.
        smoothing: Passes of `theory.profiles.pivots.smoothed` over r sigma, before pivot and gate.
        patience: Number of refreshes that are skipped before sparse bins are interpolated.
        weight: Loss weight w, a positive function of sigma. Default: 1 at all levels.
        reduction: Whether losses are the "sum" or the "mean" over coordinates.
        prior: Law of the levels during the warm-up: "log_uniform"; (p_mean, p_std) for log sigma
            normal, cut to the range; or a function of n and a generator that draws n levels.
        ranks: Number of processes that record.

    Raises:
        ValueError: An argument is out of its range; the message is one line and names it.
    """

    def __init__(
        self,
        dim: int,
        *,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        bins: int = 64,
        capacity: int = 256,
        ema: float = 0.9,
        refresh: int = 100,
        least: int = 50,
        warmup: int = 5000,
        gate_power: float = GATE_POWER,
        onset: float = ONSET,
        pivot: str | float = "onset",
        floor: float = 1e-4,
        smoothing: int = 0,
        patience: int = 10,
        weight: Callable[[Array], Array] | None = None,
        reduction: str = "sum",
        prior: Prior = "log_uniform",
        ranks: int = 1,
    ) -> None:
        self._bins = LossBins(sigma_min, sigma_max, bins, capacity)
        self._warm_up = WarmUp(self._bins, prior)
        cadence = {"refresh": refresh, "least": least, "warmup": warmup, "patience": patience}
        self._averages = LossAverages(self._bins, ema=ema, **cadence)
        if not 0 < onset <= 1:
            raise ValueError(f"onset must be in (0, 1], got {onset:g}")
        rule = one_of("pivot", pivot, PIVOTS) if isinstance(pivot, str) else pivot
        self._options: dict[str, Any] = {
            "pivot": rule if isinstance(rule, str) else positive("pivot", rule),
            "onset": float(onset),
            "power": positive("gate_power", gate_power),
            "smoothing": whole("smoothing", smoothing, 0),
            "floor": float(within("floor", floor, 0.0, 1.0 / self._bins.counts.size)),
        }
        self._dim, self._ranks = whole("dim", dim, 1), whole("ranks", ranks, 1)
        self._scale = {"sum": 1, "mean": self._dim}[one_of("reduction", reduction, REDUCTIONS)]
        self._constants: dict[str, int | float | str] = {
            **{"kind": "infonoise", "dim": self._dim, "reduction": reduction, "ranks": self._ranks},
            **{"sigma_min": self._bins.low, "sigma_max": self._bins.high, "bins": int(bins)},
            **{"capacity": self._bins.capacity, "ema": float(ema), **cadence, **self._options},
            "prior": self._warm_up.name,
        }
        if weight is not None and not callable(weight):
            raise ValueError(f"weight must be a function of sigma, got {weight!r:.80}")
        self._weight = weight
        self._weights = self.weight(self._bins.levels)
        self._found: Allocation | None = None
        self._left_out = 0

    @property
    def left_out(self) -> int:
        """Number of losses that were not finite and left out, since this object was made."""
        return self._left_out

    @property
    def steps(self) -> int:
        """Number of steps recorded."""
        return self._averages.steps

    @property
    def refreshes(self) -> int:
        """Number of refreshes made; 0 as long as levels are drawn from the prior."""
        return self._averages.renewals

    @property
    def pivot(self) -> float:
        """Pivot of the gate at the last refresh, in data units; nan before the first."""
        return self._found.pivot.c if self._found else np.nan

    @property
    def rule(self) -> str:
        """Rule that gave the pivot, see `theory.profiles.pivots.Pivot`; "none" before a refresh."""
        return self._found.pivot.rule if self._found else "none"

    @property
    def is_due(self) -> bool:
        """Whether a refresh waits for `merge`; always False with one rank, where none waits."""
        return self._averages.is_due

    def sample(self, n: int, rng: np.random.Generator) -> Array:
        """Independent draws of noise levels from `density`, shape (n,), in data units.

        Args:
            n: Number of levels.
            rng: Generator that draws them.

        Raises:
            ValueError: n is below 1, or a prior given as a function draws invalid levels.
            TypeError: rng is not a numpy.random.Generator.
        """
        whole("n", n, 1)
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng must be a numpy.random.Generator, got {type(rng).__name__}")
        if self._found is None:
            return self._warm_up.sample(n, rng)
        x = np.interp(rng.random(n), self._cdf, self._bins.edges)
        return np.asarray(np.clip(np.exp(x), self._bins.low, self._bins.high))

    def record(
        self,
        sigma: ArrayLike,
        loss: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        weights: ArrayLike | None = None,
    ) -> None:
        """Count a step, keep its losses, and refresh the density if that is due (with one rank).

        Arrays of NumPy and JAX and tensors of PyTorch on any device are taken, of any precision. A
        loss that is not finite is left out and counted in `left_out`: a batch that overflows on one
        rank counts as a step there too, so that all ranks stay together. The batch may be empty.

        Args:
            sigma: Noise levels of the samples, shape (n,), in data units. They may leave the range
                by no more than float32 rounding; otherwise the whole batch is refused.
            loss: Squared error |D - x0|^2 of each sample, shape (n,), at least 0 where it is
                finite. It is *not* weighted, but for `weights`, and is summed or averaged over
                coordinates as `reduction` says.
            mask: Whether each sample counts, shape (n,). Default: all do.
            weights: Weights by which the losses were multiplied, shape (n,), positive; they are
                divided by them.

        Raises:
            ValueError: A level, a loss or a weight is out of its range, or the shapes differ.
        """
        levels = self._bins.inside("sigma", host_array(sigma))
        losses = float_array("loss", host_array(loss), levels)
        kept = np.ones(levels.shape, dtype=bool)
        if mask is not None:
            kept = mask_array("mask", host_array(mask), levels)
        if weights is not None:
            divisors = float_array("weights", host_array(weights), levels)
            require((divisors > 0) | ~kept, "weights", divisors, "be positive")
            losses = losses / np.where(kept, divisors, 1.0)
        losses = losses * self._scale
        used = kept & np.isfinite(losses)
        require((losses >= 0) | ~used, "loss", losses, "be at least 0")
        require((losses <= LARGEST) | ~used, "loss", losses, f"be at most {LARGEST:g}")
        self._left_out += int(np.count_nonzero(kept & ~used))
        self._averages.record(levels[used], losses[used])
        if self._ranks == 1:
            self._refresh_if_due()

    @scalars
    def weight(self, sigma: ArrayLike) -> Array:
        """The loss weight w at noise levels sigma, shape of sigma."""
        levels = above_zero("sigma", sigma)
        if self._weight is None:
            return np.ones_like(levels)
        found = above_zero("weight", self._weight(levels))
        if found.shape != levels.shape:
            raise ValueError(f"weight must have sigma's shape {levels.shape}, got {found.shape}")
        return found

    @scalars
    def density(self, sigma: ArrayLike) -> Array:
        """Density pi of `sample`, per unit of sigma, shape of sigma; 0 outside the range."""
        levels = above_zero("sigma", sigma)
        inside = (levels >= self._bins.low) & (levels <= self._bins.high)
        near = np.clip(levels, self._bins.low, self._bins.high)
        if self._found is None:
            return np.where(inside, self._warm_up.density(near), 0.0)
        share = self._found.mass[self._bins.index(near)]
        return np.where(inside, share / (self._bins.width * near), 0.0)

    def sigmas(self, n_steps: int, terminal: str = "stop") -> Array:
        """InfoGrid (eq. 19): levels uniform in the integral of s r g ds, shape (n_steps + 1,).

        The levels are strictly decreasing, from sigma_max to sigma_min. Within a bin the integral
        is linear in log s. Neither the loss weight nor the floor of the training density enters.

        Args:
            n_steps: Number of steps, 1 to 10^6.
            terminal: "stop" to end at sigma_min, "zero" to make the last step to 0.

        Raises:
            ValueError: There has been no refresh, or an argument is out of its range.
        """
        span = Span(n_steps, self._bins.high, self._bins.low, terminal)
        total = np.append(0.0, np.cumsum(self._need_refresh().gated * self._bins.levels))
        aims = (1.0 - span.fractions) * total[-1]
        return span.finish(np.exp(np.interp(aims, total, self._bins.edges)))

    def profile(self) -> Profile:
        """Profile of the moving averages m at the bins' middles, which overestimate the mmse.

        Raises:
            ValueError: There has been no refresh.
        """
        self._need_refresh()
        source = {"kind": "infonoise", "steps": self.steps, "refreshes": self.refreshes}
        return Profile(self._dim, self._bins.levels, self._averages.mean, source=source)

    def state_dict(self) -> dict[str, Any]:
        """The complete state as numbers, strings and copied arrays; a restored object is identical.

        Functions are not stored: the state holds the weight at the bins' middles, and "callable"
        for a prior that is a function.
        """
        traces = {"weights": self._weights.copy()}
        return {**self._constants, **traces, **self._averages.state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state of an object with the same constants and the same weight.

        Args:
            state: Result of `state_dict`.

        Raises:
            ValueError: A key, constant or shape differs; this object is then left unchanged.
        """
        self._check(state)
        self._averages.load(state)
        self._allocate()

    def merge(self, states: Sequence[Mapping[str, Any]]) -> None:
        """Replace the state by what all ranks have recorded, and refresh if that is due.

        Every bin keeps the last `capacity` of its losses: those shared after the last merge, then
        the new ones of rank 0, of rank 1, and so on. The result depends on the states alone, so
        that ranks which merge the same list continue with bit-identical densities. A step counts
        once, whatever the number of ranks.

        Args:
            states: The `state_dict` of every rank, in the order of ranks, this one's included, all
                after the same step.

        Raises:
            ValueError: There is not one state per rank, or the states do not belong together.
        """
        if len(states) != self._ranks:
            raise ValueError(f"states must be {self._ranks}, one a rank, got {len(states)}")
        for state in states:
            self._check(state)
        self._averages.merge(states)
        self._allocate()
        self._refresh_if_due()

    def _check(self, state: Mapping[str, Any]) -> None:
        """Raise ValueError unless keys, constants and weights of a state are this object's own."""
        own = self.state_dict()
        for name in sorted(own.keys() ^ state.keys()):
            raise ValueError(f"state must hold {'' if name in own else 'no '}{name!r}")
        for name, value in self._constants.items():
            given = np.asarray(state[name]).tolist()  # a number read from a file may be an array
            if given != value:
                raise ValueError(f"state must have {name} {value!r}, got {given!r}")
        weights = float_array("weights", state["weights"], self._weights)
        good = np.isclose(weights, self._weights, rtol=1e-6, atol=0.0)
        require(good, "weights", weights, "be those of the weight given")

    def _refresh_if_due(self) -> None:
        if self._averages.is_due and self._averages.renew():
            self._allocate()

    def _allocate(self) -> None:
        """Compute the density from the averages; there is none before the first refresh."""
        mean, self._found = self._averages.mean, None
        if not np.isnan(mean).any():
            self._found = allocate(self._bins.levels, mean, self._weights, **self._options)
            total = np.append(0.0, np.cumsum(self._found.mass))
            self._cdf = total / total[-1]

    def _need_refresh(self) -> Allocation:
        if self._found is None:
            raise ValueError(f"refreshes must be at least 1, got 0 after {self.steps} steps")
        return self._found


@scalars
def edm_weight(sigma: ArrayLike, sigma_data: float = 0.5) -> Array:
    """EDM's loss weight (sigma^2 + sigma_data^2) / (sigma sigma_data)^2, shape of sigma.

    It is eq. (52) of Raya et al. (2026).

    Args:
        sigma: Noise levels, positive, in data units.
        sigma_data: Standard deviation of the data, in data units.
    """
    levels, spread = above_zero("sigma", sigma), positive("sigma_data", sigma_data)
    return np.asarray(levels**-2.0 + spread**-2.0)
