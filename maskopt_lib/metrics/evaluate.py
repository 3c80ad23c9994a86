"""One call, one labelled Dataset: every score of a mask against its target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.grid import grid_of
from maskopt_lib.metrics import area, epe, shapes
from maskopt_lib.metrics._arrays import binary, to_numpy


def evaluate(
    mask: Any,
    target: Any,
    sim: Any,
    *,
    sample: Sequence[Any] | None = None,
    only: Iterable[str] | None = None,
) -> xr.Dataset:
    """Score masks against their targets: print quality under a simulator, and what it takes to make the mask."""
    mask, target = binary(mask, "mask"), binary(target, "target")
    if mask.shape != target.shape:
        raise GridMismatchError(
            f"mask and target must share one grid (*batch, y, x), got {mask.shape} and {target.shape}; "
            "rasterize the target at the mask's pixel size"
        )
    mask, target = (a.reshape(-1, *a.shape[-2:]) for a in (mask, target))
    pixel_nm = grid_of(mask.shape, sim.kernels.period_nm).pixel_nm
    wanted = _chosen(only)
    names = list(range(len(mask))) if sample is None else list(sample)
    if len(names) != len(mask):
        raise GridMismatchError(f"sample names {len(names)} clips, the mask holds {len(mask)}")

    rows = []
    for m, t in zip(mask, target, strict=True):
        row: dict[str, float] = {}
        if _PRINT & wanted:
            row |= _print_scores(m, t, sim, pixel_nm, wanted)
        for produced, score in _MASK_SCORES.items():
            if wanted & set(produced):
                row |= dict(zip(produced, score(m, pixel_nm), strict=True))
        rows.append(row)

    return schema.label(
        xr.Dataset(
            {name: (schema.SAMPLE, np.array([row[name] for row in rows])) for name in _ALL if name in wanted},
            coords={schema.SAMPLE: names},
            attrs={
                "kernels": sim.kernels.name,
                "threshold": float(sim.threshold),
                "pixel_nm": pixel_nm,
                "epe_limits_nm": list(epe.LIMITS_NM),
                "epe_search_nm": epe.SEARCH_NM,
            },
        )
    )


def _print_scores(
    mask: np.ndarray, target: np.ndarray, sim: Any, pixel_nm: float, wanted: set[str]
) -> dict[str, float]:
    """L2, PV band and EPE of one clip, from one simulation."""
    aerial = to_numpy(sim.aerial(mask.astype(np.float32)))
    printed = aerial >= aerial.dtype.type(sim.threshold)
    corner = dict(zip(schema.CORNERS, range(len(schema.CORNERS)), strict=True))
    row = {
        schema.L2: area.l2_nm2(printed[corner[schema.NOMINAL]], target, pixel_nm),
        schema.PVB: area.pvb_nm2(printed[corner[schema.OUTER]], printed[corner[schema.INNER]], pixel_nm),
    }
    if _EPE & wanted:
        nominal = aerial[corner[schema.NOMINAL]]
        row |= epe.summarize(epe.epe_sites(nominal, target, pixel_nm=pixel_nm, threshold=sim.threshold))
    return row


_EPE = {schema.EPE15, schema.EPE3, schema.EPE_SITES, schema.EPE_MEAN_ABS, schema.EPE_MAX_ABS}
_PRINT = {schema.L2, schema.PVB} | _EPE
_MASK_SCORES: dict[tuple[str, ...], Callable[[np.ndarray, float], tuple]] = {
    (schema.SHAPES, schema.MSA, schema.MSD): shapes.shape_rules,
}
#: Every score, in the order in which tables show them.
_ALL = tuple(name for name in schema.VARIABLES if name in _PRINT.union(*_MASK_SCORES))


def _chosen(only: Iterable[str] | None) -> set[str]:
    if only is None:
        return set(_ALL)
    wanted = {only} if isinstance(only, str) else set(only)
    if unknown := wanted - set(_ALL):
        raise UnknownNameError(f"no such score: {sorted(unknown)}; the known ones are {list(_ALL)}")
    return wanted
