"""Speed and size of the store of tiles, and of reading it for training.

Run with ``python tests/bench/bench_store.py [tiles] [folder]``; 100,000 tiles by default. The geometry is drawn at
random in the manner of metal 1 (wires 70 nm wide on a grid of 5 nm), since a bench needs no design: sizes of real tiles
are on the card of a built dataset.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from maskopt_lib.data import tile_arrays
from maskopt_lib.data.splits import SplitRule
from maskopt_lib.data.tile_dataset import TileDataset
from maskopt_lib.data.tile_store import TileStore

RULE = {"core_nm": 512, "context_nm": 128, "image_nm": 1024, "pixel_nm": 1, "contexts_nm": [0, 16, 32, 64, 128]}
NAMES = {"design": ["a", "b"], "cell": [f"CELL_X{i}" for i in range(80)], "orientation": ["N", "FS", "S", "FN"]}
SHARD = 2048
READS = 1000
LABELS = 2048


def contents(n: int, rng: np.random.Generator, size: int = 768) -> np.ndarray:
    """(n, size, size / 8) packed: a pin or wire every 140 nm, with crossings."""
    pixels = np.zeros((n, size, size), np.uint8)
    for image in pixels:
        for x in range(int(rng.integers(-14, 14)) * 5, size, 140):
            low, high = np.sort(rng.integers(0, size // 5, 2)) * 5
            image[low:high, max(x, 0) : max(x + 70, 0)] = 1
        for y in rng.integers(0, size // 5, 2) * 5:
            left, right = np.sort(rng.integers(0, size // 5, 2)) * 5
            image[y : y + 70, left:right] = 1
    return np.packbits(pixels, axis=-1, bitorder="little")


def tables(n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    values = {}
    for name, spec in tile_arrays.TILE_ARRAYS.items():
        shape = (n, 5) if len(spec.dims) == 2 else (n,)
        if name in NAMES:
            values[name] = rng.integers(0, len(NAMES[name]), n)
        elif spec.dtype == "str":
            values[name] = np.array([f"_{i}_" for i in rng.integers(0, 10**5, n)])
        elif spec.dtype == "uint64":
            values[name] = rng.integers(1, 2**63, shape, dtype=np.uint64)
        elif name != "content":
            values[name] = rng.integers(0, 100, shape)
    return values


def milliseconds(read, samples) -> str:
    times, begun_cpu = [], time.process_time()
    for sample in samples:
        begun = time.perf_counter()
        read(int(sample))
        times.append(1e3 * (time.perf_counter() - begun))
    cpu = 1e3 * (time.process_time() - begun_cpu) / len(times)
    half, most = np.percentile(times, (50, 99))
    return f"median {half:.2f} ms, 99 of 100 below {most:.2f} ms; {cpu:.2f} ms of processor time"


def bytes_of(folder: Path, pattern: str) -> int:
    return sum(file.stat().st_size for file in folder.rglob(pattern) if file.is_file())


def main(n: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    store = TileStore.create(folder / "store", rule=RULE, title="bench")
    store.reserve_tiles("metal1", n, names=NAMES, shard_size=SHARD)
    drawn = contents(SHARD, rng)
    wall_s = cpu_s = 0.0
    for shard, entries in enumerate(store.entries("metal1")):
        count = entries.stop - entries.start
        # Other rows and another order in each shard: no two shards are alike.
        part = {"content": np.roll(drawn, 5 * shard, axis=1)[rng.permutation(SHARD)[:count]], **tables(count, rng)}
        begun, begun_cpu = time.perf_counter(), time.process_time()
        store.write_tiles("metal1", shard, part)
        wall_s += time.perf_counter() - begun
        cpu_s += time.process_time() - begun_cpu
    print(f"write          {n / wall_s:8.0f} tiles/s, {n / cpu_s:.0f} a second of processor time   ({n} tiles)")
    content = bytes_of(store.path / "tiles.zarr" / "metal1" / "content", "*")
    total = bytes_of(store.path, "*")
    print(f"size           {content / n:8.0f} B a tile for the geometry, {total / n:.0f} B with tables and checksums")
    begun = time.perf_counter()
    store.verify(deep=True)
    print(f"verify         {time.perf_counter() - begun:8.2f} s, every byte hashed")
    begun = time.perf_counter()
    ds = store.open("metal1")
    print(f"open           {1e3 * (time.perf_counter() - begun):8.1f} ms")
    samples = rng.integers(0, n, READS)
    print(f"read, xarray   {milliseconds(lambda i: ds.content[i].values, samples)}   (one random tile)")
    array = ds.content.variable
    print(f"read, variable {milliseconds(lambda i: array[i].values, samples)}")
    training(store, drawn)


def training(store: TileStore, drawn: np.ndarray) -> None:
    """Labels for the tiles of the first shards, then items as torch takes them."""
    n = min(LABELS, store.kind("metal1").n)
    label_of = np.full((store.kind("metal1").n, 1), -1)
    label_of[:n, 0] = np.arange(n)
    store.reserve_labels(
        "metal1", sample=np.arange(n), context_nm=np.full(n, 128), label_of=label_of, turn_of=np.zeros_like(label_of),
        label_contexts_nm=[128], methods=["opc"],
    )  # fmt: skip
    mask = np.zeros((256, 1024, 128), np.uint8)
    begun = time.perf_counter()
    for shard, entries in enumerate(store.entries("metal1", "labels-opc")):
        count = entries.stop - entries.start
        mask[:, 128:-128, 16:-16] = drawn[shard * 256 % SHARD :][:256]
        store.write_labels("metal1", "opc", shard, {"mask": mask[:count], "runtime_s": np.zeros(count)})
    print(f"write labels   {n / (time.perf_counter() - begun):8.0f} masks/s   ({n} masks)")
    options = {"split": None, "rule": SplitRule(held_out_cells=()), "context_nm": 128, "tag": "index"}
    begun = time.perf_counter()
    all_tiles = TileDataset(store.path, "metal1", **options)
    print(f"TileDataset    {time.perf_counter() - begun:8.2f} s to open, {len(pickle.dumps(all_tiles))} B to send")
    rng = np.random.default_rng(1)
    for pixel_nm in (1, 4):
        dataset = TileDataset(store.path, "metal1", method="opc", pixel_nm=pixel_nm, **options)
        picked = rng.integers(0, len(dataset), 300)
        print(f"item, {pixel_nm} nm     {milliseconds(dataset.__getitem__, picked)}   (target, mask, tag)")
    loader = torch.utils.data.DataLoader(dataset, batch_size=16, shuffle=True, num_workers=2)
    begun = time.perf_counter()
    count = sum(len(batch["target"]) for batch in loader)
    print(f"DataLoader     {count / (time.perf_counter() - begun):8.0f} items/s at 4 nm, two workers and their start")


if __name__ == "__main__":
    torch.set_num_threads(1)
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    if len(sys.argv) > 2:
        main(wanted, Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(wanted, Path(scratch))
