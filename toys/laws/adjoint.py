"""Derivatives of the map of a deterministic stretch, by the start and by the table's entries.

A prime is a derivative in x. The derivative of the denoiser in sigma follows from those in x, since
the noisy density obeys the heat equation: D_sigma = sigma D'' + 2 (D - x) D' / sigma. States s_r
and their derivatives p_r and q_r by the start follow the rows of the table, and so do, backwards,
the derivatives of a number that depends on the final state and its slope.
"""

import numpy as np

from theory.checks import Array
from toys import kernels
from toys.laws.flow import Flow, in_threads

MapGradient = tuple[Array, Array, Array]  # by sigma (rows,), keep and weights (rows, H)


class FlowTrace:
    """States of a stretch from start points, with all that derivatives need.

    Args:
        flow: The stretch.
        x: Start points, shape (n,).
        curved: Whether slopes and curvatures are wanted too, not the states alone.
    """

    def __init__(self, flow: Flow, x: Array, *, curved: bool = True) -> None:
        self._flow, self._curved = flow, curved
        padded = np.zeros(x.size + -x.size % kernels.BLOCK)
        padded[: x.size] = x
        walked = in_threads(self._walk, padded, flow.sigma.size)
        self._states, self._denoised = (part[..., : x.size] for part in walked)

    @property
    def value(self) -> Array:
        """F(x), shape (n,)."""
        return np.asarray(self._states[0, -1])

    @property
    def slope(self) -> Array:
        """F'(x), shape (n,)."""
        return np.asarray(self._states[1, -1])

    @property
    def curvature(self) -> Array:
        """F''(x), shape (n,)."""
        return np.asarray(self._states[2, -1])

    def _walk(self, x: Array) -> tuple[Array, Array]:
        """States with their derivatives (3 or 1, rows + 1, n), D to D''' (4, rows, n)."""
        flow, orders = self._flow, 3 if self._curved else 1
        rows = flow.sigma.size
        states, denoised = np.zeros((orders, rows + 1, x.size)), np.empty((rows, 4, x.size))
        outputs = np.empty((orders, rows, x.size))
        states[0, 0] = x
        states[1:2, 0] = 1.0
        for r, sigma in enumerate(flow.sigma.tolist()):
            flow.toy_derivatives(states[0, r], sigma, denoised[r])
            d = denoised[r]
            outputs[0, r] = d[0]
            if self._curved:
                p, q = states[1:, r]
                outputs[1, r] = d[1] * p
                outputs[2, r] = d[2] * p**2 + d[1] * q
            for h in range(min(r + 1, flow.keep.shape[1])):
                if flow.keep[r, h] != 0:
                    states[:, r + 1] += flow.keep[r, h] * states[:, r - h]
                if flow.weights[r, h] != 0:
                    states[:, r + 1] += flow.weights[r, h] * outputs[:, r - h]
        return states, denoised.transpose(1, 0, 2)

    def pullback(
        self, by_value: Array, by_slope: Array | None = None
    ) -> tuple[Array, Array, Array]:
        """Derivatives by sigma, keep and weights of the stretch, for points that stay fixed.

        Args:
            by_value: Derivatives of a number by F at the points, shape (n,).
            by_slope: Derivatives by F' at the points, shape (n,); none if they are 0.

        Returns:
            Derivatives by sigma (rows,), and by keep and weights, (rows, H) each.
        """
        flow, denoised = self._flow, self._denoised
        rows, width = flow.keep.shape
        orders = 1 if by_slope is None else 2
        states = self._states[:orders]
        bars = np.zeros((orders, rows + 1, by_value.size))
        output_bars = np.zeros((orders, rows, by_value.size))
        bars[0, -1] = by_value
        if by_slope is not None:
            bars[1, -1] = by_slope
        by_sigma, by_keep = np.zeros(rows), np.zeros((rows, width))
        by_weights = np.zeros((rows, width))
        for r in reversed(range(rows)):
            new = bars[:, r + 1]
            for h in range(min(r + 1, width)):
                d = denoised[:, r - h]
                by_keep[r, h] = np.sum(new * states[:, r - h])
                by_weights[r, h] = new[0] @ d[0]
                if orders == 2:
                    by_weights[r, h] += new[1] @ (d[1] * states[1, r - h])
                bars[:, r - h] += flow.keep[r, h] * new
                output_bars[:, r - h] += flow.weights[r, h] * new
            by_sigma[r] = self._through_denoiser(r, output_bars[:, r], bars[:, r])
        return by_sigma, by_keep, by_weights

    def _through_denoiser(self, r: int, by_output: Array, bars: Array) -> float:
        """Add to the derivatives by the state of row r and its slope; the derivative by sigma."""
        x, (d, d1, d2, d3) = self._states[0, r], self._denoised[:, r]
        sigma = float(self._flow.sigma[r])
        by_sigma = by_output[0] @ (sigma * d2 + 2.0 / sigma * (d - x) * d1)
        bars[0] += by_output[0] * d1
        if len(bars) == 2:
            p = self._states[1, r]
            slope = sigma * d3 + 2.0 / sigma * ((d1 - 1.0) * d1 + (d - x) * d2)
            by_sigma += by_output[1] @ (slope * p)
            bars[0] += by_output[1] * d2 * p
            bars[1] += by_output[1] * d1
        return float(by_sigma)
