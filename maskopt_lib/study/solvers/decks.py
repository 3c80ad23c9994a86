"""Rule decks by name: which mask rules a run keeps, read from YAML."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import xarray as xr
import yaml

from maskopt_lib.data import manifest
from maskopt_lib.errors import MissingDataError, UnknownNameError
from maskopt_lib.metrics import rule_report
from maskopt_lib.opc.mask_rules import MaskRules

#: Decks that come with the study.
FOLDER = manifest.FOLDER / "mask_rules"


def read_deck(name: str | Path) -> dict[str, float]:
    """A rule deck.

    Parameters
    ----------
    name : of a deck that comes with the study, or a YAML file of one's own: rule -> smallest value allowed.

    Returns
    -------
    rule -> limit, as the option ``deck`` of ``rule_aware`` and :func:`maskopt_lib.metrics.rule_report` take it.

    Raises
    ------
    MissingDataError : neither a deck of the study nor a file.
    UnknownNameError : a rule that is none.

    Examples
    --------
    >>> read_deck("curvilinear")["msd_nm"]
    24.0
    """
    path = Path(name) if Path(name).suffix else FOLDER / f"{name}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in FOLDER.glob("*.yaml"))
        raise MissingDataError(
            f"no rule deck {str(name)!r}; the study has {known}, others are YAML files by their path"
        )
    deck = yaml.safe_load(path.read_text()) or {}
    known = [f.name for f in fields(MaskRules)]
    if unknown := sorted(set(deck) - set(known)):
        raise UnknownNameError(f"{path} has rules {unknown} that are none; known: {known}")
    return {rule: float(limit) for rule, limit in deck.items()}


def rules_kept(masks: xr.DataArray, deck: dict[str, float], pixel_nm: float = 1.0) -> xr.Dataset:
    """What many masks keep of a deck.

    Parameters
    ----------
    masks : (method, sample, y, x), 0 or 1.
    deck : rule -> limit.
    pixel_nm : side of a pixel in nm.

    Returns
    -------
    Dataset over ``method``, ``sample`` and ``rule``: ``worst`` (the smallest value found) and ``violations`` (number
    of places), as :func:`maskopt_lib.metrics.rule_report` finds them, and the limits ``at_least``.
    """
    reports = [[rule_report(mask.values, deck, pixel_nm) for mask in of_method] for of_method in masks]
    dims = (*masks.dims[:2], "rule")
    found = {
        name: (dims, np.stack([[report[name].values for report in row] for row in reports]), reports[0][0][name].attrs)
        for name in ("worst", "violations")
    }
    coords = {dim: masks[dim] for dim in masks.dims[:2]} | {"rule": list(deck)}
    ds = xr.Dataset(found, coords=coords).assign(at_least=("rule", list(deck.values()), {"units": "nm"}))
    ds["at_least"].attrs["long_name"] = "limit of the rule"
    return ds
