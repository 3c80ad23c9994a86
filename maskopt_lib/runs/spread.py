"""Tasks spread over the workers of a dask cluster, and the files that they leave."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
import distributed
import numpy as np
import torch

_BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@contextmanager
def workers(n: int = 2, *, address: str = "") -> Iterator[distributed.Client | None]:
    """Workers to spread windows over: a local cluster of processes, a scheduler that runs, or none.

    Parameters
    ----------
    n : processes of the local cluster; 0 does everything in this process, and gives None.
    address : of a scheduler, such as ``"tcp://node1:8786"``; its workers must see the run's folder. Wins over ``n``.
    """
    if address:
        with distributed.Client(address) as client:
            yield client
        return
    if n == 0:
        yield None
        return
    # Dask tells its workers to give memory back at once. Solvers take and drop arrays of megabytes some hundred times a
    # second, and that setting makes every one of them a call to the system: a third of the time went there.
    allocator = {
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": 2**30,
        "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": 2**25,  # the most that glibc takes
    }
    # No dashboard, and any free port for what is left of it: two runs on one machine must not fight for port 8787.
    no_dashboard = {"dashboard_address": ":0", "scheduler_kwargs": {"dashboard": False}}
    with (
        dask.config.set(allocator),
        distributed.LocalCluster(
            n_workers=n, threads_per_worker=1, processes=True, memory_limit=0, **no_dashboard
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(n)
        yield client


def spread(
    do: Callable[[Any], Any], tasks: Iterable[Any], *, client: distributed.Client | None = None
) -> Iterator[tuple[Any, Any]]:
    """Do tasks here or on workers, and give (task, result) as they are done.

    Parameters
    ----------
    do : a function of the library: it and its task travel to another process.
    tasks : may be made one by one; no more of them are under way than keep all workers busy.
    client : of the workers; None does one after the other in this process.

    Notes
    -----
    A worker that dies gives its tasks back to the others; only a task during which several workers die is given up.
    """
    tasks = iter(tasks)
    if client is None:
        for task in tasks:
            yield task, do(task)
        return
    waiting: dict[str, Any] = {}
    done = distributed.as_completed(loop=client.loop)

    def add(task: Any) -> None:
        future = client.submit(do, task, pure=False)
        waiting[future.key] = task
        done.add(future)

    for task in tasks:
        add(task)
        # A cluster may grow or lose workers while it works.
        if len(waiting) >= 2 * max(1, len(client.nthreads())):
            future = next(done)
            yield waiting.pop(future.key), future.result()
    while waiting:
        future = next(done)
        yield waiting.pop(future.key), future.result()


def is_whole(path: Path) -> bool:
    """Whether a part is there and undamaged: all of it is read, and with it the checksums that it carries."""
    if not path.exists():
        return False
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return all(kept[name] is not None for name in kept.files)
    except _BROKEN:
        return False


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Compute with so many threads, and with as many as before behind it."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def hashed(values: list) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=repr).encode()).hexdigest()
