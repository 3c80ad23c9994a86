"""Where a training stands, and how good its network is on tiles that it does not learn from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.models import weights
from maskopt_lib.models.inputs import CORE_NM, NO_CELL, TileInput
from maskopt_lib.models.middle_images import middle
from maskopt_lib.models.model import MaskModel
from maskopt_lib.models.predict import predict
from maskopt_lib.models.training import checkpoints
from maskopt_lib.models.training.objective import TOLD, StageObjective, told
from maskopt_lib.models.training.rules import TrainRule
from maskopt_lib.models.training.tiles import choose_tiles, read_tiles
from maskopt_lib.optics.kernels import SocsKernels


@dataclass(frozen=True, kw_only=True)
class Training:
    """A training as it travels to the processes of several devices."""

    rule: TrainRule
    store: Path
    kernels: SocsKernels
    folder: Path
    n_workers: int


class State:
    """Where a training stands: all of it, but for what follows from the number of the step."""

    _PLAIN = (
        "step",
        "steps",
        "checks",
        "best_weights",
        "pretrained_weights",
        "pretrained_check",
        "stopped",
        "restarts",
        "is_tested",
    )

    def __init__(self, *, model: MaskModel, critic: nn.Module | None) -> None:
        self.model, self.critic = model, critic
        self.optimisers: list[Any] = []
        self.step = 0
        self.steps: list[list[float]] = []
        self.checks: list[list[float]] = []
        self.best, self.best_check, self.since_best = float("inf"), -1, 0
        self.best_weights: dict[str, Tensor] = {}
        self.pretrained_weights: dict[str, Tensor] = {}
        self.pretrained_check = -1
        self.stopped = ""
        # Whether its last check printed nothing, whether the check that weights are drawn anew after has been passed,
        # and how often they were.
        self.is_dark, self.is_tested, self.restarts = False, False, 0

    def begin_stage(self) -> None:
        """Keep the best of the stage that has ended as what pretraining comes to: the network is the last stage's."""
        if self.best_weights:
            self.pretrained_weights, self.pretrained_check = self.best_weights, self.best_check
        self.best, self.best_check, self.since_best, self.best_weights = float("inf"), -1, 0, {}

    def begin_anew(self, model: MaskModel, critic: nn.Module | None) -> None:
        """Go back to no step with other weights."""
        restarts = self.restarts + 1
        self.model.load_state_dict(model.state_dict())
        if self.critic is not None:
            self.critic.load_state_dict(critic.state_dict())
        self.__init__(model=self.model, critic=self.critic)
        self.restarts = restarts

    def to_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._PLAIN} | {
            "model": self.model.state_dict(),
            "critic": self.critic.state_dict() if self.critic is not None else {},
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "best": [self.best, self.best_check, self.since_best],
        }

    def restore(self, kept: dict[str, Any]) -> None:
        self.model.load_state_dict(kept["model"])
        if self.critic is not None:
            self.critic.load_state_dict(kept["critic"])
        for name in self._PLAIN:
            setattr(self, name, kept[name])
        self.best, self.best_check, self.since_best = kept["best"]

    def restore_optimisers(self, kept: dict[str, Any]) -> None:
        for optimiser, state in zip(self.optimisers, kept["optimisers"], strict=True):
            optimiser.load_state_dict(state)


class Judge:
    """Checks a network on tiles it does not learn from, by losses and by scores, and keeps the best."""

    def __init__(
        self, job: Training, terms: Sequence[str], seen: np.ndarray, device: torch.device, precision: str
    ) -> None:
        rule = job.rule
        self.job, self.terms, self.device, self.precision = job, list(terms), device, precision
        self.sim = Simulator(job.kernels, device=str(device))
        kinds = rule.kinds if any(stage.wants_labels for stage in rule.stages) else ()
        choice = {
            "split": rule.validation_split,
            "context_nm": rule.context_nm,
            "kinds": kinds,
            "label_context_nm": rule.label_context_nm,
        }
        samples = choose_tiles(job.store, rule.layer, n=rule.n_validation, **choice)
        self.tiles = read_tiles(job.store, rule.layer, samples, shuffle_cells=rule.shuffle_cells, **choice)
        # Cells that it does not learn from are not told, neither here nor in use.
        self.seen = seen
        self.cell = np.where(np.isin(self.tiles.cell, seen), self.tiles.cell, NO_CELL)

    def check(self, state: State, objective: StageObjective) -> None:
        """Add a row to the checks, and keep the weights of the least L2 of the stage."""
        rule, model = self.job.rule, state.model.eval()
        kind = rule.kinds[0]
        sums = dict.fromkeys(self.terms, np.nan)
        parts: dict[str, list[float]] = {}
        for start in range(0, len(self.tiles), rule.batch):
            batch = self._batch(slice(start, start + rule.batch), kind)
            with torch.inference_mode():
                logits = model(TileInput(**dict(zip(TOLD, told(batch, rule), strict=True))))
                for term, values in objective(logits.float(), batch).items():
                    parts.setdefault(term, []).extend(values.tolist())
        sums |= {term: float(np.mean(values)) for term, values in parts.items()}
        told_too = {"cells": self.cell, "kind": kind, "context_nm": float(rule.context_nm)}
        masks = predict(model, self.tiles.image, batch=rule.batch, **told_too)
        scores = metrics.evaluate_core(masks, self.tiles.drawn, self.sim, core_nm=CORE_NM)
        means = [float(scores[name].mean()) for name in metrics.CORE_SCORES]
        state.checks.append([float(state.step), *sums.values(), *means])
        # Without the PV band: a mask that prints nothing has none, which on vias makes up for all that it misses.
        merit = float(scores[schema.L2].mean())
        target_nm2 = middle(torch.from_numpy(self.tiles.drawn), CORE_NM).sum((1, 2)).numpy()
        state.is_dark = bool((scores[schema.L2].values == target_nm2).all() and target_nm2.any())
        state.since_best += 1
        if merit < state.best:
            state.best, state.best_check, state.since_best = merit, len(state.checks) - 1, 0
            state.best_weights = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}

    def finish(self, state: State) -> None:
        """Leave the best network of the last stage, that of the stage before, the curves, and nothing to go on from."""
        job, rule = self.job, self.job.rule
        said = {
            "name": rule.name,
            "rule": rule.to_dict(),
            "dataset": TileStore(job.store).digest(),
            "kernels": job.kernels.name,
            "cells": list(self.tiles.cells),
            "cells_seen": [self.tiles.cells[code] for code in self.seen],
            "n_parameters": state.model.n_parameters,
            "device": str(self.device),
            "best_check": state.best_check,
            "pretrained_check": state.pretrained_check,
            "stopped_by": state.stopped or "steps",
            "restarts": state.restarts,
            "precision": self.precision,
        }
        if state.pretrained_weights:
            state.model.load_state_dict(state.pretrained_weights)
            said["pretrained_sha256"] = weights.save(state.model, job.folder / checkpoints.PRETRAINED, said)
        state.model.load_state_dict(state.best_weights)
        said |= {
            "weights_sha256": weights.save(state.model, job.folder / checkpoints.WEIGHTS, said),
            "terms": self.terms,
            "scores": list(metrics.CORE_SCORES),
            "stages": [(stage.name, bounds) for stage, bounds in zip(rule.stages, rule.bounds, strict=True)],
        }
        checkpoints.write_curves(job.folder / checkpoints.CURVES, np.array(state.steps), np.array(state.checks), said)
        checkpoints.remove_checkpoints(job.folder)

    def _batch(self, part: slice, kind: str) -> dict[str, Tensor]:
        rule, tiles = self.job.rule, self.tiles

        def at_pixels(images: np.ndarray) -> Tensor:
            images = torch.tensor(images[part], device=self.device)[:, None].float()
            return nn.functional.avg_pool2d(images, rule.pixel_nm)

        cell = torch.tensor(self.cell[part], device=self.device)
        batch = {"target": at_pixels(tiles.image), "cell": cell}
        batch |= {"kind": torch.full_like(cell, rule.conditioning.kind(kind)), "dial": torch.zeros(len(cell)).to(cell)}
        return batch | ({"mask": at_pixels(tiles.masks[kind])} if tiles.masks else {})
