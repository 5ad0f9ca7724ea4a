"""Mutated, cut and hostile official pickles load in bounded memory: in a process of their own.

The process has its imports, twice the file's size and 200 MiB. The base is taken once, so what
one file left behind counts against all files after it.
"""

import json
import os
import pickletools
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra `networks`; make test-all has it")

import test_imagenet_checkpoints as checkpoints

from benchmarks.networks.published.edm2 import Edm2

official = checkpoints.official
Loaded = dict[str, Any]
ROOT = Path(__file__).parents[1]
SERVER = """
import json, resource, sys
from pathlib import Path
import torch
from benchmarks.networks.published.checkpoints import load_network

base = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
for path in map(str.strip, sys.stdin):
    more = 2 * Path(path).stat().st_size + (200 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (base + more, hard))
    found = {}
    try:
        state = load_network(path).state_dict()
        for name, value in state.items():
            finite = bool(torch.isfinite(value).all())
            found[name] = [list(value.shape), str(value.dtype), finite]
        state = value = None
    except ValueError as error:
        found["error"] = str(error)
    try:
        bytearray(more)
        found["unlimited"] = True
    except MemoryError:
        pass
    print(json.dumps(found), flush=True)
"""


@contextmanager
def server() -> Iterator[Any]:
    """A function from a file to what the process found: {"error": ...} or facts by name."""
    # One thread: every thread reserves address space for a stack and a heap that it does not use.
    settings = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=ROOT,
        env=settings,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def load(path: Path) -> Loaded:
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            line = process.stdout.readline()
            assert line, f"ended with {process.wait()}"
            return dict(json.loads(line))

        yield load
        process.stdin.close()
        assert process.wait(60) == 0


def structure(content: bytes) -> Any:
    """Places of a pickle that are not the numbers of its tensors."""
    inside = np.ones(len(content), dtype=bool)
    for (_, argument, start), (_, _, end) in pairwise(pickletools.genops(content)):
        if isinstance(argument, str | bytes) and len(argument) > 1000:
            inside[start + 300 : end] = False  # a storage's own pickles come before
    return np.flatnonzero(inside)


def mutations(content: bytes, n: int, rng: np.random.Generator) -> Iterator[bytes]:
    """Of every four files one is cut, one changed anywhere, two changed outside the numbers."""
    places = structure(content)
    for i in range(n):
        if i % 4 == 0:
            yield content[: rng.choice(places) if i % 8 else rng.integers(len(content))]
            continue
        changed = bytearray(content)
        where = np.arange(len(content)) if i % 4 == 1 else places
        for place in rng.choice(where, rng.integers(1, 20 if i % 4 == 1 else 4)):
            changed[place] = rng.integers(256)
        yield bytes(changed)


def declared(state: Loaded) -> Loaded:
    """What the process says of a network with that state."""
    return {name: [list(v.shape), str(v.dtype), True] for name, v in state.items()}


def judge(found: Loaded, path: Path, want: Loaded) -> str:
    """The word "whole", or the reason why the file was refused; anything else fails the test."""
    assert "unlimited" not in found
    if "error" not in found:
        assert found == want
        return "whole"
    start, reason = f"{path}: ", str(found["error"])
    assert reason.startswith(start)
    assert "\n" not in reason
    reason = reason.removeprefix(start)
    assert "memory" not in reason.lower(), "refused by the limit, not by a check"
    return reason


@pytest.mark.slow
@pytest.mark.usefixtures("official")
def test_every_broken_file_stays_under_twice_its_size_and_200_mib(tmp_path: Path) -> None:
    """204 mutated files in protocols 2 to 4, 8 of 88 MiB, and those that ask for too much."""
    path, rng, said = tmp_path / "net.pkl", np.random.default_rng(1), Counter[str]()
    with server() as load:
        for protocol in (2, 3, 4):
            want = declared(checkpoints.write_official(path, checkpoints.tiny(), protocol))
            content = path.read_bytes()
            assert judge(load(path), path, want) == "whole"
            for broken in mutations(content, 68, rng):
                path.write_bytes(broken)
                said[judge(load(path), path, want)] += 1
        for broken in checkpoints.BOMBS.values():
            path.write_bytes(broken)
            assert judge(load(path), path, {}).startswith("the file must")
        for broken, asked in checkpoints.HOSTILE.values():
            path.write_bytes(broken)
            assert asked in judge(load(path), path, {})
        large = Edm2(8, 3, 5, 256, multipliers=(1, 2), blocks=1, attend=(4,)).half()
        want = declared(checkpoints.write_official(path, large))
        content = path.read_bytes()
        assert len(content) > 80 << 20
        assert judge(load(path), path, want) == "whole"
        for broken in mutations(content, 8, rng):
            path.write_bytes(broken)
            judge(load(path), path, want)
    assert said.total() == 204
    assert min(said["whole"], said.total() - said["whole"]) > 40
    assert len(said) > 20  # different reasons
