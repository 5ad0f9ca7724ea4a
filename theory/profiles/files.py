"""Exchange files: profiles and schedules as JSON.

Numbers are written as the shortest decimals that round-trip. Reading an invalid file raises a
ValueError of one line that starts with the path. Writing replaces a file completely or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import ArrayLike

from theory.checks import Array, monotone, one_of, vector
from theory.levels import MOST_STEPS, TERMINALS
from theory.profiles.profile import Profile
from theory.reading import StrPath, naming, numbers, parse_json, read_json, read_text, write_json


@dataclass(frozen=True, eq=False)
class Schedule:
    """Contents of a schedule file.

    Args:
        method: Name of the rule that chose the levels, on one line.
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing, in data units; only the
            last may be 0.
        terminal: "zero" if the last level is 0, else "stop".
        source: Origin of the numbers; any value that JSON can represent.

    Raises:
        ValueError: A field is invalid; the message is one line and names it.
    """

    method: str
    sigmas: Array
    terminal: str
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or not self.method.isprintable():
            raise ValueError(f"method must be a name on one line, got {self.method!r}")
        one_of("terminal", self.terminal, TERMINALS)
        sigmas = vector("sigmas", self.sigmas, 2)
        if sigmas.size > MOST_STEPS + 1:
            raise ValueError(f"sigmas must have at most {MOST_STEPS + 1} levels, got {sigmas.size}")
        monotone("sigmas", sigmas, falling=True, advice="flip the list?")
        last = sigmas[-1]
        if last < 0 or (last == 0) != (self.terminal == "zero"):
            rule = "be 0" if self.terminal == "zero" else "be positive"
            where = f"as the last level, terminal being {self.terminal!r}"
            raise ValueError(f"sigmas must {rule} {where}, got {last:g} at index {sigmas.size - 1}")
        sigmas.flags.writeable = False
        object.__setattr__(self, "sigmas", sigmas)


def read_profile(path: StrPath) -> Profile:
    """The profile in a JSON file `{"kind": "profile", "dim", "sigma", "mmse", "stderr", "source"}`.

    The fields are those of `Profile`. "stderr", "source" and "spectral" may be missing. The JSON
    answer of `entropic profile` is accepted too; it only names the amplitudes of "spectral".

    Args:
        path: The file.

    Raises:
        ValueError: The file is missing or invalid; the message is one line and starts with the
            path.
    """
    fields = read_json(path, "profile", ("dim", "sigma", "mmse"))
    stderr, spectral = fields.get("stderr"), fields.get("spectral", {})
    if "kind" not in fields:  # an answer
        spectral = {}
    with naming(path):
        if not isinstance(spectral, dict):
            raise ValueError(f"spectral must be a JSON object, got {spectral!r:.40}")
        return Profile(
            fields["dim"],
            numbers(fields, "sigma"),
            numbers(fields, "mmse"),
            None if stderr is None else numbers(fields, "stderr"),
            fields["source"],
            {key: numbers(spectral, key) for key in spectral},
        )


def write_profile(path: StrPath, profile: Profile) -> None:
    """Write a profile as JSON; the file is replaced completely or not at all.

    Args:
        path: The file.
        profile: The profile to write.

    Raises:
        ValueError: The file cannot be written, or the source is not valid JSON.
    """
    fields = {
        "kind": "profile",
        "dim": profile.dim,
        "sigma": profile.sigma.tolist(),
        "mmse": profile.mmse.tolist(),
        "stderr": None if profile.stderr is None else profile.stderr.tolist(),
        "source": dict(profile.source),
    }
    if profile.spectral:
        fields["spectral"] = {key: values.tolist() for key, values in profile.spectral.items()}
    write_json(path, fields)


def read_schedule(path: StrPath) -> Schedule:
    """The levels in a schedule file, or in a plain list of numbers.

    A schedule file is JSON `{"kind": "schedule", "method", "sigmas", "terminal", "source"}`, with
    the fields of `Schedule`; "source" may be missing. The JSON answer of `entropic schedule` has
    these fields too. A plain list is a JSON list, or text with one level per line. Its method is
    "list", and its terminal is "zero" if the last level is 0.

    Args:
        path: The file.

    Raises:
        ValueError: The file is missing or invalid; the message is one line and starts with the
            path.
    """
    text = read_text(path).strip()
    if text.startswith("{"):
        fields = parse_json(path, text, "schedule", ("method", "sigmas", "terminal"))
        with naming(path):
            sigmas = numbers(fields, "sigmas")
            return Schedule(fields["method"], sigmas, fields["terminal"], fields["source"])
    with naming(path):
        levels = numbers({"sigmas": _list_of(text)}, "sigmas")
        last_is_zero = levels.size > 0 and levels[-1] == 0
        return Schedule("list", levels, "zero" if last_is_zero else "stop")


def _list_of(text: str) -> list[Any]:
    """The numbers of a JSON list, or of text with one number per line."""
    if text.startswith("["):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ValueError(f"the file must be a valid JSON list, got {error}") from None
        assert isinstance(found, list)  # it begins with a bracket
        return found
    out = []
    for i, line in enumerate(text.splitlines(), start=1):
        word = line.strip().rstrip(",")
        if not word or word.startswith("#"):
            continue
        try:
            out.append(float(word))
        except ValueError:
            rule = "the file must hold one level per line, a JSON list or a schedule"
            raise ValueError(f"{rule}, got {word[:40]!r} on line {i}") from None
    return out


def write_schedule(
    path: StrPath,
    method: str,
    sigmas: ArrayLike,
    terminal: str,
    source: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> None:
    """Write a schedule as JSON; the file is replaced completely or not at all.

    Args:
        path: The file.
        method: Name of the rule that chose the levels, on one line.
        sigmas: Noise levels, shape (n_steps + 1,), strictly decreasing; only the last may be 0.
        terminal: "zero" if the last level is 0, else "stop".
        source: Origin of the numbers; any mapping that JSON can represent.
        warnings: Reasons to doubt the levels, one sentence each.

    Raises:
        ValueError: A field is invalid, or the file cannot be written.
    """
    schedule = Schedule(method, vector("sigmas", sigmas), terminal, dict(source or {}))
    fields = {
        "kind": "schedule",
        "method": schedule.method,
        "sigmas": schedule.sigmas.tolist(),
        "terminal": schedule.terminal,
        "source": dict(schedule.source),
        **({"warnings": list(warnings)} if warnings else {}),
    }
    write_json(path, fields)
