"""Networks for tests: their names, shapes to draw masks of, and batch norms that know them."""

import torch

from maskopt_lib.models.inputs import n_pixels

#: The networks of the benchmark, and those of them that are trained against a discriminator.
NAMES = ("gan_opc", "neural_ilt", "damo", "cfno")
ADVERSARIAL = ("gan_opc", "damo")


def blocks(n, pixel_nm, seed=0):
    """Random shapes of 32 nm squares, (n, 1, y, x)."""
    size = n_pixels(pixel_nm)
    coarse = torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(seed)) < 0.3
    return torch.nn.functional.interpolate(coarse.float(), size=(size, size))


def settled(module, *inputs):
    """In evaluation mode, with batch norms that know these inputs: signals die in deep networks that are not."""
    for layer in module.modules():
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            layer.momentum = 1.0
    with torch.no_grad():
        module.train()(*inputs)
    return module.eval()
