"""Standard cells from netlists: active, poly, contacts and straps from transistor columns, the other nets wired.

The column of a gate is 190 nm wide, as is a placement site; columns of contacts of the diffusions lie between. All
corners are on a grid of 5 nm.
"""

import itertools
from dataclasses import dataclass

import numpy as np

from maskopt_lib.errors import LayoutError
from maskopt_lib.layout.cell_wiring import N_ROWS, REACH, Node, Pattern, Wire, route

#: Placement grid: a site wide, a row high; nm.
SITE_NM, ROW_NM = 190, 1400
#: Widths, nm.
METAL_NM, CONTACT_NM, GATE_NM, RAIL_NM = 70, 65, 50, 170
METAL_SPACE_NM = 65
#: Nets of the rails, lower and upper.
RAILS = ("VSS", "VDD")
# Rows of the wiring grid.
_ROW0_NM, _ROW_PITCH_NM = 210, 140
# Columns of the wiring grid after a diffusion contact: beside, on and beside the gate.
_COLUMNS_NM = (0, 55, 95, 135)
_ACTIVE_NM = {"n": (120, 400), "p": (860, 1280)}
_POLY_NM = (60, 1340)
_PAD_NM = ((-40, -40), (35, 35))  # of poly under a contact
_CONTACT_NM = ((-35, -35), (30, 30))  # a contact about the middle of its metal, on the grid of 5 nm
_END_NM = 35  # metal beyond a contact where the wire ends
_CONTACT_PITCH_NM = 140
_GRID_NM = 5
_WIDER_NM = 20


@dataclass(frozen=True, kw_only=True)
class CellSpec:
    """A cell as data; the texts are nets apart by spaces.

    Attributes
    ----------
    gates : net of each column of poly; "-" is a column without, where the diffusions end.
    p, n : nets of the diffusions before, between and after the gates; "-" between two columns without a gate.
    pins : nets that wires of the block reach.
    share : how often the cell is placed, relative to the others.
    """

    gates: str
    p: str
    n: str
    pins: str
    share: float = 1.0

    @property
    def width_nm(self) -> int:
        """Width of the cell."""
        return SITE_NM * (len(self.gates.split()) + 1)


@dataclass(frozen=True, kw_only=True, eq=False)
class DrawnCell:
    """A cell with its geometry.

    Attributes
    ----------
    name, width_nm : of the cell.
    shapes : layer name -> (n, 4) int64 boxes (x0, y0, x1, y1) in nm; they may overlap.
    nets : metal 1 by net, boxes as above.
    accesses_nm : pin -> (n, 2) int64, centres where a via 1 is enclosed by the pin.
    """

    name: str
    width_nm: int
    shapes: dict[str, np.ndarray]
    nets: dict[str, np.ndarray]
    accesses_nm: dict[str, np.ndarray]


def draw(name: str, spec: CellSpec) -> DrawnCell:
    """Transistors, contacts and wires of a netlist.

    Raises
    ------
    LayoutError : the netlist cannot be wired in metal 1, or its texts do not fit together.
    """
    return _Drawing(name, spec).finish()


class _Drawing:
    """One cell on the way from netlist to boxes."""

    def __init__(self, name: str, spec: CellSpec):
        self.name, self.spec = name, spec
        self.gates = spec.gates.split()
        self.diffusions = {"n": spec.n.split(), "p": spec.p.split()}
        if {len(nets) for nets in self.diffusions.values()} != {len(self.gates) + 1}:
            raise LayoutError(f"{name}: {spec.gates!r} needs one net more in p and in n than it has columns")
        nets = {net for side in self.diffusions.values() for net in side} | set(self.gates)
        if wrong := sorted(set(spec.pins.split()) - nets | set(spec.pins.split()) & {*RAILS, "-"}):
            raise LayoutError(
                f"{name}: {', '.join(wrong)} cannot be pins; nets: {', '.join(sorted(nets - {'-', *RAILS}))}"
            )
        self.n_columns = 4 * len(self.gates) + 1
        self.boxes: dict[str, list] = {layer: [] for layer in ("active", "poly", "contact", "metal1", "outline")}
        self.metal: dict[str, list] = {}

    def finish(self) -> DrawnCell:
        width = self.spec.width_nm
        self.boxes["outline"].append((0, 0, width, ROW_NM))
        for rail, y in zip(RAILS, (0, ROW_NM), strict=True):
            self.metal[rail] = [(0, y - RAIL_NM // 2, width, y + RAIL_NM // 2)]
        straps = self._straps()
        terminals = self._terminals()
        order = sorted(terminals, key=lambda net: (len(terminals[net]), net))
        wires = route(self.n_columns, straps, {net: [t for _, t in terminals[net]] for net in order})
        self._transistors()
        self._draw_straps(self._grown(straps, wires))
        for net in order:
            self._draw_wire(net, wires[net])
            for (kind, _), pattern in zip(terminals[net], wires[net].contacts, strict=True):
                if kind != "pin":
                    self._contact(kind, pattern)
        self._widen()
        metal = {net: np.array(boxes, dtype=np.int64) for net, boxes in self.metal.items()}
        self.boxes["metal1"] = [box for boxes in metal.values() for box in boxes.tolist()]
        return DrawnCell(
            name=self.name,
            width_nm=width,
            shapes={layer: np.array(boxes, dtype=np.int64).reshape(-1, 4) for layer, boxes in self.boxes.items()},
            nets=metal,
            accesses_nm={pin: _accesses(metal[pin], width) for pin in self.spec.pins.split()},
        )

    # What has to be joined

    def _straps(self) -> dict[str, list[Node]]:
        """Nodes under the rails where a diffusion goes to its rail."""
        nodes: dict[str, list[Node]] = {rail: [] for rail in RAILS}
        for side, rail, row in (("n", "VSS", 0), ("p", "VDD", N_ROWS - 1)):
            nodes[rail] += [(row, 4 * c) for c, net in enumerate(self.diffusions[side]) if net == rail]
        return nodes

    def _terminals(self) -> dict[str, list[tuple[str, list[Pattern]]]]:
        """Net -> (kind, patterns) of each place that its metal must touch."""
        terminals: dict[str, list[tuple[str, list[Pattern]]]] = {}
        for first, last in self._groups():
            places = [p for k in range(first, last + 1) for i in (4 * k + 1, 4 * k + 2, 4 * k + 3) for p in _gate(i)]
            terminals.setdefault(self.gates[first], []).append((f"gate {first} {last}", places))
        for side, nets in self.diffusions.items():
            for c in self._contacted(side):
                terminals.setdefault(nets[c], []).append((side, _diffusion(side, 4 * c, self.n_columns)))
        for pin in self.spec.pins.split():
            places = [p for c in range(len(self.gates) + 1) for p in _access(4 * c, self.n_columns)]
            terminals[pin].append(("pin", places))
        return terminals

    def _groups(self) -> list[tuple[int, int]]:
        """First and last of neighbouring gates of one net, which poly joins."""
        runs = itertools.groupby(enumerate(self.gates), key=lambda gate: gate[1])
        members = [[k for k, _ in run] for net, run in runs if net != "-"]
        return [(ks[0], ks[-1]) for ks in members]

    def _contacted(self, side: str) -> list[int]:
        """Diffusions that need metal: all but those between two gates only, and the rails' own."""
        nets = self.diffusions[side]
        outside = set(self.gates) | set(self.spec.pins.split()) | set(self.diffusions["p" if side == "n" else "n"])
        return [c for c, net in enumerate(nets) if net not in (*RAILS, "-") and (nets.count(net) > 1 or net in outside)]

    # Drawing

    def _transistors(self) -> None:
        starts = [0, *(k + 1 for k, net in enumerate(self.gates) if net == "-")]
        ends = [*(k for k, net in enumerate(self.gates) if net == "-"), len(self.gates)]
        for y0, y1 in _ACTIVE_NM.values():
            for a, b in zip(starts, ends, strict=True):
                if b > a:
                    self.boxes["active"].append((_x(4 * a) - 50, y0, _x(4 * b) + 50, y1))
        for k, net in enumerate(self.gates):
            if net != "-":
                x = _x(4 * k + 2)
                self.boxes["poly"].append((x - GATE_NM // 2, _POLY_NM[0], x + GATE_NM // 2, _POLY_NM[1]))

    def _grown(self, straps: dict[str, list[Node]], wires: dict[str, Wire]) -> dict[str, list[Node]]:
        """Straps a row longer where no other net is near: they hold one contact more."""
        taken = {(row, i) for wire in wires.values() for row, i in wire.nodes}
        grown = {}
        for rail, nodes in straps.items():
            further = {(row, i): (1 if row == 0 else N_ROWS - 2, i) for row, i in nodes}
            grown[rail] = [
                node if any((row, i + k) in taken for k in range(-REACH, REACH + 1)) else (row, i)
                for node, (row, i) in further.items()
            ]
        return grown

    def _draw_straps(self, straps: dict[str, list[Node]]) -> None:
        for rail, nodes in straps.items():
            for row, i in nodes:
                x, y, half = _x(i), _y(row), METAL_NM // 2
                lower, upper = (0, y + half) if rail == RAILS[0] else (y - half, ROW_NM)
                self.metal[rail].append((x - half, lower, x + half, upper))
                # The end of the strap encloses the first contact, the others follow towards the rail.
                first, step = (upper - _END_NM - 30, -1) if rail == RAILS[0] else (lower + _END_NM + 35, 1)
                for k in range(row + 1 if rail == RAILS[0] else N_ROWS - row):
                    self._square("contact", _CONTACT_NM, x, first + step * k * _CONTACT_PITCH_NM)

    def _draw_wire(self, net: str, wire: Wire) -> None:
        half = METAL_NM // 2
        # Metal of one net that is nearer than the rule is one piece.
        steps = wire.steps | {
            ((r, c), (r, d)) for r, c in wire.nodes for d in range(c + 1, c + REACH + 1) if (r, d) in wire.nodes
        }
        # So are the gaps between steps across the rows that lie side by side.
        upright = sorted(step for step in wire.steps if step[0][1] == step[1][1])
        steps |= {
            (low, high)
            for low, _ in upright
            for lower, high in upright
            if low[0] == lower[0] and 0 < high[1] - low[1] <= REACH
        }
        boxes = self.metal.setdefault(net, [])
        for (r0, c0), (r1, c1) in sorted(steps):
            boxes.append((_x(c0) - half, _y(r0) - half, _x(c1) + half, _y(r1) + half))

    def _widen(self) -> None:
        """Straps and wires of pins as wide as their neighbours allow, up to ``_WIDER_NM`` on a side."""
        edges = np.array([(-1, 0, METAL_SPACE_NM // 2, ROW_NM), (0, 0, 0, 0)])
        edges[1] = (self.spec.width_nm - METAL_SPACE_NM // 2, 0, self.spec.width_nm + 1, ROW_NM)
        boxes = {net: np.array(found) for net, found in self.metal.items()}
        for net in [*RAILS, *self.spec.pins.split()]:
            of_net = boxes[net]
            others = np.concatenate([found for other, found in boxes.items() if other != net])
            for run in _runs(of_net):
                box = run
                for side, sign in ((0, -1), (2, 1)):
                    for wider in range(_WIDER_NM, 0, -5):
                        trial = box.copy()
                        trial[side] += sign * wider
                        own = _near_boxes(trial, of_net, METAL_SPACE_NM) & ~_near_boxes(box, of_net, 0, touching=True)
                        near = _near_boxes(trial, others, METAL_SPACE_NM), _near_boxes(trial, edges, 0), own
                        if not any(part.any() for part in near):
                            box = trial
                            break
                if (box != run).any():
                    of_net = boxes[net] = np.concatenate([of_net, box[None]])
                    self.metal[net].append(tuple(box.tolist()))

    def _contact(self, kind: str, pattern: Pattern) -> None:
        x, y = np.mean([(_x(i), _y(row)) for row, i in pattern], axis=0)
        if len(pattern) == 3:  # a row of three: above the node in the middle
            x = _x(sorted(pattern)[1][1])
        x, y = int(x), int(y)
        if kind.startswith("gate"):
            first, last = map(int, kind.split()[1:])
            self._square("poly", _PAD_NM, x, y)
            columns = [_x(4 * k + 2) for k in range(first, last + 1)]
            near = min(columns, key=lambda column: abs(column - x))
            self.boxes["poly"].append((min(near, x), y - 40, max(near, x), y + 35))
            if last > first:
                self.boxes["poly"].append((columns[0], y - 25, columns[-1], y + 25))
        self._square("contact", _CONTACT_NM, x, y)

    def _square(self, layer: str, about: tuple[tuple[int, int], tuple[int, int]], x: int, y: int) -> None:
        (left, lower), (right, upper) = about
        self.boxes[layer].append((x + left, y + lower, x + right, y + upper))


def _near_boxes(box: np.ndarray, others: np.ndarray, apart_nm: int, *, touching: bool = False) -> np.ndarray:
    """Which of the others are nearer than a distance, measured along x and y."""
    gap = np.maximum(others[:, :2] - box[2:], box[:2] - others[:, 2:]).max(axis=1)
    return gap <= apart_nm if touching else gap < apart_nm


def _runs(boxes: np.ndarray) -> list[np.ndarray]:
    """Upright pieces of metal as wide as a wire, those that overlap or touch in one column put together."""
    upright = boxes[(boxes[:, 2] - boxes[:, 0] == METAL_NM) & (boxes[:, 3] - boxes[:, 1] > METAL_NM)]
    runs: list[np.ndarray] = []
    for box in upright[np.lexsort((upright[:, 1], upright[:, 0]))]:
        if runs and runs[-1][0] == box[0] and box[1] <= runs[-1][3]:
            runs[-1] = np.array([*runs[-1][:3], max(runs[-1][3], box[3])])
        else:
            runs.append(box)
    return runs


def _x(column: int) -> int:
    return SITE_NM // 2 + SITE_NM * (column // 4) + _COLUMNS_NM[column % 4]


def _y(row: int) -> int:
    return _ROW0_NM + _ROW_PITCH_NM * row


def _upright(row: int, i: int) -> Pattern:
    return ((row, i), (row + 1, i))


def _flat(row: int, i: int) -> Pattern:
    return ((row, i - 1), (row, i), (row, i + 1))


def _gate(i: int) -> list[Pattern]:
    return [_upright(2, i), _upright(3, i), _flat(2, i), _flat(3, i), _flat(4, i)]


def _diffusion(side: str, i: int, n_columns: int) -> list[Pattern]:
    upright, flat = ((0,), (0, 1)) if side == "n" else ((5, 6), (5, 6, 7))
    inside = flat if 0 < i < n_columns - 1 else ()
    return [*(_upright(row, i) for row in upright), *(_flat(row, i) for row in inside)]


def _access(i: int, n_columns: int) -> list[Pattern]:
    inside = range(1, N_ROWS - 1) if 0 < i < n_columns - 1 else ()
    return [*(_upright(row, i) for row in range(1, N_ROWS - 2)), *(_flat(row, i) for row in inside)]


def _accesses(boxes: np.ndarray, width_nm: int) -> np.ndarray:
    """Centres on the columns of metal 2 where a via is inside the metal and 35 nm inside on two opposite sides."""
    image = np.zeros((ROW_NM // _GRID_NM, width_nm // _GRID_NM), dtype=bool)
    for x0, y0, x1, y1 in boxes // _GRID_NM:
        image[y0:y1, x0:x1] = True
    sums = np.pad(image.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    half, end = METAL_NM // 2 // _GRID_NM, (METAL_NM // 2 + _END_NM) // _GRID_NM
    x, y = np.meshgrid(
        np.arange(SITE_NM // 2, width_nm, SITE_NM), np.arange(_ROW0_NM, ROW_NM - _ROW0_NM + 1, METAL_NM // 2)
    )
    enclosed = np.zeros(x.shape, dtype=bool)
    for dx, dy in ((half, end), (end, half)):
        x0, x1, y0, y1 = x // _GRID_NM - dx, x // _GRID_NM + dx, y // _GRID_NM - dy, y // _GRID_NM + dy
        enclosed |= sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0] == (x1 - x0) * (y1 - y0)
    return np.stack([x[enclosed], y[enclosed]], axis=1)


def filler(name: str, sites: int) -> DrawnCell:
    """Rails only."""
    width = sites * SITE_NM
    rails = {rail: np.array([(0, y - 85, width, y + 85)]) for rail, y in zip(RAILS, (0, ROW_NM), strict=True)}
    metal = np.concatenate(list(rails.values()))
    shapes = {"metal1": metal, "outline": np.array([(0, 0, width, ROW_NM)])}
    return DrawnCell(name=name, width_nm=width, shapes=shapes, nets=rails, accesses_nm={})
