"""A folder with DEF, LEF and GDS, or with a finished hierarchical layout, is a design like any other."""

from __future__ import annotations

import json
import re

import gdstk
import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from maskopt_lib import layout
from maskopt_lib.__main__ import main
from maskopt_lib.errors import LayoutError, MissingDataError, SchemaError, UnknownNameError
from maskopt_lib.layout.rows import placement_faults

TECH = """VERSION 5.8 ;
UNITS
  DATABASE MICRONS 2000 ;
END UNITS
MANUFACTURINGGRID 0.005 ;
LAYER metal1
  TYPE ROUTING ;
  DIRECTION HORIZONTAL ;
  PITCH 0.14 ;
  WIDTH 0.07 ;
END metal1
LAYER via1
  TYPE CUT ;
END via1
LAYER metal2
  TYPE ROUTING ;
  DIRECTION VERTICAL ;
  PITCH 0.19 ;
  WIDTH 0.07 ;
END metal2
VIA via1_0 DEFAULT
  LAYER metal1 ;
    RECT -0.07 -0.035 0.07 0.035 ;
  LAYER via1 ;
    RECT -0.035 -0.035 0.035 0.035 ;
  LAYER metal2 ;
    RECT -0.035 -0.07 0.035 0.07 ;
END via1_0
SITE core
  CLASS CORE ;
  SIZE 0.2 BY 1.4 ;
END core
END LIBRARY
"""
CELL = """MACRO {name}
  CLASS CORE ;
  ORIGIN 0 0 ;
  SIZE {width} BY 1.4 ;
  SITE core ;
END {name}
"""
DEF = """VERSION 5.8 ;
DESIGN own ;
UNITS DISTANCE MICRONS 2000 ;
DIEAREA ( 0 0 ) ( 8000 8000 ) ;
ROW A core 400 400 N DO 16 BY 1 STEP 400 0 ;
ROW B core 400 3200 FS DO 16 BY 1 STEP 400 0 ;
COMPONENTS 3 ;
- u1 ELL + PLACED ( {u1} ) N ;
- u2 ELL + PLACED ( {u2} ) FS ;
- f1 FILL + PLACED ( 2000 400 ) N ;
END COMPONENTS
NETS 1 ;
- n1 ( u1 A ) + ROUTED metal1 ( 500 1100 ) ( 1500 * ) via1_0 ;
END NETS
END DESIGN
"""
OWN = {"layer_map": {"metal1": [31, 0], "via1": [32, 0], "metal2": [33, 0]}, "outline": [63, 0], "die": [64, 0]}
LEGAL = {"u1": "400 400", "u2": "1200 3200"}


def cells(path):
    """An L-shaped cell of 0.8 um and a filler of 0.4 um, on our own layers, in whole nm."""
    library = gdstk.Library(unit=1e-6, precision=1e-9)
    ell = library.new_cell("ELL")
    ell.add(gdstk.rectangle((0, 0), (0.8, 1.4), layer=63))
    ell.add(gdstk.Polygon([(0.1, 0.1), (0.5, 0.1), (0.5, 0.2), (0.2, 0.2), (0.2, 1.1), (0.1, 1.1)], layer=31))
    library.new_cell("FILL").add(gdstk.rectangle((0, 0), (0.4, 1.4), layer=63))
    return library, path


def write(folder, *, drop=(), places=LEGAL, **changes):
    """A folder with a small own design; ``changes`` go into its YAML."""
    folder.mkdir(exist_ok=True)
    library, path = cells(folder / "cells.gds")
    library.write_gds(path)
    (folder / "tech.lef").write_text(TECH)
    (folder / "cells.lef").write_text(
        "VERSION 5.8 ;\n" + CELL.format(name="ELL", width=0.8) + CELL.format(name="FILL", width=0.4) + "END LIBRARY\n"
    )
    (folder / "own.def").write_text(DEF.format(**places))
    fields = {
        "name": "own_block",
        "family": "own",
        "file": "own.def",
        "state": "routed",
        "layers": ["metal1", "via1"],
        "licence": "CC0",
        "redistribution": True,
        "platform": {**OWN, "lefs": ["tech.lef", "cells.lef"], "layouts": ["cells.gds"], "no_logic": ["FILL*"]},
    }
    fields = {key: value for key, value in (fields | changes).items() if key not in drop}
    (folder / "design.yaml").write_text(yaml.safe_dump(fields))
    return folder


def test_def_lef_and_gds_merge_on_their_own_layers(tmp_path, monkeypatch):
    """Also of a folder that is named as it is seen from here."""
    write(tmp_path / "own")
    monkeypatch.chdir(tmp_path)
    design = layout.open_design("own")
    assert design.layers == {(31, 0): "metal1", (32, 0): "via1", (33, 0): "metal2", (63, 0): "", (64, 0): ""}
    assert design.die_nm == (0, 0, 4000, 4000)
    table = design.instances().sortby("instance")
    assert table["instance"].values.tolist() == ["f1", "u1", "u2"]
    assert table["cell"].values.tolist() == ["FILL", "ELL", "ELL"]
    assert table["orientation"].values.tolist() == ["N", "N", "FS"]
    assert table["is_logic"].values.tolist() == [False, True, True]
    # The wire and the via's own metal join the L of u1: 900 by 100 to 200, wire 215 to 785 by 515 to 585.
    first, second = sorted(design.polygons("metal1"), key=lambda points: points[:, 1].min())
    assert first.min(axis=0).tolist() == [215, 300] and first.max(axis=0).tolist() == [820, 1300]
    assert second.min(axis=0).tolist() == [700, 1900] and second.max(axis=0).tolist() == [1100, 2900]
    (via,) = design.polygons("via1")
    assert via.min(axis=0).tolist() == [715, 515] and via.max(axis=0).tolist() == [785, 585]
    assert not placement_faults(design).to_dataarray().any()
    info = design.info
    assert (info.name, info.family, info.state, info.platform) == ("own_block", "own", "routed", "own")
    assert info.layers == ("metal1", "via1") and info.redistribution and info.licence == "CC0"


def test_a_global_placement_of_ones_own_is_put_on_rows(tmp_path):
    folder = write(
        tmp_path / "own", state="global placement", layers=["metal1"], places={"u1": "500 700", "u2": "600 1700"}
    )
    design = layout.open_design(folder)
    assert design.info.state == "legalised by us" and not placement_faults(design).to_dataarray().any()
    table = design.instances().sortby("instance")
    assert table["x0_nm"].values.tolist() == [1000, 200, 200] and table["y0_nm"].values.tolist() == [200, 200, 1600]
    assert layout.open_design(folder).instances().identical(design.instances())
    # Another DEF in the same folder is another placement.
    write(tmp_path / "own", state="global placement", places={"u1": "2900 700", "u2": "600 1700"})
    assert layout.open_design(folder).instances()["x0_nm"].values.max() == 1400


@pytest.mark.parametrize("suffix", ["gds", "oas"])
def test_a_finished_hierarchical_layout_is_a_design(tmp_path, suffix):
    folder = write(tmp_path / "own", file=f"top.{suffix}", state="placed", layers=["metal1"], platform=OWN, top="TOP")
    library, _ = cells(None)
    ell = library.cells[0]
    library.new_cell("TOP").add(
        gdstk.Reference(ell, (0, 0)),
        gdstk.Reference(ell, (0.8, 2.8), x_reflection=True),
        gdstk.rectangle((0, 0), (4, 4), 64),
    )
    (library.write_gds if suffix == "gds" else library.write_oas)(folder / f"top.{suffix}")
    design = layout.open_design(str(folder))
    assert design.instances()["cell"].values.tolist() == ["ELL", "ELL"] and design.info.state == "placed"
    assert design.instances()["orientation"].values.tolist() == ["N", "FS"] and design.die_nm == (0, 0, 4000, 4000)
    rule = layout.TileRule()
    windows = layout.tile_windows(design, rule)
    assert windows.sizes["tile"] == 2 * 2 * 3
    assert sum(len(tiles.index) for tiles in layout.cut_tiles(design, "metal1", windows, rule)) == 2 * 2 * 3
    assert "FILL" not in [cell.name for cell in design.layout.each_cell()]
    write(folder, file=f"top.{suffix}", state="placed", layers=["metal1"], platform=OWN)
    with pytest.raises(LayoutError, match=r"2 top cells \(FILL, TOP\); choose one with top="):
        layout.open_design(folder)


def test_it_may_use_a_platform_of_the_study(tmp_path):
    library = gdstk.Library(unit=1e-6, precision=1e-9)
    cell, top = library.new_cell("INV_X1"), library.new_cell("TOP")
    cell.add(gdstk.rectangle((0, 0), (0.38, 1.4), layer=235), gdstk.rectangle((0, 0), (0.38, 0.085), layer=11))
    top.add(gdstk.Reference(cell, (0, 0)))
    folder = write(tmp_path / "own", file="top.gds", layers=["metal1"], platform="nangate45", state="placed")
    library.write_gds(folder / "top.gds")
    design = layout.open_design(folder)
    np.testing.assert_array_equal(design.polygons("metal1")[0].max(axis=0), [380, 85])
    assert design.platform is layout.PLATFORMS["nangate45"] and design.info.platform == "nangate45"


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"drop": ("licence", "family")}, LayoutError, "design.yaml: the file lacks family, licence; it needs name"),
        ({"colour": "red"}, LayoutError, "the file has unknown colour; known: name, family"),
        ({"file": "other.def"}, MissingDataError, "names other.def, which is not in"),
        ({"state": "done"}, LayoutError, "state 'done' is none of routed, routed by us, placed, global placement"),
        ({"redistribution": "perhaps"}, LayoutError, "redistribution is true or false, got 'perhaps'"),
        ({"layers": []}, LayoutError, "layers is a list of at least one name"),
        ({"layers": ["metal9"]}, LayoutError, "unknown layer 'metal9'; the layer map has metal1, metal2, via1"),
        ({"name": "a/b"}, LayoutError, "becomes part of file names"),
        ({"platform": "sky130"}, UnknownNameError, "no platform 'sky130'; known: nangate45, asap7, or describe"),
        ({"platform": {"outline": [63, 0]}}, LayoutError, "platform lacks layer_map, lefs, layouts"),
        ({"platform": OWN}, LayoutError, "platform lacks lefs, layouts"),
        ({"platform": {**OWN, "lefs": ["no.lef"], "layouts": []}}, MissingDataError, "names no.lef"),
        (
            {"platform": {**OWN, "outline": 63, "lefs": [], "layouts": []}},
            LayoutError,
            r"outline is \[layer, datatype\] such as \[11, 0\], got 63",
        ),
    ],
)
def test_mistakes_are_answered_with_a_remedy(tmp_path, changes, error, says):
    with pytest.raises(error, match=says):
        layout.open_design(write(tmp_path / "own", **changes))


def test_a_folder_without_yaml_and_a_file_that_is_no_yaml(tmp_path):
    with pytest.raises(MissingDataError, match=r"has no design.yaml; write one, .*own_design.py shows how"):
        layout.open_design(tmp_path)
    (tmp_path / "design.yaml").write_text("a: [")
    with pytest.raises(SchemaError, match=r"line 2.*no YAML"):
        layout.open_design(tmp_path)
    (tmp_path / "design.yaml").write_text("- a")
    with pytest.raises(LayoutError, match="the file holds no keys; it needs name, family"):
        layout.open_design(tmp_path)


# What a DEF and its LEF files state


def in_units(text, per_um):
    """A DEF whose numbers count other units than 2000 a micron."""
    body = re.sub(r"(?<![\w-])\d{3,4}(?!\w)", lambda found: f"{int(found[0]) * per_um // 2000}", text)
    return re.sub(r"MICRONS \d+ ;", f"MICRONS {per_um} ;", body)


@pytest.mark.parametrize("per_um", [100, 200, 400, 800, 1000, 3000, 4000, 8000, 10000, 16000, 20000])
def test_lengths_are_the_same_in_any_units(tmp_path, per_um):
    folder = write(tmp_path / "own")
    expected = layout.open_design(folder).polygons("metal1")
    (folder / "own.def").write_text(in_units(DEF.format(**LEGAL), per_um))
    found = layout.open_design(folder)
    assert all(map(np.array_equal, found.polygons("metal1"), expected)) and found.die_nm == (0, 0, 4000, 4000)


def test_the_finest_step_of_a_def_is_a_length(tmp_path):
    folder = write(tmp_path / "own")
    (folder / "own.def").write_text(in_units(DEF.format(**LEGAL), 4000).replace("( 1000 2200 )", "( 1001 2201 )"))
    wire = next(p for p in layout.open_design(folder).polygons("metal1") if p[:, 1].min() < 1800)
    assert wire.min(axis=0).tolist() == [215.25, 300] and 515.25 in wire[:, 1]  # half of 70 nm below 550.25


def test_cells_on_a_finer_grid_keep_their_corners(tmp_path):
    folder = write(tmp_path / "own", layers=["metal1"])
    library = gdstk.Library(unit=1e-6, precision=2.5e-10)
    ell = library.new_cell("ELL")
    ell.add(gdstk.rectangle((0, 0), (0.8, 1.4), layer=63), gdstk.rectangle((0.10025, 0.1), (0.2, 0.20075), layer=31))
    library.new_cell("FILL").add(gdstk.rectangle((0, 0), (0.4, 1.4), layer=63))
    library.write_gds(folder / "cells.gds")
    corners = np.concatenate(layout.open_design(folder).polygons("metal1"))
    assert 300.25 in corners[:, 0] and 400.75 in corners[:, 1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("UNITS DISTANCE MICRONS 2000 ;", ""), "no UNITS DISTANCE MICRONS"),
        (("UNITS DISTANCE MICRONS 2000 ;", "UNITS DISTANCE MICRONS 0 ;"), "no UNITS DISTANCE MICRONS"),
        (("UNITS DISTANCE MICRONS 2000 ;", "UNITS DISTANCE MICRONS 1999 ;"), "no common one"),
        (("ROW A core 400", "ROW A core 3" + 60 * "3"), "a number of 61 digits"),
        (("ROW A core 400", "ROW A core -4" + 4999 * "0"), "a number of 5001 digits"),
        (("f1 FILL", "f1 OTHER"), "places OTHER, which no LEF has"),
        (("ROUTED metal1", "ROUTED metal7"), "routes on metal7, which no LEF has"),
    ],
)
def test_what_a_def_leaves_open_is_refused_not_dropped(tmp_path, change, says):
    folder = write(tmp_path / "own")
    (folder / "own.def").write_text(DEF.format(**LEGAL).replace(*change))
    with pytest.raises(LayoutError, match=says):
        layout.open_design(folder)


def test_a_def_without_its_lef_is_refused(tmp_path):
    folder = write(tmp_path / "own", platform={**OWN, "lefs": [], "layouts": ["cells.gds"]})
    with pytest.raises(LayoutError, match=r"places ELL, FILL, which no LEF has \(given: none\)"):
        layout.open_design(folder)


def test_obstructions_and_blockages_are_no_shapes(tmp_path):
    folder = write(tmp_path / "own")
    expected = layout.open_design(folder)
    obstructed = "  OBS\n    LAYER metal1 ;\n      POLYGON 0 0 0.8 0 0.8 1.4 ;\n      RECT 0 0 0.4 0.4 ;\n  END\n"
    lef = (folder / "cells.lef").read_text().replace("  SITE core ;\n", "  SITE core ;\n" + obstructed, 1)
    (folder / "cells.lef").write_text(lef)
    blocked = (
        "BLOCKAGES 2 ;\n- LAYER metal1 POLYGON ( 0 0 ) ( 800 0 ) ( 800 800 ) ;\n- PLACEMENT RECT ( 0 0 ) ( 40 40 ) ;\n"
    )
    text = (
        DEF.format(**LEGAL)
        .replace("COMPONENTS 3", blocked + "END BLOCKAGES\nCOMPONENTS 3")
        .replace("VERSION", "# ROW\nVERSION")
    )
    (folder / "own.def").write_text(text)
    found = layout.open_design(folder)
    assert found.layers == expected.layers
    assert all(map(np.array_equal, found.polygons("metal1"), expected.polygons("metal1")))


def test_a_damaged_layout_of_cells_is_named(tmp_path):
    cells_file = write(tmp_path / "own") / "cells.gds"
    cells_file.write_bytes(cells_file.read_bytes()[:-8])
    with pytest.raises(LayoutError, match=r"cells\.gds: truncated"):
        layout.open_design(tmp_path / "own")


def test_a_mask_for_a_def_with_lef_of_ones_own_is_one_command_and_its_score_another(tmp_path):
    folder, process = write(tmp_path / "own"), tmp_path / "small.yaml"
    process.write_text(
        "optics: {wavelength_nm: 193, na: 0.9, source: {shape: circular, sigma: 0.6}}\n"
        "field: {period_nm: 1000, pixel_nm: 5}\n"
    )
    drawn = [str(folder), "--layer", "metal1", "--process", str(process)]
    asked = ["--json", str(tmp_path / "made.json")]
    asked += ["--method", "identity", "--contours", "pixel", "--beside", "--out", str(tmp_path / "mask.oas")]
    done = CliRunner().invoke(main, ["optimize", *drawn, *asked])
    assert done.exit_code == 0, done.output
    made = json.loads((tmp_path / "made.json").read_text(encoding="utf-8"))
    assert made["windows"] != [1, 1] and made["scores"]["identity"] == made["scores"]["target"]
    written = layout.read_design(tmp_path / "mask.oas")
    in_file, in_def = (
        sum(gdstk.Polygon(points).area() for points in design.polygons(layer))
        for design, layer in ((written, "111/0"), (layout.open_design(folder), "metal1"))
    )
    assert made["file"]["area_nm2"] == pytest.approx(in_file) == pytest.approx(in_def)
    assert {"ELL", "FILL"} <= {cell.name for cell in written.layout.each_cell()}
    scored = CliRunner().invoke(main, ["score", str(tmp_path / "mask.oas"), *drawn, "--out", str(tmp_path / "s.json")])
    assert scored.exit_code == 0, scored.output
    found = json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))
    for name, value in made["scores"]["identity"].items():
        assert found[name] == pytest.approx(value), name
    assert found["violations"] == made["violations"]
