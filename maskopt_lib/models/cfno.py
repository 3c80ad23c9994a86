"""CFNO: Fourier branches over patches of three sizes beside a convolutional branch."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskopt_lib.errors import UnknownNameError
from maskopt_lib.models.conditioning import Conditioning
from maskopt_lib.models.inputs import IMAGE_NM, TileInput
from maskopt_lib.models.model import MaskModel, ModelOptions, conv, conv_up, convs
from maskopt_lib.models.stages import SELF_TRAINING, Stage

#: Side of a patch in nm, and channels made of it, of each Fourier branch; published are patches of as many pixels.
PATCHES_NM, PATCH_CHANNELS = (32, 64, 128), (16, 32, 64)


@dataclass(frozen=True, kw_only=True)
class Options(ModelOptions):
    """Choices of CFNO; see `ModelOptions` for the rest.

    Parameters
    ----------
    self_training : of its training: where a prediction has a smaller L2 error than its label, the tile's loss is
        ``"vanishing"``, as in the public code, or the prediction is ``"replacing"`` the label, as the paper says.
    """

    self_training: str = "vanishing"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.self_training not in SELF_TRAINING:
            raise UnknownNameError(f"no self-training {self.self_training!r}; known: {', '.join(SELF_TRAINING)}")


#: As benchmarked, at 1024 x 1024 pixels of 2048 nm clips (2 nm); and without the defects of that code.
PRESETS = {"published": Options(), "corrected": Options(preset="corrected", self_training="replacing")}
#: Of each preset, what is minimised when it is trained; of others the first.
STAGES = {
    "published": (Stage(name="label", weights={"label": 1.0}, self_training="vanishing"),),
    "corrected": (Stage(name="label", weights={"label": 1.0}, self_training="replacing"),),
}


class Cfno(MaskModel):
    """Three Fourier branches and three convolutional stages side by side, and a decoder of transposed convolutions.

    Notes
    -----
    Patches have the same side in nm at every pixel size, that of the benchmark: n / 32, n / 16 and n / 8 pixels of an
    n x n image, so that there are always 32 x 32, 16 x 16 and 8 x 8 of them, and the Fourier branches have fewer
    weights at coarser pixels. Both kinds of branches meet at n / 8 pixels. A target moved by the largest patch, 128 nm,
    gives the mask moved by as much, away from the border.
    """

    name = "cfno"

    def __init__(self, options: Options, conditioning: Conditioning) -> None:
        patches = [options.channels(n) for n in PATCH_CHANNELS]
        n = [options.channels(channels) for channels in (32, 64, 128)]
        super().__init__(options, conditioning, n_bottleneck=sum(patches) + n[2])
        self.fourier = nn.ModuleList(
            FourierPatches(conditioning.n_planes, n_out, options.n_pixels * side // IMAGE_NM)
            for side, n_out in zip(PATCHES_NM, patches, strict=True)
        )
        self.local = nn.Sequential(
            *(
                nn.Sequential(conv(n_in, n_out, stride=2), convs(n_out, n_out, 2))
                for n_in, n_out in zip([conditioning.n_planes, *n], n, strict=False)
            )
        )
        ups = zip([sum(patches) + n[2], n[2], n[1]], reversed(n), strict=True)
        self.decoder = nn.Sequential(*(nn.Sequential(conv_up(a, b), convs(b, b, 2)) for a, b in ups))
        self.last = nn.Sequential(convs(n[0], n[0], 3), nn.Conv2d(n[0], 1, 3, padding=1))

    def draw(self, planes: Tensor, x: TileInput) -> Tensor:
        local = self.local(planes)
        seen = [_resized(branch(planes), local.shape[-1]) for branch in self.fourier]
        return self.last(self.decoder(self.conditioner.modulate(torch.cat([*seen, local], dim=1), x)))


class FourierPatches(nn.Module):
    """A complex linear layer on the Fourier transform of flattened patches, then a 3 x 3 convolution of each channel
    by itself and batch norm.

    Parameters
    ----------
    n_in : channels of the image; all join in the vector of a patch, so that weights grow with their number.
    n_out : channels made.
    size : side of a patch in pixels.

    Notes
    -----
    The transform is that of the vector of a patch, rows one after the other, not of its two axes, and what is
    transformed back is the vector of channels. Both are unitary here.
    """

    def __init__(self, n_in: int, n_out: int, size: int) -> None:
        super().__init__()
        self.size = size
        n_values = n_in * size**2
        # Real and imaginary part on the last axis: weights are then stored and averaged as any others.
        self.weight = nn.Parameter(torch.randn(n_values, n_out, 2) * (2 * n_values) ** -0.5)
        self.bias = nn.Parameter(torch.zeros(n_out, 2))
        self.mix = nn.Sequential(nn.Conv2d(n_out, n_out, 3, padding=1, groups=n_out), nn.BatchNorm2d(n_out))

    def forward(self, image: Tensor) -> Tensor:
        """(n, n_out, y / size, x / size) of (n, n_in, y, x)."""
        rows = image.shape[-1] // self.size
        # Transforms have no type of less than 32 bits, weights neither; autocast leaves complex products alone.
        vectors = functional.unfold(image.to(self.weight.dtype), self.size, stride=self.size).mT
        spectra = torch.fft.fft(vectors, norm="ortho") @ torch.view_as_complex(self.weight)
        channels = torch.fft.ifft(spectra + torch.view_as_complex(self.bias), norm="ortho").real
        return self.mix(channels.mT.unflatten(2, (rows, rows)))


#: The network of options and conditioning, with fresh weights.
build = Cfno


def _resized(image: Tensor, n: int) -> Tensor:
    """To ``n`` x ``n``: pixels are repeated, or their mean is taken where there are more than that."""
    if image.shape[-1] > n:
        return functional.adaptive_avg_pool2d(image, n)
    return functional.interpolate(image, size=(n, n), mode="nearest")
