"""The posterior of a mixture, written out from the papers' displays as one side of identities.

Nothing here comes from the suite's engine. States may be complex: at x + i h e_j with h = 1e-30 the
imaginary parts over h are derivatives along coordinate j (complex step). Unlike finite differences
they are exact to rounding.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.checks import Array
from toys.mixture import Mixture

STEP = 1e-30
Numbers = NDArray[Any]  # real or complex


class Posterior:
    """The law of x0 given x0 + sigma eps = x, for n states; K components, d coordinates.

    Attributes:
        r: Posterior weights of the components, (n, K).
        own: Variances of x0 within each component, (K, d).
        gap: Posterior means of the components minus that of the likeliest one, (n, K, d).
        top: Posterior mean of the likeliest component, (n, d).
        scores: Score of every component, (mean_k - x) / v_k, (n, K, d).
        log_p: Log density of x, (n,).
    """

    def __init__(self, toy: Mixture, x: Numbers, sigma: float) -> None:
        y = np.asarray(x)
        y = y[:, None] if y.ndim == 1 else y
        v = toy.stds**2 + sigma**2
        logs = np.log(toy.weights) - 0.5 * np.log(2.0 * np.pi * v).sum(axis=1)
        gaps = y[:, None] - toy.means
        logits = logs - 0.5 * (gaps**2 / v).sum(axis=2)
        best = logits.real.argmax(axis=1)
        every = np.arange(len(y))
        peak = logits[every, best][:, None].real
        unnormalised = np.exp(logits - peak)
        total = unnormalised.sum(axis=1)
        shrink = toy.stds**2 / v
        # Differences from the likeliest component are formed before anything large is added.
        mean_gap = toy.means - toy.means[best][:, None]
        self.gap = (1.0 - shrink) * mean_gap + (shrink - shrink[best][:, None]) * gaps[every, best][
            :, None
        ]
        self.top = toy.means[best] + shrink[best] * gaps[every, best]
        self.r = unnormalised / total[:, None]
        self.own = toy.stds**2 * sigma**2 / v
        self.scores = -gaps / v
        self.log_p = peak[:, 0] + np.log(total)

    @property
    def offset(self) -> Numbers:
        """E[x0 | x] minus the likeliest component's posterior mean, (n, d)."""
        return np.asarray(np.einsum("nk,nkd->nd", self.r, self.gap))

    @property
    def mean(self) -> Numbers:
        """E[x0 | x], (n, d)."""
        return np.asarray(self.top + self.offset)

    @property
    def score(self) -> Numbers:
        """Gradient of log p, (n, d)."""
        return np.asarray(np.einsum("nk,nkd->nd", self.r, self.scores))

    def second_moment(self, about: Numbers | None = None) -> Numbers:
        """E[|x0 - a|^2 | x], (n,), about points a, (n, d). Default: about E[x0 | x]."""
        shift = self.offset if about is None else about - self.top
        spread = (self.gap - shift[:, None]) ** 2 + self.own
        return np.asarray(np.einsum("nk,nkd->n", self.r, spread))

    def label_entropy(self) -> Array:
        """Entropy of the component given x, (n,), in nats, accurate for small values too."""
        r = self.r.real
        best = r.argmax(axis=1)
        rest = r.copy()
        rest[np.arange(len(r)), best] = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            small = np.where(rest > 0, -rest * np.log(rest), 0.0).sum(axis=1)
        others = rest.sum(axis=1)
        return np.asarray(small - (1.0 - others) * np.log1p(-others))


def denoiser_slope(toy: Mixture, x: Array, sigma: float) -> Array:
    """Derivative of E[x0 | x] in x, shape (n,) for d = 1 and (n, d, d) otherwise."""
    y = x[:, None] if x.ndim == 1 else x
    out = np.empty((*y.shape, y.shape[1]))
    for j in range(y.shape[1]):
        moved = y.astype(complex)
        moved[:, j] += 1j * STEP
        p = Posterior(toy, moved, sigma)
        out[:, :, j] = (p.offset.imag + p.top.imag) / STEP
    return out[:, 0, 0] if x.ndim == 1 or y.shape[1] == 1 else out


def score_slope(toy: Mixture, x: Array, sigma: float) -> Array:
    """Hessian of log p, in the shape of `denoiser_slope`, from the components' own scores."""
    y = x[:, None] if x.ndim == 1 else x
    out = np.empty((*y.shape, y.shape[1]))
    for j in range(y.shape[1]):
        moved = y.astype(complex)
        moved[:, j] += 1j * STEP
        out[:, :, j] = Posterior(toy, moved, sigma).score.imag / STEP
    return out[:, 0, 0] if x.ndim == 1 or y.shape[1] == 1 else out
