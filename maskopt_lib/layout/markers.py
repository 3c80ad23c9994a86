"""Places that break mask rules as a marker file of KLayout."""

from pathlib import Path

import xarray as xr
from klayout import db, rdb

from maskopt_lib import files

_UM = 1e-3


def write_markers(report: xr.Dataset, path: str | Path, *, cell: str = "MASK") -> Path:
    """Write a rule report as markers, ``.lyrdb``, which KLayout's marker browser opens over the mask.

    Parameters
    ----------
    report : of :func:`maskopt_lib.metrics.rule_report`, places in the layout's coordinates.
    path : the file.
    cell : whose coordinates they are in.

    Returns
    -------
    The path. Each rule is a category, the worst place first; a marker is a box as large as what breaks the rule, and
    says number and value.
    """
    database = rdb.ReportDatabase("mask rules")
    database.top_cell_name = cell
    owner = database.create_cell(cell).rdb_id()
    categories = {}
    for rule, limit in zip(report["rule"].values.tolist(), report["at_least"].values.tolist(), strict=True):
        categories[rule] = database.create_category(rule)
        categories[rule].description = f"{rule} is below {limit:g}"
    columns = (report[name].values.tolist() for name in ("violation", "broken", "value", "x_nm", "y_nm", "extent_nm"))
    for number, rule, value, x, y, extent in zip(*columns, strict=True):
        half = max(extent, 2.0) / 2
        item = database.create_item(owner, categories[rule].rdb_id())
        item.add_value(db.DBox((x - half) * _UM, (y - half) * _UM, (x + half) * _UM, (y + half) * _UM))
        item.add_value(f"{number}: {value:g}")
    with files.replacing(Path(path)) as beside:
        database.save(str(beside))
    return Path(path)
