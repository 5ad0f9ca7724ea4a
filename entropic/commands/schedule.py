"""`entropic schedule`: noise levels for a sampler."""

import json
from typing import Any

import click

from entropic.commands.options import as_json, ends, las_options, losses_options


@click.command("schedule")
@click.option("--toy", help="Name of a toy, or mixture file.")
@click.option("--profile", help="Profile file.")
@losses_options
@click.option("--method", required=True, help="Name of a schedule.")
@click.option("--steps", type=int, required=True, help="Number of steps.")
@ends
@click.option(
    "--terminal",
    default="stop",
    show_default=True,
    help="stop to end at sigma-min, zero to make the last step to 0.",
)
@click.option(
    "--c",
    type=float,
    help="Data scale of arctan, or pivot of infogrid, in data units. Default: from the data.",
)
@las_options
@click.option(
    "--rule",
    help="Quadrature of the profile: spline, trapezoid or left. "
    "Default: trapezoid for a profile with standard errors, otherwise spline.",
)
@click.option("--amplitude", help="spectral: amplitude of a frequency, mean or rms. Default: mean.")
@click.option(
    "--isotonic", is_flag=True, help="las with --losses: pool risks that fall with sigma."
)
@click.option(
    "--bins",
    type=int,
    help="las with --losses: number of bins for logs with more levels. Default: 64.",
)
@click.option(
    "--replicates",
    type=int,
    help="Number of replicates of the bootstrap band; 0 for no band. "
    "Default: 200, or 20 with a penalty.",
)
@click.option("--seed", type=int, help="Seed of the bootstrap, in [0, 2^32). Default: 0.")
@click.option(
    "--format",
    "format_",
    default="json",
    show_default=True,
    help="Format of the output: json, or lines for one level per line.",
)
@click.option("--out", help="Schedule file to write.")
@as_json
def command(
    method: str, steps: int, format_: str, json_: bool, out: str | None, **options: Any
) -> None:
    """Print noise levels for a sampler from a toy, a profile file or a loss log."""
    from benchmarks.engine.recommend import recommend
    from theory.checks import one_of

    one_of("format", format_, ("json", "lines"))
    found = recommend(method, steps, **options)
    if out is not None:
        found.write(out)
    fields = found.to_dict()
    if json_ or format_ == "json":
        click.echo(json.dumps(fields, allow_nan=False))
        return
    click.echo("\n".join(repr(sigma) for sigma in fields["sigmas"]))
    if method == "las":
        click.echo(las_text(fields), err=True)
    elif fields["source"].get("band"):
        click.echo(band_text(fields), err=True)
    if "left_bias" in fields["source"]:
        bias = 100.0 * fields["source"]["left_bias"]
        click.echo(f"left sum: up to {bias:.2g} % from the trapezoid's levels", err=True)


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
