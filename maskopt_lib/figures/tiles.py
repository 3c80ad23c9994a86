"""Pictures of tiles: how windows lie in a cell, and what a tile shows of its surroundings."""

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import marks, style
from maskopt_lib.figures.marks import Box

#: What a layer is filled with; others are grey.
LAYERS = {"metal1": "#8FC1E3", "contact": "#1A1A1A", "via1": style.PINK}
_CORE, _CONTEXT, _CELL, _NOTHING = style.VERMILION, style.GREEN, style.BLACK, "#E6E6E6"


def tile_reading(scene: xr.Dataset, cells: xr.Dataset, *, contexts_nm: Sequence[float] = ()) -> hv.Layout:
    """How the paper's tiles are read here: windows in a cell, one of them with its contexts, and the images they give.

    Parameters
    ----------
    scene : Dataset of :func:`maskopt_lib.layout.cell_tiles`: ``shapes`` (layer, y, x), the windows of a cell, one of
        them ``chosen``; attributes ``cell``, ``orientation``, ``core_nm``, ``contexts_nm``, ``image_nm``.
    cells : Dataset over ``instance`` with ``x0_nm`` to ``y1_nm`` and ``cell``.
    contexts_nm : of the images; the narrowest and the widest by default.

    Returns
    -------
    Panels: the cell among its neighbours with its windows, numbered row, column in the cell's own frame from its
    origin (ring); the chosen window with all contexts; one image a context, grey where it is empty by rule.
    """
    core_nm, contexts = scene.attrs["core_nm"], list(scene.attrs["contexts_nm"])
    window = scene.isel(window=int(np.flatnonzero(scene["chosen"].values)[0]))
    x, y = float(window["x_nm"]), float(window["y_nm"])
    core = (x, y, x + core_nm, y + core_nm)
    panels = [_windows(scene, cells), _contexts(scene, contexts, core)]
    for i, context in enumerate(contexts_nm or [min(contexts), max(contexts)]):
        panels.append(_image(scene, context, core, is_keyed=i == 0))
    return style.grid(panels, columns=2, size_inch=4.6, hspace=0.25, vspace=0.25)


def _windows(scene: xr.Dataset, cells: xr.Dataset) -> hv.Overlay:
    core = scene.attrs["core_nm"]
    bounds = x0, y0, x1, y1 = marks.extent(scene)
    boxes = marks.boxes_of(cells)
    seen = marks.within(boxes, bounds)
    is_in = np.isfinite(seen).all(axis=1)
    is_own = is_in & (cells["instance"].values == scene.attrs["instance"])
    drawn = [_painted(scene["shapes"].values, scene, bounds, bounds)]
    if (is_in & ~is_own).any():
        drawn.append(marks.frames(seen[is_in & ~is_own], style.GREY, 1.0))
    corners = np.stack([scene["x_nm"].values, scene["y_nm"].values], axis=-1)
    windows = np.concatenate([corners, corners + core], axis=1)
    drawn.append(marks.frames(windows, _CORE, 1.4, linestyle="--"))
    drawn.append(marks.frames(windows[scene["chosen"].values.astype(bool)], _CORE, 2.6))
    for box in boxes[is_own]:
        drawn.append(marks.frames([box], _CELL, 1.8))
        x, y = _origin(box, scene.attrs["orientation"])
        drawn.append(marks.dots([x], [y], "white", size=60, edgecolor=_CELL, linewidth=1.6))
    middle, plate = corners + core / 2, 0.13 * core * np.array([1.4, 1.0])
    drawn.append(marks.bars(np.concatenate([middle - plate, middle + plate], axis=1), "white", alpha=0.85))
    places = zip(middle, scene["row"].values, scene["column"].values, strict=True)
    drawn.append(marks.texts([(*at, f"{row}, {column}") for at, row, column in places], colour=_CORE, size=11))
    # Names stand below the upper edges of cells with room for them.
    names = [
        ((box[0] + box[2]) / 2, box[3] - 0.03 * (y1 - y0), name)
        for box, name in zip(seen, style.names(cells["cell"]), strict=True)
        if box[2] - box[0] > 0.02 * len(name) * (x1 - x0) and box[3] - box[1] > 0.12 * (y1 - y0)
    ]
    drawn += [marks.texts(names, colour=_CELL)] if names else []
    return style.map_axes(drawn, bounds, legend=None, title="windows in the frame of the cell")


def _contexts(scene: xr.Dataset, contexts: Sequence[float], core: Box) -> hv.Overlay:
    box = _grown(core, (scene.attrs["image_nm"] - scene.attrs["core_nm"]) / 2)
    drawn = [
        _painted(_part(scene, box), scene, box, box),
        marks.frames([_grown(core, context) for context in contexts if context], _CONTEXT, 1.2),
        marks.frames([core], _CORE, 2.6),
    ]
    return style.map_axes(
        drawn, box, legend=None, title=f"one core, contexts of {', '.join(f'{context:g}' for context in contexts)} nm"
    )


def _image(scene: xr.Dataset, context: float, core: Box, *, is_keyed: bool) -> hv.Overlay:
    side = scene.attrs["image_nm"]
    edge = (side - scene.attrs["core_nm"]) / 2
    whole, inner = (0.0, 0.0, side, side), (edge, edge, side - edge, side - edge)
    kept = _grown(inner, context)
    drawn = [_painted(_part(scene, _grown(core, edge)), scene, whole, kept), marks.frames([inner], _CORE, 2.2)]
    drawn += [marks.frames([kept], _CONTEXT, 1.2)] if context else []
    if is_keyed:
        drawn += [marks.key(name, LAYERS.get(name, style.MASK)) for name in style.names(scene["layer"])]
        drawn += marks.keys({"core": (_CORE, 2), "context": (_CONTEXT, 2), "cell": (_CELL, 2)})
    title, legend = f"image with {context:g} nm of context", "bottom_left" if is_keyed else None
    return style.map_axes(drawn, whole, title=title, legend=legend, legend_cols=3)


def _painted(shapes: np.ndarray, scene: xr.Dataset, bounds: Box, kept: Box) -> hv.RGB:
    """Shapes (layer, y, x) of the scene's layers over each other; grey outside what is kept."""
    height, width = shapes.shape[1:]
    x0, y0, x1, y1 = bounds
    y = y0 + (np.arange(height) + 0.5) * (y1 - y0) / height
    x = x0 + (np.arange(width) + 0.5) * (x1 - x0) / width
    beyond = ((y < kept[1]) | (y > kept[3]))[:, None] | (x < kept[0]) | (x > kept[2])
    layers = style.names(scene["layer"])
    fills = [(image > 0, LAYERS.get(layer, style.MASK)) for image, layer in zip(shapes, layers, strict=True)]
    return marks.picture(marks.painted(*fills, (beyond, _NOTHING)), bounds)


def _grown(box: Box, by: float) -> Box:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _part(scene: xr.Dataset, box: Box) -> np.ndarray:
    x, y = scene["x"].values, scene["y"].values
    inside = {"y": (y > box[1]) & (y < box[3]), "x": (x > box[0]) & (x < box[2])}
    return scene["shapes"].isel(inside).transpose("layer", "y", "x").values


def _origin(box: Box, orientation: str) -> tuple[float, float]:
    """Where the lower left corner of a cell's own frame is."""
    x = box[2] if orientation in ("S", "FN", "W", "FE") else box[0]
    y = box[3] if orientation in ("S", "FS", "E", "FE") else box[1]
    return x, y
