"""Rows that a user computes again, and those of the package."""

from pathlib import Path

import pandas as pd
import pytest

from benchmarks.engine.results import RESULTS, results_file, results_under, rows_new, rows_now
from benchmarks.engine.store import Store
from benchmarks.studies import phase_diagram

COMMITTED = results_file("phase_diagram")


def test_rows_of_ones_own_win_in_their_folder_and_nowhere_else(tmp_path: Path) -> None:
    with results_under(tmp_path / "results"):
        assert rows_now(COMMITTED) == COMMITTED  # nothing of one's own yet
        own = rows_new(COMMITTED)
        assert own == tmp_path / "results" / "phase_diagram.csv"
        own.write_text("a\n1\n")
        assert rows_now(COMMITTED) == own
    assert rows_now(COMMITTED) == rows_new(COMMITTED) == COMMITTED
    assert COMMITTED.parent == RESULTS


def test_a_study_run_again_leaves_the_package_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = COMMITTED.read_bytes()
    monkeypatch.setattr(phase_diagram, "STUDY", phase_diagram.QUICK)
    with results_under(tmp_path):
        phase_diagram.compute_study(Store(tmp_path / "store"), 1)
        rows = phase_diagram.phase_diagram("default", Store(tmp_path / "store"), 1)
    assert COMMITTED.read_bytes() == before
    assert len(rows) == len(pd.read_csv(tmp_path / "phase_diagram.csv"))
    assert len(rows) < len(pd.read_csv(COMMITTED))
