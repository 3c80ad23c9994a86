"""One mask through focus and exposure: the planes it is made under, and what is measured of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError
from maskopt_lib.litho import ProcessCorner, Simulator, process
from maskopt_lib.metrics import dimensions as dm
from maskopt_lib.metrics import process_window as pw
from maskopt_lib.optics import SocsKernels

LIMIT, BAND = "limit_nm", "union_band_nm2"
BAND_NAME = "PV band (union over focus and exposure)"
#: Scores of the contest that stand beside the window's own.
SCORES = (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS)


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """What is measured of a mask through focus and exposure.

    Attributes
    ----------
    exposures : relative energies of the focus-exposure matrix, ascending; the square of the contest's dose.
    epe_limits_nm : largest edge placement errors, each of which gives a window.
    cd_tolerance : largest relative difference of a width, which gives another.
    longest_nm : widths above it are not critical.
    mask_bias_nm : how far mask edges move for the mask error enhancement factor.
    band_defocus_nm, band_exposures : the union of the PV band is over every plane up to this far from best focus and
        over exposures between these two.
    """

    exposures: Sequence[float] = tuple(np.round(np.linspace(0.8, 1.2, 17), 6).tolist())
    epe_limits_nm: Sequence[float] = (15.0, 10.0)
    cd_tolerance: float = 0.1
    longest_nm: float = 150.0
    mask_bias_nm: float = 1.0
    band_defocus_nm: float = 60.0
    band_exposures: Sequence[float] = (0.95, 1.05)

    @property
    def criteria(self) -> tuple[str, ...]:
        """Names of the windows, in the order of the ``criterion`` axis."""
        return (*(f"EPE {limit:g} nm" for limit in self.epe_limits_nm), f"CD {100 * self.cd_tolerance:g} %")


def corners_of(kernels: SocsKernels, corners: Mapping[str, Sequence[float]]) -> tuple[ProcessCorner, ...]:
    """The three corners of the kernels, the contest's where they carry none, changed and extended.

    Parameters
    ----------
    kernels : of :func:`maskopt_lib.optics.through_focus`.
    corners : name -> (defocus in nm, dose on the amplitude).

    Raises
    ------
    GridMismatchError : the kernels have no such plane; lists theirs.

    Examples
    --------
    >>> from maskopt_lib import optics
    >>> kernels = optics.through_focus([60.0], n_kernels=2)
    >>> corners_of(kernels, {"far": (60.0, 1.01)})[-1]
    ProcessCorner(name='far', focus=2, dose=1.01)
    """
    found = {corner.name: corner for corner in process.corners_of(kernels)}
    planes = np.asarray(kernels.defocus_nm)
    for name, (defocus_nm, dose) in corners.items():
        near = int(np.argmin(np.abs(planes - defocus_nm)))
        if abs(planes[near] - defocus_nm) > 1e-6:
            raise GridMismatchError(
                f"corner {name!r} wants a defocus of {defocus_nm:g} nm; kernel set {kernels.name!r} has "
                f"{', '.join(f'{z:g}' for z in sorted(planes))} nm: compute it with optics.through_focus"
            )
        found[name] = ProcessCorner(name=name, focus=near, dose=float(dose))
    return tuple(found.values())


def only_planes_of(
    kernels: SocsKernels, corners: Sequence[ProcessCorner]
) -> tuple[SocsKernels, tuple[ProcessCorner, ...]]:
    """The kernels of those planes that some corners ask for, and the corners by their places among these.

    Solvers image every focus setting of a set at each step; planes that no corner uses would only cost time.
    """
    used = sorted({corner.focus for corner in corners})
    chosen = replace(
        kernels,
        spectra=kernels.spectra[used],
        weights=kernels.weights[used],
        focus_names=tuple(kernels.focus_names[i] for i in used),
        defocus_nm=tuple(kernels.defocus_nm[i] for i in used),
    )
    return chosen, tuple(replace(corner, focus=used.index(corner.focus)) for corner in corners)


def measure_window(mask: np.ndarray, target: np.ndarray, sim: Simulator, settings: WindowSettings) -> xr.Dataset:
    """Widths, edges, limits of exposure, slopes and bands of one mask over the focus settings of a simulator.

    Parameters
    ----------
    mask, target : (y, x), 0 or 1.
    sim : with kernels through focus and the contest's three corners first.
    settings : what is measured.

    Returns
    -------
    Dataset with ``focus`` (ascending, coordinate ``defocus_nm``), ``exposure``, ``cut``, ``site``, ``limit_nm`` and
    ``edge``: ``cd_nm`` (focus, exposure, cut), ``edge_error_nm`` (focus, exposure, site), ``site_lowest`` and
    ``site_highest`` (limit_nm, focus, site), ``cut_lowest`` and ``cut_highest`` (focus, cut), ``nils`` (cut, edge) and
    ``meef`` (cut) at best focus, ``union_band_nm2``, and the contest's scores.
    """
    mask = np.asarray(mask, np.float32)
    planes = np.asarray(sim.kernels.defocus_nm)
    order = np.argsort(planes)
    best = int(np.argmin(np.abs(planes[order])))
    # A band-limited image needs few points; splines then say what it is between them.
    n_out = 6 * (2 * sim.kernels.half_width + 1)
    how = {"pixel_nm": sim.kernels.period_nm / n_out, "threshold": sim.threshold}
    grid = sim.grid(mask)

    def through_focus(image: np.ndarray) -> np.ndarray:
        return sim.intensity(image, n_out=n_out).cpu().numpy()[order]

    with torch.no_grad():
        aerial = through_focus(mask)
        biased = [through_focus(dm.biased(mask, sign * settings.mask_bias_nm, grid.pixel_nm)) for sign in (-1, 1)]
        at_best = [image[best : best + 1] for image in biased]
        union, common = union_band(mask, sim, settings)
    sites = metrics.target_sites(target, grid.pixel_nm)
    cuts = dm.cutlines(target, grid.pixel_nm, longest_nm=settings.longest_nm)
    profiles = dm.edge_profiles(aerial, sites, pixel_nm=how["pixel_nm"])
    errors = dm.edge_errors_nm(profiles, settings.exposures, threshold=sim.threshold)
    by_edge = [pw.exposure_limits(aerial, sites, limit_nm=limit, **how) for limit in settings.epe_limits_nm]
    by_width = pw.exposure_limits_of_cds(aerial, cuts, tolerance=settings.cd_tolerance, **how)
    scores = metrics.evaluate(mask, target, sim, only=SCORES)
    errors = schema.column(
        (schema.FOCUS, dm.EXPOSURE, schema.SITE), errors, "edge placement error, positive outwards", "nm"
    )
    band_nm2 = metrics.pvb_nm2(union, common, grid.pixel_nm)
    found = xr.Dataset(
        {
            "cd_nm": dm.critical_dimensions(aerial, cuts, settings.exposures, **how),
            "edge_error_nm": errors,
            "site_lowest": xr.concat([part["lowest"] for part in by_edge], LIMIT),
            "site_highest": xr.concat([part["highest"] for part in by_edge], LIMIT),
            "cut_lowest": by_width["lowest"],
            "cut_highest": by_width["highest"],
            "nils": dm.nils(aerial, cuts, pixel_nm=how["pixel_nm"]).isel({schema.FOCUS: best}, drop=True),
            "meef": dm.meef(*at_best, cuts, bias_nm=settings.mask_bias_nm, **how).isel({schema.FOCUS: 0}, drop=True),
            BAND: schema.column((), band_nm2, BAND_NAME, "nm2"),
        },
        coords={
            pw.DEFOCUS: schema.column(schema.FOCUS, planes[order], "defocus", "nm"),
            dm.EXPOSURE: schema.column(dm.EXPOSURE, np.asarray(settings.exposures, float), "relative exposure"),
            LIMIT: np.asarray(settings.epe_limits_nm, float),
            "target_cd_nm": (dm.CUT, cuts["cd_nm"].values, cuts["cd_nm"].attrs),
        }
        | {
            f"{dim}_{name}": schema.column(dim, values, f"{name} of the {dim}", "nm")
            for dim, name, values in (
                (dm.CUT, "x_nm", (cuts["x0_nm"].values + cuts["x1_nm"].values) / 2),
                (dm.CUT, "y_nm", (cuts["y0_nm"].values + cuts["y1_nm"].values) / 2),
                (schema.SITE, "x_nm", sites["x_nm"].values),
                (schema.SITE, "y_nm", sites["y_nm"].values),
            )
        },
    )
    return found.assign({name: scores[name] for name in SCORES})


def union_band(mask: np.ndarray, sim: Simulator, settings: WindowSettings) -> tuple[np.ndarray, np.ndarray]:
    """Union and intersection (y, x) of all prints of a mask within the settings' range of focus and exposure.

    Prints grow with exposure, so the two ends of its range stand for all between.
    """
    low, high = min(settings.band_exposures), max(settings.band_exposures)
    planes = np.flatnonzero(np.abs(sim.kernels.defocus_nm) <= settings.band_defocus_nm + 1e-6)
    if not planes.size:
        raise GridMismatchError(
            f"kernel set {sim.kernels.name!r} has no plane within {settings.band_defocus_nm:g} nm of best focus"
        )
    with torch.no_grad():
        image = sim.intensity(np.asarray(mask, np.float32))[planes.tolist()]
        most, least = image.amax(0), image.amin(0)
        return (most >= sim.threshold / high).cpu().numpy(), (least >= sim.threshold / low).cpu().numpy()
