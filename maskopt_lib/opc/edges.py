"""Edge placement: how far the print's edge is from the target's.

:func:`edge_errors_nm` searches it along the normal at the control points of fragments, on an image of pixels.

:class:`EdgePoints` makes it a term (:func:`between_edges`, :func:`misplaced`), at points along a target's straight
edges. The image is band-limited, so its value
and slope at any point follow exactly from a simulator's few samples: no raster of the print is needed, and a
displacement far below a pixel is seen. To first order the print's edge lies at

    displacement = (intensity - threshold) / slope        slope = - d intensity / d normal,

positive where it lies outside of the target: the step of Newton's method towards the resist's edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskopt_lib.images import crop
from maskopt_lib.litho.imaging import small_grid
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.metrics.epe import target_sites
from maskopt_lib.opc.fragments import Fragments
from maskopt_lib.options import Finite, NotNegative, Options, Positive

#: Points along an edge are this far apart, in nm.
SPACING_NM = 8.0
#: Width of the blur by which straight edges are told from corners, in nm: it leaves a straight edge at one half.
STRAIGHT_NM = 12.0
# Farther from one half than this, a place is near a corner, or a line is too thin to tell.
_STRAIGHT = 0.12
# Where the image is flatter than this, in 1/nm, it says little of where an edge would be: 0.7 % of the threshold.
_FLAT = 1.5e-3
#: Length of an edge that a site stands for, in nm: the contest's sites are as far apart.
SITE_NM = 40.0
#: The contest's probes are pixels: they judge an edge this far inside of the target's as being on it, in nm.
PROBED_NM = 0.5
#: How far edges of a print are searched from a control point, in nm.
SEARCH_NM = 40.0


def sample(images: Tensor, points_nm: Tensor, pixel_nm: float) -> Tensor:
    """Values of periodic images between their pixel centres, by cubic convolution.

    Parameters
    ----------
    images : (b, n, n).
    points_nm : (b, ..., 2) places (x, y) in nm.
    pixel_nm : side of a pixel in nm.

    Returns
    -------
    (b, ...); exact at pixel centres, third order in between.

    References
    ----------
    Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29 (1981).
    """
    n = images.shape[-1]
    flat = images.flatten(1)
    place = points_nm.flatten(1, -2) / pixel_nm - 0.5
    corner = place.floor()
    wx, wy = (_keys_weights(t) for t in (place - corner).unbind(-1))
    j, i = corner.long().unbind(-1)
    value = torch.zeros_like(place[..., 0])
    columns = [(j + dj - 1) % n for dj in range(4)]
    for di in range(4):
        row = (i + di - 1) % n * n
        along = sum(w * flat.gather(1, row + column) for w, column in zip(wx, columns, strict=True))
        value = value + wy[di] * along
    return value.unflatten(1, points_nm.shape[1:-1])


def _keys_weights(t: Tensor) -> list[Tensor]:  # a = -1/2
    return [
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    ]


def edge_errors_nm(images: Tensor, fragments: Fragments, pixel_nm: float, threshold: float) -> Tensor:
    """Signed distance from each control point, along the normal, to where the image crosses a threshold.

    Parameters
    ----------
    images : (b, n, n) intensity.
    fragments : control points and normals.
    pixel_nm : side of a pixel of the images in nm.
    threshold : what prints is at or above it.

    Returns
    -------
    (b, f) nm, positive where the printed edge lies outside of the drawn one; 40 or -40 nm (:data:`SEARCH_NM`) where no
    edge is found; 0 for padding.

    Notes
    -----
    From the drawn edge the search walks outwards where it prints there, else inwards, to the first change. The crossing
    is bracketed on steps of 2 nm and refined by two steps of regula falsi.
    """
    step_nm = 2.0
    reach = int(np.ceil(SEARCH_NM / step_nm))

    def along(distance: Tensor) -> Tensor:
        points = fragments.control_nm[..., None, :] + distance[..., None] * fragments.normal[..., None, :]
        return sample(images, points, pixel_nm) - threshold

    at = step_nm * torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    value = along(at.expand(*fragments.line_nm.shape, -1))
    prints = value >= 0
    change = prints[..., :-1] & ~prints[..., 1:]  # between at[k] and at[k + 1]
    outwards = change[..., reach:].to(torch.int8)
    # Inwards from the drawn edge the nearest change comes first; it may be of either kind if nothing prints there.
    inwards = change[..., :reach].flip(-1).to(torch.int8)
    k = torch.where(prints[..., reach], reach + outwards.argmax(-1), reach - 1 - inwards.argmax(-1))
    has_edge = torch.where(prints[..., reach], outwards.any(-1), inwards.any(-1))
    low, high = at[k], at[k] + step_nm
    f_low, f_high = (value.gather(-1, (k + i)[..., None])[..., 0] for i in (0, 1))
    for _ in range(2):
        error = low + (high - low) * (f_low / (f_low - f_high).clamp_min(1e-12)).clamp(0, 1)
        f = along(error[..., None])[..., 0]
        low, f_low = torch.where(f >= 0, error, low), torch.where(f >= 0, f, f_low)
        high, f_high = torch.where(f >= 0, high, error), torch.where(f >= 0, f_high, f)
    error = low + (high - low) * (f_low / (f_low - f_high).clamp_min(1e-12)).clamp(0, 1)
    lost = torch.where(prints[..., reach], SEARCH_NM, -SEARCH_NM)
    return torch.where(has_edge, error, lost) * fragments.is_real


@dataclass(frozen=True)
class EdgePoints:
    """Points on the straight edges of a batch of targets, and the matrices that probe the image there.

    Attributes
    ----------
    rows, columns : (b, point, s) from samples of the intensity to its values.
    slope_rows, slope_columns : the same for its derivative along the inward normal, per nm.
    counts : (b, point) 1 where there is a point; targets have different numbers of them.
    """

    rows: Tensor
    columns: Tensor
    slope_rows: Tensor
    slope_columns: Tensor
    counts: Tensor

    @classmethod
    def of(cls, clips: Sequence[np.ndarray], sim: Simulator) -> EdgePoints:
        """Points on a batch of targets.

        Parameters
        ----------
        clips : of each target the (point, 4) places and outward normals, as :func:`straight_edges` and
            :func:`contest_sites` give them.
        sim : the imaging model.
        """
        longest = max(map(len, clips))
        counts, points = np.zeros((len(clips), longest)), np.zeros((len(clips), longest, 4))
        for i, edges in enumerate(clips):
            counts[i, : len(edges)], points[i, : len(edges)] = 1, edges
        n, period = small_grid(sim.kernels.half_width), sim.kernels.period_nm
        y, x, outward_y, outward_x = np.moveaxis(points, -1, 0)
        matrices = [
            _probe(y / period, n),
            _probe(x / period, n),
            _probe(y / period, n, slope=True) * (-outward_y[..., None] / period),
            _probe(x / period, n, slope=True) * (-outward_x[..., None] / period),
        ]
        return cls(*(torch.as_tensor(m, device=sim.device, dtype=sim.dtype) for m in (*matrices, counts)))

    def weighted(self, clips: Sequence[np.ndarray], weights: Tensor, pixel_nm: float) -> EdgePoints:
        """The same points, each displacement times the weight, (b, y, x), of the pixel that it lies in."""
        counts = self.counts.clone()
        for i, edges in enumerate(clips):
            y, x = (edges[:, :2] / pixel_nm).astype(int).clip(0, weights.shape[-1] - 1).T
            counts[i, : len(edges)] *= weights[i, y, x].to(counts.dtype)
        return replace(self, counts=counts)

    @classmethod
    def joined(cls, parts: Sequence[EdgePoints]) -> EdgePoints:
        """The points of all parts, one after the other along ``point``."""
        return cls(*(torch.cat([getattr(part, f.name) for part in parts], dim=1) for f in fields(cls)))

    def displacement(self, intensity: Tensor, threshold: float) -> Tensor:
        """How far the print's edge is outside of the target's, in nm, to first order.

        Parameters
        ----------
        intensity : (b, s, s) samples of one corner's image, dose included.
        threshold : of the resist.

        Returns
        -------
        (b, point); 0 where there is no point. The slope is taken as given: it has no gradient.
        """
        across = intensity @ self.columns.mT
        value = (self.rows * across.mT).sum(-1)
        with torch.no_grad():
            slope = (self.slope_rows * across.mT).sum(-1)
            slope = slope + (self.rows * (intensity @ self.slope_columns.mT).mT).sum(-1)
        return self.counts * (value - threshold) / slope.clamp_min(_FLAT)


@dataclass(frozen=True, kw_only=True)
class Sites(Options):
    """Where a checker looks at the placement of edges, and what it makes of it.

    Attributes
    ----------
    spacing_nm : sites so far apart along all straight edges; None for those of the ICCAD 2013 contest
        (:func:`maskopt_lib.metrics.epe.target_sites`).
    places_nm : other sites instead: y, x, and the outward normal in y and x; for every target of a batch the same.
    limit_nm, width_nm, pull : the limit, the softness of the count, and the pull of what exceeds the limit, see
        :func:`misplaced`.
    far_nm, far_width_nm : a second limit and its softness, see :func:`lost`; 0 for none.
    """

    spacing_nm: Positive | None = None
    places_nm: Sequence[tuple[Finite, Finite, Finite, Finite]] = ()
    limit_nm: Positive = 3.0
    width_nm: Positive = 0.5
    pull: Finite = 0.6
    far_nm: NotNegative = 15.0
    far_width_nm: Positive = 2.5

    def of(self, target: np.ndarray, pixel_nm: float) -> np.ndarray:
        """(site, 4): the places and unit normals on one target."""
        if len(self.places_nm):
            y, x, *normal = np.array(self.places_nm, float).T
            return np.stack([y, x, *(normal / np.hypot(*normal))], axis=1)
        if self.spacing_nm is None:
            return contest_sites(target, pixel_nm)
        return straight_edges(target, pixel_nm, spacing_nm=self.spacing_nm)


def between_edges(displacement: Tensor, scale_nm: float) -> Tensor:
    """Area between the edges of print and target, quadratic below ``scale_nm``: (b, point) to (b,) in nm2."""
    size = displacement.abs()
    each = torch.where(size < scale_nm, size.square() / (2 * scale_nm), size - scale_nm / 2)
    return SPACING_NM * each.sum(-1)


def misplaced(displacement: Tensor, counts: Tensor, limit_nm: float, width_nm: float, pull: float) -> Tensor:
    """Area that a checker's violations stand for: a smooth count at a limit, and beyond it the excess.

    A site violates a limit ``l`` where the print's edge is farther than ``l`` from the target's. Read off with an error
    of logistic density and width ``w``, a displacement ``d`` violates it with the probability
    ``sigmoid((|d| - l) / w)``, the smooth form of a count. Its slope vanishes a few ``w`` beyond the limit, so nothing
    would call back an edge that is 20 nm away. Counted for every limit from ``l`` on instead of for one::

        integral from l to infinity of sigmoid((|d| - l') / w) dl' = w softplus((|d| - l) / w),

    it is the excess over the limit, which keeps its slope. Both together, times the length of edge that a site stands
    for, are an area: ``length (l sigmoid + pull w softplus)``.

    Parameters
    ----------
    displacement : (b, point) of the print's edge in nm, positive outside of the target's.
    counts : (b, point) 1 where there is a site.
    limit_nm : of the checker. Its probes are pixels, to which an edge half a nm inside of the target's is in place.
    width_nm : of the error of reading.
    pull : of the excess against the count.

    Returns
    -------
    (b,) nm2.
    """
    return _violating((displacement + PROBED_NM).abs() - limit_nm, counts, limit_nm, width_nm, pull)


def lost(excess: Tensor, counts: Tensor, limit_nm: float, width_nm: float, pull: float) -> Tensor:
    """The same for a limit that is far from the edge, as the contest's 15 nm: of the image where the checker probes it.

    Extrapolated from the target's edge, a feature that does not print at all is off by little more than its width, and
    what the PV band gains without it can pay for that. A probe inside of the target says whether it prints.

    Parameters
    ----------
    excess : (b, point) in nm, of points a limit inside of the target's edges how far the print's edge is inside of
        them, and of points as far outside how far it is outside of them.
    counts, limit_nm, width_nm, pull : see :func:`misplaced`.

    Returns
    -------
    (b,) nm2.
    """
    return _violating(excess, counts, limit_nm, width_nm, pull)


def _violating(excess: Tensor, counts: Tensor, limit_nm: float, width_nm: float, pull: float) -> Tensor:
    each = limit_nm * torch.sigmoid(excess / width_nm) + pull * width_nm * F.softplus(excess / width_nm)
    return SITE_NM * (counts.abs() * each).sum(-1)


def probes(sites: np.ndarray, limit_nm: float) -> tuple[np.ndarray, np.ndarray]:
    """Where a checker of a limit looks: (site, 4) inside of the edges of sites, and outside."""
    inwards = np.concatenate([-sites[:, 2:], np.zeros_like(sites[:, 2:])], axis=1)
    return sites + limit_nm * inwards, sites - limit_nm * inwards


def straight_edges(target: np.ndarray, pixel_nm: float, *, spacing_nm: float = SPACING_NM) -> np.ndarray:
    """Points on the edges of a binary image, away from its corners.

    Parameters
    ----------
    target : (y, x) uint8, 0 or 1.
    pixel_nm : side of a pixel in nm.
    spacing_nm : of the points along an edge.

    Returns
    -------
    (point, 4) float: y and x in nm, and the outward normal.
    """
    step = max(round(spacing_nm / pixel_nm), 1)
    # What the blur sees of a target, from a whole number of steps on.
    margin = int(np.ceil(5 * STRAIGHT_NM / pixel_nm)) + step
    part, corner = crop(target > 0)
    start = [max(at - margin, 0) // step * step for at in corner]
    window = tuple(slice(s, at + n + margin) for s, at, n in zip(start, corner, part.shape, strict=True))
    target = np.ascontiguousarray(target[window])
    if not part.size:
        return np.empty((0, 4))
    blurred = cv2.GaussianBlur(target.astype(np.float32), (0, 0), STRAIGHT_NM / pixel_nm)
    sides = []
    for axis in (0, 1):
        image, grey = (a if axis == 0 else a.T for a in (target.astype(np.int8), blurred))
        across = np.diff(image, axis=0)
        y, x = np.nonzero(across)
        chosen = (np.abs((grey[y, x] + grey[y + 1, x]) / 2 - 0.5) < _STRAIGHT) & (x % step == step // 2)
        y, x = y[chosen], x[chosen]
        outward = -across[y, x].astype(float)
        y, x = y + start[axis], x + start[1 - axis]
        place = (y + 1.0) * pixel_nm, (x + 0.5) * pixel_nm
        columns = (*place, outward, 0 * outward) if axis == 0 else (*place[::-1], 0 * outward, outward)
        sides.append(np.stack(columns, axis=1))
    return np.concatenate(sides)


def contest_sites(target: np.ndarray, pixel_nm: float) -> np.ndarray:
    """The contest's sites of a (y, x) binary image: (point, 4) as of :func:`straight_edges`."""
    sites = target_sites(target, pixel_nm)
    return np.stack([sites[name].values for name in ("y_nm", "x_nm", "normal_y", "normal_x")], axis=1).astype(float)


def _probe(at: np.ndarray, n: int, *, slope: bool = False) -> np.ndarray:
    """``(*at, n)`` trigonometric interpolation from ``n`` samples a period, or its derivative, at places in periods."""
    phase = 2 * np.pi * (at[..., None] - (np.arange(n) + 0.5) / n)
    out = np.zeros_like(phase) if slope else np.ones_like(phase)
    for f in range(1, n // 2):
        out += -4 * np.pi * f * np.sin(f * phase) if slope else 2 * np.cos(f * phase)
    return out / n
