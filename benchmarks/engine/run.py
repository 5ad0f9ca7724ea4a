"""Run tasks: stored results are reused, and each finished task is stored at once."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.engine.store import Store, default_store
from benchmarks.engine.workers import NoWorkersError, in_workers
from theory.writing import clear_parts, notice
from toys.progress import meter
from toys.sampling import available_threads

ALONE = 8.0  # seconds for which tasks run in this process before workers are started


class Task(Protocol):
    """A frozen dataclass of plain values that computes one result and is that result's key."""

    def run(self) -> Any:
        """The result, also as plain values."""


def run_tasks(
    tasks: Sequence[Task], store: Store, jobs: int | None = None, title: str = "tasks"
) -> list[Any]:
    """Results in the order of the tasks, with a progress bar.

    The first tasks run in this process. If they take more than a few seconds, the others run in
    worker processes with one thread each, unless no worker can start. Results are the same. An
    interruption keeps what has finished.

    Args:
        tasks: What to run.
        store: Where results are kept and looked up.
        jobs: Number of worker processes; 1 runs the tasks in this process, and a larger number
            starts the workers at once. Default: all cores.
        title: Title of the progress bar.
    """
    results: list[Any] = [store.get(task) for task in tasks]
    # The longest first, so that no worker is left with one at the end.
    todo = sorted(
        (i for i, found in enumerate(results) if found is None), key=lambda i: -_cost(tasks[i])
    )
    if todo:
        clear_parts(store.folder)  # of runs that were killed
    alone_until = time.monotonic() + (ALONE if jobs is None else 0.0)
    jobs = available_threads() if jobs is None else jobs
    bar = meter(len(tasks), title, len(tasks) - len(todo))
    with bar:
        while len(todo) > 1 and jobs > 1 and time.monotonic() < alone_until:
            i = todo.pop()  # the shortest, whose time tells whether workers are worth while
            results[i] = _run_one(tasks[i], store.folder)
            bar.update()
        if jobs > 1 and len(todo) > 1:
            calls = [(_numbered, (i, tasks[i], store.folder)) for i in todo]
            try:
                with contextlib.closing(in_workers(calls, jobs)) as finished:
                    for i, result in finished:
                        results[i] = result
                        bar.update()
            except NoWorkersError as error:
                bar.clear()
                notice(f"tasks run one after another in this process, as {error}")
        for i in todo:
            if results[i] is None:
                results[i] = _run_one(tasks[i], store.folder)
                bar.update()
    return results


def _numbered(i: int, task: Task, folder: Path) -> tuple[int, Any]:
    return i, _run_one(task, folder)


def _run_one(task: Task, folder: Path) -> Any:
    """Run a task and store its result."""
    try:
        result = task.run()
    except OSError as error:  # not to be taken for one of the workers
        raise ValueError(f"{type(task).__name__} must have its files, got {error}") from None
    Store(folder).put(task, result)
    return result


def _cost(task: Task) -> float:
    """Rough cost, by which tasks are ordered."""
    steps = getattr(task, "n_steps", None) or len(getattr(task, "sigmas", None) or ())
    return float(steps * (1 + getattr(task, "repeats", 0) * getattr(task, "paths", 0) / 1e5))


def run_settings(
    settings: Sequence[Task],
    store: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    title: str = "settings",
) -> list[dict[str, Any]]:
    """Rows of settings, in their order.

    Args:
        settings: What to run.
        store: Folder of finished results. Default: that of `benchmarks.engine.store.default_store`.
        jobs: Number of worker processes, as for `run_tasks`.
        title: Title of the progress bar.
    """
    place = Store(default_store() if store is None else store)
    return [row for part in run_tasks(settings, place, jobs, title) for row in part]
