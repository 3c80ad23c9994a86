"""Places that break mask rules or print off their place, and what a mask changes, as marker files of KLayout."""

from pathlib import Path

import numpy as np
import xarray as xr
from klayout import db, rdb

from maskopt_lib import files
from maskopt_lib.errors import LayoutError

_UM = 1e-3
# Side of a marker of an edge or a contour, which has no extent of its own.
_SITE_NM = 10.0


def write_markers(
    report: xr.Dataset, path: str | Path, *, misplaced: xr.Dataset | None = None, cell: str = "MASK"
) -> Path:
    """Write a rule report, and where the print is off, as markers.

    The file, ``.lyrdb``, opens in KLayout's marker browser over the mask.

    Parameters
    ----------
    report : of :func:`maskopt_lib.metrics.rule_report`, places in the layout's coordinates; ``of_target``, where it
        is there, tells where the target breaks the rule as well.
    path : the file.
    misplaced : over ``place`` with ``kind``, ``x_nm``, ``y_nm`` and ``error_nm``: where the print is off, the worst
        first, such as :func:`maskopt_lib.study.areas.score_sheet.misplaced` finds.
    cell : whose coordinates they are in.

    Returns
    -------
    The path. Each rule is a category, the worst place first; a marker is a box as large as what breaks the rule, and
    says number and value. Each kind of misplaced print is a category too, whose markers say the error in nm.
    """
    database = rdb.ReportDatabase("mask rules and print")
    database.top_cell_name = cell
    owner = database.create_cell(cell).rdb_id()
    categories = {}
    for rule, limit in zip(report["rule"].values.tolist(), report["at_least"].values.tolist(), strict=True):
        categories[rule] = database.create_category(rule)
        categories[rule].description = f"{rule} is below {limit:g}"

    def mark(category: str, x_nm: float, y_nm: float, half_nm: float, text: str) -> None:
        item = database.create_item(owner, categories[category].rdb_id())
        sides = x_nm - half_nm, y_nm - half_nm, x_nm + half_nm, y_nm + half_nm
        item.add_value(db.DBox(*(side * _UM for side in sides)))
        item.add_value(text)

    columns = [report[name].values for name in ("violation", "broken", "value", "x_nm", "y_nm", "extent_nm")]
    of_target = report["of_target"].values if "of_target" in report else np.zeros(len(columns[0]))
    for number, rule, value, x, y, extent, is_drawn in zip(*columns, of_target, strict=True):
        text = f"{number}: {value:g}" + ", as in the target" * bool(is_drawn)
        mark(str(rule), float(x), float(y), max(float(extent), 2.0) / 2, text)
    if misplaced is not None:
        columns = (misplaced[name].values.tolist() for name in ("kind", "x_nm", "y_nm", "error_nm"))
        for kind, x, y, error in zip(*columns, strict=True):
            if kind not in categories:
                categories[kind] = database.create_category(kind)
            mark(kind, x, y, _SITE_NM / 2, "lost" if np.isnan(error) else f"{error:+.3g} nm")
    with files.replacing(Path(path)) as beside:
        database.save(str(beside))
    return Path(path)


def write_differences(
    layout_file: str | Path,
    path: str | Path,
    *,
    drawn: tuple[int, int],
    mask: tuple[int, int],
    least_nm: float = 0.0,
) -> dict[str, float]:
    """Write what a mask adds to a drawn layer, and what it takes away, as markers over both.

    Parameters
    ----------
    layout_file : with both layers, such as a mask written with its original beside it.
    path : the file, ``.lyrdb``.
    drawn, mask : layers in the file.
    least_nm : differences that a square of this side does not fit into are left out; 0 keeps all.

    Returns
    -------
    Category, ``"added"`` and ``"taken away"`` -> area in nm2, of what is marked and lies where the mask reaches.

    Raises
    ------
    LayoutError : a layer is empty.
    """
    layout = db.Layout()
    layout.read(str(layout_file))
    top, regions = layout.top_cell(), []
    for layer in (drawn, mask):
        index = layout.find_layer(*layer)
        region = db.Region() if index is None else db.Region(top.begin_shapes_rec(index)).merged()
        if region.is_empty():
            raise LayoutError(f"{layout_file}: nothing on layer {layer[0]}/{layer[1]}")
        regions.append(region)
    reach = db.Region(regions[1].bbox())
    database = rdb.ReportDatabase("mask against drawing")
    database.top_cell_name = top.name
    owner, areas = database.create_cell(top.name).rdb_id(), {}
    half = round(least_nm / 2e3 / layout.dbu)
    for name, (one, other) in {"added": regions[::-1], "taken away": regions}.items():
        found = (one - other) & reach
        found = found.sized(-half).sized(half) & found if half else found
        category = database.create_category(name)
        for polygon in found.merged().each():
            item = database.create_item(owner, category.rdb_id())
            item.add_value(polygon.to_dtype(layout.dbu))
        areas[name] = found.merged().area() * (layout.dbu / _UM) ** 2
    with files.replacing(Path(path)) as beside:
        database.save(str(beside))
    return areas
