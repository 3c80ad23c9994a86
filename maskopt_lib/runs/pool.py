"""Tasks one after the other, or spread over processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any

import torch


def each(
    do: Callable[[Any], None], tasks: Sequence[Any], *, workers: int = 1, after: Callable[[Any], None] | None = None
) -> None:
    """Do every task; the first error ends it, after the tasks that have begun.

    Parameters
    ----------
    do : what to do with one task; with several workers it and the tasks travel to other processes.
    tasks : each says by ``str`` what it is, which an error then carries as a note.
    workers : processes; 1 does everything in this one. The threads of torch are shared out among them.
    after : called here after each task, for a progress bar.
    """
    after = after or (lambda task: None)
    if min(workers, len(tasks)) <= 1:
        for task in tasks:
            with _noted(task):
                do(task)
            after(task)
        return
    threads = max(1, torch.get_num_threads() // workers)
    # Started afresh, not forked: threads of torch do not survive a fork.
    spawn = multiprocessing.get_context("spawn")
    with (
        _environment({"OMP_NUM_THREADS": str(threads), "GOMP_SPINCOUNT": "1000", "OPENBLAS_NUM_THREADS": "1"}),
        ProcessPoolExecutor(min(workers, len(tasks)), spawn, _begin, (threads,)) as pool,
    ):
        futures = {pool.submit(do, task): task for task in tasks}
        try:
            for future in as_completed(futures):
                with _noted(futures[future]):
                    future.result()
                after(futures[future])
        except BrokenProcessPool as error:
            error.add_note("a worker process ended, as it does when memory runs out: take fewer workers and repeat")
            raise
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def _noted(task: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"while working on {task}")
        raise


def _begin(threads: int) -> None:
    """What a worker process does first."""
    torch.set_num_threads(threads)
    # An interrupt reaches all processes of a terminal: the first one ends the work, these finish what they began.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    # A parent that was killed cannot say so; without this its workers would wait for ever.
    connection.wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables that are read when a library is loaded, for processes that start within."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
