"""Cases of a claim: a mixture, a falling grid of noise levels, and a wrong denoiser.

A case comes from the papers' own targets, at random from (domain, seed), from a user's mixture, or
from a saved counterexample. Domains: "line" (1-D, any stds), "density" (1-D, every std positive),
"points" (1-D, every std 0), "several" (1-D, points or densities with at least two components),
"gaussian" (1-D, one component at 0), "space" (d = 2 to 4), "discrete" (points, d = 1 to 4), and
"none" (a statement without data; the case is a formality that carries grid and seed).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from theory.checks import Array
from theory.reading import numbers, read_json, write_json
from toys import zoo
from toys.files import parse_toy
from toys.information.wrong import WrongDenoiser
from toys.mixture import Mixture

SIGMA_RANGE = (1e-3, 1e3)
MOST_COMPONENTS = 12
MOST_STEPS = 8
TARGETS = {
    "line": ("two_points", "points15", "gaussians15_narrow", "gaussians15_overlap", "gaussian"),
    "density": ("gaussians15_narrow", "gaussians15_overlap", "gaussian"),
    "points": ("two_points", "points15"),
    "several": ("two_points", "points15", "gaussians15_narrow", "gaussians15_overlap"),
    "gaussian": ("gaussian",),
    "space": ("circle8", "grid8"),
    "discrete": ("two_points", "points15"),
    "none": ("gaussian",),
}
FITS: dict[str, Callable[[Mixture], bool]] = {
    "line": lambda toy: toy.dim == 1,
    "density": lambda toy: toy.dim == 1 and toy.has_density,
    "points": lambda toy: toy.dim == 1 and toy.is_points,
    "several": lambda toy: toy.dim == 1 and toy.size > 1 and (toy.is_points or toy.has_density),
    "gaussian": lambda toy: toy.dim == 1 and toy.size == 1 and toy.has_density,
    "space": lambda toy: toy.dim > 1,
    "discrete": lambda toy: toy.is_points,
    "none": lambda toy: True,
}


@dataclass(frozen=True, eq=False)
class Case:
    """What one evaluation of a claim takes.

    Args:
        name: Origin of the case: a target's name, "random 17", "user 17" or "saved".
        toy: The data.
        sigmas: Noise levels, shape (n_steps + 1,), n_steps in 1..8, falling, positive, data units.
        wrong: A scaled and tilted denoiser of another mixture, which models a learned denoiser.
        seed: Seed of all other random draws of the claim, in [0, 2**32).
    """

    name: str
    toy: Mixture
    sigmas: Array
    wrong: WrongDenoiser
    seed: int

    @property
    def sigma(self) -> float:
        """The middle level of the grid."""
        return float(self.sigmas[self.sigmas.size // 2])

    @property
    def rng(self) -> np.random.Generator:
        """A new generator with the case's seed."""
        return np.random.default_rng(self.seed)

    def states(self, n: int = 40) -> Array:
        """Noisy states x0 + sigma eps at the case's sigma, shape (n, d)."""
        return self.toy.sample_noisy(n, self.sigma, self.seed)


def random_mixture(domain: str, rng: np.random.Generator) -> Mixture:
    """A mixture of the domain: 1 to 12 components, stds from 0 to 1, means of spread about 1."""
    d = 1
    if domain in ("space", "discrete"):
        d = int(rng.integers(2 if domain == "space" else 1, 5))
    k = int(rng.integers(2 if domain == "several" else 1, MOST_COMPONENTS + 1))
    stds = 10.0 ** rng.uniform(-2.5, 0.0, k)
    kind = rng.random()
    if domain in ("points", "discrete") or (domain in ("line", "space", "several") and kind < 0.3):
        stds[:] = 0.0
    elif domain in ("line", "space") and kind < 0.6:
        stds[rng.random(k) < 0.4] = 0.0
    weights = rng.dirichlet(np.full(k, 2.0)) + 1e-3
    means = rng.normal(0.0, 1.0, (k, d)) * 10.0 ** rng.uniform(-0.3, 0.3)
    if domain == "gaussian":
        weights, means, stds = np.ones(1), np.zeros((1, 1)), 10.0 ** rng.uniform(-1.0, 0.3, 1)
    return Mixture(weights, means, stds)


def random_sigmas(rng: np.random.Generator, low: float, high: float) -> Array:
    """2 to 9 falling levels in [low, high], unevenly spaced in log sigma, at least 3 % apart."""
    n = int(rng.integers(1, MOST_STEPS + 1))
    share = rng.dirichlet(np.full(n, 2.0)) + 0.05
    share /= share.sum()
    top, bottom = np.log(high), np.log(low)
    wide = rng.uniform(0.03 / share.min(), top - bottom)
    start = rng.uniform(bottom + wide, top)
    return np.asarray(np.exp(start - wide * np.concatenate([[0.0], np.cumsum(share)])))


def random_wrong(toy: Mixture, rng: np.random.Generator) -> WrongDenoiser:
    """The denoiser of a perturbed mixture with positive stds, slightly scaled and tilted."""
    means = toy.means + 0.2 * rng.normal(size=toy.means.shape)
    stds = 0.1 + 0.9 * rng.random(toy.size)
    model = Mixture(rng.dirichlet(np.full(toy.size, 3.0)) + 1e-2, means, stds)
    return WrongDenoiser(model, float(rng.uniform(0.8, 1.1)), float(rng.uniform(-0.05, 0.05)))


def random_case(
    domain: str,
    seed: int,
    low: float = SIGMA_RANGE[0],
    high: float = SIGMA_RANGE[1],
    toy: Mixture | None = None,
) -> Case:
    """The case of a domain and a seed, a pure function of both; `toy` replaces its mixture."""
    rng = np.random.default_rng(seed)
    drawn = random_mixture(domain, rng)
    data = drawn if toy is None else toy
    name = f"random {seed}" if toy is None else f"user {seed}"
    return Case(name, data, random_sigmas(rng, low, high), random_wrong(data, rng), seed)


def target_cases(
    domain: str, low: float = SIGMA_RANGE[0], high: float = SIGMA_RANGE[1]
) -> list[Case]:
    """The papers' own targets that belong to a domain, each on its own grid."""
    cases = []
    for i, name in enumerate(TARGETS[domain]):
        case = random_case(domain, i, low, high, zoo.toy(name))
        cases.append(Case(name, case.toy, case.sigmas, case.wrong, case.seed))
    return cases


def save_case(path: Path, case: Case, fields: dict[str, Any]) -> None:
    """Write a case and further fields as JSON."""
    wrong = case.wrong
    write_json(
        path,
        {
            "kind": "counterexample",
            **fields,
            "mixture": case.toy.to_dict(),
            "sigmas": case.sigmas.tolist(),
            "wrong": {"model": wrong.model.to_dict(), "scale": wrong.scale, "tilt": wrong.tilt},
            "seed": case.seed,
        },
    )


def load_case(path: Path) -> tuple[Case, dict[str, Any]]:
    """A saved case and all fields of its file."""
    fields = read_json(path, "counterexample", ("claim", "mixture", "sigmas", "wrong", "seed"))
    wrong = fields["wrong"]
    case = Case(
        "saved",
        _mixture(fields["mixture"]),
        numbers(fields, "sigmas"),
        WrongDenoiser(_mixture(wrong["model"]), wrong["scale"], wrong["tilt"]),
        int(fields["seed"]),
    )
    return case, fields


def _mixture(fields: dict[str, Any]) -> Mixture:
    return parse_toy(json.dumps(fields))
