"""All designs looked at once: what is in their files, whether their placements are legal, and what legalising moves."""

from collections.abc import Sequence
from dataclasses import dataclass

import distributed
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.layout.catalog import open_design
from maskopt_lib.layout.counts import KINDS as CELL_KINDS
from maskopt_lib.layout.counts import cell_kinds, design_counts, disagreements, polygon_counts
from maskopt_lib.layout.design_rules import DesignRule, check_design_rules
from maskopt_lib.layout.designs import Design, DesignInfo
from maskopt_lib.layout.legalize import legalize
from maskopt_lib.layout.own_design import LEGALISED
from maskopt_lib.layout.rows import placement_faults
from maskopt_lib.runs.gather import progress
from maskopt_lib.runs.spread import Kept, spread

DESIGN = "design"


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """One design.

    Attributes
    ----------
    info : its entry of the catalog.
    counts : its part of the table of :func:`survey`.
    differences : where the catalog says something else than was counted.
    moves : of the legaliser; None where it had nothing to do.
    """

    info: DesignInfo
    counts: xr.Dataset
    differences: dict[str, tuple[float, float]]
    moves: xr.Dataset | None


def survey(
    designs: Sequence[str],
    layers: Sequence[str],
    *,
    space_nm: tuple[str, float] = ("metal1", 65.0),
    client: distributed.Client | None = None,
) -> tuple[xr.Dataset, dict[str, Surveyed]]:
    """Count designs, check placements and put the global ones on rows.

    Parameters
    ----------
    designs : names of the catalog, or folders of your own designs.
    layers : names of layers to count.
    space_nm : a layer, and the space below which two of its edges are too close.
    client : of workers, one design each; None does one after the other here.

    Returns
    -------
    Dataset over ``design`` and ``layer``: numbers of :func:`maskopt_lib.layout.counts.design_counts` of the file as it
    is; ``polygons_ready`` of the design as :func:`maskopt_lib.layout.open_design` gives it; ``faults`` and
    ``faults_ready``, cells that lie off their row or site, outside, upside down or on others (NaN for files without
    rows); ``close_spaces``, places closer than allowed in a design with wires (NaN for others). And what was
    found of each design, by its name.
    """
    tasks = [(name, tuple(layers), tuple(space_nm)) for name in designs]
    made = progress(len(tasks), "designs", "design", iterable=spread(_survey, tasks, client=client))
    surveyed = {task[0]: each for task, each in made}
    by_name = {surveyed[name].info.name: surveyed[name] for name in designs}
    counts = [each.counts.expand_dims({DESIGN: [name]}) for name, each in by_name.items()]
    table = xr.concat(counts, DESIGN, join="outer", combine_attrs="drop_conflicts").sel(layer=list(layers))
    return table, by_name


def cells_with_kinds(design: Design) -> xr.Dataset:
    """The placed cells of a design with ``kind``, as figures of placements take them."""
    table = design.instances()
    attrs = {"long_name": "what the cell does", "units": "1", "kinds": list(CELL_KINDS)}
    table["kind"] = ("instance", cell_kinds(table["cell"].values), attrs)
    return table


def _survey(task: tuple[str, tuple[str, ...], tuple[str, float]], kept: Kept) -> Surveyed:
    name, layers, (space_layer, space) = task
    moves = None
    ready = as_read = open_design(name, as_read=True)
    info = as_read.info
    if info.state == LEGALISED:
        ready, moves = legalize(as_read)
    counts = design_counts(as_read, layers)
    # What is legal already was counted already.
    polygons = polygon_counts(ready, layers) if moves is not None else counts["polygons"]
    close = np.nan
    if info.state in ("routed", "generated"):
        rule = DesignRule(rule="space", kind="space", layer=space_layer, limit=space)
        close = check_design_rules(ready, [rule]).sizes["violation"]
    counts = counts.assign(
        polygons_ready=polygons.assign_attrs(long_name="merged polygons, ready for use"),
        faults=schema.column((), _faults(as_read), "cells off rows, sites or on others"),
        faults_ready=schema.column((), _faults(ready), "the same, ready for use"),
        close_spaces=schema.column((), float(close), f"spaces of {space_layer} below {space:g} nm"),
    )
    return Surveyed(info=info, counts=counts, differences=disagreements(counts, info), moves=moves)


def _faults(design: Design) -> float:
    if design.path.suffix.lower() != ".def":
        return np.nan
    return float(placement_faults(design).to_dataarray().any("variable").sum())
