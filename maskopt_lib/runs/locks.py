"""Who may write to a folder: one process at a time, and its children; a dead owner's lock is anybody's."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock, Timeout

from maskopt_lib import files
from maskopt_lib.errors import BusyFolderError, DamagedFileError

_LOCK, _OWNER = ".lock", ".owner.json"
_AGAIN_S = 1.0
# The last holder in one thread must not let go in the middle of another thread's taking.
_ONE_THREAD = threading.RLock()
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST)


class FolderLock:
    """The right to write to a folder, held until it is released, or its process ends in whatever way.

    Parameters
    ----------
    folder : made where it is not there.
    what : is being done, for those who wait.
    wait_s : how long to wait for another owner.
    tell : called with a sentence once, when there is one to wait for.

    Raises
    ------
    BusyFolderError : another process still writes there; says which, on which machine, since when.

    Notes
    -----
    The operating system frees the lock of a process that ends, also after ``kill -9``. Within one process, and for the
    children of the owner, the folder is open: a notebook that ``make`` runs, workers, sweep points.
    """

    def __init__(
        self,
        folder: str | Path,
        what: str = "",
        *,
        wait_s: float = 0.0,
        tell: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self.folder = Path(folder).resolve()
        self._lock: FileLock | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._acquire(what, time.monotonic() + wait_s, tell)
        except OSError as error:
            if error.errno not in _NOT_WRITABLE:
                raise
            raise BusyFolderError(
                f"cannot write to {self.folder}: {error.strerror}; make it writable, or choose another out_dir"
            ) from error

    def _acquire(self, what: str, until: float, tell: Callable[[str], None]) -> None:
        told = False
        while not self._lock:
            try:
                self._take(what)
            except Timeout:
                # Asked only of a lock that is held: what a dead owner left may name a number that an ancestor has now.
                if self._is_mine(owner := owner_of(self.folder)):
                    return
                if time.monotonic() >= until:
                    raise BusyFolderError(
                        f"{self.folder} is being written by {_named(owner)}; wait for it, stop it, or choose another "
                        "out_dir"
                    ) from None
                if not told:
                    tell(f"waiting for {_named(owner)}, which writes to {self.folder}")
                told = True
                time.sleep(_AGAIN_S)

    def _take(self, what: str) -> None:
        with _ONE_THREAD:
            # One object a folder and process, freed when the last of its holders is gone.
            lock = FileLock(self.folder / _LOCK, is_singleton=True, thread_local=False)
            lock.acquire(timeout=0)
            self._lock = lock
            now = datetime.now(UTC).isoformat(timespec="seconds")
            owner = {"host": files.this_host(), "pid": os.getpid(), "what": what, "since": now}
            files.write_json(self.folder / _OWNER, owner)
        files.sweep(self.folder)

    @staticmethod
    def _is_mine(owner: dict[str, Any] | None) -> bool:
        """Whether an ancestor holds the folder; it lives as long as this process is needed."""
        if owner is None or owner["host"] != files.this_host() or owner["pid"] == os.getpid():
            return False
        return owner["pid"] in {parent.pid for parent in psutil.Process().parents()}

    def release(self) -> None:
        """Let others write; not before all holders in this process did so."""
        with _ONE_THREAD:
            lock, self._lock = self._lock, None
            if lock is not None:
                if lock.lock_counter == 1:
                    (self.folder / _OWNER).unlink(missing_ok=True)
                lock.release()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        if getattr(self, "_lock", None) is not None:
            self.release()


def owner_of(folder: str | Path) -> dict[str, Any] | None:
    """``host``, ``pid``, ``what`` and ``since`` of the last process that took a folder and lives; None without one."""
    try:
        owner = files.read_json(Path(folder) / _OWNER)
        return owner if files.process_lives(owner["host"], owner["pid"]) and {"what", "since"} <= set(owner) else None
    except (FileNotFoundError, DamagedFileError, KeyError, TypeError, OverflowError):  # nothing that a lock wrote
        return None


def _named(owner: dict[str, Any] | None) -> str:
    if owner is None:
        return "another process"
    what = f" ({owner['what']})" if owner["what"] else ""
    return f"process {owner['pid']} on {owner['host']}{what} since {owner['since']}"
