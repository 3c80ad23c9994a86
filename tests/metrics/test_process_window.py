"""Process windows against closed forms: interference of few beams, parabolic windows, Gaussian and wide features."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import layout, litho, metrics, optics
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.metrics import dimensions as dm
from maskopt_lib.metrics import process_window as pw

PITCH_NM, PIXEL_NM, N = 256.0, 4.0, 256  # four periods of lines and spaces of 128 nm


def lines() -> np.ndarray:
    """(y, x) lines along y, centred on multiples of the pitch, with a border above and below."""
    x = (np.arange(N) + 0.5) * PIXEL_NM
    bright = np.abs((x + PITCH_NM / 2) % PITCH_NM - PITCH_NM / 2) < PITCH_NM / 4
    target = np.tile(bright, (N, 1))
    target[:8] = target[-8:] = False
    return target


def beams(z_nm=(0.0,), *, a0=0.5, a1=0.25, phase_per_nm=0.01) -> np.ndarray:
    """(focus, y, x) three-beam image of the lines: orders -1, 0 and 1, whose phase runs off through focus."""
    u = 2 * np.pi * (np.arange(N) + 0.5) * PIXEL_NM / PITCH_NM
    rows = [three_beams(u, z, a0, a1, phase_per_nm) for z in z_nm]
    return np.stack([np.tile(row, (N, 1)) for row in rows])


def three_beams(u, z, a0=0.5, a1=0.25, phase_per_nm=0.01):
    return a0**2 + 4 * a0 * a1 * np.cos(phase_per_nm * z) * np.cos(u) + 4 * a1**2 * np.cos(u) ** 2


def two_beams() -> np.ndarray:
    u = 2 * np.pi * (np.arange(N) + 0.5) * PIXEL_NM / PITCH_NM
    return np.tile((1 + np.cos(u)) / 2, (N, 1))[None]


@pytest.fixture(scope="module")
def cuts() -> xr.Dataset:
    found = dm.cutlines(lines(), PIXEL_NM)
    # Lines cut by the field's border are no features of the closed forms.
    return found.isel(cut=(found.x0_nm > 100).values & (found.x1_nm < 950).values)


@pytest.fixture(scope="module")
def sim() -> litho.Simulator:
    return litho.Simulator(optics.load("embedded-ideal"))


# Where things are measured


def test_cutlines_join_facing_edges_once():
    target = np.zeros((256, 256), bool)
    target[50:200, 50:70] = target[50:200, 100:130] = True  # lines of 80 and 120 nm, 120 nm apart
    through = dm.cutlines(target, 4.0)
    between = dm.cutlines(target, 4.0, kind="space")
    assert set(through.cd_nm.values[through.along_x == 1]) == {80.0, 120.0}
    assert (between.cd_nm == 120).all() and (between.x0_nm == 280).all() and (between.x1_nm == 400).all()
    assert len(np.unique(between.y0_nm)) == between.sizes["cut"]
    assert dm.cutlines(target, 4.0, longest_nm=100).cd_nm.max() == 80
    assert dm.cutlines(np.zeros((64, 64)), 4.0).sizes["cut"] == 0
    with pytest.raises(UnknownNameError, match="line, space"):
        dm.cutlines(target, 4.0, kind="hole")


def test_edges_are_those_of_epe_sites(sim):
    target = layout.demo_clips()["demo-metal-tips"].rasterize(pixel_nm=1)
    sites = metrics.epe_sites(sim.aerial(target)[0], target, pixel_nm=1, threshold=sim.threshold)
    coarse = sim.intensity(target, n_out=256)[:1]  # sampled eight times as coarsely: the image is band-limited
    profiles = dm.edge_profiles(coarse, sites, pixel_nm=8)
    found = dm.edge_errors_nm(profiles, [1.0], threshold=sim.threshold)[0, 0]
    assert (np.isnan(found) == (sites.lost == 1).values).all()
    assert np.nanmax(np.abs(found - sites.edge_error_nm)) < 1e-3


def test_width_of_two_beams_follows_the_arc_cosine(cuts):
    exposures = [0.8, 1.0, 1.25]
    cd = dm.critical_dimensions(two_beams(), cuts, exposures, pixel_nm=PIXEL_NM, threshold=0.5)
    for exposure, widths in zip(exposures, cd.values[0], strict=True):
        assert widths == pytest.approx(PITCH_NM / np.pi * np.arccos(1 / exposure - 1), abs=2e-3)


def test_lines_and_spaces_share_the_pitch(cuts):
    spaces = dm.cutlines(lines(), PIXEL_NM, kind="space")
    spaces = spaces.isel(cut=(spaces.x0_nm > 100).values & (spaces.x1_nm < 950).values)
    both = [
        dm.critical_dimensions(beams((0.0, 60.0)), c, [0.9, 1.1], pixel_nm=PIXEL_NM, threshold=0.25).values[..., 0]
        for c in (cuts, spaces)
    ]
    assert np.abs(both[0] + both[1] - PITCH_NM).max() < 2e-3


# Limits of exposure


def test_limits_of_three_beams_through_focus(cuts):
    planes, limit, threshold = np.array([-80.0, 0.0, 40.0]), 10.0, 0.3
    ends = dm.cut_ends(cuts)
    found = pw.exposure_limits(beams(planes), ends, limit_nm=limit, pixel_nm=PIXEL_NM, threshold=threshold)
    u_in, u_out = (2 * np.pi * (PITCH_NM / 4 + d) / PITCH_NM for d in (-limit, limit))
    for i, z in enumerate(planes):
        assert found.lowest[i].values == pytest.approx(threshold / three_beams(u_in, z), rel=1e-4)
        assert found.highest[i].values == pytest.approx(threshold / three_beams(u_out, z), rel=1e-4)


def test_limits_of_widths_are_those_of_symmetric_edges(cuts):
    # Ten percent of 128 nm are 6.4 nm at each of two equal edges.
    image = beams((0.0, 50.0))
    by_width = pw.exposure_limits_of_cds(image, cuts, tolerance=0.1, pixel_nm=PIXEL_NM, threshold=0.3)
    by_edge = pw.exposure_limits(image, dm.cut_ends(cuts), limit_nm=6.4, pixel_nm=PIXEL_NM, threshold=0.3)
    for name in ("lowest", "highest"):
        assert by_width[name].values[:, 0] == pytest.approx(by_edge[name].values[:, 0], rel=1e-3)


def test_limits_agree_with_counting_on_a_grid(sim):
    target = layout.demo_clips()["demo-metal-tips"].rasterize(pixel_nm=4, antialiased=False)
    image, sites = sim.intensity(target, n_out=256), metrics.target_sites(target, 4.0)
    limits = pw.exposure_limits(image, sites, limit_nm=15, pixel_nm=8, threshold=sim.threshold)
    exposures = np.linspace(0.9, 1.3, 9)
    errors = dm.edge_errors_nm(dm.edge_profiles(image, sites, pixel_nm=8), exposures, threshold=sim.threshold)
    holds = np.abs(errors) <= 15  # (focus, exposure, site), nan is out
    within = (limits.lowest.values[:, None] <= exposures[:, None]) & (
        exposures[:, None] <= limits.highest.values[:, None]
    )
    # The probes see two points, the search all between: they may differ where another edge is near.
    assert (holds != within).mean() < 0.01


def test_what_never_prints_has_no_window(cuts):
    dark = np.zeros((1, N, N))
    found = pw.exposure_limits_of_cds(dark, cuts, pixel_nm=PIXEL_NM, threshold=0.3)
    assert np.isinf(found.lowest).all() and (found.highest == 0).all()
    window = pw.common_window(found, defocus_nm=[0.0])
    assert window.lowest.isnull().all()
    assert pw.latitude_curve(window).latitude_percent.values.max() == 0


# Windows


def parabola(height=0.1, fall_per_nm2=1e-5, *, centre=(0.0, 1.0), reach=120.0) -> xr.Dataset:
    """A window between 1 - e + c f^2 and 1 + e - c f^2."""
    f = np.arange(-reach, reach + 0.5)
    side = height - fall_per_nm2 * (f - centre[0]) ** 2
    return xr.Dataset(
        {"lowest": ("defocus_nm", centre[1] - side), "highest": ("defocus_nm", centre[1] + side)},
        coords={"defocus_nm": f},
    )


def test_rectangle_in_a_parabola():
    # Half width a: the corner touches at e - c a^2; so the depth at latitude 2 b is 2 sqrt((e - b) / c).
    curve = pw.latitude_curve(parabola(), shape="rectangle")
    depth = curve["depth_of_focus_nm"].values
    assert curve.latitude_percent.values == pytest.approx(np.clip(200 * (0.1 - 1e-5 * depth**2 / 4), 0, None), abs=0.3)
    best = pw.depth_of_focus(curve, latitude_percent=5)
    assert float(best["depth_of_focus_nm"]) == pytest.approx(2 * np.sqrt(0.075 / 1e-5), abs=1.5)
    assert float(best.largest_latitude_percent) == pytest.approx(20, abs=0.01)


def test_ellipse_in_a_parabola():
    # b sqrt(1 - f^2 / a^2) <= e - c f^2 for all f: b = e while c a^2 <= e / 2, else 2 sqrt(c a^2 (e - c a^2)).
    curve = pw.latitude_curve(parabola(centre=(10.0, 1.2)), shape="ellipse")
    a = curve["depth_of_focus_nm"].values / 2
    part = np.minimum(1e-5 * a**2, 0.1)
    wanted = np.where(part <= 0.05, 0.1, 2 * np.sqrt(part * (0.1 - part)))
    inside = (part < 0.08) & (a > 5)
    assert curve.latitude_percent.values[inside] == pytest.approx(200 * wanted[inside] / 1.2, rel=0.02)
    best = pw.depth_of_focus(curve, latitude_percent=10)
    assert (float(best.defocus_nm), float(best.exposure)) == pytest.approx((10, 1.2), abs=0.5)


def test_an_ellipse_is_never_worse_than_the_rectangle_of_its_size():
    rng = np.random.default_rng(3)
    for _ in range(5):
        f = np.linspace(-60, 60, 61)
        window = xr.Dataset(
            {
                "lowest": ("defocus_nm", 0.9 + 1e-5 * (f - rng.uniform(-20, 20)) ** 2 + rng.uniform(0, 4e-4) * f),
                "highest": ("defocus_nm", 1.1 - 2e-5 * (f - rng.uniform(-20, 20)) ** 2 + rng.uniform(0, 4e-4) * f),
            },
            coords={"defocus_nm": f},
        )
        rectangle, ellipse = (pw.latitude_curve(window, shape=s).latitude_percent.values for s in pw.SHAPES)
        assert (ellipse >= rectangle - 1e-6).all()
        assert (np.diff(rectangle) <= 1e-6).all() and (np.diff(ellipse) <= 0).all()


def test_window_shrinks_with_features_and_grows_with_those_that_may_fail(cuts):
    rng = np.random.default_rng(0)
    low = 0.9 + rng.uniform(0, 0.08, (3, 40))
    limits = xr.Dataset({"lowest": (("focus", "site"), low), "highest": (("focus", "site"), low + 0.15)})
    planes = [-50.0, 0.0, 50.0]
    widths = []
    for share in (0.5, 0.8, 0.95, 1.0):
        window = pw.common_window(limits, defocus_nm=planes, share=share)
        widths.append((window.highest - window.lowest).fillna(0).values)
    assert all((wide >= narrow - 1e-12).all() for wide, narrow in pairwise(widths))
    few = pw.common_window(limits.isel(site=slice(0, 10)), defocus_nm=planes)
    all_of_them = pw.common_window(limits, defocus_nm=planes)
    assert (few.lowest <= all_of_them.lowest).all() and (few.highest >= all_of_them.highest).all()
    # At a given plane the window is the overlap of all ranges.
    assert float(all_of_them.lowest[0]) == low[0].max() and float(all_of_them.highest[0]) == low[0].min() + 0.15


def test_share_counts_features_at_every_exposure():
    limits = xr.Dataset(
        {"lowest": (("focus", "site"), [[0.8, 0.9, 1.3]]), "highest": (("focus", "site"), [[1.1, 1.2, 1.4]])}
    )
    limits = xr.concat([limits, limits], "focus")
    window = pw.common_window(limits, defocus_nm=[0.0, 10.0], share=2 / 3)
    assert (float(window.lowest[0]), float(window.highest[0])) == (0.9, 1.1)
    assert pw.common_window(limits, defocus_nm=[0.0, 10.0]).lowest.isnull().all()
    assert pw.common_window(limits.isel(site=[]), defocus_nm=[0.0, 10.0]).lowest.isnull().all()


def test_unknown_shape_is_named():
    with pytest.raises(UnknownNameError, match="rectangle, ellipse"):
        pw.latitude_curve(parabola(), shape="circle")


# Slope and mask error


def test_nils_of_two_beams_is_pi(cuts):
    # d ln(1 + cos u) / dx = -(2 pi / p) tan(u / 2), at u = pi / 2 times a width of p / 2.
    assert dm.nils(two_beams(), cuts, pixel_nm=PIXEL_NM).values == pytest.approx(np.pi, rel=1e-3)


def test_latitude_is_ten_percent_of_nils(cuts):
    image = two_beams()
    limits = pw.exposure_limits_of_cds(image, cuts, tolerance=0.1, pixel_nm=PIXEL_NM, threshold=0.5)
    latitude = 2 * (limits.highest - limits.lowest) / (limits.highest + limits.lowest)
    assert latitude.values == pytest.approx(0.1 * np.pi, rel=0.02)


def test_print_of_a_wide_shape_follows_its_mask(sim):
    target = np.zeros((512, 512), np.float32)
    target[100:400, 140:372] = 1  # 928 nm wide on pixels of 4 nm
    cuts = dm.cutlines(target, 4.0, longest_nm=1000)
    wide = cuts.isel(cut=((cuts.along_x == 1) & (abs(cuts.y0_nm - 1000) < 100)).values)
    less, more = (sim.intensity(dm.biased(target, b, 4.0))[:1] for b in (-1.0, 1.0))
    factor = dm.meef(less, more, wide, bias_nm=1.0, pixel_nm=4.0, threshold=sim.threshold)
    assert factor.values == pytest.approx(1, abs=0.03)


def test_meef_of_a_narrow_line_is_that_of_redrawn_masks(sim):
    def bar(half_nm):
        mask = np.zeros((2048, 2048), np.float32)
        mask[512:1536, 1024 - half_nm : 1024 + half_nm] = 1
        return mask

    target = bar(45)
    cuts = dm.cutlines(target, 1.0)
    cuts = cuts.isel(cut=(abs(cuts.y0_nm - 1024) < 50).values)
    images = {b: sim.intensity(bar(45 + b), n_out=256)[:1] for b in (-1, 1)}
    wanted = dm.meef(images[-1], images[1], cuts, bias_nm=1, pixel_nm=8, threshold=0.2)
    images = {b: sim.intensity(dm.biased(target, 0.5 * b, 1.0), n_out=256)[:1] for b in (-1, 1)}
    found = dm.meef(images[-1], images[1], cuts, bias_nm=0.5, pixel_nm=8, threshold=0.2)
    assert found.values == pytest.approx(wanted.values, rel=0.01)
    assert (wanted > 1).all()


@pytest.mark.parametrize("bias", [0.25, 1.0, 2.0])
def test_bias_moves_area_by_the_outline(bias):
    yy, xx = np.mgrid[:200, :200] + 0.5
    disc = np.hypot(yy - 100.3, xx - 99.8) < 60
    change = dm.biased(disc, bias, 1.0).sum() - dm.biased(disc, -bias, 1.0).sum()
    assert change == pytest.approx(4 * np.pi * 60 * bias, rel=0.03)
    square = np.zeros((80, 80))
    square[20:60, 20:60] = 1
    for sign in (-1, 1):
        assert dm.biased(square, sign * bias, 1.0)[40].sum() == pytest.approx(40 + 2 * sign * bias, abs=0.02)


# Bands


def test_band_of_the_contests_two_corners_is_the_pv_band(sim):
    target = layout.demo_clips()["demo-metal-tips"].rasterize(pixel_nm=4)
    prints = sim.printed(target)
    assert metrics.pvb_nm2(*pw.pv_band(prints[1:]), 4.0) == metrics.pvb_nm2(prints[1], prints[2], 4.0)


def test_band_grows_with_conditions(sim):
    target = layout.demo_clips()["demo-metal-tips"].rasterize(pixel_nm=4)
    image = sim.focus_dose(target, doses=[0.96, 1.0, 1.04])
    prints = sim.resist_model.hard(image).flatten(0, 1)
    areas = [metrics.pvb_nm2(*pw.pv_band(prints[:n]), 4.0) for n in range(1, 7)]
    assert areas[0] == 0 and all(a <= b for a, b in pairwise(areas))
    # Over a full matrix the extreme doses are enough, since prints grow with dose.
    intensity = sim.intensity(target)
    union = intensity.amax(0) >= sim.threshold / 1.04**2
    common = intensity.amin(0) >= sim.threshold / 0.96**2
    assert areas[-1] == metrics.pvb_nm2(union, common, 4.0)
    with pytest.raises(GridMismatchError, match="one condition"):
        pw.pv_band([])
