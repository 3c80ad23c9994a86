"""Reading GLP, GDS and OASIS: what is there is read, what is wrong is refused with place and remedy."""

from __future__ import annotations

import struct

import gdstk
import numpy as np
import pytest
from klayout import db

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, UnknownNameError

HEADER = "BEGIN  /* made by a test */\nEQUIV  1  1000  MICRON  +X,+Y\nCNAME Top\nLEVEL M1\n\nCELL Top PRIME\n"


@pytest.fixture
def glp(tmp_path):
    """Write a GLP file of these shape lines; the first is line 7."""

    def write(*lines, header=HEADER, end="ENDMSG\n", name="clip.glp"):
        path = tmp_path / name
        path.write_text(header + "".join(f"   {line}\n" for line in lines) + end)
        return path

    return write


def library_of(polygons, unit=1e-6, precision=1e-10, layer=11):
    """Polygons in nm as a library in micrometres."""
    library = gdstk.Library(unit=unit, precision=precision)
    library.new_cell("TOP").add(*(gdstk.Polygon(np.asarray(p) * 1e-9 / unit, layer=layer) for p in polygons))
    return library


SHAPES = [
    [(0, 0), (70, 0), (70, 500), (0, 500)],
    [(200, 100), (420, 100), (420, 190), (290, 190), (290, 400), (200, 400)],
]


@pytest.fixture(params=["gds", "oas"])
def stream(request, tmp_path):
    """Write polygons in nm as GDS and as OASIS."""

    def write(polygons=SHAPES, **options):
        path = tmp_path / f"layout.{request.param}"
        library = library_of(polygons, **options)
        library.write_gds(path) if request.param == "gds" else library.write_oas(path)
        return path

    return write


# GLP


def test_both_shapes_and_both_forms(glp):
    clip = layout.read_clip(glp("RECT N M1 10 20 30 40", "PGON N M1 100 0 160 0 160 60 130 60 130 30 100 30"))
    assert [p.tolist() for p in clip.polygons] == [
        [[10, 20], [40, 20], [40, 60], [10, 60]],
        [[100, 0], [160, 0], [160, 60], [130, 60], [130, 30], [100, 30]],
    ]
    assert (clip.name, clip.layer, clip.area_nm2) == ("clip", "M1", 30 * 40 + 60 * 60 - 30 * 30)
    bare = layout.read_clip(glp("RECT 10 20 30 40", "PGON 100 0 160 0 160 60 130 60 130 30 100 30"))
    assert all(np.array_equal(a, b) for a, b in zip(clip.polygons, bare.polygons, strict=True))


def test_a_repeated_first_point_closes_the_same_polygon(glp):
    closed = layout.read_clip(glp("PGON N M1 0 0 50 0 50 50 0 50 0 0"))
    assert len(closed.polygons[0]) == 4
    # ... and says that a slanted closing edge is meant.
    assert layout.read_clip(glp("PGON N M1 0 0 50 0 50 50 0 0")).area_nm2 == 1250


def test_the_unit_of_the_header_counts(glp):
    half = HEADER.replace("1  1000", "1  2000")
    clip = layout.read_clip(glp("RECT N M1 20 40 60 80", header=half))
    assert clip.polygons[0].max(axis=0).tolist() == [40, 60]
    with pytest.raises(LayoutError, match=r"line 7: coordinate 21 is 10.5 nm, off the grid of 1 nm"):
        layout.read_clip(glp("RECT N M1 21 40 60 80", header=half))
    assert layout.read_clip(glp("RECT N M1 21 40 60 80", header=half), grid_nm=0.5).bounds_nm[2] % 1 == 0.5


def test_contest_names_are_placed_as_in_the_contest_others_centred(glp):
    assert layout.read_clip(glp("RECT N M1 80 80 71 40", name="M1_test7.glp")).offset_nm == (512, 512)
    path = glp("RECT N M1 80 80 71 40", name="AND2.glp")
    assert layout.read_clip(path).bounds_nm == (988, 1004, 1059, 1044)  # 988.5 rounded down
    assert layout.read_clip(path, placement="contest").bounds_nm == (592, 592, 663, 632)
    assert layout.read_clip(path, placement=(-80, 5)).bounds_nm == (0, 85, 71, 125)
    assert layout.read_clip(path, window_nm=256).bounds_nm == (92, 108, 163, 148)
    with pytest.raises(UnknownNameError, match="contest, centred, or"):
        layout.read_clip(path, placement="left")


def test_negative_coordinates_are_fine_where_they_are_centred(glp):
    path = glp("RECT N M1 10 10 20 20", "RECT N M1 -40 80 30 30")
    assert layout.read_clip(path).rasterize().sum() == 400 + 900
    with pytest.raises(LayoutError, match=r"clip.glp, line 8: negative coordinate, .*\(-40, 80\).*placement='centred'"):
        layout.read_clip(path, placement="contest")


def test_layers_are_chosen_by_name(glp):
    path = glp("RECT N M1 0 0 50 50", "RECT N V1 100 0 70 70")
    assert layout.read_clip(path, "V1").area_nm2 == 4900
    with pytest.raises(LayoutError, match="several layers, M1, V1; choose one"):
        layout.read_clip(path)
    with pytest.raises(LayoutError, match="layer 'M2' is unknown; layers with shapes: M1, V1"):
        layout.read_clip(path, "M2")
    declared = glp("RECT N M1 0 0 50 50", header=HEADER.replace("LEVEL M1", "LEVEL M1\nLEVEL E1"))
    with pytest.raises(LayoutError, match="layer 'E1' is declared but empty"):
        layout.read_clip(declared, "E1")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("RECT N M1 10 20 30", "line 7: RECT takes x y width height, found 3 numbers"),
        ("RECT N M1 10 20 0 40", "line 7: RECT of 0 x 40 nm has no area"),
        ("RECT N M1 10 20 -30 40", "line 7: RECT of -30 x 40 nm has no area"),
        ("RECT N M1 10 20 3O 40", "line 7: '3O' is not a number"),
        (f"RECT N M1 10 20 30 {'9' * 400}", "line 7: a coordinate of inf nm, where 1e.12 nm are the most"),
        ("RECT N M1 10 20 nan 40", "line 7: 'nan' is not a number"),
        ("RECT N M1 10.5 20 30 40", "line 7: coordinate 10.5 is 10.5 nm, off the grid of 1 nm; snap it, or pass"),
        ("RECT R90 M1 10 20 30 40", "line 7: orientation 'R90'; only N"),
        ("RECT", "line 7: expected 'RECT N <layer> numbers'"),
        ("RECT N 10 20 30 40", "line 7: expected 'RECT N <layer> numbers'"),
        ("PGON N M1 0 0 50 0 50 50 0", "line 7: PGON has 7 numbers, an odd count"),
        ("PGON N M1 0 0 50 0", "line 7: PGON of 2 points: it has 2 points"),
        ("PGON N M1", "line 7: PGON of 0 points"),
        ("PGON N M1 0 0 50 0 50 50", "line 7: open polygon: .* last point .50, 50. does not meet the first .0, 0."),
        ("PGON N M1 0 0 50 0 50 50 30 50 30 90 70 90 70 20 0 20", r"line 7: PGON .* cross or touch near \(50, 20\) nm"),
        ("PGON N M1 0 0 40 0 40 40 80 40 80 80 40 80 40 40 0 40", r"cross or touch near \(40, 40\) nm; draw it as one"),
        ("PGON N M1 0 0 50 0 90 0 50 0", "turns straight back|cross or touch"),
        ("PGON N M1 0 0 50 0 50 0 50 50 0 50", r"its points 2 and 3 are both \(50, 0\) nm"),
        ("CIRCLE N M1 0 0 50", "line 7: unknown word 'CIRCLE'; known: BEGIN EQUIV"),
        ("BEGIN", "line 7: a second BEGIN"),
        ("LEVEL", "line 7: expected LEVEL and one name"),
        ("RECT N M1 0 0 3000 100", r"line 7: .*3000 x 100 nm: give a window_nm of at least 3000, or cut .* region_nm"),
    ],
)
def test_a_wrong_line_is_named(glp, line, message):
    with pytest.raises(LayoutError, match=message) as error:
        layout.read_clip(glp(line))
    assert "clip.glp" in str(error.value)


def test_a_clip_outside_the_window_names_the_shape(glp):
    path = glp("RECT N M1 0 0 50 50", "RECT N M1 1000 0 1000 50")
    with pytest.raises(LayoutError, match=r"clip.glp, line 8: .* x 512..2512.*placement='centred'"):
        layout.read_clip(path, placement="contest")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "line 1: expected BEGIN, found 'RECT'"),
        ("BEGIN\nLEVEL M1\n", "line 3: RECT before EQUIV, so the unit is unknown"),
        ("BEGIN\nEQUIV 1 1000 FURLONG\n", "line 2: cannot read the unit 'EQUIV 1 1000 FURLONG'"),
        ("BEGIN\nEQUIV 1 0 MICRON\n", "line 2: cannot read the unit"),
        ("BEGIN\nEQUIV 1 1000 MICRON -X,+Y\n", "line 2: axes '-X,.Y'"),
    ],
)
def test_a_wrong_header_is_named(glp, header, message):
    with pytest.raises(LayoutError, match=message):
        layout.read_clip(glp("RECT N M1 0 0 50 50", header=header))


def test_a_bare_shape_needs_exactly_one_level(glp):
    with pytest.raises(LayoutError, match="line 8: RECT without a layer in a file with 2 LEVEL lines"):
        layout.read_clip(glp("RECT 0 0 50 50", header=HEADER.replace("LEVEL M1", "LEVEL M1\nLEVEL M2")))


def test_an_empty_clip_and_text_after_the_end(glp):
    with pytest.raises(LayoutError, match="no RECT and no PGON, the clip is empty"):
        layout.read_clip(glp())
    with pytest.raises(LayoutError, match="line 9: 'RECT N M1 0 0 1 1' stands after ENDMSG"):
        layout.read_clip(glp("RECT N M1 0 0 50 50", end="ENDMSG\nRECT N M1 0 0 1 1\n"))


def test_a_glp_file_cut_anywhere_is_refused(glp, tmp_path):
    data = glp("RECT N M1 80 80 50 50", "PGON N M1 200 80 300 80 300 200 200 200").read_bytes()
    part = tmp_path / "part.glp"
    for length in range(len(data.rstrip())):
        part.write_bytes(data[:length])
        with pytest.raises(LayoutError, match=r"part.glp"):
            layout.read_clip(part)


# GDS and OASIS


def test_streams_are_read_in_nm(stream):
    clip = layout.read_clip(stream(), "metal1")
    expected = {tuple(sorted(map(tuple, map(np.float64, p)))) for p in SHAPES}
    assert {tuple(sorted(map(tuple, p))) for p in clip.polygons} == expected
    assert clip.layer == "metal1"
    assert clip.area_nm2 == clip.rasterize().sum() == 70 * 500 + 220 * 90 + 90 * 210
    assert np.array_equal(layout.read_clip(clip.source, (11, 0)).rasterize(), clip.rasterize())
    assert np.array_equal(layout.read_clip(clip.source).rasterize(), clip.rasterize())  # the only layer


@pytest.mark.parametrize(("unit", "precision"), [(1e-6, 1e-9), (1e-6, 2.5e-10), (1e-9, 1e-9), (1e-3, 5e-10)])
def test_any_unit_and_precision(stream, unit, precision):
    clip = layout.read_clip(stream(unit=unit, precision=precision))
    assert all(np.array_equal(p, np.rint(p)) for p in clip.polygons)
    assert clip.area_nm2 == 70 * 500 + 220 * 90 + 90 * 210


def test_off_grid_coordinates_are_refused_where_a_grid_is_asked_for(stream):
    path = stream([[(0, 0), (70.5, 0), (70.5, 50), (0, 50)]])
    assert layout.read_clip(path).area_nm2 == 70.5 * 50
    with pytest.raises(LayoutError, match=r"polygon 0: coordinate 70.5 nm is off the grid of 1 nm"):
        layout.read_clip(path, grid_nm=1)


def test_holes_by_keyhole_are_read(stream):
    frame = gdstk.boolean(gdstk.rectangle((0, 0), (90, 90)), gdstk.rectangle((30, 30), (50, 60)), "not")
    clip = layout.read_clip(stream([polygon.points for polygon in frame]), placement=(0, 0))
    assert clip.rasterize().sum() == clip.area_nm2 == 90 * 90 - 20 * 30
    assert clip.rasterize()[30:60, 30:50].sum() == 0


def test_layers_of_streams(stream):
    path = stream()
    with pytest.raises(LayoutError, match=r"no polygon on layer 'via1' \(12, 0\); layers with polygons: \(11, 0\)"):
        layout.read_clip(path, "via1")
    with pytest.raises(LayoutError, match=r"unknown layer 'metall'; freepdk45 has active, poly, contact, metal1"):
        layout.read_clip(path, "metall")
    with pytest.raises(LayoutError, match=r"a layer is a name, 'layer/datatype' or a .layer, datatype. pair .* got 11"):
        layout.read_clip(path, 11)
    with pytest.raises(UnknownNameError, match="process 'freepdk15'; known: asap7, freepdk45"):
        layout.read_clip(path, "metal1", layers="freepdk15")
    assert layout.read_clip(path, "core", layers={"core": "11/0"}).layer == "core"


def test_cells_of_streams(stream, tmp_path):
    path = stream()
    with pytest.raises(LayoutError, match="no cell 'BOTTOM'; it has TOP"):
        layout.read_clip(path, cell="BOTTOM")
    library = library_of(SHAPES)
    unit = library.cells[0]
    library.new_cell("ROW").add(gdstk.Reference(unit, columns=2, rows=1, spacing=(0.6, 0)))
    library.new_cell("OTHER")
    library.write_gds(tmp_path / "two.gds")
    with pytest.raises(LayoutError, match=r"2 top cells \(ROW, OTHER\); choose one"):
        layout.read_clip(tmp_path / "two.gds")
    assert len(layout.read_clip(tmp_path / "two.gds", cell="ROW").polygons) == 4
    with pytest.raises(LayoutError, match="cell OTHER has no polygon, the clip is empty"):
        layout.read_clip(tmp_path / "two.gds", cell="OTHER")


def test_paths_are_read_as_polygons(tmp_path):
    library = gdstk.Library()
    library.new_cell("TOP").add(gdstk.FlexPath([(0, 0), (0.5, 0)], 0.07, layer=11))
    library.write_gds(tmp_path / "path.gds")
    assert layout.read_clip(tmp_path / "path.gds").area_nm2 == 70 * 500


def test_a_region_of_a_large_layout(stream):
    path = stream([[(0, 0), (5000, 0), (5000, 100), (0, 100)], [(4000, 300), (4100, 300), (4100, 400), (4000, 400)]])
    with pytest.raises(LayoutError, match=r"5000 x 400 nm: give a window_nm of at least 5000, or cut"):
        layout.read_clip(path)
    clip = layout.read_clip(path, region_nm=(3500, -500, 4500, 500))
    assert clip.area_nm2 == 1000 * 100 + 100 * 100
    # The middle of the region, (4000, 0), is the middle of the window.
    assert clip.bounds_nm == (524, 1024, 1524, 1424)
    for region, message in [
        ((0, 0, 3000, 100), "3000 x 100 nm is larger than the window of 2048 nm"),
        ((100, 0, 100, 50), "has no area"),
        ((4500, 500, 3500, -500), "has no area; give .* x0 < x1, y0 < y1"),
        ((0, 0, 100), r"region_nm=\(0, 0, 100\) is not \(x0, y0, x1, y1\) in nm"),
        ((0, 500, 100, 600), "layer .* has no polygon in region_nm|nothing of the layer"),
    ]:
        with pytest.raises(LayoutError, match=message):
            layout.read_clip(path, region_nm=region)


def test_a_stream_cut_anywhere_is_refused(stream, tmp_path, capfd):
    path = stream()
    data = path.read_bytes()
    part = tmp_path / f"part{path.suffix}"
    for length in range(0, len(data), 1 if len(data) < 600 else 7):
        part.write_bytes(data[:length])
        with pytest.raises(LayoutError, match=r"part\..*(header|truncated|damaged)"):
            layout.read_clip(part)
    assert "GDSTK" not in capfd.readouterr().err  # none of them reached gdstk


def test_an_open_boundary_in_gds(tmp_path):
    path = tmp_path / "open.gds"
    library_of(SHAPES).write_gds(path)
    data = bytearray(path.read_bytes())
    # The XY record of the first shape: 4 bytes of header, five points of 8 bytes, the last one equal to the first.
    record = data.find(struct.pack(">HH", 4 + 5 * 8, 0x1003))
    data[record + 36 : record + 44] = struct.pack(">2i", -500, 2500)
    path.write_bytes(data)
    with pytest.raises(LayoutError, match=r"open.gds: boundary 0, .* open polygon, its last point \(-500, 2500\)"):
        layout.read_clip(path)


def test_a_changed_byte_is_noticed_where_the_file_has_a_checksum(tmp_path):
    path = tmp_path / "mask.oas"
    layout.write_mask(np.pad(np.ones((9, 9)), 3), path)
    data = bytearray(path.read_bytes())
    data[60] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(LayoutError, match="checksum"):
        layout.read_clip(path)


def test_files_of_another_kind(tmp_path, glp):
    (tmp_path / "a.gds").write_text("hello")
    (tmp_path / "a.oas").write_text("hello")
    (tmp_path / "a.glp").write_bytes(b"\x00\xff")
    (tmp_path / "a.txt").write_text("hello")
    for name, message in [
        ("a.gds", "no GDS or OASIS header in its 5 bytes"),
        ("a.oas", "no GDS or OASIS header in its 5 bytes"),
        ("a.glp", "byte 1 is not ASCII"),
        ("a.txt", "unknown suffix '.txt'; known: .glp .gds"),
    ]:
        with pytest.raises(LayoutError, match=message):
            layout.read_clip(tmp_path / name)
    with pytest.raises(LayoutError, match="a GLP file has one cell"):
        layout.read_clip(glp("RECT N M1 0 0 50 50"), cell="TOP")


@pytest.mark.parametrize("region_nm", [None, (0, 0, 400, 400)])
def test_shapes_that_lie_on_each_other_by_the_thousand(region_nm, tmp_path):
    drawn = db.Layout()
    layer, part, top = drawn.layer(11, 0), drawn.create_cell("PART"), drawn.create_cell("TOP")
    part.shapes(layer).insert(db.Polygon([db.Point(0, 0), db.Point(1350, 1350), db.Point(2700, 0)]))
    for n, step, is_taken in ((30_000, 1, False), (1000, 300, True)):
        top.clear_insts()
        top.insert(db.DCellInstArray(part.cell_index(), db.DTrans(), db.DVector(step / 1000, 0), db.DVector(), n, 1))
        drawn.write(str(tmp_path / "deep.oas"))
        if is_taken:
            assert layout.read_clip(tmp_path / "deep.oas", region_nm=region_nm, window_nm=1e6).area_nm2 > 0
        else:
            with pytest.raises(LayoutError, match=r"cell TOP: \d+ shapes lie on each other on layer 11/0, about"):
                layout.read_clip(tmp_path / "deep.oas", region_nm=region_nm, window_nm=1e6)
