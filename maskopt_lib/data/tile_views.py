"""Ways to show a tile to a network: in pixels of some size, and with a tag that says which cell it is of."""

import torch

#: Ways to say which cell a tile is of.
TAGS = ("none", "index", "planes")
#: Sizes of pixels, in those of the store.
PIXELS = (1, 2, 4, 8)


def tag_planes(cell: torch.Tensor, n_cells: int, size: int) -> torch.Tensor:
    """One image for every cell, one everywhere on that of the tile's own and zero on the others.

    Parameters
    ----------
    cell : (n,) int64 codes.
    n_cells : cells there are.
    size : pixels along one side.

    Returns
    -------
    (n, n_cells, size, size) float32, on the device of ``cell``; a view that takes no memory, until it is written to or
    stacked: 100 planes of 1024 x 1024 are 420 MB.
    """
    one_hot = torch.nn.functional.one_hot(cell, n_cells).float()
    return one_hot[:, :, None, None].expand(-1, -1, size, size)
