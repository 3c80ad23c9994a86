"""Outlines of masks as cubic Bezier curves: fitted to a tolerance, written beside a polygon file, and read again.

Curvilinear masks are said in fewer curves than vertices (MULTIGON of SEMI P49 holds such records; its specification is
not public and no open program reads it). Here is a file that anyone can read, beside the OASIS of the same mask, in
which the polygons are.

The file is JSON, sealed as all of this library: ``{"kind": "cubic Bezier outlines", "unit": "nm", "tolerance_nm": ...,
"outlines": [[[[x, y], [x, y], [x, y]], ...], ...]}``. Each outline is a closed loop of segments; a segment is its
start and its two control points, and ends where the next one (after the last: the first) starts. Material runs
counter-clockwise, holes run clockwise, and the origin is the lower left corner of the mask.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d

from maskopt_lib import files
from maskopt_lib.errors import SchemaError
from maskopt_lib.layout.contours import SNAP_UNITS, mask_rings, simple_pieces
from maskopt_lib.layout.polygons import to_nm
from maskopt_lib.options import Positive, check

_KIND = "cubic Bezier outlines"
_GRID_NM = 0.01
# Vertices are taken on a grid this much finer than the pixel: as good as the level line itself.
_FINE = 1000
# Where the outline turns by more than this over some five pixels it has a corner, and two curves meet in it.
_CORNER_DEGREES = 60.0
_BESIDE_PX, _ARM_PX = 1.0, 3.0
# Standard deviation of the Gaussian along the outline that takes the edge off the raster's steps.
_SMOOTHING_PX = 1.5
# Rounds of Newton's method that move the parameters of a fit; a fit this many times too far off is not worth them.
_ROUNDS, _HOPELESS = 4, 16.0


def bezier_outlines(mask, pixel_nm: float = 1, *, tolerance_nm: float) -> list[np.ndarray]:
    """Outlines of a mask as closed chains of cubic Bezier segments.

    Parameters
    ----------
    mask : (y, x) of 0 and 1, or grey values in [0, 1].
    pixel_nm : side of a pixel in nm.
    tolerance_nm : no point of the outline is farther than this from the curves. The outline is the level 0.5 between
        pixel centres, smoothed along itself by 1.5 pixels, which takes the steps of the raster off.

    Returns
    -------
    List of (segment, 4, 2) in nm: x and y of start, two control points and end; material counter-clockwise.

    Notes
    -----
    P. J. Schneider's algorithm: each stretch between two corners is fitted by least squares with the ends and the
    directions at the ends held, its parameters are moved by Newton's method, and where that is not enough it is cut
    where it is worst. Corners are where the outline turns by more than 60 degrees within five pixels. Elsewhere curves
    meet with one direction.

    References
    ----------
    P. J. Schneider, An algorithm for automatically fitting digitized curves, Graphics Gems (1990).

    Examples
    --------
    >>> y, x = np.mgrid[:128, :128] + 0.5
    >>> disc = np.hypot(y - 64, x - 64) < 40
    >>> [len(outline) for outline in bezier_outlines(disc, tolerance_nm=0.5)]
    [4]
    """
    check(Positive, pixel_nm=pixel_nm, tolerance_nm=tolerance_nm)
    grid_nm = pixel_nm / _FINE
    rings = mask_rings(mask, pixel_nm, vertex_tolerance_nm=1.001 * SNAP_UNITS * grid_nm, database_nm=grid_nm)
    return [_fitted_ring(_dense(ring, pixel_nm), pixel_nm, tolerance_nm) for ring in rings]


def bezier_polygons(outlines: Sequence[np.ndarray], n_points: int = 16) -> list[np.ndarray]:
    """Polygons without holes that cover what outlines enclose, through ``n_points`` points of each segment.

    Returns
    -------
    List of (n, 2) float64 in nm, counter-clockwise, on a grid of 0.01 nm; what `layout.mask_polygons` gives of a mask.
    """
    t = np.arange(n_points)[:, None] / n_points
    rings = [np.rint(np.concatenate([_at(segment, t) for segment in outline]) / _GRID_NM) for outline in outlines]
    return [to_nm(piece, _GRID_NM) for piece in simple_pieces(rings)]


def write_beziers(outlines: Sequence[np.ndarray], path: str | Path, *, tolerance_nm: float) -> None:
    """Keep the outlines of :func:`bezier_outlines` as JSON; the module says how. Six digits after the point."""
    loops = [np.round(outline[:, :3], 6).tolist() for outline in outlines]
    files.write_json(path, {"kind": _KIND, "unit": "nm", "tolerance_nm": tolerance_nm, "outlines": loops})


def read_beziers(path: str | Path) -> list[np.ndarray]:
    """Outlines from a file of :func:`write_beziers`, as :func:`bezier_outlines` gives them.

    Raises
    ------
    SchemaError : another kind of file.
    DamagedFileError : it is not as it was written.
    """
    document = files.read_json(path)
    if not isinstance(document, dict) or document.get("kind") != _KIND:
        raise SchemaError(f"{path} holds no {_KIND}; layout.write_beziers writes such files")
    loops = [np.asarray(loop, float).reshape(-1, 3, 2) for loop in document["outlines"]]
    return [np.concatenate([loop, np.roll(loop[:, :1], -1, axis=0)], axis=1) for loop in loops]


def _dense(ring: np.ndarray, step: float) -> np.ndarray:
    """A closed ring with points on its edges, at most a step apart."""
    ends = np.roll(ring, -1, axis=0)
    counts = np.maximum(np.ceil(np.hypot(*(ends - ring).T) / step).astype(int), 1)
    share = np.concatenate([np.arange(n) / n for n in counts])[:, None]
    return np.repeat(ring, counts, axis=0) * (1 - share) + np.repeat(ends, counts, axis=0) * share


def _fitted_ring(points: np.ndarray, pixel_nm: float, tolerance_nm: float) -> np.ndarray:
    corners = _corners(points, pixel_nm)
    points = np.roll(points, -(corners[0] if len(corners) else 0), axis=0)
    closed = np.concatenate([points, points[:1]])
    breaks = np.append(corners - corners[0], len(points)) if len(corners) else np.array([0, len(points)])
    fits: list[np.ndarray] = []
    for first, last in pairwise(breaks):
        line = _smoothed(closed[first : last + 1], pixel_nm, is_loop=not len(corners))
        reach = min(round(_ARM_PX), len(line) - 1)
        ahead, back = _unit(line[reach] - line[0]), _unit(line[-reach - 1] - line[-1])
        if not len(corners):
            ahead = _unit(ahead - back)
            back = -ahead
        fits += _fitted(line, ahead, back, reach, tolerance_nm)
    return np.stack(fits)


def _smoothed(line: np.ndarray, pixel_nm: float, *, is_loop: bool) -> np.ndarray:
    """A line at even steps of about a pixel, without the steps of the raster; its ends stay, but those of a loop."""
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    at = np.linspace(0, length[-1], max(round(length[-1] / pixel_nm), 3) + 1)
    even = np.stack([np.interp(at, length, line[:, k]) for k in (0, 1)], axis=1)
    if is_loop:
        ring = gaussian_filter1d(even[:-1], _SMOOTHING_PX, axis=0, mode="wrap")
        return np.concatenate([ring, ring[:1]])
    margin = min(4 * round(_SMOOTHING_PX), len(even) - 1)
    wide = np.pad(even, ((margin, margin), (0, 0)), mode="reflect", reflect_type="odd")
    return gaussian_filter1d(wide, _SMOOTHING_PX, axis=0)[margin:-margin]


def _corners(points: np.ndarray, pixel_nm: float) -> np.ndarray:
    """Indices of the points of a ring at which it has corners."""
    closed = np.concatenate([points, points[:1]])
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])

    def at(shift_px: float) -> np.ndarray:
        s = (length[:-1] + shift_px * pixel_nm) % length[-1]
        return np.stack([np.interp(s, length, closed[:, k]) for k in (0, 1)], axis=1)

    far = _BESIDE_PX + _ARM_PX
    before, after = at(-_BESIDE_PX) - at(-far), at(far) - at(_BESIDE_PX)
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    turn = np.abs(np.arctan2(cross, (before * after).sum(1)))
    found: list[int] = []
    order = np.argsort(-turn, kind="stable")
    for i in order[turn[order] > np.deg2rad(_CORNER_DEGREES)]:
        apart = [abs(length[i] - length[j]) for j in found]
        if all(min(gap, length[-1] - gap) > far * pixel_nm for gap in apart):
            found.append(int(i))
    return np.sort(np.array(found, int))


def _fitted(points: np.ndarray, ahead: np.ndarray, back: np.ndarray, reach: int, tolerance: float) -> list[np.ndarray]:
    """Segments along a stretch of points, with the directions in which it is left at its two ends."""
    chord = np.hypot(*np.diff(points, axis=0).T)
    if len(points) == 2:
        third = chord[0] / 3
        return [np.stack([points[0], points[0] + third * ahead, points[1] + third * back, points[1]])]
    t = np.concatenate([[0], np.cumsum(chord)]) / chord.sum()
    worst, error = 0, np.inf
    for _ in range(_ROUNDS):
        segment = _least_squares(points, t, ahead, back)
        off = np.hypot(*(_at(segment, t[:, None]) - points).T)
        worst = int(off.argmax())
        if off[worst] <= tolerance:
            return [segment]
        if off[worst] > min(_HOPELESS * tolerance, error):
            break
        error, t = off[worst], _moved(segment, points, t)
    middle = min(max(worst, 1), len(points) - 2)
    low, high = max(middle - reach, 0), min(middle + reach, len(points) - 1)
    along = _unit(points[high] - points[low])
    return [
        *_fitted(points[: middle + 1], ahead, -along, reach, tolerance),
        *_fitted(points[middle:], along, back, reach, tolerance),
    ]


def _least_squares(points: np.ndarray, t: np.ndarray, ahead: np.ndarray, back: np.ndarray) -> np.ndarray:
    """The segment with given ends and directions nearest to points at given parameters."""
    b0, b1, b2, b3 = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
    first, last = points[0], points[-1]
    columns = np.stack([(b1[:, None] * ahead).ravel(), (b2[:, None] * back).ravel()], axis=1)
    rest = points - np.outer(b0 + b1, first) - np.outer(b2 + b3, last)
    arms = np.linalg.lstsq(columns, rest.ravel(), rcond=None)[0]
    chord = np.hypot(*(last - first))
    # An arm backwards, or of no length, makes a cusp: Wu and Barsky's third of the chord instead.
    if arms.min() < 1e-3 * chord or arms.max() > 4 * max(chord, 1e-9) + np.hypot(*np.diff(points, axis=0).T).sum():
        arms = np.full(2, max(chord, np.hypot(*np.diff(points, axis=0).T).sum() / 2) / 3)
    return np.stack([first, first + arms[0] * ahead, last + arms[1] * back, last])


def _moved(segment: np.ndarray, points: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Parameters one step of Newton's method nearer to those of the nearest places on a segment."""
    speed = 3 * np.diff(segment, axis=0)
    turn = 2 * np.diff(speed, axis=0)
    u = t[:, None]
    off = _at(segment, u) - points
    first = (1 - u) ** 2 * speed[0] + 2 * u * (1 - u) * speed[1] + u**2 * speed[2]
    second = (1 - u) * turn[0] + u * turn[1]
    slope = (first * first + off * second).sum(1)
    step = np.where(slope > 0, (off * first).sum(1) / np.where(slope > 0, slope, 1), 0)
    return np.maximum.accumulate(np.clip(t - step, 0, 1))


def _at(segment: np.ndarray, t: np.ndarray) -> np.ndarray:
    """(t, 2) points of a segment."""
    u = 1 - t
    return u**3 * segment[0] + 3 * t * u**2 * segment[1] + 3 * t**2 * u * segment[2] + t**3 * segment[3]


def _unit(v: np.ndarray) -> np.ndarray:
    return v / max(float(np.hypot(*v)), 1e-12)
