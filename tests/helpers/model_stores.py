"""A small store of labelled tiles for networks: two designs, one to learn from and one to be judged by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from tile_stores import NAMES, add_labels, images, tile_arrays

from maskopt_lib.data.splits import SplitRule, keep_rule
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.runs.parts import Bits

RULE = {"core_nm": 512, "context_nm": 32, "image_nm": 1024, "pixel_nm": 1, "contexts_nm": [0, 16, 32]}
# Small enough for seconds: an eighth of the pixels, few channels, one tile to be judged by.
SMALL = {"width": 1 / 16, "pixel_nm": 8, "context_nm": 16, "n_validation": 1, "batch": 2}


def model_store(path) -> TileStore:
    """Ten labelled tiles of twenty, at 16 nm of context; labels have nothing to do with their tiles."""
    store = TileStore.create(path, rule=RULE, title="a test")
    n = 20
    store.reserve_tiles("metal1", n, names=NAMES, shard_size=n)
    arrays = tile_arrays(images(n, 0, 576), 0, NAMES)
    arrays["design"] = np.where(np.isin(np.arange(n), (2, 6, 7, 11)), "aes_psm", "gcd_dense")
    store.write_tiles("metal1", 0, arrays)
    add_labels(store, shard_size=10)
    keep_rule(store, SplitRule(held_out_cells=(), validation_designs=("aes_psm",)))
    return store


def in_dark(bench, tiles):
    """Tiles with nothing around them but what the store knows."""
    fields = np.pad(bench.read(tiles).drawn, ((0, 0), (512, 512), (512, 512)))
    return replace(tiles, fields=tuple(Bits.of(field, 1.0) for field in fields))
