"""How long a mask takes to write: by shots of a variable-shaped beam, or by area with many beams.

The number of shots is a cost to one kind of writer only. A *variable-shaped beam* (VSB) exposes one rectangle after the
other; each shot takes the time to settle and the time to get its dose. A *multi-beam* writer exposes every pixel of the
mask in one sweep whatever is drawn: its time is that of the field's area, the same for every mask.
"""

from dataclasses import dataclass

import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.options import NotNegative, Options, Positive

#: A mask is this many times as large as what it prints.
REDUCTION = 4


@dataclass(frozen=True, kw_only=True)
class ShapedBeam(Options):
    """A variable-shaped-beam writer, one pass; the defaults stand for the last of its kind before many beams took over.

    Attributes
    ----------
    current_density_a_cm2 : of the beam, 1200 A/cm2 as NuFlare announced it for its EBM-9500.
    dose_uc_cm2 : that the resist needs; 75 uC/cm2, the dose for which the MBM-1000 is specified, so that both write the
        same resist.
    settling_ns : between two shots. No maker prints it; 100 ns is an order of magnitude, and to be replaced.
    """

    current_density_a_cm2: Positive = 1200.0
    dose_uc_cm2: Positive = 75.0
    settling_ns: NotNegative = 100.0

    @property
    def shot_ns(self) -> float:
        """Time of one shot: settling, and dose by current density (uC over A is us)."""
        return self.settling_ns + 1e3 * self.dose_uc_cm2 / self.current_density_a_cm2


@dataclass(frozen=True, kw_only=True)
class MultiBeam(Options):
    """A multi-beam writer; its time depends on the area alone.

    Attributes
    ----------
    hours, width_mm, height_mm : of a whole mask: 12 h for 100 x 130 mm2 at 75 uC/cm2, the specification of NuFlare's
        MBM-1000 (H. Matsumoto et al., Proc. SPIE 9984, 2016; quoted second-hand).
    """

    hours: Positive = 12.0
    width_mm: Positive = 100.0
    height_mm: Positive = 130.0

    def field_us(self, field_nm: float) -> float:
        """Time for a square field of a side given at wafer scale."""
        share = (REDUCTION * field_nm * 1e-6) ** 2 / (self.width_mm * self.height_mm)
        return self.hours * 3.6e9 * share


def with_write_times(
    scores: xr.Dataset, field_nm: float, *, shaped: ShapedBeam | None = None, multi: MultiBeam | None = None
) -> xr.Dataset:
    """Scores with the two write times of each mask.

    Parameters
    ----------
    scores : with ``shots``, which :func:`~maskopt_lib.metrics.count_shots` counts on a grid of its own.
    field_nm : side of the field at wafer scale.
    shaped, multi : the writers; their defaults where none is given.

    Returns
    -------
    The Dataset with ``vsb_write_us`` and ``multibeam_write_us``, in us a field. Overheads that do not depend on the
    mask (stage, calibration, further passes) are in neither; the first is that of shots of the counted rectangles,
    without the largest size that a writer's shots have.

    Examples
    --------
    >>> shots = xr.Dataset({"shots": ("sample", [400, 800])})
    >>> timed = with_write_times(shots, 2048.0)
    >>> timed.vsb_write_us.values.round(1), timed.multibeam_write_us.values.round(1)
    (array([ 65., 130.]), array([223., 223.]))
    """
    shaped, multi = shaped or ShapedBeam(), multi or MultiBeam()
    shots = scores[schema.SHOTS]
    times = {
        schema.VSB_WRITE: (1e-3 * shaped.shot_ns * shots).drop_attrs(),
        schema.MULTIBEAM_WRITE: (0.0 * shots + multi.field_us(field_nm)).drop_attrs(),
    }
    return schema.label(scores.assign(times))
