"""How a command ends: one line on standard error and an exit code, never a traceback."""

import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn

import click

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
FAILED, STOPPED = 2, 128  # exit codes; that of a signal is added


class Stopped(KeyboardInterrupt):
    """A signal asks this process to end.

    Args:
        number: Number of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Escaped(Exception):  # noqa: N818
    """Carries an error past click, which would end the process in its own way.

    Args:
        error: The error.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


@contextmanager
def escaping() -> Iterator[None]:
    """Context from which interruptions and errors of the system leave as `Escaped`."""
    try:
        yield
    except (KeyboardInterrupt, OSError) as error:
        raise Escaped(error) from error


@contextmanager
def one_line(as_json: bool) -> Iterator[None]:
    """Context that turns an error into one line on standard error and an exit code.

    Args:
        as_json: Whether the line is JSON: {"error": "..."}.
    """
    _check_streams(as_json)
    before = _catch_signals()
    try:
        yield
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        if as_json:
            fail("a command must be given, got none", as_json)
        click.echo(error.format_message(), err=True)
        sys.exit(FAILED)
    except click.ClickException as error:
        fail(error.format_message(), as_json)
    except Escaped as escaped:
        _end(escaped.error, as_json)
    except (KeyboardInterrupt, click.Abort, OSError, ValueError, MemoryError) as error:
        _end(error, as_json)
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        fail("the system must let threads start, got a refusal", as_json)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fail(message: str, as_json: bool, code: int = FAILED) -> NoReturn:
    """Print the message on one line of standard error and exit."""
    line = " ".join(message.split())
    with suppress(OSError):
        click.echo(json.dumps({"error": line}) if as_json else f"entropic: {line}", err=True)
    sys.exit(code)


def _end(error: BaseException, as_json: bool) -> NoReturn:
    """End with the line and the exit code of an error."""
    if isinstance(error, KeyboardInterrupt | click.Abort):
        number = getattr(error, "number", signal.SIGINT)
        word = "interrupted" if number == signal.SIGINT else "terminated"
        fail(f"{word}; finished tasks are kept in the store", as_json, STOPPED + number)
    if isinstance(error, MemoryError):
        fail("memory must suffice, got too little; finished tasks are kept", as_json)
    if isinstance(error, OSError):
        _abandon_output()
        name = "the output" if error.filename is None else f"{error.filename}: the file"
        fail(f"{name} must be writable, got {error.strerror or error}", as_json)
    fail(str(error), as_json)


def _check_streams(as_json: bool) -> None:
    """Replace characters that the output cannot show; refuse a closed standard output."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdout is None:
        fail("standard output must be open, got it closed", as_json)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def _abandon_output() -> None:
    """Let what is left of standard output go nowhere, or Python would complain of it at its end."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def _catch_signals() -> dict[int, Any]:
    """Let signals raise `Stopped`, once; returns the handlers that were there before."""
    numbers = [getattr(signal, name) for name in STOPPING if hasattr(signal, name)]
    usual = (signal.SIG_DFL, signal.default_int_handler)  # others were set on purpose
    before = {n: signal.getsignal(n) for n in numbers if signal.getsignal(n) in usual}

    def stop(number: int, frame: FrameType | None) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        raise Stopped(number)

    try:
        for number in before:
            signal.signal(number, stop)
    except ValueError:  # a thread other than the main one
        return {}
    return before
