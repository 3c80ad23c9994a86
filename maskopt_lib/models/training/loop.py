"""Training of mask models, in a loop that can be read from top to bottom.

Lightning Fabric places network and tiles, casts, and adds up gradients over devices; what is minimised, when, and what
is kept, is said here. What a training sees follows from its seed and the number of the step alone, and its learning
rate as well, so that a checkpoint of weights and optimisers is all that it takes to go on as if nothing had happened.

A training is a folder under a key of all that determines it: one that is finished is taken, one that is not goes on.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from lightning_fabric import Fabric
from torch import Tensor, nn

from maskopt_lib import optics
from maskopt_lib.data.tile_dataset import TileDataset
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import DivergedError, MissingDataError
from maskopt_lib.files import sha256_of
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.models import losses, weights
from maskopt_lib.models.inputs import NO_CELL, TileInput
from maskopt_lib.models.library import MODELS, build, code_digest
from maskopt_lib.models.model import MaskModel
from maskopt_lib.models.predict import predict
from maskopt_lib.models.stages import ADVERSARIAL, LABEL, TERMS
from maskopt_lib.models.training import checkpoints
from maskopt_lib.models.training.checkpoints import described, said_of_training
from maskopt_lib.models.training.checks import Judge, State, Training
from maskopt_lib.models.training.objective import StageObjective, told
from maskopt_lib.models.training.rules import TrainRule
from maskopt_lib.models.training.tiles import BatchPlaces, TestTiles, TileStream
from maskopt_lib.optics.kernels import SocsKernels, kernels_digest
from maskopt_lib.runs.gather import progress
from maskopt_lib.runs.hashing import hashed, key_of, source_hash
from maskopt_lib.runs.locks import FolderLock
from maskopt_lib.runs.paths import resolved

#: Folder of trainings in that of a run.
TRAININGS = "trainings"
# The learning rate from the middle of a stage on, as a share of that before.
_LATE_RATE = 0.1


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished training.

    Attributes
    ----------
    model : the network of the check of the last stage with the least L2, on the CPU, in evaluation mode.
    curves : see :func:`maskopt_lib.models.training.checkpoints.read_curves`.
    path : folder with ``weights.safetensors``.
    rule : what was trained, in plain values.
    cells : names of cells by code, as the network was told them; seen : those among them that it was trained on.
    """

    model: MaskModel
    curves: xr.Dataset
    path: Path
    rule: dict[str, Any]
    cells: tuple[str, ...]
    seen: frozenset[str]

    @property
    def weights(self) -> Path:
        """File of the weights."""
        return self.path / checkpoints.WEIGHTS

    def digest(self) -> str:
        """Hash of all that determines its masks beside what it is shown and told."""
        return hashed([sha256_of(self.weights), code_digest(self.model.name)])

    def codes(self, tiles: TestTiles) -> np.ndarray:
        """(n,) codes of the tiles' cells as the network is told them; `NO_CELL` for those it was not trained on."""
        names = tiles.cell_names
        return np.array([self.cells.index(name) if name in self.seen else NO_CELL for name in names])

    def kind(self, kind: str) -> str:
        """What to ask for masks of a kind: a network that learnt from no masks draws one, whatever it is called."""
        learnt = any(term in stage["weights"] for stage in self.rule["stages"] for term in LABEL + ADVERSARIAL)
        return kind if learnt else self.model.conditioning.kinds[0]


def train(
    rule: TrainRule,
    store: str | Path,
    run_dir: str | Path,
    *,
    kernels: str | SocsKernels,
    devices: int = 1,
    accelerator: str = "cpu",
    known: Sequence[str | Path] = (),
    n_workers: int = 0,
) -> Trained:
    """Train a network, or go on with a training, or take one that is finished.

    Parameters
    ----------
    rule : what is trained.
    store : folder of the dataset.
    run_dir : folder of the run; trainings are kept in ``trainings/`` below.
    kernels : the optics, or their name, for litho losses and for scores.
    devices, accelerator : of Lightning Fabric: ``"cpu"``, ``"cuda"``, ... Several devices are processes that share each
        step's batch.
    known : folders of other runs where this training may be finished already.
    n_workers : processes that read tiles, on each device; 0 reads in between steps.

    Raises
    ------
    BusyFolderError : another process is at this very training.
    """
    store, run_dir = Path(store).resolve(), Path(run_dir).resolve()
    kernels = optics.load(kernels) if isinstance(kernels, str) else kernels
    name = f"{rule.name}-{train_key(rule, store, kernels)}"
    for folder in (run_dir, *map(resolved, known)):
        if said_of_training(folder / TRAININGS / name):
            return read_trained(folder / TRAININGS / name)
    if rule.batch % (rule.accumulate * devices):
        raise ValueError(f"a batch of {rule.batch} does not divide over {devices} devices, {rule.accumulate} times")
    folder = run_dir / TRAININGS / name
    # Of the ways to start several processes a notebook can only take the one that copies it.
    interactive = hasattr(sys, "ps1")
    strategy = "auto" if devices == 1 else "ddp_notebook" if interactive else "ddp_spawn"
    precision = precision_on(rule.precision, accelerator)
    fabric = Fabric(accelerator=accelerator, devices=devices, strategy=strategy, precision=precision)
    job = Training(rule=rule, store=store, kernels=kernels, folder=folder, n_workers=n_workers)
    with FolderLock(folder, f"training {rule.name}"):
        # As part of the function: Fabric looks into arguments, and refuses frozen ones.
        fabric.launch(partial(_train, job=job))
    return read_trained(folder)


def precision_on(precision: str, accelerator: str) -> str:
    """What ``"auto"`` comes to: products in bfloat16 where the processor computes in it, else all in 32 bits."""
    if precision != "auto":
        return precision
    on_cpu = accelerator == "cpu"
    can = torch.cpu._is_avx512_bf16_supported() if on_cpu else torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16-mixed" if can else "32-true"


def train_key(rule: TrainRule, store: Path, kernels: SocsKernels) -> str:
    """Short hash of all that determines a training but the device and its arithmetic."""
    network = ("conditioning", "losses", "middle_images", "model", "stages")
    training = ("checks", "tiles", "loop", "objective")
    code = [MODELS[rule.model].build.__module__, *(f"maskopt_lib.models.{name}" for name in network)]
    code += [f"maskopt_lib.models.training.{name}" for name in training]
    return key_of([rule.to_dict(), TileStore(store).digest(), kernels_digest(kernels), source_hash(code, follow=False)])


def read_trained(folder: str | Path, *, pretrained: bool = False) -> Trained:
    """A finished training.

    Parameters
    ----------
    folder : of the training.
    pretrained : take the network as the stage before the last left it.

    Raises
    ------
    MissingDataError : it is not there, not finished, or damaged.
    """
    folder, about = Path(folder), described(folder)
    if pretrained and "pretrained_sha256" not in about:
        raise MissingDataError(f"the training at {folder} has one stage: there is nothing that is pretrained only")
    return Trained(
        model=weights.load(folder / (checkpoints.PRETRAINED if pretrained else checkpoints.WEIGHTS)).eval(),
        curves=checkpoints.read_curves(folder / checkpoints.CURVES),
        path=folder,
        rule=about["rule"],
        cells=tuple(about["cells"]),
        seen=frozenset(about["cells_seen"]),
    )


def predict_tiles(trained: Trained, tiles: TestTiles, *, kind: str, dial: float = 0.0, batch: int = 8) -> np.ndarray:
    """Masks of tiles by a trained network, (n, 1024, 1024) uint8; cells it has not seen are not told.

    Parameters
    ----------
    trained : the network, on the device that is to be used.
    tiles : what it is shown.
    kind : of masks.
    dial : wished simplicity.
    batch : tiles at a time.
    """
    told_too = {"cells": trained.codes(tiles), "kind": kind, "context_nm": float(tiles.context_nm), "dial": dial}
    return predict(trained.model, tiles.image, batch=batch, **told_too)


def _train(fabric: Fabric, job: Training) -> None:
    rule = job.rule
    terms = [term for term in TERMS if any(term in stage.weights for stage in rule.stages)]
    streams = tile_streams(job.store, rule, optics.allowed_turns(job.kernels))
    with_seen = job, terms, streams[0].cells_seen(), fabric.device, precision_on(rule.precision, fabric.device.type)
    judge = Judge(*with_seen) if fabric.is_global_zero else None
    model, critic = _fresh(rule, 0)
    network = fabric.setup_module(_Unpacked(model))
    rival = fabric.setup_module(critic) if critic is not None else None
    state = State(model=model, critic=critic)
    kept = checkpoints.read_checkpoint(job.folder)
    if kept:
        state.restore(kept)
    bar = progress(rule.steps, rule.name, "step", initial=state.step, disable=not fabric.is_global_zero)
    while not _run_stages(fabric, job, state, network, rival, streams, judge, terms, kept, bar):
        state.begin_anew(*_fresh(rule, state.restarts + 1))
        kept = None
        bar.reset()
    bar.close()
    if fabric.is_global_zero:
        judge.finish(state)
    fabric.barrier()


def _fresh(rule: TrainRule, restart: int) -> tuple[MaskModel, nn.Module | None]:
    """The network and its rival with their first weights, others after each restart."""
    # Torch's generator looks at 32 bits of a seed.
    seed = int(np.random.SeedSequence((rule.seed, restart)).generate_state(1)[0]) if restart else rule.seed
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        size = {"width": rule.width, "pixel_nm": rule.pixel_nm}
        model = build(rule.model, preset=rule.preset, conditioning=rule.conditioning, **size, **rule.options)
        critic = model.discriminator() if any(ADVERSARIAL[0] in stage.weights for stage in rule.stages) else None
    layout = torch.channels_last if rule.channels_last else torch.contiguous_format
    return model.to(memory_format=layout), critic if critic is None else critic.to(memory_format=layout)


def _adam(fabric: Fabric, module: nn.Module, lr: float):
    """One pass over all parameters instead of one a parameter, where the device has it."""
    fused = fabric.device.type in ("cpu", "cuda")
    return fabric.setup_optimizers(torch.optim.Adam(module.parameters(), lr=lr, fused=fused))


def _run_stages(
    fabric: Fabric,
    job: Training,
    state: State,
    network: nn.Module,
    rival: nn.Module | None,
    streams: Sequence[TileStream],
    judge: Judge | None,
    terms: Sequence[str],
    kept: dict[str, Any] | None,
    bar: Any,
) -> bool:
    """Go through all stages from where the state stands; False where weights are to be drawn anew."""
    rule, model, critic, sim = job.rule, state.model, state.critic, Simulator(job.kernels)
    for number, (stage, (first, last)) in enumerate(zip(rule.stages, rule.bounds, strict=True)):
        if state.step >= last or state.stopped:
            continue
        objective = StageObjective(stage, rule, sim)
        optimiser = _adam(fabric, model, stage.lr)
        state.optimisers = [optimiser]
        if adversarial := ADVERSARIAL[0] in stage.weights:
            state.optimisers.append(_adam(fabric, critic, stage.lr))
        if kept and state.step > first:
            state.restore_optimisers(kept)
        stream = streams[number]
        check_every = rule.check_every or max(1, round(len(stream) / rule.batch))
        if state.step == first:
            state.begin_stage()
        batches = iter(_loader(fabric, stream, rule, state.step - first, last - first, job.n_workers))
        network.train()
        for step in range(state.step, last):
            began = time.perf_counter()
            rate = rule.rate * stage.lr * (1.0 if 2 * (step - first) < last - first else _LATE_RATE)
            for each in state.optimisers:
                each.param_groups[0]["lr"] = rate
            waited, found = 0.0, torch.zeros(len(terms), device=fabric.device)
            for part in range(rule.accumulate):
                asked = time.perf_counter()
                tiles = next(batches)
                waited += time.perf_counter() - asked
                with fabric.no_backward_sync(network, enabled=part < rule.accumulate - 1):
                    drafts = network(*told(tiles, rule))
                    all_named = [objective(logits, tiles) for logits in drafts]
                    named, logits = all_named[-1], drafts[-1]
                    if adversarial:
                        drawn = torch.sigmoid(logits.float())
                        real, fake = rival(tiles["target"], tiles["mask"]), rival(tiles["target"], drawn.detach())
                        fabric.backward(losses.discriminator_loss(real, fake).mean() / rule.accumulate)
                        # The rival judges once more, and must not learn from it.
                        critic.requires_grad_(False)
                        with fabric.autocast():
                            verdict = critic(tiles["target"], drawn)
                        # In place, so that it counts as one of the last draft's terms.
                        named |= losses.generator_loss(verdict.float())
                        critic.requires_grad_(True)
                    total = sum(objective.total(draft, tiles["dial"]) for draft in all_named) / len(drafts)
                    fabric.backward(total / rule.accumulate)
                values = [named[term].detach().mean() if term in named else found.new_tensor(np.nan) for term in terms]
                found += torch.stack(values) / rule.accumulate
            if stage.clip_norm:
                fabric.clip_gradients(network, optimiser, max_norm=stage.clip_norm)
            for each in state.optimisers:
                each.step()
                each.zero_grad()
            found = fabric.all_reduce(found, reduce_op="mean").tolist()
            term_losses = {term: value for term, value in zip(terms, found, strict=True) if term in named}
            if not np.isfinite(list(term_losses.values())).all():
                raise DivergedError(f"{rule.name}: losses are not finite at step {step}: {term_losses}; lower the rate")
            state.step = step + 1
            state.steps.append([*found, rate, time.perf_counter() - began, waited])
            bar.update()
            if (step + 1 - first) % check_every == 0 or step + 1 == last:
                is_last_stage = number == len(rule.stages) - 1
                if judge is not None:
                    judge.check(state, objective)
                    if is_last_stage and rule.patience and state.since_best >= rule.patience:
                        state.stopped = "patience"
                    checkpoints.write_checkpoint(job.folder, state.to_dict())
                state.stopped, is_dark = fabric.broadcast((state.stopped, state.is_dark))
                network.train()
                if is_dark and 4 * state.step >= rule.steps and state.restarts < rule.restarts and not state.is_tested:
                    return False
                state.is_tested |= 4 * state.step >= rule.steps
                if state.stopped:
                    break
    return True


def tile_streams(store: Path, rule: TrainRule, turns: Sequence[int] = (0,)) -> list[TileStream]:
    """Tiles of each stage: with masks where it learns from them, else targets, labelled or not.

    Parameters
    ----------
    store : folder of the dataset.
    rule : of the training.
    turns : symmetries of the optics, of :func:`maskopt_lib.optics.allowed_turns`.
    """
    choice = {
        "split": rule.train_split,
        "context_nm": rule.context_nm,
        "label_context_nm": rule.label_context_nm,
        "shuffle_cells": rule.shuffle_cells,
        "pixel_nm": rule.pixel_nm,
        "turns": turns,
        "tag": "index",
        "unique": True,
    }
    opened: dict[str | None, TileDataset] = {}
    streams = []
    for number, stage in enumerate(rule.stages):
        kinds = rule.kinds if stage.wants_labels else rule.kinds[:1]
        methods = kinds if stage.wants_labels else [None]
        for method in methods:
            if method not in opened:
                opened[method] = TileDataset(store, rule.layer, method=method, **choice)
        told = [rule.conditioning.kind(kind) for kind in kinds]
        streams.append(TileStream([opened[m] for m in methods], told, (rule.seed, number), rule.n_train))
    return streams


def _loader(fabric: Fabric, stream: TileStream, rule: TrainRule, first: int, last: int, n_workers: int):
    process = {"rank": fabric.global_rank, "world": fabric.world_size}
    places = BatchPlaces(first=first, last=last, batch=rule.batch, parts=rule.accumulate, **process)
    on_gpu = fabric.device.type == "cuda"
    loader = torch.utils.data.DataLoader(stream, batch_sampler=places, num_workers=n_workers, pin_memory=on_gpu)
    return fabric.setup_dataloaders(loader, use_distributed_sampler=False)


class _Unpacked(nn.Module):
    """A network that takes tensors, which Fabric can cast and move, not a frozen batch, and gives all drafts."""

    def __init__(self, model: MaskModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, target: Tensor, cell: Tensor, kind: Tensor, context_nm: Tensor, dial: Tensor) -> list[Tensor]:
        x = TileInput(target=target, cell=cell, kind=kind, context_nm=context_nm, dial=dial)
        return self.model.drafts(x)
