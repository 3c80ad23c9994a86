"""Processes of their own: fresh, measured, and none left behind; an interrupt ends what has not begun."""

from __future__ import annotations

import os
import time
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pytest

from maskopt_lib.runs import memory
from maskopt_lib.runs.gather import complete
from maskopt_lib.runs.parts import write_part
from maskopt_lib.runs.spread import alone


def fill(n_bytes: int) -> tuple[int, int]:
    """The process, and the most memory that it needed for so many bytes."""
    memory.give_back()
    before = memory.memory_bytes()
    np.ones(n_bytes // 8).sum()
    return os.getpid(), memory.peak_memory_bytes() - before


def die(task: str) -> None:
    """End as a process does that the system kills."""
    os._exit(9)


def test_each_task_has_a_process_that_ends_with_it():
    (first, small), (second, large) = alone(fill, 10**8), alone(fill, 3 * 10**8)
    assert len({first, second, os.getpid()}) == 3 and not psutil.pid_exists(first)
    assert small == pytest.approx(1e8, rel=0.05) and large == pytest.approx(3e8, rel=0.05)


def test_a_process_that_dies_is_said_and_not_tried_again():
    with pytest.raises(BrokenProcessPool) as caught:
        alone(die, "the task")
    assert "while working on the task" in caught.value.__notes__


@dataclass(frozen=True)
class Nap:
    path: Path


def rest(task: Nap, kept) -> None:
    """A part that takes a fifth of a second."""
    time.sleep(0.2)
    write_part(task.path, {})


def test_an_interrupt_ends_the_work_without_what_has_not_begun(tmp_path):
    done = []

    def interrupt(task, result):
        done.append(task)
        raise KeyboardInterrupt

    environment = dict(os.environ)
    with pytest.raises(KeyboardInterrupt):
        complete(rest, [Nap(tmp_path / f"{i}.npz") for i in range(100)], workers=2, after=interrupt)
    assert len(done) == 1 and len(list(tmp_path.glob("*.npz"))) < 20
    assert dict(os.environ) == environment
