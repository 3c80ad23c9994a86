"""Pictures of tiles: how windows lie in a cell, and what a tile shows of its surroundings."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from maskopt_lib.figures import marks, style
from maskopt_lib.figures.marks import Box
from maskopt_lib.figures.page import Figure, Mark, Panel
from maskopt_lib.figures.pictures import NM

#: What a layer is filled with; others are grey.
LAYERS = {"metal1": "#8FC1E3", "contact": "#1A1A1A", "via1": style.PINK}
_CORE, _CONTEXT, _CELL, _NOTHING = style.VERMILION, style.GREEN, style.BLACK, "#E6E6E6"


def tile_reading(scene: xr.Dataset, cells: xr.Dataset, *, contexts_nm: Sequence[float] = ()) -> Figure:
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
    for context in contexts_nm or [min(contexts), max(contexts)]:
        panels.append(_image(scene, context, core))
    keys = [marks.key(name, LAYERS.get(name, style.MASK)) for name in style.names(scene["layer"])]
    keys += marks.keys({"core": (_CORE, 1.5), "context": (_CONTEXT, 1.5), "cell": (_CELL, 1.5)})
    return Figure(panels, columns=2, keys=keys)


def _windows(scene: xr.Dataset, cells: xr.Dataset) -> Panel:
    core = scene.attrs["core_nm"]
    bounds = marks.extent(scene)
    boxes = marks.boxes_of(cells)
    seen = marks.within(boxes, bounds)
    is_in = np.isfinite(seen).all(axis=1)
    is_own = is_in & (cells["instance"].values == scene.attrs["instance"])
    drawn = [_painted(scene["shapes"].values, scene, bounds, bounds)]
    if (is_in & ~is_own).any():
        drawn.append(marks.frames(seen[is_in & ~is_own], style.GREY, 0.7))
    corners = np.stack([scene["x_nm"].values, scene["y_nm"].values], axis=-1)
    windows = np.concatenate([corners, corners + core], axis=1)
    drawn.append(marks.frames(windows, _CORE, 0.9, linestyle="--"))
    drawn.append(marks.frames(windows[scene["chosen"].values.astype(bool)], _CORE, 1.6))
    for box in boxes[is_own]:
        drawn.append(marks.frames([box], _CELL, 1.2))
        x, y = _origin(box, scene.attrs["orientation"])
        drawn.append(marks.dots([x], [y], "white", size=20, edgecolor=_CELL, linewidth=1.0))
    middle, plate = corners + core / 2, 0.13 * core * np.array([1.4, 1.0])
    drawn.append(marks.bars(np.concatenate([middle - plate, middle + plate], axis=1), "white", alpha=0.85))
    places = zip(middle, scene["row"].values, scene["column"].values, strict=True)
    drawn.append(marks.texts([(*at, f"{row}, {column}") for at, row, column in places], colour=_CORE))
    return _panel(drawn, bounds, "windows in the frame of the cell")


def _contexts(scene: xr.Dataset, contexts: Sequence[float], core: Box) -> Panel:
    box = _grown(core, (scene.attrs["image_nm"] - scene.attrs["core_nm"]) / 2)
    drawn = [
        _painted(_part(scene, box), scene, box, box),
        marks.frames([_grown(core, context) for context in contexts if context], _CONTEXT, 1.2),
        marks.frames([core], _CORE, 1.6),
    ]
    return _panel(drawn, box, f"one core, contexts of {', '.join(f'{context:g}' for context in contexts)} nm")


def _image(scene: xr.Dataset, context: float, core: Box) -> Panel:
    side = scene.attrs["image_nm"]
    edge = (side - scene.attrs["core_nm"]) / 2
    whole, inner = (0.0, 0.0, side, side), (edge, edge, side - edge, side - edge)
    kept = _grown(inner, context)
    drawn = [_painted(_part(scene, _grown(core, edge)), scene, whole, kept), marks.frames([inner], _CORE, 2.2)]
    drawn += [marks.frames([kept], _CONTEXT, 1.2)] if context else []
    return _panel(drawn, whole, f"image with {context:g} nm of context")


def _panel(drawn: list[Mark], bounds: Box, title: str) -> Panel:
    x0, y0, x1, y1 = bounds
    return Panel(drawn, title=title, xlim=(x0, x1), ylim=(y0, y1), **NM)


def _painted(shapes: np.ndarray, scene: xr.Dataset, bounds: Box, kept: Box) -> Mark:
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
