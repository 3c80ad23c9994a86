"""Many trainings: rules of a grid of networks, layers, kinds of masks and seeds, and a table of what became of them."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import xarray as xr

from maskopt_lib import optics
from maskopt_lib.data import schema
from maskopt_lib.data.tile_dataset import TileDataset
from maskopt_lib.errors import MissingDataError, OptionError, UnknownNameError
from maskopt_lib.models import MODELS, Conditioning
from maskopt_lib.models.library import descends
from maskopt_lib.models.training.loop import TRAININGS, Trained, train
from maskopt_lib.models.training.rules import TrainRule
from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.runs import spread
from maskopt_lib.runs.gather import labelled, progress
from maskopt_lib.runs.hashing import hashed
from maskopt_lib.runs.paths import run_folder
from maskopt_lib.runs.reference import has_result, load_result

TRAINING = "training"
#: The notebook that trains.
NOTEBOOK = "31_train_models"
#: Result of a run that lists its trainings.
RESULT = "trainings"
#: Names of a training in a grid: network as the notebook calls it, layer, kind of masks, seed.
Key = tuple[str, str, str, int]
#: Parameters of a notebook that are fields of the rules of all its trainings.
COMMON = (
    *("width", "pixel_nm", "steps", "pretrain_share", "rate", "batch", "accumulate", "check_every", "n_train"),
    *("n_validation", "patience", "train_split", "validation_split", "precision", "stages", "restarts"),
    "channels_last",
)
#: Kind of masks of a network that learns from none: it stands beside those of every kind.
NO_MASKS = "no masks"
_KEY = ("network", "layer", "kind", "seed")
_SCORES = (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS)
_T = TypeVar("_T")


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
        ``conditioning`` as a dictionary; and ``seeds``, where it has others.
    layers : of the grid.
    seeds : kind of masks -> seeds.
    context_nm : layer -> context.
    n_cells : of the dataset, for networks that are told the cell.
    kernels : optics of the dataset, for networks that look through them.
    **common : fields of all.

    Returns
    -------
    (network, layer, kind, seed) -> rule. A network that learns from no masks is trained once, with the seeds of the
    first kind, and its kind is `NO_MASKS`.

    Examples
    --------
    >>> rules = rules_for({"U-Net": {"model": "neural_ilt"}}, layers=["via1"], context_nm={"via1": 128},
    ...                   seeds={"opc": [0, 1], "ilt": [0]}, steps=8)
    >>> [rule.name for rule in rules.values()][:2]
    ['neural_ilt-published-via1-opc-128nm-seed0', 'neural_ilt-published-via1-opc-128nm-seed1']
    """
    rules = {}
    for (name, network), layer, kind in product(networks.items(), layers, seeds):
        settings = {**common, **network}
        seeds_of = settings.pop("seeds", seeds)
        conditions = dict(settings.pop("conditioning", {}))
        if conditions.get("tag", "none") != "none":
            conditions.setdefault("n_cells", n_cells)
        if settings["model"] in MODELS and descends(settings["model"]):
            settings["options"] = {"kernels": kernels, **settings.get("options", {})}
        settings |= {"layer": layer, "kind": kind, "context_nm": context_nm[layer]}
        settings["conditioning"] = Conditioning(kinds=tuple(kind.split("+")), **conditions)
        for seed in seeds_of.get(kind, ()):
            rule = TrainRule(seed=seed, **settings)
            learns = any(stage.wants_labels for stage in rule.stages)
            if learns or kind == next(iter(seeds_of)):
                rules[name, layer, kind if learns else NO_MASKS, seed] = rule
    return rules


def common_fields(params: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the rules of all trainings among a notebook's parameters: those of `COMMON`.

    Parameters
    ----------
    params : of the notebook. ``n_train`` of 0 takes all tiles; ``stages`` are dictionaries, none of them each network's
        own.
    """
    common = {name: params[name] for name in COMMON if name in params}
    return common | {"n_train": common.get("n_train") or None}


def rules_of(params: Mapping[str, Any], store: str | Path, kernels: str) -> dict[Key, TrainRule]:
    """The rules of all trainings of notebook 31.

    Parameters
    ----------
    params : of the notebook: ``networks``, ``layers``, ``seeds``, ``context_nm``, and those of `COMMON`.
    store : folder of the dataset.
    kernels : its optics.
    """
    grid = {name: params[name] for name in ("layers", "seeds", "context_nm")}
    n_cells = n_cells_of(store, params["layers"][0], params["context_nm"])
    return rules_for(params["networks"], n_cells=n_cells, kernels=kernels, **grid, **common_fields(params))


def n_cells_of(store: str | Path, layer: str, context_nm: Mapping[str, int]) -> int:
    """Cells that a dataset has codes for."""
    return len(TileDataset(store, layer, context_nm=context_nm[layer]).cells)


def train_all(
    rules: Mapping[Key, TrainRule],
    store: str | Path,
    run_dir: str | Path,
    *,
    kernels: str | SocsKernels,
    workers: int = 0,
    **how: Any,
) -> dict[Key, Trained]:
    """Train all, the first seeds of all networks before any second one; what is finished is taken.

    A run that ends early so leaves something of every network, layer and kind of masks.

    Parameters
    ----------
    rules : of the trainings.
    store, run_dir, kernels, **how : see :func:`maskopt_lib.models.training.loop.train`.
    workers : processes of this machine that train side by side, a thread each; up to 1 trains here, in turn.

    Raises
    ------
    OptionError : side by side on a GPU, on several devices, or with processes that read tiles.
    """
    if workers > 1 and (how.get("accelerator", "cpu") != "cpu" or how.get("devices", 1) > 1 or how.get("n_workers")):
        raise OptionError(
            "trainings run side by side on a CPU only, each of them one process: workers, or these others"
        )
    loaded = optics.load(kernels) if isinstance(kernels, str) else kernels
    with_all = partial(train, store=store, run_dir=run_dir, kernels=loaded, **how)
    # Two names may have one rule.
    rank, once = Counter(), {}
    for (*network, _), rule in rules.items():
        once.setdefault(hashed([rule.to_dict()]), (rank[tuple(network)], rule))
        rank[tuple(network)] += 1
    in_turn = [rule for _, rule in sorted(once.values(), key=lambda entry: entry[0])]
    with spread.workers(workers) as client, progress(len(in_turn), "trainings", "training") as bar:
        for rule, _ in spread.spread(partial(_left_behind, with_all), in_turn, client=client):
            bar.set_postfix_str(rule.name, refresh=False)
            bar.update()
    return {key: with_all(rule) for key, rule in rules.items()}


def _left_behind(with_all: Callable[[TrainRule], Trained], rule: TrainRule, kept: spread.Kept) -> None:
    """A training as the task of a worker: what becomes of it is in its folder."""
    with_all(rule)


def summary(trained: Mapping[Key, Trained], *, earlier: Path | None = None) -> xr.Dataset:
    """What became of trainings, for tables and for those that want the networks.

    Parameters
    ----------
    trained : of :func:`train_all`.
    earlier : folder of another run, or of its record, whose list comes first; its weights are not here.

    Returns
    -------
    Dataset over ``training``: ``network``, ``layer``, ``kind``, ``seed``, ``folder`` (in ``trainings/`` of the run, ""
    for those of the earlier one), ``n_parameters``, ``width``, ``pixel_nm``, ``steps``, ``train_s`` (all steps, checks
    not), ``step_s`` (median), ``wait_percent`` of the steps' time, ``best_step``, ``stopped_by``, ``restarts`` (with
    other weights, after nothing printed), ``precision``, and scores of the check that was kept.
    """
    before = load_result(earlier, RESULT) if earlier else xr.Dataset()
    taken = listed_in(earlier)
    columns = {str(name): before[name].values.tolist() for name in before.data_vars}
    rows = {(i,): {name: values[i] for name, values in columns.items()} | {"folder": ""} for i in range(len(taken))}
    for i, (key, training) in enumerate(trained.items(), len(taken)):
        curves, rule = training.curves, training.rule
        best = curves.isel(check=curves.attrs["best_check"])
        total = float(curves["step_s"].sum())
        rows[i,] = (
            dict(zip(_KEY, key, strict=True))
            | {
                "folder": training.path.name,
                "n_parameters": curves.attrs["n_parameters"],
                "width": float(rule["width"]),
                "pixel_nm": float(rule["pixel_nm"]),
                "steps": curves.sizes[schema.STEP],
                "train_s": total,
                "step_s": float(curves["step_s"].median()),
                "wait_percent": 100 * float(curves["wait_s"].sum()) / total,
                "best_step": int(best["at_step"]),
                "stopped_by": curves.attrs["stopped_by"],
                "restarts": curves.attrs["restarts"],
                "precision": curves.attrs["precision"],
            }
            | {name: float(best[name]) for name in _SCORES}
        )
    texts = {
        "n_parameters": "parameters",
        "width": "factor on channels",
        "pixel_nm": ("pixel", "nm"),
        "train_s": ("time of all steps", "s"),
        "step_s": ("median time of a step", "s"),
        "wait_percent": ("share of the time spent waiting for tiles", "%"),
        "best_step": "steps of the kept",
        "restarts": "restarts after nothing printed",
    }
    ds = labelled(rows, [TRAINING])
    names = {str(name): str(name).replace("_", " ") for name in ds.data_vars if name not in schema.VARIABLES}
    return schema.label(schema.described(ds, names | texts))


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
    """Folders of the trainings that a run of notebook 31 listed, but for those that it took from an earlier one.

    Raises
    ------
    MissingDataError : it left no list.
    """
    root, listed = Path(run_dir) / TRAININGS, listed_in(run_dir)
    return {key: root / folder for key, folder in listed.items() if folder}


def curves_name(network: str, layer: str, kind: str, seed: int) -> str:
    """Name of the result with the curves of a training."""
    return f"curves_{network}_{layer}_{kind}_seed{seed}".replace(" ", "-")


def listed_in(run_dir: str | Path | None) -> dict[Key, str]:
    """Keys of the trainings that a run of notebook 31 listed, with the folder of each; "" for those of earlier runs.

    Parameters
    ----------
    run_dir : of the run, or of its record; None for none.
    """
    if run_dir is None:
        return {}
    rows = load_result(run_dir, RESULT).to_dataframe().itertuples()
    return {(row.network, row.layer, row.kind, row.seed): row.folder for row in rows}


def select(trainings: Mapping[Key, _T], *, layer: str, kind: str, are_needed: bool = True) -> dict[tuple[str, int], _T]:
    """Those of one layer and kind of masks, by network and seed; networks that learn from no masks count for all kinds.

    Parameters
    ----------
    trainings : by key.
    layer, kind : of those.
    are_needed : whether it is a mistake if there are none.

    Raises
    ------
    UnknownNameError : there is none; lists what there is.
    """
    chosen = {
        (name, seed): training
        for (name, its_layer, its_kind, seed), training in trainings.items()
        if its_layer == layer and its_kind in (kind, NO_MASKS)
    }
    if are_needed and not chosen:
        known = ", ".join(dict.fromkeys(f"{key[1]} {key[2]}" for key in trainings))
        raise UnknownNameError(f"no trainings for {layer} {kind}; there are: {known}")
    return chosen
