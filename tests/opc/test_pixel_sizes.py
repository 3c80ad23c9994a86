"""Every method on pixels of 1, 2 and 4 nm: it runs as it is, and a mask of which nothing prints is said."""

import dataclasses
import warnings

import numpy as np
import pytest

from maskopt_lib import litho, opc, optics
from maskopt_lib.errors import NothingPrintsWarning
from maskopt_lib.optics.kernels import cropped

PERIOD_NM = 1024.0
TARGETS = {
    "manhattan": lambda x, y: (abs(abs(x) - 80) < 40) & (abs(y) < 200),
    "curved": lambda x, y: abs(np.hypot(x, y) - 200) < 48,
    "via": lambda x, y: (abs(x) < 40) & (abs(y) < 40),
}


@pytest.fixture(scope="module")
def sim():
    return litho.Simulator(cropped(optics.load("embedded"), PERIOD_NM))


@pytest.mark.parametrize("pixel_nm", [1, 2, 4])
@pytest.mark.parametrize("method", sorted(opc.METHODS))
def test_every_method_runs_on_every_pixel(method, pixel_nm, sim):
    few = {"n_steps": 1, "free_steps": 1, "levels": [{"pixel_nm": p, "n_steps": 1, "window_nm": None} for p in (8, 4)]}
    names = {field.name for field in dataclasses.fields(opc.options_of(method))}
    changes = {name: value for name, value in few.items() if name in names}
    n = round(PERIOD_NM / pixel_nm)
    y, x = (np.mgrid[:n, :n] + 0.5) * pixel_nm - PERIOD_NM / 2
    targets = np.stack([draw(x, y) for draw in TARGETS.values()])
    masks = opc.solve(targets, sim, method=method, **changes).mask
    assert masks.shape == targets.shape
    # Mask and target are of one place, and the large shapes print.
    assert (masks[:2] & targets[:2]).sum() > 0.6 * targets[:2].sum()
    assert sim.printed(masks[:2])[:, 0].flatten(1).any(1).all()


def test_a_mask_of_which_nothing_prints_is_said(sim):
    target = np.zeros((512, 512), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is drawn: nothing is missing
        opc.solve(target, sim, method="identity")
    target[236:276, 236:276] = True
    with pytest.warns(NothingPrintsWarning, match=r"identity for clip 1 \(brightest place 0\.0\d*\): the resist needs"):
        opc.solve(np.stack([np.ones((512, 512), bool), target]), sim, method="identity")
    # Where a preset of the method prints what is so small, it is named; that preset itself names no other.
    with pytest.warns(NothingPrintsWarning, match='take preset="contact", which prints isolated vias and contacts'):
        opc.solve(target, sim, method="curvy", n_steps=1)
    with pytest.warns(NothingPrintsWarning, match="another preset or method"):
        opc.solve(target, sim, method="identity")
    assert all("contact" in method.presets for name, method in opc.METHODS.items() if name != "identity")
