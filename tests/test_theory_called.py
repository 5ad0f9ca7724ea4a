"""The level of the call: its means, what a table says of it, and what is refused."""

from functools import partial

import mpmath as mp
import numpy as np
import pytest

import entropic
from benchmarks.measure.divergences import exact_kl
from benchmarks.optimum.exact import exact_optimum
from benchmarks.optimum.optimal import ProfileOptimum
from benchmarks.optimum.problem import Problem, Sampler
from theory.gaussian import table_variances
from theory.levels import Span
from theory.profiles.profile import Profile
from theory.solvers.called import GaussianRisk, called_levels
from theory.solvers.registry import draws_on_profile, make_table, shape_table, solver_options
from toys.files import toy_spec
from toys.information import information
from toys.mixture import Mixture

LEVELS = np.array([80.0, 79.9999999, 7.0, 0.5, 1e-3])
THREE = Mixture([0.3, 0.3, 0.4], [-1.0, -0.2, 1.1], [0.1, 0.15, 0.2])
RISK = GaussianRisk(0.5)


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("call", ["geometric", "log_mean", "matched", 0.3, 1.0])
def test_levels_of_the_calls_have_every_digit(call: str | float, eta: float) -> None:
    """The means of 1 and k in 60 digits; k is that of the table, which has 16."""
    profile = RISK if call == "matched" else None
    table = make_table("stochastic_ddim", LEVELS, profile=profile, eta=eta, call=call)
    with mp.workdps(60):
        for told, a, kept in zip(table.sigma, LEVELS, table.keep[:, 0], strict=False):
            k, risk = mp.mpf(float(kept)), 1 / (1 + (mp.mpf(a) / mp.mpf(0.5)) ** 2)
            moved = mp.sqrt(risk + (1 - risk) * k**2)
            means = {
                "geometric": lambda k=k: mp.sqrt(k),
                "log_mean": lambda k=k: (k - 1) / mp.log(k),
                "matched": lambda k=k, moved=moved: (moved + k) / (1 + moved),
                0.3: lambda k=k: k ** mp.mpf(0.15),
                1.0: lambda k=k: mp.sqrt(k),
            }
            assert told == pytest.approx(
                float(mp.mpf(a) * mp.sqrt(means[call]())), rel=4e-16, abs=0
            )


def test_the_closed_forms_of_the_two_samplers() -> None:
    a, b = LEVELS[:-1], LEVELS[1:]
    ddim, ancestral = make_table("called_ddim", LEVELS), make_table("called_ancestral", LEVELS)
    np.testing.assert_allclose(ddim.sigma, a**0.75 * b**0.25, rtol=1e-14)
    wide = a / b > 1.1  # the plain formula loses digits on short steps
    mean = (a**2 - b**2)[wide] / np.log(a**2 / b**2)[wide]
    np.testing.assert_allclose(ancestral.sigma[wide] ** 2, mean, rtol=1e-13)
    for table, plain in ((ddim, "ddim"), (ancestral, "stochastic_ddim")):
        other = make_table(plain, LEVELS)
        for name in ("keep", "weights", "noise", "begin", "end", "start_std"):
            np.testing.assert_array_equal(getattr(table, name), getattr(other, name))


@pytest.mark.parametrize("call", ["geometric", "log_mean", 1.0])
def test_a_step_to_0_calls_at_the_root_of_one_half(call: str | float) -> None:
    for name in ("ddim", "stochastic_ddim"):
        table = make_table(name, [3.0, 1.0, 0.0], call=call)
        assert table.sigma[-1] == pytest.approx(np.sqrt(0.5))
        assert make_table(name, [3.0, 1.0, 0.0], call=0.0).sigma[-1] == 1.0
        assert make_table(name, [3.0, 1.0, 0.0]).sigma[-1] == 1.0


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_the_matched_call_is_exact_on_a_gaussian_from_its_law(eta: float) -> None:
    data = Mixture([1.0], [0.3], [0.5])
    for sigmas in ([80.0, 3.0, 0.002], [80.0, 3.0, 0.002, 0.0]):
        table = make_table("stochastic_ddim", sigmas, profile=RISK, eta=eta, call="matched")
        found = exact_kl(data, table, "data", rtol=1e-9)
        assert found.value is not None
        assert abs(found.value) < 1e-13


def test_a_called_sampler_starts_from_the_law_at_the_first_level() -> None:
    """Not at that of the first call, which is lower."""
    table = make_table("called_ancestral", [2.0, 0.5])
    assert table.begin == 2.0 > table.sigma[0]
    law = entropic.exact_law(THREE, table, start="data")
    paths = entropic.sample(THREE, table, 200_000, 3, start="data")[:, 0]
    assert paths.std() == pytest.approx(np.sqrt(law.variance), rel=0.01)
    std = np.sqrt(THREE.variance + 4.0)
    gaussian = table_variances(make_table("called_ancestral", [2.0, 0.5], std), 0.5)
    assert gaussian[0] == pytest.approx(std**2)


def test_analytic_ddpm_keeps_the_second_moment_of_any_data_over_a_step() -> None:
    for eta in (0.0, 0.5, 1.0):
        profile = entropic.profile(THREE)
        table = make_table("analytic_ddpm", [1.3, 0.4], profile=profile, eta=eta)
        law = entropic.exact_law(THREE, table, start="data")
        assert law.variance == pytest.approx(THREE.variance + 0.16, rel=1e-8)
    last = make_table("analytic_ddpm", [1.3, 0.4, 0.0], profile=entropic.profile(THREE))
    assert last.noise[-1] == 0.0


def test_who_draws_on_a_profile() -> None:
    assert draws_on_profile("analytic_ddpm")
    assert draws_on_profile("ddim", {"call": "matched"})
    assert not draws_on_profile("ddim", {"call": "geometric"})
    assert not draws_on_profile("heun")
    assert solver_options("ddim") == {"call": "state"}
    assert solver_options("called_ancestral") == {}
    assert solver_options("analytic_ddpm") == {"eta": 1.0}
    assert shape_table("analytic_ddpm", LEVELS).nfe == 4


@pytest.mark.parametrize("solver", ["analytic_ddpm", "ddim:call=matched"])
def test_settings_and_searches_supply_the_profile(solver: str) -> None:
    name, _, option = solver.partition(":")
    options = (("call", "matched"),) if option else ()
    span = Span(4, 80.0, 0.002, "stop")
    found = exact_optimum(toy_spec(THREE), Problem(Sampler(name, options), span))
    profile = entropic.profile(THREE)
    table = make_table(name, found.sigmas, profile=profile, **dict(options))
    assert exact_kl(THREE, table).value == pytest.approx(found.value, rel=1e-5)
    for i in (1, 2, 3):
        for factor in (0.98, 1.02):
            moved = found.sigmas.copy()
            moved[i] *= factor
            near = make_table(name, moved, profile=profile, **dict(options))
            assert exact_kl(THREE, near).value > found.value
    table_of = entropic.compare(THREE, schedules="edm", solvers=solver, steps=4)
    own = make_table(name, entropic.schedule("edm", 4), profile=profile, **dict(options))
    assert table_of["value"].item() == pytest.approx(exact_kl(THREE, own).value, rel=1e-8)


def test_a_kl_that_vanishes_is_an_optimum_with_a_word() -> None:
    """Every step is exact, so that nothing is to be gained and nothing must fail."""
    problem = Problem(Sampler("ddim", (("call", "matched"),), None, "data"), Span(4, 80.0, 0.002))
    found = exact_optimum(toy_spec(Mixture([1.0], [0.0], [0.5])), problem)
    assert found.value < 1e-9
    assert any("the divergence vanishes on these levels" in text for text in found.warnings)


def test_replicates_of_a_profile_draw_on_themselves() -> None:
    """The levels for another profile are those of its own search, also for Analytic-DPM."""
    one, two = (entropic.profile(Mixture([1.0], [0.0], [c])) for c in (0.5, 1.0))
    problem = Problem(Sampler("ddim", (("call", "matched"),)), Span(4, 80.0, 0.002, "stop"))
    plain = Problem(Sampler("analytic_ddpm"), problem.span)
    for target in (plain, problem):
        found = ProfileOptimum(one, target)
        assert target.risk is None
        again = found.again(two)
        make = partial(
            make_table, target.sampler.solver, profile=two, **dict(target.sampler.options)
        )
        data = Mixture([1.0], [0.0], [1.0])
        values = [exact_kl(data, make(levels)).value for levels in (again, found.optimum.sigmas)]
        assert values[0] is not None
        assert values[1] is not None
        assert values[0] <= values[1] * (1.0 + 1e-6)


def test_what_is_refused() -> None:
    sigmas = [2.0, 1.0, 0.5]
    short = Profile(1, [0.7, 1.0, 1.5, 3.0], [0.1, 0.2, 0.3, 0.4])
    for words, given in (
        ("profile must be given for solver 'ddim' with call 'matched', got None",
         {"call": "matched"}),
        ("profile must be left out for solver 'ddim', got one", {"profile": RISK}),
        ("call must be one of state, geometric, log_mean, matched or a number, got 'middle'",
         {"call": "middle"}),
        (r"call must be a share in \[0, 2\] or a name, got 2.5", {"call": 2.5}),
        ("profile must be a Profile, got dict", {"call": "matched", "profile": {}}),
        ("sigma must be in 0.7..3, the grid", {"call": "matched", "profile": short}),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            make_table("ddim", [*sigmas[:2], 0.6, 0.5], **given)
    with pytest.raises(ValueError, match="profile must be given for solver 'analytic_ddpm'"):
        make_table("analytic_ddpm", sigmas)
    assert called_levels("state", LEVELS[:-1], LEVELS[1:] / LEVELS[:-1]) is not None


def test_the_risk_of_a_gaussian_is_that_of_the_mixture() -> None:
    data = Mixture([1.0], [0.2], [0.5])
    np.testing.assert_allclose(RISK.mmse_at(LEVELS), information.mmse(data, LEVELS), rtol=1e-10)
