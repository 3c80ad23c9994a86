"""A mask of any size from its tiles to polygons: whole shapes, although no more than a row of tiles is in memory.

Tiles are turned into pixel rectangles, a row of tiles is merged exactly (integers), and what touches the row's upper
border waits for the next one. A shape that is complete gets the contour that :func:`maskopt_lib.layout.mask_rings`
draws as "smooth": through the middles of its pixel edges, then simplified within a tolerance. As the merge is made
before the contour, tile borders leave no vertex behind.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from klayout import db

from maskopt_lib.errors import LayoutError, UnknownNameError
from maskopt_lib.layout.blocks import runs
from maskopt_lib.layout.contours import (
    CONTOURS,
    DATABASE_NM,
    SNAP_UNITS,
    VERTEX_TOLERANCE_NM,
    simple_pieces,
    simplified,
)
from maskopt_lib.layout.designs import INSTANCE, Design
from maskopt_lib.layout.layers import Layer, resolve_layer
from maskopt_lib.layout.writer import WrittenMask, new_layout, on_grid, opened_beside, writable_names, write_polygons

_NM_IN_UM = 1e-3
#: Layers of a written mosaic: the mask, the drawn target, outlines and names of cells.
MASK_LAYER, TARGET_LAYER, OUTLINE_LAYER, NAME_LAYER = (111, 0), (110, 0), (235, 0), (235, 1)


@dataclass(frozen=True, kw_only=True)
class Tile:
    """A piece of a mask.

    Attributes
    ----------
    image : (y, x), 0 or 1.
    x_px, y_px : place of its lower left pixel in the mosaic.
    """

    image: np.ndarray
    x_px: int
    y_px: int


def whole_shapes(rows: Iterable[Iterable[Tile]]) -> Iterator[db.Polygon]:
    """The shapes of a mosaic as pixel polygons, each as soon as it is complete.

    Parameters
    ----------
    rows : rows of tiles from below; tiles of a row are equally high and do not overlap.

    Returns
    -------
    Polygons with holes, in pixels. Pixels that meet only at a corner are apart.
    """
    waiting = db.Region()
    for row in rows:
        top, region = 0, waiting
        region.min_coherence = True
        for tile in row:
            top = tile.y_px + len(tile.image)
            boxes = runs(tile.image) + np.array([tile.x_px, tile.y_px] * 2)
            for box in boxes.tolist():  # a run of pixels along x, repeated from row to row, is one rectangle
                region.insert(db.Box(*box))
        region.merge()
        waiting = db.Region()
        for polygon in region.each():
            if polygon.bbox().top == top:
                waiting.insert(polygon)
            else:
                yield polygon
    yield from waiting.each()


def write_mosaic(
    rows: Iterable[Iterable[Tile]],
    path: str | Path,
    *,
    pixel_nm: float = 1.0,
    origin_nm: tuple[float, float] = (0.0, 0.0),
    contours: str = "smooth",
    vertex_tolerance_nm: float = VERTEX_TOLERANCE_NM,
    layer: Layer = MASK_LAYER,
    context: Design | None = None,
    target: Layer | None = None,
    target_layer: Layer = TARGET_LAYER,
    beside: str | Path | None = None,
) -> WrittenMask:
    """Write a tiled mask as OASIS or GDS at the layout's coordinates, with the cells it was made for.

    Parameters
    ----------
    rows : as for :func:`whole_shapes`.
    path : the file; see :func:`maskopt_lib.layout.write_mask`.
    pixel_nm : side of a pixel in nm.
    origin_nm : (x, y) of the mosaic's lower left corner in the layout.
    contours : "smooth" or "pixel", as for :func:`maskopt_lib.layout.mask_rings`.
    vertex_tolerance_nm : smooth only: how far simplifying may move the contour.
    layer : of the mask.
    context : a design whose cells are shown: hierarchically, outlines on 235/0 and names of cells on 235/1.
    target, target_layer : layer of the design that is written beside the mask, and where.
    beside : instead of a design, as for :func:`maskopt_lib.layout.write_mask`: all of a layout file.

    Returns
    -------
    What is in the file. Holes are cut open, no polygon has one.

    Raises
    ------
    UnknownNameError : other contours.
    LayoutError : a pixel or an origin off the database grid of 0.1 nm, or 0.05 nm where half a pixel needs it.

    Notes
    -----
    Rasters and merging need a row of tiles and the shapes that are not complete; the file's polygons are collected in
    memory (some 16 bytes a vertex) until it is written, for OASIS has its tables at the end.
    """
    if contours not in CONTOURS:
        raise UnknownNameError(f"no contours {contours!r}; known: {', '.join(CONTOURS)}")
    # Half a nanometre's pixel has its middle between the database units.
    grid_nm = DATABASE_NM if abs(math.remainder(pixel_nm / 2, DATABASE_NM)) <= 1e-6 * DATABASE_NM else DATABASE_NM / 2
    half, shift = pixel_nm / 2 / grid_nm, on_grid(origin_nm, grid_nm)
    if not (half >= 0.5 and abs(half - round(half)) <= 1e-6):
        raise LayoutError(f"half a pixel ({pixel_nm / 2:g} nm) must be on the grid of {grid_nm:g} nm")
    tolerance = vertex_tolerance_nm / grid_nm - SNAP_UNITS if contours == "smooth" else None
    if tolerance is not None and not 0 <= tolerance < math.inf:
        raise LayoutError(
            f"vertex_tolerance_nm={vertex_tolerance_nm:g} cannot be kept on a grid of {grid_nm:g} nm; take at "
            f"least {SNAP_UNITS * grid_nm:.2g} nm"
        )
    pair, pixels, units = resolve_layer(layer), 0, 1
    if context is not None and target is not None and pair == resolve_layer(target_layer):
        raise LayoutError(f"mask and target would lie on one layer, {pair[0]}/{pair[1]}; give them two")
    if beside is None:
        layout, top = new_layout(grid_nm, "MASK" if context is None else f"{context.top.name}_MASK")
    else:
        layout, top, units = opened_beside(beside, path, pair, database_nm=grid_nm)

    def pieces() -> Iterator[np.ndarray]:
        nonlocal pixels
        for shape in whole_shapes(rows):
            pixels += shape.area()
            yield from ((piece + shift) * units for piece in simple_pieces(_rings(shape, round(half), tolerance)))

    cells = 0 if context is None else _show(context, layout, top, target, resolve_layer(target_layer))
    writable_names(layout)
    written = write_polygons(layout, top, pieces(), path, layer=pair)
    return replace(written, mask_area_nm2=float(pixels * pixel_nm**2), cells=cells)


def _rings(shape: db.Polygon, half_pixel: int, tolerance: float | None) -> list[np.ndarray]:
    """Rings of a pixel polygon in database units, material counter-clockwise; simplified where there is a tolerance."""
    hulls = [shape.each_point_hull(), *(shape.each_point_hole(i) for i in range(shape.holes()))]
    rings = [np.array([(p.x, p.y) for p in hull])[::-1] for hull in hulls]  # KLayout's hulls are clockwise
    if tolerance is None:
        return [ring * (2 * half_pixel) for ring in rings]
    lines = (simplified(_level_line(ring) * half_pixel, tolerance) for ring in rings)
    return [line for line in lines if line is not None]


def _level_line(points: np.ndarray) -> np.ndarray:
    """The level line between pixel centres, in half pixels, of a ring of pixel corners.

    It runs through the middles of the pixel edges: each corner is cut half a pixel before and half a pixel behind it.
    """
    along = np.roll(points, -1, axis=0) - points
    length = np.abs(along).sum(axis=1, keepdims=True)
    unit = along // length
    line = np.stack([2 * points + unit, 2 * points + (2 * length - 1) * unit], axis=1).reshape(-1, 2)
    keep = np.ones(len(line), bool)
    keep[1::2] = length[:, 0] > 1  # an edge of one pixel has one middle
    return line[keep]


def _show(context: Design, layout: db.Layout, top: db.Cell, target: Layer | None, target_layer: tuple[int, int]) -> int:
    """Put a design's cells beneath the mask: outlines, names, and the target layer."""
    source = context.layout
    layers = db.LayerMapping()
    if target is not None:
        layers.map(source.layer(*resolve_layer(target, context.platform.process)), layout.layer(*target_layer))
    for pair in dict.fromkeys((context.platform.outline, context.platform.die)):
        if (index := source.find_layer(*pair)) is not None:
            layers.map(index, layout.layer(*OUTLINE_LAYER))
    cell = layout.create_cell(context.top.name)
    cells = db.CellMapping()
    cells.for_single_cell_full(cell, context.top)
    layout.copy_tree_shapes(source, cells, layers)
    top.insert(db.CellInstArray(cell.cell_index(), db.Trans()))
    names = top.shapes(layout.layer(*NAME_LAYER))
    table, unit_nm = context.instances(), round(layout.dbu * 1e3, 6)
    sides = [table[side].values for side in ("x0_nm", "y0_nm", "x1_nm", "y1_nm")]
    for name, *box in zip(table["cell"].values.tolist(), *sides, strict=True):
        if np.isfinite(box).all():
            x, y = (box[0] + box[2]) / 2 / unit_nm, (box[1] + box[3]) / 2 / unit_nm
            names.insert(db.Text(name, db.Trans(db.Vector(round(x), round(y)))))
    for index in [c.cell_index() for c in layout.each_cell() if c.is_leaf() and c.is_empty()]:
        layout.delete_cell(index)
    return table.sizes[INSTANCE]
