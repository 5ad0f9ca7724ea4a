"""What one command walks through: the functions of the suite that it enters, and how often."""

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.engine.toy_profiles import toy_profile
from entropic.commands.main import main
from theory.solvers.ddim import stochastic_ddim_table
from toys.laws.passes import settle

ROOT = Path(__file__).parents[1]
ROOMS = ("entropic", "toys", "theory", "benchmarks", "figures")
COMMAND = ("kl", "--toy", "gaussians15_overlap", "--schedule", "rescaled", "--steps", "8")
# Functions by folder: what reads the command and makes the setting, and what computes.
MOST = {"entropic": 45, "benchmarks": 53, "theory": 60, "toys": 102}


def run() -> None:
    done = CliRunner().invoke(main, COMMAND, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "KL(data || sampler) = 0.0958542972" in done.output


@pytest.fixture(scope="module")
def walk() -> Counter[CodeType]:
    """Calls by code object, once compilation and imports are done and with no cached answers."""
    run()
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ROOMS:
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
    homes = tuple(f"{ROOT / room}/" for room in ROOMS)
    calls: Counter[CodeType] = Counter()

    def seen(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(homes):
            calls[frame.f_code] += 1

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        run()
    finally:
        sys.setprofile(before)
    return calls


def entered(walk: Counter[CodeType], function: Callable[..., Any]) -> int:
    return walk[function.__code__]


def test_one_command_builds_one_table_one_profile_and_settles_once(
    walk: Counter[CodeType],
) -> None:
    assert entered(walk, stochastic_ddim_table) == 1
    assert entered(walk, toy_profile) == 1
    assert 1 <= entered(walk, settle) <= 2


def test_the_walk_of_one_command_does_not_grow(walk: Counter[CodeType]) -> None:
    """Functions, comprehensions, lambdas and properties by folder, each counted once."""
    found = Counter(Path(code.co_filename).relative_to(ROOT).parts[0] for code in walk)
    assert found["figures"] == 0
    assert {room: found[room] for room in MOST if found[room] > MOST[room]} == {}
