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
    targets = torch.stack([torch.as_tensor(clip.rasterize()) for clip in layout.benchmark_clips("iccad13").values()])
    region = targets != opc.morphology.round_corners_binary(targets, 39, 39)
    assert 100 * float(region.double().mean()) == pytest.approx(0.0712, abs=1e-3)
