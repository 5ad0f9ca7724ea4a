"""Quality of a trained network: excess loss over the mmse, and statistics of its samples."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.networks.protocol import Denoiser
from benchmarks.networks.sampling import sample
from benchmarks.training import sequences
from benchmarks.training.digit_checks import digits_checks, frechet_digits
from benchmarks.training.noise import SIGMA_MAX, SIGMA_MIN, LogNormal, loss_weight
from benchmarks.training.targets import Floats, Target
from theory.checks import Array
from theory.schedules.standard import edm_sigmas
from theory.solvers.registry import make_table
from toys.mixture import Mixture

LEVELS = 25
EXCESS_SAMPLES = 4096
SAMPLE_BATCH = 250
EVALUATION_SEED = 40  # not the seeds of any data
FAR = 0.5  # distance from -1 or 1 below which a value counts as binary


def evaluate(
    denoiser: Denoiser,
    target: Target,
    n: int,
    sample_steps: int,
    seed: int,
    device: str | torch.device = "cpu",
) -> tuple[dict[str, Any], Floats | None]:
    """Numbers of a denoiser, and the n samples they are computed from (None for n = 0).

    Keys: `risk` (see `risks`), and `excess` if the law is known (see `excess_loss`). With samples
    also `nfe`, and depending on the target `checks` (digits), `frechet...` (binary digits), or
    `sequences` and `sequences_real` (dna).
    """
    row: dict[str, Any] = {"risk": risks(denoiser, target, device)}
    if target.law is not None:
        row["excess"] = excess_loss(denoiser, target.law, target.sigma_data, device=device)
    if n == 0:
        return row, None
    table = make_table("heun", edm_sigmas(sample_steps, SIGMA_MAX, SIGMA_MIN, "zero"))
    drawn = sample(
        denoiser, table, target.shape, n, seed, batch=SAMPLE_BATCH, device=device,
        progress="samples",
    )  # fmt: skip
    samples = drawn.to(torch.float32).numpy()
    row |= {"samples": n, "nfe": table.nfe, **sample_statistics(samples, target)}
    return row, samples


def sample_statistics(samples: Floats, target: Target) -> dict[str, Any]:
    """Statistics of samples that suit the target, and the same statistics of real data."""
    if target.name == "digits":
        return {"checks": digits_checks(samples)}
    if target.name == "binary-digits":
        near = np.abs(np.abs(samples.astype(np.float64)) - 1.0) < FAR
        return {"binary_share": float(near.mean()), **frechet_digits(samples, target)}
    if target.name == "dna":
        real = target.train[: len(target.held_out)]
        return {
            "sequences": sequences.statistics(samples, target.held_out),
            "sequences_real": sequences.statistics(real, target.held_out),
        }
    return {"mean": float(samples.mean()), "std": float(samples.astype(np.float64).std())}


def risks(
    denoiser: Denoiser, target: Target, device: str | torch.device = "cpu"
) -> dict[str, list[float]]:
    """Mean |D - x0|^2, summed over coordinates, for held-out and training data at several levels.

    Both use the same number of samples and the same noise, so that their gap shows memorisation.
    """
    m = min(len(target.train), len(target.held_out), 1024)
    levels = _levels(9, 0.01, 20.0)
    out: dict[str, list[float]] = {"sigma": levels.tolist(), "held_out": [], "train": []}
    for name, data in (("held_out", target.held_out[:m]), ("train", target.train[:m])):
        x0 = torch.from_numpy(data).to(device)
        for i, sigma in enumerate(levels):
            x = x0 + float(sigma) * _noise(x0, i)
            error = (denoised(denoiser, x, float(sigma)) - x0).double()
            out[name].append(float(error.square().flatten(1).sum(dim=1).mean()))
    return out


def excess_loss(
    denoiser: Denoiser,
    law: Mixture,
    sigma_data: float,
    levels: Array | None = None,
    n: int = EXCESS_SAMPLES,
    device: str | torch.device = "cpu",
) -> dict[str, Any]:
    """E|D - m|^2, the loss above the mmse, by Monte Carlo; m is the exact posterior mean.

    For any D, E|D - x0|^2 = mmse + E|D - m|^2, so this is the exact excess without the noise of x0.

    Keys: sigma, excess and stderr are lists over the levels. The others are integrals over the
    levels by the trapezoidal rule in log sigma, each with its standard error. `nats` is the
    integral of excess / sigma^3 in sigma. It bounds KL(data || model) at sigma_min for the reverse
    diffusion, apart from the mismatch of the initial law. `edm` is the mean of w excess / d under
    EDM's log-normal noise and weight. `log_uniform` is the mean of excess / d over log sigma, with
    w = 1.

    Args:
        denoiser: The network.
        law: The exact law of x0.
        sigma_data: Standard deviation of the data, for EDM's weight.
        levels: Noise levels, rising. Default: 25 levels from 0.002 to 80.
        n: Samples per level.
        device: Device of the denoiser.
    """
    sigmas = _levels(LEVELS, SIGMA_MIN, SIGMA_MAX) if levels is None else levels
    mean, stderr = np.empty(sigmas.size), np.empty(sigmas.size)
    for i, sigma in enumerate(sigmas):
        x = law.sample(n, EVALUATION_SEED, i * n, float(sigma))  # fresh data at every level
        found = denoised(denoiser, torch.from_numpy(x).to(device), float(sigma)).double().cpu()
        squares = np.sum((found.numpy() - law.denoise(x, float(sigma))) ** 2, axis=1)
        mean[i], stderr[i] = squares.mean(), squares.std(ddof=1) / np.sqrt(n)
    width = np.zeros(sigmas.size)
    steps = np.diff(np.log(sigmas))
    width[:-1] += 0.5 * steps
    width[1:] += 0.5 * steps
    w, pi = loss_weight("edm", sigma_data)(sigmas), LogNormal().density(sigmas)
    weights = {
        "nats": width / sigmas**2,
        "edm": width * w * pi * sigmas / law.dim,
        "log_uniform": width / width.sum() / law.dim,
    }
    out: dict[str, Any] = {
        "sigma": sigmas.tolist(),
        "excess": mean.tolist(),
        "stderr": stderr.tolist(),
    }
    for name, weight in weights.items():
        out[name] = float(weight @ mean)
        out[f"{name}_stderr"] = float(np.sqrt(np.sum((weight * stderr) ** 2)))
    return out


def _levels(count: int, low: float, high: float) -> Array:
    return np.geomspace(low, high, count)


def _noise(x0: Tensor, index: int) -> Tensor:
    """Standard normals, the same for every data set and device."""
    generator = torch.Generator().manual_seed(EVALUATION_SEED + index)
    return torch.randn(x0.shape, generator=generator).to(x0.device)


def denoised(denoiser: Denoiser, x: Tensor, sigma: float) -> Tensor:
    """The denoiser's outputs for states x (n, *shape) that it is told to be at one level."""
    levels = torch.full((len(x),), sigma, dtype=torch.float64, device=x.device)
    with torch.inference_mode():
        parts = zip(torch.split(x, 1024), torch.split(levels, 1024), strict=True)
        return torch.cat([denoiser(part, level) for part, level in parts])
