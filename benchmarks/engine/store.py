"""Results of finished tasks, one file each, so that an interruption loses nothing.

A file's name is the hash of the task and of the sources that compute it: edited code never
returns an old result. Files are written whole or not at all; a broken one counts as absent. Several
runs may share a folder.
"""

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from theory.caches import cache_folder, user_folder
from theory.reading import write_json
from theory.versions import versions
from theory.writing import notice, write_text

COMPUTING = ("toys", "theory", "benchmarks")
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

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    def path(self, task: Mapping[str, Any]) -> Path:
        """The file of a task's result, whether or not it exists."""
        text = json.dumps([task, fingerprint()], sort_keys=True, allow_nan=False)
        return self.folder / f"{hashlib.sha256(text.encode()).hexdigest()[:40]}.json"

    def get(self, task: Mapping[str, Any]) -> Any:
        """The result of a task, or None if its file is missing or broken."""
        try:
            fields = json.loads(self.path(task).read_text(encoding="utf-8"))
            plain = json.loads(json.dumps(task))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(fields, dict) or fields.get("task") != plain:
            return None
        result = fields.get("result")
        return result if isinstance(result, dict) else None

    def put(self, task: Mapping[str, Any], result: Any) -> None:
        """Keep a result; ValueError if the folder cannot be written."""
        make_folder(self.folder)
        write_json(self.path(task), {"task": dict(task), "result": result})


def make_folder(folder: Path) -> Path:
    """Make a folder if need be; ValueError if it cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        reason = error.strerror
        raise ValueError(f"{folder}: the folder must be writable, got {reason}") from None
    return folder


def path_of(package: str) -> Path:
    """The folder of a package of the suite, in a checkout or as installed."""
    return Path(str(files(package)))


def sources(package: str) -> list[Path]:
    """The source files of a package, in order."""
    return sorted(path_of(package).rglob("*.py"))


@cache
def fingerprint() -> str:
    """Hash of the computing sources and the versions of the libraries under them."""
    digest = hashlib.sha256()
    for folder in COMPUTING:
        for path in sources(folder):
            digest.update(path.relative_to(path_of(folder).parent).as_posix().encode())
            digest.update(path.read_bytes())
    digest.update(json.dumps(versions()).encode())
    return digest.hexdigest()


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table whole or not at all; ValueError if the place cannot be written."""
    write_text(path, table.to_csv(index=False))
