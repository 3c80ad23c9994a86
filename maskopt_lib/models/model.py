"""What every network is: tile in, logits of the mask out, rebuilt from plain values."""

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from maskopt_lib.errors import GridMismatchError
from maskopt_lib.models.conditioning import Conditioner, Conditioning
from maskopt_lib.models.inputs import IMAGE_NM, TileInput, n_pixels
from maskopt_lib.options import Options, Positive


@dataclass(frozen=True, kw_only=True)
class ModelOptions(Options):
    """Choices that every network has.

    Parameters
    ----------
    preset : what these options are called in records.
    width : factor on the number of channels of every layer.
    pixel_nm : side of the pixels it works at, in nm.
    """

    preset: str = "published"
    width: Positive = 1.0
    pixel_nm: int = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        n_pixels(self.pixel_nm)

    @property
    def n_pixels(self) -> int:
        """Pixels along one side of its images."""
        return n_pixels(self.pixel_nm)

    def channels(self, n: float) -> int:
        """``n`` channels of the full network at this width, at least one.

        Examples
        --------
        >>> ModelOptions(width=1 / 8).channels(512)
        64
        """
        return max(1, round(n * self.width))


class MaskModel(nn.Module):
    """A network that draws masks.

    Parameters
    ----------
    options : of this network.
    conditioning : what it is told beside the target.
    n_bottleneck : channels where a ``"film"`` tag acts.

    Notes
    -----
    Subclasses define :meth:`draw`, and :meth:`discriminator` where they are trained against one. Initial weights are
    drawn from torch's global generator: ``torch.manual_seed`` before building makes them repeatable.
    """

    #: Name in `models.MODELS`.
    name: str

    def __init__(self, options: ModelOptions, conditioning: Conditioning, *, n_bottleneck: int) -> None:
        super().__init__()
        self.options = options
        self.conditioner = Conditioner(conditioning, n_bottleneck)

    def draw(self, planes: Tensor, x: TileInput) -> Tensor:
        """Logits (n, 1, y, x) from input images (n, conditioning.n_planes, y, x)."""
        raise NotImplementedError

    def draw_drafts(self, planes: Tensor, x: TileInput) -> list[Tensor]:
        """Logits of masks on the way, the last of them the mask; only that of :meth:`draw`, unless it goes in steps."""
        return [self.draw(planes, x)]

    def forward(self, x: TileInput) -> Tensor:
        """Logits of the mask, (n, 1, y, x) at the same pixels; clear where above 0."""
        return self.drafts(x)[-1]

    def drafts(self, x: TileInput) -> list[Tensor]:
        """Logits of all masks that a training judges, the last of them the mask: (n, 1, y, x) each, as of `forward`."""
        n = self.options.n_pixels
        if tuple(x.target.shape[-2:]) != (n, n):
            raise GridMismatchError(
                f"this network works at {self.options.pixel_nm} nm, which is {n} x {n} pixels, and got "
                f"{tuple(x.target.shape[-2:])}; read tiles with pixel_nm={self.options.pixel_nm}"
            )
        # Where the layers compute in a shorter type, what losses are made of is in that of the target.
        return [logits.to(x.target.dtype) for logits in self.draw_drafts(self.conditioner.planes(x), x)]

    def at_1_nm(self, logits: Tensor) -> Tensor:
        """Logits (n, 1, y, x) at pixels of 1 nm, (n, 1, 1024, 1024): interpolated bicubically between the centres.

        A network that draws blocks, not outlines, says so here.
        """
        if logits.shape[-1] == IMAGE_NM:
            return logits
        return nn.functional.interpolate(logits, size=(IMAGE_NM, IMAGE_NM), mode="bicubic")

    def discriminator(self) -> nn.Module | None:
        """A fresh network that tells masks drawn from masks of the data, or None for a model trained without one.

        It is called with target and mask, (n, 1, y, x) each, and gives (n, 1) logits, high for masks of the data.
        """
        return None

    @property
    def conditioning(self) -> Conditioning:
        """What it is told beside the target."""
        return self.conditioner.conditioning

    @property
    def spec(self) -> dict[str, Any]:
        """Plain values that `models.from_spec` makes the same network of, with other weights."""
        conditioning = asdict(self.conditioning)
        conditioning["kinds"] = list(conditioning["kinds"])
        return {"model": self.name, "options": asdict(self.options), "conditioning": conditioning}

    @property
    def n_parameters(self) -> int:
        """Numbers that are trained."""
        return sum(parameter.numel() for parameter in self.parameters())


def conv(n_in: int, n_out: int, size: int = 3, *, stride: int = 1, norm: bool = True) -> nn.Sequential:
    """Convolution with bias, zeros beyond the border; batch norm; ReLU.

    Parameters
    ----------
    n_in, n_out : channels.
    size : of the kernel, odd; the image keeps its size, divided by the stride.
    stride : pixels between results.
    norm : whether batch norm follows.
    """
    layers: list[nn.Module] = [nn.Conv2d(n_in, n_out, size, stride=stride, padding=size // 2)]
    if norm:
        layers.append(nn.BatchNorm2d(n_out))
    return nn.Sequential(*layers, nn.ReLU())


def conv_up(n_in: int, n_out: int) -> nn.Sequential:
    """Transposed 3 x 3 convolution of stride 2 to exactly twice the size, batch norm, ReLU."""
    up = nn.ConvTranspose2d(n_in, n_out, 3, stride=2, padding=1, output_padding=1)
    return nn.Sequential(up, nn.BatchNorm2d(n_out), nn.ReLU())


def convs(n_in: int, n_out: int, n: int, *, norm: bool = True) -> nn.Sequential:
    """``n`` 3 x 3 convolutions with batch norm and ReLU, the first of which changes the number of channels."""
    return nn.Sequential(*(conv(n_in if i == 0 else n_out, n_out, norm=norm) for i in range(n)))
