"""Figures of large areas: each is drawn from labelled data, and shows what it says."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from drawn_texts import texts_of

from maskopt_lib import figures
from maskopt_lib.figures import large_area


def nm(values, name):
    return (name, np.asarray(values, float), {"long_name": name, "units": "nm"})


def cells():
    boxes = np.array([[0, 0, 400, 1400], [400, 0, 1600, 1400], [np.nan] * 4])
    columns = {side: ("instance", boxes[:, i]) for i, side in enumerate(("x0_nm", "y0_nm", "x1_nm", "y1_nm"))}
    return xr.Dataset(
        columns
        | {"cell": ("instance", ["FILLCELL_X2", "NAND2_X1", "RAM"]), "is_logic": ("instance", [False, True, False])}
    )


def overview():
    centres = np.arange(16, 1600, 32)
    return xr.Dataset(
        {"coverage": (("y", "x"), np.eye(50, dtype=np.float32))}, {"y": nm(centres, "y"), "x": nm(centres, "x")}
    )


def picture():
    centres = np.arange(4, 1600, 8)
    image = np.zeros((200, 200), np.uint8)
    image[40:80, 20:180] = 1
    names = ("target", "mask", "nominal", "outer", "inner")
    return xr.Dataset({n: (("y", "x"), image) for n in names}, {"y": nm(centres, "y"), "x": nm(centres, "x")})


def levels():
    values = np.array([[2.5, 1.25, 1.0], [1.125, 1.5, np.nan]])
    places = ["first borders", "moved borders", "interior"]
    attrs = {"long_name": "mean absolute edge error", "units": "nm"}
    return xr.Dataset(
        {name: (("mask", "place"), values, attrs) for name in ("mean_abs_nm", "p95_nm")},
        {"mask": ["before", "after"], "place": places},
    )


def difference():
    values = np.arange(16.0).reshape(2, 2, 4)
    return xr.DataArray(
        values,
        dims=("mask", "border", "distance_nm"),
        coords={"mask": ["before", "after"], "distance_nm": nm([32, 96, 160, 224], "distance_nm")},
        attrs={"long_name": "difference", "units": "nm2"},
    )


def growth():
    area = ("area_um2", [4.0, 16.0, 64.0], {"long_name": "area", "units": "um2"})
    return xr.Dataset(
        {"wall_s": ("area_um2", [5.0, 17.0, 65.0], {"long_name": "wall time", "units": "s"})}, {"area_um2": area}
    )


DRAWINGS = {
    "block": lambda: large_area.block(overview(), cells(), frame_nm=(100, 100, 900, 700)),
    "cell_zoom": lambda: large_area.cell_zoom(picture(), cells(), borders_nm=([512.0, 9e9], [1024.0])),
    "place_levels": lambda: large_area.place_levels(levels()),
    "seam_profile": lambda: large_area.seam_profile(difference()),
    "seam_profile_without_borders": lambda: large_area.seam_profile(difference().isel(border=[])),
    "cost_growth": lambda: large_area.cost_growth(growth(), slope_s=1.0, rest_s=1.0),
}
SHOWN = {
    "block": ("logic cells", "fill, tap and tie cells", "shown larger", "x (µm)"),
    "cell_zoom": ("NAND2_X1", "FILLCELL_X2", "borders of the first windows", "x (nm)"),
    "place_levels": ("before", "after", "moved borders", "mean absolute edge error (nm)", "1.12", "2.5"),
    "seam_profile": ("before", "after", "distance_nm (nm)"),
    "seam_profile_without_borders": ("before", "after"),
    "cost_growth": ("1 s a µm²", "measured", "area (µm²)", "wall time (s)"),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_figures_show_their_data_and_are_equal_for_equal_data(name, tmp_path):
    for folder in ("a", "b"):
        figures.save(DRAWINGS[name](), name, tmp_path / folder)
    svg = (tmp_path / "a" / f"{name}.svg").read_bytes()
    assert svg == (tmp_path / "b" / f"{name}.svg").read_bytes()
    texts = texts_of(svg)
    for text in SHOWN[name]:
        assert text in texts, texts
    assert "RAM" not in texts
