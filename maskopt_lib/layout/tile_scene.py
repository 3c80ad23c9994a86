"""A tile with what lies around it, for pictures."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from maskopt_lib.data.schema import X, Y, column
from maskopt_lib.layout.cell_tiles import TILE, TileRule
from maskopt_lib.layout.designs import Design

# Shown around the cell, its windows, and the image.
_MARGIN_NM = 256.0


def tile_scene(design: Design, layers: Sequence[str], windows: xr.Dataset, tile: int, rule: TileRule) -> xr.Dataset:
    """A cell with its neighbours, and one of its windows.

    Parameters
    ----------
    design, windows, rule : as for :func:`maskopt_lib.layout.cut_tiles`.
    layers : to show.
    tile : position of the window among ``windows``; all windows of its instance have to be there.

    Returns
    -------
    Dataset with ``shapes`` (layer, y, x) uint8, the layout in its own coordinates, and over ``window`` the windows of
    the instance, ``row``, ``column``, ``x_nm``, ``y_nm``, with ``chosen``, whether it is the one. Attributes: the
    instance, its ``cell`` and ``orientation``, and those of ``windows``.
    """
    chosen = windows.isel({TILE: tile})
    same = windows["instance"].values == chosen["instance"].item()
    of_instance = windows.isel({TILE: same})
    x, y = of_instance["x_nm"].values, of_instance["y_nm"].values
    # A square around the image of every window, however the cell is shaped.
    beyond = (rule.image_nm - rule.core_nm) / 2 + _MARGIN_NM
    side = max(np.ptp(x), np.ptp(y)) + rule.core_nm + 2 * beyond
    low = [(v.min() + v.max() + rule.core_nm - side) / 2 for v in (x, y)]
    side, *low = (np.floor(v / rule.pixel_nm) * rule.pixel_nm for v in (side, *low))
    bounds = (*low, low[0] + side, low[1] + side)
    shapes = np.stack([design.rasterize(layer, bounds, rule.pixel_nm) for layer in layers])
    places = {"row": "1", "column": "1", "x_nm": "nm", "y_nm": "nm"}
    half = rule.pixel_nm / 2
    return xr.Dataset(
        {"shapes": column(("layer", Y, X), shapes, "shapes")}
        | {name: column("window", of_instance[name].values, name, unit) for name, unit in places.items()}
        | {"chosen": column("window", np.flatnonzero(same) == tile, "the window that is shown")},
        coords={
            "layer": list(layers),
            Y: column(Y, bounds[1] + half + rule.pixel_nm * np.arange(shapes.shape[1]), "y", "nm"),
            X: column(X, bounds[0] + half + rule.pixel_nm * np.arange(shapes.shape[2]), "x", "nm"),
        },
        attrs=windows.attrs | {name: chosen[name].item() for name in ("instance", "cell", "orientation")},
    )
