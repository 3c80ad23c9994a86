"""Neural-ILT: a U-Net."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskopt_lib.models.conditioning import Conditioning
from maskopt_lib.models.inputs import TileInput
from maskopt_lib.models.model import MaskModel, ModelOptions, convs
from maskopt_lib.models.stages import Stage
from maskopt_lib.options import Odd


@dataclass(frozen=True, kw_only=True)
class Options(ModelOptions):
    """Choices of Neural-ILT; see `ModelOptions` for the rest.

    Parameters
    ----------
    norm : batch norm after every convolution but the last.
    last_size : size of the last convolution's kernel.
    """

    norm: bool = True
    last_size: Odd = 3


#: As benchmarked, at 512 x 512 pixels of 2048 nm clips (4 nm); and as first published.
PRESETS = {"published": Options(), "original": Options(preset="original", norm=False, last_size=1)}
#: Of each preset, what is minimised when it is trained; of others the first.
STAGES = {
    "published": (
        Stage(name="pretrain", weights={"label": 1.0}),
        Stage(name="litho", weights={"l2": 1.0, "pv_band": 1.0}),
    ),
}


class NeuralIlt(MaskModel):
    """A U-Net of four levels: pairs of 3 x 3 convolutions, max-pooling, bilinear upsampling, skips by concatenation.

    Notes
    -----
    Nothing in it depends on the number of pixels. Upsampling aligns corners, as published, so that a moved target
    does not exactly give a moved mask.
    """

    name = "neural_ilt"

    def __init__(self, options: Options, conditioning: Conditioning) -> None:
        n = [options.channels(channels) for channels in (64, 128, 256, 512)]
        super().__init__(options, conditioning, n_bottleneck=n[3])
        norm = options.norm
        self.down = nn.ModuleList(
            convs(n_in, n_out, 2, norm=norm) for n_in, n_out in zip([conditioning.n_planes, *n], n, strict=False)
        )
        self.up = nn.ModuleList(convs(n[i + 1] + n[i], n[i], 2, norm=norm) for i in (2, 1, 0))
        self.last = nn.Conv2d(n[0], 1, options.last_size, padding=options.last_size // 2)

    def draw(self, planes: Tensor, x: TileInput) -> Tensor:
        skips = []
        features = planes
        for i, block in enumerate(self.down):
            features = block(nn.functional.max_pool2d(features, 2) if i else features)
            skips.append(features)
        features = self.conditioner.modulate(skips.pop(), x)
        for block in self.up:
            features = nn.functional.interpolate(features, scale_factor=2, mode="bilinear", align_corners=True)
            features = block(torch.cat([skips.pop(), features], dim=1))
        return self.last(features)


#: The network of options and conditioning, with fresh weights.
build = NeuralIlt
