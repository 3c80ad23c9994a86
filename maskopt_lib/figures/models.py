"""Mask models: how they trained, how they score, and what fidelity costs in complexity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import style

_MEAN, _LOW, _HIGH = "mean", "low", "high"
_MARKERS = "os^Dvp"


def training_curves(
    curves: Mapping[str, xr.Dataset], *, scores: Sequence[str] = (schema.L2, schema.PVB), title: str = "",
    columns: int = 3, panel_inch: tuple[float, float] = (3.9, 2.7),
) -> hv.Layout:  # fmt: skip
    """Losses over the steps, and scores of the checks: a panel a term and a score, a line a training.

    Parameters
    ----------
    curves : name -> Dataset with ``loss`` and ``validation_loss`` over ``term``, and scores over ``check`` with
        ``at_step``.
    scores : which of the scores.
    title : over the first panel.
    columns : panels side by side.
    panel_inch : width and height of a panel.

    Returns
    -------
    Panels; of losses thin lines are the steps as they came, thick ones the checks on tiles that are not trained on.
    """
    colour_of = dict(zip(curves, style.colours(list(curves)), strict=True))
    terms = list(dict.fromkeys(term for ds in curves.values() for term in ds[schema.TERM].values.tolist()))
    panels = []
    for i, term in enumerate(terms):
        label, drawn = f"{term} loss", []
        for name, ds in curves.items():
            if term not in ds[schema.TERM].values:
                continue
            one = ds.sel({schema.TERM: term})
            drawn += _line(one[schema.STEP], one["loss"], label, colour_of[name], width=0.6, alpha=0.5)
            drawn += _line(one["at_step"], one["validation_loss"], label, colour_of[name], name)
        panels.append(_axes(drawn, label, title if i == 0 else ""))
    for score in scores:
        label, drawn = _short(next(iter(curves.values()))[score]), []
        for name, ds in curves.items():
            drawn += _line(ds["at_step"], ds[score], label, colour_of[name], name)
        panels.append(_axes(drawn, label, ""))
    for panel in panels[:-1]:
        panel.opts(hv.opts.Overlay(show_legend=False))
    width, height = panel_inch
    return (
        hv.Layout(panels)
        .cols(columns)
        .opts(hv.opts.Layout(fig_inches=(width * min(columns, len(panels)), height), hspace=0.5, vspace=0.3,
                             sublabel_format="", tight=False))
    )  # fmt: skip


def score_bars(rows: xr.Dataset, *, names: Sequence[str], title: str = "", width_inch: float = 12.0) -> hv.Layout:
    """Mean scores with their intervals: a row a method, a panel a score.

    Parameters
    ----------
    rows : Dataset over ``method`` and ``statistic`` (mean, low, high).
    names : scores, one panel each.
    title : over the first panel.
    width_inch : of the figure.

    Returns
    -------
    Dots with 95 % intervals, methods from top to bottom in their order; a method without a number has none.
    """
    methods = [str(name) for name in rows[schema.METHOD].values]
    at = {name: len(methods) - 1 - i for i, name in enumerate(methods)}
    height = 0.9 + 0.27 * len(methods)
    panels = []
    for j, name in enumerate(names):
        label, found = _short(rows[name]), {s: rows[name].sel(statistic=s).values for s in (_MEAN, _LOW, _HIGH)}
        finite = np.concatenate([values[np.isfinite(values)] for values in found.values()])
        low, high, room = min(finite, default=0.0), max(finite, default=1.0), 0.06 * (np.ptp(finite) or 1.0)
        ends = [
            [(left, at[m]), (right, at[m])] for m, left, right in zip(methods, found[_LOW], found[_HIGH], strict=True)
        ]
        drawn = style.intervals(ends, "#555555", width=1.4, dims=(label, "row"))
        dots = [(m, at[name]) for m, name in zip(found[_MEAN], methods, strict=True) if np.isfinite(m)]
        drawn.append(hv.Points(dots, kdims=[label, "row"]).opts(hv.opts.Points(color=style.PALETTE[0], s=34)))
        panels.append(
            hv.Overlay(drawn).opts(
                hv.opts.Overlay(
                    xlabel=label, ylabel="", show_grid=True, xrotation=30,
                    yticks=[(at[m], "" if j else m) for m in methods], ylim=(-0.7, len(at) - 0.3),
                    xlim=(low - room, high + room), title=title if j == 0 else "", fontsize=style.FONT_SIZES,
                    aspect=0.8 * width_inch / len(names) / height,
                )
            )
        )  # fmt: skip
    return (
        hv.Layout(panels)
        .cols(len(names))
        .opts(hv.opts.Layout(fig_inches=(width_inch, height), hspace=0.12, sublabel_format="", tight=False))
    )


def fidelity_complexity(
    rows: xr.Dataset, *, x: str = schema.SHOTS, y: str = schema.EPE3, groups: Mapping[str, str] | None = None,
    log_x: bool = False, title: str = "", size_inch: tuple[float, float] = (9.5, 4.8),
) -> hv.Overlay:  # fmt: skip
    """One score against another with intervals along both: how much complexity fidelity takes, and who gets it cheaper.

    Parameters
    ----------
    rows : Dataset over ``method`` and ``statistic`` (mean, low, high).
    x, y : scores on the axes; both are better when smaller.
    groups : method -> group that shares a colour, such as "network" or "solver"; each its own by default.
    log_x : logarithmic x axis.
    title : over the figure.
    size_inch : width and height, legend included.

    Returns
    -------
    A numbered point a method; the legend says which is which.
    """
    groups = dict(groups or {})
    methods = [str(name) for name in rows[schema.METHOD].values]
    members = list(dict.fromkeys(groups.get(m, m) for m in methods))
    colour_of = dict(zip(members, style.colours(members), strict=True))
    drawn, texts, seen = [], [], []
    for i, method in enumerate(methods):
        one = rows.sel({schema.METHOD: method})
        px, py = ({s: float(one[name].sel(statistic=s)) for s in (_MEAN, _LOW, _HIGH)} for name in (x, y))
        if not np.isfinite([px[_MEAN], py[_MEAN]]).all():
            continue
        member = groups.get(method, method)
        # Within a group, and where colours run out, shapes tell methods apart.
        colour, marker = colour_of[member], _MARKERS[seen.count(colour_of[member]) % len(_MARKERS)]
        seen.append(colour)
        across = [(px[_LOW], py[_MEAN]), (px[_HIGH], py[_MEAN])]
        along = [(px[_MEAN], py[_LOW]), (px[_MEAN], py[_HIGH])]
        drawn += style.intervals([across, along], colour, width=1.0)
        point = hv.Points([(px[_MEAN], py[_MEAN])], kdims=["x", "y"], label=f"{i + 1}  {method}")
        drawn.append(point.opts(hv.opts.Points(color=colour, marker=marker, s=46, edgecolor="white", linewidth=0.5)))
        texts.append((px[_MEAN], py[_MEAN], f" {i + 1}"))
    labels = hv.Labels(texts, kdims=["x", "y"], vdims=["number"])
    look = hv.opts.Labels(color="#333333", size=8, verticalalignment="bottom", horizontalalignment="left")
    drawn.append(labels.opts(look))
    width, height = size_inch
    ends = {name: rows[name].values[np.isfinite(rows[name].values)] for name in (x, y)}
    room = {name: 0.05 * (np.ptp(values) or 1.0) for name, values in ends.items()}
    low, high = ({name: limit(v) for name, v in ends.items()} for limit in (np.min, np.max))
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=0.62 * width / height, fontsize=style.FONT_SIZES, show_grid=True, title=title,
            xlim=(0.9 * low[x] if log_x else low[x] - room[x], 1.1 * high[x] if log_x else high[x] + room[x]),
            ylim=(low[y] - room[y], high[y] + room[y]),
            xlabel=style.axis_label(rows[x]), ylabel=style.axis_label(rows[y]), logx=log_x, legend_position="right",
            legend_opts={"fontsize": 8}, legend_limit=1000,
        )
    )  # fmt: skip


def _short(score: xr.DataArray) -> str:
    """Label of a score without what explains it."""
    units = score.attrs.get("units", "1").replace("nm2", "nm²")
    name = score.attrs.get("long_name", score.name).partition(" (")[0]
    return name if units == "1" else f"{name} ({units})"


def _line(
    x: xr.DataArray, y: xr.DataArray, axis: str, colour: str, label: str = "", *, width: float = 1.8, alpha: float = 1.0
) -> list:
    there = np.isfinite(y.values)
    if not there.any():
        return []
    # Panels whose dimensions have one name would share their axes.
    at, dims = (x.values[there], y.values[there]), {"kdims": [f"steps, {axis}"], "vdims": [axis]}
    drawn = [hv.Curve(at, label=label, **dims).opts(hv.opts.Curve(color=colour, linewidth=width, alpha=alpha))]
    if label:
        dots = hv.Points(at, kdims=[*dims["kdims"], axis])
        drawn.append(dots.opts(hv.opts.Points(color=colour, s=9)))
    return drawn


def _axes(drawn: list, ylabel: str, title: str) -> hv.Overlay:
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            xlabel="steps", ylabel=ylabel, title=title, show_grid=True, fontsize=style.FONT_SIZES, aspect=1.25,
            legend_position="right", legend_opts={"fontsize": 8}, legend_limit=1000,
        )
    )  # fmt: skip
