"""Figures of a dataset of tiles: each is drawn from labelled data, and shows what it says."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from drawn_texts import texts_of

from maskopt_lib import figures
from maskopt_lib.data import schema
from maskopt_lib.figures import dataset

LAYERS = ["metal1", "via1"]


def said(long_name, units="1"):
    return {"long_name": long_name, "units": units}


def counts():
    values = np.array([[1234, 12], [56, 0]])
    return xr.Dataset(
        {"tiles": (("layer", "design"), values, said("tiles"))},
        {"layer": LAYERS, "design": ["alu_routed", "aes_placed"], "state": ("design", ["routed", "placed"])},
    )


def windows():
    values = np.arange(12).reshape(2, 2, 3)
    axes = {name: (name, np.arange(n), said(f"{name} in the cell")) for name, n in (("row", 2), ("column", 3))}
    return xr.Dataset({"tiles": (("layer", "row", "column"), values, said("tiles"))}, {"layer": LAYERS, **axes})


def shares():
    dims, values = ("layer", "context_nm"), np.array([[10.0, 20, 90], [5, 50, 60]])
    return xr.Dataset(
        {
            "image_share": (dims, values, said("different images, share of the tiles", "%")),
            "geometry_share": (dims, values / 2, said("different up to turns, share of the tiles", "%")),
        },
        {"layer": LAYERS, "context_nm": ("context_nm", [0, 32, 128], said("context", "nm"))},
    )


def densities():
    edges = np.array([[0.0, 10, 20, 30], [0, 1, 2, 3]])
    share = np.array([[[50.0, 25, 25], [100, 0, 0]], [[0, 100, 0], [np.nan] * 3]])
    return xr.Dataset(
        {
            "share": (("layer", "family", "bin"), share, said("share of the tiles", "%")),
            "low": (("layer", "bin"), edges[:, :-1]),
            "high": (("layer", "bin"), edges[:, 1:]),
        },
        {"layer": LAYERS, "family": ["aes", "gcd"]},
    )


def frequencies():
    values = np.array([[9, 4, 1], [3, 0, 1]])
    return xr.Dataset(
        {"tiles": (("layer", "cell"), values, said("tiles"))},
        {"layer": LAYERS, "cell": ["NAND2_X1", "INV_X1", "DFF_X1"]},
    )


def grid():
    centres = np.arange(20, 800, 40.0)
    image = np.zeros((20, 20), np.uint8)
    image[8:10, 4:16] = 1
    stack = np.broadcast_to(image, (1, 3, 20, 20))
    return xr.Dataset(
        {name: (("kind", "context", "y", "x"), stack) for name in ("target", "mask", "nominal")},
        {"kind": ["opc"], "context": [0, 128, -1], "y": ("y", centres, said("y", "nm"))}
        | {"x": ("x", centres, said("x", "nm"))},
        attrs={"core_nm": 512.0},
    )


def scores():
    values = np.random.default_rng(0).uniform(1, 9, (2, 5, 2))
    values[1, 3:] = np.nan
    dims, coords = ("layer", "label", "method"), {"layer": LAYERS, "method": ["opc", "ilt"]}
    return schema.label(xr.Dataset({name: (dims, values) for name in (schema.SHOTS, schema.PVB)}, coords))


def means():
    middle = np.array([[[[10.0, 12], [9, 8], [np.nan, 7]]]])[0]
    values = np.stack([middle, middle - 1, middle + 1], axis=-1)
    coords = {"kind": ["ilt"], "context": [0, 64, -1], "printed": ["alone", "in place"]}
    dims = ("kind", "context", "printed", "statistic")
    names = {name: (dims, values * k) for name, k in ((schema.L2, 1e3), (schema.EPE_MEAN_ABS, 0.1))}
    return schema.label(xr.Dataset(names, coords | {"statistic": ["mean", "low", "high"]}))


DRAWINGS = {
    "design_bars": lambda: dataset.design_bars(counts()),
    "window_maps": lambda: dataset.window_maps(windows()),
    "over_context": lambda: dataset.over_context(shares(), names=["image_share", "geometry_share"], ylabel="share (%)"),
    "density_histograms": lambda: dataset.density_histograms(densities()),
    "cell_bars": lambda: dataset.cell_bars(frequencies(), most=2),
    "context_grid": lambda: dataset.context_grid(grid()),
    "score_scatter": lambda: dataset.score_scatter(scores(), x=schema.SHOTS, y=schema.PVB),
    "score_distributions": lambda: dataset.score_distributions(scores(), names=[schema.SHOTS, schema.PVB]),
    "context_effect": lambda: dataset.context_effect(means(), names=[schema.L2, schema.EPE_MEAN_ABS], title="metal1"),
}
SHOWN = {
    "design_bars": ("alu_routed, routed", "aes_placed, placed", "1,234", "56", "metal1", "tiles", "1,000"),
    "window_maps": ("metal1", "via1", "row in the cell", "column in the cell", "tiles"),
    "over_context": ("metal1", "via1", "different images", "different up to turns", "context (nm)", "share (%)", "128"),
    "density_histograms": ("aes", "gcd", "metal1", "covered share of the core (%)", "share of the tiles (%)"),
    "cell_bars": ("NAND2_X1", "INV_X1", "tiles (1 cells that come less often are not shown)", "via1"),
    "context_grid": ("0 nm", "128 nm", "all around", "OPC, mask", "OPC, print", "x (nm)", "144", "656"),
    "score_scatter": ("OPC", "rule-aware", "metal1", "shots", "PV band (nm²)"),
    "score_distributions": ("OPC", "rule-aware", "via1", "shots", "PV band (nm²)", "share of labels (%)"),
    "context_effect": (
        "metal1, ILT",
        "printed alone",
        "printed in place",
        "all of its surroundings, in place",
        "L2 (nm²)",
        "context (nm)",
    ),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_figures_show_their_data_and_are_equal_for_equal_data(name, tmp_path):
    for folder in ("a", "b"):
        figures.save(DRAWINGS[name](), name, tmp_path / folder, formats=("svg",))
    svg = (tmp_path / "a" / f"{name}.svg").read_bytes()
    assert svg == (tmp_path / "b" / f"{name}.svg").read_bytes()
    texts = texts_of(svg)
    for text in SHOWN[name]:
        assert text in texts or text in " ".join(texts), texts  # long labels are broken into lines
    assert "DFF_X1" not in texts


def test_bars_of_cells_are_stacked():
    boxes = [np.array(bars.data)[:, [0, 2]].tolist() for bars in DRAWINGS["cell_bars"]().of("bars")]
    assert boxes == [[[0, 9], [0, 4]], [[9, 12], [4, 4]]]


def test_rows_of_windows_are_not_flipped():
    (image, _) = DRAWINGS["window_maps"]().of("heat")
    assert image.data[1, 2] == 5 and image.data[0, 1] == 1


def test_pictures_of_contexts_are_not_flipped():
    """Row 0 is the lowest y, and the outline lies where the mask does."""
    panel = DRAWINGS["context_grid"]().panels[0]
    (image,), (outline, *_) = panel.of("picture"), panel.of("paths")
    assert [image.data[row, 10, 0] < 255 for row in (7, 8, 9, 11)] == [False, True, True, False]
    ends = np.concatenate(outline.data)
    assert [*ends.min(axis=0), *ends.max(axis=0)] == pytest.approx([160, 320, 640, 400])


def test_the_oracle_is_the_mean_in_place_with_all_around():
    panel = DRAWINGS["context_effect"]().panels[0]
    assert [level.data for level in panel.of("across")] == [7000]
    alone = next(line for line in panel.of("line") if line.label == "printed alone")
    assert alone.data.tolist() == [[0, 10000], [64, 9000]]
