"""`entropic schedule`: noise levels for a sampler."""

import json
from typing import Any

import click

from entropic.commands.options import (
    OUT,
    Explained,
    Name,
    Toy,
    as_json,
    choice,
    ends,
    given_options,
    losses_options,
    schedule_options,
    terminal_option,
)


@click.command(
    "schedule",
    cls=Explained,
    example="entropic schedule --toy gaussians15_overlap --method rescaled --steps 8\n"
    "entropic schedule --losses losses.csv --parametrisation eps --method las --steps 20",
    schedules=True,
)
@click.option("--toy", type=Toy(), help="Name of a toy, or mixture file.")
@click.option("--profile", help="Profile file.")
@losses_options
@click.option(
    "--method",
    type=Name("schedule"),
    required=True,
    help="Name of a schedule, such as edm or edm:rho=5, or module:function of your own.",
)
@click.option("--steps", type=int, required=True, help="Number of steps.")
@ends
@terminal_option
@schedule_options
@click.option("--isotonic", is_flag=True, help="las with losses: pool risks that fall with sigma.")
@click.option(
    "--bins",
    type=int,
    help="las with losses: number of bins for logs with more levels. Default: 64.",
)
@click.option(
    "--replicates",
    type=int,
    help="Number of replicates of the bootstrap band; 0 for no band. "
    "Default: 200, or 20 with a penalty.",
)
@click.option("--seed", type=int, help="Seed of the bootstrap, in [0, 2^32). Default: 0.")
@choice(
    "--format",
    "format_",
    of=("json", "lines"),
    default="json",
    show_default=True,
    help="Format of the output: json, or lines for one level per line.",
)
@click.option("--out", help=f"Schedule file to write. {OUT}")
@as_json
def command(
    method: str,
    steps: int,
    format_: str,
    json_: bool,
    out: str | None,
    terminal: str | None,
    **options: Any,
) -> None:
    """Print noise levels for a sampler from a toy, a profile file or a loss log."""
    from benchmarks.engine.recommend import recommend
    from benchmarks.engine.rows import enveloped
    from entropic.commands.options import schedule_registry
    from theory.writing import is_stdout

    name, own = schedule_registry().parse(method)
    given = given_options(options)
    found = recommend(name, steps, terminal=terminal or "stop", **options, **{**given, **own})
    if out is not None:
        found.write(out)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    if is_stdout(out):
        return
    fields = found.to_dict()
    if json_ or format_ == "json":
        click.echo(json.dumps(enveloped("schedule", **fields), allow_nan=False))
        return
    click.echo("\n".join(repr(sigma) for sigma in fields["sigmas"]))
    if name == "las":
        click.echo(las_text(fields), err=True)
    elif fields["source"].get("band"):
        click.echo(band_text(fields), err=True)


def band_text(fields: dict[str, Any]) -> str:
    """A bootstrap band as text, with the level at which it is widest."""
    import numpy as np

    found = fields["source"]["band"]
    if found["low"] is None:
        return f"no band: {found['reason']}"
    low, high = np.array(found["low"]), np.array(found["high"])
    good = low > 0
    wide = np.where(good, high / np.where(good, low, 1.0), 1.0)
    i = int(np.argmax(wide))
    return (
        f"band: the middle {found['share']:.0%} of {found['replicates']} bootstrap replicates; "
        f"widest at sigma {fields['sigmas'][i]:.4g}: {low[i]:.4g}..{high[i]:.4g}"
    )


def las_text(fields: dict[str, Any]) -> str:
    """Objective, data and band of a loss-adaptive schedule as text, one fact per line."""
    source = fields["source"]
    las, lines = source["las"], []
    shown = ", ".join(f"{key} {value:.4g}" for key, value in las.items() if key != "axis")
    lines.append(f"las: {las['axis']} axis, {shown}")
    rests = source.get("rests_on")
    if rests is not None:
        binned = rests["bins"] is not None
        where = f"{rests['levels']} levels" + (f" in {rests['bins']} bins" if binned else "")
        lines.append(
            f"rests on {rests['samples']} samples at {where}, "
            f"at least {rests['fewest_samples']} per {'bin' if binned else 'level'}"
        )
        if rests["rising_risks"]:
            advice = "pooled" if rests["isotonic"] else "--isotonic pools them"
            lines.append(
                f"steps up in sigma with a falling risk: {rests['rising_risks']}; {advice}"
            )
    if source.get("band") is not None:
        lines.append(band_text(fields))
    return "\n".join(lines)
