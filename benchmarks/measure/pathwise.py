"""Paper B's pathwise KL and the KL of the terminal laws, both exact, in one dimension."""

import numpy as np

from benchmarks.measure.divergences import exact_kl
from benchmarks.measure.measured import Measured
from theory.bounds import approximation_error, discretisation_error
from theory.checks import Array
from theory.solvers.ddim import stochastic_ddim_table
from toys.information import information
from toys.information.wrong import WrongDenoiser
from toys.mixture import Mixture


def pathwise_kl(toy: Mixture, sigmas: Array) -> Measured:
    """Pathwise KL of stochastic DDIM (paper B, (3.3), (3.4) and (4.1)), exact for 1-D mixtures.

    It is the sum of E_disc over the steps, for the exact denoiser and the true law as start.

    Args:
        toy: One-dimensional data, not points.
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing, all positive.
    """
    return Measured(float(np.sum(split(toy, sigmas)[0])), route="mmse")


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
) -> Measured:
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
        return exact_kl(toy, table, start, rtol)
    return exact_kl(toy, wrong.applied(table), start, rtol, wrong.model)
