"""Kernels for other programs: OpenILT's and LithoBench's ``.pt`` files, and CurvyILT's ``.npy`` arrays.

The layouts, read in the programs (OpenILT ``pylitho/exact.py`` and the script that made its files, commit 6e6fa4f;
LithoBench has the same lines; CurvyILT ``curvyilt.py`` of May 2025)::

    kernels/focus.pt, defocus.pt        (n, n, kernel) complex128, [fy, fx, k], zero frequency at [n // 2, n // 2]
    kernels/ct_focus.pt, ct_defocus.pt  the conjugate of these, transposed in fy and fx, for the programs' gradient
    kernels/combo_*.pt                  (n, n): the sum of the first nine, each times the root of its scale
    scales/focus.pt, defocus.pt         (kernel,) float64;  scales/combo.pt: one, 1

    optKernel_bc.npy     (4, kernel, n, n) complex64, [slot, k, fy, fx]: focus, defocus, and the conjugates of both
    optKernel_scale.npy  (4, kernel) float32: scales of the four slots

All multiply them with the spectrum of a mask of 2048 x 2048 pixels of 1 nm, transformed with the factor 1 / 2048^2, so
one bin is 1 / 2048 nm: kernels of another period are for another number of pixels, or other pixels, to them. The
contest's own ``fh*.bin`` are in :mod:`maskopt_lib.optics.files`.
"""

import io
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from maskopt_lib import files
from maskopt_lib.errors import GridMismatchError, KernelFileError
from maskopt_lib.optics.kernels import SocsKernels

#: Names of the two focus settings in the files.
SETTINGS = ("focus", "defocus")
# Kernels that OpenILT sums up for its fast gradient.
_COMBINED = 9


def padded(kernels: SocsKernels, half_width: int) -> SocsKernels:
    """The same optics on a wider array of frequencies, zero where it passes none: 17 for the contest's 35 x 35."""
    more = half_width - kernels.half_width
    if more < 0:
        raise GridMismatchError(
            f"kernels of {2 * kernels.half_width + 1} x {2 * kernels.half_width + 1} frequencies do not fit into "
            f"{2 * half_width + 1} x {2 * half_width + 1}; take a shorter period, or a wider array"
        )
    return replace(kernels, spectra=np.pad(kernels.spectra, ((0, 0), (0, 0), (more, more), (more, more))))


def write_openilt(kernels: SocsKernels, folder: str | os.PathLike) -> list[Path]:
    """Write a kernel set as OpenILT and LithoBench load it; their ``KernelDir`` is the folder.

    Parameters
    ----------
    kernels : one or two focus settings; of one the file of the defocus is the same.
    folder : where the folders ``kernels`` and ``scales`` are made.

    Returns
    -------
    The files written. Set the programs' ``KernelNum`` to the number of kernels.
    """
    import torch

    arrays, scales = _two(kernels)
    contents: dict[str, np.ndarray] = {"scales/combo.pt": np.ones(1)}
    for name, spectra, weights in zip(SETTINGS, arrays, scales, strict=True):
        stack = np.ascontiguousarray(np.moveaxis(spectra, 0, -1))
        combined = (np.sqrt(weights) * stack)[..., :_COMBINED].sum(-1)
        turned, turned_sum = (np.ascontiguousarray(each.conj().swapaxes(0, 1)) for each in (stack, combined))
        contents |= {f"kernels/{name}.pt": stack, f"kernels/ct_{name}.pt": turned, f"scales/{name}.pt": weights}
        contents |= {f"kernels/combo_{name}.pt": combined, f"kernels/combo_ct_{name}.pt": turned_sum}
    written = []
    for name, array in contents.items():
        path = Path(folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        torch.save(torch.from_numpy(array), buffer)
        files.write_bytes(path, buffer.getvalue())
        written.append(path)
    return written


def read_openilt(folder: str | os.PathLike, *, period_nm: float = 2048.0, name: str = "") -> SocsKernels:
    """A kernel set from files as OpenILT and LithoBench load them; the other way of :func:`write_openilt`.

    Parameters
    ----------
    folder : with the folders ``kernels`` and ``scales``.
    period_nm : side of the field; the files do not hold it.

    Raises
    ------
    KernelFileError : a file is missing, or holds no tensor of that layout.
    """
    spectra, weights = [], []
    for setting in SETTINGS:
        stack, scale = (_tensor(Path(folder) / part / f"{setting}.pt") for part in ("kernels", "scales"))
        if stack.ndim != 3 or stack.shape[0] != stack.shape[1] or scale.shape != stack.shape[2:]:
            raise KernelFileError(
                f"{folder}: kernels of {setting} are {stack.shape} and their scales {scale.shape}; OpenILT's are "
                "(n, n, kernel) and (kernel,)"
            )
        spectra.append(np.moveaxis(stack, -1, 0).astype(np.complex128))
        weights.append(scale.real.astype(float))
    return _made(spectra, weights, period_nm, name or Path(folder).name)


def write_curvyilt(kernels: SocsKernels, folder: str | os.PathLike) -> list[Path]:
    """Write a kernel set as CurvyILT loads it from its folder ``tcc``; one or two focus settings."""
    arrays, scales = _two(kernels)
    Path(folder).mkdir(parents=True, exist_ok=True)
    slots = np.concatenate([arrays, arrays.conj()]).astype(np.complex64)
    written = []
    weights = np.concatenate([scales, scales]).astype(np.float32)
    for name, array in (("optKernel_bc.npy", slots), ("optKernel_scale.npy", weights)):
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=False)
        files.write_bytes(Path(folder) / name, buffer.getvalue())
        written.append(Path(folder) / name)
    return written


def _two(kernels: SocsKernels) -> tuple[np.ndarray, np.ndarray]:
    """Spectra and weights of focus and defocus, each kernel of unit norm, its weight taking up the factor."""
    if len(kernels.focus_names) > 2:
        raise KernelFileError(f"{len(kernels.focus_names)} focus settings; these layouts hold two, focus and defocus")
    chosen = [0, len(kernels.focus_names) - 1]
    norm = np.linalg.norm(kernels.spectra, axis=(-2, -1))[chosen]
    safe = np.where(norm > 0, norm, 1.0)
    return kernels.spectra[chosen] / safe[..., None, None], kernels.weights[chosen] * norm**2


def _tensor(path: Path) -> np.ndarray:
    import torch

    try:
        value = torch.load(path, map_location="cpu", weights_only=True)
        return value.numpy()
    except Exception as error:  # what torch makes of a file that is none of its own has no common kind
        said = f"{type(error).__name__}: {error}"
        raise KernelFileError(f"{path}: holds no tensor that can be read ({said})") from error


def _made(spectra, weights, period_nm: float, name: str) -> SocsKernels:
    try:
        return SocsKernels(
            spectra=np.array(spectra),
            weights=np.array(weights),
            focus_names=SETTINGS,
            defocus_nm=(0.0, float("nan")),
            period_nm=period_nm,
            name=name,
            meta={"order": "openilt"},
        )
    except ValueError as error:  # of unequal shapes numpy makes no array
        raise KernelFileError(f"{name}: focus and defocus are of two sizes ({error})") from error
