"""Pictures of what a clean-up does to masks, and of what its limits cost."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import style
from maskopt_lib.figures.pictures import _outline

#: What stays, what is taken away, what is added.
KEPT, TAKEN, ADDED = "#C8C8C8", "#D55E00", "#0072B2"
# Share of an axis that separates two named points.
_APART = 0.07


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
    x, y = before["x"].values, before["y"].values
    half = float(x[1] - x[0]) / 2
    panels = []
    for name in before[along].values:
        old, new = (m.sel({along: name}).transpose("y", "x").values > 0 for m in (before, after))
        image = style.painted((old & new, KEPT), (old & ~new, TAKEN), (new & ~old, ADDED))
        picture = hv.RGB(
            image[::-1], bounds=(x[0] - half, y[0] - half, x[-1] + half, y[-1] + half), kdims=["x", "y"]
        ).opts(
            hv.opts.RGB(
                title=str(name), aspect="equal", xlabel="x (nm)", ylabel="y (nm)" if not panels else "",
                yaxis="left" if not panels else "bare", fontsize=style.FONT_SIZES, interpolation="nearest",
            )
        )  # fmt: skip
        panels.append(picture * _outline(target))
    return hv.Layout(panels).cols(3).opts(hv.opts.Layout(fig_inches=3.8, hspace=0.1, vspace=0.25, sublabel_format=""))


def limit_curves(
    scores: xr.Dataset,
    *,
    x: str,
    y: str,
    along: str,
    lines: str = "method",
    size_inch: tuple[float, float] = (6.8, 4.4),
) -> hv.Overlay:
    """One score against another while a limit grows: one line an entry of ``lines``, each point named by the limit.

    Parameters
    ----------
    scores : Dataset over ``along`` and ``lines``, means over the clips, with ``long_name`` and ``units``.
    x, y : scores on the axes.
    along : dimension of the limit; of points close to each other only the first is named.
    lines : dimension of the lines.
    size_inch : width and height.
    """
    width, height = size_inch
    names = [str(name) for name in scores[lines].values]
    at = {name: np.column_stack([scores[v].sel({lines: name}).values for v in (x, y)]) for name in names}
    low, high = np.nanmin(np.vstack(list(at.values())), axis=0), np.nanmax(np.vstack(list(at.values())), axis=0)
    room = np.where(high > low, high - low, 1.0)
    drawn = []
    for name, colour in zip(names, style.colours(names), strict=True):
        curve = hv.Curve(at[name], kdims=["x"], vdims=["y"], label=name)
        drawn.append(curve.opts(hv.opts.Curve(color=colour, linewidth=1.4)))
        drawn.append(hv.Points(at[name], kdims=["x", "y"]).opts(hv.opts.Points(color=colour, s=30)))
        texts: list[tuple[float, float, str]] = []
        for point, limit in zip(at[name], scores[along].values, strict=True):
            # Names closer than this would lie on top of each other.
            if not texts or np.max(np.abs(point - texts[-1][:2]) / room) > _APART:
                texts.append((*point, f" {limit:g}"))
        labels = hv.Labels(texts, kdims=["x", "y"], vdims=["limit"])
        drawn.append(
            labels.opts(hv.opts.Labels(color=colour, size=8, horizontalalignment="left", verticalalignment="bottom"))
        )
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=width / height, fontsize=style.FONT_SIZES, show_grid=True,
            xlabel=style.axis_label(scores[x]), ylabel=style.axis_label(scores[y]), legend_position="top",
            xlim=(low[0] - 0.05 * room[0], high[0] + 0.12 * room[0]),
            ylim=(low[1] - 0.08 * room[1], high[1] + 0.12 * room[1]),
        )
    )  # fmt: skip
