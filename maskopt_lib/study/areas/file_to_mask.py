"""Without a notebook: one call from a layout to a mask file, and one that scores a mask file against its layout.

Everything that can be found wrong with the files that are asked for is found before anything is solved, and what was
solved stays until all of them are in place: see :func:`work_folder`.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from maskopt_lib import files
from maskopt_lib.data import schema
from maskopt_lib.errors import BusyFolderError, NothingPrintsWarning
from maskopt_lib.layout.contours import VERTEX_TOLERANCE_NM
from maskopt_lib.layout.layers import Layer, resolve_layer
from maskopt_lib.layout.markers import write_markers
from maskopt_lib.layout.mosaic import MASK_LAYER, TARGET_LAYER
from maskopt_lib.litho import Process, load_process
from maskopt_lib.metrics.rules import read_deck
from maskopt_lib.runs.parts import FOLDER
from maskopt_lib.runs.record import Run, start
from maskopt_lib.runs.spread import workers as workers_of
from maskopt_lib.study.areas import focus_window, own_layout, prints, score_sheet
from maskopt_lib.study.areas.area import Area, check_written, write_area, written_cell
from maskopt_lib.study.areas.batches import open_mask, stitching


@contextmanager
def work_folder(out: Path, work: Path | None = None) -> Iterator[Path]:
    """Where what is solved is kept until the block ends well, so that nobody solves twice.

    Parameters
    ----------
    out : the mask's file; the folder lies beside it, with ``.work`` behind its name, and is removed in the end. What is
        left of a block that failed, or whose process was killed, is taken up by the next one for the same file.
    work : another folder, which stays.

    Raises
    ------
    BusyFolderError : another process works for the same file.
    """
    folder = work or out.with_name(f"{out.name}.work")
    try:
        yield folder
    except BusyFolderError:
        raise
    except BaseException as error:
        if (folder / FOLDER).is_dir():
            error.add_note(f"what is solved is kept in {folder}, and the same command goes on from there")
        elif work is None:
            files.remove(folder)
        raise
    if work is None:
        files.remove(folder)


def optimize(
    source: str | Path,
    out: Path,
    folder: Path,
    *,
    process: str | Path | Process = "embedded",
    region: Sequence[float] | None = None,
    pixel_nm: float = 0.0,
    context_nm: float = 0.0,
    method: str = own_layout.KEEPS_RULES,
    preset: str = "",
    options: Mapping[str, Any] | None = None,
    deck: str | Path | Mapping[str, float] | None = None,
    mask_layer: Layer = MASK_LAYER,
    target_layer: Layer = TARGET_LAYER,
    beside: bool = False,
    contours: str = "smooth",
    vertex_tolerance_nm: float = VERTEX_TOLERANCE_NM,
    around: Path | None = None,
    markers: Path | None = None,
    draw: Callable[[xr.Dataset], Any] | None = None,
    workers: int = 1,
    **layout: Any,
) -> dict[str, Any]:
    """From a layout to a mask file.

    Parameters
    ----------
    source, layout : as for :func:`maskopt_lib.study.areas.own_layout.read`.
    out : the mask, .oas or .gds. Of a region what lies in it; where none is given the mask as far as it goes.
    folder : of the run; what is solved is kept there, and taken from there.
    process : as for :func:`maskopt_lib.litho.load_process`.
    region, pixel_nm, context_nm : as for :func:`maskopt_lib.study.areas.own_layout.plan_of`.
    method, preset, options : how the mask is made.
    deck : mask rules; those of the process by default.
    mask_layer, target_layer, beside, contours, vertex_tolerance_nm : as for
        :func:`maskopt_lib.study.areas.area.write_area`; names of layers are those of the layout's map.
    around : file of the mask as far as it goes around the region, to print it again.
    markers : file of the broken rules and of where the print is off, .lyrdb.
    draw : is given masks and prints before and after, over ``shown`` ("target", the method), ``y`` and ``x``.
    workers : processes for the windows.

    Returns
    -------
    ``scores`` (mask -> score -> value), ``rules``, ``violations``, ``not_printed`` (middles of shapes in nm of which
    nothing prints), what is in the ``file``, ``region_nm``, ``windows``, ``seconds``.

    Raises
    ------
    LayoutError, UnknownNameError, OSError : what cannot be read, or written, before anything is solved.

    Warns
    -----
    NothingPrintsWarning : shapes of the target of which nothing prints.
    """
    process = load_process(process)
    rules = process.deck if deck is None else read_deck(deck)
    for path in filter(None, (out, around, markers)):
        files.check_place(path)
    asked = {"method": method, "preset": preset, "options": dict(options or {}), "process": process.name}
    run = _started(folder, asked)
    area = own_layout.read(source, run.out_dir, process, **layout)
    plan = own_layout.plan_of(area, region or (), context_nm=context_nm, pixel_nm=pixel_nm)
    counted = plan if region else own_layout.with_rim(plan)
    trials = own_layout.trials_of(method, preset, options or {}, rules, plan)
    names = area.platform.process
    how = {
        "layer": resolve_layer(mask_layer, names), "beside": beside, "contours": contours,
        "vertex_tolerance_nm": vertex_tolerance_nm,
    } | ({} if beside else {"target_layer": resolve_layer(target_layer, names)})  # fmt: skip
    for path in filter(None, (out, around)):
        check_written(area, path, plan, run, **how)
    with workers_of(workers if plan.grid != (1, 1) else 0) as client:
        solution = own_layout.solve(area, plan, trials, run, deck=rules, client=client)
        masks = {"target": own_layout.target_mask(area, plan, run), method: solution.mask}
        scores, reports, measured = own_layout.score_masks(masks, area, counted, run, deck=rules, client=client)
    if lost := measured[method].not_printed:
        warnings.warn(said_of(lost), NothingPrintsWarning, stacklevel=2)
    file = write_area(solution.mask, area, out, box_nm=counted.region_nm, **how)
    if around is not None:
        write_area(solution.mask, area, around, **how)
    if markers is not None:
        off = score_sheet.misplaced(measured[method], focus_window.edge_limit_nm(process))
        write_markers(reports[method], markers, misplaced=off, cell=written_cell(area, beside=beside))
    if draw is not None:
        draw(before_and_after(area, masks, own_layout.middle_nm(counted)))
    return {
        "scores": {str(name): {k: v.item() for k, v in scores.sel({schema.METHOD: name}).items()} for name in masks},
        **_report(reports[method], measured[method]),
        "file": {"path": str(out), "polygons": file.polygons, "vertices": file.vertices, "area_nm2": file.area_nm2},
        "region_nm": list(counted.region_nm),
        "windows": list(plan.grid),
        "seconds": solution.runtime_s,
    }


def score(
    mask_file: str | Path,
    source: str | Path,
    folder: Path,
    *,
    process: str | Path | Process = "embedded",
    mask_layer: str = "",
    region: Sequence[float] | None = None,
    pixel_nm: float = 0.0,
    context_nm: float = 0.0,
    deck: str | Path | Mapping[str, float] | None = None,
    **layout: Any,
) -> dict[str, Any]:
    """Score a mask in a file against its target, both as drawn in one layout.

    Parameters
    ----------
    mask_file : a layout; ``mask_layer`` is 111/0 where that is drawn, or the only one.
    source, layout, folder, process, region, pixel_nm, context_nm, deck : as for :func:`optimize`. Of a region its
        surroundings are printed with it, and only what lies in it counts.

    Returns
    -------
    ``process``, the scores, ``rules``, ``violations``, ``not_printed``, and how it was scored.
    """
    process = load_process(process)
    rules = process.deck if deck is None else read_deck(deck)
    run = _started(folder, {"process": process.name})
    area = own_layout.read(source, run.out_dir, process, **layout)
    plan = own_layout.plan_of(area, region or (), context_nm=context_nm, pixel_nm=pixel_nm)
    mask = own_layout.read_mask(mask_file, run.out_dir / "mask", area, mask_layer)
    design = mask.design()
    with stitching(run, "mask", plan) as stitched:
        for window in plan.windows:
            box = plan.kept(window)
            stitched.write(box, design.rasterize(mask.layer, box, plan.pixel_nm))
    counted = plan if region else own_layout.with_rim(plan)
    masks = {"mask": open_mask(run.out_dir / "mask.zarr")}
    scores, reports, measured = own_layout.score_masks(masks, area, counted, run, deck=rules)
    found = {name: values.item() for name, values in scores.isel({schema.METHOD: 0}).items()}
    about = scores.attrs | {"context_nm": plan.context_nm}
    return {"process": process.name, **found, **_report(reports["mask"], measured["mask"]), **about}


def before_and_after(area: Area, masks: Mapping[str, Any], box_nm: Sequence[float]) -> xr.Dataset:
    """Target, mask and prints of a part of several masks, over ``shown``, ``y`` and ``x``."""
    shown = [prints.picture(area, mask, box_nm) for mask in masks.values()]
    return xr.concat(shown, pd.Index(list(masks), name="shown"), combine_attrs="override")


def said_of(places_nm: Sequence[Sequence[float]]) -> str:
    """A sentence on shapes of which nothing prints."""
    some = ", ".join(f"({x:g}, {y:g})" for x, y in places_nm[:5]) + " ..." * (len(places_nm) > 5)
    return (
        f"nothing prints of {len(places_nm)} shape{'s' * (len(places_nm) > 1)} of the target, at {some} nm: the mask "
        "does not hold them, or they are too small for these optics; look at the rule deck, the pixel and k1"
    )


def _report(report: xr.Dataset, measured: prints.Measured) -> dict[str, Any]:
    rules = report["rule"].values.tolist()
    return {
        "rules": {rule: report["at_least"].sel(rule=rule).item() for rule in rules},
        "violations": {rule: int(report["violations"].sel(rule=rule)) for rule in rules},
        "not_printed": measured.not_printed,
    }


def _started(folder: Path, asked: Mapping[str, Any]) -> Run:
    return start("A mask for a layout", notebook="optimize", params=asked, out_dir=folder.resolve(), wait_s=0.0)
