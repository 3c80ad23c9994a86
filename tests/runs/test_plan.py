"""What a study will run, what it costs, and what is left of it."""

from __future__ import annotations

import os
import re
import time

import pytest

from maskopt_lib.runs import params, plan
from maskopt_lib.runs.execute import RUN

COMMANDS = """
.venv/bin/python -m maskopt_lib.runs execute 00_first_mask quick --with-parent 4711 --quiet
.venv/bin/python -m maskopt_lib.runs execute 11_ilt_iccad13 quick --with-parent 4711 --quiet
.venv/bin/python -m maskopt_lib.runs execute 99_own_work quick --with-parent 4711 --quiet
"""


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKOPT_ROOT", str(tmp_path))
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def finish(results, name, age_s=0.0):
    path = results / name / RUN
    path.parent.mkdir(parents=True)
    path.touch()
    os.utime(path, (time.time() - age_s,) * 2)


def test_costs_are_said_before_anything_runs(results):
    head, *rows = plan.make_plan(COMMANDS, jobs=2)
    expected = (plan.cost_s("00_first_mask", "quick") + plan.cost_s("11_ilt_iccad13", "quick") + plan.UNKNOWN_S) / 2
    assert "3 notebooks" in head and plan.spoken(expected) in head and "run.log" in head
    assert "00_first_mask" in rows[0] and "99_own_work not timed yet" in " ".join(rows)
    assert plan.make_plan("nothing to be done", jobs=2) == []


def test_what_is_left_is_reckoned_from_how_fast_it_went(results, monkeypatch):
    assert plan.left() == ""
    finish(results, "11_ilt_iccad13/quick", age_s=100)  # of an earlier study
    plan.make_plan(COMMANDS, jobs=1)
    assert plan.left() == ""
    finish(results, "00_first_mask/quick")
    begun = time.time()
    monkeypatch.setattr(plan.time, "time", lambda: begun + 10.0)
    said = re.fullmatch(r"2 of 3 to go, about (\d+) (s|min)", plan.left())
    ratio = (plan.cost_s("11_ilt_iccad13", "quick") + plan.UNKNOWN_S) / plan.cost_s("00_first_mask", "quick")
    assert float(said[1]) * {"s": 1, "min": 60}[said[2]] == pytest.approx(10 * ratio, rel=0.1)


def test_what_to_open_is_there(results):
    finish(results, "90_results/quick")
    (line,) = plan.to_open("quick")
    assert line.startswith("   open results/90_results/quick/run.ipynb: ")


def test_every_notebook_has_a_cost_for_a_first_run():
    names = [path.stem for path in params.NOTEBOOKS.glob("*.ipynb")]
    assert [name for name in sorted(names) if not plan.cost_s(name, "quick")] == []
    assert {name for name, _ in plan.OPEN} <= set(names)
