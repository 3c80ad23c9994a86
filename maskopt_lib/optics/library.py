"""The kernel sets by name, one embedded set, computed, and three read from the contest's files; and through focus."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from maskopt_lib.data import manifest
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.optics import settings
from maskopt_lib.optics.files import CONTEST_FOLDERS, WHOLE, displace, from_files, read_scales, read_symmetrised
from maskopt_lib.optics.identify import compact_system
from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.optics.system import ImagingNumerics
from maskopt_lib.optics.tcc import build_kernels


def load(name: str | os.PathLike) -> SocsKernels:
    """A kernel set by name, or the kernels of a process.

    Parameters
    ----------
    name : one of :data:`KERNELS`, a process of ``data_manifest/processes``, or a process file of your own, ``.yaml``
        (:mod:`maskopt_lib.optics.settings`).

        - ``"embedded"``: computed from our own optical model, needs no file: the optics identified behind the contest
          kernels, with the one-bin displacement of the contest's files applied, so that it stands in for ``"iccad13"``.
        - ``"embedded-ideal"``: the same optics without it; stands in for the symmetrised set.
        - ``"iccad13"``: the genuine contest kernels in OpenILT's array order, read as public programs do.
        - ``"iccad13-transposed"``: the same files with y and x exchanged.
        - ``"iccad13-realigned"``: the same files read from where their numbers begin (24 bytes of header, not 20).
        - ``"iccad13-symmetrised"``: the set that curvyILT's released code used.

    Returns
    -------
    The set; those of :data:`KERNELS` have two focus settings (``focus``, ``defocus``) of 24 kernels, period 2048 nm,
    those of processes the planes of their corners.

    Raises
    ------
    UnknownNameError : lists the known names; or a key of the process file is unknown.
    SchemaError : the process file is no YAML, or a value in it is not what it may be.
    MissingDataError : a file of the contest is not there; ``make data`` fetches it.
    HashMismatchError, KernelFileError : a file is not the one it should be.
    """
    if isinstance(name, str) and name in KERNELS:
        return KERNELS[str(name)](str(name))
    document = settings.read_process(name, also=list(KERNELS))
    if "kernels" in document.value:
        kernels = load(settings.kernel_set(document, KERNELS))
    else:
        planes = [corner.defocus_nm for corner in settings.corners_of(document)]
        kernels = settings.imaging_of(document).kernels(planes, name=settings.name_of(document))
    carried = {"corners": settings.conditions_of(document), "resist": settings.resist_of(document)}
    return replace(kernels, meta=kernels.meta | carried)


#: The compact model (:data:`maskopt_lib.optics.identify.PARAMETERS`) that stands in for the contest's optics, chosen by
#: data other than the contest's ten clips. ``fit_compact`` on the realigned contest kernels gives the start (NA 0.801,
#: sigma 0.597 to 0.809, defocus -46.8 nm, focus spread 41.4 nm, clear fields 0.964 and 0.948). Damped Gauss-Newton
#: steps on these parameters, the clear fields and the phases below, until they gained less than 1 %, then lowered the
#: squared difference of the aerial images, weighted by ``exp(-((I - 0.225) / 0.05)^2 / 2) + 0.02``, of the computed set
#: to ``iccad13-realigned`` and, displaced, to ``iccad13``, 24 kernels each, over both focus settings and 14 masks:
#: seven LithoBench clips (AND2_X4__0_0, AOI222_X2__3_1, DFF_X2__3_0, NOR3_X4__2_1, OAI22_X2__0_0, XOR2_X1__0_1 of
#: StdMetal, AND4_X4__0_0 of StdContact) and the masks that 60 steps of method "curvy" make of them under
#: ``iccad13-symmetrised``. The weighted RMS difference is 1.4e-4 at focus and 1.6e-4 at defocus, on three clips left
#: out (DFFRS_X1__6_1, SDFFR_X1__6_0, FA_X1__1_0) and their masks as well. These values serve the images: width and
#: blur of the poles trade against each other with no loss, so as measurements of the optics take ``identify``.
EMBEDDED = {
    "na": 0.80180,
    "sigma_inner": 0.63168,
    "sigma_outer": 0.77362,
    "opening_deg": 34.206,
    "edge_sigma": 0.07193,
    "edge": 0.03890,
    "image_index": 1.04249,
    "tm_gain": 0.07995,
    "spherical_waves": 0.00628,
    "secondary_spherical_waves": 0.00315,
    "focus_nm": -1.455,
    "defocus_nm": -51.330,
    "focus_spread_nm": 38.010,
}
#: Clear fields of the whole model, before 24 kernels are kept; fitted with :data:`EMBEDDED`.
EMBEDDED_CLEAR_FIELD = (0.95708, 0.94906)
#: Global phase of the genuine kernels at focus and defocus, which the displacement of their real parts makes visible;
#: fitted with :data:`EMBEDDED`. The kernels alone (half the angle of ``sum w_k sum spectra_k^2``) say 1.399 and 1.051.
EMBEDDED_PHASES_RAD = (1.3968, 1.0745)


def _embedded_ideal(name: str) -> SocsKernels:
    systems = [
        replace(compact_system(EMBEDDED, focus=focus), clear_field=clear)
        for focus, clear in enumerate(EMBEDDED_CLEAR_FIELD)
    ]
    return build_kernels(systems, numerics=ImagingNumerics(half_width=17, source_step_sigma=0.07), name=name)


def _genuine(name: str) -> SocsKernels:
    stacks = []
    for folder in CONTEST_FOLDERS:
        scales = manifest.fetch(f"iccad13/kernels/openilt/{folder}/scales.txt")
        count = len(read_scales(scales))
        stacks.append((scales, [manifest.fetch(f"iccad13/kernels/openilt/{folder}/fh{k}.bin") for k in range(count)]))
    if name.endswith("realigned"):
        kernels = from_files(stacks, order="openilt", header_bytes=WHOLE, name=name)
        # The sign of the files' transform shows in no image; conjugated, the set is that of the other names.
        return replace(kernels, spectra=kernels.spectra.conj())
    return from_files(stacks, order="file" if name.endswith("transposed") else "openilt", name=name)


def _symmetrised(name: str) -> SocsKernels:
    folder = "iccad13/kernels/curvyilt"
    return read_symmetrised(
        manifest.fetch(f"{folder}/optKernel_bc.npy"), manifest.fetch(f"{folder}/optKernel_scale.npy"), name=name
    )


#: name -> function that makes the set; a new set is one function and one line here.
KERNELS = {
    "embedded": lambda name: displace(_embedded_ideal(name), EMBEDDED_PHASES_RAD),
    "embedded-ideal": _embedded_ideal,
    "iccad13": _genuine,
    "iccad13-realigned": _genuine,
    "iccad13-symmetrised": _symmetrised,
    "iccad13-transposed": _genuine,
}


#: Defocus of the contest's second focus setting in the embedded optics, counted from its first one.
CONTEST_DEFOCUS_NM = EMBEDDED["defocus_nm"] - EMBEDDED["focus_nm"]


def through_focus(defocus_nm: Sequence[float], *, n_kernels: int | None = 24) -> SocsKernels:
    """Kernels of the embedded optics at the contest's two focus settings and at any others.

    Parameters
    ----------
    defocus_nm : planes to image, counted from the embedded set's best focus, in any order.
    n_kernels : coherent systems kept a focus setting.

    Returns
    -------
    The set: ``focus`` (0 nm) and ``defocus`` first, so that the contest's corners mean what they mean for every other
    set, then the remaining planes in ascending order, named by :func:`focus_name`. ``defocus_nm`` of the set is
    counted from best focus.

    Notes
    -----
    The contest's files hold two focus settings, so nothing but a model of the optics can say what lies between and
    beyond them. This is the model of ``"embedded-ideal"`` (:data:`maskopt_lib.optics.library.EMBEDDED`), its average
    over two planes 38 nm above and below each focus setting included, and without the one-bin displacement of the
    contest's files, which is no optics. Only the defocus changes from setting to setting: the clear field is that of
    best focus, as light is not lost by moving the wafer. The contest's own set is 0.8 % darker at its defocus (fitted,
    :data:`~maskopt_lib.optics.library.EMBEDDED_CLEAR_FIELD`), so ``focus`` is that of ``"embedded-ideal"`` and
    ``defocus`` is its, brighter by this factor.

    Examples
    --------
    >>> kernels = through_focus([-40.0, 0.0, 40.0], n_kernels=6)
    >>> kernels.focus_names
    ('focus', 'defocus', 'focus -40 nm', 'focus +40 nm')
    """
    planes = [0.0, CONTEST_DEFOCUS_NM]
    planes += sorted({float(z) for z in defocus_nm} - set(planes))
    best = replace(compact_system(EMBEDDED, focus=0), clear_field=EMBEDDED_CLEAR_FIELD[0])
    kernels = build_kernels(
        best,
        numerics=ImagingNumerics(half_width=17, source_step_sigma=0.07, n_kernels=n_kernels),
        defocus_nm=planes,
        focus_names=["focus", "defocus", *(focus_name(z) for z in planes[2:])],
        name="embedded-through-focus",
    )
    return replace(kernels, defocus_nm=tuple(planes), meta=kernels.meta | {"best_focus_nm": best.defocus_nm})


def focus_name(defocus_nm: float) -> str:
    """What :func:`through_focus` calls a plane.

    Examples
    --------
    >>> focus_name(-40.0)
    'focus -40 nm'
    """
    return f"focus {defocus_nm:+g} nm"


def kernel_folder(name: str) -> Path:
    """A folder of kernel files of the data manifest, all of it fetched, such as ``"iccad13/kernels/openilt"``.

    Raises
    ------
    UnknownNameError : the manifest has no file below it.
    """
    inside = manifest.names(f"{name}/")
    if not inside:
        raise UnknownNameError(f"the data manifest has nothing below {name!r}; there is iccad13/kernels/openilt")
    paths = [manifest.fetch(each) for each in inside]
    return paths[0].parents[inside[0].count("/") - name.count("/") - 1]
