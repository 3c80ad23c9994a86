"""What one score costs in another: fronts, attainment, hypervolumes, and masks along a front."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import style
from maskopt_lib.figures.pictures import _panel

_MARKERS = "os^Dvp"
_FRONT, _DOMINATED = "#333333", "#EFEFEF"
# As many as stand over a panel of the gallery without touching those of the next.
_TITLE_CHARACTERS = 27


def pareto_front(
    points: xr.Dataset, *, x: str, y: str, family: str = "family", names: str = "method",
    published: xr.Dataset | None = None, numbered: Sequence[str] | None = None, log_x: bool = False,
    limits: Mapping[str, tuple[float, float]] | None = None, title: str = "",
    size_inch: tuple[float, float] = (9.5, 5.0),
) -> hv.Overlay:  # fmt: skip
    """Settings of several families as points, the staircase of those that none beats, and what it dominates in grey.

    Parameters
    ----------
    points : Dataset over ``names`` with ``family``, ``x`` and ``y``; both scores are better when smaller.
    x, y : scores on the axes.
    family : variable or coordinate that gives a point its colour.
    names : dimension of the points.
    published : more points, over the same dimension, drawn as hollow stars and named; they make no front.
    numbered : entries of ``names`` that bear a number, in the order of the numbers; by default those of the staircase.
    log_x : logarithmic x axis.
    limits : axis (``"x"``, ``"y"``) -> lowest and highest value shown; points beyond are left out.
    title : over the figure.
    size_inch : width and height, legend included.

    Returns
    -------
    Points with the numbers of the front's entries; the legend says which family has which colour.
    """
    limits = dict(limits or {})
    px, py = (np.asarray(points[name], float) for name in (x, y))
    labels, families = (points[name].values.astype(str) for name in (names, family))
    px, py, labels, families = (column[np.isfinite(px) & np.isfinite(py)] for column in (px, py, labels, families))
    stairs = _staircase(px, py)
    shown = np.ones(len(px), bool)
    for values, axis in ((px, "x"), (py, "y")):
        if axis in limits:
            shown &= (values >= limits[axis][0]) & (values <= limits[axis][1])
    others = _finite(published, x, y, names, limits)
    xs = np.concatenate([px[shown], [point[0] for point in others]])
    ys = np.concatenate([py[shown], [point[1] for point in others]])
    x_low, x_high = limits.get("x") or _room(xs, log=log_x)
    y_low, y_high = limits.get("y") or _room(ys, log=False)
    at = np.log10 if log_x else np.asarray
    left, right = (float(at(value)) for value in (x_low, x_high))

    drawn = []
    if len(stairs):
        step_x = np.repeat(at(px[stairs]), 2)[1:]
        step_y = np.repeat(py[stairs], 2)[:-1]
        step_x, step_y = np.r_[step_x[0], step_x, right], np.r_[y_high, step_y, step_y[-1]]
        above = hv.Area((step_x, step_y, np.full(len(step_x), y_high)), kdims=["x"], vdims=["y", "y2"])
        drawn.append(above.opts(hv.opts.Area(facecolor=_DOMINATED, edgecolor=_DOMINATED, linewidth=0)))
        curve = hv.Curve((step_x, step_y), kdims=["x"], vdims=["y"])
        drawn.append(curve.opts(hv.opts.Curve(color=_FRONT, linewidth=1.1)))
    members = list(dict.fromkeys(families))
    chosen = style.colours(members)
    for i, (member, colour) in enumerate(zip(members, chosen, strict=True)):
        mine = shown & (families == member)
        # Where colours run out, the next shape begins.
        look = {"color": colour, "marker": _MARKERS[chosen[:i].count(colour) % len(_MARKERS)]}
        dots = hv.Points((at(px[mine]), py[mine]), kdims=["x", "y"], label=member)
        drawn.append(dots.opts(hv.opts.Points(s=40, edgecolor="white", linewidth=0.5, **look)))
    if others:
        stars = hv.Points([(float(at(ox)), oy) for ox, oy, _ in others], kdims=["x", "y"], label="published")
        drawn.append(stars.opts(hv.opts.Points(color="white", edgecolor="black", marker="*", s=110, linewidth=0.9)))
    lift = 0.014 * (y_high - y_low)
    marked = labels[stairs] if numbered is None else numbered
    texts = [
        (float(at(px[labels == name][0])), py[labels == name][0] - lift, str(number))
        for number, name in enumerate(marked, start=1)
        if (shown & (labels == name)).any()
    ]
    drawn.append(_texts(texts, size=8, verticalalignment="top", horizontalalignment="right"))
    stars = [(float(at(ox)) + 0.014 * (right - left), oy, name) for ox, oy, name in others]
    drawn.append(_texts(stars, size=8, verticalalignment="center", horizontalalignment="left"))
    width, height = size_inch
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=0.68 * width / height, fontsize=style.FONT_SIZES, show_grid=False, title=title,
            xlabel=style.axis_label(points[x]), ylabel=style.axis_label(points[y]), xlim=(left, right),
            ylim=(y_low, y_high), xticks=_log_ticks(x_low, x_high) if log_x else None, legend_position="right",
            legend_opts={"fontsize": 8},
        ),
    )  # fmt: skip


def attainment_curves(
    attained: xr.Dataset, *, x: str = "l2_width_nm", y: str = "pvb_width_nm", title: str = "",
    size_inch: tuple[float, float] = (6.0, 3.8),
) -> hv.Overlay:  # fmt: skip
    """Which pairs of two scores are attained in which share of the clips.

    Parameters
    ----------
    attained : Dataset over ``point`` with ``x``, ``y`` and ``share``, of :func:`maskopt_lib.study.attainment`.
    x, y : scores on the axes, better when smaller.
    title : over the figure.
    size_inch : width and height, legend included.

    Returns
    -------
    One staircase a share, the darker the more clips.
    """
    shares = np.unique(attained["share"].values)
    (left, right), (bottom, top) = (_room(attained[name].values, log=False) for name in (x, y))
    drawn = []
    for share, colour in zip(shares, style.colours([str(s) for s in shares]), strict=True):
        mine = attained.isel(point=attained["share"].values == share).sortby(x)
        px, py = np.repeat(mine[x].values, 2)[1:], np.repeat(mine[y].values, 2)[:-1]
        line = (np.r_[px[0], px, right], np.r_[top, py, py[-1]])
        curve = hv.Curve(line, kdims=["x"], vdims=["y"], label=f"{share:.0%} of the clips")
        drawn.append(curve.opts(hv.opts.Curve(color=colour, linewidth=1.8)))
    width, height = size_inch
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=0.72 * width / height, fontsize=style.FONT_SIZES, show_grid=True, title=title,
            xlabel=style.axis_label(attained[x]), ylabel=style.axis_label(attained[y]), xlim=(left, right),
            ylim=(bottom, top),
            legend_position="right",
        ),
    )  # fmt: skip


def hypervolume_bars(
    volumes: xr.Dataset, *, names: Sequence[str] = ("alone", "lost"), family: str = "family", spaces: str = "space",
    width_inch: float = 11.0,
) -> hv.Layout:  # fmt: skip
    """What each family dominates by itself, and what is lost without it: a row of panels, one bar a family.

    Parameters
    ----------
    volumes : Dataset of ``names`` over ``family`` and ``spaces``.
    names : variables, one panel each and space.
    family, spaces : its dimensions.
    width_inch : of the figure.

    Returns
    -------
    Panels: one row a variable, one column a space; the families in the order of the first panel's values.
    """
    order = np.argsort(volumes[names[0]].isel({spaces: 0}).values, kind="stable")
    ordered = volumes.isel({family: order})
    members = [str(name) for name in ordered[family].values]
    panels = []
    n_columns = volumes.sizes[spaces]
    height = 0.8 + 0.24 * len(members)
    for name in names:
        for j in range(n_columns):
            values = ordered[name].isel({spaces: j}).values
            boxes = [(0.0, i - 0.38, float(v), i + 0.38) for i, v in enumerate(values)]
            bars = hv.Rectangles(boxes).opts(hv.opts.Rectangles(facecolor=style.PALETTE[0], edgecolor="white"))
            most = float(np.max(values)) or 1.0
            texts = _texts(
                [(float(v) + 0.02 * most, i, f"{v:.3f}") for i, v in enumerate(values)],
                size=8,
                horizontalalignment="left",
                verticalalignment="center",
            )
            panels.append(
                hv.Overlay([bars, texts]).opts(
                    hv.opts.Overlay(
                        title=f"{volumes[name].attrs.get('long_name', name)}\n{ordered[spaces].values[j]}",
                        xlabel="share of the box", ylabel="",
                        yticks=[(i, "" if j else member) for i, member in enumerate(members)],
                        xlim=(0, 1.18 * most), ylim=(-0.6, len(members) - 0.4), fontsize=style.FONT_SIZES,
                        aspect=0.72 * width_inch / n_columns / height,
                    )
                )
            )  # fmt: skip
    return (
        hv.Layout(panels)
        .cols(n_columns)
        .opts(hv.opts.Layout(fig_inches=(width_inch, height), sublabel_format="", hspace=0.12, vspace=0.4))
    )


def mask_gallery(
    pictures: xr.Dataset, *, along: str = "sample", panel: str = "mask", columns: int = 3, size_inch: float = 2.8
) -> hv.Layout:
    """Several masks side by side, each under its name.

    Parameters
    ----------
    pictures : Dataset of :func:`maskopt_lib.study.pictures`; the entries of ``along`` are the titles.
    along : dimension of the panels.
    panel : what is drawn, a key of :data:`maskopt_lib.figures.pictures.PANELS`.
    columns : panels in a row.
    size_inch : side of a panel.

    Returns
    -------
    Grid of panels with axes in nm where they end; the target's outline is black.
    """
    n = pictures.sizes[along]
    names = [
        "\n".join(part for line in str(name).split("\n") for part in textwrap.wrap(line, _TITLE_CHARACTERS))
        for name in pictures[along].values
    ]
    drawn = []
    for i in range(n):
        is_last, is_first = i + columns >= n, i % columns == 0
        drawn.append(
            _panel(pictures.isel({along: i}), panel).opts(
                hv.opts.RGB(
                    title=names[i], fontsize=style.FONT_SIZES | {"title": 9}, aspect="equal",
                    xlabel="x (nm)" if is_last else "", ylabel="y (nm)" if is_first else "",
                    xaxis="bottom" if is_last else "bare", yaxis="left" if is_first else "bare",
                    interpolation="nearest",
                ),
            )
        )  # fmt: skip
    layout = hv.Layout(drawn).cols(columns)
    vspace = 0.1 + 0.08 * max(name.count("\n") for name in names)
    return layout.opts(hv.opts.Layout(fig_inches=size_inch, hspace=0.1, vspace=vspace, sublabel_format=""))


def _staircase(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Indices of the points that none beats in both, by ascending x."""
    order = np.lexsort((y, x))
    lowest = np.minimum.accumulate(np.r_[np.inf, y[order]])[:-1]
    return order[y[order] < lowest]


def _finite(published: xr.Dataset | None, x: str, y: str, names: str, limits: Mapping) -> list:
    if published is None:
        return []
    found = zip(published[x].values, published[y].values, published[names].values, strict=True)
    return [
        (float(ox), float(oy), str(name))
        for ox, oy, name in found
        if np.isfinite(ox) and np.isfinite(oy)
        if all(limits[a][0] <= v <= limits[a][1] for a, v in (("x", ox), ("y", oy)) if a in limits)
    ]


def _room(values: np.ndarray, *, log: bool) -> tuple[float, float]:
    if log:
        return 0.8 * float(values.min()), 1.25 * float(values.max())
    margin = 0.06 * float(np.ptp(values) or abs(values[0]) or 1)
    return float(values.min()) - margin, float(values.max()) + margin


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    round_numbers = [m * 10.0**e for e in range(-3, 7) for m in (1, 2, 5)]
    return [(float(np.log10(v)), f"{v:.4g}") for v in round_numbers if low <= v <= high]


def _texts(texts: list[tuple[float, float, str]], **look) -> hv.Labels:
    labels = hv.Labels(texts, kdims=["x", "y"], vdims=["text"])
    return labels.opts(hv.opts.Labels(color="#333333", **look))
