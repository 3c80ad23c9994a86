"""The outline of a binary image as closed polygons, and what it takes to write them down."""

from typing import Any

import numpy as np
from skimage.measure import approximate_polygon, find_contours

from maskopt_lib.images import binary, crop
from maskopt_lib.options import NotNegative, Positive, check

#: Polygons may leave the outline by this many nm, and by a pixel at least, before their vertices are counted.
VERTEX_TOLERANCE_NM = 1.0


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
    """Vertices of the polygons that describe a mask to a stated tolerance.

    Parameters
    ----------
    mask : (y, x) binary mask.
    pixel_nm : side of a pixel in nm.
    tolerance_nm : how far a polygon may leave the outline, in nm; never taken finer than one pixel, as a finer one
        would count the steps of the raster.

    Returns
    -------
    Number of vertices of all shapes and holes after simplification (Douglas and Peucker).

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
