"""What the imaging system is (:class:`OpticalSystem`), and how finely it is computed (:class:`ImagingNumerics`)."""

import math
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
from scipy.special import ndtr

from maskopt_lib.errors import UnknownNameError
from maskopt_lib.optics.source import Source, check_finite

OBLIQUITIES = ("none", "aplanatic")
POLARISATIONS = ("scalar", "x", "y", "unpolarised", "azimuthal", "radial", "tangential")
#: Largest change of the intensity, relative to an open frame, where nothing else is said.
ACCURACY = 5e-3
# Window of a field whose size nobody says, and the largest pixel, in units of wavelength / NA.
_WINDOW, _PIXEL = 4.0, 1 / 48
# Beyond this distance, in units of wavelength / (2 pi NA), sampled sources repeat what they are near the axis.
_FARTHEST = 150.0


@dataclass(frozen=True, kw_only=True)
class OpticalSystem:
    """A projection system with a thin mask, scalar or with polarised light.

    Attributes
    ----------
    wavelength_nm : vacuum wavelength.
    na : numerical aperture on the wafer side, below ``immersion_index``.
    immersion_index : refractive index of the medium above the wafer; 1 is dry, 1.44 water at 193 nm.
    source : illumination; see :mod:`maskopt_lib.optics.source`.
    defocus_nm : distance of the image plane from best focus.
    focus_spread_nm : standard deviation of the plane's position while the image forms (bandwidth of the laser, stage,
        depth of the resist); the images of the two planes at plus and minus this distance are averaged.
    zernike_waves : pairs of Noll index and coefficient in waves RMS, e.g. ``((7, 0.02), (8, -0.01))``.
    edge : softness of the pupil's rim in units of its radius: the standard deviation of the normal density that blurs
        the step; 0 is a clear circular pupil.
    obliquity : ``"none"``, or ``"aplanatic"`` for the radiometric factor ``(cos object / cos image) ** 1/2`` of a
        reducing lens.
    polarisation : ``"scalar"``, or the polarisation of the light at the source: ``"x"``, ``"y"``, ``"unpolarised"``,
        ``"azimuthal"`` (across the direction from the axis to the source point, also called TE), ``"radial"``, or
        ``"tangential"``, the plain TE of a cross quadrupole: y where ``|sigma_x| >= |sigma_y|``, else x.
    image_index : refractive index in which the directions of polarised rays are taken; ``None`` takes
        ``immersion_index``. Directions enter as ``sin = NA rho / image_index``.
    tm_gain : a polarised ray's component in its plane of incidence (TM) is ``exp(tm_gain rho^2)`` times as strong, as
        an interface that favours it would make it. 0 is the ideal lens.
    reduction : how much smaller the image is than the mask; used by ``"aplanatic"`` only.
    clear_field : intensity of a clear mask before the sum of coherent systems is truncated.
    """

    wavelength_nm: float = 193.0
    na: float
    immersion_index: float = 1.0
    source: Source
    defocus_nm: float = 0.0
    focus_spread_nm: float = 0.0
    zernike_waves: tuple[tuple[int, float], ...] = ()
    edge: float = 0.0
    obliquity: str = "none"
    polarisation: str = "scalar"
    image_index: float | None = None
    tm_gain: float = 0.0
    reduction: float = 4.0
    clear_field: float = 1.0

    def __post_init__(self) -> None:
        check_finite(self)
        for index, waves in self.zernike_waves:
            is_number = isinstance(index, int) and isinstance(waves, Real) and not isinstance(index, bool)
            if not (is_number and 1 <= index <= 400 and -100 < waves < 100):
                raise ValueError(
                    f"zernike_waves pairs Noll's indices, 1 to 400, and coefficients in waves, got {index!r}: {waves!r}"
                )
        if not 0 < self.na < self.immersion_index:
            raise ValueError(
                f"the numerical aperture must lie between 0 and the immersion index {self.immersion_index:g}, "
                f"got na={self.na!r}; set immersion_index=1.44 for water at 193 nm"
            )
        if not self.wavelength_nm > 0 or not self.clear_field > 0 or self.edge < 0:
            raise ValueError(
                f"need wavelength_nm > 0, clear_field > 0, edge >= 0; got {self.wavelength_nm}, {self.clear_field}, "
                f"{self.edge}"
            )
        if self.obliquity not in OBLIQUITIES:
            raise UnknownNameError(f"unknown obliquity {self.obliquity!r}; known: {', '.join(OBLIQUITIES)}")
        if self.polarisation not in POLARISATIONS:
            raise UnknownNameError(f"unknown polarisation {self.polarisation!r}; known: {', '.join(POLARISATIONS)}")
        if self.image_index is not None and not self.na < self.image_index:
            raise ValueError(f"image_index must exceed na={self.na:g}, got {self.image_index:g}")

    @property
    def cutoff_per_nm(self) -> float:
        """Radius of the pupil as a spatial frequency, ``NA / wavelength``, in 1/nm."""
        return self.na / self.wavelength_nm

    def pupil(self, rho_y: np.ndarray, rho_x: np.ndarray) -> np.ndarray:
        """Complex transmission of the pupil, complex128, 0 outside.

        Parameters
        ----------
        rho_y, rho_x : pupil coordinates, 1 at the rim; they broadcast.

        Notes
        -----
        Defocus is exact: ``exp(2 pi i defocus (sqrt(n^2 - (NA rho)^2) - n) / wavelength)``, with the phase on the
        axis taken out. With ``obliquity="aplanatic"`` the amplitude has the factor
        ``((1 - (NA rho / reduction)^2) / (1 - (NA rho / n)^2)) ** 1/4``. A soft rim reaches beyond 1; there the
        Zernike polynomials are continued as they are.

        Examples
        --------
        >>> from maskopt_lib.optics.source import circular
        >>> system = OpticalSystem(na=0.6, source=circular(0.5), defocus_nm=50.0)
        >>> np.round(system.pupil(np.array(0.0), np.array([0.0, 0.99, 1.01])), 3)
        array([1.  +0.j   , 0.95-0.313j, 0.  +0.j   ])
        """
        rho_y, rho_x = np.broadcast_arrays(np.asarray(rho_y, np.float64), np.asarray(rho_x, np.float64))
        rho = np.hypot(rho_y, rho_x)
        amplitude = ndtr((1 - rho) / self.edge) if self.edge > 0 else (rho <= 1).astype(np.float64)
        amplitude = np.where(amplitude < 1e-6, 0.0, amplitude)
        sine = self.na * np.minimum(rho, 0.999 * self.immersion_index / self.na)
        cosine = np.sqrt(self.immersion_index**2 - sine**2)
        if self.obliquity == "aplanatic":
            amplitude = amplitude * ((1 - (sine / self.reduction) ** 2) / (cosine / self.immersion_index) ** 2) ** 0.25
        waves = self.defocus_nm / self.wavelength_nm * (cosine - self.immersion_index)
        for index, coefficient in self.zernike_waves:
            waves = waves + coefficient * zernike(index, rho_y, rho_x)
        return amplitude * np.exp(2j * np.pi * waves)

    def fields(
        self, rho_y: np.ndarray, rho_x: np.ndarray, sigma_y: np.ndarray | float, sigma_x: np.ndarray | float
    ) -> np.ndarray:
        """Field components at the image for light of one source point.

        Parameters
        ----------
        rho_y, rho_x : pupil coordinates.
        sigma_y, sigma_x : source point, which says how the light is polarised; they broadcast against ``rho``.

        Returns
        -------
        (component, ...) complex128 whose squared moduli add up to the intensity: one component for ``"scalar"``; x, y
        and z for one polarisation; six for ``"unpolarised"``, which is half x and half y; twice as many with a focus
        spread, one group a plane.

        Notes
        -----
        A ray keeps its component across the plane of incidence (TE, ``s``); the one in the plane (TM, ``p``) turns
        with the ray: ``s = (-sin f, cos f, 0)``, ``p = (cos t cos f, cos t sin f, -sin t)``, with ``f`` the azimuth in
        the pupil and ``sin t = NA rho / image_index``. On the source and mask side rays are taken as parallel.

        References
        ----------
        Flagello, Milster, Rosenbluth, Theory of high-NA imaging in homogeneous thin films, J. Opt. Soc. Am. A 13,
        53 (1996).
        """
        if self.focus_spread_nm:
            planes = (self.defocus_nm - self.focus_spread_nm, self.defocus_nm + self.focus_spread_nm)
            at_plane = [replace(self, defocus_nm=z, focus_spread_nm=0.0) for z in planes]
            return np.sqrt(0.5) * np.concatenate([lens.fields(rho_y, rho_x, sigma_y, sigma_x) for lens in at_plane])
        pupil = self.pupil(rho_y, rho_x)
        if self.polarisation == "scalar":
            return pupil[None]
        rho_y, rho_x = np.broadcast_arrays(np.asarray(rho_y, np.float64), np.asarray(rho_x, np.float64))
        rho = np.hypot(rho_y, rho_x)
        safe = np.where(rho > 0, rho, 1.0)
        cos_f, sin_f = np.where(rho > 0, rho_x / safe, 1.0), rho_y / safe
        index = self.immersion_index if self.image_index is None else self.image_index
        sine = np.minimum(self.na * rho / index, 0.999)
        cosine = np.sqrt(1 - sine**2)
        across, along = pupil, pupil * np.exp(self.tm_gain * np.minimum(rho, 1.5) ** 2)

        def turned(at_x: np.ndarray | float, at_y: np.ndarray | float) -> list[np.ndarray]:
            s, p = across * (at_y * cos_f - at_x * sin_f), along * (at_x * cos_f + at_y * sin_f)
            return [cosine * cos_f * p - sin_f * s, cosine * sin_f * p + cos_f * s, -sine * p]

        if self.polarisation == "unpolarised":
            return np.sqrt(0.5) * np.array(turned(1.0, 0.0) + turned(0.0, 1.0))
        if self.polarisation in ("x", "y"):
            return np.array(turned(1.0, 0.0) if self.polarisation == "x" else turned(0.0, 1.0))
        if self.polarisation == "tangential":
            on_x = (np.abs(sigma_x) >= np.abs(sigma_y)).astype(np.float64)
            return np.array(turned(1.0 - on_x, on_x))
        radius = np.hypot(sigma_y, sigma_x)
        # On the axis neither azimuth nor radius has a direction; x stands in.
        to_x = np.where(radius > 0, sigma_x / np.where(radius > 0, radius, 1.0), 1.0)
        to_y = np.where(radius > 0, sigma_y / np.where(radius > 0, radius, 1.0), 0.0)
        return np.array(turned(-to_y, to_x) if self.polarisation == "azimuthal" else turned(to_x, to_y))


@dataclass(frozen=True, kw_only=True)
class ImagingNumerics:
    """How finely an :class:`OpticalSystem` is computed.

    Attributes
    ----------
    period_nm : side of the periodic field; any.
    n_kernels : coherent systems kept at most; ``None`` is no bound.
    intensity_lost : what the systems left out may add to the intensity of a large edge, a square of half a
        ``wavelength / NA`` and lines at a pitch of one, at most; by default all are kept that add more than
        1e-9 of the energy.
    source_step_sigma : distance of source points.
    half_width : highest frequency index; ``None`` takes what the pupil and source reach,
        ``(1 + sigma) NA / wavelength * period_nm``.
    """

    period_nm: float = 2048.0
    n_kernels: int | None = 24
    intensity_lost: float = 0.0
    source_step_sigma: float = 0.04
    half_width: int | None = None

    def __post_init__(self) -> None:
        if not self.period_nm > 0 or not 0 < self.source_step_sigma <= 1:
            raise ValueError(
                f"need period_nm > 0 and 0 < source_step_sigma <= 1, got {self.period_nm}, {self.source_step_sigma}"
            )
        if (self.n_kernels is not None and self.n_kernels < 1) or not 0 <= self.intensity_lost < 1:
            raise ValueError(
                f"need n_kernels of 1 or more, 0 <= intensity_lost < 1, got {self.n_kernels}, {self.intensity_lost}"
            )


def zernike(index: int, rho_y: np.ndarray, rho_x: np.ndarray) -> np.ndarray:
    """Zernike polynomial of a Noll index, float64, with unit RMS over the pupil.

    Parameters
    ----------
    index : Noll's single index, from 1 (piston); 2 tilt x, 3 tilt y, 4 defocus, 5 and 6 astigmatism, 7 coma y,
        8 coma x, 9 and 10 trefoil, 11 spherical.
    rho_y, rho_x : pupil coordinates, 1 at the rim.

    References
    ----------
    Noll, Zernike polynomials and atmospheric turbulence, J. Opt. Soc. Am. 66, 207 (1976).

    Examples
    --------
    >>> zernike(4, np.array([0.0, 1.0]), np.array([0.0, 0.0])).round(4)
    array([-1.7321,  1.7321])
    """
    if index < 1:
        raise ValueError(f"Noll's index starts at 1, got {index}")
    n = (math.isqrt(8 * index - 7) - 1) // 2
    rest = index - n * (n + 1) // 2 - 1
    # Noll orders |m| ascending within n; even indices are cosines, odd ones sines.
    m = n % 2 + 2 * ((rest + (n + 1) % 2) // 2)
    rho, theta = np.hypot(rho_y, rho_x), np.arctan2(rho_y, rho_x)
    radial = sum(
        (-1) ** k * math.comb(n - k, k) * math.comb(n - 2 * k, (n - m) // 2 - k) * rho ** (n - 2 * k)
        for k in range((n - m) // 2 + 1)
    )
    if m == 0:
        return math.sqrt(n + 1) * radial
    angular = np.cos(m * theta) if index % 2 == 0 else np.sin(m * theta)
    return math.sqrt(2 * (n + 1)) * radial * angular


def optical_radius_nm(system: OpticalSystem, accuracy: float = ACCURACY) -> float:
    """The distance beyond which a feature does not change an image by more than ``accuracy``.

    Parameters
    ----------
    system : the optics.
    accuracy : intensity, relative to an open frame.

    Notes
    -----
    A clear square of side ``wavelength / (2 NA)`` sends the amplitude ``a = pi / 2 sqrt(2 / pi) v^(-3/2)`` at most to a
    point at ``v = 2 pi NA r / wavelength``: the envelope of the Airy pattern. At an edge, where the amplitude is about
    1/2, the intensity changes by ``a |mu| + a^2``, with ``mu`` the degree of coherence of the illumination (the
    source's transform, after van Cittert and Zernike), in the direction in which it is largest. Aberrations and
    defocus move light about inside of this radius more than they add to its tail.

    Examples
    --------
    >>> from maskopt_lib.optics.source import circular
    >>> system = OpticalSystem(na=0.8, source=circular(0.8))
    >>> round(optical_radius_nm(system, 1e-3)), round(optical_radius_nm(system, 1e-2))
    (602, 292)
    """
    unit_nm = system.wavelength_nm / (2 * math.pi * system.na)
    y, x, weight = system.source.sample(0.04)
    v = np.geomspace(1.0, _FARTHEST / 2, 150)
    angles = np.arange(8) * np.pi / 8
    phase = np.outer(y, np.sin(angles)) + np.outer(x, np.cos(angles))
    coherence = np.array([np.abs(weight @ np.exp(1j * distance * phase)).max() for distance in v])
    coherence = np.maximum.accumulate(coherence[::-1])[::-1]
    amplitude = math.sqrt(math.pi / 2) * v**-1.5
    beyond = np.flatnonzero(amplitude * coherence + amplitude**2 <= accuracy)
    return float(v[beyond[0]] if len(beyond) else v[-1]) * unit_nm


def pixel_for(system: OpticalSystem) -> float:
    """The largest power of two, in nm, that is at most 1/48 of ``wavelength / NA``.

    Examples
    --------
    >>> from maskopt_lib.optics.source import circular
    >>> pixel_for(OpticalSystem(na=0.8, source=circular(0.5)))
    4.0
    """
    return 2.0 ** math.floor(math.log2(_PIXEL * system.wavelength_nm / system.na))


def numerics_for(
    system: OpticalSystem,
    *,
    accuracy: float = ACCURACY,
    window_nm: float | None = None,
    pixel_nm: float | None = None,
    period_nm: float | None = None,
    n_kernels: int | None = None,
    source_step_sigma: float | None = None,
) -> ImagingNumerics:
    """Numerics that keep an image to a stated accuracy; what is given stays as it is.

    Parameters
    ----------
    system : the optics.
    accuracy : what the coherent systems left out (``intensity_lost`` of the numerics), and the repetition of the field,
        may change the intensity by, relative to an open frame; above 0, at most 0.1.
    window_nm : side of what is looked at; four times ``wavelength / NA`` by default.
    pixel_nm : the field is a multiple of 16 of these; :func:`pixel_for` by default.
    period_nm : side of the field; the window and an :func:`optical_radius_nm` on each side by default.
    n_kernels : coherent systems kept; as many as the accuracy asks for by default.
    source_step_sigma : distance of source points; by default such that their images repeat beyond the field.

    Raises
    ------
    ValueError : the accuracy is not above 0 and at most 0.1, or a length is not positive.

    Examples
    --------
    >>> from maskopt_lib.optics.source import circular
    >>> numerics_for(OpticalSystem(na=0.8, source=circular(0.8)), accuracy=1e-3, window_nm=1000).period_nm
    2240.0
    """
    if not 0 < accuracy <= 0.1:
        raise ValueError(f"accuracy must be above 0 and at most 0.1, got {accuracy!r}")
    unit_nm = system.wavelength_nm / system.na
    pixel_nm = pixel_for(system) if pixel_nm is None else pixel_nm
    window_nm = _WINDOW * unit_nm if window_nm is None else window_nm
    if not (pixel_nm > 0 and 0 < window_nm < math.inf):
        raise ValueError(f"need pixel_nm > 0 and window_nm > 0, got {pixel_nm!r} and {window_nm!r}")
    if period_nm is None:
        step_nm = 16 * pixel_nm
        period_nm = step_nm * math.ceil((window_nm + 2 * optical_radius_nm(system, accuracy)) / step_nm)
    return ImagingNumerics(
        period_nm=period_nm,
        n_kernels=n_kernels,
        intensity_lost=accuracy,
        # The source's points make images that repeat at unit / step.
        source_step_sigma=source_step_sigma or min(0.05, 0.6 * unit_nm / period_nm),
    )
