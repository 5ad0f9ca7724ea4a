"""The rooms of the suite: who may import whom, and where things stand."""

import ast
import re
from pathlib import Path

import pytest
from layout_rules import ROOMS, faults, sources

ROOT = Path(__file__).parents[1]
TEXTS = sources(ROOT)
FOLDERS = sorted(
    {path.parent for path in ROOT.glob("*/**/__init__.py") if ".venv" not in path.parts}
)


def test_rooms_import_only_rooms_above_them_and_never_in_circles() -> None:
    assert not faults(TEXTS)


@pytest.mark.parametrize(
    ("module", "line", "message"),
    [
        (
            "theory.schedules.standard",
            "from toys.mixture import Mixture",
            "theory.schedules.standard imports toys.mixture",
        ),
        (
            "theory.profiles.profile",
            "from theory.schedules.las import Objective",
            "theory.profiles.profile imports theory.schedules.las",
        ),
        (
            "theory.solvers.table",
            "from theory.profiles import files",
            "theory.solvers.table imports theory.profiles.files",
        ),
        (
            "toys.information.channel",
            "import toys.laws.law",
            "toys.information.channel imports toys.laws.law",
        ),
        (
            "toys.mixture",
            "from theory.schedules.standard import edm_sigmas",
            "toys.mixture imports theory.schedules.standard",
        ),
        (
            "benchmarks.measure.orders",
            "from benchmarks.engine.store import Store",
            "benchmarks.measure.orders imports benchmarks.engine.store",
        ),
        (
            "benchmarks.studies.kl_vs_steps",
            "from benchmarks.claims import run",
            "benchmarks.studies.kl_vs_steps imports benchmarks.claims.run",
        ),
        (
            "benchmarks.studies.learned_profile",
            "part = network_part('benchmarks.training.transfer')",
            "benchmarks.studies.learned_profile imports benchmarks.training.transfer",
        ),
        (
            "figures.kl_vs_steps",
            "import benchmarks.studies.kl_vs_steps",
            "figures.kl_vs_steps imports benchmarks.studies.kl_vs_steps",
        ),
        (
            "theory.bounds",
            "import importlib\nimportlib.import_module('toys.mixture')",
            "theory.bounds imports toys.mixture",
        ),
        (
            "theory.bounds",
            "from importlib import import_module as load\nload('toys.mixture')",
            "theory.bounds imports toys.mixture",
        ),
        (
            "theory.bounds",
            "from theory import extras as e\ne.network_part('benchmarks.networks.spec')",
            "theory.bounds imports benchmarks.networks.spec",
        ),
        ("theory.bounds", "__import__('toys.mixture')", "theory.bounds imports toys.mixture"),
        ("theory.bounds", "__import__('toys')", "theory.bounds imports toys"),
        (
            "theory.bounds",
            "import importlib\nimportlib.import_module('torch')",
            "theory.bounds imports torch, whose home is",
        ),
        (
            "theory.bounds",
            "import importlib\nimportlib.import_module('toys.' + 'mixture')",
            "theory.bounds imports a name made at run time",
        ),
        ("theory.bounds", "import tests.strategies", "theory.bounds imports tests.strategies"),
        ("theory.bounds", "import diffusers", "theory.bounds imports diffusers, whose home is"),
        ("theory.bounds", "import torch", "theory.bounds imports torch, whose home is"),
        ("theory.bounds", "import numba", "theory.bounds imports numba, whose home is"),
        ("toys.zoo", "import matplotlib.pyplot", "toys.zoo imports matplotlib"),
        ("toys.zoo", "from .mixture import Mixture", "toys.zoo imports .mixture"),
    ],
)
def test_a_planted_import_is_found(module: str, line: str, message: str) -> None:
    found = faults({**TEXTS, module: f"{TEXTS[module]}\n{line}\n"})
    assert any(fault.startswith(message) for fault in found), found


def test_a_planted_import_in_a_function_is_found() -> None:
    planted = "\n\ndef late():\n    from theory.noise.ddpm import DDPM\n    return DDPM\n"
    module = "theory.profiles.risks"
    found = faults({**TEXTS, module: TEXTS[module] + planted})
    assert found == [f"{module} imports theory.noise.ddpm in a function: import it at the top"]


def test_a_planted_circle_is_found() -> None:
    """Within a room the order is free, but not in a circle; a function does not hide one."""
    one, two = "benchmarks.networks.network", "benchmarks.networks.spec"
    planted = f"\n\ndef late():\n    from {two} import open_network\n    return open_network\n"
    found = faults({**TEXTS, one: TEXTS[one] + planted})
    assert any(fault.startswith("circle") and one in fault and two in fault for fault in found)


def test_a_new_folder_has_to_be_a_room() -> None:
    for module in ("theory.attic.box", "toys.attic.box"):
        message = f"{module}: must stand in a room, or be one of the flat modules"
        assert message in faults({**TEXTS, module: ""})


def test_the_rooms_are_those_of_the_page() -> None:
    """docs/architecture.md lists every room, in the order of the rules."""
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+/`)? ?\| ([^|]+) \|", page, flags=re.MULTILINE)
    listed, folder = [], ""
    for top, names in rows:
        folder = top.strip("`/") or folder
        listed += [f"{folder}.{name}" for name in re.findall(r"`(\w+)/`", names)]
    known = [room for room in ROOMS if "." in room and room != "theory.closed"]
    planned = {"benchmarks.report"}  # rooms of work to come
    assert set(known) - planned == {
        room for room in listed if room.split(".")[1] not in ("results", "published", "commands")
    }


def test_no_module_stands_in_benchmarks_itself() -> None:
    assert [path.name for path in (ROOT / "benchmarks").glob("*.py")] == ["__init__.py"]
    assert faults({**TEXTS, "benchmarks.loose": ""}) == [
        "benchmarks.loose: no module stands in benchmarks/ itself"
    ]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_init_files_hold_a_docstring_and_nothing_else(folder: Path) -> None:
    if folder == ROOT / "entropic":
        return
    body = ast.parse((folder / "__init__.py").read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)


def test_every_figure_has_a_study_of_its_name() -> None:
    """Tables, studies and figures are one list."""
    from benchmarks.studies.registry import TABLES
    from figures.registry import FIGURES

    studies = {path.stem for path in (ROOT / "benchmarks" / "studies").glob("*.py")}
    figures = {path.stem for path in (ROOT / "figures").glob("*.py")}
    assert studies - {"__init__", "registry"} == set(TABLES)
    assert figures - {"__init__", "registry", "loading", "comparison"} == set(TABLES)
    assert list(FIGURES) == list(TABLES)


def test_commands_import_nothing_heavy_at_their_tops() -> None:
    """`--help` answers at once: only click and the standard library before a command runs."""
    light = {"json", "sys", "gc", "collections.abc", "pathlib", "typing", "importlib", "click"}
    light |= {"importlib.metadata", "entropic", "os", "__future__"}
    light |= {"click.shell_completion", "functools", "re", "io", "signal", "contextlib", "types"}
    for path in (ROOT / "entropic" / "commands").glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            for name in names:
                assert name in light or name.startswith("entropic."), f"{path.name} imports {name}"
