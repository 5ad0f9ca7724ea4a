"""Training targets: points, mixtures, digits, binary digits, sequences, or the user's own data.

Data are float32 arrays (n, *shape). If the law is known exactly, training draws fresh samples from
it at every step, so that nothing can be memorised. The arrays are then samples of the law. The data
of a step are a pure function of (seed, step).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.training import sequences
from theory.checks import Array, one_of
from toys import zoo
from toys.mixture import Mixture

Floats = NDArray[np.float32]
TRAIN, HELD_OUT = 1200, 597  # of scikit-learn's 1797 digits
INK = 8.0  # of at most 16; pixels above it are 1 in binary digits
LAW_SAMPLES = SEQUENCES = 4096
DATA = 1  # stream of random numbers for the data
SPLIT_SEED, TRAIN_SEED, HELD_OUT_SEED = 20, 21, 22
UNEQUAL_1D = ((0.35, 0.25, 0.25, 0.15), (-1.5, -0.4, 0.6, 1.4), (0.02, 0.1, 0.5, 0.05))
UNEQUAL_2D = (
    (0.3, 0.2, 0.2, 0.15, 0.15),
    ((-1.2, -0.8), (-0.6, 0.9), (0.3, 0.1), (1.1, -0.7), (1.0, 1.1)),
    (0.02, 0.05, 0.5, 0.1, 0.2),
)


@dataclass(frozen=True, eq=False)
class Target:
    """Data to train on.

    Attributes:
        name: Name in TARGETS.
        train: Training data, shape (n, *shape).
        held_out: Data that no training sees, shape (m, *shape).
        sigma_data: Measured standard deviation of all coordinates of `train` about their mean.
        law: The exact law of the flattened data, if it is known.
        labels: Classes of `train`, shape (n,), for digits.
        held_out_labels: Classes of `held_out`, shape (m,).
        facts: Further facts to keep in a recipe file.
    """

    name: str
    train: Floats
    held_out: Floats
    sigma_data: float
    law: Mixture | None = None
    labels: NDArray[np.int64] | None = None
    held_out_labels: NDArray[np.int64] | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self.train.shape[1:]

    @property
    def dim(self) -> int:
        """Number of coordinates of one sample."""
        return int(np.prod(self.shape))

    def batch(self, size: int, seed: int, step: int) -> Floats:
        """Data of a step, shape (size, *shape), from the law or from shuffled epochs."""
        if self.law is not None:
            key = int(np.random.SeedSequence([seed, DATA]).generate_state(1)[0])
            return self.law.sample(size, key, step * size).astype(np.float32)
        place = step * size + np.arange(size)
        n = len(self.train)
        turns, rows = (part.tolist() for part in np.divmod(place, n))
        orders = {e: np.random.default_rng([seed, DATA, e]).permutation(n) for e in set(turns)}
        return self.train[[orders[e][i] for e, i in zip(turns, rows, strict=True)]]


def digits() -> Target:
    """Scikit-learn's 8x8 digits in [-1, 1], shape (1, 8, 8): 1200 to train on, 597 held out.

    The split is fixed. Every class has its share of both parts, as near as whole images allow.
    """
    images, labels = _bundled_digits()
    return _image_target("digits", (images / 8.0 - 1.0).astype(np.float32), labels)


def binary_digits() -> Target:
    """The images of `digits` in the same split, with pixels 1 above half ink and -1 otherwise."""
    images, labels = _bundled_digits()
    inked = np.where(images > INK, 1.0, -1.0).astype(np.float32)
    return _image_target("binary-digits", inked, labels, {"threshold": INK / 8.0 - 1.0})


def points(toy: str = "points15") -> Target:
    """Points of the zoo, without width. Default: 15 points in 1-D, after paper A's."""
    return law_target("points", _points_of_zoo(toy), {"toy": toy})


def mixture(dim: int = 2) -> Target:
    """Gaussians with stds from 0.02 to 0.5, in one or two dimensions."""
    if dim not in (1, 2):
        raise ValueError(f"dim must be 1 or 2, got {dim!r}")
    weights, means, stds = UNEQUAL_2D if dim == 2 else UNEQUAL_1D
    return law_target("mixture", Mixture(weights, means, stds), {"dim": dim})


def gaussian(dim: int = 2, std: float = 1.0) -> Target:
    """N(0, std^2 I), whose mmse is dim std^2 sigma^2 / (std^2 + sigma^2)."""
    law = Mixture([1.0], np.zeros((1, dim)), std)
    return law_target("gaussian", law, {"dim": dim, "std": std})


def dna() -> Target:
    """Synthetic sequences (4, 48) of planted motifs; see `sequences`."""
    train, held_out = (
        sequences.synthetic(TRAIN_SEED, SEQUENCES),
        sequences.synthetic(HELD_OUT_SEED, SEQUENCES // 2),
    )
    facts = {"motifs": {m.name: m.word for m in sequences.MOTIFS}, "seed": TRAIN_SEED}
    return Target("dna", train, held_out, measured_std(train), facts=facts)


def own_data(file: str, held_out: float = 0.1) -> Target:
    """The user's own data, as `entropic profile --data` reads them, with a fixed split."""
    from benchmarks.networks.data import read_data  # needs torch, as no other target does

    if not 0.0 < held_out < 1.0:
        raise ValueError(f"held_out must be in (0, 1), got {held_out!r}")
    data = read_data(file)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(data))
    apart = max(1, round(held_out * len(data)))
    if apart >= len(data):
        raise ValueError(f"{file}: the data must have at least 2 samples, got {len(data)}")
    values = data.take(slice(None)).float().numpy()
    train = values[order[apart:]]
    facts = {"file": file, "hash": data.fingerprint()}
    return Target("data", train, values[order[:apart]], measured_std(train), facts=facts)


def law_target(name: str, law: Mixture, facts: dict[str, Any]) -> Target:
    """Target made of samples of a mixture, with the mixture as its law."""
    train = law.sample(LAW_SAMPLES, TRAIN_SEED).astype(np.float32)
    held_out = law.sample(LAW_SAMPLES, HELD_OUT_SEED).astype(np.float32)
    return Target(name, train, held_out, measured_std(train), law, facts=facts)


TARGETS: dict[str, Callable[..., Target]] = {
    "points": points,
    "mixture": mixture,
    "gaussian": gaussian,
    "digits": digits,
    "binary-digits": binary_digits,
    "dna": dna,
    "data": own_data,
}


def make_target(name: str, **options: Any) -> Target:
    """The target of this name; ValueError for an unknown name and for unknown or wrong options."""
    make = TARGETS[one_of("target", name, TARGETS)]
    known = [key for key in make.__annotations__ if key != "return"]
    for key in options:
        if key not in known:
            takes = ", ".join(known) or "none"
            raise ValueError(f"options of target {name} must be among {takes}, got {key!r}")
    try:
        return make(**options)
    except TypeError as error:
        raise ValueError(f"options of target {name} must be of its kinds, got {error}") from None


def measured_std(data: Floats) -> float:
    """Standard deviation of all coordinates about their common mean, in float64."""
    return float(np.asarray(data, dtype=np.float64).std())


def _points_of_zoo(toy: str) -> Mixture:
    names = [name for name in zoo.ZOO if zoo.toy(name).is_points]
    return zoo.toy(one_of("toy", toy, names))


def _bundled_digits() -> tuple[Array, NDArray[np.int64]]:
    """All 1797 images, shape (1797, 1, 8, 8), values 0 to 16, and their classes."""
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]

    data = load_digits()
    return np.asarray(data.images, dtype=np.float64)[:, None], data.target.astype(np.int64)


def _image_target(
    name: str, images: Floats, labels: NDArray[np.int64], facts: dict[str, Any] | None = None
) -> Target:
    from sklearn.model_selection import train_test_split  # type: ignore[import-untyped]

    train, held_out = train_test_split(
        np.arange(len(images)),
        train_size=TRAIN,
        test_size=HELD_OUT,
        stratify=labels,
        random_state=SPLIT_SEED,
    )
    return Target(
        name,
        images[train],
        images[held_out],
        measured_std(images[train]),
        labels=labels[train],
        held_out_labels=labels[held_out],
        facts=facts or {},
    )
