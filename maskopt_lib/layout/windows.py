"""How a region is cut into overlapping windows, and the store that their masks are stitched in."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import LocalStore

from maskopt_lib.errors import GridMismatchError, LayoutError, MissingDataError
from maskopt_lib.grid import Grid
from maskopt_lib.layout.mosaic import Tile as MaskTile
from maskopt_lib.options import Finite, NotNegative, Options, Positive

CORE_NM, FIELD_NM = 1024.0, 2048.0
#: Beyond this distance nothing of a mask moves an edge by more than some tenths of a nm (tests of study.areas).
OPTICAL_RADIUS_NM = 512.0


@dataclass(frozen=True, kw_only=True)
class Window:
    """One field of a plan.

    Attributes
    ----------
    row, column : in the plan, from its lower left.
    field_nm : (x0, y0, x1, y1) of the field in the layout.
    core_nm : (x0, y0, x1, y1) of the core; it may reach beyond the plan's region.
    """

    row: int
    column: int
    field_nm: tuple[float, float, float, float]
    core_nm: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Plan(Options):
    """How a region is cut into windows; its size need not be a multiple of anything but the pixel.

    Attributes
    ----------
    region_nm : (x0, y0, x1, y1) in the layout.
    core_nm : side of a core.
    field_nm : side of a field, the period of the kernels.
    pixel_nm : side of a pixel.
    shifted : windows are moved by half a core along x and y, and one more row and column covers the rest.
    offset_nm : windows are moved back by this as well, by less than half a core.
    context_nm : what a window sees around its core; the rest of its field is empty.
    rim_nm : the mask goes on this far around the region, as the outer windows have it in their context.

    Raises
    ------
    LayoutError : the region is empty or off the pixels, or a field has no room for the context.

    Examples
    --------
    >>> plan = Plan(region_nm=(0, 0, 2500, 1024))
    >>> [window.core_nm for window in plan.windows]
    [(0.0, 0.0, 1024.0, 1024.0), (1024.0, 0.0, 2048.0, 1024.0), (2048.0, 0.0, 3072.0, 1024.0)]
    >>> plan.borders_nm
    ([1024.0, 2048.0], [])
    """

    region_nm: tuple[Finite, Finite, Finite, Finite]
    core_nm: Positive = CORE_NM
    field_nm: Positive = FIELD_NM
    pixel_nm: Positive = 1.0
    shifted: bool = False
    offset_nm: NotNegative = 0.0
    context_nm: NotNegative = OPTICAL_RADIUS_NM
    rim_nm: NotNegative = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "region_nm", tuple(float(v) for v in self.region_nm))
        x0, y0, x1, y1 = self.region_nm
        if not (x1 > x0 and y1 > y0):
            raise LayoutError(f"region_nm={self.region_nm} is not (x0, y0, x1, y1) in nm with x0 < x1 and y0 < y1")
        lengths = {
            "the field": self.field_nm, "the region's width": x1 - x0, "the region's height": y1 - y0,
            "half the core": self.core_nm / 2, "the halo": self.halo_nm, "the offset": self.offset_nm,
            "the context": self.context_nm, "the rim": self.rim_nm,
        }  # fmt: skip
        for name, length in lengths.items():
            if abs((pixels := length / self.pixel_nm) - round(pixels)) > 1e-6:
                raise LayoutError(f"{name}, {length:g} nm, must be whole in pixels of {self.pixel_nm:g} nm")
        if not 0 <= self.rim_nm <= self.context_nm <= self.halo_nm:
            raise LayoutError(
                f"a core of {self.core_nm:g} nm in a field of {self.field_nm:g} nm leaves a halo of {self.halo_nm:g} "
                f"nm, which must hold a context of {self.context_nm:g} nm and a rim of {self.rim_nm:g} nm: take a core "
                f"of at most {self.field_nm - 2 * self.context_nm:g} nm, or less context"
            )

    @property
    def halo_nm(self) -> float:
        """What a window sees around its core."""
        return (self.field_nm - self.core_nm) / 2

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels of the region, (y, x)."""
        x0, y0, x1, y1 = self.region_nm
        return round((y1 - y0) / self.pixel_nm), round((x1 - x0) / self.pixel_nm)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of windows."""
        x0, y0, x1, y1 = self.region_nm
        extra = self._back_nm
        return tuple(int(np.ceil((length + extra) / self.core_nm)) for length in (y1 - y0, x1 - x0))

    @property
    def windows(self) -> Iterator[Window]:
        """All windows, row by row from below."""
        rows, columns = self.grid
        return (self.window(row, column) for row in range(rows) for column in range(columns))

    @property
    def _back_nm(self) -> float:
        return (self.core_nm / 2 if self.shifted else 0.0) + self.offset_nm

    def window(self, row: int, column: int) -> Window:
        """One window."""
        x0, y0, *_ = self.region_nm
        x, y = ((i + 0.5) * self.core_nm - self._back_nm for i in (column, row))
        return self.around(x0 + x, y0 + y, row, column)

    def around(self, x_nm: float, y_nm: float, row: int = 0, column: int = 0) -> Window:
        """A window with its middle at (x, y)."""
        half, wide = self.core_nm / 2, self.field_nm / 2
        return Window(
            row=row,
            column=column,
            core_nm=(x_nm - half, y_nm - half, x_nm + half, y_nm + half),
            field_nm=(x_nm - wide, y_nm - wide, x_nm + wide, y_nm + wide),
        )

    def seen(self, window: Window) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of what a window is solved with: its core and the context around it."""
        return grown(window.core_nm, self.context_nm)

    def kept(self, window: Window) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of what is kept of a window's mask: the core, and the rim where it is an outer one."""
        (rows, columns), (x0, y0, x1, y1) = self.grid, window.core_nm
        left, low = self.rim_nm * (window.column == 0), self.rim_nm * (window.row == 0)
        right, up = self.rim_nm * (window.column == columns - 1), self.rim_nm * (window.row == rows - 1)
        return x0 - left, y0 - low, x1 + right, y1 + up

    def inside(self, window: Window) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) of what lies of a window's core in the region."""
        core, region = window.core_nm, self.region_nm
        return max(core[0], region[0]), max(core[1], region[1]), min(core[2], region[2]), min(core[3], region[3])

    @property
    def borders_nm(self) -> tuple[list[float], list[float]]:
        """x of the vertical and y of the horizontal borders between cores, inside the region."""
        rows, columns = self.grid
        x0, y0, *_ = self.window(0, 0).core_nm
        xs = [x0 + i * self.core_nm for i in range(1, columns)]
        ys = [y0 + i * self.core_nm for i in range(1, rows)]
        return xs, ys


def grown(box_nm: Sequence[float], by_nm: float) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) of a box with as much more on all sides.

    Examples
    --------
    >>> grown((0, 0, 10, 20), 5)
    (-5, -5, 15, 25)
    """
    x0, y0, x1, y1 = box_nm
    return x0 - by_nm, y0 - by_nm, x1 + by_nm, y1 + by_nm


class StitchedMask:
    """The mask of a region as a compressed store on disk, read and written window by window.

    Parameters
    ----------
    store : path of what :meth:`create` made, to read and write; or a zarr store of it, which is only read.

    Attributes
    ----------
    path : the store: a zarr group with ``mask`` (y, x) uint8, and ``y`` and ``x`` of the pixel centres in layout nm, so
        that ``xarray.open_zarr(path, consolidated=False)`` opens it.
    region_nm, pixel_nm : what it covers.
    """

    def __init__(self, store: str | Path | LocalStore) -> None:
        is_path = not isinstance(store, LocalStore)
        self.path = Path(store if is_path else store.root)
        if not self.path.exists():
            raise MissingDataError(f"no stitched mask at {self.path}; solve the area first")
        group = zarr.open_group(store, mode="r+" if is_path else "r")
        self._pixels = group["mask"]
        self.region_nm = tuple(group.attrs["region_nm"])
        self.pixel_nm = float(group.attrs["pixel_nm"])

    @classmethod
    def create(cls, path: str | Path, plan: Plan, attributes: Mapping[str, Any] | None = None) -> StitchedMask:
        """An empty mask of a plan's region and rim, in place of what is there; with attributes, plain JSON, on it."""
        region_nm = grown(plan.region_nm, plan.rim_nm)
        shape = tuple(n + 2 * round(plan.rim_nm / plan.pixel_nm) for n in plan.shape)
        described = {**(attributes or {}), "region_nm": list(region_nm), "pixel_nm": plan.pixel_nm}
        group = zarr.open_group(Path(path), mode="w", zarr_format=3, attributes=described)
        for axis, name in enumerate(("y", "x")):
            centres = Grid(shape[axis], plan.pixel_nm).centres_nm + region_nm[1 - axis]
            labels = {"long_name": name, "units": "nm"}
            group.create_array(name, data=centres, dimension_names=(name,), attributes=labels)
        chunk = min(round(plan.core_nm / plan.pixel_nm), max(shape))
        group.create_array(
            "mask",
            shape=shape,
            chunks=(chunk, chunk),
            dtype="uint8",
            dimension_names=("y", "x"),
            attributes={"long_name": "mask", "units": "1"},
        )
        return cls(path)

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels, (y, x)."""
        return self._pixels.shape

    def read(self, box_nm: Sequence[float]) -> np.ndarray:
        """(y, x) uint8 of a box in layout coordinates; 0 beyond the region."""
        inside, of_box, shape = self._spans(box_nm)
        image = np.zeros(shape, np.uint8)
        image[of_box] = self._pixels[inside]
        return image

    def write(self, box_nm: Sequence[float], image: np.ndarray) -> None:
        """Put (y, x) pixels at a box in layout coordinates; what lies beyond the region is left out."""
        inside, of_box, _ = self._spans(box_nm)
        self._pixels[inside] = image[of_box]

    def digest(self) -> str:
        """Hash of all pixels, read row of chunks by row of chunks."""
        digest = hashlib.sha256(json.dumps([*self.shape, self.pixel_nm]).encode())
        step = self._pixels.chunks[0]
        for y in range(0, self.shape[0], step):
            digest.update(np.packbits(self._pixels[y : y + step], axis=-1).tobytes())
        return digest.hexdigest()

    def tiles(self, box_nm: Sequence[float] | None = None) -> Iterator[Iterator[MaskTile]]:
        """Rows of tiles as :func:`maskopt_lib.layout.mosaic.write_mosaic` takes them, of a box of the mask or all."""
        (rows, columns), _, _ = self._spans(self.region_nm if box_nm is None else box_nm)
        step_y, step_x = self._pixels.chunks
        for y in range(rows.start, rows.stop, step_y):
            high = min(y + step_y, rows.stop)
            yield (
                MaskTile(
                    image=self._pixels[y:high, x : min(x + step_x, columns.stop)],
                    x_px=x - columns.start,
                    y_px=y - rows.start,
                )
                for x in range(columns.start, columns.stop, step_x)
            )

    def _spans(self, box_nm: Sequence[float]) -> tuple[tuple[slice, ...], tuple[slice, ...], tuple[int, ...]]:
        """Pixels of the region that a box covers, where they are in the box, and the shape of the box; (y, x) each."""
        px = np.subtract(np.reshape(box_nm, (2, 2)), self.region_nm[:2]) / self.pixel_nm
        if np.abs(px - np.rint(px)).max() > 1e-6:
            raise GridMismatchError(f"box_nm={tuple(box_nm)} is off the mask's pixels of {self.pixel_nm:g} nm")
        low, high = np.rint(px).astype(int)[:, ::-1].tolist()
        kept = [(max(a, 0), max(min(b, n), max(a, 0))) for a, b, n in zip(low, high, self.shape, strict=True)]
        inside = tuple(slice(a, b) for a, b in kept)
        of_box = tuple(slice(a - start, b - start) for (a, b), start in zip(kept, low, strict=True))
        return inside, of_box, tuple(b - a for a, b in zip(low, high, strict=True))
