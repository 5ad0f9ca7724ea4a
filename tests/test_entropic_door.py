"""The Python door: its names, its lines, what it costs to import, and what may hide it."""

import ast
import importlib
import inspect
import pydoc
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import entropic
from theory.gaussian import table_variances
from toys import sampling
from toys.mixture import Mixture

ROOT = Path(__file__).parents[1]
LEVELS = [2.0, 1.0, 0.5]
TABLE = entropic.solver("ddim", LEVELS)
ITERATION = entropic.solver("re_multi", LEVELS)
HEAVY = ("numba", "scipy", "pandas", "torch", "matplotlib", "numpy")


def python(folder: Path, *args: str, path: str = str(ROOT)) -> subprocess.CompletedProcess[str]:
    """Python in a folder, with the checkout on its path."""
    return subprocess.run(
        [sys.executable, *args],
        cwd=folder,
        env={"PYTHONPATH": path, "PATH": "", "NUMBA_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_importing_the_door_loads_nothing_heavy(tmp_path: Path) -> None:
    code = f"import sys, entropic; print([m for m in {HEAVY} if m in sys.modules])"
    assert python(tmp_path, "-c", code).stdout == "[]\n"


def test_names_for_type_checkers_are_those_loaded() -> None:
    """The imports below TYPE_CHECKING name the same things as the places loaded from."""
    tree = ast.parse((ROOT / "entropic" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (n for n in tree.body if isinstance(n, ast.If))
    typed = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    typed["testing"] = ("entropic.testing", "")
    assert typed == entropic._PLACES
    assert sorted([*entropic.__all__, "testing"]) == sorted([*typed, "__version__"])
    assert dir(entropic) == sorted([*entropic.__all__, "testing"])


NAMES = [name for name in entropic.__all__ if name != "__version__"]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_loads_and_its_help_is_readable(name: str) -> None:
    found = getattr(entropic, name)
    assert len((found.__doc__ or "").split()) > 8
    said = pydoc.render_doc(found, renderer=pydoc.plaintext)
    for noise in ("_NestedSequence", "_SupportsArray", "numpy._typing", "numpy.ndarray[", "Union["):
        assert noise not in said
    if callable(found) and not isinstance(found, type):
        assert "Args:" in said or len(inspect.signature(found).parameters) == 0


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'entropic' has no attribute 'kll'"):
        _ = entropic.kll


def test_the_five_lines_of_the_door_give_the_printed_number() -> None:
    mixture = entropic.toy("gaussians15_overlap")
    profile = entropic.profile(mixture)
    sigmas = entropic.schedule("rescaled", 8, profile=profile)
    table = entropic.solver("stochastic_ddim", sigmas)
    assert repr(entropic.kl(mixture, table)) == "KL(value=0.0958543, error=1e-12)"
    assert entropic.__doc__ is not None
    for line in ('entropic.toy("gaussians15_overlap")', "entropic.kl(mixture, table)"):
        assert line in entropic.__doc__


def test_objects_print_what_they_hold() -> None:
    mixture = entropic.Mixture([1, 1], [-1, 1], 0)
    assert repr(mixture) == "Mixture([0.5, 0.5], [-1.0, 1.0], [0.0, 0.0])"
    assert eval(repr(mixture), {"Mixture": Mixture}).to_dict() == mixture.to_dict()
    assert repr(entropic.toy("gaussians15_overlap")) == (
        "<Mixture of 15 Gaussians of std 0.2, d = 1, variance 1>"
    )
    assert repr(entropic.toy("points15")) == "<Mixture of 15 points, d = 1, variance 1>"
    profile = entropic.profile(mixture, sigma_min=0.1, sigma_max=10.0)
    assert repr(profile).startswith("<Profile of 400 levels, d = 1, sigma 0.1 to 10, mmse ")
    table = entropic.solver("heun", [2.0, 1.0, 0.5])
    assert repr(table) == "<SolverTable of 4 calls in 2 steps, order 2, sigma 2 to 0.5>"
    iteration = entropic.solver("re_multi", [2.0, 1.0, 0.5])
    assert repr(iteration).startswith("<ReducingIteration re_multi of 3 calls in 2 steps, order 2")


def test_plain_numbers_are_answered_with_plain_numbers() -> None:
    mixture = entropic.toy("two_points")
    for got in (
        mixture.denoise(0.3, 0.5),
        mixture.score(0.3, 0.5),
        mixture.log_density(0.3, 0.5),
        mixture.posterior_variance(0.3, 0.5),
    ):
        assert type(got) is float
    assert mixture.denoise(0.3, 0.5) == mixture.denoise([0.3], 0.5)[0]
    assert mixture.responsibilities(0.3, 0.5).shape == (2,)
    plane = entropic.toy("circle8")
    assert plane.denoise([0.3, 0.1], 0.5).shape == (2,)
    assert type(plane.log_density([0.3, 0.1], 0.5)) is float
    np.testing.assert_array_equal(
        plane.denoise([0.3, 0.1], 0.5), plane.denoise([[0.3, 0.1]], 0.5)[0]
    )
    profile = entropic.profile(mixture, sigma_min=0.1, sigma_max=10.0)
    assert type(profile.mmse_at(1.0)) is float
    assert profile.mmse_at([1.0, 2.0]).shape == (2,)


def test_the_exact_law_is_what_paths_say() -> None:
    mixture = entropic.toy("gaussians15_overlap")
    table = entropic.solver("stochastic_ddim", entropic.schedule("log_snr", 8))
    law = entropic.exact_law(mixture, table)
    x = sampling.sample(mixture, table, 200_000, seed=3)[:, 0]
    assert abs(x.mean() - law.mean) < 4 * (law.variance / x.size) ** 0.5  # 6e-5 false alarms
    assert x.var() == pytest.approx(law.variance, rel=0.02)
    for place in (-1.0, 0.0, 0.4):
        share = float(np.mean(x <= place))
        assert abs(share - law.cdf(place)) < 4 * (share * (1 - share) / x.size) ** 0.5
    assert type(law.density(0.0)) is float
    h = 1e-4
    slope = (law.cdf(0.3 + h) - law.cdf(0.3 - h)) / (2 * h)
    assert law.density(0.3) == pytest.approx(slope, rel=1e-6)
    np.testing.assert_allclose(np.exp(law.log_density([0.1, 0.2])), law.density([0.1, 0.2]))
    assert "start 'noise'" in repr(law)


def test_the_exact_law_of_a_transported_density() -> None:
    """DDIM on one Gaussian: the final state is the start times a number."""
    mixture = entropic.Mixture([1], [0], 0.5)
    table = entropic.solver("ddim", [10.0, 1.0, 0.1])
    law = entropic.exact_law(mixture, table)
    factor = 1.0
    for a, b in ((10.0, 1.0), (1.0, 0.1)):
        factor *= b / a + (1 - b / a) * 0.25 / (0.25 + a**2)
    std = 10.0 * factor
    assert law.variance == pytest.approx(std**2, rel=1e-7)
    assert law.cdf(std) == pytest.approx(0.8413447460685429, rel=1e-9)
    assert law.density(0.0) == pytest.approx(1 / (std * (2 * np.pi) ** 0.5), rel=1e-9)


def test_the_exact_law_refuses_what_it_cannot_answer() -> None:
    with pytest.raises(ValueError, match="toy must have d = 1 for an exact law, got d = 2"):
        entropic.exact_law(entropic.toy("circle8"), entropic.solver("ddim", [1.0, 0.5]))
    table = entropic.solver("sde_dpmpp_2m", entropic.schedule("log_snr", 4))
    with pytest.raises(ValueError, match="although row"):
        entropic.exact_law(entropic.toy("gaussian"), table)
    with pytest.raises(ValueError, match="rtol must be at least 1e-13, got 0"):
        entropic.exact_law(entropic.toy("gaussian"), entropic.solver("ddim", [1.0, 0.5]), rtol=0)


def test_an_infinite_kl_says_why() -> None:
    """EVODiff tears the line, and leaves a range without mass."""
    found = entropic.kl(
        "gaussians15_overlap", entropic.solver("evodiff", entropic.schedule("log_snr", 8))
    )
    assert float(found) == np.inf
    assert repr(found).startswith("KL(value=inf, error=0e+00, reason='the sampler gives no mass")


def test_star_import_and_help_work_without_extras(tmp_path: Path) -> None:
    code = """\
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocked())
sys.modules["hypothesis"] = None
import entropic, inspect, pydoc
from entropic import *
assert kl is entropic.kl
assert len(inspect.getmembers(entropic)) > 20
assert "recommend" in pydoc.render_doc(entropic)
assert hasattr(entropic, "profile_of_network")
try:
    profile_of_network("a:b", "x.npy", "p.json")
except ValueError as error:
    print(error)
"""
    done = python(tmp_path, "-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("the extra networks must be installed for this (entropic[networ")


@pytest.mark.parametrize("args", [[], ["imagenet"]])
def test_a_group_alone_prints_its_help(args: list[str], tmp_path: Path) -> None:
    done = python(tmp_path, "-m", "entropic", *args)
    assert done.returncode == 2
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0].startswith("Usage: ")
    assert len(lines) > 8


def test_options_of_networks_are_checked() -> None:
    with pytest.raises(ValueError, match=r"option must be one of .* did you mean 'samples'"):
        entropic.profile_of_network("a:b", "x.npy", "p.json", sample=3)


def test_lists_of_names_are_what_the_functions_take() -> None:
    assert list(entropic.toys()) == list(importlib.import_module("toys.zoo").ZOO)
    schedules = importlib.import_module("benchmarks.optimum.registry").SCHEDULES
    assert list(entropic.schedules()) == list(schedules)
    solvers = entropic.solvers()
    assert "order 2" in solvers["heun"]
    assert all(len(text.split()) > 3 for text in solvers.values())
    for wrong, call in (
        ("huen", lambda: entropic.solver("huen", [1.0, 0.5])),
        ("rescale", lambda: entropic.schedule("rescale", 4)),
        ("two_point", lambda: entropic.toy("two_point")),
    ):
        with pytest.raises(ValueError, match=f"got '{wrong}'; did you mean"):
            call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: entropic.kl([1, 2], TABLE), "toy must be a Mixture, a name or a file, got list"),
        (lambda: entropic.kl("gaussian", [1, 0.5]), "table must be a SolverTable or a Reducing"),
        (lambda: entropic.kl("gaussian", TABLE, rtol=-1), "rtol must be at least 1e-13, got -1"),
        (lambda: entropic.kl("gaussian", TABLE, rtol=float("nan")), "rtol must be finite, got nan"),
        (lambda: entropic.exact_law("gaussian", 3), "table must be a SolverTable or a Reducing"),
        (lambda: entropic.sample("gaussiann", TABLE, 9, 0), "got 'gaussiann'; did you mean"),
        (lambda: entropic.sample("gaussian", [1.0], 9, 0), "table must be a SolverTable or a Red"),
        (lambda: entropic.schedule("edm", 4, profile="p.json"), "profile must be a Profile, got"),
        (lambda: entropic.profile("gaussian", sigma_min=0), "sigma_min must be positive, got 0"),
        (
            lambda: entropic.profile("gaussian", sigma_min=3.0, sigma_max=1.0),
            "sigma_min must be below sigma_max 1, got 3",
        ),
        (lambda: entropic.solver("heun", LEVELS, corect_last=True), "did you mean 'correct_last'"),
        (lambda: entropic.solver("ddim", LEVELS, bogus=None), "bogus must be left out for solver"),
        (lambda: entropic.order("ddim", "two_pointss"), "got 'two_pointss'; did you mean"),
        (lambda: entropic.order("ddim", 3), "toy must be a Mixture, a name or a file, got int"),
        (lambda: entropic.read_profile(3), "path must be the path of a file, got 3"),
        (lambda: entropic.sample("gaussian", TABLE, -2, 0), "n must be a whole number at least 1"),
        (lambda: entropic.sample("gaussian", TABLE, 2.5, 0), "n must be a whole number at least 1"),
        (
            lambda: entropic.sample("gaussian", TABLE, 2, 0, threads=0),
            "threads must be a whole number at least 1, got 0",
        ),
        (lambda: entropic.toy("gaussian").sample(-1, 0), "n must be a whole number at least 0"),
        (
            lambda: entropic.toy("gaussian").denoise([0.3, 0.4], [0.5, 1.0]),
            "sigma must be one number, got [0.5, 1.0]",
        ),
        (lambda: entropic.InfoNoise(1, weight=3), "weight must be a function of sigma, got 3"),
        (lambda: entropic.claims("A.2", jobs=0), "jobs must be a whole number at least 1, got 0"),
        (lambda: entropic.claims("A.99"), "only must be the id of a claim"),
        (lambda: entropic.claims("A.2", cases=0), "cases must be a whole number at least 1, got 0"),
        (lambda: entropic.claims("A.2", seed=2**32 - 1), "seed must be a whole number in"),
        (lambda: entropic.claims("C.3.11", "circle8"), "the mixture must fit one of the claims"),
        (lambda: replace(ITERATION, levels=[0.5, 1.0]), "levels must fall strictly, got 1 after"),
        (lambda: replace(ITERATION, levels=[]), "levels must be a list of at least 1"),
        (lambda: replace(ITERATION, order=-2), "order must be a whole number at least 1, got -2"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_name_serves_where_a_mixture_does() -> None:
    named, given = (entropic.kl(x, TABLE) for x in ("gaussian", entropic.toy("gaussian")))
    assert named == given
    np.testing.assert_array_equal(
        entropic.sample("gaussian", TABLE, 5, 1),
        entropic.sample(entropic.toy("gaussian"), TABLE, 5, 1),
    )
    assert entropic.solver("ddim", LEVELS, start_std=3.0).start_std == 3.0


def test_a_schedule_takes_the_range_of_its_profile() -> None:
    profile = entropic.profile(entropic.toy("gaussian"), sigma_min=0.1, sigma_max=10.0)
    sigmas = entropic.schedule("rescaled", 4, profile=profile)
    assert sigmas[[0, -1]].tolist() == [10.0, 0.1]
    assert entropic.schedule("edm", 4)[[0, -1]].tolist() == [80.0, 0.002]
    assert entropic.schedule("edm", 4, sigma_max=5.0)[0] == 5.0


def test_a_recommendation_is_a_schedule_file(tmp_path: Path) -> None:
    mixture = entropic.Mixture([1, 2], [-1, 1], [0.1, 0.2])
    found = entropic.recommend("rescaled", 4, toy=mixture, sigma_min=0.01)
    profile = entropic.profile(mixture, sigma_min=0.01)
    np.testing.assert_array_equal(found.sigmas, entropic.schedule("rescaled", 4, profile=profile))
    assert found.band is None
    assert found.source["toy"] == repr(mixture)
    found.write(tmp_path / "s.json")
    from theory.profiles.files import read_schedule

    np.testing.assert_array_equal(read_schedule(tmp_path / "s.json").sigmas, found.sigmas)


def single_rows(folder: Path) -> Path:
    """A loss log in which no level stands twice."""
    path = folder / "single.csv"
    path.write_text("sigma,loss\n" + "\n".join(f"{s},{s / (1 + s)}" for s in (0.1, 0.5, 1, 3, 9)))
    return path


def test_a_recommendation_from_losses_has_a_band(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sigma = np.repeat(np.geomspace(0.01, 50.0, 20), 30)
    loss = sigma**2 / (1 + sigma**2) * rng.gamma(20.0, 1 / 20.0, sigma.size)
    rows = "\n".join(f"{s},{v}" for s, v in zip(sigma, loss, strict=True))
    (tmp_path / "losses.csv").write_text("sigma,loss\n" + rows)
    found = entropic.recommend(
        "las", 5, losses=tmp_path / "losses.csv", prediction="x0", replicates=20
    )
    assert found.band is not None
    low, high = found.band
    single = entropic.recommend("las", 5, losses=single_rows(tmp_path), prediction="x0")
    assert single.source["band"]["reason"].startswith("losses must repeat some level")
    assert single.band is None
    assert low.shape == high.shape == found.sigmas.shape
    assert np.all(low <= high)


def test_the_ledger_and_the_orders_answer_from_python(tmp_path: Path) -> None:
    table = entropic.claims(["A.12", "A.2"], cases=1, store=tmp_path / "store", jobs=1)
    assert list(table["verdict"]) == ["holds", "holds_as_corrected"]
    assert table.attrs["left_out"] == []
    some = entropic.claims(["A.7", "A.2"], "gaussian", 1, store=tmp_path / "store", jobs=1)
    assert list(some["id"]) == ["A.2"]
    assert some.attrs["left_out"] == ["A.7"]
    row = entropic.order("ddim", entropic.Mixture([1], [0], 1.0))
    assert abs(row["order"] - 1.0) < 0.15


def test_the_variance_of_a_shifted_law_keeps_its_digits() -> None:
    """No difference of large numbers: the spread does not depend on where the data are."""
    sigmas = entropic.schedule("log_snr", 40)
    table = entropic.solver("stochastic_ddim", sigmas)
    for mean, std in ((1e6, 0.01), (1e3, 0.3), (0.0, 1.0)):
        law = entropic.exact_law(entropic.Mixture([1], [mean], std), table)
        want = float(table_variances(table, std)[-1])
        assert law.variance == pytest.approx(want, rel=1e-7), mean
    point = entropic.exact_law(entropic.Mixture([1], [0.5], 0), entropic.solver("ddim", [9, 1, 0]))
    assert point.variance == 0.0


@pytest.mark.parametrize("solver", ["ddim", "stochastic_ddim", "heun"])
def test_the_exact_law_of_points(solver: str) -> None:
    """A last step to 0 returns the denoised value, which lies between the points."""
    table = entropic.solver(solver, entropic.schedule("log_snr", 6, terminal="zero"))
    law = entropic.exact_law("two_points", table)
    np.testing.assert_allclose(law.cdf([-2.0, 0.0, 2.0]), [0.0, 0.5, 1.0], atol=1e-9)
    assert law.log_density([-2.0, 2.0]).tolist() == [-np.inf, -np.inf]
    assert law.variance == pytest.approx(1.0, abs=1e-6)


def test_the_exact_law_of_fifteen_points_is_what_paths_say() -> None:
    toy = entropic.toy("points15")
    sigmas = entropic.schedule("entropic", 16, profile=entropic.profile(toy), terminal="zero")
    table = entropic.solver("stochastic_ddim", sigmas)
    law = entropic.exact_law(toy, table)
    x = entropic.sample(toy, table, 100_000, seed=0)[:, 0]
    for place in (-1.0, 0.0, 0.5):
        share = float(np.mean(x <= place))
        assert abs(share - law.cdf(place)) < 4 * (share * (1 - share) / x.size) ** 0.5


def test_the_exact_law_refuses_a_tail_that_it_has_not_reached() -> None:
    mixture = entropic.Mixture([1], [0], 0.5)
    law = entropic.exact_law(mixture, entropic.solver("stochastic_ddim", LEVELS))
    with pytest.raises(ValueError, match=r"y must lie in .* where the exact law has been computed"):
        law.log_density(1e8)
    # Without noise the start is transported, however far: the density is Gaussian everywhere.
    table = entropic.solver("ddim", [10.0, 1.0])
    law = entropic.exact_law(mixture, table)
    std = float(table_variances(table, 0.5)[-1]) ** 0.5
    want = -0.5 * (30.0 / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    assert law.log_density(30.0) == pytest.approx(want, rel=1e-12)


def test_readings_agree_only_if_they_are_known_and_near() -> None:
    law = entropic.exact_law("gaussian", TABLE)
    for readings, want in (
        ([-3.0, -np.inf, -np.inf], -np.inf),
        ([np.nan, -1.0, -1.0], -1.0),
        ([np.inf, 2.0, 2.0], 2.0),
    ):
        values = [np.array([value]) for value in readings]
        assert law._settled(lambda i, v=values: v[min(i, 2)], logs=True)[0] == want
    with pytest.raises(ValueError, match="got values that still move by 1"):
        law._settled(lambda i: np.array([float(i)]), logs=False)


# What may stand in the way.


def plant(folder: Path, kind: str) -> str:
    """Something that hides a package of the suite; the name of the package."""
    if kind == "file":
        (folder / "toys.py").write_text("")
        return "toys"
    package = {"folder": "theory", "installed": "benchmarks"}[kind]
    (folder / package).mkdir()
    (folder / package / "__init__.py").write_text("")
    return package


@pytest.mark.parametrize("kind", ["file", "folder", "installed"])
def test_something_that_hides_a_package_is_named(kind: str, tmp_path: Path) -> None:
    work, other = tmp_path / "work", tmp_path / "other"
    work.mkdir()
    other.mkdir()
    package = plant(other if kind == "installed" else work, kind)
    path = f"{other}:{ROOT}"
    hides = f"hides the package {package} of entropic"
    done = python(work, "-c", "import entropic", path=path)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("ImportError: ")
    assert hides in done.stderr
    assert str(tmp_path) in done.stderr.strip().splitlines()[-1]
    done = python(work, "-m", "entropic", "toys", path=path)
    assert done.returncode == 2
    assert done.stderr.startswith("entropic: ")
    assert hides in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_script_named_entropic_ends_with_one_line(tmp_path: Path) -> None:
    """The console script: its name is what tells the door that it runs as a command."""
    plant(tmp_path, "folder")
    script = tmp_path / "entropic"
    code = "import sys; from entropic.commands.main import main; sys.exit(main())"
    script.write_text(code)
    done = python(tmp_path, str(script), "toys", path=f"{tmp_path}:{ROOT}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("room", ["theory", "figures"])
def test_a_folder_without_init_hides_nothing(room: str, tmp_path: Path) -> None:
    """A folder of one's own results, say; from the path, and from the editable installation."""
    (tmp_path / room).mkdir()
    (tmp_path / room / "notes.txt").write_text("")
    assert python(tmp_path, "-c", "import entropic").returncode == 0
    done = python(tmp_path, "-c", "import entropic", path="")
    assert done.returncode == 0, done.stderr


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "entropic", tmp_path / "entropic")
    code = "import sys; sys.path = [p for p in sys.path if 'packages' not in p]; import entropic"
    done = python(tmp_path, "-S", "-c", code, path=str(tmp_path))
    assert "the package toys of entropic is missing; install entropic again" in done.stderr


@pytest.mark.parametrize("form", [["-mentropic"], ["-m", "entropic.commands.main"]])
def test_every_form_of_the_command_ends_with_one_line(form: list[str], tmp_path: Path) -> None:
    plant(tmp_path, "file")
    done = python(tmp_path, *form, "toys")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_another_module_with_an_argument_of_that_name_is_no_command(tmp_path: Path) -> None:
    plant(tmp_path, "file")
    (tmp_path / "other.py").write_text("import entropic")
    done = python(tmp_path, "-m", "other", "entropic")
    assert done.returncode == 1
    assert "ImportError" in done.stderr


def test_a_package_already_loaded_from_elsewhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "figures.py").write_text("")
    code = "import sys; sys.path.insert(0, '.'); import figures; sys.path.pop(0); import entropic"
    done = python(tmp_path, "-c", code)
    assert done.returncode == 1
    assert "hides the package figures of entropic" in done.stderr


def test_version_is_the_installed_one(capsys: Any) -> None:
    from importlib.metadata import version

    assert entropic.__version__ == version("entropic")
