"""How finely an optical system is to be computed for a stated accuracy: field, source points, coherent systems."""

import math

import numpy as np

from maskopt_lib.optics.system import ImagingNumerics, OpticalSystem

#: Largest change of the intensity, relative to an open frame, where nothing else is said.
ACCURACY = 5e-3
# Window of a field whose size nobody says, and the largest pixel, in units of wavelength / NA.
_WINDOW, _PIXEL = 4.0, 1 / 48
# Beyond this distance, in units of wavelength / (2 pi NA), sampled sources repeat what they are near the axis.
_FARTHEST = 150.0


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
    coherence = np.array([np.abs(weight @ np.exp(1j * one * phase)).max() for one in v])
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
