"""What `entropic kl`, `toys` and `doctor` compute: options in, plain rows out."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks import metrics, orders
from benchmarks.experiments import Divergences, Option, equal_steps, load_toy, needs_profile
from benchmarks.experiments import schedule as named_schedule
from benchmarks.inputs import looks_like_path, toy_spec
from benchmarks.loss_adaptive import OPTIONS as LAS_OPTIONS
from benchmarks.loss_adaptive import aim
from benchmarks.scheduling import ends, refuse_c, toy_profile
from theory.checks import one_of, whole
from theory.files import (
    read_schedule,
)
from theory.levels import MOST_STEPS
from theory.noise import named_process
from theory.schedules import SCHEDULES
from theory.solvers import SOLVERS, make_table, solver_options
from toys import information, kernels, sampling, zoo
from toys.kernels import Array
from toys.mixture import Mixture, check_seed

START_SAMPLES = 2**16
TWO_POINT_MMSE = 0.4495995092066728  # at sigma = 1, a = 1; 40-digit quadrature


def kl(toy: str, schedule: str, solver: str, **options: Any) -> list[dict[str, Any]]:
    """Rows of `entropic kl`, one a solver; with "all", every solver at the same number of calls."""
    base, levels = _kl_task(toy, schedule, solver, **options)
    if solver != "all":
        return [{"target": toy, **_kl_row(base)}]
    calls = len(base.sigmas) - 1
    rows = []
    for name in tqdm(SOLVERS, desc="solvers", leave=False):
        kept = tuple((k, v) for k, v in base.options if k in solver_options(name))
        task = replace(base, solver=name, options=kept)
        steps = equal_steps(lambda n, task=task: replace(task, sigmas=levels(n)).table.nfe, calls)  # type: ignore[misc]
        if steps == 0:
            reason = f"a step takes more than {calls} denoiser calls"
            rows.append({"target": toy, **task.labels(), **_no_kl(reason), "nfe": None})
            continue
        task = replace(task, sigmas=levels(steps))
        try:
            rows.append({"target": toy, **_kl_row(task)})
        except ValueError as error:  # no exact law, or one that does not settle
            rows.append({"target": toy, **task.labels(), **_no_kl(str(error))})
    return rows


def _no_kl(reason: str) -> dict[str, Any]:
    return {"kl_data_model": None, "error": None, "reason": reason, "kl_discretisation": None}


def resampled(sigmas: Array, n_steps: int) -> Array:
    """The levels of a list at another number of steps, log sigma linear between its entries.

    The ends stay, and a last 0.
    """
    if n_steps == sigmas.size - 1:
        return sigmas
    zero = sigmas[-1] == 0.0
    positive = sigmas[:-1] if zero else sigmas
    place = np.linspace(0.0, positive.size - 1, n_steps + 1 - zero)
    out = np.exp(np.interp(place, np.arange(positive.size), np.log(positive)))
    out[0] = positive[0]
    if out.size > 1:
        out[-1] = positive[-1]
    return np.append(out, 0.0) if zero else out


def parse_options(texts: Sequence[str]) -> dict[str, Option]:
    """Solver options from NAME=VALUE texts: numbers, true or false, or words."""
    out: dict[str, Option] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise ValueError(f"option must be NAME=VALUE, got {text!r}")
        out[name] = {"true": True, "false": False}.get(value.lower(), value)
        if "_" not in value:  # Python's digit groups are words here
            for number in (float, int):
                with suppress(ValueError):
                    out[name] = number(value)
    return out


def _kl_task(
    toy: str, schedule: str, solver: str, **o: Any
) -> tuple[Divergences, Callable[[int], tuple[float, ...]]]:
    """The task that the options of `kl` describe, everything checked, and its levels by steps."""
    spec, process = toy_spec(toy), named_process(o["process"])
    data = load_toy(spec)
    one_of("solver", solver, [*SOLVERS, "all"])
    one_of("start", o["start"], ("noise", "data"))
    if o["exact"] and o["paths"] is not None:
        raise ValueError("--exact must not stand with --paths, got both; give one")
    if o["paths"] is None:
        for name in ("repeats", "seed"):
            if o[name] is not None:
                raise ValueError(f"--{name} must come with --paths, got it alone")
        if data.dim > 1:
            raise ValueError(
                f"--exact must have a toy of d = 1, got d = {data.dim}; give --paths P"
            )
    else:
        whole("paths", o["paths"], 1)
    if looks_like_path(schedule) and schedule not in SCHEDULES:
        for name in ("steps", "terminal", "sigma_min", "sigma_max", "c", *LAS_OPTIONS):
            if o[name] is not None:
                option = "--" + name.rstrip("_").replace("_", "-")
                raise ValueError(f"{option} must not stand with a schedule file, got {o[name]}")
        read = read_schedule(schedule)
        steps, method, terminal = read.sigmas.size - 1, read.method, read.terminal

        def levels(n: int) -> tuple[float, ...]:
            return tuple(resampled(read.sigmas, n).tolist())
    else:
        method, terminal = one_of("schedule", schedule, SCHEDULES), o["terminal"] or "stop"
        if o["steps"] is None:
            raise ValueError("--steps must be given with a schedule's name, got none")
        whole("steps", o["steps"], 1, MOST_STEPS)
        refuse_c(method, o["c"])
        goal = aim(method, o)
        low, high = ends(process.name, o["sigma_min"], o["sigma_max"])
        steps = o["steps"]
        # Everything but the profile is checked before the profile is computed.
        named_schedule("log_snr", steps, process.name, None, terminal, low, high)
        grid = toy_profile(spec, low, high) if needs_profile(method, o["c"]) else None

        def levels(n: int) -> tuple[float, ...]:
            moved = max(n - (terminal == "zero"), 1)
            objective = goal(grid, moved) if method == "las" and grid is not None else None
            found = named_schedule(
                method, n, process.name, grid, terminal, low, high, o["c"], objective
            )
            return tuple(found.tolist())

    sigmas = levels(steps)
    metrics.check_terminal(data, sigmas[-1])
    choices = parse_options(o["option"])
    if o["eta"] is not None:
        if "eta" in choices:
            raise ValueError(f"--eta must not stand with --option eta, got {o['eta']}; give one")
        choices["eta"] = o["eta"]
    if solver == "all":
        takers = {key for name in SOLVERS for key in solver_options(name)}
        for key in choices:
            one_of("option", key, sorted(takers))
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
    _ = task.table  # raises for options that the solver refuses
    if solver == "all":
        for name in SOLVERS:
            taken = {k: v for k, v in choices.items() if k in solver_options(name)}
            make_table(name, [2.0, 1.0], **taken)
    return replace(task, options=tuple(choices.items())), levels


def _kl_row(task: Divergences) -> dict[str, Any]:
    toy, row = load_toy(task.toy), task.run()
    process = named_process(task.process)
    sigma_max = task.sigmas[0]
    if task.start == "data":
        row["kl_start"] = 0.0
    elif toy.dim == 1:
        row["kl_start"] = metrics.start_kl(toy, sigma_max, process.start_std(sigma_max))
    else:
        row["kl_start"] = _sampled_start_kl(toy, sigma_max, process.start_std(sigma_max))
    if task.paths:
        row["kl_discretisation"] = None
        if not toy.is_points or task.sigmas[-1] > 0:  # else bins, not a kernel estimate
            row["kde_std"] = metrics.kde_std(toy, task.paths, task.sigmas[-1])
    else:
        from_data = row if task.start == "data" else replace(task, start="data").run()
        row["kl_discretisation"] = from_data["kl_data_model"]
        try:
            row |= metrics.exact_distances(toy, task.table, task.sigmas[-1], task.start)
        except ValueError as error:  # the KL stands without them
            row |= {"tv": None, "w1": None, "distances_reason": str(error)}
    row["sigmas"] = list(task.sigmas)
    return row


def _sampled_start_kl(toy: Mixture, sigma: float, start_std: float) -> float:
    """KL of the data at sigma from the start, by Monte Carlo over the data."""
    x = toy.sample(START_SAMPLES, 0, 0, sigma)
    log_q = -0.5 * np.sum((x / start_std) ** 2, axis=1) - toy.dim * (
        np.log(start_std) + 0.5 * np.log(2 * np.pi)
    )
    return float(np.mean(toy.log_density(x, sigma) - log_q))


def kl_text(rows: list[dict[str, Any]]) -> str:
    """Rows of `kl` for people."""
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
    """TV and W1 of a row, or why they are missing."""
    found = [f"{k.upper()} {row[k]:.5g}" for k in ("tv", "w1") if row.get(k) is not None]
    return ", ".join(found) or f"TV and W1 missing: {row['distances_reason']}"


def _kl_lines(rows: list[dict[str, Any]]) -> list[str]:
    """A table of solvers, the best KL first, those without one last."""

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


def order(
    solver: str, toy: str | None, sigma_max: float, sigma_min: float, option: Sequence[str]
) -> dict[str, Any]:
    """The row of `entropic order`."""
    one_of("solver", solver, SOLVERS)
    spec = None if toy is None else toy_spec(toy)
    low, high = ends("edm", sigma_min, sigma_max)
    row = orders.order(solver, spec, high, low, parse_options(option))
    return row | {"toy": toy or row["toy"]}


def order_text(row: dict[str, Any]) -> str:
    """The row of `order` for people."""
    options = "".join(f", {key} {value}" for key, value in row["options"].items())
    lines = [
        f"{row['solver']}{options}: {row['kind']} order {row['order']:.3f} "
        f"+- {row['stderr']:.3f}, declared {row['declared']}",
        f"  on {row['toy']}, log-SNR grid from {row['sigma_max']:g} to {row['sigma_min']:g}, at "
        + ", ".join(
            f"{n} steps {e:.3g}" for n, e in zip(row["n_steps"], row["errors"], strict=True)
        ),
    ]
    low = row["from_sigma_max_2"]
    if low is not None:
        shown = low.get("reason") or f"order {low['order']:.3f} +- {low['stderr']:.3f}"
        lines.append(f"  from sigma_max 2, where a first-order start-up row shows: {shown}")
    return "\n".join(lines)


def toys() -> list[dict[str, Any]]:
    """Rows of `entropic toys`."""
    rows = []
    for name, (description, _) in zoo.ZOO.items():
        toy = zoo.toy(name)
        rows.append(
            {
                "name": name,
                "description": description,
                "dim": toy.dim,
                "components": toy.size,
                "variance": toy.variance,
                "points": toy.is_points,
            }
        )
    return rows


def doctor() -> dict[str, Any]:
    """Rows of `entropic doctor`."""
    found = float(information.mmse(zoo.toy("two_points"), [1.0])[0])
    cache = list((Path(kernels.__file__).parent / "__pycache__").glob("kernels.*.nbc"))
    row: dict[str, Any] = {"python": sys.version.split()[0]}
    row |= {n: version(n) for n in ("entropic", "numpy", "scipy", "numba", "matplotlib", "pandas")}
    row["cores"] = sampling.available_threads()
    row["simd_bits"] = kernels.simd_bits()
    row["compile_cache"] = f"{len(cache)} compiled kernels on disk"
    row["two_points_mmse"] = found
    row["expected"] = TWO_POINT_MMSE
    row["verified"] = abs(found - TWO_POINT_MMSE) < 1e-14
    return row
