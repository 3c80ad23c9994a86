"""Devices of silicon photonics, drawn with gdstk's curves: what is to print, and where to measure what has printed.

Lengths are in nm. Straight edges lie on a grid of 8 nm with the default sizes, so that pixels of 8, 4 or 2 nm hold them
exactly; curves are drawn to a tolerance of 0.02 nm, which keeps their area to a few parts in a million. Layer 1/0 is
what is drawn, as in the open SiEPIC kit. Waveguides go on beyond ``region_nm``, which is what counts: so its border
makes no line ends.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import gdstk
import numpy as np

from maskopt_lib import files
from maskopt_lib.errors import UnknownNameError

#: Layer of the drawn silicon.
DRAWN = (1, 0)
#: How far a polygon may be from its curve, and the grid of a file, in nm.
TOLERANCE_NM, GRID_NM = 0.02, 0.1
# How far waveguides go on beyond the region, and the free border inside of it.
_LEAD_NM, _BORDER_NM = 4096.0, 512.0
#: Kinds of gauges, and those whose middle is clear of silicon.
KINDS, CLEAR = ("width", "gap", "tooth", "wide", "narrow", "tip"), ("gap", "tip")
# Of every file, so that equal devices make equal files.
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Gauge(NamedTuple):
    """A place where a length is measured across: its kind, middle, direction and drawn length.

    Kinds: ``width`` of a waveguide, ``gap`` between two, ``tooth`` of a grating, ``wide`` and ``narrow`` parts of a
    corrugated waveguide, ``tip`` across the end of a slot. Of a gap and a tip the middle is clear of silicon, of all
    others it is silicon.
    """

    kind: str
    x_nm: float
    y_nm: float
    angle_deg: float
    drawn_nm: float


@dataclass(frozen=True, kw_only=True)
class PhotonicDevice:
    """A device.

    Attributes
    ----------
    name : of its kind, one of :data:`DEVICES`.
    polygons : what is drawn, apart from each other, in nm.
    gauges : where it is measured.
    region_nm : (x0, y0, x1, y1) of what counts.
    period_nm : of a grating's teeth; 0 where there are none.
    """

    name: str
    polygons: tuple[gdstk.Polygon, ...]
    gauges: tuple[Gauge, ...]
    region_nm: tuple[float, float, float, float]
    period_nm: float = 0.0

    @property
    def area_nm2(self) -> float:
        """Of all polygons, leads included."""
        return sum(polygon.area() for polygon in self.polygons)

    def write(self, path: str | Path, *, sensitive: tuple[int, int] | None = None, around_nm: float = 100.0) -> Path:
        """Write the device as GDS, on :data:`DRAWN`.

        Parameters
        ----------
        path : the file, ``.gds``.
        sensitive : layer on which squares of twice ``around_nm`` beyond each gap and tip are drawn: a map of where the
            device is most sensitive, as one would draw it by hand.
        around_nm : how far they reach beyond the gap's middle and half of its length.
        """
        library = gdstk.Library(self.name, unit=1e-9, precision=GRID_NM * 1e-9)
        cell = library.new_cell(self.name.upper())
        for polygon in self.polygons:
            cell.add(gdstk.Polygon(polygon.points, layer=DRAWN[0], datatype=DRAWN[1]))
        for gauge in self.gauges if sensitive else ():
            if gauge.kind in CLEAR:
                half = gauge.drawn_nm / 2 + around_nm
                corners = (gauge.x_nm - half, gauge.y_nm - half), (gauge.x_nm + half, gauge.y_nm + half)
                cell.add(gdstk.rectangle(*corners, layer=sensitive[0], datatype=sensitive[1]))
        with files.replacing(Path(path)) as beside:
            library.write_gds(str(beside), max_points=8190, timestamp=_EPOCH)
        return Path(path)


def ring(
    *, radius_nm: float = 3000.0, width_nm: float = 448.0, gap_nm: float = 200.0, n_gauges: int = 24
) -> PhotonicDevice:
    """A ring beside a straight bus; the gap is measured where they are closest, the width all around.

    Parameters
    ----------
    radius_nm : of the ring's middle line.
    width_nm : of both waveguides.
    gap_nm : between them.
    n_gauges : of the ring's width.

    Examples
    --------
    >>> device = ring(radius_nm=1000.0)
    >>> around, bus = device.polygons
    >>> round(around.area() / (2 * np.pi * 1000.0 * 448.0), 4)
    1.0
    """
    half = width_nm / 2
    around = gdstk.ellipse((0, 0), radius_nm + half, inner_radius=radius_nm - half, tolerance=TOLERANCE_NM)
    y = -(radius_nm + width_nm + gap_nm)
    reach = radius_nm + half + _BORDER_NM
    bus = gdstk.rectangle((-reach - _LEAD_NM, y - half), (reach + _LEAD_NM, y + half))
    turns = np.arange(n_gauges) * 360.0 / n_gauges
    gauges = [_across("width", radius_nm, turn, width_nm) for turn in turns.tolist()]
    gauges += [Gauge("width", x, y, 90.0, width_nm) for x in np.linspace(-radius_nm, radius_nm, 7).tolist()]
    gauges.append(Gauge("gap", 0.0, y + half + gap_nm / 2, 90.0, gap_nm))
    return _device("ring", [around, bus], gauges, (-reach, y - half - _BORDER_NM, reach, reach))


def bend(*, radius_nm: float = 3000.0, width_nm: float = 448.0, n_gauges: int = 13) -> PhotonicDevice:
    """A bend by a right angle between straight waveguides."""
    path = gdstk.RobustPath((-_LEAD_NM, 0), width_nm, tolerance=TOLERANCE_NM)
    path.segment((0, 0)).arc(radius_nm, -np.pi / 2, 0).segment((0, _LEAD_NM), relative=True)
    turns = np.linspace(-90.0, 0.0, n_gauges).tolist()
    gauges = [_across("width", radius_nm, turn, width_nm, (0.0, radius_nm)) for turn in turns]
    reach = radius_nm + width_nm / 2 + _BORDER_NM
    low = -width_nm / 2 - _BORDER_NM
    return _device("bend", path.to_polygons(), gauges, (low, low, reach, reach))


def coupler(
    *,
    length_nm: float = 4096.0,
    gap_nm: float = 200.0,
    width_nm: float = 448.0,
    apart_nm: float = 1024.0,
    turn_nm: float = 4096.0,
) -> PhotonicDevice:
    """A directional coupler: two waveguides beside each other over a length, led apart by curves on both sides.

    Parameters
    ----------
    length_nm, gap_nm, width_nm : of the coupling part, and of the waveguides.
    apart_nm : how far each is led away, over ``turn_nm`` along x.
    """
    middle, half = (gap_nm + width_nm) / 2, length_nm / 2
    polygons, gauges = [], []
    for side in (-1, 1):
        path = gdstk.RobustPath(
            (-half - turn_nm - _LEAD_NM, side * (middle + apart_nm)), width_nm, tolerance=TOLERANCE_NM
        )
        path.segment((-half - turn_nm, side * (middle + apart_nm)))
        path.cubic(_s_bend(turn_nm, -side * apart_nm), relative=True)
        path.segment((half, side * middle))
        path.cubic(_s_bend(turn_nm, side * apart_nm), relative=True)
        path.segment((_LEAD_NM, 0), relative=True)
        polygons += path.to_polygons()
        gauges += [Gauge("width", x, side * middle, 90.0, width_nm) for x in np.linspace(-half, half, 9).tolist()]
    gauges += [Gauge("gap", x, 0.0, 90.0, gap_nm) for x in np.linspace(-half, half, 17).tolist()]
    x, y = half + turn_nm / 2, middle + apart_nm + width_nm / 2 + _BORDER_NM
    return _device("coupler", polygons, gauges, (-x, -y, x, y))


def y_branch(
    *, width_nm: float = 448.0, slot_nm: float = 184.0, apart_nm: float = 1024.0, turn_nm: float = 4096.0
) -> PhotonicDevice:
    """A waveguide that becomes wide enough for two, which part with a slot between them and are led away."""
    taper_nm, middle = 2048.0, (slot_nm + width_nm) / 2
    wide = width_nm + slot_nm / 2
    trunk = [(-_LEAD_NM - taper_nm, -width_nm / 2), (-taper_nm, -width_nm / 2), (0, -wide), (64, -wide)]
    pieces = [gdstk.Polygon([*trunk, *((x, -y) for x, y in reversed(trunk))])]
    gauges = [Gauge("width", -taper_nm - 512.0, 0.0, 90.0, width_nm)]
    for side in (-1, 1):
        path = gdstk.RobustPath((0, side * middle), width_nm, tolerance=TOLERANCE_NM)
        path.segment((64, side * middle)).cubic(_s_bend(turn_nm, side * apart_nm), relative=True)
        path.segment((_LEAD_NM, 0), relative=True)
        pieces += path.to_polygons()
        gauges.append(Gauge("width", 64 + turn_nm, side * (middle + apart_nm), 90.0, width_nm))
    # Beyond the tip, where the arms have not yet turned by half a degree, they are as far apart as drawn.
    gauges.append(Gauge("tip", 64 + 0.02 * turn_nm, 0.0, 90.0, slot_nm))
    merged = gdstk.boolean(pieces, [], "or", precision=GRID_NM / 10)
    y = middle + apart_nm + width_nm / 2 + _BORDER_NM
    return _device("y_branch", merged, gauges, (-taper_nm - 1024.0, -y, 64 + turn_nm + 512.0, y))


def bragg(
    *, width_nm: float = 496.0, corrugation_nm: float = 96.0, period_nm: float = 320.0, n_periods: int = 16
) -> PhotonicDevice:
    """A waveguide whose both sides go in and out: wide for half a period, narrow for the other.

    Parameters
    ----------
    width_nm : the mean; parts are wider and narrower by half of ``corrugation_nm``.
    period_nm, n_periods : along the waveguide.
    """
    length = n_periods * period_nm
    low, high = (width_nm - corrugation_nm) / 2, (width_nm + corrugation_nm) / 2
    pieces = [gdstk.rectangle((-_LEAD_NM - length / 2, -low), (_LEAD_NM + length / 2, low))]
    starts = (np.arange(n_periods) * period_nm - length / 2).tolist()
    pieces += [gdstk.rectangle((x, -high), (x + period_nm / 2, high)) for x in starts]
    gauges = [Gauge("wide", x + period_nm / 4, 0.0, 90.0, 2 * high) for x in starts[1:-1]]
    gauges += [Gauge("narrow", x + 3 * period_nm / 4, 0.0, 90.0, 2 * low) for x in starts[1:-1]]
    merged = gdstk.boolean(pieces, [], "or", precision=GRID_NM / 10)
    box = (-length / 2 - 256.0, -high - _BORDER_NM, length / 2 + 256.0, high + _BORDER_NM)
    return _device("bragg", merged, gauges, box, period_nm)


def grating_coupler(
    *,
    period_nm: float = 640.0,
    fill: float = 0.5,
    n_teeth: int = 8,
    focal_nm: float = 4096.0,
    opening_deg: float = 40.0,
    width_nm: float = 448.0,
) -> PhotonicDevice:
    """Curved teeth around the end of a waveguide's taper; their width is measured on the axis and to both sides of it.

    Parameters
    ----------
    period_nm, fill : of the teeth along a radius, and the share of the period that is silicon.
    focal_nm : radius of the taper's end; the first tooth begins a slot farther out.
    opening_deg : of the taper and the teeth.
    """
    opening, tooth = np.deg2rad(opening_deg), fill * period_nm
    pieces = [
        gdstk.ellipse((0, 0), focal_nm, initial_angle=-opening / 2, final_angle=opening / 2, tolerance=TOLERANCE_NM),
        gdstk.rectangle((-_LEAD_NM, -width_nm / 2), (width_nm, width_nm / 2)),
    ]
    starts = focal_nm + (1 - fill) * period_nm + period_nm * np.arange(n_teeth)
    gauges = []
    for start in starts.tolist():
        arc = gdstk.ellipse(
            (0, 0), start + tooth, inner_radius=start, initial_angle=-opening / 2, final_angle=opening / 2,
            tolerance=TOLERANCE_NM,
        )  # fmt: skip
        pieces.append(arc)
        turns = (-opening_deg / 4, 0.0, opening_deg / 4)
        gauges += [_across("tooth", start + tooth / 2, turn, tooth) for turn in turns]
    merged = gdstk.boolean(pieces, [], "or", precision=GRID_NM / 10)
    y = float(starts[-1] + tooth) * np.sin(opening / 2) + _BORDER_NM
    box = (focal_nm - 1024.0, -y, float(starts[-1]) + tooth + _BORDER_NM, y)
    return _device("grating_coupler", merged, gauges, box, period_nm)


#: Name -> function that draws it; its keywords are the sizes.
DEVICES: dict[str, Callable[..., PhotonicDevice]] = {
    draw.__name__: draw for draw in (ring, bend, coupler, y_branch, bragg, grating_coupler)
}


def photonic_device(name: str, **sizes: float) -> PhotonicDevice:
    """A device by its name, with other sizes than its own.

    Raises
    ------
    UnknownNameError : no such device; lists those there are.

    Examples
    --------
    >>> photonic_device("bragg", n_periods=8).region_nm
    (-1536.0, -832.0, 1536.0, 832.0)
    """
    if name not in DEVICES:
        raise UnknownNameError.of("device", name, list(DEVICES))
    return DEVICES[name](**sizes)


def _device(name: str, polygons, gauges, box, period_nm: float = 0.0) -> PhotonicDevice:
    """The region is made whole in steps of 64 nm, which all pixels divide."""
    low, high = np.floor(np.array(box[:2]) / 64) * 64, np.ceil(np.array(box[2:]) / 64) * 64
    region = (*low.tolist(), *high.tolist())
    inside = [g for g in gauges if region[0] <= g.x_nm <= region[2] and region[1] <= g.y_nm <= region[3]]
    return PhotonicDevice(
        name=name, polygons=tuple(polygons), gauges=tuple(inside), region_nm=region, period_nm=period_nm
    )


def _across(kind: str, radius_nm: float, angle_deg: float, drawn_nm: float, centre=(0.0, 0.0)) -> Gauge:
    """A gauge on a circle, along its radius."""
    turn = np.deg2rad(angle_deg)
    x, y = centre[0] + radius_nm * np.cos(turn), centre[1] + radius_nm * np.sin(turn)
    return Gauge(kind, float(x), float(y), angle_deg, drawn_nm)


def _s_bend(along_nm: float, aside_nm: float) -> list[tuple[float, float]]:
    """Control points of a curve that leaves and ends along x, relative to its start."""
    return [(along_nm / 2, 0.0), (along_nm / 2, aside_nm), (along_nm, aside_nm)]
