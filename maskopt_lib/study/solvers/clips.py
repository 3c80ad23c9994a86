"""Targets of the benchmarks by name, as rasters and as bits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import imageio.v3 as iio
import numpy as np
import xarray as xr

from maskopt_lib.data import manifest, schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.layout.benchmarks import benchmark_clips, benchmark_names
from maskopt_lib.layout.clip import RULES
from maskopt_lib.runs.parts import Bits
from maskopt_lib.study.labelled_images import images, pixel_of

_RELEASED = "golden/curvyilt_masks/{case}.mask.png"


@dataclass(frozen=True)
class Clips:
    """Targets of a benchmark by name, each made when it is asked for: hundreds need no more memory than one.

    Attributes
    ----------
    benchmark : as for :func:`maskopt_lib.layout.benchmark_clips`.
    names : which clips, in which order; None takes all.
    pixel_nm : side of a pixel in nm; on pixels coarser than the layout's grid, those at least half covered count.
    rule : ``"half-open"`` or ``"inclusive"``, as for :meth:`maskopt_lib.layout.Clip.rasterize`.

    Examples
    --------
    >>> clips = Clips("demo-metal", ["demo-metal-tips"], pixel_nm=8)
    >>> clips.target("demo-metal-tips").shape, clips.raster
    ((256, 256), 'half-open, 8 nm')
    """

    benchmark: str
    names: Sequence[str] | None = None
    pixel_nm: float = 1
    rule: str = "half-open"

    def __post_init__(self) -> None:
        known = benchmark_names(self.benchmark)
        names = known if self.names is None else list(self.names)
        if unknown := [name for name in names if name not in known]:
            raise UnknownNameError(
                f"{self.benchmark} has no clip {unknown[0]!r}; it has {len(known)}, the first: {', '.join(known[:5])} "
                "(layout.benchmark_names lists all)"
            )
        if self.rule not in RULES:
            raise UnknownNameError(f"no raster rule {self.rule!r}; known rules: {', '.join(RULES)}")
        object.__setattr__(self, "names", tuple(names))

    @property
    def raster(self) -> str:
        """Rule and pixel, as records say it."""
        return f"{self.rule}, {self.pixel_nm:g} nm"

    def target(self, name: str) -> np.ndarray:
        """(y, x) uint8 of 0 and 1."""
        return next(image for _, image in replace(self, names=[name]).items())

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        """Name and target of each clip, one after the other."""
        for name, clip in benchmark_clips(self.benchmark, self.names).items():
            yield name, clip.rasterize(self.pixel_nm, rule=self.rule, antialiased=False)


def targets(
    benchmark: str, names: Sequence[str] | None = None, *, pixel_nm: float = 1, rule: str = "half-open"
) -> xr.DataArray:
    """Binary rasters of a benchmark's clips, all at once.

    Parameters
    ----------
    benchmark, names, pixel_nm, rule : as for :class:`Clips`, which needs less memory.

    Returns
    -------
    (sample, y, x) uint8 of 0 and 1 with pixel centres in nm; its attribute ``raster`` says how it was made.
    """
    clips = Clips(benchmark, names, pixel_nm, rule)
    rasters = [image for _, image in clips.items()]
    return images(rasters, pixel_nm, sample=clips.names).assign_attrs(raster=clips.raster)


def released_masks(cases: Sequence[str]) -> xr.DataArray:
    """The masks that the authors of CurvyILT released, (sample, y, x) uint8 at 1 nm.

    Parameters
    ----------
    cases : names such as ``"M1_test1"``.

    Raises
    ------
    MissingDataError : a file is neither here nor could be fetched.
    """
    released = [iio.imread(manifest.fetch(_RELEASED.format(case=case))) for case in cases]
    return images([(image > image.max() // 2).astype(np.uint8) for image in released], 1.0, sample=cases)


def target_bits(clips: Clips | xr.DataArray) -> dict[str, Bits]:
    """Name -> target, of clips or of an array (sample, y, x) of 0 and 1 with pixel centres in nm."""
    if isinstance(clips, Clips):
        return {name: Bits.of(image, clips.pixel_nm) for name, image in clips.items()}
    return {image[schema.SAMPLE].item(): Bits.of(image.values, pixel_of(clips)) for image in clips}


def raster_of(clips: Clips | xr.DataArray) -> str:
    """How targets were made, in words."""
    return clips.raster if isinstance(clips, Clips) else clips.attrs.get("raster", "as given")
