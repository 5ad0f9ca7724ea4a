"""`entropic train`: small training runs."""

from typing import Any

import click

from entropic.commands.options import DEVICES, Explained, Listed, as_json, print_json

# Data sets, and kinds of training noise, of the presets.
DATA = ("digits", "binary-digits", "dna", "points", "mixture")
NOISES = ("log-uniform", "edm", "uniform-time", "min-snr", "infonoise")


def preset_names() -> list[str]:
    """Names of the presets."""
    noisy = [f"{data}{noise}" for data in DATA for noise in ("", *(f"-{n}" for n in NOISES))]
    return ["digits-quick", *noisy]


@click.command(
    "train",
    cls=Explained,
    example="entropic train --preset digits-quick --out out/digits",
    names=(
        (
            "Presets (DATA or DATA-NOISE)",
            lambda: (
                ("DATA", ", ".join(DATA)),
                ("NOISE", ", ".join(NOISES)),
                ("digits-quick", "a run of seconds"),
            ),
        ),
    ),
)
@click.option(
    "--preset",
    type=Listed("preset", preset_names, files=True),
    required=True,
    help="Name of a preset, as listed below, or recipe file.",
)
@click.option("--out", required=True, help="Folder for the network and its measurements.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed in [0, 2^32).")
@click.option(
    "--device",
    type=Listed("device", lambda: DEVICES, metavar="DEVICE"),
    default="cpu",
    show_default=True,
    help="Device: cpu, cuda or cuda:N.",
)
@click.option("--resume", is_flag=True, help="Continue the run in the folder --out.")
@as_json
def command(json_: bool, **options: Any) -> None:
    """Train a small network on a small target, with InfoNoise or fixed training noise."""
    from theory.extras import network_part

    run = network_part("benchmarks.training.run")
    row = run.run_training(**options)
    if json_:
        print_json("training", row)
    else:
        click.echo(run.training_text(row))
