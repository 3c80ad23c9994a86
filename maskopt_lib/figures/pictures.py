"""Pictures of masks and what they print."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.collections import PathCollection

from maskopt_lib.data import methods
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.figures import marks, page, style
from maskopt_lib.figures.page import Figure, Mark, Panel

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
#: Axes of layouts.
NM = {"aspect": "equal", "xlabel": "x (nm)", "ylabel": "y (nm)", "xticks": 3, "yticks": 3}


def filled(entry: xr.Dataset, *fills: tuple[str, str]) -> list[Mark]:
    """Images (y, x) of an entry, each in its colour, and the outline of its ``target``."""
    image = marks.painted(*((entry[name].transpose("y", "x").values > 0, colour) for name, colour in fills))
    return [marks.picture(image, marks.extent(entry)), marks.contours(entry["target"])]


def mask_panels(
    pictures: xr.Dataset,
    *,
    panels: Sequence[str] = ("mask", "nominal print", "PV band"),
    rows: str | None = None,
) -> Figure:
    """Target outline over mask, print and process-variation band, one row a clip or method.

    Parameters
    ----------
    pictures : Dataset with 0/1 ``target``, ``mask``, ``nominal``, ``outer``, ``inner`` over ``y``, ``x`` (nm)
        and, where ``rows`` is given, one more dimension.
    panels : keys of :data:`PANELS`.
    rows : the dimension that makes the rows.

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
        label = "y (nm)"
        if rows is not None:
            label = f"{methods.written(str(entry[rows].item()))}\ny (nm)"
        for name in panels:
            look = NM | {"ylabel": label, "title": "" if i else name}
            drawn.append(Panel(filled(entry, *PANELS[name]), **look))
    return Figure(drawn, columns=len(panels), least_inch=1.0, shared="xy", most_inch=2.3 * len(panels) + 0.4)


def mask_gallery(pictures: xr.Dataset, *, along: str = "sample", panel: str = "mask", columns: int = 3) -> Figure:
    """Several masks side by side, each under its name.

    Parameters
    ----------
    pictures : Dataset of :func:`maskopt_lib.study.pictures`; the entries of ``along`` are the titles.
    along : dimension of the panels.
    panel : what is drawn, a key of :data:`PANELS`.
    columns : panels in a row.

    Returns
    -------
    Grid of panels with axes in nm where they end; the target's outline is black.
    """
    drawn = [
        Panel(filled(pictures.isel({along: i}), *PANELS[panel]), **NM | {"title": _titled(name)})
        for i, name in enumerate(style.names(pictures[along]))
    ]
    return Figure(drawn, columns=columns, least_inch=1.5, shared="xy")


def _titled(name: str) -> str:
    return "\n".join(methods.written(line) for line in name.split("\n"))


def mask_changes(before: xr.DataArray, after: xr.DataArray, target: xr.DataArray, *, along: str) -> Figure:
    """Masks before and after a change on top of each other, one panel each.

    Parameters
    ----------
    before, after : (along, y, x), 0 or 1, y and x in nm.
    target : (y, x), outlined in black.
    along : dimension of the panels; its labels are their titles.
    """
    drawn = []
    for name in before[along].values:
        old, new = (masks.sel({along: name}).transpose("y", "x").values > 0 for masks in (before, after))
        image = marks.painted((old & new, KEPT), (old & ~new, TAKEN), (new & ~old, ADDED))
        parts = [marks.picture(image, marks.extent(before)), marks.contours(target)]
        drawn.append(Panel(parts, **NM | {"title": _titled(str(name))}))
    keys = marks.keys({"stays": (KEPT, 5), "taken away": (TAKEN, 5), "added": (ADDED, 5)})
    return Figure(drawn, columns=3, least_inch=1.5, shared="xy", keys=keys, most_inch=3.2 * len(drawn) + 0.4)


def edge_errors(picture: xr.Dataset, sites: xr.Dataset, *, limit_nm: float = 15.0) -> Figure:
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
    kind = "contour" if is_outline else "edge"
    x, y, error = (sites[name].values for name in ("x_nm", "y_nm", f"{kind}_error_nm"))
    lost = np.isnan(error)
    look = {"s": 5, "linewidth": 0} if is_outline else {"s": 9, "edgecolor": "black", "linewidth": 0.3}

    def points(axes) -> PathCollection:
        made = axes.scatter(x[~lost], y[~lost], c=error[~lost], cmap="PuOr", vmin=-limit_nm, vmax=limit_nm, **look)
        made.colour_bar = f"signed {kind} error (nm), + = outside"
        return made

    drawn = [*filled(picture, *PANELS["mask, print"]), Mark("dots", points, np.stack([x[~lost], y[~lost]], axis=-1))]
    if lost.any():
        drawn.append(marks.dots(x[lost], y[lost], "red", "no printed edge", marker="X", edgecolor="white"))
    return page.single(drawn, most_inch=5.0, **NM)
