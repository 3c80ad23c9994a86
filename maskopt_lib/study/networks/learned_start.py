"""What a solver makes of different first masks, step by step and second by second.

A solver is run anew for each number of steps, with its schedule laid out for so many: what stands at 8 steps is what
8 steps are good for, not where a longer run passes by. Its time is that of the start (the network's, for a network) and
of the whole solve, preparation and last projection included.

What one start becomes is a part on disk under a key of masks, solver and tiles: what is there is not made again.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import metrics, opc, optics
from maskopt_lib.data import schema
from maskopt_lib.litho import Simulator
from maskopt_lib.models.training.tiles import TestTiles, read_tiles
from maskopt_lib.opc.solve import method_digest
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs.bootstrap import HIGH, LOW, MEAN, N_DRAWS, STATISTIC, ends, intervals, resampled_means
from maskopt_lib.runs.hashing import hashed, source_hash
from maskopt_lib.runs.parts import file_name, read_part, said_of, write_part
from maskopt_lib.study.dataset.tile_masks import LabelRule, TileSolver
from maskopt_lib.study.networks.benchmark import Entry, Tiles, masks_of
from maskopt_lib.study.solvers.settings import MERIT, merit

START = "start"
#: Folder of the parts in that of a run.
PARTS = "refined"
_KEY_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Start:
    """First masks of tiles.

    Attributes
    ----------
    name : row of the tables.
    masks : (n, y, x) from 0 to 1, at the pixels of the tiles.
    seconds : (n,) that they took.
    """

    name: str
    masks: np.ndarray
    seconds: np.ndarray


def starts_of(
    entries: Sequence[Entry], scores: xr.Dataset, tiles: Tiles, run_dir: str | Path, **how
) -> list[Start]:  # fmt: skip
    """Masks that a benchmark made, with its seconds, as starts.

    Parameters
    ----------
    entries : of the benchmark.
    scores : what :func:`maskopt_lib.study.networks.benchmark.benchmark` returned for them.
    tiles, run_dir, **how : as there.
    """
    found = []
    for entry in entries:
        seconds = scores[schema.RUNTIME].sel({schema.METHOD: entry.name, schema.SEED: entry.seed}).values
        masks = masks_of(entry, tiles, run_dir, **how)
        # What is there already, such as the layout, takes no time.
        found.append(Start(name=entry.name, masks=masks, seconds=np.nan_to_num(seconds)))
    return found


def random_start(n: int, *, block_nm: int = 8, seed: int = 0, name: str = "random") -> Start:
    """Noise from 0 to 1, another for each of ``n`` tiles.

    Parameters
    ----------
    n : tiles.
    block_nm : side of the squares that have one value; finer noise than a solver's pixel is grey to it.
    seed : of the noise.
    name : of the start.
    """
    rule = LabelRule()
    side = round(rule.image_nm / block_nm)
    noise = np.random.default_rng(seed).random((n, side, side), np.float32)
    factor = round(block_nm / rule.pixel_nm)
    return Start(name=name, masks=noise.repeat(factor, -1).repeat(factor, -2), seconds=np.zeros(n))


def split_steps(n_steps: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Steps of a solver's parts, at least one each, together ``n_steps``.

    Parameters
    ----------
    n_steps : of all parts.
    shares : option of the solver that counts steps -> its share.

    Examples
    --------
    >>> split_steps(210, {"free_steps": 150, "n_steps": 60}), split_steps(3, {"free_steps": 150, "n_steps": 60})
    ({'free_steps': 150, 'n_steps': 60}, {'free_steps': 2, 'n_steps': 1})
    """
    n, total = len(shares), sum(shares.values())
    if n_steps < n:
        raise ValueError(f"{n_steps} steps do not reach for {n} parts ({', '.join(shares)}); ask for more")
    bounds = np.rint(n_steps * np.cumsum([0.0, *shares.values()]) / total).astype(int)
    bounds = [min(max(int(b), i), n_steps - (n - i)) for i, b in enumerate(bounds)]
    return {name: bounds[i + 1] - bounds[i] for i, name in enumerate(shares)}


def refine(
    starts: Sequence[Start], tiles: Tiles, run_dir: str | Path, *, solver: opc.Recipe, shares: Mapping[str, float],
    budgets: Sequence[int], kernels: str, device: str = "cpu", batch: int = 8,
) -> xr.Dataset:  # fmt: skip
    """What a solver makes of several starts in several numbers of steps.

    Parameters
    ----------
    starts : with one name each.
    tiles : of the starts, in their order.
    run_dir : folder of the run; masks and scores are kept in ``refined/`` below.
    solver : one that takes first masks.
    shares : see :func:`split_steps`.
    budgets : numbers of steps, ascending; 0 is the start itself, made binary.
    kernels : name of the optics.
    device : where to solve and to score.
    batch : tiles at a time; a tile's time is its share of that of all.

    Returns
    -------
    Dataset over ``start``, ``step`` (the budgets) and ``sample``: the scores of the core, ``merit_nm2`` (L2 + PV band)
    and ``runtime_s`` a tile, that of the start included; over ``sample``: ``cell``.
    """
    folder = (Path(run_dir) / PARTS).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    where = {"split": tiles.split, "context_nm": tiles.context_nm}
    read = read_tiles(tiles.store, tiles.layer, np.array(tiles.samples), **where)
    refiner = _Refiner(solver, shares, kernels, device)
    common = [refiner.digest(), hashlib.sha256(read.image.tobytes() + read.drawn.tobytes()).hexdigest()]
    names, budgets = (*metrics.CORE_SCORES, schema.RUNTIME), list(budgets)
    values = {name: np.full((len(starts), len(budgets), len(read)), np.nan) for name in names}
    todo = [
        (i, j, first) for i in range(len(starts)) for j in range(len(budgets)) for first in range(0, len(read), batch)
    ]
    for i, j, first in tqdm(todo, desc=f"{tiles.layer}, {solver.method}", unit="part", file=sys.stdout, mininterval=10):
        start, part = starts[i], slice(first, first + batch)
        key = hashed([common, first, batch, budgets[j], hashlib.sha256(start.masks[part].tobytes()).hexdigest()])
        name = file_name(
            tiles.layer, solver.method, start.name, f"{budgets[j]}steps", f"{first:05d}", key[:_KEY_DIGITS]
        )
        path = folder / f"{name}.npz"
        if said_of(path) is None:
            refiner(path, read, part, start.masks[part], budgets[j])
        kept = read_part(path, names)
        for one in names:
            values[one][i, j, part] = kept[one]
        values[schema.RUNTIME][i, j, part] += start.seconds[part]
    dims = (START, schema.STEP, schema.SAMPLE)
    found = xr.Dataset(
        {name: (dims, column) for name, column in values.items()},
        coords={START: [start.name for start in starts], schema.STEP: budgets, schema.SAMPLE: np.arange(len(read))},
        attrs={"layer": tiles.layer, "solver": solver.method, "preset": solver.preset, "context_nm": tiles.context_nm},
    )
    found[MERIT] = merit(found)
    cells = np.array([read.cells[code] for code in read.cell])
    found = schema.label(found.assign(cell=(schema.SAMPLE, cells, {"long_name": "cell", "units": "1"})))
    found[schema.STEP].attrs["long_name"] = "steps of the solver"
    found[schema.RUNTIME].attrs["long_name"] = "time a tile, with that of the start"
    return found


class _Refiner:
    """Solves tiles from given masks, in the field that labels are made in."""

    def __init__(self, solver: opc.Recipe, shares: Mapping[str, float], kernels: str, device: str) -> None:
        self.solver, self.shares, self.kernels, self.device = solver, dict(shares), kernels, device
        rule = LabelRule(kernels=kernels)
        self.judge = TileSolver(rule, device=device)
        self.sim = Simulator(optics.cropped(self.judge.sim.kernels, rule.field_nm), device=device)
        options = opc.options_of(solver.method, solver.preset, **solver.options)
        # Methods that know a window draw in the image only, as for labels.
        known = {f.name for f in fields(options)}
        self.window = {"window_nm": rule.image_nm} if "window_nm" in known else {}
        self.is_warm = False

    def digest(self) -> str:
        """Hash of all that determines masks and scores but the tiles and the starts."""
        options = opc.options_of(self.solver.method, self.solver.preset, **self.solver.options)
        code = [source_hash([__name__], follow=False), source_hash(["maskopt_lib.metrics.core"])]
        code += [method_digest(self.solver.method), kernels_digest(optics.load(self.kernels))]
        return hashed([code, self.solver.method, asdict(options), self.shares, self.device, torch.__version__])

    def __call__(self, path: Path, tiles: TestTiles, part: slice, starts: np.ndarray, n_steps: int) -> None:
        masks, seconds = (starts >= 0.5).astype(np.uint8), 0.0
        if n_steps:
            if not self.is_warm:
                # The first solve prepares the optics; no mask's time holds that.
                self._solved(tiles.image[part], starts, len(self.shares))
                self.is_warm = True
            masks, seconds = self._solved(tiles.image[part], starts, n_steps)
        scores = self.judge.score(masks, tiles.drawn[part])
        arrays = {name: scores[name].values for name in metrics.CORE_SCORES}
        arrays[schema.RUNTIME] = np.full(len(masks), seconds / len(masks))
        bits = {"mask": np.packbits(masks, axis=-1, bitorder="little")}
        write_part(path, arrays, {"steps": n_steps, "method": self.solver.method}, bits=bits)

    def _solved(self, images: np.ndarray, starts: np.ndarray, n_steps: int) -> tuple[np.ndarray, float]:
        rule, n = self.judge.rule, images.shape[-1]
        pad = round((rule.field_nm - rule.image_nm) / (2 * rule.pixel_nm))
        around = ((0, 0), (pad, pad), (pad, pad))
        options = dict(self.solver.options) | self.window | split_steps(n_steps, self.shares)
        result = opc.solve(
            np.pad(images, around), self.sim, method=self.solver.method, preset=self.solver.preset,
            initial=np.pad(starts.astype(np.float32), around), **options,
        )  # fmt: skip
        inside = slice(pad, pad + n)
        return np.ascontiguousarray(result.mask[:, inside, inside]), result.runtime_s


def savings(
    refined: xr.Dataset, *, reference: str, within: float = 0.01, seed: int = 0, n_draws: int = N_DRAWS
) -> xr.Dataset:
    """How many steps, and seconds, each start needs to reach what the reference start ends with.

    Parameters
    ----------
    refined : of :func:`refine`.
    reference : start whose last L2 + PV band is the goal.
    within : share by which the goal may be missed.
    seed, n_draws : of the bootstrap, which draws cells.

    Returns
    -------
    Dataset over ``start`` and ``statistic``: ``steps`` and ``seconds`` to the goal, ``steps_saved`` and
    ``seconds_saved`` against the reference; and ``reached``, the share of draws in which the goal is reached. Where it
    is not, the numbers are infinite.

    Notes
    -----
    Curves of means over tiles are straight between the budgets. A start that is better than the goal by itself needs no
    step, and as many seconds as it takes to make.
    """
    names = refined[START].values.tolist()
    budgets = refined[schema.STEP].values.astype(float)
    shape = (len(names), len(budgets), -1)
    dims = (START, schema.STEP, schema.SAMPLE)

    def curves(name: str) -> np.ndarray:
        """(start, step, 1 + draw): of all tiles, and of the draws."""
        values = refined[name].transpose(*dims).values
        rows = values.reshape(-1, 1, values.shape[-1])
        drawn = resampled_means(rows, refined["cell"].values, seed=seed, n_draws=n_draws).reshape(shape)
        return np.concatenate([values.mean(-1)[..., None], drawn], axis=-1)

    merit, seconds = curves(MERIT), curves(schema.RUNTIME)
    goal = (1 + within) * merit[names.index(reference), -1]
    steps_to, seconds_to = np.full((2, len(names), merit.shape[-1]), np.nan)
    for i in range(len(names)):
        for d in range(merit.shape[-1]):
            if np.isfinite(goal[d]):
                steps_to[i, d] = first_crossing(budgets, merit[i, :, d], goal[d])
                seconds_to[i, d] = first_crossing(seconds[i, :, d], merit[i, :, d], goal[d])
    own = names.index(reference)
    columns = {
        "steps": (steps_to, "steps to the goal", "1"),
        "seconds": (seconds_to, "seconds a tile to the goal", "s"),
        "steps_saved": (steps_to[own] - steps_to, f"steps saved against the {reference}", "1"),
        "seconds_saved": (seconds_to[own] - seconds_to, f"seconds a tile saved against the {reference}", "s"),
    }
    found = {
        name: ((START, STATISTIC), np.concatenate([v[:, :1], ends(v[:, 1:])], axis=1), {"long_name": n, "units": u})
        for name, (v, n, u) in columns.items()
    }
    drawn = steps_to[:, 1:]
    there = np.where(np.isnan(drawn).all(1), np.nan, np.isfinite(drawn).mean(1))
    found["reached"] = (START, there, {"long_name": "share of draws that reach the goal", "units": "1"})
    return xr.Dataset(
        found, coords={START: names, STATISTIC: [MEAN, LOW, HIGH]},
        attrs={"goal_nm2": float(goal[0]), "within": within, "reference": reference},
    )  # fmt: skip


def first_crossing(x: np.ndarray, y: np.ndarray, goal: float) -> float:
    """Where a line through points first is at or below a goal; infinite where it never is.

    Examples
    --------
    >>> first_crossing(np.array([0.0, 2.0, 4.0]), np.array([9.0, 5.0, 1.0]), 3.0)
    3.0
    >>> first_crossing(np.array([0.0, 2.0]), np.array([9.0, 5.0]), 3.0)
    inf
    """
    below = np.flatnonzero(y <= goal)
    if not len(below):
        return np.inf
    i = below[0]
    if i == 0:
        return float(x[0])
    return float(x[i - 1] + (x[i] - x[i - 1]) * (y[i - 1] - goal) / (y[i - 1] - y[i]))


def at_equal_time(
    refined: xr.Dataset, *, reference: str, slack: float = 0.05, seed: int = 0, n_draws: int = N_DRAWS
) -> xr.Dataset:
    """What each start is when the reference start has done so many steps.

    Parameters
    ----------
    refined : of :func:`refine`.
    reference : start whose mean times are the limits.
    slack : share by which a time may be longer; two solves of the same steps never take quite the same.
    seed, n_draws : of the bootstrap, which draws cells.

    Returns
    -------
    Dataset over ``start`` and ``step`` (the reference's): ``merit_nm2`` over ``statistic``, of the most steps that a
    start can have done by then, ``steps``, and ``limit_s``; nan where it has not even begun.
    """
    names, budgets = refined[START].values.tolist(), refined[schema.STEP].values
    seconds = refined[schema.RUNTIME].mean(schema.SAMPLE)
    rows = (
        mean_rows(refined, [MERIT], seed=seed, n_draws=n_draws)[MERIT].transpose(START, schema.STEP, STATISTIC).values
    )
    limits = seconds.sel({START: reference}).values
    merit = np.full((len(names), len(budgets), 3), np.nan)
    steps = np.full((len(names), len(budgets)), np.nan)
    for i, name in enumerate(names):
        own = seconds.sel({START: name}).values
        for j, limit in enumerate(limits):
            able = np.flatnonzero(own <= (1 + slack) * limit)
            if len(able):
                merit[i, j], steps[i, j] = rows[i, able[-1]], budgets[able[-1]]
    return xr.Dataset(
        {
            MERIT: ((START, schema.STEP, STATISTIC), merit, refined[MERIT].attrs),
            "steps": ((START, schema.STEP), steps, {"long_name": "steps done by then", "units": "1"}),
            "limit_s": (schema.STEP, limits, {"long_name": f"time a tile of the {reference}", "units": "s"}),
        },
        coords={START: names, schema.STEP: refined[schema.STEP], STATISTIC: [MEAN, LOW, HIGH]},
    )


def mean_rows(refined: xr.Dataset, names: Sequence[str], *, seed: int = 0, n_draws: int = N_DRAWS) -> xr.Dataset:
    """Means over tiles with 95 % intervals over cells: Dataset over ``start``, ``step`` and ``statistic``."""
    return intervals(refined[list(names)], refined["cell"].values, seed=seed, n_draws=n_draws)


def apart(
    refined: xr.Dataset, starts: Sequence[str], *, names: Sequence[str] = (schema.L2, MERIT), seed: int = 0,
    n_draws: int = N_DRAWS,
) -> xr.Dataset:  # fmt: skip
    """By how much starts differ after refinement: the largest mean less the smallest, in percent of the smallest.

    Parameters
    ----------
    refined : of :func:`refine`.
    starts : that are compared, such as those by networks.
    names : scores.
    seed, n_draws : of the bootstrap, which draws cells.

    Returns
    -------
    Dataset over ``step`` and ``statistic``, one variable a score, such as ``l2_apart_percent``. A largest of several is
    never below zero: of equal starts, the interval says how much tiles alone make of it.
    """
    chosen = refined.sel({START: list(starts)})
    found = {}
    for name in names:
        values = chosen[name].transpose(schema.STEP, START, schema.SAMPLE).values
        rows = values.reshape(-1, 1, values.shape[-1])
        drawn = resampled_means(rows, refined["cell"].values, seed=seed, n_draws=n_draws)
        means = np.concatenate([values.mean(-1)[..., None], drawn.reshape(*values.shape[:2], -1)], axis=-1)
        percent = 100 * (means.max(1) / means.min(1) - 1)
        label = refined[name].attrs.get("long_name", name)
        found[f"{name.removesuffix('_nm2')}_apart_percent"] = (
            (schema.STEP, STATISTIC),
            np.concatenate([percent[:, :1], ends(percent[:, 1:])], axis=1),
            {"long_name": f"{label}: worst start beside best", "units": "%"},
        )
    return xr.Dataset(found, coords={schema.STEP: refined[schema.STEP], STATISTIC: [MEAN, LOW, HIGH]})
