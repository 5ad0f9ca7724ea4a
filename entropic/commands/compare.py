"""`entropic compare`: schedules and solvers on one mixture, in every combination."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from entropic.commands.options import (
    Counts,
    Explained,
    Name,
    as_json,
    choice,
    ends,
    start_option,
    store_option,
    terminal_option,
    toy_option,
)

if TYPE_CHECKING:
    import pandas as pd

PICTURES = (".png", ".pdf", ".svg")  # endings of the name of a picture
METRICS = ("kl_data_model", "kl_discretisation", "kl_start", "tv", "w1")


@click.command(
    "compare",
    cls=Explained,
    example="entropic compare --toy gaussians15_overlap --schedule edm --schedule rescaled "
    "--solver ddim --solver dpmpp_2m --steps 4,8,16",
    schedules=True,
    solvers=True,
)
@toy_option(required=True)
@click.option(
    "--schedule",
    type=Name("schedule", files=True),
    multiple=True,
    help="Name of a schedule, such as edm or edm:rho=5, module:function of your own, or a file "
    "of levels. Repeat for several. Default: edm, log_snr and rescaled.",
)
@click.option(
    "--solver",
    type=Name("solver", ("all",)),
    multiple=True,
    help="Name of a solver, such as ddim or stochastic_ddim:eta=0.5, module:function of your own, "
    "or all. Repeat for several. Default: stochastic_ddim.",
)
@click.option("--steps", type=Counts(), help="Numbers of steps. Default: 4,8,16,32.")
@click.option(
    "--nfe",
    type=Counts(),
    help="Numbers of denoiser calls, in place of --steps: each solver takes the most steps that "
    "fit.",
)
@choice(
    "--metric",
    of=METRICS,
    multiple=True,
    help="What is measured. Repeat for several; the table shows the first. Default: kl_data_model.",
)
@ends
@terminal_option
@start_option
@click.option("--rtol", type=float, help="Relative tolerance of exact values. Default: 1e-8.")
@click.option(
    "--paths",
    type=int,
    help="Number of Monte Carlo paths per repeat, for samplers without an exact law.",
)
@click.option("--repeats", type=int, help="Number of Monte Carlo repeats. Default: 1.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed, in [0, 2^32).")
@store_option
@click.option(
    "--jobs", type=click.IntRange(1), help="Number of worker processes. Default: all cores."
)
@click.option("--csv", "csv_", help="CSV file to write, with one row per setting and metric.")
@click.option("--plot", help="Picture to write, .png, .pdf or .svg: the metric against the NFE.")
@as_json
def command(
    toy: str,
    schedule: tuple[str, ...],
    solver: tuple[str, ...],
    metric: tuple[str, ...],
    terminal: str | None,
    repeats: int | None,
    paths: int | None,
    csv_: str | None,
    plot: str | None,
    json_: bool,
    **options: Any,
) -> None:
    """Compare schedules and solvers on a mixture, best first, at equal numbers of calls.

    The data are those at the sampler's last level, x0 + sigma_min eps; x0 with --terminal zero.
    """
    from benchmarks.engine.compare import SCHEDULES_SHOWN, compare
    from theory.checks import one_of, whole

    if repeats is not None and paths is None:
        raise ValueError("repeats must come with paths, got it alone")
    if plot is not None:
        one_of("ending of plot", Path(plot).suffix.lower(), PICTURES)
    if plot is not None and plot == csv_:
        raise ValueError(f"plot must be another file than csv, got {plot} for both")
    table = compare(
        toy,
        schedule or SCHEDULES_SHOWN,
        solver or ("stochastic_ddim",),
        metrics=metric or METRICS[:1],
        terminal=terminal,
        paths=0 if paths is None else whole("paths", paths, 1),
        repeats=1 if repeats is None else repeats,
        **options,
    )
    if csv_ is not None:
        from benchmarks.engine.store import write_csv

        write_csv(table, csv_)
    if plot is not None:
        _save_plot(table, plot)
    if json_:
        from benchmarks.engine.rows import as_rows, rows_as_json

        click.echo(json.dumps(rows_as_json(as_rows(table)), allow_nan=False))
    else:
        click.echo(compare_text(table))


def _save_plot(table: pd.DataFrame, plot: str) -> None:
    """Draw the comparison and write the picture, of the kind that the name of the file has."""
    from entropic.commands.figures import figure_registry
    from theory.writing import write_bytes

    registry = figure_registry()
    from figures.comparison import draw_comparison

    with registry.plain_style():
        picture = draw_comparison(table)
    write_bytes(plot, registry.rendered(picture, plot.rpartition(".")[2].lower()))


def compare_text(table: pd.DataFrame) -> str:
    """The first metric as a table: one line per schedule and solver, one column per NFE.

    Lines are in the order of the value at the largest NFE that all have, or else at the largest NFE
    of each, best first. The best value of every column has a star.
    """
    metric = table["metric"].iloc[0]
    rows = table[table["metric"] == metric].copy()
    rows["who"] = [
        _who(s, so, v, vo)
        for s, so, v, vo in zip(
            rows["schedule"],
            rows["schedule_options"],
            rows["solver"],
            rows["solver_options"],
            strict=True,
        )
    ]
    out_of_reach = rows[rows["nfe"].isna()]
    rows = rows[rows["nfe"].notna()]
    if rows.empty:
        return "\n".join(f"{who}: {why}" for who, why in out_of_reach[["who", "reason"]].values)
    columns = sorted(int(n) for n in rows["nfe"].unique())
    lines = []
    for who, mine in rows.groupby("who", sort=False):
        cells = {int(row["nfe"]): row for row in mine.to_dict("records")}
        lines.append((str(who), cells))
    best = {n: _best(cells.get(n) for _, cells in lines) for n in columns}
    shared = [n for n in reversed(columns) if all(n in cells for _, cells in lines)]
    lines.sort(key=lambda line: [_rank(line[1][n]) for n in shared or [max(line[1])]])
    first = rows.iloc[0]
    names = {"kl_data_model": "KL(data || sampler), nats"}
    width = max(len(who) for who, _ in lines)
    out = [
        f"{first['toy']}, {first['process']}, terminal {' and '.join(rows['terminal'].unique())}, "
        f"start {first['start']}: {names.get(metric, metric)}",
        f"{'':{width}s}" + "".join(f"{f'NFE {n}':>14s}" for n in columns),
    ]
    for who, cells in lines:
        shown = "".join(f"{_cell(cells.get(n), best[n]):>14s}" for n in columns)
        out.append(f"{who:{width}s}{shown}")
    out += [f"{who}: {reason}" for who, reason in out_of_reach[["who", "reason"]].values]
    reasons = {row["reason"] for _, c in lines for row in c.values() if _missing(row)}
    out += [f"no value: {reason}" for reason in sorted(str(r) for r in reasons)]
    if (rows["error_kind"] == "standard").any():
        out.append("~ by Monte Carlo; the bias of a kernel estimate is not known")
    return "\n".join(out)


def _who(schedule: str, schedule_options: str, solver: str, solver_options: str) -> str:
    left = f"{schedule}:{schedule_options.replace(' ', ',')}" if schedule_options else schedule
    right = f"{solver}:{solver_options.replace(' ', ',')}" if solver_options else solver
    return f"{left}  {right}"


def _number(row: dict[str, Any] | None) -> float | None:
    if row is None or row["value"] is None or row["value"] != row["value"]:
        return None
    return float(row["value"])


def _missing(row: dict[str, Any]) -> bool:
    return _number(row) is None and row["error"] != 0


def _best(cells: Any) -> float | None:
    values = [v for v in (_number(cell) for cell in cells) if v is not None]
    return min(values) if values else None


def _rank(row: dict[str, Any] | None) -> tuple[int, float]:
    value = _number(row)
    return (1, 0.0) if value is None else (0, value)


def _cell(row: dict[str, Any] | None, best: float | None) -> str:
    if row is None:
        return ""
    value = _number(row)
    if value is None:
        return "infinite" if row["error"] == 0 else "-"
    sampled = "~" if row["error_kind"] == "standard" else ""
    return f"{sampled}{value:.4g}{'*' if value == best else ''}"
