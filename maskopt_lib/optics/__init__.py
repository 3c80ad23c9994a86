"""Imaging optics: source and pupil -> transmission cross coefficients -> coherent systems; kernel files; comparison."""

from maskopt_lib.optics.files import read_kernels, read_symmetrised, write_kernels
from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.optics.library import KERNELS, load
from maskopt_lib.optics.source import AnnularSource, PixelSource, PoleSource, SectorSource, circular, dipole, quadrupole
from maskopt_lib.optics.system import ImagingNumerics, OpticalSystem, zernike
from maskopt_lib.optics.tcc import abbe_systems, build_kernels, coherent_systems, tcc_matrix, tcc_of

__all__ = [
    "KERNELS",
    "AnnularSource",
    "ImagingNumerics",
    "OpticalSystem",
    "PixelSource",
    "PoleSource",
    "SectorSource",
    "SocsKernels",
    "abbe_systems",
    "build_kernels",
    "circular",
    "coherent_systems",
    "dipole",
    "load",
    "quadrupole",
    "read_kernels",
    "read_symmetrised",
    "tcc_matrix",
    "tcc_of",
    "write_kernels",
    "zernike",
]
