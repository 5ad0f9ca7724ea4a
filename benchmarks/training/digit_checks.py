"""Whether generated digits are good: recognisable, of every class, near the data, not copies.

Samples are first clipped to [-1, 1], the range of pixels. The acceptance checks, for about 2000
samples, are:

    confident   share of samples to which the support vector machine of `digit_classifier` gives a
                class with p > 0.9: at least 60 % (held-out images 84 %, the Gaussian's 7 %)
    classes     share of every class by the same machine: 5 % to 16 %
    frechet     Frechet distance to the training images in `features`: at most a quarter of that of
                as many draws of the Gaussian with the training images' mean and covariance
    copies      median distance to the nearest training image: at least 0.85 of that of the
                held-out images
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from benchmarks.measure.frechet import frechet, gaussian_like, moments
from benchmarks.training.digit_classifier import class_probabilities
from benchmarks.training.features import digit_features
from benchmarks.training.targets import Floats, Target, digits
from theory.checks import Array

CONFIDENCE = 0.9
LEAST_CONFIDENT = 0.60
CLASS_RANGE = (0.05, 0.16)
MOST_FRECHET = 0.25
LEAST_DISTANCE = 0.85
GAUSSIAN_SEED, BOOTSTRAP_SEED = 30, 31


def digits_checks(samples: Floats) -> dict[str, Any]:
    """Statistics of generated digits (n, 1, 8, 8); "checks" lists the acceptance checks."""
    data, n = digits(), len(samples)
    x = np.clip(np.asarray(samples, dtype=np.float64), -1.0, 1.0)
    probability = class_probabilities(x)
    shares = np.bincount(probability.argmax(axis=1), minlength=10) / n
    confident = float(np.mean(probability.max(axis=1) > CONFIDENCE))
    distances = frechet_digits(x, data)
    near, near_held_out = (float(np.median(nearest(y, data.train))) for y in (x, data.held_out))
    row: dict[str, Any] = {
        "n": n,
        "confident": confident,
        "confident_held_out": float(
            np.mean(class_probabilities(data.held_out).max(axis=1) > CONFIDENCE)
        ),
        "class_shares": shares.tolist(),
        **distances,
        "frechet_ratio": distances["frechet"] / distances["frechet_gaussian"],
        "nearest": near,
        "nearest_held_out": near_held_out,
        "nearest_ratio": near / near_held_out,
    }
    low, high = CLASS_RANGE
    row["checks"] = [
        _bar("confident", f">= {LEAST_CONFIDENT:g}", confident, confident >= LEAST_CONFIDENT),
        _bar("rarest class", f">= {low:g}", shares.min(), shares.min() >= low),
        _bar("commonest class", f"<= {high:g}", shares.max(), shares.max() <= high),
        _bar(
            "Frechet distance over a Gaussian's",
            f"<= {MOST_FRECHET:g}",
            row["frechet_ratio"],
            row["frechet_ratio"] <= MOST_FRECHET,
        ),
        _bar(
            "distance to the training images over the held-out images'",
            f">= {LEAST_DISTANCE:g}",
            row["nearest_ratio"],
            row["nearest_ratio"] >= LEAST_DISTANCE,
        ),
    ]
    return row


def frechet_digits(samples: Floats | Array, data: Target) -> dict[str, Any]:
    """Frechet distances to the training images, each from n images, n being the sample count.

    Keys: `frechet` is that of the samples. `frechet_gaussian` is that of the Gaussian with the
    training images' moments. `frechet_real` is that of a bootstrap of the held-out images (n drawn
    with replacement). It is what a perfect generator of their law would show, raised by the small
    size of the held-out set.
    """
    n, real = len(samples), moments(digit_features(data.train))

    def distance(images: Floats | Array) -> float:
        clipped = np.clip(images, -1.0, 1.0).astype(np.float32)
        return frechet(moments(digit_features(clipped.reshape(-1, 1, 8, 8))), real)

    drawn = np.random.default_rng(BOOTSTRAP_SEED).integers(0, len(data.held_out), n)
    flat = data.train.reshape(len(data.train), -1).astype(np.float64)
    imitation = gaussian_like(flat, n, np.random.default_rng(GAUSSIAN_SEED))
    return {
        "frechet": distance(samples),
        "frechet_real": distance(data.held_out[drawn]),
        "frechet_real_is": f"bootstrap of {n} from {len(data.held_out)} held-out images",
        "frechet_gaussian": distance(imitation),
    }


def nearest(images: Floats | Array, train: Floats) -> NDArray[np.float64]:
    """Euclidean distance of each image to the nearest training image, shape (n,)."""
    a, b = (np.asarray(y, dtype=np.float64).reshape(len(y), -1) for y in (images, train))
    return np.concatenate([cdist(part, b).min(axis=1) for part in np.array_split(a, 16)])


def _bar(name: str, target: str, measured: float, passed: bool) -> dict[str, Any]:
    return {
        "name": name,
        "target": target,
        "measured": float(measured),
        "passed": bool(passed),
    }
