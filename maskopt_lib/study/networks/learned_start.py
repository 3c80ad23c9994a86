"""What a solver makes of different first masks, step by step and second by second.

A solver is run anew for each number of steps, with its schedule laid out for so many: what stands at 8 steps is what
8 steps are good for, not where a longer run passes by. Its time is that of the start (the network's, for a network) and
of the whole solve, preparation and last projection included.

What one start becomes is a part on disk under a key of masks, solver and tiles: what is there is not made again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.opc import Recipe
from maskopt_lib.runs.gather import Task, complete, labelled
from maskopt_lib.runs.hashing import hashed, key_of, source_hash
from maskopt_lib.runs.parts import part_path
from maskopt_lib.runs.spread import Kept
from maskopt_lib.study.dataset.tile_masks import scorer
from maskopt_lib.study.networks.benchmark import Bench, Tiles, joined
from maskopt_lib.study.networks.drawings import InPlace, read_scored, write_scored
from maskopt_lib.study.networks.entries import BenchEntry, network_entries, solver_entries
from maskopt_lib.study.networks.fields import N_DRAWN, middle
from maskopt_lib.study.networks.names import label_alone
from maskopt_lib.study.networks.scores import DRAW, drawn_means, interval_of, mean_scores
from maskopt_lib.study.solvers.settings import MERIT, merit

START, TARGET = "start", "target"
# Kind under which the solver knows its recipe.
_REFINED = "refined"
# Two solves of the same steps never take quite the same: by this share a time may be longer.
_SLACK = 0.05


@dataclass(frozen=True, kw_only=True)
class Start:
    """First masks of tiles.

    Attributes
    ----------
    name : row of the tables.
    masks : (n, y, x) from 0 to 1, of all that the optics see around the tiles.
    seconds : (n,) that they took, a core.
    """

    name: str
    masks: np.ndarray
    seconds: np.ndarray


def starts_of(
    bench: Bench,
    networks: Mapping[tuple[str, int], Path],
    tiles: Tiles,
    kind: str,
    names: Sequence[str],
    opc: Mapping[str, Any],
) -> list[Start]:
    """The layout itself, what OPC makes of it, and the masks of networks, as starts.

    Parameters
    ----------
    bench : where masks are made.
    networks : (network, seed) -> folder of its training; the first seed of each is taken.
    tiles : whose masks.
    kind : of masks, for networks that make several.
    names : of the networks that are taken, where they are there.
    opc : fields of the recipe of the OPC start; see :func:`~maskopt_lib.study.networks.benchmark.solver_entries`.
    """
    first = {name: (name, seed) for name, seed in sorted(networks, reverse=True)}
    chosen = {first[name]: networks[first[name]] for name in names if name in first}
    entries = [BenchEntry(name=TARGET), *solver_entries({"OPC": opc}, tiles.layer), *network_entries(chosen)]
    seconds = bench.scores(entries, tiles, kind)[schema.RUNTIME]
    starts = []
    for entry in entries:
        predicted_s = seconds.sel({schema.METHOD: entry.name, schema.SEED: entry.seed}).values
        # What is there already, such as the layout, takes no time.
        starts.append(Start(name=entry.name, masks=bench.masks(entry, tiles, kind), seconds=np.nan_to_num(predicted_s)))
    return starts


def random_start(tiles: Tiles, *, block_nm: int = 8, seed: int = 0) -> Start:
    """Noise from 0 to 1, another for each tile.

    Parameters
    ----------
    tiles : in their place.
    block_nm : side of the squares that have one value; finer noise than a solver's pixel is grey to it.
    seed : of the noise.
    """
    field, n = tiles.fields[0], len(tiles.fields)
    factor = round(block_nm / field.pixel_nm)
    side = field.shape[-1] // factor
    noise = np.random.default_rng(seed).random((n, side, side), np.float32)
    return Start(name="random", masks=noise.repeat(factor, -1).repeat(factor, -2), seconds=np.zeros(n))


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


@dataclass(frozen=True, kw_only=True)
class _Refining(Task):
    """A start of some tiles, and how many steps it is refined in."""

    layouts: np.ndarray
    drawn: np.ndarray
    masks: np.ndarray
    n_steps: int


def refine(
    bench: Bench,
    starts: Sequence[Start],
    tiles: Tiles,
    *,
    solver: Recipe,
    shares: Mapping[str, float],
    budgets: Sequence[int],
) -> xr.Dataset:
    """What a solver makes of several starts in several numbers of steps.

    Parameters
    ----------
    bench : of the tiles; masks and scores are kept in its run. A core's time is its share of that of a batch.
    starts : with one name each.
    tiles : of the starts, in their order.
    solver : one that takes first masks.
    shares : see :func:`split_steps`.
    budgets : numbers of steps, ascending; 0 is the start itself, made binary.

    Returns
    -------
    Dataset over ``start``, ``step`` (the budgets) and ``sample``: the scores of the core in place (``alone_<score>``:
    dark beyond the tile's image), ``merit_nm2`` (L2 + PV band) and ``runtime_s`` a core, that of the start included;
    over ``sample``: ``cell``.
    """
    refiner, read, layouts = _Refiner(bench, tiles.layer, solver, shares), bench.read(tiles), tiles.layouts
    tasks: dict[tuple[str, int], list[_Refining]] = {}
    for start, n_steps, first in product(starts, budgets, range(0, len(read), bench.batch)):
        part = slice(first, first + bench.batch)
        arrays = {"layouts": layouts[part], "drawn": read.drawn[part], "masks": start.masks[part]}
        key = key_of([refiner.digest, n_steps], *(values.tobytes() for values in arrays.values()))
        name = ("refined", tiles.layer, solver.method, start.name, f"{n_steps}steps", f"{first:05d}")
        task = _Refining(**arrays, n_steps=n_steps, path=part_path(bench.run_dir, *name, key=key))
        tasks.setdefault((start.name, n_steps), []).append(task)
    complete(refiner, chain(*tasks.values()), title=f"{tiles.layer}, {solver.method}")
    seconds = {start.name: start.seconds for start in starts}
    rows = {}
    for (name, n_steps), parts in tasks.items():
        ds = rows[name, n_steps] = joined([read_scored(part.path) for part in parts])
        ds[schema.RUNTIME] = ds[schema.RUNTIME] + seconds[name]
    ds = labelled(rows, (START, schema.STEP))
    ds = schema.label(label_alone(ds).assign({MERIT: merit(ds)}))
    ds["cell"] = schema.column(schema.SAMPLE, read.cell_names, "cell")
    ds[schema.STEP].attrs["long_name"] = "steps of the solver"
    ds[schema.RUNTIME].attrs["long_name"] = "time a core, with that of the start"
    about = {"solver": solver.method, "preset": solver.preset, "context_nm": tiles.context_nm}
    return ds.assign_attrs({"layer": tiles.layer} | about)


class _Refiner:
    """Solves whole fields from given masks, and keeps masks with the scores of their cores."""

    def __init__(self, bench: Bench, layer: str, solver: Recipe, shares: Mapping[str, float]) -> None:
        self.layer, self.method, self.shares = layer, solver.method, dict(shares)
        self.solver = scorer(bench.kernels, bench.device, recipes={_REFINED: {layer: solver}})
        code = source_hash([__name__], follow=False)
        #: Of all that determines masks and scores but tiles, starts and steps.
        self.digest = hashed([bench.digest(), code, solver.digest(), self.shares])

    def __call__(self, task: _Refining, kept: Kept) -> None:
        masks, seconds = (task.masks >= 0.5).astype(np.uint8), 0.0
        if task.n_steps:
            # The first solve prepares the optics; no mask's time holds that.
            kept("warm", lambda: self._solved(task, len(self.shares)))
            masks, seconds = self._solved(task, task.n_steps)
        about = {"steps": task.n_steps, "method": self.method}
        a_core = seconds / (len(masks) * N_DRAWN)
        in_place = InPlace(images=middle(masks, task.drawn.shape[-1]), fields=masks, seconds=a_core)
        write_scored(task.path, in_place, task.drawn, self.solver.sim, about)

    def _solved(self, task: _Refining, n_steps: int) -> tuple[np.ndarray, float]:
        steps = split_steps(n_steps, self.shares)
        initial = task.masks.astype(np.float32)
        return self.solver.solve_in_surroundings(task.layouts, self.layer, _REFINED, initial=initial, **steps)


def savings(refined: xr.Dataset, *, within: float = 0.01, seed: int = 0) -> xr.Dataset:
    """How many steps, and seconds, each start needs to reach what the layout as a start ends with.

    Parameters
    ----------
    refined : of :func:`refine`; the last L2 + PV band of the start ``"target"`` is the goal.
    within : share by which the goal may be missed.
    seed : of the bootstrap, which draws cells.

    Returns
    -------
    Dataset over ``start`` and ``statistic``: ``steps`` and ``seconds`` to the goal, ``steps_saved`` and
    ``seconds_saved`` against the layout; and ``reached``, the share of draws in which the goal is reached. Where it
    is not, the numbers are infinite.

    Notes
    -----
    Curves of means over tiles are straight between the budgets. A start that is better than the goal by itself needs no
    step, and as many seconds as it takes to make.
    """
    cells = refined["cell"].values
    means, seconds = (drawn_means(refined[name], cells, seed=seed) for name in (MERIT, schema.RUNTIME))
    goal = (1 + within) * means.sel({START: TARGET}, drop=True).isel({schema.STEP: -1}, drop=True)

    def crossing(x: xr.DataArray) -> xr.DataArray:
        core = {"input_core_dims": [[schema.STEP], [schema.STEP], []], "vectorize": True}
        return xr.apply_ufunc(first_crossing, x, means, goal, **core).transpose(START, DRAW)

    steps, in_seconds = crossing(refined[schema.STEP].astype(float)), crossing(seconds)
    known = steps.isel({DRAW: slice(1, None)})
    columns = {
        "steps": steps,
        "seconds": in_seconds,
        "steps_saved": steps.sel({START: TARGET}) - steps,
        "seconds_saved": in_seconds.sel({START: TARGET}) - in_seconds,
    }
    ds = xr.Dataset({name: interval_of(values) for name, values in columns.items()})
    texts = {
        "steps": "steps to the goal",
        "seconds": ("seconds a core to the goal", "s"),
        "steps_saved": f"steps saved against the {TARGET}",
        "seconds_saved": (f"seconds a core saved against the {TARGET}", "s"),
        "reached": "share of draws that reach the goal",
    }
    ds["reached"] = np.isfinite(known).mean(DRAW).where(known.notnull().any(DRAW))
    return schema.described(ds, texts).assign_attrs(goal_nm2=float(goal[0]), within=within, reference=TARGET)


def first_crossing(x: np.ndarray, y: np.ndarray, goal: float) -> float:
    """Where a line through points first is at or below a goal; infinite where it never is.

    Examples
    --------
    >>> first_crossing(np.array([0.0, 2.0, 4.0]), np.array([9.0, 5.0, 1.0]), 3.0)
    3.0
    >>> first_crossing(np.array([0.0, 2.0]), np.array([9.0, 5.0]), 3.0)
    inf
    """
    if not np.isfinite(goal):
        return np.nan
    below = np.flatnonzero(y <= goal)
    if not len(below):
        return np.inf
    i = below[0]
    if i == 0:
        return float(x[0])
    return float(x[i - 1] + (x[i] - x[i - 1]) * (y[i - 1] - goal) / (y[i - 1] - y[i]))


def at_equal_time(refined: xr.Dataset, *, seed: int = 0) -> xr.Dataset:
    """What each start is when the layout as a start has done so many steps.

    Parameters
    ----------
    refined : of :func:`refine`; the mean times of the start ``"target"`` are the limits.
    seed : of the bootstrap, which draws cells.

    Returns
    -------
    Dataset over ``start`` and ``step`` (of the layout): ``merit_nm2`` over ``statistic``, of the most steps that a
    start can have done by then, ``steps``, and ``limit_s``; nan where it has not even begun.
    """
    done = "done"
    seconds = refined[schema.RUNTIME].mean(schema.SAMPLE)
    limits = seconds.sel({START: TARGET}, drop=True)
    able = seconds.rename({schema.STEP: done}) <= (1 + _SLACK) * limits
    steps = able[done].where(able).max(done).transpose(START, schema.STEP)
    means = mean_scores(refined, [MERIT], seed=seed)[MERIT].rename({schema.STEP: done})
    chosen = means.sel({START: steps[START], done: steps.fillna(means[done][0]).astype(int)}).drop_vars(done)
    ds = xr.Dataset({MERIT: chosen.where(steps.notnull()), "steps": steps, "limit_s": limits})
    ds[MERIT].attrs = refined[MERIT].attrs
    return schema.described(ds, {"steps": "steps done by then", "limit_s": (f"time a core of the {TARGET}", "s")})


def spread_percent(refined: xr.Dataset, starts: Sequence[str], *, seed: int = 0) -> xr.Dataset:
    """By how much starts differ after refinement: the largest mean less the smallest, in percent of the smallest.

    Parameters
    ----------
    refined : of :func:`refine`.
    starts : that are compared, such as those by networks.
    seed : of the bootstrap, which draws cells.

    Returns
    -------
    Dataset over ``step`` and ``statistic``, one variable a score, such as ``l2_apart_percent``. A largest of several is
    never below zero: of equal starts, the interval says how much tiles alone make of it.
    """
    columns = {}
    for name in (schema.L2, MERIT):
        means = drawn_means(refined[name].sel({START: list(starts)}), refined["cell"].values, seed=seed)
        percent = interval_of(100 * (means.max(START, skipna=False) / means.min(START, skipna=False) - 1))
        long_name = f"{refined[name].attrs.get('long_name', name)}: worst start beside best"
        columns[f"{name.removesuffix('_nm2')}_apart_percent"] = percent.assign_attrs(long_name=long_name, units="%")
    return xr.Dataset(columns)
