"""`entropic speed`: kernels and the exact law against NumPy, as ratios in one run."""

import json

import click

from entropic.commands.options import as_json


@click.command("speed")
@as_json
def command(json_: bool) -> None:
    """Time the kernels and the exact law, as ratios within one run."""
    from benchmarks.measure import speed

    row = speed.measure()
    click.echo(json.dumps(row) if json_ else speed.text(row))
