"""Decks of mask rules: the smallest values that a mask may have, by the names of the scores that measure them."""

import os
from collections.abc import Mapping
from pathlib import Path

from maskopt_lib import yaml_files
from maskopt_lib.data import manifest, schema
from maskopt_lib.errors import MissingDataError

#: Decks that come with the study.
FOLDER = manifest.FOLDER / "mask_rules"
#: Rules that a deck may have.
DECK_RULES = (schema.MSA, schema.MSD, schema.MIN_WIDTH, schema.MIN_SPACE, schema.MIN_RADIUS)


def read_deck(name: str | os.PathLike | Mapping[str, float]) -> dict[str, float]:
    """A rule deck.

    Parameters
    ----------
    name : of a deck that comes with the study, or a YAML file of one's own: rule -> smallest value allowed; or the
        rules themselves.

    Returns
    -------
    rule -> limit, as the option ``deck`` of ``rule_aware`` and ``metrics.rule_report`` take it.

    Raises
    ------
    MissingDataError : neither a deck of the study nor a file.
    UnknownNameError : a rule that is none.
    SchemaError : the file is no YAML, or a limit is no finite number of 0 or more.

    Examples
    --------
    >>> read_deck("curvilinear")["msd_nm"]
    24.0
    """
    if isinstance(name, Mapping):
        document = yaml_files.Document(dict(name), "the rule deck")
    else:
        path = Path(name) if Path(name).suffix else FOLDER / f"{name}.yaml"
        if not path.is_file():
            known = sorted(p.stem for p in FOLDER.glob("*.yaml"))
            raise MissingDataError(
                f"no rule deck {str(name)!r}; the study has {known}, others are YAML files by their path"
            )
        document = yaml_files.read(path)
    return {rule: document.number(rule, default=0.0) for rule in document.check_keys(DECK_RULES)}


def scaled_deck(deck: Mapping[str, float], scale: float) -> dict[str, float]:
    """A deck for lengths ``scale`` times as large, to three digits.

    Examples
    --------
    >>> scaled_deck({"msa_nm2": 2000.0, "msd_nm": 24.0}, 0.5)
    {'msa_nm2': 500.0, 'msd_nm': 12.0}
    """
    return {rule: float(f"{limit * scale ** (2 if rule == schema.MSA else 1):.3g}") for rule, limit in deck.items()}
