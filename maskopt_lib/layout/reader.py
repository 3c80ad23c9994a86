"""`open_layout`: any GDS, OASIS or DEF file as KLayout's database, looked at before anything in it is expanded."""

import re
import warnings
from collections.abc import Iterable
from pathlib import Path

from klayout import db

from maskopt_lib.errors import LayoutError, LayoutWarning, MissingDataError
from maskopt_lib.layout.guard import check_file
from maskopt_lib.layout.layers import Layer, Layers, resolve_layer
from maskopt_lib.layout.shapes import MAX_SHAPES, MAX_UNITS, PLACED, has_shapes

_DBU_UM = (1e-9, 1e3)
# What KLayout says, and what it means.
_MEANINGS = {
    "topological_sort": "its cells refer to each other in a circle; break it where the layout was made",
    "already exists": "two of its cells have one name; rename one, or merge them where the layout was made",
    "bad_alloc": "it needs more memory than there is; export a part of it",
    "UnicodeDecodeError": "damaged: a text in it is no UTF-8; export it again",
}


def layout_suffix(path: Path) -> str:
    """Suffix of a layout file, without the .gz behind it."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def open_layout(path: str | Path, options: db.LoadLayoutOptions | None = None) -> db.Layout:
    """A GDS, OASIS or DEF file, .gz or not, as KLayout's database; nothing is expanded.

    Parameters
    ----------
    path : the file.
    options : for a DEF, what it is read with; such a layout can be changed, others cannot.

    Returns
    -------
    The layout with its hierarchy; arrays and repetitions are kept as such.

    Raises
    ------
    MissingDataError : no such file.
    LayoutError : no such format, damaged, grows beyond all bounds, cells that refer to each other in a circle, two
        cells of one name, no cell, or coordinates beyond 2^30 database units; the message says what to do.

    Warns
    -----
    LayoutWarning : cells that are referred to and not in the file, placements that are magnified or turned by less than
        90 degrees, names that are no UTF-8, or something behind the end of the file.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingDataError(f"no layout at {path} (looked in {Path.cwd()}); check the path")
    check_file(path)
    layout = db.Layout(options is not None)
    options = options or db.LoadLayoutOptions()
    options.warn_level = 0  # what matters of it is said here
    try:
        layout.read(str(path), options)
    except (RuntimeError, UnicodeDecodeError) as error:
        said = f"{type(error).__name__} {error}"
        meaning = next((meaning for sign, meaning in _MEANINGS.items() if sign in said), None)
        said = re.sub(r"(, in file: .*| in Layout.read)$", "", str(error))
        raise LayoutError(
            f"{path}: {meaning or f'KLayout cannot read it ({said}); fetch or export it again'}"
        ) from error
    if layout.cells() == 0:
        raise LayoutError(f"{path}: there is no cell in it; export it again")
    if not _DBU_UM[0] <= layout.dbu <= _DBU_UM[1]:
        raise LayoutError(f"{path}: its database unit is {layout.dbu * 1e3:g} nm, which no layout has; export it again")
    _say_names(path, layout)
    _check_places(path, layout)
    return layout


def top_cell(path: Path, layout: db.Layout, cell: str | None, option: str = "cell") -> db.Cell:
    """A cell by name, or the only one that no other one holds."""
    if cell is not None:
        if (found := layout.cell(str(cell))) is None:
            raise LayoutError(f"{path}: no cell {cell!r}; it has {_some(c.name for c in layout.each_cell())}")
        return found
    tops = [c for c in layout.top_cells() if not c.is_ghost_cell()]
    if len(tops) != 1:
        raise LayoutError(f"{path}: {len(tops)} top cells ({_some(c.name for c in tops)}); choose one with {option}=")
    return tops[0]


def _say_names(path: Path, layout: db.Layout) -> None:
    renamed, missing = [], []
    for cell in layout.each_cell():
        try:
            name = cell.name
        except RuntimeError:  # KLayout passes names on as UTF-8
            name = f"CELL_{cell.cell_index()}"
            layout.rename_cell(cell.cell_index(), name)
            renamed.append(name)
        if cell.is_ghost_cell() and cell.parent_cells() and not layout.is_editable():
            missing.append(name)
    if renamed:
        text = f"{path}: names of cells that are no UTF-8; they are called {_some(renamed)} here"
        warnings.warn(text, LayoutWarning, stacklevel=4)
    if missing:
        text = f"{path}: it refers to cells that are not in it, and count as empty: {_some(missing)}"
        warnings.warn(text, LayoutWarning, stacklevel=4)


def _check_places(path: Path, layout: db.Layout) -> None:
    """Refuse coordinates that overflow, anywhere below a cell; say what stands magnified or slanted; count."""
    reach: dict[int, float] = {}
    counts: dict[int, int] = {}
    turned = {}
    for number in layout.each_cell_bottom_up():
        cell = layout.cell(number)
        box = cell.bbox()
        farthest = 0 if box.empty() else max(-box.left, -box.bottom, box.right, box.top)
        counts[number] = sum(cell.shapes(index).size() for index in layout.layer_indexes())
        for placed in cell.each_inst():
            inside = reach[placed.cell_index]
            counts[number] += placed.size() * (1 + counts[placed.cell_index])
            if placed.is_complex():
                place = placed.cplx_trans
                turned.setdefault(
                    placed.cell_index, f"{placed.cell.name} in {cell.name} (x{place.mag:g}, {place.angle:g} degrees)"
                )
                inside *= 1.5 * place.mag
            move = placed.trans.disp
            far = max(abs(move.x), abs(move.y))
            if placed.is_regular_array():
                a, b = placed.a, placed.b
                far += max(abs(a.x), abs(a.y)) * max(placed.na - 1, 0) + max(abs(b.x), abs(b.y)) * max(placed.nb - 1, 0)
            farthest = max(farthest, far + inside)
        if farthest > MAX_UNITS:
            raise LayoutError(
                f"{path}: cell {cell.name} reaches {farthest:.3g} database units from its origin; at most {MAX_UNITS} "
                "are read exactly: write it with a larger database unit, or nearer to the origin"
            )
        reach[number] = farthest
    layout.add_meta_info(db.LayoutMetaInfo(PLACED, min(max(counts.values()), 2 * MAX_SHAPES)))
    if turned:
        text = f"{path}: placements that are magnified or slanted, their corners rounded to the database unit: "
        warnings.warn(text + _some(turned.values()), LayoutWarning, stacklevel=4)


def layer_in(
    path: Path, layout: db.Layout, cell: db.Cell, layer: Layer | None, layers: Layers
) -> tuple[int, tuple[int, int]]:
    used = {
        (info.layer, info.datatype): layout.layer(info)
        for info in sorted(layout.layer_infos(), key=lambda info: (info.layer, info.datatype))
        if has_shapes(cell, layout.layer(info))
    }
    if not used:
        raise LayoutError(f"{path}: cell {cell.name} has no polygon, the clip is empty; choose another cell")
    if layer is None:
        if len(used) > 1:
            raise LayoutError(f"{path}: polygons on several layers, {_some(used)}; choose one with layer=")
        return next((index, pair) for pair, index in used.items())
    try:
        pair = resolve_layer(layer, layers)
    except LayoutError as error:
        raise LayoutError(f"{path}: {error}; layers with polygons: {_some(used)}") from None
    if pair not in used:
        only = "only texts" if layout.find_layer(*pair) is not None else "no polygon"
        raise LayoutError(f"{path}: {only} on layer {called(pair, layer)}; layers with polygons: {_some(used)}")
    return used[pair], pair


def called(pair, layer) -> str:
    return f"{layer!r} {pair}" if isinstance(layer, str) else f"{pair}"


def _some(names: Iterable) -> str:
    names, limit = list(names), 12
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(str(name) for name in names[:limit]) or "none") + more
