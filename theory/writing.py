"""The writer of every file of the suite, and of its notices on standard error.

A regular file is replaced as a whole or not at all: a new file beside it is written, flushed to the
disk and renamed. A symbolic link is followed. A device, a pipe and a socket are written to, never
replaced. The path "-" is standard output.
"""

import contextlib
import errno
import os
import re
import secrets
import socket
import stat
import sys
import time
from collections.abc import Iterator
from functools import cache
from multiprocessing import parent_process
from pathlib import Path
from typing import NamedTuple

StrPath = str | os.PathLike[str]
MOST_LINKS = 40  # as many as Linux follows
STANDARD_OUTPUT = 1
PART = re.compile(r"\..*\.([A-Za-z0-9-]+)\.(\d+)\.[0-9a-f]{8}\.part")  # see part_name
OLD = 60.0, 86400.0  # seconds after which a file of a dead, or of any, process is left behind
# Linux gives the descriptors of a process as links, whose targets need not be paths.
DESCRIPTORS = re.compile(rf"/dev/fd|/proc/(?:self|{os.getpid()})(?:/task/\d+)?/fd")


class Place(NamedTuple):
    """Where a path leads: an open descriptor of this process, or else a path without links."""

    path: str
    descriptor: int | None


def place_of(path: StrPath) -> Place:
    """Follow the links of a path, whose last target need not exist.

    Raises:
        OSError: There are too many links, such as those of a circle.
    """
    here = os.fspath(path)
    if here == "-":
        return Place(here, STANDARD_OUTPUT)
    for _ in range(MOST_LINKS):
        folder, name = os.path.split(os.path.abspath(here))
        folder = os.path.realpath(folder)
        here = os.path.join(folder, name)
        if name.isdecimal() and DESCRIPTORS.fullmatch(folder):
            return Place(here, int(name))
        if not os.path.islink(here):
            return Place(here, None)
        here = os.path.join(folder, os.readlink(here))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def is_stdout(path: StrPath | None) -> bool:
    """Whether a path means standard output, such as "-" and "/dev/stdout"."""
    return path is not None and _place(path).descriptor == STANDARD_OUTPUT


def is_special(path: StrPath) -> bool:
    """Whether a path leads to what is written to and not replaced: a descriptor, device or pipe."""
    place = _place(path)
    if place.descriptor is not None:
        return True
    kind = _kind(place.path)
    return kind is not None and not stat.S_ISREG(kind) and not stat.S_ISDIR(kind)


def _place(path: StrPath) -> Place:
    """`place_of`; a path that leads nowhere stays as it is, since writing to it gives the error."""
    try:
        return place_of(path)
    except (OSError, ValueError):
        return Place(os.fspath(path), None)


def _kind(path: str) -> int | None:
    """Type and permissions of what stands at a path without links, or None for nothing."""
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        return None


def write_text(path: StrPath, text: str) -> None:
    """Write a text as UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def write_bytes(path: StrPath, content: bytes) -> None:
    """Write a file, as a whole or not at all if it is a regular one.

    Args:
        path: The file, or "-" for standard output.
        content: The new content.

    Raises:
        ValueError: The file cannot be written; the message is one line and starts with the path.
    """
    try:
        place = place_of(path)
        kind = None if place.descriptor is not None else _kind(place.path)
        if place.descriptor is not None:
            _write_descriptor(place.descriptor, content)
        elif kind is None or stat.S_ISREG(kind):
            _replace(Path(place.path), content, kind)
        elif stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        elif stat.S_ISSOCK(kind):
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(place.path)
                line.sendall(content)
        else:
            with open(os.open(place.path, os.O_WRONLY), "wb") as stream:
                stream.write(content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ValueError(f"{os.fspath(path)}: the file must be writable, got {reason}") from None


def _write_descriptor(descriptor: int, content: bytes) -> None:
    """Write to an open descriptor, after what has been printed to it."""
    if descriptor != STANDARD_OUTPUT:
        with open(os.dup(descriptor), "wb") as stream:
            stream.write(content)
        return
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    sys.stdout.flush()
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:  # a notebook
        sys.stdout.write(content.decode("utf-8", "replace"))
    else:
        binary.write(content)
    sys.stdout.flush()


def _replace(target: Path, content: bytes, mode: int | None) -> None:
    """Replace a regular file, or make it, by renaming a whole new file."""
    if mode is not None and not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    part = target.with_name(part_name(target.name))
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as stream:
            stream.write(content)
            stream.flush()
            if mode is not None:
                os.chmod(part, stat.S_IMODE(mode))
            os.fsync(stream.fileno())
        os.replace(part, target)
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def part_name(name: str) -> str:
    """A new name for the unfinished file, which says who writes it and fits into 255 bytes."""
    return f".{name[:32]}.{_host()}.{os.getpid()}.{secrets.token_hex(4)}.part"


@cache
def _host() -> str:
    """Name of this machine, of letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname())[:64] or "host"


def clear_parts(folder: Path) -> None:
    """Delete the files that interrupted processes left unfinished in a folder.

    Files stay that a running process may still be writing, here or on another machine.
    """
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            named = PART.fullmatch(part.name)
            age = time.time() - part.stat().st_mtime
            if named is None or age > OLD[1] or (age > OLD[0] and _is_dead(*named.groups())):
                part.unlink()


def _is_dead(host: str, process: str) -> bool:
    """Whether a process of this machine no longer runs."""
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return host == _host()
    except (OSError, OverflowError):
        return False
    return False


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Context that other processes wait for at their own, to read a file and replace it."""
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    lock = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # not on every network's disk
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@cache
def notice(line: str) -> None:
    """Print a line on standard error, once per process; worker processes print none."""
    if sys.stderr is not None and parent_process() is None:
        with contextlib.suppress(OSError, ValueError):  # nobody can read it
            print(f"entropic: {line}", file=sys.stderr, flush=True)
