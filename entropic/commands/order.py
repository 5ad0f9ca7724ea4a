"""`entropic order`: fit of a solver's order of convergence."""

from collections.abc import Sequence
from typing import Any

import click

from entropic.commands.options import (
    Explained,
    Name,
    as_json,
    print_json,
    solver_option,
    toy_option,
)


@click.command("order", cls=Explained, example="entropic order --solver dpmpp_2m", solvers=True)
@click.option(
    "--solver",
    type=Name("solver"),
    required=True,
    help="Name of a solver, such as heun or stochastic_ddim:eta=0.5, or module:function of your "
    "own.",
)
@toy_option("Name of a toy, or mixture file. Default: gaussians5, or gaussian with noise.")
@click.option(
    "--sigma-max",
    type=float,
    default=80.0,
    show_default=True,
    help="Highest noise level, in data units.",
)
@click.option(
    "--sigma-min",
    type=float,
    default=0.002,
    show_default=True,
    help="Lowest noise level, in data units.",
)
@solver_option
@as_json
def command(json_: bool, **options: Any) -> None:
    """Fit a solver's order of convergence: strong without noise, weak with noise."""
    row = order_row(**options)
    if json_:
        print_json("order", row)
    else:
        click.echo(order_text(row))


def order_row(
    solver: str, toy: str | None, sigma_max: float, sigma_min: float, option: Sequence[str]
) -> dict[str, Any]:
    """The fit for the given options, as plain values."""
    from benchmarks.engine.toy_profiles import ends
    from benchmarks.measure.orders import order
    from entropic.commands.options import solver_registry
    from theory.names import parse_options
    from toys.files import toy_spec

    registry = solver_registry()
    name, own = registry.parse(solver)
    given = own | registry.checked(name, parse_options(option))
    spec = None if toy is None else toy_spec(toy)
    low, high = ends("edm", sigma_min, sigma_max)
    row = order(name, spec, high, low, given)
    return row | {"toy": toy or row["toy"]}


def order_text(row: dict[str, Any]) -> str:
    """The fit as text."""
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
