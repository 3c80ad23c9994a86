"""Networks that are shown more or less of the surroundings: printed alone, and where their masks belong.

Only what a network is shown differs. Tiles, labels and splits are those of the context that labels were made with, and
the edges that count are the same. Printed alone a mask is judged as datasets judge it: dark beyond its image. In place,
its core stands among the masks that a solver makes of all surroundings. What context gains there is its effect; what it
gains alone is that and what the window pretends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import GridMismatchError, MissingDataError
from maskopt_lib.files import sha256_of
from maskopt_lib.layout import Design
from maskopt_lib.models import MaskModel, TileInput
from maskopt_lib.models.inputs import NO_CELL
from maskopt_lib.models.training.loop import Trained, predict_tiles
from maskopt_lib.models.training.tiles import TestTiles
from maskopt_lib.runs.hashing import hashed, source_hash
from maskopt_lib.runs.parts import Bits, file_name, read_part, said_of, write_part
from maskopt_lib.study.dataset.context import ALL_AROUND, ALONE, CONTEXT, IN_PLACE, PRINTED, seen
from maskopt_lib.study.dataset.tile_masks import TileSolver, label_digest
from maskopt_lib.study.networks.benchmark import IDENTITY, LABELS, PARTS

NETWORK = "network"
_KEY_DIGITS = 16
#: (network, context that it is shown, seed).
Key = tuple[str, int, int]


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Tiles with their place on the chip.

    Attributes
    ----------
    tiles : with labels, shown with the context that labels were made with.
    layout : (n, y, x) uint8, all that the optics see around each tile.
    surroundings : (n, y, x) uint8, masks that a solver makes of it.
    digest : of all that determines them.
    """

    tiles: TestTiles
    layout: np.ndarray
    surroundings: np.ndarray
    digest: str


def place(
    tiles: TestTiles, store: str | Path, designs: Mapping[str, Design], run_dir: str | Path, solver: TileSolver, *,
    kind: str, batch: int = 1,
) -> Placed:  # fmt: skip
    """Make the masks of all that stands around tiles, or take those that are there.

    Parameters
    ----------
    tiles : of :func:`maskopt_lib.models.training.tiles.read_tiles`.
    store : they are from.
    designs : by name, opened.
    run_dir : folder of the run; masks are kept in ``parts/`` below.
    solver : its rule says by which recipe.
    kind : of masks.
    batch : fields solved together.
    """
    rule, layer, folder = solver.rule, tiles.layer, _folder(run_dir)
    ds = TileStore(Path(store)).open(layer)[["design", "x_nm", "y_nm"]].isel({ta.SAMPLE: tiles.sample}).load()
    margin_nm = (solver.sim.kernels.period_nm - rule.core_nm) / 2
    fields, paths = [], []
    digest = label_digest(rule, [layer], [kind], solver.device)[layer, kind]
    for code, x, y in zip(*(ds[name].values.tolist() for name in ("design", "x_nm", "y_nm")), strict=True):
        box = (x - margin_nm, y - margin_nm, x + rule.core_nm + margin_nm, y + rule.core_nm + margin_nm)
        field = designs[ds["design"].attrs["names"][code]].rasterize(layer, box, rule.pixel_nm)
        fields.append(field)
        key = hashed([digest, source_hash([__name__], follow=False), Bits.of(field, rule.pixel_nm).digest()])
        paths.append(folder / f"{file_name('surroundings', layer, kind, key[:_KEY_DIGITS])}.npz")
    content = round((rule.core_nm + 2 * TileStore(Path(store)).rule["context_nm"]) / rule.pixel_nm)
    for field, drawn in zip(fields, tiles.drawn, strict=True):
        if not np.array_equal(_middle(field, content), _middle(drawn, content)):
            raise MissingDataError("the dataset was cut from other designs than there are: build it anew, notebook 22")
    lacking = [i for i, path in enumerate(paths) if said_of(path) is None]
    for start in tqdm(range(0, len(lacking), batch), desc=f"{layer}, surroundings", unit="batch"):
        part = lacking[start : start + batch]
        masks, _ = solver.solve_in_surroundings(np.stack([fields[i] for i in part]), layer, kind)
        for i, mask in zip(part, masks, strict=True):
            write_part(paths[i], {}, {"kind": kind}, bits={"mask": np.packbits(mask, axis=-1, bitorder="little")})
    masks = np.stack([_unpacked(read_part(path)["mask"]) for path in paths])
    return Placed(
        tiles=tiles, layout=np.stack(fields).astype(np.uint8), surroundings=masks,
        digest=hashed([path.name for path in paths]),
    )  # fmt: skip


def score_contexts(
    trained: Mapping[Key, Trained], placed: Placed, run_dir: str | Path, solver: TileSolver, *, kind: str,
    at_large: Sequence[str] = (), batch: int = 8,
) -> xr.Dataset:  # fmt: skip
    """Scores of what networks draw of each context, alone and in place.

    Parameters
    ----------
    trained : networks, on the device that is to be used.
    placed : tiles that they have not seen.
    run_dir : folder of the run; masks and scores are kept in ``parts/`` below.
    solver : that scores, under whose rule surroundings were made.
    kind : of masks.
    at_large : networks that take windows of any size: with the widest of their contexts they are shown all
        surroundings as well, which they were not trained with.
    batch : tiles at a time.

    Returns
    -------
    Dataset over ``network``, ``context`` (nm, -1 all surroundings), ``seed``, ``printed`` and ``sample`` with the
    scores of :func:`maskopt_lib.metrics.evaluate_core`; ``cell`` and ``core_density`` of each sample. Beside the
    networks there are the layout as its own mask, and the labels: made with their own context, and with all
    surroundings.
    """
    tiles, rule = placed.tiles, solver.rule
    n = tiles.drawn.shape[-1]
    contexts = [*sorted({context for _, context, _ in trained}), ALL_AROUND]
    names = list(dict.fromkeys(network for network, _, _ in trained))
    seeds = sorted({number for _, _, number in trained})
    common = [source_hash([__name__, "maskopt_lib.models.predict"], follow=False), placed.digest, kind, n]
    common += [hashed([tiles.layer, tiles.sample.tolist()]), solver.sim.kernels.name, torch.__version__]
    shown = {context: seen(tiles.drawn, rule, context) for context in contexts if context != ALL_AROUND}

    makers: dict[Key, tuple[str, Callable[[], np.ndarray]]] = {}
    for (name, context, number), one in trained.items():
        draw = partial(predict_tiles, one, _shown(tiles, shown[context], context), kind=kind, batch=batch)
        makers[name, context, number] = sha256_of(one.weights), draw
        if name in at_large and context == contexts[-2]:
            draw = partial(_middle_of_field, one, placed, kind)
            makers[name, ALL_AROUND, number] = sha256_of(one.weights), draw
    for context in contexts[:-1]:
        makers[IDENTITY, context, seeds[0]] = "layout", partial(shown.get, context)
    if kind in tiles.masks:
        makers[LABELS, tiles.context_nm, seeds[0]] = "labels", partial(tiles.masks.get, kind)
    makers[LABELS, ALL_AROUND, seeds[0]] = "surroundings", partial(_middle, placed.surroundings, n)

    rows = [*names, IDENTITY, LABELS]
    contexts = [*sorted({context for _, context, _ in makers} - {ALL_AROUND}), ALL_AROUND]
    shape = (len(rows), len(contexts), len(seeds), 2, len(tiles))
    values = {score: np.full(shape, np.nan) for score in metrics.CORE_SCORES}
    for (name, context, number), (digest, make) in tqdm(makers.items(), desc=f"{tiles.layer} {kind}", unit="network"):
        key = hashed([*common, digest, context])[:_KEY_DIGITS]
        path = _folder(run_dir) / f"{file_name(tiles.layer, name, f'{context}nm', f'seed{number}', key)}.npz"
        if said_of(path) is None:
            _score(path, make(), placed, solver, alone=context != ALL_AROUND)
        at = rows.index(name), contexts.index(context), seeds.index(number)
        for score, both in read_part(path, metrics.CORE_SCORES).items():
            values[score][at] = both
    dims = (NETWORK, CONTEXT, schema.SEED, PRINTED, schema.SAMPLE)
    density = _middle(tiles.drawn, round(rule.core_nm / rule.pixel_nm))
    found = xr.Dataset(
        {score: (dims, numbers) for score, numbers in values.items()}
        | {
            "cell": (schema.SAMPLE, [tiles.cells[code] for code in tiles.cell], {"long_name": "cell", "units": "1"}),
            "core_density": (
                schema.SAMPLE, density.mean((1, 2)), {"long_name": "share of the core that is drawn", "units": "1"},
            ),
        },
        coords={
            NETWORK: rows,
            CONTEXT: (CONTEXT, contexts, {"long_name": "context (-1: all that the optics see)", "units": "nm"}),
            schema.SEED: seeds,
            PRINTED: [ALONE, IN_PLACE],
        },
        attrs={"layer": tiles.layer, "kind": kind, "split": str(tiles.split), "label_context_nm": tiles.context_nm},
    )  # fmt: skip
    return schema.label(found)


@torch.inference_mode()
def draw_field(trained: Trained, fields: np.ndarray, *, cells: Sequence[int], kind: str) -> np.ndarray:
    """Masks of whole fields by a network that has no size of its own, one at a time.

    Parameters
    ----------
    trained : fully convolutional.
    fields : (n, y, x) layout at 1 nm, square, a multiple of the network's pixel and halvings.
    cells : (n,) codes of the tiles in the middle.
    kind : of masks.

    Returns
    -------
    (n, y, x) uint8.

    Raises
    ------
    GridMismatchError : the network draws images of its own size only.
    """
    model: MaskModel = trained.model.eval()
    device, pixel = next(model.parameters()).device, model.options.pixel_nm
    told = model.conditioning
    found = np.empty(fields.shape, np.uint8)
    for i, (field, cell) in enumerate(zip(fields, cells, strict=True)):
        image = torch.tensor(field, device=device)[None, None].float()
        target = torch.nn.functional.avg_pool2d(image, pixel)
        x = TileInput.of(
            target, cell=int(cell), kind=told.kind(kind) if len(told.kinds) > 1 else 0,
            context_nm=float(trained.rule["context_nm"]),
        )  # fmt: skip
        logits = model.draw(model.conditioner.planes(x), x)
        if logits.shape != target.shape:
            raise GridMismatchError(
                f"{model.name} draws {tuple(logits.shape[-2:])} pixels of {tuple(target.shape[-2:])}: it takes no "
                "windows of other sizes; leave it out of `at_large`"
            )
        fine = torch.nn.functional.interpolate(logits.float(), size=image.shape[-2:], mode="bicubic")
        found[i] = (fine[0, 0] > 0).to(torch.uint8).cpu().numpy()
    return found


def _score(path: Path, masks: np.ndarray, placed: Placed, solver: TileSolver, *, alone: bool) -> None:
    """Keep masks with their scores, alone (nan where they were drawn with all surroundings) and in place."""
    drawn = placed.tiles.drawn
    both = [solver.score(masks, drawn) if alone else None]
    both.append(solver.score(masks, drawn, surroundings=placed.surroundings))
    arrays = {
        name: np.stack([np.full(len(masks), np.nan) if one is None else one[name].values for one in both])
        for name in metrics.CORE_SCORES
    }
    bits = {"mask": np.packbits(masks, axis=-1, bitorder="little")}
    write_part(path, arrays, {"masks": len(masks)}, bits=bits)


def _shown(tiles: TestTiles, image: np.ndarray, context_nm: int) -> TestTiles:
    return replace(tiles, image=image, context_nm=context_nm)


def _middle_of_field(trained: Trained, placed: Placed, kind: str) -> np.ndarray:
    tiles = placed.tiles
    return _middle(draw_field(trained, placed.layout, cells=_codes(trained, tiles), kind=kind), tiles.drawn.shape[-1])


def _codes(trained: Trained, tiles: TestTiles) -> list[int]:
    names = [tiles.cells[code] for code in tiles.cell]
    return [trained.cells.index(name) if name in trained.seen else NO_CELL for name in names]


def _middle(images: np.ndarray, n: int) -> np.ndarray:
    edge = (images.shape[-1] - n) // 2
    return np.ascontiguousarray(images[..., edge : edge + n, edge : edge + n])


def _folder(run_dir: str | Path) -> Path:
    folder = (Path(run_dir) / PARTS).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _unpacked(packed: np.ndarray) -> np.ndarray:
    return np.unpackbits(packed, axis=-1, bitorder="little")
