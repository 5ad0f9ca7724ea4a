"""A 1-D mixture observed through noise: its posterior at quadrature nodes, and panels."""

import numpy as np

from theory.checks import Array
from toys import kernels
from toys.information.quadrature import Ints
from toys.mixture import Mixture

REACH = 40.0  # standard deviations beyond which a component's tail, below 1e-340, is left out
LADDER = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, REACH])
MAX_PAIRED = 48  # largest number of components for which all pairs are searched for crossings


class Channel:
    """A 1-D mixture observed through noise sigma.

    Args:
        toy: Mixture with distinct components and increasing means.
        sigma: Noise level, at least 0, in data units.
    """

    def __init__(self, toy: Mixture, sigma: float) -> None:
        self.w, self.mean, self.std0 = toy.weights, toy.means[:, 0], toy.stds[:, 0]
        self.sigma = sigma
        self.log_w = np.log(self.w)
        self.std = np.hypot(self.std0, sigma)
        self.log_std = np.log(self.std)
        self.var = self.std**2
        self.centres = np.unique(self.mean)

    def posterior(self, anchor: Ints, offset: Array) -> Array:
        """Logs of p(x), Var(x0 | x), H(r) and KL(r || w) at centres[anchor] + offset, (4, P, n)."""
        out = np.empty((4, *offset.shape))
        kernels.posterior_logs(
            self.centres[anchor], offset, self.sigma, self.log_w, self.mean, self.std0, out
        )
        return out

    def panels(self) -> tuple[Ints, Array, Array]:
        """Initial panels, narrow near every feature: anchors, left and right offsets, (P,) each."""
        k_max = self.w.size
        steps = np.concatenate([-LADDER[:0:-1], LADDER])
        owner = np.repeat(np.arange(k_max), steps.size)
        shift = (self.std[:, None] * steps).ravel()
        scale = (self.std[:, None] * np.maximum(0.25 * np.abs(steps), 0.5)).ravel()
        cross_owner, cross_shift, cross_scale = self._crossings()
        owner = np.concatenate([owner, cross_owner])
        shift = np.concatenate([shift, cross_shift])
        scale = np.concatenate([scale, cross_scale])
        # Cells around the centres; a position is an offset within its cell.
        middles = 0.5 * (self.centres[1:] + self.centres[:-1])
        anchor = np.searchsorted(middles, self.mean[owner] + shift)
        offset = (self.mean[owner] - self.centres[anchor]) + shift
        low, high = offset[anchor == 0].min(), offset[anchor == self.centres.size - 1].max()
        half = 0.5 * np.diff(self.centres)
        edges = np.stack([np.concatenate([[low], -half]), np.concatenate([half, [high]])], axis=1)
        anchors, lefts, rights = [], [], []
        for cell, (begin, end) in enumerate(edges):
            inside = (anchor == cell) & (offset > begin) & (offset < end)
            order = np.argsort(offset[inside])
            kept = [begin]
            for place, size in zip(offset[inside][order], scale[inside][order], strict=True):
                if place - kept[-1] > 0.4 * size:
                    kept.append(place)
            kept.append(end)
            cuts = np.array(kept)
            anchors.append(np.full(cuts.size - 1, cell))
            lefts.append(cuts[:-1])
            rights.append(cuts[1:])
        return np.concatenate(anchors), np.concatenate(lefts), np.concatenate(rights)

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
        b = place[:, None] + (self.mean[j][:, None] - self.mean)
        scores = self.log_w - self.log_std - 0.5 * (b / self.std) ** 2
        open_ = scores.max(axis=1) - scores[np.arange(j.size), j] < 30.0
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
