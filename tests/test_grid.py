"""The grid: where pixels are, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from maskopt_lib.errors import GridMismatchError
from maskopt_lib.grid import Grid, grid_of


@pytest.mark.parametrize(("n", "pixel_nm"), [(1, 2048.0), (7, 0.5), (256, 8.0)])
def test_pixels_tile_the_period(n, pixel_nm):
    grid = Grid(n, pixel_nm)
    assert grid.period_nm == n * pixel_nm
    # Row 0 lowest, its centre half a pixel above the edge; the last centre half a pixel below the other one.
    assert grid.centres_nm.shape == (n,)
    assert grid.centres_nm[0] == pixel_nm / 2 and grid.centres_nm[-1] == pytest.approx(grid.period_nm - pixel_nm / 2)
    np.testing.assert_allclose(np.diff(grid.centres_nm), pixel_nm)


def test_the_grid_of_an_array_is_that_of_its_last_two_axes():
    assert grid_of((3, 2, 64, 64), 2048) == Grid(64, 32.0)


@pytest.mark.parametrize("shape", [(), (64,), (64, 32), (64, 64, 1)])
def test_arrays_that_are_not_square_are_refused_with_a_remedy(shape):
    with pytest.raises(GridMismatchError, match=r"spans 2048 nm, got shape .*pad or crop"):
        grid_of(shape, 2048.0)


@pytest.mark.parametrize(("n", "pixel_nm"), [(0, 1.0), (2.5, 1.0), (4, 0.0), (4, -1.0), (4, float("nan"))])
def test_impossible_grids_are_refused(n, pixel_nm):
    with pytest.raises(GridMismatchError, match=r"n=|pixel_nm="):
        Grid(n, pixel_nm)
