"""Run tasks: stored results are reused, and each finished task is stored at once."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from joblib import Parallel, delayed, parallel_config
from tqdm import tqdm

from benchmarks.engine.store import Store
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

    Tasks run in worker processes with one thread each; Ctrl-C keeps what has finished.

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
        if jobs == 1 or len(todo) < 2:
            for i in todo:
                results[i] = _run_one(tasks[i], store.folder)
                bar.update()
        else:
            with parallel_config("loky", n_jobs=jobs, inner_max_num_threads=1):
                parallel = Parallel(return_as="generator_unordered", batch_size=1)
                for i, result in parallel(
                    delayed(_numbered)(i, tasks[i], store.folder) for i in todo
                ):
                    results[i] = result
                    bar.update()
    return results


def _numbered(i: int, task: Task, folder: Path) -> tuple[int, dict[str, Any]]:
    return i, _run_one(task, folder)


def _run_one(task: Task, folder: Path) -> dict[str, Any]:
    """Run a task and store its result."""
    result = task.run()
    Store(folder).put(task_key(task), result)
    return result


def _cost(task: Task) -> float:
    """Rough cost, by which tasks are ordered."""
    steps = len(getattr(task, "sigmas", ()))
    return float(steps * (1 + getattr(task, "repeats", 0) * getattr(task, "paths", 0) / 1e5))
