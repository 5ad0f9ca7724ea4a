"""`entropic lint`: what is wrong with a list of levels."""

from __future__ import annotations

from typing import Any

import click

from entropic.commands.options import (
    EXPORTS,
    NO_LISTS,
    Explained,
    as_json,
    choice,
    print_json,
)


@click.command(
    "lint",
    cls=Explained,
    example='entropic lint "[14.6, 3.2, 0.7, 0.03, 0]" --for diffusers-euler --model scaled-linear',
)
@click.argument("list_", metavar="LIST")
@choice(
    "--for",
    "target",
    of=(*EXPORTS, *NO_LISTS),
    metavar="TARGET",
    required=True,
    help=f"Program that is to take the list: {', '.join(EXPORTS)}.",
)
@click.option(
    "--model",
    metavar="FILE|NAME",
    help="Training noise of the model: diffusers' scheduler_config.json, or the name of its betas.",
)
@click.option("--shift", type=float, help="Shift of the flow scheduler. Default: 1.")
@click.option(
    "--solver", metavar="NAME", help="Sampler of the program, such as heun, dpmpp_2m or unipc."
)
@click.option("--nfe", type=int, help="Number of network calls that the list is meant for.")
@as_json
def command(list_: str, target: str, json_: bool, **options: Any) -> None:
    """Look for mistakes in LIST, a file or the numbers themselves, as a program would take them.

    The exit code is 1 if there are any.
    """
    from theory.schedules.lint import lint, read_list

    found = lint(read_list(list_), target, **options)
    if json_:
        fields = [{"kind": one.kind, "text": one.text, "mend": one.mend} for one in found]
        print_json("lint", {"target": target, "findings": fields})
    else:
        for one in found:
            click.echo(str(one))
        if not found:
            click.echo("no mistakes found")
    if found:
        raise click.exceptions.Exit(1)
