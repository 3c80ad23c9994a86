"""Draw a ring beside a bus as tools of photonics do: paths with a width, a database unit of 1 nm, a cell of its own.

``python draw_ring.py ring.gds RADIUS_UM``: KLayout's own shapes (points every degree, the bus as a path, the ring as a
referenced cell), not this library's drawing.
"""

import math
import sys

from klayout import db


def main(path: str, radius_um: float, width_um: float = 0.304, gap_um: float = 0.2) -> None:
    layout = db.Layout()
    layout.dbu = 0.001
    core = layout.layer(1, 0)
    ring, top = layout.create_cell("ring_single"), layout.create_cell("chip")
    turns = [math.radians(degree) for degree in range(360)]
    circles = [
        [db.DPoint(radius * math.cos(turn), radius * math.sin(turn)) for turn in turns]
        for radius in (radius_um + width_um / 2, radius_um - width_um / 2)
    ]
    around = db.DPolygon(circles[0])
    around.insert_hole(circles[1])
    ring.shapes(core).insert(around)
    y = -(radius_um + width_um + gap_um)
    top.shapes(core).insert(db.DPath([db.DPoint(-5, y), db.DPoint(5, y)], width_um))
    top.insert(db.DCellInstArray(ring.cell_index(), db.DTrans(0, 0)))
    layout.write(path)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
