"""Keys of code: what acts otherwise has another key, what is only moved or told otherwise has the same."""

from __future__ import annotations

import pytest

from maskopt_lib.runs import hashing


@pytest.fixture
def digest(tmp_path, monkeypatch):
    """Hash of the first of some modules, given by name and text."""
    monkeypatch.setattr(hashing, "_ROOT", tmp_path)
    (tmp_path / "maskopt_lib").mkdir()

    def of(first: str, **texts: str) -> str:
        for name, text in texts.items():
            (tmp_path / "maskopt_lib" / f"{name}.py").write_text(text)
        return hashing.source_hash([f"maskopt_lib.{first}"])

    return of


def test_two_modules_that_change_their_values_act_otherwise(digest):
    both = "from maskopt_lib import fast, slow\ndef f(): return fast.N - slow.N\n"
    assert digest("a", a=both, fast="N = 1\n", slow="N = 2\n") != digest("a", a=both, fast="N = 2\n", slow="N = 1\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("from math import floor as rounded", "from math import ceil as rounded"),
        ("import numpy as np", "import jax.numpy as np"),
        ("from maskopt_lib.b import f as h", "from maskopt_lib.b import g as h"),
        ("from maskopt_lib.b import f as h, g", "from maskopt_lib.b import f as g, g as h"),
        ("from maskopt_lib import b, c", "from maskopt_lib import b as c, c as b"),
        ("X = 1\nX = 2", "X = 2\nX = 1"),
        ("X = [1]\nX.append(1)", "X = [1]\nX.append(1)\nX.append(1)"),
    ],
)
def test_another_import_or_order_is_another_key(digest, before, after):
    others = {"b": "def f(): return 1\ndef g(): return 2\n", "c": "def f(): return 3\n"}
    assert digest("a", a=before, **others) != digest("a", a=after, **others)


def test_a_module_may_move(digest):
    before = digest("a", a="from maskopt_lib.b import f\n", b="def f(): return 1\n")
    assert digest("x", x="from maskopt_lib.y import f\n", y="def f(): return 1\n") == before


def test_modules_that_import_each_other_have_a_key(digest):
    a = "def f():\n    from maskopt_lib.b import g\n"
    assert digest("a", a=a, b="from maskopt_lib.a import f\ng = 1\n") != digest("a", a=a, b="g = 1\n")
