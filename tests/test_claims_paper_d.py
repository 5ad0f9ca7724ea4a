"""Paper D's claims on random cases, its counterexamples, and faults planted under its measures."""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from benchmarks.claims import channel as shared
from benchmarks.claims import (
    d_channel,
    d_empirical,
    d_gate,
    d_info_grid,
    d_pivot,
    d_points,
    d_schedule,
    d_softmax,
)
from benchmarks.claims.cases import Case, random_case, target_cases
from benchmarks.claims.ledger import KINDS, Claim, verify
from benchmarks.claims.paper_d import CLAIMS
from tests.strategies import seeds
from theory.noise.processes import VP
from toys.information import information
from toys.mixture import Mixture

BY_ID = {claim.id: claim for claim in CLAIMS}
OFF = [claim for claim in CLAIMS if claim.routes is not None]
HOLDING = [claim for claim in CLAIMS if claim.routes is None and not claim.command]
SECONDS = {"D.infogrid.toys", "D.B4.slope", "D.18.points", "D.fig9.points"}  # seconds per case
ONCE = [claim for claim in HOLDING if claim.most is not None]
OFTEN = [claim for claim in HOLDING if claim.most is None]
EQUATIONS = range(1, 55)
# Stated once, under the number of the equation they repeat.
REPEATED = {20: 1, 24: 10, 27: 11, 29: 30, 39: 40, 45: 46}


def case_of(claim: Claim, seed: int) -> Case:
    return random_case(claim.domain, seed, claim.low, claim.high)


@pytest.mark.parametrize("claim", OFTEN, ids=lambda c: c.id)
@given(seed=seeds)
@settings(max_examples=2, deadline=None, derandomize=True)
def test_claim_holds_on_random_cases(claim: Claim, seed: int) -> None:
    reading = claim.measure(case_of(claim, seed))
    assert reading.value <= claim.tolerance, reading


@pytest.mark.parametrize(
    "claim",
    [pytest.param(c, marks=pytest.mark.slow if c.id in SECONDS else ()) for c in ONCE],
    ids=lambda c: c.id,
)
def test_costly_claim_holds_on_a_random_case(claim: Claim) -> None:
    reading = claim.measure(case_of(claim, 3))
    assert reading.value <= claim.tolerance, reading


@pytest.mark.parametrize("claim", OFF, ids=lambda c: c.id)
def test_refuted_claim_has_a_counterexample_that_two_routes_confirm(claim: Claim) -> None:
    assert verify(claim).good


@pytest.mark.parametrize("claim", OFF, ids=lambda c: c.id)
def test_corrected_claim_holds_on_a_random_case(claim: Claim) -> None:
    assert claim.corrected is not None
    assert claim.correction
    for case in (case_of(claim, 5), target_cases(claim.domain, claim.low, claim.high)[0]):
        reading = claim.corrected(case)
        assert reading.value <= claim.tolerance, reading


def test_every_numbered_equation_has_a_row() -> None:
    numbers = " ".join(claim.number for claim in CLAIMS)
    for equation in EQUATIONS:
        assert f"({equation})" in numbers, equation
        assert f"D.{REPEATED.get(equation, equation)}" in BY_ID, equation


def test_records_travel_between_processes() -> None:
    assert [claim.id for claim in pickle.loads(pickle.dumps(CLAIMS))] == list(BY_ID)


def test_records_are_complete() -> None:
    assert len(BY_ID) == len(CLAIMS)
    for claim in CLAIMS:
        assert claim.id.startswith("D.")
        assert claim.kind in KINDS
        assert claim.statement.endswith(".")
        assert (claim.corrected is None) == (claim.correction == "") == (claim.routes is None)


def test_published_claims_name_the_command_that_decides_them() -> None:
    waiting = [claim for claim in CLAIMS if claim.command]
    assert len(waiting) >= 8
    for claim in waiting:
        assert claim.command.startswith("entropic ")
        assert np.isfinite(claim.measure(case_of(claim, 0)).value)


def factor(share: float) -> Callable[[Any], Any]:
    """A fault: the result times a number."""

    def plant(function: Any) -> Any:
        return lambda *args, **kwargs: share * function(*args, **kwargs)

    return plant


def sign(function: Any) -> Any:
    return lambda *args, **kwargs: -function(*args, **kwargs)


def power(function: Any) -> Any:
    """A fault of the gate: one power too many."""
    return lambda sigma, c, n=3.0: function(sigma, c, n + 1.0)


def moved(function: Any) -> Any:
    """A fault of a schedule: its inner levels 1e-6 too high."""

    def plant(*args: Any, **kwargs: Any) -> Any:
        levels = np.array(function(*args, **kwargs))
        levels[1:-1] *= 1.0 + 1e-6
        return levels

    return plant


def uneven(function: Any) -> Any:
    """A fault that grows with every call: the two sides of an identity no longer agree."""
    calls = iter(range(1000))
    return lambda *args: (1.0 + 1e-6 * next(calls)) * function(*args)


def wider(function: Any) -> Any:
    """A fault of EDM's weight: its spread 1 % too wide."""
    return lambda s, r, p, d, w: function(s, r, p, d, 1.01 * w)


def evenly(function: Any) -> Any:
    """A fault of a schedule: uniform in log sigma."""
    return lambda n, high, low, **kwargs: np.geomspace(high, low, n + 1)


SLIGHT = factor(1.0 + 1e-7)
FAULTS: list[tuple[str, Any, str, Callable[[Any], Any]]] = [
    ("D.1", Mixture, "log_density", factor(1.0 + 1e-6)),
    ("D.2", Mixture, "log_density", factor(1.0 + 1e-6)),
    ("D.3", Mixture, "score", sign),
    ("D.3", Mixture, "score", SLIGHT),
    ("D.4", d_channel, "flow", SLIGHT),
    ("D.4.weak", Mixture, "score", SLIGHT),
    ("D.6", VP, "dsigma_dtime", SLIGHT),
    ("D.7", d_schedule, "gaussian_mmse", uneven),
    ("D.7", d_schedule, "x0_risks", wider),
    ("D.8", information, "conditional_entropy", SLIGHT),
    ("D.9", information, "mutual_information", SLIGHT),
    ("D.10", information, "mmse", SLIGHT),
    ("D.10.bound", information, "mmse", factor(50.0)),
    ("D.11", information, "mmse", SLIGHT),
    ("D.12", information, "entropy_rate", SLIGHT),
    ("D.12.weighted", shared, "x0_risks", wider),
    ("D.13", d_schedule, "gate", power),
    ("D.13", d_schedule, "gaussian_mmse", SLIGHT),
    ("D.14", d_schedule, "entropic_sigmas", moved),
    ("D.15", d_schedule, "entropic_sigmas", moved),
    ("D.16", d_schedule, "rate_sigmas", moved),
    ("D.16", d_schedule, "gate", power),
    ("D.16", d_schedule, "x0_risks", wider),
    ("D.16", d_schedule, "entropic_sigmas", moved),
    ("D.17", d_gate, "gate", power),
    ("D.18", d_pivot, "onset_pivot", SLIGHT),
    ("D.18.scan", d_pivot, "gate", factor(0.9)),
    ("D.18.scan", d_pivot, "onset_pivot", factor(0.01)),
    ("D.18.points", d_pivot, "gate", factor(1.01)),
    ("D.18.values", d_pivot, "gaussian_entropy_rate", lambda f: lambda s, c: f(s, c) * s),
    ("D.19", d_info_grid, "rescaled_sigmas", moved),
    ("D.21", Mixture, "log_density", SLIGHT),
    ("D.22", Mixture, "denoise", SLIGHT),
    ("D.23", information, "mmse", SLIGHT),
    ("D.25", Mixture, "scaled", lambda f: lambda toy, shift, k: f(toy, shift, 1.0001 * k)),
    ("D.26", information, "mmse", factor(0.5)),
    ("D.28", information, "mmse", SLIGHT),
    ("D.30", Mixture, "log_density", SLIGHT),
    ("D.31", Mixture, "responsibilities", SLIGHT),
    ("D.32", Mixture, "denoise", SLIGHT),
    ("D.33", Mixture, "posterior_variance", SLIGHT),
    ("D.33", Mixture, "posterior_frobenius", SLIGHT),
    ("D.34", Mixture, "posterior_variance", factor(1.5)),
    ("D.35", Mixture, "log_density", SLIGHT),
    ("D.36", Mixture, "score", SLIGHT),
    ("D.37", Mixture, "denoise", factor(1.001)),
    ("D.38", Mixture, "posterior_variance", factor(1.0 + 1e-5)),
    ("D.40", Mixture, "log_density", SLIGHT),
    ("D.41", Mixture, "responsibilities", SLIGHT),
    ("D.42", Mixture, "denoise", SLIGHT),
    ("D.43", information, "mmse", SLIGHT),
    ("D.44", Mixture, "score", SLIGHT),
    ("D.46", Mixture, "denoise", factor(1.03)),
    ("D.47", Mixture, "posterior_variance", SLIGHT),
    ("D.47.modes", Mixture, "score", sign),
    ("D.48", information, "entropy_rate", factor(1.02)),
    ("D.48", information, "entropy_rate", factor(0.98)),
    ("D.48.remainder", information, "entropy_rate", SLIGHT),
    ("D.48.entropy", information, "mutual_information", factor(2.0)),
    ("D.49.exact", information, "log_mmse", lambda f: lambda toy, s: f(toy, s) + 5.0),
    ("D.49.residual", information, "mmse", factor(50.0)),
    ("D.50", d_gate, "gate", power),
    ("D.51", d_gate, "gate", power),
    ("D.51.points", d_gate, "gate", power),
    ("D.fig9.points", d_empirical, "entropic_sigmas", evenly),
    ("D.52", d_gate, "x0_risks", lambda f: lambda s, r, p, d, w: f(s, r, "eps", d)),
    ("D.53", d_gate, "gate", power),
    ("D.B4.slope", d_pivot, "power_law_pivot", factor(2.0)),
    ("D.54", Mixture, "responsibilities", lambda f: lambda toy, x, s: f(toy, x, 1.001 * s)),
    ("D.54.stable", d_points, "logsumexp", SLIGHT),
    ("D.54.stable", Mixture, "responsibilities", SLIGHT),
    ("D.54.float32", d_softmax, "single_precision_error", SLIGHT),
    ("D.window", information, "log_mmse", factor(1.001)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target", "attribute", "fault"), FAULTS)
def test_a_planted_fault_shows(
    name: str,
    target: Any,
    attribute: str,
    fault: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claim = BY_ID[name]
    case = middle_case(claim)
    assert claim.measure(case).value <= claim.tolerance
    monkeypatch.setattr(target, attribute, fault(getattr(target, attribute)))
    assert claim.measure(case).value > claim.tolerance


# Levels at which the 1-D targets are neither noise nor points; limiting laws need lower levels.
MIDDLE = (2.0, 1.0, 0.6, 0.4)
LEVELS = {
    "D.34": (5.0, 4.0, 3.0, 2.0),
    "D.48": (0.003, 0.002, 0.001),
    "D.51": (0.003, 0.002, 0.001),
}


def middle_case(claim: Claim) -> Case:
    """The domain's first target at levels where a fault can show."""
    case = target_cases(claim.domain, claim.low, claim.high)[0]
    sigmas = np.array(LEVELS.get(claim.id, MIDDLE))
    return Case(case.name, case.toy, sigmas, case.wrong, 7)


def test_the_suites_table_walks_heun() -> None:
    toy = Mixture([1, 2], [-1, 1], [0.3, 0.2])
    x = np.linspace(-100.0, 100.0, 7)
    grid = np.array([80.0, 5.0, 1.0, 0.1, 0.0])
    ours, table = (walk(toy, grid, x) for walk in (d_empirical.walk, d_empirical.walk_table))
    np.testing.assert_allclose(ours, table, rtol=1e-12, atol=1e-12)


def test_walkers_that_part_count_against_info_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    claim = BY_ID["D.infogrid.toys"]
    monkeypatch.setattr(d_empirical, "MIXTURES", 1)
    assert claim.measure(middle_case(claim)).value <= claim.tolerance
    monkeypatch.setattr(d_empirical, "walk", factor(1.001)(d_empirical.walk))
    assert claim.measure(middle_case(claim)).value > claim.tolerance


def test_the_slope_rule_finds_the_end_of_a_power_law() -> None:
    sigma = np.geomspace(1e-3, 10.0, 64)
    rate = 1e-4 * sigma**-3.0 + sigma**2.0
    # The slope leaves -3 by 0.25 where 5 s^5 / (1e-4 + s^5) = 0.25.
    exact = (1e-4 * 0.05 / 0.95) ** 0.2
    found = d_pivot.power_law_pivot(sigma, rate)
    assert abs(np.log(found / exact)) < 2.0 * np.log(sigma[1] / sigma[0])
    assert d_pivot.power_law_pivot(sigma, sigma**-3.0) == pytest.approx(10.0)
