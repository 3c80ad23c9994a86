"""The outline of a binary image: closed polygons, what it takes to write them down, and how sharply it turns."""

from typing import Any

import numpy as np
from scipy.ndimage import correlate1d, gaussian_filter1d
from skimage.measure import approximate_polygon, find_contours

from maskopt_lib.images import binary, crop
from maskopt_lib.options import NotNegative, Positive, check

#: Polygons may leave the outline by this many nm, and by a pixel at least, before their vertices are counted.
VERTEX_TOLERANCE_NM = 1.0
#: Lengths of outline, in pixels, over which circles are fitted: 8 to 145 in steps of a quarter. The shortest sets the
#: sharpest corner that is resolved, the longest keeps the steps of the raster out of large radii.
WINDOWS_PX = tuple(8 * 1.25**k for k in range(14))
#: Standard deviation in pixels of the Gaussian along the outline that takes the edge off the raster's steps.
SMOOTHING_PX = 1.5
# A window may be this many radii long, a third of the circle: shorter ones see more of the raster than of the curve.
_WINDOW_RADII = 2.0
# Where a mask ends, its border makes corners of what goes on beyond it: these many pixels beside it say nothing.
_BESIDE_BORDER_PX = 6.0


def outlines(mask: Any) -> list[np.ndarray]:
    """Closed outlines of the shapes and holes of a mask.

    Parameters
    ----------
    mask : (y, x) binary mask.

    Returns
    -------
    One (point, 2) array of y and x a loop, in pixels, pixel (0, 0) covering 0 to 1; without the repeated last point.
    The points lie midway between neighbouring pixels of different value, so right angles are cut by half a pixel.
    Pixels that touch by a corner only belong to different loops.

    Examples
    --------
    >>> [len(loop) for loop in outlines(np.pad(np.ones((2, 3), bool), 4))]
    [10]
    """
    part, origin = crop(binary(mask, axes=2))
    if not part.size:
        return []
    loops = find_contours(np.pad(part, 1).astype(np.float32), 0.5, fully_connected="low")
    return [loop[:-1] + np.array(origin) - 0.5 for loop in loops]  # -1 for the padding, +1/2 from centre to corner


def count_vertices(mask: Any, pixel_nm: float, tolerance_nm: float = VERTEX_TOLERANCE_NM) -> int:
    """Vertices of all shapes and holes of a mask as polygons to a stated tolerance (Douglas and Peucker).

    Parameters
    ----------
    mask : (y, x) binary mask.
    pixel_nm : side of a pixel in nm.
    tolerance_nm : how far a polygon may leave the outline, in nm; never taken finer than one pixel, as a finer one
        would count the steps of the raster.

    Examples
    --------
    >>> mask = np.zeros((64, 64), bool); mask[8:40, 8:20] = mask[30:40, 8:50] = True
    >>> count_vertices(mask, pixel_nm=1.0)
    6
    """
    check(Positive, pixel_nm=pixel_nm)
    check(NotNegative, tolerance_nm=tolerance_nm)
    tolerance = max(tolerance_nm / pixel_nm, 1.0)
    total = 0
    for loop in outlines(mask):
        # From an outermost point, which stays a vertex: a start in the middle of an edge would add one.
        start = int(np.argmax(loop.sum(axis=1)))
        closed = np.concatenate([loop[start:], loop[: start + 1]])
        total += max(len(approximate_polygon(closed, tolerance)) - 1, 3)
    return total


def min_radius_nm(mask: Any, pixel_nm: float) -> float:
    """The smallest radius of curvature in nm along the outlines of a mask, convex or concave; nan for an empty mask.

    Parameters
    ----------
    mask : (y, x) binary mask.
    pixel_nm : side of a pixel in nm.

    Notes
    -----
    Parabolas ``y(s)``, ``x(s)`` of the length ``s`` along the slightly smoothed outline are fitted by least squares
    around each of its points (Savitzky and Golay), over windows of `WINDOWS_PX`, and give its curvature there. A window
    is trusted where it is at most two fitted radii long, so that it does not round off what it measures; of the trusted
    ones the flattest fit counts: the raster's steps only ever add curvature. A single step in a straight edge, or the
    inflection of an S, is no curvature: what bends one way and back cancels.
    Discs and rounded corners come out within 5 % from a radius of 20 pixels and within 15 % from 8; where the curvature
    varies along the outline, as at the tip of an ellipse, the radius is up to a fifth too large. What turns within less
    than the shortest window, a right angle above all, is reported as some 3 pixels: the resolution, not a radius.
    Where the border of the mask cuts a shape there is no corner: it is taken to go on.

    References
    ----------
    A. Savitzky, M. J. E. Golay, Smoothing and differentiation of data by simplified least squares procedures, Anal.
    Chem. 36 (1964).

    Examples
    --------
    >>> y, x = np.mgrid[:128, :128] + 0.5
    >>> disc = np.hypot(y - 64, x - 64) < 40
    >>> round(min_radius_nm(disc, pixel_nm=1.0))
    40
    """
    check(Positive, pixel_nm=pixel_nm)
    smallest = min((float(radius.min()) for _, radius in outline_radii(mask)), default=np.inf)
    return smallest * pixel_nm if np.isfinite(smallest) else float("nan")


def outline_radii(mask: Any, below_px: float = np.inf) -> list[tuple[np.ndarray, np.ndarray]]:
    """What `min_radius_nm` takes the smallest of: for each outline its (point, 2) y and x and its (point,) radii.

    In pixels, pixel (0, 0) covering 0 to 1; inf where the outline is straight. Points are in order along a closed loop.
    Radii of ``below_px`` or more may be too small: those are not followed up.
    """
    loops = [_resampled(loop) for loop in outlines(mask)]
    height, width = np.shape(mask)
    found = []
    for points in loops:
        radii = _radii(points, below_px)
        to_border = np.minimum(points, (height, width) - points).min(axis=1)
        if to_border.min() < 1:
            radii[to_border < _BESIDE_BORDER_PX] = np.inf
        found.append((points, radii))
    return found


def _resampled(loop: np.ndarray) -> np.ndarray:
    """(n, 2) points of a closed loop at equal steps of about half a pixel, smoothed by `SMOOTHING_PX`."""
    closed = np.concatenate([loop, loop[:1]])
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(closed, axis=0).T))])
    at = np.linspace(0, length[-1], max(int(2 * length[-1]), 8), endpoint=False)
    even = np.stack([np.interp(at, length, closed[:, k]) for k in (0, 1)], axis=1)
    return gaussian_filter1d(even, SMOOTHING_PX * len(at) / length[-1], axis=0, mode="wrap")


def _radii(points: np.ndarray, below_px: float) -> np.ndarray:
    """(n,) radius at each point in pixels: the flattest fit among the windows short enough for it."""
    step = float(np.hypot(*(points[1] - points[0])))
    best = np.zeros(len(points))
    for window_px in WINDOWS_PX:
        n = 2 * int(window_px / step / 2) + 1
        if (n > len(points) and window_px > WINDOWS_PX[0]) or best.min() >= below_px:
            break
        radius = _fitted_radii(points, min(n, (len(points) - 1) // 2 * 2 + 1))
        trusted = (window_px <= _WINDOW_RADII * radius) | (window_px == WINDOWS_PX[0])
        best = np.where(trusted, np.maximum(best, radius), best)
    return best


def _fitted_radii(points: np.ndarray, n: int) -> np.ndarray:
    """Radius of the parabolas fitted to the ``n`` points around each point of a closed loop; ``n`` is odd."""
    at = np.arange(n) - n // 2
    square = at**2 - np.mean(at**2)
    first, second = (
        correlate1d(points, weights, axis=0, mode="wrap")
        for weights in (at / np.sum(at**2), 2 * square / np.sum(square**2))
    )
    speed = np.hypot(*first.T)
    curvature = np.abs(first[:, 1] * second[:, 0] - first[:, 0] * second[:, 1])
    # Straight to a thousandth of its length, a window has no radius that rounding would leave intact.
    straight = curvature * n <= 1e-3 * speed**2
    radius = speed**3 / np.where(straight, 1, curvature)
    # The parabola of a circle bends more than it by 0.13 (half window / radius)^2: spherical Bessel functions j1, j2.
    half = n // 2 * speed
    return np.where(straight, np.inf, radius * (1 + 0.13 * (half / np.where(straight, 1, radius)) ** 2))
