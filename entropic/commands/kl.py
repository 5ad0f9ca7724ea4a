"""`entropic kl`: KL(data || sampler) of one solver, or of all solvers at equal calls."""

import json
from collections.abc import Callable
from typing import Any

import click

from entropic.commands.options import as_json, ends, las_options, solver_option

Levels = Callable[[int], tuple[float, ...]]


@click.command("kl")
@click.option("--toy", required=True, help="Name of a toy (see `entropic toys`), or mixture file.")
@click.option("--schedule", required=True, help="Name of a schedule, or schedule file.")
@click.option(
    "--solver",
    default="stochastic_ddim",
    show_default=True,
    help="Name of a solver, or all for every solver at the same number of denoiser calls.",
)
@click.option("--steps", type=int, help="Number of steps. Not allowed with a schedule file.")
@click.option(
    "--exact",
    is_flag=True,
    help="Use the exact law, for one-dimensional data. Default without --paths.",
)
@click.option(
    "--paths", type=int, help="Number of Monte Carlo paths per repeat, by paper A's protocol."
)
@click.option("--repeats", type=int, help="Number of Monte Carlo repeats. Default: 1.")
@click.option("--seed", type=int, help="Seed of the paths, in [0, 2^32). Default: 0.")
@ends
@click.option(
    "--terminal",
    help="stop to end at sigma-min, zero to make the last step to 0. Default: stop.",
)
@click.option(
    "--start",
    default="noise",
    show_default=True,
    help="Initial law: noise for that of the process, data for the true law at sigma-max.",
)
@click.option(
    "--eta",
    type=float,
    help="Share of the ancestral noise of stochastic_ddim, in [0, 1]. Default: 1.",
)
@solver_option
@click.option(
    "--c",
    type=float,
    help="Data scale of arctan, or pivot of infogrid, in data units. Default: from the data.",
)
@las_options
@as_json
def command(toy: str, solver: str, json_: bool, **options: Any) -> None:
    """Compute KL(data || sampler) in nats, split into initial law and discretisation."""
    from benchmarks.engine.kl import kl_row, rows_of_all

    task, levels = task_of(toy, solver, **options)
    rows = rows_of_all(task, levels) if solver == "all" else [kl_row(task)]
    rows = [{"target": toy} | row for row in rows]
    if json_:
        click.echo(json.dumps(rows if solver == "all" else rows[0], allow_nan=False))
    else:
        click.echo(kl_text(rows))


def task_of(toy: str, solver: str, schedule: str, **o: Any) -> tuple[Any, Levels]:
    """The task that the checked options describe, and its levels as a function of the steps."""
    from dataclasses import replace

    from benchmarks.engine.experiments import Divergences
    from benchmarks.measure.divergences import check_terminal
    from theory.checks import check_seed, one_of, whole
    from theory.noise.processes import named_process
    from theory.solvers.registry import SOLVERS
    from toys.files import load_toy, toy_spec

    spec, process = toy_spec(toy), named_process(o["process"])
    data = load_toy(spec)
    one_of("solver", solver, [*SOLVERS, "all"])
    one_of("start", o["start"], ("noise", "data"))
    _check_route(data.dim, o)
    method, terminal, steps, levels = _levels_of(schedule, spec, process.name, o)
    sigmas = levels(steps)
    check_terminal(data, sigmas[-1])
    choices = _solver_options(solver, o["option"], o["eta"])
    task = Divergences(
        spec,
        process.name,
        method,
        sigmas,
        "stochastic_ddim" if solver == "all" else solver,
        terminal,
        o["start"],
        () if solver == "all" else tuple(choices.items()),
        o["paths"] or 0,
        whole("repeats", 1 if o["repeats"] is None else o["repeats"], 1),
        0 if o["seed"] is None else o["seed"],
    )
    check_seed(task.seed)
    _ = task.table  # raises if the solver refuses an option
    return replace(task, options=tuple(choices.items())), levels


def _check_route(dim: int, o: dict[str, Any]) -> None:
    """Refuse options of the exact law with Monte Carlo, and vice versa."""
    from theory.checks import whole

    if o["exact"] and o["paths"] is not None:
        raise ValueError("--exact must not stand with --paths, got both; give one")
    if o["paths"] is not None:
        whole("paths", o["paths"], 1)
        return
    for name in ("repeats", "seed"):
        if o[name] is not None:
            raise ValueError(f"--{name} must come with --paths, got it alone")
    if dim > 1:
        raise ValueError(f"--exact must have a toy of d = 1, got d = {dim}; give --paths P")


def _levels_of(
    schedule: str, spec: str, process: str, o: dict[str, Any]
) -> tuple[str, str, int, Levels]:
    """Method, terminal, number of steps, and the levels as a function of the number of steps."""
    from theory.levels import resampled
    from theory.profiles.files import read_schedule
    from theory.reading import looks_like_path
    from theory.schedules.recommend import OPTIONS as LAS_OPTIONS
    from theory.schedules.registry import SCHEDULES

    if not looks_like_path(schedule) or schedule in SCHEDULES:
        return _named_levels(schedule, spec, process, o)
    for name in ("steps", "terminal", "sigma_min", "sigma_max", "c", *LAS_OPTIONS):
        if o[name] is not None:
            option = "--" + name.rstrip("_").replace("_", "-")
            raise ValueError(f"{option} must not stand with a schedule file, got {o[name]}")
    read = read_schedule(schedule)

    def levels(n: int) -> tuple[float, ...]:
        return tuple(resampled(read.sigmas, n).tolist())

    return read.method, read.terminal, read.sigmas.size - 1, levels


def _named_levels(
    name: str, spec: str, process: str, o: dict[str, Any]
) -> tuple[str, str, int, Levels]:
    """`_levels_of` for the name of a schedule."""
    from benchmarks.engine.toy_profiles import ends, toy_profile
    from theory.checks import one_of, whole
    from theory.levels import MOST_STEPS
    from theory.schedules.recommend import aim
    from theory.schedules.registry import SCHEDULES, needs_profile, refuse_c, schedule

    method, terminal = one_of("schedule", name, SCHEDULES), o["terminal"] or "stop"
    if o["steps"] is None:
        raise ValueError("--steps must be given with a schedule's name, got none")
    whole("steps", o["steps"], 1, MOST_STEPS)
    refuse_c(method, o["c"])
    goal = aim(method, o)
    low, high = ends(process, o["sigma_min"], o["sigma_max"])
    # All arguments are checked before the profile is computed, which takes long.
    schedule("log_snr", o["steps"], process, None, terminal, low, high)
    grid = toy_profile(spec, low, high) if needs_profile(method, o["c"]) else None

    def levels(n: int) -> tuple[float, ...]:
        moved = max(n - (terminal == "zero"), 1)
        objective = goal(grid, moved) if method == "las" and grid is not None else None
        found = schedule(method, n, process, grid, terminal, low, high, o["c"], objective)
        return tuple(found.tolist())

    return method, terminal, o["steps"], levels


def _solver_options(solver: str, texts: tuple[str, ...], eta: float | None) -> dict[str, Any]:
    """Checked options of the solver, or with "all" of any solver."""
    from theory.checks import one_of
    from theory.names import parse_options
    from theory.solvers.registry import SOLVERS, make_table, solver_options

    choices = parse_options(texts)
    if eta is not None:
        if "eta" in choices:
            raise ValueError(f"--eta must not stand with --option eta, got {eta}; give one")
        choices["eta"] = eta
    if solver == "all":
        takers = {key for name in SOLVERS for key in solver_options(name)}
        for key in choices:
            one_of("option", key, sorted(takers))
        for name in SOLVERS:
            taken: dict[str, Any] = {k: v for k, v in choices.items() if k in solver_options(name)}
            make_table(name, [2.0, 1.0], **taken)
    return dict(choices)


def kl_text(rows: list[dict[str, Any]]) -> str:
    """Rows of `kl` as text."""
    first = rows[0]
    title = (
        f"{first['target']}, {first['process']}, {first['schedule']}, "
        f"{first['n_steps']} steps, terminal {first['terminal']}, start {first['start']}"
    )
    if len(rows) > 1:
        return "\n".join([title.replace(" steps", " calls", 1), *_kl_lines(rows)])
    lines = [title]
    for row in rows:
        value = row["kl_data_model"]
        shown = f"infinite ({row['reason']})" if value is None else f"{value:.10g} nats"
        if row["paths"] and row["stderr"] is not None:
            shown += f" +- {row['stderr']:.2g} (standard error, {row['repeats']} repeats)"
        elif not row["paths"] and value is not None:
            shown += f" +- {row['error']:.1g} (error estimate)"
        lines.append(f"{row['solver']:18s} NFE {row['nfe']:4d}  KL(data || sampler) = {shown}")
        if not row["paths"]:
            split = row["kl_discretisation"]
            lines.append(
                f"{'':18s} start mismatch {row['kl_start']:.4g}, "
                f"discretisation {'infinite' if split is None else f'{split:.10g}'}, "
                + _distances_text(row)
            )
    return "\n".join(lines)


def _distances_text(row: dict[str, Any]) -> str:
    """TV and W1 of a row as text, or the reason why they are missing."""
    found = [f"{k.upper()} {row[k]:.5g}" for k in ("tv", "w1") if row.get(k) is not None]
    return ", ".join(found) or f"TV and W1 missing: {row['distances_reason']}"


def _kl_lines(rows: list[dict[str, Any]]) -> list[str]:
    """A table of solvers as text, with the lowest KL first and those without a KL last."""

    def cell(value: float | None, width: int = 11) -> str:
        return f"{'-' if value is None else f'{value:.5g}':>{width}s}"

    head = "solver           steps  NFE  KL(data||sampler)  +-       discretisation  TV       W1"
    lines = [head]
    for row in sorted(rows, key=lambda r: (r["kl_data_model"] is None, r["kl_data_model"] or 0.0)):
        spread = row.get("stderr") if row.get("paths") else row.get("error") or None
        lines.append(
            f"{row['solver']:16s} {row['n_steps']:5d} {row['nfe'] or 0:4d}"
            f"{cell(row['kl_data_model'], 17)}  {'' if spread is None else f'{spread:.0e}':8s}"
            f"{cell(row.get('kl_discretisation'), 15)}{cell(row.get('tv'))}{cell(row.get('w1'))}"
            + (f"  {row['reason']}" if row["kl_data_model"] is None else "")
        )
    return lines
