"""Strict reading and writing of small text files; every error names the file.

The path "-" is standard input, which can be read once, or standard output.
"""

import contextlib
import json
import os
import sys
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

from theory.checks import Array, vector
from theory.writing import write_text

StrPath = str | os.PathLike[str]


@contextlib.contextmanager
def naming(path: StrPath) -> Iterator[None]:
    """Context that puts the path in front of the ValueErrors raised inside it."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def read_text(path: StrPath) -> str:
    """The text of a UTF-8 file, without its byte-order mark; "-" is standard input."""
    content = read_bytes(path)
    with naming(path):
        return decoded(content)


def read_bytes(path: StrPath) -> bytes:
    """The content of a file; "-" is standard input."""
    if not isinstance(path, str | os.PathLike):
        raise ValueError(f"path must be the path of a file, got {path!r:.80}")
    with naming(path):
        try:
            return _standard_input() if os.fspath(path) == "-" else Path(path).read_bytes()
        except OSError as error:
            raise ValueError(f"the file must be readable, got {error.strerror}") from None


def decoded(content: bytes) -> str:
    """UTF-8 text without its byte-order mark, whose lines end with a newline each."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"the file must be UTF-8 text, got {error.reason}") from None
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _standard_input() -> bytes:
    """All that comes from standard input."""
    stream = sys.stdin
    if stream is None:
        raise ValueError("standard input must be open, got it closed")
    if stream in _READ:
        raise ValueError("standard input must be read once, got it for two files")
    _READ.add(stream)
    binary = getattr(stream, "buffer", None)
    content = stream.read().encode() if binary is None else binary.read()
    return bytes(content)


_READ: "weakref.WeakSet[Any]" = weakref.WeakSet()  # standard inputs that have been read


def read_json(path: StrPath, kind: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
        path: The file.
        kind: Value that the key "kind" must have; a saved answer of a command may have it as the
            key "schema", "entropic.KIND".
        keys: Keys that the object must contain.

    Raises:
        ValueError: The file cannot be read, is not valid JSON, or is of another kind.
    """
    return parse_json(path, read_text(path), kind, keys)


def parse_json(path: StrPath, text: str, kind: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """The JSON object in the text of a file; the arguments are those of `read_json`."""
    with naming(path):
        try:
            fields = json.loads(text, parse_constant=_refuse)
        except json.JSONDecodeError as error:
            place = f"{error.msg} at line {error.lineno} column {error.colno}"
            raise ValueError(f"the file must be whole, valid JSON, got {place}") from None
        except RecursionError:
            raise ValueError("the file must be valid JSON, got endless nesting") from None
        if not isinstance(fields, dict):
            raise ValueError(f"the file must hold a JSON object, got {type(fields).__name__}")
        found = fields.get("kind", _answer_kind(fields))
        if found != kind:
            raise ValueError(f"kind must be {kind!r}, got {found!r:.40}")
        missing = [key for key in keys if key not in fields]
        if missing:
            raise ValueError(f"the file must have the key {missing[0]!r}, got {', '.join(fields)}")
        if not isinstance(fields.setdefault("source", {}), dict):
            raise ValueError(f"source must be a JSON object, got {fields['source']!r:.40}")
        return fields


def _answer_kind(fields: Mapping[str, Any]) -> str | None:
    """The kind that the schema of a command's JSON answer names, or None for other objects."""
    schema = fields.get("schema")
    prefix, dot, kind = schema.partition(".") if isinstance(schema, str) else ("", "", "")
    return kind if dot and prefix == "entropic" else None


def numbers(fields: Mapping[str, Any], key: str) -> Array:
    """The list of finite numbers under a key of a JSON object, shape (n,)."""
    values = fields[key]
    if not isinstance(values, list):
        raise ValueError(f"{key} must be a list of numbers, got {values!r:.40}")
    for i, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{key} must hold numbers only, got {value!r:.40} at index {i}")
    return vector(key, values, 0)


def write_json(path: StrPath, fields: Mapping[str, Any]) -> None:
    """Write a JSON object and a newline; the file is replaced completely or not at all."""
    with naming(path):
        try:
            text = json.dumps(fields, allow_nan=False) + "\n"
        except (TypeError, ValueError) as error:
            raise ValueError(f"source must be what JSON can hold, got {error}") from None
    write_text(path, text)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"numbers must be finite, got {word}")


def looks_like_path(text: str) -> bool:
    """Whether an argument means a file: "-", or it exists, or has a path separator or a suffix."""
    is_there = text == "-" or os.path.exists(text)
    return is_there or "/" in text or "\\" in text or Path(text).suffix != ""
