"""`entropic profile`: the mmse of a mixture, a loss log or a network over noise levels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from entropic.commands.options import (
    NETWORK_OPTIONS,
    OUT,
    PROCESSES,
    Explained,
    as_json,
    choice,
    logged_options,
    losses_options,
    network_options,
    print_json,
    toy_option,
)

if TYPE_CHECKING:
    from theory.profiles.loss_files import Logged
    from theory.profiles.profile import Profile


@click.command(
    "profile",
    cls=Explained,
    example="entropic profile --toy two_points --sigma 0.5 --sigma 1\n"
    "entropic profile --losses losses.csv --prediction eps",
)
@toy_option()
@losses_options
@network_options
@choice(
    "--process",
    of=PROCESSES,
    default="edm",
    show_default=True,
    help="Noise process, which sets the range of levels of a toy.",
)
@click.option(
    "--sigma", type=float, multiple=True, help="Noise level, in data units. Repeat for several."
)
@click.option("--rescaled", is_flag=True, help="Compute the rescaled entropy of a toy, too.")
@click.option("--out", help=f"Profile file to write. {OUT}")
@as_json
def command(json_: bool, **options: Any) -> None:
    """Print the mmse over noise levels, and the entropies that follow from it."""
    from theory.writing import is_stdout

    row = profile_row(**options)
    if is_stdout(options["out"]):
        return
    if json_:
        print_json("profile", row)
    else:
        click.echo(profile_text(row))


def profile_row(
    toy: str | None,
    losses: str | None,
    network: str | None,
    process: str,
    sigma: tuple[float, ...],
    rescaled: bool,
    out: str | None,
    **options: Any,
) -> dict[str, Any]:
    """The profile of the one source that the options name, as plain values."""
    from theory.extras import network_part
    from theory.profiles.loss_files import Logged, one_source, refuse_logged

    measured = {name: options.pop(name) for name in NETWORK_OPTIONS}
    one_source(toy=toy, losses=losses, network=network)
    logged = Logged(**logged_options(options))
    if rescaled and toy is None:
        source = "--losses" if network is None else "--network"
        raise ValueError(f"--rescaled must come with --toy, got it with {source}")
    if network is not None:
        refuse_logged(logged)
        row: dict[str, Any] = network_part("benchmarks.networks.profiles").profile(
            network, out=out, sigma=sigma, **measured
        )
        return row
    for name, value in measured.items():
        if value is not None:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} must come with --network, got {value} alone")
    if losses is not None:
        if sigma:
            raise ValueError("--sigma must come with --toy, got it with --losses")
        return _losses_row(losses, process, out, logged)
    assert toy is not None  # one_source
    refuse_logged(logged)
    return _toy_row(toy, process, sigma, rescaled, out)


def profile_of_network(
    network: str,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    sigma: Sequence[float] = (),
    **options: Any,
) -> Profile:
    """Measure the profile of a trained network on clean data; an interrupted run is continued.

    It needs the extra `networks`.

    Args:
        network: A run of `entropic train`, a published file of EDM's or EDM2's networks, a folder
            that a diffusers pipeline was saved to, or "module:function" of your own code.
        data: Clean samples: an .npy or .npz array, a folder or a .zip of images.
        out: Profile file to write. The errors of single samples are written beside it, as .npz.
        sigma: Noise levels, at least 4. Default: EDM's grid over the network's range.
        **options: `samples` (1024, or all), `levels` (128), `sigma_min`, `sigma_max`, `batch`
            (64), `seed` (0), `device` ("cpu" or "cuda"), `precision` ("float32", "bfloat16" or
            "float16"), `time` ("nearest" or "interpolated"), `guidance` and `condition`.

    Returns:
        The profile, with standard errors over samples.

    Raises:
        ValueError: One line that names the argument or the file, the rule and the value.
    """
    from theory.checks import one_of
    from theory.extras import network_part
    from theory.profiles.files import read_profile
    from theory.writing import is_special

    if is_special(out):
        raise ValueError(f"out must be a regular file, got {os.fspath(out)}")
    for name in options:
        one_of("option", name, NETWORK_OPTIONS[1:])
    network_part("benchmarks.networks.profiles").profile(
        network, os.fspath(data), os.fspath(out), tuple(sigma), **options
    )
    return read_profile(out)


def _toy_row(
    toy: str, process: str, sigma: tuple[float, ...], rescaled: bool, out: str | None
) -> dict[str, Any]:
    from benchmarks.engine.toy_profiles import to_profile, toy_row
    from theory.profiles.files import write_profile

    if sigma and out is not None and len(set(sigma)) < 4:
        raise ValueError(f"--sigma must name at least 4 levels with --out, got {len(set(sigma))}")
    row = toy_row(toy, process, sigma, rescaled)
    if out is not None:
        write_profile(out, to_profile(row, {"toy": toy}))
    return row


def _losses_row(losses: str, process: str, out: str | None, logged: Logged) -> dict[str, Any]:
    from theory.noise.processes import named_process
    from theory.profiles.files import write_profile
    from theory.profiles.loss_files import log_texts, loss_profile

    named_process(process)
    found = loss_profile(losses, logged)
    for line in log_texts(found.source):
        click.echo(line, err=True)
    try:
        below = found.rescaled_below() >= 0.0
    except ValueError:  # a network's error has a floor, and nothing is known below the log
        below = False
        low = found.sigma[0]
        click.echo(
            f"the rescaled entropy starts at 0 at sigma {low:.4g}: the risk does not fall there, "
            "so that it cannot be continued",
            err=True,
        )
    if out is not None:
        write_profile(out, found)
    return {
        "dim": found.dim,
        "sigma": found.sigma.tolist(),
        "mmse": found.mmse.tolist(),
        "stderr": None if found.stderr is None else found.stderr.tolist(),
        "entropy_rate": found.entropy_rate().tolist(),
        "conditional_entropy": None,
        "mutual_information": None,
        "entropy_from_sigma_min": found.entropy_from_sigma_min().tolist(),
        "rescaled_entropy": found.rescaled_entropy(include_below=below).tolist(),
        "entropy_error": found.entropy_error(),
        "rescaled_error": found.rescaled_error(include_below=below),
    }


def profile_text(row: dict[str, Any]) -> str:
    """The profile as a text table."""
    names = ["sigma", "mmse", "entropy_rate", "conditional_entropy", "mutual_information"]
    names += ["entropy_from_sigma_min", "rescaled_entropy"]
    names = [n for n in names if row.get(n) is not None]
    lines = ["  ".join(f"{n:>22s}" for n in names)]
    lines += [
        "  ".join(f"{v:22.12g}" for v in values)
        for values in zip(*(row[n] for n in names), strict=True)
    ]
    return "\n".join(lines)
