"""What a network makes of the name of a cell: with its own, with none, with another's; and where it puts cells.

A tag that helps because it says something of the tile helps on tiles that were not seen, and harms when it is another
cell's. One that is only a key to memory is of no use for cells that were not seen, and a network that is told shuffled
ones shows what any tag does that says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import metrics, models
from maskopt_lib.data import schema
from maskopt_lib.data.splits import cell_function
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.files import sha256_of
from maskopt_lib.models.inputs import NO_CELL
from maskopt_lib.models.training.loop import Trained
from maskopt_lib.models.training.tiles import TestTiles
from maskopt_lib.runs.hashing import hashed, source_hash
from maskopt_lib.runs.parts import file_name, read_part, said_of, write_part
from maskopt_lib.study.dataset.tile_masks import TileSolver
from maskopt_lib.study.networks.benchmark import PARTS

TAG, TOLD = "tag", "told"
#: What a network is told of a tile: as it was trained (nothing of cells it did not see), nothing, another cell.
OWN, NONE, ANOTHER = "own", "none", "another"
_KEY_DIGITS = 16
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


def codes_told(trained: Trained, tiles: TestTiles, told: str, seed: int = 0) -> np.ndarray:
    """(n,) codes of cells that a network is told.

    Parameters
    ----------
    trained : the network; where it learnt shuffled tags, its own are shuffled too.
    tiles : that it is shown.
    told : ``"own"``, ``"none"`` or ``"another"``, one that it was trained on, drawn for each tile.
    seed : of the draw.
    """
    if told not in (OWN, NONE, ANOTHER):
        raise UnknownNameError(f"no way {told!r} to tell a cell; known: {OWN}, {NONE}, {ANOTHER}")
    if told == NONE:
        return np.full(len(tiles), NO_CELL)
    seen = np.array([code for code, name in enumerate(trained.cells) if name in trained.seen])
    names = [tiles.cells[code] for code in tiles.cell]
    own = np.array([trained.cells.index(name) if name in trained.seen else NO_CELL for name in names])
    shuffle = trained.rule.get("shuffle_cells")
    rng = np.random.default_rng(seed if shuffle is None else shuffle)
    if told == OWN:
        return own if shuffle is None else rng.permutation(own)
    others = [seen[seen != code] for code in own]
    return np.array([rng.choice(few) if len(few) else NO_CELL for few in others])


def score_tags(
    trained: Mapping[tuple[str, int], Trained], tiles: TestTiles, run_dir: str | Path, solver: TileSolver, *, kind: str,
    batch: int = 8, seed: int = 0,
) -> xr.Dataset:  # fmt: skip
    """Scores of masks by what networks are told.

    Parameters
    ----------
    trained : (tag, seed) -> network, on the device that is to be used.
    tiles : that are shown.
    run_dir : folder of the run; masks and scores are kept in ``parts/`` below.
    solver : that scores.
    kind : of masks.
    batch : tiles at a time.
    seed : of the other cells that are told.

    Returns
    -------
    Dataset over ``tag``, ``told``, ``seed`` and ``sample`` with the scores of
    :func:`maskopt_lib.metrics.evaluate_core`, and ``cell``. A network without a tag has only ``"own"``.
    """
    folder = (Path(run_dir) / PARTS).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    tags, seeds = (list(dict.fromkeys(key[i] for key in trained)) for i in range(2))
    ways = [OWN, NONE, ANOTHER]
    dims = (TAG, TOLD, schema.SEED, schema.SAMPLE)
    values = {name: np.full((len(tags), 3, len(seeds), len(tiles)), np.nan) for name in metrics.CORE_SCORES}
    common = [source_hash([__name__, "maskopt_lib.models.predict"], follow=False), solver.sim.kernels.name, kind]
    common += [hashed([tiles.layer, str(tiles.split), tiles.context_nm, tiles.sample.tolist()]), torch.__version__]
    for (tag, number), one in tqdm(trained.items(), desc=f"{tiles.layer} {kind} {tiles.split}", unit="network"):
        for told in ways if one.model.conditioning.tag != "none" else [OWN]:
            codes = codes_told(one, tiles, told, seed)
            key = hashed([*common, sha256_of(one.weights), codes.tolist()])[:_KEY_DIGITS]
            path = folder / f"{file_name(tiles.layer, kind, tag, told, f'seed{number}', key)}.npz"
            if said_of(path) is None:
                masks = models.predict(
                    one.model, tiles.image, cells=codes, kind=kind, context_nm=float(tiles.context_nm), batch=batch
                )
                scores = solver.score(masks, tiles.drawn)
                bits = {"mask": np.packbits(masks, axis=-1, bitorder="little")}
                arrays = {name: scores[name].values for name in metrics.CORE_SCORES}
                write_part(path, arrays, {"tag": tag, "told": told}, bits=bits)
            kept = read_part(path, metrics.CORE_SCORES)
            for name, column in kept.items():
                values[name][tags.index(tag), ways.index(told), seeds.index(number)] = column
    names = [tiles.cells[code] for code in tiles.cell]
    found = xr.Dataset(
        {name: (dims, numbers) for name, numbers in values.items()}
        | {"cell": (schema.SAMPLE, names, {"long_name": "cell", "units": "1"})},
        coords={TAG: tags, TOLD: ways, schema.SEED: seeds},
        attrs={"layer": tiles.layer, "kind": kind, "split": str(tiles.split), "context_nm": tiles.context_nm},
    )
    return schema.label(found)


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
    dimless = {"units": "1"}
    return xr.Dataset(
        {
            "position": (("cell", "component"), (u * s)[:, :n] * signs, {"long_name": "position", **dimless}),
            "numbers": (("cell", "feature"), numbers, {"long_name": "learned numbers", **dimless}),
            "explained": ("component", shares[:n], {"long_name": "share of the variance", **dimless}),
            "family": ("cell", [cell_family(name) for name in names], {"long_name": "what cells do", **dimless}),
            "function": ("cell", [cell_function(name) for name in names], {"long_name": "function", **dimless}),
            "drive": ("cell", [drive(name) for name in names], {"long_name": "drive strength", **dimless}),
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
    own, rng = share(code), np.random.default_rng(seed)
    drawn = np.array([share(rng.permutation(code)) for _ in range(n_draws)])
    return own, float((1 + (drawn <= own).sum()) / (1 + n_draws))
