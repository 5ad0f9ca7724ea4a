"""Predictors of every parametrisation, around networks that know the answer."""

import pytest

torch = pytest.importorskip("torch")

from mixture_network import MixtureDenoiser

from benchmarks.networks.adapters import (
    Predictor,
    edm_time,
    flow_time,
)
from benchmarks.networks.protocol import Counting
from toys import zoo
from toys.mixture import Mixture

TOY = Mixture([0.3, 0.7], [[-1.0, 0.5], [1.0, 0.0]], [0.2, 0.6])
EXACT = MixtureDenoiser(TOY)
SIGMA = torch.tensor([0.01, 0.3, 1.0, 4.0, 70.0], dtype=torch.float64)
X = torch.tensor([[0.1, 0.2], [-1.0, 0.4], [2.0, 0.3], [-5.0, 1.0], [60.0, -40.0]]).double()


def perfect(target: str, scale: str, sigma_data: float = 0.5):
    """A network that turns c_in x and log sigma into the exact target, written the long way."""

    def network(fed, time):
        sigma = time.exp()[:, None]
        c_in = {
            "vp": (1 + sigma**2) ** -0.5,
            "ve": torch.ones_like(sigma),
            "flow": 1 / (1 + sigma),
            "edm": (sigma**2 + sigma_data**2) ** -0.5,
        }[scale]
        x = fed / c_in
        x0 = EXACT(x, sigma[:, 0])
        eps = (x - x0) / sigma
        alpha = (1 + sigma**2) ** -0.5
        if target == "edm":
            c_skip = sigma_data**2 / (sigma**2 + sigma_data**2)
            return (x0 - c_skip * x) / (sigma * sigma_data / (sigma**2 + sigma_data**2) ** 0.5)
        return {
            "eps": eps,
            "x0": x0,
            "v": alpha * eps - alpha * sigma * x0,
            "flow": eps - x0,
        }[target]

    return network


@pytest.mark.parametrize("scale", ["vp", "ve", "flow", "edm"])
@pytest.mark.parametrize("target", ["eps", "x0", "v", "flow", "edm"])
def test_the_exact_target_gives_the_exact_denoiser(target: str, scale: str) -> None:
    """To 1e-11: x0 from eps loses digits at sigma = 70, where x and sigma eps nearly cancel."""
    ours = Predictor(perfect(target, scale), target, torch.log, scale, dtype=torch.float64)
    torch.testing.assert_close(ours(X, SIGMA), EXACT(X, SIGMA), rtol=1e-11, atol=1e-11)


def test_usual_scales_and_times_come_with_the_target() -> None:
    seen = []

    def network(fed, time):
        seen.append((fed, time))
        return torch.zeros_like(fed)

    Predictor(network, "edm", sigma_data=2.0, dtype=torch.float64)(X, SIGMA)
    torch.testing.assert_close(seen[0][0], X / torch.hypot(SIGMA, torch.tensor(2.0))[:, None])
    torch.testing.assert_close(seen[0][1], edm_time(SIGMA))
    Predictor(network, "flow", dtype=torch.float64)(X, SIGMA)
    torch.testing.assert_close(seen[1][0], X * (1 - flow_time(SIGMA))[:, None])
    torch.testing.assert_close(seen[1][1], SIGMA / (1 + SIGMA))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_coarse_network_leaves_the_state_its_digits(dtype) -> None:
    """With eps = 0 it returns x itself, untouched by the precision the network computes in."""
    ours = Predictor(lambda fed, time: torch.zeros_like(fed), "eps", torch.log, dtype=dtype)
    assert torch.equal(ours(X, SIGMA), X)
    assert ours(X.half(), SIGMA).dtype == torch.float32


def test_mixed_precision_is_inside_the_network_only() -> None:
    layer = torch.nn.Linear(2, 2)
    seen = []

    def network(fed, time):
        out = layer(fed)
        seen.append((fed.dtype, time.dtype, out.dtype))
        return out

    out = Predictor(network, "edm", autocast=torch.bfloat16)(X, SIGMA)
    assert seen == [(torch.float32, torch.float32, torch.bfloat16)]
    assert out.dtype == torch.float64


def test_limit_clips_and_conditions_go_by_name() -> None:
    def network(fed, time, class_labels):
        return class_labels[:, None] * torch.ones_like(fed)

    labels = torch.tensor([-3.0, -0.5, 0.0, 0.5, 3.0])
    ours = Predictor(network, "x0", torch.log, limit=1.0)
    out = ours(X, SIGMA, {"class_labels": labels})
    assert out[:, 0].tolist() == [-1.0, -0.5, 0.0, 0.5, 1.0]


def test_counting_counts_the_calls_and_changes_nothing() -> None:
    counted = Counting(EXACT)
    for _ in range(3):
        assert torch.equal(counted(X, SIGMA), EXACT(X, SIGMA))
    assert counted.calls == 3


@pytest.mark.parametrize("name", ["two_points", "gaussians15_overlap", "circle8"])
def test_mixture_in_torch_is_the_compiled_posterior(name: str) -> None:
    toy = zoo.toy(name)
    x = torch.linspace(-9, 9, 40 * toy.dim, dtype=torch.float64).reshape(40, toy.dim)
    for sigma in (0.02, 0.5, 30.0):
        ours = MixtureDenoiser(toy)(x, torch.full((40,), sigma, dtype=torch.float64))
        theirs = torch.tensor(toy.denoise(x.numpy(), sigma))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Predictor(len, "score"), "target must be"),
        (lambda: Predictor(len, "eps"), "time must be given for target 'eps', got None"),
        (lambda: Predictor(len, "edm", scale="vq"), "scale must be"),
        (lambda: Predictor(len, "edm", sigma_data=0.0), "sigma_data must be positive, got 0"),
        (lambda: Predictor(len, "edm", limit=-1.0), "limit must be positive, got -1"),
        (
            lambda: Predictor(lambda fed, time: fed[:, :1], "edm")(X, SIGMA),
            r"network must answer with the shape of its input, \(5, 2\), got \(5, 1\)",
        ),
    ],
)
def test_bad_input_is_one_clear_line(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
