"""What diffusers schedulers say about a network: its levels, times and target.

Only the config is read, and of it only what states how the network was trained. Options that only
move a sampler's grid (shift, Karras sigmas, spacing, the last level) are ignored:

    DDPM, DDIM, Euler,       The state is x0 + sigma eps scaled by alpha, with sigma_k =
    DPMSolverMultistep,      sqrt((1 - abar_k) / abar_k), and the time is the index k. If the config
    UniPC                    has zero terminal SNR, its last level, abar = 0, is left out.
    FlowMatchEuler; the      The state is (1 - u) x0 + u eps, with sigma = u / (1 - u), and the time
    former two with          is u T, with T = num_train_timesteps. `shift` replaces u by another u
    use_flow_sigmas          but does not change its meaning. Levels are u = 1 / T .. 1 - 1 / T,
                             since sigma is infinite at 1. DPMSolverMultistep and UniPC truncate
                             u T to an integer; here it is rounded.
    EDMEuler                 EDM's preconditioning, time log(sigma) / 4, and the config's levels.

Most classes give their networks integer times. FlowMatchEuler, EDMEuler, and Euler with
timestep_type "continuous" and v_prediction give fractional ones, whatever `time` says.
"""

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.networks.adapters import Time, edm_time, flow_time
from theory.checks import Array, monotone, one_of, positive, whole

VP_SCHEDULERS = (
    "DDPMScheduler",
    "DDIMScheduler",
    "EulerDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
)
FLOW, EDM = "FlowMatchEulerDiscreteScheduler", "EDMEulerScheduler"
SCHEDULERS = (*VP_SCHEDULERS, FLOW, EDM)
TIMES = ("nearest", "interpolated")
# Diffusers' names of targets and ours, by the coordinate of the state. EDMEuler's two differ only
# in sign. v is refused in the flow coordinate: diffusers' formula needs alpha^2 + sigma^2 = 1.
TARGETS = {
    "vp": {"epsilon": "eps", "sample": "x0", "v_prediction": "v"},
    "flow": {"flow_prediction": "flow", "epsilon": "eps", "sample": "x0"},
    "edm": {"epsilon": "edm", "v_prediction": "edm"},
}
# Relative tolerance, far below a step of a table. Diffusers' float32 abar moves DDPM's first level
# by 8e-5 from that of exact betas, `theory.noise.processes.DDPM`.
SLACK = 5e-4


@dataclass(frozen=True)
class IndexTime:
    """Fractional index of a level, with log sigma linear between integer indices.

    Args:
        log_sigmas: Log of the levels, shape (m,), float64, rising.
        first: Index of the first level.
    """

    log_sigmas: Tensor
    first: int

    def __call__(self, sigma: Tensor) -> Tensor:
        """Index of each level, shape of sigma. Levels beyond an end by rounding get its index."""
        table, at = self.log_sigmas.to(sigma.device), sigma.log()
        right = torch.searchsorted(table, at).clamp(1, len(table) - 1)
        low, high = table[right - 1], table[right]
        return self.first + right - 1 + ((at - low) / (high - low)).clamp(0.0, 1.0)


@dataclass(frozen=True)
class Levels:
    """The levels that a network was trained for, and its time at each; others are refused.

    Args:
        source: Name of the scheduler, for the error message.
        sigma_min: Lowest level, in data units.
        sigma_max: Highest level, in data units.
        clock: Maps sigma (B,), float64, to the time (B,).
        is_whole: Whether to take the nearest integer time, the index nearest in log sigma or in u.
    """

    source: str
    sigma_min: float
    sigma_max: float
    clock: Time
    is_whole: bool = False

    def __call__(self, sigma: Tensor) -> Tensor:
        """Time (B,) of levels (B,), which must be in sigma_min..sigma_max up to rounding."""
        low, high = (float(end) for end in sigma.aminmax())
        good_low = low >= self.sigma_min * (1.0 - SLACK)
        if not (good_low and high <= self.sigma_max * (1.0 + SLACK)):
            span = f"{self.sigma_min:.9g}..{self.sigma_max:.9g}, the levels of {self.source}"
            raise ValueError(f"sigma must be in {span}, got {high if good_low else low:.9g}")
        time = self.clock(sigma)
        return time.round() if self.is_whole else time


@dataclass(frozen=True)
class Training:
    """How a network was trained: arguments of `adapters.Predictor` and the sign of its output."""

    target: str
    scale: str
    levels: Levels
    sigma_data: float = 0.5
    sign: float = 1.0


def training_of(scheduler: Any, time: str = "nearest") -> Training:
    """What the config of a scheduler says about the networks trained for it.

    Args:
        scheduler: An instance of one of the classes in SCHEDULERS.
        time: For networks with integer times. "nearest" takes the nearest of them. "interpolated"
            takes the fractional index with the given log sigma, which is linear between indices
            (in the flow coordinate u T itself).
    """
    name, options = _options(scheduler)
    is_whole = one_of("time", time, TIMES) == "nearest"
    if name == EDM:
        target = _target(name, options, "edm")
        levels = Levels(name, options["sigma_min"], options["sigma_max"], edm_time)
        sign = -1.0 if options["prediction_type"] == "v_prediction" else 1.0
        return Training(target, "edm", levels, options["sigma_data"], sign)
    if name == FLOW or options.get("use_flow_sigmas"):
        if options.get("invert_sigmas"):
            raise ValueError(f"invert_sigmas of this {name} must be False, got True")
        count = whole("num_train_timesteps", options["num_train_timesteps"], 2)
        clock = _FlowClock(count)
        levels = Levels(name, 1.0 / (count - 1), count - 1.0, clock, is_whole and name != FLOW)
        return Training(_target(name, options, "flow"), "flow", levels)
    target = _target(name, options, "vp")
    sigmas, first = _table(scheduler, options)
    ends = float(sigmas[0]), float(sigmas[-1])
    if options.get("timestep_type") == "continuous" and target == "v":
        low, high = options["sigma_min"] or ends[0], options["sigma_max"] or ends[1]
        return Training(target, "vp", Levels(name, low, high, edm_time))
    index = IndexTime(torch.from_numpy(np.log(sigmas)), first)
    return Training(target, "vp", Levels(name, *ends, index, is_whole))


def limit_of(scheduler: Any, clip: float | bool | None = None) -> float | None:
    """Bound of the x0-predictions, from `clip` or from the config's `clip_sample`.

    Args:
        scheduler: An instance of one of the classes in SCHEDULERS. Only DDPM and DDIM have
            `clip_sample`.
        clip: A bound, False for none, or None for the config's.
    """
    name, options = _options(scheduler)
    if clip is True:
        raise ValueError("clip must be a bound, False or None, got True")
    if clip is not None:
        return None if clip is False else positive("clip", clip)
    if options.get("thresholding"):
        rule = "be a bound or False where the scheduler has thresholding, which is not supported"
        mend = "or set thresholding to false in its config"
        raise ValueError(f"clip must {rule}, got None for this {name}; {mend}")
    return positive("clip", options["clip_sample_range"]) if options.get("clip_sample") else None


@dataclass(frozen=True)
class _FlowClock:
    """Time u T."""

    count: int

    def __call__(self, sigma: Tensor) -> Tensor:
        return flow_time(sigma) * self.count


def _options(scheduler: Any) -> tuple[str, dict[str, Any]]:
    """Name of the class, and the config without inherited entries that the class does not read."""
    name = one_of("scheduler", type(scheduler).__name__, SCHEDULERS)
    known = inspect.signature(type(scheduler).__init__).parameters
    return name, {key: value for key, value in scheduler.config.items() if key in known}


def _target(name: str, options: dict[str, Any], state: str) -> str:
    """`Predictor`'s name of the config's target; FlowMatchEuler has only one."""
    asked = options.get("prediction_type", "flow_prediction")
    if name == "EulerDiscreteScheduler" and asked == "original_sample":
        asked = "sample"  # its older name in diffusers
    return TARGETS[state][one_of(f"prediction_type of this {name}", asked, TARGETS[state])]


def _table(scheduler: Any, options: dict[str, Any]) -> tuple[Array, int]:
    """Levels (m,), rising, and the index of the first, from the abar of the training.

    abar is float32. sigma is computed from it in float64, where 1 - abar is exact.
    """
    product = scheduler.alphas_cumprod.double().cpu().numpy()
    # The last abar, 0, can be stored as 2^-24, *above* its neighbour with 1000 linear betas.
    keep = (product > 0) & (product < 1)
    keep[-1] &= not options["rescale_betas_zero_snr"]
    first, kept = int(np.argmax(keep)), product[keep]
    sigmas = np.sqrt((1.0 - kept) / kept)
    monotone(f"sigmas of this {type(scheduler).__name__}", sigmas)
    if len(sigmas) < 2:
        raise ValueError(f"scheduler must have at least 2 levels, got {len(sigmas)}")
    return sigmas, first
