"""A store of tiles: what is cut from designs and the masks that were made for it, in one folder.

::

    <path>/tiles.zarr/<layer>/            dimension sample: geometry, cell, design, position, links to labels
    <path>/tiles.zarr/<layer>/labels/     dimension label: masks by method, scores, run times
    <path>/shards/*.json                  what is there, with checksums

Arrays get their final shape before anything is written; then anyone may fill any shard, in any order and in any
process, each shard by one writer. A shard is there when its checksums are; one that was interrupted counts as missing
and is simply written again.

Examples
--------
>>> import tempfile
>>> folder = tempfile.TemporaryDirectory()
>>> store = TileStore.create(f"{folder.name}/demo", rule={"core_nm": 64, "context_nm": 32, "image_nm": 256,
...                          "pixel_nm": 1, "contexts_nm": [0, 32]})
>>> store.reserve_tiles("metal1", 3, names={"design": ["a"], "cell": ["INV"], "orientation": ["N"]}, shard_size=2)
>>> store.missing("metal1")
[0, 1]
>>> store.content_shape
(128, 16)
>>> folder.cleanup()
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from maskopt_lib import files
from maskopt_lib.data import shards
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.shards import ARRAYS, WHOLE, Kind
from maskopt_lib.errors import MissingDataError, SchemaError, UnknownNameError

#: What a tile rule must say.
RULE = ("core_nm", "context_nm", "image_nm", "pixel_nm", "contexts_nm")
#: Arrays whose codes stand for names.
CODED = ("design", "cell", "orientation")


@dataclass(frozen=True)
class TileStore:
    """A store, by its folder; holds nothing open, so it travels to other processes as it is.

    Attributes
    ----------
    path : folder of the store.
    """

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    @classmethod
    def create(cls, path: str | Path, *, rule: Mapping[str, Any], **attrs: Any) -> TileStore:
        """A new store, or the one that is there when it was made with the same rule.

        Parameters
        ----------
        path : folder; made where it is missing.
        rule : how tiles are cut: core_nm, context_nm (the widest), image_nm, pixel_nm, contexts_nm, and more.
        attrs : plain JSON that the store keeps: ``title``, ``record``, ``designs`` (name -> family, state, licence,
            redistribution, ...).

        Raises
        ------
        SchemaError : the rule lacks something, or the folder holds a store of another rule.
        """
        store = cls(Path(path))
        if lacking := [name for name in RULE if name not in rule]:
            raise SchemaError(f"the tile rule does not say {', '.join(lacking)}")
        attrs = _plain({"rule": dict(rule), **attrs})
        if not (store.path / ARRAYS / "zarr.json").is_file():
            store.path.mkdir(parents=True, exist_ok=True)
            zarr.open_group(store.path / ARRAYS, mode="a", zarr_format=3, attributes=files.sealed(attrs))
        elif store.attrs["rule"] != attrs["rule"]:
            raise SchemaError(
                f"{path} holds tiles of another rule: {store.attrs['rule']}, not {attrs['rule']}; "
                "take another folder, or remove this one"
            )
        return store

    @property
    def attrs(self) -> dict[str, Any]:
        """What the store says of itself."""
        with files.reading(self.path, shards.REMEDY):
            attrs = files.unsealed(dict(self._group().attrs), self.path / ARRAYS / "zarr.json")
            if lacking := [name for name in RULE if name not in attrs["rule"]]:
                raise SchemaError(f"{self.path}: the tile rule does not say {', '.join(lacking)}")
            return attrs

    def annotate(self, **attrs: Any) -> None:
        """Say more of the store; not for several processes at once."""
        self._group(mode="r+").attrs.update(files.sealed(self.attrs | _plain(attrs)))

    @property
    def rule(self) -> dict[str, Any]:
        """How tiles are cut."""
        return self.attrs["rule"]

    @property
    def content_shape(self) -> tuple[int, int]:
        """(y, x_byte) of the content of a tile: the core and its widest context."""
        rule = self.rule
        n = round((rule["core_nm"] + 2 * rule["context_nm"]) / rule["pixel_nm"])
        return n, -(-n // 8)

    @property
    def image_shape(self) -> tuple[int, int]:
        """(y, x_byte) of a mask: the whole image."""
        n = round(self.rule["image_nm"] / self.rule["pixel_nm"])
        return n, -(-n // 8)

    @property
    def layers(self) -> tuple[str, ...]:
        """Layers that were reserved."""
        return tuple(kind.layer for kind in shards.kinds(self.path) if kind.name == ta.TILES)

    def kind(self, layer: str, name: str = ta.TILES) -> Kind:
        """What was reserved: ``"tiles"``, ``"links"``, ``"labels"`` or ``"labels-<method>"`` of a layer."""
        known = {(kind.layer, kind.name): kind for kind in shards.kinds(self.path)}
        if (layer, name) not in known:
            listed = ", ".join(" ".join(key) for key in known) or "nothing"
            raise UnknownNameError(f"{self.path.name} has no {layer} {name}; reserved: {listed}")
        return known[layer, name]

    def reserve_tiles(
        self,
        layer: str,
        n_samples: int,
        *,
        names: Mapping[str, Sequence[str]],
        shard_size: int = 2048,
        more: Sequence[str] = (),
        **attrs: Any,
    ) -> None:
        """Make the arrays of a layer's tiles; does nothing when they are there just so.

        Parameters
        ----------
        layer : such as ``"metal1"``.
        n_samples : tiles of all designs together.
        names : of designs, cells and orientations; codes count in their order.
        shard_size : tiles a shard.
        more : names of `tile_arrays.OPTIONAL_TILE_ARRAYS`.
        attrs : plain JSON, kept with the layer.
        """
        if lacking := sorted(set(CODED) - set(names)):
            raise SchemaError(f"say the names of {', '.join(lacking)}: their codes count in this order")
        specs = ta.TILE_ARRAYS | {name: ta.OPTIONAL_TILE_ARRAYS[name] for name in more}
        contexts = np.asarray(self.rule["contexts_nm"], np.int16)
        sizes = {ta.SAMPLE: n_samples, ta.CONTEXT: len(contexts)}
        about = {
            "coords": {ta.CONTEXT: contexts},
            "attrs": {"layer": layer, **attrs},
            "names": {name: list(names[name]) for name in CODED},
        }
        sizes |= dict(zip((ta.Y, ta.X_BYTE), self.content_shape, strict=True))
        shards.reserve(self.path, layer, ta.TILES, specs, sizes, shard_size, **about)

    def write_tiles(self, layer: str, shard: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write one shard of tiles, all its arrays at once.

        Parameters
        ----------
        arrays : name -> values of the tiles `entries` of the shard; codes may be given as names.
        """
        self._write(self.kind(layer), shard, arrays)

    def entries(self, layer: str, kind: str = ta.TILES) -> list[slice]:
        """Which tiles, or labels, each shard holds."""
        kind = self.kind(layer, kind)
        return [kind.entries(shard) for shard in range(kind.n_shards)]

    def missing(self, layer: str, kind: str = ta.TILES, *, deep: bool = False) -> list[int]:
        """Shards that are to be written: not there, or not whole (``deep`` reads every byte, else sizes)."""
        known = self.kind(layer, kind)
        return [i for i in range(known.n_shards) if shards.state(self.path, known, i, deep=deep) != WHOLE]

    def reserve_labels(
        self,
        layer: str,
        *,
        sample: np.ndarray,
        context_nm: np.ndarray,
        label_of: np.ndarray,
        turn_of: np.ndarray,
        label_contexts_nm: Sequence[int],
        methods: Sequence[str],
        scores: Mapping[str, tuple[str, str]] | Sequence[str] = (),
        shard_size: int = 256,
        **attrs: Any,
    ) -> None:
        """Say which tiles have labels and which labels are to be solved, and make room for the masks.

        Parameters
        ----------
        sample, context_nm : (label,) tile that stands for each label, and the context it is solved with.
        label_of : (sample, label_context_nm) label of each tile, -1 without.
        turn_of : (sample, label_context_nm) turn (see `turns`) that carries the label's tile onto this one.
        label_contexts_nm : contexts that labels are made for.
        methods : such as ``("opc", "ilt")``; each is written by itself.
        scores : names of the schema, or name -> (long_name, units), one value a label and method.
        shard_size : labels a shard.
        attrs : plain JSON, kept with the labels: settings of each method, kernels.
        """
        tiles = self.kind(layer)
        contexts = np.asarray(label_contexts_nm, np.int16)
        sizes = {ta.SAMPLE: tiles.n, ta.LABEL: len(sample), ta.METHOD: len(methods), ta.LABEL_CONTEXT: len(contexts)}
        sizes |= dict(zip((ta.Y, ta.X_BYTE), self.image_shape, strict=True))
        of_links = {"coords": {ta.LABEL_CONTEXT: contexts}}
        shards.reserve(self.path, layer, ta.LINKS, ta.LINK_ARRAYS, sizes, tiles.shard_size, **of_links)
        attrs = {"methods": list(methods), **attrs}
        shards.reserve(self.path, layer, ta.LABELS, ta.LABEL_ARRAYS, sizes, shard_size, below="labels", attrs=attrs)
        specs = ta.METHOD_ARRAYS | ta.score_specs(scores if isinstance(scores, Mapping) else tuple(scores))
        for i, method in enumerate(methods):
            own = {"below": "labels", "second": i, "coords": {ta.METHOD: np.array(list(methods))}}
            shards.reserve(self.path, layer, f"{ta.LABELS}-{method}", specs, sizes, shard_size, **own)
        everything = {"label_of": label_of, "turn_of": turn_of, "sample": sample, "context_nm": context_nm}
        for name in (ta.LINKS, ta.LABELS):
            kind = self.kind(layer, name)
            for shard in range(kind.n_shards):
                chosen = ta.LINK_ARRAYS if name == ta.LINKS else ta.LABEL_ARRAYS
                part = {key: np.asarray(everything[key])[kind.entries(shard)] for key in chosen}
                self._write(kind, shard, part)

    def write_labels(self, layer: str, method: str, shard: int, arrays: Mapping[str, np.ndarray]) -> None:
        """Write the masks and scores of one method for one shard of labels.

        Parameters
        ----------
        arrays : ``mask`` (n, y, x_byte) packed or (n, y, x) of 0 and 1, ``runtime_s`` (n,), ``solved`` (n,; all by
            default), and a value for every score.
        """
        arrays = dict(arrays)
        arrays.setdefault("solved", np.ones(len(arrays["mask"]), np.int8))
        self._write(self.kind(layer, f"{ta.LABELS}-{method}"), shard, arrays)

    def open(self, layer: str, *, labels: bool = False, partial: bool = False) -> xr.Dataset:
        """The tiles of a layer, or its labels, read as they are asked for.

        Parameters
        ----------
        labels : the labels instead of the tiles.
        partial : take a store that is not complete; tiles that are missing have the codes -1, their links ``label_of``
            -1, masks ``solved`` 0, and the attribute ``missing_shards`` names the shards.

        Raises
        ------
        MissingDataError : shards are missing or damaged, and ``partial`` was not asked for.
        """
        of_layer = [k for k in shards.kinds(self.path) if k.layer == layer and k.name.startswith(ta.LABELS) == labels]
        if not of_layer:
            self.kind(layer, ta.LABELS if labels else ta.TILES)
        gone = {k.name: bad for k in of_layer if (bad := self.missing(layer, k.name))}
        if gone and not partial:
            n = {name: self.kind(layer, name).n_shards for name in gone}
            lacking = "; ".join(f"{len(bad)} of {n[name]} shards of {name}" for name, bad in gone.items())
            raise MissingDataError(
                f"{self.path} is not complete: {layer} lacks {lacking}; build it to the end, or open it with "
                "partial=True"
            )
        group = f"{layer}/{ta.LABELS}" if labels else layer
        with files.reading(self.path, shards.REMEDY):
            ds = xr.open_zarr(self.files(partial=partial), group=group, consolidated=False, chunks=None)
            ds.attrs = files.unsealed(ds.attrs, self.path / ARRAYS / group / "zarr.json")
            # Text comes as numpy's new string type, by which labels are not found yet.
            texts = {name: c.values.tolist() for name, c in ds.coords.items() if c.dtype.kind == "T"}
            ds = ds.assign_coords({name: np.array(values, dtype=str) for name, values in texts.items()})
        return self._without(ds, layer, gone) if gone else ds

    def verify(self, *, deep: bool = True) -> xr.Dataset:
        """The state of every shard: ``"whole"``, ``"missing"`` or ``"damaged"``.

        Parameters
        ----------
        deep : read and hash every byte; else look at sizes only.

        Returns
        -------
        Dataset over ``shard``: ``layer``, ``kind``, ``index`` (-1 for the metadata of a kind), ``state``, ``entries``,
        ``size_bytes`` as written.
        """
        return shards.verify(self.path, deep=deep)

    def digest(self) -> str:
        """One hash of all that is stored, whatever the order it was written in; of the checksums, see `verify`.

        Raises
        ------
        MissingDataError : a shard was not written.
        """
        return shards.digest(self.path)

    def files(self, *, partial: bool = False) -> shards.CheckedStore | Path:
        """The zarr store of the arrays, every file verified as it is read; of a partial store as they are."""
        return self.path / ARRAYS if partial else shards.CheckedStore(self.path)

    def _group(self, mode: str = "r") -> zarr.Group:
        if not (self.path / ARRAYS / "zarr.json").is_file():
            raise MissingDataError(f"no store of tiles at {self.path}; build one, or correct the path")
        return zarr.open_group(self.path / ARRAYS, mode=mode, zarr_format=3)

    def _without(self, ds: xr.Dataset, layer: str, gone: Mapping[str, list[int]]) -> xr.Dataset:
        """Mark what is not whole: a shard that was interrupted may hold some of its arrays."""
        ds = ds.assign_attrs(missing_shards=json.dumps(gone))
        for name, bad in gone.items():
            kind = self.kind(layer, name)
            marks = {ta.TILES: dict.fromkeys(CODED, -1), ta.LINKS: {"label_of": -1}, ta.LABELS: {"sample": -1}}
            for marked, value in marks.get(name, {"solved": 0}).items():
                values = ds[marked].values
                for shard in bad:
                    values[kind.entries(shard) if kind.second < 0 else (kind.entries(shard), kind.second)] = value
                ds = ds.assign({marked: (ds[marked].dims, values, ds[marked].attrs)})
        return ds

    def _write(self, kind: Kind, shard: int, arrays: Mapping[str, np.ndarray]) -> None:
        group = zarr.open_group(self.path / ARRAYS, mode="r", zarr_format=3)
        names = {path.rpartition("/")[2]: path for path in kind.arrays}
        entries = kind.entries(shard)
        if set(arrays) != set(names):
            lacking, unknown = sorted(set(names) - set(arrays)), sorted(set(arrays) - set(names))
            raise SchemaError(f"a shard of {kind.layer} {kind.name} lacks {lacking} and does not know {unknown}")
        values = {}
        for name, path in names.items():
            array = group[path]
            inner = array.shape[1:] if kind.second < 0 else array.shape[2:]
            values[path] = ta.fitted(np.asarray(arrays[name]), array, (entries.stop - entries.start, *inner), name)
        shards.write_shard(self.path, kind, shard, values)


def _plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(attrs, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SchemaError(f"attributes of a store must be plain JSON: {error}") from None
