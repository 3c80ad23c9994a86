"""What a training is: network, tiles, and stages with their losses; all that determines it, in plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from maskopt_lib.errors import OptionError, UnknownNameError
from maskopt_lib.models.conditioning import Conditioning
from maskopt_lib.models.library import MODELS
from maskopt_lib.options import Count, NotNegative, Options, Positive, Share, Whole, check
from maskopt_lib.runs.parts import file_name

#: Terms that a stage may give a weight, by what they need.
LABEL, LITHO, COMPLEXITY, ADVERSARIAL = ("label",), ("l2", "pv_band"), ("outline", "corners"), ("adversarial",)
TERMS = LABEL + LITHO + COMPLEXITY + ADVERSARIAL
#: A label stays; its loss vanishes, as CFNO's program has it; the prediction takes its place, as its paper means it.
SELF_TRAINING = ("none", "vanishing", "replacing")
#: Types of numbers: of everything, or of the network's products only.
PRECISIONS = ("32-true", "bf16-mixed")


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

    @property
    def wants_labels(self) -> bool:
        """Whether it learns from masks, or only from what tiles print."""
        return any(term in self.weights for term in LABEL + ADVERSARIAL)


#: (network, preset) -> stages, after the published programs; what differs there is said below.
#: The litho terms are means over the core instead of over the whole image, which weighs them four times as much at
#: equal numbers; how many of the steps pretraining takes is not published.
RECIPES: dict[tuple[str, str], tuple[Stage, ...]] = {
    ("gan_opc", "published"): (
        Stage(name="pretrain", weights={"l2": 1.0, "label": 1.0}),
        Stage(name="adversarial", weights={"adversarial": 1.0, "label": 1.0}, lr=1e-4),
    ),
    ("neural_ilt", "published"): (
        Stage(name="pretrain", weights={"label": 1.0}),
        Stage(name="litho", weights={"l2": 1.0, "pv_band": 1.0}),
    ),
    ("damo", "published"): (
        Stage(name="pretrain", weights={"l2": 1.0, "label": 1.0}, litho={"distance": "absolute"}),
        Stage(
            name="adversarial",
            weights={"l2": 1.0, "adversarial": 1.0, "label": 1.0},
            litho={"distance": "absolute"},
            lr=1e-4,
        ),
    ),
    # Our own learns from targets alone; the dial weighs what there is to write against what is printed. What is printed
    # is the binary mask: at 8 nm, where a pixel is clear matters more than how its soft edge would print.
    ("unrolled_litho", "own"): (
        Stage(
            name="litho",
            weights={"l2": 1.0, "pv_band": 0.2, "corners": (1e-6, 5e-5)},
            litho={"resist_steepness": 100.0, "mask": "straight_through"},
            complexity={"mask": "straight_through"},
            lr=2e-3,
            clip_norm=0.1,
        ),
    ),
    ("cfno", "published"): (Stage(name="label", weights={"label": 1.0}, self_training="vanishing"),),
    ("cfno", "corrected"): (Stage(name="label", weights={"label": 1.0}, self_training="replacing"),),
}


def stages_of(model: str, preset: str = "published") -> tuple[Stage, ...]:
    """How a network is trained: its preset's stages, or else those of its first preset in `RECIPES`."""
    recipes = {known: stages for (name, known), stages in RECIPES.items() if name == model}
    if not recipes:
        known = ", ".join(dict.fromkeys(name for name, _ in RECIPES))
        raise UnknownNameError(f"no stages for {model!r}; give `stages`, or take one of {known}")
    return recipes.get(preset, next(iter(recipes.values())))


@dataclass(frozen=True, kw_only=True)
class TrainRule(Options):
    """All that determines a training but the tiles and the optics.

    Attributes
    ----------
    model, preset, width, pixel_nm, options : of :func:`maskopt_lib.models.build`.
    conditioning : what the network is told beside the target.
    layer, context_nm : tiles it is trained on, and how much of their surroundings they show.
    label_context_nm : surroundings that labels were made with, which tell geometries and splits apart; None: as shown.
    shuffle_cells : seed by which cells are dealt anew among the tiles, so that tags say nothing; None leaves them.
    kind : of masks, ``"opc"`` or ``"ilt"``; ``"opc+ilt"`` mixes both, and ``conditioning`` has to name them.
    train_split, validation_split : of the dataset.
    n_train : tiles to learn from, drawn; None for all. Of equal geometries one is taken.
    n_validation : tiles that checks score.
    stages : what is minimised; by default those of `RECIPES`.
    steps : of the optimiser, over all stages.
    pretrain_share : of the steps, for the first of several stages; the others have the rest in equal parts.
    rate : factor on the learning rates of all stages, for trainings of few steps.
    batch : tiles a step, over all devices.
    accumulate : batches a step is done in, one after the other, where memory is short.
    check_every : steps between checks (validation and checkpoint); 0 for as many as show every tile once.
    patience : checks of the last stage without a better score after which it ends; 0 for never.
    precision : one of `PRECISIONS`.
    seed : of weights, order, turns and dials.
    """

    model: str
    preset: str = "published"
    width: Positive = 1.0
    pixel_nm: Count = 4
    options: Mapping[str, Any] = field(default_factory=dict)
    conditioning: Conditioning = field(default_factory=Conditioning)
    layer: str = "metal1"
    kind: str = "ilt"
    context_nm: Whole = 32
    label_context_nm: Whole | None = None
    shuffle_cells: Whole | None = None
    train_split: str = "train"
    validation_split: str = "validation"
    n_train: Count | None = None
    n_validation: Count = 16
    stages: tuple[Stage, ...] = ()
    steps: Count = 1000
    pretrain_share: Share = 0.25
    rate: Positive = 1.0
    batch: Count = 4
    accumulate: Count = 1
    check_every: Whole = 0
    patience: Whole = 0
    precision: str = "32-true"
    seed: Whole = 0

    def __post_init__(self) -> None:
        check(str, model=self.model)
        check(Sequence[Stage], stages=self.stages)
        if self.model not in MODELS:
            raise UnknownNameError(f"no network {self.model!r}; known: {', '.join(MODELS)}")
        object.__setattr__(self, "stages", tuple(self.stages) or stages_of(self.model, self.preset))
        super().__post_init__()
        if self.precision not in PRECISIONS:
            raise UnknownNameError(f"no precision {self.precision!r}; known: {', '.join(PRECISIONS)}")
        for kind in self.kinds:
            self.conditioning.kind(kind)
        if not 0 < self.pretrain_share < 1:
            raise OptionError(f"pretrain_share lies between 0 and 1, got {self.pretrain_share}")
        if self.steps < len(self.stages) or self.batch % self.accumulate:
            raise OptionError(
                f"{self.steps} steps must reach for {len(self.stages)} stages, and a batch of {self.batch} divide into "
                f"{self.accumulate} parts"
            )

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds of masks it learns from."""
        return tuple(self.kind.split("+"))

    @property
    def bounds(self) -> list[tuple[int, int]]:
        """First and last (not included) step of each stage.

        Examples
        --------
        >>> TrainRule(model="neural_ilt", steps=100).bounds
        [(0, 25), (25, 100)]
        """
        n, first = len(self.stages), self.pretrain_share
        shares = [1.0] if n == 1 else [first] + [(1 - first) / (n - 1)] * (n - 1)
        ends = [round(self.steps * sum(shares[:i])) for i in range(n + 1)]
        # Every stage has a step at least.
        ends = [min(max(end, i), self.steps - (n - i)) for i, end in enumerate(ends)]
        return list(pairwise(ends))

    @property
    def name(self) -> str:
        """What a training is called: network and preset, tiles, tag, seed."""
        tag = "" if self.conditioning.tag == "none" else self.conditioning.tag
        shuffled = "" if self.shuffle_cells is None else "shuffled"
        words = [self.model, self.preset, self.layer, self.kind, f"{self.context_nm}nm", shuffled, tag]
        words.append(f"seed{self.seed}")
        return file_name(*filter(None, words))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for records and keys."""
        return asdict(self)
