"""Pictures of mask rules: where a mask breaks them."""

import xarray as xr

from maskopt_lib.errors import UnknownNameError
from maskopt_lib.figures import marks, page, style
from maskopt_lib.figures.pictures import KEPT, NM, filled

#: Rule -> legend, marker and colour; markers differ as well as colours.
MARKS = {
    "min_width_nm": ("width", "o", style.VERMILION),
    "min_space_nm": ("space", "s", style.BLUE),
    "msa_nm2": ("area", "^", style.PINK),
    "msd_nm": ("distance", "D", style.ORANGE),
    "min_radius_nm": ("radius", "v", style.GREEN),
}


def rule_violations(
    picture: xr.Dataset, report: xr.Dataset, *, frame_nm: tuple[float, float, float, float] | None = None
) -> page.Figure:
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
        drawn.append(marks.frames([frame_nm], "#000000", 0.8, linestyle="--"))
    broken = report["broken"].values.astype(str)
    x, y = report["x_nm"].values, report["y_nm"].values
    for rule in rules:
        name, marker, colour = MARKS[rule]
        at = broken == rule
        unit = "nm²" if rule.endswith("nm2") else "nm"
        label = f"{name} < {float(report['at_least'].sel(rule=rule)):g} {unit}: {at.sum()}"
        look = {"marker": marker, "facecolor": "none", "edgecolor": colour, "linewidth": 1.2, "size": 36}
        drawn.append(marks.dots(x[at], y[at], colour, label, **look))
    numbers = [(*at, str(n)) for *at, n in zip(x, y, report["violation"].values, strict=True)]
    drawn.append(marks.names(numbers, "black", optional=True))
    return page.single(drawn, most_inch=5.5, **NM)
