"""Which optics made a kernel set? Source, aperture, polarisation and defocus, recovered from the kernels alone.

The kernels of an untruncated system are eigenvectors of its transmission cross coefficients ``T``. So a model is
tried on the equations ``T u_k = lambda_k u_k`` for the kernels ``u_k`` and weights ``lambda_k`` that are given: nothing
is said about what was truncated, and truncation does not disturb the fit. ``T`` is a sum over source points, so for a
given pupil the source follows by non-negative least squares, and since every ``T_s`` has rank one to six, the normal
equations need only inner products of the rows ``p_s`` of ``T_s = sum_c p_sc p_sc^H``::

    <T_s U, T_s' U> = sum_cd Re (p_sc^H p_s'd) (p_s'd^H U) (U^H p_sc)        <T_s U, U L> = sum_c p_sc^H U L U^H p_sc

The contest optics is symmetric under all eight symmetries of the square once its files are realigned (see
:mod:`maskopt_lib.optics.files`), so one eighth of the source is computed and the rest is an index permutation.
"""

from dataclasses import replace

import numpy as np
import xarray as xr
from scipy import optimize

from maskopt_lib.data.schema import column
from maskopt_lib.errors import KernelFileError
from maskopt_lib.optics.files import realign
from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.optics.source import SectorSource, circular
from maskopt_lib.optics.system import OpticalSystem

#: Where the search starts: dry 193 nm, the aperture and the cross of four poles that the kernels' support suggests.
START = OpticalSystem(
    na=0.8,
    source=SectorSource(
        angles_deg=(0.0, 90.0, 180.0, 270.0), opening_deg=35.0, sigma_inner=0.6, sigma_outer=0.8, edge_sigma=0.06
    ),
    polarisation="tangential",
    obliquity="aplanatic",
    image_index=1.05,
    edge=0.02,
)


class _Equations:
    """Kernels of one focus setting as eigenvectors, with the eight symmetries of the square as permutations."""

    def __init__(self, kernels: SocsKernels, focus: int) -> None:
        half, size = kernels.half_width, 2 * kernels.half_width + 1
        y, x = np.mgrid[-half : half + 1, -half : half + 1]
        # Leave out the corners no kernel reaches; the rest is closed under the symmetries.
        self.inside = np.hypot(y, x).ravel() <= half + 0.5
        number = np.full(size * size, -1)
        number[self.inside] = np.arange(self.inside.sum())
        self.images = []
        for flip_y in (1, -1):
            for flip_x in (1, -1):
                for u, v in ((flip_y * y, flip_x * x), (flip_x * x, flip_y * y)):
                    self.images.append(number[((u + half) * size + v + half).ravel()[self.inside]])
        self.y, self.x = y.ravel()[self.inside], x.ravel()[self.inside]
        self.period_nm = kernels.period_nm
        self.weights = kernels.weights[focus]
        self.vectors = kernels.spectra[focus].reshape(len(self.weights), -1)[:, self.inside].T
        overlap = np.abs(self.vectors.conj().T @ self.vectors - np.eye(len(self.weights))).max()
        if overlap > 1e-3:
            raise KernelFileError(
                f"the kernels of {kernels.name!r} overlap by up to {overlap:.2g}, so they are no eigenvectors; "
                "realign the contest's files first (optics.realign)"
            )
        self.right = self.vectors * self.weights
        self.turned = np.concatenate([self.vectors[image] for image in self.images], axis=1)

    def rows(self, system: OpticalSystem, sigma_y: np.ndarray, sigma_x: np.ndarray) -> np.ndarray:
        """(component, point, frequency) of ``system.fields`` for the source points given."""
        scale = self.period_nm * system.cutoff_per_nm
        return system.fields(
            self.y / scale + sigma_y[:, None], self.x / scale + sigma_x[:, None], sigma_y[:, None], sigma_x[:, None]
        )

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """``T U`` of the rows and their seven mirror images."""
        product = rows.T @ (rows.conj() @ self.turned)
        count = len(self.weights)
        total = np.zeros_like(self.vectors)
        for i, image in enumerate(self.images):
            total[image] += product[:, i * count : (i + 1) * count]
        return total / len(self.images)


def fit_source(kernels: SocsKernels, system: OpticalSystem, *, focus: int = 0, step_sigma: float = 0.06) -> xr.Dataset:
    """The source that explains a kernel set best for a given pupil, by non-negative least squares.

    Parameters
    ----------
    kernels : kernels that are eigenvectors, i.e. orthogonal; realign the contest's files first.
    system : pupil, polarisation and defocus; its source is not used.
    focus : index of the focus setting.
    step_sigma : distance of source points, up to a radius of 0.96.

    Returns
    -------
    ``source(sigma_y, sigma_x)`` with sum 1 and symmetric under the square's symmetries, and ``residual``, the norm of
    ``T U - U Lambda`` over that of ``U Lambda``.

    Notes
    -----
    One bin of the contest's grid is 0.12 in sigma, so detail finer than that is not determined and the map comes out
    as isolated points; its outline and moments are what it tells.
    """
    return _fit_source(_Equations(kernels, focus), system, step_sigma)


def _fit_source(equations: _Equations, system: OpticalSystem, step_sigma: float) -> xr.Dataset:
    sigma_max = 0.96
    half = int(np.floor(sigma_max / step_sigma + 1e-9))
    iy, ix = np.mgrid[0 : half + 1, 0 : half + 1]
    one_eighth = (iy <= ix) & (np.hypot(iy, ix) * step_sigma <= sigma_max + 1e-9)
    iy, ix = iy[one_eighth], ix[one_eighth]
    rows = equations.rows(system, iy * step_sigma, ix * step_sigma)
    lit = [rows[c].conj() @ equations.vectors for c in range(len(rows))]
    right = sum((np.abs(part) ** 2 * equations.weights).sum(axis=1) for part in lit)
    normal = np.zeros((len(iy), len(iy)))
    for image in equations.images:
        mirrored = np.empty_like(rows)
        mirrored[..., image] = rows
        for c, row in enumerate(rows):
            for other in mirrored:
                lit_other = (other.conj() @ equations.vectors).T
                normal += ((row.conj() @ other.T) * (lit[c].conj() @ lit_other)).real / len(equations.images)
    total = np.sum(equations.weights**2)
    # Least squares from its normal equations: a square root of the matrix stands in for the equations.
    values, vectors = np.linalg.eigh((normal + normal.T) / 2)
    keep = values > 1e-10 * values[-1]
    root, basis = np.sqrt(values[keep]), vectors[:, keep].T
    solution, _ = optimize.nnls(root[:, None] * basis, basis @ right / root, maxiter=100 * len(iy))
    residual = np.sqrt(max(0.0, solution @ normal @ solution - 2 * right @ solution + total) / total)
    picture = np.zeros((2 * half + 1, 2 * half + 1))
    for u, v in ((iy, ix), (ix, iy)):
        for p in (1, -1):
            for q in (1, -1):
                np.add.at(picture, (half + p * u, half + q * v), solution / 8)
    axis = np.arange(-half, half + 1) * step_sigma
    return xr.Dataset(
        {
            "source": column(("sigma_y", "sigma_x"), picture / picture.sum(), "source (share of the light)"),
            "residual": column((), residual, "residual of the eigenvector equations"),
        },
        coords={"sigma_y": column("sigma_y", axis, "sigma y"), "sigma_x": column("sigma_x", axis, "sigma x")},
    )


#: Parameters of the compact model: name -> (start, unit). The poles are blurred sectors of a ring.
PARAMETERS = {
    "na": (0.80, "1"),
    "sigma_inner": (0.605, "1"),
    "sigma_outer": (0.805, "1"),
    "opening_deg": (35.3, "degree"),
    "edge_sigma": (0.064, "1"),
    "edge": (0.035, "1"),
    "image_index": (1.05, "1"),
    "tm_gain": (0.067, "1"),
    "spherical_waves": (0.0044, "1"),
    "secondary_spherical_waves": (0.002, "1"),
    "focus_nm": (0.0, "nm"),
    "defocus_nm": (-46.0, "nm"),
    "focus_spread_nm": (40.0, "nm"),
}


def compact_system(parameters: dict[str, float], *, focus: int) -> OpticalSystem:
    """The optical system of the compact model at one focus setting.

    Parameters
    ----------
    parameters : one value for each name of :data:`PARAMETERS`.
    focus : 0 for best focus (``focus_nm``), 1 for the contest's defocus (``defocus_nm``).
    """
    p = parameters
    ring = {name: p[name] for name in ("sigma_inner", "sigma_outer", "opening_deg")}
    return replace(
        START,
        **{name: p[name] for name in ("na", "image_index", "tm_gain")},
        source=replace(START.source, **ring, edge_sigma=abs(p["edge_sigma"])),
        edge=abs(p["edge"]),
        zernike_waves=((11, p["spherical_waves"]), (22, p["secondary_spherical_waves"])),
        defocus_nm=p["defocus_nm"] if focus else p["focus_nm"],
        focus_spread_nm=abs(p["focus_spread_nm"]),
    )


def fit_compact(kernels: SocsKernels, *, max_steps: int = 12) -> xr.Dataset:
    """Parameters of the compact model that explain a kernel set best.

    Parameters
    ----------
    kernels : orthogonal kernels at focus and defocus; realign the contest's files first.
    max_steps : iterations of the least-squares solver.

    Returns
    -------
    ``value`` and ``start`` over ``parameter``; over ``focus``: ``residual`` of the eigenvector equations and
    ``clear_field``, the clear-field intensity of the whole (not truncated) model at which its energy fits best.
    """
    equations = [_Equations(kernels, focus) for focus in range(2)]
    start = {name: value for name, (value, _) in PARAMETERS.items()}
    # One unit of the solver is the change of a parameter that matters about as much as that of any other.
    scale = dict.fromkeys(PARAMETERS, 0.02) | {"opening_deg": 2.0}
    scale |= dict.fromkeys(("focus_nm", "defocus_nm", "focus_spread_nm"), 5.0)
    scale |= dict.fromkeys(("spherical_waves", "secondary_spherical_waves"), 0.002)

    def model(values: dict[str, float], focus: int) -> tuple[np.ndarray, float, float]:
        system = compact_system(values, focus=focus)
        y, x, weight = system.source.sample(0.05)
        one_eighth = (y >= 0) & (y <= x)
        y, x, weight = y[one_eighth], x[one_eighth], weight[one_eighth]
        orbit = np.where((y < 1e-9) | (np.abs(x - y) < 1e-9), 4, 8)
        rows = equations[focus].rows(system, y, x) * np.sqrt(weight * orbit)[:, None]
        applied = equations[focus].apply(rows.reshape(-1, rows.shape[-1]))
        right = equations[focus].right
        best = np.vdot(applied, right).real / np.vdot(applied, applied).real
        difference = (best * applied - right) / np.linalg.norm(right)
        axis = np.flatnonzero((equations[focus].y == 0) & (equations[focus].x == 0))[0]
        return difference, float(best * np.sum(np.abs(rows[..., axis]) ** 2)), float(np.linalg.norm(difference))

    def values_of(vector: np.ndarray) -> dict[str, float]:
        return {name: start[name] + v * scale[name] for name, v in zip(PARAMETERS, vector, strict=True)}

    def differences(vector: np.ndarray) -> np.ndarray:
        parts = [model(values_of(vector), focus)[0].ravel() for focus in range(2)]
        return np.concatenate([part.view(np.float64) for part in parts])

    options = {"diff_step": 1e-2, "x_scale": 1.0, "max_nfev": max_steps, "ftol": 1e-5}
    result = optimize.least_squares(differences, np.zeros(len(PARAMETERS)), **options)
    values = values_of(result.x)
    fits = [model(values, focus) for focus in range(2)]
    values, starts = ([chosen[name] for name in PARAMETERS] for chosen in (values, start))
    return xr.Dataset(
        {
            "value": column("parameter", values, "fitted value", "as in coordinate unit"),
            "start": column("parameter", starts, "start value", "as in coordinate unit"),
            "residual": column("focus", [fit[2] for fit in fits], "residual of the eigenvector equations"),
            "clear_field": column("focus", [fit[1] for fit in fits], "clear field of the whole model"),
        },
        coords={
            "parameter": list(PARAMETERS),
            "unit": ("parameter", [unit for _, unit in PARAMETERS.values()]),
            "focus": list(kernels.focus_names[:2]),
        },
    )


def identify(kernels: SocsKernels, *, full: bool = False) -> xr.Dataset:
    """The optics behind the contest kernels: aperture, polarisation, source map, defocus, and the compact model.

    Parameters
    ----------
    kernels : the genuine set as loaded (it is realigned here), or any orthogonal set of two focus settings that is
        symmetric under the symmetries of the square.
    full : a finer source grid and finer scans; a few minutes instead of some seconds.

    Returns
    -------
    ``residual_na(polarisation, na)`` at focus, ``residual_defocus(defocus_nm)`` of the second set,
    ``source(sigma_y, sigma_x)`` at the best aperture, and the variables of :func:`fit_compact`.
    """
    if "real_part_moved_bins" not in kernels.meta and kernels.meta.get("order") in ("openilt", "file"):
        kernels = realign(kernels)
    step = 0.05 if full else 0.08
    na_values = np.round(np.arange(0.76, 0.8401, 0.005 if full else 0.02), 4)
    defocus_values_nm = np.arange(-70.0, 71.0, 5.0 if full else 20.0)
    at_focus, off_focus = _Equations(kernels, 0), _Equations(kernels, 1)
    lights = ("scalar", "unpolarised", "azimuthal", "tangential") if full else ("scalar", "tangential")
    # Directions in air here: the plainest model, with nothing fitted but the source.
    plain = replace(START, source=circular(0.9), image_index=None)
    residual_na = [
        [float(_fit_source(at_focus, replace(lit, na=float(na)), step)["residual"]) for na in na_values]
        for lit in (replace(plain, polarisation=light) for light in lights)
    ]
    best_na = float(na_values[int(np.argmin(residual_na[-1]))])
    best = replace(plain, na=best_na)
    residual_defocus = [
        float(_fit_source(off_focus, replace(best, defocus_nm=float(z)), step)["residual"]) for z in defocus_values_nm
    ]
    ds = _fit_source(at_focus, best, 0.04 if full else 0.06)
    ds = ds.rename(residual="residual_source").merge(fit_compact(kernels, max_steps=20 if full else 8))
    text = "residual of the eigenvector equations"
    ds = ds.assign(
        residual_na=column(("polarisation", "na"), residual_na, text),
        residual_defocus=column("defocus_nm", residual_defocus, text),
    ).assign_coords(
        polarisation=list(lights),
        na=column("na", na_values, "numerical aperture"),
        defocus_nm=column("defocus_nm", defocus_values_nm, "defocus", "nm"),
    )
    return ds.assign_attrs(kernels=kernels.name, best_na=best_na)
