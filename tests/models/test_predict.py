"""Masks at 1 nm: right place, right tiles, whatever the batch."""

import numpy as np
import pytest
import torch
from mask_networks import NAMES, blocks, settled

from maskopt_lib import models
from maskopt_lib.errors import GridMismatchError, ImageError, OptionError, UnknownNameError
from maskopt_lib.models import Conditioning, TileInput, predict
from maskopt_lib.models.inputs import NO_CELL
from maskopt_lib.models.model import MaskModel, ModelOptions
from maskopt_lib.models.predict import _batches


class Identity(MaskModel):
    """Draws the target: logits of pixels are 1 where more than half is covered, -1 where less."""

    name = "identity"

    def __init__(self, pixel_nm, conditioning):
        super().__init__(ModelOptions(pixel_nm=pixel_nm), conditioning, n_bottleneck=1)
        self.scale = torch.nn.Parameter(torch.tensor(2.0))

    def draw(self, planes, x):
        # The cell shifts the outline, so that tiles tell who was who.
        return self.scale * (x.target - 0.5) + 0.1 * x.cell[:, None, None, None]


def rectangles(n, step=8):
    """(n, 1024, 1024) rectangles on multiples of `step`, another in every tile."""
    rng = np.random.default_rng(0)
    images = np.zeros((n, 1024, 1024), np.uint8)
    for image in images:
        for _ in range(6):
            y, x = step * rng.integers(256 // step, 640 // step, 2)
            height, width = step * rng.integers(64 // step, 160 // step, 2)
            image[y : y + height, x : x + width] = 1
    return images


@pytest.mark.parametrize("pixel_nm", [1, 2, 4, 8])
def test_edges_stay_where_they_are(pixel_nm):
    """Straight edges between pixels come back on the nanometre; bicubic contours cut no more than corners."""
    images = rectangles(2)
    masks = predict(Identity(pixel_nm, Conditioning()), images)
    assert masks.dtype == np.uint8 and masks.shape == images.shape
    strip = np.zeros((1, 1024, 1024), np.uint8)
    strip[0, :, 304:472] = 1
    assert np.array_equal(predict(Identity(pixel_nm, Conditioning()), strip), strip)
    corners = np.abs(np.diff(np.diff(images.astype(int), axis=1), axis=2)).sum()
    assert np.count_nonzero(masks != images) <= corners * (pixel_nm / 2) ** 2


@pytest.mark.parametrize("name", NAMES)
def test_the_batch_does_not_matter(name):
    torch.manual_seed(0)
    images, cells = rectangles(3), np.arange(3)
    model = models.build(name, width=1 / 16, pixel_nm=8, conditioning=Conditioning(tag="film", n_cells=3))
    torch.nn.init.normal_(model.conditioner.scale_shift.weight)
    settled(model, TileInput.of(blocks(2, 8), cell=0)).train()
    logits = torch.cat([drawn for _, drawn in _batches(model, images, 2, cells=cells)]).numpy()
    assert not model.training and logits.dtype == np.float32
    for i in range(3):
        ((_, alone),) = _batches(model, images[i : i + 1], 1, cells=cells[i : i + 1])
        np.testing.assert_allclose(alone[0], logits[i], rtol=0, atol=1e-3 * logits.std())
    assert np.array_equal(predict(model, images, cells=cells, batch=2), logits > 0)


def test_no_tiles_give_no_masks():
    assert predict(Identity(8, Conditioning()), np.zeros((0, 1024, 1024), np.uint8)).shape == (0, 1024, 1024)


def test_mistakes_are_told():
    images = rectangles(2)
    told = Identity(8, Conditioning(tag="film", n_cells=3, kinds=("opc", "ilt"), context=True))
    right = {"cells": [0, NO_CELL], "kind": "opc", "context_nm": 32}
    assert predict(told, images, **right).shape == images.shape
    for missing in right:
        with pytest.raises(ValueError, match=f"give {missing}="):
            predict(told, images, **(right | {missing: None}))
    with pytest.raises(UnknownNameError, match="cells 0 to 2"):
        predict(told, images, **(right | {"cells": [0, 3]}))
    with pytest.raises(UnknownNameError, match="draws: opc, ilt"):
        predict(told, images, **(right | {"kind": "mbopc"}))
    with pytest.raises(GridMismatchError, match="middle of zeros"):
        predict(told, images[:, :512, :512], **right)


@pytest.mark.parametrize("images", [[[[1, 0], [1]]], "mask.png", None])
def test_what_is_no_stack_of_images(images):
    with pytest.raises(ImageError):
        predict(Identity(8, Conditioning()), images)


@pytest.mark.parametrize("name", ["dial", "context_nm"])
@pytest.mark.parametrize("value", [b"1", "x", [[0], [0, 1]], [0, 0, 0], [], 1j, True])
def test_what_is_no_number_for_each_image(name, value):
    told = Identity(8, Conditioning(context=True, dial=True))
    with pytest.raises(OptionError, match=f"{name} is one number from 0 to "):
        predict(told, rectangles(2), **({"context_nm": 32} | {name: value}))
