"""Shots: the rectangles are exactly the mask, and nobody can do with fewer."""

from functools import cache

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError
from maskopt_lib.metrics import count_shots, shot_rectangles

SMALL = st.tuples(st.integers(1, 4), st.integers(1, 5)).flatmap(lambda shape: arrays(bool, shape))
LARGE = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(lambda shape: arrays(bool, shape))


def reference_fewest(image: np.ndarray) -> int:
    """Fewest disjoint rectangles by trying every rectangle on the first pixel left."""

    @cache
    def fewest(flat: bytes) -> int:
        left = np.frombuffer(flat, bool).reshape(image.shape)
        if not left.any():
            return 0
        y, x = np.argwhere(left)[0]
        best = left.sum()
        for y1 in range(y + 1, image.shape[0] + 1):
            for x1 in range(x + 1, image.shape[1] + 1):
                if not left[y:y1, x:x1].all():
                    break
                rest = left.copy()
                rest[y:y1, x:x1] = False
                best = min(best, 1 + fewest(rest.tobytes()))
        return int(best)

    return fewest(image.tobytes())


def covered(rectangles: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """How many rectangles lie on each pixel."""
    count = np.zeros(shape, int)
    for y0, x0, y1, x1 in rectangles:
        assert y0 < y1 and x0 < x1
        count[y0:y1, x0:x1] += 1
    return count


@given(SMALL)
def test_no_partition_has_fewer_rectangles(image):
    assert count_shots(image, None) == reference_fewest(image)


@given(LARGE)
def test_rectangles_are_disjoint_and_make_up_the_mask(image):
    rectangles = shot_rectangles(image, None)
    np.testing.assert_array_equal(covered(rectangles, image.shape), image.astype(int))
    assert len(rectangles) == count_shots(image, None)


@given(LARGE)
def test_the_count_does_not_depend_on_orientation_place_or_pixel(image):
    n = count_shots(image, None)
    assert n == count_shots(image.T, None) == count_shots(image[::-1], None) == count_shots(image[:, ::-1], None)
    assert n == count_shots(np.pad(image, ((3, 1), (0, 7))), None)
    assert n == count_shots(np.kron(image, np.ones((2, 3), bool)), None)


@pytest.mark.parametrize("seed", range(4))
def test_a_curved_mask_is_made_up_exactly(seed):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((256, 256)), 6)
    image = noise > 0.3 * noise.std()
    rectangles = shot_rectangles(image, None)
    np.testing.assert_array_equal(covered(rectangles, image.shape), image.astype(int))
    assert len(rectangles) == count_shots(image, None)
    np.testing.assert_array_equal(rectangles, shot_rectangles(image, None))


@pytest.mark.parametrize(
    ("rows", "n"),
    [
        (["...", "...", "..."], 0),
        (["###", "###", "###"], 1),
        (["###", "#.#", "###"], 4),  # a ring
        ([".#.", "###", ".#."], 3),  # a cross
        (["#..", ".#.", "..#"], 3),  # touching corners do not join
        (["##.", "##.", "###"], 2),
        (["#.#", "###", "#.#"], 3),  # an H: one chord each way is possible, upright ones win
    ],
)
def test_shapes_whose_count_is_known(rows, n):
    assert count_shots([[c == "#" for c in row] for row in rows], None) == n


def test_the_grid_takes_the_nearest_pixel_and_must_divide():
    mask = np.zeros((2048, 2048), bool)
    mask[100:300, 400:500] = mask[300:302, 400:600] = True  # the sliver lies on one row of the 512 grid, y = 300
    assert count_shots(mask) == 2 and count_shots(mask, 256) == 1 and count_shots(mask, None) == 2
    assert shot_rectangles(mask)[0].tolist() == [25, 100, 75, 125]
    assert count_shots(mask[:1024, :1024], 2048) == 2  # coarser than the grid: counted as it is
    with pytest.raises(GridMismatchError, match="grid of 500"):
        count_shots(mask, 500)
    with pytest.raises(GridMismatchError, match="one mask"):
        count_shots(np.zeros((2, 8, 8)))


def test_write_times_are_shots_times_a_shot_and_area_by_a_rate():
    shots = xr.Dataset({"shots": ("sample", [0, 100, 1000])})
    shaped = metrics.ShapedBeam(current_density_a_cm2=500, dose_uc_cm2=100, settling_ns=50)
    timed = metrics.with_write_times(shots, 2000.0, shaped=shaped, multi=metrics.MultiBeam(hours=10))
    # 100 uC/cm2 at 500 A/cm2 are 200 ns; 8 x 8 um of 100 x 130 mm.
    np.testing.assert_allclose(timed["vsb_write_us"], [0, 25, 250])
    np.testing.assert_allclose(timed["multibeam_write_us"], 36e9 * 64e-6 / 13000)
    schema.validate(timed)
