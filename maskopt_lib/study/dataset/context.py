"""What a window costs: masks made with little of their surroundings, printed alone and where they belong.

A mask of a dataset is made for what its window shows. Printed alone, as datasets score it, it may look well: the
optics then see as little as the solver did. On the chip its core stands among the masks of its neighbours. Both are
measured here, beside an oracle that is made with all of the surroundings, so that the effect of the context can be told
from that of the window.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import metrics, optics
from maskopt_lib.data import schema
from maskopt_lib.layout import Design
from maskopt_lib.runs.hashing import hashed, source_hash
from maskopt_lib.runs.parts import Bits, read_part, said_of, write_part
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.spread import Kept, spread, torch_threads, workers
from maskopt_lib.study.dataset.tile_masks import ILT, OPC, LabelRule, TileSolver, label_digest

CONTEXT, PRINTED, KIND = "context", "printed", "kind"
ALONE, IN_PLACE = "alone", "in place"
#: Context of the oracle in tables: all surroundings that the optics see.
ALL_AROUND = -1


def measure_context_effect(
    tiles: xr.Dataset,
    designs: Mapping[str, Design],
    run: Run,
    rule: LabelRule,
    *,
    contexts_nm: Sequence[int] = (0, 16, 32, 64, 128),
    kinds: Sequence[str] = (OPC, ILT),
    batch: int = 4,
    n_workers: int = 0,
    address: str = "",
) -> xr.Dataset:
    """Solve and score tiles of one layer with each context and with all of their surroundings.

    Parameters
    ----------
    tiles : Dataset over ``sample``: ``design``, ``x_nm``, ``y_nm`` (lower left of the core), attribute ``layer``.
    designs : by name.
    run : in whose folder finished batches are kept; taken up again, a run does only what is missing.
    rule : how masks are made.
    contexts_nm : how far a window reaches beyond the core.
    kinds : of masks.
    batch : tiles solved together.
    n_workers, address : as for :func:`maskopt_lib.runs.spread.workers`.

    Returns
    -------
    Dataset over ``kind``, ``context`` (nm, -1 the oracle), ``printed`` ("alone", "in place") and ``sample`` with the
    scores of :func:`maskopt_lib.metrics.evaluate_core`. "alone": the mask as it was made, dark beyond its image.
    "in place": its core in the middle of the oracle's mask, as a chip would have it; the oracle has only that. The two
    masks meet at the core's border as they are, no pass mends the seam: what it costs is part of "in place". ``mask``
    (kind, context, sample, y, byte) has the images' masks, eight pixels a byte.
    """
    layer = tiles.attrs["layer"]
    folder = run.out_dir / "parts" / "context_effect"
    folder.mkdir(parents=True, exist_ok=True)
    tasks = list(_tasks(tiles, designs, rule, layer, tuple(contexts_nm), kinds, batch, folder))
    missing = [task for task in tasks if said_of(task.path) is None]
    with (
        workers(n_workers, address=address) as client,
        tqdm(total=len(tasks), initial=len(tasks) - len(missing), desc=f"{layer}, contexts", unit="batch") as bar,
    ):
        for _ in spread(_do, missing, client=client):
            bar.update()
    per_kind = []
    for kind in kinds:
        parts = [_read(task) for task in tasks if task.kind == kind]
        per_kind.append(xr.concat(parts, schema.SAMPLE, combine_attrs="override"))
    found = xr.concat(per_kind, xr.DataArray(list(kinds), dims=KIND, name=KIND), combine_attrs="override")
    found[CONTEXT].attrs.update(long_name="context (-1: all that the optics see)", units="nm")
    for name in ("design", "cell", "x_nm", "y_nm"):
        if name in tiles:
            found[name] = tiles[name].reset_coords(drop=True)
    return schema.label(found.assign_attrs(layer=layer, contexts_nm=list(contexts_nm), core_nm=rule.core_nm))


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A batch of fields, to be solved with each context."""

    rule: LabelRule
    layer: str
    kind: str
    contexts_nm: tuple[int, ...]
    fields: tuple[Bits, ...]
    path: Path


def _tasks(
    tiles: xr.Dataset,
    designs: Mapping[str, Design],
    rule: LabelRule,
    layer: str,
    contexts_nm: tuple[int, ...],
    kinds: Sequence[str],
    batch: int,
    folder: Path,
) -> Iterator[_Task]:
    margin_nm = (optics.load(rule.kernels).period_nm - rule.core_nm) / 2
    digest, here = label_digest(rule, [layer], kinds), source_hash([__name__], follow=False)
    fields = []
    for name, x, y in zip(*(tiles[v].values.tolist() for v in ("design", "x_nm", "y_nm")), strict=True):
        box = (x - margin_nm, y - margin_nm, x + rule.core_nm + margin_nm, y + rule.core_nm + margin_nm)
        fields.append(Bits.of(designs[name].rasterize(layer, box, rule.pixel_nm), rule.pixel_nm))
    for kind in kinds:
        for i in range(0, len(fields), batch):
            chosen = tuple(fields[i : i + batch])
            key = hashed([digest[layer, kind], here, contexts_nm, [bits.digest() for bits in chosen]])
            yield _Task(
                rule=rule, layer=layer, kind=kind, contexts_nm=contexts_nm, fields=chosen,
                path=folder / f"{layer}-{kind}-{key[:12]}.npz",
            )  # fmt: skip


def _do(task: _Task, kept: Kept) -> None:
    """What a worker does with a batch: solve, score, keep."""
    rule = task.rule
    with torch_threads(1):
        solver = kept(hashed([rule.to_dict()]), partial(TileSolver, rule))
        fields = np.stack([bits.image for bits in task.fields])
        n, whole = round(rule.image_nm / rule.pixel_nm), fields.shape[-1]
        middle = np.s_[:, (whole - n) // 2 : (whole + n) // 2, (whole - n) // 2 : (whole + n) // 2]
        drawn = fields[middle]
        oracle, _ = solver.solve_in_surroundings(fields, task.layer, task.kind)
        masks, scores = [], []
        for context_nm in task.contexts_nm:
            mask, _ = solver.solve(seen(drawn, rule, context_nm), task.layer, task.kind)
            masks.append(mask)
            scores.append([solver.score(mask, drawn), solver.score(mask, drawn, surroundings=oracle)])
        masks.append(oracle[middle])
        scores.append([None, solver.score(oracle[middle], drawn, surroundings=oracle)])
    values = {
        name: np.array([[np.full(len(fields), np.nan) if s is None else s[name].values for s in two] for two in scores])
        for name in metrics.CORE_SCORES
    }
    write_part(
        task.path,
        values,
        {"layer": task.layer, "kind": task.kind, "tiles": len(fields)},
        bits={"mask": np.packbits(np.stack(masks), axis=-1, bitorder="little")},
    )


def seen(drawn: np.ndarray, rule: LabelRule, context_nm: float) -> np.ndarray:
    """(n, y, x) images with nothing farther than ``context_nm`` from the core."""
    n, reach = drawn.shape[-1], round((rule.core_nm / 2 + context_nm) / rule.pixel_nm)
    at = np.s_[:, n // 2 - reach : n // 2 + reach, n // 2 - reach : n // 2 + reach]
    images = np.zeros_like(drawn)
    images[at] = drawn[at]
    return images


def _read(task: _Task) -> xr.Dataset:
    kept = read_part(task.path)
    scores = {name: ((CONTEXT, PRINTED, schema.SAMPLE), kept[name]) for name in metrics.CORE_SCORES}
    mask = ((CONTEXT, schema.SAMPLE, schema.Y, "byte"), kept["mask"], {"long_name": "mask, packed", "units": "1"})
    contexts = [*task.contexts_nm, ALL_AROUND]
    return xr.Dataset({**scores, "mask": mask}, coords={CONTEXT: contexts, PRINTED: [ALONE, IN_PLACE]})
