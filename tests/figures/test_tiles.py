"""Figures of tiles: windows carry their numbers, the ring marks the cell's own origin, grey is empty by rule."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb

from maskopt_lib import figures, layout
from maskopt_lib.figures import tiles as drawn


@pytest.fixture(scope="module")
def block():
    design, rule = layout.open_design("demo_block"), layout.TileRule()
    return design, rule, layout.tile_windows(design, rule)


@pytest.fixture(scope="module")
def scene(block):
    design, rule, windows = block
    (first, *_) = np.flatnonzero((windows["orientation"] == "FS").values & (windows["row"] == 1).values)
    return layout.tile_scene(design, ["metal1", "contact"], windows, int(first), rule), windows.isel(tile=int(first))


def test_windows_are_numbered_and_the_origin_is_the_cells(block, scene):
    picture, chosen = scene
    cells = block[0].instances()
    panel = figures.tile_reading(picture, cells).panels[0]
    texts = [text for labels in panel.of("texts") for *_, text in labels.data]
    rows, columns = int(chosen["n_rows"]), int(chosen["n_columns"])
    assert {f"{r}, {c}" for r in range(rows) for c in range(columns)} <= set(texts)
    (ring,) = panel.of("dots")
    own = cells.sel(instance=chosen["instance"].item())
    # Turned over about the x axis, the cell's lower left corner is the upper left one.
    assert ring.data.tolist() == [[float(own["x0_nm"]), float(own["y1_nm"])]]


def test_an_image_shows_what_the_tile_holds_and_grey_beyond(block, scene):
    design, *_ = block
    picture, chosen = scene
    panel = figures.tile_reading(picture, design.instances(), contexts_nm=[32]).panels[2]
    (image,) = panel.of("picture")
    expected = np.ones((1024, 1024, 3))
    for layer in ("metal1", "contact"):
        x0, y0 = (float(chosen[axis]) - 256 for axis in ("x_nm", "y_nm"))
        around = design.rasterize(layer, (x0, y0, x0 + 1024, y0 + 1024))
        expected[around > 0] = to_rgb(drawn.LAYERS[layer])
    beyond = np.ones((1024, 1024), bool)
    beyond[224:800, 224:800] = False
    expected[beyond] = to_rgb(drawn._NOTHING)
    np.testing.assert_allclose(image.data, 255 * expected, atol=1)


def test_scenes_hold_the_layout_around_all_windows_of_the_cell(block, scene):
    picture, chosen = scene
    x0, y0 = (float(picture[axis][0]) - 0.5 for axis in ("x", "y"))
    side = picture.sizes["x"]
    assert side == picture.sizes["y"]
    np.testing.assert_array_equal(
        picture["shapes"].sel(layer="metal1"), block[0].rasterize("metal1", (x0, y0, x0 + side, y0 + side))
    )
    assert picture.sizes["window"] == int(chosen["n_rows"]) * int(chosen["n_columns"])
    assert picture["chosen"].values.sum() == 1
    assert x0 <= float(picture["x_nm"].min()) - 512 and x0 + side >= float(picture["x_nm"].max()) + 1024
    assert isinstance(picture, xr.Dataset) and picture.attrs["cell"] == chosen["cell"].item()
