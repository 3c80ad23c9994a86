"""DAMO as benchmarked: a deep encoder and decoder without skips, trained against a discriminator of two scales."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskopt_lib.models.conditioning import Conditioning
from maskopt_lib.models.inputs import TileInput
from maskopt_lib.models.model import MaskModel, ModelOptions, conv, conv_up
from maskopt_lib.models.stages import Stage


@dataclass(frozen=True, kw_only=True)
class Options(ModelOptions):
    """Choices of DAMO; see `ModelOptions` for the rest.

    Parameters
    ----------
    residual : the nine blocks of the bottleneck add what they see to what they make, as the paper says.
    pair : the discriminator sees target and mask; else the mask alone.
    """

    residual: bool = False
    pair: bool = False


#: As benchmarked, at 1024 x 1024 pixels of 2048 nm clips (2 nm); and without the defects of that code.
PRESETS = {"published": Options(), "corrected": Options(preset="corrected", residual=True, pair=True)}
#: Of each preset, what is minimised when it is trained; of others the first.
STAGES = {
    "published": (
        Stage(name="pretrain", weights={"l2": 1.0, "label": 1.0}, litho={"distance": "absolute"}),
        Stage(
            name="adversarial",
            weights={"l2": 1.0, "adversarial": 1.0, "label": 1.0},
            litho={"distance": "absolute"},
            lr=1e-4,
        ),
    ),
}


class Damo(MaskModel):
    """A 7 x 7 convolution, five of stride 2, nine blocks, five transposed of stride 2, and a last 7 x 7; no skips.

    Notes
    -----
    Nothing in it depends on the number of pixels, a multiple of 32. A target moved by 32 pixels gives the mask moved
    by as many, away from the border.
    """

    name = "damo"

    def __init__(self, options: Options, conditioning: Conditioning) -> None:
        n = [options.channels(channels) for channels in (32, 64, 128, 256, 512, 1024)]
        super().__init__(options, conditioning, n_bottleneck=n[-1])
        steps = list(pairwise(n))
        self.first = conv(conditioning.n_planes, n[0], 7)
        self.encoder = nn.Sequential(*(conv(n_in, n_out, stride=2) for n_in, n_out in steps))
        self.blocks = nn.ModuleList(conv(n[-1], n[-1]) for _ in range(9))
        self.decoder = nn.Sequential(*(conv_up(n_in, n_out) for n_out, n_in in reversed(steps)))
        self.last = nn.Conv2d(n[0], 1, 7, padding=3)

    def draw(self, planes: Tensor, x: TileInput) -> Tensor:
        features = self.conditioner.modulate(self.encoder(self.first(planes)), x)
        for block in self.blocks:
            features = features + block(features) if self.options.residual else block(features)
        return self.last(self.decoder(features))

    def discriminator(self) -> nn.Module:
        return DamoDiscriminator(self.options)


class DamoDiscriminator(nn.Module):
    """Two networks alike, for the image and for the image at half its size; the mean of their probabilities.

    Notes
    -----
    Each ends in one number a pixel and a fully connected layer over all of them: (n / 2)^2 and (n / 4)^2 for images of
    n x n, 512^2 and 256^2 as published.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.pair = options.pair
        self.scales = nn.ModuleList(_one_scale(options, options.n_pixels // scale) for scale in (1, 2))

    def forward(self, target: Tensor, mask: Tensor) -> Tensor:
        """Logits (n, 1) of masks (n, 1, y, x) being those of the data."""
        seen = torch.cat([target, mask], dim=1) if self.pair else mask
        fine, coarse = self.scales
        logits = torch.stack([fine(seen), coarse(functional.avg_pool2d(seen, 2))]).float()
        # log p - log (1 - p) of the mean p of both probabilities, without leaving logarithms.
        return functional.logsigmoid(logits).logsumexp(0) - functional.logsigmoid(-logits).logsumexp(0)


#: The network of options and conditioning, with fresh weights.
build = Damo


def _one_scale(options: Options, n_pixels: int) -> nn.Sequential:
    n = [1 + options.pair, options.channels(64), options.channels(128), 1]
    layers: list[nn.Module] = []
    for i in range(3):
        # An even kernel keeps the size of an image with one row more of zeros behind it than before it.
        pad, stride = ((1, 1, 1, 1), 2) if i == 0 else ((1, 2, 1, 2), 1)
        layers += [nn.ZeroPad2d(pad), nn.Conv2d(n[i], n[i + 1], 4, stride=stride)]
        layers += [nn.BatchNorm2d(n[i + 1]), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear((n_pixels // 2) ** 2, 1))
