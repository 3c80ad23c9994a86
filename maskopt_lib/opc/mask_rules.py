"""Mask rules as constraints: a deck, the nearest mask that keeps it, and the room in which shapes may move.

A rule that is a term of an objective is a hope. Here a binary mask is *projected*: what breaks a rule is changed until
:func:`~maskopt_lib.metrics.rule_report` finds nothing any more: the deck holds as it is measured. The steps, each of
which changes only what breaks its rule, are repeated until none has anything to do:

- *width, convex radius*: opening by a disc, which removes what the disc does not fit into; a main feature that would go
  by it is widened instead;
- *space, concave radius*: closing by a disc, which fills what the disc does not reach;
- *area*: a shape too small grows evenly to the area asked, or goes where it has less than a given share of it;
- *distance*: of two shapes too close the smaller one gives way; two main features share it.

Mending takes discs 3 nm wider than the deck asks, so that the raster's rounding neither undoes in one step what another
has just mended nor shows in a measured width; where that is not enough they get wider, around the place. An assist
feature that cannot be mended goes. A main feature never does: where the deck cannot be kept it stays, and the
projection says which rules it breaks, and where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import NamedTuple

import cv2
import numpy as np
from skimage.morphology import skeletonize

from maskopt_lib.data import schema
from maskopt_lib.metrics.rules import rule_report
from maskopt_lib.metrics.shapes import neighbours
from maskopt_lib.opc.distances import distance
from maskopt_lib.options import NotNegative, Options

_SQUARE = np.ones((3, 3), np.uint8)
# Free of shapes around what a projection looks at, in pixels more than the largest rule.
_MARGIN_PX = 4
# Rounds after which what still breaks a rule is left or removed instead of mended. Two to four are usual.
_ROUNDS = 12
# Rules are kept by this factor more: a mask that is written with smooth outlines reads back as a little other pixels.
# Larger pixels than these do not.
_MORE, _MORE_AREA, _FINE_NM = 1.04, 1.005, 2.0
# Of a main feature at least this much stays.
_LEAST_LEFT = 0.5
# Discs that mend have a radius larger by this, in nm.
_SLACK_NM = 1.5
# A radius is measured to within this factor.
_RADIUS = 1.15


class Violation(NamedTuple):
    """A rule that is broken: its name, what was measured and asked for (nm or nm2), and the place in nm."""

    rule: str
    value: float
    limit: float
    x_nm: float
    y_nm: float

    def __str__(self) -> str:
        return f"{self.rule} {self.value:.4g} < {self.limit:g} at x {self.x_nm:.0f}, y {self.y_nm:.0f} nm"

    def times(self, scale: float) -> Violation:
        """The same in nanometres that are ``scale`` times as short."""
        size = scale**2 if self.rule == schema.MSA else scale
        return Violation(self.rule, self.value * size, self.limit * size, self.x_nm * scale, self.y_nm * scale)


class Projection(NamedTuple):
    """A mask (y, x) uint8 and what it does not keep of the deck, the worst first; nothing where it keeps all."""

    mask: np.ndarray
    violations: tuple[Violation, ...]


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

    @property
    def reach_nm(self) -> float:
        """The largest length that a rule speaks of."""
        return max(2 * self.opening_nm, 2 * self.closing_nm, self.msd_nm, np.sqrt(self.msa_nm2))

    def limits(self, pixel_nm: float = np.inf) -> dict[str, float]:
        """Rule -> limit, as :func:`~maskopt_lib.metrics.rule_report` takes a deck; for fine pixels what a projection
        aims at, which is a little more."""
        more = (_MORE, _MORE_AREA) if pixel_nm < _FINE_NM else (1.0, 1.0)
        return {rule: limit * more[rule == schema.MSA] for rule, limit in asdict(self).items() if limit > 0}

    def project(
        self,
        mask: np.ndarray,
        pixel_nm: float,
        *,
        grow: float = 0.5,
        fixed: np.ndarray | None = None,
        main: np.ndarray | None = None,
    ) -> Projection:
        """A mask near the given one that keeps the deck.

        Parameters
        ----------
        mask : (y, x) uint8, 0 or 1.
        pixel_nm : side of a pixel in nm.
        grow : assist features with at least this share of the area asked grow, smaller ones go.
        fixed : (y, x) bool, pixels that stay as they are; rules are mended around them, as far as that can be.
        main : (y, x) uint8, the target: shapes that touch it are main features. Without, those of four times the
            smallest area or more are.

        Returns
        -------
        The mask, and each violation that :func:`~maskopt_lib.metrics.rule_report` finds on it, outside of ``fixed``:
        none but where a main feature, or what is fixed, leaves no way to keep the deck. A mask that keeps it stays as
        it is.
        """
        used = mask.any(1), mask.any(0)
        if not used[0].any():
            return Projection(mask.copy(), ())
        margin = int(np.ceil(self.reach_nm / pixel_nm)) + _MARGIN_PX
        box = tuple(slice(max(a[0] - margin, 0), a[-1] + 1 + margin) for a in map(np.flatnonzero, used))
        held = None if fixed is None else fixed[box]
        original = np.ascontiguousarray(mask[box])
        target = None if main is None else np.ascontiguousarray(main[box]).astype(np.uint8)
        part, found = _Mending(self, pixel_nm, original, held, target).of(grow)
        out = np.zeros_like(mask)
        out[box] = part
        y, x = (axis.start * pixel_nm for axis in box)
        return Projection(out, tuple(v._replace(x_nm=v.x_nm + x, y_nm=v.y_nm + y) for v in found))


@dataclass(frozen=True)
class _Mending:
    """One mask on its way to keep a deck; the arguments of :meth:`MaskRules.project`."""

    deck: MaskRules
    pixel_nm: float
    original: np.ndarray
    held: np.ndarray | None
    target: np.ndarray | None

    def of(self, grow: float) -> tuple[np.ndarray, list[Violation]]:
        part, found, around, moved = self.original, self.first_violation(), None, False
        for i in range(_ROUNDS):
            if not (found or moved):
                return part, []
            # What has grown once and is too small again has no room: to grow it again would push on its neighbours.
            mended, moved = self.mended(part, grow if i == 0 else np.inf, i, around)
            part = self.kept(mended if around is None else np.where(around, mended, part))
            found = self.violations(part, more=True)
            # Later on, what keeps the rules is left alone.
            around = self.around(found) if i and found else None
        found = self.violations(part)
        while (lone := self.lone(part, found)).any():
            part = np.where(lone, 0, part).astype(np.uint8)
            found = self.violations(part)
        return part, found

    def first_violation(self) -> list[Violation]:
        """Violations that tell that the mask breaks a rule as it came: those of the first shape that breaks one by
        itself, else all."""
        labels, areas = shapes(self.original)
        lone = ((labels == k).astype(np.uint8) for k in range(1, len(areas)))
        return next(filter(None, (self.violations(shape, more=True) for shape in lone)), None) or self.violations(
            self.original, more=True
        )

    def violations(self, mask: np.ndarray, *, more: bool = False) -> list[Violation]:
        """What a report finds where the mask may change, of the deck or of a little more than it asks."""
        deck = self.deck.limits(self.pixel_nm if more else np.inf)
        report = rule_report(mask, deck, self.pixel_nm, only_broken=True)
        columns = (report[name].values.tolist() for name in ("broken", "value", "limit", "x_nm", "y_nm"))
        found = [Violation(*row) for row in zip(*columns, strict=True)]
        return found if self.held is None else [v for v in found if not self.held[self.place(v)].all()]

    def place(self, v: Violation, beyond_px: float = 1.0) -> tuple[slice, ...]:
        """The box around a violation that what breaks the rule touches, and some pixels more."""
        reach = (np.sqrt(v.value) if v.rule == schema.MSA else v.value) / 2 / self.pixel_nm + beyond_px
        at = v.y_nm / self.pixel_nm, v.x_nm / self.pixel_nm
        return tuple(slice(max(int(c - reach), 0), int(c + reach) + 1) for c in at)

    def around(self, found: list[Violation]) -> np.ndarray:
        """(y, x) bool: where mending may change a mask for what is broken, with room for a rule on each side."""
        near = np.zeros(self.original.shape, bool)
        for v in found:
            near[self.place(v, self.deck.reach_nm / self.pixel_nm + _MARGIN_PX)] = True
        return near

    def is_main(self, labels: np.ndarray, areas: np.ndarray) -> np.ndarray:
        """(shape,) bool by number."""
        if self.target is None:
            is_main = areas >= 4 * self.deck.msa_nm2 / self.pixel_nm**2
        else:
            is_main = np.bincount(labels[self.target > 0], minlength=len(areas)) > 0
        is_main[0] = False
        return is_main

    def kept(self, mask: np.ndarray) -> np.ndarray:
        """A mask with what is held as it was, and with the main features of which little is left."""
        if self.held is not None:
            mask = np.where(self.held, self.original, mask)
        features, areas = shapes(self.original if self.target is None else self.target)
        there = np.bincount(features[self.original > 0], minlength=len(areas))
        left = np.bincount(features[mask > 0], minlength=len(areas))
        lost = (left < _LEAST_LEFT * there) & (there > 0)
        lost &= self.is_main(features, areas)
        if lost.any():
            reach = _disc(self.deck.opening_nm / self.pixel_nm if self.target is not None else 0.5)
            mask = mask | self.original & cv2.dilate(lost[features].astype(np.uint8), reach)
        return mask.astype(np.uint8)

    def lone(self, mask: np.ndarray, found: list[Violation]) -> np.ndarray:
        """(y, x) bool: assist features that break a rule."""
        labels, areas = shapes(mask)
        stays = self.is_main(labels, areas)
        if self.held is not None:
            stays[np.unique(labels[self.held])] = True
        goes = np.zeros(len(areas), bool)
        for v in found:
            goes[np.unique(labels[self.place(v, 3.0)])] = True
        goes[0] = False
        return (goes & ~stays)[labels]

    def mended(self, mask: np.ndarray, grow: float, i: int, around: np.ndarray | None) -> tuple[np.ndarray, bool]:
        """A mask after one round, and whether a shape gave way in it, so that its cut is still to be rounded."""
        deck, pixel_nm = self.deck, self.pixel_nm
        slack_nm = _SLACK_NM * (1 + max(i - 1, 0) / 2)
        opening_px = (deck.opening_nm + slack_nm) / pixel_nm if deck.opening_nm else 0.5
        closing_px = (deck.closing_nm + slack_nm) / pixel_nm
        if around is not None:
            # A wall around a small hole is opened and closed for ever; without the hole it is no wall.
            mask = mask | _holes(mask, deck.msa_nm2 / pixel_nm**2) & around
        mask = self.opened(mask, opening_px)
        mask = _without_necks(mask, opening_px)
        mask = _with_area(mask, deck.msa_nm2 / pixel_nm**2, grow, self.target)
        # Farther apart than the closing's disc is wide, or it would join them.
        apart_px = max(deck.msd_nm / pixel_nm, 2 * closing_px + 0.5 if deck.closing_nm else 0)
        mask, moved = _apart(mask, apart_px, self.is_main)
        # Last, or it would join again what the opening has cut at a neck.
        mask = _closed(mask, closing_px) if deck.closing_nm else mask
        if i > 1 and not _keeps_topology(mask, opening_px):
            # Two ends of one shape that the opening parts and the closing joins: join them in full width.
            mask = _without_ring_necks(mask, opening_px)
        return mask, moved

    def opened(self, mask: np.ndarray, radius_px: float) -> np.ndarray:
        """An opening that makes main features as wide as the disc where they would go by it."""
        opened = _opened(mask, radius_px)
        labels, areas = shapes(mask)
        thin = np.bincount(labels[opened > 0], minlength=len(areas)) < _LEAST_LEFT * areas
        if not (thin := thin & self.is_main(labels, areas)).any():
            return opened
        middle = skeletonize(thin[labels]).astype(np.uint8)
        return opened | cv2.dilate(middle, _disc(radius_px))


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
    n, labels = cv2.connectedComponents(mask, connectivity=4, ltype=cv2.CV_32S)
    # Counted where there is something only, which takes half the time of OpenCV's statistics.
    areas = np.bincount(labels.ravel()[np.flatnonzero(mask)], minlength=n)
    areas[0] = mask.size - areas.sum()
    return labels, areas


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


def _with_area(mask: np.ndarray, area_px: float, grow: float, target: np.ndarray | None) -> np.ndarray:
    """A mask without shapes too small: those of a target, and of ``grow`` of the area or more, grow, the others go."""
    if area_px <= 1:
        return mask
    labels, areas = shapes(mask)
    mask = mask.copy()
    wanted, reach = int(np.ceil(1.01 * area_px)), int(np.sqrt(area_px)) + 2
    for shape in np.flatnonzero(areas < _MORE_AREA * area_px):
        x, y, w, h = cv2.boundingRect((labels == shape).astype(np.uint8))
        near = np.s_[max(y - reach, 0) : y + h + reach, max(x - reach, 0) : x + w + reach]
        is_shape = labels[near] == shape
        is_main = target is not None and target[near][is_shape].any()
        if shape == 0 or (areas[shape] < grow * area_px and not is_main):
            mask[near][is_shape] = 0
        else:
            away = distance((~is_shape).astype(np.uint8))
            mask[near][away <= np.partition(away.ravel(), min(wanted, away.size - 1))[min(wanted, away.size - 1)]] = 1
    return mask


def _apart(
    mask: np.ndarray, distance_px: float, is_main: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> tuple[np.ndarray, bool]:
    labels, areas = shapes(mask)
    pairs = close_pairs(labels, areas, distance_px)
    if not pairs:
        return mask, False
    mask, main = mask.copy(), is_main(labels, areas)
    pad = int(distance_px) + 2
    for nearest, a, b, _, _ in pairs:
        large, small = (a, b) if (main[a], areas[a]) >= (main[b], areas[b]) else (b, a)
        y, x = np.nonzero(labels == small)
        near = np.s_[max(y.min() - pad, 0) : y.max() + pad + 1, max(x.min() - pad, 0) : x.max() + pad + 1]
        part = mask[near]
        first, second = ((labels[near] == k) & (part > 0) for k in (large, small))
        if not (first.any() and second.any()):
            continue
        both = main[small]  # of two main features neither alone should give way
        least = (distance_px + nearest) / 2 if both else distance_px
        gives_way = second & (distance(1 - first.astype(np.uint8)) < least)
        part[gives_way] = 0
        stays = second & ~gives_way
        if both and stays.any():
            part[first & (distance(1 - stays.astype(np.uint8)) < distance_px)] = 0
    return mask, True
