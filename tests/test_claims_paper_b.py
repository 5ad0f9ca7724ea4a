"""Paper B's records: they hold on random cases, fail where they say so, and see planted faults."""

from collections.abc import Callable
from dataclasses import replace
from pkgutil import resolve_name

import numpy as np
import pytest
from hypothesis import given, settings

from benchmarks.claims import b_pathwise, b_tightness, ledger, paper_b
from benchmarks.claims.b_rates import flattened
from benchmarks.claims.cases import Case, load_case, random_case
from benchmarks.claims.ledger import Claim
from benchmarks.measure.mmse_slope import smallest_nu
from tests.strategies import seeds
from toys.mixture import Mixture

CLAIMS = {claim.id: claim for claim in paper_b.CLAIMS}
REFUTED = [claim for claim in paper_b.CLAIMS if claim.routes is not None]
QUICK = [c for c in paper_b.CLAIMS if c.most is None or c.most > 8]
SLOW = [c for c in paper_b.CLAIMS if c.most is not None and c.most <= 8 and c not in REFUTED]


def judged(claim: Claim, seed: int) -> None:
    measure = claim.corrected or claim.measure
    reading = measure(random_case(claim.domain, seed, claim.low, claim.high))
    if not claim.command:
        assert reading.value <= claim.tolerance, reading.detail


@pytest.mark.parametrize("claim", QUICK, ids=lambda c: c.id)
@given(seed=seeds)
@settings(max_examples=2)
def test_statement_holds_on_random_cases(claim: Claim, seed: int) -> None:
    judged(claim, seed)


@pytest.mark.parametrize("claim", SLOW, ids=lambda c: c.id)
def test_slow_statement_holds_on_a_random_case(claim: Claim) -> None:
    judged(claim, 11)


def test_every_record_is_one_of_a_kind_and_says_what_it_needs() -> None:
    assert len(CLAIMS) == len(paper_b.CLAIMS) >= 35
    for claim in paper_b.CLAIMS:
        assert claim.paper == "B"
        assert claim.kind in ledger.KINDS
        assert claim.statement.endswith((".", "..."))
        assert bool(claim.corrected) == bool(claim.routes) == bool(claim.correction)


@pytest.mark.slow
@pytest.mark.parametrize("claim", REFUTED, ids=lambda c: c.id)
def test_saved_counterexample_repeats_and_the_correction_holds_on_it(claim: Claim) -> None:
    found = ledger.verify(claim)
    assert found.good, found
    case, fields = load_case(claim.counterexample)
    assert fields["claim"] == claim.id
    assert fields["value"] == pytest.approx(found.value, rel=1e-6)
    assert claim.corrected is not None
    assert claim.corrected(case).value <= claim.tolerance


def double(value: object) -> object:
    return 2.0 * value  # type: ignore[operator]


def slightly(value: object) -> object:
    return value * (1.0 + 1e-6)  # type: ignore[operator]


B = "benchmarks.claims."
FAULTS = [
    ("B.tweedie", "toys.mixture.Mixture.score", double),
    ("B.step", B + "b_pathwise.stochastic_ddim_table", lambda t: _bent_table(t)),
    ("B.prop1", B + "b_pathwise.information.mutual_information", slightly),
    ("B.3.2", B + "b_pathwise.disc", double),
    ("B.data", B + "b_pathwise.disc", lambda v: 0.1 * v),
    ("B.cross", B + "b_pathwise.expect", slightly),
    ("B.3.3", B + "b_pathwise.errors", slightly),
    ("B.3.4", B + "b_pathwise.approximation_error", double),
    ("B.prop2", B + "b_pathwise.entropies", lambda v: (v[0], slightly(v[1]))),
    ("B.doob", "toys.mixture.Mixture.denoise", slightly),
    ("B.B.1", B + "b_pathwise.mismatch", double),
    ("B.def1", B + "b_entropy.information.entropy", slightly),
    ("B.def2", B + "b_entropy.information.renyi_entropy", slightly),
    ("B.prop8", B + "b_entropy.renyi_half_bound", lambda v: 0.9 * v),
    ("B.C.1", "toys.mixture.Mixture.responsibilities", lambda r: r**1.01),
    ("B.prop5", B + "b_posterior.steepness", double),
    ("B.C.3", B + "b_posterior.slope", double),
    ("B.C.4", "toys.mixture.Mixture.posterior_frobenius", double),
    ("B.4.3", B + "b_posterior.slope_bound", lambda v: 0.1 * v),
    ("B.C.9.constant", B + "b_posterior.mmse_slope_bound", double),
    ("B.C.7", B + "b_posterior.mmse_slope_bound", lambda v: 1e-4 * v),
    ("B.thm1", B + "b_rates.bounds.mmse_slope_bound", lambda v: 1e-4 * v),
    ("B.4.6.log", B + "b_rates.log_snr_sigmas", lambda s: s[0] * (s / s[0]) ** 1.01),
    ("B.4.6", B + "b_rates.log_snr_sigmas", lambda s: np.linspace(s[0], s[-1], s.size)),
    ("B.4.7.many", B + "b_rates.bounds.geometric_bound", double),
    ("B.prop3", B + "b_rates.bounds.geometric_approximation", slightly),
    ("B.prop4", B + "b_schedules.disc", double),
    ("B.5.1.constant", B + "b_schedules.risk", slightly),
    ("B.5.2.axis", B + "b_schedules.Saturating.phi", slightly),
    ("B.6.1", B + "b_schedules.Objective.__call__", slightly),
    ("B.alg1", B + "b_schedules.optimal_grid", lambda g: _worse(g)),
    ("B.alg2", B + "b_schedules.optimal_grid", lambda g: _worse(g)),
    ("B.gauss.levels", B + "b_schedules.las_sigmas", lambda s: s[0] * (s / s[0]) ** 1.001),
    ("B.rem6", B + "b_schedules.x0_risks", lambda v: (v[0], 2.0 * v[1])),
    ("B.klub", B + "b_schedules.gaussian_mmse", double),
    ("B.6.2", B + "b_tables.sde_dpmpp_2m_table", lambda t: _bent_table(t)),
]


def _bent_table(table: object) -> object:
    return replace(table, weights=1.001 * table.weights)  # type: ignore[type-var, attr-defined]


def _worse(grid: object) -> object:
    return replace(grid, value=1.001 * grid.value)  # type: ignore[type-var, attr-defined]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "target", "change"), FAULTS, ids=[f[0] for f in FAULTS])
def test_planted_fault_turns_a_reading_red(
    name: str,
    target: str,
    change: Callable[[object], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    claim = CLAIMS[name]
    cases = [random_case(claim.domain, seed, claim.low, claim.high) for seed in range(4)]
    parent, attribute = target.rsplit(".", 1)
    original = getattr(resolve_name(parent), attribute)
    monkeypatch.setattr(target, lambda *a, **k: change(original(*a, **k)))
    assert any(claim.measure(case).value > claim.tolerance for case in cases)


def test_least_nu_of_two_points_in_closed_form() -> None:
    # p = (1/2, 1/2): nothing deviates. Else nu is at least iota's std, at most half its range.
    assert smallest_nu(np.array([0.5, 0.5])) == 0.0
    q = 0.2
    spread = np.sqrt(q * (1 - q)) * np.log((1 - q) / q)
    assert smallest_nu(np.array([q, 1 - q])) >= spread
    assert smallest_nu(np.array([q, 1 - q])) <= 0.5 * np.log((1 - q) / q)


def test_points_in_many_dimensions_keep_their_distances_when_flattened() -> None:
    points = np.random.default_rng(0).normal(size=(5, 400))
    flat = flattened(points)
    assert flat.shape == (5, 5)
    apart = np.linalg.norm(points[:, None] - points, axis=2)
    np.testing.assert_allclose(np.linalg.norm(flat[:, None] - flat, axis=2), apart, rtol=1e-12)


def test_published_findings_stand_in_the_details() -> None:
    case = random_case("none", 0)
    assert "10 of 12" in CLAIMS["B.toy.quality"].measure(case).detail
    assert "3 of 12" in CLAIMS["B.toy.quality"].measure(case).detail
    assert CLAIMS["B.imagenet.linear"].measure(case).value > 0
    assert b_tightness.never_tight(case).value < 0


def test_doob_sees_a_denoiser_of_other_data(monkeypatch: pytest.MonkeyPatch) -> None:
    case = random_case("several", 3)
    other = Mixture(case.toy.weights, 1.01 * case.toy.means, case.toy.stds)
    swapped = Case(case.name, other, case.sigmas, case.wrong, case.seed)
    original = b_pathwise.given
    monkeypatch.setattr(b_pathwise, "given", lambda toy, *a: original(case.toy, *a))
    assert b_pathwise.doob(swapped).value > 1e-6
