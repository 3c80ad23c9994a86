"""The cells of a design by themselves: their polygons, outlines and the names written on them, as one table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from klayout import db

from maskopt_lib.errors import UnknownNameError
from maskopt_lib.layout.designs import Design
from maskopt_lib.layout.io import resolve_layer

#: Layers of a cell that make its picture, from below.
CELL_LAYERS = ("active", "poly", "metal1", "contact")


def cell_polygons(
    design: Design, cells: Sequence[str] | None = None, layers: Sequence[str] = CELL_LAYERS, *, labels: str = "metal1"
) -> xr.Dataset:
    """Merged polygons of single cells, each in its own coordinates.

    Parameters
    ----------
    design : any; its cells are looked at, not where they stand.
    cells : names; by default those that are placed and have an outline.
    layers : names of layers; one that a cell does not have is left out there.
    labels : layer whose texts are taken, the names of pins.

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
    names = list(cells) if cells is not None else sorted(set(design.instances()["cell"].values.tolist()))
    units = round(1 / design.dbu_nm)
    points, numbers, parts, texts, boxes = [], [], [], [], []
    for name in names:
        if (cell := design.layout.cell(name)) is None:
            known = sorted(c.name for c in design.layout.each_cell())
            raise UnknownNameError(f"{design.name} has no cell {name!r}; known: {', '.join(known[:40])}")
        box = db.Box() if outline is None else cell.bbox(outline)
        box = cell.bbox() if box.empty() else box
        boxes.append((box.left / units, box.bottom / units, box.right / units, box.top / units))
        for layer in layers:
            index = design.layout.find_layer(*resolve_layer(layer, design.platform.process))
            if index is None:
                continue
            for polygon in db.Region(cell.begin_shapes_rec(index)).merged().each():
                hull = [(p.x / units, p.y / units) for p in polygon.resolved_holes().each_point_hull()]
                points += hull
                numbers += [len(parts)] * len(hull)
                parts.append((layer, name))
        index = design.layout.find_layer(*resolve_layer(labels, design.platform.process))
        if index is not None:
            written = [shape.text for shape in cell.shapes(index).each() if shape.is_text()]
            texts += [(text.string, name, text.x / units, text.y / units) for text in written]
    corners = np.array(points, dtype=float).reshape(-1, 2)
    sides = np.array(boxes, dtype=float).reshape(-1, 4)
    columns = {
        "x_nm": ("vertex", corners[:, 0], "x in the cell", "nm"),
        "y_nm": ("vertex", corners[:, 1], "y in the cell", "nm"),
        "polygon": ("vertex", np.array(numbers, dtype=int), "number of the polygon", "1"),
        "layer": ("polygon_number", np.array([layer for layer, _ in parts], dtype=str), "layer", "1"),
        "of": ("polygon_number", np.array([cell for _, cell in parts], dtype=str), "cell", "1"),
        "text": ("label", np.array([text for text, *_ in texts], dtype=str), "name", "1"),
        "on": ("label", np.array([row[1] for row in texts], dtype=str), "cell", "1"),
        "label_x_nm": ("label", np.array([row[2] for row in texts], dtype=float), "x of the name", "nm"),
        "label_y_nm": ("label", np.array([row[3] for row in texts], dtype=float), "y of the name", "nm"),
    }
    for side, values in zip(("x0_nm", "y0_nm", "x1_nm", "y1_nm"), sides.T, strict=True):
        columns[side] = ("cell", values, f"outline of the cell, {side[:2]}", "nm")
    return xr.Dataset(
        {name: (dim, v, {"long_name": text, "units": unit}) for name, (dim, v, text, unit) in columns.items()},
        coords={"cell": np.array(names, dtype=str)},
        attrs={"design": design.name, "layers": list(layers)},
    )
