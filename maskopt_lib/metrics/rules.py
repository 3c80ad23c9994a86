"""Decks of mask rules, and the report: every place at which a mask breaks one, with its value and its limit."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import xarray as xr
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from maskopt_lib import yaml_files
from maskopt_lib.data import manifest, schema
from maskopt_lib.data.schema import column
from maskopt_lib.errors import MissingDataError, SchemaError, UnknownNameError
from maskopt_lib.images import binary, crop
from maskopt_lib.metrics.outline import outline_radii
from maskopt_lib.metrics.shapes import Places, neighbours, space_places, width_places
from maskopt_lib.options import Positive, check

#: Dimensions of a report: what is broken, and the rules of the deck.
VIOLATION, RULE = "violation", "rule"
# Places of one part that are nearer to each other than half the limit are one violation, within these bounds in pixels.
_LINK_PX = (3.0, 12.0)
#: Decks that come with the study.
FOLDER = manifest.FOLDER / "mask_rules"
#: Rules that a deck may have.
DECK_RULES = (schema.MSA, schema.MSD, schema.MIN_WIDTH, schema.MIN_SPACE, schema.MIN_RADIUS)


def rule_report(
    mask: Any,
    deck: Mapping[str, float],
    pixel_nm: float,
    *,
    region_nm: tuple[float, float, float, float] | None = None,
    origin_nm: tuple[float, float] = (0.0, 0.0),
    only_broken: bool = False,
) -> xr.Dataset:
    """Find every violation of a rule deck on one mask.

    Parameters
    ----------
    mask : (y, x) binary mask.
    deck : rule -> smallest value allowed, in nm or, for the area, nm2. Rules bear the names of their scores:
        ``min_width_nm``, ``min_space_nm``, ``msa_nm2`` (area of a shape), ``msd_nm`` (distance of two shapes) and
        ``min_radius_nm``. A rule that is not in the deck is not checked.
    pixel_nm : side of a pixel in nm.
    region_nm : (x0, y0, x1, y1); only places in it count: what lies around is context. The whole mask by default.
    origin_nm : (x, y) of the mask's lower left corner; places and region are in these coordinates.
    only_broken : what keeps its rule is not measured, for a third of the time: ``worst`` is nan there.

    Returns
    -------
    Dataset. Over ``violation``, the worst relative to its limit first: ``broken`` (the rule), ``value`` and ``limit``
    (nm, areas nm2), ``x_nm``, ``y_nm`` (the place), ``extent_nm`` (diagonal of the box around all of it that is too
    small). Over ``rule``: ``at_least`` (the deck), ``worst`` (the smallest value in the region, broken or not; nan
    where there is nothing to measure) and ``violations`` (their number).

    Raises
    ------
    UnknownNameError : the deck has a rule that is none; lists the known ones.
    OptionError : a limit is not above 0; a rule that is not to be checked is left out.

    Notes
    -----
    Without a region ``worst`` is the score of the same name: report and scores measure the same places. Width, space
    and radius are measured at many places along an outline; those of one shape (for the radius: of one outline) that
    are close together are one violation, reported where it is worst. A shape too small lies at its centre of mass and
    counts where any of it is in the region; two shapes that are too close are one violation, midway between their
    closest pixels. What the raster resolves is said at each score; above all, a right-angled corner has a radius of
    some 3 pixels.

    Examples
    --------
    >>> mask = np.zeros((200, 200), bool)
    >>> mask[20:180, 40:60] = mask[20:180, 120:170] = True
    >>> report = rule_report(mask, {"min_width_nm": 30, "min_space_nm": 50}, pixel_nm=1)
    >>> report.broken.values.tolist(), report.value.values.tolist(), report.x_nm.values.tolist()
    (['min_width_nm'], [20.0], [50.0])
    >>> report.worst.sel(rule="min_space_nm").item()
    60.0
    """
    mask = binary(mask, axes=2, pixel_nm=pixel_nm)
    if unknown := sorted(set(deck) - set(RULES)):
        raise UnknownNameError(f"no mask rule {unknown}; known: {', '.join(RULES)}")
    check(Positive, **deck)
    x0, y0 = origin_nm
    box = region_nm or (x0, y0, x0 + mask.shape[1] * pixel_nm, y0 + mask.shape[0] * pixel_nm)
    box_px = tuple((v - o) / pixel_nm for v, o in zip(box, (x0, y0, x0, y0), strict=True))
    rows, worst, counts = [], [], []
    for rule, limit in deck.items():
        unit = pixel_nm ** (2 if rule == schema.MSA else 1)
        smallest, broken = RULES[rule](mask, limit / unit, box_px, limit / unit if only_broken else np.inf)
        worst.append(smallest * unit)
        counts.append(len(broken))
        rows += [
            (rule, value * unit, float(limit), x0 + x * pixel_nm, y0 + y * pixel_nm, extent * pixel_nm)
            for value, x, y, extent in broken
        ]
    rows.sort(key=lambda row: (row[1] / row[2], row[3], row[4]))
    broken, value, at_least, x_nm, y_nm, extent_nm = zip(*rows, strict=True) if rows else [()] * 6
    number = partial(np.array, dtype=float)
    return xr.Dataset(
        {
            "broken": column(VIOLATION, np.array(broken, dtype=str), "rule that is broken"),
            "value": column(VIOLATION, number(value), "value (areas in nm2)", "nm"),
            "limit": column(VIOLATION, number(at_least), "smallest value allowed (areas in nm2)", "nm"),
            "x_nm": column(VIOLATION, number(x_nm), "place, x", "nm"),
            "y_nm": column(VIOLATION, number(y_nm), "place, y", "nm"),
            "extent_nm": column(VIOLATION, number(extent_nm), "extent of the violation", "nm"),
            "at_least": column(RULE, [float(limit) for limit in deck.values()], "limit of the rule", "nm"),
            "worst": column(RULE, number(worst), "smallest value found", "nm"),
            "violations": column(RULE, np.array(counts, int), "violations"),
        },
        coords={VIOLATION: np.arange(1, len(rows) + 1), RULE: list(deck)},
        attrs={"pixel_nm": float(pixel_nm), "region_nm": [float(v) for v in box]},
    )


#: One rule's answer for mask, limit, box, and below what it is asked for: the smallest value in the box, and (value,
#: x, y, extent) of each violation, all in pixels.
_Found = tuple[float, list[tuple[float, float, float, float]]]
_Box = tuple[float, ...]


def _of_places(places: Places, limit: float, box: _Box) -> _Found:
    """Places too small, those of one part that lie close together as one."""
    inside = _inside(places.x_px, places.y_px, box)
    places = Places(*(values[inside] for values in places))
    if not places.value_px.size:
        return float("nan"), []
    smallest = float(places.value_px.min())
    value, y, x, part = (values[places.value_px < limit] for values in places)
    if not value.size:
        return smallest, []
    near = cKDTree(np.stack([y, x], axis=1)).query_pairs(np.clip(limit / 2, *_LINK_PX), output_type="ndarray")
    near = near[part[near[:, 0]] == part[near[:, 1]]]
    graph = coo_array((np.ones(len(near), bool), near.T), shape=(len(value),) * 2)
    n, owner = connected_components(graph, directed=False)
    broken = []
    for k in range(n):
        v, yy, xx = (values[owner == k] for values in (value, y, x))
        at = _middle_of(v <= v.min() + 1e-9, yy, xx)
        broken.append((float(v.min()), float(xx[at]), float(yy[at]), float(np.hypot(np.ptp(yy), np.ptp(xx)))))
    return smallest, broken


def _radius(mask: np.ndarray, limit: float, box: _Box, below: float) -> _Found:
    found = outline_radii(mask, below)
    loops = [Places(radius, *points.T, np.full(len(radius), k)) for k, (points, radius) in enumerate(found)]
    if not loops:
        return float("nan"), []
    places = Places(*map(np.concatenate, zip(*loops, strict=True)))
    told = places.value_px < below  # finite ones, where all are asked for
    return _of_places(Places(*(values[told] for values in places)), limit, box)


def _area(mask: np.ndarray, limit: float, box: _Box, below: float) -> _Found:
    part, (y0, x0) = crop(mask)
    if not part.size:
        return float("nan"), []
    n, labels = cv2.connectedComponents(part.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    numbers = np.arange(1, n)
    if not _inside(*np.array([[x0, x0 + part.shape[1]], [y0, y0 + part.shape[0]]]), box).all():
        y, x = np.nonzero(part)
        numbers = np.unique(labels[y, x][_inside(x + x0 + 0.5, y + y0 + 0.5, box)])
    if not numbers.size:
        return float("nan"), []
    areas = np.bincount(labels.ravel()[np.flatnonzero(part)])
    if not (areas[numbers] < limit).any():
        return float(areas[numbers].min()) if below == np.inf else float("nan"), []
    boxes = ndimage.find_objects(labels)
    small = numbers[areas[numbers] < limit]
    broken = [
        (float(areas[k]), cx + x0 + 0.5, cy + y0 + 0.5, float(np.hypot(*(s.stop - s.start for s in boxes[k - 1]))))
        for k, (cy, cx) in zip(small, ndimage.center_of_mass(part, labels, small), strict=True)
    ]
    return float(areas[numbers].min()), broken


def _distance(mask: np.ndarray, limit: float, box: _Box, below: float) -> _Found:
    part, (y0, x0) = crop(mask)
    if not part.size:
        return float("nan"), []
    n, labels = cv2.connectedComponents(part.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    n -= 1  # without what lies around
    if n < 2:
        return float("nan"), []
    # The closest pair of a region may be farther apart than the limit: look farther until there is one.
    within, field = limit, np.hypot(*part.shape) + 1
    while True:
        broken = []
        for pair in neighbours(labels, n, within):
            y, x = (pair.on_first + pair.on_second).T / 2 + 0.5
            counts = _inside(x + x0, y + y0, box)
            if counts.any():
                distance, y, x = pair.distance[counts], y[counts], x[counts]
                at = _middle_of(distance <= distance.min() + 1e-9, y, x)
                extent = np.hypot(np.ptp(y), np.ptp(x))
                broken.append((float(distance.min()), float(x[at] + x0), float(y[at] + y0), float(extent)))
        if broken:
            return min(broken)[0], broken if within == limit else []
        if within > field or within >= below:
            return float("nan"), []
        within *= 2


def _middle_of(chosen: np.ndarray, y: np.ndarray, x: np.ndarray) -> int:
    """Of several places the index of the one in the middle, so that a thin bar is marked at its centre."""
    chosen = np.flatnonzero(chosen)
    return int(chosen[np.argmin(np.hypot(y[chosen] - y[chosen].mean(), x[chosen] - x[chosen].mean()))])


def _inside(x: np.ndarray, y: np.ndarray, box: _Box) -> np.ndarray:
    x0, y0, x1, y1 = box
    return (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)


#: Rule -> how it is checked; the names are those of the scores.
RULES: dict[str, Callable[[np.ndarray, float, _Box, float], _Found]] = {
    schema.MIN_WIDTH: lambda mask, limit, box, below: _of_places(width_places(mask, below), limit, box),
    schema.MIN_SPACE: lambda mask, limit, box, below: _of_places(space_places(mask, below), limit, box),
    schema.MSA: _area,
    schema.MSD: _distance,
    schema.MIN_RADIUS: _radius,
}


def read_deck(name: str | os.PathLike | Mapping[str, float]) -> dict[str, float]:
    """A rule deck: rule -> limit, as the option ``deck`` of ``rule_aware`` and ``metrics.rule_report`` take it.

    Parameters
    ----------
    name : of a deck that comes with the study, or a YAML file of one's own: rule -> smallest value allowed; or the
        rules themselves.

    Raises
    ------
    MissingDataError : neither a deck of the study nor a file.
    UnknownNameError : a rule that is none.
    SchemaError : the file is no YAML, or a limit is no finite number of 0 or more.

    Examples
    --------
    >>> read_deck("curvilinear")["msd_nm"]
    24.0
    """
    if isinstance(name, Mapping):
        document = yaml_files.Document(dict(name), "the rule deck")
    elif not isinstance(name, str | os.PathLike):
        raise SchemaError(f"a rule deck is a name, a file, or rules with their limits, got {name!r:.80}")
    else:
        path = Path(name) if Path(name).suffix else FOLDER / f"{name}.yaml"
        if not path.is_file():
            known = sorted(p.stem for p in FOLDER.glob("*.yaml"))
            raise MissingDataError(f"no rule deck {str(name)!r}; the study has {known}; others are YAML files by path")
        document = yaml_files.read(path)
    return {rule: document.number(rule, default=0.0) for rule in document.check_keys(DECK_RULES)}


def scaled_deck(deck: Mapping[str, float], scale: float) -> dict[str, float]:
    """A deck for lengths ``scale`` times as large, to three digits.

    Examples
    --------
    >>> scaled_deck({"msa_nm2": 2000.0, "msd_nm": 24.0}, 0.5)
    {'msa_nm2': 500.0, 'msd_nm': 12.0}
    """
    return {rule: float(f"{limit * scale ** (2 if rule == schema.MSA else 1):.3g}") for rule, limit in deck.items()}
