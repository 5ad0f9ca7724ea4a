"""Recipes: named ones, files, what is refused, and the learning rate's course."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.training.noise import NOISES, make_noise
from benchmarks.training.recipe import (
    PRESETS,
    Recipe,
    load_recipe,
    read_recipe,
    recipe_from,
    same_recipe,
)

MLP = {"name": "mlp", "dim": 2}


def written(path: Path, **fields: Any) -> str:
    path.write_text(json.dumps({"kind": "recipe", **fields}), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_survives_json_and_can_be_built(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    assert read_recipe(written(tmp_path / "r.json", **recipe.to_dict())) == recipe
    assert read_recipe(written(tmp_path / "r.json", preset=name)) == recipe
    make_noise(recipe.noise, recipe.weighting, 0.5, 1, recipe.noise_options)


def test_every_target_of_a_study_comes_with_every_noise() -> None:
    for target in ("digits", "binary-digits", "dna", "points", "mixture"):
        for noise in NOISES:
            recipe = PRESETS[f"{target}-{noise.replace('_', '-')}"]
            assert (recipe.target, recipe.noise) == (target, noise)
            same = replace(recipe, noise="edm", noise_options={}, weighting="edm")
            plain = replace(PRESETS[target], noise="edm", noise_options={}, weighting="edm")
            assert same == plain  # nothing but the noise differs


def test_weights_are_those_of_the_paper() -> None:
    """Raya et al. (2026): EDM's on images, 1 on discrete data but for the EDM transfer."""
    for target in ("binary-digits", "dna", "points"):
        for noise in ("log-uniform", "uniform-time", "infonoise"):
            assert PRESETS[f"{target}-{noise}"].weighting == "one"
        assert PRESETS[f"{target}-infonoise"].noise_options["pivot"] == "slope"
        assert PRESETS[f"{target}-edm"].weighting == "edm"
    assert {PRESETS[f"digits-{n}"].weighting for n in ("edm", "infonoise", "log-uniform")} == {
        "edm"
    }


def test_a_file_changes_a_preset_and_a_runs_own_file_is_one(tmp_path: Path) -> None:
    path = written(tmp_path / "r.json", preset="digits-quick", steps=7, seed=3, versions={})
    assert load_recipe(path) == replace(PRESETS["digits-quick"], steps=7)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"preset": "digits-quick", "step": 7}, "recipe key must be one of .*, got 'step'; did"),
        ({"preset": "digit"}, "preset must be one of .*, got 'digit'; did you mean 'digits'?"),
        ({"target": "digits"}, "recipe must have the key 'network', got target"),
        ({"preset": "dna", "steps": 0}, "steps must be a whole number in 1..2147483648, got 0"),
        ({"preset": "dna", "steps": 2.5}, "steps must be a whole number"),
        ({"preset": "dna", "lr": "fast"}, "lr must be numbers, got 'fast'"),
        ({"preset": "dna", "lr": -1}, "lr must be positive, got -1"),
        ({"preset": "dna", "lr_decay": 2}, r"lr_decay must be in \[0, 1\], got 2"),
        ({"preset": "dna", "told_shift": -1}, r"told_shift must be in \[0, 10\], got -1"),
        ({"preset": "dna", "noise": "edn"}, "noise must be one of .*, got 'edn'"),
        ({"preset": "dna", "network": "unet"}, "network must be an object of options, got 'unet'"),
        ({"preset": "dna", "evaluate_kex": [2, 1]}, "evaluate_kex must rise from above 0, got"),
        ({"preset": "dna", "evaluate_kex": 2}, "evaluate_kex must be a list, got 2"),
        ({"preset": "dna", "precision": "fp8"}, "precision must be one of float32, bfloat16"),
    ],
)
def test_wrong_recipes_are_one_line_with_the_path(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    path = written(tmp_path / "r.json", **fields)
    with pytest.raises(ValueError, match=words) as error:
        load_recipe(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_names_that_are_no_preset_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"preset must be one of .*did you mean 'digits-quick'\?"):
        load_recipe("digits-quik")
    with pytest.raises(ValueError, match="the file must be readable"):
        load_recipe(str(tmp_path / "none.json"))
    other = tmp_path / "schedule.json"
    other.write_text('{"kind": "schedule"}', encoding="utf-8")
    with pytest.raises(ValueError, match="kind must be 'recipe', got 'schedule'"):
        load_recipe(str(other))


def test_evaluations_come_at_the_first_step_that_reaches_them() -> None:
    recipe = Recipe("mixture", MLP, batch=300, steps=10, evaluate_kex=(0.3, 0.31, 0.5, 1.5, 3.0, 9))
    assert recipe.evaluation_steps == (1, 2, 5)  # 10 is the end, 30 beyond it


def test_the_rate_rises_stays_and_falls_to_its_last_step() -> None:
    recipe = Recipe("mixture", MLP, steps=100, lr=2.0, lr_warmup=10, lr_decay=0.5)
    rates = [recipe.lr_at(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9:51] == [2.0] * 42
    assert rates[75] == pytest.approx(1.0)
    assert rates[99] == pytest.approx(2.0 / 50)
    assert Recipe("mixture", MLP, lr_warmup=0, lr=2.0).lr_at(1999) == 2.0


def test_recipes_differ_in_a_named_key() -> None:
    a = PRESETS["dna"]
    assert same_recipe(a, recipe_from(a.to_dict())) is None
    assert same_recipe(a, replace(a, lr=1.0)) == "lr"
    assert same_recipe(a, replace(a, network={**a.network, "width": 8})) == "network"
