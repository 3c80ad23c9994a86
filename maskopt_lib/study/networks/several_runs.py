"""Seeds of networks that are trained and scored in several runs, on several days or machines, and stand in one table.

A run leaves its scores seed by seed, so that each of them is small enough to be committed. A later run of other seeds,
networks or layers names the earlier one, or its committed record, and makes nothing again of what is in it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import MissingDataError, OptionError
from maskopt_lib.runs.paths import resolved
from maskopt_lib.runs.record import Run, record_of
from maskopt_lib.runs.reference import load_result, stored_names

#: Before the number of a seed in the name of a result.
_SEED = "_seed"
# What an earlier run may have had otherwise: which of the grid it did, and where; ``seeds`` within networks as well.
_FREE = frozenset(
    {"seeds", "layers", "kinds", "networks", "solvers", "pretrained", "rules_kept", "gallery", "earlier"}
    | {"build", "trained_in", "out_dir", "workers", "n_workers", "device", "accelerator", "devices"}
)
# Of these each name that both runs have must mean the same.
_NAMED = ("networks", "solvers")


def earlier_run(run: Run, folder: str) -> Path | None:
    """Folder of a run, or of its committed record, whose seeds are to stand beside those of this run.

    Parameters and conventions must be the same, and are asked for; that labels were made on the same processor is not:
    masks of two machines differ in single pixels.

    Parameters
    ----------
    run : that asks.
    folder : the other; "" for none.

    Raises
    ------
    MissingDataError : nothing is stored there.
    OptionError : it was another notebook, or had other parameters; says which.
    """
    if not folder:
        return None
    if not (names := stored_names(folder)):
        raise MissingDataError(f"earlier: no results at {folder}; name the folder of a run, or of a record")
    record = record_of(load_result(folder, names[0]))
    if record["notebook"] != run.record.notebook:
        raise OptionError(f"earlier: {folder} is of notebook {record['notebook']}, this is {run.record.notebook}")
    before, now = (_comparable(one["params"], one["conventions"]) for one in (record, run.record.to_dict()))
    if differing := sorted(name for name in before.keys() & now.keys() if before[name] != now[name]):
        said = "; ".join(f"{name}: {before[name]!r} there, {now[name]!r} here" for name in differing)
        raise OptionError(f"earlier: the run at {folder} had other parameters, its seeds are not of this kind: {said}")
    return resolved(folder)


def stored_seeds(folder: Path | None, name: str) -> list[xr.Dataset]:
    """Scores that a run stored with :func:`save_seeds`, one Dataset a seed; none where there is no run.

    Parameters
    ----------
    folder : of :func:`earlier_run`.
    name : of the result, without seeds.
    """
    names = [one for one in stored_names(folder) if one.startswith(name + _SEED)] if folder else []
    return sorted((load_result(folder, one) for one in names), key=lambda ds: int(ds[schema.SEED].item()))


def save_seeds(run: Run, scores: xr.Dataset, name: str) -> None:
    """Store scores, a result for each seed: of those methods that have it.

    Parameters
    ----------
    run : that stores.
    scores : over ``method``, ``seed`` and others, such as those of a benchmark.
    name : of the result; behind it comes the number of the seed.
    """
    for seed in scores[schema.SEED].values.tolist():
        of_seed = scores.sel({schema.SEED: [seed]})
        there = of_seed[schema.L2].notnull().any([dim for dim in of_seed[schema.L2].dims if dim != schema.METHOD])
        run.save(of_seed.isel({schema.METHOD: np.flatnonzero(there)}), f"{name}{_SEED}{seed}")


def rows_of(
    stored: Sequence[xr.Dataset], names: Sequence[str], traits: Mapping[str, Any]
) -> dict[tuple[str, int], xr.Dataset]:
    """(method, seed) -> scores of all tiles, of an earlier run.

    Parameters
    ----------
    stored : of :func:`stored_seeds`.
    names : of the scores, and of what is known of a method.
    traits : name -> variable over the tiles of this run, which must be those of the other one.

    Raises
    ------
    OptionError : they are of other tiles.
    """
    rows = {}
    for ds in stored:
        for name, here in traits.items():
            if not np.array_equal(ds[name].values, here):
                raise OptionError(f"earlier: its scores are of other tiles ({name} differs): another store or draw")
        for method in ds[schema.METHOD].values.tolist():
            row = ds[list(names)].sel({schema.METHOD: method}).squeeze(schema.SEED, drop=True)
            rows[method, int(ds[schema.SEED].item())] = row.drop_vars(schema.METHOD)
    return rows


def _comparable(params: Mapping[str, Any], conventions: Mapping[str, Any]) -> dict[str, Any]:
    named = {
        f"{name}[{key}]": {k: v for k, v in settings.items() if k != "seeds"}
        for name in _NAMED
        for key, settings in params.get(name, {}).items()
    }
    return {name: value for name, value in params.items() if name not in _FREE} | conventions | named
