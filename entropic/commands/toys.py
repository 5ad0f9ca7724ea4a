"""`entropic toys`: the named mixtures."""

from typing import Any

import click

from entropic.commands.options import Explained, as_json, print_json


@click.command("toys", cls=Explained, example="entropic toys")
@as_json
def command(json_: bool) -> None:
    """List the toys, the named mixtures on which samplers are tested."""
    rows = toy_rows()
    if json_:
        print_json("toys", {"toys": rows})
        return
    for row in rows:
        click.echo(
            f"{row['name']:20s} d = {row['dim']}  K = {row['components']:2d}  "
            f"variance {row['variance']:8.4f}  {row['description']}"
        )


def toy_rows() -> list[dict[str, Any]]:
    """One row of plain values per toy."""
    from toys import zoo

    rows = []
    for name, (description, _) in zoo.ZOO.items():
        toy = zoo.toy(name)
        rows.append(
            {
                "name": name,
                "description": description,
                "dim": toy.dim,
                "components": toy.size,
                "variance": toy.variance,
                "points": toy.is_points,
            }
        )
    return rows
