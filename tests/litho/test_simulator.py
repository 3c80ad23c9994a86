"""The simulator against the full-grid sum, closed forms and invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference_imaging import reference_aerial, reference_intensity

from maskopt_lib import litho, optics
from maskopt_lib.errors import GridMismatchError, ImageError, OptionError, UnknownNameError
from maskopt_lib.litho.imaging import real_systems, small_grid
from maskopt_lib.litho.sampled import SampledIntensity
from maskopt_lib.optics.kernels import SocsKernels

#: Relative to the brightest point. float32 carries 24 bits, and sums of 2048 terms lose a few of them.
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def random_kernels(half_width=3, n_kernels=4, n_focus=2, seed=0) -> SocsKernels:
    """Complex kernels without any symmetry: nothing may rest on the optics being nice."""
    rng = np.random.default_rng(seed)
    shape = (n_focus, n_kernels, 2 * half_width + 1, 2 * half_width + 1)
    return SocsKernels(
        spectra=rng.normal(size=shape) + 1j * rng.normal(size=shape),
        weights=np.sort(rng.uniform(0.1, 1, shape[:2]))[:, ::-1].copy(),
        focus_names=tuple(f"focus {i}" for i in range(n_focus)),
        defocus_nm=tuple(40.0 * i for i in range(n_focus)),
        period_nm=320.0,
        name="random",
    )


def blocks(n: int, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    coarse = rng.random((8, 8)) > 0.5
    return torch.as_tensor(np.kron(coarse, np.ones((n // 8, n // 8))), dtype=torch.float64)


@pytest.fixture(scope="module")
def embedded() -> SocsKernels:
    return optics.load("embedded")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("n", [64, 200, 256, 512])
def test_equals_the_full_grid_sum(embedded, n, dtype):
    mask = blocks(n).to(dtype)
    aerial = litho.Simulator(embedded, dtype=dtype).aerial(mask)
    expected = reference_aerial(blocks(n), embedded, litho.CONTEST_CORNERS)
    assert (aerial - expected).abs().max() < TOLERANCE[dtype] * expected.max()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_equals_that_of_the_full_grid_sum(embedded, dtype):
    mask = blocks(128).to(dtype).requires_grad_()
    weights = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    litho.Simulator(embedded, dtype=dtype).aerial(mask).mul(weights.to(dtype)).sum().backward()
    slow = blocks(128).requires_grad_()
    reference_aerial(slow, embedded, litho.CONTEST_CORNERS).mul(weights).sum().backward()
    assert (mask.grad - slow.grad).abs().max() < TOLERANCE[dtype] * slow.grad.abs().max()


@pytest.mark.parametrize("n", [7, 8, 12])
def test_gradcheck(n):
    sim = litho.Simulator(random_kernels(), dtype=torch.float64)
    mask = torch.rand(2, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n), requires_grad=True)
    assert torch.autograd.gradcheck(sim.aerial, (mask,))


def test_forward_and_adjoint_of_the_linear_parts_are_adjoint(embedded):
    sim = litho.Simulator(embedded, dtype=torch.float64)
    g = torch.Generator().manual_seed(0)
    h = embedded.half_width
    mask = torch.rand(1, 96, 96, dtype=torch.float64, generator=g)
    spectrum = torch.randn(1, h + 1, 2 * h + 1, dtype=torch.complex128, generator=g)
    field = torch.rand(1, small_grid(h), small_grid(h), dtype=torch.float64, generator=g)
    matrices = sim._spectrum(96)
    inner = torch.vdot(spectrum.flatten(), matrices.forward(mask).flatten()).real
    torch.testing.assert_close(inner, (matrices.adjoint(spectrum) * mask).sum())
    inner = (sim._field.forward(spectrum) * field).sum()
    torch.testing.assert_close(inner, torch.vdot(sim._field.adjoint(field).flatten(), spectrum.flatten()).real)


@given(dy=st.integers(0, 63), dx=st.integers(0, 63))
def test_image_moves_with_the_mask(dy, dx):
    sim = litho.Simulator(random_kernels(half_width=5), dtype=torch.float64)
    mask = blocks(64)
    moved = sim.intensity(mask.roll((dy, dx), (0, 1)))
    torch.testing.assert_close(moved, sim.intensity(mask).roll((dy, dx), (-2, -1)), rtol=0, atol=1e-10)


def test_clear_mask_gives_the_clear_field_and_dark_mask_nothing(embedded):
    sim = litho.Simulator(embedded, dtype=torch.float64)
    expected = torch.as_tensor(embedded.clear_field)
    clear = sim.intensity(torch.ones(64, 64))
    torch.testing.assert_close(clear, expected[:, None, None].expand_as(clear), rtol=1e-12, atol=0)
    assert sim.intensity(torch.zeros(64, 64)).abs().max() == 0


def test_intensity_is_never_negative_and_follows_the_square_of_the_transmission(embedded):
    sim = litho.Simulator(embedded, dtype=torch.float64)
    image = sim.intensity(blocks(128))
    assert image.min() > -1e-12
    torch.testing.assert_close(sim.intensity(0.5 * blocks(128)), 0.25 * image)


def test_two_beams_interfere_in_closed_form():
    # One kernel that passes +-1 along y: E = 2 a cos(2 pi y / period), I = 4 w a^2 cos^2.
    h = 2
    spectra = np.zeros((1, 1, 2 * h + 1, 2 * h + 1), complex)
    spectra[0, 0, h + 1, h] = spectra[0, 0, h - 1, h] = 0.7
    kernels = SocsKernels(
        spectra=spectra,
        weights=np.array([[2.0]]),
        focus_names=("focus",),
        defocus_nm=(0.0,),
        period_nm=100.0,
        name="two beams",
    )
    corners = (litho.ProcessCorner(name="nominal", focus=0, dose=1.0),)
    y = torch.arange(20, dtype=torch.float64)[:, None].expand(20, 20) / 20
    mask = 0.5 + 0.5 * torch.cos(2 * np.pi * y)  # Fourier coefficients 1/4 at +-1
    image = litho.Simulator(kernels, dtype=torch.float64, corners=corners).aerial(mask)[0]
    torch.testing.assert_close(image, 2 * (2 * 0.7 * 0.25 * torch.cos(2 * np.pi * y)) ** 2, rtol=0, atol=1e-14)


def test_corners_are_dose_squared_times_their_focus(embedded):
    sim = litho.Simulator(embedded, dtype=torch.float64)
    image, aerial = sim.intensity(blocks(64)), sim.aerial(blocks(64))
    assert sim.corners == ("nominal", "outer", "inner")
    torch.testing.assert_close(aerial, torch.stack([image[0], image[0] * 1.02**2, image[1] * 0.98**2]))
    torch.testing.assert_close(sim.aerial(blocks(64), corners=("inner",))[0], aerial[2])
    with pytest.raises(UnknownNameError, match="nominal"):
        sim.aerial(blocks(64), corners=("middle",))


@pytest.mark.parametrize("n_out", [None, 90])
def test_the_image_asked_for_once_is_that_of_its_corner(embedded, n_out):
    sim = litho.Simulator(embedded, dtype=torch.float64)
    mask = torch.stack([blocks(128), blocks(128, 1)]).requires_grad_()
    for i, corner in enumerate(sim.corners):
        once = sim.image_once(mask, corner=corner, n_out=n_out)
        torch.testing.assert_close(once, sim.aerial(mask, n_out=n_out)[:, i].detach())
        assert not once.requires_grad


def test_focus_dose_matrix_holds_the_corners(embedded):
    sim = litho.Simulator(embedded, dtype=torch.float64)
    matrix = sim.focus_dose(blocks(64), doses=(0.98, 1.0, 1.02))
    aerial = sim.aerial(blocks(64))
    assert matrix.shape == (2, 3, 64, 64)
    torch.testing.assert_close(torch.stack([matrix[0, 1], matrix[0, 2], matrix[1, 0]]), aerial)


def test_soft_and_hard_resist_agree_at_one_half(embedded):
    sim = litho.Simulator(embedded)
    assert torch.equal(sim.printed(blocks(128)), sim.resist(blocks(128)) >= 0.5)


def test_batches_keep_their_shape_and_do_not_mix(embedded):
    sim = litho.Simulator(embedded)
    masks = torch.stack([blocks(64, seed) for seed in range(6)]).reshape(2, 3, 64, 64)
    together = sim.aerial(masks)
    assert together.shape == (2, 3, 3, 64, 64)
    torch.testing.assert_close(together[1, 2], sim.aerial(masks[1, 2]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("n_out", [70, 256, 512])
def test_result_on_another_grid_is_the_same_band_limited_function(embedded, n_out):
    # The image of pixel samples is a trigonometric polynomial; it is taken at the other grid's pixel centres.
    sim = litho.Simulator(embedded, dtype=torch.float64)
    n, h = 128, embedded.half_width
    spectrum = torch.fft.fftshift(torch.fft.fft2(sim.intensity(blocks(n))[0], norm="forward"))
    f = torch.arange(-2 * h, 2 * h + 1, dtype=torch.float64)
    low = spectrum[n // 2 - 2 * h : n // 2 + 2 * h + 1, n // 2 - 2 * h : n // 2 + 2 * h + 1]
    at = (torch.arange(n_out, dtype=torch.float64) + 0.5) / n_out - 0.5 / n
    waves = torch.exp(2j * np.pi * at[:, None] * f)
    expected = (waves @ low @ waves.mT).real
    torch.testing.assert_close(sim.intensity(blocks(n), n_out=n_out)[0], expected, rtol=0, atol=1e-12)


def test_real_systems_make_the_same_image_and_energy_bound_holds():
    kernels = random_kernels()
    exact = litho.Simulator(kernels, dtype=torch.float64).intensity(blocks(32))
    assert real_systems(kernels).shape[1] == 2 * kernels.weights.shape[1]
    torch.testing.assert_close(exact[1], reference_intensity(blocks(32), kernels, 1))
    coarse = litho.Simulator(kernels, dtype=torch.float64, energy_lost=0.2)
    assert coarse._systems.shape[1] < 2 * kernels.weights.shape[1]
    # What is dropped is a sum of squares: the image can only get darker.
    assert (coarse.intensity(blocks(32)) <= exact + 1e-12).all()


def test_wrong_grids_are_refused_with_a_remedy(embedded):
    sim = litho.Simulator(embedded)
    with pytest.raises(GridMismatchError, match="y = x"):
        sim.aerial(torch.ones(64, 32))
    with pytest.raises(GridMismatchError, match="at most"):
        sim.aerial(torch.ones(16, 16))
    corner = litho.ProcessCorner(name="far", focus=5, dose=1.0)
    with pytest.raises(GridMismatchError, match="focus setting 5"):
        litho.Simulator(embedded, corners=(corner,))
    with pytest.raises(ImageError, match="at least one pixel"):
        sim.aerial(torch.ones(0, 0))
    with pytest.raises(OptionError, match="n_out must be a whole number from 1"):
        sim.aerial(torch.ones(64, 64), n_out=0)
    with pytest.raises(TypeError, match=r"optics\.load"):
        litho.Simulator("embedded")
    with pytest.raises(ValueError, match="no GPU"):
        litho.Simulator(embedded, device="cuda")
    with pytest.raises(ValueError, match="dose"):
        litho.ProcessCorner(name="dark", focus=0, dose=0.0)


def test_matrices_move_with_the_module(embedded):
    moved = torch.nn.Sequential(litho.Simulator(embedded)).to("meta")[0]
    assert {moved.device.type, moved._field.along_x.device.type, moved._spectrum(64).rows.device.type} == {"meta"}


@pytest.mark.parametrize("cast", [lambda m: m.double(), lambda m: m.to(torch.float64)])
def test_casting_the_module_changes_its_precision_and_not_its_images(embedded, cast):
    sim = cast(torch.nn.Sequential(litho.Simulator(embedded)))[0]
    assert sim.dtype == torch.float64
    expected = reference_aerial(blocks(64), embedded, litho.CONTEST_CORNERS)
    torch.testing.assert_close(sim.aerial(blocks(64)), expected, rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match="float32 or"):
        sim.half()


@pytest.mark.gpu
def test_gpu_equals_cpu(embedded):
    mask = blocks(256)
    cpu = litho.Simulator(embedded).aerial(mask)
    gpu = litho.Simulator(embedded, device="cuda").aerial(mask).cpu()
    assert (gpu - cpu).abs().max() < 1e-5


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "clear_field"),
    # Measured by an independent float64 program on the released files.
    [("iccad13", (0.9515, 0.9417)), ("iccad13-symmetrised", (0.9536, 0.9508))],
)
def test_contest_kernels_at_full_size(contest_kernels, name, clear_field):
    kernels = contest_kernels(name)
    sim = litho.Simulator(kernels)
    assert sim.intensity(torch.ones(64, 64))[:, 0, 0].tolist() == pytest.approx(clear_field, abs=1e-4)
    mask = blocks(1024)
    expected = torch.stack([reference_intensity(mask, kernels, focus) for focus in (0, 1)])
    assert (sim.intensity(mask) - expected).abs().max() < TOLERANCE[torch.float32] * expected.max()


@pytest.mark.parametrize("device", ["nan", float("inf"), {}])
def test_a_device_that_is_none_is_refused(device):
    with pytest.raises(OptionError, match="there is no device"):
        litho.Simulator(optics.load("embedded"), device=device)


@pytest.mark.parametrize("diffusion_nm", [0.0, 12.0])
def test_sampled_intensity_is_that_of_the_simulator(diffusion_nm):
    kernels = optics.load("embedded")
    resist = litho.ThresholdResist(diffusion_nm=diffusion_nm)
    sim = litho.Simulator(kernels, dtype=torch.float64, energy_lost=1e-2, resist=resist)
    sampled = SampledIntensity(sim, 96)
    masks = torch.rand(2, 96, 96, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    ways = []
    for intensity in (sampled, lambda mask: sim.intensity(mask, n_out=sampled.n_samples)):
        leaf = masks.clone().requires_grad_()
        images = intensity(leaf)
        (gradient,) = torch.autograd.grad(images.square().sum(), leaf)
        ways.append((images.detach(), gradient))
    for fast, slow in zip(*ways, strict=True):
        assert torch.allclose(fast, slow, rtol=1e-10, atol=1e-12)


def test_sampled_intensity_refuses_a_gradient_through_fields_that_are_gone():
    sim = litho.Simulator(optics.load("embedded"))
    sampled = SampledIntensity(sim, 96)
    leaf = torch.rand(1, 96, 96, requires_grad=True)
    first = sampled(leaf)
    sampled(leaf)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        first.sum().backward()
