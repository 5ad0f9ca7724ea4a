"""The files people exchange: profiles and schedules as JSON, loss logs as CSV.

Numbers are shortest round-trip decimals. Whatever is wrong with a file, reading it raises
ValueError with one line that starts with its path. Writing replaces a file whole or not at all.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from theory.checks import Array, monotone, one_of, require, vector
from theory.levels import MOST_STEPS, TERMINALS
from theory.noise.processes import SNR, Coordinate
from theory.profiles.profile import Profile
from theory.reading import StrPath, naming, numbers, read_json, read_text, write_json


@dataclass(frozen=True, eq=False)
class Schedule:
    """What a schedule file holds.

    Args:
        method: How the levels were chosen, in a word.
        sigmas: Shape (n_steps + 1,), falling strictly, positive but for a last 0.
        terminal: "zero" if the last level is 0, else "stop".
        source: Where the numbers come from; anything that JSON can hold.
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

    "stderr", "source" and "spectral" (see `Profile`) may be left out.

    Raises:
        ValueError: One line starting with the path.
    """
    fields = read_json(path, "profile", ("dim", "sigma", "mmse"))
    stderr, spectral = fields.get("stderr"), fields.get("spectral", {})
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
    """Write a profile as JSON, replacing the file whole."""
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
    """The schedule in a JSON file `{"kind": "schedule", "method", "sigmas", "terminal", "source"}`.

    "source" may be left out.

    Raises:
        ValueError: One line starting with the path.
    """
    fields = read_json(path, "schedule", ("method", "sigmas", "terminal"))
    with naming(path):
        sigmas = numbers(fields, "sigmas")
        return Schedule(fields["method"], sigmas, fields["terminal"], fields["source"])


def write_schedule(
    path: StrPath,
    method: str,
    sigmas: ArrayLike,
    terminal: str,
    source: Mapping[str, Any] | None = None,
) -> None:
    """Write a schedule as JSON, replacing the file whole; see `Schedule` for the arguments."""
    schedule = Schedule(method, vector("sigmas", sigmas), terminal, dict(source or {}))
    fields = {
        "kind": "schedule",
        "method": schedule.method,
        "sigmas": schedule.sigmas.tolist(),
        "terminal": schedule.terminal,
        "source": dict(schedule.source),
    }
    write_json(path, fields)


class LossRows(NamedTuple):
    """Rows of a loss log, shape (n,) each, in their own order."""

    sigma: Array
    loss: Array
    samples: Array


def read_losses_csv(path: StrPath, coordinate: Coordinate | None = None) -> LossRows:
    """Noise levels, losses and samples a row of a CSV loss log.

    The first line names the columns: `loss`, `sigma` or `snr` or `t` (the first of these that is
    there), and perhaps `samples`, how many samples the row is a mean of (1 without it). Other
    columns and blank lines are skipped.

    Args:
        path: UTF-8, separated by commas.
        coordinate: What `t` is, such as VP(); needed for that column only.

    Raises:
        ValueError: One line with the path and the line number.
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
    """Column names, the rows that are not blank, and their line numbers."""
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        rows = [(row, reader.line_num) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ValueError(f"the file must be valid CSV, got {error}") from None
    if not any(header):
        raise ValueError("the file must start with a line of column names, got nothing")
    return header, [row for row, _ in rows], [line for _, line in rows]


def _column(name: str, header: list[str], rows: list[list[str]], lines: list[int]) -> Array:
    """One column as finite numbers, shape (n,)."""
    index, out = header.index(name), np.full(len(rows), np.nan)
    for i, row in enumerate(rows):
        text = row[index].strip() if index < len(row) else ""
        with contextlib.suppress(ValueError):
            out[i] = float(text)
        if not np.isfinite(out[i]):
            raise ValueError(f"{name} must be finite numbers, got {text[:40]!r} on line {lines[i]}")
    return out


def _converted(times: Array, coordinate: Coordinate, lines: list[int]) -> Array:
    """Sigma at these times; an error names the line."""
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
