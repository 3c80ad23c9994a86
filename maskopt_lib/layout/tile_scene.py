"""A tile with what lies around it, for pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from maskopt_lib.data.schema import X, Y
from maskopt_lib.layout.cell_tiles import TILE, TileRule
from maskopt_lib.layout.designs import Design


def tile_scene(
    design: Design,
    layers: Sequence[str],
    windows: xr.Dataset,
    tile: int,
    rule: TileRule,
    *,
    margin_nm: float = 256.0,
) -> xr.Dataset:
    """A cell with its neighbours, and one of its windows.

    Parameters
    ----------
    design, windows, rule : as for :func:`maskopt_lib.layout.cut_tiles`.
    layers : to show.
    tile : position of the window among ``windows``; all windows of its instance have to be there.
    margin_nm : shown around the cell, its windows, and the image.

    Returns
    -------
    Dataset with ``shapes`` (layer, y, x) uint8, the layout in its own coordinates, and over ``window`` the windows of
    the instance, ``row``, ``column``, ``x_nm``, ``y_nm``, with ``chosen``, whether it is the one. Attributes: the
    instance, its ``cell`` and ``orientation``, and those of ``windows``.
    """
    chosen = windows.isel({TILE: tile})
    same = windows["instance"].values == chosen["instance"].item()
    own = windows.isel({TILE: same})
    x, y = own["x_nm"].values, own["y_nm"].values
    # A square around the image of every window, however the cell is shaped.
    beyond = (rule.image_nm - rule.core_nm) / 2 + margin_nm
    side = max(np.ptp(x), np.ptp(y)) + rule.core_nm + 2 * beyond
    low = [(v.min() + v.max() + rule.core_nm - side) / 2 for v in (x, y)]
    side, *low = (np.floor(v / rule.pixel_nm) * rule.pixel_nm for v in (side, *low))
    bounds = (*low, low[0] + side, low[1] + side)
    shapes = np.stack([design.rasterize(layer, bounds, rule.pixel_nm) for layer in layers])
    places = {"row": "1", "column": "1", "x_nm": "nm", "y_nm": "nm"}
    half = rule.pixel_nm / 2
    return xr.Dataset(
        {"shapes": (("layer", Y, X), shapes, _said("shapes", "1"))}
        | {name: ("window", own[name].values, _said(name, unit)) for name, unit in places.items()}
        | {"chosen": ("window", np.flatnonzero(same) == tile, _said("the window that is shown", "1"))},
        coords={
            "layer": list(layers),
            Y: (Y, bounds[1] + half + rule.pixel_nm * np.arange(shapes.shape[1]), _said("y", "nm")),
            X: (X, bounds[0] + half + rule.pixel_nm * np.arange(shapes.shape[2]), _said("x", "nm")),
        },
        attrs=windows.attrs | {name: chosen[name].item() for name in ("instance", "cell", "orientation")},
    )


def _said(long_name: str, units: str) -> dict[str, str]:
    return {"long_name": long_name, "units": units}
