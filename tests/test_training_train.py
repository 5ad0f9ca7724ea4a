"""The training loop: its loss, its average, and runs that go on as if never interrupted."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WHY = "needs the extra `networks`; make test-all has it"
torch = pytest.importorskip("torch", reason=WHY)
pytest.importorskip("sklearn", reason=WHY)

from scipy.stats import kstest

from benchmarks.training import state
from benchmarks.training.evaluate import excess_loss
from benchmarks.training.features import threads
from benchmarks.training.recipe import Recipe
from benchmarks.training.targets import (
    Target,
    law_target,
    make_target,
)
from benchmarks.training.train import (
    RAMP,
    Ema,
    Trainer,
    train,
)
from toys.mixture import Mixture

UNET = {"name": "unet", "channels": 1, "width": 8, "multipliers": [1, 2], "dropout": 0.2}
MLP = {"name": "mlp", "dim": 2, "width": 32, "depth": 2}
LEARNING = {"bins": 8, "least": 1, "refresh": 2, "warmup": 3, "capacity": 16}
IMAGES = Recipe(
    "digits", UNET, noise="infonoise", noise_options=LEARNING, batch=16, steps=9, lr=1e-2,
    lr_warmup=3, lr_decay=0.5, log_every=2, log_rows=5, ema_half_life=50.0,
)  # fmt: skip
STRETCHED = Mixture([1.0], [[0.5, 0.0]], [[1.0, 0.2]])


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads(1):
        yield


def stretched() -> Target:
    """A Gaussian that the preconditioning does not fit: a std of its own per axis, and a mean."""
    return law_target("stretched", STRETCHED, {})


def everything(trainer: Trainer) -> dict[str, Any]:
    """Every tensor, array and number of a state, by its path."""

    def walk(value: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from walk(item, f"{path}/{key}")
        elif isinstance(value, list | tuple):
            for i, item in enumerate(value):
                yield from walk(item, f"{path}/{i}")
        else:
            yield path, value.detach().numpy() if torch.is_tensor(value) else value

    return dict(walk(trainer.state(), ""))


def assert_same(a: Trainer, b: Trainer) -> None:
    ours, theirs = everything(a), everything(b)
    assert ours.keys() == theirs.keys()
    for path, value in ours.items():
        same = np.array_equal(value, theirs[path], equal_nan=path == "/noise/mean")
        nothing = isinstance(value, float) and np.isnan(value) and np.isnan(theirs[path])
        assert same or nothing, path


@pytest.mark.parametrize(
    "stop", [1, *np.random.default_rng(0).choice(np.arange(2, 9), 2, False).tolist()]
)
def test_a_run_stopped_anywhere_and_resumed_is_the_same_to_the_bit(
    stop: int, tmp_path: Path
) -> None:
    """Weights, average, optimiser, InfoNoise, log: with dropout, and a foreign use of the seed."""
    data = make_target("digits")
    whole = Trainer(IMAGES, data, seed=5)
    for _ in range(IMAGES.steps):
        whole.step()
    first = Trainer(IMAGES, data, seed=5)
    for _ in range(stop):
        first.step()
    state.save_state(tmp_path, {**first.state(), "seconds": 0.0})
    torch.manual_seed(1234)
    second = Trainer(IMAGES, data, seed=5)
    found = state.load_state(tmp_path)
    assert found is not None
    second.load(found)
    assert_same(second, first)
    torch.rand(7)
    while second.done < IMAGES.steps:
        second.step()
    assert_same(second, whole)
    assert whole.noise.refreshes >= 2  # the noise has learnt something


def test_another_seed_is_another_run() -> None:
    a, b = (Trainer(IMAGES, make_target("digits"), seed) for seed in (5, 6))
    assert not torch.equal(next(a.network.parameters()), next(b.network.parameters()))
    assert not np.array_equal(a.losses(0)[0], b.losses(0)[0])
    assert np.array_equal(a.losses(3)[0], a.losses(3)[0])
    assert torch.equal(a.losses(3)[1], a.losses(3)[1])


def test_noisy_states_are_the_data_plus_fresh_noise_of_their_level(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """(x - x0) / sigma is normal, and other noise at every step; float32 states at sigma > 0.01.

    Kolmogorov-Smirnov, false alarms one in ten thousand; correlations of 6400 numbers below 5
    standard errors.
    """
    recipe = Recipe("gaussian", MLP, noise="log_uniform", noise_options={"sigma_min": 0.01})
    trainer, seen, noises = Trainer(replace(recipe, batch=3200), make_target("gaussian")), [], []

    def spy(x: Any, level: Any) -> Any:
        seen.append((x, level))
        return x

    monkeypatch.setattr(trainer, "_denoise", spy)
    for step in range(2):
        sigma, errors = trainer.losses(step)
        x, level = seen[step]
        assert np.array_equal(level.numpy(), sigma)
        noise = (x.numpy() - trainer.target.batch(3200, 0, step)) / sigma[:, None]
        noises.append(noise.ravel())
        np.testing.assert_allclose(  # D = x here
            errors.numpy(), np.sum((sigma[:, None] * noise) ** 2, axis=1), rtol=1e-5
        )
        assert kstest(noises[step], "norm").pvalue > 1e-4
    assert abs(np.corrcoef(noises)[0, 1]) < 5.0 / np.sqrt(6400)


def test_the_noise_is_told_the_losses_without_their_weight(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer, told = Trainer(IMAGES, make_target("digits")), []
    monkeypatch.setattr(trainer.noise, "record", lambda sigma, loss: told.append((sigma, loss)))
    expected = [trainer.losses(0)]
    trainer.step()
    expected.append(trainer.losses(1))
    trainer.step()
    for (sigma, loss), (level, errors) in zip(told, expected, strict=True):
        assert np.array_equal(sigma, level)
        assert np.array_equal(loss, errors.detach().double().numpy())
    logged = {(level, loss) for _, level, loss in trainer.log}
    assert len(logged) == 5
    assert logged <= set(zip(*told[0], strict=True))


def test_a_broken_state_is_refused_in_one_line(tmp_path: Path) -> None:
    trainer = Trainer(IMAGES, make_target("digits"))
    state.save_state(tmp_path, {**trainer.state(), "seconds": 0.0})
    path = tmp_path / state.FILE
    whole = path.read_bytes()
    evil = tmp_path / "evil"
    torch.save({"step": Path("/")}, evil)  # loading it would run code
    for content in (b"", whole[:-100], b"nonsense" * 50, evil.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="the file must be a whole training state") as error:
            state.load_state(tmp_path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)
    torch.save({"step": 1}, path)
    with pytest.raises(ValueError, match="the file must be a training state, got dict"):
        state.load_state(tmp_path)
    assert state.load_state(tmp_path / "nowhere") is None


def test_the_average_is_that_of_a_plain_loop() -> None:
    """Half-life H: a = 2^(-batch / min(H, 0.05 seen)) a + (1 - ...) theta; single precision."""
    network = torch.nn.Linear(3, 2)
    ema = Ema(network, half_life=100.0)
    plain = {k: v.detach().double().clone() for k, v in network.named_parameters()}
    generator, seen, batch = torch.Generator().manual_seed(0), 0, 16
    for _ in range(200):
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator))
        seen += batch
        keep = 2.0 ** (-batch / min(100.0, RAMP * seen))
        for name, parameter in network.named_parameters():
            plain[name] = keep * plain[name] + (1.0 - keep) * parameter.detach().double()
        ema.update(network, batch, seen)
    for name, parameter in ema.network.named_parameters():
        torch.testing.assert_close(parameter.double(), plain[name], rtol=1e-5, atol=1e-6)


def test_the_half_life_halves_the_weight_of_the_past() -> None:
    network = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(network.weight)
    ema = Ema(network, half_life=320.0)
    torch.nn.init.ones_(network.weight)
    for _ in range(10):
        ema.update(network, 32, 10**6)
    assert float(ema.network.weight) == pytest.approx(0.5, rel=1e-6)


def test_an_untrained_network_loses_one_a_coordinate_with_edms_weight() -> None:
    """D = c_skip x gives w E|D - x0|^2 = 1 per coordinate at all sigma, for std sigma_data, mean 0.

    Within 5 standard errors of 40000 samples, at noise levels of the whole range.
    """
    data = make_target("gaussian", std=0.7)
    for name, options in (("log_uniform", {}), ("edm", {}), ("uniform_time", {})):
        recipe = Recipe("gaussian", MLP, noise=name, noise_options=options, batch=40_000)
        trainer = Trainer(recipe, data)
        sigma, errors = trainer.losses(0)
        scale = 0.7 / data.sigma_data  # sigma_data is measured
        weighted = trainer.noise.weight(sigma) * errors.detach().double().numpy() / data.dim
        error = weighted.std() / np.sqrt(weighted.size)
        assert abs(weighted.mean() - 1.0) < 5.0 * error + abs(scale**2 - 1.0)
        half = sigma < np.median(sigma)
        assert abs(weighted[half].mean() - weighted[~half].mean()) < 10.0 * error + 0.05


def test_training_approaches_the_exact_posterior_mean() -> None:
    """On a stretched Gaussian the excess E|D - m|^2 falls by thirty with EDM's noise and weight.

    Within two stds of that noise it ends below 1 % of the data's variance at every level.
    Estimates from 4096 samples per level have relative standard errors of a few per cent.
    """
    recipe = Recipe(
        "gaussian", MLP, batch=256, steps=400, lr=5e-3, lr_warmup=20, lr_decay=0.5,
        ema_half_life=2000.0, log_every=0,
    )  # fmt: skip
    data = stretched()
    trainer = Trainer(recipe, data, seed=1)
    before = excess_loss(trainer.denoiser(), STRETCHED, data.sigma_data)
    ticks: list[int] = []
    train(trainer, _nothing, dict, ticks.append)
    after = excess_loss(trainer.denoiser(), STRETCHED, data.sigma_data)
    assert len(ticks) == 400
    assert trainer.log == []
    assert after["edm"] < before["edm"] / 30.0
    near = np.abs(np.log(after["sigma"]) + 1.2) < 2.4
    assert np.array(after["excess"])[near].max() < 0.01 * STRETCHED.variance


def test_evaluations_are_kept_and_saved_where_the_recipe_wants_them() -> None:
    recipe = Recipe("gaussian", MLP, batch=100, steps=6, evaluate_kex=(0.2, 0.45))
    trainer, calls = Trainer(recipe, make_target("gaussian")), []

    def evaluate() -> dict[str, Any]:
        calls.append("evaluate")
        return {"x": trainer.done}

    train(trainer, lambda: calls.append("save"), evaluate, lambda _: None)
    assert trainer.history == [{"kex": 0.2, "x": 2}, {"kex": 0.5, "x": 5}]
    assert calls == ["evaluate", "save"] * 2


def test_states_are_saved_by_the_clock() -> None:
    recipe = Recipe("gaussian", MLP, batch=4, steps=5)
    saves: list[int] = []
    trainer = Trainer(recipe, make_target("gaussian"))
    train(trainer, lambda: saves.append(trainer.done), dict, lambda _: None, every=0.0)
    assert saves == [1, 2, 3, 4, 5]


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    recipe = Recipe("gaussian", MLP, batch=8, steps=50, lr=1e30, lr_warmup=0)
    trainer = Trainer(recipe, make_target("gaussian"))
    with pytest.raises(ValueError, match=r"lr must keep the loss finite, got 1e\+30 at step \d"):
        train(trainer, _nothing, dict, lambda _: None)


def test_told_levels_are_below_those_of_the_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The inputs, their levels and all else stay as they are without the shift."""
    seen: list[tuple[Any, Any]] = []
    for shift in (0.0, 0.5):
        recipe = Recipe("gaussian", MLP, batch=512, told_shift=shift)
        trainer = Trainer(recipe, stretched(), 3)
        monkeypatch.setattr(trainer, "_denoise", lambda x, told: seen.append((x, told)) or x)
        sigma, _ = trainer.losses(4)
    (x, level), (same, told) = seen
    assert torch.equal(x, same)
    np.testing.assert_array_equal(level.numpy(), sigma)
    shifts = np.log(sigma / told.numpy())
    assert 0.0 <= shifts.min() < 0.02
    assert 0.48 < shifts.max() <= 0.5
    assert shifts.mean() == pytest.approx(0.25, abs=0.02)


def test_half_precision_is_for_the_network_alone() -> None:
    """bfloat16 inside: weights and losses stay float32, answers differ by its rounding, 2^-8."""
    recipe = Recipe("gaussian", MLP, batch=64, steps=20, lr=1e-2)
    exact, half = (
        Trainer(replace(recipe, precision=p), make_target("gaussian"))
        for p in ("float32", "bfloat16")
    )
    for trainer in (exact, half):
        for _ in range(20):
            trainer.step()
        assert all(p.dtype == torch.float32 for p in trainer.network.parameters())
    a, b = exact.losses(30)[1].detach(), half.losses(30)[1].detach()
    assert a.dtype == b.dtype == torch.float32
    assert not torch.equal(a, b)
    assert abs(float(a.mean() / b.mean()) - 1.0) < 0.1
    with pytest.raises(ValueError, match="precision must be float32 or bfloat16 on the CPU"):
        Trainer(replace(recipe, precision="float16"), make_target("gaussian"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_card_trains_and_resumes_too(precision: str, tmp_path: Path) -> None:
    """Losses stay near those of the CPU's run with other noise; half precision rounds by 2^-8."""
    recipe = replace(IMAGES, precision=precision, batch=256, steps=30)
    data = make_target("digits")
    card = Trainer(recipe, data, seed=5, device="cuda")
    for _ in range(20):
        card.step()
    state.save_state(tmp_path, {**card.state(), "seconds": 0.0})
    other = Trainer(recipe, data, seed=5, device="cuda")
    found = state.load_state(tmp_path)
    assert found is not None
    other.load(found)
    for trainer in (card, other):
        while trainer.done < recipe.steps:
            trainer.step()
    a, b = (np.mean([row[2] for row in t.log[-50:]]) for t in (card, other))
    assert a == pytest.approx(b, rel=0.05)
    plain = Trainer(replace(recipe, precision="float32"), data, seed=5)
    weighted = [
        float(np.mean(t.noise.weight(s) * e.detach().cpu().double().numpy()))
        for t, (s, e) in ((t, t.losses(0)) for t in (Trainer(recipe, data, 5, "cuda"), plain))
    ]
    assert weighted[0] == pytest.approx(weighted[1], rel=0.2)


def _nothing() -> None:
    pass
