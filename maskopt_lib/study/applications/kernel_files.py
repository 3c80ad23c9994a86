"""Kernels written for other programs and read back as they read them: do they give our image?"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from maskopt_lib import optics
from maskopt_lib.litho import Process
from maskopt_lib.optics import SocsKernels
from maskopt_lib.runs.gather import labelled
from maskopt_lib.runs.paths import located

#: Name of a layout -> folder below which it is written.
LAYOUTS = {"OpenILT, LithoBench: .pt": "openilt", "fh*.bin and scales": "contest", "CurvyILT: .npy": "tcc"}


def source_of(process: Process) -> xr.DataArray:
    """The source of a process's optics as a picture over ``sigma_y`` and ``sigma_x``."""
    if process.system is None:
        raise ValueError(f"process {process.name!r} is a kernel set, whose files do not hold its source")
    axis, values = optics.source_map(process.system.source)
    sigma = {"long_name": "sigma", "units": "1"}
    return xr.DataArray(
        values,
        dims=("sigma_y", "sigma_x"),
        coords={"sigma_y": ("sigma_y", axis, sigma), "sigma_x": ("sigma_x", axis, sigma)},
        attrs={"long_name": "weight of the source", "units": "1"},
    )


def write_all(kernels: SocsKernels, folder: Path) -> dict[str, Path]:
    """Write a set in all of :data:`LAYOUTS`; gives the folder of each."""
    folders = {name: folder / part for name, part in LAYOUTS.items()}
    pt, contest, npy = folders.values()
    optics.write_openilt(kernels, pt)
    optics.write_kernels(kernels, contest, order="openilt")
    optics.write_curvyilt(kernels, npy)
    return folders


def read_back(kernels: SocsKernels, folders: Mapping[str, Path], masks: Mapping[str, np.ndarray]) -> xr.Dataset:
    """Image masks with kernels from files, as the programs of each layout do, beside our own image.

    Parameters
    ----------
    kernels : that were written.
    folders : of :func:`write_all`.
    masks : name -> (n, n) mask, one period.

    Returns
    -------
    Dataset over ``layout``: ``largest_difference`` of the aerial images of all masks and focus settings.
    """
    readers = dict(zip(LAYOUTS.values(), (_openilt, _contest, _curvyilt), strict=True))
    rows = {}
    for name, folder in folders.items():
        differences = []
        for focus, (spectra, weights) in enumerate(zip(*readers[LAYOUTS[name]](folder), strict=True)):
            for mask in masks.values():
                ours = optics.aerial_image(mask, kernels, focus=focus)
                differences.append(np.abs(_imaged(mask, spectra, weights) - ours).max())
        rows[(name,)] = {"largest_difference": float(max(differences))}
    return labelled(
        rows, ("layout",), texts={"largest_difference": "largest difference from our image (clear field 1)"}
    )


def folder_of(name: str) -> Path:
    """A folder of kernels: of one's own, else of the data manifest."""
    own = Path(located(name))
    return own if own.is_dir() else optics.library.kernel_folder(name)


def _imaged(mask: np.ndarray, spectra: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """As ``_kernelMult`` and ``_LithoSim.forward`` of OpenILT do: all pixels, a transform with the factor 1 / n^2."""
    n, half = len(mask), spectra.shape[-1] // 2
    spectrum = np.fft.fft2(mask.astype(float), norm="forward")
    fields = np.zeros((len(weights), n, n), complex)
    for rows, kernel_rows in ((slice(0, half + 1), slice(half, None)), (slice(-half, None), slice(0, half))):
        for columns, kernel_columns in ((slice(0, half + 1), slice(half, None)), (slice(-half, None), slice(0, half))):
            fields[:, rows, columns] = spectrum[rows, columns] * spectra[:, kernel_rows, kernel_columns]
    return np.sum(weights[:, None, None] * np.abs(np.fft.ifft2(fields, norm="forward")) ** 2, axis=0)


def _openilt(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """``Kernel`` of OpenILT's ``pylitho/exact.py``: the last axis, the kernels, comes first."""
    parts = [
        [torch.load(folder / part / f"{name}.pt", weights_only=True) for name in optics.exchange.SETTINGS]
        for part in ("kernels", "scales")
    ]
    return [stack.permute(2, 0, 1).numpy() for stack in parts[0]], [scale.numpy() for scale in parts[1]]


def _contest(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """``DumpKernel`` of OpenILT: five words are skipped, numbers go in pairs to the last but one, axes are swapped."""
    spectra, weights = [], []
    for name in optics.files.CONTEST_FOLDERS:
        lines = (folder / name / "scales.txt").read_text().splitlines()
        weights.append(np.array([float(line) for line in lines[1:]]))
        stack = []
        for k in range(int(lines[0])):
            words = np.frombuffer((folder / name / f"fh{k}.bin").read_bytes(), ">f4").astype(float)
            pairs = words[5 : len(words) - 1].reshape(-1, 2)
            n = round(len(pairs) ** 0.5)
            stack.append((pairs[:, 0] + 1j * pairs[:, 1]).reshape(n, n).T)
        spectra.append(np.array(stack))
    return spectra, weights


def _curvyilt(folder: Path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """``get_kernels`` of CurvyILT: slots 0 and 1 are focus and defocus."""
    arrays = (np.load(folder / name, allow_pickle=False) for name in ("optKernel_bc.npy", "optKernel_scale.npy"))
    kernels, scales = (array[:2] for array in arrays)
    return list(kernels), list(scales.astype(float))
