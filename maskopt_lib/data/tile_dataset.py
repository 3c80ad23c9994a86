"""Tiles as torch sees them: targets, masks and cell tags of one split, read one by one in any process.

Importing this module imports torch; the rest of `maskopt_lib.data` does not.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import zarr

from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.splits import EXCLUDED, SPLITS, SplitRule, rule_of, splits
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.data.tile_views import PIXELS, TAGS, tag_planes
from maskopt_lib.data.turns import TURNS, turned
from maskopt_lib.errors import SchemaError, UnknownNameError


class TileDataset(torch.utils.data.Dataset):
    """Tiles of one split of a store.

    Parameters
    ----------
    path : folder of the store.
    layer : such as ``"metal1"``.
    split : of `splits.SPLITS`, or None for all tiles that are not excluded.
    context_nm : surroundings that are shown.
    method : whose masks, such as ``"opc"`` or ``"ilt"``; None gives targets only, of all tiles, labelled or not.
    rule : what is held out, for another choice than that of the store.
    tag : ``"index"`` gives the code of the cell, ``"planes"`` an image a cell, one everywhere on the tile's own.
    turns : the turns (see `turns`) that items come in, one drawn for each by torch's generator; only those under which
        the optics are symmetric keep masks right.
    pixel_nm : side of a pixel; larger ones hold the mean of those of the store.
    unique : one tile for each geometry, the first, instead of all tiles.
    partial : take a store that is not complete.
    label_context_nm : surroundings that labels were made with, and by which geometries, and so splits, are told apart;
        by default those that are shown. With it one and the same choice of tiles is shown with more or less around.
    shuffle_cells : seed by which the cells are dealt anew among the items, so that a tag says nothing of its tile.

    Attributes
    ----------
    cells : names of cells, by code.
    core : (y0, y1, x0, x1) of the core in pixels.

    Notes
    -----
    A dataset holds its settings and opens the store where it is read, so it may be sent to any worker.
    """

    def __init__(
        self,
        path: str | Path,
        layer: str,
        *,
        split: str | None = "train",
        context_nm: int = 128,
        method: str | None = None,
        rule: SplitRule | None = None,
        tag: str = "none",
        turns: Sequence[int] = (0,),
        pixel_nm: int = 1,
        unique: bool = False,
        partial: bool = False,
        label_context_nm: int | None = None,
        shuffle_cells: int | None = None,
    ) -> None:
        for value, known, what in (
            (split, (*SPLITS, None), "split"),
            (tag, TAGS, "tag"),
            (pixel_nm, PIXELS, "pixel size"),
            *((turn, TURNS, "turn") for turn in turns),
        ):
            if value not in known:
                raise UnknownNameError(f"no {what} {value!r}; known: {', '.join(map(str, known))}")
        self.store = TileStore(Path(path))
        self.layer, self.split, self.context_nm, self.method = layer, split, int(context_nm), method
        self.rule = rule_of(self.store) if rule is None else rule
        self.tag, self.turns, self.pixel_nm = tag, tuple(turns), pixel_nm
        self.unique, self.partial, self.shuffle_cells = unique, partial, shuffle_cells
        self.label_context_nm = self.context_nm if label_context_nm is None else int(label_context_nm)
        cut = self.store.rule
        self._pixels = {name: round(cut[f"{name}_nm"] / cut["pixel_nm"]) for name in ("core", "context", "image")}
        self._block = round(pixel_nm / cut["pixel_nm"])
        if self._block < 1 or self._pixels["image"] % self._block:
            raise SchemaError(f"images of {self._pixels['image']} pixels have no pixels of {pixel_nm} nm")
        self._opened: _Opened | None = None
        # Mistakes are found here, not in a worker.
        self._open()

    @property
    def samples(self) -> np.ndarray:
        """(n,) index in the store of each item's tile."""
        return self._open().samples

    @property
    def cell_codes(self) -> np.ndarray:
        """(n,) code of each item's cell, as it is told."""
        return self._open().cell_codes

    @property
    def cells(self) -> tuple[str, ...]:
        """Names of cells, by code."""
        return self._open().cells

    @property
    def core(self) -> tuple[int, int, int, int]:
        """(y0, y1, x0, x1) of the core in pixels."""
        near = (self._pixels["image"] - self._pixels["core"]) // 2 // self._block
        far = near + self._pixels["core"] // self._block
        return near, far, near, far

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        """One tile.

        Returns
        -------
        dict of tensors: ``target`` (1, y, x) float32, ``mask`` the same where a method was named, ``cell`` int64 or
        ``tag`` (cell, y, x) float32 as asked for, ``sample`` int64.
        """
        opened = self._open()
        if not -len(self) <= item < len(self):
            raise IndexError(f"item {item} of {len(self)}")
        sample = int(opened.samples[item])
        turn = self.turns[0] if len(self.turns) == 1 else self.turns[int(torch.randint(len(self.turns), ()))]
        (hidden, around), n = opened.margins, self._n_content
        target = np.pad(_unpacked(opened.content[sample], n)[hidden : n - hidden, hidden : n - hidden], around)
        tensors = {"target": self._tensor(target, turn), "sample": torch.tensor(sample)}
        if opened.mask is not None:
            packed = opened.mask[int(opened.labels[item]), opened.method]
            mask = turned(_unpacked(packed, len(target)), int(opened.label_turns[item]))
            tensors["mask"] = self._tensor(mask, turn)
        if self.tag != "none":
            cell = int(opened.cell_codes[item])
            if self.tag == "index":
                tensors["cell"] = torch.tensor(cell)
            else:
                tensors["tag"] = tag_planes(torch.tensor([cell]), len(opened.cells), tensors["target"].shape[-1])[0]
        return tensors

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_opened": None}

    def _open(self) -> _Opened:
        # A process that was forked opens the store for itself.
        if self._opened is None or self._opened.process != os.getpid():
            self._opened = self._read() if self._opened is None else replace(self._opened, **self._arrays())
        return self._opened

    def _read(self) -> _Opened:
        split = splits(self.store, self.layer, self.label_context_nm, self.rule, partial=self.partial)
        codes = split.split.values
        chosen = codes != SPLITS.index(EXCLUDED) if self.split is None else codes == SPLITS.index(self.split)
        ds = self.store.open(self.layer, partial=self.partial)
        given = "given_context_nm" in ds
        if given:
            if self.label_context_nm != self.context_nm:
                raise SchemaError("tiles that were given with their context cannot be shown with another")
            chosen &= ds.given_context_nm.values == self.context_nm
        label, turn, method = self._links(ds)
        if label is not None:
            chosen &= label >= 0
        samples = np.flatnonzero(chosen)
        if self.unique:
            samples = samples[np.sort(np.unique(split.geometry.values[samples], return_index=True)[1])]
        if not len(samples):
            raise SchemaError(
                f"no tiles of {self.layer} are in the split {self.split!r} at {self.label_context_nm} nm"
                + (f" with a mask of {self.method!r}" if self.method else "")
                + "; look at splits.split_table, and at what the rule holds out"
            )
        # Pixels of the content that are not shown, and pixels around it in the image.
        hidden = 0 if given else self._pixels["context"] - round(self.context_nm / self.store.rule["pixel_nm"])
        around = (self._pixels["image"] - self._n_content) // 2 + hidden
        cell_codes = split.cell.values[samples]
        if self.shuffle_cells is not None:
            cell_codes = np.random.default_rng(self.shuffle_cells).permutation(cell_codes)
        return _Opened(
            samples=samples,
            labels=None if label is None else label[samples],
            label_turns=None if turn is None else turn[samples],
            method=method,
            cell_codes=cell_codes,
            cells=tuple(split.cell.attrs["names"]),
            margins=(hidden, around),
            **self._arrays(),
        )

    def _links(self, ds) -> tuple[np.ndarray | None, np.ndarray | None, int]:
        if self.method is None:
            return None, None, -1
        labels = self.store.open(self.layer, labels=True, partial=True)
        if (methods := labels[ta.METHOD].values.tolist()) and self.method not in methods:
            raise UnknownNameError(f"{self.layer} has no masks of {self.method!r}; methods: {', '.join(methods)}")
        contexts = ds[ta.LABEL_CONTEXT].values.tolist()
        made_with = self.label_context_nm
        if made_with not in contexts:
            raise UnknownNameError(f"{self.layer} has no masks made with {made_with} nm of context; {contexts} nm")
        links = ds[["label_of", "turn_of"]].sel({ta.LABEL_CONTEXT: made_with}).load()
        method = methods.index(self.method)
        solved = np.append(labels.solved.values[:, method] == 1, False)
        label = links.label_of.values
        return np.where(solved[label], label, -1), links.turn_of.values, method

    def _arrays(self) -> dict[str, Any]:
        files = self.store.files(partial=self.partial)
        group = zarr.open_group(files, path=self.layer, mode="r", zarr_format=3)
        mask = group["labels/mask"] if self.method is not None else None
        return {"process": os.getpid(), "content": group["content"], "mask": mask}

    @property
    def _n_content(self) -> int:
        return self._pixels["core"] + 2 * self._pixels["context"]

    def _tensor(self, image: np.ndarray, turn: int) -> torch.Tensor:
        image = turned(image, turn)
        if (p := self._block) > 1:
            # Sums of slices: five times as fast as a sum over the short axes of blocks.
            rows = sum(image[i::p] for i in range(p))
            image = sum(rows[:, i::p] for i in range(p)) / np.float32(p * p)
        return torch.from_numpy(np.ascontiguousarray(image, np.float32))[None]


@dataclass(frozen=True, kw_only=True)
class _Opened:
    """A store as one process has it open, and which of its entries are items."""

    process: int
    samples: np.ndarray
    labels: np.ndarray | None
    label_turns: np.ndarray | None
    method: int
    cell_codes: np.ndarray
    cells: tuple[str, ...]
    margins: tuple[int, int]
    content: zarr.Array
    mask: zarr.Array | None


def _unpacked(packed: np.ndarray, n: int) -> np.ndarray:
    return np.unpackbits(packed, axis=-1, count=n, bitorder="little")
