"""Paper B's identities and bounds, against quadrature, Monte Carlo and exact laws."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.engine.setting import Setting
from benchmarks.measure import divergences
from benchmarks.measure.pathwise import split, terminal_kl
from tests.oracle_las import path_mismatch, path_mismatch_sampled
from theory import bounds
from theory.gaussian import gaussian_conditional_entropy, gaussian_kl_data_model, gaussian_mmse
from theory.schedules.standard import log_snr_sigmas
from theory.solvers.registry import make_table
from toys import sampling, zoo
from toys.information import information
from toys.information.wrong import WrongDenoiser
from toys.mixture import Mixture

TWO = zoo.toy("two_points")


def parts(toy: Mixture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return toy.weights, toy.means[:, 0], toy.stds[:, 0]


def random_case(seed: int) -> tuple[Mixture, WrongDenoiser, np.ndarray]:
    rng = np.random.default_rng(seed)

    def mixture(points: bool) -> Mixture:
        k = int(rng.integers(1, 5))
        stds = np.zeros(k) if points else rng.uniform(0.05, 0.5, k)
        return Mixture(rng.uniform(0.2, 1.0, k), rng.uniform(-2.0, 2.0, k), stds)

    truth, model = mixture(seed % 4 == 3), mixture(seed % 5 == 4)
    wrong = WrongDenoiser(model, rng.uniform(0.8, 1.1), rng.uniform(-0.05, 0.05))
    levels = np.sort(rng.uniform(np.log(0.1), np.log(10.0), int(rng.integers(3, 9))))
    return truth, wrong, np.exp(levels[::-1])


def test_two_points_with_the_denoiser_of_the_specification() -> None:
    # docs/papers/b.md, Check values: denoiser 0.9 tanh(1.1 y / tau), T = 25, delta = 0.02, K = 8.
    wrong = WrongDenoiser(Mixture([1, 1], [-1.1, 1.1], 0), 0.9 / 1.1)
    sigmas = np.geomspace(5.0, 0.02**0.5, 9)
    x = np.linspace(-4.0, 4.0, 9)
    np.testing.assert_allclose(
        wrong.denoise(x, 0.8), 0.9 * np.tanh(1.1 * x / 0.64), rtol=1e-13, atol=1e-300
    )
    disc, approx = split(TWO, sigmas, wrong)
    assert round(disc.sum(), 5) == 0.42516
    assert round(approx.sum(), 5) == 0.23295
    entropy = information.conditional_entropy(TWO, sigmas)
    assert round(entropy[0] - entropy[-1], 6) == 0.673537
    errors = [wrong.error(TWO, s) for s in sigmas.tolist()]
    risk = information.mmse(TWO, sigmas) + errors
    np.testing.assert_allclose(bounds.pathwise_kl(sigmas, risk, entropy), disc + approx, rtol=1e-11)


@pytest.mark.parametrize("seed", range(12))
def test_three_forms_of_the_pathwise_kl_agree(seed: int) -> None:
    truth, wrong, sigmas = random_case(seed)
    disc, approx = split(truth, sigmas, wrong)
    direct = path_mismatch(parts(truth), parts(wrong.model), wrong.scale, wrong.tilt, sigmas, 1e-10)
    assert disc.sum() + approx.sum() == pytest.approx(direct, rel=1e-9)  # (3.3) = (3.2)
    errors = [wrong.error(truth, s) for s in sigmas.tolist()]
    risk = information.mmse(truth, sigmas) + errors
    entropy = -information.mutual_information(truth, sigmas)
    total = bounds.pathwise_kl(sigmas, risk, entropy).sum()
    assert total == pytest.approx(direct, rel=1e-9)  # (5.1) = (3.2)


@pytest.mark.parametrize("seed", [0, 3, 4])
def test_monte_carlo_of_the_pathwise_kl(seed: int) -> None:
    truth, wrong, sigmas = random_case(seed)
    mean, stderr = path_mismatch_sampled(
        parts(truth), parts(wrong.model), wrong.scale, wrong.tilt, sigmas, 100_000, seed
    )
    disc, approx = split(truth, sigmas, wrong)
    assert abs(mean - disc.sum() - approx.sum()) < 4 * stderr


@pytest.mark.parametrize("seed", [0, 1, 2, 5, 6, 7])
def test_the_pathwise_kl_bounds_the_terminal_one(seed: int) -> None:
    truth, wrong, sigmas = random_case(seed)
    disc, approx = split(truth, sigmas, wrong)
    exact = terminal_kl(truth, sigmas, rtol=1e-6).value
    mistaken = terminal_kl(truth, sigmas, wrong, rtol=1e-6).value
    assert exact is not None
    assert mistaken is not None
    assert 0 < exact <= disc.sum()
    assert 0 < mistaken <= disc.sum() + approx.sum()
    noisy = terminal_kl(truth, sigmas, wrong, "noise", rtol=1e-6).value
    start = divergences.start_kl(truth, float(sigmas[0]), float(sigmas[0]))[0]
    assert noisy is not None
    assert noisy <= disc.sum() + approx.sum() + start


def test_a_wrong_denoiser_starts_from_the_true_law() -> None:
    # Gaussian data and a Gaussian model: one step of a linear map, its variance by hand.
    truth, wrong = Mixture([1], [0], 0.5), WrongDenoiser(Mixture([1], [0], 1.2), 0.9, -0.03)
    a, b = 2.0, 0.3
    keep = b**2 / a**2
    gain = 0.9 * 1.44 / (1.44 + a**2) - 0.03
    variance = (keep + (1 - keep) * gain) ** 2 * (0.25 + a**2) + b**2 * (1 - keep)
    found = terminal_kl(truth, np.array([a, b]), wrong).value
    assert found == pytest.approx(float(gaussian_kl_data_model(0.25 + b**2, variance)), rel=1e-8)


def test_a_wrong_denoiser_that_is_right_changes_nothing() -> None:
    truth, _, sigmas = random_case(0)
    same = WrongDenoiser(truth)
    assert split(truth, sigmas, same)[1].max() < 1e-12
    assert terminal_kl(truth, sigmas, same).value == pytest.approx(
        terminal_kl(truth, sigmas).value, rel=1e-8
    )


def test_a_wrong_denoiser_in_the_table_is_the_one_in_the_walk() -> None:
    _, wrong, sigmas = random_case(1)
    table = make_table("dpmpp_2m", sigmas)
    applied = wrong.applied(table)
    x = np.random.default_rng(0).normal(size=(5, 1)) * sigmas[0]
    states, outputs = [x], []
    for r in range(table.nfe):
        outputs.append(wrong.denoise(states[-1], float(table.sigma[r])))
        new = sum(table.keep[r, h] * states[r - h] for h in range(table.keep.shape[1]))
        reach = range(min(table.weights.shape[1], r + 1))
        states.append(new + sum(table.weights[r, h] * outputs[r - h] for h in reach))
    walked = sampling.walk_states(wrong.model, applied, x, 0)
    np.testing.assert_allclose(walked, states[-1], rtol=1e-11, atol=1e-11)


def test_error_of_a_wrong_denoiser_of_a_gaussian_in_closed_form() -> None:
    truth, wrong = Mixture([1], [0], 0.5), WrongDenoiser(Mixture([1], [0], 1.2), 0.9, -0.03)
    for s in (0.05, 0.7, 20.0):
        right = 0.25 / (0.25 + s**2)
        taken = 0.9 * 1.44 / (1.44 + s**2) - 0.03
        assert wrong.error(truth, s) == pytest.approx(
            (right - taken) ** 2 * (0.25 + s**2), rel=1e-11
        )


def test_gaussian_discretisation_error_in_closed_form() -> None:
    # Per step, with u = c^-2 + snr: (rise of u over u, minus the log of the ratio of u) / 2.
    sigmas, c = np.geomspace(80.0, 0.05, 7), 0.7
    u = c**-2.0 + sigmas**-2.0
    expected = 0.5 * (np.diff(u) / u[:-1] - np.log(u[1:] / u[:-1]))
    entropy = gaussian_conditional_entropy(sigmas, c)
    got = bounds.discretisation_error(sigmas, gaussian_mmse(sigmas, c), entropy)
    np.testing.assert_allclose(got, expected, rtol=1e-10)


@pytest.mark.parametrize("name", ["two_points", "points15"])
def test_entropy_bounds_hold_on_points(name: str) -> None:
    toy = zoo.toy(name)
    h = information.renyi_entropy(toy, 0.5)
    sigmas = log_snr_sigmas(12, 20.0, 0.01)
    snr = sigmas**-2.0
    fine = np.geomspace(0.01, 20.0, 400)
    slope = np.array(
        [float(np.mean(toy.posterior_variance(toy.sample_noisy(4000, s, 0), s) ** 2)) for s in fine]
    )
    assert (slope <= bounds.mmse_slope_bound(fine, h)).all()
    disc = split(toy, sigmas)[0].sum()
    assert disc <= bounds.entropy_bound(sigmas, h)
    ratio = float(snr[-1] / snr[0])
    loose = bounds.geometric_bound(12, ratio, h)
    assert bounds.entropy_bound(sigmas, h) == pytest.approx(loose, rel=1e-12)
    many = 40
    assert bounds.geometric_bound(many, ratio, h) <= bounds.geometric_kl_bound(many, ratio, h, 0.0)
    # mmse' of two points at +-1 is at most E Var^2 <= 1 in size: eq. 4.3 with L_k = 1.
    if name == "two_points":
        assert disc <= bounds.slope_bound(sigmas, np.ones(12))


def test_constants_by_hand() -> None:
    # h = 2: h^2 + h + 1 = 7; snr from 1 to 4.
    assert bounds.mmse_slope_bound(0.5, 2.0) == pytest.approx(64 * 7 / 16)
    assert bounds.slope_bound([1.0, 0.5], [2.0]) == pytest.approx(0.25 * 9 * 2)
    assert bounds.entropy_bound([1.0, 0.5], 2.0) == pytest.approx(16 * 7 * 9)
    assert bounds.geometric_bound(1, 4.0, 2.0) == pytest.approx(16 * 7 * 9)
    rate = np.e - 1.0
    assert bounds.geometric_kl_bound(2, np.e, 1.0, 0.3) == pytest.approx(
        16 * rate**2 * 3 / 2 + 0.5 * rate * 0.3
    )
    assert bounds.geometric_approximation(4.0, [0.1, 0.5]) == pytest.approx(0.5 * 0.6)


def test_slope_bound_with_the_steepest_slopes() -> None:
    sigmas, c = np.geomspace(5.0, 0.1, 9), 0.7
    u = c**-2.0 + sigmas**-2.0  # mmse = 1 / u, steepest at the start of a step
    disc = 0.5 * (np.diff(u) / u[:-1] - np.log(u[1:] / u[:-1])).sum()
    bound = bounds.slope_bound(sigmas, u[:-1] ** -2.0)
    assert disc < bound < 2 * disc


def test_geometric_grid_minimises_the_entropy_bound() -> None:
    best = bounds.entropy_bound(log_snr_sigmas(6, 10.0, 0.1), 1.0)
    for seed in range(50):
        inner = np.random.default_rng(seed).uniform(np.log(0.1), np.log(10.0), 5)
        sigmas = np.concatenate([[10.0], np.exp(np.sort(inner)[::-1]), [0.1]])
        assert bounds.entropy_bound(sigmas, 1.0) >= best


def test_approximation_on_the_geometric_grid() -> None:
    sigmas = log_snr_sigmas(5, 10.0, 0.1)
    noise_errors = np.array([0.1, 0.2, 0.05, 0.3, 0.01])
    denoiser = np.append(noise_errors * sigmas[:-1] ** 2, 0.0)  # E|m - D|^2 = sigma^2 E|eps|^2
    assert bounds.approximation_error(sigmas, denoiser).sum() == pytest.approx(
        bounds.geometric_approximation(1e4, noise_errors), rel=1e-12
    )


def test_proposition_8() -> None:
    # log p of a fair coin's product is constant: nu = 0 and h = H.
    assert bounds.renyi_half_bound(np.log(2.0), 0.0) == np.log(2.0)
    assert bounds.renyi_half_bound(1.0, 2.0) == 2.0
    toy = Mixture([0.7, 0.2, 0.1], [0, 1, 2], 0)
    entropy, h = information.entropy(toy), information.renyi_entropy(toy, 0.5)
    content = -np.log(toy.weights) - entropy
    # The least nu with E exp(l content) <= exp(nu^2 l^2 / 2) for |l| <= 1/2 (b = 2).
    l_grid = np.concatenate([np.linspace(-0.5, -1e-3, 200), np.linspace(1e-3, 0.5, 200)])
    logs = np.log(np.exp(l_grid[:, None] * content) @ toy.weights)
    nu = float(np.sqrt(np.max(2 * logs / l_grid**2)))
    assert entropy < h <= bounds.renyi_half_bound(entropy, nu) * (1 + 1e-12)


def test_pathwise_kl_is_measured_beside_that_of_the_terminal_laws() -> None:
    """By data processing, from the true law as start, the pathwise KL is the larger."""
    sigmas = np.geomspace(20.0, 0.05, 6)
    metrics = (("kl_data_model", 1e-8), ("pathwise_kl", 1e-8))
    shared = Setting("gaussians5", "log_snr", 5, start="data", metrics=metrics)
    terminal, pathwise = replace(shared, sigmas=tuple(sigmas.tolist())).run()
    assert 0 < terminal["value"] < pathwise["value"]
    assert pathwise["value"] == float(np.sum(split(zoo.toy("gaussians5"), sigmas)[0]))
    assert terminal["value"] == terminal_kl(zoo.toy("gaussians5"), sigmas).value
    assert terminal["nfe"] == terminal["n_steps"] == 5
    assert [terminal["route"], pathwise["route"]] == ["exact law", "mmse"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bounds.discretisation_error([2, 1, 0], [1] * 3, [1] * 3), "sigmas must be pos"),
        (lambda: bounds.discretisation_error([1, 2], [1] * 2, [1] * 2), "sigmas must fall strict"),
        (lambda: bounds.discretisation_error([2, 1], [1], [1] * 2), "mmse must have shape"),
        (lambda: bounds.discretisation_error([2, 1], [1, -1], [1] * 2), "mmse must be at least 0"),
        (lambda: bounds.slope_bound([2, 1], [1, 2]), r"steepest must have shape \(1,\)"),
        (lambda: bounds.slope_bound([2, 1], [-1]), "steepest must be at least 0"),
        (lambda: bounds.geometric_bound(4, 1.0, 1.0), "ratio must be above 1, got 1"),
        (lambda: bounds.geometric_bound(4, 2.0, -1.0), "renyi_half must be at least 0"),
        (lambda: bounds.geometric_kl_bound(4, 1e4, 1.0, 0.0), r"at least log\(ratio\) = 9.21"),
        (lambda: bounds.mmse_slope_bound(0.0, 1.0), "sigma must be positive, got 0"),
        (lambda: bounds.renyi_half_bound(-1.0, 0.0), "entropy must be at least 0"),
        (lambda: information.renyi_entropy(zoo.toy("gaussian"), 0.5), "stds must be 0"),
        (lambda: information.renyi_entropy(TWO, -0.5), "order must be at least 0"),
    ],
)
def test_bad_input_is_one_clear_line(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
