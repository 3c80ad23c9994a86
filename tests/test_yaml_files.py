"""YAML of a user: what it says and where, and what is refused before it costs anything."""

from __future__ import annotations

import time

import pytest

from maskopt_lib import yaml_files
from maskopt_lib.errors import MissingDataError, SchemaError, UnknownNameError


def test_values_are_plain_and_know_their_lines(tmp_path):
    path = tmp_path / "ä b.yaml"
    path.write_text("\ufeffna: 0.9\nsource:\n  sigma: [0.5, 1e-4]\n", encoding="utf-8")
    found = yaml_files.read(path)
    assert found.value == {"na": 0.9, "source": {"sigma": [0.5, 1e-4]}}
    assert found.where("source", "sigma", 1) == f"{path}, line 3, source.sigma.1"
    assert found.where("source", "edge") == f"{path}, line 2, source.edge"
    assert found.where() == str(path)
    assert yaml_files.parse("").value is None


def test_unknown_keys_name_file_line_and_the_nearest():
    found = yaml_files.parse("na: 1\nsource:\n  sigmma: 1\n", name="my.yaml")
    with pytest.raises(UnknownNameError, match=r"my.yaml, line 3, source.sigmma: .*did you mean sigma\?"):
        found.check_keys(["sigma"], "source")
    with pytest.raises(SchemaError, match=r"my.yaml, line 1, na: holds 1"):
        found.check_keys(["sigma"], "na")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", r"my.yaml, line 3: key a is there twice"),
        (BOMB, "values"),
        ("a: &a [*a]\n", "alias within itself"),
        ("[" * 100_000, "levels"),
        ("a: !!python/object/apply:os.system [echo]\n", r"my.yaml, line 1"),
        ("a: !!timestamp soon\n", "quotes"),
        ("a: !!bool perhaps\n", "quotes"),
        ("a: 2001-13-45\n", "quotes"),
        ("a: " + "9" * 5000, "quotes"),
        ("a: {b\n", r"my.yaml, line"),
        ("a: 1\n--- \nb: 2\n", "another document"),
        ("? [a, b]\n: c\n", "unhashable"),
        ("a: \x00\n", "no YAML"),
        ("a: *b\n", "undefined alias"),
        ("<<: 3\n", "merging"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(text, said):
    start = time.monotonic()
    with pytest.raises(SchemaError, match=said):
        yaml_files.parse(text, name="my.yaml")
    assert time.monotonic() - start < 2


def test_files_that_are_no_settings(tmp_path):
    with pytest.raises(MissingDataError, match="there is no file"):
        yaml_files.read(tmp_path)
    (tmp_path / "large.yaml").write_bytes(b"#" * (yaml_files.LARGEST_BYTES + 1))
    with pytest.raises(SchemaError, match="bytes"):
        yaml_files.read(tmp_path / "large.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(SchemaError, match="UTF-8"):
        yaml_files.read(tmp_path / "binary.yaml")
    with pytest.raises(MissingDataError, match="cannot be read"):
        yaml_files.read("x" * 5000 + ".yaml")
