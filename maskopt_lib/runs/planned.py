"""Statements that were fixed before anything was run that decides them: ``data_manifest/statements.yaml``."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from maskopt_lib import yaml_files
from maskopt_lib.data.folder import FOLDER
from maskopt_lib.options import Count, NotNegative, Options, Positive
from maskopt_lib.runs.effects import seeds_needed

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class Statement(Options):
    """A sentence, and what it takes to decide it.

    Attributes
    ----------
    says : the sentence, as the notebook calls its effect.
    effect_percent : that would matter.
    seed_sd_percent : standard deviation of one method's mean score over its seeds.
    tile_sd_percent : standard deviation over tiles of the difference.
    """

    says: str
    effect_percent: Positive
    seed_sd_percent: NotNegative
    tile_sd_percent: NotNegative


@dataclass(frozen=True, kw_only=True)
class Plan(Options):
    """All statements, by notebook, and how they are judged.

    Attributes
    ----------
    alpha : share of errors that all of them have together.
    power : with which an effect that matters is to be found.
    margin_percent : effects within it on both sides of zero are none.
    n_tiles : of each split that is scored.
    statements : notebook -> statements.
    """

    alpha: Positive
    power: Positive
    margin_percent: NotNegative
    n_tiles: Count
    statements: Mapping[str, tuple[Statement, ...]]

    @property
    def n(self) -> int:
        """How many there are, of all notebooks."""
        return sum(map(len, self.statements.values()))

    def seeds(self, statement: Statement) -> int:
        """Seeds of each method that decide a statement with the power planned, were it judged alone."""
        sds = {"seed_sd": statement.seed_sd_percent, "tile_sd": statement.tile_sd_percent, "n_tiles": self.n_tiles}
        return seeds_needed(statement.effect_percent, power=self.power, alpha=self.alpha, **sds)

    def of(self, notebook: str, found: Mapping[str, _T]) -> dict[str, _T]:
        """What was found of the statements that were planned for a notebook, in their order; others are left out."""
        return {each.says: found[each.says] for each in self.statements[notebook] if each.says in found}


def planned(path: str | Path | None = None) -> Plan:
    """The plan of ``data_manifest/statements.yaml``, or of another file."""
    found: dict[str, Any] = dict(yaml_files.read(path or FOLDER / "statements.yaml").value)
    by_notebook = {name: tuple(Statement(**each) for each in rows) for name, rows in found.pop("statements").items()}
    return Plan(statements=by_notebook, **found)
