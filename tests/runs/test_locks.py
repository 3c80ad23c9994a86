"""One writer a folder: others wait or are told who; the children of the owner may write; the dead own nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from maskopt_lib import files
from maskopt_lib.errors import BusyFolderError
from maskopt_lib.runs.locks import FolderLock, owner_of

HOLD = """
import sys, time
from maskopt_lib.runs.locks import FolderLock
lock = FolderLock(sys.argv[1], "a test")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


def hold(folder, seconds: float) -> subprocess.Popen:
    """Another process that holds the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder, str(seconds)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_told_who_writes(tmp_path):
    with hold(tmp_path, 60) as process:
        with pytest.raises(BusyFolderError, match=rf"process {process.pid} on {files.this_host()} \(a test\) since"):
            FolderLock(tmp_path)
        process.kill()
    assert owner_of(tmp_path) is None
    with FolderLock(tmp_path):  # the owner is dead: taken over at once
        assert owner_of(tmp_path)["pid"] == os.getpid()
    assert owner_of(tmp_path) is None


def test_who_waits_says_so_once_and_gets_the_folder(tmp_path):
    told = []
    with hold(tmp_path, 1.5), FolderLock(tmp_path, wait_s=30, tell=told.append):
        assert owner_of(tmp_path)["pid"] == os.getpid()
    assert len(told) == 1 and "waiting for process" in told[0]


def told_a_stranger(folder) -> str:
    """What a process says that is nobody's child: the shell that starts it ends at once."""
    said = folder / "said"
    said.unlink(missing_ok=True)
    command = f"{sys.executable} -c '{HOLD}' {folder} 0 > {said} 2>&1 &"
    subprocess.run(["sh", "-c", command], check=True, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if said.exists() and ("held" in said.read_text() or "Error" in said.read_text()):
            break
        time.sleep(0.1)
    return said.read_text().strip().splitlines()[-1]


def test_one_process_may_take_its_folder_again_and_keeps_it_until_the_last_is_gone(tmp_path):
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    first.release()
    assert "BusyFolderError" in told_a_stranger(tmp_path)
    second.release()
    assert told_a_stranger(tmp_path) == "held"


def test_a_child_of_the_owner_may_write(tmp_path):
    with FolderLock(tmp_path), hold(tmp_path, 0) as child:
        assert child.wait() == 0


def test_a_dead_owner_whose_number_an_ancestor_has_now_owns_nothing(tmp_path):
    owner = {"host": files.this_host(), "pid": os.getppid(), "what": "before the machine was started", "since": "then"}
    files.write_json(tmp_path / ".owner.json", owner)
    with FolderLock(tmp_path):
        assert owner_of(tmp_path)["pid"] == os.getpid()


def test_taking_a_folder_sweeps_what_the_dead_left(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    left = tmp_path / f".a.part-{files.this_host()}-{process.pid}-01234567"
    left.write_text("half")
    with FolderLock(tmp_path):
        assert not left.exists()


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BusyFolderError, match="cannot write to"):
        FolderLock(tmp_path / "file" / "below")


@pytest.mark.parametrize("pid", [os.getppid(), 1, "x", -1, 2**70])
def test_what_a_dead_owner_left_gives_nobody_the_folder_without_its_lock(tmp_path, pid):
    # Numbers of processes come again, after a restart of the machine above all: here that of an ancestor.
    files.write_json(tmp_path / ".owner.json", {"host": files.this_host(), "pid": pid, "what": "", "since": ""})
    with FolderLock(tmp_path):
        assert owner_of(tmp_path)["pid"] == os.getpid()


def test_an_owner_without_its_words_is_none(tmp_path):
    files.write_json(tmp_path / ".owner.json", {"process": 1})
    assert owner_of(tmp_path) is None


def test_threads_of_one_process_do_not_take_each_other_for_strangers(tmp_path):
    def take_and_let_go(_):
        for _ in range(50):
            with FolderLock(tmp_path):
                assert owner_of(tmp_path)["pid"] == os.getpid()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(take_and_let_go, range(6)))
    assert owner_of(tmp_path) is None
