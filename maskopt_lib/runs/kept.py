"""What tasks in one process share: opened designs, simulators; made when first asked for, kept for the next task."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import distributed

_PLUGIN = "maskopt-kept"


class Kept(distributed.WorkerPlugin):
    """The last few things that were made in this process.

    Parameters
    ----------
    n : how many are kept; what was not asked for longest is dropped.

    Examples
    --------
    >>> kept = Kept(1)
    >>> kept("a", list) is kept("a", list), kept("b", list) is kept("a", list)
    (True, False)
    """

    # Every worker has one plugin of this name; registering another replaces it.
    idempotent = False

    def __init__(self, n: int = 2) -> None:
        self._n = n
        self._things: dict[Hashable, Any] = {}

    def __reduce__(self):
        # What is kept stays in its process: only the number travels.
        return type(self), (self._n,)

    def __call__(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What is kept under a key; made where it is not there."""
        thing = self._things.pop(key) if key in self._things else make()
        self._things[key] = thing
        while len(self._things) > self._n:
            self._things.pop(next(iter(self._things)))
        return thing


@contextmanager
def keeping(
    do: Callable[[Any, Kept], Any], client: distributed.Client | None, n: int = 2
) -> Iterator[Callable[[Any], Any]]:
    """A function of one task, for :func:`maskopt_lib.runs.spread.spread`, that keeps things between tasks.

    Parameters
    ----------
    do : function of the library, of a task and a :class:`Kept`.
    client : of the workers, whether they are there already or come later; None works in this process.
    n : things kept in each process.
    """
    if client is None:
        yield partial(_with, do, Kept(n))
        return
    client.register_plugin(Kept(n), name=_PLUGIN)
    try:
        yield partial(_on_worker, do, n)
    finally:
        client.unregister_worker_plugin(_PLUGIN)


def _with(do: Callable[[Any, Kept], Any], kept: Kept, task: Any) -> Any:
    return do(task, kept)


def _on_worker(do: Callable[[Any, Kept], Any], n: int, task: Any) -> Any:
    # A worker that has just been started anew may be given a task before its plugins.
    return do(task, distributed.get_worker().plugins.setdefault(_PLUGIN, Kept(n)))
