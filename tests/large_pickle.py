"""A network of the published size in the official format, loaded under the memory limit."""

import resource
import sys
import tempfile
import types
from pathlib import Path

import test_imagenet_checkpoints as official

from benchmarks.networks.published.checkpoints import load_network
from benchmarks.networks.published.edm2 import build


def measure() -> str:
    """Write EDM2-XS in float16, load it within twice its size plus 200 MiB, and report the peak."""
    for name in ("dnnlib", "dnnlib.util", "torch_utils", "torch_utils.persistence"):
        sys.modules[name] = types.ModuleType(name)
    official.EasyDict.__module__, official.EasyDict.__qualname__ = "dnnlib.util", "EasyDict"
    sys.modules["dnnlib.util"].EasyDict = official.EasyDict
    made = official._reconstruct_persistent_obj
    made.__module__ = "torch_utils.persistence"
    sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "edm2-img64-xs.pkl"
        state = official.write_official(path, build("xs").half())
        size = path.stat().st_size
        with official.limited(size):
            found = load_network(path).state_dict()
    assert all(bool((found[name] == value).all()) for name, value in state.items())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{size / 2**20:.0f} MiB loaded bit-equal under the limit (peak of all {peak:.0f} MiB)"
