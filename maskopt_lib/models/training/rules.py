"""What a training is: network, tiles, and stages with their losses; all that determines it, in plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

from maskopt_lib.errors import OptionError, UnknownNameError
from maskopt_lib.models.conditioning import Conditioning
from maskopt_lib.models.library import MODELS
from maskopt_lib.models.stages import Stage
from maskopt_lib.options import Count, Options, Positive, Share, Whole, check
from maskopt_lib.runs.parts import file_name

#: Types of numbers: of everything, or of the network's products only; ``"auto"`` takes the shorter one where the
#: processor computes in it.
PRECISIONS = ("32-true", "bf16-mixed", "auto")


def stages_of(model: str, preset: str = "published") -> tuple[Stage, ...]:
    """How a network is trained: the ``STAGES`` of its file, of its preset, or else of the first that has any."""
    by_preset = getattr(MODELS[model], "STAGES", {})
    if not by_preset:
        known = ", ".join(name for name, module in MODELS.items() if hasattr(module, "STAGES"))
        raise UnknownNameError(f"no stages for {model!r}; give `stages`, or its file STAGES, as these have: {known}")
    return by_preset.get(preset, next(iter(by_preset.values())))


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
    stages : what is minimised, or dictionaries of that; by default the ``STAGES`` of the network's file.
    steps : of the optimiser, over all stages.
    pretrain_share : of the steps, for the first of several stages; the others have the rest in equal parts.
    rate : factor on the learning rates of all stages, for trainings of few steps.
    batch : tiles a step, over all devices.
    accumulate : batches a step is done in, one after the other, where memory is short.
    check_every : steps between checks (validation and checkpoint); 0 for as many as show every tile once.
    patience : checks of the last stage without a better score after which it ends; 0 for never.
    precision : one of `PRECISIONS`.
    channels_last : keep the channels of a pixel together in memory, which is faster for wide networks.
    restarts : how often weights are drawn anew where a check after a quarter of the steps finds that nothing prints.
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
    channels_last: bool = False
    restarts: Whole = 0
    seed: Whole = 0

    def __post_init__(self) -> None:
        check(str, model=self.model)
        given = self.stages if isinstance(self.stages, Sequence) else [self.stages]
        object.__setattr__(
            self, "stages", [Stage.of(stage) if isinstance(stage, Mapping) else stage for stage in given]
        )
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
