"""Layers by name, by numbers, and by one's own map."""

from __future__ import annotations

import numpy as np
import pytest

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, MissingDataError, SchemaError, UnknownNameError

LYP = """<?xml version="1.0" encoding="utf-8"?>
<layer-properties>
 <properties><name>metal1.drawing - 11/0</name><source>11/0@1</source></properties>
 <properties><name>Metals</name><source>*/*@*</source>
  <group-members><name>12   / 5    via1 pin</name><source>12/5@1</source></group-members>
 </properties>
 <properties><name/><source>99/1</source></properties>
 <properties><name>core</name><source>Si 37/4@1</source></properties>
</layer-properties>
"""


def test_one_layer_in_all_its_words():
    for layer in ("metal1", " 11/0", "11 / 0 ", (11, 0), [11, 0], np.array([11, 0])):
        assert layout.resolve_layer(layer) == (11, 0)
    assert layout.resolve_layer("li1", "sky130") == (67, 20)
    assert layout.resolve_layer("si", {"si": "37/4"}) == (37, 4) == layout.resolve_layer("si", {"si": [37, 4]})


def test_a_map_of_ones_own(tmp_path):
    (tmp_path / "my.yaml").write_text("core: [37, 4]\nheater: 40/0\n", encoding="utf-8")
    (tmp_path / "my.lyp").write_text(LYP, encoding="utf-8")
    assert layout.layer_names(tmp_path / "my.yaml") == {"core": (37, 4), "heater": (40, 0)}
    names = layout.layer_names(str(tmp_path / "my.lyp"))
    assert names == {"metal1.drawing": (11, 0), "metal1": (11, 0), "via1 pin": (12, 5), "core": (37, 4)}


@pytest.mark.parametrize(
    "layer", [11, None, (1, 0, 0), (1.7, 0), (-1, 0), "1/0/0x", (True, 0), ("a", 0), (1 << 31, 0), b"1"]
)
def test_what_is_no_layer(layer):
    with pytest.raises(LayoutError):
        layout.resolve_layer(layer)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.yaml", "metal1: eleven", "a.yaml: metal1 is .layer, datatype. such as .11, 0., .* got 'eleven'"),
        ("b.yaml", "- metal1", "b.yaml: no layer in it"),
        ("c.yaml", "a: [1, 0", "c.yaml"),
        ("d.lyp", "<layer-properties>", "d.lyp: no layer properties"),
        ("e.lyp", "<!DOCTYPE x [<!ENTITY a 'b'>]><x/>", "e.lyp: no layer properties .it declares"),
        ("f.lyp", "<x/>", "f.lyp: no layer in it"),
    ],
)
def test_a_map_that_is_none(tmp_path, name, text, message):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises((LayoutError, SchemaError), match=message):
        layout.layer_names(tmp_path / name)


def test_unknown_names_say_what_is_known(tmp_path):
    with pytest.raises(LayoutError, match="unknown layer 'metal'; freepdk45 has active, poly, contact, metal1"):
        layout.resolve_layer("metal")
    with pytest.raises(UnknownNameError, match="known: asap7, freepdk45, sky130, or your own"):
        layout.layer_names("freepdk15")
    with pytest.raises(MissingDataError, match="no map of layers at"):
        layout.layer_names(tmp_path / "none.lyp")


@pytest.mark.realdata
@pytest.mark.parametrize(("process", "file"), [("freepdk45", "nangate45/FreePDK45.lyp"), ("asap7", "asap7/asap7.lyp")])
def test_the_names_of_a_process_are_those_of_its_layer_properties(real_data, process, file):
    theirs = layout.layer_names(real_data(file))
    same = {name: pair for name, pair in layout.layer_names(process).items() if name in theirs}
    assert len(same) >= 4 and same.items() <= theirs.items()
