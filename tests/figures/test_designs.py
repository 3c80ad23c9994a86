"""Figures of designs: cells lie where they are placed, shares add up, and what is shown is named."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from drawn_texts import texts_of

from maskopt_lib import figures
from maskopt_lib.figures import designs

KINDS = ["fill, tap, tie", "memory", "register or latch", "buffer or inverter", "NAND, NOR, AND, OR", "other"]


def cells(shift_nm=0.0):
    boxes = np.array([[0, 0, 400, 1400], [400, 0, 1600, 1400], [np.nan] * 4, [0, 1400, 1600, 2800]]) + shift_nm
    columns = {side: ("instance", boxes[:, i]) for i, side in enumerate(("x0_nm", "y0_nm", "x1_nm", "y1_nm"))}
    kinds = ("instance", [0, 4, 1, 2], {"kinds": KINDS})
    return xr.Dataset(
        columns | {"cell": ("instance", ["FILLCELL_X2", "NAND2_X1", "RAM", "DFF_X1"]), "kind": kinds},
        attrs={"die_nm": [0, 0, 1600, 2800]},
    )


def moves(values):
    return xr.DataArray(
        np.asarray(values, float), dims="instance", attrs={"long_name": "move, |dx| + |dy|", "units": "nm"}
    )


def texts(drawn, tmp_path):
    figures.save(drawn, "drawn", tmp_path, formats=("svg",))
    return texts_of((tmp_path / "drawn.svg").read_bytes())


def test_cells_are_painted_where_they_are_placed():
    drawn = designs.placement(cells(), pixels=28, frame_nm=(100, 100, 500, 500))
    (picture,) = drawn.of("picture")
    image = picture.data
    assert image.shape == (28, 16, 3)
    lower, upper = image[:14], image[14:]
    np.testing.assert_array_equal(lower[:, :4], 0xD9)  # the filler
    np.testing.assert_array_equal(lower[:, 4:], np.broadcast_to((0x00, 0x72, 0xB2), (14, 12, 3)))
    np.testing.assert_array_equal(upper, np.broadcast_to((0xD5, 0x5E, 0x00), (14, 16, 3)))


def test_the_legend_names_what_is_there_and_only_that(tmp_path):
    shown = texts(designs.placement(cells(), title="small", frame_nm=(0, 0, 800, 800)), tmp_path)
    assert {"small", "x (µm)", "y (µm)", "fill, tap, tie", "NAND, NOR, AND, OR", "shown larger"} <= set(shown)
    assert "memory" not in shown and "buffer or inverter" not in shown


def test_a_detail_shows_cells_names_and_shapes(tmp_path):
    square = np.array([(100, 100), (300, 100), (300, 300), (100, 300)], dtype=float)
    drawn = designs.placement_detail(cells(), {"metal1": [square], "via1": []}, region_nm=(0, 0, 1600, 1400))
    np.testing.assert_allclose(drawn.of("bars")[1].data, [[0.4, 0, 1.6, 1.4]])
    (areas,) = drawn.of("polygons")
    np.testing.assert_allclose(areas.data[0].max(axis=0), [0.3, 0.3])
    shown = texts(drawn, tmp_path)
    assert {"NAND2_X1", "FILLCELL_X2", "metal1"} <= set(shown)
    assert "via1" not in shown and "DFF_X1" not in shown  # a layer without shapes, a cell outside


def test_before_and_after_have_the_same_frame_and_rows(tmp_path):
    region = (0, 0, 1600, 2800)
    drawn = designs.legalised_detail(cells(70.0), cells(), region_nm=region, row_nm=1400)
    for panel, left in zip(drawn.panels, (0.07, 0.0), strict=True):
        (rows,) = panel.of("paths")
        heights = [line[:, 1] for line in rows.data]
        np.testing.assert_allclose(heights, [[0, 0], [1.4, 1.4], [2.8, 2.8]])
        assert min(np.array(bars.data)[:, 0].min() for bars in panel.of("bars")) == pytest.approx(left)
    assert {"global placement", "on rows and sites"} <= set(texts(drawn, tmp_path))


def test_shares_add_up_and_means_are_told(tmp_path):
    drawn = designs.move_histogram({"one": moves([0, 50, 150, 350]), "two": moves([100, 100])})
    one, two = (line.data for line in drawn.of("line"))
    assert one[::2, 1].tolist() == [50, 25, 0, 25] and two[::2, 1].tolist() == [0, 100, 0, 0]
    assert one[[0, -1], 0].tolist() == [0, 400]
    shown = texts(drawn, tmp_path)
    assert {"one, mean 138 nm", "two, mean 100 nm", "share of the cells (%)"} <= set(shown)
