"""What runs, trainings and datasets leave behind: stores, records, parts, tiles, parquet, weights, kernels, images."""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import damage
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import safetensors.torch
import torch
import xarray as xr
from children import Case, Family

from maskopt_lib import files, optics, study
from maskopt_lib.data.card import card_text
from maskopt_lib.data.parquet import import_parquet
from maskopt_lib.data.tile_dataset import TileDataset
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.models import weights
from maskopt_lib.optics.files import read_symmetrised
from maskopt_lib.runs import reference, stores
from maskopt_lib.runs.parts import read_dataset, read_part, said_of


def _copied(sources: Path, name: str, folder: Path) -> Path:
    path = sources / name
    return Path((shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name))


def _damaged_file(path: Path, rng: random.Random, pattern: str = "*") -> tuple[str, Path]:
    """Damage one file of a folder, or the file, in place."""
    file = damage.a_file(path, f"**/{pattern}", rng) if path.is_dir() else path
    before = file.read_bytes()
    if rng.random() < 0.08 and path.is_dir():
        file.unlink()
        return f"{file.name} removed", file
    while (made := damage.damaged(before, rng))[1] == before:
        pass
    file.write_bytes(made[1])
    return f"{file.relative_to(path.parent)}: {made[0]}", file


def _other_json(values: Any, rng: random.Random) -> Any:
    """Plain values with one of them, at any depth, replaced, removed, or another name."""
    if isinstance(values, dict) and values and rng.random() < 0.9:
        name = rng.choice(sorted(values))
        if rng.random() < 0.15:
            return {k: v for k, v in values.items() if k != name}
        if rng.random() < 0.1:
            return {(k + "x" if k == name else k): v for k, v in values.items()}
        return values | {name: _other_json(values[name], rng)}
    if isinstance(values, list) and values and rng.random() < 0.7:
        at = rng.randrange(len(values))
        return [_other_json(value, rng) if i == at else value for i, value in enumerate(values)]
    odd = [value for value in damage.ODD_NUMBERS if not isinstance(value, bytes | complex)]
    return rng.choice([*odd, 10**12, [10**6, 10**6], "../../x", "zarr", {"name": "bytes"}])


def _same(expected: xr.Dataset) -> Callable[[xr.Dataset], str | None]:
    def check(ds: xr.Dataset) -> str | None:
        return None if ds.identical(expected) else "read as if it were whole, with other values"

    return check


def results(rng: random.Random, sources: Path, folder: Path) -> Case:
    """A stored result with one of its files damaged, or other metadata under a seal that is right."""
    run = _copied(sources, "run", folder) / "quick"
    name = rng.choice(("scores", "masks"))
    store = run / f"{name}.zarr"
    act = (lambda: study.load_masks(store).to_dataset()) if name == "masks" else (lambda: study.load(store))
    if rng.random() < 0.45:
        expected = act()
        said, _ = _damaged_file(store, rng)
        return Case(said, act, _same(expected))
    said = _resealed(store, rng)

    def read() -> xr.Dataset:
        ds = act()
        study.record_of(ds if name == "scores" else ds.mask)
        return ds

    return Case(said, read)


def _resealed(store: Path, rng: random.Random) -> str:
    file = damage.a_file(store, "**/zarr.json", rng)
    values = json.loads(file.read_text())
    file.write_text(json.dumps(_other_json(values, rng)))
    try:
        stores.seal(store)
    except Exception:  # what it should list is not there any more
        return f"{file.parent.name}: other metadata"
    return f"{file.parent.name}: other metadata, sealed"


def unsealed(rng: random.Random, sources: Path, folder: Path) -> Case:
    """A store without checksums, as other programs and earlier versions write it."""
    store = _copied(sources, "unsealed.zarr", folder)
    if rng.random() < 0.5:
        said, _ = _damaged_file(store, rng)
    else:
        file = damage.a_file(store, "**/zarr.json", rng)
        file.write_text(json.dumps(_other_json(json.loads(file.read_text()), rng)))
        said = f"{file.parent.name}: other metadata"
    return Case(said, lambda: study.load(store))


def records(rng: random.Random, sources: Path, folder: Path) -> Case:
    """A committed record, a table or a record.json that is damaged."""
    if rng.random() < 0.3:
        run = _copied(sources, "run", folder) / "quick"
        expected = study.record_of(run)
        said, _ = _damaged_file(run / "record.json", rng)
        return Case(said, lambda: study.record_of(run), lambda found: None if found == expected else "another record")
    kept = _copied(sources, "records", folder)
    name = rng.choice(study.stored_names(kept))
    expected = study.load_result(kept, name)
    said, _ = _damaged_file(kept / f"{name}.nc", rng)
    return Case(said, lambda: study.load_result(kept, name), _same(expected))


def committed(rng: random.Random, sources: Path, folder: Path) -> Case:
    """One of the records that come with the study, damaged."""
    path = damage.a_file(reference.FOLDER, "*/*.nc", rng)
    kept = folder / "kept"
    kept.mkdir()
    for file in path.parent.iterdir():
        if file.is_file() and (file.suffix != ".nc" or file == path):
            shutil.copy(file, kept)
    expected = study.load_result(kept, path.stem)
    said, _ = _damaged_file(kept / path.name, rng)
    return Case(said, lambda: study.load_result(kept, path.stem), _same(expected))


def parts(rng: random.Random, sources: Path, folder: Path) -> Case:
    """A part that is damaged, or a hostile one under a seal that is right."""
    name = rng.choice(("part.npz", "dataset.npz"))
    path = _copied(sources, name, folder)
    act = (lambda: read_part(path)) if name == "part.npz" else (lambda: read_dataset(path))
    if rng.random() < 0.6:
        said, _ = _damaged_file(path, rng)
        return Case(said, act, lambda found: "read as if it were whole")
    buffer = io.BytesIO()
    np.savez(buffer, **{"said.json": rng.choice(("{}", "x", "[1]")), "n": np.zeros(3)})
    body = rng.choice(
        (buffer.getvalue(), path.read_bytes()[:-64][: rng.randrange(400)], damage.hostile_pickle(), b"",
         damage.damaged(path.read_bytes()[:-64], rng)[1])
    )  # fmt: skip
    path.write_bytes(body + files.bytes_sha256(body).encode())
    return Case("a hostile body, sealed", lambda: (said_of(path), act()))


def tiles(rng: random.Random, sources: Path, folder: Path) -> Case:
    """A store of tiles with one of its files damaged, or other values in its plans, sealed."""
    store = TileStore(_copied(sources, "tiles", folder))

    def act() -> list[xr.Dataset]:
        opened = [store.open("metal1").load(), store.open("metal1", labels=True).load()]
        for split in (None, "train"):
            items = TileDataset(store.path, "metal1", split=split, context_nm=16, method="opc")
            opened[0].attrs[str(split)] = float(sum(float(item["mask"].sum()) for item in items))
        store.verify()
        card_text(store, deep=False)
        return [*opened, xr.Dataset(attrs={"rule": json.dumps(store.rule)})]

    if rng.random() < 0.6:
        expected = act()
        said, _ = _damaged_file(store.path, rng)
        return Case(
            said,
            act,
            lambda found: None if all(map(xr.Dataset.identical, found, expected)) else "other values",
        )
    file = damage.a_file(store.path, "**/*.json", rng)
    values = json.loads(file.read_text())
    values.pop("sha256", None)
    other = _other_json(values, rng)
    if file.parent.name == "shards" and isinstance(other, dict):
        files.write_json(file, other)
    else:
        file.write_text(json.dumps(other))
    return Case(f"{file.relative_to(store.path)}: other values", act)


def parquets(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Parquet files of somebody's: damaged, or whole with columns and images that are not what is asked for."""
    path = Path(shutil.copy(damage.a_file(sources / "parquet", "*.parquet", rng), folder))
    if rng.random() < 0.5:
        said, _ = _damaged_file(path, rng)
    else:
        rows = pq.read_table(path).to_pylist()
        column, row = rng.choice(sorted(rows[0])), rng.randrange(len(rows))
        value = rows[row][column]
        if isinstance(value, dict) and rng.random() < 0.8:
            rows[row][column] = {"bytes": _odd_image(value["bytes"], rng), "path": rng.choice((None, "a", "../../x"))}
        else:
            rows[row][column] = None
        if rng.random() < 0.2:
            rows = rng.choice(([], [{k: v for k, v in row.items() if k != column} for row in rows]))
        if rng.random() < 0.2:
            rows = [
                row | {"context": rng.choice(("x", 1.5, -3, 2**31 - 1)), "mask_type": rng.choice(("1", "", "a/b"))}
                for row in rows
            ]
        if rows and rows[0].get("context") == "x":
            rows = [{k: str(v) if k in ("image", "conditioning_image") else v for k, v in row.items()} for row in rows]
        pq.write_table(pa.Table.from_pylist(rows), path)
        said = f"{column} of row {row} is odd"
    out, core = folder / "out", rng.choice((64, 64, 64, 0, -5, 63, 10**6))

    def act() -> TileStore:
        store = import_parquet([path], out, layer="metal1", core_nm=core)
        store.open("metal1").load()
        return store

    def check(store: TileStore) -> str | None:
        states = set(store.verify().state.values.tolist())
        return None if states == {"whole"} else f"a store with shards that are {states}"

    return Case(said, act, check)


def _odd_image(png: bytes, rng: random.Random) -> bytes | None:
    shapes = ((1, 1), (256, 255), (3, 3), (256, 256, 3), (512, 512))
    other = cv2.imencode(".png", np.zeros(rng.choice(shapes), np.uint8))[1].tobytes()
    huge = png[:16] + struct.pack(">II", 2**20, 2**20) + png[24:]
    return rng.choice((None, b"", other, huge, damage.damaged(png, rng)[1], damage.damaged(png, rng)[1]))


def networks(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Weights: damaged, of another network, or with a record that names something else."""
    path = _copied(sources, "network.safetensors", folder)
    expected = weights.load(path).state_dict()

    def check(model: Any) -> str | None:
        state = model.state_dict()
        return None if all(torch.equal(state[name], expected[name]) for name in expected) else "other weights"

    if rng.random() < 0.6:
        said, _ = _damaged_file(path, rng)
        return Case(said, lambda: (weights.about(path), weights.load(path))[1], check)
    with safetensors.safe_open(path, "pt") as opened:
        record = json.loads(opened.metadata()["record"])
    tensors = safetensors.torch.load_file(path)
    other = _other_json(record, rng) if rng.random() < 0.7 else record
    name = rng.choice(sorted(tensors))
    if other is record or rng.random() < 0.2:
        tensors[name] = rng.choice((tensors[name] * float("nan"), tensors[name].reshape(-1)[:1], tensors[name].double(),
                                    torch.zeros(()), tensors[name] + 1))  # fmt: skip
    text = rng.choice((json.dumps(other),) * 6 + ("", "{", "[]", "null", "[" * 5000))
    path.write_bytes(safetensors.torch.save(tensors, metadata={"record": text}))
    return Case(f"{name} or the record are others", lambda: (weights.about(path), weights.load(path))[1], check)


def kernels(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Kernel files of the contest and as arrays: damaged, or with numbers that no kernels have."""
    kept = _copied(sources, "kernels", folder)
    contest = rng.random() < 0.6
    if rng.random() < 0.75:
        pattern = rng.choice(("scales.txt", "fh*.bin")) if contest else "*.npy"
        said, _ = _damaged_file(kept, rng, pattern)
    elif contest:
        file = kept / "M1OPC" / "scales.txt"
        words = file.read_text().split()
        words[rng.randrange(len(words))] = str(rng.choice(damage.ODD_NUMBERS))
        file.write_text("\n".join(words))
        said = "a word in scales.txt"
    else:
        name = rng.choice(("optKernel_bc.npy", "optKernel_scale.npy"))
        odd = rng.choice((np.zeros((2, 2)), np.array([{}], object), np.array("text"), np.zeros((4, 24, 35, 34)),
                          np.full((4, 24), -1.0), np.array(["2020"], "M8[D]"), np.zeros((2, 0, 35, 35)),
                          np.zeros((4, 24, 35, 35), bool)))  # fmt: skip
        np.save(kept / name, odd, allow_pickle=True)
        said = f"{name} of {odd.dtype} {odd.shape}"
        if rng.random() < 0.2:
            (kept / name).write_bytes(damage.hostile_pickle())
    folders = [kept / "M1OPC", kept / "M1OPC_def"]

    def act() -> optics.SocsKernels:
        if contest:
            return optics.read_kernels(folders, order="openilt", header_bytes=24)
        return read_symmetrised(kept / "optKernel_bc.npy", kept / "optKernel_scale.npy")

    def check(found: optics.SocsKernels) -> str | None:
        return None if np.isfinite(found.spectra).all() and (found.weights >= 0).all() else "no numbers"

    return Case(said, act, check)


FAMILIES = [
    Family("results", 180, results),
    Family("unsealed results", 120, unsealed),
    Family("records", 80, records),
    Family("committed records", 60, committed),
    Family("parts", 80, parts),
    Family("tiles", 120, tiles),
    Family("parquet", 100, parquets),
    Family("weights", 110, networks),
    Family("kernels", 140, kernels),
]
