"""Process windows: where the edges print over focus and exposure, and how much of both may be lost.

All functions take aerial images over focus at dose 1, ``(focus, y, x)``, and say nothing about how these were made.
*Exposure* is the energy relative to nominal: it multiplies the intensity, so it is the square of the contest's dose,
which acts on the amplitude (its 1.02 and 0.98 are exposures of 1.0404 and 0.9604). With a constant-threshold resist
the print at exposure ``E`` is ``I >= threshold / E``.

References
----------
Mack, Fundamental Principles of Optical Lithography, Wiley (2007), chapters 8 (process window, depth of focus,
exposure latitude, image log slope) and 9 (mask error enhancement factor). His are the definitions, except where a
docstring says so.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.data.schema import column
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.images import binary
from maskopt_lib.metrics.dimensions import CUT, critical_dimensions, edge_profiles, outward

DEPTH = "depth_of_focus_nm"
#: Coordinates of ``focus`` axes.
DEFOCUS = "defocus_nm"
#: Shapes that are inscribed into a window.
SHAPES = ("rectangle", "ellipse")
#: Exposure latitude at which depths of focus are quoted, in percent.
LATITUDE_PERCENT = 5.0
_SIDES = ("lowest", "highest")


def exposure_limits(
    aerial: Any, sites: xr.Dataset, *, limit_nm: float, pixel_nm: float, threshold: float
) -> xr.Dataset:
    """Exposures between which each edge prints within a limit of its place, at every focus setting.

    Parameters
    ----------
    aerial : (focus, y, x) intensity at exposure 1.
    sites : edges.
    limit_nm : largest edge placement error.
    pixel_nm : side of a pixel in nm.
    threshold : intensity that prints at exposure 1.

    Returns
    -------
    Dataset (focus, site) of ``lowest`` and ``highest`` exposure. There is no window where lowest exceeds highest.

    Notes
    -----
    Exact, without a grid of exposures: the edge is in place as long as the probe ``limit_nm`` inside of it prints and
    the one ``limit_nm`` outside does not, so ``lowest = threshold / I(inside)`` and ``highest = threshold /
    I(outside)``. Probes stand at the edge's own distance; those of the contest's count (``epe15``) are half a nm
    further out on both sides.
    """
    if not limit_nm > 0:
        raise ValueError(f"the limit of an edge placement error must be positive, got limit_nm={limit_nm!r}")
    profiles = edge_profiles(aerial, sites, pixel_nm=pixel_nm, distance_nm=(-limit_nm, limit_nm))
    inside, outside = np.moveaxis(profiles, -1, 0)
    return _limits(_over(threshold, inside), _over(threshold, outside), schema.FOCUS, schema.SITE)


def exposure_limits_of_cds(
    aerial: Any,
    cuts: xr.Dataset,
    *,
    tolerance: float = 0.1,
    pixel_nm: float,
    threshold: float,
    span: tuple[float, float] = (0.5, 2.0),
) -> xr.Dataset:
    """Exposures between which each printed width keeps its tolerance, at every focus setting.

    Parameters
    ----------
    aerial : (focus, y, x) intensity at exposure 1.
    cuts : of :func:`~maskopt_lib.metrics.dimensions.cutlines`.
    tolerance : largest relative difference from the target's width; 0.1 is the usual ten percent.
    pixel_nm : side of a pixel in nm.
    threshold : intensity that prints at exposure 1.
    span : exposures that are searched.

    Returns
    -------
    Dataset (focus, cut) of ``lowest`` and ``highest`` exposure, by interpolation of the width over 81 exposures,
    equally spaced in their logarithm; the range that holds the width nearest to the target's counts. Where no exposure
    gives the width, lowest is infinite and highest 0.
    """
    if not 0 < tolerance < 1:
        raise ValueError(f"the tolerance of a width is a share between 0 and 1, got {tolerance!r}")
    exposures = np.geomspace(*span, 81)
    cd = critical_dimensions(aerial, cuts, exposures, pixel_nm=pixel_nm, threshold=threshold)
    excess = outward(cuts) * (cd.values / cuts["cd_nm"].values - 1)  # rises with exposure
    lowest, highest = np.full(excess[:, 0].shape, np.inf), np.zeros(excess[:, 0].shape)
    for at in np.ndindex(*lowest.shape):
        lowest[at], highest[at] = _range(np.log(exposures), excess[at[0], :, at[1]], tolerance)
    return _limits(lowest, highest, schema.FOCUS, CUT)


def common_window(*limits: xr.Dataset, defocus_nm: Sequence[float], share: float = 1.0) -> xr.Dataset:
    """The process window of all features together, or of most of them.

    Parameters
    ----------
    limits : Datasets over ``focus`` and one more dimension, of :func:`exposure_limits` and its like.
    defocus_nm : (focus,) planes, in any order.
    share : of the features that has to hold; which ones may differ from condition to condition. 1: all of them.

    Returns
    -------
    Dataset over ``defocus_nm``, every 2 nm, linear between the given planes: ``lowest`` and ``highest`` exposure of the
    window, nan at planes without. With all features these are the highest of the lower limits and the lowest of the
    upper ones; else the ends of the widest range of exposures in which at least ``share`` of the features are between
    their limits.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share!r} of the features is not between 0 and 1")
    planes = np.asarray(defocus_nm, float)
    order = np.argsort(planes)
    fine = np.linspace(planes.min(), planes.max(), max(2, round(np.ptp(planes) / 2) + 1))
    # Features are joined after interpolation: the limit of a window has corners that features do not have.
    sides = [[part[name].transpose(schema.FOCUS, ...).values[order].T for part in limits] for name in _SIDES]
    between = [[_between(fine, planes[order], feature) for part in side for feature in part] for side in sides]
    lowest, highest = (np.array(side).reshape(-1, len(fine)) for side in between)  # of no features: no window
    needed = max(1, int(np.ceil(share * len(lowest) - 1e-9)))
    ends = np.array([_widest(low, high, needed) for low, high in zip(lowest.T, highest.T, strict=True)])
    return (
        _limits(*ends.T, DEFOCUS)
        .assign_coords({DEFOCUS: column(DEFOCUS, fine, "defocus", "nm")})
        .assign_attrs(features=len(lowest), features_needed=needed)
    )


def latitude_curve(window: xr.Dataset, *, shape: str = "ellipse") -> xr.Dataset:
    """Exposure latitude as a function of depth of focus: the largest shape that fits, for each of its widths.

    Parameters
    ----------
    window : of :func:`common_window`.
    shape : ``"rectangle"``, all errors at their worst at once (systematic errors), or ``"ellipse"``, random ones
        (Mack, section 8.5).

    Returns
    -------
    Dataset over ``depth_of_focus_nm`` (the shape's full width, from 0): ``latitude_percent``, its full height in
    percent of the exposure at its middle, and where the middle is (``defocus_nm``, ``exposure``). Latitude is 0, and
    the middle nan, where nothing fits. The attribute ``ends_at_border`` is 1 where a shape as wide as the whole range
    of focus fits, so that the depth of focus is larger than could be seen.

    Raises
    ------
    UnknownNameError : another shape.
    """
    if shape not in SHAPES:
        raise UnknownNameError(f"no shape {shape!r} for a process window; known: {', '.join(SHAPES)}")
    planes, low, high = (window[name].values for name in (DEFOCUS, "lowest", "highest"))
    n = len(planes)
    step = planes[1] - planes[0] if n > 1 else 1.0
    height, middle, exposure = np.zeros(n), np.full(n, np.nan), np.full(n, np.nan)
    # With planes halfway between, every shape has a plane at its middle, where an ellipse is highest.
    halves = [np.interp(np.arange(2 * n - 1) / 2, np.arange(n), side) for side in (low, high)]
    for width in range(n):
        floor, roof = (np.lib.stride_tricks.sliding_window_view(side, 2 * width + 1)[::2] for side in halves)
        # The intervals of focus all of whose planes have a window.
        first = np.flatnonzero((roof > floor).all(axis=-1))
        if not len(first):
            break
        floor, roof = floor[first], roof[first]
        if shape == "rectangle" or width == 0:
            bottom, top = floor.max(-1), roof.min(-1)
        else:
            bottom, top = _ellipses(floor, roof)
        latitude = np.where(top > bottom, 200 * (top - bottom) / (top + bottom), 0.0)
        best = int(np.argmax(latitude))
        if latitude[best] <= 0:
            break
        height[width] = latitude[best]
        middle[width] = planes[first[best]] + width * step / 2
        exposure[width] = (top[best] + bottom[best]) / 2
    for width in range(n - 2, -1, -1):
        # A wider shape holds every narrower one of its height; the planes at hand may have missed that.
        if height[width] < height[width + 1]:
            for values in (height, middle, exposure):
                values[width] = values[width + 1]
    return xr.Dataset(
        {
            "latitude_percent": column(DEPTH, height, "exposure latitude", "%"),
            "defocus_nm": column(DEPTH, middle, "defocus of the middle", "nm"),
            "exposure": column(DEPTH, exposure, "relative exposure of the middle"),
        },
        coords={DEPTH: column(DEPTH, np.arange(n) * step, "depth of focus", "nm")},
        attrs={"shape": shape, "ends_at_border": int(height[-1] > 0)},
    )


def depth_of_focus(curve: xr.Dataset, *, latitude_percent: float = LATITUDE_PERCENT) -> xr.Dataset:
    """The largest shape in a window that has a given exposure latitude.

    Parameters
    ----------
    curve : of :func:`latitude_curve`.
    latitude_percent : exposure latitude that is kept.

    Returns
    -------
    Dataset without dimensions: ``depth_of_focus_nm`` (0 where even best focus has less latitude), ``defocus_nm`` and
    ``exposure`` of its middle, ``latitude_percent`` as asked for, and ``largest_latitude_percent``, that of best focus.
    """
    latitude, depth = curve["latitude_percent"].values, curve[DEPTH].values
    fits = np.flatnonzero(latitude >= latitude_percent)
    last = int(fits[-1]) if fits.size else 0
    width = float(depth[last]) if fits.size else 0.0
    if fits.size and last + 1 < len(depth) and latitude[last + 1] > 0:
        share = (latitude[last] - latitude_percent) / (latitude[last] - latitude[last + 1])
        width += share * float(depth[last + 1] - depth[last])
    best_focus, best_exposure = (
        curve[name].values[last] if fits.size else np.nan for name in ("defocus_nm", "exposure")
    )
    return xr.Dataset(
        {
            DEPTH: column((), width, "depth of focus", "nm"),
            "defocus_nm": column((), best_focus, "best focus", "nm"),
            "exposure": column((), best_exposure, "best exposure"),
            "latitude_percent": column((), float(latitude_percent), "exposure latitude kept", "%"),
            "largest_latitude_percent": column((), float(latitude[0]), "exposure latitude at best focus", "%"),
        }
    )


def pv_band(prints: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Union and intersection (y, x) of the prints of a set of conditions; :func:`~maskopt_lib.metrics.pvb_nm2` of them
    is the band's area, which never shrinks when conditions are added.

    Parameters
    ----------
    prints : (y, x) binary images, one or more; an array over any further axes is one set.
    """
    if hasattr(prints, "shape"):
        prints = binary(prints, "prints")
        prints = prints.reshape(-1, *prints.shape[-2:])
    union = common = None
    for image in prints:
        image = binary(image, "print", axes=2)
        union = image if union is None else union | image
        common = image if common is None else common & image
    if union is None:
        raise GridMismatchError("a band needs the print of one condition at least, got none")
    return union, common


def _over(threshold: float, intensity: np.ndarray) -> np.ndarray:
    # No light never prints: the limit is far away, and finite so that it can be interpolated.
    return threshold / np.maximum(intensity, 1e-6)


def _limits(lowest: np.ndarray, highest: np.ndarray, *dims: str) -> xr.Dataset:
    limits = zip(_SIDES, (lowest, highest), strict=True)
    return xr.Dataset({name: column(dims, values, f"{name} exposure") for name, values in limits})


def _between(fine: np.ndarray, planes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Linear interpolation; nan at and beside planes at which a feature has no exposure (infinite)."""
    with np.errstate(invalid="ignore"):
        return np.interp(fine, planes, np.where(np.isfinite(values), values, np.nan))


def _widest(lowest: np.ndarray, highest: np.ndarray, needed: int) -> tuple[float, float]:
    """Ends of the widest range of exposures that lies within so many of the features' limits; nan without any."""
    holds = highest > lowest  # not where one is nan
    starts, stops = lowest[holds], highest[holds]
    if len(starts) < needed:
        return np.nan, np.nan
    if needed == len(lowest):
        low, high = starts.max(), stops.min()
        return (low, high) if high > low else (np.nan, np.nan)
    at = np.r_[starts, stops]
    order = np.argsort(at, kind="stable")
    enough = np.cumsum(np.r_[np.ones(len(starts)), -np.ones(len(stops))][order]) >= needed
    edges = np.flatnonzero(np.diff(np.r_[False, enough, False].astype(np.int8)))
    if not edges.size:
        return np.nan, np.nan
    low, high = at[order][edges[::2]], at[order][edges[1::2]]
    widest = int(np.argmax(high - low))
    return float(low[widest]), float(high[widest])


def _range(log_exposure: np.ndarray, excess: np.ndarray, tolerance: float) -> tuple[float, float]:
    """Exposures at which a rising curve reaches minus and plus the tolerance, around where it is nearest to 0."""
    inside = np.abs(excess) <= tolerance  # nan compares as outside
    if not inside.any():
        return np.inf, 0.0
    nearest = int(np.nanargmin(np.abs(excess)))
    ends = []
    for way, wanted in ((-1, -tolerance), (1, tolerance)):
        i = nearest
        while 0 <= i + way < len(excess) and inside[i + way]:
            i += way
        j = i + way
        if 0 <= j < len(excess) and np.isfinite(excess[j]) and (excess[j] - wanted) * way > 0:
            share = (wanted - excess[i]) / (excess[j] - excess[i])
            ends.append(log_exposure[i] + share * (log_exposure[j] - log_exposure[i]))
        else:  # lost beyond, or the end of what is searched
            ends.append(log_exposure[i])
    return float(np.exp(ends[0])), float(np.exp(ends[1]))


def _ellipses(floor: np.ndarray, roof: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(interval,) lowest and highest exposure of the highest ellipse over each interval of focus.

    With half height ``b`` and the ellipse's relative half height ``s`` at each plane, its middle may lie from
    ``max(floor + b s)`` to ``min(roof - b s)``: the difference falls with ``b``, and bisection finds where it ends.
    """
    s = np.sqrt(1 - np.linspace(-1, 1, floor.shape[-1]) ** 2)
    low, high = np.zeros(len(floor)), (roof - floor).max(-1)
    for _ in range(24):
        b = (low + high) / 2
        fits = (roof - b[:, None] * s).min(-1) >= (floor + b[:, None] * s).max(-1)
        low, high = np.where(fits, b, low), np.where(fits, high, b)
    middle = ((roof - low[:, None] * s).min(-1) + (floor + low[:, None] * s).max(-1)) / 2
    return middle - low, middle + low
