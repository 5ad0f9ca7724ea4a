"""Options that several commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

as_json = click.option("--json", "json_", is_flag=True, help="Print JSON.")
solver_option = click.option(
    "--option",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the solver; repeat it for more than one.",
)


def _together(*options: Callable[[F], F]) -> Callable[[F], F]:
    """Several options as one decorator; the help lists them in this order."""

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
        help="Noise process, edm or vp: its default noise levels and initial law.",
    ),
    click.option("--sigma-min", type=float, help="Lowest positive noise level, in data units."),
    click.option("--sigma-max", type=float, help="Highest noise level, in data units."),
)

las_options = _together(
    click.option(
        "--lambda",
        "lambda_",
        type=float,
        help="las: variance that damps high SNR; 0 for none. "
        "Default: 2 s^2 / steps, with s the finest scale in the losses.",
    ),
    click.option(
        "--mu",
        type=float,
        help="las: penalty on changes of the step size in log-SNR (default 0).",
    ),
    click.option("--power", type=float, help="las: exponent of that penalty (default 2)."),
    click.option(
        "--axis", help="las: saturating (default) or exponential damping, with c = 1 / lambda."
    ),
)

losses_options = _together(
    click.option(
        "--losses",
        help="Loss log, a CSV file: columns sigma (or snr, or t with --process vp) and loss, "
        "optionally samples.",
    ),
    click.option("--parametrisation", help="What the losses are of: eps, x0, v or edm."),
    click.option("--dim", type=int, help="Number of coordinates of x0 (default 1)."),
    click.option("--sigma-data", type=float, help="EDM's sigma_data (default 0.5)."),
    click.option("--reduction", help="Losses are the sum (default) or the mean over coordinates."),
)

# Names that a command may have set only together with --network.
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
        help="Trained network: checkpoint, diffusers folder, or module:function of your own.",
    ),
    click.option("--data", help="network: clean samples, an .npy, .npz, folder or .zip."),
    click.option("--samples", type=int, help="network: number of clean samples (1024, or all)."),
    click.option("--levels", type=int, help="network: number of levels of EDM's grid (128)."),
    click.option(
        "--sigma-min", type=float, help="network: lowest level (0.002, or the network's own)."
    ),
    click.option(
        "--sigma-max", type=float, help="network: highest level (80, or the network's own)."
    ),
    click.option("--batch", type=int, help="network: samples per batch (64)."),
    click.option("--seed", type=int, help="network: seed of samples and noise (0)."),
    click.option("--device", help="network: cpu (default) or cuda."),
    click.option("--precision", help="network: float32 (default), bfloat16 or float16."),
    click.option("--time", help="network with integer times: nearest (default) or interpolated."),
    click.option("--guidance", type=float, help="network: weight of classifier-free guidance."),
    click.option(
        "--condition",
        help="network: .npz of named arrays, one row in all or one row per sample.",
    ),
)
