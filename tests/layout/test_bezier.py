"""Bezier outlines: few curves, within their tolerance, and the file gives them again."""

from __future__ import annotations

import numpy as np
import pytest

from maskopt_lib import files, layout
from maskopt_lib.errors import DamagedFileError, OptionError, SchemaError
from maskopt_lib.layout.raster import painted

Y, X = np.mgrid[:160, :160] + 0.5


def outline_points(curves: list[np.ndarray], n: int = 200) -> np.ndarray:
    t = np.linspace(0, 1, n)[:, None]
    weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])
    return np.concatenate([np.einsum("kto,kd->td", weights, segment) for loop in curves for segment in loop])


@pytest.mark.parametrize("tolerance_nm", [0.5, 1.0])
def test_a_disc_takes_few_curves_within_the_tolerance(tolerance_nm):
    (loop,) = curves = layout.bezier_outlines(np.hypot(Y - 80, X - 80) < 60, tolerance_nm=tolerance_nm)
    assert len(loop) <= 8
    # The raster's own error and the smoothing of the outline come on top.
    assert np.abs(np.hypot(*(outline_points(curves) - 80).T) - 60).max() < tolerance_nm + 0.6


def test_corners_stay_corners():
    mask = np.zeros((160, 160), bool)
    mask[20:120, 30:140] = True
    mask[20:60, 30:80] = False
    curves = layout.bezier_outlines(mask, tolerance_nm=0.5)
    assert len(curves) == 1 and len(curves[0]) <= 12
    assert np.array_equal(painted(layout.bezier_polygons(curves), 160, 1), mask)


@pytest.mark.parametrize("pixel_nm", [1.0, 4.0])
def test_holes_and_pixels_of_any_size(pixel_nm):
    ring = (np.hypot(Y - 80, X - 80) < 60) & (np.hypot(Y - 80, X - 80) > 25)
    curves = layout.bezier_outlines(ring, pixel_nm, tolerance_nm=0.5 * pixel_nm)
    assert len(curves) == 2
    back = painted(layout.bezier_polygons(curves), 160, pixel_nm)
    # Less than a pixel's third along the outline of 534 pixels.
    assert (back != ring).sum() < 180
    assert back[80, 80] == 0


def test_each_end_is_the_next_start_and_curves_are_fewer_than_vertices():
    wave = (np.hypot(Y - 80, X - 80) < 50 + 8 * np.cos(7 * np.arctan2(Y - 80, X - 80))).astype(np.uint8)
    (loop,) = layout.bezier_outlines(wave, tolerance_nm=0.5)
    np.testing.assert_array_equal(loop[:, 3], np.roll(loop[:, 0], -1, axis=0))
    assert len(loop) < len(layout.mask_rings(wave)[0]) / 3


def test_a_file_gives_the_outlines_again_and_says_when_it_is_none(tmp_path):
    path = tmp_path / "mask.bezier.json"
    curves = layout.bezier_outlines(np.hypot(Y - 70, X - 60) < 40, 2.0, tolerance_nm=1.0)
    layout.write_beziers(curves, path, tolerance_nm=1.0)
    for loop, read in zip(curves, layout.read_beziers(path), strict=True):
        np.testing.assert_allclose(read, loop, atol=1e-6)
    path.write_text(path.read_text().replace("1", "2", 1))
    with pytest.raises(DamagedFileError):
        layout.read_beziers(path)
    files.write_json(path, {"kind": "something else"})
    with pytest.raises(SchemaError, match="cubic Bezier"):
        layout.read_beziers(path)
    assert layout.bezier_outlines(np.zeros((8, 8)), tolerance_nm=1.0) == []
    with pytest.raises(OptionError, match="tolerance_nm"):
        layout.bezier_outlines(np.zeros((8, 8)), tolerance_nm=0)
