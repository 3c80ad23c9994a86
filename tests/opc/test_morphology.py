"""Morphology against slow loops, an independent library, and the laws it must obey."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskopt_lib.opc import morphology


def element(size_px: int) -> np.ndarray:
    r = size_px // 2
    dx = np.abs(np.arange(-r, r + 1))
    return dx[None, :] <= morphology.ellipse(size_px)[:, None]


def random_mask(seed: int, n: int = 40) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.as_tensor(np.kron(rng.random((n // 4, n // 4)) > 0.5, np.ones((4, 4))).astype(np.uint8))


def reference_dilate(image: np.ndarray, size_px: int) -> np.ndarray:
    r = size_px // 2
    offsets = np.argwhere(element(size_px)) - r
    out = np.empty_like(image)
    for y, x in np.ndindex(*image.shape):
        inside = [
            image[y + dy, x + dx] for dy, dx in offsets if 0 <= y + dy < image.shape[0] and 0 <= x + dx < image.shape[1]
        ]
        out[y, x] = max(inside)
    return out


@pytest.mark.parametrize("size_px", [1, 3, 5, 9, 25, 39])
def test_element_is_that_of_the_published_masks(size_px):
    np.testing.assert_array_equal(element(size_px), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size_px,) * 2))


@pytest.mark.parametrize("size_px", [0, 4])
def test_even_elements_are_refused(size_px):
    with pytest.raises(ValueError, match="odd"):
        morphology.ellipse(size_px)


@pytest.mark.parametrize("size_px", [3, 5, 9, 25])
def test_binary_operators_equal_an_independent_library(size_px):
    mask = random_mask(size_px, 128)
    kernel = element(size_px).astype(np.uint8)
    for ours, theirs in [
        (morphology.dilate_binary, cv2.dilate),
        (morphology.erode_binary, cv2.erode),
    ]:
        np.testing.assert_array_equal(ours(mask, size_px).numpy(), theirs(mask.numpy(), kernel))
    padded = np.pad(mask.numpy(), 64)
    opened = cv2.morphologyEx(padded, cv2.MORPH_OPEN, kernel)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel)
    np.testing.assert_array_equal(morphology.open_binary(torch.as_tensor(padded), size_px).numpy(), opened)
    np.testing.assert_array_equal(morphology.close_binary(torch.as_tensor(padded), size_px).numpy(), closed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size_px", [3, 5, 7])
def test_grey_operators_equal_the_slow_loop(size_px, dtype):
    image = torch.randn(2, 17, 14, dtype=dtype, generator=torch.Generator().manual_seed(size_px))
    fast = morphology.dilate(image, size_px)
    slow = np.stack([reference_dilate(i.numpy(), size_px) for i in image])
    np.testing.assert_array_equal(fast.numpy(), slow)
    eroded = np.stack([-reference_dilate(-i.numpy(), size_px) for i in image])
    np.testing.assert_array_equal(morphology.erode(image, size_px).numpy(), eroded)


def test_grey_and_binary_agree_on_binary_images():
    mask = random_mask(3)
    for grey, binary in [
        (morphology.opening, morphology.open_binary),
        (morphology.closing, morphology.close_binary),
    ]:
        np.testing.assert_array_equal(grey(mask.float(), 5).numpy(), binary(mask, 5).numpy())


def test_gradient_is_that_of_the_winning_pixel():
    # Distinct values: the maximum is differentiable there, so finite differences apply.
    values = torch.randperm(81, generator=torch.Generator().manual_seed(0)).double().reshape(9, 9) / 10
    assert torch.autograd.gradcheck(lambda v: morphology.round_corners(v, 3, 5), (values.requires_grad_(),))
    single = values.detach().float().requires_grad_()
    double = values.detach().requires_grad_()
    for image in (single, double):
        morphology.round_corners(image, 3, 5).square().sum().backward()
    torch.testing.assert_close(single.grad.double(), double.grad, rtol=1e-5, atol=1e-5)


def test_gradient_is_shared_out_in_full_on_ties():
    image = torch.ones(6, 6, requires_grad=True)
    morphology.dilate(image, 3).sum().backward()
    assert image.grad.sum() == 36


@given(seed=st.integers(0, 10_000), size_px=st.sampled_from([3, 5, 9]))
def test_laws_of_morphology(seed, size_px):
    mask = random_mask(seed)
    opened, closed = morphology.open_binary(mask, size_px), morphology.close_binary(mask, size_px)
    assert bool((opened <= mask).all()) and bool((mask <= closed).all())
    assert torch.equal(morphology.open_binary(opened, size_px), opened)
    # Erosion and dilation are adjoint in the order of images; duality through the complement.
    assert torch.equal(1 - morphology.dilate_binary(mask, size_px), morphology.erode_binary(1 - mask, size_px))
    rounded = morphology.round_corners_binary(mask, size_px, size_px)
    assert set(rounded.unique().tolist()) <= {0, 1}


def test_rounding_leaves_straight_edges_and_sizes():
    mask = torch.zeros(120, 120, dtype=torch.uint8)
    mask[30:90, 20:100] = 1
    rounded = morphology.round_corners_binary(mask, 21, 21)
    changed = torch.nonzero(rounded != mask)
    corners = torch.tensor([[30, 20], [30, 99], [89, 20], [89, 99]])
    distance = (changed[:, None] - corners).abs().amax(-1).amin(-1)
    assert len(changed) > 0 and distance.max() <= 10
    assert torch.equal(rounded[60], mask[60]) and torch.equal(rounded[:, 60], mask[:, 60])


def test_content_at_the_border_and_empty_images():
    mask = torch.zeros(30, 30, dtype=torch.uint8)
    assert torch.equal(morphology.close_binary(mask, 5), mask)
    mask[:10] = 1  # touches three borders: nothing to round there
    assert torch.equal(morphology.open_binary(mask, 9), mask)


@pytest.mark.realdata
@pytest.mark.parametrize("case", [2, 5, 10])
def test_retargeting_gives_the_published_targets(real_data, case):
    def image(kind):
        path = real_data(f"golden/curvyilt_masks/M1_test{case}.{kind}.png")
        pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        return (pixels > pixels.max() // 2).astype(np.uint8)

    ours = morphology.round_corners_binary(torch.as_tensor(image("target")), 39, 39).numpy()
    assert int((ours != image("retargeted_x39_a39")).sum()) == 0
