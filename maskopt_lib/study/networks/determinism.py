"""Determinism: how many pixels of a mask move, and what that does to its scores, when only the way it is made changes.

Rounding depends on the order in which numbers are added, and that on threads, batches and types; a threshold turns
rounding into pixels. What has no such excuse must not move a pixel: the same seed again, and another order of Python's
sets and dictionaries. What is accepted, and why, stands in :mod:`maskopt_lib.study.networks.tolerances`.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from maskopt_lib import models
from maskopt_lib.data import schema
from maskopt_lib.data.splits import SplitRule, keep_rule
from maskopt_lib.errors import DivergedError
from maskopt_lib.litho import Simulator
from maskopt_lib.models import shipped, weights
from maskopt_lib.models.inputs import IMAGE_NM, NO_CELL
from maskopt_lib.models.training.loop import train, train_key
from maskopt_lib.models.training.rules import Stage, TrainRule
from maskopt_lib.opc import Recipe
from maskopt_lib.optics import SocsKernels
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs.gather import Task, complete, labelled
from maskopt_lib.runs.hashing import key_of, source_hash
from maskopt_lib.runs.parts import Bits, part_path, read_part, said_of, write_part
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.spread import Kept, torch_threads
from maskopt_lib.study.dataset import cut
from maskopt_lib.study.dataset.plan import BuildRule, plan_designs
from maskopt_lib.study.solvers.clips import Clips, target_bits
from maskopt_lib.study.solvers.masks import ScoreTask, Trial, score_mask, score_path, scores_digest

CHANGE, KIND, STATUS, PIXELS = "change", "kind", "status", "pixels"
SOLVER, NETWORK, TRAINING = "solver", "network", "training"
REFERENCE, SEED, HASH, THREADS, BATCH, FLOAT64 = "reference", "same seed", "hash seed", "threads", "batch", "float64"
#: What is changed -> against a run with one thread, one clip at a time, in float32.
CHANGES = {
    SEED: "the same again, in the same process",
    HASH: "in a fresh process with another PYTHONHASHSEED",
    THREADS: "two threads",
    BATCH: "four clips at once",
    FLOAT64: "all numbers in float64",
}
SCORES = (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS)
#: A score's difference to the reference, in its unit and in percent: what is appended to its name.
DIFFERENCE, PERCENT = "_change", "_percent"
_BATCH, _THREADS = 4, 2
DONE = "done"
_HASH_SEED = "PYTHONHASHSEED"


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network that makes masks, as it is built from a seed, its batch norms settled, or as it is shipped.

    Attributes
    ----------
    label : row of the tables.
    model, options : of :func:`maskopt_lib.models.build`.
    seed : of its weights.
    shipped : name of weights that come with the study; they win over ``model``.
    """

    label: str
    model: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    shipped: str = ""

    def build(self) -> models.MaskModel:
        """The network, in evaluation mode; nobody's random numbers are moved."""
        if self.shipped:
            return weights.load(shipped.path(self.shipped))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed)
            return models.build(self.model, **self.options).eval()

    def digest(self) -> str:
        """Hash of all that determines its masks beside its targets."""
        name = weights.spec(shipped.path(self.shipped))["model"] if self.shipped else self.model
        code = source_hash([models.MODELS[name].build.__module__, "maskopt_lib.models.predict"])
        return key_of([self.model, dict(self.options), self.seed, self.shipped, code])

    def masks(self, known: np.ndarray, targets: np.ndarray, batch: int, dtype: torch.dtype) -> np.ndarray:
        """(n, y, x) uint8 at 1 nm: what it draws in the middle of each target, and nothing around it.

        Parameters
        ----------
        known : (m, y, x) that its batch norms are settled on.
        targets : (n, y, x) that it draws masks of, ``batch`` at a time.
        dtype : of all its numbers.
        """
        margin = (targets.shape[-1] - IMAGE_NM) // 2
        middle = (slice(None), *[slice(margin, margin + IMAGE_NM)] * 2)
        model = self.build().to(dtype)
        if not self.shipped:
            _settle(model, known[middle])
        conditions = {"kind": model.conditioning.kinds[0], "cells": np.full(len(targets), NO_CELL), "context_nm": 0.0}
        masks = np.zeros_like(targets)
        masks[middle] = models.predict(model, targets[middle], batch=batch, **conditions)
        return masks


@dataclass(frozen=True, kw_only=True)
class Making(Task):
    """Masks of all clips by one maker under one change.

    Attributes
    ----------
    maker : a solver's recipe, or a network.
    targets : of the clips.
    """

    label: str
    change: str
    maker: Recipe | Network
    targets: tuple[Bits, ...]
    kernels: SocsKernels

    def __str__(self) -> str:
        return f"{self.label}, {self.change}"


@dataclass(frozen=True, kw_only=True)
class Teaching(Task):
    """A training under one change."""

    change: str
    rule: TrainRule
    store: Path
    kernels: SocsKernels

    def __str__(self) -> str:
        return f"{self.rule.name}, {self.change}"


def measure(
    clips: Clips, kernels: SocsKernels, solvers: Sequence[Trial], networks: Sequence[Network], run: Run
) -> xr.Dataset:
    """Make the same masks in every way of `CHANGES`, count the pixels that move, and score what came of it.

    Parameters
    ----------
    clips : what is solved, at the pixels of the solvers; networks see the middle of it at 1 nm.
    kernels : that masks are made for, and scored under.
    solvers, networks : who makes masks, labels all different.
    run : masks and scores are kept below its folder as soon as they are there.

    Returns
    -------
    Dataset over ``method``, ``change`` and ``sample``: ``pixels`` that are not as in the reference, each of `SCORES`,
    and its `DIFFERENCE` and `PERCENT`; over ``method`` the ``kind``; over ``method`` and ``change`` the ``status``:
    ``"done"``, or why there are no numbers.
    """
    at_1_nm = replace(clips, pixel_nm=1)
    makers = [(trial.label, trial.recipe_of(""), clips) for trial in solvers]
    makers += [(network.label, network, at_1_nm) for network in networks]
    targets = {maker_clips: tuple(target_bits(maker_clips).values()) for maker_clips in {clips, at_1_nm}}
    hardware = [dict(run.record.hardware), torch.__version__, _own_code()]
    tasks = []
    for label, maker, its_clips in makers:
        what = {"label": label, "maker": maker, "targets": targets[its_clips], "kernels": kernels}
        determined_by = [maker.digest(), [target.digest() for target in what["targets"]], kernels_digest(kernels)]
        for change in (REFERENCE, *[change for change in CHANGES if change != SEED]):
            path = part_path(run.out_dir, "mask", label, change, key=key_of([*determined_by, hardware, change]))
            tasks.append(Making(change=change, path=path, **what))
    _complete(_make, tasks, title="masks")
    ds = _scores(_made(tasks), clips.names, kernels, run.out_dir)
    kinds = [SOLVER] * len(solvers) + [NETWORK] * len(networks)
    ds[KIND] = schema.column(schema.METHOD, kinds, "who makes the masks")
    return schema.label(ds).assign_attrs(kernels=kernels.name, raster=clips.raster)


def train_again(rule: TrainRule, store: str | Path, kernels: SocsKernels, run: Run) -> xr.Dataset:
    """Train a network in the ways of `CHANGES` that a training has, and count the weights that differ.

    Parameters
    ----------
    rule, store, kernels : as for :func:`maskopt_lib.models.training.loop.train`.
    run : weights are kept below its folder.

    Returns
    -------
    Dataset over ``change``: ``weights`` that are not as in the reference, ``largest`` of the differences as a share of
    the largest weight, in percent, and ``status``.
    """
    changes = (REFERENCE, HASH, THREADS)
    key = [train_key(rule, Path(store), kernels), dict(run.record.hardware), torch.__version__, _own_code()]
    what = {"rule": rule, "store": Path(store).resolve(), "kernels": kernels}
    paths = {c: part_path(run.out_dir, "training", rule.name, c, key=key_of([*key, c])) for c in changes}
    tasks = [Teaching(change=change, path=path, **what) for change, path in paths.items()]
    _complete(_teach, tasks, title="trainings")
    made = {change: values for (change, values), _ in _runs(tasks, "weights")}
    rows: dict[tuple[str], dict[str, Any]] = {}
    for change in CHANGES:
        if change in made:
            difference = np.abs(made[change].astype(np.float64) - made[REFERENCE])
            share = 100 * difference.max() / np.abs(made[REFERENCE]).max()
            rows[change,] = {"weights": np.count_nonzero(difference), "largest": share, STATUS: DONE}
        else:
            why = "batches are part of the rule" if change == BATCH else "rules know float32 and bfloat16 only"
            rows[change,] = {STATUS: why}
    texts = {
        "weights": "weights that differ",
        "largest": ("largest difference, of the largest weight", "%"),
        STATUS: "done, or why not",
    }
    ds = labelled(rows, (CHANGE,), texts=texts)
    return ds.assign_attrs(rule=rule.name, steps=rule.steps, n_weights=made[REFERENCE].size)


def small_rule(steps: int) -> TrainRule:
    """A training of seconds: a small network that learns from what tiles print, judged by one of them."""
    return TrainRule(
        model="neural_ilt",
        width=1 / 16,
        pixel_nm=8,
        validation_split="train",
        n_validation=1,
        batch=2,
        steps=steps,
        stages=(Stage(name="litho", weights={"l2": 1.0, "pv_band": 1.0}),),
    )


def demo_tiles(folder: str | Path, n: int = 24) -> Path:
    """A store of about so many tiles of the embedded block, to train on; what is there is taken.

    Parameters
    ----------
    folder : of the build.
    n : windows of the layer metal1.
    """
    rule = BuildRule(designs=("demo_block",), layers=("metal1",), n_windows={"metal1": n})
    designs = plan_designs(rule, Path(folder))
    parts = cut.tile_parts(rule, designs, Path(folder))
    cut.cut_parts(parts)
    store, _ = cut.assemble(rule, designs, parts, Path(folder), title="tiles of the embedded block")
    keep_rule(store, SplitRule(held_out_cells=()))
    return Path(store.path)


def _own_code() -> str:
    return source_hash([__name__], follow=False)


def _complete(do, tasks: Sequence[Making | Teaching], *, title: str) -> None:
    """All here, on one thread, but for those that want a process of another hash seed."""
    with torch_threads(1):
        complete(do, [task for task in tasks if task.change != HASH], title=title)
        other = "2" if os.environ.get(_HASH_SEED) == "1" else "1"
        fresh = [task for task in tasks if task.change == HASH]
        complete(do, fresh, environment={_HASH_SEED: other}, title=f"{title}, hash seed {other}")


def _make(task: Making, kept: Kept) -> None:
    with torch_threads(_THREADS if task.change == THREADS else 1):
        try:
            first = _masks(task)
            # The same process has by then done what it does once.
            bits = {"masks": first} | ({"again": _masks(task)} if task.change == REFERENCE else {})
            about = {STATUS: DONE}
        except DivergedError as error:
            bits, about = {}, {STATUS: f"diverged: {error}"}
    write_part(task.path, {}, about | _process(), bits=bits)


def _masks(task: Making) -> np.ndarray:
    targets = np.stack([target.image for target in task.targets])
    dtype = torch.float64 if task.change == FLOAT64 else torch.float32
    size = _BATCH if task.change == BATCH else 1
    # Clips come again where they do not fill a batch.
    filled = np.resize(targets, (-(-len(targets) // size) * size, *targets.shape[1:]))
    if isinstance(task.maker, Network):
        return task.maker.masks(targets, filled, size, dtype)[: len(targets)]
    sim = Simulator(task.kernels, dtype=dtype)
    batches = np.split(filled, len(filled) // size)
    return np.concatenate([task.maker.solve(batch, sim).mask for batch in batches])[: len(targets)]


def _settle(model: models.MaskModel, images: np.ndarray) -> None:
    """Let batch norms know what they are shown: signals die in a deep network whose batch norms do not."""
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    for norm in norms:
        norm.momentum = 1.0
    target = torch.tensor(images)[:, None].to(next(model.parameters()))
    with torch.no_grad():
        model.train()(models.TileInput.of(torch.nn.functional.avg_pool2d(target, model.options.pixel_nm)))
    model.eval()


def _teach(task: Teaching, kept: Kept) -> None:
    def weights_of() -> np.ndarray:
        # A training that is there would be taken: each has a folder of its own, and leaves its weights alone.
        with tempfile.TemporaryDirectory() as folder:
            model = train(task.rule, task.store, folder, kernels=task.kernels).model
        return torch.cat([values.reshape(-1).float() for values in model.state_dict().values()]).numpy()

    with torch_threads(_THREADS if task.change == THREADS else 1):
        arrays = {"weights": weights_of()} | ({"again": weights_of()} if task.change == REFERENCE else {})
    write_part(task.path, arrays, {STATUS: DONE} | _process(), compress=False)


def _process() -> dict[str, Any]:
    """What tells one order of sets from another."""
    return {"hash_seed": os.environ.get(_HASH_SEED, "random"), "hash": hash("maskopt")}


def _runs(tasks: Sequence[Making | Teaching], name: str) -> Iterator[tuple[tuple[str, np.ndarray], Making | Teaching]]:
    """(change, what was made) and its task; the reference's second run is the change `SEED`."""
    for task in tasks:
        made = read_part(task.path)
        for change, array in ((task.change, name), (SEED, "again")):
            if array in made:
                yield (change, made[array]), task


def _made(tasks: Sequence[Making]) -> dict[tuple[str, str], tuple[Making, np.ndarray | None]]:
    """(label, change) -> task and masks, None where there are none; the reference before its changes."""
    made = {(task.label, change): (task, masks) for (change, masks), task in _runs(tasks, "masks")}
    tasks_of = {(task.label, task.change): (task, None) for task in tasks}
    labels = dict.fromkeys(task.label for task in tasks)
    nothing = {
        (label, change): tasks_of[label, REFERENCE if change == SEED else change]
        for label, change in product(labels, (REFERENCE, *CHANGES))
    }
    return nothing | made


def _scores(
    made: Mapping[tuple[str, str], tuple[Making, np.ndarray | None]],
    samples: Sequence[str],
    kernels: SocsKernels,
    folder: Path,
) -> xr.Dataset:
    digest, code = kernels_digest(kernels), scores_digest()
    rows: dict[tuple[str, str, str], dict[str, float]] = {}
    scored: dict[tuple[str, str, str], ScoreTask] = {}
    status: dict[tuple[str, str], dict[str, str]] = {}
    for (label, change), (task, masks) in made.items():
        status[label, change] = {STATUS: said_of(task.path)[STATUS]}
        reference = made[label, REFERENCE][1]
        for i, (sample, target) in enumerate(zip(samples, task.targets, strict=True)):
            at = (label, change, sample)
            rows[at] = dict.fromkeys((PIXELS, *SCORES), np.nan)
            if masks is None:
                continue
            if reference is not None:
                rows[at][PIXELS] = float((masks[i] != reference[i]).sum())
            mask = Bits.of(masks[i], target.pixel_nm)
            path = score_path(folder, mask, target, digest, SCORES, code)
            scored[at] = ScoreTask(at=at, mask=mask, target=target, kernels=kernels, scores=SCORES, path=path)
    # Masks that are equal share their scores.
    complete(score_mask, scored.values(), title="scores", unit="mask")
    for at, task in scored.items():
        rows[at] |= {name: values.item() for name, values in read_part(task.path, SCORES).items()}
    dims = (schema.METHOD, CHANGE, schema.SAMPLE)
    ds = schema.label(labelled(rows, dims)).assign(labelled(status, dims[:2]))
    ds = schema.described(ds, {PIXELS: "pixels moved", STATUS: "done, or why not"})
    for name in SCORES:
        before = ds[name].sel({CHANGE: REFERENCE}, drop=True)
        change_of_score = ds[name] - before
        percent = (100 * change_of_score / before.where(before > 0)).where(change_of_score != 0, change_of_score)
        long_name, units = schema.VARIABLES[name]
        ds[name + DIFFERENCE] = change_of_score.assign_attrs(long_name=f"change of {long_name}", units=units)
        ds[name + PERCENT] = percent.assign_attrs(long_name=f"change of {long_name}", units="%")
    return ds
