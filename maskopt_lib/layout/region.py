"""A region of somebody's layout: read with its surroundings into a field, and written back where it came from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage

from maskopt_lib.data import manifest, schema
from maskopt_lib.errors import LayoutError
from maskopt_lib.grid import Grid
from maskopt_lib.layout.clip import CONTEST_CORE_NM, WINDOW_NM, Clip, centred_offset
from maskopt_lib.layout.clip_reader import read_clip
from maskopt_lib.layout.contours import VERTEX_TOLERANCE_NM
from maskopt_lib.layout.demo import demo_clips
from maskopt_lib.layout.layers import Layer, Layers
from maskopt_lib.layout.writer import write_mask

#: Kept around a region by default. What lies farther away moves the edges of an uncorrected layout by 0.2 to 0.8 nm on
#: average, against 1 to 3 nm beyond 256 nm and 0.3 nm or less beyond 640 nm (demo layout and gcd, 193 nm immersion).
CONTEXT_NM = 512.0
# Larger than any chip: a window in which a whole layer is measured.
_ANY_NM = 1e8


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
    clip: Clip
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
        (x, y), (x0, y0, x1, y1) = self.origin_nm, self.region_nm
        ys, xs = self.target[schema.Y].values + y, self.target[schema.X].values + x
        return ((ys >= y0) & (ys < y1))[:, None] & (xs >= x0) & (xs < x1)

    def region(self, ds: xr.Dataset, *, margin_nm: float = 0.0) -> xr.Dataset:
        """The region of a picture of the field, or all that it has of it, in the layout's coordinates.

        Parameters
        ----------
        ds : over ``y`` and ``x`` in nm from the field's lower left corner.
        margin_nm : shown around the region.
        """
        for axis, origin, low, high in zip(
            (schema.X, schema.Y), self.origin_nm, self.region_nm[:2], self.region_nm[2:], strict=True
        ):
            ds = ds.assign_coords({axis: (axis, ds[axis].values + origin, {"long_name": axis, "units": "nm"})})
            ds = ds.sel({axis: slice(low - margin_nm, high + margin_nm - 1e-6)})
        return ds


def read_window(
    path: str | Path,
    layer: Layer = "",
    *,
    region_nm: Sequence[float] = (),
    cell: str = "",
    context_nm: float = CONTEXT_NM,
    pixel_nm: float = 1.0,
    field_nm: float = WINDOW_NM,
    layers: Layers = "freepdk45",
) -> Window:
    """A region of a layout file with what surrounds it, in the middle of a simulator's field.

    Parameters
    ----------
    path : a .gds, .oas or .glp file, or a file of the data manifest.
    layer : a name of ``layers``, "11/0" or (11, 0); empty takes the only layer there is.
    region_nm : (x0, y0, x1, y1) in the layout's coordinates; empty takes all of the layer, where it fits.
    cell : GDS and OASIS: the cell, with all it refers to; empty takes the only top cell.
    context_nm : shapes this far around the region are kept. They print, and are optimised, with it, so that the border
        of the region cuts no line short; what lies farther away is left out.
    pixel_nm : side of a pixel in nm; must divide the field.
    field_nm : side of the field, the period of the kernels.
    layers : layer names of a process or your own, as for :func:`~maskopt_lib.layout.layer_names`.

    Raises
    ------
    LayoutError : the region with its context does not fit the field (the message names the limit), nothing is drawn in
        it, or anything that is wrong in the file, as for :func:`~maskopt_lib.layout.read_clip`.
    MissingDataError : no such file.
    """
    chosen = {"layer": layer or None, "cell": cell or None, "layers": layers}
    limit = field_nm - 2 * context_nm
    whole = not len(region_nm)
    if whole:
        full = read_clip(path, window_nm=_ANY_NM, placement="centred", **chosen)
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
    around = (x0 - context_nm, y0 - context_nm, x1 + context_nm, y1 + context_nm)
    clip = read_clip(path, region_nm=around, window_nm=field_nm, placement=centred_offset(around, field_nm), **chosen)
    image = clip.rasterize(pixel_nm, antialiased=False)
    centres = Grid(image.shape[-1], pixel_nm).centres_nm
    target = xr.DataArray(
        image[None],
        dims=(schema.SAMPLE, schema.Y, schema.X),
        coords={schema.SAMPLE: [clip.name], schema.Y: centres, schema.X: centres},
        attrs={"long_name": "target", "units": "1"},
    )
    window = Window(name=clip.name, clip=clip, region_nm=region, context_nm=float(context_nm), target=target)
    if not image[window.inside].any():
        raise LayoutError(f"{path}: nothing of the layer lies in region_nm={list(region)}; move the region")
    return window


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
    margin = round(WINDOW_NM - CONTEST_CORE_NM) // 2
    cores = [
        clip.rasterize(1)[margin:-margin, margin:-margin]
        for name, clip in demo_clips().items()
        if name.startswith("demo-metal")
    ]
    path = Path(folder) / "demo_layout.oas"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mask(np.block([cores[:4], cores[4:8]]), path, layer="metal1", contours="pixel", cell="DEMO")
    return path


def write_region(
    mask: np.ndarray,
    window: Window,
    path: str | Path,
    *,
    layer: str,
    contours: str = "smooth",
    vertex_tolerance_nm: float = VERTEX_TOLERANCE_NM,
    context: bool = False,
    beside: str | Path | None = None,
) -> pd.Series:
    """Write a mask of the field where it belongs in the layout, and read it back.

    Parameters
    ----------
    mask : (y, x), 0 or 1.
    window : whose region is written.
    path : .oas or .gds file.
    layer : as for :func:`read_window`.
    contours, vertex_tolerance_nm, beside : as for :func:`maskopt_lib.layout.write_mask`; ``beside`` the window's own
        layout file, the mask stands over what it was made for.
    context : write the whole field instead of what lies in the region.

    Returns
    -------
    ``file``, ``layer``, ``polygons``, ``vertices``, ``area_nm2`` as written; ``pixels_apart``: pixels that differ when
    the file is read and rasterized again, and ``farthest_px``: how far inside or outside the outline the deepest of
    them lies (1: it touches the outline; smooth contours may move an edge by the tolerance, no more).

    Raises
    ------
    LayoutError : nothing of the mask lies in the region.
    """
    image = np.asarray(mask) >= 0.5
    if not context:
        image = image & window.inside
    if not image.any():
        raise LayoutError(f"nothing to write to {path}: the mask is empty in region_nm={list(window.region_nm)}")
    written = write_mask(
        image.astype(np.uint8),
        path,
        window.pixel_nm,
        layer=layer,
        contours=contours,
        vertex_tolerance_nm=vertex_tolerance_nm,
        origin_nm=window.origin_nm,
        beside=beside,
    )
    read = read_clip(path, written.layer, placement=window.clip.offset_nm, window_nm=window.clip.window_nm)
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
