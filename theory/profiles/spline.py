"""The not-a-knot cubic spline, without the half second that scipy.interpolate takes to import."""

import numpy as np

from theory.checks import Array


class CubicSpline:
    """The cubic spline through points, with continuous third derivative at the outer inner knots.

    It is that of `scipy.interpolate.CubicSpline` with its default ends: a straight line through two
    points and a parabola through three. Beyond the knots the outer cubics continue.

    Args:
        x: Knots, shape (m,), m >= 2, strictly increasing.
        y: Values at the knots, shape (m,).
    """

    def __init__(self, x: Array, y: Array) -> None:
        self.x = x
        h, rise = np.diff(x), np.diff(y) / np.diff(x)
        if x.size == 2:
            slope = np.full(2, rise[0])
        elif x.size == 3:
            bend = (rise[1] - rise[0]) / (h[0] + h[1])
            slope = np.array([rise[0] - bend * h[0], rise[0] + bend * h[0], rise[1] + bend * h[1]])
        else:
            slope = _slopes(h, rise)
        # y + slope u + c2 u^2 + c3 u^3 on every interval, u from its left end.
        c3 = (slope[:-1] + slope[1:] - 2.0 * rise) / h
        self.coefficients = np.stack([y[:-1], slope[:-1], (rise - slope[:-1]) / h - c3, c3 / h])

    def __call__(self, x: Array, order: int = 0) -> Array:
        """The spline or its derivative of this order, 0 to 3, at x, shape of x."""
        i = np.clip(np.searchsorted(self.x, x, side="right") - 1, 0, self.x.size - 2)
        u = x - self.x[i]
        c0, c1, c2, c3 = self.coefficients[:, i]
        if order == 0:
            return np.asarray(((c3 * u + c2) * u + c1) * u + c0)
        if order == 1:
            return np.asarray((3.0 * c3 * u + 2.0 * c2) * u + c1)
        return np.asarray(6.0 * c3 * u + 2.0 * c2) if order == 2 else np.asarray(6.0 * c3)


def _slopes(h: Array, rise: Array) -> Array:
    """Slopes at the knots, shape (m,), by elimination in the tridiagonal system of the spline.

    Args:
        h: Lengths of the intervals, shape (m - 1,), m >= 4.
        rise: Slopes of the chords, shape (m - 1,).
    """
    first, last = h[0] + h[1], h[-1] + h[-2]
    below = np.concatenate([h[1:], [last]])  # of rows 1 .. m - 1
    middle = np.concatenate([[h[1]], 2.0 * (h[:-1] + h[1:]), [h[-2]]])
    above = np.concatenate([[first], h[:-1]])  # of rows 0 .. m - 2
    right = np.concatenate(
        [
            [((h[0] + 2.0 * first) * h[1] * rise[0] + h[0] ** 2 * rise[1]) / first],
            3.0 * (h[1:] * rise[:-1] + h[:-1] * rise[1:]),
            [(h[-1] ** 2 * rise[-2] + (2.0 * last + h[-1]) * h[-2] * rise[-1]) / last],
        ]
    )
    a, b, c, d = below.tolist(), middle.tolist(), above.tolist(), right.tolist()
    for i in range(1, len(b)):
        share = a[i - 1] / b[i - 1]
        b[i] -= share * c[i - 1]
        d[i] -= share * d[i - 1]
    d[-1] /= b[-1]
    for i in range(len(b) - 2, -1, -1):
        d[i] = (d[i] - c[i] * d[i + 1]) / b[i]
    return np.array(d)
