"""Our own: a few steps of a learned descent on what the mask prints, with the exact simulator inside.

A solver of inverse lithography spends its hundreds of steps on two things: on finding out what the light does, and on
turning that into a mask that is binary and simple. The first is cheap, exact and known: a forward and an adjoint pass
through the coherent systems cost less than one convolution of 32 channels does at 8 nm. The second is what a network
can learn. So the mask starts as the target, blurred, so that its edges can move by any part of a pixel, and in each of
a few steps

1. several times the simulator prints the mask and gives the gradients of L2 and PV band on the core with respect to
   it, and the mask goes down their weighted sum and that of its number of corners, smoothed and scaled by its size so
   far as Adam does, by learned weights and rates,
2. a small network turns gradients, print, what it remembers, and features of the surroundings into a change.

The features come from a compact U-Net that sees the target and what it prints; they are computed once. Before any
training the networks add nothing, and what is left is a descent that already prints well: its constants were chosen
on a few tiles of the validation design, among some hundred draws.

In training the mask after every step is judged as if it were the last, and a step takes what the one before has left
as numbers. So each network learns from the exact gradient of what follows from its own change: through the later
descents, which correct whatever is done before them, that gradient would be wrong or dear.

A dial from 0 (as faithful as possible) to 1 (as simple as possible) scales and shifts its features, and weighs the
corners in the descent. In training it is drawn for each tile and weighs the complexity of the mask, so that one network
draws masks of all kinds. Masks are drawn in blocks, one a pixel: each straight outline is one along x or y, which a
writer exposes with few rectangles.

None of the losses it is meant for (:class:`~maskopt_lib.models.losses.LithoLoss`,
:class:`~maskopt_lib.models.losses.ComplexityLoss`) needs a label: it learns from targets alone.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskopt_lib.litho.process import ThresholdResist
from maskopt_lib.models.conditioning import Conditioning
from maskopt_lib.models.inputs import IMAGE_NM, TileInput
from maskopt_lib.models.middle_images import MiddleImages, middle
from maskopt_lib.models.model import MaskModel, ModelOptions
from maskopt_lib.models.stages import Stage
from maskopt_lib.optics.library import load as load_optics
from maskopt_lib.options import Count, NotNegative, Positive

#: Side in nm of the pixels on which prints are looked at, an eighteenth of what the optics resolve.
PRINT_NM = 8
#: Side in nm of the pixels that features live on; finer ones are images of their own there.
WORK_NM = 16
#: Steepness of the first mask; its edge, as a level of the blurred target: wider than the target, for what is small and
#: prints nothing at first has no gradient to go by; rates of the first step and of the last as a share of it.
_CONTRAST, _LEVEL, _RATE, _RATE_FALL = 8.0, 0.3, 1.5, 0.2
#: Weights of L2 and PV band in the descent; of corners at a dial of 0, and how many times that at a dial of 1.
_PRINTS, _CORNERS, _CORNERS_RISE = (1.0, 0.3), 1e-3, 10.0
#: What the networks say is scaled by this: some hundred inputs and all steps add up.
_CHANGE = 0.1
#: Mixed differences of the mask below this are no corners.
_NO_CORNER = 0.1
#: What is looked at of a print, in this order: gradients with respect to the mask, and differences in the core.
SEEN = (
    "gradient of L2",
    "gradient of PV band",
    "gradient of corners",
    "nominal print less target",
    "outer less inner print",
)
#: Of them, what the descent goes down: the gradients.
N_GRADIENTS = 3


@dataclass(frozen=True, kw_only=True)
class Options(ModelOptions):
    """Choices of the unrolled descent; see `ModelOptions` for the rest.

    Parameters
    ----------
    kernels : optics that it looks through, for :func:`maskopt_lib.optics.load`.
    n_steps : steps with a network of their own.
    n_descents : times that a step prints and goes downhill.
    n_memory : images that a step leaves for the next.
    blur_nm : of the target as the first mask, standard deviation.
    sharpness : factor on the logits, which grows from 1 before the first step to this of the result. Grey masks print
        what no binary one does, and a descent that may end with them does.
    core_nm, rim_nm : the print counts in the core and in a rim around it, as in the loss it is trained with.
    blocks : masks of 1 nm are the pixels as they are, not interpolated.
    """

    preset: str = "own"
    kernels: str = "embedded"
    n_steps: Count = 8
    n_descents: Count = 5
    n_memory: Count = 8
    blur_nm: Positive = 24.0
    sharpness: Positive = 8.0
    core_nm: Positive = 512.0
    rim_nm: NotNegative = 0.0
    blocks: bool = True


PRESETS = {"own": Options(), "outlines": Options(preset="outlines", blocks=False)}
#: Of each preset, what is minimised when it is trained; of others the first.
#: It learns from targets alone; the dial weighs what there is to write against what is printed. What is printed is
#: the binary mask: at 8 nm, where a pixel is clear matters more than how its soft edge would print.
STAGES = {
    "own": (
        Stage(
            name="litho",
            weights={"l2": 1.0, "pv_band": 0.2, "corners": (1e-6, 5e-5)},
            litho={"resist_steepness": 100.0, "mask": "straight_through"},
            complexity={"mask": "straight_through"},
            lr=2e-3,
            clip_norm=0.1,
        ),
    ),
}


class UnrolledLitho(MaskModel):
    """Features of a U-Net at 16, 32 and 64 nm, and small networks that take steps of a descent.

    Notes
    -----
    Gradients of the print enter the network as numbers: training does not differentiate through them.
    """

    name = "unrolled_litho"

    def __init__(self, options: Options, conditioning: Conditioning) -> None:
        fine, mid, coarse = (options.channels(n) for n in (32, 64, 96))
        super().__init__(options, conditioning, n_bottleneck=coarse)
        self.prints = PrintGradients(options)
        #: Parts along one side of a pixel of the features: of the mask, and of the prints.
        self.parts, print_parts = WORK_NM // options.pixel_nm, WORK_NM // PRINT_NM
        n_mask, n_seen = self.parts**2, len(SEEN) * print_parts**2

        self.stem = nn.Sequential(_conv(n_mask + conditioning.n_planes - 1 + n_seen, fine), _Residual(fine))
        self.down = nn.ModuleList(
            nn.Sequential(_conv(n_in, n, stride=2), _Residual(n), _Residual(n))
            for n_in, n in ((fine, mid), (mid, coarse))
        )
        self.up = nn.ModuleList([_conv(coarse + mid, mid), _conv(mid + fine, fine)])
        # Scale and shift of the coarsest and of the finest features.
        self.dial = _Dial((coarse, fine)) if conditioning.dial else None

        n_in = n_mask + n_seen + fine + options.n_memory
        rates = torch.logspace(0, 1, options.n_steps * options.n_descents, base=_RATE_FALL) * _RATE
        self.steps = nn.ModuleList(
            _Step(n_in, fine, n_mask, options.n_memory, rates=own) for own in rates.view(options.n_steps, -1)
        )

    def draw(self, planes: Tensor, x: TileInput) -> Tensor:
        return self.draw_drafts(planes, x)[-1]

    def draw_drafts(self, planes: Tensor, x: TileInput) -> list[Tensor]:
        target, conditions = planes[:, :1], planes[:, 1:]
        wanted = _at_prints(target)
        latent = _CONTRAST * (_blurred(target, self.options.blur_nm / self.options.pixel_nm) - _LEVEL)
        seen = self.prints(latent, wanted)
        moments = _Moments()
        # What is told beside the target is the same everywhere.
        conditions = conditions[:, :, :: self.parts, :: self.parts]
        features = self._features([F.pixel_unshuffle(target, self.parts), conditions], seen, x)
        memory = features.new_zeros(len(features), self.options.n_memory, *features.shape[-2:])
        n_done, n_all, drafts = 0, len(self.steps) * self.options.n_descents, []
        for step in self.steps:
            # What it remembers may be learned from what a later step makes of it.
            latent = latent.detach()
            moments.detach()
            for rate in step.rates:
                downhill = moments.scaled(step.uphill(seen, x.dial))
                latent = latent - rate * F.interpolate(downhill, size=latent.shape[-2:])
                n_done += 1
                sharpness = self.options.sharpness ** (n_done / n_all)
                seen = self.prints(sharpness * latent, wanted)
            mask = F.pixel_unshuffle(torch.sigmoid(sharpness * latent.detach()), self.parts)
            change, memory = step(torch.cat([mask, _at_features(seen), features, memory], dim=1))
            latent = latent + F.pixel_shuffle(change, self.parts)
            drafts.append(self.options.sharpness * latent)
            if n_done < n_all:
                seen = self.prints(sharpness * latent, wanted)
        return drafts

    def _features(self, images: list[Tensor], seen: Tensor, x: TileInput) -> Tensor:
        dials = self.dial(x.dial) if self.dial is not None else (None, None)
        fine = self.stem(torch.cat([*images, _at_features(seen)], dim=1))
        mid = self.down[0](fine)
        coarse = self.conditioner.modulate(_scaled(self.down[1](mid), dials[0]), x)
        mid = self.up[0](torch.cat([_twice(coarse), mid], dim=1))
        return _scaled(self.up[1](torch.cat([_twice(mid), fine], dim=1)), dials[1])

    def at_1_nm(self, logits: Tensor) -> Tensor:
        if not self.options.blocks:
            return super().at_1_nm(logits)
        return F.interpolate(logits, size=(IMAGE_NM, IMAGE_NM), mode="nearest")


class PrintGradients(nn.Module):
    """What a mask prints, and how that changes with the mask."""

    def __init__(self, options: Options) -> None:
        super().__init__()
        out_nm = options.core_nm + 2 * options.rim_nm
        self.images = MiddleImages(load_optics(options.kernels), pixel_nm=PRINT_NM, out_nm=out_nm)
        self.resist = ThresholdResist()

    @torch.no_grad()
    def forward(self, logits: Tensor, wanted: Tensor) -> Tensor:
        """Images (n, 5, y, x) of :data:`SEEN` at `PRINT_NM`, zero where nothing is looked at; numbers, no functions.

        Parameters
        ----------
        logits : (n, 1, y, x) of the mask, at its pixels.
        wanted : (n, 1, y, x) target, at `PRINT_NM`.
        """
        with torch.autocast(logits.device.type, enabled=False):
            mask = _at_prints(torch.sigmoid(logits.float()))[:, 0]
            imaging = self.images.imaging(mask.device, mask.dtype)
            aerial, fields = imaging.forward(mask)
            prints = self.resist.soft(aerial)
            nominal, outer, inner = prints.unbind(1)
            error, band = nominal - middle(wanted[:, 0].float(), self.images.n_out), outer - inner
            # Half the derivatives of the squared differences with respect to the three images.
            slopes = self.resist.steepness * prints * (1 - prints)
            none = torch.zeros_like(error)
            of_l2 = imaging.adjoint(slopes * torch.stack([error, none, none], dim=1), fields)
            of_band = imaging.adjoint(slopes * torch.stack([none, band, -band], dim=1), fields)
            margin = (mask.shape[-1] - self.images.n_out) // 2
            shown = F.pad(torch.stack([error, band], dim=1), (margin,) * 4)
            gradients = torch.stack([of_l2, of_band, corner_gradient(mask)], dim=1)
            return torch.cat([gradients, shown], dim=1).to(logits.dtype)


def corner_gradient(mask: Tensor) -> Tensor:
    """Derivative of the number of corners of masks (n, y, x) by their pixels.

    The number is the sum of the sizes of the mixed second differences, as in
    :class:`~maskopt_lib.models.losses.ComplexityLoss`, rounded below `_NO_CORNER` so that it has a slope everywhere.
    """
    wide = F.pad(mask, (1, 1, 1, 1))
    mixed = torch.diff(torch.diff(wide, dim=-2), dim=-1)
    slope = mixed / (mixed.square() + _NO_CORNER**2).sqrt()
    return torch.diff(torch.diff(slope, dim=-2), dim=-1)


class _Step(nn.Module):
    """One step: rates and a direction that are learned, and what a small network adds, which at first is nothing."""

    def __init__(self, n_in: int, n: int, n_mask: int, n_memory: int, *, rates: Tensor) -> None:
        super().__init__()
        self.n_mask = n_mask
        self.rates = nn.Parameter(rates.clone())
        self.prints = nn.Parameter(torch.tensor(_PRINTS))
        self.log_corners = nn.Parameter(torch.tensor([_CORNERS, _CORNERS_RISE]).log())
        self.body = nn.Sequential(_conv(n_in, n), _conv(n, n))
        self.last = nn.Conv2d(n, n_mask + n_memory, 3, padding=1)
        with torch.no_grad():
            self.last.weight[:n_mask] = 0
            self.last.bias[:n_mask] = 0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Change of the logits, and what the next step is told, both on the pixels of the features."""
        change, memory = self.last(self.body(images)).tensor_split([self.n_mask], dim=1)
        return _CHANGE * change, torch.tanh(memory)

    def uphill(self, seen: Tensor, dial: Tensor) -> Tensor:
        """(n, 1, y, x): weighted sum of the gradients."""
        corners = (self.log_corners[0] + self.log_corners[1] * dial).exp()
        weights = torch.cat([self.prints.expand(len(dial), -1), corners[:, None]], dim=1).to(seen.dtype)
        return (weights[:, :, None, None] * seen[:, :N_GRADIENTS]).sum(1, keepdim=True)


class _Moments:
    """Means of a gradient and of its square over the steps so far, as in Adam."""

    keep_first, keep_second, least = 0.5, 0.97, 0.01

    def __init__(self) -> None:
        self.n, self.first, self.second = 0, torch.zeros(()), torch.zeros(())

    def detach(self) -> None:
        """From here on, what is kept is numbers."""
        self.first, self.second = self.first.detach(), self.second.detach()

    def scaled(self, gradient: Tensor) -> Tensor:
        """The gradient's mean over the root of that of its square."""
        self.n += 1
        self.first = self.keep_first * self.first + (1 - self.keep_first) * gradient
        self.second = self.keep_second * self.second + (1 - self.keep_second) * gradient.square()
        first = self.first / (1 - self.keep_first**self.n)
        second = self.second / (1 - self.keep_second**self.n)
        # The root's slope has no bound at 0.
        return first / ((second + 1e-12).sqrt() + self.least)


class _Residual(nn.Module):
    """Two 3 x 3 convolutions beside the way straight on."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_conv(n, n), nn.Conv2d(n, n, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.body(x))


class _Dial(nn.Module):
    """Scale and shift of several sets of features by one number from 0 to 1; at first neither."""

    def __init__(self, channels: tuple[int, ...], n_hidden: int = 32) -> None:
        super().__init__()
        self.hidden = nn.Linear(1, n_hidden)
        self.scale_shift = nn.ModuleList(nn.Linear(n_hidden, 2 * n) for n in channels)
        for layer in self.scale_shift:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, dial: Tensor) -> list[Tensor]:
        hidden = F.relu(self.hidden(dial[:, None].to(self.hidden.weight.dtype)))
        return [layer(hidden)[:, :, None, None] for layer in self.scale_shift]


def _at_prints(image: Tensor) -> Tensor:
    """(n, 1, y, x) of a tile, at `PRINT_NM` or finer, as means over the pixels of prints."""
    return F.avg_pool2d(image, image.shape[-1] * PRINT_NM // IMAGE_NM)


def _blurred(image: Tensor, sigma: float) -> Tensor:
    """(n, 1, y, x) under a Gaussian of this standard deviation in pixels; edges go on beyond the image."""
    reach = math.ceil(3 * sigma)
    at = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    weights = torch.exp(-0.5 * (at / sigma).square())
    weights = weights / weights.sum()
    wide = F.pad(image, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(wide, weights[None, None, None]), weights[None, None, :, None])


def _at_features(images: Tensor) -> Tensor:
    """(n, c, y, x) at `PRINT_NM` as images of their parts at `WORK_NM`."""
    return F.pixel_unshuffle(images, WORK_NM // PRINT_NM)


def _twice(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2.0, mode="nearest")


def _scaled(features: Tensor, by: Tensor | None) -> Tensor:
    if by is None:
        return features
    scale, shift = by.chunk(2, dim=1)
    return features * (1 + scale) + shift


def _conv(n_in: int, n_out: int, *, stride: int = 1) -> nn.Sequential:
    # Without norms: a step must see how far it is from done, not how far it is compared to others.
    return nn.Sequential(nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1), nn.ReLU(inplace=True))


#: The network of options and conditioning, with fresh weights.
build = UnrolledLitho
