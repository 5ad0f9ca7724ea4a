"""The example of CONTRIBUTING.md: a new solver is one function and one line."""

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
from theory.solvers import registry
from toys import sampling

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")


@pytest.fixture
def example() -> Iterator[None]:
    """The text between the fences, which adds its own line to the registry."""
    before = dict(registry.SOLVERS)
    code = re.search(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    assert code is not None
    exec(compile(code.group(1), "CONTRIBUTING.md", "exec"), {"__name__": "example"})
    yield
    assert set(registry.SOLVERS) == {*before, "dpmpp_2s"}
    del registry.SOLVERS["dpmpp_2s"]


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
