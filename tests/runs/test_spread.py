"""Tasks on workers: the same results as here, also when one is killed; strangers' schedulers are refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from maskopt_lib.errors import SchemaError
from maskopt_lib.runs.gather import complete, labelled
from maskopt_lib.runs.parts import read_part, said_of, write_part
from maskopt_lib.runs.spread import Kept, spread, workers


@dataclass(frozen=True)
class Square:
    """A task that keeps the square of a number, and where asked to kills its worker the first time."""

    n: int
    path: Path
    kill: bool = False

    def __str__(self):
        return f"the square of {self.n}"


def square(task: Square, kept: Kept) -> int:
    note = task.path.with_suffix(".killed")
    if task.kill and not note.exists():
        note.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    write_part(task.path, {"square": task.n**2}, {"pid": kept("pid", os.getpid)})
    return task.n**2


def fail(task: Square, kept: Kept) -> None:
    raise ZeroDivisionError(f"no {task.n}")


def squares(folder, n=4, killers=()):
    return [Square(i, folder / f"{i}.npz", kill=i in killers) for i in range(n)]


def test_what_is_lacking_is_made_once_and_what_is_damaged_again(tmp_path):
    assert complete(square, squares(tmp_path)) == 4 and complete(square, squares(tmp_path)) == 0
    whole = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "1.npz").write_bytes(whole["1.npz"][:50])
    (tmp_path / "2.npz").unlink()
    made = []
    assert complete(square, squares(tmp_path) * 2, after=lambda task, result: made.append((task.n, result))) == 2
    assert made == [(1, 1), (2, 4)]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == whole


def test_an_error_names_its_task(tmp_path):
    with pytest.raises(ZeroDivisionError, match="no 0") as error:
        complete(fail, squares(tmp_path))
    assert error.value.__notes__ == ["while working on the square of 0"]


def _kept_once(task, kept):
    assert kept("list", list) is kept("list", list)
    return task


def _things_kept(dask_worker):
    return [name for name in dask_worker.plugins if name.startswith("maskopt-kept")]


def test_a_killed_worker_loses_nothing(tmp_path):
    with workers(2) as client:
        tasks = squares(tmp_path, killers=(0, 2))
        assert complete(square, tasks, client=client) == 4
        with pytest.raises(ZeroDivisionError) as error:
            list(spread(fail, tasks[:1], client=client))
        assert error.value.__notes__ == ["while working on the square of 0"]
    assert [read_part(task.path)["square"] for task in tasks] == [0, 1, 4, 9]


def test_a_worker_killed_between_two_spreads_stops_nothing():
    with workers(2) as client:
        assert sorted(result for _, result in spread(_kept_once, range(4), client=client)) == [0, 1, 2, 3]
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)  # the next call finds one of two workers dying
        assert sorted(result for _, result in spread(_kept_once, range(4), client=client)) == [0, 1, 2, 3]
        time.sleep(0.5)
        assert not any(client.run(_things_kept, on_error="ignore").values())
        # Who takes a dead worker's place leaves Ctrl-C to the run as well.
        while len(handlers := client.run(signal.getsignal, signal.SIGINT, on_error="ignore")) < 2:
            time.sleep(0.2)
        assert set(handlers.values()) == {signal.SIG_IGN} and victim not in client.run(os.getpid).values()


def test_no_workers_are_started_for_one():
    with workers(1) as none, workers(0) as nothing:
        assert none is None and nothing is None


def test_more_processes_than_a_machine_holds_are_refused_before_one_is_started():
    with pytest.raises(SchemaError, match=r"workers=100000: at most \d+ processes"), workers(100_000):
        pass


@pytest.mark.parametrize("address", ["tcp://node1:8786", "node1:8786", "ws://10.0.0.1:80", "tcp://8.8.8.8:8786"])
def test_a_scheduler_beyond_this_machine_without_tls_is_refused(address):
    with pytest.raises(SchemaError, match="trusted_network=True"), workers(address=address):
        pass


def test_workers_end_with_a_process_that_is_killed(tmp_path):
    program = (
        "import os, sys, time\n"
        "from maskopt_lib.runs.spread import workers\n"
        "if __name__ == '__main__':\n"
        "    with workers(2) as client:\n"
        "        print(*client.run(os.getpid).values(), flush=True)\n"
        "        time.sleep(600)\n"
    )
    (tmp_path / "program.py").write_text(program)
    parent = subprocess.Popen([sys.executable, tmp_path / "program.py"], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until = time.monotonic() + 60
    while any(psutil.pid_exists(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_results_come_back_by_label_in_the_order_given():
    rows = {("z", 2): {"n": 1, "said": "x"}, ("z", 1): {"n": 2}, ("a", 2): {"n": 3}}
    ds = labelled(rows, ("name", "seed"), texts={"n": ("number", "1")})
    assert ds["name"].values.tolist() == ["z", "a"] and ds["seed"].values.tolist() == [2, 1]
    assert ds["n"].sel(name="z").values.tolist() == [1, 2] and ds["n"].isnull().sum() == 1
    assert ds["said"].values.tolist() == [["x", ""], ["", ""]] and ds["n"].attrs["units"] == "1"


def test_datasets_come_back_by_label_with_their_own_dimensions():
    import xarray as xr

    rows = {(name, seed): xr.Dataset({"n": ("x", [seed, 2.0])}) for name in "ba" for seed in (3, 1)}
    ds = labelled(rows, ("name", "seed"))
    assert ds["n"].dims == ("name", "seed", "x") and ds["name"].values.tolist() == ["b", "a"]
    assert ds["n"].sel(name="a", seed=3).values.tolist() == [3, 2]


def hash_seed(task: Square, kept: Kept) -> None:
    write_part(task.path, {}, {"seed": os.environ["PYTHONHASHSEED"], "hash": hash("text"), "pid": os.getpid()})


def test_a_process_is_started_for_what_is_to_be_in_its_environment(tmp_path):
    before = os.environ.get("PYTHONHASHSEED")
    for seed in ("1", "2"):
        complete(hash_seed, squares(tmp_path / seed, 2), environment={"PYTHONHASHSEED": seed})
    said = {seed: [said_of(tmp_path / seed / f"{i}.npz") for i in (0, 1)] for seed in ("1", "2")}
    for seed, (first, second) in said.items():
        assert first == second and first["seed"] == seed and first["pid"] != os.getpid()
    assert said["1"][0]["hash"] != said["2"][0]["hash"]
    assert os.environ.get("PYTHONHASHSEED") == before


def test_what_is_true_in_some_cases_stays_a_truth():
    ds = labelled({("a", 1): {"ok": True}, ("b", 0): {"ok": False}}, ("name", "seed"))
    assert np.array_equal(ds.ok.values, [[1, np.nan], [np.nan, 0]], equal_nan=True)


def test_an_address_that_is_none_is_said():
    with pytest.raises(SchemaError, match="is no address"), workers(address="tcp://[::1"):
        pass
