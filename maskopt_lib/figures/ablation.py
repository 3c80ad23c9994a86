"""What one change at a time does: deviations from a reference, beside the spread that chance makes."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import style


def deviations(
    scores: xr.Dataset, *, names: Sequence[str], along: str, reference: str, spread: xr.Dataset | None = None,
    width_inch: float = 9.0,
) -> hv.Layout:  # fmt: skip
    """Mean deviation of each variation from the reference, one panel a score.

    Parameters
    ----------
    scores : Dataset over ``along`` and ``sample``.
    names : scores to draw, side by side.
    along : dimension of the variations; the first stands at the top.
    reference : entry that the others are compared with.
    spread : standard deviation of the mean that chance makes, for each score; drawn as a band of two of them.
    width_inch : of the figure.

    Returns
    -------
    Panels with one dot a variation, in percent of the reference's mean; counts that are zero there in units.
    """
    mean = scores.mean("sample")
    rows = [str(v) for v in mean[along].values if str(v) != reference]
    height = 1.0 + 0.27 * len(rows)
    panels = []
    for i, name in enumerate(names):
        base = float(mean[name].sel({along: reference}))
        scale, unit = (100 / base, "%") if base else (1.0, scores[name].attrs.get("units", "1").replace("1", ""))
        values = np.array([float(mean[name].sel({along: row})) - base for row in rows]) * scale
        heights = np.arange(len(rows))[::-1]
        ticks = list(zip(heights.tolist(), rows, strict=True)) if i == 0 else [(int(h), "") for h in heights]
        finite = np.isfinite(values)
        reach = 1.15 * max(float(np.abs(values[finite]).max(initial=0.0)), 1e-3)
        drawn = [hv.VLine(0).opts(color="#888888", linewidth=1)]
        if spread is not None:
            band = 2 * float(spread[name]) * scale
            drawn.insert(0, hv.VSpan(-band, band).opts(facecolor="#DDDDDD", edgecolor="none", alpha=1.0))
        stems = hv.Segments([(0.0, h, v, h) for h, v in zip(heights[finite], values[finite], strict=True)])
        drawn.append(stems.opts(hv.opts.Segments(color=style.PALETTE[0], linewidth=1)))
        dots = hv.Points((values[finite], heights[finite]))
        drawn.append(dots.opts(hv.opts.Points(color=style.PALETTE[0], s=28)))
        title = scores[name].attrs.get("long_name", name).partition(" (")[0]
        panels.append(
            hv.Overlay(drawn).opts(
                hv.opts.Overlay(
                    title=title, xlabel=f"change ({unit})" if unit else "change", ylabel="", yticks=ticks,
                    aspect=width_inch / len(names) / height,
                    xlim=(-reach, reach), ylim=(-0.7, len(rows) - 0.3), fontsize=style.FONT_SIZES, show_grid=True,
                )
            )
        )  # fmt: skip
    layout = hv.Layout(panels).cols(len(names))
    return layout.opts(hv.opts.Layout(fig_inches=(width_inch, height), hspace=0.12, sublabel_format="", tight=False))
