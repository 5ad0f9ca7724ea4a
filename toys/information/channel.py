"""A 1-D mixture observed through noise: its posterior at quadrature nodes, and panels."""

from dataclasses import dataclass

import numpy as np

from theory.checks import Array
from toys import kernels
from toys.information.quadrature import Ints
from toys.mixture import Mixture

REACH = 40.0  # standard deviations beyond which a component's tail, below 1e-340, is left out
LADDER = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, REACH])
STEPS = np.concatenate([-LADDER[:0:-1], LADDER])
MAX_PAIRED = 48  # largest number of components for which all pairs are searched for crossings
THINNED = 0.5  # standard deviations within which components share an anchor or a ladder


@dataclass(frozen=True, eq=False)
class Components:
    """The components of a 1-D mixture as the kernels take them, sorted by mean.

    Attributes:
        w: Weights, shape (K,).
        log_w: Their logarithms, shape (K,).
        mean: Means, shape (K,), in data units.
        std0: Standard deviations, shape (K,), in data units.
        outside: Total weights below and from an index on, shape (2, K + 1).
        label_entropy: Entropy of the weights, in nats, accurate where one is nearly 1.
    """

    w: Array
    log_w: Array
    mean: Array
    std0: Array
    outside: Array
    label_entropy: float


def components(toy: Mixture) -> Components:
    """The components of a 1-D mixture.

    Args:
        toy: Mixture with distinct components and increasing means.
    """
    w, mean, std0 = toy.weights, toy.means[:, 0].copy(), toy.stds[:, 0].copy()
    outside = np.zeros((2, w.size + 1))
    outside[0, 1:] = np.cumsum(w)
    outside[1, :-1] = np.cumsum(w[::-1])[::-1]
    largest = w.argmax()
    rest = np.delete(w, largest)
    entropy = w[largest] * np.log1p(rest.sum() / w[largest]) - rest @ np.log(rest)
    return Components(w, np.log(w), mean, std0, outside, float(entropy))


class Channel:
    """A 1-D mixture observed through noise sigma.

    Args:
        toy: Mixture with distinct components and increasing means, or its components.
        sigma: Noise level, at least 0, in data units.
    """

    def __init__(self, toy: Mixture | Components, sigma: float) -> None:
        self.parts = components(toy) if isinstance(toy, Mixture) else toy
        self.w, self.log_w = self.parts.w, self.parts.log_w
        self.mean, self.std0 = self.parts.mean, self.parts.std0
        self.sigma = sigma
        self.std = np.hypot(self.std0, sigma)
        self.log_std = np.log(self.std)
        self.var = self.std**2
        # Anchors, one for components closer than the narrowest std.
        cell = np.floor((self.mean - self.mean[0]) / (THINNED * self.std.min()))
        self.nearest = np.flatnonzero(np.diff(cell, prepend=-1.0))
        self.centres = self.mean[self.nearest]

    def posterior(self, anchor: Ints, offset: Array) -> Array:
        """Logs of p(x), Var(x0 | x), H(r) and KL(r || w) at centres[anchor] + offset, (4, P, n)."""
        return self._posterior(self.nearest[anchor], offset)

    def _posterior(self, near: Ints, offset: Array) -> Array:
        """The same at mean[near] + offset."""
        p = self.parts
        out = np.empty((4, *offset.shape))
        kernels.posterior_logs(
            p.mean[near], offset, near, self.sigma, p.w, p.log_w, p.mean, p.std0, p.outside, out
        )
        return out

    def panels(self) -> tuple[Ints, Array, Array]:
        """Initial panels, narrow near every feature: anchors, left and right offsets, (P,) each."""
        chosen = self._distinct()
        std = self.std[chosen, None]
        cross_owner, cross_shift, cross_scale = self._crossings()
        owner = np.concatenate([np.repeat(chosen, STEPS.size), cross_owner])
        shift = np.concatenate([(std * STEPS).ravel(), cross_shift])
        scale = (std * np.maximum(0.25 * np.abs(STEPS), 0.5)).ravel()
        scale = np.concatenate([scale, cross_scale])
        # Cells around the centres; a position is an offset within its cell.
        middles = 0.5 * (self.centres[1:] + self.centres[:-1])
        anchor = np.searchsorted(middles, self.mean[owner] + shift)
        offset = (self.mean[owner] - self.centres[anchor]) + shift
        low, high = offset[anchor == 0].min(), offset[anchor == self.centres.size - 1].max()
        half = 0.5 * np.diff(self.centres)
        left, right = np.append(low, -half), np.append(half, high)
        inside = (offset > left[anchor]) & (offset < right[anchor])
        anchor, offset, scale = anchor[inside], offset[inside], scale[inside]
        order = np.lexsort((offset, anchor))
        begin = np.searchsorted(anchor[order], np.arange(self.centres.size + 1))
        cuts = np.empty((3, anchor.size + self.centres.size))
        count = kernels.cut_cells(left, right, begin, offset[order], scale[order], cuts)
        return cuts[0, :count].astype(np.int64), cuts[1, :count], cuts[2, :count]

    def _distinct(self) -> Ints:
        """Indices of components of which none has another's place and width, in its width."""
        octave = np.rint(np.log2(self.std / self.std.min()))
        width = self.std.min() * np.exp2(octave)
        place = np.floor((self.mean - self.mean[0]) / (THINNED * width))
        order = np.lexsort((place, octave))
        new = np.diff(octave[order], prepend=-1.0) != 0.0
        new |= np.diff(place[order], prepend=-1.0) != 0.0
        return np.sort(order[new])

    def _crossings(self) -> tuple[Ints, Array, Array]:
        """Points where two components are equally likely: owners, offsets from means, widths.

        At low noise all uncertainty is at these points. Points where a third component is much more
        likely are dropped. For large mixtures only neighbours are paired, and the adaptive
        quadrature finds the rest.
        """
        k_max = self.w.size
        if k_max < 2:
            return np.empty(0, int), np.empty(0), np.empty(0)
        if k_max <= MAX_PAIRED:
            j, k = np.triu_indices(k_max, 1)
        else:
            j, k = np.arange(k_max - 1), np.arange(1, k_max)
        gap = self.mean[k] - self.mean[j]
        # Roots in u = x - mean_j of quad u**2 - 2 slope u + const = 2 (score_j - score_k).
        quad = 1.0 / self.var[k] - 1.0 / self.var[j]
        slope = gap / self.var[k]
        const = gap**2 / self.var[k] + 2 * (
            self.log_w[j] - self.log_w[k] + self.log_std[k] - self.log_std[j]
        )
        disc = slope**2 - quad * const
        root = np.sqrt(np.maximum(disc, 0.0))
        big = slope + np.where(slope >= 0, root, -root)
        with np.errstate(divide="ignore", invalid="ignore"):
            places = np.stack([const / big, big / quad])
            widths = 1.0 / np.abs(places * quad - slope)
        fine = (disc >= 0) & np.isfinite(places) & np.isfinite(widths)
        fine &= np.abs(places) <= 4 * REACH * self.std.max() + np.abs(gap)
        j = np.broadcast_to(j, places.shape)[fine]
        place, width = places[fine], np.minimum(widths[fine], self.std.max())
        score = self.log_w[j] - self.log_std[j] - 0.5 * (place / self.std[j]) ** 2
        log_p = self._posterior(j, place[:, None])[0, :, 0] + 0.5 * np.log(2.0 * np.pi)
        open_ = log_p - score < 31.0
        j, place, width = j[open_], place[open_], width[open_]
        # Geometric, as far as the components' own ladder: a panel with a sharp peak at its end
        # must not be so long that all of its nodes miss the tail of the peak.
        reach = 4 * REACH * float(self.std.max() / width.min()) if width.size else 1.0
        up = 1.5 * 4.0 ** np.arange(max(3, int(np.ceil(np.log(reach) / np.log(4.0)))))
        spread = np.concatenate([-up[::-1], [0.0], up])
        return (
            np.repeat(j, spread.size),
            (place[:, None] + width[:, None] * spread).ravel(),
            (width[:, None] * np.maximum(0.5 * np.abs(spread), 1.0)).ravel(),
        )
