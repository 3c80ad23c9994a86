"""Mask rules as constraints: a deck, the nearest mask that keeps it, and the room in which shapes may move.

A rule that is a term of an objective is a hope. Here a binary mask is *projected*: what breaks a rule is changed until
nothing does, and what cannot be mended is removed, so that the deck holds for certain. The steps, each of which changes
only what breaks its rule, are repeated until none has anything to do:

- *width, convex radius*: opening by a disc, which removes what the disc does not fit into;
- *space, concave radius*: closing by a disc, which fills what the disc does not reach;
- *area*: a shape too small grows evenly to the area asked, or goes where it has less than a given share of it;
- *distance*: of two shapes too close the smaller one gives way; two large ones share it.

Mending takes discs 3 nm wider than the deck asks, so that the raster's rounding neither undoes in one step what another
has just mended nor shows in a measured width.
"""

import warnings
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage
from skimage.morphology import skeletonize

from maskopt_lib.metrics.shapes import neighbours
from maskopt_lib.opc.distances import distance
from maskopt_lib.options import NotNegative, Options

_SQUARE = np.ones((3, 3), np.uint8)
# Free of shapes around what a projection looks at, in pixels more than the largest rule.
_MARGIN_PX = 4
# Rounds after which what still breaks a rule is removed instead of mended. Three to five are usual.
_ROUNDS = 12
# Discs that mend have a radius larger by this, in nm.
_SLACK_NM = 1.5
# A radius is measured to within this factor.
_RADIUS = 1.15


@dataclass(frozen=True, kw_only=True)
class MaskRules(Options):
    """A deck of mask rules; each is named as the score that measures it, and 0 leaves it out.

    Attributes
    ----------
    msa_nm2 : smallest area of a shape, in nm2.
    msd_nm : smallest distance of two shapes, in nm, between the centres of their closest pixels.
    min_width_nm : smallest width of a shape, in nm.
    min_space_nm : smallest width of a notch, in nm.
    min_radius_nm : smallest radius of the outline, convex or concave, in nm.
    """

    msa_nm2: NotNegative = 2000.0
    msd_nm: NotNegative = 24.0
    min_width_nm: NotNegative = 24.0
    min_space_nm: NotNegative = 16.0
    min_radius_nm: NotNegative = 8.0

    @property
    def opening_nm(self) -> float:
        """Radius of the disc that must fit into the mask everywhere."""
        return max(self.min_width_nm / 2, _RADIUS * self.min_radius_nm)

    @property
    def closing_nm(self) -> float:
        """Radius of the disc that must reach the field everywhere.

        Between two rounded corners of the mask's own radius R the field may be narrower than the disc; with a radius of
        ``s / 2 + s^2 / (8 R)`` the two corners join before it gets narrower than ``s``.
        """
        s = self.min_space_nm
        beside = s**2 / (8 * self.opening_nm) if self.opening_nm else 0.0
        return max(s / 2 + beside, _RADIUS * self.min_radius_nm)

    def project(
        self, mask: np.ndarray, pixel_nm: float, *, grow: float = 0.5, fixed: np.ndarray | None = None
    ) -> np.ndarray:
        """A mask near the given one that keeps the deck.

        Parameters
        ----------
        mask : (y, x) uint8, 0 or 1.
        pixel_nm : side of a pixel in nm.
        grow : shapes with at least this share of the area asked grow, smaller ones go.
        fixed : (y, x) bool, pixels that stay as they are; rules are mended around them, as far as that can be.

        Returns
        -------
        (y, x) uint8. Without ``fixed`` no rule is broken (width, space and radius: to within a pixel of the discs
        that stand for them): where mending comes to no end, the shapes that still break one are removed, with a
        warning.
        """
        used = mask.any(1), mask.any(0)
        if not used[0].any():
            return mask.copy()
        margin = int(np.ceil(max(self.msd_nm, 2 * self.closing_nm, np.sqrt(self.msa_nm2)) / pixel_nm)) + _MARGIN_PX
        box = tuple(slice(max(a[0] - margin, 0), a[-1] + 1 + margin) for a in map(np.flatnonzero, used))
        held = None if fixed is None else fixed[box]
        original = np.ascontiguousarray(mask[box])
        part = original
        for i in range(_ROUNDS):
            before = part
            if i > 1:
                # A wall around a small hole is opened and closed for ever; without the hole it is no wall.
                part = part | _holes(self.broken(part, pixel_nm).astype(np.uint8), self.msa_nm2 / pixel_nm**2)
            part, moved = self._mended(part, pixel_nm, grow if i < _ROUNDS // 3 else np.inf, thorough=i > 1)
            if held is not None:
                part = np.where(held, original, part)
                if np.array_equal(part, before):
                    break
            # Where a shape gave way its cut is still to be rounded.
            elif not moved and not self.broken(part, pixel_nm).any():
                break
        else:
            part = part if held is not None else self._without_broken(part, pixel_nm)
        out = np.zeros_like(mask)
        out[box] = part
        return out

    def broken(self, mask: np.ndarray, pixel_nm: float) -> np.ndarray:
        """(y, x) bool: pixels of the shapes that break a rule."""
        labels, areas = shapes(mask)
        wrong = areas < self.msa_nm2 / pixel_nm**2
        wrong[0] = False
        for pair in close_pairs(labels, areas, self.msd_nm / pixel_nm):
            wrong[min(pair.first, pair.second, key=areas.__getitem__)] = True
        # Discs on a raster fill each other to within a pixel: what is farther from the opened mask, or field, is wrong.
        narrow = mask & ~cv2.dilate(_opened(mask, self.opening_nm / pixel_nm), _SQUARE)
        notch = (1 - mask) & ~cv2.dilate(1 - _closed(mask, self.closing_nm / pixel_nm), _SQUARE)
        # A notch lies outside of the shapes: they are those beside it.
        for places in (narrow, cv2.dilate(notch, _SQUARE, iterations=2)):
            wrong[np.unique(labels[(places > 0) & (labels > 0)])] = True
        if not _keeps_topology(mask, self.opening_nm / pixel_nm - 0.5):
            for shape, box in enumerate(ndimage.find_objects(labels), start=1):
                alone = (labels[box] == shape).astype(np.uint8)
                wrong[shape] |= not _keeps_topology(np.pad(alone, 1), self.opening_nm / pixel_nm - 0.5)
        return wrong[labels]

    def _mended(self, mask: np.ndarray, pixel_nm: float, grow: float, *, thorough: bool) -> tuple[np.ndarray, bool]:
        opening_px = (self.opening_nm + _SLACK_NM) / pixel_nm if self.opening_nm else 0.5
        mask = _without_necks(_opened(mask, opening_px), opening_px)
        mask = _with_area(mask, self.msa_nm2 / pixel_nm**2, grow)
        closing_px = (self.closing_nm + _SLACK_NM) / pixel_nm
        # Farther apart than the closing's disc is wide, or it would join them. Two shapes of four times the smallest
        # area or more are main features: neither alone should give way.
        apart_px = max(self.msd_nm / pixel_nm, 2 * closing_px + 0.5 if self.closing_nm else 0)
        mask, moved = _apart(mask, apart_px, large_px=4 * self.msa_nm2 / pixel_nm**2)
        # Last, or it would join again what the opening has cut at a neck.
        mask = _closed(mask, closing_px) if self.closing_nm else mask
        if thorough and not _keeps_topology(mask, opening_px):
            # Two ends of one shape that the opening parts and the closing joins: join them in full width.
            mask = _without_ring_necks(mask, opening_px)
        return mask, moved

    def _without_broken(self, mask: np.ndarray, pixel_nm: float) -> np.ndarray:
        while (wrong := self.broken(mask, pixel_nm)).any():
            warnings.warn(
                f"{wrong.sum() * pixel_nm**2:g} nm2 of a mask were removed: {_ROUNDS} rounds of mending did not bring "
                f"them to keep {self}; a coarser deck, or another start, may",
                stacklevel=3,
            )
            mask = np.where(wrong, 0, mask).astype(np.uint8)
        return mask


class Pair(NamedTuple):
    """Two shapes that are close: their distance in pixels, their numbers, and y and x of the closest pixels of each."""

    distance: float
    first: int
    second: int
    on_first: tuple[int, int]
    on_second: tuple[int, int]


def close_pairs(labels: np.ndarray, areas: np.ndarray, within: float) -> list[Pair]:
    """Pairs of shapes nearer than a distance.

    Parameters
    ----------
    labels, areas : shapes, numbered from 1, and their areas by number.
    within : in pixels, between the centres of pixels.

    Returns
    -------
    The nearest pair first.
    """
    pairs = []
    for pair in neighbours(labels, len(areas) - 1, within):
        k = int(pair.distance.argmin())
        on_first, on_second = (tuple(int(v) for v in places[k]) for places in (pair.on_first, pair.on_second))
        pairs.append(Pair(float(pair.distance[k]), pair.first, pair.second, on_first, on_second))
    return sorted(pairs)


def shapes(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """4-connected shapes and their areas by number; number 0 is what lies around."""
    _, labels, table, _ = cv2.connectedComponentsWithStats(mask, connectivity=4, ltype=cv2.CV_32S)
    return labels, table[:, cv2.CC_STAT_AREA]


def _disc(radius_px: float) -> np.ndarray:
    """Pixels whose centres lie within a disc of a whole number of half pixels."""
    n = max(round(2 * radius_px), 1)
    at = np.arange(n) - (n - 1) / 2
    return (at[:, None] ** 2 + at**2 <= n**2 / 4).astype(np.uint8)


def _opened(mask: np.ndarray, radius_px: float) -> np.ndarray:
    disc = _disc(radius_px)
    n = len(disc)
    # Beyond the image it goes on as at its border: a shape that is cut there is not narrow for it.
    wide = cv2.copyMakeBorder(mask, n, n, n, n, cv2.BORDER_REPLICATE)
    # The middle of an even disc is beside its anchor: on the way back it is on the other side.
    there, back = (n // 2, n // 2), (n - 1 - n // 2, n - 1 - n // 2)
    opened = cv2.dilate(cv2.erode(wide, disc, anchor=there), disc, anchor=back)
    return np.ascontiguousarray(opened[n:-n, n:-n])


def _closed(mask: np.ndarray, radius_px: float) -> np.ndarray:
    return 1 - _opened(1 - mask, radius_px)


def _without_necks(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Necks between places where a disc fits made as wide as the disc.

    An opened mask may still be narrow where two discs meet. The centres of all discs fall apart there, and a stroke of
    the disc from one part to the other closes the gap.
    """
    centres = cv2.erode(mask, _disc(radius_px), borderType=cv2.BORDER_REPLICATE)
    labels, areas = shapes(centres)
    width = round(2 * radius_px)
    mask = mask.copy()
    for pair in close_pairs(labels, areas, width + 2):
        cv2.line(mask, pair.on_first[::-1], pair.on_second[::-1], 1, thickness=width)
    return mask


def _without_ring_necks(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """The same for necks in rings, whose two sides are one part: slower, along the skeleton.

    Of the skeleton outside of the discs' centres, what touches them at two places runs through a neck.
    """
    centres = cv2.erode(mask, _disc(radius_px), borderType=cv2.BORDER_REPLICATE)
    outside = (skeletonize(mask > 0) & (centres == 0)).astype(np.uint8)
    n, paths, table, _ = cv2.connectedComponentsWithStats(outside, connectivity=8, ltype=cv2.CV_32S)
    stroke = np.zeros_like(mask)
    for k in range(1, n):
        x, y, w, h = (int(v) for v in table[k, :4])
        near = np.s_[max(y - 3, 0) : y + h + 3, max(x - 3, 0) : x + w + 3]
        path = (paths[near] == k).astype(np.uint8)
        contacts, _ = cv2.connectedComponents(cv2.dilate(path, _SQUARE, iterations=2) & centres[near], connectivity=8)
        if contacts > 2:
            stroke[near] |= path
    return mask | cv2.dilate(stroke, _disc(radius_px)) if stroke.any() else mask


def _holes(mask: np.ndarray, largest_px: float) -> np.ndarray:
    """(y, x) uint8: the holes of a mask up to an area."""
    _, labels, table, _ = cv2.connectedComponentsWithStats(1 - mask, connectivity=8, ltype=cv2.CV_32S)
    inner = table[:, cv2.CC_STAT_AREA] <= largest_px
    inner[np.r_[0, labels[0], labels[-1], labels[:, 0], labels[:, -1]]] = False
    return inner[labels].astype(np.uint8)


def _keeps_topology(mask: np.ndarray, radius_px: float) -> bool:
    """Whether an erosion leaves as many shapes and holes as there are: a narrow neck would part, a thin ring open."""
    wide = np.pad(mask, round(2 * radius_px) + 1, mode="edge")
    eroded = cv2.erode(wide, _disc(radius_px), borderType=cv2.BORDER_REPLICATE)
    counts = [
        (cv2.connectedComponents(m, connectivity=8)[0], cv2.connectedComponents(1 - m, connectivity=8)[0])
        for m in (wide, eroded)
    ]
    return counts[0] == counts[1]


def _with_area(mask: np.ndarray, area_px: float, grow: float) -> np.ndarray:
    if area_px <= 1:
        return mask
    _, labels, table, _ = cv2.connectedComponentsWithStats(mask, connectivity=4, ltype=cv2.CV_32S)
    mask = mask.copy()
    wanted, reach = int(np.ceil(1.01 * area_px)), int(np.sqrt(area_px)) + 2
    for shape in np.flatnonzero(table[:, cv2.CC_STAT_AREA] < area_px):
        x, y, w, h, area = table[shape]
        near = np.s_[max(y - reach, 0) : y + h + reach, max(x - reach, 0) : x + w + reach]
        is_shape = labels[near] == shape
        if shape == 0 or area < grow * area_px:
            mask[near][is_shape] = 0
        else:
            away = distance((~is_shape).astype(np.uint8))
            mask[near][away <= np.partition(away.ravel(), min(wanted, away.size - 1))[min(wanted, away.size - 1)]] = 1
    return mask


def _apart(mask: np.ndarray, distance_px: float, large_px: float) -> tuple[np.ndarray, bool]:
    labels, areas = shapes(mask)
    pairs = close_pairs(labels, areas, distance_px)
    if not pairs:
        return mask, False
    mask = mask.copy()
    pad = int(distance_px) + 2
    for nearest, a, b, _, _ in pairs:
        large, small = (a, b) if areas[a] >= areas[b] else (b, a)
        y, x = np.nonzero(labels == small)
        near = np.s_[max(y.min() - pad, 0) : y.max() + pad + 1, max(x.min() - pad, 0) : x.max() + pad + 1]
        part = mask[near]
        first, second = ((labels[near] == k) & (part > 0) for k in (large, small))
        if not (first.any() and second.any()):
            continue
        both = areas[small] >= large_px
        least = (distance_px + nearest) / 2 if both else distance_px
        gives_way = second & (distance(1 - first.astype(np.uint8)) < least)
        part[gives_way] = 0
        stays = second & ~gives_way
        if both and stays.any():
            part[first & (distance(1 - stays.astype(np.uint8)) < distance_px)] = 0
    return mask, True
