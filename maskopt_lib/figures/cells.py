"""Pictures of a standard-cell library."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import style

#: Layer -> colour and opacity, of Okabe and Ito's colours; others are grey.
LAYERS = {
    "active": ("#009E73", 0.30),
    "poly": ("#D55E00", 0.65),
    "metal1": ("#0072B2", 0.55),
    "contact": ("#000000", 1.0),
    "via1": ("#CC79A7", 1.0),
    "metal2": ("#E69F00", 0.45),
}
_UM = 1e-3
# Between cells, and what a letter of a name takes, nm.
_GAP_X_NM, _GAP_Y_NM, _LETTER_NM = 250.0, 620.0, 110.0


def cell_gallery(cells: xr.Dataset, *, width_nm: float = 12000.0, size_inch: float = 11.0) -> hv.Overlay:
    """Cells side by side at one scale, each with its name and its pins.

    Parameters
    ----------
    cells : Dataset of :func:`maskopt_lib.layout.cell_polygons`: ``x_nm``, ``y_nm``, ``polygon`` over ``vertex``,
        ``layer`` and ``of`` over ``polygon_number``, ``x0_nm`` to ``y1_nm`` over ``cell``, and names over ``label``.
    width_nm : of a row of cells.
    size_inch : width of the picture.

    Returns
    -------
    Rows of cells from above in their order; outlines are dashed, layers keyed by colour.
    """
    sides = np.stack([cells[side].values for side in ("x0_nm", "y0_nm", "x1_nm", "y1_nm")], axis=1)
    shifts, x, y, height = {}, 0.0, 0.0, 0.0
    for name, (x0, y0, x1, y1) in zip(cells["cell"].values.tolist(), sides.tolist(), strict=True):
        if x > 0 and x + x1 - x0 > width_nm:
            x, y, height = 0.0, y - height - _GAP_Y_NM, 0.0
        shifts[name] = (x - x0, y - y0)
        x, height = x + max(x1 - x0, _LETTER_NM * len(name)) + _GAP_X_NM, max(height, y1 - y0)
    shifts = {name: (dx, dy - y) for name, (dx, dy) in shifts.items()}  # the lowest row stands on 0
    drawn = []
    points = np.stack([cells["x_nm"].values, cells["y_nm"].values], axis=1)
    starts = np.flatnonzero(np.diff(cells["polygon"].values)) + 1
    parts = np.split(points, starts) if len(points) else []
    owners, layers = cells["of"].values.tolist(), cells["layer"].values.tolist()
    for layer in cells.attrs["layers"]:
        colour, opacity = LAYERS.get(layer, ("#8C8C8C", 0.6))
        here = [
            (part + shifts[cell]) * _UM for part, cell, on in zip(parts, owners, layers, strict=True) if on == layer
        ]
        if here:
            areas = hv.Polygons(style.joined(here), kdims=["x", "y"])
            drawn.append(areas.opts(hv.opts.Polygons(facecolor=colour, edgecolor=colour, alpha=opacity, linewidth=0)))
            # Polygons have no legend entry of their own; a curve without points has.
            key = hv.Curve([(0.0, np.nan)], "x", "y", label=layer)
            drawn.append(key.opts(hv.opts.Curve(color=colour, alpha=opacity, linewidth=7)))
    frames, titles = [], []
    for name, (x0, y0, x1, y1) in zip(cells["cell"].values.tolist(), sides.tolist(), strict=True):
        ring = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]) + shifts[name]
        frames.append(ring * _UM)
        # Beside the rail, which stands out over the outline.
        titles.append((*((ring[3] + (0, 130)) * _UM).tolist(), name))
    outlines = hv.Path(style.joined(frames), kdims=["x", "y"])
    drawn.append(outlines.opts(hv.opts.Path(color="#000000", linestyle="--", linewidth=0.7)))
    drawn.append(_texts(titles, size=7, halign="left", valign="bottom", weight="bold"))
    pins = zip(*(cells[name].values.tolist() for name in ("on", "label_x_nm", "label_y_nm", "text")), strict=True)
    names = [((shifts[on][0] + x) * _UM, (shifts[on][1] + y) * _UM, text) for on, x, y, text in pins]
    if names:
        drawn.append(_texts(names, size=6, halign="center", valign="center", weight="normal"))
    top = max(dy + y1 for (_, dy), y1 in zip(shifts.values(), sides[:, 3].tolist(), strict=True)) * _UM
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch,
            aspect="equal",
            xlim=(-0.2, width_nm * _UM + 0.2),
            ylim=(-0.3, top + 0.5),
            xlabel="x (µm)",
            ylabel="y (µm)",
            legend_position="top",
            legend_cols=len(LAYERS),
            fontsize=style.FONT_SIZES,
        )
    )


def _texts(rows, *, size: float, halign: str, valign: str, weight: str) -> hv.Labels:
    def clearer(plot, element) -> None:
        for text in plot.handles["artist"]:
            text.set_fontweight(weight)
            text.set_bbox({"facecolor": "#FFFFFF", "alpha": 0.75, "edgecolor": "none", "pad": 0.6})

    return hv.Labels(rows, kdims=["x", "y"], vdims=["text"]).opts(
        hv.opts.Labels(
            color="#000000", size=size, horizontalalignment=halign, verticalalignment=valign, hooks=[clearer]
        )
    )
