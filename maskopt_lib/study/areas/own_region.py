"""Somebody's layout as an area: which file, which layer, which region, and how that is cut into windows."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from maskopt_lib.errors import LayoutError, LayoutWarning
from maskopt_lib.layout.benchmarks import demo_layout, layout_inputs
from maskopt_lib.layout.catalog import open_design
from maskopt_lib.layout.clip_reader import read_clip
from maskopt_lib.layout.contours import DATABASE_NM
from maskopt_lib.layout.designs import read_design
from maskopt_lib.layout.layers import Layer, Layers, layer_names
from maskopt_lib.layout.mosaic import MASK_LAYER
from maskopt_lib.layout.own_design import folder_inputs
from maskopt_lib.layout.platforms import PLATFORMS, design_inputs
from maskopt_lib.layout.shapes import checked_region
from maskopt_lib.layout.windows import Plan, grown
from maskopt_lib.layout.writer import new_layout, write_polygons
from maskopt_lib.litho import Process
from maskopt_lib.litho.simulator import checked_device
from maskopt_lib.options import NotNegative, check
from maskopt_lib.study.areas.batches import Area

# Larger than any chip: a window in which a whole layer is measured.
_ANY_NM = 1e8


def inputs_of(source: str | Path, process: str | Path = "", platform: str = "") -> list[str | Path]:
    """What a run reads, as :func:`maskopt_lib.study.start` takes its inputs: layout, a DEF's cells, a process file."""
    if source and Path(source).is_dir():
        return [*folder_inputs(source), *_own_file(process)]
    found = layout_inputs(source) or design_inputs(source, PLATFORMS["nangate45"])[:1]
    if found and str(found[0]).endswith(".def"):
        found = design_inputs(source, PLATFORMS[platform or str(found[0]).partition("/")[0]])
    return [*found, *_own_file(process)]


def files_read(source: Any, *others: Any) -> list[Path]:
    """What may not be written over: a layout, of a design's folder all its files, and others where they are names."""
    of_layout = folder_inputs(source) if source and Path(source).is_dir() else [source]
    return [Path(name) for name in (*of_layout, *others) if name and isinstance(name, str | Path)]


def _own_file(process: str | Path) -> list[Path]:
    return [Path(process)] if process and Path(process).is_file() else []


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
    sensitive: Sequence[tuple[Layer, float]] = (),
) -> Area:
    """A layout, and the layer of it that is to be printed.

    Parameters
    ----------
    source : a .gds, .oas, .def or .glp file, a folder with a ``design.yaml``, such as for a DEF with LEF files and
        cells of one's own (:mod:`maskopt_lib.layout.own_design`), a design or a file of the data manifest; empty takes
        a demo layout.
    folder : where what has to be written for it is kept.
    process : to print with; its layer map names the layers.
    layer : a name of the layer map (in GLP: of the file), or "11/0"; empty takes the only layer there is.
    layers : another layer map, see :func:`maskopt_lib.layout.layer_names`.
    cell : with all that it refers to; empty takes the only top cell.
    platform : whose cells a DEF places.
    device : of the solves.
    sensitive : (layer, weight): what lies under shapes of the layer counts so many times in the objective.

    Raises
    ------
    LayoutError, MissingDataError, UnknownNameError : what is not there, or not as it must be; with what is.
    """
    checked_device(device)
    folder = Path(folder)
    source = source or demo_layout(folder)
    if Path(source).suffix.lower() == ".glp":
        clip = read_clip(source, layer or None, window_nm=_ANY_NM, placement="centred")
        source, layer, layers = folder / "drawn.oas", "1/0", {}
        laid, top = new_layout(DATABASE_NM, "DRAWN")
        pieces = [np.rint((points - clip.offset_nm) / DATABASE_NM) for points in clip.polygons]
        write_polygons(laid, top, pieces, source, layer=(1, 0))
    if is_folder := Path(source).is_dir():
        _only_of_files(platform=platform, cell=cell)
        design = open_design(source)
    else:
        design = read_design(source, platform=platform or None, top=cell or None)
    is_own = not is_folder and not platform and design.path.suffix.lower() != ".def"
    if layers is not None or is_own:
        names = process.layers if layers is None else layer_names(layers)
        design = replace(design, platform=replace(design.platform, process=names))
    if layer:
        design.bounds_nm(layer)  # complains where nothing is on it
    elif len(there := design.layers) != 1:
        known = ", ".join(f"{number}/{kind} {name}".strip() for (number, kind), name in there.items())
        raise LayoutError(f"{design.path}: shapes on several layers ({known}); choose one with layer=")
    layer = layer or next(iter(design.layers))
    design.warn_without_area(layer)
    for other, weight in sensitive:
        design.bounds_nm(other)
        check(NotNegative, weight=weight)
    # Workers read the file, and what is written beside the mask is all of it: a DEF, or one cell, is written for them.
    path = design.path if is_own and not cell else design.write(folder / "layout.oas")
    return Area(
        layout_file=path.resolve(), platform=design.platform, layer=layer,
        process=process, device=device, sensitivity=tuple(sensitive),
    )  # fmt: skip


def _only_of_files(**settings: str) -> None:
    for setting, value in settings.items():
        if value:
            raise LayoutError(f"{setting}={value!r}: a design's folder says it in its design.yaml; leave it out")


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
    region_nm : (x0, y0, x1, y1) in its coordinates; empty takes all that is drawn on the layer, in whole windows.
    context_nm : seen around each window, and kept around the region; 0 takes a quarter of the field.
    pixel_nm : side of a pixel; 0 takes the process's.
    core_nm : side of a window of many; 0 takes half the field, or what the context leaves of it.

    Warns where the region has features below resolution, see :meth:`maskopt_lib.litho.Process.warned_k1`, or straight
    edges between pixels.

    Raises
    ------
    LayoutError : no region, one off the pixels, or one in which nothing is drawn.
    """
    field_nm, design = area.process.period_nm, area.design()
    check(NotNegative, pixel_nm=pixel_nm, context_nm=context_nm, core_nm=core_nm)
    pixel_nm, context_nm = pixel_nm or area.process.pixel_nm, context_nm or field_nm / 4
    if not (is_part := len(region_nm) > 0):
        box = np.array(design.bounds_nm(area.layer)) / pixel_nm
        region_nm = (np.where(np.arange(4) < 2, np.floor(box + 1e-6), np.ceil(box - 1e-6)) * pixel_nm).tolist()
    x0, y0, x1, y1 = region_nm = checked_region(region_nm)
    room_nm, step_nm = field_nm - 2 * context_nm, 4 * pixel_nm  # a quarter of a core is whole in pixels as well
    if room_nm < step_nm:
        raise LayoutError(
            f"context_nm={context_nm:g} on both sides leaves {max(room_nm, 0):g} nm of a field of {field_nm:g} nm, "
            f"less than four pixels of {pixel_nm:g} nm: take less context or smaller pixels"
        )
    side_nm = float(np.ceil(max(x1 - x0, y1 - y0) / step_nm - 1e-6) * step_nm)
    if side_nm > room_nm or core_nm:
        side_nm = core_nm or float(np.floor(min(field_nm / 2, room_nm) / step_nm) * step_nm)
    if not is_part:  # all that its windows make: an assist feature that is cut where nothing ends would be a sliver
        sides_nm = np.array([x1 - x0, y1 - y0])
        whole_nm = np.maximum(np.ceil(sides_nm / side_nm - 1e-6), 1) * side_nm
        low = np.array([x0, y0]) - np.floor((whole_nm - sides_nm) / 2 / pixel_nm + 1e-6) * pixel_nm
        region_nm = tuple(np.concatenate([low, low + whole_nm]).tolist())
        context_nm = (field_nm - side_nm) / 2 if whole_nm.max() <= side_nm else context_nm
    plan = Plan(
        region_nm=region_nm, core_nm=side_nm, pixel_nm=pixel_nm, field_nm=field_nm,
        context_nm=context_nm, rim_nm=context_nm,
    )  # fmt: skip
    polygons = design.polygons(area.layer, plan.region_nm)
    if not polygons:
        x0, y0, x1, y1 = design.bounds_nm(area.layer)
        raise LayoutError(
            f"nothing is drawn on layer {area.layer!r} in region_nm={region_nm}; the layer spans x "
            f"{x0:g}..{x1:g}, y {y0:g}..{y1:g} nm"
        )
    smallest = design.smallest_nm(area.layer, area.process.unit_nm, plan.region_nm, around_nm=plan.context_nm)
    what = f"layer {area.layer!r} in region_nm={plan.region_nm}"
    area.process.warned_k1(smallest, what)
    _warn_between_pixels(polygons, plan, what)
    return plan


def _warn_between_pixels(polygons: Sequence[np.ndarray], plan: Plan, what: str) -> None:
    """Say where straight edges lie between pixels: half a pixel is then a fault of the target, not of the print."""
    places = []
    for points in polygons:
        steps = np.roll(points, -1, axis=0) - points
        places += [(points - plan.region_nm[:2])[steps[:, axis] == 0, axis] for axis in (0, 1)]
    edges_nm = np.concatenate(places)

    def farthest_nm(pixel_nm: float) -> float:
        return float(np.abs(edges_nm - np.rint(edges_nm / pixel_nm) * pixel_nm).max(initial=0.0))

    if (off_nm := farthest_nm(plan.pixel_nm)) > 1e-3:
        whole = (plan.pixel_nm / n for n in (2, 3, 4, 5, 8, 10, 16, 20) if farthest_nm(plan.pixel_nm / n) <= 1e-3)
        fits = next(whole, None)
        advice = f"pixel_nm={fits:g} has all of them on borders of pixels" if fits else "take smaller pixels"
        warnings.warn(
            f"{what} has straight edges up to {off_nm:.3g} nm from the borders of its {plan.pixel_nm:g} nm pixels: the "
            f"target has them there, with notches where two meet, and so have its areas; edge placement "
            f"counts from what is drawn; {advice}",
            LayoutWarning,
            stacklevel=3,
        )


def with_rim(plan: Plan) -> Plan:
    """The same mask as a region that reaches as far as it goes: where no border cuts it, all that it prints counts.

    One window becomes all that its field holds. Many stay as large as they are, with their context: there are more.
    """
    counted = {"region_nm": grown(plan.region_nm, plan.rim_nm), "rim_nm": 0.0}
    if plan.grid == (1, 1):
        counted |= {"core_nm": plan.core_nm + 2 * plan.rim_nm, "context_nm": 0.0}
    return replace(plan, **counted)


def middle_nm(plan: Plan, *, longest_nm: float = 0.0) -> tuple[float, float, float, float]:
    """What a picture can show of a region: all of it, or a square in its middle, by default as large as a field."""
    x0, y0, x1, y1 = plan.region_nm
    sides = [min(side, longest_nm or plan.field_nm) for side in (x1 - x0, y1 - y0)]
    left, low = (
        start + plan.pixel_nm * round((whole - side) / 2 / plan.pixel_nm)
        for start, whole, side in zip((x0, y0), (x1 - x0, y1 - y0), sides, strict=True)
    )
    return left, low, left + sides[0], low + sides[1]
