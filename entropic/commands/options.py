"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

as_json = click.option("--json", "json_", is_flag=True, help="Print the result as JSON.")
solver_option = click.option(
    "--option",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the solver. Repeat for several.",
)


def _together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """One decorator for several options, which the help lists in this order."""

    def decorated(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


ends = _together(
    click.option(
        "--process",
        default="edm",
        show_default=True,
        help="Noise process, edm or vp. It sets the default noise levels and the initial law.",
    ),
    click.option(
        "--sigma-min",
        type=float,
        help="Lowest positive noise level, in data units. "
        "Default: that of a given profile or loss log, otherwise of the process.",
    ),
    click.option(
        "--sigma-max",
        type=float,
        help="Highest noise level, in data units. "
        "Default: that of a given profile or loss log, otherwise of the process.",
    ),
)

las_options = _together(
    click.option(
        "--lambda",
        "lambda_",
        type=float,
        help="las: variance that damps high SNR, in squared data units; 0 for no damping. "
        "Default: 2 s^2 / steps, where s is the finest scale of the data.",
    ),
    click.option(
        "--mu",
        type=float,
        help="las: weight of the penalty on changes of the step size in log SNR. Default: 0.",
    ),
    click.option("--power", type=float, help="las: exponent of that penalty. Default: 2."),
    click.option(
        "--axis",
        help="las: form of the damping, saturating, or exponential with c = 1 / lambda. "
        "Default: saturating.",
    ),
)

losses_options = _together(
    click.option(
        "--losses",
        help="Loss log, a CSV file with the columns sigma (or snr, or t with --process vp), loss, "
        "and optionally samples.",
    ),
    click.option(
        "--parametrisation", help="losses: parametrisation of the loss, eps, x0, v or edm."
    ),
    click.option("--dim", type=int, help="losses: number of coordinates of x0. Default: 1."),
    click.option(
        "--sigma-data",
        type=float,
        help="losses: EDM's sigma_data, in data units. Default: 0.5.",
    ),
    click.option("--reduction", help="losses: sum or mean over coordinates. Default: sum."),
)

# Options that need --network.
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
network_options = _together(
    click.option(
        "--network",
        help="Trained network: checkpoint, published file, diffusers folder, or module:function of "
        "your own code.",
    ),
    click.option("--data", help="network: clean samples, an .npy, .npz or .zip file or a folder."),
    click.option(
        "--samples",
        type=int,
        help="network: number of clean samples. Default: 1024, or all if fewer.",
    ),
    click.option(
        "--levels", type=int, help="network: number of levels of EDM's grid. Default: 128."
    ),
    click.option(
        "--sigma-min",
        type=float,
        help="network: lowest level, in data units. Default: that of the network.",
    ),
    click.option(
        "--sigma-max",
        type=float,
        help="network: highest level, in data units. Default: that of the network.",
    ),
    click.option("--batch", type=int, help="network: number of samples per batch. Default: 64."),
    click.option(
        "--seed", type=int, help="network: seed of samples and noise, in [0, 2^32). Default: 0."
    ),
    click.option("--device", help="network: cpu or cuda. Default: cpu."),
    click.option("--precision", help="network: float32, bfloat16 or float16. Default: float32."),
    click.option(
        "--time",
        help="network: times of networks with integer times, nearest or interpolated. "
        "Default: nearest.",
    ),
    click.option(
        "--guidance",
        type=float,
        help="network: weight of classifier-free guidance. Default: no guidance.",
    ),
    click.option(
        "--condition",
        help="network: .npz file of named arrays, with one row in all or one row per sample.",
    ),
)
