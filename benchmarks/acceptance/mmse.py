"""Acceptance checks of the exact mmse of 1-D mixtures: `python -m benchmarks.acceptance.mmse`.

The checks are times (of levels and components), linear (cost over components), command (`entropic
profile` with 1e5 components, in time and memory), and before (values as they were when every
component was visited at every node, mmse_before.json). Times are those of compiled code
in the cache. `--freeze` writes the present values as those of before.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.acceptance.report import ROOT, Check, run
from theory.checks import Array
from toys import zoo
from toys.information import information
from toys.mixture import Mixture

BEFORE = Path(__file__).with_name("mmse_before.json")
LEVELS = np.geomspace(0.002, 80.0, 400)
SIZES = (100, 1000, 10_000, 100_000)
RTOL = 1e-12
TINY = -667.0  # log of 1e-290, below which the logarithm itself has the relative accuracy
FROZEN_LEVELS = np.geomspace(1e-6, 1e6, 25)


def many(k_max: int, std: float = 0.01) -> Mixture:
    """Components of equal weight and std at random normal means."""
    return Mixture(np.ones(k_max), np.random.default_rng(0).standard_normal(k_max), std)


def seconds(toy: Mixture, sigma: Array) -> float:
    """Processor seconds of all information curves, the fastest of three runs on one thread."""
    found = []
    for _ in range(3):
        fresh = Mixture(toy.weights, toy.means, toy.stds)  # unknown to the caches
        begin = time.process_time()
        information.curves(fresh, sigma)
        found.append(time.process_time() - begin)
    return min(found)


def times() -> Iterator[Check]:
    """Seconds of 400 levels, and of one level of 1e5 components."""
    for toy in (zoo.toy("points15"), zoo.toy("gaussians15_overlap")):
        information.curves(toy, [0.0021, 1.0])  # loads the compiled code
    cases = {
        "gaussians15_overlap, 400 levels": (zoo.toy("gaussians15_overlap"), LEVELS, 0.15),
        "points15, 400 levels": (zoo.toy("points15"), LEVELS, 0.3),
        "200 components, 400 levels": (many(200), LEVELS, 1.0),
        "1e5 components, sigma 1": (many(100_000), np.ones(1), 10.0),
    }
    for name, (toy, sigma, most) in cases.items():
        took = seconds(toy, sigma)
        yield Check(name, f"< {most:g} s", f"{took:.3f} s", took < most)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    yield Check("peak memory", "< 1 GiB", f"{peak:.2f} GiB", peak < 1.0)


def linear() -> Iterator[Check]:
    """Seconds of one level over the number of components, of similar width."""
    for sigma in (1.0, 0.05, 0.002):
        took = [seconds(many(k), np.array([sigma])) for k in SIZES]
        power = float(np.log10(took[-1] / took[-2]))
        listed = ", ".join(f"{t:.4f} s" for t in took)
        name = f"sigma {sigma:g}, 1e2 to 1e5 components"
        yield Check(name, "last power <= 1.2", f"{listed}; power {power:.2f}", power <= 1.2)


def command() -> Iterator[Check]:
    """`entropic profile` of a file of 1e5 components at one level."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "k100000.json"
        path.write_text(json.dumps(many(100_000).to_dict()), encoding="utf-8")
        code = (
            "import resource, subprocess, sys;"
            "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode;"
            "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20)"
        )
        args = [sys.executable, "-m", "entropic", "profile", "--toy", str(path), "--sigma", "1"]
        begin = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-c", code, *args],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        took = time.perf_counter() - begin
    status, peak = done.stdout.split()
    good = status == "0" and took < 10.0 and float(peak) < 1.0
    measured = f"exit {status} in {took:.1f} s with {float(peak):.2f} GiB"
    yield Check("entropic profile, 1e5 components", "exit 0, < 10 s, < 1 GiB", measured, good)


def frozen() -> dict[str, Mixture]:
    """Mixtures whose values are frozen: points, densities, both, and widths over decades."""
    rng = np.random.default_rng(1)
    found = {n: zoo.toy(n) for n in ("two_points", "points15", "gaussians15_overlap")}
    found["uneven points"] = Mixture([1e-6, 0.3, 1], [-1.0, 0.2, 0.21], 0)
    found["widths 1e-3 to 1"] = Mixture([1, 2, 1], [-1, 0, 0.5], [1e-3, 0.05, 1])
    found["point on a broad one"] = Mixture([1, 3], [0.2, 0.0], [0, 1])
    for i in range(6):
        weights = 10.0 ** rng.uniform(-30.0, 0.0, 7)
        means = np.append(rng.normal(size=4), 0.1 + 10.0 ** rng.uniform(-8.0, 0.0, 3))
        widths = 10.0 ** rng.uniform(-4.0, 1.0, 7)
        found[f"random {i}"] = Mixture(weights, means, (0.0, widths, 0.03)[i % 3])
    found["60 components"] = many(60)
    return found


def values(toy: Mixture) -> dict[str, Any]:
    """Curves of a mixture at the frozen levels, as plain lists."""
    found = information.curves(toy, FROZEN_LEVELS)
    entropy = found.conditional_entropy
    return {
        "log_mmse": found.log_mmse.tolist(),
        "mutual_information": found.mutual_information.tolist(),
        "conditional_entropy": None if entropy is None else entropy.tolist(),
    }


def before() -> Iterator[Check]:
    """Differences from the frozen values; entropies of densities, which cross 0, are absolute."""
    then = json.loads(BEFORE.read_text(encoding="utf-8"))
    worst = dict.fromkeys(("mmse", "log mmse below 1e-290", "information", "entropy"), 0.0)
    for name, toy in frozen().items():
        now, old = values(toy), then[name]
        a, b = np.array(now["log_mmse"]), np.array(old["log_mmse"])
        large = b > TINY
        change = np.abs(np.expm1(a[large] - b[large])).max(initial=0.0)
        worst["mmse"] = max(worst["mmse"], change)
        change = np.abs(a[~large] / b[~large] - 1.0).max(initial=0.0)
        worst["log mmse below 1e-290"] = max(worst["log mmse below 1e-290"], change)
        for key, short in (
            ("mutual_information", "information"),
            ("conditional_entropy", "entropy"),
        ):
            if old[key] is not None:
                a, b = np.array(now[key]), np.array(old[key])
                size = np.maximum(np.abs(b), 1e-290 if toy.is_points else 1.0)
                worst[short] = max(worst[short], float(np.max(np.abs(a - b) / size)))
    for name, change in worst.items():
        yield Check(f"{name}, against the former code", f"<= {RTOL:g}", f"{change:.1e}",
                    bool(change <= RTOL))  # fmt: skip


CHECKS = {"times": times, "linear": linear, "command": command, "before": before}


if __name__ == "__main__":
    if sys.argv[1:] == ["--freeze"]:
        BEFORE.write_text(json.dumps({n: values(t) for n, t in frozen().items()}) + "\n")
        sys.exit()
    sys.exit(run(CHECKS, sys.argv[1:]))
