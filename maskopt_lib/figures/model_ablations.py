"""Ablations of mask models: what context, tags and strangeness do to scores, and where cells lie in a network."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import style

_MEAN, _LOW, _HIGH = "mean", "low", "high"
# How a mask is printed -> colour and dash, as in the figures of the dataset.
_PRINTED = {"alone": (style.PALETTE[1], "--"), "in place": (style.PALETTE[0], "-")}
_MARKERS = "os^Dvp<>"


def context_lines(
    rows: xr.Dataset, *, names: Sequence[str], reference: str = "", title: str = "", panel_inch: float = 3.6
) -> hv.Layout:
    """Scores over the context that networks are shown, printed alone and in place, with 95 % intervals.

    Parameters
    ----------
    rows : Dataset over ``network``, ``context`` (nm, -1 all surroundings), ``printed`` and ``statistic`` (mean, low,
        high).
    names : scores, a column of panels each; rows of panels are networks.
    reference : network whose number with all surroundings, in place, is drawn as a level line in all panels.
    title : before the network.
    panel_inch : width of a panel.

    Returns
    -------
    Panels; all surroundings stand apart, at the right end. Panels of a score share its axis.
    """
    contexts = [c for c in rows["context"].values.tolist() if c >= 0]
    step = max(contexts) / max(len(contexts) - 1, 1) if len(contexts) > 1 else 16
    place = {c: float(c) for c in contexts} | {-1: max(contexts) + step}
    networks = [str(name) for name in rows["network"].values if str(name) != reference]
    panels = []
    for network in networks:
        for name in names:
            drawn = []
            for printed, (colour, dash) in _PRINTED.items():
                line = rows[name].sel(network=network, printed=printed)
                mean, low, high = (line.sel(statistic=s, context=contexts).values for s in (_MEAN, _LOW, _HIGH))
                xs = np.array([place[c] for c in contexts])
                there = np.isfinite(mean)
                if there.any() and np.isfinite(low[there]).all():
                    area = hv.Area((xs[there], low[there], high[there]), "x", ["low", "high"])
                    drawn.append(area.opts(hv.opts.Area(facecolor=colour, alpha=0.18, linewidth=0)))
                curve = hv.Curve((xs[there], mean[there]), "x", "y", label=f"printed {printed}")
                drawn.append(curve.opts(hv.opts.Curve(color=colour, linestyle=dash, linewidth=1.8, marker="o")))
                if -1 in rows["context"].values and np.isfinite(end := float(line.sel(statistic=_MEAN, context=-1))):
                    ends = [float(line.sel(statistic=s, context=-1)) for s in (_LOW, _HIGH)]
                    drawn += style.intervals([[(place[-1], v) for v in ends]], colour)
                    drawn.append(
                        hv.Points([(place[-1], end)], ["x", "y"]).opts(hv.opts.Points(color=colour, marker="D", s=36))
                    )
            if reference:
                best = float(rows[name].sel(network=reference, printed="in place", context=-1, statistic=_MEAN))
                level = hv.Curve(([0, place[-1]], [best, best]), "x", "y", label=f"{reference}, all around")
                drawn.append(level.opts(hv.opts.Curve(color="#000000", linestyle=":", linewidth=1.4)))
            ticks = [(place[c], f"{c:g}") for c in contexts] + [(place[-1], "all")]
            panels.append(
                hv.Overlay(drawn).opts(
                    hv.opts.Overlay(
                        title=f"{title}{', ' if title else ''}{network}" if name == names[0] else "",
                        xlabel="context shown (nm)" if network == networks[-1] else "", xticks=ticks, show_grid=True,
                        ylabel=_short(rows[name]), xlim=(-0.05 * place[-1], 1.05 * place[-1]), ylim=_limits(rows[name]),
                        aspect=1.3, fontsize=style.FONT_SIZES,
                        legend_position="right", legend_opts={"fontsize": 8},
                        show_legend=network == networks[0] and name == names[-1],
                    )
                )
            )  # fmt: skip
    layout = hv.Layout(panels).cols(len(names))
    width = panel_inch * len(names) + 1.4
    return layout.opts(
        hv.opts.Layout(
            fig_inches=(width, None), hspace=0.3, vspace=0.4, shared_axes=False, sublabel_format="", tight=False
        )
    )


def interval_rows(rows: xr.Dataset, *, along: str, panels: str, title: str = "", width_inch: float = 10.0) -> hv.Layout:
    """Effects with their intervals beside zero: a row each, a panel a condition.

    Parameters
    ----------
    rows : Dataset over ``along`` and ``panels``: ``mean``, ``low`` and ``high``, of one unit.
    along : dimension of the rows; the first stands at the top.
    panels : dimension of the panels.
    title : of the figure, before the name of the first panel.
    width_inch : of the figure.

    Returns
    -------
    Dots with 95 % intervals: filled where the interval leaves out zero, hollow where it does not or is not known.
    """
    labels, conditions = ([str(v) for v in rows[dim].values] for dim in (along, panels))
    at = {name: len(labels) - 1 - i for i, name in enumerate(labels)}
    finite = np.stack([rows[s].values for s in (_MEAN, _LOW, _HIGH)])
    finite = finite[np.isfinite(finite)]
    reach = 1.1 * float(np.abs(finite).max(initial=0.0)) or 1.0
    height = 1.1 + 0.3 * len(labels)
    drawn_panels = []
    for j, condition in enumerate(conditions):
        one = rows.sel({panels: rows[panels].values[j]})
        mean, low, high = (one[s].values.astype(float) for s in (_MEAN, _LOW, _HIGH))
        rows_at = np.array([at[name] for name in labels], float)
        bars = np.stack([np.stack([end, rows_at], -1) for end in (low, high)], 1)
        drawn = [hv.VLine(0).opts(color="#888888", linewidth=1), *style.intervals(bars, style.PALETTE[0], width=1.4)]
        is_decided = (low > 0) | (high < 0)
        for chosen, face in ((is_decided, style.PALETTE[0]), (~is_decided, "#FFFFFF")):
            dots = np.stack([mean, rows_at], -1)[chosen & np.isfinite(mean)]
            look = hv.opts.Points(color=face, edgecolor=style.PALETTE[0], linewidth=1.4, s=34)
            drawn.append(hv.Points(dots, kdims=["x", "y"]).opts(look))
        drawn_panels.append(
            hv.Overlay(drawn).opts(
                hv.opts.Overlay(
                    title=f"{title}, {condition}" if title and j == 0 else condition,
                    xlabel=style.axis_label(rows[_MEAN]) if j == 0 else f"({rows[_MEAN].attrs.get('units', '1')})",
                    ylabel="", yticks=[(h, "" if j else name) for name, h in at.items()],
                    xlim=(-reach, reach), ylim=(-0.7, len(labels) - 0.3), show_grid=True, fontsize=style.FONT_SIZES,
                    aspect=0.75 * width_inch / len(conditions) / height,
                )
            )
        )  # fmt: skip
    return (
        hv.Layout(drawn_panels)
        .cols(len(conditions))
        .opts(hv.opts.Layout(fig_inches=(width_inch, height), hspace=0.12, sublabel_format="", tight=False))
    )


def embedding_map(
    space: xr.Dataset, *, groups: str = "family", names: bool = True, title: str = "",
    size_inch: tuple[float, float] = (9.5, 5.2),
) -> hv.Overlay:  # fmt: skip
    """Cells where a network puts them, on the two directions of largest variance.

    Parameters
    ----------
    space : Dataset over ``cell`` and ``component``: ``position``, ``explained`` (component), and ``groups`` (cell).
    groups : what is told apart by colour and marker.
    names : write the names of cells beside them.
    title : over the figure.
    size_inch : width and height, legend included.
    """
    position = space["position"].transpose("cell", "component").values
    if position.shape[1] < 2:
        position = np.pad(position, ((0, 0), (0, 2 - position.shape[1])))
    member = space[groups].values.astype(str)
    known = sorted(dict.fromkeys(member.tolist()))
    colours = style.colours(known)
    drawn = []
    for i, group in enumerate(known):
        points = hv.Points(position[member == group, :2], kdims=["x", "y"], label=group)
        marker = _MARKERS[i % len(_MARKERS)]
        drawn.append(points.opts(hv.opts.Points(color=colours[i], marker=marker, s=34)))
    if names:
        texts = [(x, y, f" {name}") for (x, y), name in zip(position[:, :2], space["cell"].values, strict=True)]
        look = hv.opts.Labels(color="#444444", size=6, verticalalignment="bottom", horizontalalignment="left")
        drawn.append(hv.Labels(texts, kdims=["x", "y"], vdims=["cell"]).opts(look))
    shares = [100 * float(v) for v in space["explained"].values] + [0.0, 0.0]
    width, height = size_inch
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=0.62 * width / height, fontsize=style.FONT_SIZES, show_grid=True, title=title,
            xlabel=f"first component ({shares[0]:.0f} % of the variance)",
            ylabel=f"second component ({shares[1]:.0f} %)",
            legend_position="right", legend_opts={"fontsize": 8},
        )
    )  # fmt: skip


def _short(values: xr.DataArray) -> str:
    label = schema.VARIABLES.get(values.name, (values.name, ""))[0].partition(" (")[0]
    units = values.attrs.get("units", "1").replace("nm2", "nm²")
    return label if units == "1" else f"{label} ({units})"


def _limits(values: xr.DataArray) -> tuple[float, float]:
    known = values.values[np.isfinite(values.values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room
