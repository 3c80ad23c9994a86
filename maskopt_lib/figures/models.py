"""Mask models: how they trained, and how they score."""

from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, style


def training_curves(curves: Mapping[str, xr.Dataset], *, scores: Sequence[str], title: str = "") -> hv.Layout:
    """Losses over the steps, and scores of the checks: a panel a term and a score, a line a training.

    Parameters
    ----------
    curves : name -> Dataset with ``loss`` and ``validation_loss`` over ``term``, and scores over ``check`` with
        ``at_step``.
    scores : which of the scores.
    title : over the first panel.

    Returns
    -------
    Panels; of losses thin lines are the steps as they came, thick ones the checks on tiles that are not trained on.
    """
    first = next(iter(curves.values()))
    named = [(name, curves[name], colour) for name, colour in style.coloured(list(curves))]
    terms = list(dict.fromkeys(term for ds in curves.values() for term in ds[schema.TERM].values.tolist()))
    panels: list[tuple[str, list]] = []
    for term in terms:
        drawn = []
        for name, ds, colour in named:
            if term in ds[schema.TERM].values:
                one = ds.sel({schema.TERM: term})
                drawn += _line(one[schema.STEP], one["loss"], colour, width=0.6, alpha=0.5)
                drawn += _line(one["at_step"], one["validation_loss"], colour, name)
        panels.append((f"{term} loss", drawn))
    for score in scores:
        drawn = [part for name, ds, colour in named for part in _line(ds["at_step"], ds[score], colour, name)]
        panels.append((style.axis_label(first[score], short=True), drawn))
    columns = 3
    grid = [
        style.axes(
            drawn,
            aspect=1.25,
            legend="right" if i == len(panels) - 1 else None,
            title="" if i else title,
            xlabel="steps",
            ylabel=label,
            ruled=True,
        )
        for i, (label, drawn) in enumerate(panels)
    ]
    size = (3.9 * min(columns, len(grid)), 2.7)
    return style.grid(grid, columns=columns, size_inch=size, hspace=0.5, vspace=0.3, shared_axes=False)


def score_bars(rows: xr.Dataset, *, names: Sequence[str], title: str = "") -> hv.Layout:
    """Mean scores with their intervals: a row a method, a panel a score.

    Parameters
    ----------
    rows : Dataset over ``method`` and ``statistic`` (mean, low, high).
    names : scores, one panel each.
    title : over the first panel.

    Returns
    -------
    Dots with 95 % intervals, methods from top to bottom in their order; a method without a number has none.
    """
    methods = style.names(rows[schema.METHOD])
    heights = np.arange(len(methods))[::-1].astype(float)
    panels = []
    for name in names:
        mean, low, high = marks.mean_low_high(rows[name])
        there = np.isfinite(mean)
        drawn = marks.intervals(low, heights, high, heights, "#555555", width=1.4)
        drawn.append(marks.dots(mean[there], heights[there], style.BLUE, size=34))
        look = {
            "title": "" if panels else title,
            "xlabel": style.axis_label(rows[name], short=True),
            "xlim": style.limits(rows[name].values),
            "xrotation": 30,
            "ruled": True,
        }
        panels.append((drawn, look))
    return style.row_grid(panels, methods, width_inch=12.0, share=0.8)


def _line(x: xr.DataArray, y: xr.DataArray, colour: str, label: str = "", *, width: float = 1.8, **look) -> list:
    there = np.isfinite(y.values)
    if not there.any():
        return []
    look |= {"marker": "o", "ms": 3} if label else {}
    return [marks.line(x.values[there], y.values[there], colour, label, width=width, **look)]
