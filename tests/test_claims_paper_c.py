"""Paper C's claims on random cases, their counterexamples, and faults that have to show."""

import math
import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from strategies import seeds

from benchmarks.claims import (
    c_entropy,
    c_estimates,
    c_factors,
    c_measured,
    c_multi,
    c_orders,
    c_plain,
    c_premise,
    c_process,
    c_remark,
    c_single,
    c_solution,
    c_tables,
    c_two_point,
    c_variance,
    c_variation,
)
from benchmarks.claims.cases import Case, random_case
from benchmarks.claims.ledger import Claim, Reading, verify
from benchmarks.claims.paper_c import CLAIMS
from theory.noise.processes import VP
from theory.solvers.table import SolverTable
from toys.mixture import Mixture

BY_ID = {claim.id: claim for claim in CLAIMS}
HOLDS = [claim for claim in CLAIMS if claim.routes is None and not claim.command]
FAILS = [claim for claim in CLAIMS if claim.routes is not None]
CORRECTED = [claim for claim in FAILS if claim.corrected is not None]
PRINTED = [claim for claim in CLAIMS if claim.command]
name = pytest.mark.parametrize


def ids(claim: Claim) -> str:
    return claim.id


def drawn(claim: Claim, seed: int) -> Case:
    return random_case(claim.domain, seed, claim.low, claim.high)


def test_every_numbered_statement_has_a_row() -> None:
    numbers = [*(f"2.{i}" for i in range(1, 7)), *(f"3.{i}" for i in range(1, 12))]
    numbers += [f"4.{i}" for i in range(1, 19) if i not in (11, 16)]
    numbers += [f"prop3.{i}" for i in range(1, 5)] + ["prop4.1", "prop4.2", "thm4.1", "rem1"]
    numbers += ["lem4.1", "lem4.2", "alg1", "table1", "table2", "fig1", "fig2", "fig3", "fig4"]
    numbers += ["prop3.4.state", "sec4.2.step", "sec5.calls.single", "sec5.calls.multi"]
    numbers += ["rem2.state.implicit", "rem2.points", "rem2.points.implicit"]
    numbers += ["4.11.noise", "rem2.printed", "table3.edm", "table3.scoresde"]
    numbers = [n + ".printed" if n == "4.8" else n for n in numbers]
    assert {f"C.{n}" for n in numbers} <= set(BY_ID)
    assert len(BY_ID) == len(CLAIMS)


@name("claim", HOLDS, ids=ids)
@settings(max_examples=2)
@given(seeds)
def test_holds_on_random_cases(claim: Claim, seed: int) -> None:
    reading = claim.measure(drawn(claim, seed))
    assert reading.value <= claim.tolerance, reading.detail


@name("claim", CORRECTED, ids=ids)
@settings(max_examples=2)
@given(seeds)
def test_the_corrected_statement_holds_on_random_cases(claim: Claim, seed: int) -> None:
    assert claim.corrected is not None
    assert claim.correction
    reading = claim.corrected(drawn(claim, seed))
    assert reading.value <= claim.tolerance, reading.detail


@name("claim", FAILS, ids=ids)
def test_what_fails_has_a_counterexample_that_repeats(claim: Claim) -> None:
    found = verify(claim)
    assert found.good, found


@name("claim", PRINTED, ids=ids)
def test_what_needs_data_says_a_number_and_a_command(claim: Claim) -> None:
    reading = claim.measure(drawn(claim, 0))
    assert math.isfinite(reading.value)
    assert claim.command.startswith("entropic imagenet ")
    assert any(c.isdigit() for c in reading.detail)


def test_measures_travel_to_other_processes() -> None:
    for claim in (BY_ID["C.thm4.1"], BY_ID["C.alg1"], BY_ID["C.4.11.data"]):
        again = pickle.loads(pickle.dumps(claim))
        case = drawn(claim, 3)
        assert again.measure(case) == claim.measure(case)


def test_orders_of_the_two_texts_agree_with_solvers_of_known_order() -> None:
    """DDIM through the order machinery: 1, by the engine and by a product of factors."""

    def ddim(levels: np.ndarray, c: float) -> float:
        a, b = levels[:-1], levels[1:]
        return float(np.prod((c * c + a * b) / (c * c + a * a)))

    case = drawn(BY_ID["C.thm4.1"], 5)
    orders = [c_orders.slope(case, of) for of in (c_orders.Engine("ddim"), ddim)]
    assert orders[0] == pytest.approx(1.0, abs=0.05)
    assert orders[0] == pytest.approx(orders[1], rel=1e-6)


def test_a_better_step_leaves_more_variance_than_ddim() -> None:
    """Why the propositions fail: on N(0, c^2) the exact flow itself leaves more."""
    case = drawn(BY_ID["C.prop3.1.state"], 8)
    (a, b), c2 = c_single.levels(case), c_measured.std_of(case) ** 2
    exact = a**2 * (c2 + b**2) / (c2 + a**2)
    k = c_measured.gains(case, c_measured.middle(case))
    assert (k["ddim"] * a) ** 2 < exact
    assert (k["fd_2"] * a) ** 2 == pytest.approx(exact, rel=abs(k["ddim"] ** 2 * a**2 / exact - 1))


def test_printed_tables_are_those_of_the_file() -> None:
    for asked, typed in zip(
        (
            ("C-v1", "3", "CIFAR-10", "ScoreSDE"),
            ("C-v1", "3", "CIFAR-10", "EDM"),
            ("C-v1", "2", "ImageNet-256", ""),
        ),
        c_tables.TYPED,
        strict=True,
    ):
        found = c_tables.pairs(*asked)
        assert [ours for _, ours, _ in found] == list(typed[0])
        assert [other for _, _, other in found] == list(typed[1])


def scaled(function: Callable[..., Any], factor: float) -> Callable[..., Any]:
    """The function with its result times a factor; of a table, the last row's first weight."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = function(*args, **kwargs)
        if isinstance(found, SolverTable):
            weights = np.array(found.weights)
            weights[-1, 0] *= factor
            return replace(found, weights=weights)
        return found * factor

    return wrapped


# Claim, owner and name of the ingredient, factor on what it returns.
FAULTS: list[tuple[str, Any, str, float]] = [
    ("C.2.1", VP, "dsigma_dtime", 1.001),
    ("C.2.2", Mixture, "score", 1.001),
    ("C.2.3", Mixture, "score", 1.001),
    ("C.2.4", c_process.information, "mmse", 1.001),
    ("C.2.5", VP, "dsigma_dtime", 1.001),
    ("C.2.5.score", Mixture, "score", 1.001),
    ("C.2.6", VP, "dsigma_dtime", 1.001),
    ("C.rem1", VP, "dsigma_dtime", 1.001),
    ("C.3.1.data", c_variation, "prediction", 1.001),
    ("C.3.2", c_solution, "over_kappa", 1.001),
    ("C.3.3", c_solution, "derivative", 1.001),
    ("C.3.4", c_solution, "second_derivative", -1.0),
    ("C.3.5", c_solution, "ddim_table", 1.001),
    ("C.3.6", c_solution, "derivative", 1.001),
    ("C.3.7", c_single, "fd_2_table", 1.001),
    ("C.3.8", c_entropy.information, "mutual_information", 1.001),
    ("C.3.8", c_entropy.information, "conditional_entropy", 1.001),
    ("C.3.9", c_entropy, "stochastic_ddim_table", 1.001),
    ("C.3.10", c_entropy.information, "conditional_entropy", 1.001),
    ("C.3.10.bound", Mixture, "posterior_variance", 0.2),
    ("C.prop3.1", c_variance, "fd_2_table", 1.001),
    ("C.prop3.3", c_single, "heun_table", 1.001),
    ("C.prop3.3", c_single, "dpm_solver_2_table", 1.001),
    ("C.4.1", c_single, "re_single_table", 1.001),
    ("C.4.2", c_variance, "re_single_table", 1.001),
    ("C.4.3", c_variance, "paper_change", 1.01),
    ("C.4.3.minimum", c_variance, "re_single_table", 1.01),
    ("C.4.3.sign", c_variance, "printed_change", 1.5),
    ("C.prop4.1", c_variance, "printed_change", 2.0),
    ("C.4.5", c_multi, "constants", 1.001),
    ("C.4.6", c_multi, "constants", 1.001),
    ("C.rem2.printed", c_variance, "constants", 9.0),
    ("C.rem2.state", c_remark, "constants", 1e4),
    ("C.rem2.state.implicit", c_remark, "constants", 1e4),
    ("C.sec4.2.step", c_premise.information, "conditional_entropy", -1.0),
    ("C.sec5.calls.single", c_premise, "calls", 1.5),
    ("C.4.13", c_estimates.Estimates, "tilde", math.nan),
    ("C.4.8.printed", c_multi, "walk_states", 1.001),
    ("C.4.9", c_estimates, "re_single_table", 1.001),
    ("C.4.10", c_solution, "over_kappa", 1.001),
    ("C.4.11.noise", c_orders, "prediction", 1.01),
    ("C.4.12", c_orders, "prediction", 1.01),
    ("C.4.15", c_estimates.Estimates, "tilde", 1.001),
    ("C.4.17", c_estimates.Balance, "blend", 1.001),
    ("C.alg1", c_multi, "walk_states", 1.001),
    ("C.alg1", c_multi, "expit", 0.9),
    ("C.alg1.2025", c_multi, "walk_states", 1.001),
    ("C.3.7.order", c_orders, "table_variances", 1.01),
    ("C.4.4.order.data", c_factors, "table_variances", 1.01),
]


def reading_of(claim: Claim, seeds_: range) -> Reading:
    return max((claim.measure(drawn(claim, s)) for s in seeds_), key=lambda r: r.value)


@pytest.mark.slow
@name(("claim_id", "owner", "attribute", "factor"), FAULTS)
def test_a_planted_fault_shows(
    claim_id: str, owner: Any, attribute: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = BY_ID[claim_id]
    assert reading_of(claim, range(3)).value <= claim.tolerance
    monkeypatch.setattr(owner, attribute, scaled(getattr(owner, attribute), factor))
    assert reading_of(claim, range(3)).value > claim.tolerance


@name("claim_id", ["C.lem4.1", "C.lem4.2"])
def test_a_wrong_closed_form_shows(claim_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    claim = BY_ID[claim_id]
    assert claim.corrected is not None
    exact = c_estimates.closed_form
    monkeypatch.setattr(c_estimates, "closed_form", scaled(exact, 1.01))
    worst = max(claim.corrected(drawn(claim, s)).value for s in range(3))
    assert worst > claim.tolerance


@name("found", [math.nan, math.inf, 1.5])
def test_an_order_that_is_no_number_fails_a_claim_of_order_two(
    found: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = BY_ID["C.3.7.order"]
    monkeypatch.setattr(c_orders, "fitted", lambda *_: found)
    reading = claim.measure(drawn(claim, 0))
    assert reading.value > claim.tolerance
    assert reading.value == (0.5 if math.isfinite(found) else math.inf)


@name("errors", [[0.0, 0.0], [1.0, 0.0], [math.inf, 1.0], [math.nan, 1.0]])
def test_errors_without_a_ratio_have_no_order(errors: list[float]) -> None:
    assert math.isnan(c_orders.local_order(errors))
    assert c_orders.local_order([4.0, 1.0]) == 2.0


# Claim, owner and name of the ingredient of its corrected measure, factor.
CORRECTED_FAULTS: list[tuple[str, Any, str, float]] = [
    ("C.4.4", c_two_point, "deis_table", 1.001),
    ("C.4.4", c_two_point, "two_point_rows", 1.001),
    ("C.sec5.calls.multi", c_premise, "calls", 2.0),
]


@name(("claim_id", "owner", "attribute", "factor"), CORRECTED_FAULTS)
def test_a_planted_fault_shows_in_the_corrected_statement(
    claim_id: str, owner: Any, attribute: str, factor: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    corrected = BY_ID[claim_id].corrected
    assert corrected is not None
    monkeypatch.setattr(owner, attribute, scaled(getattr(owner, attribute), factor))
    cases = [drawn(BY_ID[claim_id], s) for s in range(3)]
    assert max(corrected(case).value for case in cases) > BY_ID[claim_id].tolerance


@name("weights", [(0.123, 0.777), (0.5, 0.5)])
def test_the_corrected_unification_takes_the_engines_weights(
    weights: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = BY_ID["C.4.7"]
    assert claim.corrected is not None
    monkeypatch.setattr(c_multi, "engine_weights", lambda *_: weights)
    assert max(claim.corrected(drawn(claim, s)).value for s in range(3)) > claim.tolerance


def test_the_data_form_has_less_only_above_the_datas_scale() -> None:
    """Proposition 3.4's premise on N(0, 1), where both terms are equal at sigma = 1."""
    case = drawn(BY_ID["C.prop3.4"], 0)
    toy = Mixture([1.0], [0.0], 1.0)
    found = {}
    for a in (0.5, 1.0, 2.0):
        at = replace(case, toy=toy, sigmas=np.array([a, 0.5 * a]))
        found[a] = c_premise.prediction_terms(at).value
        assert found[a] == pytest.approx(c_premise.prediction_terms_by_formula(at), abs=1e-9)
    assert found[0.5] == pytest.approx(15.0 / 16.0)
    assert found[1.0] == pytest.approx(0.0, abs=1e-12)
    assert found[2.0] == pytest.approx(-15.0 / 16.0)


@name(
    ("claim_id", "table"),
    [
        ("C.lem4.1", "re_single_table"),
        ("C.4.14.minimiser", "re_single_table"),
        ("C.lem4.2", "ddim_table"),
        ("C.4.18.minimiser", "ddim_table"),
    ],
)
def test_the_lemmas_two_routes_share_nothing_but_the_states(
    claim_id: str, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in the ingredients of either parts them."""
    for owner, attribute in ((c_estimates, table), (c_plain, "tanh")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, attribute, scaled(getattr(owner, attribute), 1.01))
            assert not verify(BY_ID[claim_id]).good
    assert verify(BY_ID[claim_id]).good


def test_a_first_order_solver_fails_a_claim_of_order_two(monkeypatch: pytest.MonkeyPatch) -> None:
    claim, make = BY_ID["C.alg1.order"], c_orders.make_table
    monkeypatch.setattr(
        c_orders, "make_table", lambda _, levels, std, **o: make("ddim", levels, std)
    )
    assert claim.measure(drawn(claim, 0)).value > claim.tolerance
