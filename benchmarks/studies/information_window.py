"""Paper D's information window on two points."""

import numpy as np
import pandas as pd

from benchmarks.engine.store import Store
from theory.checks import Array
from theory.versions import versions
from toys import zoo
from toys.information import information


def information_window(budget: str, store: Store, jobs: int | None) -> pd.DataFrame:
    """Paper D Figs. 1 and 10 and eqs. (39)-(47), for two points at -1 and 1 (a = 1).

    Kind "field": marginal density, denoised value and posterior entropy over (sigma, x).
    Kind "curve": posterior entropy, its rates, the stable fixed point of the denoiser and the
    curvature of the log density at 0, over sigma.
    """
    toy = zoo.toy("two_points")
    n_sigma, n_x = (40, 41) if budget == "quick" else (160, 161)
    sigma = np.geomspace(0.1, 4.0, n_sigma)
    x = np.linspace(-3.0, 3.0, n_x)
    fields = []
    for s in sigma.tolist():
        r = toy.responsibilities(x, s)
        with np.errstate(divide="ignore", invalid="ignore"):
            unsure = -np.where(r > 0, r * np.log(r), 0.0).sum(axis=1)
        fields.append(
            pd.DataFrame(
                {
                    "kind": "field",
                    "sigma": s,
                    "x": x,
                    "density": np.exp(toy.log_density(x, s)),
                    "denoised": toy.denoise(x, s),
                    "posterior_entropy": unsure,
                }
            )
        )
    fine = np.geomspace(0.1, 4.0, 4 * n_sigma)
    curves = information.curves(toy, fine)
    line = pd.DataFrame(
        {
            "kind": "curve",
            "sigma": fine,
            "posterior_entropy": curves.conditional_entropy,
            "rate": curves.entropy_rate,
            "rate_log_sigma": curves.entropy_rate * fine,
            "fixed_point": stable_fixed_point(fine),
            "curvature_at_0": (1.0 / fine**2 - 1.0) / fine**2,
        }
    )
    return pd.concat([*fields, line], ignore_index=True).assign(toy="two_points", **versions())


def stable_fixed_point(sigma: Array) -> Array:
    """Largest solution of x = tanh(x / sigma^2) (eq. 45, a = 1), shape (m,); 0 for sigma >= 1.

    By bisection of x / artanh(x) = sigma^2, whose left side falls from 1 to 0 over x in (0, 1).
    """
    low, high = np.zeros_like(sigma), np.ones_like(sigma)
    for _ in range(80):
        middle = 0.5 * (low + high)
        with np.errstate(divide="ignore", invalid="ignore"):
            above = middle / np.arctanh(middle) > sigma**2
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    return np.where(sigma < 1.0, 0.5 * (low + high), 0.0)
