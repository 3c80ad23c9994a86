"""Mask rules at the borders of windows: what no window could mend is mended in windows that have it in their middle."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import distributed
import numpy as np
from tqdm import tqdm

from maskopt_lib.layout.windows import Plan, StitchedMask, Window
from maskopt_lib.opc.mask_rules import MaskRules
from maskopt_lib.runs.hashing import hashed, source_hash
from maskopt_lib.runs.parts import Bits, file_name, is_whole
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.spread import Kept, spread
from maskopt_lib.study.areas.area import PARTS, copy_mask

#: What is seen around a core; a shape that leaves it is larger than any rule asks.
CONTEXT_NM = 128.0
_AT_ONCE = 16


def mend(
    plan: Plan,
    rules: MaskRules,
    stitched: StitchedMask,
    run: Run,
    *,
    name: str = "mask_mended",
    client: distributed.Client | None = None,
) -> tuple[StitchedMask, int]:
    """Project a stitched mask onto a rule deck, window by window.

    A solver that may change a core only can mend rules at the core's border no better than what lies beyond allows.
    Here windows are moved by a quarter of a core, so that the borders of the first windows and those of the moved ones
    are all well inside of a core. What keeps the rules is left as it is.

    Parameters
    ----------
    plan : the first windows.
    rules : the deck.
    stitched : the mask; it is kept.
    run : parts and the new store are kept below its folder.
    name : of the store, ``<name>.zarr``.
    client : of :func:`maskopt_lib.study.areas.area.workers`; None works in this process.

    Returns
    -------
    The mended mask, and the number of pixels that changed.
    """
    out = StitchedMask.create(run.out_dir / f"{name}.zarr", plan, run)
    copy_mask(stitched, out)
    folder = (run.out_dir / PARTS).resolve()
    folder.mkdir(exist_ok=True)
    settings = hashed([asdict(rules), source_hash(["maskopt_lib.opc.mask_rules"]), plan.pixel_nm, CONTEXT_NM])
    windows = list(replace(plan, shifted=False, offset_nm=plan.core_nm / 4).windows)
    changed = 0
    with tqdm(total=len(windows), desc=name, unit="window", file=sys.stdout, mininterval=5, maxinterval=30) as bar:
        # In groups, as in the seam pass: cores that touch are never changed together.
        for group in range(4):
            chosen = [w for w in windows if (w.row % 2, w.column % 2) == divmod(group, 2)]
            tasks: Iterator[_Batch] = (
                _Batch(
                    stitched=out.path.resolve(), windows=tuple(chosen[i : i + _AT_ONCE]), rules=rules, folder=folder,
                    settings=settings,
                )
                for i in range(0, len(chosen), _AT_ONCE)
            )  # fmt: skip
            mended = []
            for task, found in spread(_mend_batch, tasks, client=client):
                mended += [(window, bits) for window, bits in zip(task.windows, found, strict=True) if bits is not None]
                bar.update(len(task.windows))
            for window, bits in mended:
                changed += int((out.read(window.core_nm) != bits.image).sum())
                out.write(window.core_nm, bits.image)
    return out, changed


@dataclass(frozen=True, kw_only=True)
class _Batch:
    stitched: Path
    windows: tuple[Window, ...]
    rules: MaskRules
    folder: Path
    settings: str


def _mend_batch(task: _Batch, kept: Kept) -> list[Bits | None]:
    """Cores that changed, None for those that keep the rules."""
    stitched = StitchedMask(task.stitched)
    return [_mended(stitched, window, task) for window in task.windows]


def _mended(stitched: StitchedMask, window: Window, task: _Batch) -> Bits | None:
    pixel_nm = stitched.pixel_nm
    x0, y0, x1, y1 = window.core_nm
    px = round(CONTEXT_NM / pixel_nm)
    around = px * pixel_nm
    mask = stitched.read((x0 - around, y0 - around, x1 + around, y1 + around))
    core = np.s_[px:-px, px:-px]
    if not mask[core].any():
        return None
    path = task.folder / f"{file_name('mend', hashed([task.settings, Bits.of(mask, pixel_nm).digest()])[:16])}.npz"
    if is_whole(path):
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            after = np.unpackbits(kept["bits"], axis=-1, count=mask.shape[1] - 2 * px)
    else:
        fixed = np.ones(mask.shape, bool)
        fixed[core] = False
        after = task.rules.project(mask, pixel_nm, fixed=fixed)[core]
        partial = path.with_name(f".{path.name}.part-{os.getpid()}")
        with partial.open("wb") as file:
            np.savez_compressed(file, bits=np.packbits(after, axis=-1))
        partial.replace(path)
    return None if np.array_equal(after, mask[core]) else Bits.of(after, pixel_nm)
