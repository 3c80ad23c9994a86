"""Pictures of masks and what they print."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr
from skimage.measure import find_contours

from maskopt_lib.errors import UnknownNameError
from maskopt_lib.figures import style

#: Panels by name: what is filled, in which order and colour.
PANELS = {
    "mask": (("mask", style.MASK),),
    "nominal print": (("nominal", style.PRINT),),
    "PV band": (("outer", style.BAND), ("inner", "#F0F0F0")),
    "mask, print": (("mask", "#C8C8C8"), ("nominal", style.PRINT)),
}


def mask_panels(
    pictures: xr.Dataset,
    *,
    panels: Sequence[str] = ("mask", "nominal print", "PV band"),
    rows: str | None = None,
    size_inch: float = 3.2,
) -> hv.Layout:
    """Target outline over mask, print and process-variation band, one row a clip or method.

    Parameters
    ----------
    pictures : Dataset with 0/1 ``target``, ``mask``, ``nominal``, ``outer``, ``inner`` over ``y``, ``x`` (nm)
        and, where ``rows`` is given, one more dimension.
    panels : keys of :data:`PANELS`.
    rows : the dimension that makes the rows.
    size_inch : side of a panel.

    Returns
    -------
    Grid of panels with axes in nm; the target's outline is black in each.

    Raises
    ------
    UnknownNameError : no such panel; lists those there are.
    """
    if unknown := [panel for panel in panels if panel not in PANELS]:
        raise UnknownNameError(f"no panel {unknown[0]!r}; known: {', '.join(PANELS)}")
    entries = [pictures] if rows is None else [pictures.isel({rows: i}) for i in range(pictures.sizes[rows])]
    drawn = []
    for i, entry in enumerate(entries):
        name = "" if rows is None else f"{entry[rows].item()}\n"
        last = i == len(entries) - 1
        for j, panel in enumerate(panels):
            drawn.append(
                _panel(entry, panel).opts(
                    hv.opts.RGB(
                        title=panel if i == 0 else "",
                        fontsize=style.FONT_SIZES,
                        xlabel="x (nm)" if last else "",
                        ylabel=f"{name}y (nm)" if j == 0 else "",
                        xaxis="bottom" if last else "bare",
                        yaxis="left" if j == 0 else "bare",
                        aspect="equal",
                        interpolation="nearest",
                    ),
                )
            )
    layout = hv.Layout(drawn).cols(len(panels))
    return layout.opts(hv.opts.Layout(fig_inches=size_inch, hspace=0.1, vspace=0.12, sublabel_format=""))


def _panel(entry: xr.Dataset, panel: str) -> hv.Overlay:
    x, y = entry["x"].values, entry["y"].values
    pixel = float(x[1] - x[0])
    image = style.painted(*((entry[name].transpose("y", "x").values > 0, colour) for name, colour in PANELS[panel]))
    bounds = (x[0] - pixel / 2, y[0] - pixel / 2, x[-1] + pixel / 2, y[-1] + pixel / 2)
    picture = hv.RGB(image[::-1], bounds=bounds, kdims=["x", "y"])
    return picture * _outline(entry["target"])


def _outline(target: xr.DataArray) -> hv.Path:
    x, y = target["x"].values, target["y"].values
    pixel = float(x[1] - x[0])
    padded = np.pad(target.transpose("y", "x").values.astype(float), 1)
    paths = [
        np.column_stack([x[0] + (c[:, 1] - 1) * pixel, y[0] + (c[:, 0] - 1) * pixel])
        for c in find_contours(padded, 0.5)
    ]
    return hv.Path(style.joined(paths), kdims=["x", "y"]).opts(hv.opts.Path(color=style.TARGET, linewidth=0.8))


def edge_errors(
    picture: xr.Dataset, sites: xr.Dataset, *, size_inch: float = 7.0, limit_nm: float = 15.0
) -> hv.Overlay:
    """The print of one clip with each EPE site's signed edge error as a coloured dot.

    Parameters
    ----------
    picture : as for :func:`mask_panels`, without rows.
    sites : Dataset over ``site`` with ``y_nm``, ``x_nm`` and ``edge_error_nm``.
    size_inch : side of the picture.
    limit_nm : edge error at which dots reach full colour.

    Returns
    -------
    Picture with one dot a site, where the target's edge is; a red cross where the printed edge is lost (nan).
    """
    x, y, error = (sites[name].values for name in ("x_nm", "y_nm", "edge_error_nm"))
    lost = np.isnan(error)
    points = hv.Points((x[~lost], y[~lost], error[~lost]), kdims=["x", "y"], vdims=["edge error (nm)"])
    crosses = hv.Points((x[lost], y[lost]), kdims=["x", "y"])
    drawn = _panel(picture, "mask, print").opts(
        hv.opts.RGB(aspect="equal", xlabel="x (nm)", ylabel="y (nm)", fontsize=style.FONT_SIZES, fig_inches=size_inch),
    ) * points.opts(
        hv.opts.Points(
            color="edge error (nm)", cmap="PuOr", clim=(-limit_nm, limit_nm), colorbar=True, s=16, edgecolor="black",
            linewidth=0.4, clabel="signed edge error (nm), + = outside",
        )
    )  # fmt: skip
    return (
        drawn * crosses.opts(hv.opts.Points(color="red", marker="X", edgecolor="white", s=36)) if lost.any() else drawn
    )
