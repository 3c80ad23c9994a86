"""Mask rules at the borders of windows: what no window could mend is mended in windows that have it in their middle."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from maskopt_lib.errors import DamagedFileError
from maskopt_lib.layout.windows import StitchedMask, Window
from maskopt_lib.opc.mask_rules import MaskRules
from maskopt_lib.runs.gather import Task, complete
from maskopt_lib.runs.hashing import hashed, key_of, source_hash
from maskopt_lib.runs.parts import part_path, read_part, write_part
from maskopt_lib.runs.spread import Kept
from maskopt_lib.study.areas.batches import TiledArea, apart, open_mask, stitching

#: What is seen around a core; a shape that leaves it is larger than any rule asks.
CONTEXT_NM = 128.0


def mend(
    tiled: TiledArea, rules: MaskRules, stitched: StitchedMask, *, name: str = "mask_mended"
) -> tuple[StitchedMask, int]:
    """Project a stitched mask onto a rule deck, window by window.

    A solver that may change a core only can mend rules at the core's border no better than what lies beyond allows.
    Here windows are moved by a quarter of a core, so that the borders of the first windows and those of the moved ones
    are all well inside of a core. What keeps the rules is left as it is.

    Parameters
    ----------
    tiled : with the plan of the first windows.
    rules : the deck.
    stitched : the mask; it is kept.
    name : of the new store, ``<name>.zarr``.

    Returns
    -------
    The mended mask, and the number of pixels that changed.
    """
    plan, run = tiled.plan, tiled.run
    settings = hashed([asdict(rules), source_hash(["maskopt_lib.opc.mask_rules"]), plan.pixel_nm, CONTEXT_NM])
    changed = 0
    with stitching(run, name, plan, start=stitched) as mended:
        for i, group in enumerate(apart(list(replace(plan, shifted=False, offset_nm=plan.core_nm / 4).windows))):
            tasks = []
            for window in group:
                if mended.read(window.core_nm).any():
                    digest = _digest(_around(mended, window))
                    path = part_path(run.out_dir, "mended", key=key_of([settings, digest]))
                    tasks.append(_Mending(stitched=mended.path, window=window, digest=digest, rules=rules, path=path))
            complete(_mend, tasks, client=tiled.client, title=f"{name}, group {i + 1} of 4", unit="window")
            for task in tasks:
                core = read_part(task.path)["core"]
                changed += int((mended.read(task.window.core_nm) != core).sum())
                mended.write(task.window.core_nm, core)
    return open_mask(run.out_dir / f"{name}.zarr"), changed


@dataclass(frozen=True, kw_only=True)
class _Mending(Task):
    """A window whose core is to keep the rules, in a mask that shows what the digest is of."""

    stitched: Path
    window: Window
    digest: str
    rules: MaskRules


def _mend(task: _Mending, kept: Kept) -> None:
    stitched = open_mask(task.stitched)
    around = _around(stitched, task.window)
    if _digest(around) != task.digest:
        raise DamagedFileError(f"{task.stitched} reads differently here; run it again")
    px = round(CONTEXT_NM / stitched.pixel_nm)
    core = np.s_[px:-px, px:-px]
    fixed = np.ones(around.shape, bool)
    fixed[core] = False
    # What cannot be mended here is so in the window that has it in its middle, or is seen by whoever measures the mask.
    mended = task.rules.project(around, stitched.pixel_nm, fixed=fixed).mask
    write_part(task.path, {}, bits={"core": mended[core]})


def _around(stitched: StitchedMask, window: Window) -> np.ndarray:
    """(y, x) uint8 of a core and what is seen around it."""
    x0, y0, x1, y1 = window.core_nm
    px = round(CONTEXT_NM / stitched.pixel_nm) * stitched.pixel_nm
    return stitched.read((x0 - px, y0 - px, x1 + px, y1 + px))


def _digest(around: np.ndarray) -> str:
    return hashed(np.packbits(around).tobytes(), [around.shape])
