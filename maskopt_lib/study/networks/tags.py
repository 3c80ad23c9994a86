"""What a network makes of the name of a cell: with its own, with none, with another's; and where it puts cells.

A tag that helps because it says something of the tile helps on tiles that were not seen, and harms when it is another
cell's. One that is only a key to memory is of no use for cells that were not seen, and a network that is told shuffled
ones shows what any tag does that says nothing.
"""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib import models
from maskopt_lib.data import schema
from maskopt_lib.data.splits import cell_function
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.models.inputs import NO_CELL
from maskopt_lib.models.training.loop import Trained
from maskopt_lib.models.training.rules import TrainRule
from maskopt_lib.models.training.tiles import TestTiles
from maskopt_lib.runs.effects import Effect, gain
from maskopt_lib.runs.gather import labelled
from maskopt_lib.runs.hashing import key_of, source_hash
from maskopt_lib.runs.parts import part_path
from maskopt_lib.study.networks.benchmark import Bench, Tiles
from maskopt_lib.study.networks.drawings import Drawing, score_drawings
from maskopt_lib.study.networks.scores import prints
from maskopt_lib.study.networks.trainings import Key, common_fields, n_cells_of, rules_for

TAG, TOLD = "tag", "told"
#: What a network is told of a tile: as it was trained (nothing of cells it did not see), nothing, another cell.
WAYS = OWN, NONE, ANOTHER = "own", "none", "another"
#: What cells do, by the first letters of their function.
FAMILIES = {
    "inverters and buffers": ("INV", "BUF", "CLKBUF", "TBUF", "TINV"),
    "NAND and NOR": ("NAND", "NOR"),
    "AOI and OAI": ("AOI", "OAI"),
    "flip-flops, latches, clock gates": ("DFF", "SDFF", "DLH", "DLL", "TLAT", "CLKGATE"),
    "XOR, adders, multiplexers": ("XOR", "XNOR", "FA", "HA", "MUX"),
    "AND and OR": ("AND", "OR"),
}
OTHERS = "others"


def cell_family(cell: str) -> str:
    """What a cell does, roughly.

    Examples
    --------
    >>> cell_family("OAI21_X1"), cell_family("DFFRS_X2"), cell_family("LOGIC0_X1")
    ('AOI and OAI', 'flip-flops, latches, clock gates', 'others')
    """
    # The longest beginning decides: ANTENNA is no AND gate, whatever its name begins with.
    function = re.sub(r"\d+$", "", cell_function(cell))
    found = [(len(start), name) for name, starts in FAMILIES.items() for start in starts if function.startswith(start)]
    return max(found)[1] if found and function != "ANTENNA" else OTHERS


def drive(cell: str) -> int:
    """Drive strength of a cell, 0 where its name has none.

    Examples
    --------
    >>> drive("NAND2_X4"), drive("FILLER")
    (4, 0)
    """
    found = re.search(r"_X(\d+)$", cell)
    return int(found[1]) if found else 0


def rules_of(params: Mapping[str, Any], store: str | Path, kernels: str) -> dict[Key, TrainRule]:
    """The rules of all trainings of notebook 34, whose networks are called by their tags.

    Parameters
    ----------
    params : of the notebook: ``network``, ``tags``, ``kinds``, ``layers``, ``seeds``, ``context_nm``, and those of
        `COMMON`.
    store : folder of the dataset.
    kernels : its optics.
    """
    rules: dict[Key, TrainRule] = {}
    for layer, (kind, tags) in product(params["layers"], params["kinds"].items()):
        networks = {tag: params["network"] | params["tags"][tag] for tag in tags}
        grid = {"layers": [layer], "seeds": {kind: params["seeds"][kind]}, "context_nm": params["context_nm"]}
        # The context of labels as notebook 33 says it, so that its networks are found.
        more = common_fields(params) | {"label_context_nm": params["context_nm"][layer], "kernels": kernels}
        n_cells = n_cells_of(store, layer, params["context_nm"])
        rules |= rules_for(networks, n_cells=n_cells, **grid, **more)
    return rules


def codes_told(trained: Trained, tiles: TestTiles, way: str, seed: int = 0) -> np.ndarray:
    """(n,) codes of cells that a network is told.

    Parameters
    ----------
    trained : the network; where it learnt shuffled tags, its own are shuffled too.
    tiles : that it is shown.
    way : one of `WAYS`; ``"another"`` is one that it was trained on, drawn for each tile.
    seed : of the draw.
    """
    if way not in WAYS:
        raise UnknownNameError(f"no way {way!r} to tell a cell; known: {', '.join(WAYS)}")
    if way == NONE:
        return np.full(len(tiles), NO_CELL)
    seen = np.array([code for code, name in enumerate(trained.cells) if name in trained.seen])
    codes = trained.codes(tiles)
    shuffle = trained.rule.get("shuffle_cells")
    rng = np.random.default_rng(seed if shuffle is None else shuffle)
    if way == OWN:
        return codes if shuffle is None else rng.permutation(codes)
    others = [seen[seen != code] for code in codes]
    return np.array([rng.choice(few) if len(few) else NO_CELL for few in others])


def score_tags(
    bench: Bench, trained: Mapping[tuple[str, int], Trained], tiles: Tiles, kind: str, *, seed: int = 0
) -> xr.Dataset:
    """Scores of masks by what networks are told.

    Parameters
    ----------
    bench : of the tiles; masks and scores are kept in its run.
    trained : (tag, seed) -> network.
    tiles : that are shown.
    kind : of masks.
    seed : of the other cells that are told.

    Returns
    -------
    Dataset over ``tag``, ``told``, ``seed`` and ``sample`` with the scores of
    :func:`maskopt_lib.metrics.evaluate_core`, and ``cell``. A network without a tag has only ``"own"``.
    """
    read = bench.read(tiles)
    common = [bench.digest(), source_hash([__name__], follow=False), kind]
    common += [tiles.layer, str(tiles.split), tiles.context_nm, tiles.samples]
    told_too = {"kind": kind, "context_nm": float(tiles.context_nm), "batch": bench.batch}
    drawings = {}
    for (tag, number), training in trained.items():
        training.model.to(bench.device)
        for told in WAYS if training.model.conditioning.tag != "none" else [OWN]:
            codes = codes_told(training, read, told, seed)
            key = key_of([*common, training.digest(), codes.tolist()])
            path = part_path(bench.run_dir, tiles.layer, kind, tag, told, f"seed{number}", key=key)
            draw = partial(models.predict, training.model, read.image, cells=codes, **told_too)
            drawings[tag, told, number] = Drawing(draw=draw, path=path)
    rows = score_drawings(drawings, read.drawn, bench.simulator(), title=f"{tiles.layer} {kind} {tiles.split}")
    ds = labelled(rows, (TAG, TOLD, schema.SEED)).reindex({TOLD: list(WAYS)})
    ds["cell"] = schema.column(schema.SAMPLE, read.cell_names, "cell")
    about = {"layer": tiles.layer, "kind": kind, "split": str(tiles.split), "context_nm": tiles.context_nm}
    return schema.label(ds.assign_attrs(about))


#: (layer, kind of masks, what to call the tiles) -> scores.
Scores = Mapping[tuple[str, str, str], xr.Dataset]


def tag_gains(scores: Scores, *, name: str = schema.L2) -> dict[tuple[str, str], Effect]:
    """By how many percent each tag makes a score smaller than no tag does, on the same tiles.

    Parameters
    ----------
    scores : of :func:`score_tags`.
    name : of the score.

    Returns
    -------
    (``"<layer>, <kind>, <tag>"``, what to call the tiles) -> effect.
    """
    return {
        (f"{layer}, {kind}, {tag}", tiles): _gain(ds, name, ("none", OWN), (tag, OWN))
        for (layer, kind, tiles), ds in scores.items()
        if "none" in ds[TAG].values
        for tag in _tags(ds)
    }


def listening(scores: Scores, *, name: str = schema.L2) -> dict[tuple[str, str], Effect]:
    """By how many percent a network's score is smaller with the cell's own name than with none, or another's.

    Parameters and result as of :func:`tag_gains`; the second name is ``"<tiles>: own, not <told>"``.
    """
    return {
        (f"{layer}, {kind}, {tag}", f"{tiles}: own, not {told}"): _gain(ds, name, (tag, told), (tag, OWN))
        for (layer, kind, tiles), ds in scores.items()
        for tag in _tags(ds)
        for told in (NONE, ANOTHER)
    }


def statements(scores: Scores, judged: str, *, name: str = schema.L2) -> dict[str, tuple[Effect, str]]:
    """What is said of a tag, as effects that are above zero where it is true; of what was trained and scored.

    Parameters
    ----------
    scores : of :func:`score_tags`; the first tiles are those of cells that were seen.
    judged : the tag.
    name : of the score.

    Returns
    -------
    Sentence -> effect, and what was measured; for :func:`maskopt_lib.runs.effects.statement_table`.
    """
    gains, seen = tag_gains(scores, name=name), next(iter(scores))[2]
    effects: dict[str, tuple[Effect, str]] = {}
    for (layer, kind, tiles), ds in scores.items():
        help_of_tags = gains.get((f"{layer}, {kind}, {judged}", tiles))
        if judged not in ds[TAG].values:
            continue
        n_seeds = int(ds[name].sel({TAG: judged, TOLD: OWN}).notnull().any(schema.SAMPLE).sum())
        measured = f"{judged} against none, {name}, {tiles}, {n_seeds} seeds"
        if help_of_tags is not None:
            effects[f"Tags help {layer}, {kind} masks, {tiles}"] = help_of_tags, measured
        if tiles != seen:
            continue
        if "shuffled" in ds[TAG].values:
            more = _gain(ds, name, ("shuffled", OWN), (judged, OWN))
            effects[f"Tags help {layer}, {kind} masks more than shuffled ones"] = more, f"{judged}, {name}, {tiles}"
        harm = _gain(ds, name, (judged, ANOTHER), (judged, OWN))
        effects[f"Another cell's name harms {layer}, {kind} masks"] = harm, f"{judged}, {name}, {tiles}"
        on_metal, of_opc = (gains.get((f"{row}, {judged}", tiles)) for row in (f"metal1, {kind}", f"{layer}, opc"))
        if layer == "via1" and help_of_tags is not None and on_metal is not None:
            effects[f"Tags help via1 more than metal1, {kind} masks"] = help_of_tags - on_metal, measured
        if kind == "ilt" and help_of_tags is not None and of_opc is not None:
            effects[f"Tags help ILT masks more than OPC masks, {layer}"] = help_of_tags - of_opc, measured
    return effects


def _tags(ds: xr.Dataset) -> list[str]:
    return [tag for tag in ds[TAG].values.tolist() if tag != "none"]


def _gain(scores: xr.Dataset, name: str, base: tuple[str, str], other: tuple[str, str]) -> Effect:
    """Of (tag, told) against (tag, told), without seeds of which nothing prints."""
    score = scores[name].where(prints(scores))
    rows = [score.sel({TAG: tag, TOLD: told}) for tag, told in (base, other)]
    return gain(*rows, scores["cell"].values)


def embedding_space(trained: Trained, n_components: int = 2) -> xr.Dataset:
    """Where a network puts the cells that it was trained on.

    Parameters
    ----------
    trained : network with learned numbers for each cell.
    n_components : directions of largest variance, of a principal component analysis.

    Returns
    -------
    Dataset over ``cell`` and ``component``: ``position`` (1, 2, ...), ``numbers`` over ``cell`` and ``feature`` as they
    were learned; ``family``, ``function`` and ``drive`` of each cell; ``explained``, share of the variance, over
    ``component``.

    Raises
    ------
    UnknownNameError : the network has none.
    """
    conditioner = trained.model.conditioner
    if not hasattr(conditioner, "cells"):
        raise UnknownNameError(f"a network with the tag {trained.model.conditioning.tag!r} learns no numbers of cells")
    names = [name for name in trained.cells if name in trained.seen]
    # Row 0 stands for a cell that is not told.
    rows = [1 + trained.cells.index(name) for name in names]
    numbers = conditioner.cells.weight.detach().cpu().numpy()[rows].astype(float)
    centred = numbers - numbers.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    n = min(n_components, len(s))
    # A direction has no sign of its own: the largest position is made positive.
    signs = np.sign(u[np.abs(u).argmax(axis=0), np.arange(u.shape[1])])[:n]
    shares = s**2 / max(float((s**2).sum()), np.finfo(float).tiny)
    functions = [cell_function(name) for name in names]
    return xr.Dataset(
        {
            "position": schema.column(("cell", "component"), (u * s)[:, :n] * signs, "position"),
            "numbers": schema.column(("cell", "feature"), numbers, "learned numbers"),
            "explained": schema.column("component", shares[:n], "share of the variance"),
            "family": schema.column("cell", [cell_family(name) for name in names], "what cells do"),
            "function": schema.column("cell", functions, "function"),
            "drive": schema.column("cell", [drive(name) for name in names], "drive strength"),
        },
        coords={"cell": names, "component": np.arange(1, n + 1)},
    )


def kinship(numbers: np.ndarray, groups: Sequence[str], *, n_draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Whether cells of a group lie nearer to each other than to others.

    Parameters
    ----------
    numbers : (cell, feature).
    groups : (cell,) such as functions or families.
    n_draws, seed : of the permutations.

    Returns
    -------
    Mean distance of pairs of one group as a share of that of all other pairs, and the share of permutations of the
    groups that give one as small; nan where no group has two cells, or all are in one.

    Examples
    --------
    >>> share, chance = kinship(np.array([[0.0], [0.1], [5.0], [5.1], [9.0], [9.1]]), list("aabbcc"))
    >>> share < 0.1, chance < 0.1
    (True, True)
    """
    _, code = np.unique(np.asarray(groups), return_inverse=True)
    distance = np.linalg.norm(numbers[:, None] - numbers, axis=-1)
    pairs = np.triu_indices(len(code), 1)
    distance = distance[pairs]

    def share(code: np.ndarray) -> float:
        same = (code[:, None] == code)[pairs]
        return float(distance[same].mean() / distance[~same].mean())

    if len(np.unique(code)) in (1, len(code)):
        return np.nan, np.nan
    share_of_codes, rng = share(code), np.random.default_rng(seed)
    drawn = np.array([share(rng.permutation(code)) for _ in range(n_draws)])
    return share_of_codes, float((1 + (drawn <= share_of_codes).sum()) / (1 + n_draws))
