"""The schedule `optimal`: levels of least KL(data || sampler), from the data or from their profile.

A mixture is searched exactly (`benchmarks.optimum.exact`). A profile alone does not determine the
data, so that models of the data with the same profile stand for them. For many coordinates it is a
product of Gaussians, and where that does not fit also independent coordinates with the law of a
mixture that does: neither is known to be true, since coordinates may depend on each other. For one
coordinate it is a mixture fitted to the profile. Where the best levels of one model are bad for
another, the levels are those that minimise the mean of the divergences, each in units of its own
least one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np

from benchmarks.optimum import exact
from benchmarks.optimum.problem import Optimum, Problem, close_levels
from benchmarks.optimum.stand_in import StandIn, fit_stand_ins
from theory.checks import Array
from theory.profiles.profile import Profile
from theory.schedules.gaussian_sum import (
    GaussianSum,
    fit_gaussian_sum,
    gaussian_sum_optimum,
    gaussian_sum_starts,
)
from theory.schedules.search import Objective, descend
from theory.schedules.standard import log_snr_sigmas
from theory.schedules.time_change import covers
from theory.solvers.derivative import levels_gradient
from theory.solvers.gaussian_kl import gaussian_sum_kl

MISFIT, SURE = 0.005, 1.5  # relative misfit, and standard errors, beyond which Gaussians do not fit
VISIBLE = 0.05  # relative noise that a profile without standard errors may have
DISAGREE = 1.2  # factor in KL between models beyond which their levels are a compromise
NOTHING = 0.01  # share of the KL on levels uniform in log SNR below which nothing is to be gained
ROUGH = 1e-2  # derivatives of log KL that end the search for a model or a replicate
MODELS = 3  # largest number of stand-ins that are compared


@dataclass(frozen=True, eq=False)
class _Model:
    """A model of the data with its own best levels.

    Args:
        name: What it is, "Gaussians" or "stand-in".
        objective: Its divergence and the derivatives.
        sigmas: Its best levels.
        value: Its divergence there, in nats per coordinate.
        unit: The divergence that counts as least: its own, but not below a hundredth of that on
            levels uniform in log SNR, since optima of multistep solvers can all but vanish.
        inverse: What the search has learnt for similar ones (`theory.schedules.search.Minimum`).
        level: Pass of the exact law at which they were found; 0 for Gaussians.
    """

    name: str
    objective: Objective
    sigmas: Array
    value: float
    unit: float
    inverse: Array | None = None
    level: int = 0


class ProfileOptimum:
    """The best levels for data of which only the profile is known.

    Args:
        profile: Profile of the data.
        problem: The sampler and the range.
        stand_ins: Those of the profile, if they are known already.

    Raises:
        ValueError: The profile does not suffice for a fit.
    """

    def __init__(
        self, profile: Profile, problem: Problem, stand_ins: Sequence[StandIn] = ()
    ) -> None:
        span = problem.span
        covers("profile", float(profile.sigma[0]), float(profile.sigma[-1]), span)
        self._problem, self._profile = _drawing(problem, profile), profile
        self._gaussians: GaussianSum | None = None
        self._stand_ins: list[StandIn] = []
        self._inverse: Array | None = None
        models: list[_Model] = []
        has_law = exact.has_exact_law(problem)
        if profile.dim > 1 or not has_law:
            self._gaussians = fit_gaussian_sum(profile)
            models.append(self._gaussian_model(self._gaussians))
        if has_law and (self._gaussians is None or _misfits(self._gaussians)):
            self._stand_ins = list(stand_ins or _fitted(profile))[:MODELS]
            models += self._stand_in_models(self._stand_ins)
        self.optimum = self._chosen(models, profile.dim == 1 and not has_law)
        self._models = models if self.optimum.found["optimum"] == "compromise" else models[:1]

    def again(self, profile: Profile) -> Array:
        """The levels for a similar profile, such as a replicate: the search starts from these.

        Args:
            profile: Profile of the data.
        """
        problem = _drawing(self._problem, profile)
        objectives: list[Objective] = []
        if self._models[0].name == "Gaussians":
            objectives.append(_gaussian_objective(fit_gaussian_sum(profile), problem))
        levels = [model.level for model in self._models if model.name == "stand-in"]
        if levels:
            for known, level in zip(self._stand_ins, levels, strict=False):
                (fit,) = fit_stand_ins(_one(profile), starts=[known.mixture])
                objectives.append(exact.Objective(fit.mixture, problem, level))
        mean = _mean(objectives, [model.unit for model in self._models])
        begin, patience = self.optimum.sigmas, exact.IMPATIENT
        return descend(mean, begin, ROUGH, inverse=self._inverse, patience=patience).sigmas

    def _gaussian_model(self, fit: GaussianSum) -> _Model:
        make, start = self._problem.make, self._problem.sampler.start
        starts = gaussian_sum_starts(fit, make, self._problem.span, start)
        found = gaussian_sum_optimum(fit, make, starts, start)
        objective = _gaussian_objective(fit, self._problem)
        unit = self._unit(objective, found.value)
        return _Model("Gaussians", objective, found.sigmas, found.value, unit)

    def _unit(self, objective: Objective, value: float) -> float:
        """The divergence of a model that counts as its least one."""
        span = self._problem.span
        plain = log_snr_sigmas(span.n_steps, span.sigma_max, span.sigma_min, span.terminal)
        try:
            return max(value, NOTHING * objective(plain)[0])
        except ValueError:
            return value

    def _stand_in_models(self, fits: Sequence[StandIn]) -> list[_Model]:
        """The stand-ins with their best levels; other searches start from those of the first."""
        models: list[_Model] = []
        for fit in fits:
            data, problem = fit.mixture, self._problem
            if models:
                found, level = exact.minimum(
                    data, problem, models[0].sigmas, ROUGH, exact.IMPATIENT
                )
            else:
                found, level = exact.model_minimum(data, problem, ROUGH)
            objective = exact.Objective(data, problem, level)
            unit = self._unit(objective, found.value)
            here = objective, found.sigmas, found.value, unit, found.inverse, level
            models.append(_Model("stand-in", *here))
        return models

    def _chosen(self, models: list[_Model], lawless: bool) -> Optimum:
        """The levels of the only model, or the compromise, with what they rest on."""
        first = models[0]
        self._inverse = first.inverse
        found: dict[str, Any] = {"optimum": first.name, "models": [m.name for m in models]}
        warnings = []
        if self._gaussians is not None:
            found["misfit"] = self._gaussians.misfit
            found["misfit_error"] = self._gaussians.misfit_error
        if self._stand_ins:
            found["stand_in_misfit"] = self._stand_ins[0].misfit
            found["components"] = [fit.mixture.size for fit in self._stand_ins]
            warnings += _unlike(self._stand_ins[0], self._profile)
        if lawless:
            warnings.append(
                f"{self._problem.sampler.solver} has no exact law on mixtures: the levels are "
                "those for Gaussian data with this profile"
            )
        chosen = Optimum(first.sigmas, first.value)
        if len(models) > 1:
            worst = _disagreement(models)
            found["disagreement"] = worst if np.isfinite(worst) else None
            if worst > DISAGREE or self._gaussians is not None:
                chosen, excess = self._compromise(models)
                found |= {"optimum": "compromise", "excess_of_compromise": excess}
                warnings.append(self._warning(worst, 1.0 + max(excess)))
        values = [_value(m.objective, chosen.sigmas) for m in models]
        found["kl_per_coordinate"] = [v if np.isfinite(v) else None for v in values]
        warnings += close_levels(chosen.sigmas)
        return Optimum(chosen.sigmas, chosen.value, found, tuple(warnings))

    def _compromise(self, models: list[_Model]) -> tuple[Optimum, list[float]]:
        """The levels of least mean divergence, and the relative excess of each model there."""
        mean = _mean([m.objective for m in models], [m.unit for m in models])
        start = min((m.sigmas for m in models), key=partial(_value, mean))
        mixed = descend(mean, start, ROUGH, patience=exact.IMPATIENT)
        self._inverse = mixed.inverse
        excess = [max(m.objective(mixed.sigmas)[0] / m.unit - 1.0, 0.0) for m in models]
        return Optimum(mixed.sigmas, mixed.value), excess

    def _warning(self, worst: float, excess: float) -> str:
        """What a compromise between models means for the user."""
        factor = f"up to {worst:.3g}" if np.isfinite(worst) else "any number of"
        models = "different mixtures have this profile"
        if self._gaussians is not None:
            models = (
                f"a product of Gaussians misses this profile by {self._gaussians.misfit:.1%}, and "
                "independent equal mixtures have it, but the coordinates may depend on each other"
            )
        return (
            f"{models}; the best levels of one model give another {factor} times its least KL, and "
            f"the levels are a compromise, within {excess:.3g} times the least for each"
        )


def _drawing(problem: Problem, profile: Profile) -> Problem:
    """The problem with the profile that its solver draws on, if it does."""
    return replace(problem, risk=profile) if problem.draws_on_profile else problem


def _gaussian_objective(fit: GaussianSum, problem: Problem) -> Objective:
    """The divergence of a product of Gaussians, per coordinate, and its derivatives."""
    make, start = problem.make, problem.sampler.start

    def objective(sigmas: Array) -> tuple[float, Array]:
        kl, gradient = gaussian_sum_kl(make(sigmas), fit.weights, fit.scales, start)
        return kl, levels_gradient(make, sigmas, gradient)

    return objective


def _unlike(fit: StandIn, profile: Profile) -> list[str]:
    """A warning if the best stand-in does not have the profile, by more than the noise."""
    noise = 0.0 if fit.misfit_error is None else VISIBLE
    if profile.stderr is not None and profile.mmse.all():
        noise = float(np.sqrt(np.mean((profile.stderr / profile.mmse) ** 2)))
    misfit = np.sqrt(max(fit.misfit**2 - noise**2, 0.0))
    if misfit <= MISFIT + SURE * (fit.misfit_error or 0.0):
        return []
    return [
        f"no mixture has this profile: the nearest one found misses it by {misfit:.1%}; the levels "
        "are those of that mixture"
    ]


def _misfits(fit: GaussianSum) -> bool:
    """Whether a product of Gaussians does not have the profile of the data."""
    return fit.misfit > MISFIT + SURE * (fit.misfit_error or 0.0)


@lru_cache(maxsize=8)
def _fitted(profile: Profile) -> tuple[StandIn, ...]:
    """The stand-ins of a profile, kept for the next solver or number of steps."""
    return tuple(fit_stand_ins(_one(profile)))


def _one(profile: Profile) -> Profile:
    """The profile per coordinate, as that of data of one coordinate."""
    stderr = None if profile.stderr is None else profile.stderr / profile.dim
    return Profile(1, profile.sigma, profile.mmse / profile.dim, stderr, {})


def _disagreement(models: Sequence[_Model]) -> float:
    """The largest factor in KL of a model on the best levels of another over its own."""
    worst = 1.0
    for model in models:
        for other in models:
            if other is not model:
                worst = max(worst, _value(model.objective, other.sigmas) / model.unit)
    return worst


def _mean(objectives: Sequence[Objective], units: Sequence[float]) -> Objective:
    """The mean of divergences, each in its unit, with its derivatives."""

    def objective(sigmas: Array) -> tuple[float, Array]:
        parts = [one(sigmas) for one in objectives]
        value = float(np.mean([part[0] / unit for part, unit in zip(parts, units, strict=True)]))
        slopes = [part[1] / unit for part, unit in zip(parts, units, strict=True)]
        return value, np.asarray(np.mean(slopes, axis=0))

    return objective


def _value(objective: Objective, sigmas: Array) -> float:
    """The value of an objective; infinite where it has none."""
    try:
        return objective(sigmas)[0]
    except ValueError:
        return np.inf
