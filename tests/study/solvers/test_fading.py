"""The gradients of the first mask are those of the terms, and say which shapes fade."""

from __future__ import annotations

import numpy as np
import torch

from maskopt_lib import optics
from maskopt_lib.litho import Simulator
from maskopt_lib.opc import curvy
from maskopt_lib.opc.objective import spectral_energy, squared_difference
from maskopt_lib.opc.pixels import coarse, smooth
from maskopt_lib.study import Clips
from maskopt_lib.study.solvers.fading import first_gradients


def test_one_row_a_shape_and_contacts_are_dark():
    kernels = optics.load("embedded-ideal")
    vias = first_gradients(Clips("demo-via", ["demo-via-isolated", "demo-via-row"]), kernels)
    lines = first_gradients(Clips("demo-metal", ["demo-metal-lines"]), kernels)
    assert list(vias["sample"].values) == ["demo-via-isolated"] + 5 * ["demo-via-row"]
    assert lines.sizes == {"shape": 6}
    # Far below the threshold a soft resist hardly answers; the spectral term does not care.
    assert float(vias["peak_intensity"].max()) < 0.15 < float(lines["peak_intensity"].min())
    assert float(abs(vias["print_pull"]).max()) < 0.1 * float(abs(lines["print_pull"]).min())
    assert (vias["spectral_push"] > 0).all() and (lines["spectral_push"] > 0).all()


def test_gradients_are_finite_differences_of_the_terms():
    kernels = optics.load("embedded-ideal")
    options = curvy.CurvyOptions(retarget_nm=None)
    clips = Clips("demo-via", ["demo-via-isolated"])
    found = first_gradients(clips, kernels, options)
    sim = Simulator(kernels, dtype=torch.float64)
    drawn = coarse(torch.as_tensor(clips.target("demo-via-isolated"))[None], 8, torch.float64)
    start = torch.sigmoid(4 * (smooth(drawn, 5) - 0.5))
    shape = (drawn >= 0.5).double()
    values = []
    for step in (-1e-4, 1e-4):
        mask = start + step * shape
        outer, inner = sim.resist(mask, corners=["outer", "inner"]).unbind(-3)
        prints = squared_difference(outer, drawn) + squared_difference(inner, outer)
        values.append([float(prints), float(spectral_energy(mask, squared=False))])
    fall, rise = (np.subtract(*values) * (1, -1)) / 2e-4 / float(shape.sum())
    np.testing.assert_allclose(found["print_pull"], fall, rtol=1e-3)
    np.testing.assert_allclose(found["spectral_push"], rise, rtol=1e-3)
