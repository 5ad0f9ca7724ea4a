"""The random numbers of an image, its noise and its label, from its seed by two rules.

"philox" is the suite's own: a pure function of (seed, step, coordinate), the same on every device.
"edm2" is that of EDM's and EDM2's programs: each image has a generator of torch's on the device,
seeded with the seed mod 2^32. It draws the initial noise first, then the label, then the noise of
the steps.
"""

import torch
from torch import Tensor

from benchmarks.networks.noise import philox_words
from benchmarks.networks.sampling import Draw, philox
from theory.checks import one_of

RULES = ("philox", "edm2")
RUN = 0  # Philox's key; the path is the image's seed
LABEL_STEP = 2**32 - 1  # a step that no table reaches


def parse_seeds(text: str) -> range:
    """Seeds from text such as 0-49999, or a single seed."""
    first, dash, last = text.partition("-")
    if not first.isascii() or not first.isdigit() or (dash and not last.isdigit()):
        raise ValueError(f"seeds must be such as 0-49999, got {text!r:.40}")
    ends = int(first), int(last if dash else first)
    if not ends[0] <= ends[1] < 2**40:
        raise ValueError(f"seeds must rise and stay below 2^40, got {text!r:.40}")
    return range(ends[0], ends[1] + 1)


def drawn(
    rule: str,
    seeds: range,
    shape: tuple[int, ...],
    classes: int | None,
    device: torch.device,
    dtype: torch.dtype,
) -> tuple[Draw, Tensor | None]:
    """The noise of some seeds by step, and their labels (B,), uniform over the classes.

    Args:
        rule: One of RULES.
        seeds: Seeds of the images.
        shape: Shape of a sample.
        classes: Number of labels, or None for no labels.
        device: Device of noise and labels.
        dtype: Dtype of the noise.

    Returns:
        The noise as a function of the step, to be called in order from step 0, the initial noise;
        and the labels.
    """
    if one_of("noise", rule, RULES) == "philox":
        paths = torch.arange(seeds.start, seeds.stop, device=device)
        labels = None if classes is None else philox_labels(paths, classes)
        return philox(RUN, paths, shape, dtype), labels
    made = [torch.Generator(device).manual_seed(seed % 2**32) for seed in seeds]

    def normal(kind: torch.dtype) -> Tensor:
        each = [torch.randn(shape, generator=g, device=device, dtype=kind) for g in made]
        return torch.stack(each)

    start = normal(torch.float32).to(dtype)  # always float32 in the authors' programs
    labels = None
    if classes is not None:
        each = [torch.randint(classes, (), generator=g, device=device) for g in made]
        labels = torch.stack(each)
    return lambda step: start if step == 0 else normal(dtype), labels


def philox_labels(paths: Tensor, classes: int) -> Tensor:
    """Labels (B,), a function of the path, uniform over the classes up to a bias of 2^-32."""
    word = philox_words(
        RUN, paths, LABEL_STEP, torch.zeros(1, dtype=torch.int64, device=paths.device)
    )[0]
    return (word[:, 0] * classes) >> 32
