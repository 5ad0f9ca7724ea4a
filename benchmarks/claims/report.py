"""The ledger as text: terminal table, Markdown, CSV, JSON, and a page of the documentation.

`python -m benchmarks.claims.report docs/claims.md` writes that page from the committed full run.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.claims.ledger import VERDICTS
from benchmarks.claims.run import run_claims
from benchmarks.engine.results import rows_new
from benchmarks.engine.store import Store, write_csv
from benchmarks.studies.claims_ledger import FULL_RUN, read_full_run
from theory.writing import write_text

FULL_CASES = 500
PAPERS = {
    "A": "Entropic time",
    "B": "Dimension-free bounds, loss-adaptive schedules",
    "C": "Entropy-reducing iterations",
    "D": "InfoNoise",
    "O": "Optimal and called levels, ours",
}
INTRODUCTION = """\
Every numbered statement of the four papers is executed by `entropic claims`. Identities must agree
to nine digits on random mixtures, in integrated or analytically differentiated form. Inequalities,
optima and orders of convergence must hold on all of them. Statements about toys are counted over
exact settings, and "in general" is read as "in most". The value is the amount by which a statement
is off, and the tolerance the amount by which it may be off; their meaning for each kind of
statement is explained in `benchmarks/claims/ledger.py`. A row with the verdict `needs_data` carries
the printed number, and the file `claims.md` that the command writes names the command that decides
it once the published files are available. Where the text at hand has lost a display, the statement
is our reconstruction, and constants marked "ours" are ours. The statements `O` are our own, on
optimal levels and on called levels.

This page is written from the committed full run (`entropic claims --cases 500`). Numbers of
paper A's equations and tables are those of its first version.
"""
JSON_KEYS = (
    "id", "paper", "number", "kind", "statement", "verdict", "value", "tolerance", "evidence",
)  # fmt: skip


def to_json(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What `entropic claims --json` prints."""
    return {"claims": [{key: row[key] for key in (*JSON_KEYS, *row)} for row in rows]}


def to_table(rows: Sequence[dict[str, Any]], command: str) -> pd.DataFrame:
    """The rows as they are saved, with the command that made them."""
    return pd.DataFrame(rows).assign(command=command)


def text(rows: Sequence[dict[str, Any]]) -> str:
    """The table for the terminal: one line per claim, the verified counterexamples, the counts."""
    wide = max(len(row["id"]) for row in rows)
    lines = [
        f"{row['id']:{wide}s}  {row['verdict']:18s} {row['value']:>10.2g} / "
        f"{row['tolerance']:<8.2g} {row['statement']}"
        for row in rows
    ]
    repeated = [f"{r['id']}: {r['evidence']}" for r in rows if "counterexample" in r["evidence"]]
    return "\n".join([*lines, *([""] if repeated else []), *repeated, "", counts(rows)])


def counts(rows: Sequence[dict[str, Any]]) -> str:
    """The number of claims with each verdict, in one line."""
    found = [f"{sum(r['verdict'] == v for r in rows)} {v}" for v in VERDICTS]
    noun = "claim" if len(rows) == 1 else "claims"
    return f"{len(rows)} {noun}: {', '.join(found)}"


def markdown(rows: Sequence[dict[str, Any]]) -> str:
    """Counts, the claims that do not hold as printed, and the rest of each paper, collapsed."""
    refuted = [row for row in rows if row["verdict"] in ("fails", "holds_as_corrected")]
    parts = [counts(rows) + ".", "", "| paper | claims | " + " | ".join(VERDICTS) + " |"]
    parts.append("|---" * (2 + len(VERDICTS)) + "|")
    for paper, title in PAPERS.items():
        own = [row for row in rows if row["paper"] == paper]
        found = [str(sum(row["verdict"] == verdict for row in own)) for verdict in VERDICTS]
        if own:
            parts.append(f"| {paper}: {title} | {len(own)} | {' | '.join(found)} |")
    if refuted:
        parts += ["", "Not as printed:", "", *_lines(refuted)]
    for paper, title in PAPERS.items():
        own = [row for row in rows if row["paper"] == paper and row not in refuted]
        if own:
            name = title if paper == "O" else f"Paper {paper}, {title}"
            fold = f"<details><summary>{name}: the other {len(own)}</summary>"
            parts += ["", fold, "", *_lines(own), "", "</details>"]
    return "\n".join([*parts, ""])


def _lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    head = [
        "| claim | paper's number | statement | verdict | value | tolerance |",
        "|" + "---|" * 6,
    ]
    return head + [
        f"| `{row['id']}` | {row['number']} | {_cell(row)} | {row['verdict']} | "
        f"{row['value']:.2g} | {row['tolerance']:.2g} |"
        for row in rows
    ]


def _cell(row: dict[str, Any]) -> str:
    """The statement, with its correction or the evidence against it."""
    said = str(row["statement"])
    if row["verdict"] == "holds_as_corrected":
        said += f" *Corrected: {row['correction']}.*"
    if row["verdict"] == "fails":
        said += f" *Found: {row['evidence']}.*"
    return said.replace("|", "\\|")


def compute_full_run(store: Store, jobs: int | None) -> None:
    """Run all claims on FULL_CASES random cases each, resumably, and save the rows."""
    rows, _ = run_claims((), store, FULL_CASES, jobs=jobs)
    write_csv(to_table(rows, f"entropic claims --cases {FULL_CASES}"), rows_new(FULL_RUN))


def write(
    rows: Sequence[dict[str, Any]], folder: Path, command: str, name: str = "claims"
) -> list[Path]:
    """Write NAME.csv and NAME.md, and return their paths."""
    csv, page = folder / f"{name}.csv", folder / f"{name}.md"
    write_csv(to_table(rows, command), csv)
    lines = [f"# Claims\n\n`{command}`\n", markdown(rows), "## Evidence\n"]
    lines += [
        f"* `{row['id']}`: {row['formula']}. {row['cases']} cases, worst on {row['case']}: "
        f"{row['evidence']}. Tolerance: {row['made_of']}."
        for row in rows
    ]
    write_text(page, "\n".join(lines) + "\n")
    return [csv, page]


def page() -> str:
    """The page of the documentation, from the committed full run."""
    return f"# The claims\n\n{INTRODUCTION}\n{markdown(read_full_run())}"


if __name__ == "__main__":
    write_text(sys.argv[1], page())
