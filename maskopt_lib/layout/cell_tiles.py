"""Tiles at standard-cell placements: windows in the cell's own frame, their geometry, and what the cut does to it.

Our reading of how MaskOpt's tiles are made: in the frame of a cell, windows of ``core_nm`` are stepped from the lower
left corner of its outline along its own axes until they cover it; the last ones overhang. A window is then carried into
the layout with its cell, so that the same window is the same part of the cell however the cell is turned; the image has
the axes of the layout. Around the core the layout is seen as far as the context reaches; beyond it the image is empty.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase

import numpy as np
import xarray as xr

from maskopt_lib.data.schema import X, Y, column
from maskopt_lib.errors import LayoutError, UnknownNameError
from maskopt_lib.layout import signature
from maskopt_lib.layout.blocks import Block, cut_marks, read_block
from maskopt_lib.layout.designs import INSTANCE, Design
from maskopt_lib.layout.layers import resolve_layer
from maskopt_lib.options import NotNegative, Options, Positive

#: Dimension of a table of windows.
TILE = "tile"
# The layout is asked in blocks of about this size, in nm: a few rows of cells high, some cells wide.
_BLOCK_NM = (4096.0, 2048.0)
# Shown around the cell, its windows, and the image.
_MARGIN_NM = 256.0


@dataclass(frozen=True, kw_only=True)
class TileRule(Options):
    """How tiles are cut. All lengths in nm and whole in pixels.

    Attributes
    ----------
    core_nm : side of the window that is judged.
    context_nm : widest context that is kept around the core, on each side.
    image_nm : side of the image; empty beyond core and context.
    pixel_nm : side of a pixel.
    contexts_nm : contexts of which signatures and cuts are told, none wider than ``context_nm``.
    step_nm : from window to window; ``core_nm`` by default, less makes them overlap.
    """

    core_nm: Positive = 512
    context_nm: NotNegative = 128
    image_nm: Positive = 1024
    pixel_nm: Positive = 1
    contexts_nm: tuple[NotNegative, ...] = (0, 16, 32, 64, 128)
    step_nm: Positive | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        lengths = {"core_nm": self.core_nm, "context_nm": self.context_nm, "image_nm": self.image_nm}
        lengths |= {"step_nm": self.step} | {f"context {c:g}": c for c in self.contexts_nm}
        for name, length in lengths.items():
            if abs(length / self.pixel_nm - round(length / self.pixel_nm)) > 1e-9:
                raise LayoutError(f"{name}={length:g} nm is no whole number of {self.pixel_nm:g} nm pixels")
        if not 0 < self.step <= self.core_nm:
            raise LayoutError(f"step_nm={self.step:g}: windows of {self.core_nm:g} nm would not cover a cell")
        if not self.contexts_nm or min(self.contexts_nm) < 0 or max(self.contexts_nm) > self.context_nm:
            raise LayoutError(f"contexts_nm={self.contexts_nm}: some between 0 and context_nm={self.context_nm:g}")
        if self.content_px % 8 or (self.image_px - self.content_px) % 2 or self.image_px < self.content_px:
            raise LayoutError(
                f"core and context are {self.content_px} pixels wide: make them a multiple of 8, and lie in the middle "
                f"of the image's {self.image_px}"
            )

    @property
    def step(self) -> float:
        """From window to window in nm."""
        return self.core_nm if self.step_nm is None else self.step_nm

    @property
    def image_px(self) -> int:
        """Side of the image in pixels."""
        return round(self.image_nm / self.pixel_nm)

    @property
    def content_px(self) -> int:
        """Side of the core with the widest context in pixels."""
        return self.side_px(self.context_nm)

    def side_px(self, context_nm: float) -> int:
        """Side of the core with a context in pixels."""
        return round((self.core_nm + 2 * context_nm) / self.pixel_nm)


@dataclass(frozen=True, kw_only=True, eq=False)
class CutTiles:
    """Some tiles of one layer; n tiles, c contexts.

    Attributes
    ----------
    index : (n,) int64, which windows they are.
    content : (n, y, x / 8) uint8, core and widest context in layout orientation, packed along x, lowest bit first.
    turned : (n, c, 8) uint64, signatures of the content at each context and turn
        (:func:`maskopt_lib.layout.signature.signatures`).
    core_density : (n,) float32, covered share of the core.
    n_shapes_cut : (n, c) int16, shapes of the content that go on beyond it.
    min_cut_nm : (n, c) float32, narrowest piece at a cut; nan where nothing is cut. Both as
        :func:`maskopt_lib.layout.blocks.cut_marks` defines them.
    """

    index: np.ndarray
    content: np.ndarray
    turned: np.ndarray
    core_density: np.ndarray
    n_shapes_cut: np.ndarray
    min_cut_nm: np.ndarray

    @property
    def signature(self) -> np.ndarray:
        """(n, c) uint64, equal for tiles that look the same."""
        return self.turned[..., 0]

    @property
    def canonical(self) -> np.ndarray:
        """(n, c) uint64, equal for tiles that look the same after one of the eight turns."""
        return signature.canonical(self.turned)[0]


def tile_windows(design: Design, rule: TileRule, cells: Sequence[str] | None = None) -> xr.Dataset:
    """The windows at all placements of a design, in a fixed order: by instance as in the design, row, column.

    Parameters
    ----------
    design : with instances that have outlines.
    rule : how to cut.
    cells : names or patterns (``"DFF*"``) of cells; the logic cells by default.

    Returns
    -------
    Dataset over ``tile``: ``instance``, ``cell``, ``orientation``; ``row``, ``column`` of the window in the cell's
    frame, of ``n_rows``, ``n_columns``; ``x_nm``, ``y_nm``, lower left of the core in the layout. Attributes:
    ``design``, ``n_snapped`` (windows whose place is between pixels; they are moved to the nearest pixel, by at most
    half of one along each axis), and the rule's numbers.

    Raises
    ------
    UnknownNameError : a name or pattern that fits no placed cell; lists the cells.
    """
    table = design.instances()
    chosen = np.isfinite(table["x0_nm"].values)
    if cells is None:
        chosen &= table["is_logic"].values
    else:
        names = sorted(set(table["cell"].values.tolist()))
        if unknown := [p for p in cells if not any(fnmatchcase(name, p) for name in names)]:
            raise UnknownNameError(f"{design.name} places no cell {unknown[0]!r}; it has {', '.join(names)}")
        chosen_cells = [name for name in names if any(fnmatchcase(name, p) for p in cells)]
        chosen &= np.isin(table["cell"].values, chosen_cells)
    table = table.isel({INSTANCE: chosen})
    x0, y0, x1, y1 = (table[side].values for side in ("x0_nm", "y0_nm", "x1_nm", "y1_nm"))
    turns = table["orientation"].values
    on_side = np.isin(turns, ("W", "E", "FW", "FE"))
    width, height = np.where(on_side, y1 - y0, x1 - x0), np.where(on_side, x1 - x0, y1 - y0)
    n_rows, n_columns = _count(height, rule), _count(width, rule)
    per_cell = n_rows * n_columns
    owner = np.repeat(np.arange(len(per_cell)), per_cell)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(per_cell) - per_cell, per_cell)
    row, column = number // n_columns[owner], number % n_columns[owner]
    # Where the cell's own axes point to in the layout: its x axis left in S, FN, up in W, FW and down in E, FE ...
    right, up = column * rule.step, row * rule.step
    along_x, along_y = np.where(on_side[owner], up, right), np.where(on_side[owner], right, up)
    from_right = np.isin(turns, ("S", "FN", "W", "FE"))[owner]
    from_top = np.isin(turns, ("S", "FS", "E", "FE"))[owner]
    x = np.where(from_right, x1[owner] - along_x - rule.core_nm, x0[owner] + along_x)
    y = np.where(from_top, y1[owner] - along_y - rule.core_nm, y0[owner] + along_y)
    snapped_x, snapped_y = (np.floor(v / rule.pixel_nm + 0.5) * rule.pixel_nm for v in (x, y))
    columns = {
        "instance": (table[INSTANCE].values[owner], "instance", "1"),
        "cell": (table["cell"].values[owner], "cell", "1"),
        "orientation": (turns[owner], "orientation as in DEF", "1"),
        "row": (row.astype(np.int16), "row of the window in the cell", "1"),
        "column": (column.astype(np.int16), "column of the window in the cell", "1"),
        "n_rows": (n_rows[owner].astype(np.int16), "rows of windows of the cell", "1"),
        "n_columns": (n_columns[owner].astype(np.int16), "columns of windows of the cell", "1"),
        "x_nm": (snapped_x, "left side of the core", "nm"),
        "y_nm": (snapped_y, "lower side of the core", "nm"),
    }
    moved = int(((np.abs(x - snapped_x) > 1e-6) | (np.abs(y - snapped_y) > 1e-6)).sum())
    numbers = asdict(rule) | {"step_nm": rule.step, "contexts_nm": list(rule.contexts_nm)}
    return xr.Dataset(
        {name: (TILE, values, {"long_name": long, "units": units}) for name, (values, long, units) in columns.items()},
        attrs={"design": design.name, "n_snapped": moved, **numbers},
    )


def cut_tiles(design: Design, layer: str | tuple[int, int], windows: xr.Dataset, rule: TileRule) -> Iterator[CutTiles]:
    """Cut windows out of a layer, block of the layout by block.

    Parameters
    ----------
    design, layer : of the layout.
    windows : of :func:`tile_windows`, all or a part; ``x_nm`` and ``y_nm`` decide.
    rule : how to cut.

    Yields
    ------
    The tiles of one block after the other; ``index`` counts the windows as they are given. What a tile holds does not
    depend on what it is cut with. Memory is that of one block.

    Raises
    ------
    LayoutError : no such layer, or pixels that are no whole number of database units.
    """
    design.bounds_nm(layer)  # refuses a layer without shapes, which a single block may well lack
    pair = resolve_layer(layer, design.platform.process)
    margin = round(rule.context_nm / rule.pixel_nm)
    x, y = (np.rint(windows[name].values / rule.pixel_nm).astype(np.int64) - margin for name in ("x_nm", "y_nm"))
    width, height = (max(1, round(length / rule.pixel_nm)) for length in _BLOCK_NM)
    key = np.stack([x // width, y // height], axis=1)
    order = np.lexsort((key[:, 0], key[:, 1]))
    ends = np.flatnonzero((np.diff(key[order], axis=0) != 0).any(axis=1)) + 1
    for index in np.split(order, ends) if len(order) else ():
        yield _cut_block(design, pair, index, x[index], y[index], rule)


def content_image(packed: np.ndarray, rule: TileRule, context_nm: float) -> np.ndarray:
    """The image of a tile, (..., image, image) uint8, row 0 lowest: content as far as a context reaches, empty beyond.

    Parameters
    ----------
    packed : (..., y, x / 8) uint8 of :class:`CutTiles`.
    rule : how it was cut.
    context_nm : at most the rule's ``context_nm``.
    """
    if not 0 <= context_nm <= rule.context_nm:
        raise LayoutError(f"context_nm={context_nm:g}: the tiles keep 0 to {rule.context_nm:g} nm")
    content = np.unpackbits(packed, axis=-1, bitorder="little")
    beyond = (rule.content_px - rule.side_px(context_nm)) // 2
    inner = slice(beyond, rule.content_px - beyond)
    image = np.zeros((*content.shape[:-2], rule.image_px, rule.image_px), np.uint8)
    edge = (rule.image_px - rule.side_px(context_nm)) // 2
    outer = slice(edge, rule.image_px - edge)
    image[..., outer, outer] = content[..., inner, inner]
    return image


def _cut_block(
    design: Design, layer: tuple[int, int], index: np.ndarray, x: np.ndarray, y: np.ndarray, rule: TileRule
) -> CutTiles:
    side, n = rule.content_px, len(index)
    sides = np.array([rule.side_px(context) for context in rule.contexts_nm])
    # One pixel more on each side: what goes on beyond a tile.
    bounds = (int(x.min()) - 1, int(y.min()) - 1, int(x.max()) + side + 1, int(y.max()) + side + 1)
    block = read_block(design, layer, bounds, rule.pixel_nm)
    content, found = np.empty((n, side, side // 8), np.uint8), []
    for i, (left, low) in enumerate(zip(x.tolist(), y.tolist(), strict=True)):
        tile = block.window(left, low, side)
        content[i] = tile.packed()
        found.append(_corners(tile, left, low, side))
    owner = np.repeat(np.arange(n), list(map(len, found)))
    corners = np.concatenate(found)
    half = rule.side_px(0)
    a, b = np.clip(corners[:, 0], -half, half), np.clip(corners[:, 1], -half, half)
    covered = np.bincount(owner, corners[:, 2] * a * b, minlength=n)  # in quarters of pixels
    margins = (side - sides) // 2
    left, low = ((v[:, None] + margins).ravel() for v in (x, y))
    shapes_cut, narrowest = (v.reshape(n, -1) for v in cut_marks(block, left, low, np.tile(sides, n)))
    return CutTiles(
        index=index,
        content=content,
        turned=signature.signatures(corners, owner, n, sides),
        core_density=(covered / (4 * half**2)).astype(np.float32),
        n_shapes_cut=shapes_cut.astype(np.int16),
        min_cut_nm=(narrowest * rule.pixel_nm).astype(np.float32),
    )


def _corners(tile: Block, left: int, low: int, side: int) -> np.ndarray:
    difference = signature.mixed_difference(tile.cells)
    row, column = np.nonzero(difference)
    return np.stack(
        [2 * (tile.x[column] - left) - side, 2 * (tile.y[row] - low) - side, difference[row, column]], axis=1
    )


def _count(length_nm: np.ndarray, rule: TileRule) -> np.ndarray:
    # Lengths are sums of decimals: a cell of exactly two windows must not get a third one for the last bit.
    return np.maximum(np.ceil((length_nm - rule.core_nm) / rule.step - 1e-9), 0).astype(np.int64) + 1


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
