"""A window of somebody's layout: read with its surroundings, scored inside, written back where it came from."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage

from maskopt_lib import layout, metrics
from maskopt_lib.data import manifest, schema
from maskopt_lib.errors import LayoutError
from maskopt_lib.grid import Grid
from maskopt_lib.layout.clip import CONTEST_CORE_NM, WINDOW_NM, centred_offset
from maskopt_lib.litho import Simulator
from maskopt_lib.runs.tables import DEVIATION

#: Kept around a region by default. What lies farther away moves the edges of an uncorrected layout by 0.2 to 0.8 nm on
#: average, against 1 to 3 nm beyond 256 nm and 0.3 nm or less beyond 640 nm (demo layout and gcd, 193 nm immersion).
CONTEXT_NM = 512.0
# Larger than any chip: a window in which a whole layer is measured.
_ANY_NM = 1e8
_COLUMNS = 4


@dataclass(frozen=True, kw_only=True)
class Window:
    """A region of a layout in the middle of the simulator's field, with its surroundings.

    Attributes
    ----------
    name : of the layout.
    clip : the polygons of region and context, placed in the field.
    region_nm : (x0, y0, x1, y1) in the layout's own coordinates: what is scored and written.
    context_nm : kept around the region.
    target : (sample, y, x) uint8 raster of the clip, one sample; coordinates in nm from the field's lower left corner.
    """

    name: str
    clip: layout.Clip
    region_nm: tuple[float, float, float, float]
    context_nm: float
    target: xr.DataArray

    @property
    def pixel_nm(self) -> float:
        """Side of a pixel in nm."""
        return self.clip.window_nm / self.target.sizes[schema.X]

    @property
    def origin_nm(self) -> tuple[float, float]:
        """(x, y) of the field's lower left corner in the layout."""
        dx, dy = self.clip.offset_nm
        return -dx, -dy

    @property
    def inside(self) -> np.ndarray:
        """(y, x) bool: pixels whose centre is in the region."""
        y, x = (
            self.target[axis].values + o for axis, o in ((schema.Y, self.origin_nm[1]), (schema.X, self.origin_nm[0]))
        )
        x0, y0, x1, y1 = self.region_nm
        return ((y >= y0) & (y < y1))[:, None] & (x >= x0) & (x < x1)

    def region(self, ds: xr.Dataset, *, margin_nm: float = 0.0) -> xr.Dataset:
        """The region of a picture of the field, or all that it has of it, in the layout's coordinates.

        Parameters
        ----------
        ds : over ``y`` and ``x`` in nm from the field's lower left corner, as :func:`maskopt_lib.study.pictures` makes.
        margin_nm : shown around the region.
        """
        (x, y), (x0, y0, x1, y1) = self.origin_nm, self.region_nm
        ds = ds.assign_coords(
            {
                schema.Y: (schema.Y, ds[schema.Y].values + y, {"long_name": "y", "units": "nm"}),
                schema.X: (schema.X, ds[schema.X].values + x, {"long_name": "x", "units": "nm"}),
            }
        )
        return ds.sel(
            {
                schema.Y: slice(y0 - margin_nm, y1 + margin_nm - 1e-6),
                schema.X: slice(x0 - margin_nm, x1 + margin_nm - 1e-6),
            }
        )


def read_window(
    path: str | Path,
    layer: str = "",
    *,
    region_nm: Sequence[float] = (),
    cell: str = "",
    context_nm: float = CONTEXT_NM,
    pixel_nm: float = 1.0,
    field_nm: float = WINDOW_NM,
    process: str = "freepdk45",
) -> Window:
    """A region of a layout file with what surrounds it, in the middle of a simulator's field.

    Parameters
    ----------
    path : a .gds, .oas or .glp file, or a file of the data manifest.
    layer : a name of the process, or layer and datatype as "11/0"; empty takes the only layer there is.
    region_nm : (x0, y0, x1, y1) in the layout's coordinates; empty takes all of the layer, where it fits.
    cell : GDS and OASIS: the cell, with all it refers to; empty takes the only top cell.
    context_nm : shapes this far around the region are kept. They print, and are optimised, with it, so that the border
        of the region cuts no line short; what lies farther away is left out.
    pixel_nm : side of a pixel in nm; must divide the field.
    field_nm : side of the field, the period of the kernels.
    process : whose layer names to use.

    Raises
    ------
    LayoutError : the region with its context does not fit the field (the message names the limit), nothing is drawn in
        it, or anything that is wrong in the file, as for :func:`maskopt_lib.layout.read_clip`.
    MissingDataError : no such file.
    """
    chosen = {"layer": _layer(layer), "cell": cell or None, "process": process}
    limit = field_nm - 2 * context_nm
    whole = not len(region_nm)
    if whole:
        full = layout.read_clip(path, window_nm=_ANY_NM, placement="centred", **chosen)
        (dx, dy), (x0, y0, x1, y1) = full.offset_nm, full.bounds_nm
        region_nm = (x0 - dx, y0 - dy, x1 - dx, y1 - dy)
    if len(region_nm) != 4 or not (region_nm[2] > region_nm[0] and region_nm[3] > region_nm[1]):
        raise LayoutError(f"region_nm={list(region_nm)} is not [x0, y0, x1, y1] in nm with x0 < x1 and y0 < y1")
    x0, y0, x1, y1 = region = tuple(float(v) for v in region_nm)
    if max(x1 - x0, y1 - y0) > limit:
        what = (
            f"{path}: the layer spans x {x0:g}..{x1:g}, y {y0:g}..{y1:g} nm" if whole else f"region_nm={list(region)}"
        )
        raise LayoutError(
            f"{what}, which is {x1 - x0:g} x {y1 - y0:g} nm; the field of {field_nm:g} nm holds at most {limit:g} nm a "
            f"side beside {context_nm:g} nm of context: choose a region_nm=[x0, y0, x1, y1] of that size, or a smaller "
            "context_nm"
        )
    if not whole:  # complains in the user's own numbers where nothing is drawn in the region
        layout.read_clip(path, region_nm=region, window_nm=field_nm, **chosen)
    around = (x0 - context_nm, y0 - context_nm, x1 + context_nm, y1 + context_nm)
    clip = layout.read_clip(
        path, region_nm=around, window_nm=field_nm, placement=centred_offset(around, field_nm), **chosen
    )
    image = clip.rasterize(pixel_nm, antialiased=False)
    centres = Grid(image.shape[-1], pixel_nm).centres_nm
    target = xr.DataArray(
        image[None],
        dims=(schema.SAMPLE, schema.Y, schema.X),
        coords={schema.SAMPLE: [clip.name], schema.Y: centres, schema.X: centres},
        attrs={"long_name": "target", "units": "1"},
    )
    return Window(name=clip.name, clip=clip, region_nm=region, context_nm=float(context_nm), target=target)


def layout_inputs(path: str | Path) -> list[str | Path]:
    """A layout as :func:`maskopt_lib.study.start` takes its inputs: a file's path, a file of the manifest by its name.

    Examples
    --------
    >>> layout_inputs("M1_test4.glp"), layout_inputs("")
    (['iccad13/clips/M1_test4.glp'], [])
    """
    text = str(path)
    if not text:
        return []
    if Path(path).is_file():
        return [Path(path)]
    names = [name for name in manifest.names() if name == text or PurePosixPath(name).name == text]
    return list(names[:1])


def demo_layout(folder: str | Path) -> Path:
    """Write the embedded metal clips side by side as a layout file of their own, ``demo_layout.oas``.

    Returns
    -------
    Path of the file: layer metal1, eight patterns of 1024 nm in two rows from (0, 0).
    """
    tile = int(CONTEST_CORE_NM)
    patterns = [clip for name, clip in layout.demo_clips().items() if name.startswith("demo-metal")]
    rows = [np.hstack([_core(clip, tile) for clip in patterns[i : i + _COLUMNS]]) for i in range(0, 8, _COLUMNS)]
    path = Path(folder) / "demo_layout.oas"
    layout.write_mask(np.vstack(rows), path, layer="metal1", contours="pixel", cell="DEMO")
    return path


def score_region(
    masks: Mapping[str, np.ndarray], window: Window, sim: Simulator, *, shot_grid: int | None = metrics.shots.SHOT_GRID
) -> xr.Dataset:
    """Score masks inside the region of a window only.

    Parameters
    ----------
    masks : name -> (y, x) mask of the field, context included.
    window : whose region counts.
    sim : to print with.
    shot_grid : as for :func:`maskopt_lib.metrics.evaluate`.

    Returns
    -------
    Dataset over ``method`` with the scores of :func:`maskopt_lib.metrics.evaluate`.

    Notes
    -----
    The whole field is printed, with its context. L2 and PV band are counted over the pixels of the region, edge
    placement at the target's sites in it; a line that runs on beyond the border has no site there, as it has no end.
    Shots, shapes and vertices are those of the mask cut at the border. Mask rules are measured on the uncut mask, at
    the places that lie in the region. Targets that are not Manhattan have no edge placement.
    """
    inside, pixel_nm = window.inside, window.pixel_nm
    target = window.target.values[0].astype(bool)
    ys, xs = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    box = np.s_[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1]
    rows = []
    for mask in masks.values():
        mask = np.asarray(mask) >= 0.5
        aerial = sim.aerial(mask.astype(np.float32)).cpu().numpy()
        printed = dict(zip(sim.corners, aerial >= aerial.dtype.type(sim.threshold), strict=True))
        row = {
            schema.L2: metrics.l2_nm2(printed[schema.NOMINAL][box], target[box], pixel_nm),
            schema.PVB: metrics.pvb_nm2(printed[schema.OUTER][box], printed[schema.INNER][box], pixel_nm),
        }
        if window.clip.is_manhattan:
            row |= metrics.epe.summarize(edge_sites(mask, window, sim))
        cut = mask & inside
        row[schema.SHOTS] = metrics.count_shots(cut, shot_grid)
        row[schema.SHAPES] = metrics.shape_rules(cut, pixel_nm).shapes
        row[schema.VERTICES] = metrics.count_vertices(cut, pixel_nm)
        # The limit does not change the smallest value; a small one keeps the report short.
        rules = metrics.rule_report(
            mask, dict.fromkeys(metrics.RULES, 1e-3), pixel_nm, region_nm=window.region_nm, origin_nm=window.origin_nm
        )
        row |= dict(zip(rules["rule"].values.tolist(), rules["worst"].values.tolist(), strict=True))
        rows.append(row)
    names = [name for name in schema.VARIABLES if name in rows[0]]
    return schema.label(
        xr.Dataset(
            {name: (schema.METHOD, np.array([row[name] for row in rows])) for name in names},
            coords={schema.METHOD: list(masks)},
            attrs={
                "kernels": sim.kernels.name,
                "threshold": float(sim.threshold),
                "pixel_nm": pixel_nm,
                "region_nm": list(window.region_nm),
                "context_nm": window.context_nm,
                "epe_limits_nm": list(metrics.epe.LIMITS_NM),
            },
        )
    )


def edge_sites(mask: np.ndarray, window: Window, sim: Simulator) -> xr.Dataset:
    """Edge placement of a mask of the field at the sites in a window's region, in the layout's coordinates.

    Returns
    -------
    What :func:`maskopt_lib.metrics.epe_sites` returns for those sites.

    Raises
    ------
    LayoutError : the target is not Manhattan.
    """
    aerial = sim.aerial(np.asarray(mask, np.float32))[sim.corners.index(schema.NOMINAL)]
    sites = metrics.epe_sites(aerial, window.target.values[0], pixel_nm=window.pixel_nm, threshold=sim.threshold)
    (x, y), (x0, y0, x1, y1) = window.origin_nm, window.region_nm
    for name, shift in (("x_nm", x), ("y_nm", y)):
        sites[name] = (sites[name].dims, sites[name].values + shift, sites[name].attrs)
    at_x, at_y = sites["x_nm"].values, sites["y_nm"].values
    return sites.isel({schema.SITE: (at_x >= x0) & (at_x <= x1) & (at_y >= y0) & (at_y <= y1)})


def score_sheet(scores: xr.Dataset, *, reference: str | None = None) -> pd.DataFrame:
    """Scores of few masks as a sheet: one row a score, one column a mask, and the change from one of them.

    Parameters
    ----------
    scores : Dataset over ``method``.
    reference : the mask that the others are compared with; the first by default.

    Returns
    -------
    Table that :func:`~maskopt_lib.study.style` and :func:`~maskopt_lib.study.write_table` take.
    """
    names = [str(name) for name in scores[schema.METHOD].values]
    reference = reference or names[0]
    labels = [f"{v.attrs['long_name']}{_in(v.attrs['units'])}" for v in scores.data_vars.values()]
    values = {
        name: np.array([v.sel({schema.METHOD: name}).item() for v in scores.data_vars.values()], float)
        for name in names
    }
    base = values[reference]
    columns = {}
    for name in names:
        columns["masks", name] = values[name]
        if name != reference:
            with np.errstate(divide="ignore", invalid="ignore"):
                change = np.where(base != 0, 100 * (values[name] - base) / base, np.nan)
            columns["masks", DEVIATION if len(names) == 2 else f"{name} {DEVIATION}"] = change
    return pd.DataFrame(columns, index=pd.Index(labels, name="score"))


def write_region(
    mask: np.ndarray, window: Window, path: str | Path, *, layer: str, contours: str = "smooth", context: bool = False
) -> pd.Series:
    """Write a mask of the field where it belongs in the layout, and read it back.

    Parameters
    ----------
    mask : (y, x), 0 or 1.
    window : whose region is written.
    path : .oas or .gds file.
    layer : as for :func:`read_window`.
    contours : "smooth" or "pixel", as for :func:`maskopt_lib.layout.write_mask`.
    context : write the whole field instead of what lies in the region.

    Returns
    -------
    ``file``, ``layer``, ``polygons``, ``vertices``, ``area_nm2`` as written; ``pixels_apart``: pixels that differ when
    the file is read and rasterized again, and ``farthest_px``: how far inside or outside the outline the deepest of
    them lies (1: it touches the outline; smooth contours may move an edge by half a nm, no more).

    Raises
    ------
    LayoutError : nothing of the mask lies in the region.
    """
    image = np.asarray(mask) >= 0.5
    if not context:
        image = image & window.inside
    if not image.any():
        raise LayoutError(f"nothing to write to {path}: the mask is empty in region_nm={list(window.region_nm)}")
    written = layout.write_mask(
        image.astype(np.uint8),
        path,
        window.pixel_nm,
        layer=_layer(layer),
        contours=contours,
        origin_nm=window.origin_nm,
    )
    read = layout.read_clip(path, placement=window.clip.offset_nm, window_nm=window.clip.window_nm, cell="MASK")
    apart = image != (read.rasterize(window.pixel_nm, antialiased=False) > 0)
    depth = np.where(image, ndimage.distance_transform_cdt(image), ndimage.distance_transform_cdt(~image))
    return pd.Series(
        {
            "file": written.path.name,
            "layer": "{}/{}".format(*written.layer),
            "polygons": written.polygons,
            "vertices": written.vertices,
            "area_nm2": written.area_nm2,
            "mask_area_nm2": written.mask_area_nm2,
            "pixels_apart": int(apart.sum()),
            "farthest_px": int(depth[apart].max(initial=0)),
        }
    )


def _core(clip: layout.Clip, tile: int) -> np.ndarray:
    """The middle of a clip's raster."""
    margin = (int(clip.window_nm) - tile) // 2
    return clip.rasterize(1)[margin : margin + tile, margin : margin + tile]


def _layer(text: str) -> str | tuple[int, int] | None:
    """A layer of a parameter: a name, "11/0", or nothing."""
    pair = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
    return (int(pair[1]), int(pair[2])) if pair else text.strip() or None


def _in(units: str) -> str:
    return "" if units == "1" else f" [{units}]"
