"""`entropic figures`: the figures of the suite, each with its data."""

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import click

from entropic.commands.options import (
    PROCESSES,
    Counts,
    Explained,
    Listed,
    Name,
    as_json,
    choice,
    print_json,
    store_option,
    toy_option,
)

FIGURES = (
    "entropic_time",
    "kl_vs_steps",
    "information_window",
    "low_noise_boundary",
    "solver_convergence",
    "re_vs_baselines",
    "entropy_reduction",
    "las_mixtures",
    "pathwise_vs_terminal",
    "schedules_compared",
    "phase_diagram",
    "bound_tightness",
    "claims_ledger",
    "infonoise_transfer",
    "infonoise_emergence",
    "learned_profile",
    "spectral_profile",
    "digits_schedules",
    "schedule_regret",
    "optimal_levels",
    "called_levels",
)
# For each figure, the module and function that --recompute calls with the store and --jobs.
STUDIES = {
    "re_vs_baselines": ("benchmarks.studies.re_vs_baselines", "compute_study"),
    "las_mixtures": ("benchmarks.studies.las_mixtures", "compute_mixture_study"),
    "phase_diagram": ("benchmarks.studies.phase_diagram", "compute_study"),
    "bound_tightness": ("benchmarks.studies.bound_tightness", "compute_study"),
    "claims_ledger": ("benchmarks.claims.report", "compute_full_run"),
    "schedule_regret": ("benchmarks.studies.schedule_regret", "compute_study"),
    "optimal_levels": ("benchmarks.studies.optimal_levels", "compute_study"),
    "called_levels": ("benchmarks.studies.called_levels", "compute_study"),
    **dict.fromkeys(
        ("infonoise_transfer", "infonoise_emergence"),
        ("benchmarks.training.transfer", "compute_study"),
    ),
    **dict.fromkeys(
        ("learned_profile", "spectral_profile", "digits_schedules"),
        ("benchmarks.training.schedules", "compute_study"),
    ),
}


def figure_titles() -> list[tuple[str, str]]:
    """Every figure with the first line of its module, read without an import."""
    folder = resources.files("figures")
    texts = [(folder / f"{name}.py").read_text(encoding="utf-8") for name in FIGURES]
    titles = [text.partition("\n")[0].strip('"').rstrip(".") for text in texts]
    return list(zip(FIGURES, titles, strict=True))


@click.command(
    "figures",
    cls=Explained,
    example="entropic figures kl_vs_steps schedules_compared --quick",
    names=(("Figures", figure_titles),),
)
@click.argument("names", nargs=-1, metavar="[NAME ...]", type=Listed("figure", lambda: FIGURES))
@click.option("--quick", is_flag=True, help="Draw small versions, for tests.")
@click.option(
    "--paper",
    is_flag=True,
    help="Use the full numbers of the papers, such as 10^2 repeats of 10^4 paths.",
)
@click.option(
    "--recompute",
    is_flag=True,
    help="Run the studies again whose rows are stored in the package. The new rows are written to "
    "OUT/results, and win over those of the package in that folder. They are: "
    + ", ".join(STUDIES)
    + ".",
)
@toy_option("Mixture in place of the figure's targets.")
@click.option("--steps", type=Counts(), help="Numbers of steps in place of the figure's.")
@choice("--process", of=PROCESSES, help="Noise process in place of the figure's.")
@click.option("--solver", type=Name("solver"), help="Solver in place of the figure's.")
@click.option(
    "--list",
    "list_",
    is_flag=True,
    help="List the figures, the time that each takes, and the options that it follows.",
)
@click.option(
    "--out", default="out", show_default=True, help="Folder for the PNG, PDF and CSV files."
)
@click.option(
    "--jobs", type=click.IntRange(1), help="Number of worker processes. Default: all cores."
)
@store_option
@as_json
def command(
    names: tuple[str, ...],
    quick: bool,
    paper: bool,
    recompute: bool,
    out: str,
    jobs: int | None,
    store: str | None,
    list_: bool,
    json_: bool,
    **own: Any,
) -> None:
    """Draw all figures, or those named, each with its data as CSV.

    With --toy, --steps, --process or --solver the files are called NAME-own.
    """
    if list_:
        if json_:
            print_json("figure_list", {"figures": figure_rows()})
        else:
            click.echo(list_text(figure_rows()))
        return
    from benchmarks.engine.results import results_under
    from benchmarks.engine.store import Store, default_store, make_folder
    from benchmarks.studies.registry import TABLES, checked_options, make_table
    from theory.checks import one_of
    from theory.writing import write_bytes

    registry = figure_registry()
    if quick and paper:
        raise ValueError("--quick must not stand with --paper, got both; give one")
    for name in names:
        one_of("NAME", name, TABLES)
        if recompute and name not in STUDIES:
            raise ValueError(f"--recompute must stand with {', '.join(STUDIES)}, got {name}")
    given = {key: value for key, value in own.items() if value is not None}
    if given and not names:
        raise ValueError(f"--{next(iter(given))} must stand with the name of a figure, got none")
    names = tuple(dict.fromkeys(names))
    for name in names:
        checked_options(name, own)
    budget = "quick" if quick else "paper" if paper else "default"
    folder = make_folder(Path(out))
    results = Store(default_store() if store is None else Path(store))
    made = []
    with results_under(folder / "results"):
        for name in (names or STUDIES) if recompute else ():
            _study(name)(results, jobs)
        for name in names or TABLES:
            stem = f"{name}-own" if given else name
            table = make_table(name, budget, results, jobs, folder, stem, **given)
            files = registry.save(registry.draw(name, table), folder, stem, write_bytes)
            made.append({"name": name, "files": [str(folder / f"{stem}.csv"), *map(str, files)]})
            if not json_:
                click.echo(f"{name}: {', '.join(made[-1]['files'])}")
    if json_:
        print_json("figures", {"budget": budget, "figures": made})


def figure_rows() -> list[dict[str, Any]]:
    """The figures: what each shows, the options that it follows, and the time that it takes."""
    from benchmarks.studies.registry import SECONDS, TABLES, description, options_of

    return [
        {
            "name": name,
            "description": description(name),
            "options": list(options_of(name)),
            "seconds": SECONDS[name][0],
            "recompute_seconds": SECONDS[name][1] if name in STUDIES else None,
        }
        for name in TABLES
    ]


def list_text(rows: list[dict[str, Any]]) -> str:
    """The list of figures as text."""
    lines = ["name                    time  --recompute  shows [follows]"]
    for row in rows:
        again = time_text(row["recompute_seconds"]) if row["name"] in STUDIES else ""
        follows = f" [{', '.join(row['options'])}]" if row["options"] else ""
        lines.append(
            f"{row['name']:22s}{time_text(row['seconds']):>6s}"
            f"{again:>13s}  {row['description']}{follows}"
        )
    lines.append(
        "Processor time on two cores from an empty store; stored results take none; ? not measured."
    )
    return "\n".join(lines)


def time_text(seconds: float | None) -> str:
    """A time to one or two digits."""
    if seconds is None:
        return "?"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.0f} h"


def figure_registry() -> Any:
    """The module that draws and saves the figures."""
    from figures.loading import load_matplotlib
    from theory.caches import keep_fonts

    keep_fonts()
    load_matplotlib()
    from figures import registry

    return registry


def _study(name: str) -> Callable[..., Any]:
    """The function that recomputes the stored results of a figure."""
    from theory.extras import network_part

    module, function = STUDIES[name]
    found: Callable[..., Any] = getattr(network_part(module), function)
    return found


def figure(
    name: str,
    budget: str = "default",
    store: str | Path | None = None,
    jobs: int | None = None,
    **options: Any,
) -> Any:
    """Draw one figure of the suite.

    Args:
        name: Name of the figure, such as "kl_vs_steps"; the error for an unknown name lists all.
        budget: "quick" for a small version, "default", or "paper" for the full numbers of the
            papers.
        store: Folder of finished results, which are not computed again. Default: that of the
            environment variable ENTROPIC_STORE, else `entropic` in the user's folder of caches.
        jobs: Number of worker processes. Default: all cores.
        **options: What the figure follows, such as toy and steps of kl_vs_steps;
            `entropic figures --list` shows them.

    Returns:
        The figure, a `matplotlib.figure.Figure`.

    Raises:
        ValueError: The name or the budget is unknown, or the folder cannot be written.
    """
    from benchmarks.engine.store import Store, default_store
    from benchmarks.studies.registry import TABLES, checked_options
    from theory.checks import one_of

    one_of("name", name, TABLES)
    given = checked_options(name, options)
    one_of("budget", budget, ("quick", "default", "paper"))
    results = Store(default_store() if store is None else Path(store))
    return figure_registry().draw(name, TABLES[name](budget, results, jobs, **given))
