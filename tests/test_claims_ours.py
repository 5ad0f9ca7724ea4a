"""Our own claims on single cases, and faults planted under their measures."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from benchmarks.claims import called, ours
from benchmarks.claims.cases import random_case
from benchmarks.claims.ledger import Claim
from theory.schedules.arctan import arctan_sigmas
from theory.solvers import ddim

CLAIMS = (*ours.CLAIMS, *called.CLAIMS)
BY_ID = {claim.id: claim for claim in CLAIMS}
SLOW = {"O.leading_kl", "O.equal_profiles", "O.called_kl"}


@pytest.mark.parametrize(
    "claim",
    [pytest.param(c, marks=pytest.mark.slow if c.id in SLOW else ()) for c in CLAIMS],
    ids=lambda c: c.id,
)
def test_claim_holds_on_a_random_case(claim: Claim) -> None:
    reading = claim.measure(random_case("none", 3))
    assert reading.value <= claim.tolerance, reading


def test_levels_beside_the_optimum_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def beside(n: int, high: float, low: float, terminal: str, *, c: float, solver: str) -> Any:
        return arctan_sigmas(n, high, low, terminal, c=1.1 * c)

    monkeypatch.setattr(ours, "gaussian_optimal_sigmas", beside)
    reading = ours.gaussian_optimum(random_case("none", 3))
    assert reading.value > 1e3 * BY_ID["O.gaussian_optimum"].tolerance


def test_a_kernel_of_another_size_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(ours.ErrorKernel):
        def __init__(self, *given: Any) -> None:
            super().__init__(*given)
            self.matrix = self.matrix * 16.0

    monkeypatch.setattr(ours, "ErrorKernel", Other)
    assert ours.kernel_diagonal(random_case("none", 3)).value > 0.0


@pytest.mark.slow
def test_equal_levels_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one list of levels for both mixtures no cost is above 1."""
    found = ours.model_minimum
    kept: list[Any] = []

    def first(*given: Any) -> Any:
        kept.append(kept[0] if kept else found(*given))
        return kept[-1]

    monkeypatch.setattr(ours, "model_minimum", first)
    assert ours.equal_profiles(random_case("none", 0)).value > 0.0


def test_the_saved_pair_has_one_profile() -> None:
    import json

    from toys.files import parse_toy
    from toys.information import information

    one, two = (parse_toy(json.dumps(k)) for k in json.loads(ours.PAIR.read_text("utf-8")).values())
    sigmas = np.geomspace(0.01, 10.0, 9)
    np.testing.assert_allclose(
        information.mmse(one, sigmas), information.mmse(two, sigmas), rtol=1e-4
    )
    assert one.size != two.size


@pytest.mark.parametrize("name", ["second_order", "third_cumulant", "matched_call", "ladder_ddim",
                                  "ladder_ancestral"])  # fmt: skip
def test_another_level_of_the_call_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shift of 3 % of the geometric one, or of one per cent of the level."""
    if name in ("second_order", "third_cumulant"):
        gap = called._Step.gap

        def other(step: Any, h: complex) -> complex:
            step.theta *= 1.03
            found = gap(step, h)
            step.theta /= 1.03
            return found

        monkeypatch.setattr(called._Step, "gap", other)
    else:

        def beside(*given: Any, **more: Any) -> Any:
            table = ddim.stochastic_ddim_table(*given, **more)
            return replace(table, sigma=1.01 * table.sigma)

        monkeypatch.setattr(called, "stochastic_ddim_table", beside)
        monkeypatch.setattr(
            called, "ddim_table", lambda levels, std, call: beside(levels, std, 0.0, call)
        )
    claims = {claim.measure: claim for claim in called.CLAIMS}
    measure = getattr(called, name)
    reading = measure(random_case("none", 3))
    assert reading.value > 1e3 * claims[measure].tolerance


def test_plain_samplers_have_order_1() -> None:
    case = random_case("none", 3)
    for solver in ("ddim", "stochastic_ddim"):
        assert called.gaussian_order(case, solver).value == pytest.approx(1.0, abs=0.05)
