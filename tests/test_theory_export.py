"""Levels in the form of other programs: their own classes give the levels back."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from theory.noise.processes import VP
from theory.noise.times import index_of
from theory.schedules.export import NEEDS_MODEL, REFUSED, TARGETS, export
from theory.schedules.standard import edm_sigmas, log_snr_sigmas

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of diffusers and NumPy
LATENT = "scaled-linear"
LEVELS = log_snr_sigmas(9, 14.0, 0.05, "zero")  # within those of a latent diffusion model
WIDE = edm_sigmas(12, 80.0, 0.002, "zero")


def pasted(text: str) -> np.ndarray:
    """The numbers of a pasted list."""
    return np.array([float(word) for word in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)])


def test_euler_takes_the_list_with_its_zero() -> None:
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012
    )
    found = export(LEVELS, "diffusers-euler", model=LATENT)
    scheduler.set_timesteps(sigmas=list(found.values))
    np.testing.assert_array_equal(scheduler.sigmas.numpy(), LEVELS.astype(np.float32))
    np.testing.assert_array_equal(found.sigmas, LEVELS)
    assert scheduler.timesteps.numel() == found.calls == 9
    stop = export(LEVELS[:-1], "diffusers-euler")
    assert stop.calls == 8
    assert "ends at sigma 0.05" in stop.notes[0]


@pytest.mark.parametrize(
    ("target", "name", "order"),
    [
        ("diffusers-dpm", "DPMSolverMultistepScheduler", 1),
        ("diffusers-heun", "HeunDiscreteScheduler", 2),
    ],
)
@pytest.mark.parametrize("betas", ["linear", "scaled_linear", "squaredcos_cap_v2"])
def test_schedulers_of_time_steps_reach_the_levels_that_we_say(
    tmp_path: Path, target: str, name: str, order: int, betas: str
) -> None:
    diffusers = pytest.importorskip("diffusers")
    kind = getattr(diffusers, name)
    own = kind(beta_schedule=betas, use_karras_sigmas=True)
    config = tmp_path / "scheduler_config.json"
    config.write_text(json.dumps(dict(own.config)))
    found = export(LEVELS, target, model=str(config))
    call = re.search(rf"{name}\.from_config\(.*?\)", found.call)
    assert call is not None
    scheduler = eval(  # the call that we print
        call.group().replace("pipe.scheduler.config", "config"), {name: kind, "config": own.config}
    )
    scheduler.set_timesteps(timesteps=list(found.values))
    theirs = scheduler.sigmas.numpy()
    if order == 2:
        theirs = np.concatenate([theirs[:1], theirs[1:-1:2], theirs[-1:]])
    np.testing.assert_allclose(theirs, found.sigmas, rtol=3e-4)  # alpha-bar is float32 there
    assert scheduler.timesteps.numel() == found.calls
    np.testing.assert_allclose(found.sigmas[:-1], LEVELS[:-1], rtol=0.05)
    assert "whole time steps move the levels by up to" in found.notes[0]


def test_levels_on_one_time_step_go_and_are_counted() -> None:
    sigmas = np.append(np.linspace(1.0, 0.99, 5), [0.5, 0.0])
    found = export(sigmas, "diffusers-dpm", model=LATENT)
    assert len(found.values) < 6
    assert found.notes[-1].startswith(f"{6 - len(found.values)} of 6 levels fall on the time step")
    assert found.calls == len(found.values)


@pytest.mark.parametrize("shift", [None, 1.0, 3.0])
def test_flow_times_are_sent_before_the_shift(shift: float | None) -> None:
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift or 1.0)
    found = export(WIDE, "diffusers-flow", shift=shift)
    scheduler.set_timesteps(sigmas=list(found.values))
    expected = WIDE / (1.0 + WIDE)
    np.testing.assert_allclose(scheduler.sigmas.numpy(), expected, rtol=2e-6, atol=1e-9)
    assert scheduler.timesteps.numel() == found.calls == 12
    assert found.notes == ()
    assert "one more call" in export(WIDE[:-1], "diffusers-flow").notes[0]


def test_edm_schedulers_take_a_ramp() -> None:
    diffusers = pytest.importorskip("diffusers")
    torch = pytest.importorskip("torch")
    levels = log_snr_sigmas(11, 80.0, 0.002, "zero")
    found = export(levels, "diffusers-edm")
    own = diffusers.EDMEulerScheduler(sigma_data=1.0, sigma_schedule="exponential")
    call = re.search(r"EDMEulerScheduler\.from_config\(.*?\)", found.call)
    assert call is not None
    scheduler = eval(  # the call that we print
        call.group().replace("pipe.scheduler.config", "config"),
        {"EDMEulerScheduler": diffusers.EDMEulerScheduler, "config": own.config},
    )
    assert scheduler.config.sigma_data == 1.0
    scheduler.set_timesteps(
        len(found.values), sigmas=torch.tensor(found.values, dtype=torch.float64)
    )
    np.testing.assert_allclose(scheduler.sigmas.numpy(), levels, rtol=1e-6)
    assert scheduler.timesteps.numel() == found.calls == 11


def test_k_diffusion_and_comfyui_take_levels_with_the_zero() -> None:
    found = export(WIDE, "k-diffusion")
    np.testing.assert_array_equal(pasted(found.text), WIDE)
    text = export(WIDE, "comfyui").text
    assert "e" not in text
    np.testing.assert_allclose([float(word) for word in text.split(", ")], WIDE, rtol=1e-8)
    tiny = export([1.0, 3e-9, 2e-9, 0.0], "comfyui").text
    assert tiny == "1.0, 0.000000003, 0.000000002, 0.0"
    np.testing.assert_allclose(
        export(WIDE, "comfyui", shift=1.0).values, WIDE / (1.0 + WIDE), atol=5e-9
    )
    flow = export(WIDE, "comfyui", shift=3.0)
    np.testing.assert_allclose(flow.values, WIDE / (1.0 + WIDE), atol=5e-9)
    assert "flow times after the shift" in flow.notes[0]


def test_what_a_program_does_not_say_is_noted() -> None:
    assert "give the model to check them" in export(WIDE, "diffusers-euler").notes[-1]
    assert export(LEVELS, "diffusers-euler", model=LATENT).notes == ()
    assert "starts at flow time 0.933" in export(LEVELS, "diffusers-flow").notes[0]
    one = export([3.0, 0.0], "diffusers-edm")
    assert one.values == (0.0,)


def test_edm_and_diff_sampler() -> None:
    for target in ("edm", "edm2"):
        found = export(WIDE, target)
        np.testing.assert_array_equal(found.values, WIDE)
        assert found.calls == 23  # Heun, one call in the step to 0
        assert "num_steps = 12" in found.call
    bracketed = export(WIDE, "diff-sampler")
    assert " " not in bracketed.text
    np.testing.assert_array_equal(json.loads(bracketed.text), WIDE[:-1])
    assert "--num_steps=12" in bracketed.call
    assert bracketed.calls == 11


def test_times_of_noise_schedule_vp() -> None:
    """Discrete times are (index + 1) / m; the class interpolates log alpha between them."""
    found = export(LEVELS, "noise-schedule-vp", model=LATENT)
    index = np.array(found.values) * 1000.0 - 1.0
    np.testing.assert_allclose(index_of(LATENT).sigma(index), LEVELS[:-1], rtol=1e-9)
    linear = export(LEVELS, "noise-schedule-vp", model="vp")
    np.testing.assert_allclose(VP().sigma(linear.values), LEVELS[:-1], rtol=1e-9)
    assert found.calls == linear.calls == 8


def test_plain_forms() -> None:
    assert json.loads(export(WIDE, "json").text) == WIDE.tolist()
    lines = export(WIDE, "lines")
    assert [float(line) for line in str(lines).splitlines()] == WIDE.tolist()
    scope: dict[str, list[float]] = {}
    exec(str(export(WIDE, "python")), scope)
    assert scope["sigmas"] == WIDE.tolist()


@pytest.mark.parametrize("target", TARGETS)
def test_every_target_shows_its_call_and_counts_its_steps(target: str) -> None:
    model = LATENT if target in NEEDS_MODEL else None
    found = export(LEVELS, target, model=model)
    assert found.target == target
    assert found.calls > 0
    assert "\n" not in found.call
    assert found.call.startswith("#") or target in ("lines", "json")
    assert np.all(np.diff(found.sigmas) < 0)


@pytest.mark.parametrize("target", REFUSED)
def test_programs_that_take_no_list_are_refused_with_one_that_does(target: str) -> None:
    with pytest.raises(
        ValueError, match=f"target {target} must take a list, but it .*; diffusers-"
    ):
        export(LEVELS, target)


@pytest.mark.parametrize(
    ("sigmas", "target", "more", "rule"),
    [
        (LEVELS, "diffuser-euler", {}, "target must be one of .*; did you mean 'diffusers-euler'"),
        (LEVELS, "diffusers-dpm", {}, "model must be given for diffusers-dpm: its sched"),
        (WIDE, "diffusers-euler", {"model": LATENT}, "sigmas must be at most 14.6146, the model's, "
         "got 80; make the schedule with sigma_max 14.6146"),
        ([1.0, 0.01, 0.0], "diffusers-dpm", {"model": LATENT}, "sigmas must be at least 0.0291672"),
        (LEVELS[::-1], "json", {}, "sigmas must fall strictly"),
        ([1.0, -1.0], "json", {}, "sigmas must be at least 0, got -1"),
        (LEVELS, "edm", {"shift": 2.0}, "shift must come with diffusers-flow or comfyui"),
        (LEVELS, "diffusers-flow", {"shift": 0.0}, "shift must be positive, got 0"),
        (LEVELS, "diffusers-dpm", {"model": "sclaed"}, "betas must be one of"),
        ([300.0, 1.0, 0.0], "noise-schedule-vp", {"model": "vp"}, "sigmas must be at most 152.1"),
        ([1.0, 1e-4, 0.0], "noise-schedule-vp", {"model": "vp"}, "sigmas must be at least 0.0031"),
        ([14.62, 14.6155, 1.0], "diffusers-euler", {"model": LATENT}, "sigmas must differ in the"),
        ([3.0, 0.0], "diff-sampler", {}, "sigmas must have two positive levels for diff-sampler"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    sigmas: object, target: str, more: dict[str, object], rule: str
) -> None:
    with pytest.raises(ValueError, match=rule):
        export(sigmas, target, **more)  # type: ignore[arg-type]
