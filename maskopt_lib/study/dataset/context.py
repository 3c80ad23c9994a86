"""What a window costs: masks made with little of their surroundings, printed alone and where they belong.

A mask of a dataset is made for what its window shows. Printed alone, as datasets score it, it may look well: the
optics then see as little as the solver did. On the chip its core stands among the masks of its neighbours. Both are
measured here, beside an oracle that is made with all of the surroundings, so that the effect of the context can be told
from that of the window.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import distributed
import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import metrics, optics
from maskopt_lib.data import schema
from maskopt_lib.layout.designs import Design
from maskopt_lib.runs.gather import Task, complete, labelled
from maskopt_lib.runs.hashing import hashed, key_of, source_hash
from maskopt_lib.runs.parts import Bits, part_path, read_part, write_part
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.spread import Kept, torch_threads
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
    client: distributed.Client | None = None,
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
    client : of :func:`maskopt_lib.runs.spread.workers`.

    Returns
    -------
    Dataset over ``kind``, ``context`` (nm, -1 the oracle), ``printed`` ("alone", "in place") and ``sample`` with the
    scores of :func:`maskopt_lib.metrics.evaluate_core`. "alone": the mask as it was made, dark beyond its image.
    "in place": its core in the middle of the oracle's mask, as a chip would have it; the oracle has only that. The two
    masks meet at the core's border as they are, no pass mends the seam: what it costs is part of "in place". ``mask``
    (kind, context, sample, y, byte) has the images' masks, eight pixels a byte.
    """
    tasks = list(_tasks(tiles, designs, rule, tuple(contexts_nm), kinds, batch, run.out_dir))
    complete(_solve, tasks, client=client, title=f"{tiles.attrs['layer']}, contexts", unit="tile", size=len)
    by_kind = [
        xr.concat([_read(task) for task in tasks if task.kind == kind], schema.SAMPLE, combine_attrs="override")
        for kind in kinds
    ]
    effect = xr.concat(by_kind, pd.Index(kinds, name=KIND), combine_attrs="override")
    effect[CONTEXT].attrs.update(long_name="context (-1: all that the optics see)", units="nm")
    places = tiles[[name for name in ("design", "cell", "x_nm", "y_nm") if name in tiles]].reset_coords(drop=True)
    attrs = {"layer": tiles.attrs["layer"], "contexts_nm": list(contexts_nm), "core_nm": rule.core_nm}
    return schema.label(effect.assign(places).assign_attrs(attrs))


def shown_within(drawn: np.ndarray, rule: LabelRule, context_nm: float) -> np.ndarray:
    """(n, y, x) images with nothing farther than ``context_nm`` from the core."""
    n, reach = drawn.shape[-1], round((rule.core_nm / 2 + context_nm) / rule.pixel_nm)
    inner = np.s_[:, n // 2 - reach : n // 2 + reach, n // 2 - reach : n // 2 + reach]
    images = np.zeros_like(drawn)
    images[inner] = drawn[inner]
    return images


@dataclass(frozen=True, kw_only=True)
class _Task(Task):
    """A batch of fields, to be solved with each context."""

    rule: LabelRule
    layer: str
    kind: str
    contexts_nm: tuple[int, ...]
    fields: tuple[Bits, ...]

    def __len__(self) -> int:
        return len(self.fields)

    def __str__(self) -> str:
        return f"{len(self)} tiles of {self.layer}, {self.kind}"


def _tasks(
    tiles: xr.Dataset,
    designs: Mapping[str, Design],
    rule: LabelRule,
    contexts_nm: tuple[int, ...],
    kinds: Sequence[str],
    batch: int,
    folder: Path,
) -> Iterator[_Task]:
    layer = tiles.attrs["layer"]
    margin_nm = (optics.load(rule.kernels).period_nm - rule.core_nm) / 2
    digest, code = label_digest(rule, [layer], kinds), source_hash([__name__], follow=False)
    fields = []
    for name, x, y in zip(*(tiles[v].values.tolist() for v in ("design", "x_nm", "y_nm")), strict=True):
        box = (x - margin_nm, y - margin_nm, x + rule.core_nm + margin_nm, y + rule.core_nm + margin_nm)
        fields.append(Bits.of(designs[name].rasterize(layer, box, rule.pixel_nm), rule.pixel_nm))
    for kind in kinds:
        for solved_together in (tuple(fields[i : i + batch]) for i in range(0, len(fields), batch)):
            key = key_of([digest[layer, kind], code, contexts_nm, [bits.digest() for bits in solved_together]])
            path = part_path(folder, "context", layer, kind, key=key)
            yield _Task(rule=rule, layer=layer, kind=kind, contexts_nm=contexts_nm, fields=solved_together, path=path)


def _solve(task: _Task, kept: Kept) -> None:
    """What a worker does with a batch: solve, score, keep."""
    rule = task.rule
    with torch_threads(1):
        solver = kept(hashed([rule.to_dict()]), partial(TileSolver, rule))
        fields = np.stack([bits.image for bits in task.fields])
        n, whole = rule.image_px, fields.shape[-1]
        middle = np.s_[:, (whole - n) // 2 : (whole + n) // 2, (whole - n) // 2 : (whole + n) // 2]
        drawn = fields[middle]
        oracle, _ = solver.solve_in_surroundings(fields, task.layer, task.kind)
        masks, rows = [], {}
        for context_nm in task.contexts_nm:
            mask, _ = solver.solve(shown_within(drawn, rule, context_nm), task.layer, task.kind)
            masks.append(mask)
            rows[context_nm, ALONE] = solver.score(mask, drawn)
            rows[context_nm, IN_PLACE] = solver.score(mask, drawn, surroundings=oracle)
        masks.append(oracle[middle])
        rows[ALL_AROUND, IN_PLACE] = solver.score(oracle[middle], drawn, surroundings=oracle)
    scores = labelled(rows, (CONTEXT, PRINTED))
    packed = np.packbits(np.stack(masks), axis=-1, bitorder="little")
    write_part(task.path, {name: scores[name].values for name in metrics.CORE_SCORES}, bits={"mask": packed})


def _read(task: _Task) -> xr.Dataset:
    arrays = read_part(task.path)
    scores = {name: ((CONTEXT, PRINTED, schema.SAMPLE), arrays[name]) for name in metrics.CORE_SCORES}
    mask = ((CONTEXT, schema.SAMPLE, schema.Y, "byte"), arrays["mask"], {"long_name": "mask, packed", "units": "1"})
    contexts = [*task.contexts_nm, ALL_AROUND]
    return xr.Dataset({**scores, "mask": mask}, coords={CONTEXT: contexts, PRINTED: [ALONE, IN_PLACE]})
