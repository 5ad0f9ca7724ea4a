"""Fitted orders of convergence against the declared ones."""

import numpy as np
import pytest

from benchmarks.measure import orders
from theory.gaussian import table_variances
from theory.solvers.registry import SOLVERS, make_table
from toys import zoo
from toys.laws.build import law_of

VARIANTS = [(name, {}) for name in SOLVERS] + [
    ("dpmpp_3m", {"corrected": True}),
    ("sde_dpmpp_2m", {"variant": "heun"}),
    ("deis_2", {"time": "vp"}),
    ("deis_3", {"time": "vp"}),
    ("unipc_2", {"variant": "bh1"}),
    ("fd_2", {"stage": "interval"}),
    ("fd_2", {"stage": "interval", "form": "data"}),
    ("re_single", {"form": "data", "mix": "upper"}),
    ("re_single", {"stage": "interval", "mix": 0.5}),
    ("re_single", {"compensated": True}),
    ("re_multi", {"prior": "printed"}),
    ("re_multi", {"prior": "minimiser"}),
    ("heun", {"correct_last": False}),
]


BY_LAW = ("called_ancestral", "analytic_ddpm")  # whose weak order takes the exact law


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(
            name,
            options,
            marks=pytest.mark.slow if name in BY_LAW else (),
            id=f"{name} {options}" if options else name,
        )
        for name, options in VARIANTS
    ],
)
def test_fitted_orders_are_the_declared_ones(name: str, options: dict) -> None:
    """Within 0.15, on five Gaussians of std 0.3 (weak: N(0, 1); evodiff: circle8)."""
    row = orders.order(name, options=options)
    assert abs(row["order"] - row["declared"]) < 0.15
    assert row["stderr"] < 0.05
    assert len(row["n_steps"]) == 3
    assert 1e-10 <= min(row["errors"]) <= max(row["errors"]) <= 1e-2


@pytest.mark.parametrize("solver", ["called_ddim", "called_ancestral"])
def test_called_samplers_have_order_2_on_a_gaussian(solver: str) -> None:
    """Though they have order 1 on mixtures, which is the one declared."""
    row = orders.order(solver, "gaussian")
    assert row["order"] == pytest.approx(2.0, abs=0.15)
    assert row["declared"] == 1


@pytest.mark.parametrize(
    ("name", "capped"), [("dpmpp_3m", 2), ("deis_3", 2), ("unipc_2", 3), ("unipc_3", 3)]
)
def test_a_first_order_start_up_row_caps_the_order(name: str, capped: int) -> None:
    """From sigma_max = 2 the first step's error dominates: order 2, or 3 with UniPC's corrector."""
    options = {"corrected": True} if name == "dpmpp_3m" else {}
    row = orders.order(name, options=options)
    assert row["from_sigma_max_2"]["order"] == pytest.approx(capped, abs=0.15)


def test_other_noise_than_one_stops_the_fall() -> None:
    """edm_stochastic as published, S_noise 1.003, has another limit than the data."""
    with pytest.raises(ValueError, match="errors must fall at a steady rate"):
        orders.order("edm_stochastic", options={"s_noise": 1.003})


def test_the_released_last_step_stops_the_fall() -> None:
    with pytest.raises(ValueError, match=r"got .*0\.0019"):
        orders.order("evodiff", toy="gaussian", options={"special_last": True})


def test_errors_without_a_steady_rate_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="errors must fall at a steady rate"):
        orders.fit(lambda n: float(10.0 ** rng.uniform(-9, -3)))
    with pytest.raises(ValueError, match="got 1e-12 at 16, 1e-13 at 32"):
        orders.fit({16: 1e-12, 32: 1e-13}.__getitem__)


def test_evodiff_diverges_on_one_dimensional_mixtures() -> None:
    """Its declared order does not hold on the five Gaussians: paths overflow beyond 20 steps."""
    with pytest.raises(ValueError, match=r"paths must end within 1e\+13"):
        orders.order("evodiff", toy="gaussians5")


def test_a_fit_recovers_a_known_rate() -> None:
    found = orders.fit(lambda n: 3.0 * n**-2.5 * (1 + 4 / n))
    assert found.order == pytest.approx(2.5, abs=0.07)
    assert found.n_steps[1] == 2 * found.n_steps[0]
    noisy = {16: 1e-2, 32: 2e-3, 64: 5e-4, 128: 1e-4, 256: 2.2e-5, 512: 5.5e-6, 1024: 1.375e-6}
    assert orders.fit(noisy.__getitem__).n_steps == (256, 512, 1024)


def test_weak_orders_by_the_law_are_those_by_the_recursion(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Gaussian as two equal components goes through the exact law; the errors agree."""
    error = orders.error_of("stochastic_ddim", "gaussian", 20.0, 0.1, {})
    twin = '{"kind": "mixture", "weights": [1, 1], "means": [0, 0], "stds": [1, 1]}'
    by_law = orders.error_of("stochastic_ddim", twin, 20.0, 0.1, {})
    for n in (16, 64):
        assert by_law(n) == pytest.approx(error(n), rel=1e-5)
    table = make_table("stochastic_ddim", np.geomspace(20.0, 0.1, 17), float(np.hypot(1, 20)))
    law = law_of(zoo.toy("gaussian"), table, "noise", 1.5, 20.0)
    assert law.moments()[1] == pytest.approx(float(table_variances(table, 1.0)[-1]), rel=1e-7)
