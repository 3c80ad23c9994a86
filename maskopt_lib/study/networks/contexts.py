"""Networks that are shown more or less of the surroundings: printed alone, and where their masks belong.

Only what a network is shown differs. Tiles, labels and splits are those of the context that labels were made with, and
the edges that count are the same. Printed alone a mask is judged as datasets judge it: dark beyond its image. In place,
its core stands among the masks that a solver makes of all surroundings. What context gains there is its effect; what it
gains alone is that and what the window pretends.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.models.inputs import CORE_NM
from maskopt_lib.models.predict import predict
from maskopt_lib.models.training.loop import Trained, predict_tiles
from maskopt_lib.models.training.rules import TrainRule
from maskopt_lib.models.training.tiles import TestTiles
from maskopt_lib.opc import Recipe
from maskopt_lib.runs.effects import Effect, effect_rows, gain
from maskopt_lib.runs.gather import Task, complete, labelled
from maskopt_lib.runs.hashing import hashed, key_of, source_hash
from maskopt_lib.runs.parts import Bits, part_path
from maskopt_lib.runs.spread import Kept
from maskopt_lib.study.dataset.context import ALL_AROUND, ALONE, CONTEXT, IN_PLACE, PRINTED, shown_within
from maskopt_lib.study.dataset.tile_masks import RECIPES, LabelRule, TileSolver, label_digest, scorer
from maskopt_lib.study.networks.benchmark import Bench, Tiles
from maskopt_lib.study.networks.drawings import Drawing, read_masks, score_drawings, write_masks
from maskopt_lib.study.networks.entries import IDENTITY, LABELS
from maskopt_lib.study.networks.fields import middle
from maskopt_lib.study.networks.scores import prints
from maskopt_lib.study.networks.trainings import Key, common_fields, rules_for

NETWORK = "network"
#: Layer whose labels are made with little context; statements compare others with it.
METAL = "metal1"


def rules_of(params: Mapping[str, Any], kernels: str) -> dict[Key, TrainRule]:
    """The rules of all trainings of notebook 33; a network's name says the context that it is shown.

    Parameters
    ----------
    params : of the notebook: ``networks``, ``layers``, ``kind``, ``contexts_nm``, ``label_context_nm``, ``seeds``, and
        those of `COMMON`.
    kernels : optics of the dataset.
    """
    rules: dict[Key, TrainRule] = {}
    for layer in params["layers"]:
        common = common_fields(params) | {"label_context_nm": params["label_context_nm"][layer], "kernels": kernels}
        for context_nm in params["contexts_nm"]:
            networks = {f"{name}, {context_nm} nm": network for name, network in params["networks"].items()}
            seeds = {params["kind"]: params["seeds"]}
            rules |= rules_for(networks, layers=[layer], seeds=seeds, context_nm={layer: context_nm}, **common)
    return rules


def by_context(trained: Mapping[Key, Trained], layer: str) -> dict[tuple[str, int, int], Trained]:
    """Networks of one layer by name, the context that they are shown, and seed."""
    return {
        (name.rpartition(", ")[0], training.rule["context_nm"], seed): training
        for (name, its_layer, _, seed), training in trained.items()
        if its_layer == layer
    }


@dataclass(frozen=True, kw_only=True)
class PlacedTiles:
    """Tiles with their place on the chip.

    Attributes
    ----------
    tiles : with labels, shown with the context that labels were made with.
    kind : of masks.
    layout : (n, y, x) uint8, all that the optics see around each tile.
    surroundings : (n, y, x) uint8, masks that a solver makes of it.
    digest : of all that determines them.
    """

    tiles: TestTiles
    kind: str
    layout: np.ndarray
    surroundings: np.ndarray
    digest: str


@dataclass(frozen=True, kw_only=True)
class _Field(Task):
    bits: Bits


def place(
    bench: Bench,
    tiles: Mapping[str, Tiles],
    kind: str,
    surroundings: Mapping[str, Any] | None = None,
) -> dict[str, PlacedTiles]:
    """Make the masks of all that stands around tiles, or take those that are there.

    Parameters
    ----------
    bench : of the tiles; masks are kept in its run.
    tiles : by layer.
    kind : of masks.
    surroundings : fields of the recipe that makes masks of them; by default the one that made the labels.
    """
    recipes = {kind: dict.fromkeys(tiles, Recipe(**surroundings))} if surroundings else RECIPES
    solver = scorer(bench.kernels, bench.device, recipes=recipes)
    placed = {}
    for layer, chosen in tiles.items():
        digest = label_digest(solver.rule, [layer], [kind], bench.device)[layer, kind]
        fields = []
        for bits in chosen.fields:
            key = key_of([digest, source_hash([__name__], follow=False), bits.digest()])
            fields.append(_Field(bits=bits, path=part_path(bench.run_dir, "surroundings", layer, kind, key=key)))
        complete(partial(_solve_field, solver, layer, kind), fields, title=f"{layer}, surroundings")
        placed[layer] = PlacedTiles(
            tiles=bench.read(chosen),
            kind=kind,
            layout=chosen.layouts,
            surroundings=np.stack([read_masks(field.path) for field in fields]),
            digest=hashed([field.path.name for field in fields]),
        )
    return placed


def _solve_field(solver: TileSolver, layer: str, kind: str, field: _Field, kept: Kept) -> None:
    masks, _ = solver.solve_in_surroundings(field.bits.image[None], layer, kind)
    write_masks(field.path, masks[0], {}, {"kind": kind})


def score_contexts(
    bench: Bench, trained: Mapping[tuple[str, int, int], Trained], placed: PlacedTiles, *, at_large: Sequence[str] = ()
) -> xr.Dataset:
    """Scores of what networks draw of each context, alone and in place.

    Parameters
    ----------
    bench : of the tiles; masks and scores are kept in its run.
    trained : (network, context that it is shown, seed) -> network.
    placed : tiles that they have not seen.
    at_large : networks that take windows of any size: with the widest of their contexts they are shown all
        surroundings as well, which they were not trained with.

    Returns
    -------
    Dataset over ``network``, ``context`` (nm, -1 all surroundings), ``seed``, ``printed`` and ``sample`` with the
    scores of :func:`maskopt_lib.metrics.evaluate_core`; ``cell`` and ``core_density`` of each sample. Beside the
    networks there are the layout as its own mask, and the labels: made with their own context, and with all
    surroundings.
    """
    tiles, kind = placed.tiles, placed.kind
    n, first_seed = tiles.drawn.shape[-1], min(seed for _, _, seed in trained)
    contexts = sorted({context for _, context, _ in trained})
    shown = {context: shown_within(tiles.drawn, LabelRule(), context) for context in contexts}

    makers: dict[tuple[str, int, int], tuple[str, Callable[[], np.ndarray]]] = {}
    for (name, context, seed), training in trained.items():
        training.model.to(bench.device)
        network = training.digest()
        cut_tiles = replace(tiles, image=shown[context], context_nm=context)
        makers[name, context, seed] = network, partial(predict_tiles, training, cut_tiles, kind=kind, batch=bench.batch)
        if name in at_large and context == contexts[-1]:
            makers[name, ALL_AROUND, seed] = network, partial(_middle_of_field, training, placed)
    for context in contexts:
        makers[IDENTITY, context, first_seed] = "layout", partial(shown.get, context)
    if kind in tiles.masks:
        makers[LABELS, tiles.context_nm, first_seed] = "labels", partial(tiles.masks.get, kind)
    makers[LABELS, ALL_AROUND, first_seed] = "surroundings", partial(middle, placed.surroundings, n)

    common = [bench.digest(), source_hash([__name__], follow=False), placed.digest, kind, n]
    common += [tiles.layer, tiles.sample.tolist()]
    drawings = {}
    for (name, context, seed), (digest, draw) in makers.items():
        key = key_of([*common, digest, context])
        path = part_path(bench.run_dir, tiles.layer, name, f"{context}nm", f"seed{seed}", key=key)
        drawings[name, context, seed] = Drawing(draw=draw, alone=context != ALL_AROUND, path=path)
    around = {"title": f"{tiles.layer} {kind}", "surroundings": placed.surroundings}
    rows = score_drawings(drawings, tiles.drawn, bench.simulator(), **around)
    names = [*dict.fromkeys(name for name, _, _ in trained), IDENTITY, LABELS]
    in_order = [*sorted({context for _, context, _ in makers} - {ALL_AROUND}), ALL_AROUND]
    ds = labelled(rows, (NETWORK, CONTEXT, schema.SEED)).sortby(schema.SEED).sel({NETWORK: names, CONTEXT: in_order})
    ds = ds.assign(
        cell=schema.column(schema.SAMPLE, tiles.cell_names, "cell"),
        core_density=schema.column(
            schema.SAMPLE, middle(tiles.drawn, CORE_NM).mean((1, 2)), "share of the core that is drawn"
        ),
    ).assign_coords({PRINTED: [ALONE, IN_PLACE]})
    ds = schema.described(ds, {CONTEXT: ("context (-1: all that the optics see)", "nm")})
    about = {"layer": tiles.layer, "kind": kind, "split": str(tiles.split), "label_context_nm": tiles.context_nm}
    return schema.label(ds.assign_attrs(about))


def _middle_of_field(trained: Trained, placed: PlacedTiles) -> np.ndarray:
    conditions = {"cells": trained.codes(placed.tiles), "context_nm": float(trained.rule["context_nm"])}
    if len(trained.model.conditioning.kinds) > 1:
        conditions["kind"] = placed.kind
    masks = predict(trained.model, placed.layout, batch=1, at_large=True, **conditions)
    return middle(masks, placed.tiles.drawn.shape[-1])


def context_gain(
    scores: xr.Dataset,
    network: str,
    narrow: int,
    wide: int,
    *,
    printed: str = IN_PLACE,
    name: str = schema.L2,
    dense: bool = False,
) -> Effect:
    """By how many percent a score is smaller with more context than with less, on the same tiles.

    Parameters
    ----------
    scores : of :func:`score_contexts`.
    network : which of them.
    narrow, wide : contexts in nm.
    printed : how.
    name : of the score; seeds of which nothing prints are left out.
    dense : count only the denser half of the tiles.
    """
    rows = scores.sel({NETWORK: network, PRINTED: printed})
    rows = rows[[name, "cell", "core_density"]].assign({name: rows[name].where(prints(rows))})
    if dense:
        rows = rows.isel({schema.SAMPLE: rows["core_density"].values >= float(rows["core_density"].median())})
    less, more = (rows[name].sel({CONTEXT: context}) for context in (narrow, wide))
    return gain(less, more, rows["cell"].values)


def context_effects(scores: xr.Dataset, networks: Sequence[str], *, name: str = schema.L2) -> xr.Dataset:
    """What each context gains against the narrowest, alone and in place, and how much printing alone flatters.

    Parameters
    ----------
    scores : of :func:`score_contexts`.
    networks : that are listed.
    name : of the score.

    Returns
    -------
    Dataset over ``row`` (network and context) and ``effect``: ``mean``, ``low`` and ``high``, in percent. "gain alone"
    and "gain in place": by how much the score is smaller than with the narrowest context; "flattered": by how much it
    is smaller alone than in place.
    """
    alone = scores[name].sel({NETWORK: list(networks), PRINTED: ALONE})
    was_shown = alone.notnull().any((NETWORK, schema.SEED, schema.SAMPLE)).values
    contexts = [context for context in scores[CONTEXT].values[was_shown].tolist() if context != ALL_AROUND]
    effects = {}
    for network in networks:
        for context in contexts:
            row = f"{network}, {context} nm"
            for printed in (ALONE, IN_PLACE) if context != contexts[0] else ():
                how = {"printed": printed, "name": name}
                effects[row, f"gain {printed}"] = context_gain(scores, network, contexts[0], context, **how)
            rows = scores.sel({NETWORK: network, CONTEXT: context})
            by_print = [rows[name].where(prints(rows)).sel({PRINTED: printed}) for printed in (IN_PLACE, ALONE)]
            effects[row, "flattered"] = gain(*by_print, scores["cell"].values)
    long_name = f"{schema.VARIABLES[name][0]}: effect"
    ds = effect_rows(effects, rows="row", columns="effect", long_name=long_name)
    columns = (f"gain {ALONE}", f"gain {IN_PLACE}", "flattered")
    return ds.sel(effect=[column for column in columns if column in ds["effect"].values])


def statements(
    scores: Mapping[str, xr.Dataset],
    networks: Sequence[str],
    contexts_nm: Sequence[int],
    label_context_nm: Mapping[str, int],
    *,
    name: str = schema.L2,
    tiles: str = "",
) -> dict[str, tuple[Effect, str]]:
    """What is said of context, as effects that are above zero where it is true; of the layers that were scored.

    Parameters
    ----------
    scores : layer -> of :func:`score_contexts`.
    networks : that statements are about.
    contexts_nm : that they were shown.
    label_context_nm : layer -> context that labels were made with.
    name : of the score.
    tiles : what to call them.

    Returns
    -------
    Sentence -> effect, and what was measured; for :func:`maskopt_lib.runs.effects.statement_table`.
    """
    narrow, wide = min(contexts_nm), max(contexts_nm)
    measured = f"{name}, {wide} against {narrow} nm, {tiles}"
    effects: dict[str, tuple[Effect, str]] = {}
    for network in networks:
        for printed in (IN_PLACE, ALONE):
            how = {"printed": printed, "name": name}
            gains = {layer: context_gain(ds, network, narrow, wide, **how) for layer, ds in scores.items()}
            for layer in [layer for layer in scores if layer != METAL]:
                effects[f"{network}: context helps {layer}, printed {printed}"] = gains[layer], measured
                if METAL in gains:
                    sentence = f"{network}: context helps {layer} more than {METAL}, printed {printed}"
                    effects[sentence] = gains[layer] - gains[METAL], measured
            if METAL not in scores:
                continue
            # Of the contexts that were trained, the one that metal's labels were made with, or the nearest to it.
            best = min(contexts_nm, key=lambda context: (abs(context - label_context_nm[METAL]), context))
            if best < wide:
                harm = context_gain(scores[METAL], network, wide, best, dense=True, **how)
                sentence = f"{network}: too much context hurts dense {METAL}, printed {printed}"
                effects[sentence] = harm, f"{name}, {best} against {wide} nm, denser half of {tiles}"
    return effects
