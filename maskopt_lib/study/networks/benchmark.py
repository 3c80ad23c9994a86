"""Masks of held-out tiles by networks, beside the layout itself, the labels and numerical solvers, all scored alike.

All are scored in place: each draws the neighbours of a tile as well, networks core by core, solvers the whole field,
and the tile's core is scored where it stands among them. Beside that stands what the tile scores alone, dark beyond its
image, as datasets score it. Labels, which have no neighbours, stand among masks that a solver makes of all that is
around them.

What one entry makes of some tiles is a part on disk, with masks, scores and seconds, under a key of all that determines
it: what is there is not made again, and any score can be taken anew.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import torch
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import OptionError, UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.models.inputs import CORE_NM, IMAGE_NM
from maskopt_lib.models.training.loop import Trained, predict_tiles, read_trained
from maskopt_lib.models.training.tiles import TestTiles, choose_tiles, read_tiles
from maskopt_lib.opc import Recipe
from maskopt_lib.opc.mask_rules import MaskRules
from maskopt_lib.optics.kernels import SocsKernels, kernels_digest
from maskopt_lib.runs.gather import Task, complete, labelled
from maskopt_lib.runs.hashing import hashed, key_of, source_hash
from maskopt_lib.runs.parts import Bits, part_path
from maskopt_lib.runs.spread import Kept
from maskopt_lib.study.dataset.tile_masks import RECIPES, TileSolver, scorer
from maskopt_lib.study.labelled_images import images, pictures
from maskopt_lib.study.networks import several_runs
from maskopt_lib.study.networks.drawings import InPlace, read_masks, read_scored, write_scored
from maskopt_lib.study.networks.entries import IDENTITY, LABELS, BenchEntry, network_entries, solver_entries
from maskopt_lib.study.networks.fields import N_DRAWN, draw_in_place, for_fields, layouts_around, middle
from maskopt_lib.study.networks.given import read_given
from maskopt_lib.study.networks.names import DESCENT, NETWORK, OF_ALONE, PLACED_SCORES, SOLVER, label_alone
from maskopt_lib.study.networks.scores import MAKER, TARGET, TRAITS
from maskopt_lib.study.solvers.pareto import family_of

# Kind under which the solver of an entry knows its recipe.
_OWN = "own"


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Which tiles are scored, as they travel to a worker.

    Attributes
    ----------
    layer, split, context_nm, kinds : as for :func:`maskopt_lib.models.training.tiles.choose_tiles`.
    samples : index in the store.
    fields : the layout of all that the optics see around each, see :meth:`Bench.placed`.
    """

    layer: str
    split: str | None
    context_nm: int
    samples: tuple[int, ...]
    kinds: tuple[str, ...] = ()
    fields: tuple[Bits, ...] = ()

    def part(self, places: slice | Sequence[int]) -> Tiles:
        """Those at some places."""
        at = np.arange(len(self.samples))[places].tolist()
        return replace(
            self, samples=tuple(self.samples[i] for i in at), fields=tuple(self.fields[i] for i in at if self.fields)
        )

    @property
    def layouts(self) -> np.ndarray:
        """(n, y, x) uint8 of the fields."""
        return np.stack([field.image for field in self.fields])


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What several make of the same tiles.

    Attributes
    ----------
    kind : of masks.
    tiles : that all were given.
    entries : who made masks of them in this run.
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
        """Names of the networks that know no optics."""
        return self._made_by(NETWORK)

    @property
    def learnt(self) -> list[str]:
        """Names of all that were trained."""
        return self._made_by(NETWORK, DESCENT)

    @property
    def solvers(self) -> list[str]:
        """Names of the solvers, unrolled descents among them."""
        return self._made_by(SOLVER, DESCENT)

    @property
    def dialled(self) -> list[str]:
        """Names of entries that are one value of a dial, or one setting of a solver, among several."""
        return [name for name in self.scores[schema.METHOD].values.tolist() if family_of(name) != name]

    def _made_by(self, *makers: str) -> list[str]:
        return [name for name, maker in self.scores[MAKER].to_series().items() if maker in makers]


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
    sources : designs of the store that are no names of the catalog.
    """

    store: Path
    run_dir: Path
    kernels: SocsKernels
    device: str = "cpu"
    batch: int = 8
    sources: Mapping[str, str] = field(default_factory=dict)

    def digest(self) -> str:
        """Hash of all that determines what is shown of a tile, and the scores of its mask."""
        drawing = [
            "maskopt_lib.models.training.tiles",
            "maskopt_lib.models.predict",
            "maskopt_lib.study.networks.fields",
        ]
        code = source_hash([*drawing, "maskopt_lib.study.networks.drawings"], follow=False)
        code += source_hash(["maskopt_lib.metrics.evaluate", "maskopt_lib.litho.simulator"])
        store = TileStore(self.store).digest()
        return hashed([code, kernels_digest(self.kernels), store, self.device, torch.__version__])

    def simulator(self) -> Simulator:
        """What masks are scored under."""
        return Simulator(self.kernels, device=self.device)

    def choose(self, layer: str, *, n: int | None = None, seed: int = 0, in_place: bool = True, **choice: Any) -> Tiles:
        """Tiles of different geometry.

        Parameters
        ----------
        layer, n, seed : as for :func:`~maskopt_lib.models.training.tiles.choose_tiles`.
        in_place : with what stands around them, see :meth:`placed`.
        **choice : ``split``, ``context_nm`` (nm) and ``kinds`` of masks, as for that function.
        """
        samples = choose_tiles(self.store, layer, n=n, seed=seed, **choice)
        choice["kinds"] = tuple(choice.get("kinds", ()))
        tiles = Tiles(layer=layer, samples=tuple(samples.tolist()), **choice)
        return self.placed(tiles) if in_place else tiles

    def placed(self, tiles: Tiles) -> Tiles:
        """The same with the layout around them; see :func:`maskopt_lib.study.networks.fields.layouts_around`."""
        store = TileStore(self.store)
        layouts = layouts_around(store, self.read(tiles), self.kernels.period_nm, self.sources)
        return replace(tiles, fields=tuple(Bits.of(image, store.rule["pixel_nm"]) for image in layouts))

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
        surroundings: Mapping[str, Any] | None = None,
        dials: Sequence[float] = (),
        rules_kept: Sequence[str] = (),
        pretrained: Sequence[str] = (),
        given: Mapping[str, Path] | None = None,
        earlier: Sequence[xr.Dataset] = (),
        client: distributed.Client | None = None,
    ) -> Comparison:
        """Networks beside the layout as its own mask, the labels, and solvers, on the same tiles.

        Parameters
        ----------
        networks : (network, seed) -> folder of its training.
        tiles : with labels of the kind.
        kind : of masks.
        solvers : see :func:`solver_entries`.
        surroundings : fields of the recipe that makes the masks around the labels; by default that of the labels.
        dials, rules_kept, pretrained : see :func:`network_entries`.
        given : name -> masks that were made elsewhere.
        earlier : scores of another run, see :meth:`scores`.
        client : of workers.
        """
        around = Recipe(**surroundings) if surroundings else RECIPES[kind][tiles.layer]
        entries = [BenchEntry(name=IDENTITY), BenchEntry(name=LABELS, label=kind, recipe=around)]
        entries += [BenchEntry(name=name, given=path, recipe=around) for name, path in (given or {}).items()]
        entries += solver_entries(solvers or {}, tiles.layer)
        entries += network_entries(networks, dials, rules_kept=rules_kept, pretrained=pretrained)
        known = {(str(name), int(ds[schema.SEED].item())) for ds in earlier for name in ds[schema.METHOD].values}
        entries = [entry for entry in entries if (entry.name, entry.seed) not in known]
        scores = self.scores(entries, tiles, kind, earlier=earlier, client=client)
        return Comparison(kind=kind, tiles=tiles, entries=entries, scores=scores)

    def scores(
        self,
        entries: Sequence[BenchEntry],
        tiles: Tiles,
        kind: str,
        *,
        earlier: Sequence[xr.Dataset] = (),
        client: distributed.Client | None = None,
    ) -> xr.Dataset:
        """Make and score masks, or take those that are there.

        Parameters
        ----------
        entries : who makes them; networks of several seeds have the same name.
        tiles : what is solved.
        kind : of masks, for networks that make several.
        earlier : of :func:`maskopt_lib.study.networks.several_runs.stored_seeds`, of others than the entries; their
            rows come first.
        client : of workers; each computes on one thread.

        Returns
        -------
        Dataset over ``method``, ``seed`` and ``sample``, nan where a method has no such seed: the scores of
        :func:`maskopt_lib.metrics.evaluate_core` in place, ``msa_nm2`` and ``msd_nm`` of the shapes that reach into the
        core, ``runtime_s`` a core, and ``alone_<score>`` of the tile printed alone; over ``sample``: ``tile`` (index in
        the store), ``cell`` (name), ``target_nm2`` (drawn in the core) and the `TRAITS`; over ``method``: ``maker``,
        see :attr:`~maskopt_lib.study.networks.entries.BenchEntry.maker`.

        Raises
        ------
        OptionError : the tiles have no surroundings, or are not those of the earlier scores.
        """
        if len(tiles.fields) != len(tiles.samples):
            raise OptionError("these tiles have nothing around them to be scored in; take Bench.placed(tiles)")
        traits = self.traits(tiles)
        names = (*PLACED_SCORES, *OF_ALONE.values(), schema.RUNTIME)
        makers = {name: maker for ds in earlier for name, maker in ds[MAKER].to_series().items()}
        rows = several_runs.rows_of(earlier, names, {name: traits[name][1] for name in ("tile", TARGET)})
        parts = [self._parts(entry, tiles, kind) for entry in entries]
        complete(_score, chain(*parts), client=client, title=f"{tiles.layer} {kind}", keep=3)
        rows |= {
            (entry.name, entry.seed): joined([read_scored(part.path) for part in parts_of_entry])
            for entry, parts_of_entry in zip(entries, parts, strict=True)
        }
        ds = labelled(rows, (schema.METHOD, schema.SEED)).sortby(schema.SEED)
        ds[schema.RUNTIME].attrs["long_name"] = "time a core"
        about = {"layer": tiles.layer, "kind": kind, "split": str(tiles.split), "context_nm": tiles.context_nm}
        makers |= {entry.name: entry.maker for entry in entries}
        ds[MAKER] = schema.column(schema.METHOD, [makers[name] for name in ds[schema.METHOD].values], "who makes masks")
        return schema.label(label_alone(ds).assign(traits).assign_attrs(about))

    def masks(self, entry: BenchEntry, tiles: Tiles, kind: str) -> np.ndarray:
        """Masks of fields that :meth:`scores` kept, (n, y, x) uint8, the tiles' cores in the middle."""
        return np.concatenate([read_masks(part.path) for part in self._parts(entry, tiles, kind)])

    def traits(self, tiles: Tiles) -> dict[str, Any]:
        """What is known of tiles, over ``sample``: ``tile``, ``cell``, and the `TRAITS` that are no scores."""
        store = TileStore(self.store)
        ds = store.open(tiles.layer).isel({ta.SAMPLE: list(tiles.samples)})
        cut = ds.isel({ta.CONTEXT: ds[ta.CONTEXT].values.tolist().index(tiles.context_nm)})
        read = self.read(replace(tiles, kinds=()))
        shown = read.image.mean((1, 2))
        core, all_of_it = store.rule["core_nm"] ** 2, (store.rule["core_nm"] + 2 * tiles.context_nm) ** 2
        density = ds["core_density"].values
        around = (shown * store.rule["image_nm"] ** 2 - density * core) / max(all_of_it - core, 1)
        values = {
            TARGET: middle(read.drawn, CORE_NM).sum((1, 2), dtype=float),
            "core_density": density,
            "n_shapes_cut": cut["n_shapes_cut"].values.astype(float),
            "min_cut_nm": cut["min_cut_nm"].values.astype(float),
            "context_density": around if tiles.context_nm else np.full(len(density), np.nan),
        }
        names = np.array(ds["cell"].attrs["names"])[ds["cell"].values].astype(str)
        texts = {name: about[:2] for name, about in TRAITS.items()} | {TARGET: ("drawn in the core", "nm2")}
        return {name: schema.column(schema.SAMPLE, column, *texts[name]) for name, column in values.items()} | {
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
        Dataset over ``title``, ``y`` and ``x`` (nm) of 0 and 1: ``target`` (the layout),
        ``mask``, ``nominal``, ``outer`` and ``inner``, of the 1024 nm in whose middle the core stands.
        """
        tiles, kind = comparison.tiles, comparison.kind
        values = comparison.scores[schema.L2].sel({schema.METHOD: entry.name, schema.SEED: entry.seed}).values
        order = np.argsort(values, kind="stable")
        places = {"best": order[0], "median": order[(len(order) - 1) // 2], "worst": order[-1]}
        shown = list(places.values())
        titles = [f"{entry.name}, {name}: {values[place]:,.0f} nm²" for name, place in places.items()]
        corner = ((IMAGE_NM - self.kernels.period_nm) / 2,) * 2
        masks = images(self.masks(entry, tiles, kind)[shown], 1.0, corner_nm=corner, title=titles)
        layout = images(tiles.part(shown).layouts, 1.0, corner_nm=corner, title=titles)
        whole = pictures(masks, layout, self.simulator(), margin_nm=None)
        near = slice(0, IMAGE_NM)
        return whole.sel({schema.Y: near, schema.X: near}).assign_attrs(core_nm=CORE_NM)

    def _parts(self, entry: BenchEntry, tiles: Tiles, kind: str) -> list[_MaskPart]:
        common = [self.digest(), source_hash([__name__], follow=False)]
        common += [tiles.layer, tiles.context_nm, entry.determined_by(kind)]
        parts = []
        for start in range(0, len(tiles.samples), self.batch):
            batch = tiles.part(slice(start, start + self.batch))
            name = (tiles.layer, entry.name, f"seed{entry.seed}", f"{start:05d}")
            path = part_path(
                self.run_dir.resolve(),
                *name,
                key=key_of([*common, batch.samples, [field.digest() for field in batch.fields]]),
            )
            parts.append(_MaskPart(bench=self, entry=entry, tiles=batch, kind=kind, path=path))
        return parts


def joined(parts: Sequence[Mapping[str, np.ndarray]]) -> xr.Dataset:
    """Scores of some tiles after the other, as numbers over ``sample``."""
    columns = {name: np.concatenate([part[name] for part in parts]).astype(float) for name in parts[0]}
    ds = xr.Dataset({name: (schema.SAMPLE, values) for name, values in columns.items()})
    return ds.assign_coords({schema.SAMPLE: np.arange(ds.sizes[schema.SAMPLE])})


@dataclass(frozen=True, kw_only=True)
class _MaskPart(Task):
    bench: Bench
    entry: BenchEntry
    tiles: Tiles
    kind: str


def _score(part: _MaskPart, kept: Kept) -> None:
    """Read tiles, make masks, score, keep."""
    bench, entry, tiles = part.bench, part.entry, part.bench.read(part.tiles)
    sim = kept(("simulator", kernels_digest(bench.kernels), bench.device), bench.simulator)
    masks = _drawn(part, tiles, part.tiles.layouts, kept)
    if entry.keeps_rules:
        masks = _rules_kept(masks, tiles, part.tiles.layouts)
    write_scored(part.path, masks, tiles.drawn, sim, {"name": entry.name})


def _drawn(part: _MaskPart, tiles: TestTiles, layouts: np.ndarray, kept: Kept) -> InPlace:
    bench, entry = part.bench, part.entry
    if entry.trained is not None:
        trained = kept(("network", entry.trained, entry.pretrained, bench.device), partial(_warm_network, part, tiles))
        told = {"cells": trained.codes(tiles), "kind": trained.kind(part.kind), "dial": entry.dial}
        began = time.perf_counter()
        images, fields = draw_in_place(trained.model, trained.rule, layouts, **told)
        if bench.device != "cpu":
            torch.cuda.synchronize(bench.device)
        return InPlace(images=images, fields=fields, seconds=_a_core(time.perf_counter() - began, tiles))
    if entry.recipe is None:
        return InPlace(images=tiles.image, fields=layouts)
    masks = _ready_made(entry, tiles)
    if masks is not None and masks.shape == layouts.shape:
        return InPlace(images=middle(masks, IMAGE_NM), fields=masks)
    lens = kernels_digest(bench.kernels), bench.device
    solver = kept(("solver", entry.recipe.digest(), tiles.layer, *lens), partial(_warm_solver, part))
    # One by one: a batch of fields would need memory that a worker may not have.
    solved = [solver.solve_in_surroundings(field[None], tiles.layer, _OWN) for field in layouts]
    fields = np.concatenate([field for field, _ in solved])
    if masks is None:
        images, _ = solver.solve(tiles.image, tiles.layer, _OWN)
        return InPlace(images=images, fields=fields, seconds=_a_core(sum(s for _, s in solved), tiles))
    core = slice((fields.shape[-1] - CORE_NM) // 2, (fields.shape[-1] + CORE_NM) // 2)
    fields[:, core, core] = middle(masks, CORE_NM)
    return InPlace(images=masks, fields=fields)


def _ready_made(entry: BenchEntry, tiles: TestTiles) -> np.ndarray | None:
    """(n, y, x) labels or given masks of tiles; None for who makes its own."""
    if entry.given is not None:
        return read_given(entry.given, tiles.sample)
    if entry.label is None:
        return None
    if entry.label not in tiles.masks:
        raise UnknownNameError(f"tiles were chosen without labels {entry.label!r}; name it in Tiles.kinds")
    return tiles.masks[entry.label]


def _a_core(seconds: float, tiles: TestTiles) -> float:
    """Of a field nine cores are drawn, by networks one by one; what a solver draws around them is margin to it."""
    return seconds / (len(tiles) * N_DRAWN)


def _rules_kept(masks: InPlace, tiles: TestTiles, layouts: np.ndarray) -> InPlace:
    deck, began = MaskRules(), time.perf_counter()
    fields = np.stack([deck.project(m, 1.0, main=main).mask for m, main in zip(masks.fields, layouts, strict=True)])
    seconds = masks.seconds + _a_core(time.perf_counter() - began, tiles)
    images = [deck.project(m, 1.0, main=main).mask for m, main in zip(masks.images, tiles.image, strict=True)]
    return InPlace(images=np.stack(images), fields=fields, seconds=seconds)


def _warm_solver(part: _MaskPart) -> TileSolver:
    bench, tiles = part.bench, part.tiles
    solver = scorer(bench.kernels, bench.device, recipes={_OWN: {tiles.layer: part.entry.recipe}})
    # The first solve prepares the optics; no mask's time holds that.
    solver.solve(bench.read(tiles.part([0])).image, tiles.layer, _OWN)
    return solver


def _warm_network(part: _MaskPart, tiles: TestTiles) -> Trained:
    trained = read_trained(part.entry.trained, pretrained=part.entry.pretrained)
    for_fields(trained.model).to(part.bench.device)
    # The first prediction prepares; no mask's time holds that.
    predict_tiles(trained, tiles, kind=trained.kind(part.kind))
    return trained
