"""What one score costs in another: fronts, attainment and hypervolumes."""

from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import marks, style

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
) -> hv.Overlay:
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
    reach = {a: np.concatenate([shown[a], others[a]]) for a in ("x", "y")}
    x_low, x_high = limits.get("x") or (
        (0.8 * reach["x"].min(), 1.25 * reach["x"].max()) if log_x else style.limits(reach["x"])
    )
    bottom, top = limits.get("y") or style.limits(reach["y"])
    at = np.log10 if log_x else np.asarray
    left, right = float(at(x_low)), float(at(x_high))

    drawn = []
    if len(stairs):
        step_x, step_y = _steps(at(stairs["x"].values), stairs["y"].values, right, top)
        above = hv.Area((step_x, step_y, np.full(len(step_x), top)), "x", ["y", "y2"])
        drawn.append(above.opts(facecolor=_DOMINATED, edgecolor=_DOMINATED, linewidth=0))
        drawn.append(marks.line(step_x, step_y, style.INK, width=1.1))
    families = list(dict.fromkeys(frame["family"]))
    colours = style.colours(families)
    for family, colour, marker in zip(families, colours, style.markers(colours), strict=True):
        mine = shown[shown["family"] == family]
        look = {"marker": marker, "size": 40, "edgecolor": "white", "linewidth": 0.5}
        drawn.append(marks.dots(at(mine["x"].values), mine["y"].values, colour, family, **look))
    if len(others):
        look = {"marker": "*", "size": 110, "edgecolor": "black", "linewidth": 0.9}
        drawn.append(marks.dots(at(others["x"].values), others["y"].values, "white", "published", **look))
    lift, beside = 0.014 * (top - bottom), 0.014 * (right - left)
    numbers = [
        (float(at(shown["x"][name])), shown["y"][name] - lift, str(number))
        for number, name in enumerate(stairs.index if numbered is None else numbered, start=1)
        if name in shown.index
    ]
    drawn.append(marks.texts(numbers, verticalalignment="top", horizontalalignment="right"))
    named = [(float(at(one.x)) + beside, one.y, one.Index) for one in others.itertuples()]
    drawn.append(marks.texts(named, **marks.RIGHT))
    return style.axes(
        drawn,
        size_inch=(9.5, 5.0),
        share=0.68,
        xlabel=style.axis_label(points[x]),
        ylabel=style.axis_label(points[y]),
        xlim=(left, right),
        ylim=(bottom, top),
        xticks=style.log_ticks(x_low, x_high) if log_x else None,
    )


def attainment_curves(attained: xr.Dataset) -> hv.Overlay:
    """Which pairs of L2 and PV band are attained in which share of the clips.

    Parameters
    ----------
    attained : Dataset over ``point`` with ``l2_width_nm``, ``pvb_width_nm`` and ``share``, of
        :func:`maskopt_lib.study.attainment`.

    Returns
    -------
    One staircase a share, the darker the more clips.
    """
    x, y = attained["l2_width_nm"], attained["pvb_width_nm"]
    (left, right), (bottom, top) = style.limits(x.values), style.limits(y.values)
    shares, drawn = np.unique(attained["share"].values), []
    for share, colour in zip(shares, style.colours([str(share) for share in shares]), strict=True):
        mine = attained.isel(point=attained["share"].values == share).sortby(x.name)
        steps = _steps(mine[x.name].values, mine[y.name].values, right, top)
        drawn.append(marks.line(*steps, colour, f"{share:.0%} of the clips", width=1.8))
    return style.axes(
        drawn,
        size_inch=(6.0, 3.8),
        share=0.72,
        xlabel=style.axis_label(x),
        ylabel=style.axis_label(y),
        xlim=(left, right),
        ylim=(bottom, top),
        ruled=True,
    )


def hypervolume_bars(volumes: xr.Dataset) -> hv.Layout:
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
            ends = [(float(value) + 0.02 * most, at, f"{value:.3f}") for at, value in zip(heights, values, strict=True)]
            drawn = [
                marks.bars(
                    [(0.0, at - 0.38, end, at + 0.38) for at, end in zip(heights, values, strict=True)], style.BLUE
                ),
                marks.texts(ends, **marks.RIGHT),
            ]
            title = f"{volumes[name].attrs.get('long_name', name)}\n{space}"
            panels.append((drawn, {"title": title, "xlabel": "share of the box", "xlim": (0, 1.18 * most)}))
    return style.row_grid(panels, families, width_inch=11.0, share=0.72, columns=len(spaces))


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
