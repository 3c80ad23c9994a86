"""Design rules of a layout: what is narrower, closer or less enclosed than a rule deck allows, and where.

Decks are data (``data_manifest/design_rules``); the geometry is KLayout's, on merged shapes, with distances measured as
the crow flies. Rules of masks are another thing: :func:`maskopt_lib.metrics.rule_report`.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr
from klayout import db

from maskopt_lib import yaml_files
from maskopt_lib.data import schema
from maskopt_lib.data.manifest import FOLDER
from maskopt_lib.errors import LayoutError, UnknownNameError
from maskopt_lib.layout.designs import Design
from maskopt_lib.options import Options, Positive

# What a check finds: value in database units, and the box around it.
_Found = Iterable[tuple[float, db.Box]]


@dataclass(frozen=True, kw_only=True)
class DesignRule(Options):
    """One rule.

    Attributes
    ----------
    rule : its name in reports.
    kind : of :data:`KINDS`.
    layer : name, or (layer, datatype), of what is checked; for "grid" it may be several.
    limit : smallest value allowed in nm, for "area" in nm2; the only one allowed for "size"; the step for "grid".
    other : layers that "inside", "ends", "beyond" and "separation" look at; their union.
    """

    rule: str
    kind: str
    layer: str | tuple[int, int] | tuple[str, ...]
    limit: Positive
    other: tuple[str | tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in KINDS:
            raise UnknownNameError(f"{self.rule}: no kind of rule {self.kind!r}; known: {', '.join(KINDS)}")
        if (self.kind in _TWO_LAYERS) != bool(self.other):
            raise LayoutError(f"{self.rule}: {', '.join(_TWO_LAYERS)} need `other` layers, other kinds have none")


def rule_decks() -> list[str]:
    """Names of the decks there are.

    Examples
    --------
    >>> rule_decks()
    ['demo45', 'routed45']
    """
    return sorted(path.stem for path in (FOLDER / "design_rules").glob("*.yaml"))


def read_deck(source: str | Path) -> list[DesignRule]:
    """Rules of a deck of ``data_manifest/design_rules`` by its name, or of a YAML file.

    Raises
    ------
    UnknownNameError : neither; lists the decks. Also for a kind of rule that is none.
    LayoutError : an entry that is no rule.

    Examples
    --------
    >>> [rule.limit for rule in read_deck("demo45") if rule.rule == "metal1 space"]
    [65.0]
    """
    path = Path(source)
    if not path.is_file():
        if str(source) not in rule_decks():
            raise UnknownNameError(f"no design rules {str(source)!r}; known: {', '.join(rule_decks())}, or a file")
        path = FOLDER / "design_rules" / f"{source}.yaml"
    deck, entries = [], yaml_files.read(path).value
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise LayoutError(f"{path}: it is no list of rules; each has rule, kind, layer, and nm or nm2")
    for entry in entries:
        fields = dict(entry)
        limits = [fields.pop(unit) for unit in ("nm", "nm2") if unit in fields]
        if len(limits) != 1 or not {"rule", "kind", "layer"} <= set(fields) <= {"rule", "kind", "layer", "other"}:
            raise LayoutError(f"{path}: {entry} is no rule; it needs rule, kind, layer, nm or nm2, and may have other")
        layer = fields.pop("layer")
        deck.append(
            DesignRule(
                layer=tuple(layer) if isinstance(layer, list) else layer,
                limit=float(limits[0]),
                other=tuple(fields.pop("other", ())),
                **fields,
            )
        )
    return deck


def check_design_rules(
    design: Design, deck: str | Path | Sequence[DesignRule] = "demo45", *, cell: str | None = None
) -> xr.Dataset:
    """Find every violation of a rule deck.

    Parameters
    ----------
    design : a layout, which is flattened layer by layer.
    deck : name or file of a deck, or rules.
    cell : check this cell alone rather than the whole.

    Returns
    -------
    Dataset. Over ``violation``, the worst relative to its limit first: ``broken`` (the rule), ``value`` and ``limit``
    (nm, areas nm2), ``x_nm``, ``y_nm`` (the middle of the place). Over ``rule``: ``layer``, ``at_least`` (the limit),
    ``violations`` (their number) and ``worst`` (the smallest value of them; nan where there is none).

    Raises
    ------
    UnknownNameError : no such deck, kind of rule or cell.
    LayoutError : a rule on a layer that the process has no name for, or finer than the database unit.

    Notes
    -----
    Widths and spaces are counted by pairs of edges, as KLayout finds them: a gap that is too small on both sides of a
    corner counts twice. Spaces include notches. The value of "size" is the side that is furthest off; of "inside" and
    "ends" the margin that there is, -1 where the shape is not even covered; of "beyond" what there is of the required
    length; of "grid" how far a corner is off. A layer without shapes breaks no rule.
    """
    top, per_nm = _cell(design, cell), 1 / design.dbu_nm
    found = _violations(design, deck, top)
    rules, rows = [rule for rule, _ in found], []
    counts = [len(violations) for _, violations in found]
    worst = [min((value for value, _ in violations), default=np.nan) for _, violations in found]
    for rule, violations in found:
        rows += [
            (rule.rule, value, rule.limit, (b.left + b.right) / 2 / per_nm, (b.bottom + b.top) / 2 / per_nm)
            for value, b in violations
        ]
    rows.sort(key=lambda row: (row[1] / row[2], row[3], row[4], row[0]))
    broken, value, limit, x_nm, y_nm = zip(*rows, strict=True) if rows else [()] * 5
    layers = [" ".join(map(str, r.layer)) if isinstance(r.layer, tuple) else r.layer for r in rules]
    limits, smallest = np.array([r.limit for r in rules], float), "smallest value that breaks the rule (areas in nm2)"
    return xr.Dataset(
        {
            "broken": schema.column("violation", np.array(broken, str), "rule that is broken"),
            "value": schema.column("violation", np.array(value, float), "value (areas in nm2)", "nm"),
            "limit": schema.column(
                "violation", np.array(limit, float), "value that the rule asks for (areas in nm2)", "nm"
            ),
            "x_nm": schema.column("violation", np.array(x_nm, float), "place, x", "nm"),
            "y_nm": schema.column("violation", np.array(y_nm, float), "place, y", "nm"),
            "layer": schema.column("rule", np.array(layers, str), "layer that is checked"),
            "at_least": schema.column("rule", limits, "limit (areas in nm2)", "nm"),
            "violations": schema.column("rule", np.array(counts, int), "violations"),
            "worst": schema.column("rule", np.array(worst, float), smallest, "nm"),
        },
        coords={"violation": np.arange(len(rows)), "rule": np.array([r.rule for r in rules], dtype=str)},
        attrs={"design": design.name, "cell": top.name},
    )


def violation_boxes(design: Design, deck: str | Path | Sequence[DesignRule]) -> np.ndarray:
    """(n, 4) x0, y0, x1, y1 in nm of the places where a design breaks rules; see :func:`check_design_rules`."""
    boxes = [box for _, violations in _violations(design, deck, design.top) for _, box in violations]
    sides = [(box.left, box.bottom, box.right, box.top) for box in boxes]
    return np.array(sides, float).reshape(-1, 4) * design.dbu_nm


def _cell(design: Design, name: str | None) -> db.Cell:
    top = design.top if name is None else design.layout.cell(name)
    if top is None:
        names = sorted(c.name for c in design.layout.each_cell())
        raise UnknownNameError(f"{design.name} has no cell {name!r}; known: {', '.join(names[:40])}")
    return top


def _violations(
    design: Design, deck: str | Path | Sequence[DesignRule], top: db.Cell
) -> list[tuple[DesignRule, list[tuple[float, db.Box]]]]:
    """Each rule of a deck with its violations: the value in nm (areas nm2), and the box around the place."""
    regions, per_nm, found = _Regions(design, top), 1 / design.dbu_nm, []
    for rule in list(deck) if not isinstance(deck, str | Path) else read_deck(deck):
        scale = per_nm**2 if rule.kind == "area" else per_nm
        units = rule.limit * scale
        if abs(units - round(units)) > 1e-6:
            raise LayoutError(
                f"{rule.rule}: {rule.limit:g} is no whole number of database units ({design.dbu_nm:g} nm)"
            )
        several = not isinstance(rule.layer, str) and not isinstance(rule.layer[0], int)
        names = rule.layer if several else (rule.layer,)
        violations = [
            (value / scale if value >= 0 else -1.0, box)
            for name in names
            for value, box in KINDS[rule.kind](regions[(name,)], regions[rule.other], round(units))
        ]
        found.append((rule, violations))
    return found


class _Regions(dict):
    """Union of layers -> merged region, made when first asked for."""

    def __init__(self, design: Design, top: db.Cell):
        super().__init__()
        self._design, self._top = design, top

    def __missing__(self, layers: tuple) -> db.Region:
        self[layers] = sum((self._design.drawn(layer, self._top) for layer in layers), db.Region()).merged()
        return self[layers]


def _pairs(pairs: db.EdgePairs) -> _Found:
    return [(pair.distance(), pair.bbox()) for pair in pairs.each()]


def _size(region: db.Region, _: db.Region, limit: int) -> _Found:
    wrong = [p for p in region.each() if not (p.is_box() and p.bbox().width() == p.bbox().height() == limit)]
    return [(max((p.bbox().width(), p.bbox().height()), key=lambda side: abs(side - limit)), p.bbox()) for p in wrong]


def _grid(region: db.Region, _: db.Region, limit: int) -> _Found:
    corners = {(edge.x1, edge.y1) for polygon in region.each() for edge in polygon.each_edge()}
    off = [(max(min(v % limit, -v % limit) for v in corner), corner) for corner in sorted(corners)]
    return [(value, db.Box(*corner, *corner)) for value, corner in off if value]


def _margin(region: db.Region, other: db.Region, limit: int, grow: Callable[[db.Box, int], list[db.Box]]) -> _Found:
    """The largest margin at which one of the grown boxes is covered, for shapes that have less than the limit."""
    pieces = db.Shapes()  # small ones, by place
    pieces.insert(other.decompose_trapezoids_to_region())

    def covered(box: db.Box, margin: int) -> bool:
        near = db.Region([piece.polygon for piece in pieces.each_touching(box.enlarged(margin, margin))])
        return any((db.Region(grown) - near).is_empty() for grown in grow(box, margin))

    violations = []
    for box in [polygon.bbox() for polygon in region.each()]:
        if covered(box, limit):
            continue
        low, high = -1, limit
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if covered(box, middle) else (low, middle)
        violations.append((low, box))
    return violations


def _beyond(region: db.Region, other: db.Region, limit: int) -> _Found:
    crossing = region & other
    leaving = crossing.edges() & other.edges()  # where the layer goes on beyond the other one
    missing = leaving.extended_out(limit) - region
    violations = []
    for polygon in missing.merged().each():
        # What is missing lies at the far end of the length that is asked for.
        near = leaving.interacting(db.Region(polygon.bbox().enlarged(limit, limit)))
        gap = min((_apart(edge.bbox(), polygon.bbox()) for edge in near.each()), default=0)
        violations.append((gap, polygon.bbox()))
    return violations


def _apart(a: db.Box, b: db.Box) -> float:
    dx = max(a.left - b.right, b.left - a.right, 0)
    dy = max(a.bottom - b.top, b.bottom - a.top, 0)
    return float(np.hypot(dx, dy))


#: Kind of rule -> check of (layer, other layers, limit in database units).
KINDS: dict[str, Callable[[db.Region, db.Region, int], _Found]] = {
    "width": lambda region, _, limit: _pairs(region.width_check(limit)),
    "space": lambda region, _, limit: _pairs(region.space_check(limit)),
    "separation": lambda region, other, limit: _pairs(region.separation_check(other, limit)),
    "area": lambda region, _, limit: [(p.area(), p.bbox()) for p in region.each() if p.area() < limit],
    "size": _size,
    "inside": partial(_margin, grow=lambda box, margin: [box.enlarged(margin, margin)]),
    "ends": partial(_margin, grow=lambda box, margin: [box.enlarged(margin, 0), box.enlarged(0, margin)]),
    "beyond": _beyond,
    "grid": _grid,
}
_TWO_LAYERS = ("separation", "inside", "ends", "beyond")
