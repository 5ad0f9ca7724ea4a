"""Expectations over x = x0 + sigma eps of a 1-D mixture: E Var(x0 | x), E H(r) and E KL(r || w).

r are the responsibilities of the components given x and w their weights. Where the noise smooths
the mixture, one trapezoid rule over all x converges geometrically. Elsewhere, as at low noise
between separate points, the integrands are resolved in logarithms on adaptive panels.
"""

import numpy as np

from theory.checks import Array
from toys import kernels
from toys.information.channel import Channel, Components
from toys.information.quadrature import Ints, log_integrals

RTOL = 1e-12


def log_moments(parts: Components, sigma: float) -> tuple[float, float, float]:
    """Logs of E Var(x0 | x), E H(r) and E KL(r || w); -inf where they are 0.

    The relative accuracy is 1e-12. That of E H(r) is controlled for points only, where it is the
    conditional entropy.

    Args:
        parts: The components.
        sigma: Noise level, in data units; 0 for a mixture of positive stds.

    Raises:
        ValueError: A quadrature does not converge.
    """
    if parts.w.size == 1:
        s = float(parts.std0[0])
        log_var = 2.0 * np.log(s * (sigma / np.hypot(s, sigma))) if s * sigma > 0.0 else -np.inf
        return float(log_var), -np.inf, -np.inf
    points = not parts.std0.any()
    out, p = np.zeros(3), parts
    arrays = (p.w, p.log_w, p.mean, p.std0, p.outside)
    if kernels.trapezoid_moments(sigma, *arrays, p.label_entropy, out) > 0:
        with np.errstate(divide="ignore"):
            log_var, log_entropy, log_gain = np.log(out)
        return float(log_var), float(log_entropy), float(log_gain)
    return _resolved(Channel(parts, sigma), points)


def _resolved(channel: Channel, points: bool) -> tuple[float, float, float]:
    """The same on adaptive panels."""

    def log_f(anchor: Ints, offset: Array) -> Array:
        log_p, log_var, log_entropy, log_gain = channel.posterior(anchor, offset)
        return np.stack([log_p + log_var, log_p + log_entropy, log_p + log_gain])

    panels = channel.panels()
    if points:
        # All uncertainty of points at low noise is at few crossings, unlike their divergence.
        logs = log_integrals(lambda a, x: log_f(a, x)[:2], *panels, RTOL)[0]
        whole, left = channel.parts.label_entropy, float(np.exp(logs[1]))
        if left < kernels.KNOWN * whole:
            return float(logs[0]), float(logs[1]), float(np.log(whole - left))
    log_var, log_entropy, log_gain = log_integrals(log_f, *panels, RTOL)[0]
    return float(log_var), float(log_entropy), float(log_gain)
