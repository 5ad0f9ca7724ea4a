"""`run_training`: what a run leaves, interruptions, and folders that are refused."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

WHY = "needs the extra `networks`; make test-all has it"
torch = pytest.importorskip("torch", reason=WHY)
pytest.importorskip("safetensors", reason=WHY)
pytest.importorskip("sklearn", reason=WHY)

from PIL import Image

from benchmarks.networks.checkpoint import read_checkpoint
from benchmarks.training import (
    run,
    state,
)
from benchmarks.training.features import threads
from benchmarks.training.recipe import read_recipe
from benchmarks.training.run import (
    run_training,
    training_text,
)
from benchmarks.training.train import Trainer
from theory.profiles.loss_files import read_losses
from theory.profiles.risks import profile_from_losses

FILES = ["checkpoint.safetensors", "losses.csv", "metrics.json", "recipe.json", "samples.png"]
STEPS = 8
TINY: dict[str, Any] = {
    "kind": "recipe",
    "preset": "digits-infonoise",
    "network": {
        **{"name": "unet", "channels": 1, "width": 8, "multipliers": [1, 2]},
        "dropout": 0.1,
    },
    "noise_options": {"bins": 8, "least": 1, "refresh": 2, "warmup": 2},
    **{"batch": 32, "steps": STEPS, "samples": 100, "sample_steps": 2, "log_every": 1},
    "evaluate_kex": [],
}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threads(1):
        yield


def preset(folder: Path, **changes: Any) -> str:
    path = folder / "tiny.json"
    path.write_text(json.dumps(TINY | changes), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("finished")
    before = torch.random.get_rng_state()
    row = run_training(preset(folder), str(folder / "run"), seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)  # a caller's draws are its own
    return folder / "run", row


def test_a_run_leaves_its_files_and_nothing_else(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, row = finished
    assert sorted(path.name for path in folder.iterdir()) == FILES
    stored = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert stored == row
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    about = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
    assert (about["seed"], about["device"], about["steps"]) == (3, "cpu", STEPS)
    assert about["versions"]["torch"] == torch.__version__
    assert read_recipe(folder / "recipe.json").network == TINY["network"]
    with Image.open(folder / "samples.png") as shown:
        assert shown.size == (4 * 89, 4 * 89)


def test_the_checkpoint_holds_the_averaged_network(finished: tuple[Path, dict[str, Any]]) -> None:
    """The denoiser read from the folder has the risks that the run measured, to the bit."""
    from benchmarks.training.evaluate import risks
    from benchmarks.training.targets import make_target

    folder, row = finished
    denoiser, about = read_checkpoint(folder)
    assert about["shape"] == (1, 8, 8)
    assert about["facts"]["seed"] == 3
    assert risks(denoiser, make_target("digits")) == row["risk"]


def test_the_loss_log_is_what_profiles_are_made_of(finished: tuple[Path, dict[str, Any]]) -> None:
    """Unweighted x0-losses, summed; in the untrained steps they are near c_skip's closed form."""
    folder, _ = finished
    found = read_losses(folder / "losses.csv")
    assert found.sigma.size == STEPS * 32
    with (folder / "losses.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert list(rows[0]) == ["kex", "sigma", "loss"]
    assert sorted({float(r["kex"]) for r in rows}) == [0.032 * (i + 1) for i in range(STEPS)]
    profile = profile_from_losses(found.sigma, found.loss, "x0", 64)
    assert profile.dim == 64
    # An untrained network is no better than x at low noise: 64 sigma^2, within a few percent.
    low = found.sigma < 0.05
    assert np.mean(found.loss[low] / (64.0 * found.sigma[low] ** 2)) == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize("stop", [1, int(np.random.default_rng(1).integers(2, STEPS))])
def test_a_killed_run_resumed_gives_the_same_files(
    stop: int,
    finished: tuple[Path, dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Killed in the middle of a step, states saved at every step; also killed before the first."""
    folder, row = finished
    step = Trainer.step

    def dies(self: Trainer) -> None:
        if self.done == stop:
            raise KeyboardInterrupt
        step(self)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", dies)
        patch.setattr(run, "SAVE_SECONDS", 0.0 if stop > 1 else 1e9)
        with pytest.raises(KeyboardInterrupt):
            run_training(preset(tmp_path), str(tmp_path / "run"), seed=3)
    assert (tmp_path / "run" / state.FILE).exists() == (stop > 1)
    with pytest.raises(ValueError, match=r"out must be a folder without a run, got .* unfinished"):
        run_training(preset(tmp_path), str(tmp_path / "run"), seed=3)
    torch.rand(5)
    again = run_training(preset(tmp_path), str(tmp_path / "run"), seed=3, resume=True)
    for name in ("checkpoint.safetensors", "losses.csv", "samples.png"):
        assert (tmp_path / "run" / name).read_bytes() == (folder / name).read_bytes(), name
    own = {"seconds", "out", "preset"}
    assert {k: v for k, v in again.items() if k not in own} == {
        k: v for k, v in row.items() if k not in own
    }


def test_a_save_that_is_cut_short_leaves_the_last_whole_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors = {key: torch.ones(3) for key in state.KEYS}
    state.save_state(tmp_path, tensors)
    before = (tmp_path / state.FILE).read_bytes()

    def cut(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("theory.writing.os.fsync", cut)
    with pytest.raises(KeyboardInterrupt):
        state.save_state(tmp_path, {key: torch.zeros(3) for key in state.KEYS})
    assert (tmp_path / state.FILE).read_bytes() == before
    assert list(tmp_path.iterdir()) == [tmp_path / state.FILE]


def test_folders_with_runs_are_refused_unless_resumed_as_they_are(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, row = finished
    out = str(folder)
    for words, arguments, changes in (
        (
            "out must be a folder without a run, got .* with a finished one; resume it, or name",
            {},
            {},
        ),
        ("seed must be that of the run in .*, 3, got 4", {"seed": 4, "resume": True}, {}),
        (
            "preset must be the recipe of the run in .*, got one with another lr; there it is",
            {"seed": 3, "resume": True},
            {"lr": 0.5},
        ),
    ):
        with pytest.raises(ValueError, match=words) as error:
            run_training(preset(tmp_path, **changes), out, **arguments)
        assert "\n" not in str(error.value)
    again = run_training(preset(tmp_path), out, seed=3, resume=True)  # nothing is left to do
    assert again == row
    assert sorted(path.name for path in folder.iterdir()) == FILES


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"preset": "digit"}, "preset must be one of"),
        ({"seed": -1}, "seed must be"),
        ({"device": "gpu"}, "device must be cpu, cuda or cuda:N, got 'gpu'"),
        ({"device": "cpu:1"}, "device must be cpu, cuda or cuda:N, got 'cpu:1'"),
        ({"device": "cuda:99"}, "device must be there, got 'cuda:99' with"),
    ],
)
def test_bad_arguments_are_one_line_and_make_no_folder(
    arguments: dict[str, Any], words: str, tmp_path: Path
) -> None:
    known = {"preset": "digits-quick", "out": str(tmp_path / "run")}
    with pytest.raises(ValueError, match=words) as error:
        run_training(**(known | arguments))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_the_text_ends_with_the_bars(finished: tuple[Path, dict[str, Any]]) -> None:
    _, row = finished
    lines = training_text(row).splitlines()
    assert len(row["checks"]["checks"]) == 5
    for line, bar in zip(lines[-5:], row["checks"]["checks"], strict=True):
        assert line.startswith("passed" if bar["passed"] else "failed")
        assert f"{bar['name']}: target {bar['target']}; measured {bar['measured']:.4g}" in line


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {
                "preset": "mixture-infonoise",
                "network": {"name": "mlp", "dim": 2, "width": 16, "depth": 1},
            },
            "excess loss over the mmse",
        ),
        (
            {
                "preset": "dna-infonoise",
                "network": {
                    "name": "unet",
                    "channels": 4,
                    "width": 8,
                    "multipliers": [1],
                    "dims": 1,
                },
            },
            "motif gcbox GGGCGG: in 0.",
        ),
        ({"preset": "binary-digits-infonoise"}, "Frechet distance to the training images"),
    ],
)
def test_other_targets_run_to_their_end(
    changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    row = run_training(preset(tmp_path, **changes), str(tmp_path / "run"))
    assert words in training_text(row)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == FILES


def test_without_samples_there_is_no_picture_and_a_reason(tmp_path: Path) -> None:
    row = run_training(preset(tmp_path, samples=0), str(tmp_path / "run"))
    assert row["picture"] == "no samples were asked for"
    assert "checks" not in row
    assert not (tmp_path / "run" / "samples.png").exists()
    assert "no samples.png: no samples were asked for" in training_text(row)
