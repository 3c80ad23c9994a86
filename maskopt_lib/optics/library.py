"""The kernel sets by name: one embedded set, computed, and three read from the contest's files."""

from __future__ import annotations

from maskopt_lib.data import manifest
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.optics.files import CONTEST_FOLDERS, from_files, read_scales, read_symmetrised
from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.optics.source import quadrupole
from maskopt_lib.optics.system import ImagingNumerics, OpticalSystem
from maskopt_lib.optics.tcc import build_kernels


def load(name: str) -> SocsKernels:
    """A kernel set by name.

    Parameters
    ----------
    name : ``"embedded"`` is computed from our own optical model and needs no file; ``"iccad13"`` are the genuine
        contest kernels in OpenILT's array order; ``"iccad13-transposed"`` the same files with y and x exchanged;
        ``"iccad13-symmetrised"`` the set that curvyILT's released code used.

    Returns
    -------
    The set, two focus settings (``focus``, ``defocus``) of 24 kernels, period 2048 nm.

    Raises
    ------
    UnknownNameError : lists the known names.
    MissingDataError : a file of the contest is not there; ``make data`` fetches it.
    HashMismatchError, KernelFileError : a file is not the one it should be.
    """
    if name not in KERNELS:
        raise UnknownNameError(f"unknown kernel set {name!r}; known: {', '.join(KERNELS)}")
    return KERNELS[name](name)


def _embedded(name: str) -> SocsKernels:
    system = OpticalSystem(
        na=0.79, source=quadrupole("cross", sigma_centre=0.72, sigma_radius=0.16, edge_sigma=0.03), edge=0.04
    )
    return build_kernels(system, numerics=ImagingNumerics(half_width=17), defocus_nm=(0.0, 25.0), name=name)


def _genuine(name: str) -> SocsKernels:
    stacks = []
    for folder in CONTEST_FOLDERS:
        scales = manifest.fetch(f"iccad13/kernels/openilt/{folder}/scales.txt")
        count = len(read_scales(scales))
        stacks.append((scales, [manifest.fetch(f"iccad13/kernels/openilt/{folder}/fh{k}.bin") for k in range(count)]))
    return from_files(stacks, order="file" if name.endswith("transposed") else "openilt", name=name)


def _symmetrised(name: str) -> SocsKernels:
    folder = "iccad13/kernels/curvyilt"
    return read_symmetrised(
        manifest.fetch(f"{folder}/optKernel_bc.npy"), manifest.fetch(f"{folder}/optKernel_scale.npy"), name=name
    )


#: name -> function that makes the set; a new set is one function and one line here.
KERNELS = {
    "embedded": _embedded,
    "iccad13": _genuine,
    "iccad13-symmetrised": _symmetrised,
    "iccad13-transposed": _genuine,
}
