"""Pictures of mask rules: where a mask breaks them."""

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.errors import UnknownNameError
from maskopt_lib.figures import marks, style
from maskopt_lib.figures.pictures import KEPT, filled

#: Rule -> legend, marker and colour; markers differ as well as colours.
MARKS = {
    "min_width_nm": ("width", "o", style.VERMILION),
    "min_space_nm": ("space", "s", style.BLUE),
    "msa_nm2": ("area", "^", style.PINK),
    "msd_nm": ("distance", "D", style.ORANGE),
    "min_radius_nm": ("radius", "v", style.GREEN),
}
# Room of a number beside its place, in shares of the picture's width: a digit, and a line of text.
_DIGIT, _LINE = 0.017, 0.028


def rule_violations(
    picture: xr.Dataset, report: xr.Dataset, *, frame_nm: tuple[float, float, float, float] | None = None
) -> hv.Overlay:
    """A mask with every violation of its rule deck marked by rule and numbered as in the report.

    Parameters
    ----------
    picture : Dataset of 0/1 ``mask`` and ``target`` over ``y`` and ``x``, in nm, in the coordinates of the report.
    report : of :func:`maskopt_lib.metrics.rule_report`.
    frame_nm : (x0, y0, x1, y1) of a frame, the region that was checked.

    Returns
    -------
    Mask in grey, outline of the target in black, an open mark at each place; the legend counts the violations of each
    rule. Beside the places stand the numbers of the worst, as far as none covers another; the table has them all.

    Raises
    ------
    UnknownNameError : the report has a rule that has no mark; lists those that have.
    """
    rules = style.names(report["rule"])
    if unknown := [rule for rule in rules if rule not in MARKS]:
        raise UnknownNameError(f"no mark for the rule {unknown[0]!r}; known: {', '.join(MARKS)}")
    drawn = filled(picture, ("mask", KEPT))
    if frame_nm is not None:
        drawn.append(marks.frames([frame_nm], "#000000", 1, linestyle="--"))
    broken = report["broken"].values.astype(str)
    for rule in rules:
        name, marker, colour = MARKS[rule]
        # A point nowhere keeps the legend entry of a rule that is not broken.
        x, y = (np.append(report[axis].values[broken == rule], np.nan) for axis in ("x_nm", "y_nm"))
        unit = "nm²" if rule.endswith("nm2") else "nm"
        label = f"{name} < {float(report['at_least'].sel(rule=rule)):g} {unit}: {len(x) - 1}"
        look = {"marker": marker, "facecolors": "none", "edgecolors": colour, "linewidth": 1.8, "s": 110}
        drawn.append(hv.Points((x, y), ["x", "y"], label=label).opts(**look))
    if len(broken):
        numbers = _numbers(report, float(picture["x"][-1] - picture["x"][0]))
        drawn.append(marks.texts(numbers, colour="black", size=9, **marks.RIGHT))
    return style.map_axes(drawn, (), size_inch=7.5, legend="top", legend_cols=3)


def _numbers(report: xr.Dataset, span_nm: float) -> list[tuple[float, float, str]]:
    """(x, y, text) of the numbers that have room, the worst first."""
    rows: list[tuple[float, float, str]] = []
    boxes = np.zeros((0, 4))
    for x, y, number in zip(report["x_nm"].values, report["y_nm"].values, report["violation"].values, strict=True):
        x, y, text = float(x) + 0.014 * span_nm, float(y) + 0.012 * span_nm, str(number)
        half, wide = _LINE * span_nm / 2, _DIGIT * span_nm * len(text)
        box = np.array([x, y - half, x + wide, y + half])
        if ((boxes[:, :2] >= box[2:]) | (boxes[:, 2:] <= box[:2])).any(axis=1).all():
            rows.append((x, y, text))
            boxes = np.vstack([boxes, box])
    return rows
