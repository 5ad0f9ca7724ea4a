"""The best levels of known mixtures, and the schedule `optimal` in all its forms."""

import json
from pathlib import Path

import numpy as np
import pytest

import entropic
from benchmarks.engine import recommend
from benchmarks.optimum import exact
from benchmarks.optimum.optimal import ProfileOptimum
from benchmarks.optimum.problem import Problem, Sampler
from benchmarks.optimum.registry import REGISTRY, draws_on_profile, schedule
from benchmarks.optimum.scan import POWERS, family
from benchmarks.studies.schedule_regret import mixtures
from theory.gaussian_optimum import gaussian_optimal_sigmas
from theory.levels import Span
from theory.profiles.profile import Profile
from theory.solvers.registry import make_table
from toys.files import load_toy, toy_spec
from toys.mixture import Mixture

THREE = Mixture([0.3, 0.3, 0.4], [-1.0, -0.2, 1.1], [0.1, 0.15, 0.2])


def problem(solver: str, n_steps: int, terminal: str = "stop", **options: float) -> Problem:
    return Problem(Sampler(solver, tuple(options.items())), Span(n_steps, 80.0, 0.002, terminal))


@pytest.mark.parametrize("solver", ["stochastic_ddim", "ddim"])
def test_the_optimum_of_gaussian_data_is_the_closed_form(solver: str) -> None:
    data = Mixture([1.0], [0.0], [0.5])
    found = exact.exact_optimum(toy_spec(data), problem(solver, 5))
    expected = gaussian_optimal_sigmas(5, 80.0, 0.002, c=0.5, solver=solver)
    np.testing.assert_allclose(found.sigmas, expected, rtol=1e-3)
    table = make_table(solver, expected)
    assert found.value == pytest.approx(float(entropic.kl(data, table)), rel=1e-6)


@pytest.mark.parametrize("terminal", ["stop", "zero"])
@pytest.mark.parametrize("solver", ["stochastic_ddim", "dpmpp_2m"])
def test_no_small_move_of_a_level_is_better(solver: str, terminal: str) -> None:
    found = exact.exact_optimum(toy_spec(THREE), problem(solver, 5, terminal))

    def kl(sigmas: np.ndarray) -> float:
        return float(entropic.kl(THREE, make_table(solver, sigmas)))

    least = kl(found.sigmas)
    assert found.value == pytest.approx(least, rel=1e-5)
    for i in range(1, np.count_nonzero(found.sigmas) - 1):
        for factor in (0.99, 1.01):
            moved = found.sigmas.copy()
            moved[i] *= factor
            assert kl(moved) > least


def test_all_starts_are_reported_and_the_best_is_kept() -> None:
    results = [task.run() for task in exact.descents(toy_spec(THREE), problem("ddim", 4))]
    assert [result["begin"] for result in results] == ["law", "half", "log_snr"]
    found = exact.best(results)
    assert found.value == min(result["value"] for result in results)
    assert min(found.found["excess_of_starts"].values()) == 0.0
    moved = (found.sigmas * [1.0, 1.5, 1.5, 1.5, 1.0]).tolist()
    other = {"begin": "other", "value": 1.05 * found.value, "sigmas": moved}
    assert "5 % worse" in exact.best([other, *results]).warnings[0]
    same = other | {"sigmas": found.sigmas.tolist()}  # a search that ended early
    assert not exact.best([same, *results]).warnings
    assert exact.descents(toy_spec(THREE), problem("ddim", 4))[0] == exact.Descent(
        toy_spec(THREE), problem("ddim", 4), "law"
    )  # a key of the store
    nothing = [{"begin": "law", "sigmas": None, "value": None, "reason": "torn"}]
    with pytest.raises(ValueError, match="got: torn"):
        exact.best(nothing)


@pytest.mark.parametrize("terminal", ["stop", "zero"])
@pytest.mark.parametrize("n_steps", [2, 3, 64])
def test_the_family_holds_whole_lists_that_differ(n_steps: int, terminal: str) -> None:
    found = family(Span(n_steps, 80.0, 0.002, terminal))
    assert len(found) == 33
    for sigmas in found:
        assert sigmas.size == n_steps + 1
        assert sigmas[0] == 80.0
        assert sigmas[-1] == (0.002 if terminal == "stop" else 0.0)
        assert (np.diff(sigmas) < 0.0).all()
    if n_steps == 64:
        dense = found[len(POWERS)]  # about the lowest centre
        assert np.median(np.log(dense[dense > 0])) < np.log(0.05)
    if (n_steps, terminal) != (2, "zero"):  # where no level is free
        assert len({tuple(sigmas) for sigmas in found}) >= 31  # one level of centred lists is equal


def test_a_scan_finds_what_other_starts_miss() -> None:
    """The one level of two steps of Heun, against a fine grid."""
    toy, target = mixtures()["report-07"], problem("heun", 2)
    found = {task.begin: task.run()["value"] for task in exact.descents(toy, target)}
    data = load_toy(toy)
    grid = np.geomspace(0.01, 20.0, 60)
    tables = [make_table("heun", [80.0, level, 0.002]) for level in grid]
    least = min(float(entropic.kl(data, table)) for table in tables)
    assert found["scan"] == min(found.values())
    assert found["scan"] <= least
    assert found["law"] > 1.5 * least


def test_solvers_of_first_order_are_not_scanned() -> None:
    for solver in ("ddim", "stochastic_ddim", "deis_1"):
        assert problem(solver, 4).first_order
    for solver in ("heun", "dpmpp_2m", "unipc_2", "edm_stochastic"):
        assert not problem(solver, 4).first_order
        assert exact.descents(toy_spec(THREE), problem(solver, 4))[-1].begin == "scan"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixture": THREE}, "solver must be given for schedule 'optimal', got None"),
        ({"solver": "ddim"}, "must be given for schedule 'optimal', or a"),
        ({"solver": "evodiff", "mixture": THREE}, "solver must not have weights"),
        ({"solver": "sde_dpmpp_2m", "mixture": THREE}, "solver must have an exact law"),
        ({"solver": "ddim", "mixture": THREE, "n_steps": 65}, "n_steps must be at most 64"),
        ({"solver": "ddim", "mixture": THREE, "rho": 7}, "rho must be left out for schedule 'opt"),
        ({"solver": "ddmi", "mixture": THREE}, "got 'ddmi'; did you mean"),
    ],
)
def test_wrong_use_is_refused_in_one_line(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        schedule("optimal", **{"n_steps": 4, **arguments})  # type: ignore[arg-type]
    assert "\n" not in str(error.value)


def test_the_registry_knows_optimal_and_its_needs() -> None:
    assert REGISTRY.needs("optimal") == ("solver", "profile", "mixture")
    assert draws_on_profile("optimal")
    assert entropic.schedules()["optimal"].endswith("needs a profile or a mixture; needs a solver")
    assert REGISTRY.name("Optimum") == "optimal"
    assert REGISTRY.options("optimal") == {}


def test_the_law_has_the_form_of_its_solver() -> None:
    profile = entropic.profile(THREE)
    plain = schedule("law", 6, profile=profile)
    assert np.array_equal(plain, schedule("law", 6, profile=profile, solver="stochastic_ddim"))
    other = schedule("law", 6, profile=profile, solver="ddim")
    assert np.array_equal(other, schedule("law", 6, profile=profile, form="deterministic"))
    assert np.abs(np.log(other / plain)).max() > 0.05


def test_from_a_profile_of_one_coordinate_the_levels_are_nearly_the_best() -> None:
    profile, sampler = entropic.profile(THREE), "stochastic_ddim"
    found = schedule("optimal", 6, profile=profile, solver=sampler)
    best = schedule("optimal", 6, mixture=THREE, solver=sampler)
    ratio = float(entropic.kl(THREE, make_table(sampler, found))) / float(
        entropic.kl(THREE, make_table(sampler, best))
    )
    assert 1.0 - 1e-6 <= ratio < 1.1


def product(sigma: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """The mmse of a product of Gaussians."""
    return np.asarray((scales**2 * sigma[:, None] ** 2 / (scales**2 + sigma[:, None] ** 2)).sum(1))


def test_from_a_profile_of_many_coordinates_the_levels_are_those_of_gaussians() -> None:
    sigma, scales = np.geomspace(0.002, 80.0, 200), 1.0 / np.arange(1.0, 65.0)
    profile = Profile(64, sigma, product(sigma, scales))
    found = ProfileOptimum(profile, problem("heun", 4)).optimum
    assert found.found["optimum"] == "Gaussians"
    assert not found.warnings
    served = ProfileOptimum(profile, problem("sde_dpmpp_2m", 4)).optimum
    assert served.found["optimum"] == "Gaussians"


def test_a_replicate_starts_from_the_answer() -> None:
    sigma, scales = np.geomspace(0.002, 80.0, 60), np.array([1.0, 0.1])
    mmse = product(sigma, scales)
    base = ProfileOptimum(Profile(2, sigma, mmse), problem("ddim", 5))
    again = base.again(Profile(2, sigma, mmse))
    np.testing.assert_allclose(again, base.optimum.sigmas, rtol=1e-2)
    other = base.again(Profile(2, 2.0 * sigma, 4.0 * mmse))
    assert np.all(np.diff(other) < 0)


def test_comparisons_take_optimal_and_none_is_better() -> None:
    table = entropic.compare(
        THREE, schedules=["optimal", "law", "edm"], solvers=["stochastic_ddim", "ddim"], steps=[4]
    )
    for _, rows in table.groupby("solver"):
        values = rows.set_index("schedule")["value"]
        assert values.idxmin() == "optimal"
        assert values["law"] < 1.3 * values["optimal"] < values["edm"]


@pytest.mark.slow
def test_the_recommendation_tells_what_was_found(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("ENTROPIC_STORE", str(tmp_path / "store"))
    found = entropic.recommend("optimal", 4, toy=THREE, solver="stochastic_ddim:eta=0.5")
    assert found.source["optimum"] == "exact"
    assert found.source["solver"] == "stochastic_ddim:eta=0.5"
    assert set(found.source["excess_of_starts"]) == {"law", "half", "log_snr"}
    json.dumps(found.to_dict(), allow_nan=False)
    assert len(list((tmp_path / "store").rglob("*.json"))) == 3
    again = entropic.recommend("optimal", 4, toy=THREE, solver="stochastic_ddim:eta=0.5")
    assert np.array_equal(again.sigmas, found.sigmas)
    with pytest.raises(ValueError, match="solver must come with optimal or law"):
        entropic.recommend("edm", 4, solver="ddim")
    with pytest.raises(ValueError, match="solver must be given for schedule 'optimal'"):
        entropic.recommend("optimal", 4, toy=THREE)
    warned = entropic.recommend("law", 4, toy="grid8", solver="ddim")
    assert any("one coordinate" in text for text in warned.warnings)


@pytest.mark.parametrize(("solver", "terminal"), [("ddim", "zero"), ("stochastic_ddim", "stop")])
def test_a_range_without_an_inner_level_has_only_one_list(solver: str, terminal: str) -> None:
    given = {"terminal": terminal, "solver": solver}
    ends = [80.0, 0.0 if terminal == "zero" else 0.002]
    data = Mixture([1.0], [0.0], [0.5])
    profile = entropic.profile(data)
    assert entropic.schedule("optimal", 1, mixture=data, **given).tolist() == ends
    assert entropic.schedule("optimal", 1, profile=profile, **given).tolist() == ends
    found = exact.exact_optimum(toy_spec(data), problem(solver, 1, terminal))
    assert found.value == pytest.approx(
        float(entropic.kl(data, make_table(solver, ends))), rel=1e-6
    )


def test_what_a_profile_does_not_hold_is_refused_or_said() -> None:
    data = Mixture([0.4, 0.6], [-1.0, 1.0], [0.2, 0.3])
    narrow = entropic.profile(data, sigma_min=0.3, sigma_max=5.0)
    for method in ("optimal", "law"):
        with pytest.raises(ValueError, match=r"profile must cover sigma 0.002..80, got 0.3..5"):
            entropic.schedule(
                method, 4, profile=narrow, solver="ddim", sigma_min=0.002, sigma_max=80.0
            )
    sigma = 0.002 * 1.3 ** np.arange(41.0)
    impossible = Profile(1, sigma, sigma**2 / np.sqrt(1.0 + sigma**4))
    found = entropic.recommend("optimal", 4, profile=impossible, solver="ddim")
    assert found.warnings[0].startswith("no mixture has this profile: the nearest one found misses")
    assert found.source["kl_per_coordinate"][0] > 0.0


def test_levels_that_coincide_or_that_nothing_determines_are_said(tmp_path: Path) -> None:
    profile = entropic.profile("gaussians5")
    found = entropic.recommend("optimal", 4, profile=profile, solver="sde_dpmpp_2m")
    assert "nearly coincide at 0.002: fewer steps are as good" in found.warnings[-1]
    assert np.diff(np.log(found.sigmas)).max() < -1e-6
    found.write(tmp_path / "levels.json")
    kept = json.loads((tmp_path / "levels.json").read_text(encoding="utf-8"))
    assert kept["warnings"] == list(found.warnings)
    same = entropic.recommend("optimal", 4, toy="two_points", solver="ddim", terminal="zero")
    assert any("they are not determined" in warning for warning in same.warnings)


@pytest.mark.parametrize(
    ("method", "arguments", "message"),
    [
        ("edm", {"mixture": THREE}, "mixture must be left out for schedule 'edm'"),
        ("edm", {"solver": "ddim"}, "solver must be left out for schedule 'edm', got 'ddim'"),
        ("optimal", {"solver": 3, "mixture": THREE}, "solver must be the name of a solver"),
        (
            "law",
            {"solver": "stochastic_ddim", "form": "deterministic"},
            "form must be 'stochastic'",
        ),
    ],
)
def test_arguments_without_a_use_are_refused(
    method: str, arguments: dict[str, object], message: str
) -> None:
    given = {"profile": entropic.profile(THREE)} if method == "law" else {}
    with pytest.raises(ValueError, match=message):
        entropic.schedule(method, 4, **given, **arguments)


def test_a_mixture_and_a_profile_together_are_refused() -> None:
    both = {"mixture": THREE, "profile": entropic.profile("gaussian")}
    with pytest.raises(ValueError, match="profile must be left out beside a mixture of dim 1"):
        entropic.schedule("optimal", 4, solver="ddim", **both)


def test_the_law_says_that_it_is_not_for_solvers_of_higher_order() -> None:
    found = entropic.recommend("law", 4, toy=THREE, solver="dpmpp_2m")
    assert found.warnings[0].startswith("the law is derived for solvers of first order, and dpmpp")
    assert not entropic.recommend("law", 4, toy=THREE, solver="ddim").warnings


def test_replicates_without_noise_are_refused_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recommend, "ProfileOptimum", None)
    profile = entropic.profile(THREE)
    with pytest.raises(ValueError, match="noisy risks, got a profile without errors"):
        entropic.recommend("optimal", 4, profile=profile, solver="ddim", replicates=20)
    with pytest.raises(ValueError, match="noisy risks, got a mixture of dim 1"):
        entropic.recommend("optimal", 4, toy=THREE, solver="ddim", replicates=20)
