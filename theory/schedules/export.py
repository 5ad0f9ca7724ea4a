"""Levels in the form that other programs take, and what one pastes there.

Every target is one function of the levels. What the programs do with a list was read off diffusers
0.42.1, k-diffusion, ComfyUI, EDM, EDM2, diff-sampler and dpm-solver.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, monotone, one_of, positive, require, vector
from theory.noise.ddpm import Index
from theory.noise.processes import VP
from theory.noise.times import index_of

RHO = 7.0  # of diffusers' EDM schedulers
PURE_NOISE = 0.98  # flow time from which a state is as good as pure noise
CLOSE = 1e-3  # relative excess over a model's range that is clipped instead of refused
# Why a sampler takes no list, and what does instead.
REFUSED = {
    "diffusers-ddim": ("computes its previous time from a fixed stride", "diffusers-euler"),
    "diffusers-deis": ("takes no list", "diffusers-dpm"),
    "diffusers-edm-dpm": ("takes no list", "diffusers-edm"),
    "diffusers-euler-ancestral": ("takes no list", "diffusers-euler"),
    "diffusers-kdpm2": ("takes no list", "diffusers-heun"),
    "diffusers-lms": ("takes no list", "diffusers-euler"),
    "diffusers-pndm": ("takes no list", "diffusers-dpm"),
    "diffusers-unipc": ("takes a list with flow sigmas only", "diffusers-dpm"),
}


@dataclass(frozen=True, eq=False)
class Export:
    """Levels as a program takes them.

    Args:
        target: Name of the target.
        values: The numbers, in the program's unit.
        text: What one pastes, without a newline at the end.
        call: One line that shows the call.
        sigmas: The levels that the program then goes through, with a last 0 where it adds one.
        calls: Number of network calls per sample of the sampler that `call` shows.
        notes: What the program's form changes, one sentence each.
    """

    target: str
    values: tuple[float, ...]
    text: str
    call: str
    sigmas: Array
    calls: int
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain values, with the program's levels under "sigmas"."""
        return {
            "target": self.target,
            "values": list(self.values),
            "text": self.text,
            "call": self.call,
            "sigmas": self.sigmas.tolist(),
            "calls": self.calls,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        return "\n".join(part for part in (self.call, self.text) if part)


@dataclass(frozen=True)
class _Given:
    """Levels and what a target may need.

    Args:
        sigmas: Positive levels, falling.
        ends_at_zero: Whether the schedule goes on to 0.
        model: Times of the model, or None.
        shift: Shift of a flow scheduler, or None.
    """

    sigmas: Array
    ends_at_zero: bool
    model: Index | None
    shift: float | None

    @property
    def levels(self) -> Array:
        """The levels with their 0."""
        return np.append(self.sigmas, 0.0) if self.ends_at_zero else self.sigmas

    @property
    def added_zero(self) -> tuple[str, ...]:
        """A note if the program goes on to 0 and the schedule does not."""
        if self.ends_at_zero:
            return ()
        low = f"{self.sigmas[-1]:.4g}"
        return (f"the program adds a step from {low} to 0: one more call than the schedule has",)


def export(
    sigmas: ArrayLike, target: str, *, model: str | None = None, shift: float | None = None
) -> Export:
    """Levels in the form that a program takes.

    Args:
        sigmas: Noise levels, shape (n_steps + 1,), strictly falling, in data units (those of
            x0 + sigma eps); only the last may be 0.
        target: One of TARGETS.
        model: The model's training noise, for targets with time steps: diffusers'
            scheduler_config.json, or the name of betas as in `theory.noise.times.index_of`; for
            noise-schedule-vp also "vp". Where it is given, levels beyond it are refused.
        shift: Shift of a flow scheduler, by which it moves a list that it is given. Default: 1.

    Raises:
        ValueError: One line: the target is unknown or takes no list, or the levels do not fit.
    """
    if target in REFUSED:
        why, instead = REFUSED[target]
        raise ValueError(f"target {target} must take a list, but it {why}; {instead} does")
    function = _TARGETS[one_of("target", target, TARGETS)]
    levels = vector("sigmas", sigmas, 2)
    monotone("sigmas", levels, falling=True, advice="a schedule runs from high to low noise")
    require(levels[:-1] > 0, "sigmas", levels[:-1], "be positive")
    require(levels >= 0, "sigmas", levels, "be at least 0")
    if model is None and target in NEEDS_MODEL:
        raise ValueError(
            f"model must be given for {target}: its scheduler_config.json, or the name of its "
            "betas, got none"
        )
    if shift is not None and target not in ("diffusers-flow", "comfyui"):
        raise ValueError(f"shift must come with diffusers-flow or comfyui, got target {target}")
    ends_at_zero = bool(levels[-1] == 0.0)
    positive_levels = levels[:-1] if ends_at_zero else levels
    linear_vp = target == "noise-schedule-vp" and model == "vp"
    at = None if model is None or linear_vp else index_of(model)
    if at is not None:
        positive_levels = _inside(positive_levels, at)
    if linear_vp:
        positive_levels = _within(positive_levels, *VP().sigma([1e-4, 1.0]).tolist())
    if target in ENDS_AT_A_LEVEL and positive_levels.size < 2:
        raise ValueError(f"sigmas must have two positive levels for {target}, got one")
    scale = None if shift is None else positive("shift", shift)
    made = function(target, _Given(positive_levels, ends_at_zero, at, scale))
    sizes = np.diff(made.values)
    if not ((sizes < 0).all() or (sizes > 0).all()):
        raise ValueError(f"sigmas must differ in the form of {target}, got equal neighbours there")
    return made


def _inside(sigmas: Array, model: Index) -> Array:
    """The levels, which must be within those that the model was trained at."""
    return _within(sigmas, model.levels[0], model.levels[np.isfinite(model.levels)][-1])


def _within(sigmas: Array, low: float, high: float) -> Array:
    """The levels, which must be between these but for a little that is clipped."""
    for value, rule in ((sigmas[0], "at most"), (sigmas[-1], "at least")):
        bound = high if rule == "at most" else low
        beyond = value / high if rule == "at most" else low / value
        if beyond > 1.0 + CLOSE:
            option = "sigma_max" if rule == "at most" else "sigma_min"
            raise ValueError(
                f"sigmas must be {rule} {bound:.6g}, the model's, got {value:.6g}; make the "
                f"schedule with {option} {bound:.6g}"
            )
    return np.clip(sigmas, low, high)


def _bracketed(values: Sequence[float], blank: str = " ") -> str:
    return "[" + f",{blank}".join(repr(value) for value in values) + "]"


def _plain_list(values: Array) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _steps(levels: Array) -> int:
    return int(levels.size - 1)


def _diffusers_euler(target: str, given: _Given) -> Export:
    """Levels with the last 0, which `EulerDiscreteScheduler` does not add."""
    levels = _plain_list(given.levels)
    notes: tuple[str, ...] = ()
    if not given.ends_at_zero:
        notes = (f"sampling ends at sigma {levels[-1]:.4g}, since this scheduler adds no 0",)
    if given.model is None:
        notes += ("the scheduler clamps levels beyond the model's: give the model to check them",)
    return Export(
        target,
        levels,
        f"sigmas = {_bracketed(levels)}",
        "# pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config); "
        "pipe(..., sigmas=sigmas)",
        given.levels,
        _steps(given.levels),
        notes,
    )


def _timesteps(target: str, given: _Given, scheduler: str, double: bool) -> Export:
    """Whole time steps of the model, since these schedulers take no levels."""
    assert given.model is not None
    exact = np.asarray(given.model.time(given.sigmas))
    rounded = np.rint(exact).astype(np.int64)
    times = np.array(sorted(set(rounded.tolist()), reverse=True))
    reached = np.asarray(given.model.sigma(times.astype(float)))
    notes = list(given.added_zero)
    moved = np.abs(np.asarray(given.model.sigma(rounded.astype(float))) / given.sigmas - 1.0).max()
    if moved > 1e-6:
        notes.append(f"whole time steps move the levels by up to {100.0 * moved:.2g} %")
    lost = rounded.size - times.size
    if lost:
        notes.append(f"{lost} of {rounded.size} levels fall on the time step of another and go")
    values = tuple(times.tolist())
    sigmas = np.append(reached, 0.0)
    calls = 2 * times.size - 1 if double else times.size
    config = "pipe.scheduler.config, use_karras_sigmas=False"
    if not double:
        config += ', algorithm_type="dpmsolver++", final_sigmas_type="zero"'
    return Export(
        target,
        values,
        f"timesteps = {_bracketed(values)}",
        f"# pipe.scheduler = {scheduler}.from_config({config}); pipe(..., timesteps=timesteps)",
        sigmas,
        calls,
        tuple(notes),
    )


def _diffusers_dpm(target: str, given: _Given) -> Export:
    """`DPMSolverMultistepScheduler`, which truncates time steps to whole numbers."""
    return _timesteps(target, given, "DPMSolverMultistepScheduler", double=False)


def _diffusers_heun(target: str, given: _Given) -> Export:
    """`HeunDiscreteScheduler`, with two calls per step but the last."""
    return _timesteps(target, given, "HeunDiscreteScheduler", double=True)


def _diffusers_flow(target: str, given: _Given) -> Export:
    """Flow times without the 0, before the shift that the scheduler applies to them."""
    flow, shift = given.sigmas / (1.0 + given.sigmas), given.shift or 1.0
    values = _plain_list(flow / (shift - (shift - 1.0) * flow))
    notes = given.added_zero
    if flow[0] < PURE_NOISE:
        notes += (
            f"the list starts at flow time {flow[0]:.3g}; pipelines start from pure noise, as at 1",
        )
    config = f"pipe.scheduler.config, shift={shift:g}, use_dynamic_shifting=False, "
    config += "shift_terminal=None, use_karras_sigmas=False"
    return Export(
        target,
        values,
        f"sigmas = {_bracketed(values)}",
        f"# pipe.scheduler = FlowMatchEulerDiscreteScheduler.from_config({config}); "
        "pipe(..., sigmas=sigmas)",
        np.append(given.sigmas, 0.0),
        given.sigmas.size,
        notes,
    )


def _diffusers_edm(target: str, given: _Given) -> Export:
    """Places on the ramp of `EDMEulerScheduler` between its two ends."""
    high, low = given.sigmas[0] ** (1.0 / RHO), given.sigmas[-1] ** (1.0 / RHO)
    width = high - low if high > low else 1.0  # one level has the place 0
    values = _plain_list((high - given.sigmas ** (1.0 / RHO)) / width)
    ends = f"sigma_max={float(given.sigmas[0])!r}, sigma_min={float(given.sigmas[-1])!r}"
    return Export(
        target,
        values,
        f"sigmas = torch.tensor({_bracketed(values)}, dtype=torch.float64)",
        f"# scheduler = EDMEulerScheduler.from_config(pipe.scheduler.config, {ends}, rho={RHO:g}, "
        'sigma_schedule="karras", final_sigmas_type="zero"); '
        "scheduler.set_timesteps(len(sigmas), sigmas=sigmas)",
        np.append(given.sigmas, 0.0),
        given.sigmas.size,
        given.added_zero,
    )


def _k_diffusion(target: str, given: _Given) -> Export:
    """A tensor with the last 0."""
    levels = _plain_list(given.levels)
    notes: tuple[str, ...] = ()
    if not given.ends_at_zero:
        notes = (f"sampling ends at sigma {levels[-1]:.4g}",)
    return Export(
        target,
        levels,
        f"sigmas = torch.tensor({_bracketed(levels)})",
        "# k_diffusion.sampling.sample_euler(model, x * sigmas[0], sigmas)",
        given.levels,
        _steps(given.levels),
        notes,
    )


def _comfyui(target: str, given: _Given) -> Export:
    """Decimals without exponents, which its parser breaks; flow times where there is a shift."""
    levels = given.levels
    notes: tuple[str, ...] = ()
    if given.shift is not None:
        levels = levels / (1.0 + levels)
        notes = ("these are flow times after the shift, as ManualSigmas takes them",)
    words = [np.format_float_positional(value, precision=9, fractional=False, trim="0")
             for value in levels]  # fmt: skip
    return Export(
        target,
        tuple(float(word) for word in words),
        ", ".join(words),
        "# ManualSigmas -> SamplerCustom",
        given.levels,
        _steps(given.levels),
        notes,
    )


def _edm(target: str, given: _Given) -> Export:
    """The steps inside its sampler, which has no option for a list."""
    levels = _plain_list(given.levels)
    where = "edm_sampler in generate.py" if target == "edm" else "edm_sampler in generate_images.py"
    notes = (f"Heun's method of {target.upper()} calls the network twice per step but to 0",)
    steps = _steps(given.levels)
    return Export(
        target,
        levels,
        f"t_steps = torch.tensor({_bracketed(levels)}, dtype=torch.float64, device=latents.device)",
        f"# in place of t_steps in {where}, with num_steps = {given.sigmas.size}",
        given.levels,
        2 * steps - int(given.ends_at_zero),
        notes,
    )


def _diff_sampler(target: str, given: _Given) -> Export:
    """Levels without the 0 and without blanks; its number of steps counts levels."""
    values = _plain_list(given.sigmas)
    notes = (
        ("it ends at the last level; denoise_to_zero adds a call",) if given.ends_at_zero else ()
    )
    return Export(
        target,
        values,
        _bracketed(values, blank=""),
        f"# --num_steps={len(values)} --t_steps=LIST",
        given.sigmas,
        len(values) - 1,
        notes,
    )


def _noise_schedule_vp(target: str, given: _Given) -> Export:
    """Times of `NoiseScheduleVP`: discrete ones run from 1/m to 1, linear ones are the VP's."""
    if given.model is None:
        values = _plain_list(np.asarray(VP().time(given.sigmas)))
        kind = "linear"
    else:
        times = np.asarray(given.model.time(given.sigmas)) + 1.0
        values = _plain_list(times / given.model.levels.size)
        kind = "discrete"
    notes = ("it ends at the last time; denoise_to_zero adds a call",) if given.ends_at_zero else ()
    return Export(
        target,
        values,
        f"timesteps = torch.tensor({_bracketed(values)})",
        f"# NoiseScheduleVP('{kind}', ...): return this list from get_time_steps, steps = "
        f"{len(values) - 1}",
        given.sigmas,
        len(values) - 1,
        notes,
    )


def _python(target: str, given: _Given) -> Export:
    """A list of Python."""
    levels = _plain_list(given.levels)
    return Export(
        target, levels, f"sigmas = {_bracketed(levels)}", "# levels of x0 + sigma eps",
        given.levels, _steps(given.levels),
    )  # fmt: skip


def _lines(target: str, given: _Given) -> Export:
    """One level per line, and nothing else."""
    levels = _plain_list(given.levels)
    text = "\n".join(repr(level) for level in levels)
    return Export(target, levels, text, "", given.levels, _steps(given.levels))


def _json(target: str, given: _Given) -> Export:
    """A JSON list."""
    levels = _plain_list(given.levels)
    return Export(target, levels, json.dumps(levels), "", given.levels, _steps(given.levels))


_TARGETS: dict[str, Callable[[str, _Given], Export]] = {
    "diffusers-euler": _diffusers_euler,
    "diffusers-dpm": _diffusers_dpm,
    "diffusers-heun": _diffusers_heun,
    "diffusers-flow": _diffusers_flow,
    "diffusers-edm": _diffusers_edm,
    "k-diffusion": _k_diffusion,
    "comfyui": _comfyui,
    "edm": _edm,
    "edm2": _edm,
    "diff-sampler": _diff_sampler,
    "noise-schedule-vp": _noise_schedule_vp,
    "python": _python,
    "lines": _lines,
    "json": _json,
}
TARGETS = tuple(_TARGETS)
NEEDS_MODEL = ("diffusers-dpm", "diffusers-heun", "noise-schedule-vp")
ENDS_AT_A_LEVEL = ("diff-sampler", "noise-schedule-vp")  # their last step is not to 0
