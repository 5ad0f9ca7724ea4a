"""The linter of lists: every planted fault is found, and good lists have none."""

import json
from pathlib import Path

import numpy as np
import pytest

from theory.noise.processes import Flow
from theory.schedules.export import NEEDS_MODEL, TARGETS, export
from theory.schedules.lint import lint, read_list
from theory.schedules.standard import edm_sigmas, log_snr_sigmas

LATENT = "scaled-linear"
GOOD = {
    "log_snr 8": log_snr_sigmas(8, 14.0, 0.05, "zero"),
    "edm 20": edm_sigmas(20, 14.0, 0.03, "zero"),
    "edm 5": edm_sigmas(5, 14.0, 0.05, "zero"),
}
EDM = edm_sigmas(10, 80.0, 0.002, "zero").tolist()
FLOW = [1.0 - i / 8 for i in range(8)]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_found_in_good_lists(target: str, name: str) -> None:
    """Three lists for fourteen targets: 42."""
    model = LATENT if target in NEEDS_MODEL else None
    made = export(GOOD[name], target, model=model)
    assert lint(made.values, target, model=model, nfe=made.calls) == []


def shifted(values: list[float], shift: float) -> list[float]:
    return [shift * v / (1.0 + (shift - 1.0) * v) for v in values]


E1 = "diffusers-euler"
FAULTS: dict[str, tuple[str, list[float], dict[str, object], str]] = {
    "flipped": (E1, EDM[::-1], {}, "order"),
    "unsorted": (E1, [*EDM[:3], EDM[4], EDM[3], *EDM[5:]], {}, "order"),
    "unsorted flow": ("diffusers-flow", [1.0, 0.5, 0.7, 0.2], {}, "order"),
    "unsorted steps": ("diffusers-dpm", [999, 500, 600, 100], {}, "order"),
    "falling ramp": ("diffusers-edm", [1.0, 0.5, 0.0], {}, "order"),
    "duplicate": (E1, [*EDM[:4], EDM[3], *EDM[4:]], {}, "duplicate"),
    "duplicate steps": ("diffusers-dpm", [999, 500, 500, 100], {}, "duplicate"),
    "duplicate times": ("noise-schedule-vp", [1.0, 0.5, 0.5, 0.1], {}, "duplicate"),
    "no zero, euler": (E1, EDM[:-1], {}, "zero"),
    "no zero, k-diffusion": ("k-diffusion", EDM[:-1], {}, "zero"),
    "no zero, comfyui": ("comfyui", EDM[:-1], {}, "zero"),
    "no zero, edm": ("edm", EDM[:-1], {}, "zero"),
    "two zeros": (E1, [*EDM, 0.0], {}, "zero"),
    "two zeros, comfyui": ("comfyui", [*EDM, 0.0], {}, "zero"),
    "zero, flow": ("diffusers-flow", [*FLOW, 0.0], {}, "zero"),
    "zero, diff-sampler": ("diff-sampler", EDM, {}, "zero"),
    "zero, vp": ("noise-schedule-vp", [1.0, 0.5, 0.0], {}, "zero"),
    "negative": (E1, [*EDM[:-1], 0.0, -1.0], {}, "range"),
    "beyond the model": (E1, EDM, {"model": LATENT}, "range"),
    "below the model": (E1, [14.0, 1.0, 0.001, 0.0], {"model": LATENT}, "range"),
    "step beyond the model": ("diffusers-dpm", [1000, 500, 100], {"model": LATENT}, "range"),
    "nan": (E1, [14.0, float("nan"), 0.0], {}, "not finite"),
    "infinite": ("comfyui", [float("inf"), 1.0, 0.0], {}, "not finite"),
    "one number": (E1, [1.0], {}, "length"),
    "steps for levels": (E1, [999.0, 700.0, 400.0, 100.0, 0.0], {}, "unit"),
    "log sigma": ("k-diffusion", np.log(EDM[:-1]).tolist(), {}, "unit"),
    "levels for flow": ("diffusers-flow", EDM[:-1], {}, "unit"),
    "levels for the ramp": ("diffusers-edm", EDM[:-1], {}, "unit"),
    "levels for times": ("noise-schedule-vp", EDM[:-1], {}, "unit"),
    "levels for steps": ("diffusers-heun", EDM[:-1], {}, "unit"),
    "fractions of steps": ("diffusers-dpm", [999.0, 845.9, 10.0], {}, "unit"),
    "float16": (E1, [2.0, 0.5, 0.4999, 0.1, 0.0], {}, "float16"),
    "bfloat16": (E1, [2.0, 0.5, 0.4993, 0.1, 0.0], {}, "bfloat16"),
    "float16 overflow": (E1, [70000.0, 10.0, 1.0, 0.0], {}, "float16"),
    "float16 zero": ("k-diffusion", [10.0, 1.0, 2e-8, 0.0], {}, "float16"),
    "flow for levels": (E1, [0.99, 0.8, 0.6, 0.3, 0.0], {}, "unit"),
    "no effect": (E1, [2.0, 0.50001, 0.5, 0.1, 0.0], {}, "no effect"),
    "shifted twice": ("diffusers-flow", shifted(FLOW, 3.0), {"shift": 3.0}, "shift"),
    "step ratio": (E1, [14.0, 12.0, 11.0, 1.0, 0.0], {"solver": "dpmpp_2m"}, "step ratio"),
    "ratio of flow": ("diffusers-flow", [0.9, 0.89, 0.2], {"solver": "unipc"}, "step ratio"),
    "calls": (E1, EDM, {"nfe": 11}, "calls"),
    "calls of Heun": ("k-diffusion", EDM, {"nfe": 20, "solver": "heun"}, "calls"),
    "calls of flow": ("diffusers-flow", FLOW, {"nfe": 7}, "calls"),
    "ramp without ends": ("diffusers-edm", [0.1, 0.5, 1.0], {}, "ends"),
}


def test_there_are_forty_faults() -> None:
    assert len(FAULTS) >= 40


@pytest.mark.parametrize("name", FAULTS)
def test_every_planted_fault_is_found_with_its_mend(name: str) -> None:
    target, values, more, kind = FAULTS[name]
    found = lint(values, target, **more)  # type: ignore[arg-type]
    assert kind in [one.kind for one in found], [str(one) for one in found]
    assert all(one.text and one.mend and "\n" not in str(one) for one in found)


def test_the_length_for_the_calls_is_said() -> None:
    (found,) = lint(EDM, "k-diffusion", nfe=9, solver="heun")
    assert "makes 19 network calls, not 9; take 6 numbers" in str(found)
    assert (
        lint(edm_sigmas(5, 80.0, 0.002, "zero").tolist(), "k-diffusion", nfe=9, solver="heun") == []
    )


def test_only_odd_numbers_of_calls_are_possible_with_a_step_to_zero() -> None:
    (found,) = lint(EDM, "edm", nfe=16)
    assert "this sampler makes an odd number: 15 or 17" in str(found)
    with pytest.raises(ValueError, match=r"solver must be one of .*; did you mean 'heun'"):
        lint(EDM, "edm", solver="huen")


@pytest.mark.parametrize("name", GOOD)
def test_flow_times_of_comfyui_are_good_where_a_shift_says_so(name: str) -> None:
    made = export(GOOD[name], "comfyui", shift=3.0)
    assert lint(made.values, "comfyui", shift=3.0, nfe=made.calls) == []
    calls = 2 * made.calls - 1  # of Heun, with one in the step to 0
    assert lint(made.values, "comfyui", shift=3.0, nfe=calls, solver="heun") == []
    (found,) = lint([*made.values, 0.0], "comfyui", shift=3.0)
    assert found.kind == "zero"


def test_linear_vp_times_need_no_betas() -> None:
    made = export(GOOD["edm 20"], "noise-schedule-vp", model="vp")
    assert lint(made.values, "noise-schedule-vp", model="vp") == []


def test_flow_levels_before_the_shift_are_good() -> None:
    assert lint(FLOW, "diffusers-flow", shift=3.0) == []
    values = Flow().time(GOOD["edm 20"][:-1]).tolist()
    assert lint(values, "diffusers-flow", shift=3.0) == []


LISTS = {
    "lines": "14.6\n3.2\n0.03\n0\n",
    "json": "[14.6, 3.2, 0.03, 0.0]",
    "python": "# pipe(..., sigmas=sigmas)\nsigmas = [14.6, 3.2,\n 0.03, 0]  # four\n",
    "tensor": "sigmas = torch.tensor([14.6, 3.2, 3e-2, 0.])",
    "tuple": "(14.6, 3.2, 0.03, 0)",
    "comfyui": "14.6, 3.2, 0.03, 0",
    "semicolons": "14.6; 3.2; 0.03; 0",
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_every_form_are_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(LISTS[name])
    assert read_list(path) == [14.6, 3.2, 0.03, 0.0]
    assert read_list(LISTS[name]) == [14.6, 3.2, 0.03, 0.0]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "list.txt: the list must hold numbers, got none"),
        ("14.6, many, 0", "list.txt: the list must hold numbers only, got 'many'"),
        ("1_0, 2", "list.txt: the list must hold numbers only, got '1_0'"),
    ],
)
def test_broken_lists_are_one_line(tmp_path: Path, text: str, rule: str) -> None:
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=rule):
        read_list(path)


@pytest.mark.parametrize(
    ("target", "more", "rule"),
    [
        ("diffusers-ddim", {}, "target diffusers-ddim must take a list"),
        ("euler", {}, "target must be one of"),
        (E1, {"nfe": 0}, "nfe must be a whole number at least 1"),
        (E1, {"shift": -1.0}, "shift must be positive"),
        (E1, {"model": "linea"}, "betas must be one of"),
    ],
)
def test_wrong_arguments(target: str, more: dict[str, object], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        lint(EDM, target, **more)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="values must be numbers"):
        lint(["x", "y"], E1)  # type: ignore[list-item]
    assert json.dumps([one.__dict__ for one in lint(EDM[:-1], E1)])
