"""The Python door: its names, its lines, what it costs to import, and what may hide it."""

import ast
import importlib
import pydoc
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import entropic
from benchmarks.measure.divergences import Divergence
from toys import sampling
from toys.mixture import Mixture

ROOT = Path(__file__).parents[1]
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
    assert sorted(entropic.__all__) == sorted([*typed, "__version__"])
    assert dir(entropic) == sorted(entropic.__all__)


NAMES = [name for name in entropic.__all__ if name not in ("__version__", "profile_of_network")]


@pytest.mark.parametrize("name", NAMES)
def test_every_name_loads_and_its_help_is_readable(name: str) -> None:
    found = getattr(entropic, name)
    assert len((found.__doc__ or "").split()) > 8
    said = pydoc.render_doc(found, renderer=pydoc.plaintext)
    for noise in ("_NestedSequence", "_SupportsArray", "numpy._typing", "numpy.ndarray["):
        assert noise not in said
    if callable(found) and not isinstance(found, type):
        head = said.split("\n\n")[1]
        assert "Of the" not in head


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


def test_an_infinite_kl_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = Divergence(None, 0.0, "3 empty bins", 3)
    monkeypatch.setattr("benchmarks.measure.exact.exact_kl", lambda *_: empty)
    found = entropic.kl(entropic.toy("points15"), entropic.solver("ddim", [80.0, 0.0]))
    assert float(found) == np.inf
    assert repr(found) == "KL(value=inf, error=0e+00, reason='3 empty bins')"


def test_lists_of_names_are_what_the_functions_take() -> None:
    assert list(entropic.toys()) == list(importlib.import_module("toys.zoo").ZOO)
    schedules = importlib.import_module("theory.schedules.registry").SCHEDULES
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
    assert found.source["toy"] == "Mixture"
    found.write(tmp_path / "s.json")
    from theory.profiles.files import read_schedule

    np.testing.assert_array_equal(read_schedule(tmp_path / "s.json").sigmas, found.sigmas)


def test_a_recommendation_from_losses_has_a_band(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sigma = np.repeat(np.geomspace(0.01, 50.0, 20), 30)
    loss = sigma**2 / (1 + sigma**2) * rng.gamma(20.0, 1 / 20.0, sigma.size)
    rows = "\n".join(f"{s},{v}" for s, v in zip(sigma, loss, strict=True))
    (tmp_path / "losses.csv").write_text("sigma,loss\n" + rows)
    found = entropic.recommend(
        "las", 5, losses=tmp_path / "losses.csv", parametrisation="x0", replicates=20
    )
    assert found.band is not None
    low, high = found.band
    assert low.shape == high.shape == found.sigmas.shape
    assert np.all(low <= high)


def test_the_ledger_and_the_orders_answer_from_python(tmp_path: Path) -> None:
    table = entropic.claims(["A.12", "A.2"], cases=1, store=tmp_path / "store", jobs=1)
    assert list(table["verdict"]) == ["holds", "holds_as_corrected"]
    row = entropic.order("ddim", entropic.Mixture([1], [0], 1.0))
    assert abs(row["order"] - 1.0) < 0.15


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


def test_a_folder_without_init_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "theory").mkdir()
    assert python(tmp_path, "-c", "import entropic").returncode == 0


def test_a_package_already_loaded_from_elsewhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "figures.py").write_text("")
    code = "import sys; sys.path.insert(0, '.'); import figures; sys.path.pop(0); import entropic"
    done = python(tmp_path, "-c", code)
    assert done.returncode == 1
    assert "hides the package figures of entropic" in done.stderr


def test_version_is_the_installed_one(capsys: Any) -> None:
    from importlib.metadata import version

    assert entropic.__version__ == version("entropic")
