"""Post-processing after the fact is what a solver does as its last step; what is removed is counted right."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import figures, layout, litho, opc, optics, study
from maskopt_lib.errors import UnknownNameError

SMALL = {"open_nm": None, "close_nm": None, "round_corners": False, "min_area_nm2": 2000.0}


def labelled(images: np.ndarray, pixel_nm: float = 1.0) -> xr.DataArray:
    """(sample, y, x) with names and nm."""
    nm = (np.arange(images.shape[-1]) + 0.5) * pixel_nm
    names = [f"clip{i}" for i in range(len(images))]
    return xr.DataArray(images, dims=("sample", "y", "x"), coords={"sample": names, "y": nm, "x": nm})


def squares() -> xr.DataArray:
    """A large square with a small one beside it; in the second clip the large one alone."""
    images = np.zeros((2, 200, 200), np.uint8)
    images[:, 20:120, 20:120] = 1
    images[0, 150:170, 150:170] = 1
    return labelled(images)


@pytest.mark.parametrize("pixel_nm", [1.0, 4.0])
def test_small_shapes_go_and_nothing_else(pixel_nm):
    masks = squares().assign_coords({a: (np.arange(200) + 0.5) * pixel_nm for a in "yx"})
    cleaned = study.post_process(masks, {"none": None, "small": SMALL | {"min_area_nm2": 500 * pixel_nm**2}})
    assert cleaned.dims == ("post", "sample", "y", "x") and cleaned["post"].values.tolist() == ["none", "small"]
    np.testing.assert_array_equal(cleaned.sel(post="none"), masks)
    assert cleaned.sel(post="small").sum(["y", "x"]).values.tolist() == [10_000, 10_000]
    removed = study.removed_shapes(masks, cleaned)
    assert removed["removed"].values.tolist() == [[0, 0], [1, 0]]
    assert removed["removed_nm2"].sel(post="small").values.tolist() == [400 * pixel_nm**2, 0]
    assert removed["largest_removed_nm2"].sel(post="small").values.tolist() == [400 * pixel_nm**2, 0]
    assert float(removed["trimmed_nm2"].sum() + removed["added_nm2"].sum()) == 0


def test_every_pixel_that_changes_is_removed_trimmed_or_added():
    rng = np.random.default_rng(0)
    before, after = (labelled((rng.random((3, 40, 40)) < 0.4).astype(np.uint8), 2.0) for _ in range(2))
    found = study.removed_shapes(before, after)
    taken = ((before == 1) & (after == 0)).sum(["y", "x"]) * 4.0
    np.testing.assert_array_equal(found["removed_nm2"] + found["trimmed_nm2"], taken)
    np.testing.assert_array_equal(found["added_nm2"], ((before == 0) & (after == 1)).sum(["y", "x"]) * 4.0)


@pytest.mark.parametrize(
    ("method", "options"), [("curvy", {"n_steps": 2}), ("pixel_ilt", {"n_steps": 1})], ids=["curvy", "pixel_ilt"]
)
def test_cleaning_afterwards_is_what_the_solver_does_last(method, options):
    sim = litho.Simulator(optics.load("embedded"))
    target = layout.demo_clips()["demo-metal-tips"].rasterize(pixel_nm=1)
    way = {"open_nm": 25.0, "close_nm": 9.0, "round_corners": True, "min_area_nm2": 900.0}
    raw, cleaned = (opc.solve(target, sim, method=method, cleanup=c, **options).mask for c in (None, way))
    found = study.post_process(labelled(raw[None]), {"own": way})
    np.testing.assert_array_equal(found.values[0, 0], cleaned)


def test_the_sweep_removes_more_and_more_and_begins_with_the_mask_itself():
    kernels = {"embedded": optics.load("embedded")}
    targets = study.targets("demo-via", ["demo-via-row"], pixel_nm=4)
    mask = targets.values.copy()
    for k, side in enumerate((2, 4, 6)):  # specks of 64, 256 and 576 nm2, far from the vias
        mask[0, 40 : 40 + side, 100 + 20 * k : 100 + 20 * k + side] = 1
    masks = targets.copy(data=mask).expand_dims(kernels=["embedded"], method=["specks"])
    sweep = study.area_sweep(masks, targets, kernels, [0, 100, 300, 600, 1e5])
    assert sweep["shapes"].squeeze().values.tolist() == [8, 7, 6, 5, 0]
    np.testing.assert_array_equal(sweep["msa_nm2"].squeeze()[:3], [64, 256, 576])
    assert 4500 < sweep["msa_nm2"].squeeze()[3] < 5300 and np.isnan(sweep["msa_nm2"].squeeze()[4])  # vias of 70 nm
    assert (sweep["merit_nm2"] == sweep["l2_nm2"] + sweep["pvb_nm2"]).all()
    own = study.score_masks(masks, targets, kernels, only=["l2_nm2", "pvb_nm2"], own=True)
    assert (sweep["l2_nm2"].sel(min_area_nm2=0.0) == own["l2_nm2"]).all()


def test_rules_kept_counts_by_mask():
    image = np.zeros((2, 1, 200, 200), np.uint8)
    image[:, 0, 20:180, 40:70] = 1
    image[1, 0, 20:180, 80:120] = 1  # 10 nm beside the first
    masks = xr.DataArray(image, dims=("method", "sample", "y", "x"), coords={"method": ["one", "two"], "sample": ["a"]})
    kept = study.rules_kept(masks, {"msd_nm": 24.0, "min_width_nm": 24.0})
    assert kept["violations"].sel(rule="msd_nm").values.ravel().tolist() == [0, 1]
    assert kept["worst"].sel({"rule": "msd_nm", "method": "two"}).item() == 11
    assert kept["worst"].sel(rule="min_width_nm").values.ravel().tolist() == [30, 30]


def test_an_option_that_no_clean_up_has_is_refused():
    with pytest.raises(
        UnknownNameError, match=r"'mine': a clean-up has no option \['area'\]; known: open_nm, close_nm"
    ):
        study.post_process(squares(), {"mine": {"area": 3}})


def test_pictures_of_changes_and_limits(tmp_path):
    masks = squares().rename(sample="method")
    drawn = figures.mask_changes(masks, masks * (masks["y"] < 140), masks[0], along="method")
    figures.save(drawn, "changes", tmp_path)
    scores = xr.Dataset(
        {
            "msa_nm2": (("method", "limit"), [[1.0, 1.0, 5.0]], {"long_name": "smallest", "units": "nm2"}),
            "print_nm2": (("method", "limit"), [[9.0, 9.0, 12.0]], {"long_name": "print", "units": "nm2"}),
        },
        coords={"method": ["curvy"], "limit": [0, 100, 200]},
    )
    figures.save(figures.limit_curves(scores, x="msa_nm2", y="print_nm2", along="limit"), "limits", tmp_path)
    text = (tmp_path / "limits.svg").read_text(encoding="utf-8")
    assert "print (nm²)" in text and ">200<" in text
