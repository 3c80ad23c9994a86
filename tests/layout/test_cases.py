"""What people's tools write: every kind of file gives its area through both doors, or is refused with the reason."""

from __future__ import annotations

import gzip
import math
import struct
import subprocess
import sys

import gds_records as gds
import gdstk
import numpy as np
import pytest
from klayout import db
from oasis_records import RECTANGLE, oasis

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError
from maskopt_lib.layout import guard
from maskopt_lib.layout.polygons import signed_area
from maskopt_lib.layout.raster import coverage

ANY_NM = 1e9
A, UNIT = gds.cell(gds.rectangle(0, 0, 100, 50), name=b"A"), gds.rectangle(0, 0, 100, 50)
L = gds.cell(gds.boundary((0, 0), (0, 200), (100, 200), (100, 100), (300, 100), (300, 0)), name=b"L")


def areas(path, layer="1/0"):
    """Area and box of a layer by both doors, which agree."""
    clip = layout.read_clip(path, layer, window_nm=ANY_NM)
    polygons = layout.read_design(path).polygons(layer)
    area = sum(abs(signed_area(points)) for points in polygons)
    assert sum(abs(signed_area(points)) for points in clip.polygons) == area
    corners = np.concatenate(polygons)
    drawn = np.concatenate(clip.polygons)
    np.testing.assert_array_equal(sorted(drawn.tolist()), sorted(corners.tolist()))
    return area, [*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist()]


def top(*elements, **options):
    """A library of TOP and those cells that it refers to."""
    children = {b"A": A, b"L": L, b"P": gds.cell(gds.path((0, 0), (500, 0), width=-100), name=b"P")}
    used = [cell for name, cell in children.items() if any(gds.record(0x1206, name) in e for e in elements)]
    return gds.library(*used, gds.cell(*elements), **options)


def test_round_ends_are_round(tmp_path):
    gds.write(tmp_path / "a.gds", gds.path((0, 0), (500, 0), width=100, kind=1))
    assert areas(tmp_path / "a.gds")[0] == pytest.approx(50000 + math.pi * 50**2, rel=5e-3)


@pytest.mark.parametrize(
    ("unit_m", "area"),
    [(1e-12, 0.02), (0.25e-9, 1250), (0.3e-9, 1800), (1e-9, 20000), (5e-9, 500000), (1e-6, 2e10)],
)
def test_any_database_unit_comes_out_exactly(tmp_path, unit_m, area):
    path = gds.write(tmp_path / "unit.gds", gds.rectangle(0, 0, 100, 200), unit_m=unit_m, user_unit=1.0)
    assert areas(path)[0] == pytest.approx(area, rel=1e-14)
    if unit_m == 0.3e-9:
        gds.write(path, gds.rectangle(0, 0, 400, 800), unit_m=unit_m)
        assert areas(path) == (28800.0, [0.0, 0.0, 120.0, 240.0])
        # A border between database units is exact as well.
        clip = layout.read_clip(path, region_nm=(10, 10, 110, 110))
        assert clip.bounds_nm == (974.0, 974.0, 1074.0, 1074.0) and clip.rasterize().sum() == 100 * 100


CYCLE = [gds.cell(gds.reference(b"B"), name=b"A"), gds.cell(gds.reference(b"A"), name=b"B")]
OFF = (32767, 32767, (4000001, 4000001), (-4000003, 4000001))
REFUSED = {
    "cycle": (gds.library(*CYCLE), "refer to each other in a circle"),
    "cycle below a top": (gds.library(*CYCLE, gds.cell(gds.reference(b"A"))), "refer to each other in a circle"),
    "itself": (gds.library(gds.cell(gds.reference(b"TOP"))), "refer to each other in a circle"),
    "duplicate": (gds.library(A, A, gds.cell(gds.reference(b"A"))), "two of its cells have one name"),
    "no cells": (gds.library(), "there is no cell in it"),
    "texts": (gds.library(gds.cell(gds.text(), gds.rectangle(0, 0, 9, 9, layer=2))), "on layer '?1/0"),
    "absolute": (top(gds.reference(b"A", flags=4, magnification=2.0)), "absolute magnification"),
    "another layer": (gds.library(gds.cell(gds.rectangle(0, 0, 9, 9, layer=-1))), "on layer '?1/0.*65535"),
    "two tops": (gds.library(A, gds.cell(UNIT)), r"2 top cells \(A, TOP\)|2 top cells \(TOP, A\)"),
    "ends of int32": (gds.library(gds.cell(gds.rectangle(-(2**31), 0, 9, 9))), "reaches 2.15e.09 database"),
    "no unit": (gds.library(gds.cell(UNIT), unit_m=0.0), "database unit|KLayout cannot read"),
    "no coordinates": (gds.library(gds.cell(gds.record(0x0800) + gds.record(0x1100))), "KLayout cannot read"),
    "slanted array": (top(gds.reference(b"A", array=OFF, degrees=45.0)), "arrays without bound"),
    "gzip cut off": (gzip.compress(gds.library(gds.cell(UNIT)))[:-9], "damaged or truncated gzip"),
    "gzip bomb": (gzip.compress(bytes(40 << 20)), "inflate to more than"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(tmp_path, case):
    data, message = REFUSED[case]
    path = tmp_path / ("case.gds.gz" if "gzip" in case else "case.gds")
    path.write_bytes(data)
    for read in (layout.read_clip, lambda path, layer: layout.read_design(path).polygons(layer)):
        with pytest.raises(LayoutError, match=message):
            read(path, "1/0")


def bomb(path, *, nested=1):
    """32767 x 32767 of a rectangle, of that, ..., each three units apart."""
    cells = [gds.cell(gds.rectangle(0, 0, 1, 1), name=b"N0")]
    for i in range(nested):
        array = gds.reference(b"N%d" % i, array=(32767, 32767, (98301, 0), (0, 98301)))
        cells.append(gds.cell(array, name=b"N%d" % (i + 1)))
    path.write_bytes(gds.library(*cells))
    return path


@pytest.mark.parametrize("nested", [1, 2, 4])
def test_arrays_without_bound_are_counted_and_not_expanded(tmp_path, nested):
    path = bomb(tmp_path / "bomb.gds", nested=nested)
    with pytest.raises(LayoutError, match=r"at least \d{10,} shapes on layer 1/0; at most 2000000"):
        layout.read_clip(path, window_nm=ANY_NM)
    design = layout.read_design(path)
    with pytest.raises(LayoutError, match="choose a smaller region_nm"):
        design.polygons((1, 0))
    if nested == 1:  # a part of it is looked up
        assert len(design.polygons((1, 0), (0, 0, 30, 30))) == 100
        assert layout.read_clip(path, region_nm=(30000, 30000, 30030, 30030)).area_nm2 == 100


def repetition(shape):
    shape.repetition = gdstk.Repetition(columns=60000, rows=60000, spacing=(0.2, 0.2))
    return shape


@pytest.mark.parametrize("suffix", ["oas", "gds"])
def test_what_layout_tools_write_as_oasis(tmp_path, suffix):
    """Boxes, trapezoids, circles, paths, and repetitions in order and in none; what is a hole stays one."""
    library = gdstk.Library()
    cell = library.new_cell("TOP")
    cell.add(gdstk.Polygon([(0, 0), (0.3, 0), (0.2, 0.1), (0.1, 0.1)], layer=1))
    cell.add(gdstk.FlexPath([(1, 0), (1.5, 0)], 0.1, simple_path=True, ends="extended", layer=1))
    offsets = gdstk.rectangle((3, 0), (3.1, 0.1), layer=1)
    offsets.repetition = gdstk.Repetition(offsets=[(0.3, 0.1), (0.7, -0.9)])
    cell.add(offsets)
    path = tmp_path / f"tools.{suffix}"
    library.write_oas(path, compression_level=6) if suffix == "oas" else library.write_gds(path)
    assert areas(path)[0] == 20000 + 600 * 100 + 3 * 10000


@pytest.mark.parametrize("suffix", ["oas", "gds", "oas.gz", "gds.gz"])
def test_holes_as_klayout_writes_them(tmp_path, suffix):
    drawn = db.Layout()
    shapes = drawn.create_cell("TOP").shapes(drawn.layer(1, 0))
    frame = db.Polygon(db.Box(0, 0, 400, 400))
    for x, y in [(50, 50), (250, 50), (150, 250)]:
        frame.insert_hole(db.Box(x, y, x + 100, y + 100))
    shapes.insert(frame)
    ring = db.Polygon.ellipse(db.Box(1000, 1000, 1600, 1600), 48)
    ring.insert_hole(list(db.Polygon.ellipse(db.Box(1100, 1200, 1400, 1500), 36).each_point_hull()))
    shapes.insert(ring)
    path = tmp_path / f"holes.{suffix}"
    drawn.write(str(path))
    area = 160000 - 3 * 10000 + ring.area()
    found, _ = areas(path)
    assert found == pytest.approx(area, rel=1e-4)  # KLayout cuts a slanted edge on the grid where it opens a hole
    clip, area = layout.read_clip(path), found
    assert clip.area_nm2 == area
    assert coverage(clip.placed(), 2048, 1.0).sum() == pytest.approx(area, rel=1e-9)
    assert coverage(clip.placed(), 512, 4.0).sum() * 16 == pytest.approx(area, rel=1e-9)


def test_an_oasis_file_of_records(tmp_path):
    path = tmp_path / "a.oas"
    path.write_bytes(oasis(RECTANGLE))
    assert areas(path) == (100.0, [0.0, 0.0, 10.0, 10.0])
    path.write_bytes(oasis(RECTANGLE, deflated=True))
    assert areas(path)[0] == 100.0


def test_repetitions_without_bound(tmp_path):
    path = tmp_path / "a.oas"
    library = gdstk.Library()
    library.new_cell("TOP").add(repetition(gdstk.rectangle((0, 0), (0.1, 0.1), layer=1)))
    library.write_oas(path)
    with pytest.raises(LayoutError, match="at least 3600000000 shapes"):
        layout.read_clip(path, window_nm=ANY_NM)
    assert layout.read_clip(path, region_nm=(0, 0, 1000, 1000)).area_nm2 == 25 * 100 * 100


@pytest.mark.slow
def test_a_compressed_block_without_bound(tmp_path):
    path = tmp_path / "a.oas"
    path.write_bytes(oasis(RECTANGLE, b"\x14\x08\x02" * (30 << 20), deflated=True))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(LayoutError, match="damaged, or arrays without bound"):
        layout.read_clip(path)


def test_the_time_of_a_reader_is_that_of_the_processor_not_that_of_a_busy_machine(tmp_path, monkeypatch):
    path = tmp_path / "a.oas"
    path.write_bytes(oasis(RECTANGLE))
    monkeypatch.setattr(guard, "_PROBE_S", 1)
    read = "db.Layout(False).read(sys.argv[1], options)"
    at_work = guard._PROBE.replace(read, "while 1: 0")
    monkeypatch.setattr(guard, "_PROBE", guard._PROBE.replace(read, "__import__('time').sleep(2.5)"))
    guard._probe(path, 0)
    monkeypatch.setattr(guard, "_PROBE", at_work)
    with pytest.raises(LayoutError, match="take more than 1 s"):
        guard._probe(path, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="has no limits of this kind")
def test_lower_limits_of_a_shell_or_a_batch_system_are_kept(tmp_path):
    path = tmp_path / "a.oas"
    path.write_bytes(oasis(RECTANGLE))
    program = """
import resource, sys
from pathlib import Path
from maskopt_lib.layout import guard
resource.setrlimit(resource.RLIMIT_CPU, (guard._PROBE_S - 5,) * 2)
guard._probe(Path(sys.argv[1]), 0)
"""
    subprocess.run([sys.executable, "-c", program, str(path)], check=True)


def test_many_polygons_in_seconds(tmp_path):
    n = 200
    squares = [gds.rectangle(10 * x, 10 * y, 10 * x + 5, 10 * y + 5) for x in range(n) for y in range(n)]
    clip = layout.read_clip(gds.write(tmp_path / "many.gds", *squares))
    assert len(clip.polygons) == n * n and clip.rasterize().sum() == 25 * n * n


@pytest.mark.realdata
@pytest.mark.parametrize(("cell", "area"), [("inv_8", 6950300), ("inv_12", 10045050), ("dfxtp_1", 10771075)])
def test_cells_of_sky130(real_data, cell, area):
    path = real_data(f"sky130/cells/sky130_fd_sc_hd__{cell}.gds")
    clip = layout.read_clip(path, "li1", layers="sky130", window_nm=8000)
    assert clip.area_nm2 == area == clip.rasterize(5, antialiased=True).sum() * 25
    assert layout.read_clip(path, "poly", layers="sky130", window_nm=8000).is_manhattan


def test_a_tail_that_lies_about_its_length(tmp_path):
    data = gds.library(gds.cell(UNIT))
    path = tmp_path / "cut.gds"
    for length in range(0, len(data) - 4, 3):
        path.write_bytes(data[:length] + struct.pack(">HH", 0, 0))
        with pytest.raises(LayoutError, match=r"cut\.gds"):
            layout.read_clip(path)
