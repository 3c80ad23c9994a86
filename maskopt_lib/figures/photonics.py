"""Drawings of photonic devices."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from maskopt_lib.figures import marks, style
from maskopt_lib.figures.page import Figure, Panel
from maskopt_lib.figures.pictures import NM


def drawings(devices: Mapping[str, Any]) -> Figure:
    """Devices as drawn, each with its gauges and the frame of what counts.

    Parameters
    ----------
    devices : name -> :class:`maskopt_lib.layout.photonic_devices.PhotonicDevice`.

    Returns
    -------
    One panel a device, cut a little outside of its frame.
    """
    panels = []
    for name, device in devices.items():
        x0, y0, x1, y1 = device.region_nm
        room = 0.04 * max(x1 - x0, y1 - y0)
        ends = []
        for gauge in device.gauges:
            turn = np.deg2rad(gauge.angle_deg)
            half = np.array([np.cos(turn), np.sin(turn)]) * gauge.drawn_nm / 2
            middle = np.array([gauge.x_nm, gauge.y_nm])
            ends.append((*(middle - half), *(middle + half)))
        low_x, low_y, high_x, high_y = np.array(ends).reshape(-1, 4).T
        drawn = [
            marks.polygons([polygon.points for polygon in device.polygons], style.BLUE, 0.35),
            *marks.intervals(low_x, low_y, high_x, high_y, style.VERMILION),
            marks.frames([device.region_nm], style.FAINT, 0.8),
        ]
        box = {"xlim": (x0 - room, x1 + room), "ylim": (y0 - room, y1 + room)}
        panels.append(Panel(drawn, title=name.replace("_", " "), **NM | box))
    return Figure(panels, columns=3, least_inch=1.6)
