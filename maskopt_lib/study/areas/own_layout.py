"""From somebody's layout to a mask: read a region of any size, solve it, score it, report its rules, write it.

A region that fits a field beside its context is one window. A larger one is cut into windows, whose seams are solved
again, repaired and mended (:mod:`maskopt_lib.study.areas.area`). All the rest is the same: the outer windows' contexts
go on around the region, so that its border makes no line ends; the mask is printed as it was stitched, and what lies in
the region counts.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import files, metrics
from maskopt_lib.data import schema
from maskopt_lib.errors import BusyFolderError, NothingPrintsWarning
from maskopt_lib.layout.contours import VERTEX_TOLERANCE_NM
from maskopt_lib.layout.layers import Layer, resolve_layer
from maskopt_lib.layout.markers import write_markers
from maskopt_lib.layout.mosaic import MASK_LAYER, TARGET_LAYER
from maskopt_lib.layout.windows import Plan, StitchedMask, grown
from maskopt_lib.litho import Process, load_process
from maskopt_lib.metrics.rules import read_deck
from maskopt_lib.opc import METHODS
from maskopt_lib.runs.parts import FOLDER
from maskopt_lib.runs.record import Run, start
from maskopt_lib.runs.spread import workers as workers_of
from maskopt_lib.study.areas import focus_window, prints, score_sheet
from maskopt_lib.study.areas.area import Area, TiledArea, check_written, seam_pass, solve_area, write_area, written_cell
from maskopt_lib.study.areas.batches import open_mask, pixels_of, stitching, target_of
from maskopt_lib.study.areas.mending import mend
from maskopt_lib.study.areas.own_region import files_read, inputs_of, middle_nm, plan_of, read, read_mask, with_rim
from maskopt_lib.study.solvers.masks import Trial

__all__ = [
    "Solution", "drawn", "files_read", "inputs_of", "middle_nm", "optimize", "plan_of", "read", "score", "score_masks",
    "solve", "target_mask", "trials_of", "with_rim", "work_folder",
]  # fmt: skip

#: The method that keeps a rule deck; of the others the deck is only reported.
KEEPS_RULES = "rule_aware"
# A limit that nothing breaks: the smallest value is of interest, no place.
_NO_LIMIT = 1e-3
# Why a mask breaks a rule, and how many places are told one by one; all are in the marker file.
_REASONS, _PLACES = ("the mask alone", "the target breaks it there as well"), 50
FIRST, SEAMLESS, REPAIRED, MENDED = "first windows", "seam pass", "repair", "mended"


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Masks of a region, one a stage, and what each stage took.

    Attributes
    ----------
    masks : stage -> mask; the last one is what is wanted.
    passes : stage -> its windows, as :func:`maskopt_lib.study.areas.area.solve_area` gives them.
    changed : pixels that the last projection onto the deck changed.
    """

    masks: Mapping[str, StitchedMask]
    passes: Mapping[str, xr.Dataset]
    changed: int = 0

    @property
    def mask(self) -> StitchedMask:
        """The mask of the last stage."""
        return list(self.masks.values())[-1]

    @property
    def runtime_s(self) -> float:
        """Seconds of all solves."""
        solved = (windows[schema.RUNTIME].where(windows["solved"] == 1) for windows in self.passes.values())
        return sum(float(seconds.sum()) for seconds in solved)


def trials_of(
    method: str, preset: str, options: Mapping[str, Any], deck: Mapping[str, float], plan: Plan
) -> tuple[Trial, Trial]:
    """How the first windows are made, and how windows across their borders are made again.

    A method that keeps rules keeps those of the deck, no others, and changes no more than its core in a seam pass.

    Raises
    ------
    UnknownNameError : an unknown method, preset, option or rule.
    """
    keeps = method == KEEPS_RULES
    rules = {"deck": dict.fromkeys(metrics.RULES, 0.0) | dict(deck)} if keeps else {}
    first = Trial(label=FIRST, method=method, preset=preset or None, options=rules | dict(options))
    again = replace(first, label=SEAMLESS, options=first.options | ({"window_nm": plan.core_nm} if keeps else {}))
    for trial in (first, again):
        _ = trial.resolved
    return first, again


def solve(
    tiled: TiledArea, trials: tuple[Trial, Trial], *, deck: Mapping[str, float], rules_every: int = 1,
    one_window: bool | None = None,
) -> Solution:  # fmt: skip
    """The mask of a region, window by window where it is larger than one.

    Parameters
    ----------
    tiled : what, where and by whom.
    trials : of :func:`trials_of`.
    deck : mask rules; a method that keeps them is mended by them in the end.
    rules_every : as for :func:`maskopt_lib.study.areas.prints.measure`.
    one_window : whether the first windows are all there is; by default where there is only one.

    Returns
    -------
    One window: its mask. More: the stitched cores; windows moved by half a core, each solved beside what its neighbours
    have become; windows moved by a quarter, where an edge is off by more than 15 nm or lost, and only there. In the
    end, where the method keeps rules, the projection onto the deck.
    """
    first, again = trials
    plan, masks, passes = tiled.plan, {}, {}
    masks[FIRST], passes[FIRST] = solve_area(tiled, first)
    if not (plan.grid == (1, 1) if one_window is None else one_window):
        masks[SEAMLESS], passes[SEAMLESS] = seam_pass(tiled, again, masks[FIRST])
        checked = {rule: limit for rule, limit in deck.items() if limit > 0}
        measured = prints.measure(tiled, masks[SEAMLESS], deck=checked, rules_every=rules_every)
        masks[REPAIRED], passes[REPAIRED] = seam_pass(
            tiled, again, masks[SEAMLESS], name="mask_repaired", moved=replace(plan, offset_nm=quarter_nm(plan)),
            places_nm=prints.violating_places(measured),
        )  # fmt: skip
    changed = 0
    if first.method == KEEPS_RULES:
        masks[MENDED], changed = mend(tiled, first.resolved.deck, list(masks.values())[-1])
    return Solution(masks=masks, passes=passes, changed=changed)


def drawn(
    tiled: TiledArea, draw: Callable[[np.ndarray], tuple[np.ndarray, float, Any]], *, name: str
) -> tuple[StitchedMask, float, Any]:
    """A mask of a region that something else than a solver draws, field by field, such as a network.

    Parameters
    ----------
    tiled : as for :func:`solve`.
    draw : of a target (y, x) the mask (y, x), the seconds it took, and what there is to say.
    name : of the store, ``<name>.zarr``.

    Returns
    -------
    The mask, its seconds, and what was said of the last field; None where nothing is drawn.
    """
    area, plan = tiled.area, tiled.plan
    design, seconds, said = area.design(), 0.0, None
    with stitching(tiled.run, name, plan) as stitched:
        for window in plan.windows:
            target = target_of(design, area, window, plan)
            if target.any():
                mask, spent_s, said = draw(target)
                seconds += spent_s
                box = plan.kept(window)
                stitched.write(box, mask[pixels_of(box, window.field_nm[:2], plan.pixel_nm)])
    return open_mask(tiled.run.out_dir / f"{name}.zarr"), seconds, said


def score_masks(
    tiled: TiledArea, masks: Mapping[str, StitchedMask], *, deck: Mapping[str, float]
) -> tuple[xr.Dataset, dict[str, xr.Dataset], dict[str, prints.Measured]]:
    """Print, score and check masks: score sheet of all, rule report of each, and what was measured."""
    every = {rule: deck.get(rule) or _NO_LIMIT for rule in metrics.RULES}
    found = {name: prints.measure(tiled, mask, deck=every) for name, mask in masks.items()}
    return (
        score_sheet.score(masks, tiled.area, tiled.plan, found),
        {name: score_sheet.report_of(each, deck) for name, each in found.items()},
        found,
    )


def target_mask(tiled: TiledArea) -> StitchedMask:
    """The layout as its own mask: what is printed without correction."""
    return solve_area(replace(tiled, batch=1), Trial(label="target", method="identity"), name="target")[0]


def quarter_nm(plan: Plan) -> float:
    """How far the windows of the repair are moved: what is at a border of the first or moved ones is inside of one."""
    return plan.core_nm / 4


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
    method: str = KEEPS_RULES,
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
    source, layout : as for :func:`maskopt_lib.study.areas.own_region.read`.
    out : the mask, .oas or .gds. Of a region what lies in it; where none is given the mask as far as it goes.
    folder : of the run; what is solved is kept there, and taken from there.
    process : as for :func:`maskopt_lib.litho.load_process`.
    region, pixel_nm, context_nm : as for :func:`maskopt_lib.study.areas.own_region.plan_of`.
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
    ``scores`` (mask -> score -> value), ``rules``, ``violations`` and the worst ``broken`` places with the reason,
    ``not_printed`` (middles of shapes in nm of which nothing prints), ``mended`` (pixels that the last projection onto
    the deck changed, and scores and violations before it), what is in the ``file``, ``region_nm``, ``windows``,
    ``seconds``.

    Raises
    ------
    LayoutError, UnknownNameError, OSError : what cannot be read, or written, before anything is solved.

    Warns
    -----
    NothingPrintsWarning : shapes of the target of which nothing prints, or a part does not.
    UserWarning : a mask that prints worse than the layout itself.
    """
    files.check_places(out, around, markers, read=files_read(source, process, deck))
    process = load_process(process)
    rules = process.deck if deck is None else read_deck(deck)
    asked = {"method": method, "preset": preset, "options": dict(options or {}), "process": process.name}
    run = _started(folder, asked)
    area = read(source, run.out_dir, process, **layout)
    plan = plan_of(area, region or (), context_nm=context_nm, pixel_nm=pixel_nm)
    counted = plan if region else with_rim(plan)
    trials = trials_of(method, preset, options or {}, rules, plan)
    if area.sensitivity and not METHODS[method].takes_weights:
        raise ValueError(f"sensitive layers are for methods whose objective takes weights, such as {KEEPS_RULES}")
    names = area.platform.process
    how = {
        "layer": resolve_layer(mask_layer, names), "beside": beside, "contours": contours,
        "vertex_tolerance_nm": vertex_tolerance_nm,
    } | ({} if beside else {"target_layer": resolve_layer(target_layer, names)})  # fmt: skip
    for path in filter(None, (out, around)):
        check_written(area, path, plan, run, **how)
    with workers_of(workers if plan.grid != (1, 1) else 0) as client:
        tiled = TiledArea(area=area, plan=plan, run=run, client=client, batch=1)
        solution = solve(tiled, trials, deck=rules)
        masks = {"target": target_mask(tiled), method: solution.mask}
        tiled = replace(tiled, plan=counted)
        scores, reports, measured = score_masks(tiled, masks, deck=rules)
        unmended = _unmended(tiled, solution, rules)
    if lost := measured[method].not_printed:
        warnings.warn(said_of(lost), NothingPrintsWarning, stacklevel=2)
    sites = measured[method].sites
    if (is_lost := np.isnan(sites["edge_error_nm"].values)).any():
        x_nm, y_nm = (float(sites[axis].values[is_lost][0]) for axis in ("x_nm", "y_nm"))
        warnings.warn(
            f"no printed edge is near {is_lost.sum()} of {is_lost.size} places on the target's edges, at ({x_nm:g}, "
            f"{y_nm:g}) nm the first: a part of a shape is lost there; look at the picture, the rule deck and k1",
            NothingPrintsWarning,
            stacklevel=2,
        )
    before, after = (float(scores[schema.L2].sel({schema.METHOD: name})) for name in masks)
    if after > before:
        warnings.warn(
            f"the mask prints worse than the layout itself: L2 of {after:.4g} for {before:.4g} nm2; take another "
            "method or preset, more steps, or smaller pixels",
            stacklevel=2,
        )
    file = write_area(solution.mask, area, out, box_nm=counted.region_nm, **how)
    if around is not None:
        write_area(solution.mask, area, around, **how)
    if markers is not None:
        off = score_sheet.misplaced(measured[method], focus_window.edge_limit_nm(process))
        write_markers(reports[method], markers, misplaced=off, cell=written_cell(area, beside=beside))
    if draw is not None:
        draw(before_and_after(area, masks, middle_nm(counted)))
    return {
        "scores": {str(name): {k: v.item() for k, v in scores.sel({schema.METHOD: name}).items()} for name in masks},
        **_report(reports[method], measured[method]),
        "mended": unmended,
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
    ``process``, the scores, ``rules``, ``violations``, ``broken``, ``not_printed``, and how it was scored.
    """
    process = load_process(process)
    rules = process.deck if deck is None else read_deck(deck)
    run = _started(folder, {"process": process.name})
    area = read(source, run.out_dir, process, **layout)
    plan = plan_of(area, region or (), context_nm=context_nm, pixel_nm=pixel_nm)
    mask = read_mask(mask_file, run.out_dir / "mask", area, mask_layer)
    design, counted = mask.design(), plan if region else with_rim(plan)
    # More of the mask than what counts: what goes on beyond is not cut there, and prints.
    seen = replace(counted, region_nm=grown(counted.region_nm, counted.field_nm / 2), rim_nm=0.0)
    with stitching(run, "mask", seen) as stitched:
        for window in seen.windows:
            stitched.write(window.core_nm, design.rasterize(mask.layer, window.core_nm, plan.pixel_nm))
    masks = {"mask": open_mask(run.out_dir / "mask.zarr")}
    scores, reports, measured = score_masks(TiledArea(area=area, plan=counted, run=run), masks, deck=rules)
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
    columns = [report[name].values.tolist() for name in ("broken", "value", "limit", "x_nm", "y_nm", "of_target")]
    names = ("rule", "value", "limit", "x_nm", "y_nm", "reason")
    broken = [[*rest, _REASONS[int(of_target)]] for *rest, of_target in zip(*columns, strict=True)]
    return {
        "rules": {rule: report["at_least"].sel(rule=rule).item() for rule in rules},
        "violations": {rule: int(report["violations"].sel(rule=rule)) for rule in rules},
        "broken": [dict(zip(names, place, strict=True)) for place in broken[:_PLACES]],
        "not_printed": measured.not_printed,
    }


def _unmended(tiled: TiledArea, solution: Solution, deck: Mapping[str, float]) -> dict[str, Any]:
    """What the last projection onto the deck changed: pixels, and what the mask was before."""
    if not solution.changed:
        return {"pixels": 0}
    before = prints.measure(tiled, list(solution.masks.values())[-2], deck={k: v for k, v in deck.items() if v > 0})
    violations = score_sheet.report_of(before, deck)["violations"]
    return {
        "pixels": solution.changed,
        "l2_nm2": float(before.windows[schema.L2].sum()),
        "epe15": int(before.sites["violates15"].sum()),
        "violations": dict(zip(violations["rule"].values.tolist(), violations.values.tolist(), strict=True)),
    }


def _started(folder: Path, asked: Mapping[str, Any]) -> Run:
    return start("A mask for a layout", notebook="optimize", params=asked, out_dir=folder.resolve())
