"""What a network is told of a tile."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from maskopt_lib.data.tile_views import PIXELS
from maskopt_lib.errors import GridMismatchError, UnknownNameError

#: Side of the window that every network sees, whatever its pixels, and of the core in its middle that is scored.
IMAGE_NM, CORE_NM = 1024, 512
#: Code of a cell that is not told.
NO_CELL = -1


def n_pixels(pixel_nm: int) -> int:
    """Pixels along one side of a tile.

    Examples
    --------
    >>> n_pixels(4)
    256
    """
    if pixel_nm not in PIXELS:
        raise UnknownNameError(f"no pixel size {pixel_nm!r} nm; known: {', '.join(map(str, PIXELS))}")
    return IMAGE_NM // pixel_nm


@dataclass(frozen=True, kw_only=True)
class TileInput:
    """A batch of tiles, as tensors on one device.

    Attributes
    ----------
    target : (n, 1, y, x) float, the covered share of each pixel.
    cell : (n,) int64 codes of cells; `NO_CELL` where it is not told.
    kind : (n,) int64, the wanted type of mask: index into `Conditioning.kinds`.
    context_nm : (n,) float, how far around the core shapes are shown.
    dial : (n,) float in [0, 1], wished simplicity of the mask; 0 where a model has no such dial.
    """

    target: Tensor
    cell: Tensor
    kind: Tensor
    context_nm: Tensor
    dial: Tensor

    def __post_init__(self) -> None:
        shape, n = tuple(self.target.shape), len(self.target)
        if len(shape) != 4 or shape[1] != 1 or shape[2] != shape[3]:
            raise GridMismatchError(f"targets are (n, 1, y, x) with y = x, got {shape}")
        for name in ("cell", "kind", "context_nm", "dial"):
            if tuple(getattr(self, name).shape) != (n,):
                raise GridMismatchError(f"{name} of {n} tiles is ({n},), got {tuple(getattr(self, name).shape)}")

    @classmethod
    def of(
        cls,
        target: Tensor,
        *,
        cell: Tensor | int = NO_CELL,
        kind: Tensor | int = 0,
        context_nm: Tensor | float = 0.0,
        dial: Tensor | float = 0.0,
    ) -> TileInput:
        """A batch whose tiles may share what else is told of them.

        Parameters
        ----------
        target : (n, 1, y, x) float.
        cell, kind, context_nm, dial : (n,), or one value for all.
        """
        n, device = len(target), target.device

        def column(value: Tensor | float, dtype: torch.dtype) -> Tensor:
            values = torch.as_tensor(value, dtype=dtype, device=device)
            return values.expand(n) if values.ndim == 0 else values

        return cls(
            target=target,
            cell=column(cell, torch.int64),
            kind=column(kind, torch.int64),
            context_nm=column(context_nm, torch.float32),
            dial=column(dial, torch.float32),
        )

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: str | torch.device) -> TileInput:
        """The same batch on another device."""
        return TileInput(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})
