"""What a design holds, counted, and compared with the catalog or with another layout."""

import re
from collections.abc import Sequence

import numpy as np
import xarray as xr
from klayout import db

from maskopt_lib.data import schema
from maskopt_lib.layout.designs import Design, DesignInfo

#: Side of the windows centred on the logic cells.
WINDOW_NM = 512.0
_UM = 1e-3
_SCALARS = {
    "instances": "placed cells",
    "cells": "distinct cells",
    "logic_cells": "placed logic cells",
    "nets": "nets",
    "nets_routed": "nets with wires",
}
# What cells do, by the words their names begin with; the first that fits.
_KINDS = {
    "fill, tap, tie": r"FILL|TAP|ANTENNA|DECAP|TIE|LOGIC",
    "memory": r"FAKERAM|SRAM",
    "register or latch": r"S?DFF|DLH|DLL|DHL|TLAT|CLKGATE|ICG",
    "buffer or inverter": r"BUF|INV|CLKBUF|CKINV|TBUF|TINV|HB\d",
    "NAND, NOR, AND, OR": r"NAND|NOR|AND|OR\d",
}
#: Of :func:`cell_kinds`, in the order of their numbers.
KINDS = (*_KINDS, "AOI, OAI, XOR, MUX, adder")


def design_counts(design: Design, layers: Sequence[str] | None = None) -> xr.Dataset:
    """Cells, nets and polygons of a design.

    Parameters
    ----------
    design : any.
    layers : names of layers; by default those that its catalog entry names.

    Returns
    -------
    Dataset of ``instances``, ``cells``, ``logic_cells``, ``die_x_um``, ``die_y_um``, ``nets``, ``nets_routed`` (NaN
    where the file has no nets), and over ``layer`` of ``polygons``, merged over the whole layout, and ``windows``: how
    many squares of :data:`WINDOW_NM` centred on the logic cells hold something of the layer.
    """
    layers = list(design.info.layers if layers is None and design.info else layers or ())
    table = design.instances()
    x0, y0, x1, y1 = design.die_nm
    nets, routed = _nets(design)
    numbers = {
        "instances": table.sizes["instance"],
        "cells": len(np.unique(table["cell"].values)),
        "logic_cells": int(table["is_logic"].sum()),
        "nets": nets,
        "nets_routed": routed,
    }
    windows = _windows(design, table)
    hit = [windows.overlapping(_shapes(design, layer)).count() for layer in layers]
    return xr.Dataset(
        {name: schema.column((), float(value), _SCALARS[name]) for name, value in numbers.items()}
        | {
            "die_x_um": schema.column((), (x1 - x0) * _UM, "width of the die", "um"),
            "die_y_um": schema.column((), (y1 - y0) * _UM, "height of the die", "um"),
            "polygons": polygon_counts(design, layers),
            "windows": schema.column("layer", np.array(hit, float), "windows on logic cells that hold it"),
        },
        coords={"layer": np.array(layers, dtype=str)},
        attrs={"design": design.name},
    )


def polygon_counts(design: Design, layers: Sequence[str]) -> xr.DataArray:
    """Polygons of some layers, merged over the whole layout; over ``layer``."""
    numbers = [_shapes(design, layer).merged().count() for layer in layers]
    attrs = {"long_name": "merged polygons", "units": "1"}
    return xr.DataArray(np.array(numbers, float), dims="layer", coords={"layer": list(layers)}, attrs=attrs)


def disagreements(counts: xr.Dataset, info: DesignInfo) -> dict[str, tuple[float, float]]:
    """Where the catalog says something else than was counted: what -> (counted, catalog)."""
    facts = info.facts
    pairs = {name: (float(counts[name]), facts[name]) for name in _SCALARS if name in facts}
    if "die_um" in facts:
        pairs |= {name: (float(counts[name]), facts["die_um"][i]) for i, name in enumerate(("die_x_um", "die_y_um"))}
    for layer in counts["layer"].values.tolist():
        at = counts.sel(layer=layer)
        if layer in facts:
            pairs[layer] = (float(at["polygons"]), facts[layer])
        if layer in facts.get("windows", {}):
            pairs[f"windows of {layer}"] = (float(at["windows"]), facts["windows"][layer])
    return {name: pair for name, pair in pairs.items() if abs(pair[0] - pair[1]) > 1e-6}


def layer_difference(first: Design, second: Design, layers: Sequence[str | tuple[int, int]]) -> xr.Dataset:
    """Area that only one of two layouts covers (exclusive or), layer by layer.

    Returns
    -------
    Dataset over ``layer`` of ``area_nm2`` (covered by the first), ``apart_nm2`` and ``pieces``.
    """
    area, apart, pieces = [], [], []
    for layer in layers:
        of_first, of_second = _shapes(first, layer).merged(), _shapes(second, layer).merged()
        if second.layout.dbu != first.layout.dbu:
            of_second.transform(db.ICplxTrans(second.layout.dbu / first.layout.dbu))
        only = of_first ^ of_second
        area.append(of_first.area() * first.dbu_nm**2)
        apart.append(only.area() * first.dbu_nm**2)
        pieces.append(only.count())
    return xr.Dataset(
        {
            "area_nm2": schema.column("layer", np.array(area, float), "area", "nm2"),
            "apart_nm2": schema.column("layer", np.array(apart, float), "area of one only", "nm2"),
            "pieces": schema.column("layer", np.array(pieces, int), "pieces of one only"),
        },
        coords={"layer": np.array([str(layer) for layer in layers], dtype=str)},
        attrs={"first": first.name, "second": second.name},
    )


def cell_kinds(cells: Sequence[str]) -> np.ndarray:
    """What cells do, by their names, as numbers into :data:`KINDS`.

    Parameters
    ----------
    cells : (n,) names, as in the libraries of the study.

    Examples
    --------
    >>> [KINDS[i] for i in cell_kinds(["DFFR_X1", "NAND2_X1", "OAI21_X2", "FILLCELL_X4"])]
    ['register or latch', 'NAND, NOR, AND, OR', 'AOI, OAI, XOR, MUX, adder', 'fill, tap, tie']
    """
    patterns = [re.compile(pattern, re.IGNORECASE) for pattern in _KINDS.values()]
    names, number = np.unique(np.asarray(cells, dtype=str), return_inverse=True)
    kinds = [next((i for i, p in enumerate(patterns) if p.match(name)), len(patterns)) for name in names.tolist()]
    return np.array(kinds, dtype=int)[number]


def _shapes(design: Design, layer: str | tuple[int, int]) -> db.Region:
    """A layer as it is drawn; empty where the design has nothing on it."""
    region = design.drawn(layer)
    # The rails of a whole block are one polygon once merged, and asking that for every window takes minutes.
    region.merged_semantics = False
    return region


def _windows(design: Design, table: xr.Dataset) -> db.Region:
    logic = table.isel(instance=table["is_logic"].values & np.isfinite(table["x0_nm"].values))
    middle = np.stack([(logic[f"{a}0_nm"] + logic[f"{a}1_nm"]).values / 2 for a in "xy"], axis=1)
    low, high = (np.rint((middle + side) / design.dbu_nm).astype(int) for side in (-WINDOW_NM / 2, WINDOW_NM / 2))
    region = db.Region([db.Box(*a, *b) for a, b in zip(low.tolist(), high.tolist(), strict=True)])
    region.merged_semantics = False  # windows overlap, each counts
    return region


def _nets(design: Design) -> tuple[float, float]:
    """Nets of the DEF file, and how many of them have wires; NaN for other files."""
    if design.path.suffix.lower() != ".def":
        return np.nan, np.nan
    text = design.path.read_text(encoding="utf-8")
    section = re.search(r"^\s*NETS\s+(\d+)\s*;(.*?)^\s*END NETS", text, re.DOTALL | re.MULTILINE)
    if section is None:
        return np.nan, np.nan
    return float(section[1]), float(sum("ROUTED" in net for net in section[2].split(";")))
