"""What a designer of photonic devices has today beside ILT: one bias, a rule by density, or edges fed back.

All move the outline of a target along its normal, by a length that may vary from place to place. Masks are binary, so
an edge along x or y moves in whole pixels.
"""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.litho import Simulator
from maskopt_lib.opc.distances import signed_distance

#: How far a rule looks around an edge, and over which length an edge moves as one, in ``wavelength / NA``.
SEEN, TOGETHER = 0.35, 0.15
#: No edge moves farther, in ``wavelength / NA``.
FARTHEST = 0.25
# Share of the measured error that a step of the feedback takes back.
_GAIN = 0.7


def moved(target: np.ndarray, by_nm: np.ndarray | float, pixel_nm: float) -> np.ndarray:
    """(y, x) uint8: a binary image whose outline has moved outwards, everywhere alike or as an image says."""
    return (signed_distance(target) * pixel_nm + by_nm >= 0).astype(np.uint8)


def density(target: np.ndarray, unit_nm: float, pixel_nm: float) -> np.ndarray:
    """Share of silicon around each place: 1/2 at a straight edge of something large, 1/4 at its corner."""
    return gaussian_filter(target.astype(np.float32), SEEN * unit_nm / pixel_nm, mode="constant")


def fitted_rule(target: np.ndarray, sim: Simulator, unit_nm: float, pixel_nm: float) -> tuple[float, float]:
    """Bias and its slope over density that take back, on average, what an uncorrected target prints off its place.

    Returns
    -------
    (bias_nm, slope_nm): an edge moves outwards by ``bias_nm + slope_nm (density - 1/2)``. By least squares along the
    outline, lost places apart; with the slope a convex corner gets a round serif, a concave one loses. Where edges are
    near each other they print farther than they move, so of shares of that slope the one that prints best is taken.
    """
    error, y, x = _errors(target, target, sim, pixel_nm)
    around = density(target, unit_nm, pixel_nm)[_pixels(y, x, target, pixel_nm)] - 0.5
    known = np.isfinite(error)
    if not known.any():
        return 0.0, 0.0
    slope, bias = np.polyfit(around[known], -error[known], 1)
    rules = [(float(bias), float(share * slope)) for share in (1.0, 0.75, 0.5, 0.25, 0.0)]
    return min(rules, key=lambda rule: _worth(rule_mask(target, rule, unit_nm, pixel_nm), target, sim, pixel_nm))


def rule_mask(target: np.ndarray, rule: tuple[float, float], unit_nm: float, pixel_nm: float) -> np.ndarray:
    """A target whose edges move by a rule of :func:`fitted_rule`."""
    bias, slope = rule
    by_nm = bias + slope * (density(target, unit_nm, pixel_nm) - 0.5)
    return moved(target, np.clip(by_nm, -FARTHEST * unit_nm, FARTHEST * unit_nm), pixel_nm)


def fed_back(target: np.ndarray, sim: Simulator, unit_nm: float, pixel_nm: float, *, n_steps: int = 3) -> np.ndarray:
    """Model-based OPC of curved outlines: each place moves against its own contour error, step by step.

    Notes
    -----
    An error that is measured on the outline moves what lies beside it, averaged along it by a Gaussian of
    :data:`TOGETHER`; a place that is lost counts as off by the search limit, inwards.
    """
    total = np.zeros(target.shape, np.float32)
    sigma, reach_nm = TOGETHER * unit_nm / pixel_nm, 1.2 * FARTHEST * unit_nm
    y, x = np.nonzero(np.abs(signed_distance(target)) * pixel_nm < reach_nm)
    mask = target
    for _ in range(n_steps):
        error, *places = _errors(mask, target, sim, pixel_nm)
        if not len(error):
            break
        error = np.where(np.isfinite(error), error, -metrics.epe.SEARCH_NM)
        _, near = cKDTree(np.stack(places, 1)).query(np.stack([y + 0.5, x + 0.5], 1) * pixel_nm)
        step, there = np.zeros_like(total), np.zeros_like(total)
        step[y, x], there[y, x] = error[near], 1.0
        smooth = gaussian_filter(step, sigma) / np.maximum(gaussian_filter(there, sigma), 1e-3)
        total = np.clip(total - _GAIN * smooth, -FARTHEST * unit_nm, FARTHEST * unit_nm)
        mask = moved(target, np.where(np.abs(total) > 0, total, 0.0), pixel_nm)
    return mask


def best_bias(target: np.ndarray, sim: Simulator, pixel_nm: float, *, most: int = 8) -> float:
    """The bias in whole pixels with the least mean contour error, searched from none upwards and downwards."""

    def worth(pixels: int) -> float:
        return _worth(moved(target, pixels * pixel_nm, pixel_nm), target, sim, pixel_nm)

    best, least = 0, worth(0)
    for way in (1, -1):
        for pixels in range(way, way * (most + 1), way):
            found = worth(pixels)
            if found >= least:
                break
            best, least = pixels, found
    return best * pixel_nm


def drawing(make: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], tuple[np.ndarray, float, None]]:
    """A function from target to mask in the form that :func:`~maskopt_lib.study.areas.own_layout.drawn` takes."""
    import time

    def draw(target: np.ndarray) -> tuple[np.ndarray, float, None]:
        begun = time.perf_counter()
        return make(target), time.perf_counter() - begun, None

    return draw


def _worth(mask: np.ndarray, target: np.ndarray, sim: Simulator, pixel_nm: float) -> float:
    """Mean absolute contour error, lost places at the search limit."""
    error, *_ = _errors(mask, target, sim, pixel_nm)
    return float(np.where(np.isfinite(error), np.abs(error), metrics.epe.SEARCH_NM).mean())


def _errors(mask: np.ndarray, target: np.ndarray, sim: Simulator, pixel_nm: float) -> tuple[np.ndarray, ...]:
    """Contour error along a target's outline, nominal print, with the places' y and x in nm."""
    image = sim.aerial(mask.astype(np.float32), corners=[schema.NOMINAL])[0].cpu().numpy()
    places = metrics.contour_error(image, target, pixel_nm=pixel_nm, threshold=sim.threshold)
    return tuple(places[name].values for name in ("contour_error_nm", "y_nm", "x_nm"))


def _pixels(y_nm: np.ndarray, x_nm: np.ndarray, image: np.ndarray, pixel_nm: float) -> tuple[np.ndarray, np.ndarray]:
    return tuple((at / pixel_nm).astype(int).clip(0, len(image) - 1) for at in (y_nm, x_nm))
