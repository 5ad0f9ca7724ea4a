"""Calls in worker processes, and what is done where the system refuses or ends them."""

import contextlib
import multiprocessing
import os
import secrets
import signal
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from importlib import import_module
from typing import Any

Call = tuple[Callable[..., Any], tuple[Any, ...]]


class NoWorkersError(RuntimeError):
    """No worker process can start; the message says why."""


def in_workers(calls: Sequence[Call], jobs: int) -> Generator[Any, None, None]:
    """Results of calls as they finish, from worker processes with one thread each.

    No worker outlives this iterator if it is closed before its end.

    Args:
        calls: Functions, each with its arguments.
        jobs: Number of worker processes.

    Raises:
        NoWorkersError: The system lets no worker start. Some results may have come before.
        ValueError: The system ended a worker.
    """
    _check_semaphores()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the check says the same in one line
        import joblib
        from joblib.externals.loky.process_executor import BrokenProcessPool
    if "loky" not in joblib.parallel.BACKENDS:
        raise NoWorkersError("joblib may not start processes here")
    try:
        with joblib.parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
            parallel = joblib.Parallel(
                return_as="generator_unordered", batch_size=1, max_nbytes=None
            )
            with _without_interrupts(), _quiet_trackers():
                finished = parallel(joblib.delayed(call)(*values) for call, values in calls)
            with contextlib.closing(finished):
                yield from finished
    except BrokenProcessPool as error:
        reason = str(error).strip().splitlines()[0].split(". ")[0]
        raise ValueError(
            f"worker processes must run to their end, got: {reason[:120]}; take fewer jobs if "
            "memory is short; finished tasks are kept"
        ) from None
    except (OSError, RuntimeError) as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        _end_workers()
        raise NoWorkersError(f"no worker process can start: {refusal}") from None


def _refusal(error: BaseException) -> str | None:
    """Why the system refused a process or a thread, from the error or one that it followed."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError):
            return cause.strerror or str(cause)
        if "start new thread" in str(cause):
            return str(cause)
        cause = cause.__context__
    return None


def _end_workers() -> None:
    """End the workers that did start, so that none complains or stays."""
    for process in multiprocessing.active_children():
        if process.name.startswith("LokyProcess") and process.pid is not None:
            with contextlib.suppress(OSError):
                os.kill(process.pid, signal.SIGKILL)


def _check_semaphores() -> None:
    """Raise NoWorkersError where the system has no semaphore, which workers need."""
    try:
        make: Any = import_module("_multiprocessing").SemLock
        make(0, 0, 1, name=f"/entropic-{os.getpid()}-{secrets.token_hex(4)}", unlink=True)
    except (ImportError, AttributeError) as error:
        raise NoWorkersError(f"the system has no semaphores: {error}") from None
    except OSError as error:
        raise NoWorkersError(f"/dev/shm has no room for semaphores: {error.strerror}") from None


@contextlib.contextmanager
def _quiet_trackers() -> Iterator[None]:
    """Context whose new processes do not warn of semaphores that an ended run has left to them."""
    before = os.environ.get("PYTHONWARNINGS")
    quiet = "ignore:resource_tracker:UserWarning"
    os.environ["PYTHONWARNINGS"] = f"{before},{quiet}" if before else quiet
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Context whose new processes do not see Ctrl-C, which is for this process to handle."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
