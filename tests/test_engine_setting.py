"""Settings and their rows: columns, levels, smoothing, what has no value, the user's own code."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import oracles
import pytest

import entropic
from benchmarks.engine.rows import COLUMNS
from benchmarks.engine.setting import ALL_METRICS, Setting, metrics_of
from benchmarks.engine.store import Store
from benchmarks.measure.divergences import METRICS
from benchmarks.measure.measured import Measured
from benchmarks.measure.samples import BIASED
from toys import zoo

TOY = "gaussians5"
ALL = tuple((name, 1e-8) for name in METRICS)


def only(setting: Setting, name: str) -> dict[str, object]:
    [row] = [row for row in setting.run() if row["metric"] == name]
    return row


@pytest.mark.parametrize("paths", [0, 200])
def test_a_setting_has_one_row_per_metric_with_the_fixed_columns_in_order(paths: int) -> None:
    setting = Setting(TOY, "edm", 3, metrics=ALL, paths=paths, repeats=2 if paths else 1, seed=7)
    rows = setting.run()
    assert [row["metric"] for row in rows] == list(METRICS)
    for row in rows:
        assert list(row) == list(COLUMNS)
        assert (row["toy"], row["schedule"], row["solver"]) == (TOY, "edm", "stochastic_ddim")
        assert (row["n_steps"], row["nfe"], row["sigma_max"], row["sigma_min"]) == (3, 3, 80, 0.002)
        sampled = bool(row["paths"])
        assert (row["seed"], row["tolerance"]) == ((7, None) if sampled else (None, 1e-8))
        assert row["value"] is not None or row["reason"]
    assert all(row["error_kind"] == "exact" for row in rows) == (not paths)


def test_every_measured_field_is_a_column_and_every_setting_field_is_in_its_key() -> None:
    assert set(asdict(Measured(1.0))) <= set(COLUMNS)
    assert len(set(ALL_METRICS)) == len(ALL_METRICS)
    base, store = Setting(TOY, "edm", 3), Store("unused")
    others = {
        "toy": "gaussian",
        "schedule": "log_snr",
        "n_steps": 4,
        "solver": "ddim",
        "process": "vp",
        "terminal": "zero",
        "start": "data",
        "sigma_min": 0.01,
        "sigma_max": 10.0,
        "schedule_options": (("rho", 5.0),),
        "solver_options": (("eta", 0.5),),
        "sigmas": (80.0, 1.0, 0.5, 0.1),
        "metrics": (("tv", 1e-8),),
        "smoothing": 0.01,
        "paths": 10,
        "repeats": 2,
        "quantiles": 16,
        "seed": 1,
    }
    assert set(others) == set(asdict(base))
    paths = {store.path(replace(base, **{name: value})) for name, value in others.items()}
    assert len(paths | {store.path(base)}) == len(others) + 1


def test_metrics_that_settle_together_equal_each_alone() -> None:
    """To the last digit for one initial law. Two laws share panels, and agree within the errors."""
    together = {row["metric"]: row for row in Setting(TOY, "edm", 4, metrics=ALL).run()}
    one_law = tuple(pair for pair in ALL if pair[0] != "kl_discretisation")
    same_law = {row["metric"]: row for row in Setting(TOY, "edm", 4, metrics=one_law).run()}
    for name, rtol in ALL:
        [alone] = Setting(TOY, "edm", 4, metrics=((name, rtol),)).run()
        apart = abs(alone["value"] - together[name]["value"])
        assert apart <= alone["error"] + together[name]["error"]
        if name in same_law:
            assert alone == same_law[name]


@pytest.mark.parametrize(
    ("name", "options", "process", "terminal", "low", "high"),
    [
        ("rescaled", {}, "edm", "stop", None, None),
        ("entropic", {}, "edm", "zero", None, None),
        ("arctan", {}, "vp", "stop", None, 20.0),
        ("arctan", {"c": 0.7}, "edm", "stop", None, None),
        ("edm", {"rho": 5.0}, "edm", "zero", 0.01, 10.0),
        ("las", {"lambda_": 0.0}, "edm", "stop", 0.05, 5.0),
    ],
)
def test_levels_of_a_setting_are_those_of_the_public_schedule(
    name: str,
    options: dict[str, float],
    process: str,
    terminal: str,
    low: float | None,
    high: float | None,
) -> None:
    own = tuple(options.items())
    setting = Setting(TOY, name, 6, "ddim", process, terminal, "noise", low, high, own)
    profile = None
    if name != "edm" and "c" not in options:
        profile = entropic.profile(TOY, process, sigma_min=low, sigma_max=high)
    expected = entropic.schedule(name, 6, process, profile, terminal, low, high, **options)
    np.testing.assert_array_equal(setting.levels(), expected)
    given = replace(setting, sigmas=tuple(expected.tolist()))
    np.testing.assert_array_equal(given.levels(), expected)


def brute_force_kl(sigmas: tuple[float, float, float], blur: float) -> float:
    """KL of two stochastic DDIM steps: densities on a grid, blurred by a sum over the grid."""
    toy = zoo.toy("two_points")
    mixture = (toy.weights, toy.means, toy.stds)
    y = np.linspace(-14.0, 14.0, 2801)
    width = y[1] - y[0]
    q = np.exp(-0.5 * (y / sigmas[0]) ** 2) / (sigmas[0] * np.sqrt(2 * np.pi))
    kernels = []
    for a, b in ((sigmas[0], sigmas[1]), (sigmas[1], sigmas[2])):
        ratio = (b / a) ** 2
        mean = ratio * y + (1 - ratio) * oracles.denoise(y[:, None], a, *mixture)[:, 0]
        kernels.append((mean, b * np.sqrt(1 - ratio)))
    for mean, std in [*kernels, (y, blur)]:
        gauss = np.exp(-0.5 * ((y[:, None] - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
        q = gauss @ q * width
    p = sum(
        w * np.exp(-0.5 * ((y - m) / sigmas[2]) ** 2) / (sigmas[2] * np.sqrt(2 * np.pi))
        for w, m in zip(toy.weights, toy.means[:, 0], strict=True)
    )
    return float(np.sum(np.where(p > 1e-300, p * np.log(np.maximum(p, 1e-300) / q), 0.0)) * width)


def test_smoothing_blurs_the_law_and_leaves_the_number_of_calls() -> None:
    """The sums converge faster than any power of the step, which is a tenth of the blur."""
    sigmas, blur = (2.0, 0.9, 0.4), 0.1
    setting = Setting("two_points", "x", 2, sigmas=sigmas, smoothing=blur)
    [row] = setting.run()
    assert row["nfe"] == 2
    assert row["smoothing"] == blur
    assert row["value"] == pytest.approx(brute_force_kl(sigmas, blur), rel=1e-8)
    [sharp] = replace(setting, smoothing=0.0).run()
    assert sharp["nfe"] == 2
    assert abs(sharp["value"] - row["value"]) > 1e-4


def test_a_blur_after_a_solver_without_noise_is_no_call() -> None:
    [row] = Setting(TOY, "edm", 4, "heun", smoothing=0.05).run()
    assert (row["nfe"], row["n_steps"]) == (8, 4)
    assert row["value"] > 0


def test_a_metric_that_cannot_be_computed_is_null_and_leaves_the_others() -> None:
    rows = Setting("points15", "log_snr", 8, terminal="zero", metrics=metrics_of((*METRICS,))).run()
    of = {row["metric"]: row for row in rows}
    assert (of["w1"]["value"], of["w1"]["error"]) == (None, None)
    assert of["w1"]["reason"] == "points without noise are compared by bins"
    for name in set(METRICS) - {"w1"}:
        assert of[name]["value"] > 0
        assert of[name]["reason"] is None


def test_a_setting_without_an_exact_law_has_a_reason_in_every_row() -> None:
    for setting, reason in (
        (Setting("circle8", "edm", 3, metrics=ALL), "toy must have d = 1"),
        (Setting(TOY, "edm", 3, "sde_dpmpp_2m", metrics=ALL), "no exact law, use Monte Carlo"),
    ):
        rows = setting.run()
        assert len(rows) == len(ALL)
        assert all(row["value"] is None and row["error"] is None for row in rows)
        assert all(reason in row["reason"] for row in rows)


def test_path_metrics_need_no_exact_law() -> None:
    metrics = (("path_rms", 0.0), ("path_median", 0.0))
    rows = Setting("circle8", "log_snr", 8, "heun", metrics=metrics, paths=50).run()
    assert all(row["value"] > 0 and row["route"] == "reference flow" for row in rows)


def test_an_infinite_kl_is_null_with_error_zero_and_a_reason() -> None:
    row = only(Setting("gaussians15_overlap", "log_snr", 8, "evodiff"), "kl_data_model")
    assert (row["value"], row["error"]) == (None, 0.0)
    assert "gives no mass" in str(row["reason"])


def test_frequencies_of_points_come_within_their_error_after_the_bias_is_removed() -> None:
    """Within 5 standard errors: a false alarm in 1.7 million."""
    setting = Setting("points15", "log_snr", 8, terminal="zero")
    [exact] = setting.run()
    [sampled] = replace(setting, paths=100_000, seed=1).run()
    assert (exact["route"], sampled["route"]) == ("bins", "bins")
    assert sampled["gap"] > 0
    assert (sampled["error_kind"], sampled["paths"], sampled["seed"]) == ("standard", 100_000, 1)
    apart = sampled["value"] - sampled["gap"] - exact["value"]
    assert abs(apart) < 5 * sampled["error"]


@pytest.mark.parametrize("toy", ["gaussians5", "circle8"])
def test_a_kernel_estimate_says_that_its_bias_is_not_known(toy: str) -> None:
    row = only(Setting(toy, "edm", 4, paths=500), "kl_data_model")
    assert row["route"] == "kernel estimate"
    assert row["gap"] is None
    assert "its bias is not known and not in the error" in str(row["reason"])
    assert str(row["reason"]).startswith(BIASED.split("{")[0])


OWN = """
import numpy as np
from theory.solvers.ddim import ddim_table


def levels(n_steps, sigma_max, sigma_min, terminal, power=1.0):
    t = np.linspace(0.0, 1.0, n_steps + 1) ** power
    return sigma_max * (sigma_min / sigma_max) ** t


def euler(sigmas, start_std=None):
    return ddim_table(sigmas, start_std)
"""


def test_own_schedules_and_solvers_run_and_are_keyed_by_what_they_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "own_levels_of_a_test.py"
    source.write_text(OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    schedule, solver = "own_levels_of_a_test:levels", "own_levels_of_a_test:euler"
    settings = [
        Setting(TOY, schedule, 4, schedule_options=(("power", 1.0),)),
        Setting(TOY, "log_snr", 4, solver),
        Setting(TOY, schedule, 4, solver),
    ]
    known = [Setting(TOY, "log_snr", 4), Setting(TOY, "log_snr", 4, "ddim")]
    for own, same in zip(settings[:2], known, strict=True):
        own.check()
        [row], [expected] = own.run(), same.run()
        assert row["value"] == pytest.approx(expected["value"], rel=1e-9)
        assert row["schedule"] == own.schedule
        assert row["solver"] == own.solver
    store = Store(tmp_path / "store")
    before = [store.path(setting) for setting in (*settings, *known)]
    import own_levels_of_a_test as module  # type: ignore[import-not-found]

    from theory.solvers.two_calls import heun_table

    def changed() -> list[bool]:
        after = [store.path(setting) for setting in (*settings, *known)]
        return [a != b for a, b in zip(before, after, strict=True)]

    assert not any(changed())
    with monkeypatch.context() as patch:  # as where a module that it imports has changed
        patch.setattr(module, "ddim_table", heun_table)
        assert changed() == [False, True, True, False, False]
    with monkeypatch.context() as patch:
        patch.setattr(
            module, "levels", lambda n, high, low, end, power: np.geomspace(9, 0.1, n + 1)
        )
        assert changed() == [True, False, True, False, False]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        (Setting(TOY, "edmm", 3), "schedule must be one of .*did you mean 'edm'"),
        (Setting(TOY, "edm", 3, "hein"), "solver must be one of .*did you mean 'heun'"),
        (Setting(TOY, "edm", 0), "n_steps must be"),
        (Setting(TOY, "edm", 3, start="dat"), "start must be one of noise, data, got 'dat'"),
        (Setting(TOY, "edm", 3, sigma_min=90.0), "sigma_m"),
        (Setting(TOY, "edm", 3, terminal="end"), "terminal must be one of"),
        (Setting(TOY, "edm", 3, process="ve"), "process must be one of"),
        (Setting(TOY, "edm", 3, metrics=(("kl", 1e-8),)), "metric must be one of"),
        (Setting(TOY, "edm", 3, paths=-1), "paths must be a whole number at least 0, got -1"),
        (Setting(TOY, "edm", 3, repeats=0), "repeats must be a whole number at least 1, got 0"),
        (Setting(TOY, "edm", 3, seed=-1), "seed must be a whole number"),
        (Setting(TOY, "edm", 3, solver_options=(("eta", 2.0),)), r"eta must be in \[0, 1\], got 2"),
        (Setting(TOY, "edm", 3, solver_options=(("s_noise", 2.0),)), "s_noise must be left out"),
        (Setting(TOY, "edm", 3, schedule_options=(("c", 2.0),)), "c must be left out for schedule"),
        (Setting(TOY, "x", 2, sigmas=(1.0, 2.0, 0.1)), "sigmas must fall strictly"),
    ],
)
def test_a_setting_without_a_meaning_is_refused_before_any_work(
    setting: Setting, message: str
) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        setting.check()
    assert "\n" not in str(refused.value)
