"""Mosaics: whole shapes from tiles, contours that know of no tile, and the cells they were made for."""

from __future__ import annotations

import gdstk
import numpy as np
import pytest
from scipy import ndimage

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, UnknownNameError
from maskopt_lib.layout.mosaic import MASK_LAYER, Tile, whole_shapes, write_mosaic

SIDE = 192


def cut(mask, step):
    """Rows of tiles of a mask; the last ones may be smaller."""
    for y in range(0, len(mask), step):
        yield (Tile(image=mask[y : y + step, x : x + step], x_px=x, y_px=y) for x in range(0, mask.shape[1], step))


def blobs(seed=0):
    """A curved random mask with holes and shapes at every tile border."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), 7)
    return (noise > 0).astype(np.uint8)


def raster(path):
    return layout.read_design(path).rasterize(MASK_LAYER, (0, 0, SIDE, SIDE))


@pytest.mark.parametrize("step", [SIDE, 64, 50, 17])
def test_shapes_are_those_of_the_uncut_mask(step):
    mask = blobs()
    labels, n = ndimage.label(mask)
    shapes = list(whole_shapes(cut(mask, step)))
    assert sorted(shape.area() for shape in shapes) == sorted(np.bincount(labels.ravel())[1:].tolist())
    assert len(shapes) == n and any(shape.holes() for shape in shapes)


@pytest.mark.parametrize("contours", ["pixel", "smooth"])
def test_tiles_leave_no_trace_in_the_file(tmp_path, contours):
    mask = blobs(1)
    paths = [tmp_path / f"{step}.oas" for step in (SIDE, 50)]
    for path, step in zip(paths, (SIDE, 50), strict=True):
        write_mosaic(cut(mask, step), path, contours=contours)
    whole, tiled = ({tuple(map(tuple, p)) for p in layout.read_design(path).polygons(MASK_LAYER)} for path in paths)
    assert whole == tiled


def test_pixel_contours_are_the_pixels(tmp_path):
    mask = blobs(2)
    written = write_mosaic(cut(mask, 64), tmp_path / "mask.gds", contours="pixel")
    np.testing.assert_array_equal(raster(tmp_path / "mask.gds"), mask)
    assert written.area_nm2 == pytest.approx(mask.sum()) and written.mask_area_nm2 == mask.sum()


@pytest.mark.parametrize("seed", range(4))
def test_smooth_contours_stay_within_a_pixel(tmp_path, seed):
    mask = blobs(seed)
    written = write_mosaic(cut(mask, 64), tmp_path / "mask.oas")
    apart = raster(tmp_path / "mask.oas") != mask
    around = np.pad(mask, 2, mode="edge")
    depth = np.where(around, ndimage.distance_transform_cdt(around), ndimage.distance_transform_cdt(1 - around))
    assert depth[2:-2, 2:-2][apart].max(initial=0) <= 1
    assert written.area_nm2 == pytest.approx(mask.sum(), rel=2e-3)


def test_smooth_contours_lie_on_the_level_line_of_the_other_writer(tmp_path):
    y, x = np.mgrid[:SIDE, :SIDE]
    disc = (np.hypot(y - 95.5, x - 95.5) < 60).astype(np.uint8)
    ours = write_mosaic(cut(disc, 64), tmp_path / "a.oas", vertex_tolerance_nm=0.2)
    theirs = layout.write_mask(disc, tmp_path / "b.oas", vertex_tolerance_nm=0.2)
    assert ours.area_nm2 == pytest.approx(theirs.area_nm2, rel=1e-4)
    assert ours.area_nm2 == pytest.approx(np.pi * 60**2, rel=2e-3)


def test_a_bar_across_tiles_has_the_corners_of_a_bar(tmp_path):
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[20:60, 10:180] = 1
    write_mosaic(cut(mask, 64), tmp_path / "mask.oas", origin_nm=(1000, -500), contours="pixel")
    (points,) = layout.read_design(tmp_path / "mask.oas").polygons(MASK_LAYER)
    assert sorted(map(tuple, points)) == [(1010, -480), (1010, -440), (1180, -480), (1180, -440)]


def test_the_file_shows_the_cells_and_the_target(tmp_path):
    library = gdstk.Library(unit=1e-6, precision=1e-10)
    cell, top = library.new_cell("LCELL"), library.new_cell("TOP")
    cell.add(gdstk.rectangle((0, 0), (0.09, 0.1), layer=235), gdstk.rectangle((0.02, 0.02), (0.06, 0.08), layer=11))
    top.add(gdstk.Reference(cell, (0, 0)), gdstk.Reference(cell, (0.09, 0)))
    library.write_oas(tmp_path / "layout.oas")
    design = layout.read_design(tmp_path / "layout.oas")
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[15:85, 15:65] = 1
    written = write_mosaic(cut(mask, 64), tmp_path / "mask.oas", context=design, target="metal1")
    assert written.cells == 2
    again = gdstk.read_oas(tmp_path / "mask.oas")
    (top,) = again.top_level()
    assert top.name == "TOP_MASK" and {cell.name for cell in again.cells} == {"TOP_MASK", "TOP", "LCELL"}
    assert [label.text for label in top.get_labels()] == ["LCELL", "LCELL"]
    boxes = sorted(p.bounding_box()[0] for p in top.get_polygons(layer=235, datatype=0))
    np.testing.assert_allclose(boxes, [(0, 0), (0.09, 0)])
    clip = layout.read_clip(tmp_path / "mask.oas", (110, 0), window_nm=SIDE, placement=(0, 0))
    np.testing.assert_array_equal(clip.rasterize(1), design.rasterize("metal1", (0, 0, SIDE, SIDE)))
    assert layout.read_clip(tmp_path / "mask.oas", MASK_LAYER, window_nm=SIDE, placement=(0, 0)).area_nm2 > 3450


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UnknownNameError, match="no contours 'round'; known: smooth, pixel"):
        write_mosaic([], tmp_path / "a.oas", contours="round")
    with pytest.raises(LayoutError, match=r"on the database grid of 0.1 nm"):
        write_mosaic([], tmp_path / "a.oas", origin_nm=(0.05, 0))
