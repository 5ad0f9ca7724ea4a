"""Networks of the library diffusers, or callables like them, as denoisers.

A model is called as model(x, time, **condition), with x and time by position. This suits
UNet2DModel, UNet2DConditionModel and DiTTransformer2DModel. Conditions have diffusers' names:
class_labels, encoder_hidden_states. What the model was trained for follows from a scheduler; see
`diffusers_times`. The model is used in its current mode: call `eval()` first, or dropout becomes
part of the denoiser.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.networks.adapters import Predictor
from benchmarks.networks.diffusers_times import Levels, limit_of, training_of
from benchmarks.networks.protocol import Condition
from theory.checks import floats


@dataclass(frozen=True)
class SchedulerDenoiser:
    """A `protocol.Denoiser` for levels in sigma_min..sigma_max; others raise ValueError."""

    predictor: Predictor
    levels: Levels

    @property
    def sigma_min(self) -> float:
        """Lowest level that the network was trained for, in data units."""
        return self.levels.sigma_min

    @property
    def sigma_max(self) -> float:
        """Highest level that the network was trained for, in data units."""
        return self.levels.sigma_max

    def __call__(self, x: Tensor, sigma: Tensor, condition: Condition | None = None) -> Tensor:
        """x0-prediction; see `protocol.Denoiser`."""
        return self.predictor(x, sigma, condition)


def denoiser_from(
    model: Callable[..., Any],
    scheduler: Any,
    *,
    time: str = "nearest",
    guidance: float | None = None,
    null_condition: Condition | None = None,
    clip: float | bool | None = None,
    dtype: torch.dtype = torch.float32,
    autocast: torch.dtype | None = None,
) -> SchedulerDenoiser:
    """A network trained for a diffusers scheduler, as a denoiser in x = x0 + sigma eps.

    Args:
        model: Called as model(x, time, **condition). It returns a tensor, a tuple that starts with
            one, or an object with `.sample`. If the tensor has twice the channels of x, as with a
            learned variance, its first half is the prediction.
        scheduler: An instance of one of the seven classes in `diffusers_times.SCHEDULERS`.
        time: For networks with integer times: "nearest" (an int64), or "interpolated".
        guidance: Weight w of classifier-free guidance: x0 is computed from F_null +
            w (F_cond - F_null), where both come from one call of the model with twice the rows.
            None for no guidance.
        null_condition: The condition of F_null, with the same names: one row for all samples,
            with or without the first axis, or B rows.
        clip: Bound of the x0-predictions, or False for none. Default: as the config's
            `clip_sample` says. Diffusers' DDIM and Euler then step with the clipped prediction, as
            DDIMScheduler does with use_clipped_model_output=True.
        dtype: Dtype of the model. x and floating-point conditions are cast to it.
        autocast: Dtype of mixed precision inside the model, or None.
    """
    if (guidance is None) != (null_condition is None):
        got = f"guidance {guidance} and {'no' if null_condition is None else 'a'} null_condition"
        raise ValueError(f"guidance and null_condition must come together, got {got}")
    if guidance is not None and floats("guidance", guidance).ndim:
        raise ValueError(f"guidance must be one number, got {guidance!r:.80}")
    training = training_of(scheduler, time)
    network = _Network(
        model, training.sign, training.levels.is_whole, dtype, guidance, null_condition
    )
    predictor = Predictor(
        network,
        training.target,
        training.levels,
        training.scale,
        training.sigma_data,
        dtype,
        autocast,
        limit_of(scheduler, clip),
    )
    return SchedulerDenoiser(predictor, training.levels)


@dataclass(frozen=True)
class _Network:
    """The model as `Predictor` needs it: it returns one tensor of the shape of x, with guidance."""

    model: Callable[..., Any]
    sign: float
    is_whole: bool
    dtype: torch.dtype
    guidance: float | None
    null_condition: Condition | None

    def __call__(self, x: Tensor, time: Tensor, **condition: Tensor) -> Tensor:
        if self.is_whole:
            time = time.long()
        for name, rows in condition.items():
            if len(rows) != len(x):
                raise ValueError(f"{name} must have a row a sample, {len(x)}, got {len(rows)}")
        if self.null_condition is None or self.guidance is None:
            return self._answer(x, time, condition)
        null = _null_rows(self.null_condition, condition)
        both = {name: torch.cat([null[name], rows]) for name, rows in condition.items()}
        answer = self._answer(torch.cat([x, x]), torch.cat([time, time]), both)
        without, given = answer.to(torch.promote_types(answer.dtype, torch.float32)).chunk(2)
        return without + self.guidance * (given - without)

    def _answer(self, x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        cast = {k: v.to(self.dtype) if v.is_floating_point() else v for k, v in condition.items()}
        out = self.model(x, time, **cast)
        if not isinstance(out, Tensor):
            out = out[0] if isinstance(out, tuple) else getattr(out, "sample", out)
        if not isinstance(out, Tensor):
            kind = type(out).__name__
            raise TypeError(f"model must answer with a tensor, a tuple or .sample, got {kind}")
        if out.ndim > 1 and out.shape[1] == 2 * x.shape[1]:
            out = out[:, : x.shape[1]]
        answer: Tensor = self.sign * out
        return answer


def _null_rows(null: Condition, condition: Condition) -> dict[str, Tensor]:
    """Rows of the null condition, as many as the condition has and of the same dtype."""
    if null.keys() != condition.keys():
        names, got = ", ".join(null), ", ".join(condition) or "none"
        raise ValueError(f"condition must hold what null_condition holds, {names}, got {got}")
    out = {}
    for name, rows in condition.items():
        one = null[name].to(rows)
        one = one if one.ndim == rows.ndim else one[None]
        if one.shape[1:] != rows.shape[1:] or len(one) not in (1, len(rows)):
            rule = f"have one row or {len(rows)}, of shape {tuple(rows.shape[1:])}"
            raise ValueError(f"null_condition must {rule}, got {tuple(one.shape)} for {name}")
        out[name] = one.expand(rows.shape)
    return out
