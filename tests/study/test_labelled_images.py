"""Pictures: what is printed and how it is cut, whatever dimensions lead."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import litho, optics, study
from maskopt_lib.data import schema
from maskopt_lib.study.labelled_images import cropped, images, pictures, pixel_of, printed

CLIPS = ["demo-metal-tips", "demo-metal-isolated"]


@pytest.fixture(scope="module")
def kernels():
    return optics.load("embedded-ideal")


@pytest.fixture(scope="module")
def targets():
    return study.targets("demo-metal", CLIPS, pixel_nm=8)


def test_masks_find_their_targets_by_name_and_prints_are_the_simulators(kernels, targets):
    sim = litho.Simulator(kernels)
    found = pictures(targets[::-1], targets, sim, margin_nm=None)
    np.testing.assert_array_equal(found["target"], targets[::-1])
    for sample in CLIPS:
        prints = sim.printed(targets.sel(sample=sample).values).numpy()
        for corner, image in zip(sim.corners, prints, strict=True):
            np.testing.assert_array_equal(found[corner].sel(sample=sample), image)
    assert found.attrs == {"kernels": kernels.name}
    assert {found[name].attrs["units"] for name in (*found.data_vars, "x", "y")} == {"1", "nm"}


def test_several_dimensions_lead_and_one_target_serves_all(kernels, targets):
    masks = xr.concat([targets, 1 - targets], xr.Variable("kind", ["copy", "inverse"]))
    found = pictures(masks, targets[0].drop_vars("sample"), kernels, margin_nm=None)
    assert found["outer"].dims == ("kind", "sample", "y", "x") and found["target"].dims == ("y", "x")
    alone = pictures(masks[1, 1:], targets, kernels, margin_nm=None)
    xr.testing.assert_equal(found["nominal"][1, 1:], alone["nominal"])


def test_a_small_mask_is_printed_in_the_middle_of_a_dark_field(kernels, targets):
    sim = litho.Simulator(kernels)
    middle = slice(64, 192)
    dark = np.zeros_like(targets.values)
    dark[:, middle, middle] = targets.values[:, middle, middle]
    small = images(dark[:, middle, middle], 8.0, title=CLIPS)
    whole = images(dark, 8.0, title=CLIPS)
    np.testing.assert_array_equal(printed(small, sim), printed(whole, sim)[..., middle, middle])


def test_grey_masks_stay_grey_and_prints_may_be_given(targets):
    grey = 0.5 * targets.astype("float32")
    prints = targets.expand_dims(corner=list(schema.CORNERS)).assign_attrs({"kernels": "none"})
    found = pictures(grey, targets, prints)
    assert float(found["mask"].max()) == 0.5 and found["nominal"].dtype == np.uint8
    assert found.attrs["kernels"] == "none"


def test_images_know_their_place():
    found = images(np.zeros((2, 3, 4)), 10.0, corner_nm=(100, 200), title=("a", "b"))
    assert found["x"].values.tolist() == [105, 115, 125, 135] and found["y"].values.tolist() == [205, 215, 225]
    assert found["title"].values.tolist() == ["a", "b"] and pixel_of(found) == 10


def test_a_crop_holds_its_layers_and_their_margin():
    target, mask = np.zeros((2, 40, 40), np.uint8)
    target[10:20, 12:14] = mask[12:16, 30] = 1
    layers = xr.Dataset({"target": images(target, 2.0), "mask": images(mask, 2.0)})
    both = cropped(layers, 4)
    assert both["y"].values[[0, -1]].tolist() == [17, 43] and both["x"].values[[0, -1]].tolist() == [21, 65]
    assert cropped(layers, 4, around=["target"])["x"].values[[0, -1]].tolist() == [21, 31]
    square = cropped(layers, 4, square=True)
    assert square.sizes["x"] == square.sizes["y"] == both.sizes["x"]
    at_border = cropped(layers, 40)
    assert at_border["y"].values[0] == 1 and at_border["y"].values[-1] == 79
    assert cropped(layers, 4, every=2)["x"].values.tolist() == both["x"].values[::2].tolist()
    assert cropped(layers * 0, 4).sizes == layers.sizes
