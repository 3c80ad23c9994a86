"""Rasters: exact areas, the half-open and the inclusive rule, and the fast ways against slow ones."""

from __future__ import annotations

import gdstk
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from maskopt_lib import layout
from maskopt_lib.errors import GridMismatchError, LayoutError, OptionError, UnknownNameError
from maskopt_lib.layout import raster
from maskopt_lib.layout.contours import pixel_rings, simple_pieces
from maskopt_lib.layout.polygons import signed_area

WINDOW_NM = 24


def box(x, y, width, height):
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], dtype=float)


def clip_of(*polygons, window_nm=WINDOW_NM, offset_nm=(0, 0)):
    return layout.Clip(name="test", polygons=polygons, layer="m", window_nm=window_nm, offset_nm=offset_nm)


boxes = st.tuples(*[st.integers(0, 16)] * 2, *[st.integers(1, 7)] * 2).map(lambda b: box(*b))
box_lists = st.lists(boxes, min_size=1, max_size=6)
#: Triangles and quadrilaterals around a centre: star-shaped, so simple, corners off every grid.
fans = st.builds(
    lambda centre, angles, radii: (
        np.array(centre) + np.array(radii)[: len(angles), None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    ),
    st.tuples(st.floats(9, 15), st.floats(9, 15)),
    st.lists(st.floats(0.1, 1.4), min_size=4, max_size=4).map(lambda part: np.arange(4) * np.pi / 2 + part),
    st.lists(st.floats(0.5, 8.5), min_size=4, max_size=4),
)
pixel_masks = st.integers(1, 9).flatmap(
    lambda n: st.lists(st.booleans(), min_size=n * n, max_size=n * n).map(lambda v: np.array(v).reshape(n, n))
)


def reference_painted(rectangles, n):
    """Half-open boxes, one slice at a time."""
    out = np.zeros((n, n), np.uint8)
    for p in rectangles:
        (x0, y0), (x1, y1) = p.min(axis=0).astype(int), p.max(axis=0).astype(int)
        out[y0:y1, x0:x1] = 1
    return out


def reference_coverage(polygons, n, pixel_nm):
    """Area of polygons within each pixel, by clipping them to it one by one."""
    out = np.zeros((n, n))
    for row in range(n):
        for column in range(n):
            pixel = gdstk.Polygon(box(column * pixel_nm, row * pixel_nm, pixel_nm, pixel_nm))
            cut = gdstk.boolean(pixel, [gdstk.Polygon(p) for p in polygons], "and", precision=1e-9)
            out[row, column] = sum(p.area() for p in cut) / pixel_nm**2
    return out


@given(box_lists)
def test_boxes_are_half_open_and_overlaps_count_once(polygons):
    clip = clip_of(*polygons)
    assert np.array_equal(clip.rasterize(), reference_painted(polygons, WINDOW_NM))
    assert clip.rasterize().sum() == clip.area_nm2


@given(box_lists, st.sampled_from([0.5, 1, 1.5, 2, 3, 4, 6, 8, 12, 24]))
def test_coarse_raster_is_the_block_mean_of_a_fine_one(polygons, pixel_nm):
    clip = clip_of(*polygons)
    half = np.kron(clip.rasterize(1), np.ones((2, 2)))  # the same at 0.5 nm
    expected = raster.block_mean(half, round(2 * pixel_nm))
    covered = clip.rasterize(pixel_nm, antialiased=True)
    assert covered.dtype == np.float32
    assert np.array_equal(covered, expected.astype(np.float32))


@given(pixel_masks)
def test_any_manhattan_shape_is_painted_exactly(mask):
    """Random pixels as polygons (bends, holes, corners that touch) give the pixels again."""
    pieces = [piece / 2 for piece in simple_pieces([2 * ring for ring in pixel_rings(mask)])]
    n = len(mask)
    assert sum(signed_area(piece) for piece in pieces) == mask.sum()
    if pieces:
        assert np.array_equal(raster.painted(pieces, n, 1), mask)
        assert np.array_equal(raster.painted([piece[::-1] for piece in pieces], n, 1), mask)  # either orientation


@given(fans, st.sampled_from([1, 1.5, 2, 3, 4, 8, 24]))
def test_slanted_edges_keep_their_area_at_any_pixel(polygon, pixel_nm):
    covered = raster.coverage([polygon], round(WINDOW_NM / pixel_nm), pixel_nm)
    assert covered.min() >= 0
    assert covered.max() <= 1
    assert covered.sum() * pixel_nm**2 == pytest.approx(abs(signed_area(polygon)), abs=1e-6)


@given(fans, fans, boxes)
def test_overlapping_slanted_shapes_against_clipping_pixel_by_pixel(first, second, third):
    polygons = [first, second, third]
    fast = raster.coverage(polygons, 6, 4)
    assert fast == pytest.approx(reference_coverage(polygons, 6, 4), abs=1e-6)


@given(fans | boxes, st.integers(0, 4), st.integers(0, 4))
def test_moving_the_clip_by_pixels_moves_the_raster(polygon, right, up):
    here = clip_of(polygon, window_nm=32).rasterize(2)
    there = clip_of(polygon, window_nm=32, offset_nm=(2 * right, 2 * up)).rasterize(2)
    assert np.roll(here, (up, right), axis=(0, 1)) == pytest.approx(there, abs=1e-6)


def test_row_is_y_and_column_is_x():
    target = clip_of(box(3, 20, 2, 1)).rasterize()
    assert np.argwhere(target).tolist() == [[20, 3], [20, 4]]


def test_keyhole_leaves_the_hole_empty():
    # 8 x 8 with a hole of 2 x 2 that a bridge joins to the outside: 60 nm2.
    keyhole = [(4, 4), (12, 4), (12, 12), (4, 12), (4, 8), (7, 8), (7, 9), (9, 9), (9, 7), (7, 7), (7, 8), (4, 8)]
    clip = clip_of(keyhole)
    assert clip.rasterize().sum() == 60
    assert clip.rasterize(8).sum() * 64 == pytest.approx(60, abs=1e-6)
    assert clip.rasterize()[7:9, 7:9].sum() == 0


def test_binary_raster_of_a_slanted_shape_takes_half_covered_pixels():
    triangle = np.array([(0, 0), (8, 0), (0, 8)])
    # Pixels below the diagonal are whole, those on it exactly half covered.
    assert np.array_equal(clip_of(triangle).rasterize()[:8, :8], np.tri(8, dtype=np.uint8)[::-1])


@given(box_lists)
def test_inclusive_rule_is_that_of_opencv(polygons):
    cv2 = pytest.importorskip("cv2")
    clip = clip_of(*polygons, window_nm=40)
    image = np.zeros((40, 40), np.uint8)
    corners = np.concatenate(polygons)
    shift = (40 - (corners.max(axis=0) - corners.min(axis=0))) // 2 - corners.min(axis=0)
    for polygon in polygons:
        cv2.fillPoly(image, [(polygon + shift).astype(np.int32)], color=1)
    assert np.array_equal(clip.rasterize(rule="inclusive"), image)


def test_inclusive_rule_of_bent_shapes_is_that_of_opencv():
    cv2 = pytest.importorskip("cv2")
    for clip in layout.demo_clips().values():
        image = np.zeros((2048, 2048), np.uint8)
        x0, y0, x1, y1 = clip.bounds_nm
        shift = np.floor([(2048 - x0 - x1) / 2, (2048 - y0 - y1) / 2])
        for polygon in clip.placed():
            cv2.fillPoly(image, [(polygon + shift).astype(np.int32)], color=1)
        assert np.array_equal(clip.rasterize(rule="inclusive"), image)


def test_inclusive_rule_refuses_slanted_shapes():
    with pytest.raises(LayoutError, match="Manhattan polygons on whole nm"):
        clip_of([(0, 0), (8, 0), (0, 8)]).rasterize(rule="inclusive")


def test_default_kinds_of_raster():
    clip = clip_of(box(3, 3, 6, 6))
    assert clip.rasterize().dtype == np.uint8
    assert clip.rasterize(0.5).dtype == np.uint8
    assert clip.rasterize(0.5).sum() == 4 * 36
    assert clip.rasterize(2).dtype == np.float32
    assert clip.rasterize(2, antialiased=False).dtype == np.uint8


def test_a_pixel_must_divide_the_window():
    with pytest.raises(GridMismatchError, match=r"pixel_nm=5 does not divide .* 24 nm.*4.8 and 6"):
        clip_of(box(0, 0, 1, 1)).rasterize(5)
    with pytest.raises(OptionError, match="above 0"):
        clip_of(box(0, 0, 1, 1)).rasterize(0)
    for value in ([], "1", None, float("nan"), True):
        with pytest.raises(OptionError, match="pixel_nm must be a number"):
            clip_of(box(0, 0, 1, 1)).rasterize(value)


def test_an_unknown_rule_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="half-open, inclusive"):
        clip_of(box(0, 0, 1, 1)).rasterize(rule="exclusive")


def test_a_clip_keeps_what_it_was_given():
    points = box(1, 1, 2, 2)
    clip = clip_of(points)
    points += 5
    assert clip.bounds_nm == (1, 1, 3, 3)
    with pytest.raises(ValueError, match="read-only"):
        clip.polygons[0][0, 0] = 7


@pytest.mark.parametrize(
    ("polygons", "message"),
    [
        ([], "has no polygon"),
        ([[(0, 0), (1, 1)]], "polygon 0: it has 2 points"),
        ([[(0, 0), (2, 2), (2, 0), (0, 2)]], r"polygon 0: its edges 1 and 3 cross or touch near \(1, 1\) nm"),
        ([[(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)]], "cross or touch"),
        ([[(0, 0), (4, 0), (8, 0)]], "turns straight back"),
        ([[(0, 0), (4, 0), (4, 4), (4, 2)]], "cross or touch"),
        ([[(0, 0), (4, 0), (4, 0), (4, 4)]], "points 2 and 3 are both"),
        ([[(0, 0), (4, 0), (np.nan, 4)]], "not finite"),
        ([[0, 1, 2]], r"expected \(n, 2\) points"),
        ([box(0, 0, 2, 2), box(20, 20, 9, 2)], r"polygon 1: .* spans x 0..29.* 29 x 22 nm: give a window_nm"),
        ([box(-1, 0, 2, 2)], r"polygon 0: .* x -1..1.* placement='centred'"),
    ],
)
def test_faulty_clips_are_refused(polygons, message):
    with pytest.raises(LayoutError, match=message):
        clip_of(*polygons)


def test_rasters_that_no_memory_holds_are_refused_before_it_is_taken():
    square = [np.array([[0, 0], [1, 0], [1, 1], [0, 1]])]
    for draw in (raster.painted, raster.coverage):
        with pytest.raises(LayoutError, match="takes 931 GiB as bytes, and 32768 a side are the most"):
            draw(square, 10**6, 1.0)


@pytest.mark.parametrize("seed", range(8))
def test_union_of_overlapping_slanted_shapes_has_the_area_of_fine_samples(seed):
    draw = np.random.default_rng(seed)
    corners = [draw.integers(0, 40, 2) + draw.integers(0, 24, (3, 2)) for _ in range(12)]
    triangles = [p.astype(float) for p in corners if signed_area(p) != 0]
    n, fine = 64, 16
    centres = (np.arange(n * fine) + 0.5) / fine
    points = np.stack(np.meshgrid(centres, centres), axis=-1).reshape(-1, 2)
    inside = np.zeros(len(points), dtype=bool)
    for triangle in triangles:
        inside |= Outline(triangle).contains_points(points)
    sampled = raster.block_mean(inside.reshape(n * fine, n * fine), fine)
    np.testing.assert_allclose(raster.coverage(triangles, n, 1.0), sampled, atol=1.5 / fine)
    clip = clip_of(*triangles, window_nm=64)
    assert clip.area_nm2 == pytest.approx(raster.coverage(triangles, n, 1.0).sum(), rel=1e-6)


def test_merged_shapes_with_slanted_bridges_to_their_holes_keep_their_area():
    # Holes that are reached one after the other from one corner; such rings once lost a part of their area.
    outer, holes = np.array([(0, 0), (60, 0), (60, 60), (0, 60.0)]), []
    for x, y in [(10, 30), (30, 10), (40, 40), (20, 45)]:
        holes.append(np.array([(x, y), (x, y + 5), (x + 5, y + 5), (x + 5, y + 1.0)]))
    ring = np.concatenate([outer, *(np.concatenate([outer[:1], hole, hole[:1]]) for hole in holes)])
    area = 3600 + sum(signed_area(hole) for hole in holes)
    other = np.array([(61, 61), (63, 62), (62, 63.0)])
    for disjoint in (True, False):
        assert raster.coverage([ring, other], 64, 1.0, disjoint=disjoint).sum() == pytest.approx(area + 1.5)
