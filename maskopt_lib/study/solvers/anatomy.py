"""Recipes of the anatomy notebook: what an optimisation does from step to step, and what the optics makes of shapes.

Each function computes one thing to look at and returns it labelled; :mod:`maskopt_lib.figures.anatomy` draws it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from scipy import ndimage
from torch import Tensor

from maskopt_lib import metrics, opc
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError
from maskopt_lib.litho import Simulator
from maskopt_lib.opc import morphology
from maskopt_lib.opc.pixels import coarse, fine_nearest, whole
from maskopt_lib.optics import SocsKernels
from maskopt_lib.study.pictures import cropped, pictures, pixel_of
from maskopt_lib.study.solvers.masks import Trial

_PLANE = (schema.Y, schema.X)
#: What a share of the gradient can mean; see :func:`corner_gradient_share`.
READINGS = ("on the print", "on the mask", "caused, of the sum", "caused, of the net")


class WatchedSimulator(Simulator):
    """A simulator that keeps masks it is asked to image, so that any solver can be watched at work.

    Parameters
    ----------
    kernels : as for :class:`~maskopt_lib.litho.Simulator`.
    keep : which calls to keep the mask of, counted from 0. A solver that images once a step is seen at these steps.

    Attributes
    ----------
    seen : call -> the mask, detached.
    """

    def __init__(self, kernels: SocsKernels, *, keep: Iterable[int], **settings) -> None:
        super().__init__(kernels, **settings)
        self.seen: dict[int, Tensor] = {}
        self._keep = frozenset(keep)
        self._calls = 0

    def aerial(self, mask, **how) -> Tensor:
        """As for :meth:`~maskopt_lib.litho.Simulator.aerial`."""
        if self._calls in self._keep:
            self.seen[self._calls] = torch.as_tensor(mask).detach().clone()
        self._calls += 1
        return super().aerial(mask, **how)


# Morphology


def structuring_elements(sizes_px: Sequence[int] = (3, 5, 9, 25, 39)) -> xr.Dataset:
    """The round elements of the morphology, as pixels.

    Parameters
    ----------
    sizes_px : diameters, odd.

    Returns
    -------
    Dataset (size_px, dy_px, dx_px) with ``element``, 0 or 1, and ``pixels``, how many there are.
    """
    radius = max(sizes_px) // 2
    at = np.arange(-radius, radius + 1)
    images = np.zeros((len(sizes_px), len(at), len(at)), np.uint8)
    for image, size in zip(images, sizes_px, strict=True):
        for dy, half_width in enumerate(morphology.ellipse(size), start=radius - size // 2):
            image[dy, radius - half_width : radius + half_width + 1] = 1
    along = {"units": "px"}
    return xr.Dataset(
        {
            "element": (("size_px", "dy_px", "dx_px"), images, {"long_name": "structuring element", "units": "1"}),
            "pixels": ("size_px", images.sum((1, 2), dtype=int), {"long_name": "pixels of the element", "units": "1"}),
        },
        coords={"size_px": list(sizes_px), "dy_px": ("dy_px", at, along), "dx_px": ("dx_px", at, along)},
    )


def operators_on_shape(size_px: int = 39) -> xr.Dataset:
    """Every operator on one Manhattan shape with a sliver and a slot narrower than the element.

    Parameters
    ----------
    size_px : diameter of the element in pixels of 1 nm, odd.

    Returns
    -------
    Dataset of ``image`` (operator, y, x), 0 or 1, in the order of the paper's Figure 2: the shape first, the
    retargeted design (``opening + closing - shape``) last.
    """
    shape = np.zeros((340, 420), np.uint8)
    shape[60:280, 50:140] = 1  # an upright,
    shape[60:150, 50:370] = 1  # its foot,
    shape[210:230, 140:200] = 1  # a sliver of 20 nm,
    shape[176:280, 250:370] = 1  # and a block with a slot of 26 nm below it
    mask = torch.as_tensor(shape)
    images = {
        "shape": mask,
        "erosion": morphology.erode_binary(mask, size_px),
        "dilation": morphology.dilate_binary(mask, size_px),
        "opening": morphology.open_binary(mask, size_px),
        "closing": morphology.close_binary(mask, size_px),
        "opening + closing - shape": morphology.round_corners_binary(mask, size_px, size_px),
    }
    stacked = np.stack([image.numpy() for image in images.values()])
    return schema.label(
        xr.Dataset(
            {"image": (("operator", schema.Y, schema.X), stacked, {"long_name": "image", "units": "1"})},
            coords={
                "operator": list(images),
                schema.Y: np.arange(shape.shape[0]) + 0.5,
                schema.X: np.arange(shape.shape[1]) + 0.5,
            },
            attrs={"size_px": size_px},
        )
    )


# Prints


def printed_layers(masks: xr.DataArray, target: xr.DataArray, kernels: SocsKernels) -> xr.Dataset:
    """What some masks of one clip print, beside the target, with their scores.

    Parameters
    ----------
    masks : (*, y, x) transmissions with one leading dimension, on the target's grid.
    target : (y, x), 0 or 1.
    kernels : to print with.

    Returns
    -------
    The whole :func:`~maskopt_lib.study.pictures.pictures`, and each mask's ``l2_nm2`` and ``pvb_nm2`` (*).
    """
    layers = pictures(masks.reset_coords(drop=True), target.reset_coords(drop=True), kernels, margin_nm=None)
    for score, measure, images in (
        (schema.L2, metrics.l2_nm2, (schema.NOMINAL, "target")),
        (schema.PVB, metrics.pvb_nm2, (schema.OUTER, schema.INNER)),
    ):
        layers[score] = xr.apply_ufunc(
            measure, *(layers[name] for name in images), pixel_of(layers), vectorize=True,
            input_core_dims=[_PLANE, _PLANE, []],
        )  # fmt: skip
    return schema.label(layers)


def content(layers: xr.Dataset) -> xr.Dataset:
    """The square part of :func:`printed_layers` that holds target and masks, on every second pixel."""
    return cropped(layers, 60, square=True, every=2)


def edge_sites(masks: xr.DataArray, wanted: xr.DataArray, kernels: SocsKernels) -> xr.Dataset:
    """Every EPE site of a target with the signed edge error under each mask.

    Parameters
    ----------
    masks, wanted, kernels : as for :func:`printed_layers`.

    Returns
    -------
    Dataset (*, site): that of :func:`maskopt_lib.metrics.epe_sites`, and ``probe_nm``, the distance of the probes.
    """
    sim = Simulator(kernels)
    found = []
    for mask in masks:
        aerial = sim.aerial(mask.values.astype(np.float32), corners=[schema.NOMINAL])[0]
        found.append(metrics.epe_sites(aerial, wanted.values, pixel_nm=pixel_of(wanted), threshold=sim.threshold))
    sites = xr.concat(found, masks[masks.dims[0]], data_vars=["edge_error_nm", "lost", "violates15", "violates3"])
    return sites.assign_attrs(kernels=kernels.name)


def without_neighbours(wanted: xr.DataArray) -> xr.DataArray:
    """One clip with and without context: as drawn, and only the shape that lies nearest to its middle.

    Parameters
    ----------
    wanted : (y, x) target, 0 or 1.

    Returns
    -------
    (context, y, x) uint8 with the entries "in context" and "alone".
    """
    shapes, count = ndimage.label(wanted.values)
    if count < 2:
        raise GridMismatchError(f"a clip of {count} shape(s) has no neighbours to leave out; choose another")
    centres = np.array(ndimage.center_of_mass(wanted.values, shapes, np.arange(1, count + 1)))
    middle = np.average(centres, axis=0)
    alone = shapes == 1 + np.argmin(np.hypot(*(centres - middle).T))
    both = np.stack([wanted.values, alone]).astype(np.uint8)
    coords = {"context": ["in context", "alone"], schema.Y: wanted[schema.Y], schema.X: wanted[schema.X]}
    return xr.DataArray(both, dims=("context", schema.Y, schema.X), coords=coords)


# The optimisation


def trajectory(
    wanted: xr.DataArray, kernels: SocsKernels, trial: Trial, *, stages: Mapping[str, int], final: str = "final"
) -> xr.Dataset:
    """The mask at some steps of an optimisation and at its end, with what each prints.

    Parameters
    ----------
    wanted : (y, x) target, 0 or 1.
    kernels : to optimise and to print with.
    trial : the solver; it has to image its mask once a step, as ``curvy`` does.
    stages : name -> step whose mask is kept: grey, as the solver images it, on the solver's pixels.
    final : name of the last stage, the binary mask that the solver returns.

    Returns
    -------
    Dataset as of :func:`printed_layers` over ``stage``, cut to its content, with ``step`` and the history.

    Raises
    ------
    GridMismatchError : a stage lies beyond the last step.
    """
    sim = WatchedSimulator(kernels, keep=stages.values())
    changes = trial.options_of(str(wanted.coords.get(schema.SAMPLE, xr.DataArray("")).item()))
    result = opc.solve(wanted.values, sim, method=trial.method, preset=trial.preset, **changes)
    last = result.history.sizes[schema.STEP] - 1
    if beyond := {name: step for name, step in stages.items() if step not in sim.seen}:
        raise GridMismatchError(f"stages {beyond} lie beyond the last step, {last}; choose others or more steps")
    n = wanted.sizes[schema.X]
    greys = [fine_nearest(sim.seen[step].reshape(1, *sim.seen[step].shape[-2:]).cpu(), n // sim.seen[step].shape[-1])
             for step in stages.values()]  # fmt: skip
    images = np.stack([*(grey[0].numpy() for grey in greys), result.mask.astype(np.float32)])
    masks = xr.DataArray(
        images,
        dims=("stage", schema.Y, schema.X),
        coords={"stage": [*stages, final], schema.Y: wanted[schema.Y], schema.X: wanted[schema.X]},
    )
    layers = content(printed_layers(masks, wanted, kernels))
    step = ("stage", [*stages.values(), last], {"long_name": "step", "units": "1"})
    return layers.assign_coords(at_step=step).assign_attrs(trial=trial.label, stopped_by=result.stopped_by)


def corner_gradient_share(
    wanted: xr.DataArray,
    kernels: SocsKernels,
    *,
    steps: Sequence[int],
    preset: str = "published",
    element_nm: float = 39.0,
    fine_nm: float = 1.0,
    device: str | torch.device = "cpu",
) -> xr.Dataset:
    """How much of the gradient the corners of the target take, with and without retargeting (CDR).

    CurvyILT is run towards the target as drawn and towards the retargeted one. At each of ``steps`` the objective of
    that run is split into what the pixels of the corner regions contribute to it and what all others do. A corner
    region is where drawn and retargeted target differ.

    Parameters
    ----------
    wanted : (sample, y, x) targets, 0 or 1.
    kernels : to optimise with.
    steps : at which to look; the mask is taken as the solver images it.
    preset : of the method ``"curvy"``; says which print the fidelity compares.
    element_nm : diameter of the element that rounds corners.
    fine_nm : pixel on which prints and target are compared.
    device : where to compute.

    Returns
    -------
    Dataset with ``share`` (aim, sample, step, objective, reading), 0 to 1, and ``area_share`` and ``target_share``
    (sample): area of the corner regions relative to the whole tile and to the target.

    Notes
    -----
    With ``L`` the objective, ``C`` the corner regions and ``L_C``, ``L_R`` what corners and the rest contribute:

    - *on the print*: the part of ``sum |dL/dprint|`` on the pixels of ``C``, summed over the prints that ``L`` sees;
    - *on the mask*: the part of ``sum |dL/dmask|`` on the mask's pixels in ``C``;
    - *caused, of the sum*: ``|dL_C/dmask| / (|dL_C/dmask| + |dL_R/dmask|)``, the corners' pull against all pulls;
    - *caused, of the net*: ``|dL_C/dmask| / |dL/dmask|``, the corners' pull against what moves the mask after all
      pulls have cancelled each other as far as they do; it can exceed 1.

    All with sums of absolute values, and with the grey mask that is imaged. With the latent image behind it in the
    mask's place the last two are a tenth to two thirds larger (three contest clips). Retargeted corners are finer than
    2 nm: there, ``fine_nm=2`` makes the last two a third or more smaller than 1; for corners as drawn both agree to a
    tenth.
    """
    pixel_nm = pixel_of(wanted)
    element_px = whole(element_nm, pixel_nm, "element_nm")
    fine = whole(fine_nm, pixel_nm, "fine_nm")
    drawn = torch.as_tensor(wanted.values, device=device)
    retargeted = morphology.round_corners_binary(drawn, element_px, element_px)
    region = drawn != retargeted
    aims = {"target as drawn": (None, drawn), "retargeted (CDR)": (element_nm, retargeted)}
    plain = Simulator(kernels, device=device)
    corner = opc.METHODS["curvy"].presets[preset].fidelity_corner
    shares = np.empty((len(aims), len(drawn), len(steps), 2, len(READINGS)))
    for a, (retarget_nm, aim) in enumerate(aims.values()):
        for s in range(len(drawn)):
            watched = WatchedSimulator(kernels, keep=steps, device=device)
            changes = {"n_steps": max(max(steps), 1), "retarget_nm": retarget_nm, "cleanup": None}
            opc.solve(drawn[s], watched, method="curvy", preset=preset, **changes)
            parts = [coarse(image[s : s + 1], fine, plain.dtype) for image in (aim, region)]
            for k, step in enumerate(steps):
                shares[a, s, k] = _shares(watched.seen[step], *parts, plain, corner)
    area = region.sum((1, 2)).cpu().numpy()
    ds = xr.Dataset(
        {
            "share": (
                ("aim", schema.SAMPLE, schema.STEP, "objective", "reading"),
                shares,
                {"long_name": "share of the corner regions in the gradient", "units": "1"},
            ),
            "area_share": (
                schema.SAMPLE,
                area / region[0].numel(),
                {"long_name": "area of the corner regions / area of the tile", "units": "1"},
            ),
            "target_share": (
                schema.SAMPLE,
                area / wanted.sum((schema.Y, schema.X)).values,
                {"long_name": "area of the corner regions / area of the target", "units": "1"},
            ),
        },
        coords={
            "aim": list(aims),
            schema.SAMPLE: wanted[schema.SAMPLE].values,
            schema.STEP: list(steps),
            "objective": ["fidelity", "fidelity + PV band"],
            "reading": list(READINGS),
        },
        attrs={"kernels": kernels.name, "preset": preset, "fidelity_corner": corner, "element_nm": element_nm},
    )
    return schema.label(ds)


def _shares(mask: Tensor, aim: Tensor, region: Tensor, sim: Simulator, corner: str) -> np.ndarray:
    """(objective, reading) shares of one clip at one mask (1, y, x)."""
    mask = mask.clone().requires_grad_()
    n = aim.shape[-1]
    corners = list(dict.fromkeys([corner, schema.INNER, schema.OUTER]))
    prints = sim.resist(mask, n_out=n, corners=corners)
    resist = dict(zip(corners, prints.unbind(-3), strict=True))
    terms = (resist[corner] - aim).square(), (resist[schema.INNER] - resist[schema.OUTER]).square()
    on_mask = coarse(region, n // mask.shape[-1], mask.dtype)
    by_print = by_corners = by_rest = 0
    rows = []
    for term in terms:  # the second objective is the sum of both terms
        by_print = by_print + torch.autograd.grad(term.sum(), prints, retain_graph=True)[0]
        by_corners = by_corners + torch.autograd.grad((term * region).sum(), mask, retain_graph=True)[0]
        by_rest = by_rest + torch.autograd.grad((term * (1 - region)).sum(), mask, retain_graph=True)[0]
        # (1, corner, y, x) against (1, y, x)
        on_print = (by_print.abs() * region[:, None]).sum() / by_print.abs().sum()
        net = (by_corners + by_rest).abs()
        caused, other = by_corners.abs().sum(), by_rest.abs().sum()
        row = [on_print, (net * on_mask).sum() / net.sum(), caused / (caused + other), caused / net.sum()]
        rows.append([float(value) for value in row])
    return np.array(rows)


# What the optics makes of shapes


def through_pitch(
    kernels: SocsKernels, *, width_nm: float = 100.0, smallest_pitch_nm: float = 170.0, pixel_nm: float = 2.0
) -> xr.Dataset:
    """Printed width of a line in endless gratings of every pitch that fits the field, from dense to isolated.

    Parameters
    ----------
    kernels : to print with.
    width_nm : of the lines, as drawn.
    smallest_pitch_nm : gratings are as dense as this.
    pixel_nm : of the mask; line edges are anti-aliased.

    Returns
    -------
    Dataset with ``cd_nm`` (corner, pitch_nm), nan where no line prints, ``intensity`` (pattern, x_nm) and
    ``drawn`` (pattern, x_nm): cut lines of the nominal image and of the mask through the densest grating and the
    isolated line, x from the line's middle.

    Notes
    -----
    Pitches are the field's period over a whole number, so that every grating is endless; the largest pitch is the
    period itself, where the next line is out of the optics' reach.
    """
    sim = Simulator(kernels)
    period = kernels.period_nm
    pitches = period / np.arange(int(period // smallest_pitch_nm), 0, -1)
    masks = [_lines(sim, [period / 2 + i * p for i in range(round(period / p))], width_nm, pixel_nm) for p in pitches]
    cuts = np.stack([_cut(sim, mask, sim.corners) for mask in masks])
    x_nm = (np.arange(len(masks[0])) + 0.5) * pixel_nm - period / 2
    edges = np.array([[_printed_edges(x_nm, cut, sim.threshold) for cut in of_pitch] for of_pitch in cuts])
    shown = [0, -1]
    inside = np.abs(x_nm) <= 400
    pattern = [f"dense, pitch {pitches[0]:.0f} nm", "isolated"]
    return xr.Dataset(
        {
            "cd_nm": (
                (schema.CORNER, "pitch_nm"),
                (edges[..., 1] - edges[..., 0]).T,
                {"long_name": "printed width", "units": "nm"},
            ),
            "intensity": (
                ("pattern", "x_nm"),
                cuts[shown, 0][:, inside],
                {"long_name": "aerial intensity (clear field = 1)", "units": "1"},
            ),
            "drawn": (
                ("pattern", "x_nm"),
                np.stack([masks[i] for i in shown])[:, inside],
                {"long_name": "mask", "units": "1"},
            ),
        },
        coords={
            schema.CORNER: list(sim.corners),
            "pitch_nm": ("pitch_nm", pitches, {"long_name": "pitch", "units": "nm"}),
            "pattern": pattern,
            "x_nm": ("x_nm", x_nm[inside], {"long_name": "x from the line's middle", "units": "nm"}),
        },
        attrs={"kernels": kernels.name, "width_nm": width_nm, "threshold": sim.threshold},
    )


def neighbour_influence(
    kernels: SocsKernels,
    *,
    width_nm: float = 100.0,
    gaps_nm: Sequence[float] = tuple(range(70, 901, 10)),
    tolerance_nm: float = 0.5,
    pixel_nm: float = 2.0,
) -> xr.Dataset:
    """How far the printed edges of a line move when a second line comes near, over the space between the two.

    Parameters
    ----------
    kernels : to print with.
    width_nm : of both lines.
    gaps_nm : drawn spaces between them.
    tolerance_nm : the optical radius is the largest space at which an edge moves by at least this.
    pixel_nm : of the mask; line edges are anti-aliased.

    Returns
    -------
    Dataset with ``shift_nm`` (edge, gap_nm), outwards positive, nan where the two lines print as one, ``reach_nm`` and
    the attribute ``tolerance_nm``.
    """
    sim = Simulator(kernels)
    middle = kernels.period_nm / 2
    x_nm = (np.arange(round(kernels.period_nm / pixel_nm)) + 0.5) * pixel_nm - middle

    def edges(centres: Sequence[float]) -> tuple[float, float]:
        cut = _cut(sim, _lines(sim, centres, width_nm, pixel_nm), [schema.NOMINAL])[0]
        return _printed_edges(x_nm, cut, sim.threshold)

    left, right = edges([middle])
    moved = np.array([edges([middle, middle + width_nm + gap]) for gap in gaps_nm])
    shift = np.stack([moved[:, 1] - right, left - moved[:, 0]])
    gaps = np.asarray(gaps_nm, float)
    # A bridge is no edge of the line any more.
    shift[:, moved[:, 1] > width_nm / 2 + gaps] = np.nan
    strong = gaps[(np.abs(np.nan_to_num(shift, nan=np.inf)) >= tolerance_nm).any(0)]
    return xr.Dataset(
        {
            "shift_nm": (("edge", "gap_nm"), shift, {"long_name": "shift of the printed edge", "units": "nm"}),
            "reach_nm": ((), float(strong.max(initial=0.0)), {"long_name": "optical radius", "units": "nm"}),
        },
        coords={
            "edge": ["facing the neighbour", "facing away"],
            "gap_nm": ("gap_nm", gaps, {"long_name": "space to the neighbour", "units": "nm"}),
        },
        attrs={"kernels": kernels.name, "width_nm": width_nm, "tolerance_nm": tolerance_nm},
    )


def spectrum_of_square(
    kernels: SocsKernels,
    *,
    side_nm: float = 400.0,
    bands: Sequence[float] = (1, 1.5, 2, 3, 4, 6, 8),
    pixel_nm: float = 2.0,
    shown_nm: float = 700.0,
) -> xr.Dataset:
    """A square's spectrum, the part of it that the optics passes, and what becomes of the corners.

    Parameters
    ----------
    kernels : to print with.
    side_nm : of the square.
    bands : pass bands, as multiples of the optics' own, for which the corner is followed.
    pixel_nm : of the mask; must divide half the square.
    shown_nm : side of the pictures.

    Returns
    -------
    Dataset of ``mask``, ``low_passed`` (all frequencies of the optics' band at full strength, the others gone) and
    ``aerial`` over (y, x); ``spectrum`` (fy, fx), amplitude relative to its maximum; ``pull_back_nm`` (band), the
    distance of the rounded corner from the drawn one along the diagonal, for an ideal pass band of that size, with the
    contour at half the amplitude; ``printed_pull_back_nm`` and ``edge_shift_nm`` of the real print; ``band_per_um``.
    """
    n = round(kernels.period_nm / pixel_nm)
    at = (np.arange(n) + 0.5) * pixel_nm - kernels.period_nm / 2
    inside = np.abs(at) < side_nm / 2
    mask = np.outer(inside, inside).astype(float)
    spectrum = np.fft.fftshift(np.fft.fft2(mask))
    f = np.fft.fftshift(np.fft.fftfreq(n, pixel_nm)) * 1e3
    radius = np.hypot(f[:, None], f)
    band = _band_per_um(kernels)

    def passed(multiple: float) -> np.ndarray:
        return np.fft.ifft2(np.fft.ifftshift(np.where(radius <= multiple * band, spectrum, 0))).real

    sim = Simulator(kernels)
    aerial = sim.aerial(mask, corners=[schema.NOMINAL])[0].cpu().double().numpy()
    pull_back = [_pull_back_nm(at, passed(b), side_nm, 0.5) for b in bands]
    near, low = np.abs(at) <= shown_nm / 2, np.abs(f) <= 3.2 * band
    plane = (schema.Y, schema.X)
    crop = np.ix_(near, near)
    edge = _printed_edges(at, aerial[n // 2], sim.threshold)[1] - side_nm / 2
    ds = xr.Dataset(
        {
            "mask": (plane, mask[crop], {"long_name": "mask", "units": "1"}),
            "low_passed": (plane, passed(1)[crop], {"long_name": "mask without what the optics blocks", "units": "1"}),
            "aerial": (plane, aerial[crop], {"long_name": "aerial intensity", "units": "1"}),
            "spectrum": (
                ("fy_per_um", "fx_per_um"),
                (np.abs(spectrum) / np.abs(spectrum).max())[np.ix_(low, low)],
                {"long_name": "amplitude of the spectrum, relative", "units": "1"},
            ),
            "pull_back_nm": ("band", pull_back, {"long_name": "corner pull-back", "units": "nm"}),
            "printed_pull_back_nm": (
                (),
                _pull_back_nm(at, aerial, side_nm, sim.threshold),
                {"long_name": "corner pull-back of the print", "units": "nm"},
            ),
            "edge_shift_nm": ((), edge, {"long_name": "shift of the print's straight edge", "units": "nm"}),
            "band_per_um": ((), band, {"long_name": "pass band of the optics", "units": "1/um"}),
        },
        coords={
            schema.Y: at[near],
            schema.X: at[near],
            "fy_per_um": ("fy_per_um", f[low], {"long_name": "fy", "units": "1/um"}),
            "fx_per_um": ("fx_per_um", f[low], {"long_name": "fx", "units": "1/um"}),
            "band": ("band", list(bands), {"long_name": "pass band, multiple of the optics' own", "units": "1"}),
        },
        attrs={"kernels": kernels.name, "side_nm": side_nm, "threshold": sim.threshold},
    )
    return schema.label(ds)


def _band_per_um(kernels: SocsKernels, *, energy: float = 0.999) -> float:
    """Radius of the circle in frequency that holds nearly all of the kernels' energy at best focus, in 1/um."""
    h = kernels.half_width
    power = np.einsum("k,kyx->yx", kernels.weights[0], np.abs(kernels.spectra[0]) ** 2)
    f = np.arange(-h, h + 1) / kernels.period_nm * 1e3
    radius = np.hypot(f[:, None], f).ravel()
    order = np.argsort(radius)
    held = np.cumsum(power.ravel()[order]) / power.sum()
    return float(radius[order][np.searchsorted(held, energy)])


def _lines(sim: Simulator, centres_nm: Sequence[float], width_nm: float, pixel_nm: float) -> np.ndarray:
    """(n,) covered share of each pixel by upright lines on the periodic field."""
    period = sim.kernels.period_nm
    borders = np.arange(round(period / pixel_nm) + 1) * pixel_nm
    covered = np.zeros(len(borders))
    for centre in centres_nm:
        for turn in (-period, 0, period):  # the field is periodic
            covered += np.clip(borders - (centre - width_nm / 2 + turn), 0, width_nm)
    return np.diff(covered) / pixel_nm


def _cut(sim: Simulator, line_mask: np.ndarray, corners: Sequence[str]) -> np.ndarray:
    """(corner, x) image of a mask that does not change along y."""
    mask = torch.as_tensor(line_mask).expand(len(line_mask), -1)
    return sim.aerial(mask, corners=corners)[:, 0].cpu().double().numpy()


def _printed_edges(x_nm: np.ndarray, intensity: np.ndarray, threshold: float) -> tuple[float, float]:
    """Where the print that holds x = 0 ends on both sides; nan where nothing prints there."""
    middle = int(np.argmin(np.abs(x_nm)))
    if intensity[middle] < threshold:
        return np.nan, np.nan
    found = []
    for step in (-1, 1):
        i = middle
        while 0 <= i + step < len(x_nm) and intensity[i + step] >= threshold:
            i += step
        j = i + step
        if not 0 <= j < len(x_nm):
            return np.nan, np.nan
        found.append(x_nm[i] + (x_nm[j] - x_nm[i]) * (intensity[i] - threshold) / (intensity[i] - intensity[j]))
    return found[0], found[1]


def _pull_back_nm(at: np.ndarray, image: np.ndarray, side_nm: float, level: float) -> float:
    """Distance along the diagonal from the square's corner inwards to the contour of a level."""
    inwards = np.arange(-20.0, side_nm / np.sqrt(2), 0.25)
    place = side_nm / 2 - inwards / np.sqrt(2)
    index = (place - at[0]) / (at[1] - at[0])
    profile = ndimage.map_coordinates(image, [index, index], order=3)
    first = int(np.argmax(profile >= level))
    return float(np.interp(level, profile[first - 1 : first + 1], inwards[first - 1 : first + 1]))
