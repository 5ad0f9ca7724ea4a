"""Bootstrap bands of schedules as plain values, from whatever can be drawn again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from theory.level_errors import LevelErrors, read_level_errors
from theory.loss_log import bootstrap_band
from theory.profile import Profile
from toys.kernels import Array

REPLICATES, BAND = 200, 0.9


def bootstrap(
    draw: Callable[[np.random.Generator], Profile],
    make: Callable[[Profile], Array],
    replicates: int,
    seed: int,
) -> dict[str, Any]:
    """Share, replicates, seed, low, high and reason; low and high null where there is no band."""
    fields: dict[str, Any] = {"share": BAND, "replicates": replicates, "seed": seed}
    try:
        low, high = bootstrap_band(
            draw,
            make,
            replicates,
            seed,
            BAND,
            lambda loop: tqdm(loop, desc="bootstrap", leave=False, delay=2.0),
        )
    except ValueError as error:
        return fields | {"low": None, "high": None, "reason": str(error)}
    return fields | {"low": low.tolist(), "high": high.tolist(), "reason": None}


def kept_errors(path: str, profile: Profile) -> LevelErrors | None:
    """The errors of single samples that `entropic profile --network` leaves beside its profile.

    None if the profile names no such file, or it has been moved away.
    """
    name = profile.source.get("errors")
    if not isinstance(name, str) or Path(name).name != name:
        return None
    file = Path(path).with_name(name)
    return read_level_errors(file, profile) if file.exists() else None


def network_band(
    errors: LevelErrors | None,
    make: Callable[[Profile], Array],
    method: str,
    replicates: int | None,
    seed: int | None,
) -> dict[str, Any] | None:
    """The band of a schedule from a measured profile, over clean samples drawn again.

    None for a profile whose single errors are not there.
    """
    if errors is None:
        if replicates or seed:
            raise ValueError("--replicates and --seed must come with noise, got no errors")
        return None
    if replicates == 0:
        return None
    count = REPLICATES if replicates is None else replicates
    if method == "spectral":
        fields = {"share": BAND, "replicates": 0, "seed": seed or 0, "low": None, "high": None}
        return fields | {"reason": "the split over frequencies is kept as means, not by sample"}
    return bootstrap(errors.resampled, make, count, seed or 0)


def text(fields: dict[str, Any]) -> str:
    """A band in words, with the sigma where it is widest."""
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
