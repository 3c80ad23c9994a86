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

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy import ndimage
from scipy.special import ndtri

from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.metrics._arrays import binary, one_binary, to_numpy
from maskopt_lib.metrics.epe import SEARCH_NM, target_sites

CUT, EXPOSURE, DEPTH = "cut", "exposure", "depth_of_focus_nm"
#: Coordinates of ``focus`` axes.
DEFOCUS = "defocus_nm"
#: Shapes that are inscribed into a window.
SHAPES = ("rectangle", "ellipse")
#: Exposure latitude at which depths of focus are quoted, in percent.
LATITUDE_PERCENT = 5.0


def cutlines(
    target: Any, pixel_nm: float, *, kind: str = "line", longest_nm: float = 150.0, clear_nm: float = 50.0
) -> xr.Dataset:
    """Where critical dimensions of a Manhattan target are measured.

    Parameters
    ----------
    target : (y, x) binary target.
    pixel_nm : side of a pixel in nm.
    kind : ``"line"`` measures through the shapes, ``"space"`` between them.
    longest_nm : dimensions above it are not critical and get no cutline.
    clear_nm : the two edges go straight on this far to both sides of a cutline; nearer to a corner its rounding, and
        not the width, would be measured.

    Returns
    -------
    Dataset over ``cut``: the two ends on the target's edges (``y0_nm``, ``x0_nm``, ``y1_nm``, ``x1_nm``; the second
    at the higher coordinate), the direction of the cut (``along_y``, ``along_x``: 0 or 1), and ``cd_nm``, its length
    on the target.

    Raises
    ------
    UnknownNameError : another kind.
    LayoutError : the target is not Manhattan.

    Notes
    -----
    A cutline goes straight from each site of :func:`~maskopt_lib.metrics.target_sites` to the opposite edge; two that
    measure the same pair of edges within half the distance of sites (20 nm) are one.

    Examples
    --------
    >>> target = np.zeros((512, 512), bool); target[100:160, 100:300] = True
    >>> cuts = cutlines(target, pixel_nm=1.0)
    >>> cuts.cd_nm.values, cuts.x0_nm.values
    (array([60., 60.]), array([180.5, 219.5]))
    """
    if kind not in ("line", "space"):
        raise UnknownNameError(f"no kind {kind!r} of cutlines; known: line, space")
    image = one_binary(target, "target")
    region = image if kind == "line" else ~image
    sites = target_sites(image, pixel_nm)
    found: list[tuple[float, float, float, float, int]] = []
    for y, x, ny, nx in zip(*(sites[name].values for name in ("y_nm", "x_nm", "normal_y", "normal_x")), strict=True):
        axis = 0 if ny else 1
        # Through the shape the way leads against the outward normal, across a space along it.
        way = int(-(ny or nx) if kind == "line" else (ny or nx))
        edge, place = (y, x) if axis == 0 else (x, y)
        columns = region if axis == 0 else region.T
        beside = (np.array([0, -clear_nm, clear_nm]) + place) / pixel_nm
        if beside.min() < 0 or beside.max() >= columns.shape[1]:
            continue
        length, *others = (_length(columns[:, int(at)], round(edge / pixel_nm), way) for at in beside)
        if not 0 < length * pixel_nm <= longest_nm or others != [length, length]:
            continue
        low, high = sorted((edge, edge + way * length * pixel_nm))
        if not any(a == axis and (lo, hi) == (low, high) and abs(p - place) < 20 for lo, hi, p, _, a in found):
            found.append((low, high, place, high - low, axis))
    table = np.array(found, float).reshape(-1, 5)
    low, high, place, length, axis = table.T
    upright = axis == 0
    columns = {
        "y0_nm": (np.where(upright, low, place), "first end of the cut, y", "nm"),
        "x0_nm": (np.where(upright, place, low), "first end of the cut, x", "nm"),
        "y1_nm": (np.where(upright, high, place), "second end of the cut, y", "nm"),
        "x1_nm": (np.where(upright, place, high), "second end of the cut, x", "nm"),
        "along_y": (upright.astype(int), "cut runs along y", "1"),
        "along_x": ((~upright).astype(int), "cut runs along x", "1"),
        "cd_nm": (length, "critical dimension of the target", "nm"),
    }
    return xr.Dataset(_labelled(columns, CUT), attrs={"kind": kind})


def cut_ends(cuts: xr.Dataset) -> xr.Dataset:
    """The ends of cutlines as edge sites, all first ends and then all second ones, normals out of the shape.

    Returns
    -------
    Dataset over ``site`` with ``y_nm``, ``x_nm``, ``normal_y``, ``normal_x``, as functions of sites take them.
    """
    sign = 1 if cuts.attrs.get("kind", "line") == "line" else -1
    along_y, along_x = cuts["along_y"].values, cuts["along_x"].values
    columns = {
        "y_nm": (np.r_[cuts["y0_nm"], cuts["y1_nm"]], "site on the target edge, y", "nm"),
        "x_nm": (np.r_[cuts["x0_nm"], cuts["x1_nm"]], "site on the target edge, x", "nm"),
        "normal_y": (sign * np.r_[-along_y, along_y], "outward normal, y", "1"),
        "normal_x": (sign * np.r_[-along_x, along_x], "outward normal, x", "1"),
    }
    return xr.Dataset(_labelled(columns, schema.SITE))


def edge_profiles(
    aerial: Any, sites: xr.Dataset, *, pixel_nm: float, distance_nm: Sequence[float] | None = None
) -> np.ndarray:
    """Intensity along the outward normal of each site.

    Parameters
    ----------
    aerial : (focus, y, x) intensity on any grid that resolves it (4 nm for a wavelength of 193 nm); periodic.
    sites : Dataset over ``site``, of :func:`~maskopt_lib.metrics.target_sites` or :func:`cut_ends`.
    pixel_nm : side of a pixel in nm.
    distance_nm : signed distances, positive outside the target; whole nm up to 40 on both sides by default.

    Returns
    -------
    (focus, site, distance) float64, by splines of fifth order.
    """
    images = to_numpy(aerial).astype(np.float64)
    if images.ndim != 3:
        raise GridMismatchError(f"images through focus must be (focus, y, x), got {images.shape}; give one an axis")
    distance = _DISTANCE_NM if distance_nm is None else np.asarray(distance_nm, float)
    y = sites["y_nm"].values[:, None] + sites["normal_y"].values[:, None] * distance
    x = sites["x_nm"].values[:, None] + sites["normal_x"].values[:, None] * distance
    at = np.stack([y, x]) / pixel_nm - 0.5
    return np.stack([ndimage.map_coordinates(image, at, order=5, mode="grid-wrap") for image in images])


def edge_errors_nm(profiles: np.ndarray, exposures: Sequence[float], *, threshold: float) -> np.ndarray:
    """Signed distance of the printed edge from the target's, over focus and exposure.

    Parameters
    ----------
    profiles : (focus, site, distance) of :func:`edge_profiles`, at its default distances.
    exposures : relative energies.
    threshold : intensity that prints at exposure 1.

    Returns
    -------
    (focus, exposure, site) nm, positive outside of the target, nan where no edge prints within 40 nm. The search is
    that of :func:`~maskopt_lib.metrics.epe_sites`: outwards where the target's edge prints, else inwards.
    """
    _positive(exposures)
    reach = int(SEARCH_NM)
    found = np.empty((profiles.shape[0], len(exposures), profiles.shape[1]))
    for i, exposure in enumerate(exposures):
        level = threshold / exposure
        printed = profiles >= level
        outwards = np.argmin(_with_last(printed[..., reach + 1 :], False), axis=-1)
        inwards = np.argmax(_with_last(printed[..., :reach][..., ::-1], True), axis=-1)
        walks_out = printed[..., reach]
        step = np.where(walks_out, outwards, inwards)
        low = np.where(walks_out, step, -step - 1)
        found[:, i] = np.where(step == reach, np.nan, low + _crossing(profiles, low + reach, level))
    return found


def critical_dimensions(
    aerial: Any, cuts: xr.Dataset, exposures: Sequence[float], *, pixel_nm: float, threshold: float
) -> xr.DataArray:
    """Printed width at each cutline, over focus and exposure.

    Parameters
    ----------
    aerial : (focus, y, x) intensity at exposure 1.
    cuts : of :func:`cutlines`.
    exposures, pixel_nm, threshold : as for :func:`edge_errors_nm`.

    Returns
    -------
    (focus, exposure, cut) nm; nan where one of the two edges does not print within 40 nm of the target's.
    """
    profiles = edge_profiles(aerial, cut_ends(cuts), pixel_nm=pixel_nm)
    error = edge_errors_nm(profiles, exposures, threshold=threshold)
    n = cuts.sizes[CUT]
    grow = 1 if cuts.attrs.get("kind", "line") == "line" else -1
    return xr.DataArray(
        cuts["cd_nm"].values + grow * (error[..., :n] + error[..., n:]),
        dims=(schema.FOCUS, EXPOSURE, CUT),
        coords={EXPOSURE: np.asarray(exposures, float)},
        attrs={"long_name": "critical dimension", "units": "nm"},
    )


def exposure_limits(
    aerial: Any, sites: xr.Dataset, *, limit_nm: float, pixel_nm: float, threshold: float
) -> xr.Dataset:
    """Exposures between which each edge prints within a limit of its place, at every focus setting.

    Parameters
    ----------
    aerial : (focus, y, x) intensity at exposure 1.
    sites : edges.
    limit_nm : largest edge placement error.
    pixel_nm, threshold : as for :func:`edge_errors_nm`.

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
    inside, outside = np.moveaxis(
        edge_profiles(aerial, sites, pixel_nm=pixel_nm, distance_nm=(-limit_nm, limit_nm)), -1, 0
    )
    return _limits(_over(threshold, inside), _over(threshold, outside), schema.SITE)


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
    cuts : of :func:`cutlines`.
    tolerance : largest relative difference from the target's width; 0.1 is the usual ten percent.
    pixel_nm, threshold : as for :func:`edge_errors_nm`.
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
    grow = 1 if cuts.attrs.get("kind", "line") == "line" else -1
    excess = grow * (cd.values / cuts["cd_nm"].values - 1)  # rises with exposure
    lowest, highest = np.full(excess[:, 0].shape, np.inf), np.zeros(excess[:, 0].shape)
    for at in np.ndindex(*lowest.shape):
        lowest[at], highest[at] = _range(np.log(exposures), excess[at[0], :, at[1]], tolerance)
    return _limits(lowest, highest, CUT)


def common_window(
    *limits: xr.Dataset, defocus_nm: Sequence[float], share: float = 1.0, step_nm: float = 2.0
) -> xr.Dataset:
    """The process window of all features together, or of most of them.

    Parameters
    ----------
    limits : Datasets over ``focus`` and one more dimension, of :func:`exposure_limits` and its like.
    defocus_nm : (focus,) planes, in any order.
    share : of the features that has to hold; which ones may differ from condition to condition. 1: all of them.
    step_nm : distance of the planes of the result, which interpolates linearly between the given ones.

    Returns
    -------
    Dataset over ``defocus_nm``, ascending: ``lowest`` and ``highest`` exposure of the window, nan at planes without.
    With all features these are the highest of the lower limits and the lowest of the upper ones; else the ends of the
    widest range of exposures in which at least ``share`` of the features are between their limits.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share={share!r} of the features is not between 0 and 1")
    planes = np.asarray(defocus_nm, float)
    order = np.argsort(planes)
    fine = np.linspace(planes.min(), planes.max(), max(2, round(np.ptp(planes) / step_nm) + 1))
    lowest, highest = (
        # Features are joined after interpolation: the limit of a window has corners that features do not have.
        np.array([_between(fine, planes[order], column) for part in limits for column in _columns(part[name], order)])
        for name in ("lowest", "highest")
    )
    needed = max(1, int(np.ceil(share * len(lowest) - 1e-9)))
    ends = np.array([_widest(low, high, needed) for low, high in zip(lowest.T, highest.T, strict=True)])
    return xr.Dataset(
        {
            "lowest": (DEFOCUS, ends[:, 0], {"long_name": "lowest exposure", "units": "1"}),
            "highest": (DEFOCUS, ends[:, 1], {"long_name": "highest exposure", "units": "1"}),
        },
        coords={DEFOCUS: (DEFOCUS, fine, {"long_name": "defocus", "units": "nm"})},
        attrs={"features": len(lowest), "features_needed": needed},
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
    halves = (
        np.interp(np.arange(2 * n - 1) / 2, np.arange(n), low),
        np.interp(np.arange(2 * n - 1) / 2, np.arange(n), high),
    )
    for width in range(n):
        floor, roof = (np.lib.stride_tricks.sliding_window_view(side, 2 * width + 1)[::2] for side in halves)
        floor, roof, first = _open(floor, roof)
        if not len(first):
            break
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
            for column in (height, middle, exposure):
                column[width] = column[width + 1]
    columns = {
        "latitude_percent": (height, "exposure latitude", "%"),
        "defocus_nm": (middle, "defocus of the middle", "nm"),
        "exposure": (exposure, "relative exposure of the middle", "1"),
    }
    depth = (DEPTH, np.arange(n) * step, {"long_name": "depth of focus", "units": "nm"})
    return xr.Dataset(
        _labelled(columns, DEPTH),
        coords={DEPTH: depth},
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
    values = {
        DEPTH: (width, "depth of focus", "nm"),
        "defocus_nm": (curve["defocus_nm"].values[last] if fits.size else np.nan, "best focus", "nm"),
        "exposure": (curve["exposure"].values[last] if fits.size else np.nan, "best exposure", "1"),
        "latitude_percent": (float(latitude_percent), "exposure latitude kept", "%"),
        "largest_latitude_percent": (float(latitude[0]), "exposure latitude at best focus", "%"),
    }
    return xr.Dataset({k: ((), v, {"long_name": text, "units": units}) for k, (v, text, units) in values.items()})


def nils(aerial: Any, cuts: xr.Dataset, *, pixel_nm: float) -> xr.DataArray:
    """Normalised image log slope at both target edges of every cutline.

    Parameters
    ----------
    aerial : (focus, y, x) intensity.
    cuts : of :func:`cutlines`.
    pixel_nm : side of a pixel in nm.

    Returns
    -------
    (focus, cut, edge): ``cd_nm * d ln I / dn`` at the *target's* edge with n into the bright side, so that a line that
    falls off outwards has a positive one. For small errors a change of exposure changes the width by ``dCD / CD =
    2 / NILS dE / E``, so a tolerance of plus and minus ten percent has a latitude of about ten percent times NILS.
    """
    ends = cut_ends(cuts)
    step = 0.5
    before, at, after = np.moveaxis(
        edge_profiles(aerial, ends, pixel_nm=pixel_nm, distance_nm=(-step, 0.0, step)), -1, 0
    )
    slope = -(after - before) / (2 * step) / np.maximum(at, np.finfo(float).tiny)
    n = cuts.sizes[CUT]
    both = np.stack([slope[:, :n], slope[:, n:]], axis=-1) * cuts["cd_nm"].values[:, None]
    return xr.DataArray(
        both, dims=(schema.FOCUS, CUT, "edge"), attrs={"long_name": "normalised image log slope", "units": "1"}
    )


def biased(mask: Any, bias_nm: float, pixel_nm: float) -> np.ndarray:
    """A mask with every edge moved outwards by a few nm, below the pixel by grey edges.

    Parameters
    ----------
    mask : (y, x) binary mask.
    bias_nm : how far each edge moves; inwards where negative.
    pixel_nm : side of a pixel in nm.

    Returns
    -------
    (y, x) float32 coverage from 0 to 1.

    Notes
    -----
    A pixel's coverage follows the signed distance of its centre from the outline, which is read from the mask blurred
    by a Gaussian of two pixels (or the bias where that is more): ``blurred = ndtr(distance / sigma)`` holds for a
    straight edge in every direction. Within three percent of the bias for discs as well; corners, and features below
    six sigma, come out rounder, so compare two biased masks, not one with the mask itself.

    Examples
    --------
    >>> bar = np.zeros((64, 64)); bar[8:56, 20:40] = 1
    >>> print([biased(bar, b, pixel_nm=1.0)[32].sum().round(2).item() for b in (-1.0, 0.25)])
    [18.0, 20.5]
    """
    image = one_binary(mask)
    if not image.any() or image.all():
        return image.astype(np.float32)
    ys, xs = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    margin = int(np.ceil(abs(bias_nm) / pixel_nm)) + 8
    box = tuple(slice(max(i[0] - margin, 0), i[-1] + 1 + margin) for i in (ys, xs))
    part = image[box]
    sigma = max(2.0, abs(bias_nm) / pixel_nm)
    blurred = ndimage.gaussian_filter(part.astype(np.float64), sigma, truncate=5.0)
    # A sum over pixel centres is an integral with a variance less by that of a pixel.
    distance = np.sqrt(sigma**2 - 1 / 12) * ndtri(np.clip(blurred, 1e-5, 1 - 1e-5))
    moved = np.zeros(image.shape, np.float32)
    moved[box] = np.clip(distance + bias_nm / pixel_nm + 0.5, 0, 1)
    return moved


def meef(
    shrunk: Any, grown: Any, cuts: xr.Dataset, *, bias_nm: float, pixel_nm: float, threshold: float
) -> xr.DataArray:
    """Mask error enhancement factor: change of the printed width for a change of the mask's, at wafer scale.

    Parameters
    ----------
    shrunk, grown : (focus, y, x) aerial images of the mask with every edge moved in, and out, by ``bias_nm``
        (:func:`biased`).
    cuts : of :func:`cutlines`.
    bias_nm : of each edge, so the mask's widths differ by four times as much between the two.
    pixel_nm, threshold : as for :func:`edge_errors_nm`.

    Returns
    -------
    (focus, cut); 1 where the print follows the mask, nan where it is lost. Of spaces it has the same sign as of lines.
    """
    less, more = (
        critical_dimensions(image, cuts, [1.0], pixel_nm=pixel_nm, threshold=threshold).isel({EXPOSURE: 0}, drop=True)
        for image in (shrunk, grown)
    )
    grow = 1 if cuts.attrs.get("kind", "line") == "line" else -1
    factor = grow * (more - less) / (4 * bias_nm)
    return factor.assign_attrs(long_name="mask error enhancement factor", units="1")


def pv_band_nm2(prints: Iterable[Any], pixel_nm: float) -> float:
    """Area that prints under some conditions of a set and not under others: union less intersection.

    Parameters
    ----------
    prints : (y, x) binary images, one or more; an array over any further axes is one set.
    pixel_nm : side of a pixel in nm.

    Returns
    -------
    Area in nm2. It never shrinks when conditions are added; of two prints it is
    :func:`~maskopt_lib.metrics.pvb_nm2`.

    Examples
    --------
    >>> prints = np.zeros((3, 8, 8), bool); prints[0, :4] = prints[1, :5] = prints[2, 1:4] = True
    >>> pv_band_nm2(prints, pixel_nm=1.0)
    16.0
    """
    return float(np.count_nonzero(np.logical_xor(*_union_and_intersection(prints)))) * pixel_nm**2


def pv_band(prints: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Union and intersection (y, x) of the prints of a set of conditions; see :func:`pv_band_nm2`."""
    return _union_and_intersection(prints)


_DISTANCE_NM = np.arange(-int(SEARCH_NM), int(SEARCH_NM) + 1, dtype=float)


def _union_and_intersection(prints: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    if hasattr(prints, "shape"):
        prints = to_numpy(prints)
        prints = prints.reshape(-1, *prints.shape[-2:])
    union = common = None
    for image in prints:
        image = binary(image, "print")
        union = image if union is None else union | image
        common = image if common is None else common & image
    if union is None:
        raise GridMismatchError("a band needs the print of one condition at least, got none")
    return union, common


def _length(row: np.ndarray, edge: int, way: int) -> int:
    """Pixels from an edge to where the region ends again; 0 where no edge is, or none follows."""
    ahead, behind = (row[edge:], row[:edge]) if way > 0 else (row[:edge][::-1], row[edge:][::-1])
    if ahead.all() or (behind.size and behind[-1]):
        return 0
    return int(np.argmin(ahead))


def _positive(exposures: Sequence[float]) -> None:
    if not len(exposures) or min(exposures) <= 0:
        raise ValueError(f"exposures must be positive (1 = nominal), got {tuple(exposures)}")


def _with_last(values: np.ndarray, last: bool) -> np.ndarray:
    return np.concatenate([values, np.full((*values.shape[:-1], 1), last)], axis=-1)


def _crossing(profiles: np.ndarray, at: np.ndarray, level: float) -> np.ndarray:
    """How far behind sample ``at``, in samples, a profile crosses a level before the next: cubic, by bisection."""
    n = profiles.shape[-1]
    a, b, c, d = (
        np.take_along_axis(profiles, np.clip(at + k, 0, n - 1)[..., None], -1)[..., 0] - level for k in (-1, 0, 1, 2)
    )
    low, high = np.zeros(at.shape), np.ones(at.shape)
    side = b >= 0
    for _ in range(20):  # a millionth of a sample
        t = (low + high) / 2
        # Cubic through the four samples (Lagrange), in steps of one.
        value = (
            -a * t * (t - 1) * (t - 2) / 6
            + b * (t + 1) * (t - 1) * (t - 2) / 2
            - c * (t + 1) * t * (t - 2) / 2
            + d * (t + 1) * t * (t - 1) / 6
        )
        before = (value >= 0) == side
        low, high = np.where(before, t, low), np.where(before, high, t)
    return (low + high) / 2


def _over(threshold: float, intensity: np.ndarray) -> np.ndarray:
    # No light never prints: the limit is far away, and finite so that it can be interpolated.
    return threshold / np.maximum(intensity, 1e-6)


def _limits(lowest: np.ndarray, highest: np.ndarray, dim: str) -> xr.Dataset:
    return xr.Dataset(
        {
            "lowest": ((schema.FOCUS, dim), lowest, {"long_name": "lowest exposure", "units": "1"}),
            "highest": ((schema.FOCUS, dim), highest, {"long_name": "highest exposure", "units": "1"}),
        }
    )


def _columns(limit: xr.DataArray, order: np.ndarray) -> np.ndarray:
    """(feature, focus) with focus ascending."""
    return limit.transpose(schema.FOCUS, ...).values[order].T


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


def _open(floor: np.ndarray, roof: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The intervals of focus all of whose planes have a window, and their first planes."""
    first = np.flatnonzero((roof > floor).all(axis=-1))
    return floor[first], roof[first], first


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


def _labelled(columns: dict[str, tuple[np.ndarray, str, str]], dim: str) -> dict[str, tuple]:
    return {
        name: (dim, values, {"long_name": long_name, "units": units})
        for name, (values, long_name, units) in columns.items()
    }
