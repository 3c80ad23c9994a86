"""Where a training stands, in files: checkpoints to go on from, and the finished network with its curves."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import DamagedFileError, MissingDataError
from maskopt_lib.files import sha256_of
from maskopt_lib.runs.parts import read_part, said_of, write_part

WEIGHTS, PRETRAINED, CURVES = "weights.safetensors", "pretrained.safetensors", "curves.npz"
#: Of each step beside its terms: learning rate, seconds of the whole step, and of them those spent waiting for tiles.
STEP_COLUMNS = {
    "lr": ("learning rate", "1"),
    "step_s": ("time of a step", "s"),
    "wait_s": ("time waiting for tiles", "s"),
}
CHECK = "check"
_SAID = ("name", "n_parameters", "best_check", "pretrained_check", "stopped_by", "restarts", "precision", "device")


def write_checkpoint(folder: Path, state: Mapping[str, Any]) -> None:
    """Keep plain values and tensors of a training after ``step`` steps, beside the checkpoint before it."""
    before = _newest_first(folder)
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    path = folder / f"checkpoint-{state['step']:08d}.npz"
    write_part(path, {"state": np.frombuffer(buffer.getbuffer(), np.uint8)}, compress=False)
    for path in before[1:]:
        path.unlink()


def read_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that is whole, on the CPU; None where there is none."""
    for path in _newest_first(folder):
        try:
            state = read_part(path)["state"]
        except DamagedFileError:
            continue
        return torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
    return None


def remove_checkpoints(folder: Path) -> None:
    """Of a training that is finished."""
    for path in _newest_first(folder):
        path.unlink()


def _newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob("checkpoint-*.npz"), reverse=True)


def write_curves(path: Path, steps: np.ndarray, checks: np.ndarray, said: Mapping[str, Any]) -> None:
    """Keep the curves of a finished training; only with them it counts as finished.

    Parameters
    ----------
    path : of the part.
    steps : (step, term and column of `STEP_COLUMNS`).
    checks : (check, step done, then terms and scores).
    said : ``terms`` and ``scores`` by name, ``stages`` with the steps from and to (not included), and what else is to
        be said.
    """
    write_part(path, {"steps": steps, "checks": checks}, said)


def read_curves(path: Path) -> xr.Dataset:
    """Curves of a finished training.

    Returns
    -------
    Dataset: ``loss`` (step, term), nan in stages without the term; ``lr``, ``step_s``, ``wait_s`` and ``stage``
    (step); ``validation_loss`` (check, term); scores by name (check), means over the tiles that were checked; ``step``
    counts from 1, and ``at_step`` says how many were done before a check.
    """
    about, kept = said_of(path), read_part(path)
    terms, scores = about["terms"], about["scores"]
    steps = pd.DataFrame(kept["steps"], columns=[*terms, *STEP_COLUMNS])
    checks = pd.DataFrame(kept["checks"], columns=["at_step", *terms, *scores])
    names, bounds = zip(*about["stages"], strict=True)
    stage = np.repeat(names, [last - first for first, last in bounds])[: len(steps)]
    ds = xr.Dataset(
        {
            "loss": schema.column((schema.STEP, schema.TERM), steps[terms], "loss"),
            "stage": schema.column(schema.STEP, stage, "stage"),
            "validation_loss": schema.column((CHECK, schema.TERM), checks[terms], "loss"),
        }
        | {name: schema.column(schema.STEP, steps[name], *texts) for name, texts in STEP_COLUMNS.items()}
        | {name: (CHECK, checks[name]) for name in scores},
        coords={
            schema.STEP: np.arange(1, len(steps) + 1),
            schema.TERM: terms,
            "at_step": schema.column(CHECK, checks["at_step"].astype(int), "steps done"),
        },
        attrs={name: about[name] for name in _SAID if name in about},
    )
    return schema.label(ds)


def said_of_training(folder: Path) -> dict[str, Any] | None:
    """What is said of a finished training; None where it is not finished, or its curves or weights are damaged."""
    about = said_of(folder / CURVES)
    if about is None:
        return None
    kept = {WEIGHTS: about["weights_sha256"], PRETRAINED: about.get("pretrained_sha256")}
    files = [(folder / name, sha256) for name, sha256 in kept.items() if sha256]
    return about if all(file.is_file() and sha256_of(file) == sha256 for file, sha256 in files) else None


def described(folder: str | Path) -> dict[str, Any]:
    """What is said of a finished training: its ``rule``, ``weights_sha256``, ``cells``, and more.

    Raises
    ------
    MissingDataError : it is not there, not finished, or damaged.
    """
    about = said_of_training(Path(folder))
    if about is None:
        raise MissingDataError(f"no finished training at {folder}; train it: notebook 31_train_models does")
    return about
