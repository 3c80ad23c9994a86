"""From somebody's layout to a mask: read a region of any size, solve it, score it, report its rules, write it.

A region that fits a field beside its context is one window. A larger one is cut into windows, whose seams are solved
again, repaired and mended (:mod:`maskopt_lib.study.areas.area`). All the rest is the same: the outer windows' contexts
go on around the region, so that its border makes no line ends; the mask is printed as it was stitched, and what lies in
the region counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.errors import LayoutError
from maskopt_lib.layout.benchmarks import demo_layout, layout_inputs
from maskopt_lib.layout.clip_reader import read_clip
from maskopt_lib.layout.contours import DATABASE_NM
from maskopt_lib.layout.designs import read_design
from maskopt_lib.layout.layers import Layers
from maskopt_lib.layout.mosaic import MASK_LAYER
from maskopt_lib.layout.platforms import PLATFORMS, design_inputs
from maskopt_lib.layout.windows import Plan, StitchedMask, grown
from maskopt_lib.layout.writer import new_layout, write_polygons
from maskopt_lib.litho import Process
from maskopt_lib.runs.record import Run
from maskopt_lib.study.areas import prints, score_sheet
from maskopt_lib.study.areas.area import Area, seam_pass, solve_area
from maskopt_lib.study.areas.batches import open_mask, pixels_of, stitching, target_of
from maskopt_lib.study.areas.mending import mend
from maskopt_lib.study.solvers.masks import Trial

#: The method that keeps a rule deck; of the others the deck is only reported.
KEEPS_RULES = "rule_aware"
# A limit that nothing breaks: the smallest value is of interest, no place.
_NO_LIMIT = 1e-3
# Larger than any chip: a window in which a whole layer is measured.
_ANY_NM = 1e8
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


def inputs_of(source: str | Path, process: str | Path = "", platform: str = "") -> list[str | Path]:
    """What a run reads, as :func:`maskopt_lib.study.start` takes its inputs: layout, a DEF's cells, a process file."""
    found = layout_inputs(source) or design_inputs(source, PLATFORMS["nangate45"])[:1]
    if found and str(found[0]).endswith(".def"):
        found = design_inputs(source, PLATFORMS[platform or str(found[0]).partition("/")[0]])
    return [*found, *([Path(process)] if process and Path(process).is_file() else [])]


def read(
    source: str | Path,
    folder: str | Path,
    process: Process,
    *,
    layer: str = "",
    layers: Layers | None = None,
    cell: str = "",
    platform: str = "",
    device: str = "cpu",
) -> Area:
    """A layout, and the layer of it that is to be printed.

    Parameters
    ----------
    source : a .gds, .oas, .def or .glp file, a design or a file of the data manifest; empty takes a demo layout.
    folder : where what has to be written for it is kept.
    process : to print with; its layer map names the layers.
    layer : a name of the layer map (in GLP: of the file), or "11/0"; empty takes the only layer there is.
    layers : another layer map, see :func:`maskopt_lib.layout.layer_names`.
    cell : with all that it refers to; empty takes the only top cell.
    platform : whose cells a DEF places.
    device : of the solves.

    Raises
    ------
    LayoutError, MissingDataError, UnknownNameError : what is not there, or not as it must be; with what is.
    """
    folder = Path(folder)
    source = source or demo_layout(folder)
    if Path(source).suffix.lower() == ".glp":
        clip = read_clip(source, layer or None, window_nm=_ANY_NM, placement="centred")
        source, layer, layers = folder / "drawn.oas", "1/0", {}
        laid, top = new_layout(DATABASE_NM, "DRAWN")
        pieces = [np.rint((points - clip.offset_nm) / DATABASE_NM) for points in clip.polygons]
        write_polygons(laid, top, pieces, source, layer=(1, 0))
    design = read_design(source, platform=platform or None, top=cell or None)
    is_own = not platform and design.path.suffix.lower() != ".def"
    if layers is not None or is_own:
        names = process.layers if layers is None else layers
        design = replace(design, platform=replace(design.platform, process=names))
    if layer:
        design.bounds_nm(layer)  # complains where nothing is on it
    elif len(there := design.layers) != 1:
        known = ", ".join(f"{number}/{kind} {name}".strip() for (number, kind), name in there.items())
        raise LayoutError(f"{design.path}: shapes on several layers ({known}); choose one with layer=")
    # Workers read the file, and what is written beside the mask is all of it: a DEF, or one cell, is written for them.
    path = design.path if is_own and not cell else design.write(folder / "layout.oas")
    return Area(
        layout_file=path.resolve(), platform=design.platform, layer=layer or next(iter(design.layers)),
        process=process, device=device,
    )  # fmt: skip


def read_mask(source: str | Path, folder: str | Path, area: Area, layer: str = "") -> Area:
    """A mask in a file of its own, drawn as its layout is.

    Parameters
    ----------
    source, folder : as for :func:`read`.
    area : the layout that it is for, whose layer map holds.
    layer : of the mask; "" takes 111/0 where that is drawn, or the only one.
    """
    if not layer and Path(source).suffix.lower() != ".glp":
        layer = "/".join(map(str, MASK_LAYER)) if MASK_LAYER in read_design(source).layers else ""
    return read(source, folder, area.process, layer=layer, layers=area.platform.process)


def plan_of(
    area: Area,
    region_nm: Sequence[float] = (),
    *,
    context_nm: float = 0.0,
    pixel_nm: float = 0.0,
    core_nm: float = 0.0,
) -> Plan:
    """How a region of a layout is cut into windows: one, where it fits a field beside its context.

    Parameters
    ----------
    area : the layout.
    region_nm : (x0, y0, x1, y1) in its coordinates; empty takes all that is drawn on the layer.
    context_nm : seen around each window, and kept around the region; 0 takes a quarter of the field.
    pixel_nm : side of a pixel; 0 takes the process's.
    core_nm : side of a window of many; 0 takes half the field, or what the context leaves of it.

    Warns where the region has features below resolution, see :meth:`maskopt_lib.litho.Process.warned_k1`.

    Raises
    ------
    LayoutError : no region, one off the pixels, or one in which nothing is drawn.
    """
    field_nm, design = area.process.period_nm, area.design()
    pixel_nm, context_nm = pixel_nm or area.process.pixel_nm, context_nm or field_nm / 4
    if not len(region_nm):
        box = np.array(design.bounds_nm(area.layer)) / pixel_nm
        region_nm = (np.where(np.arange(4) < 2, np.floor(box + 1e-6), np.ceil(box - 1e-6)) * pixel_nm).tolist()
    elif len(region_nm) != 4:
        raise LayoutError(f"region_nm={list(region_nm)} is not [x0, y0, x1, y1] in nm with x0 < x1 and y0 < y1")
    x0, y0, x1, y1 = region_nm
    room_nm, step_nm = field_nm - 2 * context_nm, 4 * pixel_nm  # a quarter of a core is whole in pixels as well
    side_nm = np.ceil(max(x1 - x0, y1 - y0) / step_nm - 1e-6) * step_nm
    if side_nm > room_nm or core_nm:
        side_nm = core_nm or np.floor(min(field_nm / 2, room_nm) / step_nm) * step_nm
    plan = Plan(
        region_nm=tuple(region_nm), core_nm=float(side_nm), pixel_nm=pixel_nm, field_nm=field_nm,
        context_nm=context_nm, rim_nm=context_nm,
    )  # fmt: skip
    if not design.polygons(area.layer, plan.region_nm):
        x0, y0, x1, y1 = design.bounds_nm(area.layer)
        raise LayoutError(
            f"nothing is drawn on layer {area.layer!r} in region_nm={list(region_nm)}; the layer spans x "
            f"{x0:g}..{x1:g}, y {y0:g}..{y1:g} nm"
        )
    smallest = design.smallest_nm(area.layer, area.process.unit_nm, plan.region_nm, around_nm=plan.context_nm)
    area.process.warned_k1(smallest, f"layer {area.layer!r} in region_nm={list(plan.region_nm)}")
    return plan


def with_rim(plan: Plan) -> Plan:
    """The same mask as a region that reaches as far as it goes: where no border cuts it, all that it prints counts."""
    return replace(
        plan, region_nm=grown(plan.region_nm, plan.rim_nm), core_nm=plan.core_nm + 2 * plan.rim_nm, context_nm=0.0,
        rim_nm=0.0,
    )  # fmt: skip


def middle_nm(plan: Plan, *, longest_nm: float = 2048.0) -> tuple[float, float, float, float]:
    """What a picture can show of a region: all of it, or a square in its middle."""
    x0, y0, x1, y1 = plan.region_nm
    sides = [min(side, longest_nm) for side in (x1 - x0, y1 - y0)]
    left, low = (
        start + plan.pixel_nm * round((whole - side) / 2 / plan.pixel_nm)
        for start, whole, side in zip((x0, y0), (x1 - x0, y1 - y0), sides, strict=True)
    )
    return left, low, left + sides[0], low + sides[1]


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
    area: Area,
    plan: Plan,
    trials: tuple[Trial, Trial],
    run: Run,
    *,
    deck: Mapping[str, float],
    rules_every: int = 1,
    client: distributed.Client | None = None,
    batch: int = 1,
    one_window: bool | None = None,
) -> Solution:
    """The mask of a region, window by window where it is larger than one.

    Parameters
    ----------
    area, plan : what and where.
    trials : of :func:`trials_of`.
    run : parts and stores are kept below its folder.
    deck : mask rules; a method that keeps them is mended by them in the end.
    rules_every, client, batch : as for :func:`maskopt_lib.study.areas.prints.measure` and
        :func:`maskopt_lib.study.areas.area.solve_area`.
    one_window : whether the first windows are all there is; by default where there is only one.

    Returns
    -------
    One window: its mask. More: the stitched cores; windows moved by half a core, each solved beside what its neighbours
    have become; windows moved by a quarter, where an edge is off by more than 15 nm or lost, and only there; and the
    projection onto the deck, where the method keeps rules.
    """
    first, again = trials
    how = {"client": client, "batch": batch}
    stitched, windows = solve_area(area, plan, first, run, **how)
    if plan.grid == (1, 1) if one_window is None else one_window:
        return Solution(masks={FIRST: stitched}, passes={FIRST: windows})
    seamless, second = seam_pass(area, plan, again, stitched, run, **how)
    checked = {rule: limit for rule, limit in deck.items() if limit > 0}
    measured = prints.measure(area, plan, seamless, run, deck=checked, rules_every=rules_every, client=client)
    repaired, third = seam_pass(
        area, plan, again, seamless, run, name="mask_repaired", moved=replace(plan, offset_nm=quarter_nm(plan)),
        places_nm=prints.violating_places(measured), **how,
    )  # fmt: skip
    masks = {FIRST: stitched, SEAMLESS: seamless, REPAIRED: repaired}
    passes = {FIRST: windows, SEAMLESS: second, REPAIRED: third}
    if first.method != KEEPS_RULES:
        return Solution(masks=masks, passes=passes)
    masks[MENDED], changed = mend(plan, first.resolved.deck, repaired, run, client=client)
    return Solution(masks=masks, passes=passes, changed=changed)


def drawn(
    area: Area, plan: Plan, draw: Callable[[np.ndarray], tuple[np.ndarray, float, Any]], run: Run, *, name: str
) -> tuple[StitchedMask, float, Any]:
    """A mask of a region that something else than a solver draws, field by field, such as a network.

    Parameters
    ----------
    area, plan, run : as for :func:`solve`.
    draw : of a target (y, x) the mask (y, x), the seconds it took, and what there is to say.
    name : of the store, ``<name>.zarr``.

    Returns
    -------
    The mask, its seconds, and what was said of the last field; None where nothing is drawn.
    """
    design, seconds, said = area.design(), 0.0, None
    with stitching(run, name, plan) as stitched:
        for window in plan.windows:
            target = target_of(design, area, window, plan)
            if target.any():
                mask, spent_s, said = draw(target)
                seconds += spent_s
                box = plan.kept(window)
                stitched.write(box, mask[pixels_of(box, window.field_nm[:2], plan.pixel_nm)])
    return open_mask(run.out_dir / f"{name}.zarr"), seconds, said


def score_masks(
    masks: Mapping[str, StitchedMask],
    area: Area,
    plan: Plan,
    run: Run,
    *,
    deck: Mapping[str, float],
    client: distributed.Client | None = None,
) -> tuple[xr.Dataset, dict[str, xr.Dataset], dict[str, prints.Measured]]:
    """Print, score and check masks: score sheet of all, rule report of each, and what was measured."""
    every = {rule: deck.get(rule) or _NO_LIMIT for rule in metrics.RULES}
    found = {name: prints.measure(area, plan, mask, run, deck=every, client=client) for name, mask in masks.items()}
    return (
        score_sheet.score(masks, area, plan, found),
        {name: score_sheet.report_of(each, deck) for name, each in found.items()},
        found,
    )


def target_mask(area: Area, plan: Plan, run: Run) -> StitchedMask:
    """The layout as its own mask: what is printed without correction."""
    return solve_area(area, plan, Trial(label="target", method="identity"), run, name="target", batch=1)[0]


def quarter_nm(plan: Plan) -> float:
    """How far the windows of the repair are moved: what is at a border of the first or moved ones is inside of one."""
    return plan.core_nm / 4
