"""What is wrong with a drawn figure: text too small, over other text or out of the page; points cut; a huge legend."""

from __future__ import annotations

from itertools import combinations

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

#: Pixels that two texts may share: the rim of letters.
TOUCH = 1.0


def shown_texts(canvas: Figure) -> list[tuple[str, mpl.text.Text, np.ndarray]]:
    """All texts that are seen: what they say, themselves, and their boxes (x0, y0, x1, y1) in pixels."""
    unseen = set()
    for axes in canvas.axes:
        for axis in (axes.xaxis, axes.yaxis):
            drawn = {id(tick) for tick in axis._update_ticks()}
            ticks = [*axis.majorTicks, *axis.minorTicks]
            unseen |= {id(label) for tick in ticks if id(tick) not in drawn for label in (tick.label1, tick.label2)}
    return [
        (text.get_text(), text, mpl.text.Text.get_window_extent(text).extents)
        for text in {id(text): text for text in canvas.findobj(mpl.text.Text)}.values()
        if id(text) not in unseen and text.get_visible() and text.get_text().strip()
    ]


def faults(canvas: Figure, width_inch: float) -> list[str]:
    """Everything that a reader would stumble over, in words."""
    canvas.draw_without_rendering()
    found = []
    wide, high = canvas.get_size_inches() * canvas.dpi
    if canvas.get_size_inches()[0] > width_inch + 1e-6:
        found.append(f"{canvas.get_size_inches()[0]:.2f} in wide, for {width_inch}")
    texts = shown_texts(canvas)
    for name, text, box in texts:
        if text.get_fontsize() < 7:
            found.append(f"{name!r} has {text.get_fontsize():.1f} pt")
        if box[0] < -1 or box[1] < -1 or box[2] > wide + 1 or box[3] > high + 1:
            found.append(f"{name!r} goes out of the page")
    for (a, first, one), (b, second, other) in combinations(texts, 2):
        if min(abs(first.get_rotation() % 90), abs(second.get_rotation() % 90)) > 0 and first.axes is second.axes:
            continue  # tick labels that lie aslant: boxes overlap where the letters do not
        sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
        if (sides > TOUCH).all():
            found.append(f"{a!r} and {b!r} overlap")
    panels = [axes for axes in canvas.axes if axes.get_label() != "<colorbar>"]
    area = sum(axes.get_window_extent().width * axes.get_window_extent().height for axes in panels)
    for legend in canvas.legends:
        box = legend.get_window_extent()
        if box.width * box.height > area:
            found.append("the legend is larger than the plot")
    for axes in panels:
        found += _cut(axes)
    return found


def _cut(axes) -> list[str]:
    """Points that the frame cuts in half."""
    found = []
    frame = axes.get_window_extent().extents
    for points in axes.collections:
        if isinstance(points, mpl.collections.PathCollection) and points.get_clip_on():
            at = points.get_offset_transform().transform(np.ma.filled(points.get_offsets(), np.nan))
            at = at[np.isfinite(at).all(axis=1)]
            half = 0.5 * np.sqrt(points.get_sizes()[0]) * axes.figure.dpi / 72
            is_in = ((at > frame[:2] - half) & (at < frame[2:] + half)).all(axis=1)
            is_whole = ((at >= frame[:2] + half) & (at <= frame[2:] - half)).all(axis=1)
            if (is_in & ~is_whole).any():
                found.append(f"{int((is_in & ~is_whole).sum())} points are cut by the frame")
    return found
