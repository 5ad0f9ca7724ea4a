"""`entropic schedule`: noise levels for a sampler."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from entropic.commands.options import (
    EXPORTS,
    NO_LISTS,
    OUT,
    Name,
    ScheduleCommand,
    as_json,
    choice,
    ends,
    given_options,
    logged_options,
    losses_options,
    print_json,
    terminal_option,
    toy_option,
)

if TYPE_CHECKING:
    from benchmarks.engine.recommend import Recommendation


@click.command(
    "schedule",
    cls=ScheduleCommand,
    example="entropic schedule --losses losses.csv --prediction eps --method optimal "
    "--solver dpmpp_2m --steps 10\n"
    "entropic schedule --toy gaussians15_overlap --method rescaled --steps 8\n"
    "entropic schedule --losses losses.csv --prediction eps --method las --steps 20",
    schedules=True,
)
@toy_option()
@click.option("--profile", help="Profile file.")
@click.option(
    "--network",
    help="Trained network, whose profile is measured: checkpoint, published file, diffusers "
    "folder, or module:function of your own.",
)
@click.option("--data", help="network: clean samples, an .npy, .npz or .zip file or a folder.")
@click.option(
    "--measured", help="network: profile file to write. The same command continues a broken run."
)
@losses_options
@click.option(
    "--method",
    type=Name("schedule"),
    required=True,
    help="Name of a schedule, such as edm or edm:rho=5, or module:function of your own.",
)
@click.option("--steps", type=int, required=True, help="Number of steps.")
@click.option(
    "--solver",
    type=Name("solver"),
    help="Solver that the levels are for: optimal needs it, and law has a form for solvers with "
    "noise, which is the default, and one for those without.",
)
@ends
@terminal_option
@click.option(
    "--isotonic", is_flag=True, help="las or optimal with losses: pool risks that fall with sigma."
)
@click.option(
    "--bins",
    type=int,
    help="las or optimal with losses: number of bins for logs with more levels. Default: 64.",
)
@click.option(
    "--replicates",
    type=int,
    help="Number of replicates of the bootstrap band; 0 for no band. "
    "Default: 200, or 20 for las with a penalty, or 40 for optimal.",
)
@click.option("--seed", type=int, help="Seed of the bootstrap, in [0, 2^32). Default: 0.")
@choice(
    "--for",
    "target",
    of=(*EXPORTS, *NO_LISTS),
    metavar="TARGET",
    default="json",
    show_default=True,
    help="Form of the output: json for a schedule file, or what one pastes into a program: "
    f"{', '.join(EXPORTS[:-1])}.",
)
@click.option(
    "--model",
    metavar="FILE|NAME",
    help="for: training noise of the model, diffusers' scheduler_config.json or the name of its "
    "betas. Levels beyond it are refused.",
)
@click.option(
    "--shift",
    type=float,
    help="for: shift of a flow scheduler, which it applies to the list. Default: 1.",
)
@click.option("--out", help=f"Schedule file to write. {OUT}")
@as_json
def command(
    method: str,
    steps: int,
    target: str,
    model: str | None,
    shift: float | None,
    json_: bool,
    out: str | None,
    terminal: str | None,
    **options: Any,
) -> None:
    """Print noise levels for a sampler from a toy, a profile, a loss log or a network."""
    from entropic.commands.options import schedule_registry
    from theory.names import joined
    from theory.profiles.loss_files import log_texts
    from theory.schedules.export import export
    from theory.writing import is_stdout

    name, own = schedule_registry().parse(method)
    given = joined(own, given_options(options))
    options |= logged_options(options)
    if target == "json":
        for option, value in (("model", model), ("shift", shift)):
            if value is not None:
                raise ValueError(f"{option} must come with a target other than json, got {value}")
    if target in NO_LISTS:
        export([1.0, 0.0], target)  # says why there is none
    found = recommend(name, steps, terminal=terminal or "stop", **options, **given)
    if out is not None:
        found.write(out)
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    for line in log_texts(found.source):
        click.echo(line, err=True)
    if is_stdout(out):
        return
    fields = found.to_dict()
    if target == "json":
        print_json("schedule", fields)
        return
    made = export(found.sigmas, target, model=model, shift=shift)
    if json_:
        print_json("schedule", fields | {"export": made.to_dict()})
        return
    click.echo(str(made))
    if made.call:
        count = f"{made.calls} network call{'s' if made.calls > 1 else ''} per sample"
        click.echo("\n".join([count, *made.notes]), err=True)
    if name == "las":
        click.echo(las_text(fields), err=True)
        return
    if "rests_on" in fields["source"]:
        click.echo("\n".join(rests_text(fields["source"]["rests_on"])), err=True)
    if fields["source"].get("band"):
        click.echo(band_text(fields), err=True)


def recommend(
    method: str,
    n_steps: int,
    *,
    network: str | None = None,
    data: str | os.PathLike[str] | None = None,
    measured: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Recommendation:
    """Noise levels for a sampler from a mixture, a profile, a loss log or a network.

    A schedule that draws on the data needs exactly one of `toy`, `profile`, `losses` and `network`.
    An option that means nothing to the schedule or to the source is refused.

    Args:
        method: Name of the schedule, or "module:function" of your own.
        n_steps: Number of steps, 1 to 10^6.
        network: A trained network, whose profile is measured first (`profile_of_network`).
        data: Clean samples for the network.
        measured: Profile file of the network to write; an interrupted measurement is continued.
        **options: toy, profile, losses and the other arguments of
            `benchmarks.engine.recommend.recommend`, and the options of the schedule, such as rho of
            edm.

    Returns:
        The levels, their origin, the bootstrap band and the warnings.

    Raises:
        ValueError: One line that names the argument, the rule and the value.
    """
    from benchmarks.engine import recommend as engine

    if network is None:
        for name, value in (("data", data), ("measured", measured)):
            if value is not None:
                raise ValueError(f"{name} must come with network, got {os.fspath(value)} without")
        return engine.recommend(method, n_steps, **options)
    from entropic.commands.profile import profile_of_network
    from theory.profiles.loss_files import one_source

    others = {name: options.get(name) for name in ("toy", "profile", "losses")}
    one_source(**others, network=network)
    for name, value in (("data", data), ("measured", measured)):
        if value is None:
            raise ValueError(f"{name} must be given with network, got none")
    assert data is not None
    assert measured is not None
    profile_of_network(network, data, measured)
    return engine.recommend(method, n_steps, profile=measured, **options)


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
    if source.get("rests_on") is not None:
        lines += rests_text(source["rests_on"])
    if source.get("band") is not None:
        lines.append(band_text(fields))
    return "\n".join(lines)


def rests_text(rests: dict[str, Any]) -> list[str]:
    """The data of a loss log, one fact per line."""
    binned = rests["bins"] is not None
    where = f"{rests['levels']} levels" + (f" in {rests['bins']} bins" if binned else "")
    lines = [
        f"rests on {rests['samples']} samples at {where}, "
        f"at least {rests['fewest_samples']} per {'bin' if binned else 'level'}"
    ]
    if rests["rising_risks"]:
        advice = "pooled" if rests["isotonic"] else "--isotonic pools them"
        lines.append(f"steps up in sigma with a falling risk: {rests['rising_risks']}; {advice}")
    return lines
