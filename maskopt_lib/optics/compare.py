"""How far two kernel sets are apart, in their coefficients, images and prints; and which symmetries one set has."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import scipy.fft
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.data.schema import column
from maskopt_lib.data.turns import TURNS, turned
from maskopt_lib.errors import GridMismatchError
from maskopt_lib.optics.kernels import SocsKernels

#: Intensity at which the contest's resist prints, relative to an open frame (ICCAD 2013 problem C).
CONTEST_THRESHOLD = 0.225
#: Relative distance of the cross coefficients up to which two set-ups count as one: files in single precision keep a
#: symmetry to some 2e-6, and what misses one by design is off by 1e-3 and more.
SAME = 1e-5


def mask_spectrum(mask: np.ndarray, half_width: int) -> np.ndarray:
    """Fourier coefficients of a mask up to a frequency index.

    Parameters
    ----------
    mask : ``(*batch, n, n)`` transmission, one period.
    half_width : highest index; ``n`` must be above twice of it.

    Returns
    -------
    ``(*batch, 2 h + 1, 2 h + 1)`` complex128, ``[fy, fx]``, zero frequency (the mean) at ``[h, h]``.
    """
    mask = np.asarray(mask, dtype=np.float64)
    n = mask.shape[-1]
    if mask.ndim < 2 or mask.shape[-2] != n or n <= 2 * half_width:
        raise GridMismatchError(
            f"a mask must be (*batch, n, n) with n above {2 * half_width}, twice the highest index; got {mask.shape}"
        )
    index = np.arange(-half_width, half_width + 1) % n
    # Rows first: the second transform then runs on the few columns that are kept.
    rows = scipy.fft.fft(mask, axis=-1)[..., index]
    return scipy.fft.fft(rows, axis=-2)[..., index, :] / n**2


def aerial_image(mask: np.ndarray, kernels: SocsKernels, *, focus: int | str = 0, n: int | None = None) -> np.ndarray:
    """Intensity of a mask at one focus setting and dose 1, by plain numpy: ``(*batch, n, n)``, open frame 1.

    Parameters
    ----------
    mask : ``(*batch, m, m)`` transmission, 1 = clear, one period of ``kernels.period_nm``.
    kernels : the optics.
    focus : index or name of the focus setting.
    n : pixels along a side of the image; the mask's when left out. Any number: the image is band-limited.

    Notes
    -----
    Exact: the intensity has frequencies up to twice the kernels', so it is summed on a grid of ``4 h + 2`` points at
    least and carried to ``n`` points by its Fourier coefficients. The fast differentiable version is
    :class:`maskopt_lib.litho.Simulator`.

    Examples
    --------
    >>> from maskopt_lib import optics
    >>> system = optics.OpticalSystem(na=0.6, source=optics.circular(0.5))
    >>> kernels = optics.build_kernels(system, numerics=optics.ImagingNumerics(period_nm=640.0, n_kernels=None))
    >>> print(aerial_image(np.ones((16, 16)), kernels).round(6).min())
    1.0
    """
    index = kernels.focus_names.index(focus) if isinstance(focus, str) else focus
    half = kernels.half_width
    coefficients = mask_spectrum(mask, half)
    n = np.shape(mask)[-1] if n is None else n
    small = scipy.fft.next_fast_len(4 * half + 2)
    place = np.arange(-half, half + 1) % small
    intensity = np.zeros((*coefficients.shape[:-2], small, small))
    for spectrum, weight in zip(kernels.spectra[index], kernels.weights[index], strict=True):
        if weight > 0:
            field = np.zeros(intensity.shape, np.complex128)
            field[..., place[:, None], place] = spectrum * coefficients
            intensity += weight * np.abs(scipy.fft.ifft2(field, norm="forward")) ** 2
    return _resampled(intensity, 2 * half, n)


def _resampled(image: np.ndarray, band: int, n: int) -> np.ndarray:
    """A real image with frequencies up to ``band`` on ``n`` x ``n`` points, from its values on an exact grid."""
    small = image.shape[-1]
    if n <= 2 * band:
        # Too few points to hold the band: compute on a multiple of n and keep every k-th.
        step = (2 * band) // n + 1
        return _resampled(image, band, n * step)[..., ::step, ::step]
    spectrum = scipy.fft.rfft2(image, norm="forward")
    padded = np.zeros((*image.shape[:-2], n, n // 2 + 1), np.complex128)
    rows = np.arange(-band, band + 1)
    padded[..., rows % n, : band + 1] = spectrum[..., rows % small, : band + 1]
    return scipy.fft.irfft2(padded, s=(n, n), norm="forward")


def tcc_distance(a: SocsKernels, b: SocsKernels) -> xr.Dataset:
    """Relative distance of the transmission cross coefficients of two sets, at each focus setting.

    Parameters
    ----------
    a : the reference.
    b : the other set, of the same period and number of focus settings; half widths may differ.

    Returns
    -------
    Over ``focus``: ``tcc_distance``, the Frobenius norm of ``T_b - T_a`` over that of ``T_a``; ``tcc_distance_shape``,
    the same after ``T_b`` has been scaled to fit best, which ignores a difference of dose.

    Raises
    ------
    GridMismatchError : periods or numbers of focus settings differ.
    """
    if not np.isclose(a.period_nm, b.period_nm) or len(a.focus_names) != len(b.focus_names):
        raise GridMismatchError(
            f"{a.name!r} has {len(a.focus_names)} focus settings and a period of {a.period_nm:g} nm, {b.name!r} "
            f"{len(b.focus_names)} and {b.period_nm:g} nm; build the computed set with ImagingNumerics(period_nm=...)"
        )
    plain, shape = [], []
    half = max(a.half_width, b.half_width)
    for i in range(len(a.focus_names)):
        fa, fb = _amplitudes(a, i, half), _amplitudes(b, i, half)
        # The matrices are of low rank: their inner products follow from those of the kernels.
        aa, bb, ab = (np.sum(np.abs(x.conj() @ y.T) ** 2) for x, y in ((fa, fa), (fb, fb), (fa, fb)))
        plain.append(np.sqrt(max(0.0, aa + bb - 2 * ab) / aa))
        shape.append(np.sqrt(max(0.0, 1 - ab**2 / (aa * bb))))
    return xr.Dataset(
        {
            "tcc_distance": column(schema.FOCUS, plain, "distance of the TCC (relative)"),
            "tcc_distance_shape": column(schema.FOCUS, shape, "distance of the TCC, best scale (relative)"),
        },
        coords={schema.FOCUS: list(a.focus_names)},
        attrs={"reference": a.name, "other": b.name},
    )


def compare_kernels(a: SocsKernels, b: SocsKernels, masks: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Difference of two kernel sets on masks, of prints at :data:`CONTEST_THRESHOLD`.

    Parameters
    ----------
    a : the reference.
    b : the other set.
    masks : name -> (n, n) mask, one period each.

    Returns
    -------
    :func:`tcc_distance` and, over ``sample`` and ``focus``: ``aerial_rms`` and ``aerial_max``, the root mean square
    and the largest absolute difference of the images in units of clear field; ``print_difference_nm2``, the area
    where one print has resist and the other has not; ``print_area_nm2``, the area of the reference's print.
    """
    ds = tcc_distance(a, b)
    rows = []
    for mask in masks.values():
        area = (a.period_nm / np.shape(mask)[-1]) ** 2
        for focus in range(len(a.focus_names)):
            image_a, image_b = aerial_image(mask, a, focus=focus), aerial_image(mask, b, focus=focus)
            prints_a, prints_b = image_a >= CONTEST_THRESHOLD, image_b >= CONTEST_THRESHOLD
            rms = np.sqrt(np.mean((image_a - image_b) ** 2))
            largest = np.abs(image_a - image_b).max()
            rows.append((rms, largest, area * np.sum(prints_a != prints_b), area * np.sum(prints_a)))
    rms, largest, difference, printed = np.array(rows, float).T.reshape(4, len(masks), -1)
    dims = (schema.SAMPLE, schema.FOCUS)
    return ds.assign(
        aerial_rms=column(dims, rms, "RMS difference of the aerial images (clear field = 1)"),
        aerial_max=column(dims, largest, "largest difference of the aerial images (clear field = 1)"),
        print_difference_nm2=column(dims, difference, "area that prints with one set only", "nm2"),
        print_area_nm2=column(dims, printed, "printed area of the reference", "nm2"),
    ).assign_coords({schema.SAMPLE: list(masks)})


def _amplitudes(kernels: SocsKernels, focus: int, half: int) -> np.ndarray:
    pad = half - kernels.half_width
    spectra = np.sqrt(kernels.weights[focus])[:, None, None] * kernels.spectra[focus]
    return np.pad(spectra, ((0, 0), (pad, pad), (pad, pad))).reshape(len(spectra), -1)


def symmetries(kernels: SocsKernels) -> xr.Dataset:
    """Measure all eight turns of a kernel set.

    Returns
    -------
    Dataset over ``turn`` (see :mod:`maskopt_lib.data.turns`): ``tcc_distance`` between the set and the turned set, the
    larger of its focus settings, and ``holds``, where it is at most :data:`SAME`.

    Notes
    -----
    Turning the spectra turns the optics. Equal cross coefficients mean equal images of every mask, whatever the
    coherent systems that carry them are.

    Examples
    --------
    >>> from maskopt_lib import optics
    >>> found = symmetries(optics.load("embedded"))
    >>> found.turn.values[found.holds.values].tolist()
    [0, 4]
    """
    turns = (replace(kernels, spectra=np.ascontiguousarray(turned(kernels.spectra, turn))) for turn in TURNS)
    distance = np.array([float(tcc_distance(kernels, other).tcc_distance.max()) for other in turns])
    return xr.Dataset(
        {
            "tcc_distance": column("turn", distance, "relative distance of the cross coefficients after the turn"),
            "holds": column("turn", distance <= SAME, "is a symmetry"),
        },
        coords={"turn": column("turn", np.array(TURNS), "turn of the square")},
        attrs={"kernels": kernels.name, "tolerance": SAME},
    )


def allowed_turns(kernels: SocsKernels) -> tuple[int, ...]:
    """The turns that are symmetries of a kernel set, the identity first; see :func:`symmetries`."""
    measured = symmetries(kernels)
    return tuple(measured["turn"].values[measured["holds"].values].tolist())
