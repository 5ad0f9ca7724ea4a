"""Run tasks: stored results are reused, and each finished task is stored at once."""

import contextlib
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from benchmarks.engine.store import Store
from benchmarks.engine.workers import NoWorkersError, in_workers
from theory.writing import notice
from toys.sampling import available_threads


def task_key(task: Any) -> dict[str, Any]:
    """A task as plain values."""
    return {"task": type(task).__name__, **asdict(task)}


class Task(Protocol):
    """A frozen dataclass of plain values that computes one result and is that result's key."""

    def run(self) -> dict[str, Any]:
        """The result, also as plain values."""


def run_tasks(
    tasks: Sequence[Task], store: Store, jobs: int | None = None, title: str = "tasks"
) -> list[dict[str, Any]]:
    """Results in the order of the tasks, with a progress bar.

    Tasks run in worker processes with one thread each, or one after another in this process where
    no worker can start. Results are the same. An interruption keeps what has finished.

    Args:
        tasks: What to run.
        store: Where results are kept and looked up.
        jobs: Number of worker processes; 1 runs the tasks in this process. Default: all cores.
        title: Title of the progress bar.
    """
    results: list[Any] = [store.get(task_key(task)) for task in tasks]
    # The longest first, so that no worker is left with one at the end.
    todo = sorted(
        (i for i, found in enumerate(results) if found is None), key=lambda i: -_cost(tasks[i])
    )
    jobs = available_threads() if jobs is None else jobs
    bar = tqdm(
        total=len(tasks),
        initial=len(tasks) - len(todo),
        desc=title,
        leave=False,
        mininterval=0.5 if sys.stderr.isatty() else 10,
    )
    with bar:
        if jobs > 1 and len(todo) > 1:
            calls = [(_numbered, (i, tasks[i], store.folder)) for i in todo]
            try:
                with contextlib.closing(in_workers(calls, jobs)) as finished:
                    for i, result in finished:
                        results[i] = result
                        bar.update()
            except NoWorkersError as error:
                notice(f"tasks run one after another in this process, as {error}")
        for i in todo:
            if results[i] is None:
                results[i] = _run_one(tasks[i], store.folder)
                bar.update()
    return results


def _numbered(i: int, task: Task, folder: Path) -> tuple[int, dict[str, Any]]:
    return i, _run_one(task, folder)


def _run_one(task: Task, folder: Path) -> dict[str, Any]:
    """Run a task and store its result."""
    try:
        result = task.run()
    except OSError as error:  # not to be taken for one of the workers
        raise ValueError(f"{type(task).__name__} must have its files, got {error}") from None
    Store(folder).put(task_key(task), result)
    return result


def _cost(task: Task) -> float:
    """Rough cost, by which tasks are ordered."""
    steps = len(getattr(task, "sigmas", ()))
    return float(steps * (1 + getattr(task, "repeats", 0) * getattr(task, "paths", 0) / 1e5))
