"""Is a kernel set of unknown origin what it should be? Its folder is read in every way there is, and each is measured.

Coherent systems of an imaging system are the eigenvectors of its transmission cross coefficients (TCC), a Hermitian
matrix: they do not overlap, and their weights are its eigenvalues. A source and a pupil with the symmetries of the
square give a TCC with the same. What is read a few bytes off, or in another order, has neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.data.schema import column
from maskopt_lib.errors import KernelFileError
from maskopt_lib.optics.compare import tcc_distance
from maskopt_lib.optics.exchange import SETTINGS, read_openilt
from maskopt_lib.optics.files import CONTEST_FOLDERS, EARLY, WHOLE, read_kernels, read_symmetrised, realign
from maskopt_lib.optics.kernels import SocsKernels

#: Overlap up to which kernels count as orthogonal, and distance up to which a symmetry holds: files in single precision
#: keep the first to 1e-6 and the second to 1e-5, and what misses one by a mistake is off by a percent and more.
ORTHOGONAL, SYMMETRIC = 1e-4, 2e-3
#: Clear fields of a set whose images are relative to a clear mask; the contest's has 0.95.
CLEAR = 0.8, 1.2
AS_STORED = "as stored"
_BYTES = {EARLY: f"from byte {EARLY}, as public programs read", WHOLE: f"from byte {WHOLE}, as the file is laid out"}
_MOVED = "real parts moved back by one bin"
_SYMMETRIES = {"flip_x": "a flip of x", "flip_y": "a flip of y", "transposed": "a transposition"}
_TEXTS = {
    "overlap": "largest overlap of two kernels",
    "weight_error": "largest difference of weights and eigenvalues of the TCC (relative to the largest)",
    "flip_x": "distance of the TCC after a flip of x (relative)",
    "flip_y": "distance of the TCC after a flip of y (relative)",
    "transposed": "distance of the TCC after a transposition (relative)",
    "clear_field": "intensity of a clear mask",
}


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What there is to say of a folder of kernels; as text, a verdict.

    Attributes
    ----------
    layout : which layout the folder has.
    readings : name -> kernels, one a way to read it; the first is that of the programs that use the layout.
    measured : over ``reading`` and ``focus``: ``overlap``, ``weight_error``, ``flip_x``, ``flip_y``, ``transposed``,
        ``clear_field``.
    sentences : the verdict, the most important one first.
    """

    layout: str
    readings: Mapping[str, SocsKernels]
    measured: xr.Dataset
    sentences: tuple[str, ...]

    @property
    def best(self) -> str:
        """The reading whose kernels overlap least; where several do not at all, the first."""
        worst = self.measured["overlap"].max(schema.FOCUS).to_series()
        return next((name for name in self.readings if worst[name] <= ORTHOGONAL), str(worst.idxmin()))

    @property
    def is_sound(self) -> bool:
        """Whether programs that use the layout get eigenvectors, the strongest first: optics as they are."""
        used = next(iter(self.readings))
        return self.best == used and self._overlap(used) <= ORTHOGONAL and _sorted(self.readings[used])

    def _overlap(self, reading: str) -> float:
        return float(self.measured["overlap"].sel(reading=reading).max())

    def __str__(self) -> str:
        table = self.measured.max(schema.FOCUS).to_dataframe()[list(_TEXTS)].map(lambda v: f"{v:.2g}")
        return "\n".join([f"{self.layout}: {'sound' if self.is_sound else 'NOT what it should be'}",
                          *(f"- {sentence}" for sentence in self.sentences), "", table.to_string()])  # fmt: skip


def inspect(folder: str | Path, *, period_nm: float = 2048.0) -> Inspection:
    """Look at a folder of kernels of unknown origin and say what it holds.

    Parameters
    ----------
    folder : of the contest's ``fh*.bin`` (with ``M1OPC`` and ``M1OPC_def``, or one of them itself), of OpenILT's or
        LithoBench's ``kernels`` and ``scales``, or CurvyILT's ``optKernel_bc.npy`` and ``optKernel_scale.npy``.
    period_nm : side of the field; no layout holds it.

    Returns
    -------
    Readings, what was measured of each, and a verdict that prints.

    Raises
    ------
    KernelFileError : no layout that is known, or a file that cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from maskopt_lib import optics
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = optics.write_kernels(optics.load("embedded-ideal"), folder, order="openilt", header_bytes=24)
    ...     found = optics.inspect(folder)
    >>> found.is_sound, found.best
    (False, 'from byte 24, as the file is laid out')
    """
    folder = Path(folder)
    layout, readings, sentences = _readings(folder, period_nm)
    measured = xr.concat([_measured(kernels) for kernels in readings.values()], dim="reading")
    measured = measured.assign_coords(reading=list(readings))
    found = Inspection(layout=layout, readings=readings, measured=measured, sentences=())
    return replace(found, sentences=(*_verdict(found), *sentences))


def _readings(folder: Path, period_nm: float) -> tuple[str, dict[str, SocsKernels], list[str]]:
    if (folder / "scales.txt").is_file() or any((folder / name / "scales.txt").is_file() for name in CONTEST_FOLDERS):
        inside = [folder / name for name in CONTEST_FOLDERS if (folder / name / "scales.txt").is_file()] or [folder]
        sets = {
            _BYTES[start]: read_kernels(
                inside, order="openilt", header_bytes=start, period_nm=period_nm, name=f"{folder.name}, byte {start}"
            )
            for start in (EARLY, WHOLE)
        }
        return "the contest's fh*.bin and scales.txt", _with_realigned(sets), []
    if (folder / "kernels" / "focus.pt").is_file():
        kernels = read_openilt(folder, period_nm=period_nm)
        return "OpenILT's and LithoBench's .pt files", _with_realigned({AS_STORED: kernels}), []
    if (folder / "optKernel_bc.npy").is_file():
        kernels = read_symmetrised(folder / "optKernel_bc.npy", folder / "optKernel_scale.npy", name=folder.name)
        kernels = replace(kernels, period_nm=period_nm)
        said = _of_slots(np.load(folder / "optKernel_bc.npy", allow_pickle=False), kernels)
        return "CurvyILT's .npy arrays", _with_realigned({AS_STORED: kernels}), said
    raise KernelFileError(
        f"{folder}: no kernels of a known layout; there should be scales.txt and fh*.bin (in M1OPC and M1OPC_def, or "
        f"here), or kernels/{SETTINGS[0]}.pt and scales/{SETTINGS[0]}.pt, or optKernel_bc.npy and optKernel_scale.npy"
    )


def _with_realigned(sets: dict[str, SocsKernels]) -> dict[str, SocsKernels]:
    """The readings, and the first of them with its real parts moved by a bin along fy or fx: what helps more."""
    first = next(iter(sets.values()))
    tries = {f"{_MOVED} along {axis}": realign(replace(first, meta={"order": order}))
             for axis, order in (("fy", "openilt"), ("fx", "file"))}  # fmt: skip
    name = min(tries, key=lambda each: _overlap(tries[each]).max())
    return sets | {name: tries[name]}


def _of_slots(array: np.ndarray, kernels: SocsKernels) -> list[str]:
    """Slots 2 and 3 of CurvyILT's array should hold the conjugates of slots 0 and 1, up to phases."""
    if len(array) < 4:
        return [f"{len(array)} slots instead of four: the conjugates are missing"]
    conjugates, slots = (replace(kernels, spectra=s.astype(complex)) for s in (kernels.spectra.conj(), array[2:4]))
    off = float(tcc_distance(conjugates, slots)["tcc_distance"].max())
    if off <= SYMMETRIC:
        return ["slots 2 and 3 are the conjugates of slots 0 and 1"]
    return [f"slots 2 and 3 are NOT the conjugates of slots 0 and 1 but of another set, whose TCC is {off:.2g} away"]


def _overlap(kernels: SocsKernels) -> np.ndarray:
    """(focus,) largest scalar product of two kernels, or of one with itself less 1; dark kernels apart."""
    found = []
    for spectra, weights in zip(kernels.spectra, kernels.weights, strict=True):
        rows = spectra[weights > 0].reshape(int((weights > 0).sum()), -1)
        found.append(np.abs(rows.conj() @ rows.T - np.eye(len(rows))).max())
    return np.array(found)


def _measured(kernels: SocsKernels) -> xr.Dataset:
    values = {"overlap": _overlap(kernels), "clear_field": kernels.clear_field}
    errors = []
    for spectra, weights in zip(kernels.spectra, kernels.weights, strict=True):
        rows = np.sqrt(weights)[:, None] * spectra.reshape(len(weights), -1)
        # The matrix has the eigenvalues of the kernels' own, much smaller, scalar products.
        errors.append(
            np.abs(np.linalg.eigvalsh(rows.conj() @ rows.T)[::-1] - np.sort(weights)[::-1]).max() / max(weights)
        )
    values["weight_error"] = np.array(errors)
    turned = {
        "flip_x": kernels.spectra[..., ::-1],
        "flip_y": kernels.spectra[..., ::-1, :],
        "transposed": kernels.spectra.swapaxes(-1, -2),
    }
    for name, spectra in turned.items():
        values[name] = tcc_distance(kernels, replace(kernels, spectra=np.ascontiguousarray(spectra)))[
            "tcc_distance"
        ].values
    return xr.Dataset(
        {name: column(schema.FOCUS, values[name], text) for name, text in _TEXTS.items()},
        coords={schema.FOCUS: list(kernels.focus_names)},
    )


def _verdict(found: Inspection) -> list[str]:
    used, best = next(iter(found.readings)), found.best
    overlap = {name: found._overlap(name) for name in found.readings}
    sentences = []
    if overlap[used] <= ORTHOGONAL:
        sentences.append(f"the kernels do not overlap (by {overlap[used]:.1g} at most): they are eigenvectors of a TCC")
    else:
        sentences.append(f"{used}: kernels overlap by up to {overlap[used]:.2g}, so they are eigenvectors of no TCC")
        if overlap[best] > ORTHOGONAL:
            sentences.append("and no other reading that is known makes them so")
        elif best == _BYTES[WHOLE]:
            sentences.append(
                f"{best}: they overlap by {overlap[best]:.1g}. The header has {WHOLE} bytes, not {EARLY}: a program "
                f"that skips {EARLY} takes every number {WHOLE - EARLY} bytes too early, and with it real parts that "
                "are one bin off their imaginary parts"
            )
        else:
            sentences.append(
                f"{best}: they overlap by {overlap[best]:.1g}. They were read {WHOLE - EARLY} bytes too early from the "
                "contest's files, so that real parts lie one bin off the imaginary parts"
            )
    of = found.measured.sel(reading=best).max(schema.FOCUS)
    holds = {name: float(of[name]) <= SYMMETRIC for name in _SYMMETRIES}
    kept, broken = ([_SYMMETRIES[n] for n, h in holds.items() if h is said] for said in (True, False))
    which = "" if best == used else f"{best}: "
    if kept:
        most = max(float(of[name]) for name, h in holds.items() if h)
        sentences.append(f"{which}the TCC keeps its value under {', '.join(kept)} (to {most:.1g})")
    if broken:
        worst = ", ".join(f"{float(of[n]):.2g}" for n, h in holds.items() if not h)
        sentences.append(f"{which}it changes under {', '.join(broken)} (by {worst})")
    weights = float(of["weight_error"])
    sentences.append(
        f"{which}the TCC, Hermitian as any sum of systems, has the weights for eigenvalues to {weights:.1g}"
    )
    if not _sorted(found.readings[best]):
        sentences.append(f"{which}the weights do NOT fall from the first to the last: they belong to other kernels")
    clear = found.measured["clear_field"].sel(reading=best).values
    sentences.append(f"{which}a clear mask has the intensity {', '.join(f'{value:.4f}' for value in clear)}")
    if not ((CLEAR[0] <= clear) & (clear <= CLEAR[1])).all():
        sentences[-1] += ", which is NOT near 1: thresholds for a clear field of 1 do not hold for these images"
    return sentences


def _sorted(kernels: SocsKernels) -> bool:
    """Whether the weights fall; equal ones of a degenerate pair may stand in either order."""
    return bool((np.diff(kernels.weights) <= SYMMETRIC * kernels.weights[:, :1]).all())
