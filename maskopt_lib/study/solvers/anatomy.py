"""Recipes of the anatomy notebook: what an optimisation does from step to step.

Each function computes one thing to look at and returns it labelled; :mod:`maskopt_lib.figures.anatomy` draws it.
"""

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
from maskopt_lib.study.labelled_images import cropped, images, pictures, pixel_of
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


def structuring_elements() -> xr.Dataset:
    """The round elements of the morphology, as pixels.

    Returns
    -------
    Dataset (size_px, dy_px, dx_px) with ``element``, 0 or 1, and ``pixels``, how many there are; ``size_px`` are the
    diameters.
    """
    sizes_px = (3, 5, 9, 25, 39)
    radius = max(sizes_px) // 2
    images = np.zeros((len(sizes_px), 2 * radius + 1, 2 * radius + 1), np.uint8)
    for image, size in zip(images, sizes_px, strict=True):
        for dy, half_width in enumerate(morphology.ellipse(size), start=radius - size // 2):
            image[dy, radius - half_width : radius + half_width + 1] = 1
    offsets = {dim: (dim, np.arange(-radius, radius + 1), {"units": "px"}) for dim in ("dy_px", "dx_px")}
    return xr.Dataset(
        {
            "element": schema.column(("size_px", "dy_px", "dx_px"), images, "structuring element"),
            "pixels": schema.column("size_px", images.sum((1, 2), dtype=int), "pixels of the element"),
        },
        coords={"size_px": list(sizes_px)} | offsets,
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
    operators = {
        "shape": mask,
        "erosion": morphology.erode_binary(mask, size_px),
        "dilation": morphology.dilate_binary(mask, size_px),
        "opening": morphology.open_binary(mask, size_px),
        "closing": morphology.close_binary(mask, size_px),
        "opening + closing - shape": morphology.round_corners_binary(mask, size_px, size_px),
    }
    image = images(np.stack(list(operators.values())), 1.0, operator=operators)
    return image.assign_attrs(long_name="image", units="1").to_dataset(name="image").assign_attrs(size_px=size_px)


# Prints


def printed_layers(masks: xr.DataArray, target: xr.DataArray, kernels: SocsKernels) -> xr.Dataset:
    """What some masks of one clip print, beside the target, with their scores.

    Parameters
    ----------
    masks : ``(*, y, x)`` transmissions with one leading dimension, on the target's grid.
    target : (y, x), 0 or 1.
    kernels : to print with.

    Returns
    -------
    The whole :func:`~maskopt_lib.study.labelled_images.pictures`, and each mask's ``l2_nm2`` and ``pvb_nm2`` ``(*)``.
    """
    layers = pictures(masks.reset_coords(drop=True), target.reset_coords(drop=True), kernels, margin_nm=None)
    for score, measure, pair in (
        (schema.L2, metrics.l2_nm2, (schema.NOMINAL, "target")),
        (schema.PVB, metrics.pvb_nm2, (schema.OUTER, schema.INNER)),
    ):
        prints, core = [layers[name] for name in pair], {"input_core_dims": [_PLANE, _PLANE, []]}
        layers[score] = xr.apply_ufunc(measure, *prints, pixel_of(layers), vectorize=True, **core).drop_attrs()
    return schema.label(layers)


def content(layers: xr.Dataset) -> xr.Dataset:
    """The square part of :func:`printed_layers` that holds target and masks, on every second pixel.

    Parameters
    ----------
    layers : Dataset over y and x (nm) with ``target`` and ``mask``.
    """
    return cropped(layers, 60, square=True, every=2)


def edge_sites(masks: xr.DataArray, target: xr.DataArray, kernels: SocsKernels) -> xr.Dataset:
    """Every EPE site of a target with the signed edge error under each mask.

    Parameters
    ----------
    masks, target, kernels : as for :func:`printed_layers`.

    Returns
    -------
    Dataset ``(*, site)``: that of :func:`maskopt_lib.metrics.epe_sites`, and ``probe_nm``, the distance of the probes.
    """
    sim = Simulator(kernels)
    settings = {"pixel_nm": pixel_of(target), "threshold": sim.threshold}
    aerials = [sim.aerial(mask.values.astype(np.float32), corners=[schema.NOMINAL])[0] for mask in masks]
    sites = [metrics.epe_sites(aerial, target.values, **settings) for aerial in aerials]
    under_each = ["edge_error_nm", "lost", "violates15", "violates3"]
    return xr.concat(sites, masks[masks.dims[0]], data_vars=under_each).assign_attrs(kernels=kernels.name)


def without_neighbours(target: xr.DataArray) -> xr.DataArray:
    """One clip with and without context: as drawn, and only the shape that lies nearest to its middle.

    Parameters
    ----------
    target : (y, x), 0 or 1.

    Returns
    -------
    (context, y, x) uint8 with the entries "in context" and "alone".
    """
    shapes, count = ndimage.label(target.values)
    if count < 2:
        raise GridMismatchError(f"a clip of {count} shape(s) has no neighbours to leave out; choose another")
    centres = np.array(ndimage.center_of_mass(target.values, shapes, np.arange(1, count + 1)))
    middle = np.average(centres, axis=0)
    alone = shapes == 1 + np.argmin(np.hypot(*(centres - middle).T))
    both = np.stack([target.values, alone]).astype(np.uint8)
    return xr.DataArray(
        both, {"context": ["in context", "alone"], **{dim: target[dim] for dim in _PLANE}}, ("context", *_PLANE)
    )


# The optimisation


def trajectory(target: xr.DataArray, kernels: SocsKernels, trial: Trial, *, stages: Mapping[str, int]) -> xr.Dataset:
    """The mask at some steps of an optimisation and at its end, with what each prints.

    Parameters
    ----------
    target : (y, x), 0 or 1.
    kernels : to optimise and to print with.
    trial : the solver; it has to image its mask once a step, as ``curvy`` does.
    stages : name -> step whose mask is kept: grey, as the solver images it, on the solver's pixels.

    Returns
    -------
    Dataset as of :func:`printed_layers` over ``stage``, cut to its content, with ``at_step``; the last stage,
    ``"final"``, is the binary mask that the solver returns.

    Raises
    ------
    GridMismatchError : a stage lies beyond the last step.
    """
    sim = WatchedSimulator(kernels, keep=stages.values())
    clip = str(target[schema.SAMPLE].item()) if schema.SAMPLE in target.coords else ""
    result = opc.solve(target.values, sim, method=trial.method, preset=trial.preset, **trial.options_of(clip))
    last = result.history.sizes[schema.STEP] - 1
    if beyond := {name: step for name, step in stages.items() if step not in sim.seen}:
        raise GridMismatchError(f"stages {beyond} lie beyond the last step, {last}; choose others or more steps")
    greys = []
    for step in stages.values():
        n = sim.seen[step].shape[-1]
        greys.append(fine_nearest(sim.seen[step].reshape(1, n, n).cpu(), target.sizes[schema.X] // n)[0].numpy())
    masks = xr.DataArray(
        np.stack([*greys, result.mask.astype(np.float32)]),
        {"stage": [*stages, "final"], **{dim: target[dim] for dim in _PLANE}},
        ("stage", *_PLANE),
    )
    step = schema.column("stage", [*stages.values(), last], "step")
    layers = content(printed_layers(masks, target, kernels)).assign_coords(at_step=step)
    return layers.assign_attrs(trial=trial.label, stopped_by=result.stopped_by)


def corner_gradient_share(
    targets: xr.DataArray,
    kernels: SocsKernels,
    *,
    steps: Sequence[int],
    preset: str = "published",
    element_nm: float = 39.0,
    fine_nm: float = 1.0,
) -> xr.Dataset:
    """How much of the gradient the corners of the target take, with and without retargeting (CDR).

    CurvyILT is run towards the target as drawn and towards the retargeted one. At each of ``steps`` the objective of
    that run is split into what the pixels of the corner regions contribute to it and what all others do. A corner
    region is where drawn and retargeted target differ.

    Parameters
    ----------
    targets : (sample, y, x), 0 or 1.
    kernels : to optimise with.
    steps : at which to look; the mask is taken as the solver images it.
    preset : of the method ``"curvy"``; says which print the fidelity compares.
    element_nm : diameter of the element that rounds corners.
    fine_nm : pixel on which prints and target are compared.

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
    pixel_nm = pixel_of(targets)
    element_px = whole(element_nm, pixel_nm, "element_nm")
    fine = whole(fine_nm, pixel_nm, "fine_nm")
    drawn = torch.as_tensor(targets.values)
    retargeted = morphology.round_corners_binary(drawn, element_px, element_px)
    region = drawn != retargeted
    aims = {"target as drawn": (None, drawn), "retargeted (CDR)": (element_nm, retargeted)}
    plain = Simulator(kernels)
    corner = opc.METHODS["curvy"].presets[preset].fidelity_corner
    shares = np.empty((len(aims), len(drawn), len(steps), 2, len(READINGS)))
    for a, (retarget_nm, aim) in enumerate(aims.values()):
        for s in range(len(drawn)):
            watched = WatchedSimulator(kernels, keep=steps)
            changes = {"n_steps": max(max(steps), 1), "retarget_nm": retarget_nm, "cleanup": None}
            opc.solve(drawn[s], watched, method="curvy", preset=preset, **changes)
            parts = [coarse(image[s : s + 1], fine, plain.dtype) for image in (aim, region)]
            for k, step in enumerate(steps):
                shares[a, s, k] = _shares(watched.seen[step], *parts, plain, corner)
    area = region.sum((1, 2)).numpy()
    area_share, target_share = area / region[0].numel(), area / targets.sum(_PLANE).values
    dims = ("aim", schema.SAMPLE, schema.STEP, "objective", "reading")
    corners = "area of the corner regions / area of the"
    ds = xr.Dataset(
        {
            "share": schema.column(dims, shares, "share of the corner regions in the gradient"),
            "area_share": schema.column(schema.SAMPLE, area_share, f"{corners} tile"),
            "target_share": schema.column(schema.SAMPLE, target_share, f"{corners} target"),
        },
        coords={
            "aim": list(aims),
            schema.SAMPLE: targets[schema.SAMPLE].values,
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
