"""Photonic devices: areas by formula, gauges on what is drawn, and differences of a mask as markers."""

from __future__ import annotations

import numpy as np
import pytest
from klayout import db, rdb

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, UnknownNameError
from maskopt_lib.layout.photonic_devices import DEVICES, DRAWN


def test_a_ring_has_the_area_of_the_formula_drawn_in_the_file_and_in_pixels(tmp_path):
    device = layout.photonic_device("ring", radius_nm=2000.0)
    area = 2 * np.pi * 2000.0 * 448.0
    assert device.polygons[0].area() == pytest.approx(area, rel=1e-5)
    design = layout.read_design(device.write(tmp_path / "ring.gds"))
    box = (-2304, -2304, 2304, 2304)
    drawn = sum(db.DPolygon([db.DPoint(*p) for p in ring]).area() for ring in design.polygons(DRAWN, box))
    assert drawn == pytest.approx(area, rel=2e-5)
    pixels = design.rasterize(DRAWN, box, 4.0).sum() * 16.0
    assert pixels == pytest.approx(area, rel=1e-3)


@pytest.mark.parametrize("name", DEVICES)
def test_gauges_end_on_the_drawn_outline_and_lie_in_the_region(name, tmp_path):
    device = layout.photonic_device(name)
    design = layout.read_design(device.write(tmp_path / f"{name}.gds"))
    silicon = design.drawn(DRAWN).merged()
    unit = design.dbu_nm
    x0, y0, x1, y1 = device.region_nm
    assert device.gauges and all(side % 64 == 0 for side in device.region_nm)
    for gauge in device.gauges:
        assert x0 <= gauge.x_nm <= x1 and y0 <= gauge.y_nm <= y1
        turn = np.deg2rad(gauge.angle_deg)
        for share, inside in ((0.0, True), (0.98, True), (-0.98, True), (1.02, False), (-1.02, False)):
            at = np.array([gauge.x_nm, gauge.y_nm]) + share * gauge.drawn_nm / 2 * np.array(
                [np.cos(turn), np.sin(turn)]
            )
            point = db.Region(db.Box(*(round(v / unit) + d for d in (-1, 1) for v in at)))
            is_silicon = not (silicon & point).is_empty()
            assert is_silicon == (inside == (gauge.kind not in ("gap", "tip"))), (gauge, share)


def test_equal_devices_make_equal_files_and_unknown_ones_are_named(tmp_path):
    first, second = (layout.photonic_device("bend").write(tmp_path / f"{i}.gds", sensitive=(10, 0)) for i in (1, 2))
    assert first.read_bytes() == second.read_bytes()
    with pytest.raises(UnknownNameError, match="grating_coupler"):
        layout.photonic_device("grating")


def test_differences_of_a_mask_are_markers_with_their_areas(tmp_path):
    drawing = db.Layout()
    drawing.dbu = 1e-3
    top = drawing.create_cell("TOP")
    top.shapes(drawing.layer(1, 0)).insert(db.Box(0, 0, 1000, 400))
    top.shapes(drawing.layer(1, 10)).insert(db.Box(100, 0, 1000, 420))
    drawing.write(str(tmp_path / "both.gds"))
    areas = layout.write_differences(tmp_path / "both.gds", tmp_path / "d.lyrdb", drawn=(1, 0), mask=(1, 10))
    assert areas == {"added": 900 * 20, "taken away": 0.0}, "what lies beyond the mask's reach is no difference"
    database = rdb.ReportDatabase("")
    database.load(str(tmp_path / "d.lyrdb"))
    assert database.num_items() == 1
    with pytest.raises(LayoutError, match="nothing on layer 7/0"):
        layout.write_differences(tmp_path / "both.gds", tmp_path / "d.lyrdb", drawn=(7, 0), mask=(1, 10))
