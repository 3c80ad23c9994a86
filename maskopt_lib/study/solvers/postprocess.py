"""What happens to a mask after its optimisation: the same clean-up on masks of any method, and what it costs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
import xarray as xr
from scipy import ndimage

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.opc.cleanup import CleanUp
from maskopt_lib.optics import SocsKernels
from maskopt_lib.runs.record import Run
from maskopt_lib.study.labelled_images import pixel_of
from maskopt_lib.study.solvers.benchmark import score_masks
from maskopt_lib.study.solvers.settings import MERIT, merit

#: Dimensions of what this module returns: ways to post-process, and areas below which shapes are removed.
POST, MIN_AREA = "post", "min_area_nm2"
_ONLY_AREA = {"open_nm": None, "close_nm": None, "round_corners": False}


def post_process(
    masks: xr.DataArray, ways: Mapping[Any, Mapping[str, Any] | None], *, along: str = POST
) -> xr.DataArray:
    """Masks after each of several clean-ups.

    Parameters
    ----------
    masks : ``(*dims, sample, y, x)``, 0 or 1, with ``x`` in nm.
    ways : name -> options of :class:`maskopt_lib.opc.cleanup.CleanUp` that differ from its defaults, which are those
        of CurvyILT's program; None leaves the masks as they are.
    along : name of the new dimension.

    Returns
    -------
    ``(*dims, along, sample, y, x)`` uint8.

    Raises
    ------
    UnknownNameError : an option that the clean-up does not have; lists those it has.
    """
    known = asdict(CleanUp())
    for name, options in ways.items():
        if unknown := sorted(set(options or {}) - set(known)):
            raise UnknownNameError(f"{name!r}: a clean-up has no option {unknown}; known: {', '.join(known)}")
    pixel_nm = pixel_of(masks)
    flat = torch.as_tensor(masks.values.reshape(-1, *masks.shape[-2:]).astype(np.uint8))
    cleaned = [
        (flat if options is None else CleanUp(**options)(flat, pixel_nm)).numpy().reshape(masks.shape)
        for options in ways.values()
    ]
    before = masks.dims[:-3]
    return xr.DataArray(
        np.stack(cleaned, axis=len(before)),
        dims=(*before, along, *masks.dims[-3:]),
        coords={name: masks[name].variable for name in masks.dims} | {along: list(ways)},
        name="mask",
    )


def removed_shapes(before: xr.DataArray, after: xr.DataArray) -> xr.Dataset:
    """What a clean-up took away from masks, and what it added.

    Parameters
    ----------
    before : ``(*dims, sample, y, x)``, 0 or 1.
    after : over the same dimensions and any others.

    Returns
    -------
    Dataset over the dimensions of ``after`` but y and x: ``removed`` (shapes, 4-connected, of which nothing is left),
    ``removed_nm2`` (their area), ``largest_removed_nm2`` (0 where none is), ``trimmed_nm2`` (area taken from shapes
    that stay) and ``added_nm2``.
    """
    columns = {
        "removed": "shapes removed",
        "removed_nm2": ("area of removed shapes", "nm2"),
        "largest_removed_nm2": ("largest shape removed", "nm2"),
        "trimmed_nm2": ("area taken from shapes that stay", "nm2"),
        "added_nm2": ("area added", "nm2"),
    }
    pixel_nm2 = pixel_of(after) ** 2

    def change(old: np.ndarray, new: np.ndarray) -> np.ndarray:
        shapes, n = ndimage.label(old)
        areas = np.bincount(shapes.ravel(), minlength=n + 1)
        left = np.bincount(shapes[new], minlength=n + 1)
        gone = areas[1:][left[1:] == 0]
        trimmed = (areas - left)[1:].sum() - gone.sum()
        areas_nm2 = pixel_nm2 * np.array([gone.sum(), gone.max(initial=0), trimmed, (new & ~old).sum()])
        return np.array([len(gone), *areas_nm2])

    core = {"input_core_dims": [[schema.Y, schema.X]] * 2, "output_core_dims": [["column"]]}
    changes = xr.apply_ufunc(change, before.astype(bool), after.astype(bool), vectorize=True, **core)
    changes = changes.transpose(*after.dims[:-2], "column").assign_coords(column=list(columns))
    return schema.described(changes.to_dataset("column"), columns)


def area_sweep(
    masks: xr.DataArray,
    targets: xr.DataArray,
    kernels: Mapping[str, SocsKernels],
    areas_nm2: Sequence[float],
    *,
    run: Run | None = None,
    workers: int = 1,
) -> xr.Dataset:
    """Scores of masks without their shapes below each of several areas.

    Parameters
    ----------
    masks : ``(kernels, *dims, sample, y, x)``, 0 or 1.
    targets, kernels, run, workers : as for :func:`maskopt_lib.study.score_masks`.
    areas_nm2 : shapes with less area are removed; 0 removes none.

    Returns
    -------
    Dataset ``(kernels, *dims, min_area_nm2, sample)`` of ``l2_nm2``, ``pvb_nm2``, ``merit_nm2`` (their sum), ``shapes``
    and ``msa_nm2``.
    """
    ways = {float(area): {**_ONLY_AREA, MIN_AREA: float(area)} for area in areas_nm2}
    swept = post_process(masks, ways, along=MIN_AREA)
    only = [schema.L2, schema.PVB, schema.SHAPES, schema.MSA]
    scores = score_masks(swept, targets, kernels, own=True, only=only, run=run, workers=workers)
    scores[MERIT] = merit(scores)
    return schema.described(scores, {MIN_AREA: ("area below which shapes are removed", "nm2")})


def rules_kept(masks: xr.DataArray, deck: Mapping[str, float]) -> xr.Dataset:
    """What many masks keep of a deck.

    Parameters
    ----------
    masks : (method, sample, y, x), 0 or 1, with ``x`` in nm.
    deck : rule -> limit.

    Returns
    -------
    Dataset over ``method``, ``sample`` and ``rule``: ``worst`` (the smallest value found) and ``violations`` (number
    of places), as :func:`maskopt_lib.metrics.rule_report` finds them, and the limits ``at_least``.
    """

    def report(mask: xr.DataArray) -> xr.Dataset:
        return metrics.rule_report(mask.values, deck, pixel_of(masks))[["worst", "violations"]]

    rows = [xr.concat(map(report, row), row.get_index(row.dims[0])) for row in masks]
    kept = xr.concat(rows, masks.get_index(masks.dims[0]))
    return kept.assign(at_least=schema.column("rule", list(deck.values()), "limit of the rule", "nm"))
