"""The columns of a loss log: which one is meant, by its name or by the user's word.

Names are compared in lower case, without what trackers put around them: "train/sigma",
"run 7 - sigma" and "train_sigma" end in sigma, and "sigma__MIN" is no column of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from theory.checks import one_of

# Columns that say what they are, by the meaning of `theory.noise.times`.
PLAIN = {
    "sigma": ("sigma", "sigmas", "noise_level"),
    "snr": ("snr",),
    "log-snr": ("log_snr", "logsnr"),
    "alpha-bar": ("alpha_bar", "alphabar", "alphas_cumprod", "alpha_cumprod"),
}
# Columns of several meanings: `times` has to say which.
TIMED = ("t", "time", "timestep", "timesteps", "step_index", "lambda", "u")
LOSS, SAMPLES = ("loss",), ("samples",)
STEP = ("step", "global_step", "_step", "training_step", "iteration")
SPLIT = ("split", "phase", "mode", "stage", "dataset")
WEIGHT = ("weight", "weights", "loss_weight")
ROLES = ("loss", "sigma", "weight", "samples", "step")
BOUNDS = ("__min", "__max")
OTHER_DATA = ("val", "valid", "validation", "test", "eval", "dev")


def column_words(words: Iterable[str]) -> dict[str, str]:
    """Roles and names of columns, from words such as "loss=train/loss".

    Raises:
        ValueError: A word has no "=", an unknown role, or a role comes twice.
    """
    out: dict[str, str] = {}
    for word in words:
        role, equals, name = word.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"column must be ROLE=NAME, such as loss=train/loss, got {word!r}")
        if one_of("role of a column", role.strip(), ROLES) in out:
            raise ValueError(f"column must name each role once, got {role.strip()} twice")
        out[role.strip()] = name.strip()
    return out


def given_column(names: Sequence[str], role: str, name: str) -> str:
    """The column that the user names, which must be there; case counts only if it has to."""
    if name in names:
        return name
    same = [one for one in names if one.lower() == name.lower()]
    if len(same) == 1:
        return same[0]
    shown = ", ".join(one for one in names if one)[:200]
    raise ValueError(f"column {role}={name} must be one of the file's columns, got {shown}")


def find_column(names: Sequence[str], role: str, known: Sequence[str]) -> str | None:
    """The one column with a known name, or None.

    Whole names count before the last parts of longer names, training data before other data.

    Raises:
        ValueError: Several columns fit.
    """
    fits = fitting_columns(names, known)
    if len(fits) > 1:
        raise ValueError(
            f"columns must leave no doubt about {role}, got {', '.join(fits)[:120]}; name one "
            f"as {role}=NAME"
        )
    return fits[0] if fits else None


def fitting_columns(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """All columns with a known name, as `find_column` ranks them."""
    own = [name for name in names if name and not name.lower().endswith(BOUNDS)]
    for part in (_plain, _last):
        fits = [name for name in own if part(name) in known]
        if fits:
            return [name for name in fits if not _is_other_data(name)] or fits
    return []


def noise_columns(names: Sequence[str]) -> dict[str, str]:
    """The columns of noise levels or times, by meaning; "times" is that of a column of TIMED.

    Several columns of times leave no doubt where another column states the level.
    """
    found = {meaning: find_column(names, "sigma", known) for meaning, known in PLAIN.items()}
    plain = {meaning: name for meaning, name in found.items() if name is not None}
    if plain and len(fitting_columns(names, TIMED)) > 1:
        return plain
    times = find_column(names, "sigma", TIMED)
    return plain if times is None else plain | {"times": times}


def knows(names: Sequence[str], given: Mapping[str, str]) -> bool:
    """Whether these are the columns of a loss log, so that the separator is right.

    Args:
        names: Names of the columns.
        given: Columns that the user has named, by role.
    """
    if given:
        return {name.lower() for name in given.values()} <= {name.lower() for name in names}
    parts = [part(name) for name in names for part in (_plain, _last)]
    noise = [*TIMED, *(name for known in PLAIN.values() for name in known)]
    return any(part in LOSS for part in parts) and any(part in noise for part in parts)


def _plain(name: str) -> str:
    return re.sub(r"[\s\-]+", "_", name.strip().lower())


def _last(name: str) -> str:
    """The last part of a name, without what trackers put before it."""
    part = re.split(r"/| - |\.|:", name.strip().lower())[-1]
    return re.sub(r"^(train|training|val|valid|validation|test|eval)_", "", _plain(part))


def _is_other_data(name: str) -> bool:
    """Whether a name says that the column is not of the training data."""
    return any(part in OTHER_DATA for part in re.split(r"[/.:_\s\-]+", name.lower()))
