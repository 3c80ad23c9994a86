"""GAN-OPC: an encoder and decoder without skips, trained against a discriminator."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskopt_lib.models.conditioning import Conditioning
from maskopt_lib.models.inputs import TileInput
from maskopt_lib.models.model import MaskModel, ModelOptions, conv, convs
from maskopt_lib.models.stages import Stage
from maskopt_lib.options import Positive

#: The image is halved so many times, by the generator and by the discriminator.
_HALVINGS = 5


@dataclass(frozen=True, kw_only=True)
class Options(ModelOptions):
    """Choices of GAN-OPC; see `ModelOptions` for the rest.

    Parameters
    ----------
    pair : the discriminator sees target and mask, as its paper says; else the mask alone.
    bare_logits : the discriminator ends in a plain layer; else batch norm and ReLU follow, so that it can never call
        a mask more likely drawn than of the data.
    rival_width : factor on the discriminator's channels, beside ``width``: it costs many times what the generator does.
    """

    pair: bool = False
    bare_logits: bool = False
    rival_width: Positive = 1.0


#: As benchmarked, at 256 x 256 pixels of 2048 nm clips (8 nm); and without the defects of that code.
PRESETS = {"published": Options(), "corrected": Options(preset="corrected", pair=True, bare_logits=True)}
#: Of each preset, what is minimised when it is trained; of others the first.
STAGES = {
    "published": (
        Stage(name="pretrain", weights={"l2": 1.0, "label": 1.0}),
        Stage(name="adversarial", weights={"adversarial": 1.0, "label": 1.0}, lr=1e-4),
    ),
}


class GanOpc(MaskModel):
    """Five 5 x 5 convolutions of stride 2, then five stages of a 3 x 3 convolution and pixel-shuffle; no skips.

    Notes
    -----
    Nothing in it depends on the number of pixels, a multiple of 32: coarser pixels leave fewer of them in the
    bottleneck. A target moved by 32 pixels gives the mask moved by as many, away from the border.
    """

    name = "gan_opc"

    def __init__(self, options: Options, conditioning: Conditioning) -> None:
        down = [options.channels(channels) for channels in (16, 64, 128, 512, 1024)]
        up = [options.channels(channels) for channels in (512, 128, 64, 16)]
        super().__init__(options, conditioning, n_bottleneck=down[-1])
        n_in = [conditioning.n_planes, *down]
        self.encoder = nn.Sequential(*(conv(n_in[i], down[i], 5, stride=2) for i in range(_HALVINGS)))
        ups = zip([down[-1], *up], up, strict=False)
        layers = [(nn.Conv2d(n, 4 * m, 3, padding=1), nn.PixelShuffle(2), nn.BatchNorm2d(m), nn.ReLU()) for n, m in ups]
        self.decoder = nn.Sequential(*(nn.Sequential(*stage) for stage in layers))
        self.last = nn.Sequential(nn.Conv2d(up[-1], 4, 3, padding=1), nn.PixelShuffle(2))

    def draw(self, planes: Tensor, x: TileInput) -> Tensor:
        return self.last(self.decoder(self.conditioner.modulate(self.encoder(planes), x)))

    def discriminator(self) -> nn.Module:
        return GanOpcDiscriminator(self.options)


class GanOpcDiscriminator(nn.Module):
    """Stages of 3 x 3 convolutions, each halving the image, then three fully connected layers.

    Notes
    -----
    The first fully connected layer sees all pixels that are left: 8 x 8 of the published 256 x 256, and (n / 32)^2 of
    n x n. Batch norm of whole tiles asks for at least two of them in a batch.
    """

    def __init__(self, options: Options) -> None:
        super().__init__()
        self.pair = options.pair
        width = options.rival_width
        stages, n_in = [], 1 + options.pair
        for channels, n_convs in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
            n_out = options.channels(width * channels)
            stages += [convs(n_in, n_out, n_convs), conv(n_out, n_out, stride=2)]
            n_in = n_out
        self.stages = nn.Sequential(*stages)
        n_left = n_in * (options.n_pixels >> _HALVINGS) ** 2
        hidden = [options.channels(width * channels) for channels in (2048, 512)]
        last = [nn.Linear(hidden[1], 1)] if options.bare_logits else [_connected(hidden[1], 1)]
        self.verdict = nn.Sequential(_connected(n_left, hidden[0]), _connected(*hidden), *last)

    def forward(self, target: Tensor, mask: Tensor) -> Tensor:
        """Logits (n, 1) of masks (n, 1, y, x) being those of the data."""
        seen = torch.cat([target, mask], dim=1) if self.pair else mask
        return self.verdict(self.stages(seen).flatten(1))


#: The network of options and conditioning, with fresh weights.
build = GanOpc


def _connected(n_in: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, n_out), nn.BatchNorm1d(n_out), nn.ReLU())
