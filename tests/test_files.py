"""Files put in place: whole or not at all, also when the writer dies or the disk is full."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import pytest

from maskopt_lib import files
from maskopt_lib.errors import DamagedFileError


def test_a_failed_write_leaves_the_old_version_and_nothing_beside(tmp_path):
    files.write_bytes(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError), files.replacing(tmp_path / "a") as beside:
        beside.write_bytes(b"half of")
        raise ZeroDivisionError
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_what_fails_its_check_is_not_put_in_place(tmp_path):
    def check(written):
        raise DamagedFileError(str(written))

    with pytest.raises(DamagedFileError), files.replacing(tmp_path / "a", check=check) as beside:
        beside.write_bytes(b"new")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("can_exchange", [True, False])
def test_a_folder_replaces_a_folder(tmp_path, monkeypatch, can_exchange):
    if not can_exchange:
        monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    for content in ("old", "new"):
        with files.replacing(tmp_path / "store") as beside:
            (beside / "inner").mkdir(parents=True)
            (beside / "inner" / content).write_text(content)
    assert [path.name for path in (tmp_path / "store" / "inner").iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_folder_does_not_replace_a_file_nor_a_file_a_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        files.write_bytes(tmp_path / "folder", b"")


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_or_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for write in (files.check_place, lambda path: files.write_bytes(path, b"new")):
        with pytest.raises(FileExistsError, match="a device or pipe is in the place of a file"):
            write(tmp_path / "pipe")
    assert [path.is_fifo() for path in tmp_path.iterdir()] == [True]


def test_an_old_version_that_was_moved_aside_by_a_dead_writer_comes_back(tmp_path):
    aside = tmp_path / f".store.old-{files.this_host()}-{dead_pid()}-01234567"
    aside.mkdir()
    (aside / "content").write_text("old")
    assert (files.restored(tmp_path / "store") / "content").read_text() == "old"


def test_leftovers_of_dead_writers_are_swept_and_of_living_ones_not(tmp_path):
    living = [tmp_path / f".a.part-{files.this_host()}-{os.getpid()}-01234567", tmp_path / f".b.part-{os.getpid()}"]
    foreign = tmp_path / ".c.part-another_machine-1-01234567"
    dead = [tmp_path / f".d.part-{files.this_host()}-{dead_pid()}-01234567", tmp_path / f".e.part-{dead_pid()}"]
    for path in (*living, foreign, dead[0], tmp_path / ".hidden"):
        path.write_text("")
    dead[1].mkdir()
    files.sweep(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {p.name for p in (*living, foreign, tmp_path / ".hidden")}


def test_every_damage_of_sealed_json_is_seen(tmp_path):
    path, values = tmp_path / "a.json", {"n": [1, 2.5, None], "title": "a b", "nested": {"yes": True}}
    files.write_json(path, values)
    assert files.read_json(path) == values
    whole = path.read_bytes()
    for i in range(len(whole)):
        for damaged in (whole[:i], whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :]):
            path.write_bytes(damaged)
            try:
                found = files.read_json(path)
            except DamagedFileError:
                continue
            assert found == values, "only what means the same may pass: another blank"
    path.write_text(json.dumps(values))
    with pytest.raises(DamagedFileError):
        files.read_json(path)
    assert files.read_json(path, unsealed=True) == values


@pytest.mark.skipif(sys.platform == "win32", reason="no limits on file sizes")
def test_a_full_disk_is_an_error_and_the_old_file_stays(tmp_path):
    files.write_bytes(tmp_path / "a", b"old")
    program = (
        "import resource, signal, sys; from maskopt_lib import files; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100)); files.write_bytes(sys.argv[1], bytes(1000))"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "a"], capture_output=True, text=True)
    assert done.returncode == 1 and "OSError" in done.stderr
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"old")]


def test_a_reader_beside_a_writer_finds_a_whole_file(tmp_path):
    path, stop, wrong = tmp_path / "a.json", threading.Event(), []
    files.write_json(path, {"n": 0})

    def read():
        while not stop.is_set():
            try:
                files.read_json(path)
            except Exception as error:
                wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for n in range(200):
        files.write_json(path, {"n": n, "much": "x" * n})
    stop.set()
    reader.join()
    assert not wrong


def test_names_that_are_numbers_keep_their_checksum(tmp_path):
    files.write_json(tmp_path / "a.json", {"n": {9: "a", 10: "b"}})
    assert files.read_json(tmp_path / "a.json") == {"n": {"9": "a", "10": "b"}}
