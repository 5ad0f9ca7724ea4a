"""`entropic imagenet`: the papers' image tables."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from entropic.commands.options import as_json, solver_option
from entropic.commands.profile import profile_text

F = TypeVar("F", bound=Callable[..., Any])


@click.group("imagenet")
def command() -> None:
    """The papers' image tables: profile, images, scores and rows of published networks."""


def parts_of(*names: str) -> Callable[[F], F]:
    """Options of the `imagenet` commands by name, shown in this order."""
    known = {
        "net": click.option(
            "--net", required=True, help="Published file, checkpoint, or diffusers folder."
        ),
        "out": click.option("--out", required=True, help="Folder of the run."),
        "data": click.option("--data", help="Clean images: .zip, folder, .npy or .npz."),
        "device": click.option(
            "--device", default="auto", show_default=True, help="auto, cpu or cuda."
        ),
        "precision": click.option(
            "--precision", help="float32, bfloat16 or float16; the authors' rule by default."
        ),
        "sha256": click.option("--sha256", help="Digest that the network's file must have."),
        "vae": click.option("--vae", help="Folder of the autoencoder, for ImageNet-512."),
        "batch": click.option("--batch", type=click.IntRange(1), help="Images at once; 64."),
        "preset": click.option("--preset", help="A printed row; see `table --list`."),
        "images": click.option(
            "--images", default="png", show_default=True, help="png (in zips) or array (.npy)."
        ),
        "noise": click.option(
            "--noise", default="philox", show_default=True, help="philox, or edm2: the authors'."
        ),
        "compiled": click.option("--compile", "compiled", is_flag=True, help="Compile it."),
        "guidance": click.option("--guidance", type=float, help="Weight of guidance."),
        "condition": click.option("--condition", help=".npz of named rows, for other conditions."),
        "profile": click.option("--profile", help="Profile file; OUT/profile.json by default."),
        "ref": click.option("--ref", required=True, help="Reference: EDM's, EDM2's or ADM's file."),
        "inception": click.option("--inception", help="TorchScript file inception-2015-12-05.pt."),
        "inception_sha256": click.option(
            "--inception-sha256", help="Digest that the Inception file must have."
        ),
        "trust": click.option(
            "--trust", is_flag=True, help="Run the Inception file's code without a digest."
        ),
        "dino": click.option("--dino", help="Transformers folder of a Dinov2, such as the large."),
        "dino_positions": click.option(
            "--dino-positions", default="hub", show_default=True,
            help="Position embeddings as in hub, or transformers.",
        ),
    }  # fmt: skip

    def decorated(command: F) -> F:
        for name in reversed(names):
            command = known[name](command)
        return as_json(command)

    return decorated


def image_part() -> Any:
    """The commands, or one line if their libraries are not there."""
    from theory.extras import network_part

    return network_part("benchmarks.imagenet.runs", "imagenet")


SCORING = ("inception", "inception_sha256", "trust", "dino", "dino_positions")


@command.command("profile")
@parts_of("net", "data", "out", "vae", "device", "precision", "sha256", "batch", "guidance",
          "condition")  # fmt: skip
@click.option("--samples", type=int, help="Clean images; 1024, or all.")
@click.option("--levels", type=int, help="Levels of EDM's grid; 128.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of images and noise.")
def imagenet_profile(json_: bool, **options: Any) -> None:
    """Measure the profile of a network, into OUT/profile.json; resumes."""
    row = image_part().profile(**options)
    if row:
        click.echo(json.dumps(row, allow_nan=False) if json_ else profile_text(row))


@command.command("generate")
@parts_of("net", "out", "preset", "vae", "device", "precision", "sha256", "batch", "images",
          "noise", "compiled", "guidance", "condition", "profile")  # fmt: skip
@click.option("--seeds", default="0-49999", show_default=True, help="Of the images.")
@click.option("--solver", help="Name; ddim by default.")
@solver_option
@click.option("--schedule", help="Name or schedule file; edm by default.")
@click.option("--steps", type=int, help="Number of steps; 32.")
@click.option("--terminal", help="zero (default): one more step to 0; or stop.")
@click.option("--sigma-min", type=float, help="Lowest positive level; the network's.")
@click.option("--sigma-max", type=float, help="Highest level; the network's.")
@click.option("--rule", help="Quadrature of the profile: trapezoid (default), spline or left.")
def imagenet_generate(json_: bool, **options: Any) -> None:
    """Make images, a shard a batch, on one card or under torchrun; resumes."""
    row = image_part().generate(**options)
    if not row.pop("first"):
        return
    if json_:
        click.echo(json.dumps(row, allow_nan=False))
    else:
        first, last = row["seeds"]
        made = f"{row['batches_made']} batches made, {row['calls']} calls an image"
        click.echo(f"{row['out']}: images of seeds {first}-{last}, {made}")


@command.command("score")
@parts_of("out", "ref", *SCORING, "data", "batch", "device")
@click.option("--net", help="Network that OUT's images must be of.")
@click.option("--seeds", help="Of the images; 0-49999, or all of --data.")
def imagenet_score(json_: bool, **options: Any) -> None:
    """Score OUT's images, or those of --data: FID, FD-DINOv2, sFID, IS, precision, recall."""
    row = image_part().score(**options)
    if not row:
        return
    if json_:
        click.echo(json.dumps(row, allow_nan=False))
        return
    for metric, value in row["values"].items():
        click.echo(f"{metric:10s} " + (row["reasons"][metric] if value is None else f"{value:.6g}"))


@command.command("table")
@click.option("--list", "list_", is_flag=True, help="List the rows instead.")
@click.option("--net", help="Published file of the row's network.")
@click.option("--ref", help="Published reference statistics.")
@click.option("--out", help="Folder of the table.")
@parts_of("preset", *SCORING, "data", "profile", "vae", "device", "precision", "sha256", "batch",
          "images", "noise", "compiled")  # fmt: skip
@click.option(
    "--seeds", multiple=True, help="Range; repeat for more; the papers' three by default."
)
def imagenet_table(json_: bool, list_: bool, **options: Any) -> None:
    """Reproduce a printed row: measured beside published, in OUT/table.csv and table.md."""
    if list_:
        from benchmarks.imagenet.presets import listing, listing_text

        rows = listing()
        click.echo(json.dumps(rows, allow_nan=False) if json_ else listing_text(rows))
        return
    for name in ("net", "ref", "out"):
        if options[name] is None:
            raise ValueError(f"--{name} must be given, got none")
    row = image_part().table(**options)
    if row:
        text = row.pop("text")
        click.echo(json.dumps(row, allow_nan=False) if json_ else text)
