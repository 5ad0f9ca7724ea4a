"""Paper C's state-dependent iterations in torch; see theory/solvers/reducing.py for their rules.

The compiled loop in toys/kernels.py implements the same formulas, and each is tested against the
other. Samples are flattened to (B, channels, m). Inner products run over m.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.networks.protocol import Condition, Denoiser
from theory.solvers.reducing import ReducingIteration
from toys.kernels import CLIP, MANY_STEPS, SMALLEST
from toys.reducing import constants


def _ratio(u: Tensor, v: Tensor, norm: Tensor) -> Tensor:
    """<u, v> / |norm|^2 of every sample and channel, (B, channels, 1); 0 where it is 0 / 0.

    Computed in float64: two float32 outputs can agree to the last bit, and squares underflow.
    """
    u64, v64, norm64 = (t.double() for t in (u, v, norm))
    top, bottom = (u64 * v64).sum(dim=2, keepdim=True), norm64.square().sum(dim=2, keepdim=True)
    tiny = bottom < SMALLEST
    return torch.where(tiny, 0.0, top / torch.where(tiny, 1.0, bottom)).to(u.dtype)


def _clipped(u: Tensor, v: Tensor, norm: Tensor) -> Tensor:
    return _ratio(u, v, norm).clamp(-CLIP, CLIP)


def walk_iteration(
    denoiser: Denoiser,
    iteration: ReducingIteration,
    x: Tensor,
    condition: Condition | None = None,
    tick: Callable[[], None] | None = None,
) -> Tensor:
    """Final states from initial states x, shape (B, *shape), by `iteration.nfe` denoiser calls.

    Args:
        denoiser: See `protocol.Denoiser`.
        iteration: The rule, its levels and options. `channels` is the number of groups of
            coordinates, with the last index fastest; C of (C, H, W) gives each channel its own
            inner products.
        x: Initial states. Their dtype is kept throughout.
        condition: Rows for these samples.
        tick: Called after every call of the denoiser.
    """
    shape, levels = x.shape, iteration.levels.tolist()
    groups = (len(x), iteration.channels, -1)
    steps = constants(math.prod(shape[1:]), iteration).tolist()

    def call(y: Tensor, level: float) -> Tensor:
        sigma = torch.full((len(x),), level, dtype=torch.float64, device=x.device)
        out = denoiser(y.reshape(shape), sigma, condition).to(x.dtype)
        if tick is not None:
            tick()
        return out.reshape(groups)

    x = x.reshape(groups)
    k_max = len(steps)
    d0 = call(x, levels[0]) if k_max else torch.zeros_like(x)
    d1 = d0
    for k, c in enumerate(steps):
        rho, bh = c[0], c[1]
        euler = rho * x + bh * d0
        if k == 0:
            x = euler
            if k_max > 1:
                d1, d0 = d0, call(x, levels[1])
        elif k == k_max - 1 and iteration.special_last:
            back = 1.0 - 0.5 * math.sqrt(rho if rho < 0.5 else rho - 0.5)
            shrink = 1.0 - math.sqrt(levels[k] * levels[k + 1])
            x = shrink * euler + 0.5 * bh * (d0 - back * d1)
        else:
            rule = _evodiff if iteration.rule == "evodiff" else _re_multi

            def probe_call(y: Tensor, level: float = levels[k + 1]) -> Tensor:
                return call(y, level)

            x, d0, d1 = *rule(iteration, probe_call, euler, d0, d1, c, k_max), d0
    return (call(x, levels[-1]) if iteration.denoise_last else x).reshape(shape)


def _re_multi(
    iteration: ReducingIteration,
    call: Callable[[Tensor], Tensor],
    euler: Tensor,
    d0: Tensor,
    d1: Tensor,
    c: list[float],
    k_max: int,
) -> tuple[Tensor, Tensor]:
    """The new state and the output at the probe, for one step of `re_multi_iteration`."""
    rho, bh, h, on_l, on_s, share, inverse_h1, a = c
    probe = euler + 0.5 * bh * h * on_l * (d0 - d1)
    dt = call(probe)
    before, ahead = (d0 - d1) * inverse_h1, dt - d0
    gap, d = before - ahead / h, share * ahead
    eta = torch.sigmoid(_ratio(gap, before, gap).abs())
    along = _ratio(d, 2.0 / rho * probe - a * h * (dt + d0), d).abs() / (a * h)
    sign = -1.0 if iteration.rule == "re_multi_2025" else 1.0
    zeta = torch.sigmoid(sign * (along - iteration.mu))
    slope = 0.5 * eta * on_s * ahead + (1.0 - 0.5 * eta) * on_l * (d0 - d1)
    return euler + 0.5 * bh * h * zeta * slope, dt


def _evodiff(
    iteration: ReducingIteration,
    call: Callable[[Tensor], Tensor],
    euler: Tensor,
    d0: Tensor,
    d1: Tensor,
    c: list[float],
    k_max: int,
) -> tuple[Tensor, Tensor]:
    """The new state and the output at the probe, for one step of `evodiff_iteration`."""
    rho, bh, h, r, share, beta = c[:6]
    beta1 = (1.0 - share) * beta + share * _clipped(d0, d1, d1)
    g1 = d0 - beta1 * d1
    widen = 1.0 / (r * torch.sigmoid(0.25 * beta1.abs()))
    probe = euler + 0.5 * bh * widen * g1
    dt = call(probe)
    beta2 = (1.0 - share) * beta + share * _clipped(dt, d0, d0)
    g2 = dt - beta2 * d0
    back, ahead = g1 / (r * h), g2 * (r / h)
    eta = 0.5 * torch.sigmoid(0.5 * _clipped(ahead + back, ahead - back, ahead - back).abs())
    slope = r * (1.0 - eta) * g2 - eta / r * g1
    v = _clipped(probe - euler - 0.5 * bh * widen * slope, g1, g1).abs() / bh - iteration.mu
    if k_max > MANY_STEPS:
        change = (d0 - d1) / h
        v = -v * torch.sigmoid(_clipped(d0, change, change) * (2.0 - rho**2))
    # Division by zeta = sigmoid(v), written as 1 / zeta = 1 + exp(-v) to avoid 0 / 0.
    return euler + 0.5 * bh * (1.0 + torch.exp(-v)) * slope, dt
