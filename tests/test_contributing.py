"""The examples of CONTRIBUTING.md: a new solver or schedule is one function and one line."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import oracles
import pytest
from click.testing import CliRunner
from strategies import random_mixture

from benchmarks.measure import orders
from entropic.commands.main import main
from theory.schedules import registry as schedules
from theory.solvers import registry
from toys import sampling

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


def run_text(heading: str) -> None:
    """Run the text between the fences below a heading, which adds its own line to a registry."""
    part = TEXT.partition(f"## {heading}\n")[2]
    code = re.search(r"```python\n(.*?)```", part, flags=re.DOTALL)
    assert code is not None
    exec(compile(code.group(1), "CONTRIBUTING.md", "exec"), {"__name__": "example"})


@pytest.fixture
def example() -> Iterator[None]:
    before = dict(registry.SOLVERS)
    run_text("A new solver")
    yield
    assert set(registry.SOLVERS) == {*before, "dpmpp_2s"}
    del registry.SOLVERS["dpmpp_2s"]


@pytest.fixture
def grid() -> Iterator[None]:
    before = dict(schedules.SCHEDULES)
    run_text("A new schedule")
    yield
    assert set(schedules.SCHEDULES) == {*before, "polyexponential"}
    del schedules.SCHEDULES["polyexponential"]


@pytest.mark.usefixtures("example")
def test_the_example_is_the_papers_step() -> None:
    """X' = (b / a) x + (1 - b / a) D_s, s = sqrt(a b), against a plain loop."""
    toy, sigmas = random_mixture(8, kind="density"), np.array([9.0, 3.0, 0.7, 0.1, 0.0])
    x = np.linspace(-20.0, 20.0, 11)[:, None]
    mixture = (toy.weights, toy.means, toy.stds)
    table = registry.make_table("dpmpp_2s", sigmas)
    found = sampling.walk_states(toy, table, x, 0)
    for a, b in itertools.pairwise(sigmas):
        denoised = oracles.denoise(x, a, *mixture)
        if b > 0:
            s = np.sqrt(a * b)
            denoised = oracles.denoise(s / a * x + (1 - s / a) * denoised, s, *mixture)
        x = b / a * x + (1 - b / a) * denoised
    np.testing.assert_allclose(found, x, rtol=1e-12, atol=1e-12)
    assert table.nfe == 7


@pytest.mark.usefixtures("example")
def test_everything_knows_the_example() -> None:
    row = orders.order("dpmpp_2s")
    assert abs(row["order"] - row["declared"]) < 0.15
    args = ["kl", "--toy", "gaussians5", "--schedule", "log_snr", "--steps", "4"]
    result = CliRunner().invoke(main, [*args, "--solver", "all"], catch_exceptions=False)
    assert result.exit_code == 0
    assert "dpmpp_2s" in result.stdout


@pytest.mark.usefixtures("grid")
def test_the_new_schedule_is_the_published_grid() -> None:
    """exp(ramp^rho (log max - log min) + log min) with a ramp from 1 to 0, and its options."""
    ramp = np.linspace(1.0, 0.0, 9)
    for rho in (1.0, 2.0):
        want = np.exp(ramp**rho * np.log(80.0 / 0.002) + np.log(0.002))
        found = schedules.schedule("Polyexponential", 8, rho=rho)
        np.testing.assert_allclose(found, want, rtol=1e-12)
    assert schedules.REGISTRY.options("polyexponential") == {"rho": 1.0}
    assert schedules.REGISTRY.needs("polyexponential") == ()
    with pytest.raises(ValueError, match="which takes rho, got 3"):
        schedules.schedule("polyexponential", 8, c=3)


@pytest.mark.usefixtures("grid")
def test_everything_knows_the_new_schedule() -> None:
    args = ["kl", "--toy", "gaussians5", "--schedule", "polyexponential:rho=2", "--steps", "4"]
    result = CliRunner().invoke(main, args, catch_exceptions=False)
    assert result.exit_code == 0
    assert "polyexponential" in result.stdout
    shown = CliRunner().invoke(main, ["schedule", "--help"], catch_exceptions=False).stdout
    assert "polyexponential" in shown
    assert "polyexponential: Exponent, positive" in " ".join(shown.split())
    assert schedules.schedules()["polyexponential"].startswith("Levels uniform in (log sigma)")
