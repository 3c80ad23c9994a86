"""Pictures of masks and what they print."""

import textwrap
from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.errors import UnknownNameError
from maskopt_lib.figures import marks, style

_PALE = "#C8C8C8"
#: Panels by name: what is filled, in which order and colour.
PANELS = {
    "mask": (("mask", style.MASK),),
    "nominal print": (("nominal", style.PRINT),),
    "PV band": (("outer", style.BAND), ("inner", "#F0F0F0")),
    "mask, print": (("mask", _PALE), ("nominal", style.PRINT)),
}
#: What stays, what is taken away, what is added.
KEPT, TAKEN, ADDED = _PALE, style.VERMILION, style.BLUE
# As many as stand over a panel of the gallery without touching those of the next.
_TITLE_CHARACTERS = 27


def filled(entry: xr.Dataset, *fills: tuple[str, str]) -> list[hv.Element]:
    """Images (y, x) of an entry, each in its colour, and the outline of its ``target``."""
    image = marks.painted(*((entry[name].transpose("y", "x").values > 0, colour) for name, colour in fills))
    return [marks.picture(image, marks.extent(entry)), marks.contours(entry["target"])]


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
    if unknown := [name for name in panels if name not in PANELS]:
        raise UnknownNameError(f"no panel {unknown[0]!r}; known: {', '.join(PANELS)}")
    entries = [pictures] if rows is None else [pictures.isel({rows: i}) for i in range(pictures.sizes[rows])]
    drawn = []
    for i, entry in enumerate(entries):
        label = "y (nm)" if rows is None else f"{entry[rows].item()}\ny (nm)"
        for name in panels:
            place = style.outer(len(drawn), len(entries) * len(panels), len(panels), ylabel=label)
            parts = filled(entry, *PANELS[name])
            few = style.few_ticks(entry["x"])
            drawn.append(style.axes(parts, title="" if i else name, aspect="equal", **few, **place))
    return style.grid(drawn, columns=len(panels), size_inch=size_inch, hspace=0.1, vspace=0.12)


def mask_gallery(
    pictures: xr.Dataset, *, along: str = "sample", panel: str = "mask", columns: int = 3, size_inch: float = 2.8
) -> hv.Layout:
    """Several masks side by side, each under its name.

    Parameters
    ----------
    pictures : Dataset of :func:`maskopt_lib.study.pictures`; the entries of ``along`` are the titles.
    along : dimension of the panels.
    panel : what is drawn, a key of :data:`PANELS`.
    columns : panels in a row.
    size_inch : side of a panel.

    Returns
    -------
    Grid of panels with axes in nm where they end; the target's outline is black.
    """
    titles = [
        "\n".join(part for line in name.split("\n") for part in textwrap.wrap(line, _TITLE_CHARACTERS))
        for name in style.names(pictures[along])
    ]
    drawn = [
        style.axes(
            filled(pictures.isel({along: i}), *PANELS[panel]),
            title=title,
            aspect="equal",
            fonts={"title": 9},
            **style.few_ticks(pictures["x"]),
            **style.outer(i, len(titles), columns),
        )
        for i, title in enumerate(titles)
    ]
    vspace = 0.1 + 0.08 * max(title.count("\n") for title in titles)
    return style.grid(drawn, columns=columns, size_inch=size_inch, hspace=0.1, vspace=vspace)


def mask_changes(before: xr.DataArray, after: xr.DataArray, target: xr.DataArray, *, along: str) -> hv.Layout:
    """Masks before and after a change on top of each other, one panel each.

    Parameters
    ----------
    before, after : (along, y, x), 0 or 1, y and x in nm.
    target : (y, x), outlined in black.
    along : dimension of the panels; its labels are their titles.

    Returns
    -------
    Panels: grey what stays, orange what is taken away, blue what is added.
    """
    panels = []
    for i, name in enumerate(before[along].values):
        old, new = (masks.sel({along: name}).transpose("y", "x").values > 0 for masks in (before, after))
        image = marks.painted((old & new, KEPT), (old & ~new, TAKEN), (new & ~old, ADDED))
        parts = [marks.picture(image, marks.extent(before)), marks.contours(target)]
        place = {"ylabel": "", "yaxis": "bare"} if i else {"ylabel": "y (nm)"}
        panels.append(style.axes(parts, title=str(name), xlabel="x (nm)", aspect="equal", **place))
    return style.grid(panels, columns=3, size_inch=3.8, hspace=0.1, vspace=0.25)


def edge_errors(picture: xr.Dataset, sites: xr.Dataset, *, limit_nm: float = 15.0) -> hv.Overlay:
    """The print of one clip with signed errors as coloured dots: of each EPE site, or along the outline.

    Parameters
    ----------
    picture : as for :func:`mask_panels`, without rows.
    sites : Dataset over ``site`` with ``y_nm``, ``x_nm`` and ``edge_error_nm``; or over ``place`` with
        ``contour_error_nm``, of :func:`maskopt_lib.metrics.contour_error`.
    limit_nm : error at which dots reach full colour.

    Returns
    -------
    Picture with one dot a site, where the target's edge is; a red cross where the printed edge is lost (nan). Places
    along an outline stand so close that they make a line.
    """
    is_outline = "contour_error_nm" in sites
    x, y, error = (sites[name].values for name in ("x_nm", "y_nm", f"{'contour' if is_outline else 'edge'}_error_nm"))
    lost = np.isnan(error)
    points = hv.Points((x[~lost], y[~lost], error[~lost]), ["x", "y"], "error").opts(
        color="error",
        cmap="PuOr",
        clim=(-limit_nm, limit_nm),
        colorbar=True,
        clabel=f"signed {'contour' if is_outline else 'edge'} error (nm), + = outside",
        s=10 if is_outline else 16,
        edgecolor="none" if is_outline else "black",
        linewidth=0.4,
    )
    drawn = [*filled(picture, *PANELS["mask, print"]), points]
    if lost.any():
        drawn.append(marks.dots(x[lost], y[lost], "red", size=36, marker="X", edgecolor="white"))
    return style.map_axes(drawn, (), size_inch=5.0)
