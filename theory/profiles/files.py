"""Exchange files: profiles and schedules as JSON, loss logs as CSV.

Numbers are written as the shortest decimals that round-trip. Reading an invalid file raises a
ValueError of one line that starts with the path. Writing replaces a file completely or not at all.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, monotone, one_of, require, vector
from theory.levels import MOST_STEPS, TERMINALS
from theory.noise.processes import SNR, Coordinate
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


class LossRows(NamedTuple):
    """Noise levels, losses and samples per row of a loss log, shape (n,) each, in file order."""

    sigma: Array
    loss: Array
    samples: Array


def read_losses_csv(path: StrPath, coordinate: Coordinate | None = None) -> LossRows:
    """Noise levels, losses and numbers of samples per row of a CSV loss log.

    The first line names the columns. Required are `loss` and one of `sigma`, `snr` and `t`, of
    which the first one present is used. The column `samples` is optional: the number of samples
    whose mean the row is, 1 if it is missing. Other columns and blank lines are ignored.

    Args:
        path: The file, UTF-8, separated by commas.
        coordinate: Coordinate that column `t` holds, such as VP(); needed for that column only.

    Raises:
        ValueError: The file is missing or invalid; the message is one line with the path and, for
            a value, the line number.
    """
    text = read_text(path)
    with naming(path):
        header, cells, lines = _table(text)
        noise = next((name for name in ("sigma", "snr", "t") if name in header), None)
        if noise is None or "loss" not in header:
            missing = "loss" if noise else "sigma (or snr, or t)"
            raise ValueError(f"columns must include {missing}, got {', '.join(header)[:200]}")
        if noise == "t" and coordinate is None:
            raise ValueError("column t must come with a process such as vp, got none")
        if not cells:
            raise ValueError("the file must hold rows of numbers, got column names only")
        levels, losses = (_column(name, header, cells, lines) for name in (noise, "loss"))
        require(losses >= 0, "loss", losses, "be at least 0", lines=lines)
        samples = np.ones_like(losses)
        if "samples" in header:
            samples = _column("samples", header, cells, lines)
            good = (samples >= 1) & (samples <= 1e15) & (samples == np.floor(samples))
            require(good, "samples", samples, "be whole and at least 1", lines=lines)
        if noise == "t" and coordinate is not None:
            sigma = _converted(levels, coordinate, lines)
            require(sigma > 0, "t", levels, "stand for a positive sigma", lines=lines)
            return LossRows(sigma, losses, samples)
        require(levels > 0, noise, levels, "be positive", lines=lines)
        return LossRows(SNR().sigma(levels) if noise == "snr" else levels, losses, samples)


def _table(text: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Names of the columns, the rows that are not blank, and their line numbers."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        rows = [(row, reader.line_num) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ValueError(f"the file must be valid CSV, got {error}") from None
    if not any(header):
        raise ValueError("the file must start with a line of column names, got nothing")
    twice = [name for name in header if name and header.count(name) > 1]
    if twice:
        raise ValueError(f"columns must have names of their own, got {twice[0]!r} twice")
    return header, [row for row, _ in rows], [line for _, line in rows]


def _column(name: str, header: list[str], rows: list[list[str]], lines: list[int]) -> Array:
    """One column, shape (n,), which must be finite numbers."""
    index, out = header.index(name), np.full(len(rows), np.nan)
    for i, row in enumerate(rows):
        text = row[index].strip() if index < len(row) else ""
        with contextlib.suppress(ValueError):
            out[i] = float(text)
        if not np.isfinite(out[i]):
            raise ValueError(f"{name} must be finite numbers, got {text[:40]!r} on line {lines[i]}")
    return out


def _converted(times: Array, coordinate: Coordinate, lines: list[int]) -> Array:
    """Sigma at these times, shape (n,); an error names the line."""
    with np.errstate(over="ignore"):
        try:
            sigma = coordinate.sigma(times)
        except ValueError:
            for time, line in zip(times, lines, strict=True):
                try:
                    coordinate.sigma(time)
                except ValueError as error:
                    message = str(error).replace("time must", "t must", 1)
                    raise ValueError(f"{message} on line {line}") from None
            raise
    require(np.isfinite(sigma), "t", times, "stand for a finite sigma", lines=lines)
    return sigma
