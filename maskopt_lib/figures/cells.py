"""Pictures of a standard-cell library."""

import numpy as np
import xarray as xr

from maskopt_lib.figures import marks, page, style
from maskopt_lib.figures.marks import UM

#: Layer -> colour and opacity; others are grey.
LAYERS = {
    "active": (style.GREEN, 0.30),
    "poly": (style.VERMILION, 0.65),
    "metal1": (style.BLUE, 0.55),
    "contact": (style.BLACK, 1.0),
    "via1": (style.PINK, 1.0),
    "metal2": (style.ORANGE, 0.45),
}
_ROW_NM = 12000.0
# Between cells, and what a letter of a name takes, nm.
_GAP_X_NM, _GAP_Y_NM, _LETTER_NM = 250.0, 620.0, 110.0


def cell_gallery(cells: xr.Dataset) -> page.Figure:
    """Cells side by side at one scale, each with its name and its pins.

    Parameters
    ----------
    cells : Dataset of :func:`maskopt_lib.layout.cell_polygons`: ``x_nm``, ``y_nm``, ``polygon`` over ``vertex``,
        ``layer`` and ``of`` over ``polygon_number``, ``x0_nm`` to ``y1_nm`` over ``cell``, and names over ``label``.

    Returns
    -------
    Rows of cells from above in their order; outlines are dashed, layers keyed by colour.
    """
    boxes = dict(zip(style.names(cells["cell"]), marks.boxes_of(cells), strict=True))
    shifts = _places(boxes)
    drawn: list[page.Mark] = []
    starts = np.flatnonzero(np.diff(cells["polygon"].values)) + 1
    points = np.stack([cells["x_nm"].values, cells["y_nm"].values], axis=1)
    outlines = np.split(points, starts) if len(points) else []
    owners, layers = style.names(cells["of"]), style.names(cells["layer"])
    for layer in cells.attrs["layers"]:
        colour, opacity = LAYERS.get(layer, (style.GREY, 0.6))
        placed = [
            (outline + shifts[owner]) * UM
            for outline, owner, on in zip(outlines, owners, layers, strict=True)
            if on == layer
        ]
        if placed:
            drawn += [marks.polygons(placed, colour, opacity), marks.key(layer, colour, 5, alpha=opacity)]
    placed = {name: (box + np.tile(shifts[name], 2)) * UM for name, box in boxes.items()}
    drawn.append(marks.frames(placed.values(), "#000000", 0.5, linestyle="--"))
    # Beside the rail, which stands out over the outline.
    titles = [(box[0], box[3] + 130 * UM, name) for name, box in placed.items()]
    drawn.append(marks.texts(titles, fontweight="bold", **marks.RIGHT_ABOVE))
    pins = zip(*(cells[name].values.tolist() for name in ("on", "label_x_nm", "label_y_nm", "text")), strict=True)
    names = [((shifts[on][0] + x) * UM, (shifts[on][1] + y) * UM, text) for on, x, y, text in pins]
    if names:
        drawn.append(marks.names(names, "#000000", optional=True))
    return page.single(
        drawn,
        aspect="equal",
        xlim=(-0.2, _ROW_NM * UM + 0.2),
        ylim=(-0.3, max(box[3] for box in placed.values()) + 0.5),
        xlabel="x (µm)",
        ylabel="y (µm)",
    )


def _places(boxes: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What moves each cell to its place, in rows from above; the lowest row stands on 0."""
    shifts, x, y, height = {}, 0.0, 0.0, 0.0
    for name, (x0, y0, x1, y1) in boxes.items():
        if x > 0 and x + x1 - x0 > _ROW_NM:
            x, y, height = 0.0, y - height - _GAP_Y_NM, 0.0
        shifts[name] = np.array([x - x0, y - y0])
        x, height = x + max(x1 - x0, _LETTER_NM * len(name)) + _GAP_X_NM, max(height, y1 - y0)
    return {name: shift - (0, y) for name, shift in shifts.items()}
