"""Acceptance checks of the rooms, the door, the wheel and the documentation.

`python -m benchmarks.acceptance.house [CHECK ...]`; all by default:

* same: every CSV of `make figures`, and every claim, against the commit before the move (BEFORE);
* rooms, docs: by their tests; the site without warnings;
* wheel: in a clean environment per Python found, everything that reads a data file, and every
  command that README and the documentation print, from an empty folder;
* door: the five lines, and what `import entropic` loads;
* fresh: `make figures` and `make test` on a fresh clone.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.acceptance.report import ROOT, Check, by_tests, fresh, run

BEFORE = "e704617"  # the last commit before the move
VERSIONS = ("3.11", "3.12", "3.13")
LINES = """\
import entropic
mixture = entropic.toy("gaussians15_overlap")
profile = entropic.profile(mixture)
sigmas = entropic.schedule("rescaled", 8, profile=profile)
table = entropic.solver("stochastic_ddim", sigmas)
print(entropic.kl(mixture, table))
"""
PRINTED = "KL(value=0.0958543, error=1e-12)"
HEAVY = ("numba", "scipy", "pandas", "torch", "matplotlib")
COMMANDS = (
    ["--version"],
    ["doctor"],
    ["toys"],
    ["claims", "--cases", "1"],
    ["claims", "--verify", "--cases", "1"],
    ["imagenet", "table", "--list"],
    ["figures", "--quick"],
    ["kl", "--toy", "gaussians15_overlap", "--schedule", "rescaled", "--steps", "8"],
    ["schedule", "--toy", "two_points", "--method", "las", "--steps", "6", "--for", "lines"],
    ["order", "--solver", "heun"],
    ["profile", "--toy", "two_points", "--out", "profile.json"],
)


def entropic(tree: Path, out: Path, *args: str) -> str:
    """Standard output of a command of the suite in a tree of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "entropic", *args, "--out", str(out)],
        cwd=tree, capture_output=True, text=True, check=True,
        env={**os.environ, "ENTROPIC_STORE": str(out / "store")},
    )  # fmt: skip
    return done.stdout


def same() -> Iterator[Check]:
    """The tables of all figures and the rows of all claims, then and now."""
    with tempfile.TemporaryDirectory() as folder:
        then = Path(folder) / "then"
        subprocess.run(["git", "clone", "-q", str(ROOT), str(then)], check=True)
        subprocess.run(["git", "checkout", "-q", BEFORE], cwd=then, check=True)
        outs = Path(folder) / "out_then", Path(folder) / "out_now"
        found = []
        for tree, out in zip((then, ROOT), outs, strict=True):
            entropic(tree, out, "figures")
            found.append(json.loads(entropic(tree, out, "claims", "--json"))["claims"])
        names = sorted(path.name for path in outs[0].glob("*.csv") if path.name != "claims.csv")
        equal = [(outs[0] / n).read_bytes() == (outs[1] / n).read_bytes() for n in names]
        text = f"{sum(equal)} of {len(names)}"
        yield Check("CSVs of all figures", "byte-identical", text, all(equal))
        keys = ("id", "verdict", "value")
        pairs = list(zip(*found, strict=True))
        held = sum(all(a[k] == b[k] for k in keys) for a, b in pairs)
        yield Check("claims", "verdicts and values equal", f"{held} of {len(pairs)}",
                    held == len(pairs))  # fmt: skip
    stat = subprocess.run(
        ["git", "diff", "--stat", BEFORE, "--", "benchmarks/results"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    yield Check("rows of benchmarks/results", "unchanged", stat.strip() or "unchanged", not stat)


def rooms() -> Iterator[Check]:
    """Import rules, planted faults, and what may hide a package."""
    yield from by_tests({
        "rooms": ("planted imports and circles found", ["tests/test_layout.py"]),
        "door": ("names, help, hidden packages", ["tests/test_entropic_door.py"]),
        "strategies": ("shrink to plain examples", ["tests/test_entropic_testing.py"]),
    })  # fmt: skip


def pythons() -> Iterator[tuple[str, str]]:
    """Version and executable of the Pythons that can be had; $PYTHONS names more, by colons."""
    named = [p for p in os.environ.get("PYTHONS", "").split(":") if p]
    named += [found for v in VERSIONS if (found := shutil.which(f"python{v}"))]
    seen = set()
    for path in [*named, sys.executable]:
        code = "import sys; print('%d.%d' % sys.version_info[:2])"
        done = subprocess.run([path, "-c", code], capture_output=True, text=True, check=False)
        version = done.stdout.strip()
        if version in VERSIONS and version not in seen:
            seen.add(version)
            yield version, path


def wheel() -> Iterator[Check]:
    """Everything that reads a data file, from the wheel alone."""
    found = dict(pythons())
    for version in VERSIONS:
        if version not in found:
            yield Check(f"Python {version}", "runs", "not on this machine: unmeasured", None)
            continue
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            subprocess.run([found[version], "-m", "venv", place / "env"], check=True)
            python = place / "env" / "bin" / "python"
            begun = time.monotonic()
            tree = place / "tree"
            subprocess.run(["git", "clone", "-q", str(ROOT), str(tree)], check=True)
            install = ["install", "-q", "-c", str(tree / "constraints.txt"), str(tree)]
            subprocess.run([python, "-m", "pip", *install], check=True, capture_output=True)
            shutil.rmtree(tree)
            yield from _uses(version, place, time.monotonic() - begun)


def _uses(version: str, place: Path, installed: float) -> Iterator[Check]:
    """Commands of the installed wheel, in an empty folder."""
    empty, env = place / "empty", {**os.environ, "PYTHONPATH": ""}
    env["ENTROPIC_STORE"] = str(place / "store")
    empty.mkdir()
    begun, wrong = time.monotonic(), []
    for args in COMMANDS:
        done = subprocess.run(
            [str(place / "env" / "bin" / "entropic"), *args],
            cwd=empty, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            wrong.append(f"{' '.join(args)}: {done.stderr.strip().splitlines()[-1:]}")
    said = "; ".join(wrong) or f"{len(COMMANDS)} commands in {time.monotonic() - begun:.0f} s"
    yield Check(f"Python {version}, wheel", "every command exits 0", said, not wrong)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "tests/test_docs.py", "-k", "console"],
        cwd=ROOT, env={**os.environ, "ENTROPIC": str(place / "env" / "bin" / "entropic")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    took = done.stdout.strip().splitlines()[-1]
    yield Check(f"Python {version}, printed commands", "print what is shown", took,
                not done.returncode)  # fmt: skip
    done = subprocess.run(
        [str(place / "env" / "bin" / "python"), "-c", LINES],
        cwd=empty, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    took = f"{done.stdout.strip()}; installed in {installed:.0f} s"
    yield Check(f"Python {version}, five lines", PRINTED, took, done.stdout.strip() == PRINTED)


def door() -> Iterator[Check]:
    """The five lines, and the cost of the import."""
    done = subprocess.run([sys.executable, "-c", LINES], cwd=ROOT, capture_output=True, text=True,
                          check=False)  # fmt: skip
    got = done.stdout.strip()
    yield Check("the five lines", PRINTED, got, got == PRINTED)
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import entropic"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    heavy = [name for name in HEAVY if any(re.search(rf"\| +{name}\b", line) for line in lines)]
    total = int(lines[-1].split("|")[1])
    text = f"{', '.join(heavy) or 'none of them'}, {total / 1e3:.0f} ms"
    yield Check("import entropic", f"no {', '.join(HEAVY)}, 100 ms", text,
                not heavy and total < 100_000)  # fmt: skip


def docs() -> Iterator[Check]:
    """The site, its commands and its notebook."""
    with tempfile.TemporaryDirectory() as folder:
        args = ["-q", "-W", "--keep-going", "-b", "html", "docs", folder]
        done = subprocess.run([sys.executable, "-m", "sphinx", *args], cwd=ROOT,
                              capture_output=True, text=True, check=False)  # fmt: skip
        text = done.stderr.strip().splitlines()[-1:] or ["no warning"]
        yield Check("make docs", "no warning", text[0], done.returncode == 0)
    yield from by_tests({
        "commands and notebook of the docs": ("run or parse", ["tests/test_docs.py"]),
        "wheel by tests": ("runs in an empty folder", ["tests/test_wheel.py"]),
        "gallery": ("made by today's code", ["tests/test_gallery.py"]),
    })  # fmt: skip
    count = (ROOT / "README.md").read_text(encoding="utf-8").count("\n")
    yield Check("lines of README", "<= 160", str(count), count <= 160)


CHECKS: dict[str, Callable[[], Iterator[Check]]] = {
    "same": same,
    "rooms": rooms,
    "wheel": wheel,
    "door": door,
    "docs": docs,
    "fresh": fresh,
}


if __name__ == "__main__":
    sys.exit(run(CHECKS, sys.argv[1:]))
