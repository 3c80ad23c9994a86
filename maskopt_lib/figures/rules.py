"""Pictures of mask rules: where a mask breaks them."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.errors import UnknownNameError
from maskopt_lib.figures import style
from maskopt_lib.figures.pictures import _outline

#: Rule -> legend, marker and colour; markers differ as well as colours.
MARKS = {
    "min_width_nm": ("width", "o", "#D55E00"),
    "min_space_nm": ("space", "s", "#0072B2"),
    "msa_nm2": ("area", "^", "#CC79A7"),
    "msd_nm": ("distance", "D", "#E69F00"),
    "min_radius_nm": ("radius", "v", "#009E73"),
}
# More numbers than this cover each other; the table has them all.
_MOST_NUMBERS = 60
_MASK = "#C8C8C8"


def rule_violations(
    picture: xr.Dataset,
    report: xr.Dataset,
    *,
    frame_nm: tuple[float, float, float, float] | None = None,
    size_inch: float = 7.5,
) -> hv.Overlay:
    """A mask with every violation of its rule deck marked by rule and numbered as in the report.

    Parameters
    ----------
    picture : Dataset of 0/1 ``mask`` and ``target`` over ``y`` and ``x``, in nm, in the coordinates of the report.
    report : of :func:`maskopt_lib.metrics.rule_report`.
    frame_nm : (x0, y0, x1, y1) of a frame, the region that was checked.
    size_inch : side of the picture.

    Returns
    -------
    Mask in grey, outline of the target in black, an open mark at each place; the legend counts the violations of each
    rule. The numbers of the worst places stand beside them.

    Raises
    ------
    UnknownNameError : the report has a rule that has no mark; lists those that have.
    """
    rules = [str(rule) for rule in report["rule"].values]
    if unknown := [rule for rule in rules if rule not in MARKS]:
        raise UnknownNameError(f"no mark for the rule {unknown[0]!r}; known: {', '.join(MARKS)}")
    drawn = [_mask(picture), _outline(picture["target"])]
    if frame_nm is not None:
        x0, y0, x1, y1 = frame_nm
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
        drawn.append(hv.Path([corners]).opts(hv.opts.Path(color="#000000", linestyle="--", linewidth=1)))
    broken = report["broken"].values.astype(str)
    for rule in rules:
        name, marker, colour = MARKS[rule]
        x, y = (report[axis].values[broken == rule] for axis in ("x_nm", "y_nm"))
        limit = float(report["at_least"].sel(rule=rule))
        unit = "nm²" if rule.endswith("nm2") else "nm"
        label = f"{name} < {limit:g} {unit}: {len(x)}"
        # A point that is not drawn keeps the legend entry of a rule that is not broken.
        x, y = (x, y) if len(x) else (np.array([np.nan]), np.array([np.nan]))
        marks = hv.Points((x, y), kdims=["x", "y"], label=label)
        drawn.append(
            marks.opts(hv.opts.Points(marker=marker, facecolors="none", edgecolors=colour, linewidth=1.8, s=110))
        )
    if len(broken):
        span = float(picture["x"][-1] - picture["x"][0])
        texts = hv.Labels(_numbers(report, 0.03 * span, 0.012 * span), kdims=["x", "y"], vdims=["number"])
        drawn.append(texts.opts(hv.opts.Labels(color="black", size=9, horizontalalignment="left")))
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect="equal", legend_position="top", legend_cols=3, fontsize=style.FONT_SIZES
        )
    )


def _mask(picture: xr.Dataset) -> hv.RGB:
    x, y = picture["x"].values, picture["y"].values
    half = float(x[1] - x[0]) / 2
    image = style.painted((picture["mask"].transpose("y", "x").values > 0, _MASK))
    drawn = hv.RGB(image[::-1], bounds=(x[0] - half, y[0] - half, x[-1] + half, y[-1] + half), kdims=["x", "y"])
    return drawn.opts(
        hv.opts.RGB(
            aspect="equal", xlabel="x (nm)", ylabel="y (nm)", fontsize=style.FONT_SIZES, interpolation="nearest"
        )
    )


def _numbers(report: xr.Dataset, near_nm: float, beside_nm: float) -> list[tuple[float, float, str]]:
    """(x, y, text) of the numbers; places near to each other share one text."""
    texts: list[tuple[float, float, str]] = []
    first = report.isel(violation=slice(_MOST_NUMBERS))
    for x, y, number in zip(first["x_nm"].values, first["y_nm"].values, first["violation"].values, strict=True):
        x, y = float(x) + beside_nm, float(y) + beside_nm
        for i, (x0, y0, text) in enumerate(texts):
            if np.hypot(x - x0, y - y0) < near_nm:
                texts[i] = (x0, y0, f"{text}, {number}")
                break
        else:
            texts.append((x, y, str(number)))
    return texts
