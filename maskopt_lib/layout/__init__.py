"""Layouts in, rasters, masks out.

`read_clip` reads one layer of a GLP, GDS or OASIS file into a `Clip`, `Clip.rasterize` turns it into pixels,
`read_design` merges a placed and routed design with its cells, `open_design` opens one of the catalog by name,
`tile_windows` and `cut_tiles` cut it into tiles at its cells,
`demo_clips` and `benchmark_clips` give clips by name, `mask_polygons` and `write_mask` turn a mask back into polygons,
`bezier_outlines` and `write_beziers` into curves.
"""

from maskopt_lib.layout.benchmarks import (
    BENCHMARKS,
    benchmark_clips,
    benchmark_names,
    demo_clips,
    demo_layout,
    layout_inputs,
)
from maskopt_lib.layout.bezier import bezier_outlines, bezier_polygons, read_beziers, write_beziers
from maskopt_lib.layout.catalog import design_info, design_names, open_design
from maskopt_lib.layout.cell_polygons import cell_polygons
from maskopt_lib.layout.cell_tiles import CutTiles, TileRule, content_image, cut_tiles, tile_scene, tile_windows
from maskopt_lib.layout.clip import Clip
from maskopt_lib.layout.clip_reader import read_clip
from maskopt_lib.layout.contours import mask_polygons, mask_rings
from maskopt_lib.layout.design_rules import DesignRule, check_design_rules
from maskopt_lib.layout.designs import Design, DesignInfo, read_design
from maskopt_lib.layout.layers import layer_names, resolve_layer
from maskopt_lib.layout.markers import write_differences, write_markers
from maskopt_lib.layout.photonic_devices import DEVICES, photonic_device
from maskopt_lib.layout.platforms import PLATFORMS, Platform, design_inputs
from maskopt_lib.layout.writer import WrittenMask, write_mask
