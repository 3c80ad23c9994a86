"""Processes that end with those that began them."""

import os
import signal
import threading
import time

import psutil

_LOOK_S = 0.5


def leave_with_parent(parent: int | None = None) -> None:
    """End this process, and all that it started, when the one that started it is gone, in whatever way.

    Nobody who is killed can say so: a thread looks, twice a second. A parent that names itself is missed where it was
    gone before this process came to look.

    Parameters
    ----------
    parent : its process id; by default whose child this process is now.
    """
    parent = os.getppid() if parent is None else parent

    def look() -> None:
        while os.getppid() == parent and psutil.pid_exists(parent):
            time.sleep(_LOOK_S)
        end_children()
        os._exit(1)

    threading.Thread(target=look, name="leave with parent", daemon=True).start()


def dask_setup(worker: object) -> None:
    """How a dask worker begins: Ctrl-C in a terminal reaches it as well, but the run ends it, without its traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def asked_threads() -> int:
    """Threads that ``OMP_NUM_THREADS`` asks for, the first number of a list; 0 where it says nothing."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def end_children() -> None:
    """Kill all that this process started, and what these started."""
    for child in psutil.Process().children(recursive=True):
        try:
            # It ends by itself, and multiprocessing complains where it finds it gone.
            if not any("resource_tracker" in word for word in child.cmdline()):
                child.kill()
        except psutil.NoSuchProcess:
            continue
