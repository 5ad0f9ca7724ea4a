"""Tables of training logs as people have them: dialects of CSV, JSON lines, Parquet, gzip.

A table keeps the text of its cells. What they mean is decided when a column is read as numbers.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.checks import Array
from theory.reading import StrPath, decoded, naming, read_bytes

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"
MOST_BYTES = 2**31  # of a file after decompression: a limit against hostile files
SEPARATORS = ("\t", ";", ",", "|")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
BLANK = frozenset(("", "-", "--", ".", "na", "n/a", "<na>", "#n/a", "null", "none"))
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
NOT_FINITE = frozenset(("nan", "inf", "infinity"))


@dataclass(frozen=True, eq=False)
class Table:
    """Names of the columns and the text of their cells.

    Args:
        names: Names of the columns, as in the file.
        cells: One list per row, as long as the names.
        lines: Line of the file, or number of the row, that each row came from.
        place: "line" or "row": what `lines` count.
        commas: Whether commas separate the cells, so that one inside a cell may divide thousands.
    """

    names: list[str]
    cells: list[list[str]]
    lines: list[int]
    place: str = "line"
    commas: bool = False

    def numbers(self, name: str) -> tuple[Array, NDArray[np.str_]]:
        """A column as numbers, and why a cell has none: "", "blank" or "not finite".

        Decimal commas are accepted where no cell of the column has a decimal point.

        Args:
            name: Name of the column.

        Raises:
            ValueError: A cell is neither a number nor blank.
        """
        at = self.names.index(name)
        texts = [row[at].strip() for row in self.cells]
        if any(DECIMAL_COMMA.fullmatch(text) for text in texts):
            if any("." in text for text in texts):
                i = next(i for i, text in enumerate(texts) if DECIMAL_COMMA.fullmatch(text))
                raise ValueError(
                    f"{name} must have decimal points or decimal commas, got both, "
                    f"{texts[i]!r:.40} on {self.place} {self.lines[i]}"
                )
            if self.commas and any(THOUSANDS.fullmatch(text) for text in texts):
                i = next(i for i, text in enumerate(texts) if THOUSANDS.fullmatch(text))
                raise ValueError(
                    f"{name} must have numbers without a mark for thousands, got {texts[i]!r:.40} "
                    f"on {self.place} {self.lines[i]}"
                )
            texts = [text.replace(",", ".") for text in texts]
        values, why = np.full(len(texts), np.nan), np.full(len(texts), "", dtype="<U10")
        for i, text in enumerate(texts):
            word = text.lower()
            if NUMBER.fullmatch(text):
                values[i] = float(text)
                if not np.isfinite(values[i]):  # beyond float64
                    why[i] = "not finite"
            elif word in BLANK:
                why[i] = "blank"
            elif word.lstrip("+-") in NOT_FINITE:
                why[i] = "not finite"
            else:
                where = f"on {self.place} {self.lines[i]}"
                raise ValueError(f"{name} must be numbers, got {text[:40]!r} {where}")
        return values, why


def read_table(path: StrPath, knows: Callable[[list[str]], bool] = lambda names: True) -> Table:
    """The table in a file: CSV of any dialect, JSON lines, a JSON list of objects, or Parquet.

    Separators may be commas, semicolons, tabs, bars or blanks. A first line "sep=X", a byte-order
    mark, comment lines that begin with "#", quotes and blank lines are understood; a file may be
    compressed with gzip.

    Args:
        path: The file; "-" is standard input.
        knows: Whether names of columns are such that a reader can use; it decides between
            separators.

    Raises:
        ValueError: The file cannot be read as a table; the message is one line that starts with the
            path.
    """
    content = read_bytes(path)
    with naming(path):
        if content.startswith(GZIP):
            content = _decompressed(content)
        if content.startswith(PARQUET):
            return _parquet(content)
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            content = _from_utf16(content)  # what spreadsheets call Unicode text
        text = decoded(content)
        if text.lstrip().startswith(("{", "[")):
            return _json(text)
        return _csv(text, knows)


def _decompressed(content: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(content)) as stream:
            out = stream.read(MOST_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"the file must be whole gzip, got {error}") from None
    if len(out) == MOST_BYTES:
        raise ValueError(f"the file must have less than {MOST_BYTES} bytes, got more")
    return out


def _from_utf16(content: bytes) -> bytes:
    try:
        return content.decode("utf-16").encode()
    except UnicodeError as error:
        raise ValueError(f"the file must be UTF-8 or UTF-16 text, got {error!s:.60}") from None


def _parquet(content: bytes) -> Table:
    import pandas  # loaded only when it is needed

    try:
        frame = pandas.read_parquet(io.BytesIO(content))
    except ImportError:
        raise ValueError(
            "the file must be CSV or JSON lines without pyarrow, got Parquet"
        ) from None
    except Exception as error:  # whatever the engine raises for a broken file
        raise ValueError(f"the file must be valid Parquet, got {error!s:.100}") from None
    names = [str(name) for name in frame.columns]
    cells = [[_text(value) for value in row] for row in frame.itertuples(index=False, name=None)]
    return _checked(Table(names, cells, list(range(1, len(cells) + 1)), "row"))


def _json(text: str) -> Table:
    """Objects, one per line or in one list, whose keys name the columns."""
    numbers, rows = list[int](), list[Mapping[str, Any]]()
    if text.lstrip().startswith("["):
        found, place = _object(text, "the file"), "row"
        if not isinstance(found, list):
            raise ValueError("the file must hold a list of objects, got other JSON")
        pairs = list(enumerate(found, start=1))
    else:
        place = "line"
        pairs = [
            (i, _object(line, f"line {i}"))
            for i, line in enumerate(text.split("\n"), start=1)
            if line.strip()
        ]
    for i, found in pairs:
        if not isinstance(found, Mapping):
            raise ValueError(f"the file must hold JSON objects, got {found!r:.40} on {place} {i}")
        numbers.append(i)
        rows.append(_flat(found))
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[_text(row.get(name)) for name in names] for row in rows]
    return _checked(Table(names, cells, numbers, place))


def _object(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        what = "valid JSON" if where == "the file" else "one JSON object per line"
        raise ValueError(f"the file must be {what}, got {error!s:.80} ({where})") from None


def _flat(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Fields of nested objects under names such as train/loss."""
    out: dict[str, Any] = {}
    for name, value in fields.items():
        inner = {prefix + name: value}
        if isinstance(value, Mapping):
            inner = _flat(value, f"{prefix}{name}/")
        twice = [key for key in inner if key in out]
        if twice:
            raise ValueError(f"columns must have names of their own, got {twice[0]!r} twice")
        out |= inner
    return out


def _text(value: Any) -> str:
    """A value of JSON or Parquet as the text of a cell."""
    if value is None:
        return ""
    if isinstance(value, list | dict):
        raise ValueError(f"the file must hold one object per row, got a list {value!r:.40}")
    return repr(float(value)) if isinstance(value, float | np.floating) else str(value)


def _csv(text: str, knows: Callable[[list[str]], bool]) -> Table:
    """A table of text with one row per line."""
    lines, separators = text.split("\n"), list(SEPARATORS)
    declared = re.fullmatch(r'"?sep=(.?)"?', lines[0].strip("\r\n "))
    if declared:
        separators = [declared.group(1) or "\t"]
        lines[0] = ""
    head = ""
    for i, line in enumerate(lines):
        head = line.strip(" ")
        if head.startswith("#"):  # a comment may hold the names
            head = head.lstrip("#").strip(" ")
            if any(knows(_cells(head, one)) for one in separators) or knows(head.split()):
                lines[i] = head
                break
            head = ""
        if head.strip():
            break
    if not head.strip():
        raise ValueError("the file must start with a line of column names, got nothing")
    separator = _separator(head, separators, knows)
    kept = ["" if line.lstrip().startswith("#") else line for line in lines]
    if separator == " ":
        rows = [(line.split(), i) for i, line in enumerate(kept, start=1) if line.strip()]
    else:
        reader = csv.reader(io.StringIO("\n".join(kept), newline=""), delimiter=separator)
        try:
            rows = [(row, reader.line_num) for row in reader if any(cell.strip() for cell in row)]
        except csv.Error as error:
            raise ValueError(f"the file must be valid CSV, got {error}") from None
    names, body = [name.strip() for name in rows[0][0]], rows[1:]
    while names and not names[-1]:
        names.pop()
    cells = []
    for row, number in body:
        more = [cell for cell in row[len(names) :] if cell.strip()]
        if more:
            raise ValueError(
                f"rows must have {len(names)} fields like the line of names, got {len(row)} on "
                f"line {number}"
            )
        cells.append(row[: len(names)] + [""] * (len(names) - len(row)))
    numbers = [number for _, number in body]
    return _checked(Table(names, cells, numbers, commas=separator == ","))


def _cells(line: str, separator: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error as error:
        raise ValueError(f"the file must be valid CSV, got {error}") from None


def _separator(line: str, among: list[str], knows: Callable[[list[str]], bool]) -> str:
    """The separator under which the names are known, or else that which divides the most."""
    if len(among) == 1:
        return among[0]
    parts = {one: _cells(line, one) for one in among}
    known = [one for one in among if len(parts[one]) > 1 and knows(parts[one])]
    if known:
        return known[0]
    if len(line.split()) > 1 and knows(line.split()):
        return " "
    return max(among, key=lambda one: (len(parts[one]), one == ","))


def _checked(table: Table) -> Table:
    if not any(table.names):
        raise ValueError("the file must start with a line of column names, got nothing")
    twice = [name for name in table.names if name and table.names.count(name) > 1]
    if twice:
        raise ValueError(f"columns must have names of their own, got {twice[0]!r} twice")
    if not table.cells:
        raise ValueError("the file must hold rows of numbers, got column names only")
    return table
