"""Critical dimensions through focus and exposure: where they are measured, how wide they print, what moves them.

Images are aerial images over focus at dose 1, as for :mod:`maskopt_lib.metrics.process_window`, which says what
*exposure* is and whose definitions these are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy import ndimage
from scipy.special import ndtri

from maskopt_lib.data import schema
from maskopt_lib.data.schema import column
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.images import binary, real
from maskopt_lib.metrics.epe import SEARCH_NM, first_change, site_table, target_sites
from maskopt_lib.options import Positive, check

CUT, EXPOSURE = "cut", "exposure"
# How far a cutline stays from the ends of its edges.
_CLEAR_NM = 50.0


def cutlines(target: Any, pixel_nm: float, *, kind: str = "line", longest_nm: float = 150.0) -> xr.Dataset:
    """Where critical dimensions of a Manhattan target are measured.

    Parameters
    ----------
    target : (y, x) binary target.
    pixel_nm : side of a pixel in nm.
    kind : ``"line"`` measures through the shapes, ``"space"`` between them.
    longest_nm : dimensions above it are not critical and get no cutline.

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
    measure the same pair of edges within half the distance of sites (20 nm) are one. The two edges go straight on for
    50 nm to both sides of a cutline: nearer to a corner its rounding, and not the width, would be measured.

    Examples
    --------
    >>> target = np.zeros((512, 512), bool); target[100:160, 100:300] = True
    >>> cuts = cutlines(target, pixel_nm=1.0)
    >>> cuts.cd_nm.values, cuts.x0_nm.values
    (array([60., 60.]), array([180.5, 219.5]))
    """
    if kind not in ("line", "space"):
        raise UnknownNameError(f"no kind {kind!r} of cutlines; known: line, space")
    image = binary(target, "target", axes=2, pixel_nm=pixel_nm)
    region = image if kind == "line" else ~image
    sites = target_sites(image, pixel_nm)
    cuts: list[tuple[float, float, float, float, int]] = []
    for y, x, ny, nx in zip(*(sites[name].values for name in ("y_nm", "x_nm", "normal_y", "normal_x")), strict=True):
        axis = 0 if ny else 1
        # Through the shape the way leads against the outward normal, across a space along it.
        way = int(-(ny or nx) if kind == "line" else (ny or nx))
        edge, place = (y, x) if axis == 0 else (x, y)
        columns = region if axis == 0 else region.T
        beside = (np.array([0, -_CLEAR_NM, _CLEAR_NM]) + place) / pixel_nm
        if beside.min() < 0 or beside.max() >= columns.shape[1]:
            continue
        length, *others = (_length(columns[:, int(at)], round(edge / pixel_nm), way) for at in beside)
        if not 0 < length * pixel_nm <= longest_nm or others != [length, length]:
            continue
        low, high = sorted((edge, edge + way * length * pixel_nm))
        if not any(a == axis and (lo, hi) == (low, high) and abs(p - place) < 20 for lo, hi, p, _, a in cuts):
            cuts.append((low, high, place, high - low, axis))
    low, high, place, length, axis = np.array(cuts, float).reshape(-1, 5).T
    upright = axis == 0
    return xr.Dataset(
        {
            "y0_nm": column(CUT, np.where(upright, low, place), "first end of the cut, y", "nm"),
            "x0_nm": column(CUT, np.where(upright, place, low), "first end of the cut, x", "nm"),
            "y1_nm": column(CUT, np.where(upright, high, place), "second end of the cut, y", "nm"),
            "x1_nm": column(CUT, np.where(upright, place, high), "second end of the cut, x", "nm"),
            "along_y": column(CUT, upright.astype(int), "cut runs along y"),
            "along_x": column(CUT, (~upright).astype(int), "cut runs along x"),
            "cd_nm": column(CUT, length, "critical dimension of the target", "nm"),
        },
        attrs={"kind": kind},
    )


def cut_ends(cuts: xr.Dataset) -> xr.Dataset:
    """The ends of cutlines as edge sites, all first ends and then all second ones, normals out of the shape.

    Returns
    -------
    Dataset over ``site`` with ``y_nm``, ``x_nm``, ``normal_y``, ``normal_x``, as functions of sites take them.
    """
    along_y, along_x = cuts["along_y"].values, cuts["along_x"].values
    ends = np.r_[cuts["y0_nm"], cuts["y1_nm"]], np.r_[cuts["x0_nm"], cuts["x1_nm"]]
    return site_table(*ends, outward(cuts) * np.r_[-along_y, along_y], outward(cuts) * np.r_[-along_x, along_x])


def outward(cuts: xr.Dataset) -> int:
    """1 where cutlines leave the shape at their ends, -1 where they enter it: lines and spaces."""
    return 1 if cuts.attrs.get("kind", "line") == "line" else -1


def edge_profiles(
    aerial: Any, sites: xr.Dataset, *, pixel_nm: float, distance_nm: Sequence[float] | None = None
) -> np.ndarray:
    """Intensity along the outward normal of each site: (focus, site, distance) float64, by splines of fifth order.

    Parameters
    ----------
    aerial : (focus, y, x) intensity on any grid that resolves it (4 nm for a wavelength of 193 nm); periodic.
    sites : Dataset over ``site``, of :func:`~maskopt_lib.metrics.target_sites` or :func:`cut_ends`.
    pixel_nm : side of a pixel in nm.
    distance_nm : signed distances, positive outside the target; whole nm up to 40 on both sides by default.
    """
    check(Positive, pixel_nm=pixel_nm)
    images = real(aerial, "aerial").astype(np.float64)
    if images.ndim != 3:
        raise GridMismatchError(f"images through focus must be (focus, y, x), got {images.shape}; give one an axis")
    reach = int(SEARCH_NM)
    distance = np.asarray(np.arange(-reach, reach + 1) if distance_nm is None else distance_nm, float)
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
    if not len(exposures) or min(exposures) <= 0:
        raise ValueError(f"exposures must be positive (1 = nominal), got {tuple(exposures)}")
    reach = profiles.shape[-1] // 2
    errors = np.empty((profiles.shape[0], len(exposures), profiles.shape[1]))
    for i, exposure in enumerate(exposures):
        level = threshold / exposure
        low, is_lost = first_change(profiles >= level)
        errors[:, i] = np.where(is_lost, np.nan, low + _crossing(profiles, low + reach, level))
    return errors


def critical_dimensions(
    aerial: Any, cuts: xr.Dataset, exposures: Sequence[float], *, pixel_nm: float, threshold: float
) -> xr.DataArray:
    """Printed width at each cutline, over focus and exposure.

    Parameters
    ----------
    aerial : (focus, y, x) intensity at exposure 1.
    cuts : of :func:`cutlines`.
    exposures, threshold : as for :func:`edge_errors_nm`.
    pixel_nm : side of a pixel in nm.

    Returns
    -------
    (focus, exposure, cut) nm; nan where one of the two edges does not print within 40 nm of the target's.
    """
    profiles = edge_profiles(aerial, cut_ends(cuts), pixel_nm=pixel_nm)
    error = edge_errors_nm(profiles, exposures, threshold=threshold)
    n = cuts.sizes[CUT]
    return xr.DataArray(
        cuts["cd_nm"].values + outward(cuts) * (error[..., :n] + error[..., n:]),
        dims=(schema.FOCUS, EXPOSURE, CUT),
        coords={EXPOSURE: np.asarray(exposures, float)},
        attrs={"long_name": "critical dimension", "units": "nm"},
    )


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
    falls off outwards has a positive one. For small errors a change of exposure changes the width by
    ``dCD / CD = 2 / NILS dE / E``, so a tolerance of plus and minus ten percent has a latitude of
    about ten percent times NILS.
    """
    step = 0.5
    profiles = edge_profiles(aerial, cut_ends(cuts), pixel_nm=pixel_nm, distance_nm=(-step, 0.0, step))
    before, at, after = np.moveaxis(profiles, -1, 0)
    slope = -(after - before) / (2 * step) / np.maximum(at, np.finfo(float).tiny)
    n = cuts.sizes[CUT]
    both = np.stack([slope[:, :n], slope[:, n:]], axis=-1) * cuts["cd_nm"].values[:, None]
    return xr.DataArray(
        both, dims=(schema.FOCUS, CUT, "edge"), attrs={"long_name": "normalised image log slope", "units": "1"}
    )


def biased(mask: Any, bias_nm: float, pixel_nm: float) -> np.ndarray:
    """A mask, (y, x) float32 from 0 to 1, with every edge moved outwards by a few nm, below the pixel by grey edges.

    Parameters
    ----------
    mask : (y, x) binary mask.
    bias_nm : how far each edge moves; inwards where negative.
    pixel_nm : side of a pixel in nm.

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
    image = binary(mask, axes=2, pixel_nm=pixel_nm)
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
    pixel_nm : side of a pixel in nm.
    threshold : intensity that prints at exposure 1.

    Returns
    -------
    (focus, cut); 1 where the print follows the mask, nan where it is lost. Of spaces it has the same sign as of lines.
    """
    less, more = (
        critical_dimensions(image, cuts, [1.0], pixel_nm=pixel_nm, threshold=threshold).isel({EXPOSURE: 0}, drop=True)
        for image in (shrunk, grown)
    )
    factor = outward(cuts) * (more - less) / (4 * bias_nm)
    return factor.assign_attrs(long_name="mask error enhancement factor", units="1")


def _length(row: np.ndarray, edge: int, way: int) -> int:
    """Pixels from an edge to where the region ends again; 0 where no edge is, or none follows."""
    ahead, behind = (row[edge:], row[:edge]) if way > 0 else (row[:edge][::-1], row[edge:][::-1])
    if ahead.all() or (behind.size and behind[-1]):
        return 0
    return int(np.argmin(ahead))


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
