"""Ablations of mask models: what context, tags and strangeness do to scores, and where cells lie in a network."""

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import marks, style


def context_lines(rows: xr.Dataset, *, names: Sequence[str], reference: str = "", title: str = "") -> hv.Layout:
    """Scores over the context that networks are shown, printed alone and in place, with 95 % intervals.

    Parameters
    ----------
    rows : Dataset over ``network``, ``context`` (nm, -1 all surroundings), ``printed`` and ``statistic`` (mean, low,
        high).
    names : scores, a column of panels each; rows of panels are networks.
    reference : network whose number with all surroundings, in place, is drawn as a level line in all panels.
    title : before the network.

    Returns
    -------
    Panels; all surroundings stand apart, at the right end. Panels of a score share its axis.
    """
    contexts = np.array([c for c in rows["context"].values.tolist() if c >= 0], float)
    end = contexts.max() + (contexts.max() / (len(contexts) - 1) if len(contexts) > 1 else 16)
    networks = [name for name in style.names(rows["network"]) if name != reference]
    panels = []
    for network in networks:
        for name in names:
            drawn = []
            for printed, (colour, dash) in style.PRINTED.items():
                values = rows[name].sel(network=network, printed=printed)
                drawn += marks.banded(contexts, values.sel(context=contexts), colour, f"printed {printed}", dash)
                if -1 in rows["context"].values:
                    mean, low, high = marks.mean_low_high(values.sel(context=-1))
                    drawn += marks.intervals(end, low, end, high, colour)
                    drawn += [marks.dots([end], [mean], colour, marker="D", size=36)] if np.isfinite(mean) else []
            if reference:
                best = float(rows[name].sel(network=reference, printed="in place", context=-1, statistic="mean"))
                label = f"{reference}, all around"
                drawn.append(marks.line([0, end], [best, best], "black", label, width=1.4, linestyle=":"))
            panels.append(
                style.axes(
                    drawn,
                    aspect=1.3,
                    legend="right" if len(panels) == len(names) - 1 else None,
                    title=", ".join(filter(None, (title, network))) if name == names[0] else "",
                    xlabel="context shown (nm)" if network == networks[-1] else "",
                    xticks=[(c, f"{c:g}") for c in contexts] + [(end, "all")],
                    xlim=(-0.05 * end, 1.05 * end),
                    ylabel=style.axis_label(rows[name], short=True),
                    ylim=style.limits(rows[name].values),
                    ruled=True,
                )
            )
    size = (3.6 * len(names) + 1.4, None)
    return style.grid(panels, columns=len(names), size_inch=size, hspace=0.3, vspace=0.4, shared_axes=False)


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
    labels = style.names(rows[along])
    heights = np.arange(len(labels))[::-1].astype(float)
    ends = np.stack([rows[name].values for name in ("mean", "low", "high")])
    reach = 1.1 * float(np.abs(ends[np.isfinite(ends)]).max(initial=0.0)) or 1.0
    columns = []
    for i, condition in enumerate(style.names(rows[panels])):
        mean, low, high = (rows[name].isel({panels: i}).values.astype(float) for name in ("mean", "low", "high"))
        drawn = [hv.VLine(0).opts(color=style.FAINT, linewidth=1)]
        drawn += marks.intervals(low, heights, high, heights, style.BLUE, width=1.4)
        is_decided = (low > 0) | (high < 0)
        for chosen, face in ((is_decided, style.BLUE), (~is_decided, "#FFFFFF")):
            there = chosen & np.isfinite(mean)
            drawn.append(marks.dots(mean[there], heights[there], face, size=34, edgecolor=style.BLUE, linewidth=1.4))
        look = {
            "title": f"{title}, {condition}" if title and i == 0 else condition,
            "xlabel": f"({rows['mean'].attrs.get('units', '1')})" if i else style.axis_label(rows["mean"]),
            "xlim": (-reach, reach),
            "ruled": True,
        }
        columns.append((drawn, look))
    return style.row_grid(columns, labels, width_inch=width_inch, share=0.75)


def embedding_map(space: xr.Dataset, *, title: str = "") -> hv.Overlay:
    """Cells where a network puts them, on the two directions of largest variance, told apart by their family.

    Parameters
    ----------
    space : Dataset over ``cell`` and ``component``: ``position``, ``explained`` (component), and ``family`` (cell).
    title : over the figure.
    """
    position = space["position"].transpose("cell", "component").values
    position = np.pad(position, ((0, 0), (0, max(0, 2 - position.shape[1]))))[:, :2]
    member = space["family"].values.astype(str)
    families = sorted(set(member.tolist()))
    drawn = [
        marks.dots(*position[member == family].T, colour, family, size=34, marker=style.MARKERS[i % len(style.MARKERS)])
        for i, (family, colour) in enumerate(style.coloured(families))
    ]
    beside = [(x, y, f" {name}") for (x, y), name in zip(position, style.names(space["cell"]), strict=True)]
    shares = [*(100 * space["explained"].values), 0.0, 0.0]
    return style.axes(
        [*drawn, marks.texts(beside, size=6, **marks.RIGHT_ABOVE)],
        size_inch=(9.5, 5.2),
        share=0.62,
        title=title,
        xlabel=f"first component ({shares[0]:.0f} % of the variance)",
        ylabel=f"second component ({shares[1]:.0f} %)",
        ruled=True,
    )
