"""What one score costs in another: fronts, attainment and hypervolumes."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from maskopt_lib.data import methods
from maskopt_lib.figures import marks, page, style
from maskopt_lib.figures.scores import nothing

_DOMINATED = "#EFEFEF"


def pareto_front(
    points: xr.Dataset,
    *,
    x: str,
    y: str,
    published: xr.Dataset | None = None,
    numbered: Sequence[str] | None = None,
    log_x: bool = False,
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> page.Figure:
    """Settings of several families as points, the staircase of those that none beats, and what it dominates in grey.

    Parameters
    ----------
    points : Dataset over ``method`` with ``family``, ``x`` and ``y``; both scores are better when smaller.
    x, y : scores on the axes.
    published : more points, over the same dimension, drawn as hollow stars and named; they make no front.
    numbered : methods that bear a number, in the order of the numbers; by default those of the staircase.
    log_x : logarithmic x axis.
    limits : axis (``"x"``, ``"y"``) -> lowest and highest value shown; points beyond are left out.

    Returns
    -------
    Points with the numbers of the front's entries; the legend says which family has which colour.
    """
    limits = dict(limits or {})
    frame = _finite(points, x, y).assign(family=points["family"].to_series())
    others = _finite(points.isel(method=[]) if published is None else published, x, y)
    stairs = frame.iloc[_staircase(frame["x"].values, frame["y"].values)]
    shown, others = (
        one[np.logical_and.reduce([one[a].between(*limits[a]) for a in limits] or [one["x"].notna()])]
        for one in (frame, others)
    )
    if not len(shown):
        return nothing("no setting within these limits")
    reach = {a: np.concatenate([shown[a], others[a]]) for a in ("x", "y")}
    left, right = limits.get("x") or (
        (0.8 * reach["x"].min(), 1.25 * reach["x"].max()) if log_x else style.limits(reach["x"])
    )
    bottom, top = limits.get("y") or style.limits(reach["y"])
    drawn = []
    if len(stairs):
        step_x, step_y = _steps(stairs["x"].values, stairs["y"].values, right, top)
        drawn.append(marks.area(step_x, step_y, np.full(len(step_x), top), _DOMINATED, alpha=1.0))
        drawn.append(marks.line(step_x, step_y, style.INK, width=0.8))
    for family, look in style.looks(dict.fromkeys(frame["family"])).items():
        mine = shown[shown["family"] == family]
        dots = {"marker": look.marker, "size": 20, "edgecolor": "white", "linewidth": 0.4}
        drawn.append(marks.dots(mine["x"], mine["y"], look.colour, look.name, **dots))
    if len(others):
        stars = {"marker": "*", "size": 60, "edgecolor": "black"}
        drawn.append(marks.dots(others["x"], others["y"], "white", "published", **stars))
    numbers = [
        (shown["x"][name], shown["y"][name], str(number))
        for number, name in enumerate(stairs.index if numbered is None else numbered, start=1)
        if name in shown.index
    ]
    named = [(one.x, one.y, methods.written(one.Index)) for one in others.itertuples()]
    return page.single(
        [*drawn, marks.names([*named, *numbers], "#000000", optional=True)],
        aspect=(0.9, 1.5),
        xlim=(left, right),
        ylim=(bottom, top),
        log_x=log_x,
        **style.axis_labels(points[x], points[y]),
    )


def attainment_curves(attained: xr.Dataset) -> page.Figure:
    """Which pairs of L2 and PV band are attained in which share of the clips.

    Parameters
    ----------
    attained : Dataset over ``point`` with ``l2_width_nm``, ``pvb_width_nm`` and ``share``, of
        :func:`maskopt_lib.study.attainment`.

    Returns
    -------
    One staircase a share.
    """
    x, y = attained["l2_width_nm"], attained["pvb_width_nm"]
    (left, right), (bottom, top) = style.limits(x.values), style.limits(y.values)
    shares, drawn = np.unique(attained["share"].values), []
    for share, look in zip(shares, style.looks([str(share) for share in shares]).values(), strict=True):
        mine = attained.isel(point=attained["share"].values == share).sortby(x.name)
        steps = _steps(mine[x.name].values, mine[y.name].values, right, top)
        drawn.append(marks.line(*steps, look.colour, f"{share:.0%} of the clips"))
    look = page.CURVES | style.axis_labels(x, y) | {"aspect": 1.5}
    return page.single(drawn, xlim=(left, right), ylim=(bottom, top), **look)


def hypervolume_bars(volumes: xr.Dataset) -> page.Figure:
    """What each family dominates by itself, and what is lost without it: a row of panels, one bar a family.

    Parameters
    ----------
    volumes : Dataset of ``alone`` and ``lost`` over ``family`` and ``space``.

    Returns
    -------
    Panels: one row a variable, one column a space; the families in the order of the first panel's values.
    """
    # The largest at the top.
    ordered = volumes.isel(family=np.argsort(volumes["alone"].isel(space=0).values, kind="stable")[::-1])
    families, spaces = style.names(ordered["family"]), style.names(ordered["space"])
    heights = np.arange(len(families))[::-1]
    panels = []
    for name in ("alone", "lost"):
        for space, values in zip(spaces, ordered[name].transpose("space", "family").values, strict=True):
            most = float(np.max(values)) or 1.0
            boxes = [(0.0, at - 0.38, end, at + 0.38) for at, end in zip(heights, values, strict=True)]
            ends = [(float(value) + 0.02 * most, at, f"{value:.3f}") for at, value in zip(heights, values, strict=True)]
            title = f"{volumes[name].attrs.get('long_name', name)}\n{space}"
            panels.append(
                page.Panel(
                    [marks.bars(boxes, style.BLUE), marks.texts(ends, **marks.RIGHT)],
                    aspect=None,
                    lines=1.15 * len(families),
                    title=title,
                    xlabel="share of the box",
                    xlim=(0, 1.7 * most),
                    xticks=3,
                    ylim=(-0.7, len(families) - 0.3),
                    yticks=style.rows(families),
                )
            )
    return page.Figure(panels, columns=len(spaces), least_inch=1.3, shared="y")


def _finite(points: xr.Dataset, x: str, y: str):
    """Finite pairs of two scores as a frame by method with the columns x and y."""
    frame = points[[x, y]].to_dataframe()[[x, y]].set_axis(["x", "y"], axis=1).astype(float)
    return frame[np.isfinite(frame).all(axis=1)].rename(index=str)


def _staircase(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices of the points that none beats in both, by ascending x."""
    order = np.lexsort((y, x))
    lowest = np.minimum.accumulate(np.r_[np.inf, y[order]])[:-1]
    return order[y[order] < lowest]


def _steps(x: np.ndarray, y: np.ndarray, right: float, top: float) -> tuple[np.ndarray, np.ndarray]:
    """Corners of a staircase that comes down from the top and goes on to the right."""
    return np.r_[x[0], np.repeat(x, 2)[1:], right], np.r_[top, np.repeat(y, 2)[:-1], y[-1]]
