"""Paper B's pathwise KL and the KL of the terminal laws, both exact, in one dimension."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.measure import divergences
from theory.bounds import approximation_error, discretisation_error
from theory.checks import Array
from theory.solvers.ddim import stochastic_ddim_table
from theory.versions import versions
from toys.files import load_toy
from toys.information import information
from toys.information.wrong import WrongDenoiser
from toys.laws.law import settle
from toys.mixture import Mixture


@dataclass(frozen=True)
class Pathwise:
    """Stochastic DDIM's pathwise KL (B (3.3), (3.4), (4.1)) and KL(data || sampler), start "data".

    Args:
        toy: Name in the zoo, or the text of a mixture file; one-dimensional, not points.
        schedule: Name of the schedule; it only labels the row.
        sigmas: The levels, falling, all positive.
        rtol: Tolerance of the exact law.
    """

    toy: str
    schedule: str
    sigmas: tuple[float, ...]
    rtol: float = 1e-5

    def run(self) -> dict[str, Any]:
        """One tidy row."""
        toy, sigmas = load_toy(self.toy), np.array(self.sigmas)
        found = terminal_kl(toy, sigmas, rtol=self.rtol)
        return {
            "toy": self.toy,
            "process": "edm",
            "schedule": self.schedule,
            "solver": "stochastic_ddim",
            "n_steps": sigmas.size - 1,
            "nfe": sigmas.size - 1,
            "terminal": "stop",
            "start": "data",
            "sigma_max": float(sigmas[0]),
            "sigma_min": float(sigmas[-1]),
            "kl_data_model": found.kl_data_model,
            "error": found.error,
            "stderr": 0.0,
            "pathwise_kl": float(np.sum(split(toy, sigmas)[0])),
            "seed": None,
        } | versions()


def split(toy: Mixture, sigmas: Array, wrong: WrongDenoiser | None = None) -> tuple[Array, Array]:
    """E_disc and E_approx of every step, shape (n_steps,) each, exact for 1-D mixtures."""
    curves = information.curves(toy, sigmas)
    disc = discretisation_error(sigmas, curves.mmse, -curves.mutual_information)
    errors = np.zeros(sigmas.size)
    if wrong is not None:
        errors[:-1] = [wrong.error(toy, s) for s in sigmas[:-1].tolist()]
    return disc, approximation_error(sigmas, errors)


def terminal_kl(
    toy: Mixture,
    sigmas: Array,
    wrong: WrongDenoiser | None = None,
    start: str = "data",
    rtol: float = 1e-8,
) -> divergences.Divergence:
    """KL(data || sampler) at the last level of stochastic DDIM, with an exact or wrong denoiser.

    Args:
        toy: One-dimensional data.
        sigmas: Levels, falling, all positive.
        wrong: Denoiser of the sampler. Default: the exact one.
        start: "data", the true law at sigmas[0], or "noise", N(0, sigmas[0]^2).
        rtol: Tolerance of the exact law.
    """
    table = stochastic_ddim_table(sigmas)
    if wrong is None:
        return divergences.exact_kl(toy, table, start, rtol)
    functional = partial(divergences.kl_to_law, toy, float(sigmas[-1]))
    begin: str | Mixture = toy if start == "data" else start
    found = settle(wrong.model, wrong.applied(table), functional, begin, rtol)
    return divergences.Divergence(found.value, found.error)
