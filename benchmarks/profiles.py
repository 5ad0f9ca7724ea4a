"""What `entropic profile` computes: options in, a plain row and perhaps a profile file out."""

from importlib import import_module
from typing import Any

import numpy as np

from benchmarks.experiments import (
    PROFILE_POINTS,
    SAMPLED_POINTS,
    curves_row,
    load_toy,
    to_profile,
)
from benchmarks.inputs import toy_spec
from benchmarks.loss_files import loss_profile, one_source, refuse_logged
from theory.files import write_profile
from theory.noise import named_process
from toys import information

PROFILE_LEVELS = 200  # levels `profile` prints by default


def profile(
    toy: str | None,
    losses: str | None,
    network: str | None,
    process: str,
    sigma: tuple[float, ...],
    out: str | None,
    measured: dict[str, Any],
    **logged: Any,
) -> dict[str, Any]:
    """The row of `entropic profile`; `measured` are the options of a network."""
    one_source(toy=toy, losses=losses, network=network)
    if network is not None:
        refuse_logged(logged)
        row: dict[str, Any] = network_part("benchmarks.networks.commands").profile(
            network, out=out, sigma=sigma, **measured
        )
        return row
    for name, value in measured.items():
        if value is not None:
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} must come with --network, got {value} alone")
    span = named_process(process)
    if losses is not None:
        if sigma:
            raise ValueError("--sigma must come with --toy, got it with --losses")
        found = loss_profile(losses, process, **logged)
        row = {
            "dim": found.dim,
            "sigma": found.sigma.tolist(),
            "mmse": found.mmse.tolist(),
            "stderr": None if found.stderr is None else found.stderr.tolist(),
            "entropy_rate": found.entropy_rate().tolist(),
            "conditional_entropy": None,
            "mutual_information": None,
            "entropy_from_sigma_min": found.entropy_from_sigma_min().tolist(),
            "rescaled_entropy": found.rescaled_entropy().tolist(),
            "entropy_error": found.entropy_error(),
            "rescaled_error": found.rescaled_error(),
        }
        if out is not None:
            write_profile(out, found)
        return row
    assert toy is not None  # one_source
    refuse_logged(logged)
    data = load_toy(toy_spec(toy))
    exact = information.factorise(data) is not None
    count = PROFILE_LEVELS if exact else SAMPLED_POINTS
    levels = np.geomspace(span.sigma_min, span.sigma_max, count)
    if sigma:
        levels = np.unique(np.asarray(sigma, dtype=np.float64))
        if out is not None and levels.size < 4:
            raise ValueError(f"--sigma must name at least 4 levels with --out, got {levels.size}")
    row = curves_row(data, levels)
    few = SAMPLED_POINTS if row["stderr"] else PROFILE_POINTS
    row["rescaled_entropy"] = information.rescaled_entropy(data, levels, few).tolist()
    if out is not None:
        write_profile(out, to_profile(row, {"toy": toy}))
    return row


def profile_text(row: dict[str, Any]) -> str:
    """The profile as a table for people."""
    names = ["sigma", "mmse", "entropy_rate", "conditional_entropy", "mutual_information"]
    names += ["entropy_from_sigma_min", "rescaled_entropy"]
    names = [n for n in names if row.get(n) is not None]
    lines = ["  ".join(f"{n:>22s}" for n in names)]
    lines += [
        "  ".join(f"{v:22.12g}" for v in values)
        for values in zip(*(row[n] for n in names), strict=True)
    ]
    return "\n".join(lines)


def network_part(module: str, extra: str = "networks") -> Any:
    """A module that needs torch; ValueError where the libraries of the extra are not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.split(".")[0] in ("benchmarks", "theory", "toys"):
            raise
        rule = f"be installed for this, as `pip install -e '.[{extra}]'` does"
        raise ValueError(f"the extra {extra} must {rule}, got no module {error.name}") from None
