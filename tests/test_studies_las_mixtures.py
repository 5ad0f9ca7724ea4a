"""What is measured of samplers in two dimensions, against closed forms and the data themselves."""

from functools import partial

import numpy as np
import pandas as pd
import pytest

from benchmarks.measure import plane
from benchmarks.measure.plane import BLUR
from benchmarks.studies import las_mixtures
from benchmarks.studies.las_mixtures import MixtureSampler
from theory.gaussian import gaussian_kl_data_model
from theory.noise.processes import PROCESSES
from theory.solvers.registry import make_table
from toys import sampling, zoo
from toys.mixture import Mixture

CIRCLE = zoo.toy("circle8")
END = 0.0105


def counts(toy: Mixture, samples: np.ndarray) -> tuple[np.ndarray, int]:
    """Samples in four pictures, and how many fell outside."""
    parts, outside = [], 0
    for part in np.array_split(samples, 4):
        inside, place = plane.pixels(toy, part)
        parts.append(np.bincount(place, minlength=(2 * plane.HALF) ** 2))
        outside += int(np.count_nonzero(~inside))
    return np.array(parts, dtype=float), outside


def test_samples_of_the_data_are_at_no_distance() -> None:
    samples = CIRCLE.sample(400_000, 3, 0, END)
    row = plane.blurred_kls(CIRCLE, END, *counts(CIRCLE, samples))
    for name in ("kl_data_model", "kl_model_data"):
        assert abs(row[name]) < 4 * row[f"{name}_stderr"] + 2e-4
    assert plane.sliced(CIRCLE, END, samples) < 0.05


def test_divergences_of_gaussians_have_their_closed_forms() -> None:
    # One component: model std 0.4 against data std 0.25, both blurred.
    data, model = Mixture([1], [[1.0, -2.0]], 0.25), Mixture([1], [[1.0, -2.0]], 0.4)
    samples = model.sample(400_000, 0)
    row = plane.blurred_kls(data, END, *counts(data, samples))
    v_data, v_model = 0.25**2 + END**2 + BLUR**2, 0.4**2 + BLUR**2
    forward = float(gaussian_kl_data_model(v_data, v_model, 2))
    backward = float(gaussian_kl_data_model(v_model, v_data, 2))
    assert row["kl_data_model"] == pytest.approx(forward, abs=4 * row["kl_data_model_stderr"])
    assert row["kl_model_data"] == pytest.approx(backward, abs=4 * row["kl_model_data_stderr"])
    assert row["kl_data_model_stderr"] < 0.01 * forward
    apart = 0.4 - float(np.hypot(0.25, END))
    assert plane.sliced(data, END, samples) == pytest.approx(apart, rel=0.02)


def test_samples_outside_of_the_picture_are_said() -> None:
    samples = np.concatenate([CIRCLE.sample(40_000, 0), [[50.0, 0.0]]])
    row = plane.blurred_kls(CIRCLE, END, *counts(CIRCLE, samples))
    assert row["kl_model_data"] is None
    assert row["kl_reason"] == "1 samples lie outside of the picture"
    assert row["kl_data_model"] is not None


def test_reference_is_the_entropy_for_little_noise() -> None:
    samples = -CIRCLE.log_density(CIRCLE.sample(400_000, 0, 0, END))
    stderr = samples.std() / 400_000**0.5
    assert abs(las_mixtures.reference("circle8", END) - samples.mean()) < 4 * stderr


def test_row_of_a_sampler() -> None:
    sigmas = (152.0, 2.5, 1.4, 0.85, 0.48, END)
    task = MixtureSampler("circle8", "vp", "mine", sigmas, "stochastic_ddim", most_stderr=0.006)
    row = task.run()
    assert row["nfe"] == row["n_steps"] == 5
    assert row["nll_stderr"] < 0.006
    assert row["paths"] % las_mixtures.BATCH == 0
    shares = np.array([float(share) for share in row["mode_shares"].split()])
    assert shares.sum() == pytest.approx(1.0, abs=1e-4)
    assert row["mode_tv"] == pytest.approx(0.5 * np.abs(shares - CIRCLE.weights).sum(), abs=1e-4)
    assert 0.8 < row["within_std"] < 1.2
    assert row["nll"] < row["nll_data"]
    assert 0.3 < row["kl_data_model"] < 1.5
    table = make_table("stochastic_ddim", np.array(sigmas), PROCESSES["vp"].start_std(152.0))
    samples = sampling.sample(CIRCLE, table, row["paths"], 0)
    values = -CIRCLE.log_density(samples)
    assert row["nll"] == pytest.approx(values.mean(), rel=1e-12)
    assert row["nll_stderr"] == pytest.approx(values.std(ddof=1) / values.size**0.5, rel=1e-9)
    nearest = ((samples[:, None] - CIRCLE.means) ** 2).sum(axis=2).min(axis=1)
    std = np.sqrt(nearest.mean() / 2.0)
    assert row["within_std"] == pytest.approx(std / np.hypot(0.25, END), rel=1e-9)


def test_standard_errors_of_the_kls_are_those_of_the_mean_of_four_parts() -> None:
    samples = Mixture([1], [[4.0, 0.0]], 1.0).sample(20_000, 0)
    parts, outside = counts(CIRCLE, samples)
    row = plane.blurred_kls(CIRCLE, END, parts, outside)
    log_p = plane.picture_of(CIRCLE, float(np.hypot(END, BLUR)))
    values = np.array([plane.kls(log_p, part) for part in parts])
    for name, column in zip(("kl_data_model", "kl_model_data"), values.T, strict=True):
        assert row[f"{name}_stderr"] == pytest.approx(column.std(ddof=1) / 2.0, rel=1e-12)


def test_sampling_goes_on_until_the_error_is_small_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(las_mixtures, "BATCH", 2048)
    task = partial(MixtureSampler, "grid8", "vp", "mine", (152.0, 2.5, END), "stochastic_ddim")
    rough, fine = task(most_stderr=0.2).run(), task(most_stderr=0.05).run()
    assert rough["paths"] < fine["paths"]
    assert fine["nll_stderr"] <= 0.05


def test_las_levels_of_the_specification() -> None:
    # docs/papers/b.md, Check values: circle8, K = 5, c = 16.
    rows = pd.read_csv(las_mixtures.MIXTURE_ROWS)
    row = rows[
        (rows["toy"] == "circle8")
        & (rows["schedule"] == "las")
        & (rows["solver"] == "stochastic_ddim")
        & (rows["nfe"] == 5)
    ]
    levels = [float(s) for s in row["sigmas"].iloc[0].split()]
    np.testing.assert_allclose(levels, [152.2, 2.51, 1.42, 0.846, 0.482, 0.0105], rtol=0.02)


def test_committed_rows_are_whole() -> None:
    rows = pd.read_csv(las_mixtures.MIXTURE_ROWS)
    expected = 2 * 2 * len(las_mixtures.COMPARED) * len(las_mixtures.CALLS)
    assert len(rows.groupby(["toy", "solver", "schedule", "nfe"])) == len(rows) == expected
    assert (rows["nll_stderr"] < 0.002).all()
    assert (rows["kl_data_model"] > -4 * rows["kl_data_model_stderr"]).all()
    assert rows["kl_model_data"].notna().sum() >= expected - 2
