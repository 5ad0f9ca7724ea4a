"""A small fixed network of 8x8 digits, in whose features the Frechet distance is computed.

The network is a classifier of scikit-learn's digits. It was trained on the 1200 training images
only, so that the 597 held-out images are new to it. Its features are the 64 activations before the
last layer, for 8x8 images in [-1, 1]. `features.npz` contains its weights, made once by
`make_features`; run this module to make them again.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.training.targets import Floats, digits
from theory.checks import Array
from theory.writing import write_bytes

FILE = Path(str(files("benchmarks.training") / "features.npz"))
WIDTHS = (16, 32, 32)
FEATURES = 64
CLASSES = 10
EPOCHS, BATCH = 25, 60
CHUNK = 4096


class Classifier(nn.Module):
    """Three convolutions, the second of stride 2, and two linear layers."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c = WIDTHS
        self.conv0 = nn.Conv2d(1, a, 3, padding=1)
        self.conv1 = nn.Conv2d(a, b, 3, padding=1, stride=2)
        self.conv2 = nn.Conv2d(b, c, 3, padding=1)
        self.hidden = nn.Linear(c * 16, FEATURES)
        self.last = nn.Linear(FEATURES, CLASSES)

    def features(self, x: Tensor) -> Tensor:
        """Activations before the last layer, shape (n, 64), of images (n, 1, 8, 8)."""
        for conv in (self.conv0, self.conv1, self.conv2):
            x = functional.silu(conv(x))
        return functional.silu(self.hidden(x.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the classes, shape (n, 10)."""
        out: Tensor = self.last(functional.dropout(self.features(x), 0.5, self.training))
        return out


def make_features(seed: int = 0) -> dict[str, NDArray[np.float16]]:
    """The weights of `features.npz` by name, on one thread and so reproducible on one machine."""
    data = digits()
    assert data.labels is not None
    x, y = torch.from_numpy(data.train), torch.from_numpy(data.labels)
    with torch.random.fork_rng(devices=[]), threads(1):
        torch.manual_seed(seed)
        network = Classifier()
        steps = EPOCHS * (len(x) // BATCH)
        adam = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.05)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
        for _ in range(EPOCHS):
            for rows in torch.split(torch.randperm(len(x)), BATCH):
                loss = functional.cross_entropy(network(x[rows]), y[rows])
                adam.zero_grad()
                torch.autograd.backward(loss)
                adam.step()
                falling.step()
    return {k: v.numpy().astype(np.float16) for k, v in network.state_dict().items()}


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Let torch use this number of threads inside the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@cache
def feature_network() -> Classifier:
    """The committed network, in float32, in evaluation mode."""
    network = Classifier()
    with np.load(FILE, allow_pickle=False) as stored:
        weights = {k: torch.from_numpy(stored[k].astype(np.float32)) for k in stored.files}
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)


def digit_features(images: Floats) -> Array:
    """Features, shape (n, 64), of images (n, 1, 8, 8), whose values are clipped to [-1, 1]."""
    x = torch.from_numpy(np.clip(np.asarray(images, dtype=np.float32), -1.0, 1.0))
    with torch.inference_mode():
        parts = [feature_network().features(part) for part in torch.split(x, CHUNK)]
    return torch.cat(parts).double().numpy()


def write_features() -> None:
    """Make the weights and replace the committed file."""
    stream = io.BytesIO()
    np.savez_compressed(stream, **make_features())  # type: ignore[arg-type]
    write_bytes(FILE, stream.getvalue())


if __name__ == "__main__":
    write_features()
