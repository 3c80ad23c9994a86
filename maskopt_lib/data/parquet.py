"""Stores of tiles to and from parquet, in the public form of the MaskOpt authors' release.

Its dataset card (Hugging Face, ``ChristyHu/CellOPC``, CC BY 4.0) states: columns ``image`` and ``conditioning_image``
(images), ``mask_type`` (text), ``context`` (int32), ``source_dataset`` (text); splits train, validation and test of
451,912, 112,974 and 80 rows in files ``data/<split>-*``. Image columns of this kind are encoded files, such as PNG, in
a struct of ``bytes`` and ``path``.

Not stated there, as far as we could read it, and so parameters or noted in the store: which image is the mask (we take
``image``, as everywhere where a ``conditioning_image`` stands beside it: the condition is what the image is made from);
the words in ``mask_type`` and ``source_dataset``; which layer a row is of; whether the top row of an image has the
highest y (we take it so, both ways); what lies outside core and context. Cells are not named in this form at all.

This module imports torch.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import files
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.croissant import write_croissant
from maskopt_lib.data.splits import EXCLUDED, SPLITS, SplitRule
from maskopt_lib.data.splits import splits as split_of
from maskopt_lib.data.tile_dataset import TileDataset
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.data.turns import TURNS, turned
from maskopt_lib.errors import MissingDataError, SchemaError

MASK_COLUMN, TARGET_COLUMN = "image", "conditioning_image"
COLUMNS = (MASK_COLUMN, TARGET_COLUMN, "mask_type", "context", "source_dataset")
#: What a store says of a cell it does not know.
UNKNOWN = "unknown"
_IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})
_FILE = re.compile(r"^(?P<split>.+?)-\d{5}-of-\d{5}")
_REMEDY = "download or export the file again"
# Row groups of image datasets have a hundred rows; a few stay open for masks of several methods.
_ROWS_A_GROUP, _GROUPS_KEPT = 100, 8


def export_parquet(
    store: TileStore,
    folder: str | Path,
    *,
    layer: str,
    rule: SplitRule | None = None,
    methods: Sequence[str] | None = None,
    rows_a_file: int = 5000,
    allow_unlicensed: bool = False,
) -> list[Path]:
    """Write the labelled tiles of a layer, one row for each tile, context and method; gives the paths of the files.

    Beside them stands ``croissant.json``, which says what the files and their columns are.

    Parameters
    ----------
    store, layer : what to write.
    folder : for files ``<split>-00000-of-00001.parquet``; what is there under these names is replaced.
    rule : of the splits, for another choice than that of the store; tiles excluded at a context are not written.
    methods : whose masks; None for all.
    rows_a_file : rows of each file but the last.
    allow_unlicensed : write designs that may not be given on, for use at home.

    Raises
    ------
    SchemaError : a design of the store may not be redistributed, or does not say.
    """
    if not allow_unlicensed and (closed := _not_redistributable(store, layer)):
        raise SchemaError(
            f"{', '.join(closed)} may not be redistributed (no `redistribution: true` in the catalog of designs); "
            "leave them out of the store, or say allow_unlicensed=True for a copy that stays with you"
        )
    labels = store.open(layer, labels=True)
    contexts = store.open(layer)[ta.LABEL_CONTEXT].values.tolist()
    chosen = list(methods) if methods is not None else labels[ta.METHOD].values.tolist()
    written = []
    for split in SPLITS[: SPLITS.index(EXCLUDED)]:
        sets = []
        for context_nm in contexts:
            has = split_of(store, layer, context_nm, rule).split.values == SPLITS.index(split)
            for method in chosen:
                if _labelled(store, layer, context_nm, method)[has].any():
                    options = {"split": split, "context_nm": context_nm, "method": method, "rule": rule}
                    sets.append(TileDataset(store.path, layer, **options))
        n_files = -(-sum(map(len, sets)) // rows_a_file)
        rows = _rows(store, layer, sets)
        for i in range(n_files):
            path = Path(folder) / f"{split}-{i:05d}-of-{n_files:05d}.parquet"
            _write(pa.Table.from_pylist(list(islice(rows, rows_a_file)), _schema()), path)
            written.append(path)
    if written:
        write_croissant(store, written, layer=layer)
    return written


def _write(table: pa.Table, path: Path) -> None:
    def check(written: Path) -> None:
        if not pq.read_table(written).equals(table):
            raise files.not_as_written(path)

    with files.replacing(path, check=check) as beside:
        pq.write_table(table, beside, row_group_size=_ROWS_A_GROUP)


def import_parquet(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    layer: str,
    mask_column: str = MASK_COLUMN,
    core_nm: int = 512,
    shard_size: int = 2048,
    label_shard_size: int = 256,
    limit: int | None = None,
) -> TileStore:
    """A store of tiles from parquet files, which `TileDataset` reads like any other.

    Parameters
    ----------
    paths : of the files; the word before the numbers, such as ``train``, becomes the family of the designs.
    out : folder of the store.
    layer : what the rows are to be called: the files do not say.
    mask_column : which image is the mask.
    core_nm : of the images, whose pixels are 1 nm; their size is read.
    shard_size, label_shard_size : tiles and labels a shard.
    limit : rows to read of all files together, the first ones.

    Returns
    -------
    The store: rows with the same target, context and source are one tile with a mask for each ``mask_type`` (in small
    letters, the name of the method). Cells are ``"unknown"``; images are used as they are given. The authors' own split
    is `SplitRule` with ``validation_designs=("validation",)`` and ``held_out_designs=("test",)``.

    Raises
    ------
    MissingDataError : there is no such file.
    SchemaError : a column is missing, or images have several sizes.
    """
    rows = _Rows([Path(path) for path in paths], mask_column)
    samples, masks, n_repeated = _collect(rows, limit)
    image = _pixels(rows.read(samples[0]["at"], TARGET_COLUMN))
    n = len(image)
    if not 0 < core_nm <= n or (n - core_nm) % 2:
        raise SchemaError(f"a core of {core_nm} nm is not the middle of images of {n} pixels of 1 nm")
    methods = sorted({method for known in masks for method in known})
    contexts = sorted({sample["context"] for sample in samples})
    designs = {sample["design"]: {"family": sample["family"]} for sample in samples}
    rule = {
        "core_nm": core_nm,
        "context_nm": (n - core_nm) / 2,
        "image_nm": n,
        "pixel_nm": 1,
        "contexts_nm": contexts,
        "reading": "images as they were given",
    }
    store = TileStore.create(out, rule=rule, title="imported from parquet", designs=designs)
    names = {"design": list(designs), "cell": [UNKNOWN], "orientation": [UNKNOWN]}
    store.reserve_tiles(
        layer, len(samples), names=names, shard_size=shard_size, more=("given_context_nm",), repeated_rows=n_repeated
    )
    for shard, entries in enumerate(tqdm(store.entries(layer), desc="tiles", unit="shard")):
        part = samples[entries]
        store.write_tiles(layer, shard, _tile_arrays(rows, part, n, core_nm, len(contexts)))
    label_of = np.full((len(samples), len(contexts)), -1)
    numbers = np.arange(len(samples))
    label_of[numbers, [contexts.index(sample["context"]) for sample in samples]] = numbers
    store.reserve_labels(
        layer,
        sample=numbers,
        context_nm=np.array([sample["context"] for sample in samples]),
        label_of=label_of,
        turn_of=np.zeros_like(label_of),
        label_contexts_nm=contexts,
        methods=methods,
        shard_size=label_shard_size,
    )
    for method in methods:
        shards = store.entries(layer, f"{ta.LABELS}-{method}")
        for shard, entries in enumerate(tqdm(shards, desc=f"masks {method}", unit="shard")):
            rows_of_masks = [known.get(method) for known in masks[entries]]
            dark = np.zeros((n, n), bool)
            images = np.stack([dark if at is None else _pixels(rows.read(at, mask_column), n) for at in rows_of_masks])
            solved = np.array([at is not None for at in rows_of_masks])
            store.write_labels(layer, method, shard, {"mask": images, "solved": solved, "runtime_s": solved * np.nan})
    return store


def image_identity(image: np.ndarray) -> tuple[int, int]:
    """Hash of an image and the smallest hash of its eight turns, 64 bits each: equal for turns of one another.

    Parameters
    ----------
    image : (n, n) of 0 and 1.
    """
    hashes = []
    for turn in TURNS:
        packed = np.packbits(turned(image, turn).astype(bool), axis=-1, bitorder="little")
        hashes.append(int.from_bytes(hashlib.blake2b(packed.tobytes(), digest_size=8).digest(), "little"))
    return hashes[0], min(hashes)


class _Rows:
    """Rows of several parquet files, by file and number, read a row group at a time."""

    def __init__(self, paths: list[Path], mask_column: str) -> None:
        if absent := [str(path) for path in paths if not path.is_file()]:
            raise MissingDataError(f"no parquet file at {', '.join(absent)}; download it, or correct the path")
        self.paths = paths
        self.files = []
        for path in paths:
            with files.reading(path, _REMEDY):
                self.files.append(pq.ParquetFile(path))
        needed = {mask_column, TARGET_COLUMN, *COLUMNS[2:]}
        for path, file in zip(paths, self.files, strict=True):
            if lacking := sorted(needed - set(file.schema_arrow.names)):
                raise SchemaError(f"{path.name} has no column {', '.join(lacking)}; it has {file.schema_arrow.names}")
        sizes = [[f.metadata.row_group(g).num_rows for g in range(f.metadata.num_row_groups)] for f in self.files]
        self.starts = [np.concatenate([[0], np.cumsum(counts)]) for counts in sizes]
        self._kept: dict[tuple[int, int, str], list[Any]] = {}

    def read(self, at: tuple[int, int], column: str) -> Any:
        file, row = at
        group = int(np.searchsorted(self.starts[file], row, side="right")) - 1
        key = (file, group, column)
        if key not in self._kept:
            while len(self._kept) >= _GROUPS_KEPT:
                del self._kept[next(iter(self._kept))]
            with files.reading(self.paths[file], _REMEDY):
                found = self.files[file].read_row_group(group, columns=[column]).column(column).to_pylist()
            self._kept[key] = found
        return self._kept[key][row - self.starts[file][group]]

    def tables(self, columns: list[str]) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
        for i, file in enumerate(self.files):
            batches, row = file.iter_batches(_ROWS_A_GROUP, columns=columns), 0
            while True:
                with files.reading(self.paths[i], _REMEDY):
                    if (batch := next(batches, None)) is None:
                        break
                    rows = batch.to_pylist()
                for values in rows:
                    yield (i, row), values
                    row += 1


def _collect(rows: _Rows, limit: int | None):
    """Tiles in the order of their first row, and for each the row of its mask by method."""
    known: dict[tuple, int] = {}
    samples: list[dict[str, Any]] = []
    masks: list[dict[str, tuple[int, int]]] = []
    n_repeated = 0
    for i, (at, row) in enumerate(rows.tables([TARGET_COLUMN, *COLUMNS[2:]])):
        if i == limit:
            break
        named = _FILE.match(rows.paths[at[0]].name)
        family = named["split"] if named else UNKNOWN
        source, context = str(row["source_dataset"]), row["context"]
        if not isinstance(context, int) or not 0 <= context < 2**15:
            raise SchemaError(f"{rows.paths[at[0]].name}, row {at[1]}: the context is whole nm, not {context!r}")
        key = (hashlib.sha256(_encoded(row[TARGET_COLUMN])).digest(), context, source, family)
        if key not in known:
            known[key] = len(samples)
            samples.append({"at": at, "context": context, "design": f"{source}/{family}", "family": family})
            masks.append({})
        method = str(row["mask_type"]).strip().lower()
        n_repeated += method in masks[known[key]]
        masks[known[key]].setdefault(method, at)
    if not samples:
        raise SchemaError("the parquet files have no rows")
    return samples, masks, n_repeated


def _tile_arrays(rows: _Rows, part, n: int, n_core: int, n_contexts: int) -> dict[str, np.ndarray]:
    images = np.stack([_pixels(rows.read(sample["at"], TARGET_COLUMN), n) for sample in part])
    identity = np.array([image_identity(image) for image in images], np.uint64)
    low = (n - n_core) // 2
    known = {
        "content": images,
        "design": np.array([sample["design"] for sample in part]),
        "cell": np.full(len(part), UNKNOWN),
        "orientation": np.full(len(part), UNKNOWN),
        "signature": np.repeat(identity[:, :1], n_contexts, axis=1),
        "canonical": np.repeat(identity[:, 1:], n_contexts, axis=1),
        "core_density": images[:, low : low + n_core, low : low + n_core].mean(axis=(1, 2)),
        "given_context_nm": np.array([sample["context"] for sample in part]),
    }
    for name, spec in ta.TILE_ARRAYS.items():
        shape = (len(part), n_contexts)[: len(spec.dims)]
        known.setdefault(name, np.full(shape, spec.fill))
    return known


def _encoded(image: Any) -> bytes:
    """Bytes of the file that a cell of an image column holds."""
    data = image.get("bytes") if isinstance(image, Mapping) else None
    if not isinstance(data, bytes) or not data:
        raise SchemaError(f"an image column holds {image!r:.80}; each cell is a struct of bytes, a file, and path")
    return data


def _pixels(png: Any, n: int | None = None) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(_encoded(png), np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error:  # more pixels than it reads, 2^30, among others
        image = None
    if image is None:
        raise SchemaError(f"an image of the parquet file cannot be decoded (path {png.get('path')!r})")
    if image.shape[0] != image.shape[1] or n not in (None, len(image)):
        raise SchemaError(f"expected square images of one size, {n} pixels, got {image.shape}")
    # One bit, 0 and 1, or 0 and 255: half of the largest value parts them.
    return image[::-1] > image.max() // 2


def _png(image: np.ndarray) -> dict[str, Any]:
    _, data = cv2.imencode(".png", image[::-1].astype(np.uint8) * 255, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return {"bytes": data.tobytes(), "path": None}


def _rows(store: TileStore, layer: str, sets: list[TileDataset]) -> Iterator[dict[str, Any]]:
    design = store.open(layer).design.load()
    for dataset in sets:
        for item in dataset:
            yield {
                MASK_COLUMN: _png(item["mask"].numpy()[0]),
                TARGET_COLUMN: _png(item["target"].numpy()[0]),
                "mask_type": dataset.method,
                "context": dataset.context_nm,
                "source_dataset": design.attrs["names"][int(design[int(item["sample"])])],
            }


def _schema() -> pa.Schema:
    columns = {name: _IMAGE for name in COLUMNS[:2]}
    columns |= {"mask_type": pa.string(), "context": pa.int32(), "source_dataset": pa.string()}
    features = {name: {"_type": "Image"} for name in COLUMNS[:2]}
    features |= {name: {"dtype": str(columns[name]), "_type": "Value"} for name in COLUMNS[2:]}
    return pa.schema(columns, {"huggingface": json.dumps({"info": {"features": features}})})


def _labelled(store: TileStore, layer: str, context_nm: int, method: str) -> np.ndarray:
    solved = store.open(layer, labels=True).solved.sel({ta.METHOD: method}).values == 1
    label = store.open(layer).label_of.sel({ta.LABEL_CONTEXT: context_nm}).values
    return np.append(solved, False)[label]


def _not_redistributable(store: TileStore, layer: str) -> list[str]:
    infos = store.attrs.get("designs", {})
    design = store.open(layer).design.load()
    names = [design.attrs["names"][code] for code in np.unique(design.values)]
    return [name for name in names if infos.get(name, {}).get("redistribution") is not True]
