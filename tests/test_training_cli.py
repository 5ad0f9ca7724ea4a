"""`entropic train` on the command line: its files, its JSON, and one line for bad input."""

import json
from pathlib import Path

import pytest
from answers import fields_of
from click.testing import CliRunner

from entropic.commands.main import main

WHY = "needs the extra `networks`; make test-all has it"
pytest.importorskip("torch", reason=WHY)
pytest.importorskip("safetensors", reason=WHY)
pytest.importorskip("sklearn", reason=WHY)

from benchmarks.training.recipe import PRESETS
from theory.profiles.loss_files import read_losses

TINY = {
    "kind": "recipe",
    "target": "gaussian",
    "network": {"name": "mlp", "dim": 2, "width": 8, "depth": 1},
    "noise": "infonoise",
    "noise_options": {"warmup": 10, "refresh": 10, "least": 1},
    "batch": 64,
    "steps": 40,
    "samples": 20,
    "sample_steps": 3,
}


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(TINY))
    return str(path)


def test_train_leaves_its_files_and_what_it_prints_as_json(tmp_path: Path, recipe: str) -> None:
    out = tmp_path / "run"
    result = CliRunner().invoke(main, ["train", "--preset", recipe, "--out", str(out), "--json"])
    assert result.exit_code == 0, result.output
    row = fields_of(result.stdout, "training")
    stored = json.loads((out / "metrics.json").read_text())
    assert {key: stored[key] for key in row} == row
    assert (row["steps"], row["kex"], row["noise"]) == (40, 2.56, "infonoise")
    names = {path.name for path in out.iterdir()}
    assert {"checkpoint.safetensors", "losses.csv", "metrics.json", "recipe.json"} <= names
    assert len(read_losses(out / "losses.csv").sigma) == 4 * 32
    # `entropic profile` accepts its network.
    data = tmp_path / "data.json"
    args = [
        "profile",
        "--network",
        str(out),
        "--data",
        str(data),
        "--out",
        str(tmp_path / "p.json"),
    ]
    missing = CliRunner().invoke(main, args)
    assert missing.exit_code == 2
    assert "the data must be a file or folder, got nothing there" in missing.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--preset", "digitz", "--out", "r"], "preset must be one of digits-quick"),
        (["--preset", "gone.json", "--out", "r"], "gone.json: the file must be readable"),
        (["--preset", "points", "--out", "r", "--seed", "-1"], "seed must be a whole number in"),
        (["--preset", "points", "--out", "r", "--device", "tpu"], "device must be cpu, cuda or"),
    ],
)
def test_bad_input_is_one_clear_line(args: list[str], message: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["train", *args])
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "r").exists()


def test_unknown_keys_of_a_recipe_are_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.json"
    path.write_text(json.dumps(TINY | {"learning_rate": 0.1}))
    result = CliRunner().invoke(main, ["train", "--preset", str(path), "--out", "r"])
    assert result.exit_code == 2
    assert "odd.json: recipe key must be one of target" in result.stderr


def test_every_preset_names_its_noise() -> None:
    for name in ("digits", "binary-digits", "dna", "points", "mixture"):
        for noise in ("log-uniform", "edm", "uniform-time", "min-snr", "infonoise"):
            assert PRESETS[f"{name}-{noise}"].noise == noise.replace("-", "_")
