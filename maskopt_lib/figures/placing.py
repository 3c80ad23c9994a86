"""Names beside what they name: where each has room, when the size of the figure is known."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

_GAP = 0.35  # of the text's height, between two texts
#: Directions in which a name looks for its place, the first best, and how far it goes, in heights of a line.
_ANGLES = np.deg2rad([20, -20, 160, 200, 90, 270, 50, -50, 130, 230, 0, 180, 70, 110, 250, 290])
_TURNS = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_STEPS = (0.7, 1.3, 2.0, 3.0, 4.2, 5.6, 7.2, 9.0, 11.0, 13.0, 16.0, 20.0)


def arrange(axes: Axes) -> None:
    """Put names on axes beside their places, where they cover neither each other nor a point, and few lines.

    Names that may be left out (``gid`` "name?") are where there is no room; others go where they cover least.
    """
    names = [text for text in axes.texts if (text.get_gid() or "").startswith("name")]
    if not names:
        return
    scale = axes.figure.dpi / 72
    high = names[0].get_fontsize() * scale
    taken = [text.get_window_extent().extents for text in axes.texts if text not in names and text.get_text()]
    points = _points(axes, scale)
    frame = axes.get_window_extent().padded(-0.15 * high).extents
    lines = _lines(axes, 0.3 * high)
    along = np.linspace(0.1, 0.9, 41)[:, None]
    leaders: list[np.ndarray] = []
    for name in names:
        half = mpl.text.Text.get_window_extent(name).size / 2
        at = axes.transData.transform(name.xy)
        best, least = None, np.inf
        # What may be left out is left out rather than put far from its place.
        is_optional = name.get_gid() == "name?"
        for step in _STEPS[:3] if is_optional else _STEPS:
            middles = at + _TURNS * (step * high + half * np.abs(_TURNS))
            boxes = np.concatenate([middles - half, middles + half], axis=1)
            is_in = (boxes[:, :2] >= frame[:2]).all(axis=1) & (boxes[:, 2:] <= frame[2:]).all(axis=1)
            over = _covered(boxes, taken, _GAP * high) * 20 + _covered(boxes, points, 0) + 1e9 * ~is_in
            over += high * _within(np.concatenate(leaders), boxes) if leaders else 0
            if step > _STEPS[0] and taken:
                over += [high * _within(at + along * (middle - at), np.array(taken)).sum() for middle in middles]
            crossed = _within(lines, boxes)
            i = int(np.lexsort((crossed, over))[0])
            if over[i] < least and not (is_optional and crossed[i]):
                best, least = (middles[i], step), over[i]
            if least == 0:
                break
        if best is None or least >= (1e-9 if is_optional else 1e9):
            name.set_visible(False)
            continue
        middle, step = best
        name.set_position((middle - at) / scale)
        name.arrow_patch.set_visible(step > _STEPS[0])
        if step > _STEPS[0]:
            leaders.append(at + along * (middle - at))
        taken.append((*(middle - half), *(middle + half)))


def _points(axes: Axes, scale: float) -> list[tuple[float, float, float, float]]:
    """Boxes of all points, in pixels."""
    boxes = []
    for dots in axes.collections:
        if isinstance(dots, mpl.collections.PathCollection):
            half = 0.5 * np.sqrt(dots.get_sizes()[0]) * scale
            at = dots.get_offset_transform().transform(np.ma.filled(dots.get_offsets(), np.nan))
            boxes += [(x - half, y - half, x + half, y + half) for x, y in at[np.isfinite(at).all(axis=1)]]
    return boxes


def _lines(axes: Axes, apart: float) -> np.ndarray:
    """Points (n, 2) along all lines, in pixels, so far apart."""
    paths = [line.get_xydata() for line in axes.lines if line.get_transform() == axes.transData]
    paths += [
        segment
        for drawn in axes.collections
        if isinstance(drawn, mpl.collections.LineCollection)
        for segment in drawn.get_segments()
    ]
    found = [np.empty((0, 2))]
    for path in paths:
        at = axes.transData.transform(np.ma.filled(np.ma.asarray(path, float), np.nan))
        at = at[np.isfinite(at).all(axis=1)]
        if len(at) < 2:
            continue
        length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(at, axis=0).T))])
        every = np.linspace(0, length[-1], 2 + min(2000, int(length[-1] / apart)))
        found.append(np.stack([np.interp(every, length, at[:, i]) for i in (0, 1)], axis=1))
    return np.concatenate(found)


def _within(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """How many of the points (n, 2) are in each box (k, 4)."""
    is_in = (points[None] >= boxes[:, None, :2]) & (points[None] <= boxes[:, None, 2:])
    return is_in.all(axis=-1).sum(axis=1)


def _covered(boxes: np.ndarray, others: Sequence, apart: float) -> np.ndarray:
    """How much of each box (n, 4) others cover, in pixels squared."""
    if not len(others):
        return np.zeros(len(boxes))
    b, o = boxes[:, None], np.asarray(others)[None]
    sides = np.minimum(b[..., 2:], o[..., 2:]) - np.maximum(b[..., :2], o[..., :2]) + apart
    return np.clip(sides, 0, None).prod(axis=-1).sum(axis=1)
