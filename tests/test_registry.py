"""Solvers and networks from outside: the examples of `maskopt_lib.registry`, by entry point and by a call."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from maskopt_lib import models, opc, registry
from maskopt_lib.errors import TakenNameError
from maskopt_lib.registry import Registry

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder as pip leaves it: the examples, their entry points, and a package that is broken."""
    folder = tmp_path_factory.mktemp("site ü")
    blocks = [textwrap.dedent(block) for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", registry.__doc__)]
    for name, text in zip(("grown", "one_layer"), blocks, strict=False):
        assert sum(bool(line.strip()) for line in text.splitlines()) <= 15, f"{name}: an example of 15 lines"
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    entries = blocks[2].replace('project.entry-points."', "").replace('"]', "]").replace('"', "")
    broken = entries.replace("grown =", "broken = not_there:X\ncurvy =").replace(
        "one_layer = one_layer", "empty = json"
    )
    for package, text in (("theirs", entries), ("broken", broken)):
        (folder / f"{package}-1.0.dist-info").mkdir()
        (folder / f"{package}-1.0.dist-info/METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n"
        )
        (folder / f"{package}-1.0.dist-info/entry_points.txt").write_text(text)
    return folder


def test_what_packages_bring_works_at_every_door_and_what_is_broken_is_named(installed, tmp_path):
    program = ROOT / "tests" / "helpers" / "use_plugins.py"
    paths = os.pathsep.join([str(ROOT), str(installed)])
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
