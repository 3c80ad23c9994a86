"""Places that break mask rules or print off their place as a marker file of KLayout."""

from pathlib import Path

import numpy as np
import xarray as xr
from klayout import db, rdb

from maskopt_lib import files

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
    report : of :func:`maskopt_lib.metrics.rule_report`, places in the layout's coordinates.
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

    columns = (report[name].values.tolist() for name in ("violation", "broken", "value", "x_nm", "y_nm", "extent_nm"))
    for number, rule, value, x, y, extent in zip(*columns, strict=True):
        mark(rule, x, y, max(extent, 2.0) / 2, f"{number}: {value:g}")
    if misplaced is not None:
        columns = (misplaced[name].values.tolist() for name in ("kind", "x_nm", "y_nm", "error_nm"))
        for kind, x, y, error in zip(*columns, strict=True):
            if kind not in categories:
                categories[kind] = database.create_category(kind)
            mark(kind, x, y, _SITE_NM / 2, "lost" if np.isnan(error) else f"{error:+.3g} nm")
    with files.replacing(Path(path)) as beside:
        database.save(str(beside))
    return Path(path)
