"""Measured and published values side by side, one row per metric of a preset, kept in a folder."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.engine.store import write_csv
from benchmarks.imagenet.presets import PRINTED, Preset, presets
from theory.writing import alone_in, write_text

FILE = "table.csv"
COLUMNS = (
    *("name", "paper", "table", "dataset", "net", "solver", "schedule", "nfe", "metric"),
    *("published", "minimum", "mean", "runs", "reason", "images", "seeds", "calls", "terminal"),
    *("noise", "batch", "device", "network", "weights", "reference", "versions"),
)


def rows_of(
    preset: Preset,
    found: Sequence[Mapping[str, Any]],
    run: Mapping[str, Any],
    calls: int,
    network: str,
) -> list[dict[str, Any]]:
    """Rows of a preset.

    Args:
        preset: The preset, with its printed values.
        found: Scores of every range of seeds; see `score.scores`.
        run: Identity of the images' run; see `generate.Recipe.key`.
        calls: Network calls per image.
        network: File of the network.
    """
    rows = []
    for metric in (m for m in PRINTED if m in preset.published):
        values = [s["values"][metric] for s in found if s["values"][metric] is not None]
        rows.append(
            {
                **{n: getattr(preset, n) for n in ("name", "paper", "table", "dataset", "net")},
                **{n: getattr(preset, n) for n in ("solver", "schedule", "nfe")},
                "metric": PRINTED[metric],
                "published": preset.published[metric],
                "minimum": min(values) if values else None,
                "mean": math.fsum(values) / len(values) if values else None,
                "runs": len(values),
                "reason": None if values else found[0]["reasons"][metric],
                "images": min(s["images"] for s in found),
                "seeds": " ".join(f"{s['seeds'][0]}-{s['seeds'][1]}" for s in found),
                "calls": calls,
                "terminal": "zero",
                **{n: run[n] for n in ("noise", "batch", "device")},
                "network": network,
                "weights": run["weights"],
                "reference": found[0]["reference"],
                "versions": " ".join(f"{k} {v}" for k, v in found[0]["versions"].items()),
            }
        )
    return rows


def keep(rows: list[dict[str, Any]], folder: Path) -> pd.DataFrame:
    """Put rows into the folder's table.csv and table.md, replacing those of the same name."""
    with alone_in(folder):
        return _keep(rows, folder / FILE)


def _keep(rows: list[dict[str, Any]], path: Path) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    if path.exists():
        try:
            before = pd.read_csv(path)
        except (ValueError, OSError) as error:
            raise ValueError(f"{path}: the file must be a table, got {error}") from None
        if list(before.columns) != list(COLUMNS):
            raise ValueError(f"{path}: the file must be a table of ours, got other columns")
        others = before[~before["name"].isin({row["name"] for row in rows})]
        table = table if others.empty else pd.concat([others, table], ignore_index=True)
    order = {name: i for i, name in enumerate(presets())}
    table = table.sort_values("name", key=lambda n: n.map(order), kind="stable", ignore_index=True)
    write_csv(table, path)
    write_text(path.with_suffix(".md"), markdown(table))
    return table


def markdown(table: pd.DataFrame) -> str:
    """The table as Markdown, one line per metric."""
    out = io.StringIO()
    out.write("| row | metric | published | minimum | mean | runs | images | seeds | network |\n")
    out.write("|---|---|---|---|---|---|---|---|---|\n")
    for row in table.to_dict("records"):
        cells = [_shown(row[n]) for n in ("published", "minimum", "mean")]
        if pd.isna(row["minimum"]):
            cells[1] = f"none: {row['reason']}"
        texts = [row["name"], row["metric"], *cells, row["runs"], row["images"], row["seeds"]]
        texts.append(row["network"])
        out.write("| " + " | ".join(str(text) for text in texts) + " |\n")
    return out.getvalue()


def text(table: pd.DataFrame, name: str) -> str:
    """The rows of a preset as text for the terminal."""
    lines = [f"{'metric':10s} {'published':>10s} {'minimum':>10s} {'mean':>10s}  runs"]
    for row in table[table["name"] == name].to_dict("records"):
        cells = [_shown(row[n]) for n in ("published", "minimum", "mean")]
        line = f"{row['metric']:10s} {cells[0]:>10s} {cells[1]:>10s} {cells[2]:>10s}  {row['runs']}"
        lines.append(
            line if isinstance(row["reason"], float | None) else f"{line}  {row['reason']}"
        )
    return "\n".join(lines)


def _shown(value: Any) -> str:
    return "-" if pd.isna(value) else f"{value:.2f}"
