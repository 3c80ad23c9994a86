"""The embedded layout, and layouts as inputs of a run."""

from __future__ import annotations

import numpy as np

from maskopt_lib import layout


def test_the_demo_layout_holds_the_embedded_clips(tmp_path):
    demo = layout.demo_layout(tmp_path)
    clips = [clip for name, clip in layout.demo_clips().items() if name.startswith("demo-metal")]
    read = layout.read_clip(demo, "metal1", window_nm=4096, placement=(0, 0))
    assert read.area_nm2 == sum(clip.area_nm2 for clip in clips)
    first = clips[0].rasterize(1)[512:1536, 512:1536]
    np.testing.assert_array_equal(read.rasterize(1, antialiased=False)[:1024, :1024], first)


def test_a_layout_is_an_input_by_its_path_or_its_name_in_the_manifest(tmp_path):
    demo = layout.demo_layout(tmp_path)
    assert layout.layout_inputs(demo) == [demo]
    assert layout.layout_inputs("M1_test4.glp") == ["iccad13/clips/M1_test4.glp"]
    assert layout.layout_inputs("") == layout.layout_inputs(tmp_path / "nothing.gds") == []
