"""Masks side by side on a screen: one range for all panels, errors under the pointer, one file that needs nothing."""

from __future__ import annotations

from html.parser import HTMLParser

import holoviews as hv
import numpy as np
import pytest
import xarray as xr
from bokeh.models import HoverTool
from bokeh.plotting import figure

from maskopt_lib.figures import linked

NAMES = ("target", "rule_aware")


@pytest.fixture
def view():
    """A bar of 4 by 2 pixels of 10 nm whose print moves by a pixel, in a field of 8 by 6; three sites, one lost."""
    layers = {name: np.zeros((6, 8), np.uint8) for name in ("target", "mask", "nominal", "outer", "inner")}
    for name, grown in zip(layers, (0, 1, 0, 1, 0), strict=True):
        layers[name][2 - grown : 4 + grown, 2 - grown : 6 + grown] = 1
    coords = {"y": 1000.0 + 10 * np.arange(6) + 5, "x": 10.0 * np.arange(8) + 5}
    picture = xr.Dataset({name: (("y", "x"), values) for name, values in layers.items()}, coords=coords)
    places = {"x_nm": [20.0, 60.0, 40.0], "y_nm": [1030.0, 1030.0, 1020.0], "edge_error_nm": [2.0, -9.0, np.nan]}
    sites = xr.Dataset({name: ("site", values) for name, values in places.items()})
    return linked.view(dict.fromkeys(NAMES, picture), dict.fromkeys(NAMES, sites))


def test_pixels_show_the_topmost_layer_and_the_outline_runs_along_the_target(view):
    image, outline, dots = view.values()[0].values()
    shown = image.dimension_values("shown", flat=False)
    assert (shown == 3).sum() == 16 and (shown == 2).sum() == 8, "the band lies around the print"
    ends = np.concatenate([path.array() for path in outline.split()])
    np.testing.assert_allclose((ends.min(axis=0), ends.max(axis=0)), [(20, 1020), (60, 1040)])
    np.testing.assert_array_equal(dots.dimension_values("edge_error_nm"), [2, -9, np.nan])


def test_panels_have_one_range_and_tell_edge_errors(view):
    panels = list(hv.render(view, backend="bokeh").select({"type": figure}))
    assert len(panels) == 2
    assert panels[0].x_range is panels[1].x_range and panels[0].y_range is panels[1].y_range
    assert {panel.title.text for panel in panels} == {"target as mask", "rule-aware"}
    tips = [tool.tooltips for panel in panels for tool in panel.select({"type": HoverTool})]
    assert tips and all("edge error (nm)" in dict(tip) for tip in tips)


def test_a_file_loads_nothing_and_is_linked(view, tmp_path):
    link = linked.save(view, "masks", tmp_path / "figures")
    assert 'href="figures/masks.html"' in link.data
    tags = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: tags.append((tag, dict(attrs)))
    parser.feed((tmp_path / "figures" / "masks.html").read_text(encoding="utf-8"))
    assert "script" in dict(tags) and not any({"src", "href"} & attrs.keys() for _, attrs in tags)
