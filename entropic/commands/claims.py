"""`entropic claims`: checks of the papers' statements."""

from importlib import resources
from pathlib import Path

import click

from entropic.commands.options import (
    Explained,
    Listed,
    as_json,
    print_json,
    store_option,
    toy_option,
)


def claim_ids() -> list[str]:
    """Ids of the claims, from the committed full run, which is read faster than the ledger."""
    import csv

    table = resources.files("benchmarks") / "results" / "claims.csv"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    return [row["id"] for row in csv.DictReader(lines)]


@click.command("claims", cls=Explained, example="entropic claims --only A.2 --cases 5")
@click.option(
    "--only",
    type=Listed("claim", claim_ids, metavar="ID"),
    multiple=True,
    help="Id of a claim, such as A.13, as docs/claims.md and claims.csv list them. Repeat for "
    "several; the files are then claims-only.md and claims-only.csv. Default: all claims.",
)
@toy_option("Name of a toy, or mixture file, that replaces the default data of the claims.")
@click.option(
    "--cases",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Number of random cases per claim.",
)
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the first random case."
)
@click.option(
    "--verify", is_flag=True, help="Also repeat the saved counterexamples, each by two methods."
)
@click.option(
    "--out", default="out", show_default=True, help="Folder for claims.md and claims.csv."
)
@click.option(
    "--jobs", type=click.IntRange(1), help="Number of worker processes. Default: all cores."
)
@store_option
@as_json
def command(
    only: tuple[str, ...],
    toy: str | None,
    cases: int,
    seed: int,
    verify: bool,
    out: str,
    jobs: int | None,
    store: str | None,
    json_: bool,
) -> None:
    """Check the papers' statements: whether each holds, and to how many digits."""
    from benchmarks.claims import report, run
    from benchmarks.engine.store import Store, default_store, make_folder
    from toys.files import toy_spec

    spec = None if toy is None else toy_spec(toy)
    folder = make_folder(Path(out))
    results = Store(default_store() if store is None else Path(store))
    rows, left_out = run.run_claims(only, results, cases, seed, spec, jobs, verify)
    said = [*(f"--only {name}" for name in only), f"--cases {cases}", f"--seed {seed}"]
    files = report.write(
        rows, folder, " ".join(["entropic claims", *said]), "claims-only" if only else "claims"
    )
    run.check_repeated(rows)
    if json_:
        print_json("claims", report.to_json(rows))
        return
    click.echo(report.text(rows))
    click.echo(", ".join(map(str, files)))
    if left_out:
        click.echo(f"left out, being about other data: {', '.join(left_out)}", err=True)
