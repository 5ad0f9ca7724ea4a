"""The key of a stored result: the sources that compute it, and no others."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.engine import sources
from benchmarks.engine.setting import Setting
from benchmarks.engine.store import Store
from benchmarks.engine.toy_profiles import ToyProfile
from benchmarks.studies.las_mixtures import MixtureSampler
from theory.names import named
from theory.solvers.multistep import unipc_table
from theory.solvers.registry import SOLVERS
from toys import zoo
from toys.files import load_toy
from toys.mixture import Mixture

SETTING = Setting("gaussians5", "edm", 4)
ROOT = Path(__file__).parents[1]
Edit = Callable[[str, str], None]


def forget() -> None:
    for function in (sources.imported, sources.reached, sources._digest, sources.fingerprint):
        function.cache_clear()


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """Lets sources read the file of a module with some text added to its end."""
    read = Path.read_text

    def edited(module: str, added: str) -> None:
        target = sources._file(module)
        assert target is not None

        def with_edit(path: Path, *args: object, **options: object) -> str:
            return read(path, *args, **options) + (added if path == target else "")  # type: ignore[arg-type]

        monkeypatch.setattr(Path, "read_text", with_edit)
        forget()

    yield edited
    monkeypatch.undo()
    forget()


@pytest.mark.parametrize(
    "module",
    [
        "toys.kernels",
        "toys.laws.passes",
        "toys.laws.build",
        "theory.solvers.ddim",
        "theory.schedules.standard",
        "theory.levels",
        "benchmarks.measure.divergences",
        "benchmarks.measure.functionals",
        "benchmarks.measure.samples",
        "benchmarks.engine.setting",
        "benchmarks.engine.rows",
        "benchmarks.engine.toy_profiles",
        "toys.information.information",
        "theory.profiles.curves",
    ],
)
def test_an_edit_of_what_computes_a_result_makes_it_absent(module: str, edit: Edit) -> None:
    before = Store("x").path(SETTING)
    edit(module, "\n# edited\n")
    assert Store("x").path(SETTING) != before


@pytest.mark.parametrize(
    "module",
    [
        "benchmarks.claims.paper_a",
        "benchmarks.studies.kl_vs_steps",
        "benchmarks.studies.registry",
        "benchmarks.engine.compare",
        "benchmarks.engine.recommend",
        "benchmarks.measure.orders",
        "theory.solvers.multistep",
        "theory.solvers.two_calls",
        "theory.schedules.las",
        "theory.schedules.arctan",
        "theory.schedules.recommend",
        "theory.infonoise.allocation",
    ],
)
def test_an_edit_elsewhere_voids_nothing(module: str, edit: Edit) -> None:
    before = Store("x").path(SETTING)
    edit(module, "\n# edited\n")
    assert Store("x").path(SETTING) == before


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("theory.schedules.registry", '\nSCHEDULES["new"] = edm_sigmas\n'),
        ("theory.solvers.registry", '\nSOLVERS["new"] = ddim_table\n'),
        ("toys.zoo", "\n# a comment\n"),
    ],
)
def test_a_new_line_of_a_registry_voids_nothing_but_its_functions_count(
    module: str, line: str, edit: Edit
) -> None:
    before = Store("x").path(SETTING)
    edit(module, line)
    assert Store("x").path(SETTING) == before
    edit(module, "\ndef added():\n    return 1\n")
    assert Store("x").path(SETTING) != before


def test_what_a_setting_takes_from_the_lists_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contents of its toy, and the arguments that a registry fixes."""
    unipc = Setting("gaussians5", "edm", 4, "unipc_2")
    tasks = [SETTING, unipc, ToyProfile("gaussians5", 0.01, 10.0), Setting("gaussian", "edm", 4)]

    def paths() -> list[Path]:
        return [Store("x").path(task) for task in tasks]

    before = paths()
    fixed = named(unipc_table, "another order", 3)
    with monkeypatch.context() as patch:
        patch.setitem(SOLVERS, "unipc_2", fixed)
        assert [a != b for a, b in zip(before, paths(), strict=True)] == [False, True, False, False]
    for cached in (load_toy, zoo._made):
        cached.cache_clear()
    with monkeypatch.context() as patch:
        patch.setitem(zoo.ZOO, "gaussians5", ("moved", lambda: Mixture([1], [0.5], 1)))
        assert [a != b for a, b in zip(before, paths(), strict=True)] == [True, True, True, False]
        for cached in (load_toy, zoo._made):
            cached.cache_clear()
    assert paths() == before


def test_a_task_that_names_no_module_depends_on_all_that_it_may_use(edit: Edit) -> None:
    task = MixtureSampler("circle8", "edm", "las", (80.0, 1.0, 0.1), "ddim")
    assert not hasattr(task, "computed_by")
    for module, added in (
        ("theory.solvers.multistep", "\n# edited\n"),
        ("theory.solvers.registry", '\nSOLVERS["new"] = ddim_table\n'),
        ("toys.zoo", "\nGRID_WEIGHTS = (1,)\n"),
    ):
        forget()
        before = Store("x").path(task)
        edit(module, added)
        assert Store("x").path(task) != before, module


@pytest.mark.parametrize(
    ("setting", "own"),
    [
        (Setting("gaussians5", "edm", 4, "dpmpp_2m"), "theory.solvers.multistep"),
        (Setting("gaussians5", "edm", 4, "unipc_2"), "theory.solvers.multistep"),
        (Setting("gaussians5", "edm", 4, "heun"), "theory.solvers.two_calls"),
        (Setting("gaussians5", "las", 4), "theory.schedules.las_kernels"),
        (Setting("gaussians5", "rescaled", 4), "theory.schedules.time_change"),
    ],
)
def test_the_module_of_a_settings_own_schedule_or_solver_counts(
    setting: Setting, own: str, edit: Edit
) -> None:
    before = Store("x").path(setting), Store("x").path(SETTING)
    edit(own, "\n# edited\n")
    assert Store("x").path(setting) != before[0]
    assert Store("x").path(SETTING) == before[1]


def test_levels_given_as_a_list_do_not_depend_on_schedules(edit: Edit) -> None:
    setting = Setting("gaussians5", "edm", 2, sigmas=(80.0, 1.0, 0.1))
    before = Store("x").path(setting)
    edit("theory.schedules.standard", "\n# edited\n")
    assert Store("x").path(setting) == before


def test_a_profile_depends_on_no_solver_and_no_measure(edit: Edit) -> None:
    task = ToyProfile("gaussians5", 0.01, 10.0)
    reached = sources.reached(sources.roots_of(task))
    assert "toys.information.information" in reached
    assert not [name for name in reached if name.startswith(("theory.solvers.", "theory.sched"))]
    before = Store("x").path(task)
    edit("benchmarks.measure.divergences", "\n# edited\n")
    assert Store("x").path(task) == before


RUN = """
import json, sys, threading
entered = set()


def seen(frame, event, arg):
    if event == "call":
        entered.add(frame.f_globals.get("__name__", ""))


from benchmarks.engine.setting import Setting

setting = Setting("{toy}", "{schedule}", 4, "{solver}", terminal="{terminal}", paths={paths})
threading.setprofile(seen)
sys.setprofile(seen)
setting.run()
sys.setprofile(None)
print(json.dumps([sorted(entered), sorted(sys.modules)]))
"""


@pytest.mark.parametrize(
    ("schedule", "solver", "toy", "terminal", "paths"),
    [
        ("edm", "stochastic_ddim", "gaussians5", "stop", 0),
        ("rescaled", "evodiff", "gaussians5", "stop", 0),
        ("las", "heun", "points15", "zero", 0),
        ("arctan", "unipc_2", "circle8", "stop", 300),
    ],
)
def test_all_that_a_run_enters_or_imports_is_among_its_sources(
    schedule: str, solver: str, toy: str, terminal: str, paths: int
) -> None:
    """A process of its own is watched, so that nothing has been imported before."""
    import json

    code = RUN.format(schedule=schedule, solver=solver, toy=toy, terminal=terminal, paths=paths)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    entered, loaded = json.loads(done.stdout)
    setting = Setting(toy, schedule, 4, solver, terminal=terminal, paths=paths)
    reached = set(sources.reached(sources.roots_of(setting)))
    assert own(entered) <= reached
    named = set[str]()  # what only the lists of the registries import
    for registry in sources.REGISTRIES:
        named |= set(sources.reached(sources.imported(registry)))
    assert own(loaded) - named <= reached


def own(modules: list[str]) -> set[str]:
    """Modules of the suite that hold code: no packages."""
    found = {name for name in modules if name.split(".")[0] in sources.PACKAGES}
    return {name for name in found if not str(sources._file(name)).endswith("__init__.py")}
