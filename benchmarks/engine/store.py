"""Results of finished tasks, one file each, so that an interruption loses nothing.

A file's name is the hash of the task and of the sources that compute it
(`benchmarks.engine.sources`), so that edited code never returns an old result. Files are written
whole or not at all; a broken one counts as absent. Several runs may share a folder.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.engine.sources import fingerprint, roots_of
from theory.caches import cache_folder, user_folder
from theory.reading import write_json
from theory.writing import StrPath, notice, write_text

if TYPE_CHECKING:
    import pandas as pd

VARIABLE = "ENTROPIC_STORE"


def default_store() -> Path:
    """The folder of results where none is named.

    It is that of the environment variable ENTROPIC_STORE, else `entropic` in the user's folder of
    caches (XDG_CACHE_HOME, else ~/.cache), else a folder among temporary files.

    Raises:
        ValueError: None of them can be written.
    """
    named = os.environ.get(VARIABLE, "")
    if named:
        return Path(named)
    folder = cache_folder()
    if folder is None:
        raise ValueError(f"{VARIABLE} must name a folder where no cache is writable, got none")
    home = user_folder()
    if home is None or home not in folder.parents:
        notice(f"results are kept in {folder}, as no cache of this user is writable")
    return folder


class Store:
    """A folder of results.

    Args:
        folder: Path of the folder; it is created with the first result.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)

    def path(self, task: Any) -> Path:
        """The file of a task's result, whether or not it exists."""
        key = [task_key(task), fingerprint(roots_of(task)), getattr(task, "own_code", "")]
        text = json.dumps(key, sort_keys=True, allow_nan=False)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:40]}.json"

    def get(self, task: Any) -> Any:
        """The result of a task, or None if its file is missing or broken."""
        try:
            fields = json.loads(self.path(task).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(fields, dict) or fields.get("task") != plain_key(task):
            return None
        result = fields.get("result")
        return result if isinstance(result, dict | list) else None

    def put(self, task: Any, result: Any) -> None:
        """Keep a result; ValueError if the folder cannot be written."""
        make_folder(self.folder)
        write_json(self.path(task), {"task": task_key(task), "result": result})


def task_key(task: Any) -> dict[str, Any]:
    """A task as plain values."""
    return {"task": type(task).__name__, **asdict(task)}


def plain_key(task: Any) -> Any:
    """A task as it is read from a file, with lists for tuples."""
    return json.loads(json.dumps(task_key(task)))


def make_folder(folder: Path) -> Path:
    """Make a folder if need be; ValueError if it cannot be made or written to."""
    if str(folder) == "-":
        raise ValueError("-: the folder must be a path, got standard output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        reason = error.strerror
        raise ValueError(f"{folder}: the folder must be writable, got {reason}") from None
    return folder


def write_csv(table: pd.DataFrame, path: StrPath) -> None:
    """Write a table whole or not at all; ValueError if the place cannot be written."""
    write_text(path, table.to_csv(index=False))
