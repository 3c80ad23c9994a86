"""Optics from a process file: the sections ``optics``, ``field`` and ``corners`` of YAML, checked key by key.

::

    optics:
      wavelength_nm: 193
      na: 0.75
      source: {shape: annular, sigma_inner: 0.4, sigma_outer: 0.7}
    field: {period_nm: 4096, pixel_nm: 4, accuracy: 0.005}
    corners:                                # dose: relative exposure, which the intensity follows
      nominal: {defocus_nm: 0, dose: 1}
      outer: {defocus_nm: 0, dose: 1.05}
      inner: {defocus_nm: 100, dose: 0.95}

Keys of ``optics`` are the attributes of :class:`~maskopt_lib.optics.system.OpticalSystem`; shapes of the source are
those of :data:`SHAPES`, or ``map``, a file.
In place of ``optics`` a file may have ``kernels``, the name of a kernel set.
"""

import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskopt_lib import yaml_files
from maskopt_lib.data import manifest, schema
from maskopt_lib.errors import GridMismatchError, MissingDataError, SchemaError, UnknownNameError
from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.optics.source import (
    AnnularSource,
    PixelSource,
    PoleSource,
    SectorSource,
    Source,
    circular,
    dipole,
    quadrupole,
)
from maskopt_lib.optics.system import ImagingNumerics, OpticalSystem, numerics_for, pixel_for
from maskopt_lib.optics.tcc import build_kernels

#: Processes that come with the study.
FOLDER = manifest.FOLDER / "processes"
#: Pixels along a field, and bytes of a map of the source, at most.
LARGEST_FIELD, LARGEST_MAP_BYTES = 16384, 16 << 20
#: No light of lithography is longer: a wavelength in picometres or angstroms is a mistake.
LONGEST_LIGHT_NM = 2000.0
#: Sections of a process file.
SECTIONS = ("name", "kernels", "optics", "field", "corners", "resist", "mask_rules", "layers")
#: Shapes of a source in a process file; their keys are the parameters of what makes them.
SHAPES: dict[str, Callable[..., Source]] = {
    "circular": circular,
    "annular": AnnularSource,
    "dipole": dipole,
    "quadrupole": quadrupole,
    "poles": PoleSource,
    "sectors": SectorSource,
}
_FIELD = [name for name in inspect.signature(numerics_for).parameters if name != "system"]
_SYSTEM = [field.name for field in fields(OpticalSystem) if field.name != "defocus_nm"]
_RESIST = ("threshold", "steepness", "diffusion_nm")
_NEEDED = ("wavelength_nm", "na", "source")
# Corners of which a file says nothing are the contest's: 2 % of the mask's amplitude, and a sixth of wavelength / NA^2.
_DOSES = {schema.NOMINAL: 1.0, schema.OUTER: 1.02**2, schema.INNER: 0.98**2}
_FOCUS = {schema.NOMINAL: "focus", schema.OUTER: "focus", schema.INNER: "defocus"}


class Corner(NamedTuple):
    """A process corner as a file says it.

    Attributes
    ----------
    name : nominal, outer or inner.
    defocus_nm : plane of the image, where the file says the optics.
    focus : name of the focus setting, where the file names a kernel set.
    dose : relative exposure; the intensity is multiplied with it.
    """

    name: str
    defocus_nm: float
    focus: str
    dose: float


@dataclass(frozen=True, kw_only=True)
class Imaging:
    """What a process file says of its optics.

    Attributes
    ----------
    system, numerics : the optics at best focus, and how finely they are computed.
    pixel_nm : side of a pixel of targets and masks.
    """

    system: OpticalSystem
    numerics: ImagingNumerics
    pixel_nm: float

    def kernels(self, planes_nm: Sequence[float], *, name: str) -> SocsKernels:
        """Kernels at planes, each once, in the order given; two are called ``focus`` and ``defocus``.

        Raises
        ------
        SchemaError : a plane from which light of a point, ``|z| tan t`` with ``sin t = NA / n``, leaves the field.
        """
        planes = list(dict.fromkeys(map(float, planes_nm)))
        na, farthest_nm = self.system.na, max(map(abs, planes))
        spread_nm = farthest_nm * na / (self.system.immersion_index**2 - na**2) ** 0.5
        if spread_nm > self.numerics.period_nm:
            raise SchemaError(
                f"{name}: {farthest_nm:g} nm out of focus light spreads {spread_nm:.4g} nm from a point, across a "
                f"field of {self.numerics.period_nm:g} nm: write defocus_nm in nm, or a larger period_nm"
            )
        names = ["focus", "defocus"] if len(planes) <= 2 else [f"focus {z:+g} nm" for z in planes]
        return build_kernels(
            self.system, numerics=self.numerics, defocus_nm=planes, focus_names=names[: len(planes)], name=name
        )


def process_names() -> list[str]:
    """Names of the processes that come with the study."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def read_process(source: str | os.PathLike | Mapping[str, Any], *, also: Sequence[str] = ()) -> yaml_files.Document:
    """The sections of a process: of one of the study by its name, of a YAML file by its path, or as they are given.

    Parameters
    ----------
    source : name, path or sections.
    also : names that would do as well, for the message.

    Raises
    ------
    UnknownNameError : no such process, or an unknown section.
    MissingDataError, SchemaError : no such file, or a file that is no YAML.
    """
    if isinstance(source, Mapping):
        document = yaml_files.Document(dict(source), "the process")
    elif str(source) in process_names():
        document = yaml_files.read(FOLDER / f"{source}.yaml")
    elif str(source).lower().endswith((".yaml", ".yml")):
        document = yaml_files.read(str(source))
    else:
        known = [*process_names(), *also]
        raise UnknownNameError(
            f"unknown process {str(source)!r}{yaml_files.near(source, known)}; known: {', '.join(known)}, and any file "
            "of your own whose name ends in .yaml"
        )
    found = document.check_keys(SECTIONS)
    if ("kernels" in found) == ("optics" in found):
        raise SchemaError(f"{document.where()}: needs either optics, or kernels with the name of a kernel set")
    return document


def name_of(document: yaml_files.Document) -> str:
    """What the process is called: its ``name``, else that of its file."""
    return str(document.value.get("name") or Path(document.name).stem)


def imaging_of(document: yaml_files.Document) -> Imaging:
    """The sections ``optics`` and ``field``; what ``field`` leaves out follows from its accuracy.

    Raises
    ------
    SchemaError : a key is missing, or a value is not what it may be; says file, line and key.
    UnknownNameError : a key or a name is unknown.
    GridMismatchError : the pixel does not divide the period.
    """
    found = document.check_keys(_SYSTEM, "optics")
    if missing := [key for key in _NEEDED if key not in found]:
        raise SchemaError(f"{document.where('optics')}: lacks {', '.join(missing)}")
    if not 1 <= (light_nm := document.number("optics", "wavelength_nm", default=0.0)) <= LONGEST_LIGHT_NM:
        raise SchemaError(
            f"{document.where('optics', 'wavelength_nm')}: {light_nm:g} nm is not within 1 to {LONGEST_LIGHT_NM:g} nm; "
            "is the unit right?"
        )
    settings = found | {"source": _source(document)}
    if "zernike_waves" in found:
        pairs = found["zernike_waves"]
        pairs = list(pairs.items()) if isinstance(pairs, Mapping) else pairs
        if not isinstance(pairs, list) or any(not isinstance(p, list | tuple) or len(p) != 2 for p in pairs):
            raise SchemaError(
                f"{document.where('optics', 'zernike_waves')}: Noll's index: coefficient in waves, such as "
                f"{{7: 0.02}}; got {pairs!r:.80}"
            )
        settings["zernike_waves"] = tuple(map(tuple, pairs))
    system = _made(document, OpticalSystem, settings, "optics")
    field = document.check_keys(_FIELD, "field") if "field" in document.value else {}
    pixel_nm = document.number("field", "pixel_nm", default=pixel_for(system))
    numerics = _made(document, numerics_for, field | {"system": system}, "field")
    pixels = numerics.period_nm / pixel_nm
    if abs(pixels - round(pixels)) > 1e-6 or not 1 <= round(pixels) <= LARGEST_FIELD:
        raise GridMismatchError(
            f"{document.where('field')}: a period of {numerics.period_nm:g} nm is no whole number of pixels of "
            f"{pixel_nm:g} nm up to {LARGEST_FIELD}"
        )
    return Imaging(system=system, numerics=numerics, pixel_nm=pixel_nm)


def kernel_set(document: yaml_files.Document, known: Iterable[str]) -> str:
    """The kernel set that a process file names instead of optics."""
    name = document.value["kernels"]
    if name not in list(known):  # of any type
        raise UnknownNameError(
            f"{document.where('kernels')}: no kernel set {name!r}{yaml_files.near(str(name), known)}; known: "
            f"{', '.join(known)}"
        )
    return name


def corners_of(document: yaml_files.Document) -> list[Corner]:
    """The section ``corners``, the nominal one first; as in the contest where there is none.

    Raises
    ------
    SchemaError : a corner is missing, or a value is not what it may be.
    UnknownNameError : another corner or key.
    """
    of_set = "kernels" in document.value
    if "corners" not in document.value:
        wavelength_nm, na = (document.number("optics", key, default=1) for key in ("wavelength_nm", "na"))
        usual_nm = 0.0 if of_set else wavelength_nm / (6 * na**2)
        return [Corner(name, usual_nm * (name == schema.INNER), _FOCUS[name], dose) for name, dose in _DOSES.items()]
    found = document.check_keys(schema.CORNERS, "corners")
    if missing := [name for name in schema.CORNERS if name not in found]:
        raise SchemaError(f"{document.where('corners')}: lacks {', '.join(missing)}")
    corners = []
    for name in schema.CORNERS:
        entry = document.check_keys(("focus" if of_set else "defocus_nm", "dose"), "corners", name)
        defocus_nm = document.number("corners", name, "defocus_nm", default=0.0, low=-math.inf)
        dose = document.number("corners", name, "dose", default=1.0)
        corners.append(Corner(name, defocus_nm, entry.get("focus", _FOCUS[name]), dose))
    return corners


def conditions_of(document: yaml_files.Document) -> list[tuple[str, int, float]]:
    """Name, index of the focus setting and dose on the mask's amplitude of each corner.

    Raises
    ------
    UnknownNameError : a kernel set has no focus setting of that name.
    """
    corners = corners_of(document)
    planes = list(dict.fromkeys(corner.defocus_nm for corner in corners))
    conditions = []
    for corner in corners:
        if "kernels" not in document.value:
            focus = planes.index(corner.defocus_nm)
        elif corner.focus in (names := ("focus", "defocus")):
            focus = names.index(corner.focus)
        else:
            where = document.where("corners", corner.name, "focus")
            raise UnknownNameError(f"{where}: no focus setting {corner.focus!r}; known: {', '.join(names)}")
        conditions.append((corner.name, focus, corner.dose**0.5))
    return conditions


def resist_of(document: yaml_files.Document) -> dict[str, float]:
    """What the section ``resist`` says; nothing where there is none."""
    found = document.check_keys(_RESIST, "resist") if "resist" in document.value else {}
    return {key: document.number("resist", key, default=float(key != "diffusion_nm")) for key in found}


def _made(document: yaml_files.Document, make: Callable, settings: Mapping[str, Any], *at: str) -> Any:
    try:
        return make(**settings)
    except (TypeError, ValueError, OverflowError) as error:
        key = next((key for key in settings if str(error).startswith(f"{key} ")), None)
        kind = UnknownNameError if isinstance(error, UnknownNameError) else SchemaError
        raise kind(f"{document.where(*at, *([key] if key else []))}: {error}") from None


def _source(document: yaml_files.Document) -> Source:
    found = document.value["optics"]["source"]
    shape = found.get("shape", "map" if "map" in found else None) if isinstance(found, Mapping) else found
    if shape == "map":
        document.check_keys(("shape", "map", "step_sigma"), "optics", "source")
        return _source_map(document)
    if shape not in SHAPES:
        raise UnknownNameError(
            f"{document.where('optics', 'source')}: no shape {shape!r}{yaml_files.near(shape, SHAPES)}; known: "
            f"{', '.join(SHAPES)}, or map with a file"
        )
    known = list(inspect.signature(SHAPES[shape]).parameters)
    settings = document.check_keys(["shape", *known], "optics", "source")
    settings = {key: tuple(v) if isinstance(v, list) else v for key, v in settings.items() if key != "shape"}
    source = _made(document, SHAPES[shape], settings, "optics", "source")
    if (reach := source.sigma_max - 4 * source.edge_sigma) > 1 + 1e-9:
        raise SchemaError(
            f"{document.where('optics', 'source')}: it reaches sigma = {reach:g}, and sigma = 1 is the rim of the "
            "pupil: no scanner lights from beyond; sigma is relative to NA, not a sine or an angle"
        )
    return source


def _source_map(document: yaml_files.Document) -> PixelSource:
    """A map of the source: ``.npy`` or text with a row of numbers a line, relative to the process file."""
    at = ("optics", "source", "map")
    path = Path(document.name).parent / str(document.value["optics"]["source"].get("map"))
    try:
        if path.stat().st_size > LARGEST_MAP_BYTES or not path.is_file():  # a device has no size, and no end
            raise SchemaError(f"{document.where(*at)}: {path} is no file of at most {LARGEST_MAP_BYTES} bytes")
        # Mapped: a header may ask for more memory than there is, and is held against the file's size first.
        values = np.array(np.load(path, "r", allow_pickle=False)) if path.suffix == ".npy" else _rows(path)
    except OSError as error:
        raise MissingDataError(f"{document.where(*at)}: {path} cannot be read: {error}") from None
    except (ValueError, EOFError, SyntaxError) as error:
        raise SchemaError(
            f"{document.where(*at)}: {path} holds no map of numbers ({error}); write .npy, or a row of numbers a line"
        ) from None
    spans = 2 / max(np.shape(values)[-1] - 1, 1) if np.ndim(values) else 1.0
    step = document.number("optics", "source", "step_sigma", default=spans)
    return _made(document, PixelSource, {"values": values, "step_sigma": step}, *at)


def _rows(path: Path) -> np.ndarray:
    text = path.read_text(encoding="utf-8-sig").replace(",", " ").replace(";", " ")
    return np.array([[float(word) for word in line.split()] for line in text.splitlines() if line.strip()])
