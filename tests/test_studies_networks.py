"""The scores of networks on optimal levels, as the documentation shows them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.studies.digits_schedules import (
    CALLS,
    OPTIMUM_ROWS,
    OPTIMUM_SCHEDULES,
    OPTIMUM_SEEDS,
    TARGETS,
    intervals,
    markdown,
)

PAGE = Path(__file__).parents[1] / "docs" / "optimum.md"
ROWS = pd.read_csv(OPTIMUM_ROWS)
SCORES = ROWS[ROWS["schedule"] != "real"]


def test_every_setting_has_three_seeds() -> None:
    for target in TARGETS:
        own = SCORES[SCORES["target"] == target]
        names = [name for name in OPTIMUM_SCHEDULES if target == "digits" or name != "spectral"]
        assert set(own["schedule"]) == set(names)
        assert set(own["calls"]) == set(CALLS)
        assert (
            own.groupby(["schedule", "solver", "calls"])["seed"].nunique() == len(OPTIMUM_SEEDS)
        ).all()
        assert len(own) == len(names) * 4 * len(CALLS) * len(OPTIMUM_SEEDS)
    assert (SCORES["nfe"] <= SCORES["calls"]).all()


def test_intervals_are_students() -> None:
    rows = pd.DataFrame({"score": [1.0, 2.0, 4.0], "target": "t", "schedule": "s", "calls": 4})
    found = intervals(rows.assign(solver="ddim"))
    half = 4.302652729911275 * np.std([1.0, 2.0, 4.0], ddof=1) / np.sqrt(3.0)
    assert found["half"].item() == pytest.approx(half)
    assert found["mean"].item() == pytest.approx(7.0 / 3.0)
    assert intervals(rows.assign(solver="ddim").head(2))["half"].isna().all()


@pytest.mark.parametrize("target", TARGETS)
def test_the_documentation_has_the_scores(target: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert "\n".join(markdown(ROWS, target)) in text


def test_what_the_documentation_says_of_networks() -> None:
    found = (
        intervals(SCORES).set_index(["target", "solver", "calls", "schedule"])["mean"].sort_index()
    )
    for solver in ("ddim", "stochastic_ddim"):
        own = found["digits", solver, 5]
        assert 2.0 < own["edm"] / own["optimal"] < 3.5
        assert own["rescaled"] < own["optimal"] < min(own["log_snr"], own["las"])
    for calls in CALLS:
        assert found["mixture", "heun", calls].idxmin() == "optimal"
        assert found["mixture", "ddim", calls].idxmin() == "rescaled"
    assert found["digits", "heun", 10]["optimal"] > 5.0 * found["digits", "heun", 10]["edm"]
    assert (found["digits", "stochastic_ddim"].xs("law", level="schedule").loc[[5, 10, 16]]
            > found["digits", "stochastic_ddim"].xs("edm", level="schedule").loc[[5, 10, 16]]
            ).all()  # fmt: skip
