"""Partially coherent imaging after Hopkins: transmission cross coefficients and their coherent systems.

With the source points ``s`` of weight ``J_s``, the pupil ``P`` and the mask's Fourier coefficients ``M``::

    T(f, f') = sum_s J_s P(f + s) conj P(f' + s)
    I(r)     = sum_f sum_f' T(f, f') M_f conj M_f' exp(2 pi i (f - f') r)

``T = A^T conj(A)`` with ``A[s, f] = sqrt(J_s) P(f + s)``: each row of ``A`` is the coherent system of one source point
(Abbe's picture), and the singular vectors of ``A`` are the fewest that give the same image (SOCS). With polarised light
each source point has one row a field component, since intensities of components add.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.optics.source import PixelSource
from maskopt_lib.optics.system import ImagingNumerics, OpticalSystem


def half_width_of(system: OpticalSystem, numerics: ImagingNumerics) -> int:
    """Highest frequency index the system passes on the grid of ``numerics``.

    Parameters
    ----------
    system, numerics : the optics, and the period of the grid.

    Returns
    -------
    ``floor((1 + sigma_max) NA / wavelength * period)``, a soft rim (five of its widths) included, at least 1; or
    ``numerics.half_width`` where that is given.

    Examples
    --------
    >>> from maskopt_lib.optics.source import circular
    >>> half_width_of(OpticalSystem(na=0.8, source=circular(0.9)), ImagingNumerics(period_nm=2048.0))
    16
    """
    if numerics.half_width is not None:
        return numerics.half_width
    reach = 1 + 4.8 * system.edge + system.source.sigma_max
    return max(1, int(np.floor(reach * system.cutoff_per_nm * numerics.period_nm + 1e-9)))


def abbe_systems(system: OpticalSystem, numerics: ImagingNumerics) -> np.ndarray:
    """The coherent system of each source point, ``A[s, fy, fx] = sqrt(J_s) P(f + s)``.

    Parameters
    ----------
    system : the optics.
    numerics : period, source sampling.

    Returns
    -------
    (point * component, 2 h + 1, 2 h + 1) complex128, zero frequency at ``[h, h]``, one entry a source point, or three
    or six with polarised light; scaled so that a clear mask has the intensity ``system.clear_field``.

    Raises
    ------
    ValueError : no light of the source passes the pupil, so a clear field cannot be normalised.
    """
    half = half_width_of(system, numerics)
    sigma_y, sigma_x, weight = system.source.sample(numerics.source_step_sigma)
    rho = np.arange(-half, half + 1) / (numerics.period_nm * system.cutoff_per_nm)
    fields = system.fields(
        rho[:, None] + sigma_y[:, None, None],
        rho[None, :] + sigma_x[:, None, None],
        sigma_y[:, None, None],
        sigma_x[:, None, None],
    )
    size = len(rho)
    systems = (np.sqrt(weight)[:, None, None] * fields).reshape(-1, size, size)
    clear = np.sum(np.abs(systems[:, half, half]) ** 2)
    if not clear > 0:
        raise ValueError(
            "no source point passes the pupil (dark-field illumination), so the clear field is dark and cannot be set; "
            f"bring the source, sigma up to {system.source.sigma_max:g}, inside sigma 1"
        )
    return systems * np.sqrt(system.clear_field / clear)


def tcc_matrix(systems: np.ndarray) -> np.ndarray:
    """Transmission cross coefficients of coherent systems.

    Parameters
    ----------
    systems : (point, n, n) complex, the weight as an amplitude in each.

    Returns
    -------
    (n * n, n * n) complex128, ``T[f, f']``, hermitian, positive semidefinite; frequencies raveled ``[fy, fx]``.
    """
    flat = systems.reshape(len(systems), -1)
    return flat.T @ flat.conj()


def coherent_systems(systems: np.ndarray, n_kernels: int | None) -> tuple[np.ndarray, np.ndarray, float]:
    """The strongest orthogonal coherent systems of a set of coherent systems.

    Parameters
    ----------
    systems : (point, n, n) complex, the weight as an amplitude in each.
    n_kernels : how many to keep; ``None`` keeps all that add more than 1e-9 of the energy.

    Returns
    -------
    spectra : (kernel, n, n) complex128 of unit norm, the largest value of each real and positive.
    weights : (kernel,) float64, descending.
    energy_kept : share of the trace of the transmission cross coefficients in the kept systems.

    Notes
    -----
    The eigenvectors come from the smaller of the two Gram matrices, points x points or frequencies x frequencies.
    """
    n_points, n = systems.shape[0], systems.shape[-1]
    flat = systems.reshape(n_points, -1)
    used = np.any(flat != 0, axis=0)
    part = flat[:, used]
    size = min(part.shape)
    keep = size if n_kernels is None else min(n_kernels, size)
    by_points = part.shape[0] <= part.shape[1]
    gram = part @ part.conj().T if by_points else part.T @ part.conj()
    if 8 * keep < size:
        values, vectors = _leading_eigenvectors(gram, keep)
    else:
        values, vectors = (part[..., size - keep :] for part in np.linalg.eigh(gram))
    values, vectors = values[::-1].clip(min=0), vectors[:, ::-1]
    energy = np.sum(np.abs(part) ** 2)
    if n_kernels is None:
        # The Gram matrix squares the singular values: below 1e-9 of the sum they are rounding.
        enough = max(1, int(np.sum(values > 1e-9 * energy)))
        values, vectors = values[:enough], vectors[:, :enough]
    values, vectors = values[values > 0], vectors[:, values > 0]
    kernels = (vectors.conj().T @ part) if by_points else vectors.T
    kernels = kernels / np.linalg.norm(kernels, axis=1, keepdims=True)
    # Fix the phase that an eigenvector leaves open, so a rerun writes the same file.
    peak = np.take_along_axis(kernels, np.abs(kernels).argmax(axis=1)[:, None], axis=1)
    kernels = kernels * (np.abs(peak) / peak)
    spectra = np.zeros((len(values), flat.shape[1]), np.complex128)
    spectra[:, used] = kernels
    return spectra.reshape(-1, n, n), values, float(values.sum() / energy)


def _kept(system: OpticalSystem, numerics: ImagingNumerics) -> tuple[np.ndarray, np.ndarray, float]:
    """As :func:`coherent_systems`, the fewest that keep the intensity of test features to ``intensity_lost``."""
    spectra, weights, energy = coherent_systems(abbe_systems(system, numerics), numerics.n_kernels)
    if not numerics.intensity_lost:
        return spectra, weights, energy
    half, unit = spectra.shape[-1] // 2, system.wavelength_nm / system.na / numerics.period_nm
    f = np.arange(-half, half + 1)
    all_of_it, edge, square = (side * np.sinc(side * f) for side in (1.0, 0.5, 0.5 * unit))
    pitch = max(1, round(1 / unit))
    lines = np.where(f % pitch == 0, 0.5 * np.sinc(0.5 * f / pitch), 0.0)
    masks = [np.outer(*pair) for one in (edge, lines) for pair in ((one, all_of_it), (all_of_it, one))]
    masks = np.array([*masks, np.outer(square, square)])
    # What every system adds is positive, so what the weak ones add together is what leaving them out costs.
    lost = np.zeros((len(masks), 4 * half + 2, 4 * half + 2))
    enough = len(weights)
    while enough > 1:
        fields = np.fft.ifft2(spectra[enough - 1] * masks, s=lost.shape[1:], norm="forward")
        lost += weights[enough - 1] * np.abs(fields) ** 2
        if lost.max() > numerics.intensity_lost:
            break
        enough -= 1
    share = float(weights[:enough].sum() / weights.sum())
    return spectra[:enough], weights[:enough], energy * share


def _leading_eigenvectors(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The ``count`` largest eigenvalues, ascending, and their eigenvectors, by iterating a seeded random subspace.

    Symmetric optics has pairs of equal eigenvalues. Lanczos can miss one of a pair without notice (it did), a block of
    vectors cannot; and a dense solver takes many times as long.
    """
    block = np.random.default_rng(0).standard_normal((len(matrix), 4 * count)).astype(matrix.dtype)
    values = np.zeros(count)
    for _ in range(100):
        block, _ = np.linalg.qr(matrix @ block)
        small, turn = np.linalg.eigh(block.conj().T @ matrix @ block)
        block = block @ turn
        before, values = values, small[-count:]
        if np.abs(values - before).max() <= 1e-13 * values[-1]:
            break
    return values, block[:, -count:]


def build_kernels(
    system: OpticalSystem | Sequence[OpticalSystem],
    *,
    numerics: ImagingNumerics | None = None,
    defocus_nm: Sequence[float] = (0.0,),
    focus_names: Sequence[str] | None = None,
    name: str = "computed",
) -> SocsKernels:
    """Coherent systems of an optical system at one or more focus settings.

    Parameters
    ----------
    system : the optics, or one system a focus setting where more than the defocus changes.
    defocus_nm : planes to image, each added to ``system.defocus_nm``; not used with several systems.
    numerics : period, number of kernels, source sampling; ``ImagingNumerics()`` when left out.
    focus_names : one name a focus setting; ``focus``, ``defocus`` for two, else ``defocus_<value>nm``.
    name : name of the set.

    Returns
    -------
    The kernels; ``meta`` has the optics, the numerics and ``energy_kept``, one value a focus setting.

    Examples
    --------
    >>> from maskopt_lib.optics.source import circular
    >>> system = OpticalSystem(na=0.6, source=circular(0.5))
    >>> kernels = build_kernels(system, numerics=ImagingNumerics(period_nm=512.0, n_kernels=None))
    >>> print(kernels.half_width, kernels.clear_field.round(6))
    2 [1.]
    """
    numerics = numerics or ImagingNumerics()
    if isinstance(system, OpticalSystem):
        systems = [replace(system, defocus_nm=float(system.defocus_nm + z)) for z in defocus_nm]
    else:
        systems = list(system)
    planes = tuple(float(each.defocus_nm) for each in systems)
    # Every focus setting shares one grid of frequencies.
    numerics = replace(numerics, half_width=max(half_width_of(each, numerics) for each in systems))
    if focus_names is None:
        focus_names = ("focus", "defocus")[: len(planes)] if len(planes) <= 2 else [f"defocus_{z:g}nm" for z in planes]
    parts = [_kept(each, numerics) for each in systems]
    first = systems[0]
    said = ("wavelength_nm", "na", "immersion_index", "focus_spread_nm", "edge", "obliquity", "polarisation", "tm_gain")
    # Focus settings may keep different numbers of systems; dark ones fill up.
    count = max(len(weights) for _, weights, _ in parts)
    spectra = np.zeros((len(parts), count, *parts[0][0].shape[1:]), np.complex128)
    weights = np.zeros((len(parts), count))
    for i, (kernel, weight, _) in enumerate(parts):
        spectra[i, : len(weight)], weights[i, : len(weight)] = kernel, weight
    return SocsKernels(
        spectra=spectra,
        weights=weights,
        focus_names=tuple(focus_names),
        defocus_nm=planes,
        period_nm=float(numerics.period_nm),
        name=name,
        meta={name: getattr(first, name) for name in said}
        | {
            "source": str(first.source) if not isinstance(first.source, PixelSource) else "PixelSource",
            "sigma_max": first.source.sigma_max,
            "zernike_waves": [list(pair) for pair in first.zernike_waves],
            "image_index": first.image_index or first.immersion_index,
            "clear_field_full": [each.clear_field for each in systems],
            "source_step_sigma": numerics.source_step_sigma,
            "n_kernels": count,
            "energy_kept": [energy for _, _, energy in parts],
        },
    )
