"""What a sampler does to a mixture in two dimensions: likelihood, divergences, modes.

All from samples, in batches of as many paths as the standard error of the likelihood asks for.
Terminal policy "stop".
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from benchmarks.experiments import load_toy
from benchmarks.store import versions
from theory.noise import named_process
from theory.solvers import make_table
from toys import sampling
from toys.kernels import Array
from toys.mixture import Mixture

BATCH = 2**17
PARTS = 4  # in which samples are counted, for biases and standard errors
MOST_BATCHES = 1000
BLUR = 0.1  # std of the noise added to both laws before they are compared, data units
PIXEL = BLUR / 4.0
HALF = 480  # pixels from the middle of the picture to its edge
FAR = 16.0  # blurs from a sample; what lies further off from all has a density of tiny
DIRECTIONS, CDF_POINTS = 16, 2**15
SLICED = 2**19  # samples for the sliced distance


@dataclass(frozen=True)
class MixtureSampler:
    """One sampler on a two-dimensional mixture, from the start law of its process.

    Metrics: nll = -E log p(x), p the mixture without noise, x the sampler's output ("lower is
    better" in paper B; `nll_data` is the same for the data's own law at the last level);
    kl_data_model and kl_model_data of the two laws blurred by N(0, BLUR^2 I), which bound the KLs
    of the laws themselves from below; the sliced Wasserstein-2 distance, and that of as many data
    (`sliced_w2_data`); share of samples nearest to each mean, its total variation from the
    weights, and the std within modes over the data's.

    Args:
        toy: Name in the zoo.
        process: "edm" or "vp".
        schedule: Name of the schedule, for the row only.
        sigmas: The levels, falling, all positive.
        solver: Name of the solver.
        most_stderr: Of the nll.
        seed: Whole number in [0, 2**32).
    """

    toy: str
    process: str
    schedule: str
    sigmas: tuple[float, ...]
    solver: str
    most_stderr: float = 0.0019
    seed: int = 0

    def run(self) -> dict[str, Any]:
        """One tidy row."""
        toy, end = load_toy(self.toy), self.sigmas[-1]
        start = named_process(self.process).start_std(self.sigmas[0])
        table = make_table(self.solver, np.array(self.sigmas), start)
        counts = np.zeros((PARTS, (2 * HALF) ** 2))
        shares, within, outside = np.zeros(toy.size), 0.0, 0
        total = square = 0.0
        kept: list[Array] = []
        batches, wanted = 0, PARTS
        while batches < wanted:
            x = sampling.sample(toy, table, BATCH, self.seed, batches * BATCH)
            nll = -toy.log_density(x)
            total, square = total + float(nll.sum()), square + float(nll @ nll)
            inside, place = pixels(toy, x)
            counts[batches % PARTS] += np.bincount(place, minlength=counts.shape[1])
            outside += int(np.count_nonzero(~inside))
            gaps = np.sum((x[:, None] - toy.means) ** 2, axis=2)
            shares += np.bincount(gaps.argmin(axis=1), minlength=toy.size)
            within += float(gaps.min(axis=1).sum())
            if len(kept) < SLICED // BATCH:
                kept.append(x)
            batches += 1
            if batches == wanted:
                sd = _sd(total, square, batches * BATCH)
                needed = int(np.ceil((sd / self.most_stderr) ** 2 / BATCH))
                wanted = min(max(wanted, PARTS * -(-needed // PARTS)), MOST_BATCHES)
        n = batches * BATCH
        shares /= n
        sliced_w2 = sliced(toy, end, np.concatenate(kept))
        per_axis = within / n / toy.dim
        truth = float(toy.weights @ np.mean(toy.noisy_stds(end) ** 2, axis=1))
        row: dict[str, Any] = {
            "toy": self.toy,
            "process": self.process,
            "schedule": self.schedule,
            "solver": self.solver,
            "n_steps": len(self.sigmas) - 1,
            "nfe": table.nfe,
            "terminal": "stop",
            "start": "noise",
            "sigma_max": self.sigmas[0],
            "sigma_min": end,
            "paths": n,
            "seed": self.seed,
            "nll": total / n,
            "nll_stderr": _sd(total, square, n) / n**0.5,
            "nll_data": reference(self.toy, end),
        }
        row |= blurred_kls(toy, end, counts, outside)
        row |= {
            "sliced_w2": sliced_w2,
            "sliced_w2_data": _sliced_data(self.toy, end),
            "mode_tv": float(0.5 * np.abs(shares - toy.weights).sum()),
            "mode_shares": " ".join(f"{share:.5f}" for share in shares),
            "within_std": (per_axis / truth) ** 0.5,
            "sigmas": " ".join(repr(s) for s in self.sigmas),
        }
        return row | versions()


def _sd(total: float, square: float, n: int) -> float:
    """Standard deviation from sums."""
    return float(max((square - total**2 / n) / (n - 1), 0.0) ** 0.5)


def pixels(toy: Mixture, x: Array) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which states (n, 2) are in the picture, and the flat pixels of those."""
    at = np.floor((x - toy.mean) / PIXEL).astype(np.int64) + HALF
    inside = np.all((at >= 0) & (at < 2 * HALF), axis=1)
    return inside, at[inside, 0] * (2 * HALF) + at[inside, 1]


def picture_of(toy: Mixture, sigma: float) -> Array:
    """Log density of x0 + sigma eps at the pixels' centres, flat."""
    axis = (np.arange(-HALF, HALF) + 0.5) * PIXEL
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    return toy.log_density(points + toy.mean, sigma)


@cache
def reference(name: str, sigma: float) -> float:
    """-E log p(x), x of the data's law at sigma, by quadrature over the picture."""
    toy = load_toy(name)
    p = np.exp(picture_of(toy, sigma)) * PIXEL**2
    return -float(p @ picture_of(toy, 0.0))


def blurred_kls(toy: Mixture, sigma: float, counts: Array, outside: int) -> dict[str, Any]:
    """Both KLs of the blurred laws, their bias of order 1 / n removed, and standard errors.

    Args:
        toy: The data.
        sigma: The last level.
        counts: Samples in each pixel, shape (PARTS, pixels).
        outside: Samples outside of the picture; KL(data || model) is then that of the samples
            inside, and KL(model || data) is not given.
    """
    log_p = picture_of(toy, float(np.hypot(sigma, BLUR)))
    whole = kls(log_p, counts.sum(axis=0))
    parts = np.array([kls(log_p, part) for part in counts])
    forward, backward = whole - (parts.mean(axis=0) - whole) / (PARTS - 1)
    stderr = parts.std(axis=0, ddof=1) / PARTS**0.5
    reason = f"{outside} samples lie outside of the picture" if outside else None
    return {
        "kl_data_model": float(forward),
        "kl_data_model_stderr": float(stderr[0]),
        "kl_model_data": None if outside else float(backward),
        "kl_model_data_stderr": None if outside else float(stderr[1]),
        "kl_reason": reason,
        "blur": BLUR,
    }


def kls(log_p: Array, counts: Array) -> Array:
    """KL(data || model) and KL(model || data) of one picture of counts."""
    # Counting into pixels has blurred a little already.
    width = (BLUR**2 - PIXEL**2 / 12.0) ** 0.5 / PIXEL
    picture = counts.reshape(2 * HALF, 2 * HALF) / counts.sum()
    q = gaussian_filter(picture, width, mode="constant", truncate=FAR).ravel()
    log_p, p = log_p + 2.0 * np.log(PIXEL), np.exp(log_p) * PIXEL**2
    log_q = np.log(np.maximum(q, np.finfo(float).tiny))
    forward = p @ (log_p - log_q)
    backward = np.where(q > 0, q * (log_q - log_p), 0.0).sum()
    return np.array([forward, backward])


def sliced(toy: Mixture, sigma: float, x: Array) -> float:
    """Sliced Wasserstein-2 distance of samples (n, 2) and x0 + sigma eps, in data units."""
    total = 0.0
    middles = (np.arange(len(x)) + 0.5) / len(x)
    for k in range(DIRECTIONS):
        angle = np.pi * (k + 0.5) / DIRECTIONS
        direction = np.array([np.cos(angle), np.sin(angle)])
        means = toy.means @ direction
        stds = np.sqrt(toy.noisy_stds(sigma) ** 2 @ direction**2)
        far = 9.0 * float(stds.max())
        grid = np.linspace(means.min() - far, means.max() + far, CDF_POINTS)
        cdf = ndtr((grid[:, None] - means) / stds) @ toy.weights
        data = np.interp(middles, cdf, grid)
        total += float(np.mean((np.sort(x @ direction) - data) ** 2))
    return float((total / DIRECTIONS) ** 0.5)


@cache
def _sliced_data(name: str, sigma: float) -> float:
    """The sliced distance of as many data as are taken of a sampler."""
    toy = load_toy(name)
    return sliced(toy, sigma, toy.sample(SLICED, 1, 0, sigma))
