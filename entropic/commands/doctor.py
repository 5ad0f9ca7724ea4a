"""`entropic doctor`: properties of the machine, versions, and one verified number."""

import sys
from importlib.metadata import version
from typing import Any

import click

from entropic.commands.options import Explained, as_json, print_json

TWO_POINT_MMSE = 0.4495995092066728  # points at -1 and 1, sigma = 1, by 40-digit quadrature


@click.command("doctor", cls=Explained, example="entropic doctor")
@as_json
def command(json_: bool) -> None:
    """Print versions, cores, vector width, compile cache and one verified number."""
    row = doctor()
    if json_:
        print_json("doctor", row)
    else:
        for key, value in row.items():
            click.echo(f"{key:16s} {value}")
    if not row["verified"]:
        raise ValueError("the verified number must agree to 1e-14, got a difference; see above")


def doctor() -> dict[str, Any]:
    """The printed values by name."""
    from theory.caches import compiled_folder
    from toys import kernels, sampling, zoo
    from toys.information import information

    found = float(information.mmse(zoo.toy("two_points"), [1.0])[0])
    folder = compiled_folder(kernels.__file__)
    cache = [] if folder is None else list(folder.rglob("kernels.*.nbc"))
    row: dict[str, Any] = {"python": sys.version.split()[0]}
    row |= {n: version(n) for n in ("entropic", "numpy", "scipy", "numba", "matplotlib", "pandas")}
    row["cores"] = sampling.available_threads()
    row["simd_bits"] = kernels.simd_bits()
    row["compile_cache"] = (
        "none, no folder is writable" if folder is None else f"{len(cache)} kernels in {folder}"
    )
    row["two_points_mmse"] = found
    row["expected"] = TWO_POINT_MMSE
    row["verified"] = abs(found - TWO_POINT_MMSE) < 1e-14
    return row
