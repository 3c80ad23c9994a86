"""Imaging optics: source and pupil -> transmission cross coefficients -> coherent systems; kernel files; comparison."""

from maskopt_lib.optics.compare import aerial_image, compare_kernels, tcc_distance
from maskopt_lib.optics.crop import cropped
from maskopt_lib.optics.displacement import displace, realign
from maskopt_lib.optics.files import read_kernels, read_symmetrised, write_kernels
from maskopt_lib.optics.focus import through_focus
from maskopt_lib.optics.identify import fit_compact, fit_source, identify
from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.optics.library import EMBEDDED, KERNELS, load
from maskopt_lib.optics.numerics import numerics_for, optical_radius_nm
from maskopt_lib.optics.settings import process_names
from maskopt_lib.optics.source import (
    AnnularSource,
    PixelSource,
    PoleSource,
    SectorSource,
    circular,
    dipole,
    quadrupole,
    source_map,
)
from maskopt_lib.optics.spatial import spatial_systems
from maskopt_lib.optics.symmetry import allowed_turns, symmetries
from maskopt_lib.optics.system import ImagingNumerics, OpticalSystem, zernike
from maskopt_lib.optics.tcc import abbe_systems, build_kernels, coherent_systems, tcc_matrix, tcc_of

__all__ = [
    "EMBEDDED",
    "KERNELS",
    "AnnularSource",
    "ImagingNumerics",
    "OpticalSystem",
    "PixelSource",
    "PoleSource",
    "SectorSource",
    "SocsKernels",
    "abbe_systems",
    "aerial_image",
    "allowed_turns",
    "build_kernels",
    "circular",
    "coherent_systems",
    "compare_kernels",
    "cropped",
    "dipole",
    "displace",
    "fit_compact",
    "fit_source",
    "identify",
    "load",
    "numerics_for",
    "optical_radius_nm",
    "process_names",
    "quadrupole",
    "read_kernels",
    "read_symmetrised",
    "realign",
    "source_map",
    "spatial_systems",
    "symmetries",
    "tcc_distance",
    "tcc_matrix",
    "tcc_of",
    "through_focus",
    "write_kernels",
    "zernike",
]
