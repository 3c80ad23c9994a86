"""Figures are drawn with HoloViews' matplotlib backend."""

from __future__ import annotations

import holoviews as hv
import pytest


@pytest.fixture(scope="session", autouse=True)
def backend():
    hv.extension("matplotlib", logo=False)
