"""What the optics makes of shapes: lines at every pitch, a line beside another, and the spectrum of a square.

Each function computes one thing to look at and returns it labelled; :mod:`maskopt_lib.figures.anatomy` draws it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
import xarray as xr
from scipy import ndimage
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.litho.processes import load_process
from maskopt_lib.optics import SocsKernels, aerial_image, source_map
from maskopt_lib.runs.gather import labelled

#: Side of a pixel of the masks in nm; edges of lines are anti-aliased.
PIXEL_NM = 2.0


def through_pitch(kernels: SocsKernels, *, width_nm: float = 100.0, smallest_pitch_nm: float = 170.0) -> xr.Dataset:
    """Printed width of a line in endless gratings of every pitch that fits the field, from dense to isolated.

    Parameters
    ----------
    kernels : to print with.
    width_nm : of the lines, as drawn.
    smallest_pitch_nm : gratings are as dense as this.

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
    masks = np.stack([_lines(sim, [period / 2 + i * p for i in range(round(period / p))], width_nm) for p in pitches])
    cuts = np.stack([_cut(sim, mask, sim.corners) for mask in masks])
    x_nm = _centres_nm(kernels)
    edges = np.array([[_printed_edges(x_nm, cut, sim.threshold) for cut in corners] for corners in cuts])
    near = np.abs(x_nm) <= 400
    shown, intensity = (image[[0, -1]][:, near] for image in (masks, cuts[:, 0]))
    profile = ("pattern", "x_nm")
    return xr.Dataset(
        {
            "cd_nm": schema.column((schema.CORNER, "pitch_nm"), np.ptp(edges, axis=-1).T, "printed width", "nm"),
            "intensity": schema.column(profile, intensity, "aerial intensity (clear field = 1)"),
            "drawn": schema.column(profile, shown, "mask"),
        },
        coords={
            schema.CORNER: list(sim.corners),
            "pitch_nm": schema.column("pitch_nm", pitches, "pitch", "nm"),
            "pattern": [f"dense, pitch {pitches[0]:.0f} nm", "isolated"],
            "x_nm": schema.column("x_nm", x_nm[near], "x from the line's middle", "nm"),
        },
        attrs={"kernels": kernels.name, "width_nm": width_nm, "threshold": sim.threshold},
    )


def neighbour_influence(
    kernels: SocsKernels,
    *,
    width_nm: float = 100.0,
    gaps_nm: Sequence[float] = tuple(range(70, 901, 10)),
    tolerance_nm: float = 0.5,
) -> xr.Dataset:
    """How far the printed edges of a line move when a second line comes near, over the space between the two.

    Parameters
    ----------
    kernels : to print with.
    width_nm : of both lines.
    gaps_nm : drawn spaces between them.
    tolerance_nm : the optical radius is the largest space at which an edge moves by at least this.

    Returns
    -------
    Dataset with ``shift_nm`` (edge, gap_nm), outwards positive, nan where the two lines print as one, ``reach_nm`` and
    the attribute ``tolerance_nm``.
    """
    sim = Simulator(kernels)
    middle, x_nm = kernels.period_nm / 2, _centres_nm(kernels)

    def edges(centres: Sequence[float]) -> tuple[float, float]:
        cut = _cut(sim, _lines(sim, centres, width_nm), [schema.NOMINAL])[0]
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
            "shift_nm": schema.column(("edge", "gap_nm"), shift, "shift of the printed edge", "nm"),
            "reach_nm": schema.column((), float(strong.max(initial=0.0)), "optical radius", "nm"),
        },
        coords={
            "edge": ["facing the neighbour", "facing away"],
            "gap_nm": schema.column("gap_nm", gaps, "space to the neighbour", "nm"),
        },
        attrs={"kernels": kernels.name, "width_nm": width_nm, "tolerance_nm": tolerance_nm},
    )


def processes_side_by_side(names: Sequence[str]) -> xr.Dataset:
    """Sources, strongest coherent systems and transfer of processes, in units that make them comparable.

    Parameters
    ----------
    names : as for :func:`maskopt_lib.litho.load_process`; processes with optics of their own.

    Returns
    -------
    Dataset over ``process``: ``source`` (sigma_y, sigma_x), relative to its maximum; ``transfer`` (frequency), contrast
    of a weak grating over its frequency in units of ``NA / wavelength``; and numbers: ``wavelength_nm``, ``na``,
    ``pitch_nm`` (the limit of resolution), ``depth_of_focus_nm`` (Rayleigh's), ``field_nm``, ``pixel_nm``, ``systems``.
    """
    frequency = np.linspace(0.0, 2.0, 81)
    rows = []
    processes = [load_process(name) for name in names]
    if of_sets := [process.name for process in processes if process.system is None]:
        raise UnknownNameError(
            f"{', '.join(of_sets)}: kernels whose optics no file says; name processes with `optics:`"
        )
    for process in processes:
        kernels, h = process.kernels, process.kernels.half_width
        axis, source = source_map(process.system.source, step_sigma=0.04)
        central = np.abs(axis) < 1.02
        along = kernels.spectra[0, :, h, h:] * kernels.spectra[0, :, h, h].conj()[:, None]
        transfer = np.real(kernels.weights[0] @ along)
        at = np.arange(h + 1) * process.unit_nm / process.period_nm
        numbers = {
            "wavelength_nm": (process.wavelength_nm, "wavelength", "nm"),
            "na": (process.na, "numerical aperture", "1"),
            "pitch_nm": (process.resolution_nm, "limit of resolution (pitch)", "nm"),
            "depth_of_focus_nm": (process.depth_of_focus_nm, "depth of focus (Rayleigh)", "nm"),
            "field_nm": (process.period_nm, "field", "nm"),
            "pixel_nm": (process.pixel_nm, "pixel", "nm"),
            "systems": (len(kernels.weights[0]), "coherent systems", "1"),
        }
        rows.append(
            xr.Dataset(
                {
                    "source": schema.column(("sigma_y", "sigma_x"), source[np.ix_(central, central)], "source"),
                    "transfer": schema.column(
                        "frequency", np.interp(frequency, at, transfer / transfer[0], right=0.0), "contrast"
                    ),
                    **{key: schema.column((), *number) for key, number in numbers.items()},
                },
                coords={
                    "sigma_y": axis[central],
                    "sigma_x": axis[central],
                    "frequency": schema.column("frequency", frequency, "frequency (NA / wavelength)"),
                },
            )
        )
    return xr.concat(rows, "process").assign_coords(process=list(names))


def spectrum_of_square(
    kernels: SocsKernels,
    *,
    side_nm: float = 400.0,
    bands: Sequence[float] = (1, 1.5, 2, 3, 4, 6, 8),
    pixel_nm: float = PIXEL_NM,
) -> xr.Dataset:
    """A square's spectrum, the part of it that the optics passes, and what becomes of the corners.

    Parameters
    ----------
    kernels : to print with.
    side_nm : of the square.
    bands : pass bands, as multiples of the optics' own, for which the corner is followed.
    pixel_nm : of the mask; must divide half the square.

    Returns
    -------
    Dataset of ``mask``, ``low_passed`` (all frequencies of the optics' band at full strength, the others gone) and
    ``aerial`` over (y, x), 700 nm wide; ``spectrum`` (fy, fx), amplitude relative to its maximum; ``pull_back_nm``
    (band), the distance of the rounded corner from the drawn one along the diagonal, for an ideal pass band of that
    size, with the contour at half the amplitude; ``printed_pull_back_nm`` and ``edge_shift_nm`` of the real print;
    ``band_per_um``.
    """
    at = _centres_nm(kernels, pixel_nm)
    inside = np.abs(at) < side_nm / 2
    mask = np.outer(inside, inside).astype(float)
    spectrum = np.fft.fftshift(np.fft.fft2(mask))
    f = np.fft.fftshift(np.fft.fftfreq(len(at), pixel_nm)) * 1e3
    radius = np.hypot(f[:, None], f)
    band = _band_per_um(kernels)

    def passed(multiple: float) -> np.ndarray:
        return np.fft.ifft2(np.fft.ifftshift(np.where(radius <= multiple * band, spectrum, 0))).real

    sim = Simulator(kernels)
    aerial = sim.aerial(mask, corners=[schema.NOMINAL])[0].cpu().double().numpy()
    pull_back = [_pull_back_nm(at, passed(b), side_nm, 0.5) for b in bands]
    printed_pull_back = _pull_back_nm(at, aerial, side_nm, sim.threshold)
    edge = _printed_edges(at, aerial[len(at) // 2], sim.threshold)[1] - side_nm / 2
    near, low = np.abs(at) <= 350, np.abs(f) <= 3.2 * band
    plane, waves = (schema.Y, schema.X), ("fy_per_um", "fx_per_um")
    crop = np.ix_(near, near)
    amplitude = (np.abs(spectrum) / np.abs(spectrum).max())[np.ix_(low, low)]
    ds = xr.Dataset(
        {
            "mask": schema.column(plane, mask[crop], "mask"),
            "low_passed": schema.column(plane, passed(1)[crop], "mask without what the optics blocks"),
            "aerial": schema.column(plane, aerial[crop], "aerial intensity"),
            "spectrum": schema.column(waves, amplitude, "amplitude of the spectrum, relative"),
            "pull_back_nm": schema.column("band", pull_back, "corner pull-back", "nm"),
            "printed_pull_back_nm": schema.column((), printed_pull_back, "corner pull-back of the print", "nm"),
            "edge_shift_nm": schema.column((), edge, "shift of the print's straight edge", "nm"),
            "band_per_um": schema.column((), band, "pass band of the optics", "1/um"),
        },
        coords={
            schema.Y: at[near],
            schema.X: at[near],
            **{name: schema.column(name, f[low], name.partition("_")[0], "1/um") for name in waves},
            "band": schema.column("band", list(bands), "pass band, multiple of the optics' own"),
        },
        attrs={"kernels": kernels.name, "side_nm": side_nm, "threshold": sim.threshold},
    )
    return schema.label(ds)


def full_grid_image(mask: Tensor, kernels: SocsKernels, focus: int) -> Tensor:
    """The image as the sum over kernels on all pixels of the mask, by Fast Fourier Transforms: nothing is left out.

    Parameters
    ----------
    mask : (n, n) float64; differentiable.
    kernels, focus : the optics, and its setting by number.
    """
    n, h = mask.shape[-1], kernels.half_width
    at = torch.arange(-h, h + 1) % n
    spectrum = torch.fft.fft2(mask, norm="forward")
    image = torch.zeros_like(mask)
    for values, weight in zip(kernels.spectra[focus], kernels.weights[focus], strict=True):
        kernel = torch.zeros(n, n, dtype=torch.complex128)
        kernel[at[:, None], at] = torch.as_tensor(values)
        image = image + weight * torch.fft.ifft2(kernel * spectrum, norm="forward").abs().square()
    return image


def band_limit(kernels: SocsKernels, mask: np.ndarray, *, gradient_pixels: int = 4) -> xr.Dataset:
    """The image from samples of its band against the sum on all pixels, and their times; double precision.

    Parameters
    ----------
    kernels : the optics.
    mask : (n, n), 0 to 1.
    gradient_pixels : the gradient is compared on a mask of this many times larger pixels.

    Returns
    -------
    Dataset over ``focus``: ``image_difference`` and ``gradient_difference``, the largest of all pixels relative to the
    largest value (gradient: of the image's mean square), and ``full_s`` and ``band_s``, seconds an image takes.
    """
    sim, rows = Simulator(kernels, dtype=torch.float64), {}
    fine = torch.as_tensor(mask, dtype=torch.float64)
    coarse = torch.nn.functional.avg_pool2d(fine[None], gradient_pixels)[0]
    sim.intensity(fine)  # its matrices are made once, not timed
    for k, focus in enumerate(kernels.focus_names):
        start = time.perf_counter()
        full = full_grid_image(fine, kernels, k)
        middle = time.perf_counter()
        both = sim.intensity(fine)
        end = time.perf_counter()
        gradients = []
        for image in (lambda m, k=k: full_grid_image(m, kernels, k), lambda m, k=k: sim.intensity(m)[k]):
            at = coarse.clone().requires_grad_()
            image(at).square().mean().backward()
            gradients.append(at.grad)
        rows[(focus,)] = {
            "image_difference": float((full - both[k]).abs().max() / full.max()),
            "gradient_difference": float((gradients[0] - gradients[1]).abs().max() / gradients[0].abs().max()),
            "full_s": middle - start,
            "band_s": (end - middle) / len(kernels.focus_names),
        }
    names = {
        "image_difference": "largest difference of the image (relative)",
        "gradient_difference": "largest difference of the gradient (relative)",
        "full_s": ("time of an image, all pixels", "s"),
        "band_s": ("time of an image, samples of its band", "s"),
    }
    return schema.described(labelled(rows, (schema.FOCUS,)), names)


def kernel_counts(
    kernels: SocsKernels,
    counts: Sequence[int],
    masks: Mapping[str, np.ndarray],
    *,
    width_nm: float,
    pitch_nm: float,
) -> xr.Dataset:
    """What leaving out the weaker systems of a set costs.

    Parameters
    ----------
    kernels : all systems of the optics, the strongest first, with a resist where they carry one.
    counts : how many are kept, in ascending order.
    masks : name -> (n, n) mask, one period each.
    width_nm, pitch_nm : of a grating of lines whose printed width is compared; the pitch becomes a whole part of the
        period.

    Returns
    -------
    Dataset over ``n_kernels``, the worst focus setting and mask each: ``energy_left_out``, ``aerial_rms`` and
    ``aerial_max`` (clear field = 1), and ``cd_error_nm``, the change of the line's width at nominal dose.

    Notes
    -----
    Every system adds light, so images of fewer systems are darker, and bright lines narrower.
    """
    lines = round(kernels.period_nm / pitch_nm)
    x_nm = _centres_nm(kernels)
    everything = {name: [aerial_image(mask, kernels, focus=f) for f in range(len(kernels.focus_names))]
                  for name, mask in masks.items()}  # fmt: skip

    def width_of(kept: SocsKernels) -> float:
        sim = Simulator(kept, dtype=torch.float64)
        grating = _lines(sim, [kernels.period_nm * (i / lines + 0.5) for i in range(lines)], width_nm)
        return float(np.ptp(_printed_edges(x_nm, _cut(sim, grating, [schema.NOMINAL])[0], sim.threshold)))

    full_nm, rows = width_of(kernels), {}
    for n in counts:
        kept = replace(kernels, spectra=kernels.spectra[:, :n], weights=kernels.weights[:, :n])
        off = [
            aerial_image(masks[name], kept, focus=f) - image
            for name, images in everything.items()
            for f, image in enumerate(images)
        ]
        rows[(n,)] = {
            "energy_left_out": float((1 - kept.weights.sum(1) / kernels.weights.sum(1)).max()),
            "aerial_rms": max(float(np.sqrt(np.mean(each**2))) for each in off),
            "aerial_max": max(float(np.abs(each).max()) for each in off),
            "cd_error_nm": abs(width_of(kept) - full_nm),
        }
    texts = {
        "energy_left_out": "share of the energy that is left out",
        "aerial_rms": "RMS error of the aerial image (clear field = 1)",
        "aerial_max": "largest error of the aerial image (clear field = 1)",
        "cd_error_nm": (f"error of the printed width, lines of {width_nm:g} nm", "nm"),
    }
    found = labelled(rows, ("n_kernels",), texts=texts)
    return found.assign_coords(n_kernels=schema.column("n_kernels", list(counts), "kernels kept"))


def _centres_nm(kernels: SocsKernels, pixel_nm: float = PIXEL_NM) -> np.ndarray:
    """Pixel centres of the field in nm, from its middle."""
    return (np.arange(round(kernels.period_nm / pixel_nm)) + 0.5) * pixel_nm - kernels.period_nm / 2


def _band_per_um(kernels: SocsKernels) -> float:
    """Radius of the circle in frequency that holds nearly all of the kernels' energy at best focus, in 1/um."""
    h = kernels.half_width
    power = np.einsum("k,kyx->yx", kernels.weights[0], np.abs(kernels.spectra[0]) ** 2)
    f = np.arange(-h, h + 1) / kernels.period_nm * 1e3
    radius = np.hypot(f[:, None], f).ravel()
    order = np.argsort(radius)
    held = np.cumsum(power.ravel()[order]) / power.sum()
    return float(radius[order][np.searchsorted(held, 0.999)])


def _lines(sim: Simulator, centres_nm: Sequence[float], width_nm: float, pixel_nm: float = PIXEL_NM) -> np.ndarray:
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
    edges = []
    for step in (-1, 1):
        i = middle
        while 0 <= i + step < len(x_nm) and intensity[i + step] >= threshold:
            i += step
        j = i + step
        if not 0 <= j < len(x_nm):
            return np.nan, np.nan
        edges.append(x_nm[i] + (x_nm[j] - x_nm[i]) * (intensity[i] - threshold) / (intensity[i] - intensity[j]))
    return edges[0], edges[1]


def _pull_back_nm(at: np.ndarray, image: np.ndarray, side_nm: float, level: float) -> float:
    """Distance along the diagonal from the square's corner inwards to the contour of a level."""
    inwards = np.arange(-20.0, side_nm / np.sqrt(2), 0.25)
    place = side_nm / 2 - inwards / np.sqrt(2)
    index = (place - at[0]) / (at[1] - at[0])
    profile = ndimage.map_coordinates(image, [index, index], order=3)
    first = int(np.argmax(profile >= level))
    return float(np.interp(level, profile[first - 1 : first + 1], inwards[first - 1 : first + 1]))
