"""Straight edges of a target along y and x, told from the steps of a curve in its raster."""

import numpy as np

#: An outline counts as curved where more than this share of it runs in steps shorter than so many pixels, or where so
#: many of its steps follow each other in one direction.
_CURVED_SHARE, _STEP_PIXELS, _FLIGHT = 0.2, 3, 3
# A flight's steps are not longer than this, in pixels; the last steps before a curve's top are.
_FLIGHT_STEP_PX = 20
#: How deep beside an edge its outline is followed, in nm; where it moves on by less than `_CORNER_NM` before `_RIM_NM`,
#: and beyond, there is a corner, sharp or rounded by up to 20 nm.
_DEPTH_NM, _RIM_NM, _CORNER_NM = 24.0, 2.0, 15.0
#: A straight edge that a curve ends is at least this long; sites keep this away from where the curve begins, in nm.
_SHORTEST_NM, _MARGIN_NM = 30.0, 5.0
# How much of what curves add to an edge in a raster, nm for a slope of one root of a nm, is left by a fit on 4 nm.
_LEFT_OVER = 1.2
# A fit may be off by so many pixels, or this share of all that the outline moves on; else there is no one curve.
_OFF_PX, _OFF_SHARE = 2.0, 0.25


def edges(image: np.ndarray) -> np.ndarray:
    """(edge, 4) int: line, start, stop and outward sign of every straight edge whose normal is along axis 0."""
    step = np.diff(np.pad(image, 1).astype(np.int8), axis=0)  # step[i] is the change across line i
    sides = []
    for outward in (-1, 1):
        run = np.diff((step == -outward).astype(np.int8), axis=1)
        line, start = np.nonzero(run == 1)
        _, stop = np.nonzero(run == -1)
        sides.append(np.stack([line, start, stop, np.full_like(line, outward)], axis=1))
    found = np.concatenate(sides)
    return found[np.lexsort(found.T[::-1])]


def is_manhattan(image: np.ndarray) -> bool:
    """Whether the outline of a (y, x) bool image runs along y and x, without curves and slants.

    Notes
    -----
    A raster has no other edges; those of curves are short, or follow each other as stairs, a pixel or two high and all
    in one direction. Single steps of that height are taken for drawn ones.
    """
    n_short = n_all = n_stairs = 0
    for turned in (image, image.T):
        found = edges(turned)
        length = found[:, 2] - found[:, 1]
        n_short += int(length[length < _STEP_PIXELS].sum())
        n_all += int(length.sum())
        n_stairs += _stairs(turned, found[length < _FLIGHT_STEP_PX])
    return n_short <= _CURVED_SHARE * max(n_all, 1) and n_stairs < _FLIGHT


def straight_edges(image: np.ndarray, pixel_nm: float, *, is_manhattan: bool) -> np.ndarray:
    """(edge, 4) straight edges with normals along axis 0: line, start and stop in nm, outward sign.

    Parameters
    ----------
    image : (y, x) bool.
    pixel_nm : side of a pixel in nm.
    is_manhattan : then every edge of the raster is one.

    Notes
    -----
    At an end the outline is followed to a depth of 24 nm. Where it hardly moves on there is a corner, sharp or rounded
    by up to 20 nm, and the edge reaches to the corner. Otherwise a curve leaves the edge. In its raster the edge is too
    long then, by more on larger pixels, for a curve of radius R leaves its tangent as ``sqrt(2 R depth)``; where it
    began is the intercept of that law, fitted to the outline. What is left is an edge from 30 nm on, and from what the
    fit can tell: the flat top of a circle has nothing left. Sites keep 5 nm away from such an end, so that their number
    hangs on no single pixel.
    """
    if is_manhattan:
        return edges(image) * np.array([pixel_nm, pixel_nm, pixel_nm, 1])
    found = []
    for line, start, stop, outward in edges(image).tolist():
        if (stop - start) * pixel_nm < _SHORTEST_NM / 2:
            continue
        facing, at = (image, line) if outward < 0 else (image[::-1], len(image) - line)
        high, slope_high = _end_nm(facing, at, stop, pixel_nm)
        low, slope_low = _end_nm(facing[:, ::-1], at, image.shape[1] - start, pixel_nm)
        low = image.shape[1] * pixel_nm - low
        if not np.isfinite(high - low):
            continue
        if slope_low or slope_high:
            if high - low < max(_SHORTEST_NM, _LEFT_OVER * (slope_low + slope_high)):
                continue
            low, high = low + _MARGIN_NM * (slope_low > 0), high - _MARGIN_NM * (slope_high > 0)
        found.append((line * pixel_nm, low, high, outward))
    return np.array(found, float).reshape(-1, 4)


def _stairs(image: np.ndarray, found: np.ndarray) -> int:
    """How many edges are steps of stairs: the outline turns inwards at one end, outwards at the other, and goes on by a
    pixel or two at both."""
    padded = np.pad(image, _STEP_PIXELS)
    line, start, stop, outward = (found + np.array([_STEP_PIXELS, _STEP_PIXELS, _STEP_PIXELS, 0])).T
    inside = np.where(outward < 0, line, line - 1)  # row of the material that the edge bounds
    turns_in, is_low = [], []
    for column in (start - 1, stop):
        beside = [padded[inside + k * outward, column] for k in range(1 - _STEP_PIXELS, _STEP_PIXELS + 1)]
        turns_in.append(~beside[_STEP_PIXELS - 1])
        is_low.append(np.where(turns_in[-1], np.any(beside[: _STEP_PIXELS - 1], 0), ~np.all(beside[_STEP_PIXELS:], 0)))
    return int(np.sum(is_low[0] & is_low[1] & (turns_in[0] != turns_in[1])))


def _end_nm(image: np.ndarray, line: int, stop: int, pixel_nm: float) -> tuple[float, float]:
    """Where an edge along the upper side of rows from ``line`` on ends, to the right, and the curve's slope there: nm
    for a root of a nm of depth, 0 at a corner."""
    n_y, n_x = image.shape
    goes_on = stop < n_x and line < n_y and image[line, stop]  # then the outline turns outwards: follow the background
    way = -1 if goes_on else 1
    row, value = (line - 1, False) if goes_on else (line, True)
    n_rows = max(2, round(_DEPTH_NM / pixel_nm))
    beyond = np.zeros(n_rows)
    for k in range(1, n_rows):
        y = row + way * k
        if not 0 <= y < n_y or image[y, stop - 1] != value:
            beyond[k:] = beyond[k - 1]
            break
        others = image[y, stop:] != value
        beyond[k] = np.argmax(others) if others.any() else len(others)
    depth, at_nm = (np.arange(n_rows) + 0.5) * pixel_nm, (stop + beyond) * pixel_nm
    rim_nm = np.interp(_RIM_NM, depth, at_nm)
    if max(at_nm[-1] - rim_nm, rim_nm - at_nm[0]) <= _CORNER_NM:
        return float(at_nm[-1]), 0.0
    # The drawn edge lies up to half a pixel beside the raster's: of five places the one that the law fits best.
    fits = []
    for beside_nm in np.linspace(-pixel_nm / 2, pixel_nm / 2, 5):
        root = np.sqrt(depth + beside_nm)
        law = np.polynomial.Polynomial.fit(root, at_nm, 1)
        fits.append((float(np.abs(law(root) - at_nm).max()), *law.convert().coef.tolist()))
    off_nm, start, slope = min(fits)
    if off_nm > max(_OFF_PX * pixel_nm, _OFF_SHARE * np.ptp(at_nm)):
        is_drawn = np.flatnonzero(beyond)[0] >= _STEP_PIXELS  # a step of the layout, else one of stairs
        return (stop * pixel_nm, 0.0) if is_drawn else (-np.inf, 0.0)
    return start, slope
