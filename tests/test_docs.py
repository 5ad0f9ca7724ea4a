"""README and the documentation: commands run or parse, numbers are those printed, links lead on."""

import ast
import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import matplotlib as mpl
import pytest

from benchmarks.claims.registry import all_claims
from benchmarks.imagenet.presets import presets
from benchmarks.optimum import registry as schedule_registry
from benchmarks.studies.claims_ledger import read_full_run
from benchmarks.studies.registry import TABLES
from entropic.commands.main import main
from theory.noise.processes import PROCESSES
from theory.noise.times import TIMES
from theory.profiles.risks import DIFFUSERS, PREDICTIONS
from theory.schedules import registry as theory_schedules
from theory.solvers.registry import SOLVERS
from toys.zoo import ZOO

ROOT = Path(__file__).parents[1]
RECIPES = ("digits-quick", "digits-infonoise", "digits-edm", "dna-infonoise", "dna-log-uniform")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SKIPPED = r"(<!-- (?:needs files|takes long) -->\n)?"
SLOW_WORDS = ("--solver all", "claims --toy", "--toy circle8")


def name_of(path: Path) -> str:
    """A page's path from the root."""
    return path.relative_to(ROOT).as_posix()


# Console blocks: what stands behind a $ is run, and what follows is compared.


def blocks(path: Path) -> Iterator[tuple[bool, list[tuple[str, list[str]]]]]:
    """Console blocks of a page: whether they are marked, and (command, expected output) pairs.

    Marked blocks need files that the reader has, or take long; they only have to parse.
    """
    text = path.read_text(encoding="utf-8")
    for found in re.finditer(SKIPPED + r"```console\n(.*?)```", text, re.DOTALL):
        pairs: list[tuple[str, list[str]]] = []
        for line in found.group(2).splitlines():
            if line.startswith("$ "):
                pairs.append((line[2:], []))
            elif line.startswith("> "):
                command, said = pairs[-1]
                pairs[-1] = (command + "\n" + line[2:], said)
            elif pairs:
                pairs[-1][1].append(line)
        if pairs:
            yield found.group(1) is not None, pairs


def alike(want: str, got: str) -> bool:
    """Whether two lines agree, their numbers to 1e-6 or 1e-11."""
    words, others = want.split(), got.split()
    if len(words) != len(others):
        return False
    for word, other in zip(words, others, strict=True):
        if word == other:
            continue
        try:
            a, b = float(word.strip(",()")), float(other.strip(",()"))
        except ValueError:
            return False
        if abs(a - b) > max(1e-6 * abs(a), 1e-11):
            return False
    return True


def matches(want: list[str], got: list[str]) -> bool:
    """Whether lines agree, a line of dots standing for any number of lines."""
    if not want:
        return not got
    if want[0] == "...":
        return any(matches(want[1:], got[i:]) for i in range(len(got) + 1))
    return bool(got) and alike(want[0], got[0]) and matches(want[1:], got[1:])


CONSOLE = [
    pytest.param(
        path,
        id=name_of(path),
        marks=[pytest.mark.slow]
        if any(word in path.read_text(encoding="utf-8") for word in SLOW_WORDS)
        else [],
    )
    for path in PAGES
    if any(not marked for marked, _ in blocks(path))
]


@pytest.mark.parametrize("path", CONSOLE)
def test_console_blocks_print_what_they_show(path: Path, tmp_path: Path) -> None:
    """All blocks of a page run in one folder, in order; $ENTROPIC names another command to run."""
    installed = os.environ.get("ENTROPIC")
    said = f'"{installed}"' if installed else f'"{sys.executable}" -m entropic'
    shell = f'entropic() {{ {said} "$@"; }}\n'
    path_of = "" if installed else str(ROOT)
    env = {**os.environ, "PYTHONPATH": path_of, "PATH": "/usr/bin:/bin"}
    for marked, pairs in blocks(path):
        for command, want in [] if marked else pairs:
            done = subprocess.run(
                ["bash", "-c", shell + command], cwd=tmp_path, env=env,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, (command, done.stderr)
            assert matches(want, done.stdout.splitlines()), (command, done.stdout)


def test_matching_knows_dots_and_digits() -> None:
    assert matches(["a 1.0", "..."], ["a 1.0000001", "b", "c"])
    assert matches(["...", "c"], ["a", "b", "c"])
    assert not matches(["a 1.0"], ["a 1.001"])
    assert not matches(["a"], ["a", "b"])
    assert not matches(["a", "b"], ["a"])


# Every other command line must parse, and its names must exist.


@cache
def commands() -> list[tuple[str, str]]:
    """(page, command line) of every `entropic ...` in backticks, in blocks, or indented."""
    out = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        joined = text.replace("\\\n", " ")
        found = re.findall(r"`(entropic [^`]+)`", joined)
        found += re.findall(r"^(?:    |\$ )?(entropic [^#\n]+)", joined, flags=re.MULTILINE)
        out += [(name_of(path), line.strip()) for line in found]
    return list(dict.fromkeys(out))


def words_of(line: str) -> list[str]:
    """The words behind `entropic`, without what a page elides."""
    words = shlex.split(line.split("|")[0].split(" > ")[0])[1:]
    return [word for word in words if word not in ("...", "…")]


def test_there_are_many_commands() -> None:
    assert len(commands()) > 150


PLACEHOLDER = re.compile(r"[A-Z_]+|[A-Z]+/.*|.*\.(json|csv|npz|npy|zip|pkl|safetensors)|my_\w+")


def known_values(command: click.Command) -> dict[str, list[str]]:
    """Names that an option's value may have, by parameter; those of registries are parsed."""
    toys = [*ZOO]
    return {
        "toy": toys,
        "process": [*PROCESSES],
        "terminal": ["stop", "zero"],
        "start": ["noise", "data"],
        "prediction": [*PREDICTIONS, *DIFFUSERS],
        "times": [*TIMES],
        "only": [claim.id for claim in all_claims()],
        "names": [*TABLES],
        "preset": [*RECIPES] if command.name == "train" else [*presets()],
    }


@pytest.fixture
def contributed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names that the examples of CONTRIBUTING add, with functions of the same options."""
    monkeypatch.setitem(SOLVERS, "dpmpp_2s", SOLVERS["dpmpp_2m"])
    schedules = theory_schedules.SCHEDULES
    monkeypatch.setitem(schedules, "polyexponential", schedules["edm"])


@pytest.mark.usefixtures("contributed")
@pytest.mark.parametrize(("page", "line"), commands(), ids=lambda v: v[:70])
def test_every_command_line_parses(page: str, line: str) -> None:
    """Options are known and complete, their values convert, and names of things exist."""
    parse(page, line)


def parse(page: str, line: str) -> None:
    """Raise if a command line has an unknown option, value or name."""
    words, command = words_of(line), main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None, f"{page}: {line}"
        command = found  # type: ignore[assignment]
    if isinstance(command, click.Group) or not words:
        return  # a command named without its options
    options = {o for p in command.params for o in p.opts}
    if all(word in options for word in words):
        return  # options named without their values
    elided = "..." in line or len(words) == 2 or "--help" in words
    context = command.make_context(command.name, list(words), resilient_parsing=elided)
    for name, known in known_values(command).items():
        value = context.params.get(name)
        for one in value if isinstance(value, tuple) else [value]:
            if one is not None and not PLACEHOLDER.fullmatch(str(one)):
                assert one in known, f"{page}: {line}: {one}"


@pytest.mark.parametrize(
    "line",
    [
        "entropic kl --toy gaussian99 --schedule rescaled --steps 8",
        "entropic kl --toy gaussian --schedule rescald --steps 8",
        "entropic kl --toy gaussian --schedule rescaled --steps eight",
        "entropic kl --steps 3 --toy gaussian",
        "entropic schedule --method edm --toy gaussian",
        "entropic claims --only A.999 --only A.2",
        "entropic train --preset bogus --out out",
        "entropic profile --toy nope --process xx",
        "entropic figures nosuch --quick",
        "entropic imagenet table --preset A-in65 --net FILE",
        "entropic kl --nosuch 3 --toy gaussian",
        "entropic nosuch --toy gaussian",
    ],
)
def test_a_wrong_command_line_is_seen(line: str) -> None:
    with pytest.raises((AssertionError, click.ClickException, ValueError)):
        parse("planted", line)


def named_claims() -> list[str]:
    """Ids of claims that the pages tell the reader to run."""
    return sorted({x for _, line in commands() for x in re.findall(r"--only (\S+)", line)})


@pytest.mark.slow
def test_the_claims_that_pages_name_run(tmp_path: Path) -> None:
    ids = [name for name in named_claims() if not PLACEHOLDER.fullmatch(name)]
    assert len(ids) > 40
    args = [part for name in ids for part in ("--only", name)]
    done = subprocess.run(
        [sys.executable, "-m", "entropic", "claims", *args, "--cases", "1"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{len(ids)} claims:" in done.stdout


def python_blocks() -> list[tuple[str, str]]:
    """Python blocks of pages that stand by themselves, as their imports tell."""
    out = []
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        for code in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
            adds = re.search("registry import (SOLVERS|SCHEDULES)$", code, flags=re.MULTILINE)
            if code.startswith(("import ", "from ")) and not adds:  # CONTRIBUTING's own test
                out.append((name_of(path), code))
    return out


@pytest.mark.parametrize(("page", "code"), python_blocks(), ids=lambda v: v[:40].splitlines()[0])
def test_python_blocks_run(
    page: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A block runs in a folder with the files that the page writes."""
    monkeypatch.chdir(tmp_path)
    for _, pairs in blocks(ROOT / page):
        for command, _ in pairs:
            if command.startswith(("cat > ", "echo ")):
                subprocess.run(["sh", "-c", command], check=True)
    space: dict[str, Any] = {"__name__": page}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(code, page, "exec"), space)
        for name, value in list(space.items()):
            if name.startswith("test_"):
                value()


# The notebook.


def test_the_notebook_prints_what_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cells run as plain Python; printed lines and last values are the stored ones."""
    monkeypatch.chdir(tmp_path)
    mpl.use("agg")
    path = ROOT / "docs" / "notebooks" / "theorist.ipynb"
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    space: dict[str, Any] = {"__name__": "notebook"}
    ran = 0
    for cell in cells:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        printed, value = io.StringIO(), None
        with contextlib.redirect_stdout(printed):
            exec(compile(tree, path.name, "exec"), space)
            if isinstance(last, ast.Expr):
                value = eval(compile(ast.Expression(last.value), path.name, "eval"), space)
        texts = [o["text"] for o in cell["outputs"] if o.get("name") == "stdout"]
        want = "".join("".join(text) for text in texts).splitlines()
        assert matches(want, printed.getvalue().splitlines()), printed.getvalue()
        results = [o for o in cell["outputs"] if o["output_type"] == "execute_result"]
        for result in results:
            assert "".join(result["data"]["text/plain"]) == repr(value)
        ran += 1
    assert ran >= 9


# The front page.


def test_the_front_page_is_short_and_names_the_papers() -> None:
    assert README.count("\n") <= 160
    for word in (
        "Entropic Time Schedulers for Generative Diffusion Models",
        "Entropy-Based Dimension-Free Convergence and Loss-Adaptive Schedules for Diffusion Models",
        "Improving Denoising Diffusion with Efficient Conditional Entropy Reduction",
        "Noise Scheduling as Information-Guided Allocation in Diffusion Training",
        *("2504.13612", "2601.21943", "2509.26096", "2602.18647"),
    ):
        assert word in README
        if word[0].isdigit():
            assert word in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_front_pages_summary_is_the_full_run() -> None:
    rows = read_full_run()
    for paper in "ABCD":
        own = [row["verdict"] for row in rows if row["paper"] == paper]
        counts = [own.count(v) for v in ("holds", "fails", "holds_as_corrected", "needs_data")]
        pattern = rf"^\| {paper}: [^|]+ \| {len(own)} \| " + " \\| ".join(map(str, counts)) + r" \|"
        assert re.search(pattern, README, flags=re.MULTILINE), paper


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_and_pictures_are_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target and not target.startswith("mailto:"):
            place = path.parent / target
            if name_of(path) == "CONTRIBUTING.md":
                place = ROOT / target
            assert place.exists(), f"{name_of(path)}: {target}"


def test_the_gallery_shows_every_figure_once() -> None:
    text = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    shown = re.findall(r"\(gallery/(\w+)\.png\)", text)
    assert sorted(shown) == sorted(TABLES)


def test_every_schedule_is_listed() -> None:
    text = (ROOT / "docs" / "schedules-and-solvers.md").read_text(encoding="utf-8")
    head = text[: text.index("## Solvers")]
    assert re.findall(r"^\| `(\w+)` \|", head, flags=re.MULTILINE) == list(
        schedule_registry.SCHEDULES
    )
    for line in head.splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 7 and cells[1].strip("`") in schedule_registry.SCHEDULES:
            name, needs, shown = cells[1].strip("`"), cells[3], cells[4].strip("`")
            options = schedule_registry.REGISTRY.options(name)
            want = [
                f"{k.rstrip('_')}={v}" if v is not None else k.rstrip("_")
                for k, v in options.items()
            ]
            assert shown.split() == want, name
            for need in schedule_registry.REGISTRY.needs(name):
                assert need in needs, name
