"""Windows that show a broken rule are found, all of them and no others."""

from __future__ import annotations

import numpy as np
import xarray as xr

from maskopt_lib.layout.rule_windows import windows_over


def test_windows_around_a_place_are_those_of_a_slow_search():
    rng = np.random.default_rng(0)
    places = rng.integers(0, 20_000, (40, 2)).astype(float)
    boxes = np.concatenate([places, places + rng.integers(0, 300, (40, 2))], axis=1)
    x, y = rng.integers(-1000, 20_000, (2, 3000)).astype(float)
    windows = xr.Dataset({"x_nm": ("tile", x), "y_nm": ("tile", y)}, attrs={"core_nm": 512, "context_nm": 128})
    low, high = np.stack([x, y]) - 128, np.stack([x, y]) + 640
    slow = [
        any(box[0] < right and box[2] > left and box[1] < top and box[3] > bottom for box in boxes)
        for left, bottom, right, top in zip(*low, *high, strict=True)
    ]
    over = windows_over(windows, boxes)
    assert over.tolist() == slow and 0 < over.sum() < len(over)
    assert not windows_over(windows, np.empty((0, 4))).any()
