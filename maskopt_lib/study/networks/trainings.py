"""Many trainings: rules of a grid of networks, layers, kinds of masks and seeds, and a table of what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib import optics
from maskopt_lib.data import schema
from maskopt_lib.errors import MissingDataError, UnknownNameError
from maskopt_lib.models import MODELS, Conditioning
from maskopt_lib.models.training.loop import TRAININGS, Trained, train
from maskopt_lib.models.training.rules import TrainRule
from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.runs.paths import run_folder
from maskopt_lib.runs.reference import has_result, load_result

TRAINING = "training"
#: The notebook that trains.
NOTEBOOK = "31_train_models"
#: Result of a run that lists its trainings.
RESULT = "trainings"
#: Names of a training in a grid: network as the notebook calls it, layer, kind of masks, seed.
Key = tuple[str, str, str, int]
_SCORES = (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS)


def rules_for(
    networks: Mapping[str, Mapping[str, Any]],
    *,
    layers: Sequence[str],
    seeds: Mapping[str, Sequence[int]],
    context_nm: Mapping[str, int],
    n_cells: int = 0,
    kernels: str = "embedded",
    **common: Any,
) -> dict[Key, TrainRule]:
    """The rules of all trainings of a grid.

    Parameters
    ----------
    networks : name -> fields of :class:`~maskopt_lib.models.training.rules.TrainRule` that are its own;
        ``conditioning`` as a dictionary.
    layers : of the grid.
    seeds : kind of masks -> seeds.
    context_nm : layer -> context.
    n_cells : of the dataset, for networks that are told the cell.
    kernels : optics of the dataset, for networks that look through them.
    **common : fields of all.

    Returns
    -------
    (network, layer, kind, seed) -> rule. A network that learns from no masks is trained once, under the first kind.

    Examples
    --------
    >>> rules = rules_for({"U-Net": {"model": "neural_ilt"}}, layers=["via1"], context_nm={"via1": 128},
    ...                   seeds={"opc": [0, 1], "ilt": [0]}, steps=8)
    >>> [rule.name for rule in rules.values()][:2]
    ['neural_ilt-published-via1-opc-128nm-seed0', 'neural_ilt-published-via1-opc-128nm-seed1']
    """
    found = {}
    for name, own in networks.items():
        settings = {**common, **own}
        told = dict(settings.pop("conditioning", {}))
        if told.get("tag", "none") != "none":
            told.setdefault("n_cells", n_cells)
        if settings["model"] in MODELS and "kernels" in {f.name for f in fields(MODELS[settings["model"]].Options)}:
            settings["options"] = {"kernels": kernels, **settings.get("options", {})}
        for layer in layers:
            for i, kind in enumerate(seeds):
                for seed in seeds[kind]:
                    rule = TrainRule(
                        layer=layer, kind=kind, context_nm=context_nm[layer], seed=seed,
                        conditioning=Conditioning(kinds=tuple(kind.split("+")), **told), **settings,
                    )  # fmt: skip
                    if i == 0 or any(stage.wants_labels for stage in rule.stages):
                        found[name, layer, kind, seed] = rule
    return found


def train_all(
    rules: Mapping[Key, TrainRule], store: str | Path, run_dir: str | Path, *, kernels: str | SocsKernels, **how: Any
) -> dict[Key, Trained]:
    """Train one after the other; what is finished is taken. For parameters see :func:`train`."""
    loaded = optics.load(kernels) if isinstance(kernels, str) else kernels
    return {key: train(rule, store, run_dir, kernels=loaded, **how) for key, rule in rules.items()}


def summary(trained: Mapping[Key, Trained]) -> xr.Dataset:
    """What became of trainings, for tables and for those that want the networks.

    Returns
    -------
    Dataset over ``training``: ``network``, ``layer``, ``kind``, ``seed``, ``folder`` (in ``trainings/`` of the run),
    ``n_parameters``, ``width``, ``pixel_nm``, ``steps``, ``train_s`` (all steps, checks not), ``step_s`` (median),
    ``wait_percent`` of the steps' time, ``best_step``, ``stopped_by``, and scores of the check that was kept.
    """
    rows: list[dict[str, Any]] = []
    for (network, layer, kind, seed), one in trained.items():
        curves = one.curves
        best = curves.isel(check=curves.attrs["best_check"])
        total = float(curves["step_s"].sum())
        rows.append(
            {
                "network": network, "layer": layer, "kind": kind, "seed": seed, "folder": one.path.name,
                "n_parameters": curves.attrs["n_parameters"], "width": float(one.rule["width"]),
                "pixel_nm": float(one.rule["pixel_nm"]), "steps": curves.sizes[schema.STEP], "train_s": total,
                "step_s": float(curves["step_s"].median()),
                "wait_percent": 100 * float(curves["wait_s"].sum()) / total,
                "best_step": int(best["at_step"]), "stopped_by": curves.attrs["stopped_by"],
            }
            | {name: float(best[name]) for name in _SCORES}
        )  # fmt: skip
    labels = {
        "n_parameters": ("parameters", "1"), "width": ("factor on channels", "1"), "pixel_nm": ("pixel", "nm"),
        "train_s": ("time of all steps", "s"), "step_s": ("median time of a step", "s"),
        "wait_percent": ("share of the time spent waiting for tiles", "%"), "best_step": ("steps of the kept", "1"),
    }  # fmt: skip
    found = xr.Dataset(coords={TRAINING: np.arange(len(rows))})
    for name in rows[0]:
        long_name, units = labels.get(name, (name.replace("_", " "), "1"))
        said = {} if name in schema.VARIABLES else {"long_name": long_name, "units": units}
        found[name] = (TRAINING, np.array([row[name] for row in rows]), said)
    return schema.label(found)


def run_of(out_dir: str | Path, run_dir: str | Path = "") -> Path:
    """Folder of the run of notebook 31 whose networks are to be taken.

    Parameters
    ----------
    out_dir : of the run that asks, ``results/<notebook>/<variant>``.
    run_dir : the folder; by default that of notebook 31 beside ``out_dir``, of the same variant.

    Raises
    ------
    MissingDataError : there is none; says which command makes it.
    """
    folder = run_folder(out_dir, NOTEBOOK, run_dir)
    if not (folder / "record.json").is_file() or not has_result(folder, RESULT):
        raise MissingDataError(f"no trainings at {folder}: run notebook {NOTEBOOK} first, or name the folder of a run")
    return folder


def folders(run_dir: str | Path) -> dict[Key, Path]:
    """Folders of the trainings that a run of notebook 31 listed.

    Parameters
    ----------
    run_dir : of the run.

    Raises
    ------
    MissingDataError : it left no list.
    """
    ds = load_result(run_dir, RESULT)
    names = ("network", "layer", "kind", "seed")
    keys = zip(*(ds[name].values.tolist() for name in names), strict=True)
    root = Path(run_dir) / TRAININGS
    return {key: root / folder for key, folder in zip(keys, ds["folder"].values.tolist(), strict=True)}


def of(found: Mapping[Key, Any], *, layer: str, kind: str) -> dict[tuple[str, int], Any]:
    """Those of one layer and kind of masks, by network and seed; networks that learn from no masks count for all kinds.

    Raises
    ------
    UnknownNameError : there is none; lists what there is.
    """
    mine: dict[tuple[str, int], Any] = {}
    # Seeds may differ from kind to kind: what counts is whether the network has any of this kind.
    of_this_kind = {network for network, of_layer, of_kind, _ in found if (of_layer, of_kind) == (layer, kind)}
    for (network, of_layer, of_kind, seed), one in found.items():
        if of_layer == layer and (of_kind == kind or network not in of_this_kind):
            mine[network, seed] = one
    if not mine:
        known = ", ".join(dict.fromkeys(f"{key[1]} {key[2]}" for key in found))
        raise UnknownNameError(f"no trainings for {layer} {kind}; there are: {known}")
    return mine
