"""One input at a time in a child process of its own, with limits of memory and time, and what became of it.

Children are forked from a process that has imported everything, so that each costs a few hundredths of a second.
"""

from __future__ import annotations

import contextlib
import json
import linecache
import os
import random
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskopt_lib.errors import MaskOptError

#: What became of an input. Right is a result that is as it should be, or as an independent way finds it.
RIGHT, OWN, FOREIGN, SILENT, HANG, CRASH = "right", "own error", "foreign", "silent", "hang", "crash"
#: An input that could not be made: nothing was tried.
NOT_MADE = "not made"
#: The worst first: a wrong result that nothing tells of.
BAD = (SILENT, CRASH, HANG, FOREIGN)

#: An input gets so much of the processor, of the clock, and of memory beyond what its parent has.
CPU_S, WALL_S, MEMORY_BYTES = 20, 400.0, 3 << 30
#: A file that no input may make: hostile ones ask for it by every way that executes something.
CANARY = "executed"
_LIBRARY = f"{os.sep}maskopt_lib{os.sep}"


@dataclass(frozen=True)
class Case:
    """An input, and what is done with it.

    Attributes
    ----------
    said : what was done to what.
    act : gives the input to the library.
    check : of what ``act`` returned: None where it is right, else a sentence.
    """

    said: str
    act: Callable[[], Any]
    check: Callable[[Any], str | None] = lambda result: None


@dataclass(frozen=True)
class Family:
    """Inputs of one kind.

    Attributes
    ----------
    name : of the family.
    tried : how many by default.
    make : ``make(rng, sources, folder) -> Case``: writes its files into the folder, which is the child's own.
    """

    name: str
    tried: int
    make: Callable[[random.Random, Path, Path], Case]


@dataclass(frozen=True)
class Finding:
    """What became of one input, which family, seed and number make again."""

    family: str
    index: int
    seed: int
    outcome: str
    said: str
    why: str = field(default="")


class NotMadeError(Exception):
    """The input that was drawn cannot be made, for a reason that is known."""


def is_own(error: BaseException, folders: Iterable[Path], said: str = "") -> bool:
    """Whether an error is the library's own answer.

    That is an error of :mod:`maskopt_lib.errors`, a TypeError or ValueError that a ``raise`` in the library's own text
    raises, or what the system says of the path that was asked for: it lies in a folder of the inputs and is none
    that the library makes for itself beside its place, or what was done speaks of it. The end of a program is none;
    the command line's is looked at where it is called.
    """
    if isinstance(error, MaskOptError):
        return True
    if isinstance(error, OSError):
        if error.errno is None or not error.filename:
            return False
        named = Path(os.fsdecode(error.filename)).resolve()
        inside = any(map(named.is_relative_to, folders)) and not named.name.startswith(".")
        return inside or repr(os.fsdecode(error.filename)) in said
    if isinstance(error, TypeError | ValueError) and error.__traceback__ is not None:
        last = traceback.extract_tb(error.__traceback__)[-1]
        line = linecache.getline(last.filename, last.lineno or 0).strip()
        return _LIBRARY in last.filename and line.startswith("raise ")
    return False


def tried(
    families: Iterable[tuple[Family, range]], sources: Path, *, seed: int, jobs: int
) -> Iterator[tuple[Finding, int]]:
    """Every input in a child, a few children at a time; findings as they come, each counts as one."""
    waiting = ((family, index) for family, indices in families for index in indices)
    living: dict[int, _Child] = {}
    while True:
        while len(living) < jobs and (next_one := next(waiting, None)) is not None:
            child = _Child(*next_one, seed, sources)
            living[child.pid] = child
        if not living:
            return
        for pid in list(living):
            if (finding := living[pid].finding()) is not None:
                del living[pid]
                yield finding, 1
        time.sleep(0.002)


def in_child(act: Callable[[], Any]) -> None:
    """Do something in a child: whatever threads it starts end with it, and a fork stays safe."""
    pid = os.fork()
    if pid == 0:
        try:
            act()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("what the inputs are made of could not be made")


class _Child:
    """A child that was begun, with the folder that it works in."""

    def __init__(self, family: Family, index: int, seed: int, sources: Path) -> None:
        self.family, self.index, self.seed = family, index, seed
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True)
        self._report = Path(self._folder.name, "report.json")
        self._begun = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            _live(family, index, seed, sources, Path(self._folder.name), self._report)

    def finding(self) -> Finding | None:
        """What became of it, once it has ended."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        late = time.monotonic() - self._begun > WALL_S
        if pid == 0 and not late:
            return None
        if pid == 0:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        with contextlib.suppress(FileNotFoundError):
            report = json.loads(self._report.read_text())
        if late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)):
            report |= {"outcome": HANG, "why": "took longer than it may"}
        elif os.WIFSIGNALED(status):
            report |= {"outcome": CRASH, "why": f"ended by signal {os.WTERMSIG(status)}"}
        if list(Path(self._folder.name).rglob(CANARY)):
            report |= {"outcome": CRASH, "why": "something in the input was executed"}
        self._folder.cleanup()
        return Finding(self.family.name, self.index, self.seed, report["outcome"], report["said"], report["why"])


def _live(family: Family, index: int, seed: int, sources: Path, folder: Path, report: Path) -> None:
    """The child's whole life."""

    def tell(outcome: str, said: str, why: str = "") -> None:
        report.write_text(json.dumps({"outcome": outcome, "said": said, "why": why}))

    tell(CRASH, "not made yet", "ended without a word")
    with Path(os.devnull).open("r+b") as nowhere:
        for stream in (0, 1, 2):
            os.dup2(nowhere.fileno(), stream)
    try:
        work = folder / "work"
        work.mkdir()
        os.chdir(work)
        case = family.make(random.Random(f"{seed} {family.name} {index}"), sources, work)
        tell(CRASH, case.said, "ended without a word")
    except BaseException as error:
        known = isinstance(error, NotMadeError)
        tell(NOT_MADE, str(error) if known else "the input could not be made", "" if known else _where(error))
        os._exit(0)
    try:
        _limit()
        tell(*_outcome(case, (folder, sources)))
    except BaseException as error:
        tell(SILENT, case.said, f"the result could not be checked: {_where(error)}")
    os._exit(0)


def _outcome(case: Case, folders: Iterable[Path]) -> tuple[str, str, str]:
    try:
        result = case.act()
    except BaseException as error:
        kind = OWN if is_own(error, folders, case.said) else FOREIGN
        return kind, case.said, f"{type(error).__name__}: {error}" + ("" if kind == OWN else f"\n{_where(error)}")
    wrong = case.check(result)
    return (SILENT, case.said, wrong) if wrong else (RIGHT, case.said, "")


def _where(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-3000:]


def _limit() -> None:
    now = int(next(line for line in Path("/proc/self/status").read_text().splitlines() if "VmData" in line).split()[1])
    resource.setrlimit(resource.RLIMIT_DATA, (now * 1024 + MEMORY_BYTES,) * 2)
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_S,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
