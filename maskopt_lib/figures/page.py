"""Panels on a page of a width: what matplotlib draws when the width is known, so that text keeps its size.

A figure function returns a :class:`Figure`, which holds what is to be drawn and no size. Its panels are laid out when
it is drawn: as many in a row as fit, a page as high as they need, one legend below all, names beside what they name.
"""

import io
import textwrap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, MaxNLocator

from maskopt_lib.figures.placing import arrange

#: Widths of a column and of a page of a paper, inches.
COLUMN, PAGE = 3.5, 7.16
#: Points of all text; titles are bold.
TEXT = 7.0
#: What a page that is wider than a column has.
WIDE_TEXT = 8.0
_SLANT = 40  # degrees
#: What figures of curves have in common: a column and a half wide at most, with lines to read numbers at.
CURVES = {"aspect": 1.6, "most_inch": 5.0, "ruled": True}


@dataclass(frozen=True)
class Mark:
    """One thing on a pair of axes.

    Attributes
    ----------
    kind : ``"line"``, ``"dots"``, ``"bars"``, ``"texts"``, ``"picture"`` ...
    draw : puts it on axes and gives back what matplotlib made of it.
    data : what is drawn, for who asks.
    label : in the legend; none where empty.
    """

    kind: str
    draw: Callable[[Axes], Any]
    data: Any = None
    label: str = ""


@dataclass(frozen=True)
class Panel:
    """Marks on one pair of axes, the lowest first.

    Attributes
    ----------
    marks : what is drawn.
    aspect : width over height of the axes, in a column and on a page where two are given; ``"equal"`` for one scale on
        both; None for as high as ``lines`` lines.
    lines : lines of text that the axes are high, where ``aspect`` is None.
    title, xlabel, ylabel : texts.
    xlim, ylim : ends of the axes; None leaves an end to matplotlib.
    xticks, yticks : places; (place, text) pairs; or how many at most.
    log_x, log_y : logarithmic axes.
    bare : without ticks and labels.
    ruled : with pale lines at the ticks.
    upside_down : the y axis grows downwards.
    """

    marks: Sequence[Mark]
    aspect: float | tuple[float, float] | str | None = 1.5
    lines: float = 0.0
    title: str = ""
    xlabel: str = ""
    ylabel: str = ""
    xlim: tuple[float | None, float | None] | None = None
    ylim: tuple[float | None, float | None] | None = None
    xticks: Any = None
    yticks: Any = None
    log_x: bool = False
    log_y: bool = False
    bare: bool = False
    ruled: bool = False
    upside_down: bool = False

    def of(self, kind: str) -> list[Mark]:
        """Its marks of a kind."""
        return [mark for mark in self.marks if mark.kind == kind]


@dataclass(frozen=True)
class Figure:
    """Panels, row by row.

    Attributes
    ----------
    panels : the first stands at the upper left.
    columns : panels in a row, at most.
    least_inch : a panel's width below which fewer stand in a row.
    shared : axes that the panels of a row ("y") or a column ("x") share: labels and ticks stand only where it ends.
    most_inch : of a figure that would be too large at full width.
    keys : entries of a legend for what has none of its own.
    below : a line under all.
    """

    panels: Sequence[Panel]
    columns: int = 4
    least_inch: float = 1.6
    shared: str = ""
    most_inch: float = PAGE
    keys: Sequence[Mark] = ()
    below: str = ""

    def of(self, kind: str) -> list[Mark]:
        """Marks of a kind, of all panels."""
        return [mark for panel in self.panels for mark in panel.of(kind)]

    def _repr_png_(self) -> bytes:
        """A notebook shows it without saving it."""
        buffer = io.BytesIO()
        draw(self).savefig(buffer, format="png", dpi=150)
        return buffer.getvalue()


def single(marks: Iterable[Mark], *, most_inch: float = PAGE, keys: Sequence[Mark] = (), below: str = "", **look):
    """A figure of one panel.

    Parameters
    ----------
    marks, look : see :class:`Panel`.
    most_inch, keys, below : see :class:`Figure`.
    """
    return Figure([Panel(list(marks), **look)], columns=1, most_inch=most_inch, keys=keys, below=below)


def draw(figure: Figure, width_inch: float = PAGE) -> Canvas:
    """A figure as matplotlib has it, at a width; as high as it has to be.

    Parameters
    ----------
    figure : what to draw.
    width_inch : of the page; no text is below 7 pt at that width.
    """
    width_inch = min(width_inch, figure.most_inch)
    text = TEXT if width_inch < 5 else WIDE_TEXT
    with mpl.rc_context(LOOK | {"font.size": text}):
        n = len(figure.panels)
        columns = max(1, min(figure.columns, n, int(width_inch / figure.least_inch)))
        if columns < min(figure.columns, n):  # rows of equal length look better than a last one of one panel
            columns = -(-n // -(-n // columns))
        rows = -(-n // columns)
        canvas = Canvas((width_inch, 2.0 * rows), layout="constrained")
        FigureCanvasAgg(canvas)
        canvas.get_layout_engine().set(w_pad=0.04, h_pad=0.04, wspace=0.02, hspace=0.03)
        cells = canvas.add_gridspec(rows, columns)
        shown = []
        for i, panel in enumerate(figure.panels):
            axes = canvas.add_subplot(cells[divmod(i, columns)])
            place = (i % columns == 0 or "y" not in figure.shared, i + columns >= n or "x" not in figure.shared)
            shown.append(_fill(axes, panel, *place))
        _legend(canvas, figure, shown, width_inch, text)
        if figure.below:
            canvas.supxlabel(figure.below, fontsize=text, x=0.01, ha="left", color="#444444")
        _fit(canvas, figure, cells, columns, text)
        for one in shown:
            arrange(one["axes"])
    return canvas


#: Text is as wide in every file, whatever its resolution.
LOOK = {
    "text.hinting": "none",
    "font.family": "DejaVu Sans",
    **dict.fromkeys(("axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize"), "medium"),
    "legend.fontsize": "medium",
    "axes.titleweight": "bold",
    "axes.titlepad": 3.0,
    "axes.labelpad": 2.0,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "#444444",
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "legend.frameon": False,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.2,
    "legend.handletextpad": 0.5,
    "legend.borderaxespad": 0.2,
    "legend.labelspacing": 0.25,
}


def _fill(axes: Axes, panel: Panel, is_left: bool, is_low: bool) -> dict:
    """Marks on their axes; what the legend and the colour bars need."""
    axes.margins(0.05)
    if panel.log_x:
        axes.set_xscale("log")
    if panel.log_y:
        axes.set_yscale("log")
    found: dict = {"axes": axes, "panel": panel, "handles": {}, "bars": []}
    # Levels have no extent of their own: axes know theirs when these come.
    for depth, mark in sorted(enumerate(panel.marks), key=lambda pair: pair[1].kind in ("across", "span")):
        artists = mark.draw(axes)
        artists = artists if isinstance(artists, list) else [artists]
        for artist in artists:
            artist.set_zorder(1 + 0.01 * depth)
            if getattr(artist, "colour_bar", ""):
                found["bars"].append(artist)
        if mark.label and artists:
            found["handles"].setdefault(mark.label, artists[0])
    axes.set_title(panel.title)
    axes.set_xlabel(panel.xlabel if is_low else "")
    axes.set_ylabel(panel.ylabel if is_left else "")
    for limits, set_limits in ((panel.xlim, axes.set_xlim), (panel.ylim, axes.set_ylim)):
        if limits is not None:  # nan where nothing that is drawn has a number: that side is free then
            set_limits(*(None if side is None or not np.isfinite(side) else side for side in limits))
    for axis, ticks, is_log, limits in (
        (axes.xaxis, panel.xticks, panel.log_x, axes.get_xlim),
        (axes.yaxis, panel.yticks, panel.log_y, axes.get_ylim),
    ):
        _ticks(axis, ticks, is_log, limits)
    if panel.upside_down:
        axes.invert_yaxis()
    if panel.ruled:
        axes.grid(True, color="#E6E6E6", linewidth=0.5)
    if panel.bare:
        axes.set_xticks([])
        axes.set_yticks([])
    axes.tick_params(labelbottom=is_low and not panel.bare, labelleft=is_left and not panel.bare)
    if panel.aspect == "equal":
        (x0, x1), (y0, y1) = axes.get_xlim(), axes.get_ylim()
        axes.set_box_aspect(abs(y1 - y0) / abs(x1 - x0))
    _keep_whole(axes)
    return found


def _ticks(axis, ticks, is_log: bool, limits: Callable) -> None:
    """Ticks as asked for, or round numbers; thousands are parted."""
    axis.set_minor_locator(mpl.ticker.NullLocator())
    if isinstance(ticks, int) or (ticks is None and not is_log):
        axis.set_major_locator(MaxNLocator(ticks or 5, steps=[1, 2, 2.5, 5, 10]))
    elif ticks is None:
        axis.set_major_locator(mpl.ticker.FixedLocator(log_ticks(*limits())))
    else:
        pairs = [tick if isinstance(tick, tuple) else (tick, f"{tick:,.6g}") for tick in ticks]
        axis.set_ticks([at for at, _ in pairs], [text for _, text in pairs])
        return
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def log_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from ``low`` to ``high`` (positive), at most so many.

    Examples
    --------
    >>> log_ticks(30, 6000)
    [30.0, 100.0, 300.0, 1000.0, 3000.0]
    >>> log_ticks(30, 3000)
    [50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0]
    """
    ticks: list[float] = []
    fine = (np.arange(10, 100) / 10, np.arange(2, 20) / 2, range(1, 10), (1, 2, 3, 5, 7))
    for steps in (*fine, (1, 2, 5), (1, 3), (1,)):
        ticks = [float(m * 10.0**e) for e in range(-12, 13) for m in steps]
        ticks = [tick for tick in ticks if 0.999 * low <= tick <= 1.001 * high]
        if len(ticks) <= most:
            break
    return ticks[:: -(-len(ticks) // most) or 1]


def _keep_whole(axes: Axes) -> None:
    """Points at the end of an axis are not cut by it."""
    (x0, x1), (y0, y1) = sorted(axes.get_xlim()), sorted(axes.get_ylim())
    for points in [*axes.collections, *axes.lines]:
        if isinstance(points, mpl.collections.PathCollection):
            at = np.ma.filled(np.ma.asarray(points.get_offsets(), float), np.nan)
        elif isinstance(points, mpl.lines.Line2D) and points.get_marker() not in ("None", "", None):
            at = np.asarray(points.get_xydata(), float)
        else:
            continue
        x, y = at[np.isfinite(at).all(axis=1)].T
        points.set_clip_on(bool(((x < x0) | (x > x1) | (y < y0) | (y > y1)).any()))


def _legend(canvas: Canvas, figure: Figure, shown: list[dict], width_inch: float, text: float) -> None:
    bars = [(one["axes"], artist) for one in shown for artist in one["bars"]]
    if bars and figure.shared == "xy":
        bars = [([one["axes"] for one in shown], bars[0][1])]
    for axes, artist in bars:
        bar = canvas.colorbar(artist, ax=axes, fraction=0.08, aspect=25, pad=0.02)
        bar.set_label(artist.colour_bar)
        bar.outline.set_linewidth(0.6)
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    handles: dict = {}
    for one in shown:
        handles = one["handles"] | handles if handles else dict(one["handles"])
    order = list(dict.fromkeys(label for one in shown for label in one["handles"]))
    for mark in figure.keys:
        handles[mark.label] = mark.draw(shown[0]["axes"])
        order.append(mark.label)
    if order:
        # Letters are about 0.58 of their size wide; the handle and the space beside take five of them.
        entry = (max(map(len, order)) + 5) * 0.58 * text / 72
        n = max(1, min(len(order), int((width_inch - 0.1) / entry)))
        n = -(-len(order) // -(-len(order) // n))
        canvas.legend([handles[label] for label in order], order, loc="outside lower center", ncols=n)


def _fit(canvas: Canvas, figure: Figure, cells, columns: int, text: float) -> None:
    """The page as high as its panels need, and no label over another."""
    own = canvas.axes[: len(figure.panels)]
    # Texts within axes need no room beside them, and hundreds of them take seconds to measure.
    inside = [text for axes in own for text in axes.texts]
    for text_inside in inside:
        text_inside.set_visible(False)
    for _ in range(6):
        canvas.get_layout_engine().execute(canvas)
        size = canvas.get_size_inches()
        wanted, given = np.zeros(-(-len(own) // columns)), np.zeros(-(-len(own) // columns))
        for i, (axes, panel) in enumerate(zip(own, figure.panels, strict=True)):
            box = axes.get_position(original=True)
            wide, high = size * (box.width, box.height)
            if panel.aspect is None:
                need = panel.lines * text * 1.5 / 72
            elif panel.aspect == "equal":
                need = wide * float(axes.get_box_aspect())
            else:
                narrow, page = panel.aspect if isinstance(panel.aspect, tuple) else (panel.aspect,) * 2
                need = wide / float(narrow if size[0] < 5 else page)
            wanted[i // columns], given[i // columns] = max(wanted[i // columns], need), high
        for axes, need in zip(own, wanted[np.arange(len(own)) // columns], strict=True):
            if isinstance(axes.yaxis.get_major_locator(), MaxNLocator):
                most = max(1, min(5, int(72 * need / (2.2 * text))))
                axes.yaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
        moved = _untangled(own) | _broken(own, wanted[np.arange(len(own)) // columns])
        if not moved and np.abs(wanted - given).max() < 0.03:
            break
        canvas.set_size_inches(size[0], max(0.6, size[1] + float((wanted - given).sum())))
        cells.set_height_ratios(wanted)
    # Once more for the last change of ticks, whose labels may be longer.
    canvas.get_layout_engine().execute(canvas)
    for text_inside in inside:
        text_inside.set_visible(True)
    # Files are drawn as it is now, and not laid out again.
    canvas.set_layout_engine("none")


def _broken(own: Sequence[Axes], high_inch: Sequence[float]) -> bool:
    """Titles wider and labels longer than their axes are broken into lines; whether any were."""
    moved = False
    for axes, high in zip(own, high_inch, strict=True):
        width = axes.get_window_extent().width + 0.03 * axes.figure.dpi
        for label, room, side in (
            (axes.title, width, "width"),
            (axes.xaxis.label, width, "width"),
            (axes.yaxis.label, high * axes.figure.dpi + 6, "height"),
        ):
            longest = max(label.get_text().split("\n"), key=len)
            length = getattr(label.get_window_extent(), side)
            if length > room and " " in longest:
                most = max(8, int(len(longest) * room / length))
                lines = [part for line in label.get_text().split("\n") for part in textwrap.wrap(line, most)]
                moved |= "\n".join(lines) != label.get_text()
                label.set_text("\n".join(lines))
    return moved


def _untangled(own: Sequence[Axes]) -> bool:
    """Labels of x axes that touch each other, or the next panel's, are made fewer or turned; whether any were."""
    shown = [[tick for tick in axes.get_xticklabels() if tick.get_text() and tick.get_visible()] for axes in own]
    boxes = [(i, tick.get_window_extent()) for i, labels in enumerate(shown) for tick in labels]
    tangled = set()
    space = 0.4 * shown[0][0].get_fontsize() * own[0].figure.dpi / 72 if boxes and shown[0] else 3
    for (i, a), (j, b) in combinations(boxes, 2):
        is_slant = shown[i][0].get_rotation() == shown[j][0].get_rotation() == _SLANT
        # Slanted labels lie beside each other although their boxes overlap.
        is_beside = is_slant and abs(a.x1 - b.x1) > 5 * space
        if not is_beside and a.y0 < b.y1 and b.y0 < a.y1 and a.x0 - space < b.x1 and b.x0 - space < a.x1:
            tangled |= {i, j}
    moved = False
    for i in tangled:
        axes, labels = own[i], shown[i]
        locator = axes.xaxis.get_major_locator()
        if isinstance(locator, MaxNLocator):
            if (bins := int(locator._nbins)) > 1:
                axes.xaxis.set_major_locator(MaxNLocator(bins - 1, steps=[1, 2, 2.5, 5, 10]))
                moved = True
        elif axes.get_xscale() == "log" and len(axes.get_xticks()) > 2:
            ticks = list(zip(axes.get_xticks(), [tick.get_text() for tick in axes.get_xticklabels()], strict=True))
            axes.xaxis.set_ticks([at for at, _ in ticks[::2]], [text for _, text in ticks[::2]])
            moved = True
        elif labels[0].get_rotation() < 90:
            turned = {"rotation": _SLANT, "ha": "right", "rotation_mode": "anchor"}
            if labels[0].get_rotation():
                turned = {"rotation": 90, "ha": "center", "rotation_mode": "default"}
            for label in labels:
                label.set(**turned)
            moved = True
    return moved
