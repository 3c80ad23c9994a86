"""Layouts in, rasters, masks out.

`read_clip` reads one layer of a GLP, GDS or OASIS file into a `Clip`, `Clip.rasterize` turns it into pixels,
`demo_clips` and `benchmark_clips` give clips by name, `mask_polygons` and `write_mask` turn a mask back into polygons.
"""

from maskopt_lib.layout.benchmarks import BENCHMARKS, benchmark_clips, benchmark_names
from maskopt_lib.layout.clip import Clip, rasterize_many
from maskopt_lib.layout.demo import demo_clips
from maskopt_lib.layout.io import layer_names
from maskopt_lib.layout.reader import read_clip

__all__ = [
    "BENCHMARKS",
    "Clip",
    "benchmark_clips",
    "benchmark_names",
    "demo_clips",
    "layer_names",
    "rasterize_many",
    "read_clip",
]
