"""The wheel: built, installed into a folder of its own, and used from an empty folder."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("entropic", "toys", "theory", "benchmarks", "figures")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the installed wheel, its dependencies being those of this environment."""
    tree, built = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("wheel")
    skipped = shutil.ignore_patterns("__pycache__")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tree / package, ignore=skipped)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(built), str(tree)]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    (wheel,) = built.glob("*.whl")
    target = tmp_path_factory.mktemp("site")
    install = ["install", "--no-deps", "--no-index", "--target", str(target), str(wheel)]
    subprocess.run([*pip, *install], check=True, capture_output=True)
    return target


def run(site: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Python with the installed wheel in front, in a folder without the checkout."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    env |= {"PYTHONPATH": str(site), "NUMBA_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *args], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


def test_the_wheel_is_what_is_imported(site: Path, tmp_path: Path) -> None:
    code = "import entropic, toys, benchmarks; print(entropic.__file__, toys.__file__)"
    code += "; print(benchmarks.__file__, entropic.__version__)"
    done = run(site, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(site)) == 3
    assert done.stdout.split()[-1] == "0.1.0"


def test_every_data_file_and_every_module_is_in_the_wheel(site: Path) -> None:
    for package in PACKAGES:
        here = {
            p.relative_to(ROOT)
            for p in (ROOT / package).rglob("*")
            if p.is_file() and "__pycache__" not in p.parts and p.suffix != ".md"
        }
        there = {
            p.relative_to(site)
            for p in (site / package).rglob("*")
            if p.is_file() and "__pycache__" not in p.parts
        }
        assert there == here


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--version"], "entropic 0.1.0"),
        (["--help"], "Schedules"),
        (["toys"], "gaussians15_overlap"),
        (
            ["claims", "--only", "A.2", "--cases", "1", "--verify", "--jobs", "1"],
            "counterexample repeated",
        ),
        (["imagenet", "table", "--list"], "A-in64-S-ddim-rescaled-32"),
        (["figures", "claims_ledger", "bound_tightness", "--quick"], "claims_ledger.pdf"),
        pytest.param(
            ["figures", "las_mixtures", "--quick", "--jobs", "1"],
            "las_mixtures.png",
            marks=pytest.mark.slow,
        ),
        (
            ["kl", "--toy", "gaussian", "--schedule", "log_snr", "--steps", "2"],
            "KL(data || sampler)",
        ),
        (
            ["schedule", "--toy", "two_points", "--method", "entropic", "--steps", "3", "--json"],
            '"sigmas"',
        ),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, list) else "",
)
def test_commands_work_from_an_empty_folder(
    site: Path, tmp_path: Path, args: list[str], words: str
) -> None:
    done = run(site, tmp_path, "-m", "entropic", *args)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout


def test_the_five_lines_of_the_door_give_the_printed_number(site: Path, tmp_path: Path) -> None:
    code = """\
import entropic
mixture = entropic.toy("gaussians15_overlap")
profile = entropic.profile(mixture)
sigmas = entropic.schedule("rescaled", 8, profile=profile)
table = entropic.solver("stochastic_ddim", sigmas)
print(entropic.kl(mixture, table))
"""
    done = run(site, tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "KL(value=0.0958543, error=1e-12)\n"


def test_a_profile_file_goes_round_trip(site: Path, tmp_path: Path) -> None:
    args = ["profile", "--toy", "two_points", "--out", "p.json", "--json"]
    assert run(site, tmp_path, "-m", "entropic", *args).returncode == 0
    done = run(
        site, tmp_path, "-m", "entropic", "schedule", "--profile", "p.json", "--method", "rescaled",
        "--steps", "4", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["sigmas"]) == 5
