"""Wires of a DEF file: read as they are drawn, written so that they are read again."""

from __future__ import annotations

import pytest
from small_library import placed, platform

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError
from maskopt_lib.layout.placement_clip import clip_placement, nets_of
from maskopt_lib.layout.routes import Wire, def_text, read_routes

#: As the router writes them: corners that keep a coordinate, the foot of a via, stubs with a width, one of no length.
ROUTED = """DESIGN small ;
NETS 3 ;
- a
  ( u0 A ) ( u1 Z )

+ ROUTED metal1 ( 10 20 ) via1_tall
  NEW metal2 ( 10 20 ) ( * 60 ) ( 90 * ) via2_flat ;
- b ( u2 A ) ( u3 Z ) ;
- c ( u4 A ) ( u5 Z )
  + ROUTED metal2 ( 5 5 ) ( 5.0 30 ) ;
END NETS
SPECIALNETS 2 ;
- a
+ ROUTED metal1 280 ( 10 20 ) ( * 25 )
  NEW metal1 280 ( 7 7 ) ;
- b
;
END SPECIALNETS
END DESIGN
"""
WIRES = {
    "a": [
        Wire(layer="metal1", points=[(10, 20)], via="via1_tall"),
        Wire(layer="metal2", points=[(10, 20), (10, 60), (90, 60)], via="via2_flat"),
        Wire(layer="metal1", points=[(10, 20), (10, 25)], width=280),
    ],
    "c": [Wire(layer="metal2", points=[(5, 5), (5, 30)])],
}
TRACKS = [("metal1", "Y", 70, 140), ("metal2", "X", 95, 190)]


def test_wires_are_read_back():
    assert read_routes(ROUTED, "here") == WIRES


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("END DESIGN", "", "here: it ends before END DESIGN"),
        ("( 10 20 ) ( * 60 )", "( 10 x ) ( * 60 )", "here, net a: .* is no wire"),
        ("( 5.0 30 )", "( 5.5 30 )", "here, net c: .* is no wire"),
        ("metal1 280 ( 10", "metal1 ( 10", "here, net a: .* is no wire"),
        (") via2_flat", ") via2_flat via2_flat", "here, net a: .* is no wire"),
    ],
)
def test_what_is_no_wire_is_refused(old, new, match):
    with pytest.raises(LayoutError, match=match):
        read_routes(ROUTED.replace(old, new), "here")


def test_a_clip_is_written_so_that_it_is_read_again(tmp_path):
    library = platform(tmp_path)
    source = layout.read_design(placed(tmp_path / "small.def"), platform=library)
    clip = clip_placement(source, nets_of(source.path), (2.54, 2.8), 2.8)
    routes = {
        "n1_1": [
            Wire(layer="metal1", points=[(3610, 3640)], via="via1_tall"),
            Wire(layer="metal2", points=[(3610, 3640), (3610, 4200)]),
            Wire(layer="metal1", points=[(3610, 3640), (3610, 3700)], width=280),
        ]
    }
    text = def_text(clip, "again", 2000, TRACKS, site="core", routes=routes)
    assert read_routes(text, "again") == routes
    (tmp_path / "again.def").write_text(text)
    design = layout.read_design(tmp_path / "again.def", platform=library)
    assert nets_of(design.path) == clip.nets
    # On the same rows the same clip is cut out of it.
    assert clip_placement(design, nets_of(design.path), (2.54, 2.8), 2.8) == clip
    assert "TRACKS X 2470 DO 15 STEP 380 LAYER metal2 ;" in text and "TRACKS Y 2940 DO 20 STEP 280" in text
    assert design.count("via1") == 1 and design.bounds_nm("metal2") == (1770, 1750, 1840, 2135)


def test_corners_off_the_units_are_refused(tmp_path):
    source = layout.read_design(placed(tmp_path / "small.def"), platform=platform(tmp_path))
    clip = clip_placement(source, nets_of(source.path), (2.54, 2.8), 2.8)
    with pytest.raises(LayoutError, match="1140 nm is no whole number of 3 units per micron"):
        def_text(clip, "again", 3, TRACKS, site="core")
