"""`entropic speed`: times of the kernels and of the exact law, as ratios to NumPy."""

import json

import click

from entropic.commands.options import as_json


@click.command("speed")
@as_json
def command(json_: bool) -> None:
    """Time the kernels and the exact law, as ratios to other computations of the same run."""
    from benchmarks.measure import speed

    row = speed.measure()
    click.echo(json.dumps(row) if json_ else speed.text(row))
