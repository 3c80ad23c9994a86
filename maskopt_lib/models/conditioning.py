"""How a network is told the cell, the type of mask, the context and the dial."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from maskopt_lib.data.tile_views import tag_planes
from maskopt_lib.errors import OptionError, UnknownNameError
from maskopt_lib.models.inputs import TileInput
from maskopt_lib.options import Count, Options, Whole, check

#: Ways to tell a network which cell a tile is of.
TAGS = ("none", "one_hot", "embedding", "film")
#: Context that is told as 1.
WIDEST_CONTEXT_NM = 128.0


@dataclass(frozen=True, kw_only=True)
class Conditioning(Options):
    """What a network is told beside the target.

    Parameters
    ----------
    tag : ``"none"``; ``"one_hot"``, an image a cell, one everywhere on the tile's own; ``"embedding"``, as many images
        as `n_features`, with learned values; ``"film"``, a learned scale and shift of each channel of the network's
        bottleneck.
    n_cells : cells there are, where a tag is told.
    n_features : learned numbers a cell, for ``"embedding"`` and ``"film"``.
    kinds : types of masks the network draws, in the order of `TileInput.kind`; an image each where there are several.
    context, dial : whether the size of the context, and the wished simplicity, are told, as an image each.
    """

    tag: str = "none"
    n_cells: Whole = 0
    n_features: Count = 8
    kinds: tuple[str, ...] = ("ilt",)
    context: bool = False
    dial: bool = False

    def __post_init__(self) -> None:
        check(Sequence[str], kinds=self.kinds)
        object.__setattr__(self, "kinds", tuple(self.kinds))
        super().__post_init__()
        if self.tag not in TAGS:
            raise UnknownNameError(f"no tag {self.tag!r}; known: {', '.join(TAGS)}")
        if self.tag != "none" and self.n_cells < 1:
            raise OptionError(f"tag {self.tag!r} needs the number of cells; give n_cells=len(dataset.cells)")
        if not self.kinds or len(set(self.kinds)) < len(self.kinds):
            raise OptionError(f"kinds must name each type of mask once, got {self.kinds}")

    @property
    def n_planes(self) -> int:
        """Images that a network sees, the target among them.

        Examples
        --------
        >>> Conditioning().n_planes, Conditioning(tag="one_hot", n_cells=5, kinds=("opc", "ilt"), dial=True).n_planes
        (1, 9)
        """
        tag = {"one_hot": self.n_cells, "embedding": self.n_features}.get(self.tag, 0)
        kinds = len(self.kinds) if len(self.kinds) > 1 else 0
        return 1 + tag + kinds + self.context + self.dial

    def kind(self, name: str) -> int:
        """Index of a type of mask; ``UnknownNameError`` lists the others."""
        if name not in self.kinds:
            raise UnknownNameError(f"no type of mask {name!r}; this network draws: {', '.join(self.kinds)}")
        return self.kinds.index(name)


class Conditioner(nn.Module):
    """Builds a network's input images and modulates its bottleneck.

    Parameters
    ----------
    conditioning : what is told.
    n_bottleneck : channels of the network where ``"film"`` acts.

    Notes
    -----
    A cell that is not told (`NO_CELL`) has zeros in all its images and leaves the bottleneck as it is. At
    initialisation so does every cell: the layer that makes scales and shifts starts at zero.
    """

    def __init__(self, conditioning: Conditioning, n_bottleneck: int) -> None:
        super().__init__()
        self.conditioning = conditioning
        if conditioning.tag in ("embedding", "film"):
            # Row 0 stands for a cell that is not told; it is zero and stays so.
            self.cells = nn.Embedding(conditioning.n_cells + 1, conditioning.n_features, padding_idx=0)
        if conditioning.tag == "film":
            self.scale_shift = nn.Linear(conditioning.n_features, 2 * n_bottleneck, bias=False)
            nn.init.zeros_(self.scale_shift.weight)

    def planes(self, x: TileInput) -> Tensor:
        """(n, n_planes, y, x): target, tag, types of masks, context, dial."""
        conditioning, size = self.conditioning, x.target.shape[-1]
        planes = [x.target]
        if conditioning.tag == "one_hot":
            planes.append(tag_planes(x.cell + 1, conditioning.n_cells + 1, size)[:, 1:])
        elif conditioning.tag == "embedding":
            planes.append(_spread(self.cells(x.cell + 1), size))
        if len(conditioning.kinds) > 1:
            planes.append(tag_planes(x.kind, len(conditioning.kinds), size))
        if conditioning.context:
            planes.append(_spread(x.context_nm[:, None] / WIDEST_CONTEXT_NM, size))
        if conditioning.dial:
            planes.append(_spread(x.dial[:, None], size))
        return torch.cat([plane.to(x.target.dtype) for plane in planes], dim=1) if len(planes) > 1 else x.target

    def modulate(self, features: Tensor, x: TileInput) -> Tensor:
        """(n, channel, y, x) of the bottleneck, scaled and shifted by the cell where the tag is ``"film"``."""
        if self.conditioning.tag != "film":
            return features
        scale, shift = self.scale_shift(self.cells(x.cell + 1))[:, :, None, None].chunk(2, dim=1)
        return features * (1 + scale) + shift


def _spread(values: Tensor, size: int) -> Tensor:
    return values[:, :, None, None].expand(-1, -1, size, size)
