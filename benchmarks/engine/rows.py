"""The one schema of results: fixed columns, the same for exact values and for Monte Carlo."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

COLUMNS = {
    "toy": "Name of the mixture, or the file that it was read from.",
    "process": 'Noise process, "edm" or "vp".',
    "schedule": "Name of the schedule, or the file of the levels.",
    "schedule_options": "Options of the schedule that were given, NAME=VALUE.",
    "solver": "Name of the solver.",
    "solver_options": "Options of the solver that were given, NAME=VALUE.",
    "n_steps": "Number of steps of the schedule.",
    "nfe": "Number of denoiser calls.",
    "terminal": '"stop" if the last level is sigma_min, "zero" if it is 0.',
    "start": 'Initial law: "noise" for that of the process, "data" for the true law at sigma_max.',
    "sigma_max": "Highest noise level, in data units.",
    "sigma_min": "Lowest positive noise level, in data units.",
    "smoothing": "Std of the Gaussian with which the sampler's law is blurred, in data units.",
    "metric": "What is measured; the direction of a divergence is in its name.",
    "value": "The value; null with a reason where there is no number, or where it is infinite.",
    "error": "Error of the value, of the kind that error_kind states.",
    "error_kind": '"exact" for the engine\'s own estimate, "standard" for a standard error.',
    "gap": "Estimate of a bias that the error does not contain; null where none is known.",
    "route": "How the value was computed.",
    "reason": "Why there is no value, or a warning about it.",
    "tolerance": "Relative tolerance that was asked for, or null.",
    "paths": "Number of Monte Carlo paths per repeat; 0 for exact values.",
    "repeats": "Number of Monte Carlo repeats; 0 for exact values.",
    "seed": "Seed of the paths; null for exact values.",
    "sd": "Standard deviation over repeats, or null.",
    "finite_mean": "Mean over the repeats whose value is finite, or null.",
    "infinite_repeats": "Number of repeats with an infinite value, or null.",
    "empty_bins": "Number of points whose bin the sampler leaves empty, or null.",
    "numpy": "Version of NumPy.",
    "scipy": "Version of SciPy.",
    "numba": "Version of Numba.",
}


def row_of(labels: dict[str, Any], measured: dict[str, Any]) -> dict[str, Any]:
    """A row with every column, in order; those that neither argument has are null."""
    both = labels | measured
    unknown = sorted(set(both) - set(COLUMNS))
    assert not unknown, unknown
    return {name: both.get(name) for name in COLUMNS}


def enveloped(schema: str, **fields: Any) -> dict[str, Any]:
    """An answer in JSON: the name of its schema, the version of the suite, and the fields.

    Args:
        schema: Name of the schema, without the prefix "entropic.".
        **fields: The fields.
    """
    return {"schema": f"entropic.{schema}", "version": version("entropic")} | fields


def rows_as_json(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rows as a JSON answer of the schema "entropic.rows"."""
    return enveloped("rows", rows=list(rows))


def figure_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row in the columns of the figures' tables: standard error and numerical error apart.

    A reason is kept only where there is no value.
    """
    exact, value = not row["paths"], row["value"]
    named = {name: row[name] for name in ("toy", "process", "schedule", "solver")}
    named["options"] = row["solver_options"]
    return named | {
        "n_steps": row["n_steps"],
        "nfe": row["nfe"],
        "terminal": row["terminal"],
        "start": row["start"],
        "sigma_max": row["sigma_max"],
        "sigma_min": row["sigma_min"],
        "metric": row["metric"],
        "method": row["route"],
        "paths": row["paths"],
        "seed": row["seed"],
        "value": value,
        "error": row["error"] if exact else None,
        "stderr": (None if value is None and row["error"] is None else 0.0)
        if exact
        else None
        if value is None
        else row["error"],
        "reason": row["reason"] if value is None else None,
        "numpy": row["numpy"],
        "scipy": row["scipy"],
        "numba": row["numba"],
    }


def as_rows(table: Any) -> list[dict[str, Any]]:
    """The rows of a table of `compare`, with None for missing values."""
    counts = ("n_steps", "nfe", "paths", "repeats", "seed", "infinite_repeats", "empty_bins")
    return [
        {k: None if v is None or v != v else int(v) if k in counts else v for k, v in row.items()}
        for row in table.to_dict("records")
    ]
