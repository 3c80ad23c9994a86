"""Where a training stands, in files: checkpoints to go on from, and the finished network with its curves."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.runs.parts import read_part, said_of, write_part

CHECKPOINT, WEIGHTS, CURVES = "checkpoint.pt", "weights.safetensors", "curves.npz"
#: Of each step beside its terms: learning rate, seconds of the whole step, and of them those spent waiting for tiles.
STEP_COLUMNS = {
    "lr": ("learning rate", "1"),
    "step_s": ("time of a step", "s"),
    "wait_s": ("time waiting for tiles", "s"),
}
CHECK = "check"


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Keep plain values and tensors; a reader sees the old file or the new one."""
    partial = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        torch.save(dict(state), partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """What :func:`write_checkpoint` kept, on the CPU; None where there is none."""
    return torch.load(path, map_location="cpu", weights_only=True) if path.is_file() else None


def write_curves(path: Path, steps: np.ndarray, checks: np.ndarray, said: Mapping[str, Any]) -> None:
    """Keep the curves of a finished training; only with them it counts as finished.

    Parameters
    ----------
    path : of the part.
    steps : (step, term and column of `STEP_COLUMNS`).
    checks : (check, step done, then terms and scores).
    said : ``terms`` and ``scores`` by name, ``stages`` with the step each ends at, and what else is to be said.
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
    said, kept = said_of(path), read_part(path)
    terms, scores, steps, checks = said["terms"], said["scores"], kept["steps"], kept["checks"]
    n = len(terms)
    stage = np.empty(len(steps), object)
    for name, (first, last) in said["stages"]:
        stage[first:last] = name
    ds = xr.Dataset(
        {
            "loss": ((schema.STEP, schema.TERM), steps[:, :n], {"long_name": "loss", "units": "1"}),
            "stage": (schema.STEP, stage.astype(str), {"long_name": "stage", "units": "1"}),
            "validation_loss": ((CHECK, schema.TERM), checks[:, 1 : 1 + n], {"long_name": "loss", "units": "1"}),
        }
        | {
            name: (schema.STEP, steps[:, n + i], {"long_name": long, "units": units})
            for i, (name, (long, units)) in enumerate(STEP_COLUMNS.items())
        }
        | {name: (CHECK, checks[:, 1 + n + i]) for i, name in enumerate(scores)},
        coords={
            schema.STEP: np.arange(1, len(steps) + 1),
            schema.TERM: terms,
            "at_step": (CHECK, checks[:, 0].astype(int), {"long_name": "steps done", "units": "1"}),
        },
        attrs={name: said[name] for name in ("name", "n_parameters", "best_check", "stopped_by", "device")},
    )
    return schema.label(ds)
