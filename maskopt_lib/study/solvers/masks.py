"""Single masks and single scores, kept as soon as they are there: what a run resumes from.

A part is one small file under a key made of everything that determines it. It is written beside its place and renamed,
so a part that is there is whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from maskopt_lib import metrics, opc
from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.opc.solve import method_of
from maskopt_lib.runs.hashing import key_of, source_hash
from maskopt_lib.runs.parts import Bits, read_part, said_of, write_part


@dataclass(frozen=True, kw_only=True)
class MaskPart:
    """One mask and how it came about.

    Attributes
    ----------
    bits : the mask.
    step, terms, value, weight : its history: (step,) numbers, names, (step, term) float32, (term,).
    runtime_s, phases_s : wall time in s, and the same by phase.
    stopped_by : why the solver stopped.
    best_step : step with the lowest objective.
    """

    bits: Bits
    step: np.ndarray
    terms: tuple[str, ...]
    value: np.ndarray
    weight: tuple[float, ...]
    runtime_s: float
    phases_s: Mapping[str, float]
    stopped_by: str
    best_step: int


def mask_key(
    target: Bits,
    kernels: str,
    *,
    method: str,
    preset: str | None,
    changes: Mapping[str, Any],
    code: str,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    empty_if_diverged: bool = False,
) -> str:
    """Short hash of all that determines a mask.

    Parameters
    ----------
    target : what it was made for.
    kernels, code : of :func:`kernels_digest` and :func:`method_digest`.
    method, preset, changes : as for :func:`maskopt_lib.opc.solve`.
    device, dtype : of the computation.
    empty_if_diverged : whether an empty mask may stand in its place.

    Raises
    ------
    UnknownNameError : the method, or its preset or option, is not known.
    """
    presets = method_of(method).presets
    name = preset or next(iter(presets))
    if name not in presets:
        raise UnknownNameError(f"method {method!r} has no preset {name!r}; known: {sorted(presets)}")
    options = presets[name]
    if unknown := sorted(set(changes) - {f.name for f in fields(options)}):
        known = sorted(f.name for f in fields(options))
        raise UnknownNameError(f"method {method!r} has no option {unknown}; known: {known}")
    settings = [method, asdict(options), dict(changes), str(torch.device(device)), str(dtype), torch.__version__]
    settings += ["empty if diverged"] if empty_if_diverged else []
    return key_of([target.digest(), kernels, code, settings])


def score_key(mask: Bits, target: Bits, kernels: str, scores: Iterable[str] | None, code: str) -> str:
    """Short hash of all that determines a score; ``code`` is :func:`scores_digest`."""
    wanted = None if scores is None else sorted([scores] if isinstance(scores, str) else scores)
    return key_of([mask.digest(), target.digest(), kernels, wanted, code])


def scores_digest() -> str:
    """Hash of the code behind the scores."""
    return source_hash(["maskopt_lib.metrics.evaluate", "maskopt_lib.litho.simulator"])


def write_mask(path: Path, result: opc.OpcResult, pixel_nm: float) -> None:
    """Keep what a solver returned for one clip."""
    history = result.history.isel({schema.SAMPLE: 0})
    part = MaskPart(
        bits=Bits.of(result.mask, pixel_nm),
        step=history[schema.STEP].values,
        terms=tuple(str(term) for term in history[schema.TERM].values),
        value=history["value"].transpose(schema.STEP, schema.TERM).values.astype(np.float32),
        weight=tuple(float(w) for w in history["weight"].values),
        runtime_s=result.runtime_s,
        phases_s=dict(result.phases_s),
        stopped_by=result.stopped_by,
        best_step=int(np.max(result.best_step)),
    )
    _write_part(path, part)


def write_empty_mask(path: Path, target: Bits, why: str) -> None:
    """Keep an empty mask in place of one that a solver could not make."""
    bits = Bits.of(np.zeros(target.shape, bool), target.pixel_nm)
    step, value = np.zeros(0, np.int64), np.zeros((0, 0), np.float32)
    part = MaskPart(
        bits=bits,
        step=step,
        terms=(),
        value=value,
        weight=(),
        runtime_s=np.nan,
        phases_s={},
        stopped_by=why,
        best_step=0,
    )
    _write_part(path, part)


def _write_part(path: Path, part: MaskPart) -> None:
    said = {
        "n_x": part.bits.shape[1],
        "pixel_nm": part.bits.pixel_nm,
        "terms": part.terms,
        "weight": part.weight,
        "runtime_s": part.runtime_s,
        "phases_s": part.phases_s,
        "stopped_by": part.stopped_by,
        "best_step": part.best_step,
    }
    write_part(path, {"step": part.step, "value": part.value, "bits": part.bits.packed}, said)


def read_mask(path: Path) -> MaskPart:
    """A mask that :func:`write_mask` kept."""
    said, kept = said_of(path), read_part(path)
    shape = (len(kept["bits"]), said.pop("n_x"))
    return MaskPart(
        bits=Bits.of_packed(kept["bits"], shape, said.pop("pixel_nm")),
        step=kept["step"],
        value=kept["value"],
        terms=tuple(said.pop("terms")),
        weight=tuple(said.pop("weight")),
        **said,
    )


def write_scores(path: Path, mask: Bits, target: Bits, sim: Simulator, only: Iterable[str] | None) -> None:
    """Score one mask and keep the scores."""
    scored = metrics.evaluate(mask.image, target.image, sim, only=only).isel({schema.SAMPLE: 0})
    kept = {"scores": {str(name): scored[name].item() for name in scored.data_vars}, "attrs": scored.attrs}
    write_part(path, {}, kept)


def read_scores(path: Path) -> tuple[dict[str, float], dict[str, Any]]:
    """Scores that :func:`write_scores` kept, and the settings they were taken with."""
    kept = said_of(path)
    return kept["scores"], kept["attrs"]


def histories(parts: Mapping[tuple[str, ...], MaskPart], dims: tuple[str, ...]) -> xr.Dataset:
    """Histories of masks as one Dataset; what one of them lacks (steps, terms, phases) is NaN there.

    Parameters
    ----------
    parts : labels along ``dims`` -> mask; every combination of labels.
    dims : such as ``("kernels", "method", "sample")``.

    Returns
    -------
    Dataset with ``value`` (*dims, step, term), ``weight`` (*dims, term), and over ``dims`` ``runtime_s``, a time for
    each phase, ``best_step`` and ``stopped_by``.
    """
    labels = [list(dict.fromkeys(at[i] for at in parts)) for i in range(len(dims))]
    shape = tuple(len(names) for names in labels)
    terms = list(dict.fromkeys(term for part in parts.values() for term in part.terms))
    phases = list(dict.fromkeys(phase for part in parts.values() for phase in part.phases_s))
    steps = np.unique(np.concatenate([part.step for part in parts.values()]))
    value = np.full((*shape, len(steps), len(terms)), np.nan, np.float32)
    weight = np.full((*shape, len(terms)), np.nan)
    seconds = {name: np.full(shape, np.nan) for name in (schema.RUNTIME, *(f"{phase}_s" for phase in phases))}
    best = np.zeros(shape, np.int64)
    stopped = np.full(shape, "", object)
    for at, part in parts.items():
        i = tuple(names.index(label) for names, label in zip(labels, at, strict=True))
        columns = [terms.index(term) for term in part.terms]
        value[(*i, *np.ix_(np.searchsorted(steps, part.step), columns))] = part.value
        weight[(*i, columns)] = part.weight
        seconds[schema.RUNTIME][i] = part.runtime_s
        for phase, s in part.phases_s.items():
            seconds[f"{phase}_s"][i] = s
        best[i], stopped[i] = part.best_step, part.stopped_by
    ds = xr.Dataset(
        {
            "value": ((*dims, schema.STEP, schema.TERM), value, {"long_name": "objective term", "units": "1"}),
            "weight": ((*dims, schema.TERM), weight, {"long_name": "weight of the term", "units": "1"}),
            "best_step": (dims, best, {"long_name": "step with the lowest objective", "units": "1"}),
            "stopped_by": (dims, stopped.astype(str), {"long_name": "why it stopped", "units": "1"}),
        }
        | {
            name: (dims, s, {"long_name": f"time to {name.removesuffix('_s')}", "units": "s"})
            for name, s in seconds.items()
            if name != schema.RUNTIME
        }
        | {schema.RUNTIME: (dims, seconds[schema.RUNTIME])},
        coords=dict(zip(dims, labels, strict=True)) | {schema.STEP: steps, schema.TERM: terms},
    )
    return schema.label(ds)
