"""Folders for what is kept between runs: compiled code, matplotlib's fonts, finished results.

A folder is chosen that can be written, so that a read-only installation or home works. The last
resort is a folder for temporary files that belongs to this user alone, because compiled code must
not come from other users.
"""

import atexit
import os
import shutil
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path

from theory.writing import notice

NAME = "entropic"
PROBE = b"\0" * 65536  # a full disk takes an empty file, but not this


def is_writable(folder: Path) -> bool:
    """Whether files can be written in a folder, which is made if need be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, buffering=0) as probe:
            return probe.write(PROBE) == len(PROBE)
    except (OSError, ValueError):
        return False


def user_folder(variable: str = "XDG_CACHE_HOME", fallback: str = ".cache") -> Path | None:
    """The user's folder of caches, or None for a user without a home.

    Args:
        variable: Environment variable that names the folder; relative paths in it are ignored.
        fallback: Its default, in the home.
    """
    named = os.environ.get(variable, "")
    if os.path.isabs(named):
        return Path(named)
    home = "" if os.environ.get("HOME") == "" else os.path.expanduser("~")
    return Path(home) / fallback if os.path.isabs(home) and os.path.isdir(home) else None


def cache_folder(part: str = "") -> Path | None:
    """The suite's writable folder in the user's caches, else among temporary files, else None.

    Args:
        part: Folder in it.
    """
    home = user_folder()
    if home is not None and is_writable(home / NAME / part):
        return home / NAME / part
    private = private_folder()
    return private / part if private is not None and is_writable(private / part) else None


@cache
def private_folder() -> Path | None:
    """A folder among temporary files that no other user can read or write, or None.

    It is the same in every run, unless something of another user stands in its place. Then it is a
    new one, which is deleted at the end of this process.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    try:
        folder = Path(tempfile.gettempdir()) / f"{NAME}-{user}"
        try:
            folder.mkdir(mode=0o700)
        except FileExistsError:
            found = folder.lstat()
            is_ours = stat.S_ISDIR(found.st_mode) and found.st_uid == user
            if not is_ours or stat.S_IMODE(found.st_mode) & 0o077 or not is_writable(folder):
                folder = Path(tempfile.mkdtemp(prefix=f"{NAME}-"))
                atexit.register(shutil.rmtree, folder, ignore_errors=True)
    except OSError:
        return None
    return folder


def keep_compiled(source: str) -> bool:
    """Choose the folder of numba's cache before it compiles; False if no folder can be written.

    The folder is that of the environment variable NUMBA_CACHE_DIR, else `__pycache__` beside the
    source, else `cache_folder`.

    Args:
        source: Path of the module that is compiled.
    """
    named = os.environ.get("NUMBA_CACHE_DIR", "")
    if named and is_writable(Path(named)):
        return True
    chosen = None
    beside = Path(source).parent / "__pycache__"
    if not is_writable(beside):
        chosen = cache_folder("numba")
        if chosen is None:
            notice("no folder can be written for compiled code, which is compiled in every run")
    if named:
        place = chosen or beside
        notice(f"NUMBA_CACHE_DIR must name a writable folder, got {named}; {place} is used")
    _name_folder("NUMBA_CACHE_DIR", chosen)
    numba = sys.modules.get("numba")  # which reads the variable only when it is imported
    if numba is not None:
        numba.config.CACHE_DIR = "" if chosen is None else str(chosen)
    return chosen is not None or is_writable(beside)


def compiled_folder(source: str) -> Path | None:
    """The folder that `keep_compiled` chose for the compiled code of a module, or None."""
    named = os.environ.get("NUMBA_CACHE_DIR", "")
    folder = Path(named) if named else Path(source).parent / "__pycache__"
    return folder if is_writable(folder) else None


def _name_folder(variable: str, folder: Path | None) -> None:
    """Name a folder in the environment, which worker processes inherit, or name none."""
    if folder is None:
        os.environ.pop(variable, None)
    else:
        os.environ[variable] = str(folder)


def keep_fonts() -> None:
    """Choose matplotlib's folder before it is imported, where its own choice is not writable."""
    named = os.environ.get("MPLCONFIGDIR", "")
    if named and is_writable(Path(named)):
        return
    own = [user_folder("XDG_CONFIG_HOME", ".config"), user_folder()]
    if not named and all(home is not None and is_writable(home / "matplotlib") for home in own):
        return
    chosen = cache_folder("matplotlib")
    if named:
        notice(f"MPLCONFIGDIR must name a writable folder, got {named}; {chosen} is used")
    _name_folder("MPLCONFIGDIR", chosen)
