"""Anatomy of an optimisation and of the optics: closed forms, invariants, and the same numbers by other ways."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from scipy import ndimage

from maskopt_lib import layout, litho, metrics, opc, optics, study
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError
from maskopt_lib.grid import Grid
from maskopt_lib.study.solvers import anatomy


@pytest.fixture(scope="module")
def kernels():
    return optics.load("embedded-ideal")


def clip(pixel_nm: float, name: str = "demo-metal-tips") -> xr.DataArray:
    return study.targets("demo-metal", [name], pixel_nm=pixel_nm)[0]


def test_a_watched_simulator_sees_every_step_and_changes_nothing(kernels):
    target = clip(4).values
    how = {"method": "curvy", "n_steps": 3, "retarget_nm": None, "cleanup": None}
    watched = anatomy.WatchedSimulator(kernels, keep=range(9))
    seen = opc.solve(target, watched, **how)
    alone = opc.solve(target, litho.Simulator(kernels), **how)
    assert list(watched.seen) == [0, 1, 2, 3]
    np.testing.assert_array_equal(seen.mask, alone.mask)
    np.testing.assert_array_equal(seen.history["value"], alone.history["value"])
    assert not watched.seen[0].requires_grad


def test_elements_are_what_a_dilated_point_becomes():
    elements = anatomy.structuring_elements()
    for size in elements["size_px"].values:
        point = torch.zeros(39, 39, dtype=torch.uint8)
        point[19, 19] = 1
        grown = opc.morphology.dilate_binary(point, int(size)).numpy()
        np.testing.assert_array_equal(elements["element"].sel(size_px=size).values, grown)
    # The cross and the 17 pixels of OpenCV's ellipses.
    assert elements["pixels"].sel(size_px=[3, 5]).values.tolist() == [5, 17]


def test_operators_keep_their_order_and_do_what_their_names_say():
    images = anatomy.operators_on_shape(39)["image"].astype(int)
    shape, erosion, dilation, opening, closing, both = (images.sel(operator=o) for o in images["operator"])
    for inner, outer in ((erosion, opening), (opening, shape), (shape, closing), (closing, dilation)):
        assert bool((inner <= outer).all()) and bool((inner < outer).any())
    xr.testing.assert_equal(both.drop_vars("operator"), (opening + closing - shape).drop_vars("operator"))
    sliver, slot = {"y": 220, "x": 170}, {"y": 163, "x": 310}
    assert [int(i.sel(sliver, method="nearest")) for i in (shape, opening, closing)] == [1, 0, 1]
    assert [int(i.sel(slot, method="nearest")) for i in (shape, opening, closing)] == [0, 0, 1]


def test_lines_are_covered_to_the_last_fraction_and_across_the_border(kernels):
    sim = litho.Simulator(kernels)
    mask = anatomy._lines(sim, [0.0, 700.3], 100.7, 4.0)
    assert mask.sum() * 4 == pytest.approx(201.4)
    assert mask[0] == mask[-1] == 1 and mask[100:150].sum() == 0
    assert mask[round((700.3 - 50.35) // 4)] == pytest.approx(1 - (649.95 / 4) % 1)


def test_printed_edges_of_a_wave():
    x = np.arange(-100, 100, 2.0) + 1
    left, right = anatomy._printed_edges(x, 0.5 + 0.5 * np.cos(2 * np.pi * x / 160), 0.5)
    assert (left, right) == pytest.approx((-40, 40), abs=0.01)
    assert np.isnan(anatomy._printed_edges(x, np.full_like(x, 0.2), 0.5)).all()  # nothing prints
    assert np.isnan(anatomy._printed_edges(x, np.full_like(x, 0.8), 0.5)).all()  # all prints


def test_widths_through_pitch_are_those_of_the_print(kernels):
    grating = anatomy.through_pitch(kernels, width_nm=96, smallest_pitch_nm=250)
    assert grating["pitch_nm"].values[[0, -1]].tolist() == [256, 2048]
    sim = litho.Simulator(kernels)
    for pitch in (256, 512, 2048):  # on whole nm: lines as pixels of 1 nm
        x = np.arange(2048)
        line = (np.abs((x + 0.5 - 1024 + pitch / 2) % pitch - pitch / 2) < 48).astype(np.float32)
        printed = sim.printed(np.tile(line, (2048, 1))).numpy()[:, 0]
        width = (printed & (np.abs(x + 0.5 - 1024) < pitch / 2)).sum(-1)
        np.testing.assert_allclose(grating["cd_nm"].sel(pitch_nm=pitch), width, atol=1.2)
    # More dose, more width.
    assert bool((grating["cd_nm"].sel(corner="outer") > grating["cd_nm"].sel(corner="nominal")).all())


def test_a_neighbour_far_away_is_not_felt(kernels):
    shift = anatomy.neighbour_influence(kernels, gaps_nm=[20, 120, 300, 900], tolerance_nm=1.0)
    near = np.abs(shift["shift_nm"].sel(edge="facing the neighbour").values)
    assert np.isnan(near[0])  # one print
    assert near[1] > 5 and near[3] < 0.5
    assert float(shift["reach_nm"]) == 300


def test_the_spectrum_of_a_square_is_a_product_of_sines(kernels):
    square = anatomy.spectrum_of_square(kernels, side_nm=400, pixel_nm=4)
    f = square["fx_per_um"].values / 1e3
    with np.errstate(invalid="ignore"):
        sine = np.abs(np.sin(np.pi * f * 400) / np.sin(np.pi * f * 4) / 100)
    sine[f == 0] = 1
    np.testing.assert_allclose(square["spectrum"], np.outer(sine, sine), atol=1e-9)


def test_the_band_is_that_of_the_aperture_and_sets_the_corner(kernels):
    square = anatomy.spectrum_of_square(kernels, pixel_nm=4, bands=(1, 2, 4))
    na, sigma = optics.EMBEDDED["na"], optics.EMBEDDED["sigma_outer"]
    assert float(square["band_per_um"]) == pytest.approx(1e3 * (1 + sigma) * na / 193, rel=0.05)
    pull_back = square["pull_back_nm"].values
    np.testing.assert_allclose(pull_back, pull_back[0] / np.array([1, 2, 4]), rtol=0.1)
    assert float(square["printed_pull_back_nm"]) > pull_back[0]


def test_pull_back_of_a_round_corner():
    at = np.arange(-200, 200, 2.0) + 1
    y, x = np.meshgrid(at, at, indexing="ij")
    radius = 60  # a square of 240 nm with circles for corners
    rounded = np.hypot(np.maximum(np.abs(x) - 60, 0), np.maximum(np.abs(y) - 60, 0))
    image = np.clip(0.5 + (radius - rounded) / 40, 0, 1)
    assert anatomy._pull_back_nm(at, image, 240, 0.5) == pytest.approx((np.sqrt(2) - 1) * radius, abs=0.3)


def test_layers_carry_the_scores_of_the_scorer(kernels):
    target = clip(4)
    layers = anatomy.printed_layers(target.expand_dims(m=["copy"]), target, kernels)
    scores = metrics.evaluate(target.values, target.values, litho.Simulator(kernels), only=[schema.L2, schema.PVB])
    for name in (schema.L2, schema.PVB):
        assert layers[name].item() == scores[name].item() > 0
    part = anatomy.content(layers)
    assert part.sizes["x"] == part.sizes["y"]
    assert 4 * int(part["target"].sum()) == pytest.approx(int(target.sum()), rel=0.1)


def test_edge_sites_are_those_of_the_metric(kernels):
    target = clip(4)
    masks = xr.concat([target, 1 - target], xr.Variable("m", ["copy", "inverse"]))
    sites = anatomy.edge_sites(masks, target, kernels)
    aerial = litho.Simulator(kernels).aerial(target.values)[0]
    expected = metrics.epe_sites(aerial, target.values, pixel_nm=4, threshold=0.225)
    np.testing.assert_allclose(sites["edge_error_nm"].sel(m="copy"), expected["edge_error_nm"], atol=1e-4)
    assert sites["x_nm"].dims == ("site",)


def test_the_shape_in_the_middle_stays():
    image = np.zeros((64, 64), np.uint8)
    image[5:10, 5:60] = image[30:36, 30:36] = image[50:60, 5:60] = 1
    nm = Grid(64, 1.0).centres_nm
    target = xr.DataArray(image, dims=("y", "x"), coords={"y": nm, "x": nm})
    both = anatomy.without_neighbours(target)
    assert both.sum(["y", "x"]).values.tolist() == [image.sum(), 36]
    with pytest.raises(GridMismatchError, match="1 shape"):
        anatomy.without_neighbours(both.sel(context="alone"))


def test_trajectory_shows_the_solvers_masks_and_its_result(kernels):
    target = clip(4, "demo-metal-isolated")
    options = {"n_steps": 2, "retarget_nm": None, "cleanup": None}
    trial = study.Trial(label="curvy", method="curvy", options=options)
    layers = anatomy.trajectory(target, kernels, trial, stages={"start": 0, "end": 2})
    assert layers["stage"].values.tolist() == ["start", "end", "final"]
    assert layers["at_step"].values.tolist() == [0, 2, 2]
    block = target.values.reshape(256, 2, 256, 2).mean((1, 3))
    smooth = ndimage.uniform_filter(block, 5, mode="constant")
    start = (1 / (1 + np.exp(-4 * (smooth - 0.5)))).repeat(2, 0).repeat(2, 1)
    whole = target.copy(data=start).sel(y=layers["y"], x=layers["x"])
    np.testing.assert_allclose(layers["mask"].sel(stage="start"), whole, atol=1e-5)
    mask = opc.solve(target.values, litho.Simulator(kernels), method="curvy", **options).mask
    whole = target.copy(data=mask).sel(y=layers["y"], x=layers["x"])
    np.testing.assert_array_equal(layers["mask"].sel(stage="final"), whole)
    with pytest.raises(GridMismatchError, match="beyond the last step, 2"):
        anatomy.trajectory(target, kernels, trial, stages={"late": 9})


def test_gradient_shares_add_up_and_the_area_is_that_of_the_corners(kernels):
    target = clip(4).expand_dims("sample")
    shares = anatomy.corner_gradient_share(target, kernels, steps=[0, 12], element_nm=36.0, fine_nm=4.0)
    drawn = torch.as_tensor(target.values)
    region = (drawn != opc.morphology.round_corners_binary(drawn, 9, 9)).numpy()
    assert shares["area_share"].item() == region.mean()
    assert shares["target_share"].item() == region.sum() / target.values.sum()
    share = shares["share"]
    assert float(share.min()) >= 0
    assert float(share.sel(reading=["on the print", "on the mask", "caused, of the sum"]).max()) <= 1
    # What cancels makes the net smaller than the sum.
    assert bool((share.sel(reading="caused, of the net") >= share.sel(reading="caused, of the sum")).all())
    # Corners that are asked for pull, those that are not pull less.
    late = share.isel(step=-1, sample=0, objective=1).sel(reading="caused, of the net")
    assert float(late.sel(aim="retargeted (CDR)")) < 0.6 * float(late.sel(aim="target as drawn"))


def test_gradient_shares_by_another_way(kernels):
    """The share on the print, and the pull of the corners by finite differences, of one mask."""
    sim = litho.Simulator(kernels, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(1, 64, 64, generator=generator, dtype=torch.float64)
    aim = (torch.rand(1, 64, 64, generator=generator, dtype=torch.float64) > 0.5).double()
    region = torch.zeros_like(aim)
    region[:, 20:30, 40:44] = 1
    found = anatomy._shares(mask, aim, region, sim, schema.NOMINAL)

    def losses(m):
        nominal, inner, outer = sim.resist(m, corners=["nominal", "inner", "outer"]).unbind(-3)
        pixels = (nominal - aim) ** 2 + (inner - outer) ** 2
        return torch.stack([(pixels * region).sum(), (pixels * (1 - region)).sum()])

    nominal, inner, outer = sim.resist(mask, corners=["nominal", "inner", "outer"]).unbind(-3)
    by_print = 2 * (nominal - aim).abs() + 4 * (inner - outer).abs()
    assert found[1, 0] == pytest.approx(float((by_print * region).sum() / by_print.sum()))
    by_part = torch.autograd.functional.jacobian(losses, mask)[:, 0]
    step = torch.zeros_like(mask)
    step[0, 25, 41] = 1e-5
    np.testing.assert_allclose(by_part[:, 25, 41], (losses(mask + step) - losses(mask - step)) / 2e-5, rtol=1e-6)
    caused, other, net = (g.abs().sum() for g in (by_part[0], by_part[1], by_part.sum(0)))
    assert found[1, 2] == pytest.approx(float(caused / (caused + other)))
    assert found[1, 3] == pytest.approx(float(caused / net))
    on_mask = (by_part.sum(0).abs() * region[0]).sum() / net
    assert found[1, 1] == pytest.approx(float(on_mask))


@pytest.mark.realdata
def test_the_ten_contest_clips_have_the_papers_share_of_corners(real_data):
    """CurvyILT's Section 3.1.2: corner regions are 0.08 % of the design's area. The ten tiles' mean is 0.07 %."""
    for name in layout.benchmark_names("iccad13"):
        real_data(f"iccad13/clips/{name}.glp")
    targets = torch.as_tensor(layout.rasterize_many(layout.benchmark_clips("iccad13"), 1))
    region = targets != opc.morphology.round_corners_binary(targets, 39, 39)
    assert 100 * float(region.double().mean()) == pytest.approx(0.0712, abs=1e-3)
