"""Imaging optics: source and pupil -> transmission cross coefficients -> coherent systems; kernel files; comparison."""

from maskopt_lib.optics.compare import aerial_image, allowed_turns, compare_kernels, symmetries, tcc_distance
from maskopt_lib.optics.exchange import padded, read_openilt, write_curvyilt, write_openilt
from maskopt_lib.optics.files import displace, read_kernels, read_symmetrised, realign, write_kernels
from maskopt_lib.optics.identify import fit_compact, fit_source, identify
from maskopt_lib.optics.inspection import Inspection, inspect
from maskopt_lib.optics.kernels import SocsKernels, cropped, spatial_systems
from maskopt_lib.optics.library import EMBEDDED, KERNELS, kernel_folder, load, through_focus
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
from maskopt_lib.optics.system import ImagingNumerics, OpticalSystem, numerics_for, optical_radius_nm, zernike
from maskopt_lib.optics.tcc import abbe_systems, build_kernels, coherent_systems, tcc_matrix
