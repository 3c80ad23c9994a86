"""A clip: the polygons of one layer, where they stand in a square window, and their raster."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from maskopt_lib.errors import GridMismatchError, LayoutError, UnknownNameError
from maskopt_lib.layout import raster
from maskopt_lib.layout.polygons import fault_of, signed_area
from maskopt_lib.options import Positive, check

WINDOW_NM = 2048.0
#: Side of the square that the contest clips are drawn in; it stands in the middle of the window.
CONTEST_CORE_NM = 1024.0
RULES = ("half-open", "inclusive")
PLACEMENTS = ("contest", "centred")


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip:
    """Polygons of one layer in a square window.

    Attributes
    ----------
    name : what results call it.
    polygons : (n, 2) arrays in nm, as drawn; the last point joins the first. Overlaps count once. Holes are keyholes.
    layer : name or (layer, datatype) the polygons are from.
    window_nm : side of the window in nm.
    offset_nm : (dx, dy) in nm, added to the drawn coordinates to place them in the window.
    source : file the polygons are from, None for clips made by code.
    sha256 : hash of that file.
    errata : what was corrected on reading, in words; empty for a file taken to the letter.

    Raises
    ------
    LayoutError : no polygon, a faulty polygon, or one that leaves the window.

    Examples
    --------
    >>> clip = Clip(name="square", polygons=[[(0, 0), (70, 0), (70, 70), (0, 70)]], layer="via1", offset_nm=(989, 989))
    >>> clip.area_nm2, clip.bounds_nm
    (4900.0, (989.0, 989.0, 1059.0, 1059.0))
    >>> target = clip.rasterize(pixel_nm=1)
    >>> target.shape, target.dtype, int(target.sum())
    ((2048, 2048), dtype('uint8'), 4900)
    """

    name: str
    polygons: Sequence[np.ndarray]
    layer: str | tuple[int, int]
    window_nm: float = WINDOW_NM
    offset_nm: tuple[float, float] = (0.0, 0.0)
    source: str | None = None
    sha256: str | None = None
    errata: tuple[str, ...] = ()
    _where: Sequence[str] = field(default=(), repr=False)
    _merged: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        check(Positive, window_nm=self.window_nm)
        if len(self.polygons) == 0:
            raise LayoutError(f"clip {self.name!r} has no polygon; choose another layer, cell or region")
        polygons = []
        for index, points in enumerate(self.polygons):
            points = np.array(points, dtype=float)
            if points.ndim != 2 or points.shape[1] != 2:
                raise LayoutError(
                    f"clip {self.name!r}, polygon {index}: expected (n, 2) points, got shape {points.shape}; give one "
                    "(x, y) in nm for each vertex"
                )
            fault = fault_of(points, keyholes=True) if not self._where else None  # a reader has checked its own
            if fault:
                raise LayoutError(f"clip {self.name!r}, polygon {index}: {fault}; draw it as one simple outline")
            points.setflags(write=False)
            polygons.append(points)
        object.__setattr__(self, "polygons", tuple(polygons))
        object.__setattr__(self, "offset_nm", (float(self.offset_nm[0]), float(self.offset_nm[1])))
        self._check_fit()

    def _check_fit(self) -> None:
        x0, y0, x1, y1 = self.bounds_nm
        if x0 >= 0 and y0 >= 0 and x1 <= self.window_nm and y1 <= self.window_nm:
            return
        outside = next(i for i, p in enumerate(self.placed()) if p.min() < 0 or p.max() > self.window_nm)
        where = self._where[outside] if self._where else f"polygon {outside}"
        source = self.source or f"clip {self.name!r}"
        too_large = max(x1 - x0, y1 - y0) > self.window_nm
        remedy = (
            f"the clip is {x1 - x0:g} x {y1 - y0:g} nm: give a window_nm of at least {max(x1 - x0, y1 - y0):g}, or "
            "cut a part out with region_nm=(x0, y0, x1, y1)"
            if too_large
            else "place it with placement='centred' or another (dx, dy)"
        )
        raise LayoutError(
            f"{source}, {where}: the clip spans x {x0:g}..{x1:g}, y {y0:g}..{y1:g} nm after placement by "
            f"{self.offset_nm} nm and leaves the window of 0..{self.window_nm:g} nm; {remedy}"
        )

    @property
    def bounds_nm(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of all polygons in the window, in nm."""
        x0, y0, x1, y1 = bounds_of(self.polygons)
        dx, dy = self.offset_nm
        return x0 + dx, y0 + dy, x1 + dx, y1 + dy

    @property
    def is_manhattan(self) -> bool:
        """Whether every edge runs along x or y."""
        return all(raster.is_manhattan(points) for points in self.polygons)

    @property
    def area_nm2(self) -> float:
        """Area of the union of the polygons in nm2."""
        if self._merged:  # by the reader
            return float(sum(abs(signed_area(points)) for points in self.polygons))
        return float(sum(signed_area(points) for points in raster.united(self.polygons)))

    def placed(self) -> tuple[np.ndarray, ...]:
        """The polygons in window coordinates, nm."""
        return tuple(points + self.offset_nm for points in self.polygons)

    def rasterize(self, pixel_nm: float = 1, *, rule: str = "half-open", antialiased: bool | None = None) -> np.ndarray:
        """The clip as pixels; row = y, column = x, row 0 lowest.

        Parameters
        ----------
        pixel_nm : side of a pixel in nm; must divide the window.
        rule : "half-open" takes a pixel for the square it is, so areas are exact. "inclusive" is what programs get
            that fill polygons boundary included (OpenILT, LithoBench): every shape one nm wider and taller, the clip
            centred by its bounding box whatever its own placement.
        antialiased : True gives the covered fraction of each pixel, False 1 where at least half is covered. By
            default pixels coarser than 1 nm are anti-aliased.

        Returns
        -------
        (n, n) with ``n = window_nm / pixel_nm``; float32 in [0, 1] if anti-aliased, else uint8 of 0 and 1.

        Raises
        ------
        GridMismatchError : the pixel does not divide the window.
        LayoutError : the inclusive rule is asked for shapes that are not Manhattan on the nm grid.

        Notes
        -----
        The sum of an anti-aliased raster times ``pixel_nm**2`` is the area of the clip, at any pixel size. A binary
        raster has the exact area if the polygons are Manhattan and on its grid.
        """
        n = pixels_across(self.window_nm, pixel_nm)
        if antialiased is None:
            antialiased = pixel_nm > 1
        if rule == "inclusive":
            covered = self._inclusive(n, pixel_nm)
        elif rule != "half-open":
            raise UnknownNameError(f"no raster rule {rule!r}; known rules: {', '.join(RULES)}")
        elif antialiased:
            covered = raster.coverage(self.placed(), n, pixel_nm, disjoint=self._merged)
        else:
            return raster.painted(self.placed(), n, pixel_nm, disjoint=self._merged)
        return covered.astype(np.float32) if antialiased else (covered >= 0.5).astype(np.uint8)

    def _inclusive(self, n: int, pixel_nm: float) -> np.ndarray:
        offset = centred_offset(bounds_of(self.polygons), self.window_nm)
        polygons = [points + offset for points in self.polygons]
        on_grid = all(raster.is_manhattan(p) and np.array_equal(p, np.rint(p)) for p in polygons)
        if not on_grid or pixel_nm < 1 or pixel_nm != int(pixel_nm):
            raise LayoutError(
                f"clip {self.name!r}: the inclusive rule is defined for Manhattan polygons on whole nm and pixels of "
                f"whole nm, got pixel_nm={pixel_nm:g}; use rule='half-open'"
            )
        side = int(self.window_nm)
        fine = raster.painted(polygons, side, 1)
        if fine[-1].any() or fine[:, -1].any():
            raise LayoutError(
                f"clip {self.name!r}: under the inclusive rule it leaves the window of {side} nm; take window_nm "
                f"of {side + 2} or more"
            )
        return raster.block_mean(raster.inclusive(fine), side // n)


def bounds_of(polygons: Sequence[np.ndarray]) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) of all polygons together."""
    x0, y0 = np.min([p.min(axis=0) for p in polygons], axis=0)
    x1, y1 = np.max([p.max(axis=0) for p in polygons], axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def pixels_across(window_nm: float, pixel_nm: float) -> int:
    """Pixels along one side, or an error if they do not fill the window exactly."""
    check(Positive, pixel_nm=pixel_nm)
    n = round(window_nm / pixel_nm)
    if n < 1 or not math.isclose(n * pixel_nm, window_nm, rel_tol=1e-12):
        raise GridMismatchError(
            f"pixel_nm={pixel_nm:g} does not divide the window of {window_nm:g} nm; the nearest that do are "
            f"{window_nm / math.ceil(window_nm / pixel_nm):g} and "
            f"{window_nm / max(1, math.floor(window_nm / pixel_nm)):g}"
        )
    return n


def centred_offset(bounds_nm: tuple[float, float, float, float], window_nm: float) -> tuple[float, float]:
    """(dx, dy) in whole nm that centres a bounding box; a half nm is rounded down, as OpenILT does.

    Examples
    --------
    >>> centred_offset((10, 10, 15, 16), window_nm=20)
    (-3.0, -3.0)
    """
    x0, y0, x1, y1 = bounds_nm
    return float(math.floor((window_nm - x0 - x1) / 2)), float(math.floor((window_nm - y0 - y1) / 2))


def offset_for(placement, bounds_nm: tuple[float, float, float, float], window_nm: float) -> tuple[float, float]:
    """(dx, dy) in nm of a placement: "contest", "centred" or (dx, dy) itself, for drawn bounds in a window."""
    if isinstance(placement, str):
        if placement == "centred":
            return centred_offset(bounds_nm, window_nm)
        if placement == "contest":
            return ((window_nm - CONTEST_CORE_NM) / 2,) * 2
        raise UnknownNameError(f"no placement {placement!r}; known: {', '.join(PLACEMENTS)}, or (dx, dy) in nm")
    try:
        dx, dy = (float(value) for value in placement)
        if not math.isfinite(dx + dy):
            raise ValueError
    except (TypeError, ValueError):
        raise LayoutError(
            f"a placement is one of {', '.join(PLACEMENTS)}, or (dx, dy) in nm such as (512, 512), got {placement!r}"
        ) from None
    return dx, dy
