"""What the schedulers of the library diffusers say about a network: its levels, times and target.

Only the config is read, and only what says how the network was trained. Whatever moves the grid
of a sampler alone (shift, Karras sigmas, spacing, the last level) plays no part here:

    DDPM, DDIM, Euler,       state x0 + sigma eps scaled by alpha; sigma_k =
    DPMSolverMultistep,      sqrt((1 - abar_k) / abar_k), and the time is the index k.
    UniPC                    the last, abar = 0, of a config with zero terminal SNR is left out.
    FlowMatchEuler; the      state (1 - u) x0 + u eps, sigma = u / (1 - u), and the time is u T,
    former two with          T = num_train_timesteps. `shift` replaces u by another u and never
    use_flow_sigmas          the meaning of one. Levels u = 1 / T .. 1 - 1 / T; at 1 sigma is
                             infinite. Those two cut u T off to a whole time where we round it.
    EDMEuler                 EDM's preconditioning, time log(sigma) / 4, levels of its config.

Whole times are what the integer-time classes give their networks; FlowMatchEuler, EDMEuler and
Euler with timestep_type "continuous" and v_prediction give fractional ones whatever `time` says.
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
# Their names of targets, ours, by the coordinate of the state. EDMEuler's two are one but for
# the sign; v in the flow coordinate is refused, since theirs holds if alpha^2 + sigma^2 = 1 only.
TARGETS = {
    "vp": {"epsilon": "eps", "sample": "x0", "v_prediction": "v"},
    "flow": {"flow_prediction": "flow", "epsilon": "eps", "sample": "x0"},
    "edm": {"epsilon": "edm", "v_prediction": "edm"},
}
# Relative, far less than a step of a table. Their float32 abar moves DDPM's first level by 8e-5
# from that of exact betas, `theory.noise.processes.DDPM`.
SLACK = 5e-4


@dataclass(frozen=True)
class IndexTime:
    """Fractional index of a level, log sigma being linear between whole ones.

    Args:
        log_sigmas: Shape (m,), float64, rising.
        first: Index of the first.
    """

    log_sigmas: Tensor
    first: int

    def __call__(self, sigma: Tensor) -> Tensor:
        """Index of each level, shape of sigma; at an end for those beyond it by rounding."""
        table, at = self.log_sigmas.to(sigma.device), sigma.log()
        right = torch.searchsorted(table, at).clamp(1, len(table) - 1)
        low, high = table[right - 1], table[right]
        return self.first + right - 1 + ((at - low) / (high - low)).clamp(0.0, 1.0)


@dataclass(frozen=True)
class Levels:
    """The levels that a network knows, and its time at each; others are refused.

    Args:
        source: Where they come from, for the message.
        sigma_min: Lowest level, in data units.
        sigma_max: Highest level.
        clock: Maps sigma (B,), float64, to the time (B,).
        is_whole: Take the nearest whole time: the index nearest in log sigma, or in u.
    """

    source: str
    sigma_min: float
    sigma_max: float
    clock: Time
    is_whole: bool = False

    def __call__(self, sigma: Tensor) -> Tensor:
        """Time (B,) of levels (B,), which must lie in sigma_min..sigma_max but for rounding."""
        low, high = (float(end) for end in sigma.aminmax())
        good_low = low >= self.sigma_min * (1.0 - SLACK)
        if not (good_low and high <= self.sigma_max * (1.0 + SLACK)):
            span = f"{self.sigma_min:.9g}..{self.sigma_max:.9g}, the levels of {self.source}"
            raise ValueError(f"sigma must be in {span}, got {high if good_low else low:.9g}")
        time = self.clock(sigma)
        return time.round() if self.is_whole else time


@dataclass(frozen=True)
class Training:
    """How a network was trained: arguments of `adapters.Predictor` and the sign of its answer."""

    target: str
    scale: str
    levels: Levels
    sigma_data: float = 0.5
    sign: float = 1.0


def training_of(scheduler: Any, time: str = "nearest") -> Training:
    """What the config of a scheduler says of the networks trained for it.

    Args:
        scheduler: Of one of the classes SCHEDULERS.
        time: Of networks with whole times: "nearest", the nearest of these, or "interpolated",
            the fractional index at which log sigma, linear between indices, is that asked for
            (u T itself in the flow coordinate).
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
    """Bound of the x0-predictions: that of the config's `clip_sample`, or what `clip` says.

    Args:
        scheduler: Of one of the classes SCHEDULERS; DDPM and DDIM alone have `clip_sample`.
        clip: A bound, False for none, or None for the config's.
    """
    name, options = _options(scheduler)
    if clip is True:
        raise ValueError("clip must be a bound, False or None, got True")
    if clip is not None:
        return None if clip is False else positive("clip", clip)
    if options.get("thresholding"):
        rule = "be a bound or False where the scheduler has thresholding, which is not supported"
        raise ValueError(f"clip must {rule}, got None for this {name}")
    return positive("clip", options["clip_sample_range"]) if options.get("clip_sample") else None


@dataclass(frozen=True)
class _FlowClock:
    """Time u T."""

    count: int

    def __call__(self, sigma: Tensor) -> Tensor:
        return flow_time(sigma) * self.count


def _options(scheduler: Any) -> tuple[str, dict[str, Any]]:
    """Name of the class, and the config without what it inherits from others but does not read."""
    name = one_of("scheduler", type(scheduler).__name__, SCHEDULERS)
    known = inspect.signature(type(scheduler).__init__).parameters
    return name, {key: value for key, value in scheduler.config.items() if key in known}


def _target(name: str, options: dict[str, Any], state: str) -> str:
    """Name of `Predictor` for the config's target; FlowMatchEuler has but one."""
    asked = options.get("prediction_type", "flow_prediction")
    if name == "EulerDiscreteScheduler" and asked == "original_sample":
        asked = "sample"  # its older name there
    return TARGETS[state][one_of(f"prediction_type of this {name}", asked, TARGETS[state])]


def _table(scheduler: Any, options: dict[str, Any]) -> tuple[Array, int]:
    """Levels (m,), rising, and the index of the first, from the abar that networks train with.

    Those are float32; sigma follows from them in float64, where 1 - abar is exact.
    """
    product = scheduler.alphas_cumprod.double().cpu().numpy()
    # The last, 0, may stand as 2^-24, which is *above* its neighbour for 1000 linear betas.
    keep = (product > 0) & (product < 1)
    keep[-1] &= not options["rescale_betas_zero_snr"]
    first, kept = int(np.argmax(keep)), product[keep]
    sigmas = np.sqrt((1.0 - kept) / kept)
    monotone(f"sigmas of this {type(scheduler).__name__}", sigmas)
    if len(sigmas) < 2:
        raise ValueError(f"scheduler must have at least 2 levels, got {len(sigmas)}")
    return sigmas, first
