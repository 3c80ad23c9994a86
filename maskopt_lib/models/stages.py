"""What a part of a training minimises. Each network's file has the stages that it is trained by, as ``STAGES``.

They are those of the published programs, and what differs there is said beside them. Litho terms are means over the
core instead of over the whole image, which weighs them four times as much at equal numbers; how many of the steps
pretraining takes is not published.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from maskopt_lib.errors import OptionError, UnknownNameError
from maskopt_lib.options import NotNegative, Options, Positive

#: Terms that a stage may give a weight, by what they need.
LABEL, LITHO, COMPLEXITY, ADVERSARIAL = ("label",), ("l2", "pv_band"), ("outline", "corners"), ("adversarial",)
TERMS = LABEL + LITHO + COMPLEXITY + ADVERSARIAL
#: A label stays; its loss vanishes, as CFNO's program has it; the prediction takes its place, as its paper means it.
SELF_TRAINING = ("none", "vanishing", "replacing")


@dataclass(frozen=True, kw_only=True)
class Stage(Options):
    """A part of a training with its own losses and its own optimiser.

    Attributes
    ----------
    name : of the stage.
    weights : term of `TERMS` -> weight; a pair is the weight at a dial of 0 and at one of 1, geometric in between.
    lr : learning rate of Adam, a tenth of it from the middle of the stage on.
    clip_norm : largest norm of a step's gradient; 0 for any.
    label_distance : see :class:`maskopt_lib.models.losses.LabelLoss`.
    litho, complexity : options of :class:`maskopt_lib.models.losses.LithoLoss` and of
        :class:`maskopt_lib.models.losses.ComplexityLoss`.
    self_training : what becomes of a label whose prediction prints better: one of `SELF_TRAINING`.
    """

    name: str
    weights: Mapping[str, NotNegative | tuple[NotNegative, NotNegative]]
    lr: Positive = 1e-3
    clip_norm: NotNegative = 0.0
    label_distance: str = "mse"
    litho: Mapping[str, Any] = field(default_factory=dict)
    complexity: Mapping[str, Any] = field(default_factory=dict)
    self_training: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        for term in self.weights:
            if term not in TERMS:
                raise UnknownNameError(f"no term {term!r}; known: {', '.join(TERMS)}")
        if self.self_training not in SELF_TRAINING:
            raise UnknownNameError(f"no self-training {self.self_training!r}; known: {', '.join(SELF_TRAINING)}")
        if not self.weights:
            raise OptionError(f"a stage needs weights, got {self}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Stage":
        """A stage of a file of parameters."""
        known = [each.name for each in fields(cls)]
        if not {"name", "weights"} <= set(values) <= set(known):
            raise OptionError(f"a stage has {', '.join(known)}, the first two always; got {dict(values)!r:.200}")
        return cls(**values)

    @property
    def wants_labels(self) -> bool:
        """Whether it learns from masks, or only from what tiles print."""
        return any(term in self.weights for term in LABEL + ADVERSARIAL)
