"""Small stores of tiles for tests: random geometry, cells and designs with names as real ones have."""

from __future__ import annotations

import numpy as np

from maskopt_lib.data.tile_store import TileStore

RULE = {"core_nm": 64, "context_nm": 32, "image_nm": 256, "pixel_nm": 1, "contexts_nm": [0, 16, 32]}
NAMES = {"design": ["gcd_dense", "aes_psm"], "cell": ["INV_X1", "NAND2_X1", "NAND2_X2"], "orientation": ["N", "FS"]}


def images(n: int, seed: int, size: int = 128) -> np.ndarray:
    """(n, size, size) uint8: a few bars each, and its number in the middle, so that no two are alike."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((n, size, size), np.uint8)
    for image in pixels:
        for x, y, w, h in rng.integers(0, size, (4, 4)):
            image[y : y + h // 2, x : x + w // 2] = 1
    middle = slice(size // 2 - 8, size // 2 + 8)
    pixels[:, size // 2, middle] = np.arange(1, n + 1)[:, None] >> np.arange(16) & 1
    return pixels


def tile_arrays(pixels: np.ndarray, seed: int, names: dict = NAMES, n_contexts: int = 3) -> dict[str, np.ndarray]:
    """What is written of tiles with this content; codes at random, every geometry its own."""
    rng = np.random.default_rng(seed)
    n = len(pixels)
    signature = rng.integers(1, 2**63, (n, n_contexts), dtype=np.uint64)
    return {
        "content": pixels,
        **{name: np.array(known)[rng.integers(0, len(known), n)] for name, known in names.items()},
        "instance": np.array([f"u{i}/x" for i in range(n)]),
        **{name: rng.integers(0, 3, n) for name in ("row", "column")},
        **{name: np.full(n, 3) for name in ("n_rows", "n_columns")},
        **{name: rng.integers(0, 9999, n).astype(float) for name in ("x_nm", "y_nm")},
        "signature": signature,
        "canonical": signature,
        "core_density": pixels.mean(axis=(1, 2)),
        "n_shapes_cut": rng.integers(0, 5, (n, n_contexts)),
        "min_cut_nm": rng.integers(1, 70, (n, n_contexts)).astype(np.float32),
    }


def small_store(path, *, n: int = 20, shard_size: int = 8, layer: str = "metal1", names: dict = NAMES, seed: int = 0):
    """A store with one layer, all tiles written; and what was written."""
    store = TileStore.create(path, rule=RULE, title="a test")
    store.reserve_tiles(layer, n, names=names, shard_size=shard_size)
    arrays = tile_arrays(images(n, seed), seed, names)
    for shard, entries in enumerate(store.entries(layer)):
        store.write_tiles(layer, shard, {name: values[entries] for name, values in arrays.items()})
    return store, arrays


def add_labels(store: TileStore, layer: str = "metal1", methods=("opc", "ilt"), shard_size: int = 4, seed: int = 1):
    """Labels for every second tile at 16 nm, and for none of the others; returns masks (label, method, y, x)."""
    n = store.kind(layer).n
    sample = np.arange(0, n, 2)
    label_of = np.full((n, 1), -1)
    label_of[sample, 0] = np.arange(len(sample))
    store.reserve_labels(
        layer,
        sample=sample,
        context_nm=np.full(len(sample), 16),
        label_of=label_of,
        turn_of=np.where(label_of >= 0, np.arange(n)[:, None] % 8, 0),
        label_contexts_nm=[16],
        methods=methods,
        scores=("l2_nm2", "shots"),
        shard_size=shard_size,
    )
    size = store.image_shape[0]
    masks = np.stack([images(len(sample), seed + i, size) for i in range(len(methods))], axis=1)
    for i, method in enumerate(methods):
        for shard, entries in enumerate(store.entries(layer, f"labels-{method}")):
            part = masks[entries, i]
            scores = {"l2_nm2": part.sum(axis=(1, 2)), "shots": np.full(len(part), i + 1.0)}
            store.write_labels(layer, method, shard, {"mask": part, "runtime_s": np.full(len(part), 0.5), **scores})
    return masks
