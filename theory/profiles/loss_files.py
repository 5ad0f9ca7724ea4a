"""Loss logs of the command line: a CSV file and the options that say what its losses are."""

import os
from typing import Any

from theory.checks import one_of
from theory.noise.processes import VP
from theory.profiles.files import LossRows, read_losses_csv
from theory.profiles.loss_log import MOST_LEVELS, LossLog
from theory.profiles.profile import Profile
from theory.profiles.risks import PARAMETRISATIONS, profile_from_losses, x0_risks
from theory.reading import StrPath, naming


def loss_profile(path: StrPath, process: str, **logged: Any) -> Profile:
    """The profile of a CSV file of losses, with one level per distinct level of the file.

    Args:
        path: The file; see `theory.profiles.files.read_losses_csv`.
        process: "edm" or "vp", the process of a column `t`.
        **logged: parametrisation, dim, sigma_data and reduction, as for
            `theory.profiles.risks.x0_risks`; None for a default.

    Raises:
        ValueError: The file or an option is invalid.
    """
    rows, options = _logged(path, process, **logged)
    more = _source(path, options)
    with naming(path):
        return profile_from_losses(
            rows.sigma, rows.loss, samples=rows.samples, source=more, **options
        )


def loss_log(path: StrPath, process: str, bins: int | None, **logged: Any) -> LossLog:
    """The rows of a CSV file of losses, averaged in bins if it has many levels.

    Args:
        path: The file; see `theory.profiles.files.read_losses_csv`.
        process: "edm" or "vp", the process of a column `t`.
        bins: Number of levels beyond which rows are binned. Default: 64.
        **logged: parametrisation, dim, sigma_data and reduction, as for
            `theory.profiles.risks.x0_risks`; None for a default.

    Raises:
        ValueError: The file or an option is invalid.
    """
    rows, options = _logged(path, process, **logged)
    sigma, risk = x0_risks(rows.sigma, rows.loss, **options)
    more = _source(path, options)
    with naming(path):
        if sigma.size < 4:
            raise ValueError(f"losses must hold at least 4 distinct levels, got {sigma.size} rows")
        bins = MOST_LEVELS if bins is None else bins
        return LossLog(sigma, risk, rows.samples, options["dim"], bins, more)


def _logged(path: StrPath, process: str, **logged: Any) -> tuple[LossRows, dict[str, Any]]:
    """Rows of a CSV file of losses, and the options of `x0_risks` for them."""
    parametrisation = logged["parametrisation"]
    if parametrisation is None:
        known = ", ".join(PARAMETRISATIONS)
        raise ValueError(f"parametrisation must be given with losses, got none; one of {known}")
    one_of("parametrisation", parametrisation, PARAMETRISATIONS)
    return read_losses_csv(path, VP() if process == "vp" else None), {
        "parametrisation": parametrisation,
        "dim": 1 if logged["dim"] is None else logged["dim"],
        "sigma_data": 0.5 if logged["sigma_data"] is None else logged["sigma_data"],
        "reduction": logged["reduction"] or "sum",
    }


def _source(path: StrPath, options: dict[str, Any]) -> dict[str, Any]:
    return {"losses": os.fspath(path), "parametrisation": options["parametrisation"]}


def one_source(**given: object) -> None:
    """Raise ValueError unless exactly one of the arguments is given."""
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        got = " and ".join(named) or "none"
        raise ValueError(f"exactly one of {', '.join(given)} must be given, got {got}")


def refuse_logged(logged: dict[str, Any]) -> None:
    """Raise ValueError if an option of a loss log is given without one."""
    for name, value in logged.items():
        if value is not None:
            raise ValueError(f"{name} must come with losses, got {value} without")
