"""Contour error: closed forms of discs, squares and rings, the same at any pixel size."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from maskopt_lib import metrics
from maskopt_lib.errors import GridMismatchError
from maskopt_lib.metrics import contour, contour_error

PIXELS_NM = (1.0, 2.0, 4.0)


def field(pixel_nm):
    n = int(2048 / pixel_nm)
    y, x = (np.mgrid[:n, :n] + 0.5) * pixel_nm
    return x, y, np.hypot(x - 1000, y - 1000)


def circle(radius_nm, n=20_000):
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return 1000 + radius_nm * np.stack([np.cos(turn), np.sin(turn)], axis=1)


@pytest.mark.parametrize("pixel_nm", PIXELS_NM)
@pytest.mark.parametrize("grown_nm", [-7.0, 0.0, 3.0])
def test_a_disc_that_prints_larger_or_smaller(pixel_nm, grown_nm):
    _, _, distance = field(pixel_nm)
    aerial, target = 0.5 + (300 + grown_nm - distance) / 100, distance < 300
    exact = contour_error(aerial, target, pixel_nm=pixel_nm, polygons=[circle(300.0)])
    np.testing.assert_allclose(exact["contour_error_nm"], grown_nm, atol=0.02)
    assert exact.length_nm == pytest.approx(2 * np.pi * 300, rel=1e-6)
    places = contour_error(aerial, target, pixel_nm=pixel_nm)  # from the raster, its steps smoothed
    assert abs(places["contour_error_nm"] - grown_nm).mean() < 0.13 * pixel_nm
    assert places.length_nm == pytest.approx(exact.length_nm, rel=0.01)


@pytest.mark.parametrize("pixel_nm", PIXELS_NM)
def test_a_shifted_disc_is_off_by_the_cosine(pixel_nm):
    x, y, distance = field(pixel_nm)
    aerial = 0.5 + (300 - np.hypot(x - 1004, y - 1003)) / 100  # 5 nm
    values = contour.summarize(contour_error(aerial, distance < 300, pixel_nm=pixel_nm, polygons=[circle(300.0)]))
    assert values["contour_mean_abs_nm"] == pytest.approx(2 / np.pi * 5, abs=0.02)
    assert values["contour_p95_abs_nm"] == pytest.approx(5 * np.sin(0.95 * np.pi / 2), abs=0.02)
    assert values["contour_max_abs_nm"] == pytest.approx(5, abs=0.02)


@pytest.mark.parametrize("pixel_nm", PIXELS_NM)
def test_a_shifted_square_is_off_on_two_of_its_sides(pixel_nm):
    x, y, _ = field(pixel_nm)
    aerial = 0.5 + np.minimum(200 - abs(x - 1004), 200 - abs(y - 1000)) / 100
    square = 1000 + 200.0 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    target = (abs(x - 1000) < 200) & (abs(y - 1000) < 200)
    places = contour_error(aerial, target, pixel_nm=pixel_nm, polygons=[square])
    on_x = abs(places["y_nm"] - 1000) < 180
    upright = places.isel(place=np.flatnonzero(on_x & (abs(abs(places["x_nm"] - 1000) - 200) < 1e-6)))
    np.testing.assert_allclose(upright["contour_error_nm"] * np.sign(upright["x_nm"] - 1000), 4, atol=1e-6)
    level = places.isel(place=np.flatnonzero(abs(places["x_nm"] - 1000) < 180))
    np.testing.assert_allclose(level["contour_error_nm"], 0, atol=1e-6)
    assert contour.summarize(places)["contour_max_abs_nm"] == pytest.approx(4, abs=0.2)  # a pixel cuts a corner


@pytest.mark.parametrize("pixel_nm", PIXELS_NM)
def test_both_sides_of_a_ring_count(pixel_nm):
    _, _, distance = field(pixel_nm)
    aerial, target = 0.5 + (44 - abs(distance - 400)) / 100, abs(distance - 400) < 40
    places = contour_error(aerial, target, pixel_nm=pixel_nm)
    assert places.length_nm == pytest.approx(2 * np.pi * 800, rel=0.01)
    assert float(places["contour_error_nm"].mean()) == pytest.approx(4, abs=0.05)


def test_a_lost_print_counts_with_the_limit_of_the_search():
    _, _, distance = field(4.0)
    places = contour_error(0 * distance, distance < 300, pixel_nm=4.0)
    assert places["lost"].all() and set(contour.summarize(places).values()) == {40.0}
    empty = contour_error(distance / 1000, np.zeros_like(distance), pixel_nm=4.0)
    assert empty.sizes["place"] == 0 and np.isnan(list(contour.summarize(empty).values())).all()
    with pytest.raises(GridMismatchError, match="must share one grid"):
        contour_error(distance[:10], distance < 300, pixel_nm=4.0)


def test_scores_have_the_contour_error_where_a_target_is_curved():
    _, _, distance = field(4.0)
    bar = np.zeros((512, 512))
    bar[100:300, 100:140] = 1
    sim = SimpleNamespace(
        kernels=SimpleNamespace(name="perfect", period_nm=2048.0), threshold=0.5, aerial=lambda m: np.stack([m] * 3)
    )
    disc = (distance < 300).astype(float)
    scores = metrics.evaluate(np.stack([bar, disc]), np.stack([bar, disc]), sim)
    assert scores.epe_sites.values.tolist() == [len(metrics.target_sites(bar, 4.0).site), 0]
    assert np.isnan(scores.contour_mean_abs_nm[0]) and scores.contour_mean_abs_nm[1] < 1.5
    assert "contour_mean_abs_nm" not in metrics.evaluate(bar, bar, sim)
