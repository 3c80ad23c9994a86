"""What a polygon must be before anything is done with it: closed, simple, on a grid, of some area."""

from fractions import Fraction

import numpy as np

_CHUNK = 64  # edges compared at a time with those that begin before the last of them ends


def signed_area(points: np.ndarray) -> float:
    """Signed area of one ring of (n, 2) points; positive when it runs counter-clockwise."""
    x, y = (points - points[0]).T
    return 0.5 * float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def to_nm(units: np.ndarray, unit_nm: float | Fraction) -> np.ndarray:
    """Database units in nm, correctly rounded: 400 units of 0.3 nm are 120.0, 650 of 0.1 nm are 65.0."""
    unit = Fraction(unit_nm).limit_denominator(10**6)
    return units * unit.numerator / unit.denominator


def split_keyholes(points: np.ndarray) -> list[np.ndarray]:
    """Rings of a polygon whose holes are joined to its outside by bridges that are walked in both directions.

    Parameters
    ----------
    points : (n, 2) vertices; the last one joins the first.

    Returns
    -------
    The outer ring and the rings of the holes; just ``[points]`` where there is no bridge.
    """
    n = len(points)
    nxt = np.roll(points, -1, axis=0)
    ways: dict[tuple, list[int]] = {}
    for i in range(n):
        ways.setdefault((*points[i], *nxt[i]), []).append(i)
    follower = np.roll(np.arange(n), -1)  # edge i is followed by edge follower[i]
    gone = np.zeros(n, dtype=bool)
    partner = {}
    for i in range(n):
        back = ways.get((*nxt[i], *points[i]), ())
        j = next((j for j in back if j > i and not gone[j]), None)
        if j is None or gone[i] or j == i + 1 or (i == 0 and j == n - 1):  # a spike is a fault, not a bridge
            continue
        gone[[i, j]] = True
        partner[i], partner[j] = j, i
    if not gone.any():
        return [points]
    # Leaving out both sides of a bridge, what came before one side continues with what came after the other.
    rings, seen = [], gone.copy()
    for first in range(n):
        if seen[first]:
            continue
        ring, i = [], first
        while not seen[i]:
            seen[i] = True
            ring.append(i)
            i = follower[i]
            for _ in range(n):
                if not gone[i]:
                    break
                i = follower[partner[i]]
        rings.append(points[ring])
    return rings


def fault_of(points: np.ndarray, *, keyholes: bool = False) -> str | None:
    """What is wrong with a polygon, in words that name the place, or None for a simple one.

    Parameters
    ----------
    points : (n, 2) vertices in nm; the last one joins the first. Whole numbers are compared exactly.
    keyholes : accept holes that are joined to the outside by a bridge walked in both directions.

    Examples
    --------
    >>> fault_of(np.array([(0, 0), (2, 2), (2, 0), (0, 2)]))
    'its edges 1 and 3 cross or touch near (1, 1) nm'
    """
    if len(points) < 3:
        return f"it has {len(points)} points, a polygon needs at least 3"
    if not np.all(np.isfinite(points)):
        return "it has a coordinate that is not finite"
    same = np.all(points == np.roll(points, -1, axis=0), axis=1)
    if same.any():
        i = int(np.flatnonzero(same)[0])
        return f"its points {i + 1} and {(i + 1) % len(points) + 1} are both {_at(points[i])}"
    if touch := _touching(split_keyholes(points) if keyholes else [points]):
        return touch
    return "its area is 0" if signed_area(points) == 0 else None


def _at(point: np.ndarray) -> str:
    return f"({point[0]:g}, {point[1]:g}) nm"


def _touching(rings: list[np.ndarray]) -> str | None:
    """The first pair of edges that meet anywhere but where they follow each other."""
    start = np.concatenate(rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    follower = np.concatenate([np.roll(np.arange(len(ring)), -1) for ring in rings])
    offset = np.repeat(np.cumsum([0] + [len(ring) for ring in rings[:-1]]), [len(ring) for ring in rings])
    follower += offset
    low, high = np.minimum(start, end), np.maximum(start, end)
    order = np.argsort(low[:, 0], kind="stable")
    begins = low[order, 0]
    for first in range(0, len(order), _CHUNK):
        block = order[first : first + _CHUNK]
        others = order[first : np.searchsorted(begins, high[block, 0].max(), side="right")]
        near = np.all((low[block, None] <= high[None, others]) & (low[None, others] <= high[block, None]), axis=2)
        i, j = np.nonzero(near)
        i, j = block[i[j > i]], others[j[j > i]]
        i, j = np.minimum(i, j), np.maximum(i, j)
        a, b, c, d = start[i], end[i], start[j], end[j]
        meet = (_side(a, b, c) * _side(a, b, d) <= 0) & (_side(c, d, a) * _side(c, d, b) <= 0)
        i_then_j, j_then_i = follower[i] == j, follower[j] == i
        # Edges that follow each other share one point; they fault only by turning straight back.
        spike = (i_then_j & _turns_back(a, b, d)) | (j_then_i & _turns_back(c, d, b))
        fault = (meet & ~(i_then_j | j_then_i)) | spike
        if fault.any():
            k = int(np.flatnonzero(fault)[0])
            if spike[k]:
                return f"it turns straight back at {_at(b[k] if i_then_j[k] else d[k])}"
            place = _meeting(a[k], b[k], c[k], d[k])
            return f"its edges {i[k] + 1} and {j[k] + 1} cross or touch near {_at(place)}"
    return None


def _side(a: np.ndarray, b: np.ndarray, p: np.ndarray) -> np.ndarray:
    """+1, 0, -1 for points left of, on and right of the lines a-b."""
    return np.sign((b[:, 0] - a[:, 0]) * (p[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (p[:, 0] - a[:, 0]))


def _turns_back(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    return (_side(a, b, c) == 0) & (np.sum((b - a) * (c - b), axis=1) < 0)


def _meeting(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    cross = (b - a)[0] * (d - c)[1] - (b - a)[1] * (d - c)[0]
    if cross == 0:  # collinear: an end of one lies on the other
        low, high = np.minimum(a, b), np.maximum(a, b)
        return next((p for p in (c, d) if np.all((low <= p) & (p <= high))), a)
    t = ((c - a)[0] * (d - c)[1] - (c - a)[1] * (d - c)[0]) / cross
    return a + t * (b - a)
