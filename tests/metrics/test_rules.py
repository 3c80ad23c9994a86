"""Mask rules: closed forms, slow versions, and imageruler as an outside judge of width and space."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from maskopt_lib.errors import GridMismatchError
from maskopt_lib.metrics import (
    count_shots,
    count_vertices,
    min_radius_nm,
    min_space_nm,
    min_width_nm,
    outlines,
    shape_rules,
    target_sites,
)

Y, X = np.mgrid[:240, :240] + 0.5 - 120  # nm, centred


def disc(radius: float, y: float = 0.0, x: float = 0.0) -> np.ndarray:
    return np.hypot(Y - y, X - x) < radius


def turned_box(half_y: float, half_x: float, degrees: float = 0.0, radius: float = 0.0, shift: float = 0.0):
    """A box with rounded corners, turned about the centre, then moved along its own x."""
    turn = np.deg2rad(degrees)
    y, x = Y * np.cos(turn) - X * np.sin(turn), Y * np.sin(turn) + X * np.cos(turn) - shift
    out = np.hypot(np.maximum(abs(y) - half_y + radius, 0), np.maximum(abs(x) - half_x + radius, 0))
    return out <= radius if radius else (abs(y) < half_y) & (abs(x) < half_x)


# Whole shapes


def reference_closest(image: np.ndarray) -> float:
    """Distance of the two closest pixel centres of different shapes, all pairs compared."""
    labels, _ = ndimage.label(image)
    points = [(*p, labels[tuple(p)]) for p in np.argwhere(image)]
    pairs = [np.hypot(a[0] - b[0], a[1] - b[1]) for a, b in itertools.combinations(points, 2) if a[2] != b[2]]
    return min(pairs, default=np.nan)


@given(st.tuples(st.integers(1, 12), st.integers(1, 12)).flatmap(lambda shape: arrays(bool, shape)))
def test_shape_rules_are_what_all_pairs_say(image):
    rules = shape_rules(image, 1.0)
    labels, n = ndimage.label(image)
    assert rules.shapes == n
    np.testing.assert_equal(rules.msa_nm2, np.bincount(labels.flat)[1:].min() if n else np.nan)
    np.testing.assert_allclose(rules.msd_nm, reference_closest(image))


def test_many_shapes_far_apart_and_one_inside_another():
    image = np.zeros((400, 400), bool)
    image[::40, ::40] = True
    assert shape_rules(image, 1.0) == (100, 1.0, 40.0)
    nested = disc(100) & ~disc(60) | disc(40)
    assert shape_rules(nested, 1.0).msd_nm == pytest.approx(20, abs=1)
    assert shape_rules(nested, 1.0).shapes == 2


@pytest.mark.parametrize("factor", [2, 4])
def test_areas_and_distances_are_in_nm(factor):
    image = turned_box(20, 20, shift=-40) | turned_box(30, 8, shift=28)  # a gap of 40 nm
    fine, coarse = shape_rules(image, 1.0), shape_rules(image[::factor, ::factor], float(factor))
    assert coarse.shapes == fine.shapes == 2 and coarse.msa_nm2 == fine.msa_nm2 == 60 * 16
    # Between pixel centres: one pixel more than the empty space.
    assert (fine.msd_nm, coarse.msd_nm) == (41, 40 + factor)


@pytest.mark.parametrize(
    "measure",
    [count_shots, count_vertices, min_radius_nm, min_space_nm, min_width_nm, outlines, shape_rules, target_sites],
)
def test_a_batch_is_refused_with_what_to_do(measure):
    pixel = () if measure in (outlines, count_shots) else (1.0,)
    with pytest.raises(GridMismatchError, match=r"shape \(2, 16, 16\); of a batch take one.*evaluate"):
        measure(np.zeros((2, 16, 16), bool), *pixel)
    with pytest.raises(GridMismatchError, match="0 to 255; divide an 8-bit picture by 255"):
        measure(np.pad(np.full((4, 4), 255, np.uint8), 6), *pixel)


# Width and space


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 13, 20, 41])
@pytest.mark.parametrize("pixel_nm", [1.0, 8.0])
def test_widths_and_spaces_along_the_axes_are_exact(width, pixel_nm):
    image = np.zeros((90, 120), bool)
    image[20:70, 30 : 30 + width] = True
    assert min_width_nm(image, pixel_nm) == min_width_nm(image.T, pixel_nm) == width * pixel_nm
    gap = np.zeros((90, 160), bool)
    gap[20:70, 10:60] = gap[20:70, 60 + width : 150] = True
    assert min_space_nm(gap, pixel_nm) == min_space_nm(gap.T, pixel_nm) == width * pixel_nm


@pytest.mark.parametrize("degrees", [7, 20, 30, 45, 63])
@pytest.mark.parametrize("width", [6, 10.5, 21])
def test_widths_and_spaces_of_slanted_bars_are_good_to_a_pixel(width, degrees):
    assert min_width_nm(turned_box(80, width / 2, degrees), 1.0) == pytest.approx(width, abs=1)
    pair = turned_box(80, 10, degrees, shift=10 + width / 2) | turned_box(80, 10, degrees, shift=-10 - width / 2)
    assert min_space_nm(pair, 1.0) == pytest.approx(width, abs=1)


@pytest.mark.parametrize("radius", [5, 9.5, 20, 44, 90])
def test_a_disc_is_as_wide_as_its_diameter_and_has_no_space_around_it(radius):
    image = disc(radius, 0.3, -0.4)
    assert min_width_nm(image, 1.0) == pytest.approx(2 * radius, abs=1.5)
    assert np.isnan(min_space_nm(image, 1.0))
    hole = turned_box(110, 110) & ~image
    assert min_space_nm(hole, 1.0) == pytest.approx(2 * radius, abs=1.5)


def test_the_neck_of_a_dumbbell_counts_and_not_its_ends():
    dumbbell = disc(40, x=-60) | disc(40, x=60) | turned_box(9, 60)
    assert min_width_nm(dumbbell, 1.0) == pytest.approx(18, abs=1)
    touching = disc(40, x=-36) | disc(40, x=36)  # waist 2 sqrt(40^2 - 36^2) = 34.9
    assert min_width_nm(touching, 1.0) == pytest.approx(34.9, abs=1.5)


def test_right_angles_are_no_narrow_places_but_notches_are_narrow_spaces():
    corner = turned_box(60, 60) & ~(turned_box(60, 60) & (Y > -30) & (X > -40))
    assert min_width_nm(corner, 1.0) == 20  # arms of 20 (x from -60 to -40) and 30 nm
    assert np.isnan(min_space_nm(corner, 1.0))
    notched = turned_box(60, 60) & ~((abs(X) < 6) & (Y > 0))
    assert min_space_nm(notched, 1.0) == 12


def test_single_pixels_on_an_edge_are_roughness():
    rough = turned_box(40, 40)  # rows and columns 80 to 159
    rough[79, 110] = rough[79, 112:114] = rough[140, 160] = True
    rough[159, 100] = rough[159, 120:122] = rough[100, 80] = False
    assert min_width_nm(rough, 1.0) >= 78 and np.isnan(min_space_nm(rough, 1.0))
    rough[150:160, 130] = False  # ten pixels deep: a notch
    assert min_space_nm(rough, 1.0) == 1


def test_empty_and_full_masks_have_nothing_to_measure():
    for image in (np.zeros((16, 16)), np.ones((16, 16))):
        assert np.isnan(min_space_nm(image, 1.0))
    assert np.isnan(min_width_nm(np.zeros((16, 16)), 1.0)) and np.isnan(min_radius_nm(np.zeros((16, 16)), 1.0))
    assert min_width_nm(np.ones((16, 16)), 1.0) == 16
    assert count_vertices(np.zeros((16, 16)), 1.0) == 0 and outlines(np.zeros((16, 16))) == []
    with pytest.raises(GridMismatchError, match="one mask"):
        min_width_nm(np.zeros((2, 16, 16)), 1.0)


IMAGERULER_SHAPES = {
    "bar": turned_box(60, 8, radius=8),
    "slanted bar": turned_box(60, 8, 30, radius=8),
    "disc": disc(25),
    "L": ndimage.binary_opening(
        (turned_box(60, 60) & ~((Y > -40) & (X > -36))), disc(9.5)[110:131, 110:131], iterations=1
    ),
    "two discs": disc(25, x=-30) | disc(25, x=30),
    "pair": turned_box(40, 10, radius=9, shift=-14) | turned_box(40, 10, radius=9, shift=14),
    "slanted pair": turned_box(40, 10, 45, radius=9, shift=-15.5) | turned_box(40, 10, 45, radius=9, shift=15.5),
}


@pytest.mark.parametrize("name", IMAGERULER_SHAPES)
def test_imageruler_agrees_on_smooth_shapes(name):
    imageruler = pytest.importorskip("imageruler", reason="test oracle: data_manifest/locks/oracles.lock")
    image = IMAGERULER_SHAPES[name][40:200, 40:200]
    assert min_width_nm(image, 1.0) == pytest.approx(imageruler.minimum_length_scale_solid(image), abs=2)
    if not np.isnan(space := min_space_nm(image, 1.0)):
        # It also counts how round an opening is; between parallel edges and two discs both see the gap.
        assert space == pytest.approx(imageruler.minimum_length_scale_solid(~image), abs=2)


@pytest.mark.parametrize("seed", [0, 1, 4, 10, 11])  # those of 0 to 11 that a brush can paint, mask and field
def test_imageruler_agrees_on_curved_masks_that_a_brush_can_paint(seed):
    """Its brush has to fit into the ends of gaps too, so for spaces it is a lower bound.

    On masks that no brush can paint the two differ by definition: a short neck between two round parts is narrow here,
    while every part of it may still be reached by a wide brush from one side or the other.
    """
    imageruler = pytest.importorskip("imageruler", reason="test oracle: data_manifest/locks/oracles.lock")
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((200, 200)), 12)
    noise[:30] = noise[-30:] = noise[:, :30] = noise[:, -30:] = -1
    brush = disc(6 + seed % 3)[106:135, 106:135]
    image = noise > 0.3 * noise[40:-40, 40:-40].std()
    for _ in range(4):
        image = ndimage.binary_opening(ndimage.binary_closing(image, brush), brush)
    assert min_width_nm(image, 1.0) == pytest.approx(imageruler.minimum_length_scale_solid(image), abs=2)
    space = min_space_nm(image, 1.0)
    assert np.isnan(space) or space >= imageruler.minimum_length_scale_solid(~image) - 2


# Curvature and vertices


@pytest.mark.parametrize("radius", [20, 30, 50, 80, 100])
@pytest.mark.parametrize("offset", [(0.0, 0.0), (0.3, 0.7)])
def test_the_radius_of_a_disc_is_found_convex_and_concave(radius, offset):
    image = disc(radius, *offset)
    assert min_radius_nm(image, 1.0) == pytest.approx(radius, rel=0.05)
    hole = turned_box(116, 116, radius=115) & ~image if radius < 90 else ~image[1:-1, 1:-1]
    if radius < 90:
        assert min_radius_nm(hole, 1.0) == pytest.approx(radius, rel=0.05)


@pytest.mark.parametrize("radius", [8, 12, 20, 40])
@pytest.mark.parametrize("degrees", [0, 20, 45])
def test_the_radius_of_rounded_corners(radius, degrees):
    image = turned_box(75, 60, degrees, radius=radius)
    assert min_radius_nm(image, 1.0) == pytest.approx(radius, rel=0.05 if radius >= 20 else 0.15)


def test_radii_scale_with_the_pixel_and_right_angles_stay_at_the_resolution():
    assert min_radius_nm(disc(50), 4.0) == 4 * min_radius_nm(disc(50), 1.0)
    assert min_radius_nm(turned_box(60, 60), 1.0) < 4


@pytest.mark.parametrize(
    ("image", "vertices"),
    [
        (turned_box(40, 30), 4),
        (turned_box(60, 60) & ~((Y > 0) & (X > 0)), 6),
        (turned_box(60, 60) & ~turned_box(20, 20), 8),  # a hole is a loop of its own
        (turned_box(40, 10, shift=-50) | turned_box(40, 10, shift=50), 8),
    ],
)
def test_vertices_of_manhattan_masks_are_their_corners(image, vertices):
    assert count_vertices(image, 1.0) == vertices
    assert count_vertices(np.kron(image, np.ones((4, 4), bool)), 0.25) == vertices


def test_a_coarser_tolerance_needs_fewer_vertices():
    counts = [count_vertices(disc(80), 1.0, tolerance) for tolerance in (1.0, 2.0, 4.0, 8.0)]
    assert counts == sorted(counts, reverse=True)
    # Chords of sagitta t on a circle of radius R: pi / arccos(1 - t / R) of them at the least.
    assert np.pi / np.arccos(1 - 1.5 / 80) <= counts[0] <= 2.2 * np.pi / np.arccos(1 - 1.0 / 80)


def test_outlines_lie_on_the_edge_in_layout_pixels():
    (loop,) = outlines(turned_box(40, 30))
    assert loop.min(axis=0) == pytest.approx([80, 90]) and loop.max(axis=0) == pytest.approx([160, 150])
