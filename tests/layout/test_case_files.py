"""Files as people's tools write them, one by one: area and box of layer 1/0 by both readers, or the reason why not.

The values are merged areas by KLayout 0.30.12, or by hand where the file is a few rectangles.
"""

from __future__ import annotations

import gzip
import struct
import warnings

import gds_records as gds
import gdstk
import numpy as np
import pytest
from klayout import db
from oasis_records import RECTANGLE, number, oasis

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, LayoutWarning
from maskopt_lib.layout.polygons import signed_area

ANY_NM = 1e10
FLAT, HIGH, SQUARE = gds.rectangle(0, 0, 100, 50), gds.rectangle(0, 0, 100, 200), gds.rectangle(0, 0, 100, 100)
BESIDE = gds.rectangle(500, 0, 600, 100)
A, L, UNIT = (
    gds.cell(FLAT, name=b"A"),
    gds.cell(gds.boundary((0, 0), (300, 0), (300, 100), (100, 100), (100, 200), (0, 200)), name=b"L"),
    gds.cell(gds.rectangle(0, 0, 1, 1), name=b"U"),
)
FRAME = [(0, 0), (0, 300), (100, 300), (100, 100), (300, 100), (300, 300), (0, 300), (0, 400), (400, 400), (400, 0)]


def one(*elements, **options):
    """A library of TOP."""
    return gds.library(gds.cell(*elements), **options)


def below(cell, *elements):
    """A library of TOP and a cell that it places."""
    return gds.library(cell, gds.cell(*elements))


def line(*spine, **how):
    return gds.path(*spine, **({"width": 100} | how))


def ell(*ends, **turn):
    return below(L, gds.reference(b"L", array=ends, **turn))


def circle(n):
    t = 2 * np.pi * np.arange(n) / n
    return np.rint(900_000 * np.stack([np.cos(t), np.sin(t)], axis=1)).astype(int).tolist()


def many_records(points, at_most=8000):
    """A boundary whose points stand in several XY records."""
    points = [*points, points[0]]
    parts = [gds.points(*map(tuple, points[i : i + at_most])) for i in range(0, len(points), at_most)]
    return gds.record(0x0800) + gds.integers(0x0D02, 1) + gds.integers(0x0E02, 0) + b"".join(parts) + gds.record(0x1100)


def holes(outline, *boxes):
    region = db.Region(db.Box(*outline))
    for box in boxes:
        region -= db.Region(db.Box(*box))
    return region


def by_klayout(*shapes, dbu=0.001, suffix="oas", **options):
    """Bytes of a layout of TOP as KLayout writes it."""

    def write(path):
        drawn = db.Layout()
        drawn.dbu = dbu
        into = drawn.create_cell("TOP").shapes(drawn.layer(1, 0))
        for shape in shapes:
            into.insert(shape)
        how = db.SaveLayoutOptions()
        how.format = "OASIS" if suffix == "oas" else "GDS2"
        for name, value in options.items():
            setattr(how, name, value)
        drawn.write(str(path), how)

    return write


def by_gdstk(*shapes, suffix="oas", **options):
    def write(path):
        library = gdstk.Library()
        library.new_cell("TOP").add(*shapes)
        library.write_oas(path, **options) if suffix == "oas" else library.write_gds(path)

    return write


def regions(*boxes):
    """What gdstk makes of a frame with holes: outlines with keyholes."""
    frame = gdstk.rectangle((0, 0), (0.4, 0.4), layer=1)
    inside = [gdstk.rectangle((x0 / 1e3, y0 / 1e3), (x1 / 1e3, y1 / 1e3)) for x0, y0, x1, y1 in boxes]
    return gdstk.boolean(frame, inside, "not", layer=1)


def repeated(columns):
    box = gdstk.rectangle((0, 0), (0.1, 0.1), layer=1)
    box.repetition = gdstk.Repetition(offsets=columns)
    return box


def dots(spacing=1000):
    return [db.Path([db.Point(spacing * i, 37 * i), db.Point(spacing * i + 1, 37 * i)], 100, 50, 50) for i in range(40)]


ONE_HOLE = [(100, 100, 300, 300)]
TWO = [(100, 100, 150, 300), (200, 150, 300, 250)]
GRID = [(50 * x, 50 * y, 50 * x + 50, 50 * y + 50) for x in (1, 3, 5) for y in (1, 3, 5)]
ROUND, FAR = {"kind": 1}, gds.rectangle(5000, 0, 5100, 100)
TURNED = {"array": (3, 2, (0, 1500), (-1000, 0)), "degrees": 90.0}
CIRCLE = circle(20_000)
#: File -> what is in it, area in nm2, box in nm, and what a warning says, if there is one.
READ = {
    "aref_0_columns.gds": (below(A, gds.reference(b"A", array=(0, 2, (0, 0), (0, 400))), BESIDE), 20000,
                           [0, 0, 600, 250]),
    "aref_1x1_same_points.gds": (below(A, gds.reference(b"A", array=(1, 1, (0, 0), (0, 0)))), 5000, [0, 0, 100, 50]),
    "aref_32767.gds": (below(UNIT, gds.reference(b"U", array=(32767, 1, (65534, 0), (0, 10)))), 32767,
                       [0, 0, 65533, 1]),
    "aref_columns_along_y.gds": (ell(3, 2, (0, 1500), (1000, 0)), 240000, [0, 0, 800, 1200]),
    "aref_fractional_pitch.gds": (ell(3, 1, (1001, 0), (0, 1000)), 120000, [0, 0, 967, 200]),
    "aref_negative_pitch.gds": (ell(3, 2, (-1500, 0), (0, -1000)), 240000, [-1000, -500, 300, 200]),
    "aref_refl_axis.gds": (ell(3, 2, (1500, 0), (0, 1000), mirrored=True), 240000, [0, -200, 1300, 500]),
    "aref_rot45.gds": (ell(2, 2, (1000, 0), (0, 1000), degrees=45.0), 159752, [-141, 0, 712, 783], "45 degrees"),
    "aref_rot90.gds": (below(L, gds.reference(b"L", **TURNED)), 240000, [-700, 0, 0, 1300]),
    "aref_skew_no_rotation.gds": (ell(3, 2, (1500, 600), (-400, 1000)), 240000, [-200, 0, 1300, 1100]),
    "aref_zero_pitch.gds": (below(A, gds.reference(b"A", array=(3, 2, (0, 0), (0, 0)))), 5000, [0, 0, 100, 50]),
    "bowtie.gds": (one(gds.boundary((0, 0), (200, 200), (200, 0), (0, 200))), 20000, [0, 0, 200, 200]),
    "box_record.gds": (one(gds.box(0, 0, 100, 50)), 5000, [0, 0, 100, 50]),
    "box_record_and_boundary.gds": (one(gds.box(0, 0, 100, 50), gds.rectangle(300, 0, 400, 100)), 15000,
                                    [0, 0, 400, 100]),
    "child_after_parent.gds": (gds.library(gds.cell(gds.reference(b"A")), A), 5000, [0, 0, 100, 50]),
    "circle_as_oasis_circle.oas": (by_gdstk(gdstk.ellipse((0, 0), 0.5, tolerance=1e-4, layer=1), detect_trapezoids=True,
                                            circle_tolerance=1e-3), 788010, [-500, -500, 500, 500]),
    "corner_touch.gds": (one(gds.boundary((0, 0), (100, 0), (100, 100), (200, 100), (200, 200), (100, 200), (100, 100),
                                          (0, 100))), 20000, [0, 0, 200, 200]),
    "dbu_0.25nm.gds": (one(gds.rectangle(0, 0, 400, 800), unit_m=2.5e-10, user_unit=2.5e-4), 20000, [0, 0, 100, 200]),
    "dbu_0.3nm.gds": (one(gds.rectangle(0, 0, 400, 800), unit_m=3e-10, user_unit=3e-4), 28800, [0, 0, 120, 240]),
    "dbu_10nm.gds": (one(gds.rectangle(0, 0, 10, 20), unit_m=1e-8, user_unit=1e-2), 20000, [0, 0, 100, 200]),
    "dbu_1pm.gds": (one(gds.rectangle(0, 0, 100000, 50000), unit_m=1e-12, user_unit=1e-6), 5000, [0, 0, 100, 50]),
    "dbu_1um.gds": (one(gds.rectangle(0, 0, 1, 2), unit_m=1e-6, user_unit=1.0), 2e6, [0, 0, 1000, 2000]),
    "dbu_5nm.gds": (one(gds.rectangle(0, 0, 20, 40), unit_m=5e-9, user_unit=5e-3), 20000, [0, 0, 100, 200]),
    "deep_hierarchy_5000.gds": (gds.library(gds.cell(FLAT, name=b"C0"), *(gds.cell(
        gds.reference(b"C%d" % i, (1, 0)), name=b"C%d" % (i + 1)) for i in range(4999))), 5000, [4999, 0, 5099, 50]),
    "exp_unit_odd.gds": (gds.library(A), 5000, [0, 0, 100, 50]),
    "frame_gdstk.gds": (by_gdstk(*regions(*ONE_HOLE), suffix="gds"), 120000, [0, 0, 400, 400]),
    "frame_gdstk.oas": (by_gdstk(*regions(*ONE_HOLE)), 120000, [0, 0, 400, 400]),
    "frame_klayout.gds": (by_klayout(holes((0, 0, 400, 400), *ONE_HOLE), suffix="gds"), 120000, [0, 0, 400, 400]),
    "frame_klayout.oas": (by_klayout(holes((0, 0, 400, 400), *ONE_HOLE)), 120000, [0, 0, 400, 400]),
    "gbk_libname.gds": (one(SQUARE, name=b"\xb5\xe7\xc2\xb7"), 10000, [0, 0, 100, 100]),
    "grid_holes_gdstk.gds": (by_gdstk(*regions(*GRID), suffix="gds"), 137500, [0, 0, 400, 400]),
    "grid_holes_gdstk.oas": (by_gdstk(*regions(*GRID)), 137500, [0, 0, 400, 400]),
    "keyhole_collinear.gds": (one(gds.boundary(*FRAME)), 80000 + 40000, [0, 0, 400, 400]),
    "latin1_cellname.gds": (gds.library(gds.cell(SQUARE, name=b"caf\xe9")), 10000, [0, 0, 100, 100], "CELL_0 here"),
    "long_name_200.gds": (gds.library(gds.cell(FLAT, name=b"N" * 200)), 5000, [0, 0, 100, 50]),
    **{f"many_one_dbu_paths_dbu{dbu}.{suffix}": (
        one(*(line((1000 * i, 37 * i), (1000 * i + 1, 37 * i), kind=2) for i in range(40)),
                       unit_m=dbu * 1e-6, user_unit=dbu) if suffix == "gds" else by_klayout(*dots(), dbu=dbu),
        40 * 101 * 100 * (dbu * 1e3) ** 2, [-50e3 * dbu, -50e3 * dbu, 39051e3 * dbu, 1493e3 * dbu])
       for dbu in (0.0001, 0.00025, 0.0005, 0.001, 0.005) for suffix in ("gds", "oas")},
    "missing_child.gds": (one(SQUARE, gds.reference(b"GONE", (500, 0))), 10000, [0, 0, 100, 100],
                          "count as empty: GONE"),
    "multi_xy_20000.gds": (one(many_records(CIRCLE)), abs(signed_area(np.array(CIRCLE, float))),
                           [-900000, -900000, 900000, 900000]),
    "name_with_spaces.gds": (gds.library(gds.cell(FLAT, name=b"A cell, (1)")), 5000, [0, 0, 100, 50]),
    "oas_path_one_dbu_jog.gds": (one(line((0, 0), (500, 0), (500, 1), (1000, 1)), FAR), 110100, [0, -50, 5100, 100]),
    **{f"oas_path_{name}.{suffix}": (
        one(line((0, 0), (n, 0), kind=2), FAR) if suffix == "gds" else by_klayout(
            db.Path([db.Point(0, 0), db.Point(n, 0)], 100, 50, 50), db.Box(5000, 0, 5100, 100)),
        20000 + 100 * n, [-50, -50, 5100, 100])
       for n, name in enumerate(("zero", "one_dbu_square_ends", "two_dbu")) for suffix in ("gds", "oas")},
    "padded_tail.gds": (one(SQUARE) + bytes(1748), 10000, [0, 0, 100, 100]),
    "path_45.gds": (one(line((0, 0), (500, 0), (800, 300), (800, 900), width=70)), 107000, [0, -35, 835, 900]),
    "path_acute.gds": (one(line((0, 0), (1000, 0), (0, 100))), 155637, [-5, -50, 1055, 150]),
    "path_back_on_itself.gds": (one(line((0, 0), (1000, 0), (400, 0))), 105000, [0, -50, 1050, 50]),
    "path_closed_ring.gds": (one(line((0, 0), (1000, 0), (1000, 800), (0, 800), (0, 0))), 357500,
                             [-50, -50, 1050, 850]),
    "path_crossing.gds": (one(line((0, 0), (1000, 0), (1000, 500), (500, 500), (500, -500))), 290000,
                          [0, -500, 1050, 550]),
    "path_ext.gds": (one(line((0, 0), (500, 0), (500, 400), kind=4, begin=30, end=-20)), 91000, [-30, -50, 550, 380]),
    "path_flush.gds": (one(line((0, 0), (500, 0), (500, 400))), 90000, [0, -50, 550, 400]),
    "path_negative_width_mag.gds": (below(gds.cell(line((0, 0), (500, 0), width=-100), name=b"A"),
                                          gds.reference(b"A", magnification=2.0)), 200000, [0, -100, 1000, 100],
                                    "A in TOP .x2, 0 degrees."),
    "path_one_dbu_square_ends.gds": (one(line((0, 0), (1, 0), kind=2), BESIDE), 20100, [-50, -50, 600, 100]),
    "path_round.gds": (one(line((0, 0), (500, 0), (500, 400), **ROUND)), 97890, [-50, -50, 550, 450]),
    "path_short_jog.gds": (one(line((0, 0), (500, 0), (500, 20), (1000, 20))), 102000, [0, -50, 1000, 70]),
    "path_square.gds": (one(line((0, 0), (500, 0), (500, 400), kind=2)), 100000, [-50, -50, 550, 450]),
    "path_zero_length_round.gds": (one(line((0, 0), (0, 0), **ROUND), BESIDE), np.pi * 50**2 + 10000,
                                   [-50, -50, 600, 100]),
    "path_zero_length_square.gds": (one(line((0, 0), (0, 0), kind=2), BESIDE), 20000, [-50, -50, 600, 100]),
    "path_zero_width.gds": (one(line((0, 0), (500, 0), width=0), BESIDE), 10000, [500, 0, 600, 100],
                            "1 shape of layer 1/0 without area"),
    "polygon_on_line.gds": (one(gds.boundary((0, 0), (50, 0), (100, 0), (100, 50), (50, 50), (0, 50))), 5000,
                            [0, 0, 100, 50]),
    "rep_explicit.oas": (by_gdstk(repeated([(0.3, 0.1), (0.7, -0.9), (-0.5, 0.2)])), 40000, [-500, -900, 800, 300]),
    "rep_negative_x_offsets.gds": (by_gdstk(repeated([(0.2, 0), (0.6, 0), (-0.4, 0)]), suffix="gds"), 40000,
                                   [-400, 0, 700, 100]),
    "repeat_points.gds": (one(gds.boundary((0, 0), (0, 0), (100, 0), (100, 0), (100, 50), (0, 50), (0, 50))), 5000,
                          [0, 0, 100, 50]),
    "spike.gds": (one(gds.boundary((0, 0), (100, 0), (100, 100), (100, 200), (100, 100), (0, 100)),
                      gds.rectangle(300, 0, 400, 100)), 20000, [0, 0, 400, 100]),
    "sref_mag_huge.gds": (below(UNIT, gds.reference(b"U", magnification=1000.0)), 1e6, [0, 0, 1000, 1000], "x1000"),
    "sref_refl_rot.gds": (below(L, gds.reference(b"L", (100, 50), mirrored=True, degrees=270.0)), 40000,
                          [-100, -250, 100, 50]),
    "sref_rot30.gds": (below(L, gds.reference(b"L", degrees=30.0)), 40102, [-100, 0, 260, 237], "30 degrees"),
    "trapezoid.oas": (by_gdstk(gdstk.Polygon([(0, 0), (0.3, 0), (0.2, 0.1), (0.1, 0.1)], layer=1),
                               detect_trapezoids=True), 20000, [0, 0, 300, 100]),
    "two_holes_gdstk.gds": (by_gdstk(*regions(*TWO), suffix="gds"), 140000, [0, 0, 400, 400]),
    "two_holes_gdstk.oas": (by_gdstk(*regions(*TWO)), 140000, [0, 0, 400, 400]),
    "two_libs.gds": (one(SQUARE) + one(SQUARE), 10000, [0, 0, 100, 100], "another library follows its end"),
    "user_unit_1.gds": (one(SQUARE, user_unit=1.0), 10000, [0, 0, 100, 100]),
    "user_unit_half.gds": (gds.library(A, unit_m=5e-10, user_unit=5e-4), 1250, [0, 0, 50, 25]),
    "zero_area_box.gds": (one(gds.rectangle(0, 0, 0, 100), gds.rectangle(300, 0, 400, 100)), 10000, [300, 0, 400, 100],
                          "1 shape of layer 1/0 without area"),
}  # fmt: skip
CYCLE = gds.cell(SQUARE, gds.reference(b"B", (200, 0)), name=b"A"), gds.cell(gds.reference(b"A", (0, 200)), name=b"B")
FAR_OFF = gds.rectangle(-(2**31), -(2**31), 100 - 2**31, 100 - 2**31)
WIDE = gds.cell(gds.rectangle(0, 0, 200, 100), name=b"A")
REFUSED = {
    "abs_mag_flag.gds": (
        gds.library(A, gds.cell(gds.reference(b"A", flags=4, magnification=2.0), name=b"B"),
                    gds.cell(gds.reference(b"B", magnification=3.0))), "absolute magnification"),
    "cycle.gds": (gds.library(*CYCLE, gds.cell(gds.reference(b"A"))), "refer to each other in a circle"),
    "duplicate_cell.gds": (gds.library(gds.cell(SQUARE), gds.cell(SQUARE, BESIDE)), "two of its cells have one name"),
    "duplicate_child.gds": (gds.library(gds.cell(SQUARE, name=b"A"), WIDE, gds.cell(gds.reference(b"A"))),
                            "two of its cells have one name"),
    "int32_extreme.gds": (one(FAR_OFF), r"reaches 2\.15e.09 database units"),
    "neg_layer.gds": (one(gds.rectangle(0, 0, 100, 100, layer=-1)), r"layer '1/0'.*65535"),
    "no_cells.gds": (gds.library(), "there is no cell in it"),
    "text_only.gds": (one(gds.text(), gds.rectangle(0, 0, 100, 100, layer=2)), "on layer '1/0'"),
    "rep_negative_x_offsets.oas": (oasis(RECTANGLE[:1] + b"\x7f" + RECTANGLE[2:] + b"\x02\x01" + b"\xff" * 5 + b"\x0f"),
                                   "overflow|KLayout cannot read|reaches"),
}  # fmt: skip


def inside(element, *records):
    """An element with more records before its end."""
    return element[:-4] + b"".join(records) + element[-4:]


def delta(x, y):
    """A displacement of OASIS."""
    return number(abs(x) << 2 | (x < 0) << 1 | 1) + number(abs(y) << 1 | (y < 0))


#: What stands behind a rectangle of 10 x 10 nm that is repeated -> number of rectangles, box.
REPETITIONS = {
    1: (b"\x01\x00\x14\x1e", 6, [0, 0, 50, 40]),
    2: (b"\x01\x14", 3, [0, 0, 50, 10]),
    3: (b"\x01\x14", 3, [0, 0, 10, 50]),
    4: (b"\x01\x0f\x19", 3, [0, 0, 50, 10]),
    5: (b"\x01\x05\x03\x05", 3, [0, 0, 50, 10]),
    6: (b"\x01\x0f\x19", 3, [0, 0, 10, 50]),
    7: (b"\x01\x05\x03\x05", 3, [0, 0, 10, 50]),
    8: (b"\x00\x01" + delta(20, 5) + delta(-5, 20), 6, [-10, 0, 30, 55]),
    9: (b"\x01" + delta(20, 15), 3, [0, 0, 50, 40]),
    10: (b"\x01" + delta(20, 0) + delta(-50, 30), 3, [-30, 0, 30, 40]),
    11: (b"\x01\x05" + delta(4, 0) + delta(-10, 6), 3, [-30, 0, 30, 40]),
}
NODE = (
    gds.record(0x1500) + gds.integers(0x0D02, 1) + gds.integers(0x2A02, 0) + gds.points((900, 900)) + gds.record(0x1100)
)
HEADERS = gds.record(0x1F06, bytes(90)) + gds.record(0x2006, bytes(176)) + gds.integers(0x2202, 3)
PLAIN = one(SQUARE)
SHAPES = [holes((0, 0, 400, 400), *ONE_HOLE), *(db.Box(1000 * i, 500, 1000 * i + 100, 600) for i in range(9))]
#: What else tools write.
ALSO_READ = {
    "properties": (one(inside(SQUARE, gds.integers(0x2B02, 1), gds.record(0x2C06, b"net1"))), 10000, [0, 0, 100, 100]),
    "node": (one(SQUARE, NODE), 10000, [0, 0, 100, 100]),
    "text_beside": (one(gds.text(), SQUARE), 10000, [0, 0, 100, 100]),
    "flags_and_plex": (one(SQUARE[:4] + gds.record(0x2601, b"\0\1") + gds.integers(0x2F03, 7, size="i") + SQUARE[4:]),
                       10000, [0, 0, 100, 100]),
    "library_headers": (PLAIN[: PLAIN.index(gds.record(0x0206, b"LIB")) + 8] + HEADERS
                        + PLAIN[PLAIN.index(gds.record(0x0206, b"LIB")) + 8 :], 10000, [0, 0, 100, 100]),
    "path_extended_short": (one(line((0, 0), (100, 0), kind=4, begin=0, end=7, width=10)), 1070, [0, -5, 107, 5]),
    "path_extended_without_extensions": (one(line((0, 0), (100, 0), kind=4, width=10)), 1000, [0, -5, 100, 5]),
    "aref_rot270_mirrored": (below(L, gds.reference(b"L", array=(2, 2, (0, -800), (-1000, 0)), mirrored=True,
                                                    degrees=270.0)), 160000, [-700, -700, 0, 0]),
    "unit_0.1nm": (one(gds.rectangle(0, 0, 1001, 2003), unit_m=1e-10, user_unit=1e-4), 100.1 * 200.3,
                   [0, 0, 100.1, 200.3]),
    "user_unit_of_a_millimetre": (one(SQUARE, user_unit=1e-6), 10000, [0, 0, 100, 100]),
    "padded_to_tape_blocks": (PLAIN + bytes(-len(PLAIN) % 2048), 10000, [0, 0, 100, 100]),
    "odd_name": (gds.library(gds.cell(SQUARE, name=b"$a/b:c*[3]")), 10000, [0, 0, 100, 100]),
    "layer_65535": (one(SQUARE, gds.rectangle(0, 0, 9, 9, layer=-1)), 10000, [0, 0, 100, 100]),
    **{f"oasis_{name}": (by_klayout(*SHAPES, oasis_compression_level=level, oasis_write_cblocks=blocks,
                                    oasis_strict_mode=strict), 120000 + 9 * 10000, [0, 0, 8100, 600])
       for name, level, blocks, strict in (("plain", 0, False, False), ("strict", 2, False, True),
                                           ("cblocks", 10, True, True))},
    **{f"repetition_{kind}": (oasis(RECTANGLE[:1] + b"\x7f" + RECTANGLE[2:] + bytes([kind]) + said), 100 * n, box)
       for kind, (said, n, box) in REPETITIONS.items()},
}  # fmt: skip


def written(folder, name, made):
    """The file of a case."""
    path = folder / name
    made(path) if callable(made) else path.write_bytes(made)
    return path


@pytest.mark.parametrize("name", [*READ, *ALSO_READ])
def test_a_file_that_is_read(tmp_path, name):
    made, area, box, *said = (READ | ALSO_READ)[name]
    suffix = "" if name in READ else ".oas" if name.startswith(("oasis", "repetition")) else ".gds"
    path = written(tmp_path, name + suffix, made)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        clip = layout.read_clip(path, "1/0", window_nm=ANY_NM)
        polygons = layout.read_design(path).polygons("1/0")
    corners = np.concatenate(polygons)
    found = sum(abs(signed_area(points)) for points in polygons)
    assert found == pytest.approx(area, rel=3e-3 if _is_rounded(name) else 1e-9)
    np.testing.assert_allclose([*corners.min(axis=0), *corners.max(axis=0)], box, atol=1e-6)
    np.testing.assert_array_equal(sorted(np.concatenate(clip.polygons).tolist()), sorted(corners.tolist()))
    assert all(issubclass(one.category, LayoutWarning) for one in heard) and bool(heard) == bool(said)
    if said:
        with pytest.warns(LayoutWarning, match=said[0]):
            layout.read_clip(path, "1/0", window_nm=ANY_NM)


def _is_rounded(name):
    """Whether its area follows from corners that were rounded to the database unit."""
    return any(word in name for word in ("round", "rot30", "rot45", "acute", "45", "circle"))


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_refused(tmp_path, name):
    made, message = REFUSED[name]
    path = written(tmp_path, name, made)
    for read in (layout.read_clip, lambda path, layer: layout.read_design(path).polygons(layer)):
        with pytest.raises(LayoutError, match=message):
            read(path, "1/0")


@pytest.mark.parametrize("suffix", ["gds", "oas"])
def test_a_hierarchy_of_cells_with_outlines(tmp_path, suffix):
    """design_arrays: an array, a mirrored, a magnified and a slanted placement of a cell with an outline."""
    cell = gds.cell(gds.rectangle(0, 0, 380, 1400, layer=235), gds.rectangle(50, 50, 120, 1300, layer=11), name=b"INV")
    places = [
        gds.reference(b"INV", array=(3, 2, (1140, 0), (0, 2800))), gds.reference(b"INV", (2000, 1400), mirrored=True),
        gds.reference(b"INV", (3000, 0), magnification=2.0), gds.reference(b"INV", (4500, 0), degrees=45.0),
    ]  # fmt: skip
    path = tmp_path / "design_arrays.gds"
    path.write_bytes(gds.library(cell, gds.cell(*places, gds.rectangle(0, 0, 5000, 3000, layer=235))))
    if suffix == "oas":
        drawn = db.Layout()
        drawn.read(str(path))
        path = tmp_path / "design_arrays.oas"
        drawn.write(str(path))
    with pytest.warns(LayoutWarning, match=r"INV in TOP \(x\d, \d+ degrees\)"):
        design = layout.read_design(path)
    areas = [abs(signed_area(points)) for points in design.polygons("11/0")]
    assert areas.count(87500) == 7 and max(areas) == 4 * 87500 and min(areas) == pytest.approx(87500, rel=1e-2)
    with pytest.raises(LayoutError, match="cells stand in their own size"):
        design.instances()


@pytest.mark.parametrize("name", ["box_record.gds", "trapezoid.oas"])
def test_any_file_may_be_packed(tmp_path, name):
    made, area, *_ = READ[name]
    path = written(tmp_path, name, made)
    packed = tmp_path / f"{name}.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert layout.read_clip(packed, "1/0").area_nm2 == area


def test_a_layer_map_with_purposes(tmp_path):
    """One number, several purposes: each name means its own datatype."""
    drawing, pin = FLAT, struct.pack(">HHh", 6, 0x0E02, 16)
    path = tmp_path / "purposes.gds"
    path.write_bytes(one(drawing, BESIDE.replace(gds.integers(0x0E02, 0), pin)))
    names = {"met1": "1/0", "met1.pin": "1/16"}
    assert layout.read_clip(path, "met1", layers=names).area_nm2 == 5000
    assert layout.read_clip(path, "met1.pin", layers=names).area_nm2 == 10000
