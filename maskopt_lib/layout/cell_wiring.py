"""Metal 1 inside a standard cell: a maze router on a small grid, after PathFinder's negotiation.

The grid has four columns to a gate pitch and eight rows between the rails. Wires are as wide as a row, so two nets may
stand in neighbouring rows at any distance, but in one row only ``REACH`` columns apart. Nets are routed one after the
other with a cost on conflicts with the others, and on places of earlier conflicts, until there are none (McMurchie and
Ebeling, FPGA 1995).
"""

import heapq
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from maskopt_lib.errors import LayoutError

#: Rows between the rails.
N_ROWS = 8
#: Nodes of one row that are closer than this many columns and one belong to one net.
REACH = 2
# Cost of a step across the rows, of a step along a row, of a conflict now, and of one in each pass before. Of several
# tried, these wired the most of sixty random orders of the larger cells.
_STEP, _ALONG, _CONFLICT, _HISTORY = 1.0, 0.4, 1.5, 2.0
_MOST_PASSES = 120

Node = tuple[int, int]
Pattern = tuple[Node, ...]


@dataclass(kw_only=True, eq=False)
class Wire:
    """What one net has: nodes and the steps between them.

    Attributes
    ----------
    nodes : (row, column) of the grid.
    steps : pairs of neighbouring nodes that metal joins, each in rising order.
    contacts : for each terminal, in their order, the pattern that was chosen.
    """

    nodes: set[Node] = field(default_factory=set)
    steps: set[tuple[Node, Node]] = field(default_factory=set)
    contacts: list[Pattern] = field(default_factory=list)


def route(
    n_columns: int, fixed: Mapping[str, Iterable[Node]], nets: Mapping[str, Sequence[Sequence[Pattern]]]
) -> dict[str, Wire]:
    """Join the terminals of each net without coming too close to another one: net -> its wire.

    Parameters
    ----------
    n_columns : columns of the grid.
    fixed : nodes that are taken: net -> nodes. Those of another net are never used.
    nets : net -> terminals; a terminal is the patterns that would do, each a straight row of nodes that is then metal.

    Raises
    ------
    LayoutError : no solution within the passes; names the nets that are in conflict.
    """
    blocked = {near for nodes in fixed.values() for node in nodes for near in _near(node, n_columns)}
    terminals = {
        net: [[p for p in patterns if not blocked.intersection(p)] for patterns in many] for net, many in nets.items()
    }
    history: dict[Node, float] = {}
    covers: dict[str, set[Node]] = {}
    wires: dict[str, Wire] = {}
    for _ in range(_MOST_PASSES):
        for net, many in terminals.items():
            covers.pop(net, None)
            counts: dict[Node, int] = {}
            for cover in covers.values():
                for node in cover:
                    counts[node] = counts.get(node, 0) + 1
            extra = {node: history.get(node, 0.0) + _CONFLICT * n for node, n in counts.items()}
            wires[net] = _joined(net, many, n_columns, blocked, extra)
            covers[net] = {near for node in wires[net].nodes for near in _near(node, n_columns)}
        clashes = {
            net: {node for other, cover in covers.items() if other != net for node in wires[net].nodes & cover}
            for net in wires
        }
        if not any(clashes.values()):
            return wires
        for nodes in clashes.values():
            for node in nodes:
                history[node] = history.get(node, 0.0) + _HISTORY
    raise LayoutError(f"no wiring without conflicts; left: {', '.join(n for n, c in clashes.items() if c)}")


def _near(node: Node, n_columns: int) -> list[Node]:
    row, column = node
    return [(row, c) for c in range(max(column - REACH, 0), min(column + REACH + 1, n_columns))]


def _joined(
    net: str, terminals: Sequence[Sequence[Pattern]], n_columns: int, blocked: set[Node], extra: Mapping[Node, float]
) -> Wire:
    """One net: from the tree so far to the nearest pattern of any terminal that is left, until none is."""
    wire = Wire(contacts=[()] * len(terminals))
    left = set(range(len(terminals)))
    while left:
        targets: dict[Node, tuple[float, int, Pattern]] = {}
        for number in sorted(left):
            for pattern in terminals[number]:
                cost = sum(_STEP + extra.get(node, 0.0) for node in pattern if node not in wire.nodes)
                for node in pattern:
                    if node not in targets or cost < targets[node][0]:
                        targets[node] = (cost, number, pattern)
        if not targets:
            raise LayoutError(f"net {net}: a terminal has no free place")
        start = {node: 0.0 for node in sorted(wire.nodes)}
        if not start:  # the first terminal may begin with any of its patterns
            cheapest = min((cost, pattern) for cost, number, pattern in targets.values() if number == min(left))
            left.discard(min(left))
            _add(wire, cheapest[1])
            wire.contacts[0] = cheapest[1]
            continue
        path, number, pattern = _path(net, start, targets, n_columns, blocked, extra)
        wire.nodes.update(path)
        wire.steps.update(tuple(sorted(pair)) for pair in itertools.pairwise(path))
        _add(wire, pattern)
        wire.contacts[number] = pattern
        left.discard(number)
    return wire


def _add(wire: Wire, pattern: Pattern) -> None:
    wire.nodes.update(pattern)
    wire.steps.update(itertools.pairwise(sorted(pattern)))


def _path(net, start, targets, n_columns, blocked, extra) -> tuple[list[Node], int, Pattern]:
    """Dijkstra; a target is reached at the cost of its node and of what its pattern still needs."""
    heap = [(cost, node, None) for node, cost in start.items()]
    heapq.heapify(heap)
    came: dict[Node, Node | None] = {}
    best: tuple[float, Node] | None = None
    while heap:
        cost, node, before = heapq.heappop(heap)
        if best is not None and cost >= best[0]:
            break
        if node in came:
            continue
        came[node] = before
        if node in targets and (best is None or cost + targets[node][0] < best[0]):
            best = (cost + targets[node][0], node)
        row, column = node
        for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if 0 <= near[0] < N_ROWS and 0 <= near[1] < n_columns and near not in blocked and near not in came:
                step = _ALONG if near[0] == row else _STEP
                heapq.heappush(heap, (cost + step + extra.get(near, 0.0), near, node))
    if best is None:
        raise LayoutError(f"net {net}: no way to a terminal")
    node = best[1]
    _, number, pattern = targets[node]
    path = []
    while node is not None:
        path.append(node)
        node = came[node]
    return path[::-1], number, pattern
