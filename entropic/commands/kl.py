"""`entropic kl`: KL(data || sampler) of one solver, or of all solvers at equal calls."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from entropic.commands.options import (
    Name,
    ScheduleCommand,
    as_json,
    ends,
    given_options,
    solver_option,
    start_option,
    terminal_option,
    toy_option,
)

if TYPE_CHECKING:
    from benchmarks.engine.setting import Setting

EXACT = ("kl_data_model", "kl_start", "kl_discretisation", "tv", "w1")
SAMPLED = ("kl_data_model", "kl_start", "w1", "ks")


@click.command(
    "kl",
    cls=ScheduleCommand,
    example="entropic kl --toy gaussians15_overlap --schedule rescaled --steps 8",
    schedules=True,
    solvers=True,
)
@toy_option(required=True)
@click.option(
    "--schedule",
    type=Name("schedule", files=True),
    required=True,
    help="Name of a schedule, such as edm or edm:rho=5, module:function of your own, or a file "
    "of levels.",
)
@click.option(
    "--solver",
    type=Name("solver", ("all",)),
    default="stochastic_ddim",
    show_default=True,
    help="Name of a solver, such as ddim or stochastic_ddim:eta=0.5, module:function of your own, "
    "or all for every solver at the same number of denoiser calls.",
)
@click.option("--steps", type=int, help="Number of steps. Not allowed with a file of levels.")
@click.option(
    "--paths",
    type=int,
    help="Number of Monte Carlo paths per repeat, by paper A's protocol. Default: the exact law, "
    "for one-dimensional data.",
)
@click.option("--repeats", type=int, help="Number of Monte Carlo repeats. Default: 1.")
@click.option("--seed", type=int, help="Seed of the paths, in [0, 2^32). Default: 0.")
@ends
@terminal_option
@start_option
@click.option(
    "--eta",
    type=float,
    help="Share of the ancestral noise of stochastic_ddim, in [0, 1]. Default: 1.",
)
@solver_option
@as_json
def command(toy: str, solver: str, json_: bool, **options: Any) -> None:
    """Compute KL(data || sampler) in nats, split into initial law and discretisation.

    The data are those at the sampler's last level, x0 + sigma_min eps; x0 with --terminal zero.
    """
    from toys.progress import progress

    settings, left_out = settings_of(toy, solver, **options)
    shown = progress(settings, "solvers") if len(settings) > 1 else settings
    parts = [setting.run() for setting in shown]
    parts = [[row | {"toy": toy} for row in part] for part in [*parts, *left_out]]
    if solver != "all":
        refuse_failure(parts[0][0])
    if json_:
        from benchmarks.engine.rows import rows_as_json

        rows = [row for part in parts for row in part]
        click.echo(json.dumps(rows_as_json(rows), allow_nan=False))
    else:
        click.echo(kl_text(parts) if solver == "all" else one_text(parts[0]))


def settings_of(
    toy: str,
    solver: str,
    schedule: str,
    steps: int | None,
    paths: int | None,
    repeats: int | None,
    seed: int | None,
    terminal: str | None,
    eta: float | None,
    option: tuple[str, ...],
    **more: Any,
) -> tuple[list[Setting], list[list[dict[str, Any]]]]:
    """The settings that the options describe: one, or one per solver for all.

    The second part are rows of the solvers whose single step takes too many calls.
    """
    from dataclasses import replace

    from benchmarks.engine.compare import grid, is_file, levels_of
    from benchmarks.engine.setting import metrics_of, tidy
    from entropic.commands.options import solver_registry
    from theory.checks import check_seed, whole
    from theory.names import joined
    from toys.files import load_toy

    given = given_options(more)
    file = is_file(schedule)
    if paths is not None:
        whole("paths", paths, 1)
    if paths is None and (repeats is not None or seed is not None):
        name = "repeats" if repeats is not None else "seed"
        raise ValueError(f"{name} must come with paths, got it alone")
    if file:
        held = {"steps": steps, "terminal": terminal, **given}
        held |= {key: more[key] for key in ("sigma_min", "sigma_max")}
        for name, value in held.items():
            if value is not None:
                said = name.rstrip("_")
                raise ValueError(f"{said} must not stand with a file of levels, got {value}")
    elif steps is None:
        raise ValueError("steps must be given with a schedule's name, got none")
    item = levels_of(schedule)
    if given:
        from entropic.commands.options import schedule_registry

        held = schedule_registry().checked(item.name, given)
        item = replace(item, options=tidy(joined(dict(item.options), held)))
    every = solver == "all"
    count = max(len(item.sigmas or ()) - 1, 1) if steps is None else steps
    calls: dict[str, Any] = {"nfe": count} if every else {"steps": None if file else count}
    own = _solver_options(solver, option, eta)
    solvers = [_taken(name, own) for name in solver_registry().functions] if every else solver
    found = grid(toy, item, solvers, terminal=terminal, **calls, **more)
    whole("repeats", 1 if repeats is None else repeats, 1)
    check_seed(seed or 0)
    line = not found.settings or load_toy(found.settings[0].toy).dim == 1
    metrics = metrics_of(EXACT if paths is None else SAMPLED if line else SAMPLED[:2])
    out = []
    for setting in found.settings:
        options = tidy(joined(dict(setting.solver_options), {} if every else own))
        new = replace(
            setting,
            solver_options=options,
            metrics=metrics,
            paths=paths or 0,
            repeats=1 if repeats is None else repeats,
            seed=seed or 0,
        )
        out.append(new)
    return out, [[row] for row in found.left_out]


def _solver_options(solver: str, texts: tuple[str, ...], eta: float | None) -> dict[str, Any]:
    """Options of the solver; with all, options that some solver has."""
    from entropic.commands.options import solver_registry
    from theory.checks import one_of
    from theory.names import parse_options

    choices = parse_options(texts)
    if eta is not None:
        if "eta" in choices:
            raise ValueError(f"eta must be given once, got {eta} and {choices['eta']}")
        choices["eta"] = eta
    registry = solver_registry()
    if solver != "all":
        name, _ = registry.parse(solver)
        return registry.checked(name, choices)
    known = {key for name in registry.functions for key in registry.options(name)}
    for key in choices:
        one_of("option", key, sorted(known))
    return dict(choices)


def _taken(solver: str, options: dict[str, Any]) -> str:
    """A solver with those of the options that it has, as text."""
    from entropic.commands.options import solver_registry
    from theory.names import show_options

    known = solver_registry().options(solver)
    taken = show_options({key: value for key, value in options.items() if key in known})
    return f"{solver}:{taken.replace(' ', ',')}" if taken else solver


def refuse_failure(row: dict[str, Any]) -> None:
    """Raise ValueError if a value could not be computed; an infinite one has an error of 0."""
    if row["value"] is None and row["error"] is None and not row["paths"]:
        raise ValueError(row["reason"])


def one_text(part: list[dict[str, Any]]) -> str:
    """The rows of one setting as text."""
    of = {row["metric"]: row for row in part}
    kl = of["kl_data_model"]
    lines = [
        f"{kl['toy']}, {kl['process']}, {kl['schedule']}, {kl['n_steps']} steps, "
        f"terminal {kl['terminal']}, start {kl['start']}",
        f"{kl['solver']:18s} NFE {kl['nfe']:4d}  KL(data || sampler) = {value_text(kl)}",
    ]
    names = {"kl_start": "start mismatch", "kl_discretisation": "discretisation"}
    shown = [
        f"{names.get(name, name.upper())} {_short(row)}{_spread(row)}"
        for name, row in of.items()
        if name != "kl_data_model" and (row["value"] is not None or row["error"] == 0)
    ]
    lines.append(f"{'':18s} " + ", ".join(shown))
    missing = [f"{name.upper()}: {row['reason']}" for name, row in of.items() if _failed(row)]
    lines += [f"{'':18s} {text}" for text in missing]
    if kl["gap"] is not None:
        lines.append(f"{'':18s} estimated bias {kl['gap']:.2g}, not in the error")
    elif kl["paths"] and kl["reason"] and kl["value"] is not None:
        lines.append(f"{'':18s} {kl['reason']}")
    return "\n".join(lines)


def _failed(row: dict[str, Any]) -> bool:
    return row["value"] is None and row["error"] is None and bool(row["reason"])


def value_text(row: dict[str, Any]) -> str:
    """The value of a row with its error and the kind of the error."""
    if row["value"] is None:
        return f"infinite ({row['reason']})"
    text = f"{row['value']:.10g} nats"
    if row["error"] is None:
        return text
    if row["error_kind"] == "exact":
        return f"{text} +- {row['error']:.1g} (error estimate)"
    repeats = f", {row['repeats']} repeats" if row["repeats"] > 1 else ""
    return f"{text} +- {row['error']:.2g} (standard error{repeats})"


def _spread(row: dict[str, Any]) -> str:
    """The standard error of a sampled value."""
    sampled = row["error_kind"] == "standard" and row["value"] is not None and row["error"]
    return f" +- {row['error']:.2g}" if sampled else ""


def _short(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return "infinite"
    digits = {"kl_discretisation": 10, "kl_start": 4}.get(row["metric"], 5)
    return f"{row['value']:.{digits}g}"


def kl_text(parts: list[list[dict[str, Any]]]) -> str:
    """All solvers at equal calls as a table, with the lowest KL first and failures last."""
    first = parts[0][0]
    calls = max(part[0]["nfe"] or 0 for part in parts)
    head = "solver           steps  NFE  KL(data||sampler)  +-       discretisation  TV       W1"
    title = (
        f"{first['toy']}, {first['process']}, {first['schedule']}, {calls} calls, "
        f"terminal {first['terminal']}, start {first['start']}"
    )
    lines = [title, head]

    def order(part: list[dict[str, Any]]) -> tuple[bool, float]:
        value = part[0]["value"]
        return value is None, 0.0 if value is None else value

    for part in sorted(parts, key=order):
        of = {row["metric"]: row for row in part}
        kl = part[0]
        error = "" if not kl["error"] else f"{kl['error']:.0e}"
        cells = [_cell(of.get(name), 11) for name in ("tv", "w1")]
        lines.append(
            f"{kl['solver']:16s} {kl['n_steps']:5d} {kl['nfe'] or 0:4d}{_cell(kl, 17)}  {error:8s}"
            f"{_cell(of.get('kl_discretisation'), 15)}{''.join(cells)}"
            + (f"  {kl['reason']}" if kl["value"] is None else "")
        )
    return "\n".join(lines)


def _cell(row: dict[str, Any] | None, width: int) -> str:
    value = None if row is None else row["value"]
    return f"{'-' if value is None else f'{value:.5g}':>{width}s}"
