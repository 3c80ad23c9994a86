"""Illumination sources: how bright each direction of the illumination is, in the coordinates of the pupil.

A direction is ``(sigma_y, sigma_x)``: the illumination's spatial frequency over ``NA / wavelength``, so a sigma of 1
reaches the rim of the pupil. Only the shape matters; imaging normalises the total. A round edge may be blurred: with
``edge_sigma`` above 0 a step becomes the integral of a normal density of that standard deviation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Protocol, get_type_hints

import numpy as np
from scipy.special import ndtr

from maskopt_lib.errors import OptionError, UnknownNameError

# Points of a source from its middle to its rim; more of them say nothing more, and take GiB.
_LARGEST_HALF = 1000


def check_finite(settings: Any) -> None:
    """See to it that every number among the fields of a dataclass is one, and finite.

    Raises
    ------
    ValueError : names the field.
    """
    for name, kind in get_type_hints(type(settings)).items():
        value = getattr(settings, name)
        if kind in (float, float | None, tuple[float, ...]) and value is not None:
            for part in value if isinstance(value, tuple) else (value,):
                if isinstance(part, bool) or not isinstance(part, Real) or not math.isfinite(part):
                    raise ValueError(f"{name} must be a finite number, got {value!r:.80}")


class Source(Protocol):
    """What imaging asks of a source."""

    @property
    def sigma_max(self) -> float:
        """Radius in sigma beyond which the source is dark."""

    def sample(self, step_sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Source points ``sigma_y``, ``sigma_x`` and weights, each (point,), the weights with sum 1."""


class _Shape:
    """Sources given as a formula, sampled on a square grid with a point at the origin."""

    def intensity(self, sigma_y: np.ndarray, sigma_x: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    @property
    def sigma_max(self) -> float:
        raise NotImplementedError

    def sample(self, step_sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Source points and weights on a square grid of ``step_sigma``.

        Parameters
        ----------
        step_sigma : distance of neighbouring points. A source smaller than a step shrinks to its centre of mass.

        Returns
        -------
        sigma_y, sigma_x, weight : (point,) float64; the weights are positive with sum 1.

        Notes
        -----
        Each point stands for its cell, whose mean brightness is taken over 5 x 5 points, so a sharp edge shifts
        smoothly as it moves through the grid.
        """
        if not self.sigma_max / step_sigma <= _LARGEST_HALF:
            raise OptionError(
                f"a source that reaches {self.sigma_max:g} in steps of {step_sigma:g} has over {_LARGEST_HALF} points "
                "from its middle to its rim; take a smaller sigma or coarser steps"
            )
        half = int(np.ceil(self.sigma_max / step_sigma))
        cells = np.arange(-half, half + 1) * step_sigma
        fine = (np.arange(5) - 2) / 5 * step_sigma
        axis = (cells[:, None] + fine).ravel()
        bright = self.intensity(axis[:, None], axis[None, :]).reshape(len(cells), 5, len(cells), 5).mean((1, 3))
        y, x = np.nonzero(bright > 1e-3 * bright.max())
        weight = bright[y, x]
        return cells[y], cells[x], weight / weight.sum()


def _step(distance: np.ndarray, edge_sigma: float) -> np.ndarray:
    """1 where ``distance`` is positive, 0 where negative, blurred by ``edge_sigma``."""
    if edge_sigma > 0:
        return ndtr(distance / edge_sigma)
    # The tolerance keeps a point on the edge inside, whatever the rounding, and symmetric sources symmetric.
    return (np.asarray(distance) >= -1e-9).astype(np.float64)


@dataclass(frozen=True, kw_only=True)
class AnnularSource(_Shape):
    """A ring, or a disc where ``sigma_inner`` is 0.

    Attributes
    ----------
    sigma_inner, sigma_outer : radii, ``0 <= sigma_inner < sigma_outer``.
    edge_sigma : blur of both edges.

    Examples
    --------
    >>> y, x, weight = AnnularSource(sigma_inner=0.5, sigma_outer=0.8).sample(0.02)
    >>> print(f"{np.hypot(y, x).min():.2f} {np.hypot(y, x).max():.2f} {weight.sum():.3f}")
    0.49 0.81 1.000
    """

    sigma_inner: float = 0.0
    sigma_outer: float
    edge_sigma: float = 0.0

    def __post_init__(self) -> None:
        check_finite(self)
        if not 0 <= self.sigma_inner < self.sigma_outer:
            raise ValueError(f"need 0 <= sigma_inner < sigma_outer, got {self.sigma_inner} and {self.sigma_outer}")

    @property
    def sigma_max(self) -> float:
        return self.sigma_outer + 4 * self.edge_sigma

    def intensity(self, sigma_y: np.ndarray, sigma_x: np.ndarray) -> np.ndarray:
        radius = np.hypot(sigma_y, sigma_x)
        outer = _step(self.sigma_outer - radius, self.edge_sigma)
        return outer * _step(radius - self.sigma_inner, self.edge_sigma) if self.sigma_inner > 0 else outer


def circular(sigma: float, *, edge_sigma: float = 0.0) -> AnnularSource:
    """A disc of radius ``sigma``: conventional illumination, coherent in the limit of 0.

    Examples
    --------
    >>> circular(0.7).sigma_max
    0.7
    """
    return AnnularSource(sigma_outer=sigma, edge_sigma=edge_sigma)


@dataclass(frozen=True, kw_only=True)
class PoleSource(_Shape):
    """Round poles at given angles.

    Attributes
    ----------
    angles_deg : direction of each pole, 0 along +x, 90 along +y.
    sigma_centre : distance of the poles' centres from the axis.
    sigma_radius : radius of a pole.
    edge_sigma : blur of the poles' edges.
    brightness : relative brightness of each pole; equal when empty.
    """

    angles_deg: tuple[float, ...]
    sigma_centre: float
    sigma_radius: float
    edge_sigma: float = 0.0
    brightness: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        check_finite(self)
        if not self.sigma_radius > 0 or self.sigma_centre < 0:
            raise ValueError(f"need sigma_radius > 0, sigma_centre >= 0, got {self.sigma_radius}, {self.sigma_centre}")
        if self.brightness and len(self.brightness) != len(self.angles_deg):
            raise ValueError(f"{len(self.angles_deg)} poles need as many values of brightness, got {self.brightness}")

    @property
    def sigma_max(self) -> float:
        return self.sigma_centre + self.sigma_radius + 4 * self.edge_sigma

    def intensity(self, sigma_y: np.ndarray, sigma_x: np.ndarray) -> np.ndarray:
        total = np.zeros(np.broadcast_shapes(np.shape(sigma_y), np.shape(sigma_x)))
        brightness = self.brightness or (1.0,) * len(self.angles_deg)
        for angle, value in zip(np.deg2rad(self.angles_deg), brightness, strict=True):
            radius = np.hypot(sigma_y - self.sigma_centre * np.sin(angle), sigma_x - self.sigma_centre * np.cos(angle))
            total += value * _step(self.sigma_radius - radius, self.edge_sigma)
        return total


@dataclass(frozen=True, kw_only=True)
class SectorSource(_Shape):
    """Poles cut from a ring: each spans ``opening_deg`` about its angle.

    Attributes
    ----------
    angles_deg : middle of each sector, 0 along +x, 90 along +y.
    opening_deg : full opening angle of a sector.
    sigma_inner, sigma_outer : radii of the ring.
    edge_sigma : blur of all four edges.
    """

    angles_deg: tuple[float, ...]
    opening_deg: float
    sigma_inner: float
    sigma_outer: float
    edge_sigma: float = 0.0

    def __post_init__(self) -> None:
        check_finite(self)
        if not 0 < self.opening_deg <= 360:
            raise ValueError(f"a sector opens by more than 0 and at most 360 degrees, got {self.opening_deg}")
        self._ring  # noqa: B018  the ring checks its own radii

    @property
    def _ring(self) -> AnnularSource:
        return AnnularSource(sigma_inner=self.sigma_inner, sigma_outer=self.sigma_outer, edge_sigma=self.edge_sigma)

    @property
    def sigma_max(self) -> float:
        return self._ring.sigma_max

    def intensity(self, sigma_y: np.ndarray, sigma_x: np.ndarray) -> np.ndarray:
        angle = np.rad2deg(np.arctan2(sigma_y, sigma_x))
        off_deg = np.min([np.abs((angle - middle + 180) % 360 - 180) for middle in self.angles_deg], axis=0)
        inside = np.deg2rad(self.opening_deg / 2 - off_deg) * np.hypot(sigma_y, sigma_x)
        return self._ring.intensity(sigma_y, sigma_x) * _step(inside, self.edge_sigma)


_DIPOLE_ANGLES = {"x": (0.0, 180.0), "y": (90.0, 270.0)}
_QUADRUPOLE_ANGLES = {"cross": (0.0, 90.0, 180.0, 270.0), "quasar": (45.0, 135.0, 225.0, 315.0)}


def dipole(axis: str, *, sigma_centre: float, sigma_radius: float, edge_sigma: float = 0.0) -> PoleSource:
    """Two round poles on the x or the y axis.

    Examples
    --------
    >>> dipole("y", sigma_centre=0.7, sigma_radius=0.2).angles_deg
    (90.0, 270.0)
    """
    return _poles(axis, _DIPOLE_ANGLES, sigma_centre, sigma_radius, edge_sigma)


def quadrupole(orientation: str, *, sigma_centre: float, sigma_radius: float, edge_sigma: float = 0.0) -> PoleSource:
    """Four round poles, on the axes (``"cross"``) or on the diagonals (``"quasar"``).

    Examples
    --------
    >>> quadrupole("quasar", sigma_centre=0.7, sigma_radius=0.2).angles_deg
    (45.0, 135.0, 225.0, 315.0)
    """
    return _poles(orientation, _QUADRUPOLE_ANGLES, sigma_centre, sigma_radius, edge_sigma)


def _poles(
    name: str, known: dict[str, tuple[float, ...]], sigma_centre: float, sigma_radius: float, edge_sigma: float
) -> PoleSource:
    if name not in known:
        raise UnknownNameError(f"unknown orientation {name!r}; known: {', '.join(known)}")
    return PoleSource(
        angles_deg=known[name], sigma_centre=sigma_centre, sigma_radius=sigma_radius, edge_sigma=edge_sigma
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class PixelSource:
    """A measured or fitted source: one point a pixel.

    Attributes
    ----------
    values : (y, x) brightness of the pixels, not negative, both sides odd; the middle pixel is the optical axis.
    step_sigma : distance of neighbouring pixels.
    """

    values: np.ndarray
    step_sigma: float

    def __post_init__(self) -> None:
        check_finite(self)
        values = np.asarray(self.values, dtype=np.float64)
        if values.ndim != 2 or values.shape[0] % 2 == 0 or values.shape[1] % 2 == 0:
            raise ValueError(f"a source map is (y, x) with odd sides, its middle on the axis; got shape {values.shape}")
        if not np.isfinite(values).all() or values.min() < 0 or values.max() <= 0:
            raise ValueError("a source map holds finite values that are not negative, at least one of them positive")
        if not self.step_sigma > 0:
            raise ValueError(f"step_sigma must be above 0, got {self.step_sigma}")
        object.__setattr__(self, "values", values)

    def _points(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        y, x = np.nonzero(self.values)
        half_y, half_x = self.values.shape[0] // 2, self.values.shape[1] // 2
        return (y - half_y) * self.step_sigma, (x - half_x) * self.step_sigma, self.values[y, x]

    @property
    def sigma_max(self) -> float:
        y, x, _ = self._points()
        return float(np.hypot(y, x).max())

    def sample(self, step_sigma: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The map's own pixels, whatever ``step_sigma`` says: there is nothing between them."""
        y, x, weight = self._points()
        return y, x, weight / weight.sum()


def source_map(source: Source, *, step_sigma: float = 0.02) -> tuple[Sequence[float], np.ndarray]:
    """A source as a picture.

    Parameters
    ----------
    source : any source.
    step_sigma : side of a pixel; for a :class:`PixelSource` its own.

    Returns
    -------
    axis, values : (n,) sigma of the pixel centres, the same along y and x, and (n, n) weights with sum 1.
    """
    step = source.step_sigma if isinstance(source, PixelSource) else step_sigma
    y, x, weight = source.sample(step)
    half = max(1, int(np.ceil(1.0 / step)), int(np.rint(max(np.abs(y).max(), np.abs(x).max()) / step)))
    values = np.zeros((2 * half + 1, 2 * half + 1))
    values[np.rint(y / step).astype(int) + half, np.rint(x / step).astype(int) + half] = weight
    return np.arange(-half, half + 1) * step, values
