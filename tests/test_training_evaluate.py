"""Evaluation: excess losses and Frechet distances against closed forms, the checks of digits."""

from typing import Any

import numpy as np
import pytest

WHY = "needs the extra `networks`; make test-all has it"
torch = pytest.importorskip("torch", reason=WHY)
pytest.importorskip("sklearn", reason=WHY)

from scipy.linalg import sqrtm
from scipy.stats import special_ortho_group

from benchmarks.measure.frechet import (
    Moments,
    frechet,
    gaussian_like,
    moments,
)
from benchmarks.networks.adapters import Predictor
from benchmarks.training import features
from benchmarks.training.digit_checks import digits_checks, frechet_digits, nearest
from benchmarks.training.digit_classifier import class_probabilities, coupled, platt
from benchmarks.training.evaluate import (
    evaluate,
    excess_loss,
    risks,
)
from benchmarks.training.pictures import picture
from benchmarks.training.targets import (
    law_target,
    make_target,
)
from toys.mixture import Mixture

STDS = np.array([1.0, 0.2])
STRETCHED = Mixture([1.0], [[0.5, 0.0]], [STDS])


def exact(law: Mixture) -> Any:
    """The posterior mean as a denoiser."""

    def denoiser(x: Any, sigma: Any, condition: Any = None) -> Any:
        return torch.from_numpy(law.denoise(x.double().numpy(), float(sigma[0])))

    return denoiser


def untrained(x: Any, time: Any) -> Any:
    return torch.zeros_like(x)


def test_the_exact_denoiser_has_no_excess() -> None:
    row = excess_loss(exact(STRETCHED), STRETCHED, 0.7)
    assert max(row["excess"]) == 0.0
    assert row["nats"] == row["edm"] == row["log_uniform"] == 0.0


def test_the_excess_of_a_linear_denoiser_is_its_closed_form() -> None:
    """D = c_skip x on N(m, diag(s^2)): sum_i (c - g_i)^2 (s_i^2 + sigma^2) + ((1 - g_i - ...) m)^2.

    With g_i = s_i^2 / (s_i^2 + sigma^2), D - m is (c - g_i) x_i - (1 - g_i) m_i. Each of 25 levels
    within 5 standard errors; the integrals, of independent levels, too.
    """
    sigma_data = 0.7
    row = excess_loss(Predictor(untrained, "edm", sigma_data=sigma_data), STRETCHED, sigma_data)
    sigma = np.array(row["sigma"])
    c = sigma_data**2 / (sigma_data**2 + sigma**2)
    expected = np.zeros_like(sigma)
    for s, m in zip(STDS, STRETCHED.mean, strict=True):
        g = s**2 / (s**2 + sigma**2)
        expected += (c - g) ** 2 * (s**2 + sigma**2) + ((c - g) * m - (1.0 - g) * m) ** 2
    stderr = np.array(row["stderr"])
    np.testing.assert_array_less(np.abs(row["excess"] - expected), 5.0 * stderr + 1e-12)
    steps = np.diff(np.log(sigma))
    rate = expected / sigma**2
    nats = np.sum(0.5 * steps * (rate[1:] + rate[:-1]))
    assert abs(row["nats"] - nats) < 5.0 * row["nats_stderr"]
    mean = np.sum(0.5 * steps * (expected[1:] + expected[:-1])) / steps.sum() / 2.0
    assert abs(row["log_uniform"] - mean) < 5.0 * row["log_uniform_stderr"]


def test_edms_mean_excess_of_the_untrained_network_is_below_its_loss() -> None:
    """Excess and mmse add up to the loss, 1 per coordinate, for a law of mean 0 and std sigma_data.

    For N(0, s^2) the untrained network is exact; for two points the loss is still 1.
    """
    points = Mixture([1, 1], [-1, 1], 0)
    found = excess_loss(Predictor(untrained, "edm", sigma_data=1.0), points, 1.0)
    assert 0.3 < found["edm"] < 1.0
    law = Mixture([1.0], [0.0], 1.0)
    assert excess_loss(Predictor(untrained, "edm", sigma_data=1.0), law, 1.0)["edm"] < 1e-12


def test_risks_are_the_mmse_for_the_exact_denoiser() -> None:
    """For a Gaussian sum_i s_i^2 sigma^2 / (s_i^2 + sigma^2), within 5 standard errors of 1024.

    |D - x0|^2 is a sum of squares of two normals: its std is at most sqrt(2) of its mean.
    """
    row = risks(exact(STRETCHED), law_target("stretched", STRETCHED, {}))
    sigma = np.array(row["sigma"])[:, None]
    mmse = (STDS**2 * sigma**2 / (STDS**2 + sigma**2)).sum(axis=1)
    for name in ("held_out", "train"):
        assert np.all(np.abs(np.array(row[name]) / mmse - 1.0) < 5.0 * np.sqrt(2.0 / 1024))


def test_measure_frechet_of_gaussians_is_the_closed_form() -> None:
    """Commuting covariances: |m|^2 + sum (s1 - s2)^2; others: SciPy's root of the product."""
    rng = np.random.default_rng(0)
    turn = special_ortho_group.rvs(5, random_state=1)
    a, b, m = rng.uniform(0.1, 2.0, 5), rng.uniform(0.1, 2.0, 5), rng.normal(size=5)
    first = Moments(m, turn @ np.diag(a**2) @ turn.T)
    second = Moments(np.zeros(5), turn @ np.diag(b**2) @ turn.T)
    expected = np.sum(m**2) + np.sum((a - b) ** 2)
    assert frechet(first, second) == pytest.approx(expected, rel=1e-12)
    other = Moments(np.zeros(5), np.diag(b**2))
    root = sqrtm(first.covariance @ other.covariance).real
    expected = np.sum(m**2) + np.trace(first.covariance + other.covariance - 2.0 * root)
    assert frechet(first, other) == pytest.approx(expected, rel=1e-9)


def test_measure_frechet_of_equal_singular_covariances_is_zero() -> None:
    """Rank 10 in 64 dimensions: only rounding is left, 1e-15 of the trace per dimension."""
    x = np.random.default_rng(2).normal(size=(11, 64))
    same = moments(x)
    assert abs(frechet(same, same)) < 1e-10 * np.trace(same.covariance)


def test_moments_and_their_gaussian_agree_with_numpy() -> None:
    """The imitation's mean within 5 standard errors, its covariance within 5 of sqrt(2 / n)."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3)) + 1.0
    mean, covariance = moments(x)
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(covariance, np.cov(x.T), rtol=1e-12)
    drawn = moments(gaussian_like(x, 20_000, rng))
    std = np.sqrt(np.diag(covariance))
    assert np.all(np.abs(drawn.mean - mean) < 5.0 * std / np.sqrt(20_000))
    off = np.abs(drawn.covariance - covariance) / np.outer(std, std)
    assert off.max() < 5.0 * np.sqrt(2.0 / 20_000)
    with pytest.raises(ValueError, match="samples must be at least 2, got 1"):
        moments(x[:1])


def test_the_feature_network_knows_digits_it_has_not_seen() -> None:
    data = make_target("digits")
    guesses = features.feature_network()(torch.from_numpy(data.held_out)).argmax(dim=1).numpy()
    assert np.mean(guesses == data.held_out_labels) > 0.96
    assert features.FILE.stat().st_size < 200_000


@pytest.mark.slow
def test_the_feature_network_is_what_its_recipe_makes() -> None:
    """Another machine sums in another order, which training amplifies: same uses, not same bits.

    Distances agree within 10 % and answers within 1 %; the weights have no other use.
    """
    data = make_target("digits")
    made = features.Classifier()
    weights = {k: torch.from_numpy(v).float() for k, v in features.make_features().items()}
    made.load_state_dict(weights)
    made.eval()
    with torch.inference_mode():
        ours, theirs = (
            [
                net.features(torch.from_numpy(x)).double().numpy()
                for x in (data.train, data.held_out)
            ]
            for net in (features.feature_network(), made)
        )
        guesses = [
            net(torch.from_numpy(data.held_out)).argmax(dim=1)
            for net in (features.feature_network(), made)
        ]
    assert float((guesses[0] == guesses[1]).float().mean()) > 0.99
    a, b = (frechet(moments(x), moments(y)) for x, y in (ours, theirs))
    assert a == pytest.approx(b, rel=0.1)


def test_held_out_digits_pass_every_check_and_others_fail_theirs() -> None:
    """Each check detects the fault it is meant for: blends, a missing class, a Gaussian, copies."""
    data = make_target("digits")
    rng = np.random.default_rng(4)
    real = digits_checks(data.held_out)
    assert failing(real) == set()
    assert real["nearest_ratio"] == 1.0
    assert real["confident"] == real["confident_held_out"] > 0.8
    assert real["frechet_ratio"] < 0.1
    assert failing(digits_checks(data.train[:600])) == {
        "distance to the training images over the held-out images'"
    }
    flat = data.train.reshape(1200, -1).astype(np.float64)
    gaussian = gaussian_like(flat, 600, rng).reshape(-1, 1, 8, 8).astype(np.float32)
    assert "Frechet distance over a Gaussian's" in failing(digits_checks(gaussian))
    blends = 0.5 * (data.train[:600] + data.train[600:])  # of two digits each
    assert "confident" in failing(digits_checks(blends))
    assert data.held_out_labels is not None
    sevens = data.held_out[data.held_out_labels != 7]
    assert "rarest class" in failing(digits_checks(sevens))


def failing(row: dict[str, Any]) -> set[str]:
    return {bar["name"] for bar in row["checks"] if not bar["passed"]}


def test_coupling_gives_back_the_law_whose_pairs_it_is_told() -> None:
    law = np.random.default_rng(5).dirichlet(np.ones(6), 50)
    i, j = np.triu_indices(6, 1)
    np.testing.assert_allclose(coupled(law[:, i] / (law[:, i] + law[:, j])), law, rtol=1e-9)


def test_platts_sigmoid_is_that_of_logistic_margins() -> None:
    """Margins m with P(first) = 1 / (1 + exp(-2 m + 0.5)): within 5 standard errors of 40000."""
    rng = np.random.default_rng(6)
    margins = rng.normal(size=40_000)
    p = 1.0 / (1.0 + np.exp(-2.0 * margins + 0.5))
    slope, offset = platt(margins, rng.random(margins.size) < p)
    x = np.stack([margins, np.ones_like(margins)])
    error = np.sqrt(np.diag(np.linalg.inv((x * p * (1.0 - p)) @ x.T)))  # by Fisher's information
    assert np.all(np.abs([slope + 2.0, offset - 0.5]) < 5.0 * error)
    slope, offset = platt(np.linspace(-1.0, 1.0, 100), np.arange(100) >= 50)  # separable
    assert np.isfinite([slope, offset]).all()
    assert slope < -5.0


def test_the_classifier_is_sure_of_digits_alone() -> None:
    """Shares with p > 0.9 of held-out digits, blends of two, the Gaussian's draws, and noise."""
    data, rng = make_target("digits"), np.random.default_rng(7)
    flat = data.train.reshape(1200, -1).astype(np.float64)
    gaussian = np.clip(gaussian_like(flat, 600, rng), -1.0, 1.0)
    sets = {
        "held_out": data.held_out,
        "blends": 0.5 * (data.train[:600] + data.train[600:]),
        "gaussian": gaussian,
        "noise": rng.uniform(-1.0, 1.0, (600, 64)),
    }
    sure = {name: np.mean(class_probabilities(x).max(axis=1) > 0.9) for name, x in sets.items()}
    assert sure["held_out"] > 0.8
    assert max(sure["blends"], sure["gaussian"], sure["noise"]) < 0.2
    p = class_probabilities(data.held_out)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    assert np.mean(p.argmax(axis=1) == data.held_out_labels) > 0.98


def test_neighbours_are_those_of_a_plain_loop() -> None:
    data = make_target("digits")
    loop = [
        min(float(np.sqrt(np.sum((x.astype(float) - y) ** 2))) for y in data.train)
        for x in data.held_out[:3]
    ]
    np.testing.assert_allclose(nearest(data.held_out[:3], data.train), loop, rtol=1e-12)


def test_the_real_distance_is_taken_at_the_samples_number() -> None:
    """It falls with n, as the bias of covariances of n images in 64 features does."""
    data = make_target("digits")
    few, many = (frechet_digits(data.held_out[:n], data) for n in (100, 500))
    assert few["frechet_real"] > 2.0 * many["frechet_real"]
    assert "100 from 597" in few["frechet_real_is"]


@pytest.mark.parametrize("name", ["digits", "binary-digits", "dna", "mixture", "points"])
def test_every_target_is_evaluated_in_plain_values(name: str) -> None:
    import json

    data = make_target(name)
    denoiser = Predictor(untrained, "edm", sigma_data=data.sigma_data)
    row, samples = evaluate(denoiser, data, 120, 2, seed=0)
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert samples is not None
    assert samples.shape == (120, *data.shape)
    assert row["nfe"] == 3
    assert ("excess" in row) == (data.law is not None)
    again = evaluate(denoiser, data, 120, 2, seed=0)[1]
    assert again is not None
    assert np.array_equal(samples, again)
    assert evaluate(denoiser, data, 0, 2, seed=0)[1] is None
    pixels = picture(samples)
    assert pixels.dtype == np.uint8
    assert pixels.max() > pixels.min()


def test_pictures_show_what_they_are_given() -> None:
    images = np.full((12, 1, 8, 8), -1.0, dtype=np.float32)
    images[11] = 1.0  # the second in the second row
    pixels = picture(images)
    assert pixels.shape == (4 * 17, 4 * 89)
    assert np.all(pixels[36:68, 36:68] == 255)
    assert pixels[:36].max() == pixels[36:, :36].max() == 0
    letters = np.full((1, 4, 3), -1.0, dtype=np.float32)
    letters[0, 2] = 1.0
    assert np.all(picture(letters) == np.array([240, 170, 30]))
    spot = picture(np.array([[1.0, 1.0]] * 5 + [[-1.0, -1.0]], dtype=np.float32))
    dark = np.argwhere(spot == spot.min())
    assert np.all(dark[:, 0] < 200)  # above the middle
    assert np.all(dark[:, 1] > 200)  # right of it
    bars = picture(np.array([[1.0]] * 9 + [[-1.0]], dtype=np.float32))
    height = (bars == 0).sum(axis=0)
    assert height[:200].max() < height[200:].max() == 200
