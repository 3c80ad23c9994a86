"""What a training sees: tiles in an order that seed and place determine, and tiles that it is judged by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import torch

from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_dataset import TileDataset
from maskopt_lib.data.tile_store import TileStore


class TileStream(torch.utils.data.Dataset):
    """Endless tiles: what comes at a place is determined by seed and place, in whichever process it is read.

    Parameters
    ----------
    sets : datasets that are mixed, such as one a kind of mask; all with ``tag="index"``.
    kinds : index of the kind of masks of each.
    seed : of order, turns and dials; a sequence of integers.
    n : take so many tiles of each dataset; the draw is the same whatever the seed, and a smaller one is part of it.

    Notes
    -----
    Each round shows every tile once. So a training that goes on at place ``k`` sees what it would have seen, without
    any state of a generator.
    """

    def __init__(
        self, sets: Sequence[TileDataset], kinds: Sequence[int], seed: Sequence[int], n: int | None = None
    ) -> None:
        self.sets, self.kinds, self.seed = list(sets), list(kinds), tuple(seed)
        self.items = [
            (which, int(i))
            for which, tiles in enumerate(self.sets)
            for i in np.sort(np.random.default_rng(0).permutation(len(tiles))[:n])
        ]
        self._round: tuple[int, np.ndarray] = -1, np.empty(0, np.int64)

    def __len__(self) -> int:
        """Tiles of one round."""
        return len(self.items)

    def cells_seen(self) -> np.ndarray:
        """Codes of the cells that it shows."""
        return np.unique([self.sets[which].cell_codes[i] for which, i in self.items])

    def __getitem__(self, place: int) -> dict[str, torch.Tensor]:
        """The tile at a place: what `TileDataset` gives, ``kind`` (index), and ``dial``, drawn from 0 to 1."""
        number, i = divmod(place, len(self))
        if self._round[0] != number:
            self._round = number, np.random.default_rng((*self.seed, number)).permutation(len(self))
        which, chosen = self.items[self._round[1][i]]
        rng = np.random.default_rng((*self.seed, number, i))
        # Datasets draw turns from torch's generator, and others draw from it as well: it is lent, and given back.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(int(rng.integers(2**62)))
            item = self.sets[which][chosen]
        return item | {"kind": torch.tensor(self.kinds[which]), "dial": torch.tensor(rng.random(), dtype=torch.float32)}


@dataclass(frozen=True, kw_only=True)
class BatchPlaces:
    """Places of a stream, batch by batch, for `torch.utils.data.DataLoader`: those of one process among several.

    Attributes
    ----------
    first, last : steps from and to (not included).
    batch : tiles a step, of all processes and parts together.
    parts : batches that a step is done in, one after the other.
    rank, world : which process of how many.
    """

    first: int
    last: int
    batch: int
    parts: int = 1
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        return (self.last - self.first) * self.parts

    def __iter__(self) -> Iterator[list[int]]:
        n_here = self.batch // (self.parts * self.world)
        for step in range(self.first, self.last):
            for part in range(self.parts):
                start = step * self.batch + (part * self.world + self.rank) * n_here
                yield list(range(start, start + n_here))


@dataclass(frozen=True, kw_only=True)
class TestTiles:
    """Tiles that masks are judged by, whole and at the pixels of the store.

    Attributes
    ----------
    layer, split, context_nm : which they are.
    sample : (n,) index in the store.
    cell : (n,) codes; ``cells``: their names.
    image : (n, y, x) uint8, what a model or solver is shown.
    drawn : (n, y, x) uint8, the layout with the widest context, whose edges are scored.
    masks : kind of mask -> (n, y, x) uint8 labels.
    """

    __test__ = False  # for pytest, which takes the name for its own

    layer: str
    split: str | None
    context_nm: int
    sample: np.ndarray
    cell: np.ndarray
    cells: tuple[str, ...]
    image: np.ndarray
    drawn: np.ndarray
    masks: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.sample)

    @property
    def cell_names(self) -> list[str]:
        """(n,) names of the cells."""
        return [self.cells[code] for code in self.cell]


def choose_tiles(
    store: str | Path,
    layer: str,
    *,
    split: str | None,
    context_nm: int,
    kinds: Sequence[str] = (),
    n: int | None = None,
    seed: int = 0,
    label_context_nm: int | None = None,
) -> np.ndarray:
    """Draw tiles of different geometry that have labels of all ``kinds``: (n,) indices in the store, ascending.

    Parameters
    ----------
    store : folder of the store.
    layer, split, context_nm, label_context_nm : as for `TileDataset`.
    kinds : of masks; none for targets only.
    n : how many, all where there are fewer; None for all.
    seed : of the draw; a smaller ``n`` draws some of the same.
    """
    choice = {"split": split, "context_nm": context_nm, "label_context_nm": label_context_nm, "unique": True}
    of_each_kind = [TileDataset(store, layer, method=kind, **choice).samples for kind in kinds or [None]]
    of_all = reduce(np.intersect1d, of_each_kind)
    return np.sort(np.random.default_rng(seed).permutation(of_all)[:n])


def read_tiles(
    store: str | Path,
    layer: str,
    samples: np.ndarray,
    *,
    split: str | None,
    context_nm: int,
    kinds: Sequence[str] = (),
    label_context_nm: int | None = None,
    shuffle_cells: int | None = None,
) -> TestTiles:
    """Read chosen tiles into memory: some 2 MB a tile, and 1 MB more a kind of mask.

    Parameters
    ----------
    store, layer, split, context_nm, kinds, label_context_nm : as for :func:`choose_tiles`.
    samples : of :func:`choose_tiles`, or other tiles that have such labels.
    shuffle_cells : as for `TileDataset`.
    """
    choice = {"split": split, "context_nm": context_nm, "label_context_nm": label_context_nm, "tag": "index"}
    masks = {}
    for kind in kinds or [None]:
        dataset = TileDataset(store, layer, method=kind, shuffle_cells=shuffle_cells, **choice)
        items = [dataset[int(i)] for i in np.searchsorted(dataset.samples, samples)]
        image = np.stack([item["target"][0].numpy().astype(np.uint8) for item in items])
        if kind is not None:
            masks[kind] = np.stack([item["mask"][0].numpy().astype(np.uint8) for item in items])
    content = TileStore(Path(store)).open(layer)["content"].isel({ta.SAMPLE: samples}).values
    content = np.unpackbits(content, axis=-1, count=content.shape[-2], bitorder="little")
    beyond = (image.shape[-1] - content.shape[-1]) // 2
    return TestTiles(
        layer=layer,
        split=split,
        context_nm=context_nm,
        sample=np.asarray(samples),
        cell=np.array([int(item["cell"]) for item in items]),
        cells=dataset.cells,
        image=image,
        drawn=np.pad(content, ((0, 0), (beyond, beyond), (beyond, beyond))),
        masks=masks,
    )
