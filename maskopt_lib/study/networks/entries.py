"""Who makes masks in a benchmark: networks, solvers, labels, the layout itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskopt_lib.models.library import code_digest, descends
from maskopt_lib.models.training.checkpoints import described
from maskopt_lib.opc import Recipe
from maskopt_lib.runs.hashing import source_hash
from maskopt_lib.study.networks.given import digest_of
from maskopt_lib.study.networks.names import DESCENT, GIVEN, NETWORK, SOLVER

IDENTITY, LABELS = "layout as mask", "labels"
#: Behind the name of a network whose masks are projected onto the deck of mask rules.
RULES_KEPT = ", rules kept"
#: Behind the name of a network as the stage before its last one left it.
PRETRAINED = ", pretrained only"


@dataclass(frozen=True, kw_only=True)
class BenchEntry:
    """Who makes masks: a network, a solver, the labels, or, with none of these, nobody.

    Attributes
    ----------
    name : row of the tables.
    trained : folder of a finished training.
    recipe : of a solver; of a label or given masks, of the solver that makes masks of what stands around.
    label : kind of label that is taken as it is.
    given : file or folder of masks that were made elsewhere, see :mod:`maskopt_lib.study.networks.given`.
    seed : of the training.
    dial : wished simplicity, for a network that has the dial.
    pretrained : take the network as the stage before its last one left it.
    keeps_rules : whether masks are projected onto the deck of :class:`~maskopt_lib.opc.mask_rules.MaskRules`; the time
        counts.
    """

    name: str
    trained: Path | None = None
    recipe: Recipe | None = None
    label: str | None = None
    given: Path | None = None
    seed: int = 0
    dial: float = 0.0
    pretrained: bool = False
    keeps_rules: bool = False

    @property
    def maker(self) -> str:
        """What it is: a network that goes down what the optics print is a `DESCENT`."""
        if self.trained is not None:
            return DESCENT if descends(described(self.trained)["rule"]["model"]) else NETWORK
        return GIVEN if self.label or self.given or self.recipe is None else SOLVER

    def determined_by(self, kind: str) -> list[Any]:
        """All that determines its masks of given tiles."""
        rules = [source_hash(["maskopt_lib.opc.mask_rules"])] if self.keeps_rules else []
        if self.trained is not None:
            about = described(self.trained)
            sha256 = about["pretrained_sha256" if self.pretrained else "weights_sha256"]
            return ["network", sha256, code_digest(about["rule"]["model"]), kind, self.dial, *rules]
        if self.recipe is not None:
            masks = digest_of(self.given) if self.given else self.label
            return ["masks" if masks else "solver", masks, self.recipe.digest()]
        return ["identity"]


def solver_entries(solvers: Mapping[str, Mapping[str, Any]], layer: str) -> list[BenchEntry]:
    """Solvers as entries, for one layer.

    Parameters
    ----------
    solvers : name -> fields of a :class:`~maskopt_lib.opc.Recipe`; ``presets`` may name other presets by layer.
    layer : of the tiles.
    """
    return [BenchEntry(name=name, recipe=recipe_for(fields, layer)) for name, fields in solvers.items()]


def recipe_for(fields: Mapping[str, Any], layer: str) -> Recipe:
    """A recipe of its fields, with the preset that ``presets`` names for a layer, if it does."""
    chosen = {name: value for name, value in fields.items() if name != "presets"}
    return Recipe(**chosen | {"preset": fields.get("presets", {}).get(layer, fields["preset"])})


def network_entries(
    networks: Mapping[tuple[str, int], Path],
    dials: Sequence[float] = (),
    *,
    rules_kept: Sequence[str] = (),
    pretrained: Sequence[str] = (),
) -> list[BenchEntry]:
    """Trained networks as entries.

    Parameters
    ----------
    networks : (network, seed) -> folder of its training.
    dials : from 0 (faithful) to 1 (simple); a network with a dial enters at each, as ``"<network>, dial <value>"``.
    rules_kept : networks that enter once more with their masks projected onto the deck, as `RULES_KEPT` says.
    pretrained : networks that enter once more as their pretraining left them, as `PRETRAINED` says.
    """
    entries = []
    for (name, seed), folder in networks.items():
        if dials and described(folder)["rule"]["conditioning"]["dial"]:
            entries += [BenchEntry(name=f"{name}, dial {d:g}", trained=folder, seed=seed, dial=d) for d in dials]
        else:
            entries.append(BenchEntry(name=name, trained=folder, seed=seed))
        if name in pretrained and "pretrained_sha256" in described(folder):
            entries.append(BenchEntry(name=name + PRETRAINED, trained=folder, seed=seed, pretrained=True))
        if name in rules_kept:
            entries.append(BenchEntry(name=name + RULES_KEPT, trained=folder, seed=seed, keeps_rules=True))
    return entries
