"""Contour error: how far the printed contour lies from the target's outline, curved or not, along its arc length."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.ndimage import gaussian_filter, map_coordinates
from scipy.spatial import cKDTree
from skimage.measure import find_contours

from maskopt_lib.data import schema
from maskopt_lib.data.schema import column
from maskopt_lib.errors import GridMismatchError
from maskopt_lib.images import binary, real
from maskopt_lib.metrics.epe import SEARCH_NM
from maskopt_lib.options import Finite, Positive, check

#: Dimension of a table of places along an outline.
PLACE = "place"
#: Arc length between two places, in nm.
SPACING_NM = 2.0
# Standard deviation in pixels of the Gaussian that takes the steps off a curve's raster.
_SMOOTHING_PX = 1.0
# Vertices of the printed contour whose edges are looked at from each place: the nearest edge has one of them.
_NEAREST = 4


def contour_error(
    printed: Any,
    target: Any,
    *,
    pixel_nm: float,
    threshold: float = 0.5,
    polygons: Sequence[np.ndarray] | None = None,
) -> xr.Dataset:
    """Signed distance from the target's outline to the printed contour, along the outline.

    Parameters
    ----------
    printed : (y, x) aerial intensity at the nominal corner, whose contour at the threshold is taken below the pixel; or
        a print of 0 and 1.
    target : (y, x) binary target on the same grid.
    pixel_nm : side of a pixel in nm.
    threshold : intensity at and above which the resist prints; 0.5 for a print.
    polygons : (n, 2) x and y in nm of the target's own outlines, where they are known: merged, holes as rings of their
        own, from the lower left corner of the field. Else the outline is that of the raster, its steps smoothed.

    Returns
    -------
    Dataset over ``place``: ``y_nm``, ``x_nm`` (on the outline), ``contour_error_nm`` (positive where the print reaches
    beyond the outline; nan where no contour is within 40 nm) and ``lost``. Attribute ``length_nm``: of the outline.

    Raises
    ------
    GridMismatchError : the images do not share a grid.

    Notes
    -----
    The distance is that to the nearest point of the printed contour, not along a normal: it needs none, and a corner
    has one too. All places stand for equally much of the outline, so means and quantiles over them are means and
    quantiles by arc length. What prints away from the target, farther than 40 nm, has no place; L2 counts it. The
    smoothed outline lies within some 0.1 pixel of a curve and rounds corners by about a pixel. The border of the field
    is no outline.

    Examples
    --------
    A disc that prints 3 nm too large:

    >>> y, x = np.mgrid[:512, :512] + 0.5
    >>> distance = np.hypot(y - 256, x - 256)
    >>> places = contour_error(0.5 + (103 - distance) / 100, distance < 100, pixel_nm=1.0, threshold=0.5)
    >>> summarize(places)["contour_mean_abs_nm"].__round__(1), places.sizes["place"]
    (3.0, 317)
    """
    check(Positive, pixel_nm=pixel_nm)
    check(Finite, threshold=threshold)
    image, drawn = real(printed, "printed", axes=2).astype(float), binary(target, "target", axes=2, pixel_nm=pixel_nm)
    if image.shape != drawn.shape:
        raise GridMismatchError(
            f"printed and target must share one grid (y, x), got {image.shape} and {drawn.shape}; of several corners "
            "take the nominal one, and rasterize the target at the pixel of the mask"
        )
    if polygons is None:
        smooth = gaussian_filter(drawn.astype(float), _SMOOTHING_PX, mode="nearest")
        outlines = _level_lines(smooth, 0.5, pixel_nm)
    else:
        outlines = [np.concatenate([ring, ring[:1]])[:, ::-1].astype(float) for ring in polygons]
    places, length_nm = _places(outlines)
    distance = _distance(places, _level_lines(image, threshold, pixel_nm))
    # Between pixel centres by the linear law of the contours.
    covered = map_coordinates(image, places.T / pixel_nm - 0.5, order=1, mode="nearest") >= threshold
    error = np.where(covered, distance, -distance)
    error = np.where(distance <= SEARCH_NM, error, np.nan)
    return xr.Dataset(
        {
            "y_nm": column(PLACE, places[:, 0], "place on the outline, y", "nm"),
            "x_nm": column(PLACE, places[:, 1], "place on the outline, x", "nm"),
            "contour_error_nm": column(PLACE, error, "contour error, positive outwards", "nm"),
            "lost": column(PLACE, np.isnan(error), f"no printed contour within {SEARCH_NM:g} nm"),
        },
        attrs={"length_nm": length_nm, "spacing_nm": SPACING_NM},
    )


def summarize(places: xr.Dataset) -> dict[str, float]:
    """Mean absolute, 95 % and largest contour error of an outline, by arc length.

    Parameters
    ----------
    places : what `contour_error` returns, all or some of it.

    Returns
    -------
    Values by the names of `maskopt_lib.data.schema`; a lost place counts with the search limit of 40 nm; nan without
    any place.
    """
    error = np.abs(places["contour_error_nm"].values)
    error = np.where(np.isnan(error), SEARCH_NM, error)
    values = (error.mean(), np.quantile(error, 0.95), error.max()) if error.size else (float("nan"),) * 3
    return dict(zip(schema.CONTOUR_ERRORS, map(float, values), strict=True))


def _level_lines(image: np.ndarray, level: float, pixel_nm: float) -> list[np.ndarray]:
    """(point, 2) y and x in nm of the lines at a level, open at the border of the field."""
    return [(line + 0.5) * pixel_nm for line in find_contours(image, level)]


def _places(lines: Sequence[np.ndarray]) -> tuple[np.ndarray, float]:
    """(place, 2) points at equal arc length along lines, and the length of all of them."""
    if not lines:
        return np.zeros((0, 2)), 0.0
    start, end = np.concatenate([line[:-1] for line in lines]), np.concatenate([line[1:] for line in lines])
    length = np.hypot(*(end - start).T)
    until = np.cumsum(length)
    n = int(np.ceil(until[-1] / SPACING_NM))
    at = (np.arange(n) + 0.5) * until[-1] / n
    i = np.minimum(np.searchsorted(until, at), len(until) - 1)
    share = 1 - (until[i] - at) / np.maximum(length[i], 1e-12)
    return start[i] + share[:, None] * (end - start)[i], float(until[-1])


def _distance(places: np.ndarray, lines: Sequence[np.ndarray]) -> np.ndarray:
    """(place,) distance to the nearest point of the lines; inf where there are none."""
    if not lines or not len(places):
        return np.full(len(places), np.inf)
    start, end = np.concatenate([line[:-1] for line in lines]), np.concatenate([line[1:] for line in lines])
    found = np.full(len(places), np.inf)
    for ends in (start, end):
        _, near = cKDTree(ends).query(places, k=min(_NEAREST, len(ends)))
        near = near.reshape(len(places), -1)
        a, along = start[near], (end - start)[near]
        share = np.sum((places[:, None] - a) * along, axis=2) / np.maximum(np.sum(along**2, axis=2), 1e-24)
        nearest = a + np.clip(share, 0, 1)[..., None] * along
        found = np.minimum(found, np.hypot(*(places[:, None] - nearest).transpose(2, 0, 1)).min(axis=1))
    return found
