"""`entropic train`: small training runs."""

import json
from typing import Any

import click

from entropic.commands.options import as_json


@click.command("train")
@click.option("--preset", required=True, help="Name of a preset, or recipe file.")
@click.option("--out", required=True, help="Folder for the network and its measurements.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed in [0, 2^32).")
@click.option("--device", default="cpu", show_default=True, help="Device: cpu, cuda or cuda:N.")
@click.option("--resume", is_flag=True, help="Continue the run in the folder --out.")
@as_json
def command(json_: bool, **options: Any) -> None:
    """Train a small network on a small target, with InfoNoise or fixed training noise."""
    from theory.extras import network_part

    run = network_part("benchmarks.training.run")
    row = run.run_training(**options)
    click.echo(json.dumps(row, allow_nan=False) if json_ else run.training_text(row))
