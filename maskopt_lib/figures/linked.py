"""Masks side by side on a screen, as HoloViews objects: zoomed and moved together, each edge error under the pointer.

What is drawn for a page has a fixed size and no pointer (:mod:`maskopt_lib.figures.page`, Matplotlib); here it is the
reader who chooses what is seen. A view is one HTML file that needs no server, no network and no notebook.
"""

import html
from collections.abc import Mapping
from pathlib import Path

import holoviews as hv
import numpy as np
import xarray as xr
from bokeh.core.validation import silenced
from bokeh.core.validation.warnings import FIXED_SIZING_MODE
from bokeh.embed import components
from bokeh.resources import Resources
from holoviews.plotting import bokeh as _bokeh  # noqa: F401  (its options are known to HoloViews from here on)
from IPython.display import HTML
from skimage.measure import find_contours

from maskopt_lib import files
from maskopt_lib.data import methods
from maskopt_lib.figures import style
from maskopt_lib.figures.pictures import PANELS

#: What a pixel shows, the last that it has: nothing, mask, nominal print, process-variation band.
COLOURS = ("#FFFFFF", *(colour for _, colour in PANELS["mask, print"]), style.BAND)
_FRAME_PX = 420


def view(pictures: Mapping[str, xr.Dataset], sites: Mapping[str, xr.Dataset], *, limit_nm: float = 15.0) -> hv.Layout:
    """One panel a mask, all with one range of x and y; a dot a site, which tells its edge error.

    Parameters
    ----------
    pictures : name of a mask -> Dataset with 0/1 ``target``, ``mask``, ``nominal``, ``outer``, ``inner`` over ``y``,
        ``x`` (nm).
    sites : the same names -> Dataset over ``site`` with ``x_nm``, ``y_nm`` and signed ``edge_error_nm``; nan where the
        printed edge is lost, which is a grey dot.
    limit_nm : error at which dots reach full colour.

    Returns
    -------
    Layout; shown by a notebook after ``holoviews.extension("bokeh")``, written by :func:`save`.
    """
    panels = [_panel(name, picture, sites[name], limit_nm) for name, picture in pictures.items()]
    return hv.Layout(panels).cols(3).opts(backend="bokeh", shared_axes=True, merge_tools=True)


def _panel(name: str, picture: xr.Dataset, sites: xr.Dataset, limit_nm: float) -> hv.Overlay:
    target, mask, nominal, outer, inner = (
        picture[layer].transpose("y", "x").values > 0 for layer in ("target", "mask", "nominal", "outer", "inner")
    )
    shown = np.select([outer & ~inner, nominal, mask], [3, 2, 1], 0).astype(np.uint8)
    x, y = picture["x"].values, picture["y"].values
    paths = [
        np.stack([np.interp(line[:, 1], range(len(x)), x), np.interp(line[:, 0], range(len(y)), y)], axis=-1)
        for line in find_contours(np.pad(target, 1).astype(float), 0.5)
        for line in [line - 1]
    ]
    axes = [hv.Dimension(axis, unit="nm") for axis in ("x", "y")]
    error = hv.Dimension("edge_error_nm", label="edge error", unit="nm")
    columns = tuple(sites[key].values for key in ("x_nm", "y_nm", "edge_error_nm"))
    image = hv.Image((x, y, shown), axes, "shown").opts(backend="bokeh", cmap=list(COLOURS), clim=(-0.5, 3.5))
    outline = hv.Path(paths, axes).opts(backend="bokeh", color=style.TARGET, line_width=1)
    dots = hv.Points(columns, axes, error).opts(
        backend="bokeh", color="edge_error_nm", cmap="PuOr_r", clim=(-limit_nm, limit_nm), colorbar=True,
        clipping_colors={"NaN": "grey"}, size=7, line_color="black", line_width=0.5, tools=["hover"],
    )  # fmt: skip
    return (image * outline * dots).opts(
        backend="bokeh",
        title=methods.written(name),
        frame_width=_FRAME_PX,
        frame_height=round(_FRAME_PX * len(y) / len(x)),
        active_tools=["wheel_zoom"],
    )


def save(layout: hv.Layout, name: str, folder: str | Path) -> HTML:
    """Write a view as ``<name>.html``, scripts and data in it.

    Parameters
    ----------
    layout : of :func:`view`.
    name : file name without folder and ending.
    folder : beside the notebook as it ran, made where it does not exist.

    Returns
    -------
    A link for the notebook to show.
    """
    folder = Path(folder)
    with silenced(FIXED_SIZING_MODE):  # the frames' size is what HoloViews fixes
        script, body = components(hv.render(layout, backend="bokeh"))
    inline = Resources(mode="inline", components=["bokeh"]).js_raw
    library = "".join(f"<script>{text}</script>" for text in inline)
    head = f'<meta charset="utf-8"><title>{html.escape(name)}</title>{library}{script}'
    page = f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'
    with files.replacing(folder / f"{name}.html") as beside:
        beside.write_text(page, encoding="utf-8")
    at = f"{folder.name}/{name}.html"
    return HTML(f'<a href="{at}">{at}</a>: side by side in a browser; wheel and drag move all, a dot tells its error')
