"""Which symmetries of the square an optical set-up has: turn the mask, and the image is the turned image."""

from dataclasses import replace

import numpy as np
import xarray as xr

from maskopt_lib.data.schema import column
from maskopt_lib.data.turns import TURNS, turned
from maskopt_lib.optics.compare import tcc_distance
from maskopt_lib.optics.kernels import SocsKernels

#: Relative distance of the cross coefficients up to which two set-ups count as one: files in single precision keep a
#: symmetry to some 2e-6, and what misses one by design is off by 1e-3 and more.
SAME = 1e-5


def symmetries(kernels: SocsKernels) -> xr.Dataset:
    """Measure all eight turns of a kernel set.

    Parameters
    ----------
    kernels : systems of any set.

    Returns
    -------
    Dataset over ``turn`` (see :mod:`maskopt_lib.data.turns`): ``tcc_distance`` between the set and the turned set, the
    larger of its focus settings, and ``holds``, where it is at most :data:`SAME`.

    Notes
    -----
    Turning the spectra turns the optics. Equal cross coefficients mean equal images of every mask, whatever the
    coherent systems that carry them are.

    Examples
    --------
    >>> from maskopt_lib import optics
    >>> found = symmetries(optics.load("embedded"))
    >>> found.turn.values[found.holds.values].tolist()
    [0, 4]
    """
    turns = (replace(kernels, spectra=np.ascontiguousarray(turned(kernels.spectra, turn))) for turn in TURNS)
    distance = np.array([float(tcc_distance(kernels, other).tcc_distance.max()) for other in turns])
    return xr.Dataset(
        {
            "tcc_distance": column("turn", distance, "relative distance of the cross coefficients after the turn"),
            "holds": column("turn", distance <= SAME, "is a symmetry"),
        },
        coords={"turn": column("turn", np.array(TURNS), "turn of the square")},
        attrs={"kernels": kernels.name, "tolerance": SAME},
    )


def allowed_turns(kernels: SocsKernels) -> tuple[int, ...]:
    """The turns that are symmetries of a kernel set, the identity first; see :func:`symmetries`."""
    measured = symmetries(kernels)
    return tuple(measured["turn"].values[measured["holds"].values].tolist())
