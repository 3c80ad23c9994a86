"""A lithography process as one object: :func:`load_process` makes it of a name, a YAML file or its sections."""

import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib import yaml_files
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, LayoutError, MissingDataError, SchemaError, UnknownNameError
from maskopt_lib.layout.clip import Clip
from maskopt_lib.layout.layers import layer_names
from maskopt_lib.litho.process import (
    CONTEST_CORNERS,
    CONTEST_NA,
    CONTEST_UNIT_NM,
    CONTEST_WAVELENGTH_NM,
    ProcessCorner,
    ThresholdResist,
)
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.metrics.rules import read_deck, scaled_deck
from maskopt_lib.metrics.shapes import min_space_nm, min_width_nm
from maskopt_lib.optics import settings
from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.optics.library import KERNELS, load, through_focus
from maskopt_lib.optics.system import ImagingNumerics, OpticalSystem

#: Half of the smallest pitch that any illumination resolves, in units of ``wavelength / NA``.
LOWEST_K1 = 0.25


@dataclass(frozen=True, kw_only=True)
class Process:
    """Optics, corners, resist, grid, mask rules and layers of one process.

    Attributes
    ----------
    name : what records and tables call it.
    wavelength_nm, na : light and aperture, which set the scale of everything.
    kernel_set : name of the kernel set where its kernels are a set of the study; None where they are computed.
    system, numerics : optics at best focus and how finely they are computed; None for a kernel set.
    planes_nm : defocus of each focus setting, that of the nominal corner first; empty for a kernel set.
    corners : ``nominal``, ``outer`` and ``inner``.
    resist : threshold, steepness and diffusion.
    pixel_nm : side of a pixel of targets and masks.
    deck : mask rules, rule -> smallest value allowed.
    layers : layer map: a name of ``data_manifest/layers``, a path or name -> (layer, datatype).

    Examples
    --------
    >>> process = load_process("dry193-na075-photonics")
    >>> process.corners[2].name, process.resist.diffusion_nm
    ('inner', 10.0)
    >>> round(process.k1(180.0), 2)
    0.7
    """

    name: str
    wavelength_nm: float
    na: float
    kernel_set: str | None = None
    system: OpticalSystem | None = None
    numerics: ImagingNumerics | None = None
    planes_nm: tuple[float, ...] = ()
    corners: tuple[ProcessCorner, ...] = CONTEST_CORNERS
    resist: ThresholdResist
    pixel_nm: float = 1.0
    deck: Mapping[str, float]
    layers: str | Mapping[str, Any] = "freepdk45"

    def __repr__(self) -> str:
        made = (
            f"kernels {self.kernel_set}"
            if self.kernel_set
            else f"planes {', '.join(f'{z:g}' for z in self.planes_nm)} nm"
        )
        field_nm = f"field {self.numerics.period_nm:g} nm, " if self.numerics else ""
        return (
            f"Process({self.name!r}: {self.wavelength_nm:g} nm, NA {self.na:g}; {made}; {field_nm}pixel "
            f"{self.pixel_nm:g} nm; threshold {self.resist.threshold:g}, diffusion {self.resist.diffusion_nm:g} nm)"
        )

    @cached_property
    def kernels(self) -> SocsKernels:
        """Kernels at the planes of the corners; computed when first asked for."""
        if self.kernel_set:
            return self._carrying(load(self.kernel_set))
        return self._carrying(self._imaging.kernels(self.planes_nm, name=self.name))

    def strongest(self, n_kernels: int) -> SocsKernels:
        """The strongest ``n_kernels`` systems, also where the field's accuracy asks for fewer.

        Raises
        ------
        ValueError : fewer than these are stored, or add anything.
        """
        more = self.numerics and replace(self.numerics, n_kernels=n_kernels, intensity_lost=0.0)
        found = replace(self, numerics=more).kernels
        if (there := found.weights.shape[1]) < n_kernels:
            raise ValueError(f"{self.name}: n_kernels={n_kernels} are asked for, and there are {there}")
        return replace(found, spectra=found.spectra[:, :n_kernels], weights=found.weights[:, :n_kernels])

    @property
    def period_nm(self) -> float:
        """Side of the field in nm; a window of this side is what the simulator takes."""
        return self.numerics.period_nm if self.numerics else self.kernels.period_nm

    @property
    def unit_nm(self) -> float:
        """``wavelength / NA``."""
        return self.wavelength_nm / self.na

    @property
    def resolution_nm(self) -> float:
        """Smallest pitch that the optics pass: ``wavelength / (NA (1 + sigma))``, sigma the reach of the source."""
        sigma = self.system.source.sigma_max if self.system else 1.0
        return self.unit_nm / (1 + min(sigma, 1.0))

    @property
    def depth_of_focus_nm(self) -> float:
        """Rayleigh's, from end to end: ``wavelength / (2 n (1 - cos t))``, ``sin t = NA / n``; low NA: ``/ NA^2``."""
        index = self.system.immersion_index if self.system else 1.0
        cosine = (1 - (self.na / index) ** 2) ** 0.5
        return self.wavelength_nm / (index * (1 - cosine)) / 2

    def simulator(self, **options: Any) -> Simulator:
        """The simulator, with this process's corners and resist; options as of :class:`Simulator`, e.g. ``device``."""
        return Simulator(self.kernels, corners=self.corners, resist=self.resist, **options)

    def through_focus(self, defocus_nm: Sequence[float]) -> SocsKernels:
        """Kernels at the planes of the corners, then at others, in ascending order, counted from best focus.

        Raises
        ------
        ValueError : the process has a kernel set that says nothing of other planes.
        """
        if self.kernel_set and not self.kernel_set.startswith("embedded"):
            raise ValueError(
                f"kernels {self.kernel_set!r} hold their two focus settings and no optics that would tell of others; "
                "take the process 'embedded', or one with its own optics"
            )
        if self.kernel_set:
            return self._carrying(through_focus(defocus_nm))
        others = sorted({float(z) for z in defocus_nm} - set(self.planes_nm))
        planes = self._imaging.kernels([*self.planes_nm, *others], name=f"{self.name}-through-focus")
        return self._carrying(planes)

    def _carrying(self, kernels: SocsKernels) -> SocsKernels:
        """The kernels with corners and resist for the simulator; those of the contest are its own default."""
        if (self.corners, self.resist) == (CONTEST_CORNERS, ThresholdResist()):
            return kernels
        corners = [(corner.name, corner.focus, corner.dose) for corner in self.corners]
        return replace(kernels, meta=kernels.meta | {"corners": corners, "resist": asdict(self.resist)})

    def k1(self, length_nm: float) -> float:
        """A width, space or half pitch in units of ``wavelength / NA``; below 0.25 no pitch of twice it can print."""
        return length_nm / self.unit_nm

    def target(self, clip: Clip) -> xr.DataArray:
        """(y, x) uint8, 0 or 1: a clip on this process's field and pixel, with pixel centres in nm.

        Warns where the clip has features below resolution, see :meth:`smallest_k1`.

        Raises
        ------
        GridMismatchError : the clip's window is not the field; read it with ``window_nm=process.period_nm``.
        """
        if abs(clip.window_nm - self.period_nm) > 1e-6:
            raise GridMismatchError(
                f"clip {clip.name!r} has a window of {clip.window_nm:g} nm, the field of process {self.name!r} is "
                f"{self.period_nm:g} nm; read the clip with window_nm={self.period_nm:g}"
            )
        image = clip.rasterize(self.pixel_nm, antialiased=False)
        self.smallest_k1(image, what=f"clip {clip.name!r}")
        centres = (np.arange(len(image)) + 0.5) * self.pixel_nm
        axes = {axis: schema.column(axis, centres, axis, "nm") for axis in (schema.Y, schema.X)}
        return xr.DataArray(image, dims=(schema.Y, schema.X), coords=axes)

    def smallest_k1(self, target: np.ndarray, *, what: str = "the target") -> float:
        """The smallest width or space of a target in units of ``wavelength / NA``, with a warning below 0.25.

        Parameters
        ----------
        target : (y, x), 0 or 1, on the pixels of the process.
        what : how the warning calls it.

        Returns
        -------
        k1; nan where there is neither a width nor a space.
        """
        sizes = {"width": min_width_nm(target, self.pixel_nm), "space": min_space_nm(target, self.pixel_nm)}
        return self.warned_k1(sizes, what)

    def warned_k1(self, sizes: Mapping[str, float], what: str) -> float:
        """k1 of the smallest of some sizes in nm, by what they are called (nan: none), with a warning below 0.25."""
        kind = min(sizes, key=lambda name: np.inf if np.isnan(sizes[name]) else sizes[name])
        k1 = self.k1(sizes[kind])
        if k1 < LOWEST_K1:
            warnings.warn(
                f"{what} has a {kind} of {sizes[kind]:.4g} nm, k1 = {k1:.2g} for {self.wavelength_nm:g} nm and NA "
                f"{self.na:g}: lines and spaces below {LOWEST_K1 * self.unit_nm:.4g} nm (k1 {LOWEST_K1:g}) cannot be "
                "resolved by any mask; is the unit of the layout right, or another process meant?",
                stacklevel=3,
            )
        return k1

    @property
    def _imaging(self) -> settings.Imaging:
        assert self.system is not None and self.numerics is not None, "checked where it is made"
        return settings.Imaging(system=self.system, numerics=self.numerics, pixel_nm=self.pixel_nm)


def load_process(source: str | os.PathLike | Mapping[str, Any] | Process) -> Process:
    """A process by its name, from a YAML file, or of the sections of one.

    Parameters
    ----------
    source : a process of ``data_manifest/processes``, a kernel set (:data:`maskopt_lib.optics.KERNELS`, at the
        contest's corners and resist), a path that ends in ``.yaml`` (:mod:`maskopt_lib.optics.settings` says how it
        looks), or a mapping with its sections.

    Raises
    ------
    UnknownNameError : no such process, section, key or name; says file, line and the nearest.
    MissingDataError, SchemaError : no such file; no YAML; or a value that cannot be.

    Examples
    --------
    >>> light = {"wavelength_nm": 365, "na": 0.5, "source": {"shape": "circular", "sigma": 0.5}}
    >>> load_process({"name": "mine", "optics": light})
    Process('mine': 365 nm, NA 0.5; planes 0, 243.333 nm; field 5632 nm, pixel 8 nm; threshold 0.225, diffusion 0 nm)
    """
    if isinstance(source, Process):
        return source
    if isinstance(source, str) and source in KERNELS:
        return replace(load_process({"kernels": source}), name=source)
    document = settings.read_process(source, also=list(KERNELS))
    name = settings.name_of(document)
    if "kernels" in document.value:
        found: dict[str, Any] = {"kernel_set": settings.kernel_set(document, KERNELS)}
        found |= {"wavelength_nm": CONTEST_WAVELENGTH_NM, "na": CONTEST_NA}
        found["pixel_nm"] = document.number("field", "pixel_nm", default=1.0)
    else:
        imaging, planes = settings.imaging_of(document), [c.defocus_nm for c in settings.corners_of(document)]
        found = {"system": imaging.system, "numerics": imaging.numerics, "planes_nm": tuple(dict.fromkeys(planes))}
        found |= {"wavelength_nm": imaging.system.wavelength_nm, "na": imaging.system.na, "pixel_nm": imaging.pixel_nm}
    return Process(
        name=name,
        corners=tuple(
            ProcessCorner(name=name, focus=focus, dose=dose) for name, focus, dose in settings.conditions_of(document)
        ),
        resist=ThresholdResist(**settings.resist_of(document)),
        deck=_deck(document, found["wavelength_nm"] / found["na"]),
        layers=_layers(document),
        **found,
    )


def _deck(document: yaml_files.Document, unit_nm: float) -> dict[str, float]:
    """The section ``mask_rules``; without one, the curvilinear deck in units of ``wavelength / NA``."""
    rules = document.value.get("mask_rules")
    if rules is None:
        return scaled_deck(read_deck("curvilinear"), unit_nm / CONTEST_UNIT_NM)
    try:
        return read_deck(_beside(document, rules) if isinstance(rules, str) else rules)
    except (UnknownNameError, SchemaError, MissingDataError) as error:
        raise type(error)(f"{document.where('mask_rules')}: {error}") from None


def _layers(document: yaml_files.Document) -> str | Mapping[str, Any]:
    layers = document.value.get("layers", "freepdk45")
    if not isinstance(layers, str | Mapping):
        raise SchemaError(
            f"{document.where('layers')}: a layer map is a name, a file or names themselves, got {layers!r}"
        )
    found = _beside(document, layers) if isinstance(layers, str) else layers
    try:
        layer_names(found)
    except (LayoutError, UnknownNameError, MissingDataError) as error:
        raise type(error)(f"{document.where('layers')}: {error}") from None
    return found


def _beside(document: yaml_files.Document, name: str) -> str:
    """A file that a process file names lies beside it; a name stays a name."""
    return str(Path(document.name).parent / name) if Path(name).suffix else name
