"""A rectangle of a placement: which cells and nets are left of it, in closed form."""

from __future__ import annotations

import pytest
from small_library import placed, platform

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError
from maskopt_lib.layout.placement_clip import clip_placement, nets_of

#: Rows 1 and 2, and columns 1 and 2: the square reaches from (1.14, 1.4) to (3.99, 4.2), and column 3 ends at 4.18.
MIDDLE_UM, SIDE_UM = (2.54, 2.8), 2.8


@pytest.fixture
def design(tmp_path):
    nets = {
        f"n{row}_{column}": f"( u{row}_{column} Z ) ( u{row}_{column + 1} A )"
        for row in range(4)
        for column in (0, 1, 2)
    }
    # Of a net that goes on outside what is inside stays; a pin of the design is none of a cell.
    nets |= {"far": "( u0_0 A )\n ( u1_1 A ) ( u2_2 Z ) + USE CLOCK", r"io\[0\]": "( PIN io[0] ) ( u1_1 A )"}
    return layout.read_design(placed(tmp_path / "small.def", nets=nets), platform=platform(tmp_path))


def test_cells_wholly_inside_stay_and_nets_between_them(design):
    clip = clip_placement(design, nets_of(design.path), MIDDLE_UM, SIDE_UM)
    assert clip.box_nm == (1140, 1400, 3990, 4200) and (clip.site_nm, clip.height_nm) == (190, 1400)
    assert list(clip.components) == ["u1_1", "u1_2", "u2_1", "u2_2"]
    at = clip.components["u1_2"]
    assert (at.cell, at.x_nm, at.y_nm, at.orientation) == ("BOX", 2280, 1400, "FS")
    assert clip.nets == {
        "n1_1": [("u1_1", "Z"), ("u1_2", "A")],
        "n2_1": [("u2_1", "Z"), ("u2_2", "A")],
        "far": [("u1_1", "A"), ("u2_2", "Z")],
    }
    assert clip.rows == [(1400, "FS"), (2800, "N")]


def test_the_square_lies_on_sites_and_rows_wherever_it_is_asked_for(design):
    nets = nets_of(design.path)
    moved = clip_placement(design, nets, (MIDDLE_UM[0] + 0.09, MIDDLE_UM[1] - 0.6), SIDE_UM)
    assert moved == clip_placement(design, nets, MIDDLE_UM, SIDE_UM)


def test_a_square_without_nets_and_a_file_without_nets_are_refused(design):
    with pytest.raises(LayoutError, match="hold 1 cells and no net between two of them"):
        clip_placement(design, nets_of(design.path), (1.5, 2.1), 1.4)
    design.path.write_text(design.path.read_text().replace("NETS", "NOTS"))
    with pytest.raises(LayoutError, match="no NETS"):
        nets_of(design.path)
