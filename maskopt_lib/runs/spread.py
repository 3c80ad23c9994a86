"""Tasks spread over the workers of a dask cluster, or done here one after the other; what tasks of a worker share."""

import multiprocessing
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import dask
import distributed
import torch

from maskopt_lib.errors import SchemaError
from maskopt_lib.runs import processes

#: Processes that are started for a core of this machine, at the most: some share a core, a thousand are a mistake.
MOST_A_CORE = 32
_LOCAL = ("localhost", "127.0.0.1", "::1")


@contextmanager
def workers(
    n: int = 2,
    *,
    address: str = "",
    trusted_network: bool = False,
    threads: int = 1,
    environment: Mapping[str, str] | None = None,
) -> Iterator[distributed.Client | None]:
    """Workers to spread tasks over: a local cluster of processes, a scheduler that runs, or none.

    Parameters
    ----------
    n : processes of the local cluster; 0, or 1 without an environment, does everything in this process: gives None.
    address : of a scheduler, such as ``"tls://node1:8786"``; its workers must see the run's folder. Wins over ``n``.
    trusted_network : whoever reaches a scheduler can make its workers do anything, and hand tasks to its clients; so
        one beyond this machine must speak TLS, unless this says that nobody else is on the network.
    threads : of each local worker, for torch.
    environment : variables that local workers start with, such as ``PYTHONHASHSEED``.

    Raises
    ------
    SchemaError : an address beyond this machine without TLS; more processes than `MOST_A_CORE` for each core.
    """
    if not address and n > (most := MOST_A_CORE * (os.cpu_count() or 1)):
        raise SchemaError(f"workers={n}: at most {most} processes are started here, {MOST_A_CORE} a core")
    if address:
        try:
            parts = urlsplit(address if "//" in address else f"tcp://{address}")
        except ValueError as error:
            raise SchemaError(f"{address!r} is no address of a scheduler ({error}); write tls://name:port") from None
        if parts.scheme != "tls" and parts.hostname not in _LOCAL and not trusted_network:
            raise SchemaError(
                f"the scheduler {address} is on another machine and does not speak TLS: anybody on the way could run "
                "code here; give a tls:// address, or trusted_network=True where nobody else is on the network"
            )
        with distributed.Client(address) as client:
            yield client
        return
    if n < 1 or (n == 1 and not environment):
        yield None
        return
    # Dask tells its workers to give memory back at once. Solvers take and drop arrays of megabytes some hundred times a
    # second, and that setting makes every one of them a call to the system: a third of the time went there.
    settings = {
        "MALLOC_TRIM_THRESHOLD_": 2**30,
        "MALLOC_MMAP_THRESHOLD_": 2**25,  # the most that glibc takes
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": 1,
        "GOMP_SPINCOUNT": 1000,
    }
    with _local(n, settings | dict(environment or {})) as client:
        yield client


def alone(do: Callable[[Any], Any], task: Any) -> Any:
    """What a function makes of a task in a process that has done nothing else, and ends with it.

    Not a dask worker: there a task runs in a thread, beside others, with memory of its own that is counted otherwise.

    Parameters
    ----------
    do : a function of the library, of the task; both travel to the process, whose environment is that of this one.
    task : what is done.

    Raises
    ------
    BrokenProcessPool : the process ended before it was done, as it does when memory runs out.
    """
    # A server imports what takes seconds and forks a copy of itself for each task, where the system can.
    fresh = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(fresh)
    if fresh == "forkserver":
        context.set_forkserver_preload([do.__module__])
    with ProcessPoolExecutor(1, context, processes.leave_with_parent) as process, _noted(task):
        return process.submit(do, task).result()


@contextmanager
def _local(n: int, environment: Mapping[str, Any]) -> Iterator[distributed.Client]:
    """Processes of this machine, which differ from this one by what is set in their environment."""
    # No dashboard, and any free port for what is left of it: two runs on one machine must not fight for port 8787.
    no_dashboard = {"dashboard_address": ":0", "scheduler_kwargs": {"dashboard": False}}
    with (
        _environment(environment),
        dask.config.set(
            {
                "distributed.nanny.pre-spawn-environ": dict(environment),
                "distributed.worker.preload": [processes.__name__],  # of a worker that takes a dead one's place as well
            }
        ),
        distributed.LocalCluster(
            n_workers=n, threads_per_worker=1, processes=True, memory_limit=0, **no_dashboard
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(n)
        yield client


@contextmanager
def _environment(values: Mapping[str, Any]) -> Iterator[None]:
    """Variables for processes that dask starts: what this one has wins there, and dask leaves what it sets behind."""
    before = dict(os.environ)
    os.environ.update({name: str(value) for name, value in values.items()})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Kept:
    """What tasks in one process share, such as opened designs and simulators: the last few that were made.

    Parameters
    ----------
    n : how many are kept; what was not asked for longest is dropped.

    Examples
    --------
    >>> kept = Kept(1)
    >>> kept("a", list) is kept("a", list), kept("b", list) is kept("a", list)
    (True, False)
    """

    def __init__(self, n: int = 4) -> None:
        self._n = n
        self._things: dict[Hashable, Any] = {}

    def __call__(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What is kept under a key; made where it is not there."""
        thing = self._things.pop(key) if key in self._things else make()
        self._things[key] = thing
        while len(self._things) > self._n:
            self._things.pop(next(iter(self._things)))
        return thing


def spread(
    do: Callable[[Any, Kept], Any], tasks: Iterable[Any], *, client: distributed.Client | None = None, keep: int = 4
) -> Iterator[tuple[Any, Any]]:
    """Do tasks here or on workers, and give (task, result) as they are done.

    Parameters
    ----------
    do : a function of the library, of a task and of what is kept between tasks: it and its task travel to another
        process.
    tasks : may be made one by one; no more of them are under way than keep all workers busy.
    client : of the workers; None does one after the other in this process.
    keep : how many things a process keeps.

    Notes
    -----
    The first error ends the work, after the tasks that have begun; it carries the task as a note. A worker that dies
    gives its tasks back to the others; only a task during which several workers die is given up.
    """
    tasks = iter(tasks)
    if client is None:
        kept = Kept(keep)
        for task in tasks:
            with _noted(task):
                result = do(task, kept)
            yield task, result
        return
    name = f"maskopt-kept-{uuid4().hex}"
    try:
        yield from _on_workers(partial(_with_kept, do, keep, name), tasks, client)
    finally:
        # A worker that dies at this moment has forgotten too.
        client.run(_forget, name, on_error="ignore")


def _on_workers(do: Callable[[Any], Any], tasks: Iterator[Any], client: distributed.Client) -> Iterator:
    waiting: dict[str, tuple[distributed.Future, Any]] = {}
    done = distributed.as_completed(loop=client.loop)

    def next_one() -> tuple[Any, Any]:
        future = next(done)
        _, task = waiting.pop(future.key)
        with _noted(task):
            return task, future.result()

    try:
        for task in tasks:
            future = client.submit(do, task, pure=False)
            waiting[future.key] = future, task
            done.add(future)
            # A cluster may grow or lose workers while it works.
            if len(waiting) >= 2 * max(1, len(client.nthreads())):
                yield next_one()
        while waiting:
            yield next_one()
    except Exception:
        begun = {key for keys in client.run(_executing, on_error="ignore").values() for key in keys}
        for future in distributed.as_completed([future for key, (future, _) in waiting.items() if key in begun]):
            if future.status == "finished":
                yield waiting[future.key][1], future.result()
        raise


def _executing(dask_worker: distributed.Worker) -> list[str]:
    """Keys of the tasks that a worker is at."""
    return [task.key for task in dask_worker.state.executing]


def _with_kept(do: Callable[[Any, Kept], Any], keep: int, name: str, task: Any) -> Any:
    # Dask keeps its plugins in this dictionary. To register one asks all workers at once and fails where one is dying.
    return do(task, distributed.get_worker().plugins.setdefault(name, Kept(keep)))


def _forget(name: str, dask_worker: distributed.Worker) -> None:
    dask_worker.plugins.pop(name, None)


@contextmanager
def _noted(task: Any) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        error.add_note(f"while working on {task}")
        raise


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Compute with so many threads, and with as many as before behind it."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
