"""The command line: `entropic COMMAND --help`. Every command is a thin call into the suite."""

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

# Nothing else is imported here: `--help` answers at once, each command imports what it runs.

F = TypeVar("F", bound=Callable[..., Any])


class OneLine(click.Group):
    """A group whose errors are one line each, exit code 2."""

    def main(self, args: Sequence[str] | None = None, **extra: Any) -> NoReturn:  # type: ignore[override]
        """Run a command; never a traceback for bad input or an interruption."""
        try:
            code = super().main(args, **{**extra, "standalone_mode": False})
        except click.ClickException as error:
            fail(error.format_message())
        except ValueError as error:
            fail(str(error))
        except (click.Abort, KeyboardInterrupt):
            click.echo("entropic: interrupted; what has finished is kept", err=True)
            sys.exit(130)
        except BrokenPipeError:
            sys.stderr.close()
            sys.exit(1)
        sys.exit(code if isinstance(code, int) else 0)


def fail(message: str) -> NoReturn:
    """Print one line and exit with 2."""
    click.echo("entropic: " + " ".join(message.split()), err=True)
    sys.exit(2)


@click.group(cls=OneLine, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Information-theoretic time schedules of diffusion models, computed exactly."""


as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")


def ends(command: F) -> F:
    """Options for the process and the ends of a schedule."""
    for option in (
        click.option("--sigma-max", type=float, help="Highest noise level."),
        click.option("--sigma-min", type=float, help="Lowest noise level of the schedule's rule."),
        click.option(
            "--process", default="edm", show_default=True, help="edm or vp: default ends and start."
        ),
    ):
        command = option(command)
    return command


def las_options(command: F) -> F:
    """Options of the loss-adaptive schedule's objective."""
    for option in (
        click.option("--axis", help="las: saturating (default) or exponential (c = 1 / lambda)."),
        click.option("--power", type=float, help="las: exponent of the penalty; 2 by default."),
        click.option("--mu", type=float, help="las: penalty on changing log-SNR steps; 0."),
        click.option(
            "--lambda",
            "lambda_",
            type=float,
            help="las: variance that damps high SNR; 0: none. By a rule if left out.",
        ),
    ):
        command = option(command)
    return command


solver_option = click.option(
    "--option", multiple=True, metavar="NAME=VALUE", help="Option of the solver; repeat for more."
)


def losses_options(command: F) -> F:
    """Options for a loss log."""
    for option in (
        click.option("--reduction", help="sum (default) or mean over d."),
        click.option("--sigma-data", type=float, help="EDM's sigma_data, 0.5 by default."),
        click.option("--dim", type=int, help="Coordinates of x0; 1 by default."),
        click.option("--parametrisation", help="Of the losses: eps, x0, v or edm."),
        click.option(
            "--losses",
            help="CSV: columns sigma (or snr, or t with --process vp), loss, perhaps samples.",
        ),
    ):
        command = option(command)
    return command


NETWORK_OPTIONS = (
    "data",
    "samples",
    "levels",
    "sigma_min",
    "sigma_max",
    "batch",
    "seed",
    "device",
    "precision",
    "time",
    "guidance",
    "condition",
)


def network_options(command: F) -> F:
    """Options for a trained network."""
    for option in (
        click.option("--condition", help="network: .npz of named arrays, a row a sample or one."),
        click.option("--guidance", type=float, help="network: weight of classifier-free guidance."),
        click.option("--time", help="network, whole times: nearest (default) or interpolated."),
        click.option("--precision", help="network: float32 (default), bfloat16 or float16."),
        click.option("--device", help="network: cpu (default) or cuda."),
        click.option("--seed", type=int, help="network: of samples and noise; 0 by default."),
        click.option("--batch", type=int, help="network: samples at once; 64 by default."),
        click.option("--sigma-max", type=float, help="network: highest level; 80 or its own."),
        click.option("--sigma-min", type=float, help="network: lowest level; 0.002 or its own."),
        click.option("--levels", type=int, help="network: levels of EDM's grid; 128."),
        click.option("--samples", type=int, help="network: clean samples; 1024, or all."),
        click.option("--data", help="network: .npy, .npz, folder or .zip of clean samples."),
        click.option(
            "--network", help="Checkpoint, diffusers folder, or module:function of your code."
        ),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("names", nargs=-1, metavar="[NAME ...]")
@click.option("--quick", is_flag=True, help="A small version, for tests.")
@click.option("--paper", is_flag=True, help="The paper's full 10^2 repetitions of 10^4 paths.")
@click.option("--recompute", is_flag=True, help="Run again the studies whose rows are kept.")
@click.option("--out", default="out", show_default=True, help="Folder for PNG, PDF and CSV.")
@click.option("--jobs", type=click.IntRange(1), help="Worker processes; all cores by default.")
@as_json
def figures(
    names: tuple[str, ...],
    quick: bool,
    paper: bool,
    recompute: bool,
    out: str,
    jobs: int | None,
    json_: bool,
) -> None:
    """Draw figures (all, or those named), each with its data as CSV."""
    from benchmarks.figure_tables import STUDIES, TABLES, make_table
    from benchmarks.store import Store, make_folder
    from figures import registry
    from theory.checks import one_of

    if quick and paper:
        raise ValueError("--quick must not stand with --paper, got both; give one")
    for name in names:
        one_of("NAME", name, TABLES)
        if recompute and name not in STUDIES:
            raise ValueError(f"--recompute must stand with {', '.join(STUDIES)}, got {name}")
    budget = "quick" if quick else "paper" if paper else "default"
    folder = make_folder(Path(out))
    store = Store(folder / "store")
    if recompute:
        for name in names or STUDIES:
            STUDIES[name](store, jobs)
    made = []
    for name in names or TABLES:
        table = make_table(name, budget, store, jobs, folder)
        files = registry.save(registry.draw(name, table), folder, name)
        made.append({"name": name, "files": [str(folder / f"{name}.csv"), *map(str, files)]})
        if not json_:
            click.echo(f"{name}: {', '.join(made[-1]['files'])}")
    if json_:
        click.echo(json.dumps({"budget": budget, "figures": made}))


@main.command()
@click.option("--toy", required=True, help="Name (see `entropic toys`) or mixture file.")
@click.option("--schedule", required=True, help="Name or schedule file.")
@click.option("--solver", default="stochastic_ddim", show_default=True, help="Name, or all.")
@click.option("--steps", type=int, help="Number of steps; not with a schedule file.")
@click.option("--exact", is_flag=True, help="By the exact law (the default without --paths).")
@click.option("--paths", type=int, help="Monte Carlo paths a repeat, by paper A's protocol.")
@click.option("--repeats", type=int, help="Monte Carlo repeats; 1 by default.")
@click.option("--seed", type=int, help="Monte Carlo seed in [0, 2^32); 0 by default.")
@ends
@click.option("--terminal", help="stop (default): end at sigma-min; zero: one more step to 0.")
@click.option("--start", default="noise", show_default=True, help="noise, or data: the true law.")
@click.option("--eta", type=float, help="Noise of stochastic_ddim, in [0, 1].")
@solver_option
@click.option("--c", type=float, help="Data scale of the arctan schedule.")
@las_options
@as_json
def kl(toy: str, schedule: str, solver: str, json_: bool, **options: Any) -> None:
    """KL(data || sampler) in nats, with its split into start and discretisation."""
    from benchmarks import commands

    rows = commands.kl(toy, schedule, solver, **options)
    if json_:
        click.echo(json.dumps(rows if solver == "all" else rows[0], allow_nan=False))
    else:
        click.echo(commands.kl_text(rows))


@main.command()
@click.option("--toy", help="Name or mixture file.")
@losses_options
@network_options
@click.option("--process", default="edm", show_default=True, help="edm or vp: range, and t.")
@click.option("--sigma", type=float, multiple=True, help="Noise level; repeat for more.")
@click.option("--out", help="Write a profile file.")
@as_json
def profile(json_: bool, out: str | None, **options: Any) -> None:
    """The mmse over noise levels and the entropies it determines."""
    from benchmarks import profiles

    measured = {name: options.pop(name) for name in NETWORK_OPTIONS}
    row = profiles.profile(out=out, measured=measured, **options)
    click.echo(json.dumps(row, allow_nan=False) if json_ else profiles.profile_text(row))


@main.command()
@click.option("--toy", help="Name or mixture file.")
@click.option("--profile", help="Profile file.")
@losses_options
@click.option("--method", required=True, help="Name of the schedule.")
@click.option("--steps", type=int, required=True, help="Number of steps.")
@ends
@click.option("--terminal", default="stop", show_default=True, help="stop or zero.")
@click.option("--c", type=float, help="Data scale of arctan, or pivot of infogrid.")
@las_options
@click.option("--rule", help="Quadrature: spline, trapezoid (default for noisy files) or left.")
@click.option("--amplitude", help="spectral: mean (default) or rms modulus of a frequency.")
@click.option("--isotonic", is_flag=True, help="las, losses: pool risks that fall with sigma.")
@click.option("--bins", type=int, help="las, losses: bins of more levels than that; 64.")
@click.option("--replicates", type=int, help="Of the bootstrap band; 200 by default, 0: none.")
@click.option("--seed", type=int, help="Of the bootstrap, in [0, 2^32); 0 by default.")
@click.option("--format", "format_", default="json", show_default=True, help="json or lines.")
@click.option("--out", help="Write a schedule file.")
@as_json
def schedule(format_: str, json_: bool, out: str | None, **options: Any) -> None:
    """Noise levels for a sampler: from a toy, a profile file or a log of losses."""
    from benchmarks import bands, loss_adaptive, scheduling
    from theory.checks import one_of

    one_of("format", format_, ("json", "lines"))
    fields = scheduling.schedule(out=out, **options)
    if json_ or format_ == "json":
        click.echo(json.dumps(fields, allow_nan=False))
    else:
        click.echo("\n".join(repr(sigma) for sigma in fields["sigmas"]))
        if fields["method"] == "las":
            click.echo(loss_adaptive.note(fields), err=True)
        elif fields["source"].get("band"):
            click.echo(bands.text(fields), err=True)
        if "left_bias" in fields["source"]:
            bias = 100.0 * fields["source"]["left_bias"]
            click.echo(f"left sum: up to {bias:.2g} % from the trapezoid's levels", err=True)


@main.command()
@click.option("--solver", required=True, help="Name.")
@click.option("--toy", help="Name or mixture file; five Gaussians, N(0, 1) for SDE solvers.")
@click.option("--sigma-max", type=float, default=80.0, show_default=True, help="Highest level.")
@click.option("--sigma-min", type=float, default=0.002, show_default=True, help="Lowest level.")
@solver_option
@as_json
def order(json_: bool, **options: Any) -> None:
    """Fit a solver's order of convergence: strong without noise, weak with it."""
    from benchmarks import commands

    row = commands.order(**options)
    click.echo(json.dumps(row, allow_nan=False) if json_ else commands.order_text(row))


@main.command()
@click.option(
    "--only", multiple=True, metavar="ID", help="One claim, such as A.13; repeat for more."
)
@click.option("--toy", help="Mixture file or name: evaluate on it instead.")
@click.option(
    "--cases", type=click.IntRange(1), default=20, show_default=True, help="Random cases a claim."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first random case.")
@click.option("--verify", is_flag=True, help="Repeat the saved counterexamples by two routes.")
@click.option("--out", default="out", show_default=True, help="Folder for Markdown and CSV.")
@click.option("--jobs", type=click.IntRange(1), help="Worker processes; all cores by default.")
@as_json
def claims(
    only: tuple[str, ...],
    toy: str | None,
    cases: int,
    seed: int,
    verify: bool,
    out: str,
    jobs: int | None,
    json_: bool,
) -> None:
    """Execute the papers' statements: does each hold, and to how many digits?"""
    from benchmarks.claims import report, run
    from benchmarks.inputs import toy_spec
    from benchmarks.store import Store, make_folder
    from toys.mixture import check_seed

    check_seed(seed)
    check_seed(seed + cases - 1)
    spec = None if toy is None else toy_spec(toy)
    folder = make_folder(Path(out))
    rows, left_out = run.run_claims(only, Store(folder / "store"), cases, seed, spec, jobs, verify)
    said = [*(f"--only {name}" for name in only), f"--cases {cases}", f"--seed {seed}"]
    files = report.write(rows, folder, " ".join(["entropic claims", *said]))
    lost = [row["id"] for row in rows if "NOT repeated" in row["evidence"]]
    if lost:
        raise ValueError(f"counterexamples must be repeated, got others for {', '.join(lost)}")
    if json_:
        click.echo(json.dumps(report.to_json(rows), allow_nan=False))
        return
    click.echo(report.text(rows))
    click.echo(", ".join(map(str, files)))
    if left_out:
        click.echo(f"left out, being about other data: {', '.join(left_out)}", err=True)


@main.command()
@click.option("--preset", required=True, help="Name, or a recipe file.")
@click.option("--out", required=True, help="Folder for the network and its numbers.")
@click.option("--seed", type=int, default=0, show_default=True, help="In [0, 2^32).")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@as_json
def train(json_: bool, **options: Any) -> None:
    """Train a small network: InfoNoise, or fixed training noise, on small targets."""
    from benchmarks.profiles import network_part

    run = network_part("benchmarks.training.run")
    row = run.run_training(**options)
    click.echo(json.dumps(row, allow_nan=False) if json_ else run.training_text(row))


@main.group()
def imagenet() -> None:
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
    from benchmarks.profiles import network_part

    return network_part("benchmarks.imagenet.commands", "imagenet")


SCORING = ("inception", "inception_sha256", "trust", "dino", "dino_positions")


@imagenet.command("profile")
@parts_of("net", "data", "out", "vae", "device", "precision", "sha256", "batch", "guidance",
          "condition")  # fmt: skip
@click.option("--samples", type=int, help="Clean images; 1024, or all.")
@click.option("--levels", type=int, help="Levels of EDM's grid; 128.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of images and noise.")
def imagenet_profile(json_: bool, **options: Any) -> None:
    """Measure the profile of a network, into OUT/profile.json; resumes."""
    from benchmarks.profiles import profile_text

    row = image_part().profile(**options)
    if row:
        click.echo(json.dumps(row, allow_nan=False) if json_ else profile_text(row))


@imagenet.command("generate")
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


@imagenet.command("score")
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


@imagenet.command("table")
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


@main.command()
@as_json
def speed(json_: bool) -> None:
    """Time the kernels and the exact law, as ratios in one run."""
    from benchmarks import speed as measure

    row = measure.measure()
    click.echo(json.dumps(row) if json_ else measure.text(row))


@main.command()
@as_json
def toys(json_: bool) -> None:
    """List the named toys."""
    from benchmarks import commands

    rows = commands.toys()
    if json_:
        click.echo(json.dumps(rows))
        return
    for row in rows:
        click.echo(
            f"{row['name']:20s} d = {row['dim']}  K = {row['components']:2d}  "
            f"variance {row['variance']:8.4f}  {row['description']}"
        )


@main.command()
@as_json
def doctor(json_: bool) -> None:
    """Versions, cores, vector width in use, compile cache, and one verified number."""
    from benchmarks import commands

    row = commands.doctor()
    if json_:
        click.echo(json.dumps(row))
    else:
        for key, value in row.items():
            click.echo(f"{key:16s} {value}")
    if not row["verified"]:
        raise ValueError("the verified number must agree to 1e-14, got a difference; see above")


if __name__ == "__main__":
    main()
