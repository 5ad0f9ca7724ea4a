"""Acceptance checks of the image tables: `python -m benchmarks.acceptance.imagenet [CHECK ...]`.

The checks are networks (names, shapes, counts, formulas), files (official, hostile, mutated),
large (memory to load a network of full size), tables (a tiny network from profile to table, on one
rank and on two, interrupted), frechet (Frechet distances and merged statistics), card (images per
second; not measured without a GPU) and docs. All run by default. They need the extra `imagenet`.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.linalg import sqrtm
from scipy.stats import ortho_group

from benchmarks.acceptance.report import ROOT, Check, by_tests, run
from benchmarks.measure.frechet import Moments, frechet, merge_all, moments, statistics_of

SPLITS = 200
LARGE = (
    "import sys; sys.path.insert(0, 'tests')\nimport large_pickle; print(large_pickle.measure())"
)


def networks() -> Iterator[Check]:
    """The networks have the published names, shapes and counts, and agree with the oracle."""
    yield from by_tests(
        {
            "networks": (
                "names, shapes, 15 counts; oracle to 1e-5",
                ["tests/test_imagenet_networks.py"],
            )
        }
    )


def files() -> Iterator[Check]:
    """Official files are read exactly, hostile and broken ones refused within limited memory."""
    tests = [f"tests/test_imagenet_{n}.py" for n in ("checkpoints", "memory", "references")]
    target = "bit-equal; hostile refused by name; 200 broken under 2 x size + 200 MiB"
    yield from by_tests({"files": (target, tests)})


def large() -> Iterator[Check]:
    """The memory limit holds for a file so large that twice its size exceeds 200 MiB."""
    done = subprocess.run(
        [sys.executable, "-c", LARGE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    last = ((done.stdout or done.stderr).strip().splitlines() or ["no output"])[-1]
    target = "EDM2-XS (238 MiB) loads under 2 x size + 200 MiB"
    yield Check("large file", target, last, done.returncode == 0)


def tables() -> Iterator[Check]:
    """A tiny network gets from profile to table on one rank and two, also when interrupted."""
    tests = ["generate", "features", "folders", "cli"]
    yield from by_tests(
        {"tables": ("profile to table on the CPU; 1 and 2 ranks, 5 kills: same bytes and scores",
                    [f"tests/test_imagenet_{name}.py" for name in tests])}
    )  # fmt: skip


def frechet_() -> Iterator[Check]:
    """Frechet distances and merged statistics are accurate."""
    rng = np.random.default_rng(0)
    for name in ("diagonal", "the same, turned"):
        worst = 0.0
        for d in (2, 8, 64, 512):
            turn = np.eye(d) if name == "diagonal" else ortho_group.rvs(d, random_state=0)
            variances, means = rng.gamma(1.0, 1.0, (2, d)), rng.standard_normal((2, d))
            a, b = (Moments(m, turn * v @ turn.T) for m, v in zip(means, variances, strict=True))
            roots = np.sqrt(variances)
            want = np.sum((means[0] - means[1]) ** 2) + np.sum((roots[0] - roots[1]) ** 2)
            worst = max(worst, abs(frechet(a, b) / want - 1.0))
        yield Check(f"Gaussians, {name}", "closed form to 1e-10", f"{worst:.1e}", worst <= 1e-10)
    ends = []
    for n, d in ((50, 64), (100, 512), (1000, 2048), (5000, 2048)):
        law = moments(rng.standard_normal((n, d)) * rng.gamma(1.0, 1.0, d))
        ends.append(frechet(law, law) / np.trace(law.covariance))
    said = f"{min(ends):.1e} to {max(ends):.1e} of tr S, ranks 49 to 2048"
    yield Check("FD(S, S)", "within 1e-10 tr S", said, max(np.abs(ends)) <= 1e-10)
    worst = 0.0
    for d in (4, 32, 128):
        a, b = (moments(rng.standard_normal((10 * d, d))) for _ in "ab")
        root = np.trace(np.real(sqrtm(a.covariance @ b.covariance)))
        want = np.sum((a.mean - b.mean) ** 2) + np.trace(a.covariance + b.covariance) - 2.0 * root
        worst = max(worst, abs(frechet(a, b) / want - 1.0))
    yield Check("matrix square root", "equal to 1e-8", f"{worst:.1e}", worst <= 1e-8)
    for ratio, limit in ((10.0, 1e-12), (1e4, 1e-9)):
        worst = max(_split_error(ratio, rng) for _ in range(SPLITS))
        yield Check(f"splits, mean / std {ratio:g}", f"{limit:g}, {SPLITS} splits", f"{worst:.1e}",
                  worst <= limit)  # fmt: skip


def _split_error(ratio: float, rng: np.random.Generator) -> float:
    """Largest error of mean and covariance from merged parts, over the stds, for a random split."""
    x = rng.standard_normal((300, 8)) * rng.gamma(2.0, 1.0, 8)
    x = x + ratio * x.std(axis=0) * rng.choice([-1.0, 1.0], 8)
    cuts = np.sort(rng.choice(np.arange(1, 300), rng.integers(1, 40), replace=False))
    got = merge_all(statistics_of(part) for part in np.split(x, cuts))
    wide: Any = x.astype(np.longdouble)
    centred = wide - wide.mean(axis=0)
    want = centred.T @ centred / 299
    std = np.sqrt(np.diag(want))
    gap = np.abs(got.moments().covariance - want) / np.outer(std, std)
    return float(max(gap.max(), (np.abs(got.mean - wide.mean(axis=0)) / std).max()))


def card() -> Iterator[Check]:
    """Throughput on a GPU; without one, only a small run on the CPU.

    benchmarks/imagenet/MEASURED.md holds the results of measured GPUs.
    """
    from benchmarks.imagenet.ranks import join

    name, target = "EDM2-S, 32 steps of DDIM", "40 % of the card's rate, 1.5 x the plain network"
    command = [sys.executable, "-m", "benchmarks.imagenet.throughput"]
    if join("auto").device.type == "cpu":
        small = ["--size", "xs", "--device", "cpu", "--no-compile", "--batch", "2", "--steps", "2",
                 "--repeats", "1", "--square", "1024"]  # fmt: skip
        done = subprocess.run(
            [*command, *small], cwd=ROOT, capture_output=True, text=True, check=False
        )
        lines = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
        times = lines.get("ratio_to_plain", "failed")[:4]
        said = f"unmeasured here, no card; the command runs on the CPU (XS, 2 steps: {times} x); "
        said += "cards: benchmarks/imagenet/MEASURED.md"
        yield Check(name, target, said, None if done.returncode == 0 else False)
        return
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line)
    share, ratio = float(lines["share_of_matmul"]), float(lines["ratio_to_plain"])
    yield Check(name, target, f"{share:.1%}, {ratio:.2f} x", share >= 0.4 and ratio >= 1.5)


def docs() -> Iterator[Check]:
    """The commands and files that docs/imagenet.md names are valid."""
    yield from by_tests(
        {"docs/imagenet.md": ("its commands parse, its files are the presets'",
                              ["tests/test_imagenet_docs.py"])}
    )  # fmt: skip


CHECKS: dict[str, Callable[[], Iterator[Check]]] = {
    "networks": networks,
    "files": files,
    "large": large,
    "tables": tables,
    "frechet": frechet_,
    "card": card,
    "docs": docs,
}


if __name__ == "__main__":
    sys.exit(run(CHECKS, sys.argv[1:]))
