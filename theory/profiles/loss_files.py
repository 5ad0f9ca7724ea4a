"""Loss logs in files, and what their columns mean."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.checks import Array, one_of, require, whole
from theory.noise.ddpm import Betas, Index
from theory.noise.processes import VP, Coordinate
from theory.noise.times import ENDS, TIMES, coordinate_of
from theory.profiles.columns import (
    LOSS,
    OTHER_DATA,
    SAMPLES,
    SPLIT,
    STEP,
    WEIGHT,
    find_column,
    fitting_columns,
    given_column,
    knows,
    noise_columns,
)
from theory.profiles.loss_log import MOST_LEVELS, LossLog
from theory.profiles.profile import Profile
from theory.profiles.risks import PREDICTIONS, prediction_of, profile_from_losses, x0_risks
from theory.profiles.tables import Table, read_table
from theory.reading import StrPath, naming

SAME = 1e-3  # relative difference allowed between two columns that state the level


@dataclass(frozen=True)
class Logged:
    """What the columns of a loss log mean, and which rows count; None for a default.

    Args:
        prediction: Target of the losses: "eps", "x0", "v", "flow" or "edm", or diffusers' name.
        times: Meaning of the column of levels or times, one of `theory.noise.times.TIMES`. Default:
            what the name of the column says; `t`, `timestep`, `step_index` and `lambda` need it.
        betas: Betas of "ddpm" or "vp" (`theory.noise.times.coordinate_of`).
        zero_snr: Whether the betas of "ddpm" were rescaled so that the last level is pure noise.
        weight: Weight that the losses were multiplied by (`theory.profiles.risks.loss_weight`).
        dim: Number of coordinates of x0. Default: 1.
        sigma_data: EDM's sigma_data, in data units. Default: 0.5.
        reduction: Whether losses are the "sum" or the "mean" over coordinates. Default: "sum".
        columns: Names of columns by role: "loss", "sigma" (the levels or times), "weight" (by which
            losses are divided), "samples" and "step".
        after: Training step after which rows count.
        last: Number of rows that count, from the last training step backwards.
    """

    prediction: str | None = None
    times: str | None = None
    betas: str | None = None
    zero_snr: bool | None = None
    weight: str | None = None
    dim: int | None = None
    sigma_data: float | None = None
    reduction: str | None = None
    columns: Mapping[str, str] | None = None
    after: int | None = None
    last: int | None = None

    def given(self) -> dict[str, Any]:
        """The options that are not left to their defaults."""
        every = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in every.items() if value is not None}

    def risk_options(self) -> dict[str, Any]:
        """The options of `theory.profiles.risks.x0_risks`."""
        if self.prediction is None:
            known = ", ".join(PREDICTIONS)
            raise ValueError(f"prediction must be given with losses, got none; one of {known}")
        return {
            "prediction": prediction_of(self.prediction),
            "dim": 1 if self.dim is None else self.dim,
            "sigma_data": 0.5 if self.sigma_data is None else self.sigma_data,
            "reduction": self.reduction or "sum",
            "weight": self.weight or "none",
        }


PLAIN_LOG = Logged()  # whose columns say what they are


@dataclass(frozen=True, eq=False)
class LossRows:
    """Noise levels, losses and samples per row of a loss log, shape (n,) each, in file order.

    Args:
        sigma: Noise levels, in data units.
        loss: Losses, divided by the column of weights if there is one.
        samples: Number of samples whose mean each row is.
        columns: The columns that were read, by role.
        left_out: Number of rows that were left out, by reason.
        notes: What was assumed, one sentence each.
    """

    sigma: Array
    loss: Array
    samples: Array
    columns: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_losses(path: StrPath, logged: Logged = PLAIN_LOG) -> LossRows:
    """The rows of a loss log that carry a measurement.

    Needed are a column `loss` and one of levels or times: `sigma`, `snr`, `log_snr`, `alpha_bar`,
    or, with `times`, any of `t`, `timestep`, `step_index` and `lambda`. Names may have a tracker's
    prefix. A column `samples` holds the number of samples whose mean a row is, 1 without it. Rows
    that are blank, not finite, without noise or pure noise are left out and counted.

    Args:
        path: The file (`theory.profiles.tables.read_table`); "-" is standard input.
        logged: What the columns mean, and which rows count.

    Raises:
        ValueError: The file or an option is invalid; the message is one line with the path and, for
            a value, the line.
    """
    if logged.times is not None:
        one_of("times", logged.times, TIMES)
    given = dict(logged.columns or {})
    if "weight" in given and logged.weight not in (None, "none"):
        raise ValueError(
            f"weight must be a name or a column, got {logged.weight} and column {given['weight']}"
        )
    table = read_table(path, partial(knows, given=given))
    with naming(path):
        return _Reader(table, logged, given).rows()


class _Reader:
    """Reads the columns of one table.

    Args:
        table: The table.
        logged: What its columns mean, and which rows count.
        given: Columns that the user has named, by role.
    """

    def __init__(self, table: Table, logged: Logged, given: Mapping[str, str]) -> None:
        self.table, self.logged, self.given = table, logged, given
        self.used: dict[str, str] = {}
        self.why = np.full(len(table.cells), "", dtype="<U24")

    def rows(self) -> LossRows:
        """The rows that count."""
        for role, name in self.given.items():
            given_column(self.table.names, role, name)
        level, kind, meaning = self._level()
        loss = self._column("loss", LOSS)
        if loss is None:
            raise self._missing("loss")
        noise, absent = self.table.numbers(level)
        self._leave(absent)
        losses, absent = self.table.numbers(loss)
        self._leave(absent)
        self._leave_other_data()
        self._leave_steps()
        self._leave_ends(noise, kind, meaning)
        keep = self.why == ""
        if not keep.any():
            raise ValueError(f"the file must hold rows with a loss, got {self._counts()}")
        lines = np.array(self.table.lines)[keep].tolist()
        sigma = self._sigma(noise[keep], level, meaning, lines)
        self._agree(sigma, keep, level, lines)
        values = losses[keep]
        require(values >= 0, loss, values, "be at least 0", lines=lines)
        weight = self._numbers("weight", (), keep, lines)
        if weight is not None:
            require(weight > 0, self.used["weight"], weight, "be positive", lines=lines)
            values = values / weight
        samples = self._numbers("samples", SAMPLES, keep, lines)
        if samples is None:
            samples = np.ones_like(sigma)
        good = (samples >= 1) & (samples <= 1e15) & (samples == np.floor(samples))
        require(
            good,
            self.used.get("samples", "samples"),
            samples,
            "be whole and at least 1",
            lines=lines,
        )
        reasons, counts = np.unique(self.why[~keep], return_counts=True)
        left_out = dict(zip(reasons.tolist(), counts.tolist(), strict=True))
        return LossRows(sigma, values, samples, self.used, left_out, self._notes(kind))

    def _column(self, role: str, known: tuple[str, ...]) -> str | None:
        """The column of a role, as the user or its name says."""
        names = self.table.names
        found = (
            given_column(names, role, self.given[role])
            if role in self.given
            else find_column(names, role, known)
        )
        if found is not None:
            self.used[role] = found
        return found

    def _missing(self, what: str) -> ValueError:
        names = ", ".join(name for name in self.table.names if name)[:200]
        role = "loss" if what == "loss" else "sigma"
        return ValueError(f"columns must include {what}, got {names}; name one as {role}=NAME")

    def _level(self) -> tuple[str, str, Coordinate]:
        """The column of levels or times, the name of its meaning, and its meaning."""
        times, logged = self.logged.times, self.logged
        if "sigma" in self.given:
            name = given_column(self.table.names, "sigma", self.given["sigma"])
            own = next((m for m in noise_columns([name]) if m != "times"), None)
            if times is None and own is None:
                raise _needs_times(name)
            kind = times or own
            assert kind is not None
        else:
            found = noise_columns(self.table.names)
            if not found:
                raise self._missing("sigma (or snr, log_snr, alpha_bar, or a time)")
            kind = times or next(iter(found))
            name = found.get(kind) or found.get("times") or next(iter(found.values()))
            if kind == "times":
                raise _needs_times(name)
            said = next(meaning for meaning, other in found.items() if other == name)
            if said not in (kind, "times"):
                raise ValueError(
                    f"times must agree with the name of column {name}, got {kind}; if it is so, "
                    f"say sigma={name}"
                )
        self.used["sigma"] = name
        return name, kind, coordinate_of(kind, logged.betas, bool(logged.zero_snr))

    def _leave(self, why: NDArray[np.str_]) -> None:
        """Leave out rows without a number, unless they are left out already."""
        self.why = np.where(self.why == "", why, self.why)

    def _leave_other_data(self) -> None:
        """Leave out rows that a column says are of validation or test data."""
        for name in fitting_columns(self.table.names, SPLIT):
            at = self.table.names.index(name)
            other = [row[at].strip().lower() in OTHER_DATA for row in self.table.cells]
            self._leave(np.where(other, "of other data", ""))

    def _notes(self, kind: str) -> tuple[str, ...]:
        """What was assumed."""
        out = []
        if kind == "ddpm" and self.logged.betas is None:
            out.append("times are indices of DDPM's linear betas, 0.0001 to 0.02: betas says which")
        if "weight" not in self.given and self.logged.weight is None:
            for name in fitting_columns(self.table.names, WEIGHT):
                out.append(
                    f"column {name} was not used: if losses were multiplied by it, say "
                    f"weight={name}"
                )
        return tuple(out)

    def _leave_steps(self) -> None:
        """Leave out rows by their training step."""
        after, last = self.logged.after, self.logged.last
        if after is None and last is None:
            return
        name = self._column("step", STEP)
        if name is None or name == self.used["sigma"]:
            option = "after" if last is None else "last"
            raise ValueError(
                f"{option} must come with a column of training steps, got "
                f"{', '.join(self.table.names)[:200]}; name one as step=NAME"
            )
        steps, absent = self.table.numbers(name)
        self._leave(np.where(absent == "", "", "without a training step"))
        if after is not None:
            early = steps <= whole("after", after, 0)
            self._leave(np.where(early, "too early", ""))
        if last is not None:
            left = np.flatnonzero(self.why == "")
            order = left[np.argsort(steps[left], kind="stable")]
            early = np.zeros(steps.size, dtype=bool)
            early[order[: -whole("last", last, 1)]] = True
            self._leave(np.where(early, "too early", ""))

    def _leave_ends(self, noise: Array, kind: str, meaning: Coordinate) -> None:
        """Leave out rows without noise or of pure noise, which say nothing about the data."""
        for reason, end in zip(("without noise", "pure noise"), ENDS.get(kind, ()), strict=False):
            if end is not None:
                self._leave(np.where(noise == end, reason, ""))
        if isinstance(meaning, Betas) and meaning.zero_snr:
            self._leave(np.where(noise == len(meaning.betas) - 1, "pure noise", ""))

    def _counts(self) -> str:
        reasons, counts = np.unique(self.why, return_counts=True)
        return ", ".join(f"{n} {reason}" for reason, n in zip(reasons, counts, strict=True))

    def _sigma(self, noise: Array, name: str, meaning: Coordinate, lines: list[int]) -> Array:
        """Sigma at the levels or times; an error names the line."""
        if isinstance(meaning, VP):
            require(noise <= 1.0 + 1e-9, name, noise, "be at most 1, a time of vp", lines=lines)
        if isinstance(meaning, Index) and noise.max() <= 1.0 and (noise != np.round(noise)).any():
            raise ValueError(
                f"{name} must hold indices of betas, counted from 0, got times from "
                f"{noise.min():g} to {noise.max():g}"
            )
        with np.errstate(over="ignore"):
            try:
                sigma = np.asarray(meaning.sigma(noise))
            except ValueError:
                for value, line in zip(noise, lines, strict=True):
                    try:
                        meaning.sigma(value)
                    except ValueError as error:
                        message = str(error).replace("time must", f"{name} must", 1)
                        raise ValueError(f"{message} on {self.table.place} {line}") from None
                raise
        good = np.isfinite(sigma) & (sigma > 0)
        require(good, name, noise, "stand for a finite positive sigma", lines=lines)
        return sigma

    def _agree(self, sigma: Array, keep: NDArray[np.bool_], name: str, lines: list[int]) -> None:
        """Check the other columns that state the level."""
        if "sigma" in self.given:
            return
        for meaning, other in noise_columns(self.table.names).items():
            if meaning == "times" or other == name:
                continue
            values, absent = self.table.numbers(other)
            use = (absent == "")[keep]
            with np.errstate(all="ignore"):
                try:
                    stated = np.asarray(coordinate_of(meaning).sigma(values[keep][use]))
                except ValueError:
                    continue
                apart = np.abs(stated / sigma[use] - 1.0) > SAME
            if apart.any():
                i = int(np.flatnonzero(use)[np.argmax(apart)])
                got = f"{values[keep][i]:g} for sigma {sigma[i]:.4g}"
                raise ValueError(
                    f"{other} must agree with {name} about the level, got {got} on "
                    f"{self.table.place} {lines[i]}; name one as sigma=NAME"
                )

    def _numbers(
        self, role: str, known: tuple[str, ...], keep: NDArray[np.bool_], lines: list[int]
    ) -> Array | None:
        """A further column at the rows that count, all of which must have a number."""
        name = self._column(role, known)
        if name is None:
            return None
        values, absent = self.table.numbers(name)
        if (absent[keep] != "").any():
            i = int(np.argmax(absent[keep] != ""))
            raise ValueError(
                f"{name} must be finite numbers, got a cell that is {absent[keep][i]} on "
                f"{self.table.place} {lines[i]}"
            )
        return np.asarray(values[keep])


def _needs_times(name: str) -> ValueError:
    return ValueError(
        f"times must say what column {name} means, got none; one of {', '.join(TIMES)}"
    )


def loss_profile(path: StrPath, logged: Logged) -> Profile:
    """The profile of a loss log, with one level per distinct level of the file.

    Args:
        path: The file; see `read_losses`.
        logged: What its columns mean, and which rows count.

    Raises:
        ValueError: The file or an option is invalid.
    """
    options = logged.risk_options()
    rows = read_losses(path, logged)
    with naming(path):
        _check_levels(rows)
        return profile_from_losses(
            rows.sigma, rows.loss, samples=rows.samples,
            source=_source(path, logged, rows), **options,
        )  # fmt: skip


def loss_log(path: StrPath, bins: int | None, logged: Logged) -> LossLog:
    """The rows of a loss log, averaged in bins if it has many levels.

    Args:
        path: The file; see `read_losses`.
        bins: Number of levels beyond which rows are binned. Default: 64.
        logged: What its columns mean, and which rows count.

    Raises:
        ValueError: The file or an option is invalid.
    """
    options = logged.risk_options()
    rows = read_losses(path, logged)
    with naming(path):
        _check_levels(rows)
        sigma, risk = x0_risks(rows.sigma, rows.loss, **options)
        bins = MOST_LEVELS if bins is None else bins
        source = _source(path, logged, rows)
        return LossLog(sigma, risk, rows.samples, options["dim"], bins, source)


def log_texts(source: Mapping[str, Any]) -> list[str]:
    """What a reader of the log should know, as lines: rows left out, and what was assumed."""
    out = [left_out_text(source["left_out"])] if source.get("left_out") else []
    return [*out, *source.get("notes", [])]


def left_out_text(left_out: Mapping[str, int]) -> str:
    """The rows that were left out, as words."""
    total = sum(left_out.values())
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    return f"left out {total} row{'s' if total > 1 else ''}: {reasons}"


def _check_levels(rows: LossRows) -> None:
    count = np.unique(rows.sigma).size
    if count < 4:
        more = f" ({left_out_text(rows.left_out)})" if rows.left_out else ""
        raise ValueError(f"losses must hold at least 4 distinct levels, got {count}{more}")


def _source(path: StrPath, logged: Logged, rows: LossRows) -> dict[str, Any]:
    """What a profile remembers of its log."""
    out = {"losses": os.fspath(path), **logged.given(), "columns": dict(rows.columns)}
    out |= {"left_out": dict(rows.left_out)} if rows.left_out else {}
    return out | ({"notes": list(rows.notes)} if rows.notes else {})


def one_source(**given: object) -> None:
    """Raise ValueError unless exactly one of the arguments is given."""
    named = [name for name, value in given.items() if value is not None]
    if len(named) != 1:
        got = " and ".join(named) or "none"
        raise ValueError(f"exactly one of {', '.join(given)} must be given, got {got}")


def refuse_logged(logged: Logged, **more: Any) -> None:
    """Raise ValueError if an option of a loss log is given without one."""
    for name, value in (logged.given() | more).items():
        if value is not None:
            raise ValueError(f"{name} must come with losses, got {value} without")
