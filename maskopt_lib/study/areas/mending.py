"""Mask rules of a stitched mask: what no window could keep at its borders is mended where it lies inside of another."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from maskopt_lib.data import schema
from maskopt_lib.errors import DamagedFileError
from maskopt_lib.layout.windows import StitchedMask, Window, grown
from maskopt_lib.metrics.rules import rule_report
from maskopt_lib.opc.mask_rules import MaskRules, shapes
from maskopt_lib.runs.gather import Task, complete
from maskopt_lib.runs.hashing import hashed, key_of, source_hash
from maskopt_lib.runs.parts import part_path, read_part, write_part
from maskopt_lib.runs.spread import Kept, torch_threads
from maskopt_lib.study.areas.batches import Area, TiledArea, apart, holding, open_mask, pixels_of, stitching

# What is seen around a core, in lengths that the deck speaks of: a shape that leaves it is larger than any rule asks.
_SEEN = 3
# A window's mending costs at most this share of its target's area in L2; a dearer one is not made.
_COST = 0.02
# Times that broken places are mended, in windows that lie elsewhere each time and, of what is around a place, change up
# to half a length of the deck more.
_ROUNDS = 8


def mend(
    tiled: TiledArea, rules: MaskRules, stitched: StitchedMask, *, name: str = "mask_mended"
) -> tuple[StitchedMask, int]:
    """Project a stitched mask onto a rule deck around the places that break it, as far as the mask goes.

    A solver that may change a core only can mend rules at the core's border no better than what lies beyond allows,
    and where the mask ends it cuts assist features. Here the whole mask is held against the deck, and what lies around
    a broken place is projected, in windows that are moved each time: by a quarter of a core at first, which has the
    borders of both the first windows and the moved ones well inside. What keeps the rules is left as it is. Features of
    the target stay, and a change that would cost the print of a core more than 2 % of the area drawn there is not made.

    Parameters
    ----------
    tiled : with the plan of the first windows.
    rules : the deck.
    stitched : the mask; it is kept.
    name : of the new store, ``<name>.zarr``.

    Returns
    -------
    The mended mask, and the number of pixels that changed. What cannot be mended is left to whoever measures the mask.
    """
    plan, quarter_nm = tiled.plan, tiled.plan.core_nm / 4
    whole = replace(plan, region_nm=stitched.region_nm, rim_nm=0.0, context_nm=0.0, shifted=False)
    moved = [(False, quarter_nm), (True, quarter_nm), (True, 0.0), (False, 0.0)]
    grids = [replace(whole, shifted=half, offset_nm=offset_nm) for half, offset_nm in moved]
    left: list[int] = []
    with stitching(tiled.run, name, plan, start=stitched) as mended:
        for i in range(_ROUNDS + 1):
            checked = _done(_check, tiled, mended, rules, {window: () for window in whole.windows}, f"{name}, rules")
            found = [read_part(task.path)["places"] + [*task.window.core_nm[:2], 0.0] for task in checked]
            places = np.concatenate([np.zeros((0, 3)), *found])
            left.append(len(places))
            # Of four grids any place is well inside of two: what none of them could mend stays.
            if i == _ROUNDS or not left[-1] or left[-1] >= min(left[: -len(grids)], default=np.inf):
                break
            for group in apart(holding(grids[i % len(grids)].windows, places[:, :2])):
                free = {window: _boxes(places, window, rules.reach_nm * (1 + i / 2)) for window in group}
                for task in _done(_mend, tiled, mended, rules, free, f"{name}, round {i + 1}"):
                    mended.write(task.window.core_nm, read_part(task.path)["core"])
        changed = sum(int((mended.read(w.core_nm) != stitched.read(w.core_nm)).sum()) for w in whole.windows)
    return open_mask(tiled.run.out_dir / f"{name}.zarr"), changed


_Boxes = tuple[tuple[float, float, float, float], ...]


def _boxes(places: np.ndarray, window: Window, beside_nm: float) -> _Boxes:
    """Boxes around places, (place, 3) x, y and extent, that a core has a part of, from its lower left corner."""
    half_nm = places[:, 2:] / 2 + beside_nm
    low, high = places[:, :2] - half_nm - window.core_nm[:2], places[:, :2] + half_nm - window.core_nm[:2]
    near = (high > 0).all(1) & (low < np.subtract(window.core_nm[2:], window.core_nm[:2])).all(1)
    return tuple(map(tuple, np.hstack([low, high])[near].tolist()))


@dataclass(frozen=True, kw_only=True)
class _Core(Task):
    """The core of a window that is to keep the rules, in a mask and a target that show what the digest is of.

    Attributes
    ----------
    free : what may change, from the core's lower left corner; the core is checked where nothing may.
    """

    area: Area
    stitched: Path
    window: Window
    rules: MaskRules
    free: _Boxes = ()
    digest: str = ""

    def beside_px(self, pixel_nm: float) -> int:
        """Pixels around the core that rules are held against."""
        return max(int(np.ceil(_SEEN * self.rules.reach_nm / pixel_nm)), 1)

    def seen(self, kept: Kept | None = None) -> tuple[np.ndarray, np.ndarray, float]:
        """(y, x) uint8 of mask and target: all that prints in the core where it is mended; and the pixel's side in nm.

        Raises
        ------
        DamagedFileError : not what the digest is of.
        """
        mask = open_mask(self.stitched)
        around_nm = grown(self.window.core_nm, self.beside_px(mask.pixel_nm) * mask.pixel_nm)
        box_nm = self.window.field_nm if self.free else around_nm
        seen = mask.read(box_nm), self.area.design(kept).rasterize(self.area.layer, box_nm, mask.pixel_nm)
        if self.digest and self.digest != _digest(*seen):
            raise DamagedFileError(f"{self.stitched} or {self.area.layout_file} reads differently here; run it again")
        return *seen, mask.pixel_nm


def _done(
    do: Callable[[_Core, Kept], None], tiled: TiledArea, mask: StitchedMask, rules: MaskRules,
    windows: Mapping[Window, _Boxes], title: str,
) -> list[_Core]:  # fmt: skip
    """Tasks of those windows that see something of the mask, with their parts in place."""
    area, kept, folder, tasks = tiled.area, Kept(), tiled.run.out_dir, []
    sources = source_hash(["maskopt_lib.opc.mask_rules", "maskopt_lib.litho.simulator"])
    settings = [area.imaging_digest(), asdict(rules), sources, source_hash([__name__], follow=False)]
    for window, free in windows.items():
        task = _Core(area=area, stitched=mask.path, window=window, rules=rules, free=free, path=folder)
        around, target, pixel_nm = task.seen(kept)
        if around.any():
            digest = _digest(around, target)
            path = part_path(folder, do.__name__.strip("_"), key=key_of([settings, digest, free, pixel_nm]))
            tasks.append(replace(task, digest=digest, path=path))
    if tasks:
        complete(do, tasks, client=tiled.client, title=title, unit="window")
    return tasks


def _check(task: _Core, kept: Kept) -> None:
    """Keep where a core breaks a rule: x and y from its lower left corner, and the extent."""
    around, _, pixel_nm = task.seen(kept)
    edge_nm = task.beside_px(pixel_nm) * pixel_nm
    x1, y1 = (n * pixel_nm - 2 * edge_nm for n in around.shape[::-1])
    report = rule_report(
        around, task.rules.limits(pixel_nm), pixel_nm, region_nm=(0, 0, x1, y1), origin_nm=(-edge_nm, -edge_nm),
        only_broken=True,
    )  # fmt: skip
    write_part(task.path, {"places": np.stack([report[n].values for n in ("x_nm", "y_nm", "extent_nm")], axis=1)})


def _mend(task: _Core, kept: Kept) -> None:
    """Keep the core with what is free of it projected, as far as the print allows."""
    (before, target, pixel_nm), (x0, y0, *_) = task.seen(kept), task.window.field_nm
    core, edge = pixels_of(task.window.core_nm, (x0, y0), pixel_nm), task.beside_px(pixel_nm)
    near = tuple(slice(max(side.start - edge, 0), side.stop + edge) for side in core)
    free = np.zeros(before.shape, np.uint8)
    for x0, y0, x1, y1 in np.clip(np.rint(np.array(task.free) / pixel_nm), 0, None).astype(int).tolist():
        free[core][y0:y1, x0:x1] = 1
    sim, wanted = task.area.simulator(kept), target[core] > 0

    def l2_px(mask: np.ndarray) -> int:
        nominal = sim.image_once(mask, corner=schema.NOMINAL)[core].cpu().numpy()
        return int(((nominal >= sim.threshold) != wanted).sum())

    def projected(mask: np.ndarray, free: np.ndarray) -> np.ndarray | None:
        for grow in (0.5, np.inf):  # assist features too small grow, or go where that prints
            # What cannot be mended here is so in a window that has it elsewhere, or is seen by whoever measures it.
            out, fixed = mask.copy(), free[near] == 0
            out[near] = task.rules.project(mask[near], pixel_nm, grow=grow, fixed=fixed, main=target[near]).mask
            if l2_px(out) <= most_px:
                return out
        return None

    with torch_threads(task.area.threads):
        most_px = l2_px(before) + _COST * wanted.sum()
        after = projected(before, free)
        if after is None:  # too dear together: one place after the other
            after, places = before, shapes(free)[0]
            for k in range(1, places.max() + 1):
                one = projected(after, (places == k).astype(np.uint8))
                after = after if one is None else one
    write_part(task.path, {}, bits={"core": after[core]})


def _digest(around: np.ndarray, target: np.ndarray) -> str:
    return hashed(np.packbits([around, target]).tobytes(), [around.shape])
