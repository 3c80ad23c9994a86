"""Imaging against closed forms: gratings, limits, polarisation; SOCS against Abbe's sum; what the TCC must be."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskopt_lib import optics
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.optics.source import PixelSource
from maskopt_lib.optics.tcc import half_width_of

PERIOD_NM = 1024.0
N = 64
X_NM = np.arange(N) * PERIOD_NM / N
ALL = optics.ImagingNumerics(period_nm=PERIOD_NM, n_kernels=None, source_step_sigma=0.1)
COHERENT = optics.circular(1e-3)
CROSS = optics.quadrupole("cross", sigma_centre=0.7, sigma_radius=0.2)


def point_source(steps_x: int, step_sigma: float) -> PixelSource:
    values = np.zeros((1, 2 * abs(steps_x) + 1))
    values[0, steps_x + abs(steps_x)] = 1.0
    return PixelSource(values=values, step_sigma=step_sigma)


def cosine(order: int, axis: str = "x") -> np.ndarray:
    """A mask of transmission 1/2 + 1/2 cos: orders 0 (1/2) and +-1 (1/4) at the frequency ``order / period``."""
    line = 0.5 + 0.5 * np.cos(2 * np.pi * order * X_NM / PERIOD_NM)
    return np.tile(line, (N, 1)) if axis == "x" else np.tile(line[:, None], (1, N))


def image(system: optics.OpticalSystem, mask: np.ndarray, numerics: optics.ImagingNumerics = ALL) -> np.ndarray:
    return optics.aerial_image(mask, optics.build_kernels(system, numerics=numerics))


def reference_abbe_image(mask: np.ndarray, systems: np.ndarray) -> np.ndarray:
    """Abbe's sum on the full grid: one coherent image a source point, added in intensity."""
    n, half = mask.shape[-1], systems.shape[-1] // 2
    spectrum = np.fft.fft2(mask)
    total = np.zeros((n, n))
    index = np.arange(-half, half + 1)
    for system in systems:
        field = np.zeros((n, n), complex)
        field[np.ix_(index, index)] = system * spectrum[np.ix_(index, index)]
        total += np.abs(np.fft.ifft2(field)) ** 2
    return total


@pytest.mark.parametrize("polarisation", ["scalar", "x", "unpolarised", "azimuthal", "radial", "tangential"])
@pytest.mark.parametrize("clear", [1.0, 0.9515])
def test_a_clear_field_has_the_stated_intensity(polarisation, clear):
    system = optics.OpticalSystem(na=0.8, source=CROSS, polarisation=polarisation, clear_field=clear, defocus_nm=40.0)
    kernels = optics.build_kernels(system, numerics=ALL)
    np.testing.assert_allclose(kernels.clear_field, clear, rtol=1e-8)
    np.testing.assert_allclose(optics.aerial_image(np.ones((N, N)), kernels), clear, rtol=1e-8)


@pytest.mark.parametrize("axis", ["x", "y"])
@pytest.mark.parametrize("defocus_nm", [0.0, 120.0])
def test_three_coherent_beams_interfere_as_the_closed_form_says(axis, defocus_nm):
    # 4 / 1024 nm: sin = 0.754, below NA 0.8. Defocus turns the first orders against the zeroth by the exact phase.
    system = optics.OpticalSystem(na=0.8, source=COHERENT, defocus_nm=defocus_nm)
    sine = 193.0 * 4 / PERIOD_NM
    turn = np.exp(2j * np.pi * defocus_nm / 193.0 * (np.sqrt(1 - sine**2) - 1))
    line = np.abs(0.5 + 0.5 * turn * np.cos(2 * np.pi * 4 * X_NM / PERIOD_NM)) ** 2
    expected = np.tile(line, (N, 1)) if axis == "x" else np.tile(line[:, None], (1, N))
    np.testing.assert_allclose(
        image(system, cosine(4, axis), replace(ALL, source_step_sigma=0.01)), expected, atol=1e-12
    )


def test_immersion_slows_the_loss_of_focus():
    # The phase between axis and margin is 2 pi z (sqrt(n^2 - s^2) - n) / wavelength.
    dry, wet = (optics.OpticalSystem(na=0.8, source=COHERENT, defocus_nm=60.0, immersion_index=n) for n in (1.0, 1.44))
    for system, index in ((dry, 1.0), (wet, 1.44)):
        phase = np.angle(system.pupil(0.0, 0.9))
        assert phase == pytest.approx(2 * np.pi * 60 / 193 * (np.sqrt(index**2 - 0.72**2) - index), abs=1e-12)


def test_orders_beyond_the_cutoff_leave_a_flat_image():
    system = optics.OpticalSystem(na=0.8, source=COHERENT)
    # 5 / 1024 nm is above 0.8 / 193 nm: only the mean amplitude 1/2 arrives.
    np.testing.assert_allclose(image(system, cosine(5), replace(ALL, source_step_sigma=0.01)), 0.25, atol=1e-12)


@pytest.mark.parametrize(
    ("polarisation", "defocus_nm"), [("scalar", 0), ("scalar", 200), ("y", 0), ("x", 0), ("x", 200)]
)
def test_two_symmetric_beams(polarisation, defocus_nm):
    # The source point sits half a grating frequency off axis: orders 0 and -1 travel at equal angles. Their image
    # does not lose focus, TE (y) light interferes fully, TM (x) light by the cosine of the angle between the beams.
    order = 6
    half_frequency = order / 2 / PERIOD_NM * 193.0
    system = optics.OpticalSystem(
        na=0.8, source=point_source(1, half_frequency / 0.8), polarisation=polarisation, defocus_nm=defocus_nm
    )
    factor = np.cos(2 * np.arcsin(half_frequency)) if polarisation == "x" else 1.0
    line = 0.25 + 0.0625 + 2 * 0.5 * 0.25 * factor * np.cos(2 * np.pi * order * X_NM / PERIOD_NM)
    np.testing.assert_allclose(image(system, cosine(order)), np.tile(line, (N, 1)), atol=1e-10)


def test_incoherent_limit_is_the_diffraction_limited_mtf():
    # A source larger than the pupil: a weak grating's contrast is the overlap of two discs (Goodman, eq. 6-31).
    system = optics.OpticalSystem(na=0.5, source=optics.circular(2.3))
    numerics = optics.ImagingNumerics(period_nm=4096.0, n_kernels=None, source_step_sigma=0.05, half_width=14)
    systems = optics.abbe_systems(system, numerics)
    for order in (3, 7, 12):
        nu = order / 4096.0 / (2 * system.cutoff_per_nm)
        expected = 2 / np.pi * (np.arccos(nu) - nu * np.sqrt(1 - nu**2))
        transfer = np.sum(systems[:, 14, 14 + order] * systems[:, 14, 14].conj()).real
        assert transfer == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("noll", "axis"), [(2, 1), (3, 0)])
def test_tilt_moves_the_image_along_its_own_axis(noll, axis):
    # A tilt of a waves RMS is 2 a rho waves: it moves the image by -2 a wavelength / NA.
    pixels = 3
    shift = pixels * PERIOD_NM / N
    system = optics.OpticalSystem(na=0.8, source=CROSS)
    tilted = replace(system, zernike_waves=((noll, -shift * system.cutoff_per_nm / 2),))
    mask = np.random.default_rng(1).random((N, N))
    np.testing.assert_allclose(image(tilted, mask), np.roll(image(system, mask), pixels, axis), atol=1e-9)


def test_both_sides_of_focus_print_alike_without_aberrations():
    mask = np.random.default_rng(2).random((N, N))
    system = optics.OpticalSystem(na=0.8, source=CROSS, defocus_nm=70.0)
    np.testing.assert_allclose(image(system, mask), image(replace(system, defocus_nm=-70.0), mask), atol=1e-10)
    assert np.abs(image(system, mask) - image(replace(system, defocus_nm=0.0), mask)).max() > 1e-3


def test_dipoles_exchange_with_the_axes():
    mask = np.random.default_rng(3).random((N, N))
    x, y = (
        optics.OpticalSystem(na=0.8, source=optics.dipole(axis, sigma_centre=0.6, sigma_radius=0.2)) for axis in "xy"
    )
    np.testing.assert_allclose(image(y, mask), image(x, mask.T).T, atol=1e-10)
    # A dipole along x resolves lines that stand along y far better than the other way round.
    dense = cosine(7, "x")
    assert np.ptp(image(x, dense)) > 5 * np.ptp(image(y, dense))


def test_quadrupoles_differ_by_a_turn_of_45_degrees():
    cross, quasar = (optics.quadrupole(name, sigma_centre=0.6, sigma_radius=0.2) for name in ("cross", "quasar"))
    assert cross.intensity(0.0, 0.6) == 1 and cross.intensity(0.42, 0.42) == 0
    assert quasar.intensity(0.0, 0.6) == 0 and quasar.intensity(0.42, 0.42) == 1


def test_the_image_depends_on_the_mask_not_on_the_period():
    # The same lines in one and in two periods.
    system = optics.OpticalSystem(na=0.8, source=CROSS)
    once = image(system, cosine(4))
    twice = image(system, np.tile(cosine(4), (2, 2)), replace(ALL, period_nm=2 * PERIOD_NM))
    np.testing.assert_allclose(twice[:N, :N], once, atol=1e-10)


def test_half_width_covers_what_pupil_and_source_pass():
    system = optics.OpticalSystem(na=0.8, source=CROSS)
    for period in (500.0, 1024.0, 2048.0, 3000.0):
        numerics = replace(ALL, period_nm=period)
        half = half_width_of(system, numerics)
        assert half == int(np.floor(1.9 * 0.8 / 193 * period))
        wider = optics.abbe_systems(system, replace(numerics, half_width=half + 2))
        assert not wider[:, :2].any() and not wider[:, :, -2:].any()


@pytest.mark.parametrize("polarisation", ["scalar", "tangential"])
def test_socs_with_all_kernels_is_abbes_sum_and_fewer_converge_to_it(polarisation):
    system = optics.OpticalSystem(na=0.8, source=CROSS, defocus_nm=50.0, polarisation=polarisation)
    mask = (np.random.default_rng(4).random((N, N)) > 0.5).astype(float)
    systems = optics.abbe_systems(system, ALL)
    truth = reference_abbe_image(mask, systems)
    errors = []
    for n_kernels in (1, 3, 6, 12, 24, None):
        kernels = optics.build_kernels(system, numerics=replace(ALL, n_kernels=n_kernels))
        errors.append(np.abs(optics.aerial_image(mask, kernels) - truth).max())
    assert all(a > b for a, b in pairwise(errors))
    assert errors[-1] < 1e-8


def test_the_tcc_of_a_set_is_that_of_its_weighted_kernels():
    kernels = optics.load("embedded-ideal")
    tcc = optics.tcc_matrix(np.sqrt(kernels.weights[1])[:, None, None] * kernels.spectra[1])
    assert np.trace(tcc).real == pytest.approx(kernels.weights[1].sum(), rel=1e-6)
    np.testing.assert_allclose(np.linalg.eigvalsh(tcc)[::-1][:5], kernels.weights[1][:5], rtol=1e-6)


def test_tcc_is_hermitian_positive_and_its_trace_is_the_energy():
    systems = optics.abbe_systems(optics.OpticalSystem(na=0.8, source=CROSS, defocus_nm=30.0), ALL)
    tcc = optics.tcc_matrix(systems)
    np.testing.assert_allclose(tcc, tcc.conj().T, atol=1e-14)
    values = np.linalg.eigvalsh(tcc)
    assert values[0] > -1e-12
    spectra, weights, kept = optics.coherent_systems(systems, 5)
    np.testing.assert_allclose(weights, values[::-1][:5], rtol=1e-10)
    assert kept == pytest.approx(values[-5:].sum() / np.trace(tcc).real, rel=1e-10)
    flat = spectra.reshape(5, -1)
    np.testing.assert_allclose(flat @ flat.conj().T, np.eye(5), atol=1e-10)


def test_no_kernel_of_an_equal_pair_is_lost():
    # Fourfold symmetry makes pairs of equal eigenvalues; the iterative solver must find both of each.
    systems = optics.abbe_systems(
        optics.OpticalSystem(na=0.8, source=CROSS), replace(ALL, period_nm=2048.0, source_step_sigma=0.05)
    )
    dense = np.linalg.eigvalsh(optics.tcc_matrix(systems))[::-1][:24]
    assert np.min(np.abs(np.diff(dense[:12]))) < 1e-6 * dense[0]
    _, weights, _ = optics.coherent_systems(systems, 24)
    np.testing.assert_allclose(weights, dense, rtol=1e-8)


def test_unpolarised_light_is_the_mean_of_both_polarisations():
    system = optics.OpticalSystem(na=0.9, source=CROSS)
    mask = np.random.default_rng(5).random((N, N))
    x, y, both = (image(replace(system, polarisation=p), mask) for p in ("x", "y", "unpolarised"))
    np.testing.assert_allclose(both, (x + y) / 2, atol=1e-9)


def test_polarisation_does_not_matter_at_small_angles():
    system = optics.OpticalSystem(na=0.8, source=CROSS)
    numerics = replace(ALL, n_kernels=None)
    mask = np.random.default_rng(6).random((N, N))
    # Directions in a medium of a very high index: every ray is nearly along the axis.
    flat = replace(system, polarisation="unpolarised", image_index=1e4)
    np.testing.assert_allclose(image(flat, mask, numerics), image(system, mask, numerics), atol=1e-6)


def test_aplanatic_factor_is_the_radiometric_one():
    system = optics.OpticalSystem(na=0.8, source=CROSS, obliquity="aplanatic", reduction=4.0)
    gain = abs(system.pupil(0.0, 0.999)) / abs(system.pupil(0.0, 0.0))
    sine = 0.8 * 0.999
    assert gain == pytest.approx((np.sqrt(1 - (sine / 4) ** 2) / np.sqrt(1 - sine**2)) ** 0.5, rel=1e-9)


def test_zernike_polynomials_are_orthonormal():
    axis = (np.arange(400) + 0.5) / 200 - 1
    y, x = np.meshgrid(axis, axis, indexing="ij")
    inside = np.hypot(y, x) <= 1
    modes = np.array([optics.zernike(j, y, x)[inside] for j in range(1, 16)])
    np.testing.assert_allclose(modes @ modes.T / inside.sum(), np.eye(15), atol=0.02)


def test_zernike_by_name():
    y, x = np.array(0.3), np.array(0.5)
    r2 = 0.34
    assert optics.zernike(2, y, x) == pytest.approx(2 * 0.5)
    assert optics.zernike(3, y, x) == pytest.approx(2 * 0.3)
    assert optics.zernike(6, y, x) == pytest.approx(np.sqrt(6) * (0.25 - 0.09))
    assert optics.zernike(5, y, x) == pytest.approx(np.sqrt(6) * 2 * 0.15)
    assert optics.zernike(8, y, x) == pytest.approx(np.sqrt(8) * (3 * r2 - 2) * 0.5)
    assert optics.zernike(11, y, x) == pytest.approx(np.sqrt(5) * (6 * r2**2 - 6 * r2 + 1))


@settings(max_examples=15)
@given(st.floats(0.1, 0.9), st.floats(0.05, 0.3), st.sampled_from([0.0, 0.02, 0.1]), st.floats(0.02, 0.1))
def test_source_samples_are_a_centred_distribution(centre, radius, edge, step):
    source = optics.PoleSource(angles_deg=(0, 90, 180, 270), sigma_centre=centre, sigma_radius=radius, edge_sigma=edge)
    y, x, weight = source.sample(step)
    assert weight.min() > 0 and weight.sum() == pytest.approx(1)
    assert abs(weight @ y) < 1e-9 and abs(weight @ x) < 1e-9
    assert np.hypot(y, x).max() <= source.sigma_max + 2 * step


def test_a_sector_of_360_degrees_is_the_ring():
    ring = optics.AnnularSource(sigma_inner=0.5, sigma_outer=0.8)
    sector = optics.SectorSource(angles_deg=(0.0,), opening_deg=360, sigma_inner=0.5, sigma_outer=0.8)
    axis = np.linspace(-1, 1, 81)
    np.testing.assert_array_equal(ring.intensity(axis[:, None], axis), sector.intensity(axis[:, None], axis))


def test_a_pixel_map_of_a_shape_images_as_the_shape():
    axis, values = optics.source_map(CROSS, step_sigma=0.1)
    mapped = PixelSource(values=values, step_sigma=0.1)
    assert len(axis) == len(values)
    mask = np.random.default_rng(7).random((N, N))
    system = optics.OpticalSystem(na=0.8, source=CROSS)
    np.testing.assert_allclose(image(replace(system, source=mapped), mask), image(system, mask), atol=1e-10)


def test_aerial_image_is_exact_on_every_grid():
    kernels = optics.build_kernels(optics.OpticalSystem(na=0.8, source=CROSS), numerics=ALL)
    mask = np.random.default_rng(8).random((N, N))
    fine = optics.aerial_image(mask, kernels, n=192)
    for n in (16, 24, 48, 64, 96):
        np.testing.assert_allclose(optics.aerial_image(mask, kernels, n=n), fine[:: 192 // n, :: 192 // n], atol=1e-12)


def test_mistakes_get_a_remedy():
    with pytest.raises(ValueError, match=r"immersion_index=1\.44"):
        optics.OpticalSystem(na=1.35, source=CROSS)
    with pytest.raises(UnknownNameError, match="aplanatic"):
        optics.OpticalSystem(na=0.8, source=CROSS, obliquity="cosine")
    with pytest.raises(UnknownNameError, match="unpolarised"):
        optics.OpticalSystem(na=0.8, source=CROSS, polarisation="TE")
    with pytest.raises(UnknownNameError, match="cross, quasar"):
        optics.quadrupole("plus", sigma_centre=0.7, sigma_radius=0.1)
    with pytest.raises(UnknownNameError, match="iccad13-symmetrised"):
        optics.load("iccad")
    with pytest.raises(ValueError, match="dark-field"):
        optics.build_kernels(
            optics.OpticalSystem(na=0.8, source=optics.AnnularSource(sigma_inner=1.2, sigma_outer=1.4))
        )
    with pytest.raises(GridMismatchError, match="twice the highest index"):
        optics.aerial_image(np.ones((8, 8)), optics.load("embedded"))
    with pytest.raises(ValueError, match="odd sides"):
        PixelSource(values=np.ones((2, 3)), step_sigma=0.1)


@pytest.mark.parametrize("polarisation", ["scalar", "tangential"])
def test_focus_spread_is_the_mean_of_two_planes(polarisation):
    system = optics.OpticalSystem(na=0.8, source=CROSS, defocus_nm=30.0, polarisation=polarisation)
    planes = [optics.tcc_matrix(optics.abbe_systems(replace(system, defocus_nm=z), ALL)) for z in (-10.0, 70.0)]
    spread = optics.tcc_matrix(optics.abbe_systems(replace(system, focus_spread_nm=40.0), ALL))
    np.testing.assert_allclose(spread, np.mean(planes, axis=0), rtol=0, atol=1e-12)
