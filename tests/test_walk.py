"""What one command walks through: the functions of the suite that it enters, and how often."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from benchmarks.acceptance.report import ROOT
from benchmarks.acceptance.walk import walked
from benchmarks.engine.toy_profiles import toy_profile
from theory.solvers.ddim import stochastic_ddim_table
from toys.laws.passes import settle

# Functions by folder: what reads the command and makes the setting, and what computes.
MOST = {"entropic": 46, "benchmarks": 61, "theory": 63, "toys": 104}


@pytest.fixture(scope="module")
def walk() -> Counter[CodeType]:
    return walked()


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
