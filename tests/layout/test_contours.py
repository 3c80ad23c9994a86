"""Masks to polygons and back: exact by pixel edges, within the stated tolerance by contours, through files as well."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from skimage.measure import find_contours

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, UnknownNameError
from maskopt_lib.layout import raster
from maskopt_lib.layout.polygons import fault_of, signed_area

N = 16
bits = st.lists(st.booleans(), min_size=N * N, max_size=N * N).map(lambda v: np.array(v).reshape(N, N))
greys = st.integers(0, 2**32 - 1).map(
    lambda seed: np.clip(ndimage.gaussian_filter(np.random.default_rng(seed).random((N, N)), 1.5) * 6 - 2.5, 0, 1)
)
box_masks = st.lists(st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(2, 8)] * 2), min_size=1, max_size=5).map(
    lambda boxes: paint_boxes(boxes)
)


def paint_boxes(boxes):
    mask = np.zeros((N, N), dtype=bool)
    for x, y, width, height in boxes:
        mask[y : y + height, x : x + width] = True
    return mask


def curved_mask(n=256, seed=3):
    """A curvilinear grey mask with holes and islands in them."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((n, n)), 7)
    grey = np.clip(0.5 + 30 * field, 0, 1)
    grey[:4] = grey[-4:] = 0
    return grey


def area(polygons):
    return sum(signed_area(p) for p in polygons)


def sampled(rings, step=0.05):
    """Points along rings, at most ``step`` apart."""
    out = []
    for ring in rings:
        start, end = ring, np.roll(ring, -1, axis=0)
        for a, b in zip(start, end, strict=True):
            count = max(2, int(np.ceil(np.hypot(*(b - a)) / step)) + 1)
            out.append(a + np.linspace(0, 1, count)[:, None] * (b - a))
    return np.concatenate(out)


def distance_to(points, rings):
    """Largest distance of points to the edges of rings."""
    start = np.concatenate(rings)
    step = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]) - start
    worst = 0.0
    for chunk in np.array_split(points, max(1, len(points) * len(start) // 2_000_000)):
        along = np.sum((chunk[:, None] - start) * step, axis=2) / np.maximum(np.sum(step**2, axis=1), 1e-30)
        nearest = start + np.clip(along, 0, 1)[..., None] * step
        worst = max(worst, np.sqrt(((chunk[:, None] - nearest) ** 2).sum(axis=2)).min(axis=1).max())
    return worst


# Pixel edges


@given(bits, st.sampled_from([1, 2, 0.5, 8]))
def test_pixel_polygons_give_the_mask_again(mask, pixel_nm):
    polygons = layout.mask_polygons(mask, pixel_nm, contours="pixel")
    assert area(polygons) == pytest.approx(mask.sum() * pixel_nm**2, abs=1e-9)
    assert all(fault_of(p) is None and signed_area(p) > 0 for p in polygons)
    if polygons:
        assert np.array_equal(raster.painted(polygons, N, pixel_nm), mask)


@given(bits)
def test_rings_follow_the_area_with_their_sign(mask):
    rings = layout.mask_rings(mask, contours="pixel")
    assert area(rings) == mask.sum()
    # As many outer rings as 4-connected pieces, as many holes as 8-connected gaps that do not reach the outside.
    material = ndimage.label(mask)[1]
    gaps = ndimage.label(np.pad(~mask, 1, constant_values=True), structure=np.ones((3, 3)))[1] - 1
    assert sum(signed_area(r) > 0 for r in rings) == material
    assert sum(signed_area(r) < 0 for r in rings) == gaps


def test_nested_rings():
    mask = np.zeros((N, N))
    mask[1:15, 1:15] = 1
    mask[3:13, 3:13] = 0
    mask[5:11, 5:11] = 1
    mask[7:9, 7:9] = 0
    for contours in ("pixel", "smooth"):
        rings = layout.mask_rings(mask, contours=contours)
        assert sorted(np.sign([signed_area(r) for r in rings])) == [-1, -1, 1, 1]
        polygons = layout.mask_polygons(mask, contours=contours)
        assert 4 <= len(polygons) <= 8  # two frames, each cut in two at least
        assert np.array_equal(raster.painted(polygons, N, 1), mask)


# Smooth contours


@given(box_masks)
def test_smooth_contours_give_a_binary_mask_again(mask):
    # A contour cuts an eighth off each corner of a pixel, at most half of it; shapes and gaps of two pixels and more
    # therefore come back. The tie at exactly half is left out: gaps of one pixel.
    if np.any(ndimage.binary_closing(np.pad(mask, 2), np.ones((2, 2)))[2:-2, 2:-2] & ~mask):
        return
    polygons = layout.mask_polygons(mask, vertex_tolerance_nm=0.02, database_nm=0.01)
    assert np.array_equal(raster.painted(polygons, N, 1), mask)


@given(greys, st.sampled_from([0.2, 0.5, 1.5]))
def test_no_point_is_farther_than_the_tolerance(grey, vertex_tolerance_nm):
    rings = layout.mask_rings(grey, vertex_tolerance_nm=vertex_tolerance_nm)
    lines = [line[:-1, ::-1] - 0.5 for line in find_contours(np.pad(grey, 1), 0.5)]
    # Loops smaller than the tolerance may go; their lines are within it of nothing.
    lines = [line for line in lines if np.ptp(line, axis=0).max() > 2 * vertex_tolerance_nm]
    if not rings or not lines:
        return
    every_line = [line[:-1, ::-1] - 0.5 for line in find_contours(np.pad(grey, 1), 0.5)]
    assert distance_to(sampled(rings), every_line) <= vertex_tolerance_nm + 1e-6
    assert distance_to(sampled(lines), rings) <= vertex_tolerance_nm + 1e-6


@given(greys)
def test_pieces_without_holes_cover_what_the_rings_enclose(grey):
    rings, polygons = (
        layout.mask_rings(grey, vertex_tolerance_nm=0.3),
        layout.mask_polygons(grey, vertex_tolerance_nm=0.3),
    )
    assert all(fault_of(np.rint(p * 10)) is None for p in polygons)
    # A cut through a slanted edge is rounded to the database grid of 0.1 nm.
    assert area(polygons) == pytest.approx(area(rings), abs=0.1 * N)


def test_a_straight_edge_lies_where_the_coverage_says():
    # Coverage of a half plane that ends 0.3 pixels into column 9: the level between 1 and 0.3, and 0.3 and 0.
    mask = np.zeros((20, 20))
    mask[2:18, 2:9] = 1
    mask[2:18, 9] = 0.5
    ring = layout.mask_rings(mask, vertex_tolerance_nm=0.05, database_nm=0.01)[0]
    assert ring[:, 0].max() == pytest.approx(9.5, abs=0.01)
    assert ring[:, 0].min() == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("pixel_nm", [1, 2, 4])
def test_a_disc_is_found_at_sub_pixel_accuracy(pixel_nm):
    radius_nm, centre_nm, window_nm = 40.3, (63.7, 64.9), 128
    angle = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
    circle = np.array(centre_nm) + radius_nm * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    clip = layout.Clip(name="disc", polygons=[circle], layer="m", window_nm=window_nm)
    rings = layout.mask_rings(
        clip.rasterize(pixel_nm, antialiased=True), pixel_nm, vertex_tolerance_nm=0.05, database_nm=0.01
    )
    assert len(rings) == 1
    error_nm = np.hypot(*(rings[0] - centre_nm).T) - radius_nm
    # Linear interpolation of coverage is off by up to (3 - 2 sqrt 2) / 2 = 0.086 pixels for a straight edge, beside
    # tolerance and curvature.
    assert np.abs(error_nm).max() < 0.1 * pixel_nm + 0.05
    # Chords about as long as a pixel cut p^2 / (6 r^2) off the area of a disc.
    assert area(rings) == pytest.approx(np.pi * radius_nm**2, rel=1e-3 + pixel_nm**2 / (6 * radius_nm**2))


def test_fewer_vertices_at_a_larger_tolerance():
    grey = curved_mask()
    counts = [sum(map(len, layout.mask_rings(grey, vertex_tolerance_nm=t))) for t in (0.15, 0.3, 0.6, 1.2, 2.4)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < counts[0] / 4


def test_shapes_at_the_border_close_there():
    polygons = layout.mask_polygons(np.ones((8, 8)), 4, vertex_tolerance_nm=0.5)
    low, high = polygons[0].min(axis=0), polygons[0].max(axis=0)
    assert (low.tolist(), high.tolist()) == ([0, 0], [32, 32])


@pytest.mark.parametrize(
    ("mask", "options", "message"),
    [
        (np.zeros((2, 4, 4)), {}, r"got shape \(2, 4, 4\); of a batch take one"),
        (np.full((4, 4), 255), {}, "255 to 255; divide an 8-bit picture by 255"),
        (np.full((4, 4), np.nan), {}, "got nan"),
        (np.full((4, 4), 0.4), {"contours": "pixel"}, "100 % of its pixels are grey.*mask > 0.5"),
        (np.ones((4, 4)), {"vertex_tolerance_nm": 0.1}, "cannot be kept on a grid of 0.1 nm; take a tolerance of at l"),
        (np.ones((4, 4)), {"contours": "pixel", "database_nm": 2}, "not on a grid of 2 nm"),
        (np.ones((4, 4)), {"contours": "pixel", "database_nm": 0.3}, "take a database_nm of the pixel, a half"),
        (np.ones((4, 4)), {"vertex_tolerance_nm": np.nan}, "vertex_tolerance_nm=nan cannot be kept"),
        (np.ones((4, 4)), {"pixel_nm": np.inf}, "must be positive"),
        (np.ones((4, 4)), {"database_nm": 0}, "must be positive"),
    ],
)
def test_masks_that_cannot_be_turned_into_polygons(mask, options, message):
    with pytest.raises(LayoutError, match=message):
        layout.mask_polygons(mask, **options)
    with pytest.raises(UnknownNameError, match="smooth, pixel"):
        layout.mask_polygons(np.ones((4, 4)), contours="rough")
