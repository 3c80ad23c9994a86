"""Tiles a second of processor time, cut, rasterised, packed, signed and marked; and the memory of the largest design.

    python tests/bench/bench_tiles.py [design ...]

By default a routed design and, where the manifest's files are on this machine, a placed one with 18883 logic cells; the
catalog's other names will do. Each layer of a design is cut in one pass; the tiles are counted and dropped. The growth
of peak memory is that of the pass, after the design was read and its windows were planned.
"""

from __future__ import annotations

import resource
import sys
import time

from maskopt_lib import layout

#: Tiles a second and core that are asked for.
WANTED = 150
DESIGNS = ("demo_block", "gcd_dense_routed", "aes_dpl_placed")


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(names: tuple[str, ...]) -> None:
    rule = layout.TileRule()
    titles = ("tiles", "non-empty", "tiles/s", "wanted", "peak MB", "grown by")
    print(f"{'design':28} {'layer':8} " + " ".join(f"{title:>9}" for title in titles))
    for name in names:
        design = layout.open_design(name)
        windows = layout.tile_windows(design, rule)
        for layer in layout.design_info(name).layers:
            # A few tiles first: what is loaded once is not the pass's.
            list(layout.cut_tiles(design, layer, windows.isel(tile=slice(50)), rule))
            before, begun, full = peak_mb(), time.process_time(), 0
            for tiles in layout.cut_tiles(design, layer, windows, rule):
                full += int((tiles.core_density > 0).sum())
            seconds, n = time.process_time() - begun, windows.sizes["tile"]
            row = (n, full, round(n / seconds), WANTED, round(peak_mb()), round(peak_mb() - before, 1))
            print(f"{name:28} {layer:8} " + " ".join(f"{value:>9}" for value in row), flush=True)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]) or DESIGNS)
