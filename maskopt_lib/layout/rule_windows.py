"""Windows of a layout that show a place where it breaks a design rule."""

import numpy as np
import xarray as xr
from klayout import db

# Units of KLayout's boxes, which are whole.
_PER_NM = 1000


def windows_over(windows: xr.Dataset, boxes_nm: np.ndarray) -> np.ndarray:
    """Which windows reach into some of these places with their core or its context.

    Parameters
    ----------
    windows : of :func:`maskopt_lib.layout.tile_windows`.
    boxes_nm : (n, 4) x0, y0, x1, y1, of :func:`maskopt_lib.layout.design_rules.violation_boxes`.

    Returns
    -------
    (tile,) bool. A place without area, such as a corner, counts where it lies within a window.

    Examples
    --------
    >>> at = xr.Dataset({"x_nm": ("tile", [0.0, 0.0, 700.0]), "y_nm": ("tile", [0.0, 641.0, 0.0])})
    >>> windows_over(at.assign_attrs(core_nm=512, context_nm=128), np.array([[560, 600, 560, 640]])).tolist()
    [True, True, False]
    """
    core, context = windows.attrs["core_nm"], windows.attrs["context_nm"]
    places = db.Shapes()
    for box in np.rint(np.asarray(boxes_nm, float).reshape(-1, 4) * _PER_NM).astype(np.int64).tolist():
        places.insert(db.Box(*box))
    found = np.zeros(windows.sizes["tile"], bool)
    corners = zip(windows["x_nm"].values.tolist(), windows["y_nm"].values.tolist(), strict=True)
    for i, (x, y) in enumerate(corners):
        sides = (x - context, y - context, x + core + context, y + core + context)
        window = db.Box(*(round(side * _PER_NM) for side in sides))
        # One unit less on each side: what only touches the border is outside.
        found[i] = any(True for _ in places.each_touching(window.enlarged(-1, -1)))
    return found
