"""Masks of held-out tiles by networks, beside the layout itself, the labels and numerical solvers, all scored alike.

What one entry makes of some tiles is a part on disk, with masks, scores and seconds, under a key of all that determines
it: what is there is not made again, and any score can be taken anew.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import torch
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.models.inputs import CORE_NM
from maskopt_lib.models.training.loop import Trained, code_digest, described, predict_tiles, read_trained
from maskopt_lib.models.training.tiles import TestTiles, choose_tiles, read_tiles
from maskopt_lib.opc import Recipe
from maskopt_lib.optics.kernels import SocsKernels, kernels_digest
from maskopt_lib.runs.gather import Task, complete, labelled
from maskopt_lib.runs.hashing import hashed, key_of, source_hash
from maskopt_lib.runs.parts import part_path, read_part
from maskopt_lib.runs.spread import Kept
from maskopt_lib.study.dataset.tile_masks import TileSolver, scorer
from maskopt_lib.study.labelled_images import images, pictures
from maskopt_lib.study.networks.drawings import read_masks, write_scored
from maskopt_lib.study.networks.scores import TRAITS
from maskopt_lib.study.solvers.pareto import family_of

IDENTITY, LABELS = "layout as mask", "labels"
_SCORES = (*metrics.CORE_SCORES, schema.RUNTIME)
# Kind under which the solver of an entry knows its recipe.
_OWN = "own"


@dataclass(frozen=True, kw_only=True)
class BenchEntry:
    """Who makes masks: a network, a solver, the labels, or, with none of these, nobody.

    Attributes
    ----------
    name : row of the tables.
    trained : folder of a finished training.
    recipe : of a solver.
    label : kind of label that is taken as it is.
    seed : of the training.
    dial : wished simplicity, for a network that has the dial.
    """

    name: str
    trained: Path | None = None
    recipe: Recipe | None = None
    label: str | None = None
    seed: int = 0
    dial: float = 0.0

    def determined_by(self, kind: str) -> list[Any]:
        """All that determines its masks of given tiles."""
        if self.trained is not None:
            about = described(self.trained)
            return ["network", about["weights_sha256"], code_digest(about["rule"]["model"]), kind, self.dial]
        if self.recipe is not None:
            return ["solver", self.recipe.digest()]
        return ["label", self.label] if self.label else ["identity"]


def solver_entries(solvers: Mapping[str, Mapping[str, Any]], layer: str) -> list[BenchEntry]:
    """Solvers as entries, for one layer.

    Parameters
    ----------
    solvers : name -> fields of a :class:`~maskopt_lib.opc.Recipe`; ``presets`` may name other presets by layer.
    layer : of the tiles.
    """
    return [BenchEntry(name=name, recipe=recipe_for(fields, layer)) for name, fields in solvers.items()]


def recipe_for(fields: Mapping[str, Any], layer: str) -> Recipe:
    """A recipe of its fields, with the preset that ``presets`` names for a layer, if it does."""
    chosen = {name: value for name, value in fields.items() if name != "presets"}
    return Recipe(**chosen | {"preset": fields.get("presets", {}).get(layer, fields["preset"])})


def network_entries(networks: Mapping[tuple[str, int], Path], dials: Sequence[float] = ()) -> list[BenchEntry]:
    """Trained networks as entries.

    Parameters
    ----------
    networks : (network, seed) -> folder of its training.
    dials : from 0 (faithful) to 1 (simple); a network with a dial enters at each, as ``"<network>, dial <value>"``.
    """
    entries = []
    for (name, seed), folder in networks.items():
        if dials and described(folder)["rule"]["conditioning"]["dial"]:
            entries += [BenchEntry(name=f"{name}, dial {d:g}", trained=folder, seed=seed, dial=d) for d in dials]
        else:
            entries.append(BenchEntry(name=name, trained=folder, seed=seed))
    return entries


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Which tiles are scored, as they travel to a worker.

    Attributes
    ----------
    layer, split, context_nm, kinds : as for :func:`maskopt_lib.models.training.tiles.choose_tiles`.
    samples : index in the store.
    """

    layer: str
    split: str | None
    context_nm: int
    samples: tuple[int, ...]
    kinds: tuple[str, ...] = ()

    def part(self, places: slice | Sequence[int]) -> Tiles:
        """Those at some places."""
        return replace(self, samples=tuple(np.array(self.samples)[places].tolist()))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What several make of the same tiles.

    Attributes
    ----------
    kind : of masks.
    tiles : that all were given.
    entries : who made masks of them.
    scores : see :meth:`Bench.scores`.
    """

    kind: str
    tiles: Tiles
    entries: list[BenchEntry]
    scores: xr.Dataset

    @property
    def first_seeds(self) -> list[BenchEntry]:
        """The entries, of networks those of the smallest seed only."""
        least = min((entry.seed for entry in self.entries if entry.trained), default=0)
        return [entry for entry in self.entries if not entry.trained or entry.seed == least]

    @property
    def networks(self) -> list[str]:
        """Names of the networks."""
        return list(dict.fromkeys(entry.name for entry in self.entries if entry.trained))

    @property
    def dialled(self) -> list[str]:
        """Names of entries that are one value of a dial, or one setting of a solver, among several."""
        return list(dict.fromkeys(entry.name for entry in self.entries if family_of(entry.name) != entry.name))


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where masks of tiles are made, scored and kept.

    Attributes
    ----------
    store : folder of the dataset.
    run_dir : folder of the run; masks and scores are kept in ``parts/`` below.
    kernels : the optics.
    device : of networks, solvers and scores.
    batch : tiles a part.
    """

    store: Path
    run_dir: Path
    kernels: SocsKernels
    device: str = "cpu"
    batch: int = 8

    def digest(self) -> str:
        """Hash of all that determines what is shown of a tile, and the scores of its mask."""
        code = source_hash(["maskopt_lib.models.training.tiles", "maskopt_lib.models.predict"], follow=False)
        code += source_hash(["maskopt_lib.metrics.evaluate", "maskopt_lib.litho.simulator"])
        store = TileStore(self.store).digest()
        return hashed([code, kernels_digest(self.kernels), store, self.device, torch.__version__])

    def simulator(self) -> Simulator:
        """What masks are scored under."""
        return Simulator(self.kernels, device=self.device)

    def choose(self, layer: str, *, n: int | None = None, seed: int = 0, **choice: Any) -> Tiles:
        """Tiles of different geometry.

        Parameters
        ----------
        layer, n, seed : as for :func:`~maskopt_lib.models.training.tiles.choose_tiles`.
        **choice : ``split``, ``context_nm`` (nm) and ``kinds`` of masks, as for that function.
        """
        samples = choose_tiles(self.store, layer, n=n, seed=seed, **choice)
        choice["kinds"] = tuple(choice.get("kinds", ()))
        return Tiles(layer=layer, samples=tuple(samples.tolist()), **choice)

    def read(self, tiles: Tiles) -> TestTiles:
        """Tiles in memory."""
        choice = {"split": tiles.split, "context_nm": tiles.context_nm, "kinds": tiles.kinds}
        return read_tiles(self.store, tiles.layer, np.array(tiles.samples), **choice)

    def compare(
        self,
        networks: Mapping[tuple[str, int], Path],
        tiles: Tiles,
        kind: str,
        *,
        solvers: Mapping[str, Mapping[str, Any]] | None = None,
        dials: Sequence[float] = (),
        client: distributed.Client | None = None,
    ) -> Comparison:
        """Networks beside the layout as its own mask, the labels, and solvers, on the same tiles.

        Parameters
        ----------
        networks : (network, seed) -> folder of its training.
        tiles : with labels of the kind.
        kind : of masks.
        solvers : see :func:`solver_entries`.
        dials : see :func:`network_entries`.
        client : of workers.
        """
        entries = [BenchEntry(name=IDENTITY), BenchEntry(name=LABELS, label=kind)]
        entries += [*solver_entries(solvers or {}, tiles.layer), *network_entries(networks, dials)]
        scores = self.scores(entries, tiles, kind, client=client)
        return Comparison(kind=kind, tiles=tiles, entries=entries, scores=scores)

    def scores(
        self, entries: Sequence[BenchEntry], tiles: Tiles, kind: str, *, client: distributed.Client | None = None
    ) -> xr.Dataset:
        """Make and score masks, or take those that are there.

        Parameters
        ----------
        entries : who makes them; networks of several seeds have the same name.
        tiles : what is solved.
        kind : of masks, for networks that make several.
        client : of workers; each computes on one thread.

        Returns
        -------
        Dataset over ``method``, ``seed`` and ``sample``: the scores of :func:`maskopt_lib.metrics.evaluate_core` and
        ``runtime_s`` a tile, nan where a method has no such seed; over ``sample``: ``tile`` (index in the store),
        ``cell`` (name) and the `TRAITS`.
        """
        parts = [self._parts(entry, tiles, kind) for entry in entries]
        complete(_score, chain(*parts), client=client, title=f"{tiles.layer} {kind}", keep=3)
        rows = {
            (entry.name, entry.seed): joined([read_part(part.path, _SCORES) for part in parts_of_entry])
            for entry, parts_of_entry in zip(entries, parts, strict=True)
        }
        ds = labelled(rows, (schema.METHOD, schema.SEED)).sortby(schema.SEED)
        ds[schema.RUNTIME].attrs["long_name"] = "time a tile"
        about = {"layer": tiles.layer, "kind": kind, "split": str(tiles.split), "context_nm": tiles.context_nm}
        return schema.label(ds.assign(self.traits(tiles)).assign_attrs(about))

    def masks(self, entry: BenchEntry, tiles: Tiles, kind: str) -> np.ndarray:
        """Masks that :meth:`scores` kept, (n, y, x) uint8."""
        return np.concatenate([read_masks(part.path) for part in self._parts(entry, tiles, kind)])

    def traits(self, tiles: Tiles) -> dict[str, Any]:
        """What is known of tiles, over ``sample``: ``tile``, ``cell``, and the `TRAITS` that are no scores."""
        store = TileStore(self.store)
        ds = store.open(tiles.layer).isel({ta.SAMPLE: list(tiles.samples)})
        cut = ds.isel({ta.CONTEXT: ds[ta.CONTEXT].values.tolist().index(tiles.context_nm)})
        shown = self.read(replace(tiles, kinds=())).image.mean((1, 2))
        core, all_of_it = store.rule["core_nm"] ** 2, (store.rule["core_nm"] + 2 * tiles.context_nm) ** 2
        density = ds["core_density"].values
        around = (shown * store.rule["image_nm"] ** 2 - density * core) / max(all_of_it - core, 1)
        values = {
            "core_density": density,
            "n_shapes_cut": cut["n_shapes_cut"].values.astype(float),
            "min_cut_nm": cut["min_cut_nm"].values.astype(float),
            "context_density": around if tiles.context_nm else np.full(len(density), np.nan),
        }
        names = np.array(ds["cell"].attrs["names"])[ds["cell"].values].astype(str)
        return {name: schema.column(schema.SAMPLE, column, *TRAITS[name][:2]) for name, column in values.items()} | {
            "cell": schema.column(schema.SAMPLE, names, "cell"),
            "tile": schema.column(schema.SAMPLE, np.array(tiles.samples), "tile in the store"),
        }

    def gallery(self, comparison: Comparison, entry: BenchEntry) -> xr.Dataset:
        """The best, the median and the worst tile of an entry by L2, with mask and prints.

        Parameters
        ----------
        comparison : with the entry.
        entry : whose masks are shown.

        Returns
        -------
        Dataset over ``title``, ``y`` and ``x`` (nm) of 0 and 1: ``target`` (the layout with its widest context),
        ``mask``, ``nominal``, ``outer`` and ``inner``.
        """
        tiles, kind = comparison.tiles, comparison.kind
        values = comparison.scores[schema.L2].sel({schema.METHOD: entry.name, schema.SEED: entry.seed}).values
        order = np.argsort(values, kind="stable")
        places = {"best": order[0], "median": order[(len(order) - 1) // 2], "worst": order[-1]}
        shown = list(places.values())
        titles = [f"{entry.name}, {name}: {values[place]:,.0f} nm²" for name, place in places.items()]
        masks = images(self.masks(entry, tiles, kind)[shown], 1.0, title=titles)
        layout = images(self.read(tiles.part(shown)).drawn, 1.0, title=titles)
        return pictures(masks, layout, self.simulator(), margin_nm=None).assign_attrs(core_nm=CORE_NM)

    def _parts(self, entry: BenchEntry, tiles: Tiles, kind: str) -> list[_MaskPart]:
        common = [self.digest(), source_hash([__name__], follow=False)]
        common += [tiles.layer, tiles.context_nm, entry.determined_by(kind)]
        parts = []
        for start in range(0, len(tiles.samples), self.batch):
            batch = tiles.part(slice(start, start + self.batch))
            name = (tiles.layer, entry.name, f"seed{entry.seed}", f"{start:05d}")
            path = part_path(self.run_dir.resolve(), *name, key=key_of([*common, batch.samples]))
            parts.append(_MaskPart(bench=self, entry=entry, tiles=batch, kind=kind, path=path))
        return parts


def joined(parts: Sequence[Mapping[str, np.ndarray]]) -> xr.Dataset:
    """Scores of some tiles after the other, as numbers over ``sample``."""
    columns = {name: np.concatenate([part[name] for part in parts]).astype(float) for name in parts[0]}
    ds = xr.Dataset({name: (schema.SAMPLE, values) for name, values in columns.items()})
    return ds.assign_coords({schema.SAMPLE: np.arange(ds.sizes[schema.SAMPLE])})


def together(scores: Mapping[tuple[str, str], xr.Dataset]) -> xr.Dataset:
    """Results of several layers and kinds of masks in one Dataset over ``layer``, ``kind`` and those of each.

    Parameters
    ----------
    scores : (layer, kind) -> of :meth:`Bench.scores`; what one lacks is nan, and an empty name.
    """
    methods = list(dict.fromkeys(name for ds in scores.values() for name in ds[schema.METHOD].values.tolist()))
    return labelled(scores, ("layer", "kind")).sel({schema.METHOD: methods})


@dataclass(frozen=True, kw_only=True)
class _MaskPart(Task):
    bench: Bench
    entry: BenchEntry
    tiles: Tiles
    kind: str


def _score(part: _MaskPart, kept: Kept) -> None:
    """Read tiles, make masks, score, keep."""
    bench, entry, tiles = part.bench, part.entry, part.bench.read(part.tiles)
    lens = kernels_digest(bench.kernels), bench.device
    sim = kept(("simulator", *lens), bench.simulator)
    seconds = np.nan
    if entry.trained is not None:
        trained = kept(("network", entry.trained, bench.device), partial(_warm_network, part, tiles))
        began = time.perf_counter()
        masks = predict_tiles(trained, tiles, kind=trained.kind(part.kind), dial=entry.dial)
        if bench.device != "cpu":
            torch.cuda.synchronize(bench.device)
        seconds = time.perf_counter() - began
    elif entry.recipe is not None:
        solver = kept(("solver", entry.recipe.digest(), tiles.layer, *lens), partial(_warm_solver, part))
        masks, seconds = solver.solve(tiles.image, tiles.layer, _OWN)
    elif entry.label is not None:
        if entry.label not in tiles.masks:
            raise UnknownNameError(f"tiles were chosen without labels {entry.label!r}; name it in Tiles.kinds")
        masks = tiles.masks[entry.label]
    else:
        masks = tiles.image
    write_scored(part.path, masks, tiles.drawn, sim, {"name": entry.name}, seconds)


def _warm_solver(part: _MaskPart) -> TileSolver:
    bench, tiles = part.bench, part.tiles
    solver = scorer(bench.kernels, bench.device, recipes={_OWN: {tiles.layer: part.entry.recipe}})
    # The first solve prepares the optics; no mask's time holds that.
    solver.solve(bench.read(tiles.part([0])).image, tiles.layer, _OWN)
    return solver


def _warm_network(part: _MaskPart, tiles: TestTiles) -> Trained:
    trained = read_trained(part.entry.trained)
    trained.model.to(part.bench.device)
    # The first prediction prepares; no mask's time holds that.
    predict_tiles(trained, tiles, kind=trained.kind(part.kind))
    return trained
