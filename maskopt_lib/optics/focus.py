"""The embedded optics at as many focus settings as wanted: what process windows are made of."""

from collections.abc import Sequence
from dataclasses import replace

from maskopt_lib.optics.identify import compact_system
from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.optics.library import EMBEDDED, EMBEDDED_CLEAR_FIELD
from maskopt_lib.optics.system import ImagingNumerics
from maskopt_lib.optics.tcc import build_kernels

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
