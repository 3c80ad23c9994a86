"""What a stage of a training minimises: the terms of its losses, and their weighted sum."""

import torch
from torch import Tensor

from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.models import losses
from maskopt_lib.models.stages import COMPLEXITY, LABEL, LITHO, Stage
from maskopt_lib.models.training.rules import TrainRule


class StageObjective:
    """The terms of a stage, and their weighted sum; what a rival says is added from outside."""

    def __init__(self, stage: Stage, rule: TrainRule, sim: Simulator) -> None:
        self.stage = stage
        self.label = losses.LabelLoss(stage.label_distance)
        prints = any(term in stage.weights for term in LITHO) or stage.self_training != "none"
        self.litho = losses.LithoLoss(sim, rule.pixel_nm, **stage.litho) if prints else None
        written = any(term in stage.weights for term in COMPLEXITY)
        self.complexity = losses.ComplexityLoss(rule.pixel_nm, **stage.complexity) if written else None

    def __call__(self, logits: Tensor, tiles: dict[str, Tensor]) -> dict[str, Tensor]:
        """Term -> (n,), but for the rival's."""
        weights, found = self.stage.weights, {}
        target = tiles["target"]
        if LABEL[0] in weights:
            label = tiles["mask"]
            better = None
            if self.stage.self_training != "none":
                label, better = losses.litho_guided_labels(logits, label, target, self.litho)
            found |= self.label(logits, label)
            if self.stage.self_training == "vanishing":
                found["label"] = torch.where(better, 0.0, found["label"])
        if any(term in weights for term in LITHO):
            found |= self.litho(logits, target)
        if self.complexity is not None:
            found |= self.complexity(logits)
        return {term: values for term, values in found.items() if term in weights}

    def total(self, named: dict[str, Tensor], dial: Tensor) -> Tensor:
        """Mean over tiles of the weighted sum of terms."""
        total = torch.zeros_like(dial)
        for term, values in named.items():
            weight = self.stage.weights[term]
            if not isinstance(weight, float | int):
                low, high = weight
                weight = low * (high / low) ** dial
            total = total + weight * values
        return total.mean()


#: What a network is told of a batch, in the order of `models.TileInput`.
TOLD = ("target", "cell", "kind", "context_nm", "dial")


def told(tiles: dict[str, Tensor], rule: TrainRule) -> tuple[Tensor, ...]:
    """What the network is told of a batch of tiles, see `TOLD`."""
    context_nm = torch.full_like(tiles["dial"], rule.context_nm)
    return tiles["target"], tiles["cell"], tiles["kind"], context_nm, tiles["dial"]
