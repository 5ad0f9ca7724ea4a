"""`entropic imagenet`: the image tables of the papers."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from entropic.commands.options import (
    DEVICES,
    PRECISIONS,
    RULES,
    TERMINALS,
    Explained,
    ExplainedGroup,
    Listed,
    Name,
    as_json,
    choice,
    print_json,
    solver_option,
)
from entropic.commands.profile import profile_text

F = TypeVar("F", bound=Callable[..., Any])


NET, REF = "edm2-img64-s-1073741-0.075.pkl", "img64.pkl"  # the files of a printed row
SCORE = f"--ref {REF} --inception inception-2015-12-05.pt"


@click.group("imagenet", cls=ExplainedGroup, example="entropic imagenet table --list")
def command() -> None:
    """Reproduce the papers' image tables: profiles, images and scores of published networks."""


def preset_names() -> list[str]:
    """Names of the printed rows."""
    from benchmarks.imagenet.presets import presets

    return list(presets())


def parts_of(*names: str) -> Callable[[F], F]:
    """Decorator that adds options of the `imagenet` commands by name, in this order."""
    known = {
        "net": click.option(
            "--net", required=True, help="Network: published file, checkpoint or diffusers folder."
        ),
        "out": click.option("--out", required=True, help="Folder of the run."),
        "data": click.option(
            "--data", help="Images, clean or to score: folder, or .zip, .npy or .npz file."
        ),
        "device": choice(
            "--device", of=("auto", *DEVICES), default="auto", show_default=True,
            help="Device. auto is cuda if there is a GPU.",
        ),
        "precision": choice(
            "--precision", of=PRECISIONS,
            help="Precision of the network. Default: the authors' rule.",
        ),
        "sha256": click.option(
            "--sha256", help="SHA-256 digest that the network's file must have."
        ),
        "vae": click.option("--vae", help="Folder of the autoencoder, for ImageNet-512."),
        "batch": click.option(
            "--batch", type=click.IntRange(1), help="Number of images per batch. Default: 64."
        ),
        "preset": click.option(
            "--preset", type=Listed("preset", preset_names),
            help="Name of a printed row; `entropic imagenet table --list` shows all."
        ),
        "images": choice(
            "--images", of=("png", "array"), default="png", show_default=True,
            help="Format of the images: png (in .zip files) or array (.npy files).",
        ),
        "noise": choice(
            "--noise", of=("philox", "edm2"), default="philox", show_default=True,
            help="Source of the noise: philox, or edm2 for the authors' generators.",
        ),
        "compiled": click.option(
            "--compile", "compiled", is_flag=True, help="Compile the network with torch.compile."
        ),
        "guidance": click.option(
            "--guidance", type=float,
            help="Weight of classifier-free guidance. Default: no guidance.",
        ),
        "condition": click.option(
            "--condition",
            help=".npz file of named arrays, one row per condition, for conditions other than "
            "classes.",
        ),
        "profile": click.option("--profile", help="Profile file. Default: OUT/profile.json."),
        "ref": click.option(
            "--ref", required=True, help="File of reference statistics, of EDM, EDM2 or ADM."
        ),
        "inception": click.option(
            "--inception", help="Inception network: TorchScript file inception-2015-12-05.pt."
        ),
        "inception_sha256": click.option(
            "--inception-sha256", help="SHA-256 digest that the Inception file must have."
        ),
        "trust": click.option(
            "--trust", is_flag=True,
            help="Run the code in the Inception file without a check of its digest.",
        ),
        "dino": click.option(
            "--dino", help="DINOv2 network: folder of transformers, such as dinov2-large."
        ),
        "dino_positions": choice(
            "--dino-positions", of=("hub", "transformers"), default="hub", show_default=True,
            help="Interpolation of DINOv2's position embeddings: hub or transformers.",
        ),
    }  # fmt: skip

    def decorated(command: F) -> F:
        for name in reversed(names):
            command = known[name](command)
        return as_json(command)

    return decorated


def image_part() -> Any:
    """The module of the commands; ValueError if its libraries are not installed."""
    from theory.extras import network_part

    return network_part("benchmarks.imagenet.runs", "imagenet")


SCORING = ("inception", "inception_sha256", "trust", "dino", "dino_positions")


@command.command(
    "profile",
    cls=Explained,
    example=f"entropic imagenet profile --net {NET} --data img64.zip --out out/img64",
)
@parts_of("net", "data", "out", "vae", "device", "precision", "sha256", "batch", "guidance",
          "condition")  # fmt: skip
@click.option("--samples", type=int, help="Number of clean images. Default: 1024, or all if fewer.")
@click.option("--levels", type=int, help="Number of levels of EDM's grid. Default: 128.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the choice of images and noise."
)
def imagenet_profile(json_: bool, **options: Any) -> None:
    """Measure the profile of a network on clean images.

    The result is OUT/profile.json. The same command continues an interrupted run.
    """
    row = image_part().profile(**options)
    if row:
        if json_:
            print_json("profile", row)
        else:
            click.echo(profile_text(row))


@command.command(
    "generate",
    cls=Explained,
    example=f"entropic imagenet generate --net {NET} --out out/img64",
    schedules=True,
    solvers=True,
)
@parts_of("net", "out", "preset", "vae", "device", "precision", "sha256", "batch", "images",
          "noise", "compiled", "guidance", "condition", "profile")  # fmt: skip
@click.option(
    "--seeds", default="0-49999", show_default=True, help="Range of the seeds of the images."
)
@click.option(
    "--solver", type=Name("solver", options=False), help="Name of the solver. Default: ddim."
)
@solver_option
@click.option(
    "--schedule",
    type=Name("schedule", files=True, options=False),
    help="Name of a schedule, or schedule file. Default: edm.",
)
@click.option("--steps", type=int, help="Number of steps. Default: 32.")
@choice(
    "--terminal",
    of=TERMINALS,
    help="zero to make the last step to 0, stop to end at sigma-min. Default: zero.",
)
@click.option(
    "--sigma-min",
    type=float,
    help="Lowest positive level, in data units. Default: that of the profile, or of the network.",
)
@click.option(
    "--sigma-max",
    type=float,
    help="Highest level, in data units. Default: that of the profile, or of the network.",
)
@choice("--rule", of=RULES, help="Quadrature of the profile. Default: trapezoid.")
def imagenet_generate(json_: bool, **options: Any) -> None:
    """Generate images with a network.

    OUT/images has one file per batch. The same command continues an interrupted run. Under torchrun
    several devices share the work.
    """
    row = image_part().generate(**options)
    if not row.pop("first"):
        return
    if json_:
        print_json("images", row)
    else:
        first, last = row["seeds"]
        made = f"{row['batches_made']} batches made, {row['calls']} calls an image"
        click.echo(f"{row['out']}: images of seeds {first}-{last}, {made}")


@command.command("score", cls=Explained, example=f"entropic imagenet score --out out/img64 {SCORE}")
@parts_of("out", "ref", *SCORING, "data", "batch", "device")
@click.option("--net", help="Network with which the images in OUT must have been made.")
@click.option(
    "--seeds", help="Range of the seeds of the images. Default: 0-49999, or all images of --data."
)
def imagenet_score(json_: bool, **options: Any) -> None:
    """Score images against reference statistics.

    The images are those of OUT, or of --data. The scores are FID, FD-DINOv2, sFID, Inception score,
    precision and recall.
    """
    row = image_part().score(**options)
    if not row:
        return
    if json_:
        print_json("scores", row)
        return
    for metric, value in row["values"].items():
        click.echo(f"{metric:10s} " + (row["reasons"][metric] if value is None else f"{value:.6g}"))


@command.command(
    "table",
    cls=Explained,
    example="entropic imagenet table --list\n"
    f"entropic imagenet table --preset A-in64-S-ddim-rescaled-16 --net {NET} --out out/table "
    f"--data img64.zip {SCORE}",
)
@click.option("--list", "list_", is_flag=True, help="List the printed rows and exit.")
@click.option("--net", help="Published file of the network of the row. Required without --list.")
@click.option("--ref", help="Published file of reference statistics. Required without --list.")
@click.option("--out", help="Folder of the table. Required without --list.")
@parts_of("preset", *SCORING, "data", "profile", "vae", "device", "precision", "sha256", "batch",
          "images", "noise", "compiled")  # fmt: skip
@click.option(
    "--seeds",
    multiple=True,
    help="Range of seeds. Repeat for several. Default: three ranges of 50 000 seeds.",
)
def imagenet_table(json_: bool, list_: bool, **options: Any) -> None:
    """Reproduce a printed row of a table.

    OUT/table.csv and OUT/table.md compare the measured with the published scores.
    """
    if list_:
        from benchmarks.imagenet.presets import listing, listing_text

        rows = listing()
        if json_:
            print_json("presets", {"presets": rows})
        else:
            click.echo(listing_text(rows))
        return
    for name in ("preset", "net", "ref", "out"):
        if options[name] is None:
            advice = "; --list shows all" if name == "preset" else ""
            raise ValueError(f"--{name} must be given, got none{advice}")
    row = image_part().table(**options)
    if row:
        text = row.pop("text")
        if json_:
            print_json("table", row)
        else:
            click.echo(text)
