"""Masks and scores as parts: what determines each of them, how it is made, and what is kept.

Solving is the long part. Each mask, and each mask's scores, are kept as soon as they are there, under a key made of
everything that determines them; so an interrupted run goes on where it stopped.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.errors import DivergedError, SchemaError
from maskopt_lib.litho.process import ProcessCorner, corners_of
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc.result import OpcResult, history_dataset
from maskopt_lib.opc.solve import Recipe, method_digest
from maskopt_lib.optics import SocsKernels
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs.gather import Task, labelled
from maskopt_lib.runs.hashing import key_of, source_hash
from maskopt_lib.runs.parts import Bits, part_path, read_dataset, write_dataset
from maskopt_lib.runs.spread import Kept

#: Dimensions of what is solved.
DIMS = (schema.KERNELS, schema.METHOD, schema.SAMPLE)
_BITS = "bits"


@dataclass(frozen=True, kw_only=True)
class Trial(Recipe):
    """One way to make masks, as a row of a table.

    Attributes
    ----------
    method, preset, options : as for :class:`maskopt_lib.opc.Recipe`.
    label : what the row is called.
    per_clip : options that differ from clip to clip: option -> clip name -> value.
    """

    label: str
    per_clip: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def options_of(self, clip: str) -> dict[str, Any]:
        """All changes from the preset for one clip."""
        return dict(self.options) | {name: values[clip] for name, values in self.per_clip.items() if clip in values}

    def recipe_of(self, clip: str) -> Recipe:
        """How the mask of one clip is made."""
        return Recipe(method=self.method, preset=self.preset, options=self.options_of(clip))

    def imaging(self, kernels: SocsKernels) -> tuple[SocsKernels, tuple[ProcessCorner, ...]]:
        """What a mask is made under: kernels, and corners among their planes."""
        return kernels, corners_of(kernels)


@dataclass(frozen=True, kw_only=True)
class MaskTask(Task):
    """One mask to make; its labels are those along :data:`DIMS`.

    Attributes
    ----------
    recipe : how it is made.
    target : what it is made for.
    kernels, corners, device : of the simulator.
    empty_if_diverged : whether an empty mask may stand in its place.
    """

    recipe: Recipe
    target: Bits
    kernels: SocsKernels
    corners: tuple[ProcessCorner, ...]
    device: str
    empty_if_diverged: bool


@dataclass(frozen=True, kw_only=True)
class ScoreTask(Task):
    """One mask to score: ``scores`` are names, None for all."""

    mask: Bits
    target: Bits
    kernels: SocsKernels
    scores: tuple[str, ...] | None


def mask_tasks(
    targets: Mapping[str, Bits],
    kernels: Mapping[str, SocsKernels],
    trials: Sequence[Trial],
    folder: Path,
    *,
    device: str | torch.device = "cpu",
    empty_if_diverged: bool = False,
) -> list[MaskTask]:
    """Masks of every clip by every trial under every kernel set, in this order: kernels, trials, clips.

    Parameters
    ----------
    targets : name of the clip -> target.
    kernels : name -> kernel set.
    trials : the ways to make masks.
    folder : of the run.
    device : where masks are made.
    empty_if_diverged : whether an empty mask may stand in the place of one that diverges.

    Raises
    ------
    SchemaError : two trials have one label.
    UnknownNameError : a method, preset or option is not known.
    """
    labels = [trial.label for trial in trials]
    if len(set(labels)) < len(labels):
        raise SchemaError(f"two trials have one label: {', '.join(labels)}; a label is a row of the table")
    code = {method: method_digest(method) for method in {trial.method for trial in trials}}
    tasks = []
    for (name, kernel_set), trial in product(kernels.items(), trials):
        planes, corners = trial.imaging(kernel_set)
        imaging = [kernels_digest(planes), list(corners), str(torch.device(device)), torch.__version__]
        for clip, target in targets.items():
            recipe = trial.recipe_of(clip)
            key = key_of([target.digest(), imaging, recipe.digest(code[trial.method]), empty_if_diverged])
            at = (name, trial.label, clip)
            tasks.append(
                MaskTask(
                    at=at,
                    recipe=recipe,
                    target=target,
                    kernels=planes,
                    corners=corners,
                    device=str(device),
                    empty_if_diverged=empty_if_diverged,
                    path=part_path(folder, "mask", *at, key=key),
                )
            )
    return tasks


def score_path(folder: Path, mask: Bits, target: Bits, kernels: str, scores: Iterable[str] | None, code: str) -> Path:
    """Where scores are kept: they depend on mask, target, kernels and code by their hashes, and on which they are.

    Parameters
    ----------
    folder : of the run.
    mask, target : images on one grid.
    kernels, code : hashes of the kernel set and, by :func:`scores_digest`, of the code.
    scores : names, in any order; None for all.
    """
    names = None if scores is None else sorted(scores)
    return part_path(folder, "scores", key=key_of([mask.digest(), target.digest(), kernels, names, code]))


def scores_digest() -> str:
    """Hash of the code behind the scores."""
    return source_hash(["maskopt_lib.metrics.evaluate", "maskopt_lib.litho.simulator"])


def make_mask(task: MaskTask, kept: Kept) -> None:
    """Solve a task and keep its mask."""
    sim = simulator(task.kernels, kept, corners=task.corners, device=task.device)
    try:
        result = task.recipe.solve(task.target.image, sim)
    except DivergedError as error:
        if not task.empty_if_diverged:
            raise
        write_dataset(task.path, _empty_mask(task.target, f"diverged: {error}"))
    else:
        write_dataset(task.path, _made_mask(result, task.target.pixel_nm))


def score_mask(task: ScoreTask, kept: Kept) -> None:
    """Score a task's mask and keep the scores; taken in one place and one way, wherever the mask was made."""
    sim = simulator(task.kernels, kept)
    scores = metrics.evaluate(task.mask.image, task.target.image, sim, only=task.scores)
    del scores.attrs["kernels"]  # a label, the other attributes hold for all
    write_dataset(task.path, scores)


def simulator(
    kernels: SocsKernels, kept: Kept, *, corners: Sequence[ProcessCorner] | None = None, device: str = "cpu"
) -> Simulator:
    """A simulator that all tasks of a process share."""
    key = (kernels_digest(kernels), tuple(corners or ()), device)
    return kept(key, partial(Simulator, kernels, device=device, corners=corners))


def mask_bits(path: Path) -> Bits:
    """The mask of a part."""
    mask = read_dataset(path)
    return Bits.of_packed(mask[_BITS].values, (mask.sizes[schema.Y], mask.attrs["n_x"]), mask.attrs["pixel_nm"])


def histories(paths: Mapping[tuple[str, ...], Path], dims: Sequence[str]) -> xr.Dataset:
    """Histories of masks as one Dataset; what one of them lacks (steps, terms, phases) is nan there.

    Parameters
    ----------
    paths : labels along ``dims`` -> part of the mask; every combination of labels.
    dims : such as :data:`DIMS`.

    Returns
    -------
    Dataset with ``value`` ``(*dims, step, term)``, ``weight`` ``(*dims, term)``, and over ``dims`` ``runtime_s``, a
    time for each phase, ``best_step``, ``stopped_by`` and ``broken_rules``.
    """
    rows = {at: read_dataset(path, without=[_BITS]).drop_attrs(deep=False) for at, path in paths.items()}
    terms = dict.fromkeys(term for row in rows.values() for term in row[schema.TERM].values.tolist())
    joined = labelled(rows, dims).sel({schema.TERM: list(terms)})
    return schema.label(joined.assign_coords({schema.TERM: np.array(list(terms), str)}))


def _made_mask(result: OpcResult, pixel_nm: float) -> xr.Dataset:
    history = result.history[["value", "weight"]].isel({schema.SAMPLE: 0}, drop=True).reset_coords(drop=True)
    value = history["value"].transpose(schema.STEP, schema.TERM).astype(np.float32)
    best_step = int(np.max(result.best_step))
    return _mask_dataset(
        Bits.of(result.mask, pixel_nm),
        history.assign(value=value),
        {schema.RUNTIME: result.runtime_s} | {f"{phase}_s": time_s for phase, time_s in result.phases_s.items()},
        best_step,
        result.stopped_by,
        "".join(result.broken_rules),
    )


def _empty_mask(target: Bits, why: str) -> xr.Dataset:
    """In place of a mask that a solver could not make."""
    history = history_dataset(np.zeros((0, 1, 0), np.float32), (), ()).isel({schema.SAMPLE: 0}, drop=True)
    bits = Bits.of(np.zeros(target.shape, bool), target.pixel_nm)
    return _mask_dataset(bits, history, {schema.RUNTIME: np.nan}, 0, why)


def _mask_dataset(
    bits: Bits,
    history: xr.Dataset,
    times_s: Mapping[str, float],
    best_step: int,
    stopped_by: str,
    broken_rules: str = "",
) -> xr.Dataset:
    about = {
        "best_step": ((), best_step, {"long_name": "step with the lowest objective", "units": "1"}),
        "stopped_by": ((), stopped_by, {"long_name": "why it stopped", "units": "1"}),
        "broken_rules": ((), broken_rules, {"long_name": "what it does not keep of its rule deck", "units": "1"}),
    }
    for name, time_s in times_s.items():
        phase = {} if name == schema.RUNTIME else {"long_name": f"time to {name.removesuffix('_s')}", "units": "s"}
        about[name] = ((), time_s, phase)
    packed = {_BITS: ((schema.Y, "x_byte"), bits.packed)}
    return history.assign(about | packed).assign_attrs(n_x=bits.shape[1], pixel_nm=bits.pixel_nm)
