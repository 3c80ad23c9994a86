"""Processes that are killed in the middle of a write: what a test does to a store, for real."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import xarray as xr

from maskopt_lib import files
from maskopt_lib.runs import stores
from maskopt_lib.runs.parts import read_part, write_part


def write_value(path: Path, value: int) -> None:
    """A part, or a store of several files, that holds one number everywhere."""
    numbers = np.full(50, value)
    if path.suffix == ".npz":
        write_part(path, {"numbers": numbers}, {"value": value})
        return
    ds = xr.Dataset({name: ("x", numbers, {"units": "1"}) for name in ("first", "second")}, attrs={"value": value})
    with stores.writing(path) as beside:
        ds.chunk(x=20).to_zarr(beside, mode="w", zarr_format=3, consolidated=False)


def read_value(path: Path) -> int:
    """The number that all of it holds; an error where that is not one number."""
    if path.suffix == ".npz":
        found = [read_part(path)["numbers"]]
    else:
        ds = stores.opened(path, lambda ds: ds.load())
        found = [ds["first"].values, ds["second"].values, np.array([ds.attrs["value"]])]
    (value,) = set(np.concatenate(found).tolist())
    return value


def start(path: Path, value: int, kill_at: int | None) -> multiprocessing.process.BaseProcess:
    """A process that writes; it kills itself with signal 9 as it flushes for the n-th time."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["maskopt_lib.runs.parts", "maskopt_lib.runs.stores"])  # what takes seconds
    process = context.Process(target=_write, args=(path, value, kill_at))
    process.start()
    return process


def _write(path: Path, value: int, kill_at: int | None) -> None:
    flush, n = files._sync, 0

    def flush_or_die(one: Path) -> None:
        nonlocal n
        if n == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        n += 1
        flush(one)

    files._sync = flush_or_die
    write_value(path, value)
