"""Solvers and networks from outside: the examples of `maskopt_lib.registry`, by entry point and by a call."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import outside_packages
import pytest

from maskopt_lib import models, opc
from maskopt_lib.errors import TakenNameError
from maskopt_lib.registry import Registry

ROOT = Path(__file__).resolve().parents[1]


def test_what_packages_bring_works_at_every_door_and_what_is_broken_is_named(tmp_path):
    program = ROOT / "tests" / "helpers" / "use_plugins.py"
    paths = os.pathsep.join([str(ROOT), str(outside_packages.write(tmp_path))])
    done = subprocess.run([sys.executable, program, tmp_path], env=os.environ | {"PYTHONPATH": paths})
    assert done.returncode == 0


def test_names_that_are_taken_and_things_that_are_none_are_refused():
    fruits = Registry("fruit", {"apple": 1}, group="maskopt_lib.fruits", fault=lambda t: None if t else "is nothing")
    fruits.register("pear", 2)
    fruits.register("pear", 2)  # a cell run again
    assert dict(fruits) == {"apple": 1, "pear": 2}
    for name, given, error, said in (
        ("apple", 3, TakenNameError, "the library's own"),
        ("pear", 3, TakenNameError, "replace=True"),
        ("plum", None, TypeError, "is nothing"),
        ("a/b", 3, ValueError, "no name for a fruit"),
    ):
        with pytest.raises(error, match=said):
            fruits.register(name, given)
    fruits.register("pear", 3, replace=True)
    with pytest.raises(TakenNameError):
        fruits.register("apple", 3, replace=True)
    assert dict(fruits) == {"apple": 1, "pear": 3}


@pytest.mark.parametrize("register", [opc.register, models.register])
def test_solvers_and_networks_are_looked_at_before_they_are_taken(register):
    with pytest.raises(TypeError, match=r"'mine': .*give"):
        register("mine", len)
