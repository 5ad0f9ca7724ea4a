"""`entropic speed`: times of the kernels and of the exact law, as ratios to NumPy."""

import click

from entropic.commands.options import Explained, as_json, print_json


@click.command("speed", cls=Explained, example="entropic speed")
@as_json
def command(json_: bool) -> None:
    """Time the kernels and the exact law, as ratios to other computations of the same run."""
    from benchmarks.measure import speed

    row = speed.measure()
    if json_:
        print_json("speed", row)
    else:
        click.echo(speed.text(row))
