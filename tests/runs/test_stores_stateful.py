"""A part and a store under whatever happens: writes, kills in the middle of one, two writers, loss, flipped bytes.

What is read is always the last whole value, or an error; and what is made again in the end equals the serial run.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import victims
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from maskopt_lib import files
from maskopt_lib.errors import DamagedFileError, MissingDataError

NAMES = st.sampled_from(["a.npz", "a.zarr"])
VALUES = st.integers(0, 9)
#: Flushes of a write: some ten for a store, three for a part.
MOMENTS = st.integers(0, 14)


class KeptWork(RuleBasedStateMachine):
    """The model: the values that may be there, None for nothing, "damaged" for what must not be read."""

    def __init__(self):
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.may_be = {"a.npz": {None}, "a.zarr": {None}}

    def teardown(self):
        # Resume: everything once more, as a rerun does; no trace of what happened is left.
        for name in self.may_be:
            victims.write_value(self.folder / name, 1)
            victims.write_value(self.folder / f"serial-{name}", 1)
            assert self.content(name) == self.content(f"serial-{name}")
        files.sweep(self.folder)
        assert not list(self.folder.glob(".*"))
        shutil.rmtree(self.folder)

    def content(self, name):
        path = self.folder / name
        return files.sha256_of(path) if path.is_file() else files.checksums(path)

    @rule(name=NAMES, value=VALUES)
    def write(self, name, value):
        victims.write_value(self.folder / name, value)
        self.may_be[name] = {value}

    @rule(name=NAMES, value=VALUES, moment=MOMENTS)
    def kill_a_writer(self, name, value, moment):
        process = victims.start(self.folder / name, value, moment)
        process.join()
        assert process.exitcode in (0, -9)
        self.may_be[name] = {value} if process.exitcode == 0 else self.may_be[name] | {value}

    @rule(name=NAMES, one=VALUES, other=VALUES, moment=MOMENTS)
    def two_writers_one_is_killed(self, name, one, other, moment):
        processes = [victims.start(self.folder / name, one, None), victims.start(self.folder / name, other, moment)]
        for process in processes:
            process.join()
        assert processes[0].exitcode == 0
        self.may_be[name] = {one, other}

    @rule(name=NAMES)
    def lose(self, name):
        files.remove(self.folder / name)
        self.may_be[name] = {None}

    @rule(name=NAMES, which=st.integers(0, 99), where=st.integers(0, 99), how=st.sampled_from(["flip", "cut", "gone"]))
    def damage(self, name, which, where, how):
        path = self.folder / name
        if not path.exists():
            return
        all_files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
        target = all_files[which % len(all_files)]
        data = bytearray(target.read_bytes())
        at = where * len(data) // 100
        if how == "gone":
            target.unlink()
        else:
            data[at] ^= 1 << (where % 8)
            target.write_bytes(data if how == "flip" else data[:at])
        self.may_be[name] = {None} if how == "gone" and path == target else {"damaged"}

    @rule()
    def sweep(self):
        files.sweep(self.folder)

    @invariant()
    def what_is_read_was_written_whole(self):
        for name, may_be in self.may_be.items():
            try:
                found = victims.read_value(self.folder / name)
            except (FileNotFoundError, MissingDataError):
                found = None
            except DamagedFileError:
                found = "damaged"
            assert found in may_be, (name, found, may_be)
            self.may_be[name] = {found}


TestKeptWork = KeptWork.TestCase
TestKeptWork.settings = settings(max_examples=12, stateful_step_count=12, deadline=None)
