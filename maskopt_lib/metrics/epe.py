"""Edge placement: where the target's edges are probed, what is printed there, and by how many nm it is off."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.data.schema import column
from maskopt_lib.errors import GridMismatchError
from maskopt_lib.images import binary, crop, real
from maskopt_lib.options import Positive, check

#: Distance of the probes from the edge pixel, in nm: the contest's limit and the one of recent work.
LIMITS_NM = schema.EPE_LIMITS_NM
#: Sites on long edges are this far apart, and this far from both ends, in nm.
INTERVAL_NM = 40.0
#: Edges up to this length, measured between the centres of their first and last nm, carry one site.
SINGLE_SITE_NM = 80.0
#: The edge error is searched this far on both sides of the target edge, in nm.
SEARCH_NM = 40.0
#: An outline counts as curved where more than this share of it runs in steps shorter than so many pixels, or where so
#: many of its steps follow each other in one direction.
_CURVED_SHARE, _STEP_PIXELS, _FLIGHT = 0.2, 3, 3
# A flight's steps are not longer than this, in pixels; the last steps before a curve's top are.
_FLIGHT_STEP_PX = 20
#: How deep beside an edge its outline is followed, in nm; where it moves on by less than `_CORNER_NM` before `_RIM_NM`,
#: and beyond, there is a corner, sharp or rounded by up to 20 nm.
_DEPTH_NM, _RIM_NM, _CORNER_NM = 24.0, 2.0, 15.0
#: A straight edge that a curve ends is at least this long; sites keep this away from where the curve begins, in nm.
_SHORTEST_NM, _MARGIN_NM = 30.0, 5.0
# How much of what curves add to an edge in a raster, nm for a slope of one root of a nm, is left by a fit on 4 nm.
_LEFT_OVER = 1.2
# A fit may be off by so many pixels, or this share of all that the outline moves on; else there is no one curve.
_OFF_PX, _OFF_SHARE = 2.0, 0.25


def target_sites(target: Any, pixel_nm: float) -> xr.Dataset:
    """The points of a target's straight edges where edge placement is checked.

    Parameters
    ----------
    target : (y, x) binary target.
    pixel_nm : side of a pixel in nm.

    Returns
    -------
    Dataset over ``site``: ``y_nm``, ``x_nm`` (the point on the edge) and ``normal_y``, ``normal_x`` (outward; -1, 0
    or 1), edges with normals along y first, each in ascending order of edge and place.

    Raises
    ------
    GridMismatchError : a batch of targets, or values outside 0 to 1.

    Notes
    -----
    The rule of the ICCAD 2013 contest, as OpenILT applies it: an edge of at most 80 nm has one site in its middle; a
    longer one has sites each 40 nm, counted from both ends to the middle. Lengths and places are taken between the
    centres of an edge's first and last nm: an edge of 81 nm is 80 long, its middle is rounded down, and a site that
    both counts reach is one site. This is what a program on 1 nm pixels does, and it is kept on any other pixel size,
    so that sites do not move with the raster. Edges on the border of the field count as edges.

    Curves and slants have no sites (:func:`~maskopt_lib.metrics.contour_error` measures there), as have no edges that
    are only steps of their raster. A straight edge that a curve ends reaches to where the curve begins, see
    :func:`maskopt_lib.metrics.epe.straight_edges`.

    Examples
    --------
    >>> target = np.zeros((512, 512), bool); target[100:160, 100:300] = True
    >>> sites = target_sites(target, pixel_nm=1.0)
    >>> sites.x_nm.values[:5], sites.y_nm.values[:5]
    (array([140.5, 180.5, 219.5, 259.5, 140.5]), array([100., 100., 100., 100., 160.]))
    """
    return _on_edges(target, pixel_nm, _places_nm)


def between_sites(target: Any, pixel_nm: float) -> xr.Dataset:
    """The points of a target's straight edges that lie between those of :func:`target_sites`.

    Parameters
    ----------
    target, pixel_nm : as for :func:`target_sites`.

    Returns
    -------
    A Dataset as that of :func:`target_sites`: halfway between neighbouring sites of an edge, and on both sides of an
    edge's only site halfway to its ends. No checker looks there, so a mask that serves the checker alone shows.

    Examples
    --------
    >>> target = np.zeros((512, 512), bool); target[100:160, 100:300] = True
    >>> between_sites(target, pixel_nm=1.0).x_nm.values[:4]
    array([160.5, 200. , 239.5, 160.5])
    """
    return _on_edges(target, pixel_nm, _between_nm)


def _on_edges(target: Any, pixel_nm: float, places: Callable[[float, float], list[float]]) -> xr.Dataset:
    image = binary(target, "target", axes=2, pixel_nm=pixel_nm)
    straight = is_manhattan(image)
    sites: list[tuple[float, float, int, int]] = []
    for axis, turned in enumerate((image, image.T)):
        for line, start, stop, outward in straight_edges(turned, pixel_nm, is_manhattan=straight).tolist():
            for place_nm in places(start, stop):
                y_nm, x_nm = (line, place_nm) if axis == 0 else (place_nm, line)
                sites.append((y_nm, x_nm, outward if axis == 0 else 0, outward if axis == 1 else 0))
    y_nm, x_nm, normal_y, normal_x = np.array(sites, dtype=float).reshape(-1, 4).T
    return site_table(y_nm, x_nm, normal_y.astype(int), normal_x.astype(int))


def site_table(y_nm: np.ndarray, x_nm: np.ndarray, normal_y: np.ndarray, normal_x: np.ndarray) -> xr.Dataset:
    """Places on a target's edges and the outward normals there as a Dataset over ``site``."""
    return xr.Dataset(
        {
            "y_nm": column(schema.SITE, y_nm, "site on the target edge, y", "nm"),
            "x_nm": column(schema.SITE, x_nm, "site on the target edge, x", "nm"),
            "normal_y": column(schema.SITE, normal_y, "outward normal, y"),
            "normal_x": column(schema.SITE, normal_x, "outward normal, x"),
        }
    )


def epe_sites(
    aerial: Any,
    target: Any,
    *,
    pixel_nm: float,
    threshold: float,
    sites: Callable[[Any, float], xr.Dataset] = target_sites,
) -> xr.Dataset:
    """Edge placement at each site of a target: what the probes see, and the signed error in nm.

    Parameters
    ----------
    aerial : (y, x) aerial intensity at the nominal corner; periodic.
    target : (y, x) binary target on the same grid.
    pixel_nm : side of a pixel in nm.
    threshold : intensity at and above which the resist prints.
    sites : from target and pixel to where is looked: :func:`target_sites`, or :func:`between_sites`.

    Returns
    -------
    Dataset over ``site``, besides the variables of `target_sites`: ``edge_error_nm`` (positive where the printed edge
    lies outside the target; nan where the edge is lost), ``lost``, ``violates15`` and ``violates3`` (0, 1 or 2 probes).

    Raises
    ------
    GridMismatchError : aerial and target do not share a grid.

    Notes
    -----
    *Probes.* One is ``limit`` nm inside and one ``limit`` nm outside of the target's outermost 1 nm pixel, so limit +
    1/2 and limit - 1/2 nm from the edge itself. A violation is an inner probe that does not print or an outer one that
    does.

    *Edge error.* From the site on the target edge the search walks outwards where the resist prints there, inwards
    where it does not, until that changes; the place is refined below the pixel on the interpolated aerial image. Where
    nothing changes within 40 nm the edge is lost (bridged or pinched away).

    Between pixel centres the aerial image is interpolated by cubic convolution (Keys), at pixel centres it is exact.

    References
    ----------
    Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29 (1981).

    Examples
    --------
    A sharp edge 2 nm outside of the target's, on a linear slope:

    >>> x = np.arange(256) + 0.5
    >>> aerial = np.tile(np.clip(0.225 + 0.01 * (130 - x), 0, 1), (256, 1))
    >>> target = np.zeros((256, 256), bool); target[:, 40:128] = True
    >>> sites = epe_sites(aerial, target, pixel_nm=1.0, threshold=0.225)
    >>> sites.edge_error_nm.values[sites.normal_x == 1].round(6)
    array([2., 2., 2., 2., 2., 2.])
    """
    check(Positive, threshold=threshold)
    image = real(aerial, "aerial")
    if image.shape != np.shape(target):
        raise GridMismatchError(
            f"aerial and target must share one grid (y, x), got {image.shape} and {np.shape(target)}; of several "
            "corners take the nominal one, and rasterize the target at the pixel of the mask"
        )
    at = sites(target, pixel_nm)
    threshold = image.dtype.type(threshold)  # the comparison the print itself is made with

    def along(distance_nm: np.ndarray) -> np.ndarray:
        """(site, ...) intensity at signed distances (site or 1, ...) outside the target edge."""
        y = at.y_nm.values[:, None] + at.normal_y.values[:, None] * distance_nm
        x = at.x_nm.values[:, None] + at.normal_x.values[:, None] * distance_nm
        return _interpolate(image, y / pixel_nm - 0.5, x / pixel_nm - 0.5)

    new = {}
    for limit in LIMITS_NM:
        inner, outer = (along(np.array([[probe]]))[:, 0] >= threshold for probe in (-limit - 0.5, limit - 0.5))
        wrong = (~inner).astype(int) + outer.astype(int)
        new[f"violates{limit:g}"] = column(schema.SITE, wrong, f"probes that violate the {limit:g} nm limit")
    error = _edge_error_nm(along, float(threshold))
    new["edge_error_nm"] = column(schema.SITE, error, "edge placement error, positive outwards", "nm")
    new["lost"] = column(schema.SITE, np.isnan(error), f"no printed edge within {SEARCH_NM:g} nm")
    return at.assign(new)


def summarize(sites: xr.Dataset) -> dict[str, float]:
    """The scores of one clip from its sites: violations, number of sites, mean and largest absolute error.

    Parameters
    ----------
    sites : what `epe_sites` returns.

    Returns
    -------
    Values by the names of `maskopt_lib.data.schema`. A lost edge enters mean and maximum with the search limit of
    40 nm, a lower bound of its true error; without sites both are nan.
    """
    error = np.abs(sites["edge_error_nm"].values)
    error = np.where(sites["lost"].values, SEARCH_NM, error)
    return {
        schema.EPE15: int(sites["violates15"].sum()),
        schema.EPE3: int(sites["violates3"].sum()),
        schema.EPE_SITES: int(sites.sizes[schema.SITE]),
        schema.EPE_MEAN_ABS: float(error.mean()) if error.size else float("nan"),
        schema.EPE_MAX_ABS: float(error.max()) if error.size else float("nan"),
    }


def summarize_between(places: xr.Dataset) -> dict[str, float]:
    """The scores of one clip between its sites, by the names of `schema.BETWEEN_SITES`; nan without a point.

    Parameters
    ----------
    places : what `epe_sites` returns for `between_sites`; lost edges count as 40 nm, the search limit.
    """
    error = np.abs(np.where(places["lost"].values, SEARCH_NM, places["edge_error_nm"].values))
    if not error.size:
        return dict.fromkeys(schema.BETWEEN_SITES, float("nan"))
    found = (error.mean(), np.quantile(error, 0.95), (error > LIMITS_NM[1]).mean(), (error > LIMITS_NM[0]).mean())
    return dict(zip(schema.BETWEEN_SITES, map(float, found), strict=True))


def _between_nm(start_nm: float, stop_nm: float) -> list[float]:
    """Points along one edge halfway between its sites, ascending, in nm; see `between_sites`."""
    sites = _places_nm(start_nm, stop_nm)
    ends = [start_nm, *sites, stop_nm] if len(sites) == 1 else sites
    return [(a + b) / 2 for a, b in pairwise(ends)]


def _places_nm(start_nm: float, stop_nm: float) -> list[float]:
    """Sites along one edge, ascending, in nm; see the Notes of `target_sites`."""
    first, last = start_nm + 0.5, stop_nm - 0.5
    middle = np.floor((first + last - 1) / 2) + 0.5
    if last - first <= SINGLE_SITE_NM:
        return [float(middle)]
    up = np.arange(first + INTERVAL_NM, middle + 0.25, INTERVAL_NM)
    down = np.arange(last - INTERVAL_NM, middle - 0.25, -INTERVAL_NM)
    return np.unique(np.concatenate([up, down])).tolist()


def _interpolate(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Cubic convolution of a periodic image at (y, x), in pixels from the centre of pixel (0, 0)."""

    def weights(t: np.ndarray) -> list[np.ndarray]:  # Keys 1981, a = -1/2
        return [
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        ]

    i, j = np.floor(y).astype(int), np.floor(x).astype(int)
    value = np.zeros(np.broadcast_shapes(y.shape, x.shape))
    for di, wy in enumerate(weights(y - i)):
        for dj, wx in enumerate(weights(x - j)):
            value += wy * wx * image[(i + di - 1) % image.shape[0], (j + dj - 1) % image.shape[1]]
    return value


def _edge_error_nm(along: Any, threshold: float) -> np.ndarray:
    """(site,) signed distance of the printed edge that the search of `epe_sites` meets first; nan if none."""
    reach = int(SEARCH_NM)
    distance = np.arange(-reach, reach + 1, dtype=float)  # 1 nm: far below the 30 nm half period of any aerial image
    low, is_lost = first_change(along(distance[None, :]) >= threshold)
    low = low.astype(float)
    high = low + 1
    for _ in range(30):  # bisection: 1 nm / 2^30
        middle = (low + high) / 2
        inside = along(middle[:, None])[:, 0] >= threshold
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.where(is_lost, np.nan, (low + high) / 2)


def first_change(printed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The printed edge that a walk from the target's meets first: outwards where that prints, else inwards.

    Parameters
    ----------
    printed : (..., distance) whether there is resist, at an odd number of equal steps along the outward normal, the
        target's edge in the middle.

    Returns
    -------
    low : (...) int, the step, counted from the middle, up to which it prints and beyond which it does not.
    is_lost : (...) whether nothing changes on that side.
    """
    reach = printed.shape[-1] // 2
    beyond = np.zeros((*printed.shape[:-1], 1), bool)
    outwards = np.argmin(np.concatenate([printed[..., reach + 1 :], beyond], axis=-1), axis=-1)
    inwards = np.argmax(np.concatenate([printed[..., :reach][..., ::-1], ~beyond], axis=-1), axis=-1)
    walks_out = printed[..., reach]
    step = np.where(walks_out, outwards, inwards)
    return np.where(walks_out, step, -step - 1), step == reach


def edges(image: np.ndarray) -> np.ndarray:
    """(edge, 4) int: line, start, stop and outward sign of every straight edge whose normal is along axis 0."""
    part, (y, x) = crop(image)
    step = np.diff(np.pad(part, 1).astype(np.int8), axis=0)  # step[i] is the change across line i
    sides = []
    for outward in (-1, 1):
        run = np.diff((step == -outward).astype(np.int8), axis=1)
        line, start = np.nonzero(run == 1)
        _, stop = np.nonzero(run == -1)
        sides.append(np.stack([line, start, stop, np.full_like(line, outward)], axis=1))
    found = np.concatenate(sides) + np.array([y, x, x, 0])
    return found[np.lexsort(found.T[::-1])]


def is_manhattan(image: np.ndarray) -> bool:
    """Whether the outline of a (y, x) bool image runs along y and x, without curves and slants.

    Notes
    -----
    A raster has no other edges; those of curves are short, or follow each other as stairs, a pixel or two high and all
    in one direction. Single steps of that height are taken for drawn ones.
    """
    n_short = n_all = n_stairs = 0
    for turned in (image, image.T):
        found = edges(turned)
        length = found[:, 2] - found[:, 1]
        n_short += int(length[length < _STEP_PIXELS].sum())
        n_all += int(length.sum())
        n_stairs += _stairs(turned, found[length < _FLIGHT_STEP_PX])
    return n_short <= _CURVED_SHARE * max(n_all, 1) and n_stairs < _FLIGHT


def straight_edges(image: np.ndarray, pixel_nm: float, *, is_manhattan: bool) -> np.ndarray:
    """(edge, 4) straight edges with normals along axis 0: line, start and stop in nm, outward sign.

    Parameters
    ----------
    image : (y, x) bool.
    pixel_nm : side of a pixel in nm.
    is_manhattan : then every edge of the raster is one.

    Notes
    -----
    At an end the outline is followed to a depth of 24 nm. Where it hardly moves on there is a corner, sharp or rounded
    by up to 20 nm, and the edge reaches to the corner. Otherwise a curve leaves the edge. In its raster the edge is too
    long then, by more on larger pixels, for a curve of radius R leaves its tangent as ``sqrt(2 R depth)``; where it
    began is the intercept of that law, fitted to the outline. What is left is an edge from 30 nm on, and from what the
    fit can tell: the flat top of a circle has nothing left. Sites keep 5 nm away from such an end, so that their number
    hangs on no single pixel.
    """
    if is_manhattan:
        return edges(image) * np.array([pixel_nm, pixel_nm, pixel_nm, 1])
    found = []
    for line, start, stop, outward in edges(image).tolist():
        if (stop - start) * pixel_nm < _SHORTEST_NM / 2:
            continue
        facing, at = (image, line) if outward < 0 else (image[::-1], len(image) - line)
        high, slope_high = _end_nm(facing, at, stop, pixel_nm)
        low, slope_low = _end_nm(facing[:, ::-1], at, image.shape[1] - start, pixel_nm)
        low = image.shape[1] * pixel_nm - low
        if not np.isfinite(high - low):
            continue
        if slope_low or slope_high:
            if high - low < max(_SHORTEST_NM, _LEFT_OVER * (slope_low + slope_high)):
                continue
            low, high = low + _MARGIN_NM * (slope_low > 0), high - _MARGIN_NM * (slope_high > 0)
        found.append((line * pixel_nm, low, high, outward))
    return np.array(found, float).reshape(-1, 4)


def _stairs(image: np.ndarray, found: np.ndarray) -> int:
    """How many edges are steps of stairs: the outline turns inwards at one end, outwards at the other, and goes on by a
    pixel or two at both."""
    padded = np.pad(image, _STEP_PIXELS)
    line, start, stop, outward = (found + np.array([_STEP_PIXELS, _STEP_PIXELS, _STEP_PIXELS, 0])).T
    inside = np.where(outward < 0, line, line - 1)  # row of the material that the edge bounds
    turns_in, is_low = [], []
    for x in (start - 1, stop):
        beside = [padded[inside + k * outward, x] for k in range(1 - _STEP_PIXELS, _STEP_PIXELS + 1)]
        turns_in.append(~beside[_STEP_PIXELS - 1])
        is_low.append(np.where(turns_in[-1], np.any(beside[: _STEP_PIXELS - 1], 0), ~np.all(beside[_STEP_PIXELS:], 0)))
    return int(np.sum(is_low[0] & is_low[1] & (turns_in[0] != turns_in[1])))


def _end_nm(image: np.ndarray, line: int, stop: int, pixel_nm: float) -> tuple[float, float]:
    """Where an edge along the upper side of rows from ``line`` on ends, to the right, and the curve's slope there: nm
    for a root of a nm of depth, 0 at a corner."""
    n_y, n_x = image.shape
    goes_on = stop < n_x and line < n_y and image[line, stop]  # then the outline turns outwards: follow the background
    way = -1 if goes_on else 1
    row, value = (line - 1, False) if goes_on else (line, True)
    n_rows = max(2, round(_DEPTH_NM / pixel_nm))
    beyond = np.zeros(n_rows)
    for k in range(1, n_rows):
        y = row + way * k
        if not 0 <= y < n_y or image[y, stop - 1] != value:
            beyond[k:] = beyond[k - 1]
            break
        others = image[y, stop:] != value
        beyond[k] = np.argmax(others) if others.any() else len(others)
    depth, at_nm = (np.arange(n_rows) + 0.5) * pixel_nm, (stop + beyond) * pixel_nm
    rim_nm = np.interp(_RIM_NM, depth, at_nm)
    if max(at_nm[-1] - rim_nm, rim_nm - at_nm[0]) <= _CORNER_NM:
        return float(at_nm[-1]), 0.0
    # The drawn edge lies up to half a pixel beside the raster's: of five places the one that the law fits best.
    fits = []
    for beside_nm in np.linspace(-pixel_nm / 2, pixel_nm / 2, 5):
        root = np.sqrt(depth + beside_nm)
        law = np.polynomial.Polynomial.fit(root, at_nm, 1)
        fits.append((float(np.abs(law(root) - at_nm).max()), *law.convert().coef.tolist()))
    off_nm, start, slope = min(fits)
    if off_nm > max(_OFF_PX * pixel_nm, _OFF_SHARE * np.ptp(at_nm)):
        is_drawn = np.flatnonzero(beyond)[0] >= _STEP_PIXELS  # a step of the layout, else one of stairs
        return (stop * pixel_nm, 0.0) if is_drawn else (-np.inf, 0.0)
    return start, slope
