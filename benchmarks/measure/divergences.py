"""Divergences between the data and a 1-D sampler, from its exact law.

The data are those at the sampler's last level, x0 + table.end eps. Points after a last level of 0
are compared by bins around them. KL in nats, its direction in the name.
"""

from collections.abc import Mapping

import numpy as np

from benchmarks.measure.functionals import NO_MASS, ByBins, ByDensity
from benchmarks.measure.measured import Measured, without
from theory.checks import Array, number, one_of
from theory.solvers.reducing import Solver, check_solver
from toys.files import as_mixture
from toys.information.quadrature import integrals
from toys.laws.passes import ATOL, Functional, Passes, Settled, settle
from toys.laws.transported import DATA_REACH, data_cuts
from toys.mixture import Mixture

# The metrics with their default relative tolerances.
METRICS = {
    "kl_data_model": 1e-8,
    "kl_discretisation": 1e-8,
    "kl_start": 1e-10,
    "tv": 1e-5,
    "w1": 1e-5,
}
UNKNOWN = 0.01  # relative error of tv or w1 beyond which there is no value
NO_W1 = "points without noise are compared by bins"


def measures(
    mixture: str | Mixture,
    table: Solver,
    start: str = "noise",
    metrics: Mapping[str, float] | None = None,
    model: Mixture | None = None,
    blur: float = 0.0,
) -> dict[str, Measured]:
    """Divergences of data and sampler, all settled together.

    "kl_data_model" is KL(data || sampler), and "kl_discretisation" the same for a sampler that
    starts from the true law at the first level. "kl_start" is the KL of that law from the initial
    noise, 0 if the sampler starts from it. "tv" and "w1" are the total variation and the
    Wasserstein-1 distance. One that does not settle has no value and leaves the others alone.

    Args:
        mixture: One-dimensional data; also the name of a toy, or a mixture file.
        table: The solver.
        start: "noise" for the solver's own initial noise, or "data" for the true law there.
        metrics: Names of the metrics with their relative tolerances. Default: `METRICS`. That of
            "kl_start" is always met.
        model: Mixture whose exact denoiser the sampler calls. Default: the data.
        blur: Standard deviation of a Gaussian with which the sampler's law is blurred before the
            comparison, as in paper A's kernel estimate.

    Returns:
        The metrics by name, in the order of `metrics`.

    Raises:
        ValueError: An argument is invalid, the mixture has more than one dimension, or the solver
            has no exact law.
    """
    data = as_mixture(mixture)
    check_solver(table)
    one_of("start", start, ("noise", "data"))
    check_terminal(data, table.end)
    wanted = METRICS if metrics is None else metrics
    for name, rtol in wanted.items():
        one_of("metrics", name, METRICS)
        number("rtol", rtol, 1e-13)
    by = ByBins(data) if table.end == 0 and data.is_points else ByDensity(data, table.end)
    truth: str | Mixture = "data" if model is None else data
    begin = truth if start == "data" else start
    functionals: dict[str, Functional] = {}
    for name, rtol in wanted.items():
        if name.startswith("kl") and name != "kl_start":
            functionals[name] = Functional(by.kl, rtol, begin if name == "kl_data_model" else truth)
        elif name == "tv":
            functionals[name] = Functional(by.tv, rtol, begin)
        elif name == "w1" and isinstance(by, ByDensity):
            functionals[name] = Functional(by.w1, rtol, begin)
    rtol = min((f.rtol for f in functionals.values()), default=1e-8)
    passes = Passes(data if model is None else model, table, rtol, blur)
    settled = settle(passes, functionals)
    found = {name: _measured(name, outcome, by) for name, outcome in settled.items()}
    if "kl_start" in wanted:
        same = (0.0, 0.0)
        kl = same if start == "data" else start_kl(data, table.begin, table.start_std)
        found["kl_start"] = Measured(*kl, route="quadrature")
    return {name: found.get(name, without(NO_W1, "bins")) for name in wanted}


def exact_kl(
    mixture: str | Mixture,
    table: Solver,
    start: str = "noise",
    rtol: float = 1e-8,
    model: Mixture | None = None,
) -> Measured:
    """KL(data || sampler) of a 1-D sampler, in nats; see `measures`.

    Args:
        mixture: One-dimensional data; also the name of a toy, or a mixture file.
        table: The solver.
        start: "noise" for the solver's own initial noise, or "data" for the true law there.
        rtol: Relative tolerance.
        model: Mixture whose exact denoiser the sampler calls. Default: the data.

    Raises:
        ValueError: As for `measures`, and if the KL does not settle.
    """
    name = "kl_data_model"
    return measures(mixture, table, start, {name: rtol}, model)[name].known()


def _measured(name: str, settled: Settled, by: ByBins | ByDensity) -> Measured:
    """What a functional of a law has given."""
    route = "bins" if isinstance(by, ByBins) else "exact law"
    if settled.value is None:
        return without(settled.reason or "", route)
    law = settled.law
    empty = by.empty(law) if isinstance(by, ByBins) and law is not None else None
    if np.isinf(settled.value):
        reason = f"{empty} empty bins" if empty else NO_MASS
        return Measured(None, 0.0, route=route, reason=reason, empty_bins=empty)
    error = settled.error
    if name in ("tv", "w1") and isinstance(by, ByDensity) and law is not None:
        error += by.slack(name, law)
        if error > UNKNOWN * abs(settled.value) + ATOL:
            return without(
                f"{name} must be known to {UNKNOWN:.0%}, got {settled.value:.3g} +- {error:.2g}: "
                "the law is too narrow for the quadrature; use Monte Carlo (paths)",
                route,
            )
    return Measured(settled.value, error, route=route, empty_bins=empty)


def start_kl(toy: Mixture, sigma: float, start_std: float) -> tuple[float, float]:
    """KL of x0 + sigma eps (1-D) from the start N(0, start_std^2), in nats, and its error."""

    def f(y: Array) -> Array:
        log_p = toy.log_density(y, sigma)
        log_q = -0.5 * (y / start_std) ** 2 - np.log(start_std) - 0.5 * np.log(2 * np.pi)
        # p log(p/q) - p + q >= 0 integrates to the KL and does not cancel where p is near q.
        return _excess(log_p, log_q)[None]

    std = float(np.hypot(toy.noisy_stds(sigma).max(), start_std))
    centre = float(toy.mean[0])
    far = DATA_REACH * std + float(np.abs(toy.means - centre).max())
    cuts = np.unique(np.concatenate([data_cuts(toy, sigma), [centre - far, centre + far]]))
    value, error = integrals(f, cuts, 1e-10, 1e-16)
    return float(value[0]), float(error[0])


def _excess(log_p: Array, log_q: Array) -> Array:
    """P log(p/q) - p + q >= 0, without cancellation where p is near q."""
    t = log_p - log_q
    near = np.abs(t) < 1e-2
    small = np.where(near, t, 0.0)
    # q (t e^t - e^t + 1) by series; directly elsewhere.
    series = small**2 * (0.5 + small * (1 / 3 + small * (1 / 8 + small * (1 / 30 + small / 144))))
    with np.errstate(over="ignore", invalid="ignore"):
        direct = np.exp(log_p) * (t - 1.0) + np.exp(log_q)
    return np.where(near, np.exp(log_q) * series, direct)


def check_terminal(toy: Mixture, sigma_end: float) -> None:
    """Refuse mixtures of points and densities where no noise is left on the data."""
    if sigma_end == 0 and not toy.is_points and not toy.has_density:
        raise ValueError(
            "terminal must be 'stop' where some stds are 0 and some positive, got 'zero'; "
            "the data have neither bins nor a density"
        )
