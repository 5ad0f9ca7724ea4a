"""The torch samplers against the compiled ones: equal tables, equal noise, equal samples."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from mixture_network import MixtureDenoiser

from benchmarks.networks.protocol import Counting
from benchmarks.networks.sampling import (
    philox,
    sample,
    sample_batches,
    walk,
)
from theory.schedules.standard import (
    edm_sigmas,
    log_snr_sigmas,
)
from theory.solvers.registry import (
    SOLVERS,
    make_table,
    shape_table,
)
from toys import (
    sampling,
    zoo,
)
from toys.mixture import Mixture

PLANE = zoo.toy("circle8")
FOUR = Mixture([0.2, 0.5, 0.3], np.random.default_rng(0).normal(size=(3, 4)), [0.5, 0.7, 1.0])


@pytest.mark.parametrize("terminal", ["stop", "zero"])
@pytest.mark.parametrize("name", SOLVERS)
def test_every_solver_gives_the_compiled_samples(name: str, terminal: str) -> None:
    """Equal to 1e-10: rounding of two orders of summation, grown by the steps between modes."""
    solver = shape_table(name, edm_sigmas(12, 80.0, 0.05, terminal))
    counted = Counting(MixtureDenoiser(FOUR))
    ours = sample(counted, solver, (4,), 60, seed=5, path=2**33, batch=60)
    assert counted.calls == solver.nfe
    theirs = sampling.sample(FOUR, solver, 60, 5, 2**33)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-10, atol=1e-10)


ITERATIONS = [
    ("re_multi", {"prior": "printed"}),
    ("re_multi", {"prior": "minimiser", "channels": 2}),
    ("re_multi_2025", {"channels": 4, "mu": 0.2}),
    ("evodiff", {"channels": 2}),
    ("evodiff", {"channels": 1, "special_last": False}),
]


@pytest.mark.parametrize("steps", [1, 2, 8, 24])
@pytest.mark.parametrize(("name", "options"), ITERATIONS)
def test_iterations_agree_with_any_options_and_steps(name: str, options, steps: int) -> None:
    """24 steps take the released code's other branch; 1 and 2 its first and last steps alone."""
    solver = make_table(name, log_snr_sigmas(steps, 20.0, 0.3), **options)
    counted = Counting(MixtureDenoiser(FOUR))
    ours = sample(counted, solver, (4,), 50, seed=1)
    assert counted.calls == solver.nfe
    theirs = sampling.sample(FOUR, solver, 50, 1)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-9, atol=1e-9)


def test_channels_of_an_image_are_groups_of_its_coordinates() -> None:
    """(2, 1, 2) with channels = 2 is what four coordinates in two groups are."""
    solver = make_table("evodiff", log_snr_sigmas(6, 20.0, 0.3), channels=2)
    flat = MixtureDenoiser(FOUR)

    def image(x, sigma, condition=None):
        return flat(x.reshape(-1, 4), sigma).reshape(x.shape)

    ours = sample(image, solver, (2, 1, 2), 20, seed=1)
    torch.testing.assert_close(ours.reshape(20, 4), sample(flat, solver, (4,), 20, seed=1))


def test_batches_do_not_show_and_come_in_order() -> None:
    """The exact denoiser works sample by sample but for the last bits of vectorised functions."""
    solver = make_table("sde_dpmpp_2m", edm_sigmas(6, 80.0, 0.1))
    whole = sample(MixtureDenoiser(PLANE), solver, (2,), 50, seed=3, path=10)
    parts = list(sample_batches(MixtureDenoiser(PLANE), solver, (2,), 50, 3, 10, batch=7))
    assert [len(p) for p in parts] == [7] * 7 + [1]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=1e-12, atol=1e-12)


def test_conditions_follow_their_samples() -> None:
    def shifted(x, sigma, condition):
        return condition["class_labels"].double()[:, None] * torch.ones_like(x)

    solver = make_table("ddim", [5.0, 1.0, 0.0])
    labels = torch.arange(10)
    out = sample(shifted, solver, (3,), 10, seed=0, batch=4, condition={"class_labels": labels})
    assert torch.equal(out, labels.double()[:, None].expand(10, 3))


def test_states_may_be_single_precision() -> None:
    """Seven steps of float32 arithmetic: within some 1e-5 of float64, and not equal to it."""
    solver = make_table("heun", edm_sigmas(4, 5.0, 0.3))
    wide = sample(MixtureDenoiser(PLANE), solver, (2,), 200, seed=3)
    slim = sample(MixtureDenoiser(PLANE), solver, (2,), 200, seed=3, dtype=torch.float32)
    assert slim.dtype == torch.float32
    gap = (slim - wide).abs().max()
    assert 1e-8 < gap < 1e-4


@pytest.mark.parametrize("name", ["re_multi", "re_multi_2025", "evodiff"])
def test_equal_outputs_in_single_precision_are_no_division_by_zero(name: str) -> None:
    """Of a constant denoiser every difference of outputs is 0, and its square with it."""
    solver = make_table(name, np.geomspace(80.0, 0.002, 12))

    def constant(x, sigma, condition=None):
        return torch.full_like(x, 0.5)

    wide = sample(constant, solver, (2,), 50, seed=3)
    slim = sample(constant, solver, (2,), 50, seed=3, dtype=torch.float32)
    assert (slim - wide).abs().max() < 1e-5


def test_a_diverging_network_is_an_error_that_names_the_path() -> None:
    def broken(x, sigma, condition=None):
        return torch.where(x == x[2], torch.nan, x)

    solver = make_table("ddim", [5.0, 1.0, 0.1])
    with pytest.raises(ValueError, match="got 1 of 5 that are not, the first on path 9"):
        sample(broken, solver, (2,), 5, seed=0, path=7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n must be"),
        ({"path": -1}, "path must be"),
        ({"batch": 0}, "batch must be"),
        ({"seed": 2**32}, "seed must be"),
        (
            {"condition": {"class_labels": torch.zeros(3)}},
            "condition must have 4 rows in class_labels, got 3",
        ),
    ],
)
def test_bad_input_is_one_clear_line(options, message: str) -> None:
    given = {"n": 4, "seed": 0, "path": 0, "batch": 2} | options
    solver = make_table("ddim", [5.0, 1.0])
    with pytest.raises(ValueError, match=message):
        sample(MixtureDenoiser(PLANE), solver, (2,), **given)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", ["stochastic_ddim", "unipc_3", "evodiff", "re_multi"])
def test_the_card_gives_the_samples_of_the_processor(name: str) -> None:
    solver = make_table(name, edm_sigmas(12, 80.0, 0.05))
    ours = sample(MixtureDenoiser(FOUR, "cuda"), solver, (4,), 60, seed=5, device="cuda")
    theirs = sampling.sample(FOUR, solver, 60, 5)
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-9, atol=1e-9)


def test_walks_leave_their_starts_alone() -> None:
    solver = make_table("dpmpp_3m", edm_sigmas(6, 5.0, 0.3))
    start = torch.ones(3, 2, dtype=torch.float64)
    paths = torch.arange(3)
    walk(MixtureDenoiser(PLANE), solver, start, paths, philox(0, paths, (2,), start.dtype))
    assert torch.equal(start, torch.ones(3, 2, dtype=torch.float64))
