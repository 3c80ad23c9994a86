"""L2, PV band and edge placement: identical images give 0, an edge moved by k pixels gives k times the pixel."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError
from maskopt_lib.metrics import epe, epe_sites, is_manhattan, l2_nm2, pvb_nm2, target_sites

N = 512  # pixels of the fields below, of 1 nm unless said otherwise


def bar(y0: int, y1: int, x0: int, x1: int, n: int = N) -> np.ndarray:
    image = np.zeros((n, n), dtype=bool)
    image[y0:y1, x0:x1] = True
    return image


def ramp_bar(y0: float, y1: float, x0: float, x1: float, n: int = N, pixel_nm: float = 1.0) -> np.ndarray:
    """An aerial image that equals 1/2 exactly on the outline of a bar given in nm and is linear across its edges."""
    at = (np.arange(n) + 0.5) * pixel_nm
    inside_y, inside_x = np.minimum(at - y0, y1 - at), np.minimum(at - x0, x1 - at)
    return np.clip(0.5 + 0.01 * np.minimum(inside_y[:, None], inside_x[None, :]), 0, 1)


def sites_of(error_nm: float, pixel_nm: float = 1.0):
    """Sites of a 200 x 240 nm bar that prints larger by the same error on all sides."""
    n = int(N / pixel_nm)
    target = bar(128, 328, 120, 360)[:: int(pixel_nm), :: int(pixel_nm)]
    aerial = ramp_bar(128 - error_nm, 328 + error_nm, 120 - error_nm, 360 + error_nm, n, pixel_nm)
    return epe_sites(aerial, target, pixel_nm=pixel_nm, threshold=0.5)


@given(arrays(bool, (9, 7)), arrays(bool, (9, 7)))
def test_areas_are_zero_on_equal_images_symmetric_and_count_pixels(a, b):
    assert l2_nm2(a, a, 3.0) == pvb_nm2(b, b, 3.0) == 0
    assert l2_nm2(a, b, 3.0) == l2_nm2(b, a, 3.0) == 9.0 * sum(p != q for p, q in zip(a.flat, b.flat, strict=True))


@pytest.mark.parametrize("factor", [2, 4])
def test_areas_do_not_depend_on_the_pixel(factor):
    a, b = bar(64, 128, 64, 96), bar(64, 144, 72, 96)
    coarse = [image[::factor, ::factor] for image in (a, b)]
    assert l2_nm2(a, b, 1.0) == l2_nm2(*coarse, float(factor)) == 64 * 8 + 16 * 24


def test_areas_refuse_images_of_two_grids():
    with pytest.raises(GridMismatchError, match=r"\(4, 4\).*\(2, 2\)"):
        l2_nm2(np.ones((4, 4), bool), np.ones((2, 2), bool), 1.0)


@pytest.mark.parametrize(
    ("length", "places"),
    [
        # Derived by hand from the rule of the contest on pixels 0 to length - 1, middle (length - 1) // 2.
        (60, [29]),
        (80, [39]),
        (81, [40]),  # 80 between the centres of its ends: still one site
        (82, [40, 41]),
        (120, [40, 79]),
        (161, [40, 80, 120]),  # both counts meet in the middle: one site
        (200, [40, 80, 119, 159]),
        (320, [40, 80, 120, 159, 199, 239, 279]),
    ],
)
def test_sites_along_an_edge(length, places):
    target = bar(100, 130, 20, 20 + length)
    sites = target_sites(target, 1.0)
    for outward, y in ((-1, 100), (1, 130)):
        row = sites.isel(site=(sites.normal_y.values == outward))
        assert np.all(row.y_nm == y)
        np.testing.assert_array_equal(row.x_nm - 20.5, places)
    upright = sites.isel(site=(sites.normal_y.values == 0))
    np.testing.assert_array_equal(upright.y_nm, [114.5, 114.5])
    np.testing.assert_array_equal(upright.normal_x * (upright.x_nm - (20 + length / 2)), [length / 2] * 2)


def test_sites_follow_transposition_and_stay_where_they_are_on_coarser_pixels():
    target = bar(96, 352, 64, 192) | bar(288, 352, 64, 448)
    sites = target_sites(target, 1.0)
    turned = target_sites(target.T, 1.0)
    table = {(y, x, ny, nx) for y, x, ny, nx in np.stack([sites[v] for v in sites.data_vars], axis=1)}
    assert table == {(y, x, ny, nx) for x, y, nx, ny in np.stack([turned[v] for v in turned.data_vars], axis=1)}
    assert target_sites(target[::8, ::8], 8.0).identical(sites)


def test_an_empty_target_has_no_sites_and_a_border_is_an_edge():
    assert target_sites(np.zeros((64, 64)), 1.0).sizes["site"] == 0
    assert target_sites(np.ones((64, 64)), 1.0).sizes["site"] == 4


@pytest.mark.parametrize("angle", [20, 45])
def test_slanted_and_round_targets_have_no_sites(angle):
    y, x = np.mgrid[:N, :N] - N / 2
    turn = np.deg2rad(angle)
    slanted = (abs(x * np.cos(turn) + y * np.sin(turn)) < 60) & (abs(y * np.cos(turn) - x * np.sin(turn)) < 150)
    for target in (slanted, np.hypot(y, x) < 100):
        assert target_sites(target, 1.0).sizes["site"] == 0


CURVED = {
    "disc": lambda x, y: np.hypot(x - 1000, y - 1000) < 700,
    "ring": lambda x, y: abs(np.hypot(x - 1000, y - 1000) - 600) < 60,
    "stadium": lambda x, y: np.hypot(np.maximum(abs(x - 1000) - 300, 0), y - 1000) < 152,
    "rounded": lambda x, y: np.hypot(np.maximum(abs(x - 1000) - 380, 0), np.maximum(abs(y - 1000) - 230, 0)) < 70,
    "chamfered": lambda x, y: (abs(x - 1000) < 400) & (abs(y - 1000) < 200) & (abs(x - 1000) + abs(y - 1000) < 520),
    "ring and bus": lambda x, y: (
        ((abs(y - 300) < 40) & (x > 100) & (x < 1900)) | (abs(np.hypot(x - 1000, y - 760) - 360) < 40)
    ),
    "rectangle and disc": lambda x, y: (
        ((abs(x - 400) < 120) & (abs(y - 400) < 60)) | (np.hypot(x - 1200, y - 1200) < 333)
    ),
}


@pytest.mark.parametrize("shape", CURVED)
def test_sites_of_a_partly_curved_target_are_as_many_at_any_pixel(shape):
    found = []
    for pixel_nm in (1.0, 2.0, 4.0):
        y, x = (np.mgrid[: 2048 // int(pixel_nm), : 2048 // int(pixel_nm)] + 0.5) * pixel_nm
        target = CURVED[shape](x, y)
        assert not is_manhattan(target)
        found.append(target_sites(target, pixel_nm))
    assert len({sites.sizes["site"] for sites in found}) == 1
    assert (found[0].sizes["site"] == 0) == (shape in ("disc", "ring"))
    for sites in found[1:]:  # and nearly in the same places
        for axis in ("x_nm", "y_nm") if sites.sizes["site"] else ():
            assert abs(np.sort(sites[axis]) - np.sort(found[0][axis])).max() < 16


@pytest.mark.parametrize("pixel_nm", [1, 2, 4])
def test_drawn_steps_of_a_pixel_or_two_are_no_curve(pixel_nm):
    target = bar(96, 352, 64, 192) | bar(104, 344, 192, 200) | bar(288, 352, 200, 448) | bar(284, 288, 208, 300)
    assert is_manhattan(target[::pixel_nm, ::pixel_nm])


def test_straight_edges_beside_curves_have_the_sites_of_the_contest():
    y, x = np.mgrid[:1024, :1024] + 0.5
    alone = bar(96, 352, 64, 192, 1024) | bar(288, 352, 64, 448, 1024)
    with_disc = alone | (np.hypot(x - 700, y - 700) < 222)
    assert is_manhattan(alone) and not is_manhattan(with_disc)
    assert target_sites(with_disc, 1.0).identical(target_sites(alone, 1.0))


def test_a_perfect_print_has_no_edge_error():
    sites = sites_of(0.0)
    assert not sites.violates15.any() and not sites.violates3.any() and not sites.lost.any()
    assert abs(sites.edge_error_nm).max() < 1e-6


@pytest.mark.parametrize("pixel_nm", [1.0, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("error_nm", [-17.0, -8.25, -1.0, 0.5, 4.0, 11.75])
def test_an_edge_moved_by_some_nm_gives_these_nm_on_every_pixel_size(error_nm, pixel_nm):
    sites = sites_of(error_nm, pixel_nm)
    np.testing.assert_allclose(sites.edge_error_nm, error_nm, atol=1e-6)


@pytest.mark.parametrize(
    ("error_nm", "violates15", "violates3"),
    [(0, 0, 0), (2, 0, 0), (3, 0, 1), (14, 0, 1), (15, 1, 1), (-3, 0, 0), (-4, 0, 1), (-15, 0, 1), (-16, 1, 1)],
)
def test_probes_stand_at_the_limit_from_the_edge_pixel(error_nm, violates15, violates3):
    # limit - 1/2 nm outside of the edge and limit + 1/2 nm inside: the edge pixel's centre is 1/2 nm inside.
    sites = sites_of(error_nm)
    assert set(sites.violates15.values) == {violates15} and set(sites.violates3.values) == {violates3}


def test_a_lost_edge_is_said_to_be_lost():
    sites = epe_sites(np.zeros((N, N)), bar(128, 328, 120, 360), pixel_nm=1.0, threshold=0.5)
    assert sites.lost.all() and np.isnan(sites.edge_error_nm).all()
    assert set(sites.violates15.values) == {1}  # the inner probe; nothing prints outside
    flooded = epe_sites(np.ones((N, N)), bar(128, 328, 120, 360), pixel_nm=1.0, threshold=0.5)
    assert flooded.lost.all() and set(flooded.violates3.values) == {1}


def test_a_ring_around_the_edge_is_not_taken_for_the_edge():
    """The search starts at the target's edge and takes the first change, not the one farthest out."""
    aerial = ramp_bar(128, 328, 120, 360)
    aerial[:, 385:395] = 1.0  # a side lobe 25 nm outside
    sites = epe_sites(aerial, bar(128, 328, 120, 360), pixel_nm=1.0, threshold=0.5)
    assert abs(sites.edge_error_nm).max() < 1e-6


def test_every_variable_says_its_unit():
    for name, variable in sites_of(1.0).data_vars.items():
        assert variable.attrs["units"] == ("nm" if name.endswith("_nm") else "1") and variable.attrs["long_name"]


def test_aerial_and_target_must_share_a_grid():
    with pytest.raises(GridMismatchError, match=r"\(256, 256\)"):
        epe_sites(np.zeros((256, 256)), bar(1, 9, 1, 9), pixel_nm=1.0, threshold=0.5)


def test_between_the_sites_of_an_edge():
    target = np.zeros((512, 512), bool)
    target[100:160, 100:300] = True
    sites, between = metrics.target_sites(target, 1.0), epe.between_sites(target, 1.0)
    up = (between.normal_y == -1).values
    assert between.x_nm.values[up].tolist() == [160.5, 200.0, 239.5]
    # The short edges have one site, in their middle, and a point halfway to each end.
    side = (between.normal_x == 1).values
    middle = sites.y_nm.values[(sites.normal_x == 1).values]
    assert between.y_nm.values[side].tolist() == [(100 + middle[0]) / 2, (middle[0] + 160) / 2]


def test_scores_between_the_sites_come_where_they_are_asked_for():
    perfect = SimpleNamespace(
        kernels=SimpleNamespace(name="perfect", period_nm=512.0), threshold=0.5, aerial=lambda m: np.stack([m] * 3)
    )
    bar = np.zeros((512, 512))
    bar[100:160, 100:300] = 1
    wide = np.zeros((512, 512))
    wide[95:165, 100:300] = 1
    names = list(schema.BETWEEN_SITES)
    assert not set(names) & set(metrics.evaluate(bar, bar, perfect).data_vars)
    scores = metrics.evaluate(wide, bar, perfect, only=names)
    # Six of ten points lie on the long edges, which are 5 nm too far out.
    assert float(scores[names[2]]) == pytest.approx(0.6) and float(scores[names[3]]) == 0
    assert float(scores[names[0]]) == pytest.approx(3.0, abs=0.5) and float(scores[names[1]]) == pytest.approx(
        5.0, abs=0.6
    )
