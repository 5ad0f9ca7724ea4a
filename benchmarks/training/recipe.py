"""The recipe of a training run, as a frozen value and as JSON, and the named recipes."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from benchmarks.training.noise import NOISES, WEIGHTINGS
from benchmarks.training.targets import TARGETS
from theory.checks import one_of, positive, vector, whole
from theory.reading import StrPath, looks_like_path, naming, read_json

PRECISIONS = ("float32", "bfloat16", "float16")
MOST_SHIFT = 10.0  # in log sigma
SAMPLE_STEPS = 18  # Heun on EDM's levels to 0: NFE 35


@dataclass(frozen=True)
class Recipe:
    """A training run, except for its seed and device.

    Attributes:
        target: Name in `targets.TARGETS`.
        network: Description for `networks.small.build_network`: name and options.
        target_options: Options of the target.
        noise: Name in `noise.NOISES`.
        noise_options: Options of the noise.
        weighting: Loss weight w, a name in `noise.WEIGHTINGS`.
        batch: Examples per step.
        steps: Optimiser steps.
        lr: Learning rate of Adam.
        lr_warmup: Steps over which the rate rises from 0.
        lr_decay: Share of the steps, at the end, over which the rate falls to 0; 0 keeps it.
        told_shift: Largest distance, in log sigma, of the level that the network is told below that
            of its input; it is uniform from 0. A network that is to be called below the level of
            its input (`theory.solvers.called`) sees such inputs in training.
        ema_half_life: Half-life of the averaged weights, in examples. It is shorter at the start;
            see `train.Ema`.
        precision: Precision of the network during training: float32, or autocast to bfloat16 or
            float16 (the latter on CUDA only).
        log_every: Steps between the logged batches of losses.csv; 0 logs none.
        log_rows: Losses logged per such batch.
        evaluate_kex: Thousands of examples after which the averaged network is evaluated, besides
            the evaluation at the end.
        samples: Samples drawn per evaluation; 0 draws none.
        sample_steps: Steps of Heun's rule, on EDM's levels down to 0, that draw them.
        threads: Torch's threads on the CPU. Sums depend on their number, so it belongs to the
            recipe. One thread suits networks this small. Two are a third faster on idle cores,
            but forty times slower when another process uses one of the cores, because OpenMP's
            threads wait busily (measured).
    """

    target: str
    network: Mapping[str, Any]
    target_options: Mapping[str, Any] = field(default_factory=dict)
    noise: str = "edm"
    noise_options: Mapping[str, Any] = field(default_factory=dict)
    weighting: str = "edm"
    batch: int = 128
    steps: int = 2000
    lr: float = 1e-3
    lr_warmup: int = 100
    lr_decay: float = 0.0
    told_shift: float = 0.0
    ema_half_life: float = 10_000.0
    precision: str = "float32"
    log_every: int = 10
    log_rows: int = 32
    evaluate_kex: tuple[float, ...] = ()
    samples: int = 5000
    sample_steps: int = SAMPLE_STEPS
    threads: int = 1

    def __post_init__(self) -> None:
        one_of("target", self.target, TARGETS)
        one_of("noise", self.noise, NOISES)
        one_of("weighting", self.weighting, WEIGHTINGS)
        one_of("precision", self.precision, PRECISIONS)
        for name in ("network", "target_options", "noise_options"):
            value = getattr(self, name)
            if not isinstance(value, Mapping):
                raise ValueError(f"{name} must be an object of options, got {value!r:.40}")
            object.__setattr__(self, name, dict(value))
        for name, low, high in (
            ("batch", 1, 2**20),
            ("steps", 1, 2**31),
            ("lr_warmup", 0, 2**31),
            ("log_every", 0, 2**31),
            ("log_rows", 1, 2**20),
            ("samples", 0, 10**7),
            ("sample_steps", 1, 10**4),
            ("threads", 1, 1024),
        ):
            whole(name, getattr(self, name), low, high)
        for name in ("lr", "ema_half_life"):
            object.__setattr__(self, name, positive(name, getattr(self, name)))
        if not (isinstance(self.lr_decay, int | float) and 0.0 <= self.lr_decay <= 1.0):
            raise ValueError(f"lr_decay must be in [0, 1], got {self.lr_decay!r}")
        if not (isinstance(self.told_shift, int | float) and 0.0 <= self.told_shift <= MOST_SHIFT):
            raise ValueError(f"told_shift must be in [0, {MOST_SHIFT:g}], got {self.told_shift!r}")
        points = tuple(float(v) for v in vector("evaluate_kex", list(self.evaluate_kex), 0))
        if any(a >= b for a, b in zip((0.0, *points), points, strict=False)):
            raise ValueError(f"evaluate_kex must rise from above 0, got {list(points)}")
        object.__setattr__(self, "evaluate_kex", points)

    @property
    def evaluation_steps(self) -> tuple[int, ...]:
        """Steps, before the last one, after which each of `evaluate_kex` is first reached."""
        reached = {-int(-1000.0 * kex // self.batch) for kex in self.evaluate_kex}
        return tuple(sorted(step for step in reached if step < self.steps))

    def lr_at(self, step: int) -> float:
        """Learning rate of step 0, 1, ..., steps - 1."""
        rise = min(1.0, (step + 1) / self.lr_warmup) if self.lr_warmup else 1.0
        falling = self.lr_decay * self.steps
        fall = min(1.0, (self.steps - step) / falling) if falling > 0 else 1.0
        return self.lr * rise * fall

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as in a recipe file."""
        return {**asdict(self), "evaluate_kex": list(self.evaluate_kex)}


def recipe_from(options: Mapping[str, Any]) -> Recipe:
    """The recipe with these plain values; ValueError for an unknown or a missing key."""
    known = [f.name for f in fields(Recipe)]
    for key in options:
        one_of("recipe key", key, known)
    for key in ("target", "network"):
        if key not in options:
            raise ValueError(f"recipe must have the key {key!r}, got {', '.join(options)}")
    given = dict(options)
    if not isinstance(given.get("evaluate_kex", []), list | tuple):
        raise ValueError(f"evaluate_kex must be a list, got {given['evaluate_kex']!r:.40}")
    return Recipe(**given)


def read_recipe(path: StrPath) -> Recipe:
    """The recipe in a JSON file `{"kind": "recipe", "preset": NAME, ...}`.

    The keys are those of `Recipe`. With "preset" they change that preset, and replace its network,
    noise options and target options each as a whole. The recipe.json of a run is such a file. Its
    facts about the run ("seed", "device", "versions", "facts") are skipped.

    Raises:
        ValueError: One line starting with the path.
    """
    options = read_json(path, "recipe", ())
    with naming(path):
        for key in ("kind", "source", "seed", "device", "versions", "facts"):
            options.pop(key, None)
        if "preset" not in options:
            return recipe_from(options)
        base = PRESETS[one_of("preset", options.pop("preset"), PRESETS)].to_dict()
        return recipe_from(base | options)


def load_recipe(name_or_path: str) -> Recipe:
    """A preset, or the recipe in a file, as `--preset` accepts them."""
    if name_or_path in PRESETS:
        return PRESETS[name_or_path]
    if not looks_like_path(name_or_path):
        one_of("preset", name_or_path, PRESETS)
    return read_recipe(name_or_path)


def same_recipe(a: Recipe, b: Recipe) -> str | None:
    """The first key in which two recipes differ as JSON, or None."""
    for key, value in a.to_dict().items():
        if json.dumps(value, sort_keys=True) != json.dumps(b.to_dict()[key], sort_keys=True):
            return key
    return None


def _with_noises(name: str, base: Recipe, discrete: bool) -> dict[str, Recipe]:
    """A recipe under its name, and with every noise as NAME-NOISE.

    Discrete data take w = 1 in primary runs, and their InfoNoise takes the pivot of the slope rule.
    For discrete data "NAME-edm" is the EDM transfer: EDM's noise with EDM's weight (Raya et al.
    2026).
    """
    out = {name: base}
    warmup = max(1, base.steps // 5)
    for noise in NOISES:
        weighting = "min_snr" if noise == "min_snr" else base.weighting
        weighting = "edm" if noise == "edm" else weighting
        options: dict[str, Any] = {}
        if noise == "infonoise":
            options = {"warmup": warmup, "pivot": "slope" if discrete else "onset"}
        key = f"{name}-{noise.replace('_', '-')}"
        out[key] = replace(base, noise=noise, weighting=weighting, noise_options=options)
    return out


_UNET = {"name": "unet", "channels": 1, "width": 16, "multipliers": [1, 2], "blocks": 1}
_WIDE = {"name": "unet", "channels": 1, "width": 24, "multipliers": [1, 2], "blocks": 1}
_SEQUENCE = {
    **{"name": "unet", "channels": 4, "width": 24, "multipliers": [1, 2, 2], "blocks": 1},
    **{"dims": 1, "attention": True},
}
_LAW: dict[str, Any] = {
    "batch": 256,
    "steps": 4000,
    "lr": 2e-3,
    "lr_decay": 0.4,
    "ema_half_life": 20_000.0,
}
# These data, of std 0.75 in 64 pixels, take shape at higher noise than EDM's images do. With EDM's
# mean and std, -1.2 and 1.2, fewer of the samples are clear digits (0.59 against 0.65).
_QUICK = Recipe(
    "digits",
    _UNET,
    noise_options={"mean": -0.7, "std": 1.0},
    batch=96,
    steps=2000,
    lr=5e-3,
    lr_decay=0.4,
    samples=2000,
)
_STUDY: dict[str, Any] = {
    **{"steps": 4000, "lr": 2e-3, "ema_half_life": 25_000.0, "log_every": 20},
    "evaluate_kex": (64.0, 128.0, 256.0),
}

PRESETS: dict[str, Recipe] = {
    "digits-quick": _QUICK,
    **_with_noises("digits", Recipe("digits", {**_WIDE, "dropout": 0.1}, **_STUDY), discrete=False),
    **_with_noises(
        "binary-digits",
        Recipe("binary-digits", _WIDE, noise="log_uniform", weighting="one", **_STUDY),
        discrete=True,
    ),
    **_with_noises(
        "dna",
        Recipe("dna", _SEQUENCE, noise="log_uniform", weighting="one", **_STUDY),
        discrete=True,
    ),
    **_with_noises(
        "points",
        Recipe(
            "points",
            {"name": "mlp", "dim": 1, "width": 96, "depth": 3},
            noise="log_uniform",
            weighting="one",
            **_LAW,
        ),
        discrete=True,
    ),
    **_with_noises(
        "mixture",
        Recipe("mixture", {"name": "mlp", "dim": 2, "width": 96, "depth": 3}, **_LAW),
        discrete=False,
    ),
}
