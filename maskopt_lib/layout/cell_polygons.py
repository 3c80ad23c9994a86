"""The cells of a design by themselves: their polygons, outlines and the names written on them, as one table."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from klayout import db

from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.layout.designs import Design
from maskopt_lib.layout.layers import resolve_layer
from maskopt_lib.layout.shapes import box_nm, ring_nm, unit_nm

#: Layers of a cell that make its picture, from below.
CELL_LAYERS = ("active", "poly", "metal1", "contact")
# Its texts are the names of pins.
_PIN_LAYER = "metal1"


def cell_polygons(
    design: Design, cells: Sequence[str] | None = None, layers: Sequence[str] = CELL_LAYERS
) -> xr.Dataset:
    """Merged polygons of single cells, each in its own coordinates.

    Parameters
    ----------
    design : any; its cells are looked at, not where they stand.
    cells : names; by default those that are placed and have an outline.
    layers : names of layers; one that a cell does not have is left out there.

    Returns
    -------
    Dataset. Over ``vertex``: ``x_nm``, ``y_nm`` and ``polygon``, the number of the one it belongs to. Over
    ``polygon_number``: ``layer`` and ``of`` (the cell). Over ``cell``: ``x0_nm`` to ``y1_nm`` of the outline. Over
    ``label``: ``text``, ``on`` (the cell), ``label_x_nm``, ``label_y_nm``.

    Raises
    ------
    UnknownNameError : a cell that the design does not have.
    """
    outline = design.layout.find_layer(*design.platform.outline)
    pins = design.layout.find_layer(*resolve_layer(_PIN_LAYER, design.platform.process))
    names = list(cells) if cells is not None else sorted(set(design.instances()["cell"].values.tolist()))
    unit = unit_nm(design.layout)
    hulls, parts, texts, boxes = [], [], [], []
    for name in names:
        if (cell := design.layout.cell(name)) is None:
            known = sorted(c.name for c in design.layout.each_cell())
            raise UnknownNameError(f"{design.name} has no cell {name!r}; known: {', '.join(known[:40])}")
        box = db.Box() if outline is None else cell.bbox(outline)
        box = cell.bbox() if box.empty() else box
        boxes.append(box_nm(box, unit))
        for layer in layers:
            hulls += [ring_nm(polygon, unit) for polygon in design.drawn(layer, cell).merged().each()]
            parts += [(layer, name)] * (len(hulls) - len(parts))
        if pins is not None:
            labels = [shape.text for shape in cell.shapes(pins).each() if shape.is_text()]
            texts += [(label.string, name, float(label.x * unit), float(label.y * unit)) for label in labels]
    corners = np.concatenate([np.zeros((0, 2)), *hulls])
    layer, of = zip(*parts, strict=True) if parts else [()] * 2
    text, on, x_nm, y_nm = zip(*texts, strict=True) if texts else [()] * 4
    numbers = np.repeat(np.arange(len(hulls)), [len(hull) for hull in hulls])
    columns = {
        "x_nm": ("vertex", corners[:, 0], "x in the cell", "nm"),
        "y_nm": ("vertex", corners[:, 1], "y in the cell", "nm"),
        "polygon": ("vertex", numbers, "number of the polygon"),
        "layer": ("polygon_number", np.array(layer, dtype=str), "layer"),
        "of": ("polygon_number", np.array(of, dtype=str), "cell"),
        "text": ("label", np.array(text, dtype=str), "name"),
        "on": ("label", np.array(on, dtype=str), "cell"),
        "label_x_nm": ("label", np.array(x_nm, dtype=float), "x of the name", "nm"),
        "label_y_nm": ("label", np.array(y_nm, dtype=float), "y of the name", "nm"),
    }
    for side, values in zip(("x0_nm", "y0_nm", "x1_nm", "y1_nm"), np.reshape(boxes, (-1, 4)).T, strict=True):
        columns[side] = ("cell", values, f"outline of the cell, {side[:2]}", "nm")
    return xr.Dataset(
        {name: schema.column(*described) for name, described in columns.items()},
        coords={"cell": np.array(names, dtype=str)},
        attrs={"design": design.name, "layers": list(layers)},
    )
