"""Solvers at the scale of any optics: lengths twice as long, the same mask; every method, every process."""

from __future__ import annotations

import numpy as np
import pytest

from maskopt_lib import litho, opc, optics
from maskopt_lib.opc.scale import scale_of
from maskopt_lib.optics import settings

N = 256


def small(name: str) -> litho.Process:
    """A preset on a field of 256 x 256 pixels, each 4 nm at the solvers' scale."""
    sections = settings.read_process(name).value
    process = litho.load_process(name)
    scale = 2.0 ** round(np.log2(process.unit_nm / 241.25))
    return litho.load_process(
        sections | {"field": {"period_nm": 4 * N * scale, "pixel_nm": 4 * scale, "accuracy": 0.03}}
    )


def target() -> np.ndarray:
    """(y, x) an L and a line, 100 nm wide at the solvers' scale."""
    image = np.zeros((N, N), np.uint8)
    image[90:170, 88:113] = image[90:115, 88:150] = image[140:165, 130:180] = 1
    return image


def few_steps(method: str, scale: float) -> dict:
    options = opc.options_of(method)
    levels = [{"pixel_nm": pixel_nm * scale, "n_steps": 2, "window_nm": None} for pixel_nm in (8.0, 4.0)]
    changes = {"n_steps": 2, "free_steps": 2, "levels": levels}
    return {
        name: value
        for name, value in changes.items()
        if hasattr(options, name) and not (name == "n_steps" and hasattr(options, "levels"))
    }


PRESETS = [name for name in optics.process_names() if name != "contest"]


@pytest.mark.parametrize("name", PRESETS)
def test_every_method_solves_every_process(name):
    process = small(name)
    sim, wanted = process.simulator(), target()
    before = np.count_nonzero(sim.printed(wanted)[0].numpy() != wanted)
    for method in opc.METHODS:
        result = opc.solve(wanted, sim, method=method, **few_steps(method, scale_of(sim)))
        printed = sim.printed(result.mask)[0].numpy()
        assert result.mask.shape == wanted.shape and set(np.unique(result.mask)) == {0, 1}
        assert np.count_nonzero(printed != wanted) < 2 * before, method


@pytest.mark.parametrize("method", opc.METHODS)
def test_optics_and_lengths_twice_as_long_make_the_same_mask(method):
    light = {"na": 0.8, "source": {"shape": "annular", "sigma_inner": 0.5, "sigma_outer": 0.8}}
    results = []
    for scale in (1, 2):
        process = litho.load_process(
            {
                "optics": light | {"wavelength_nm": 193 * scale},
                "field": {"period_nm": 4 * N * scale, "pixel_nm": 4 * scale, "n_kernels": 8},
                "corners": {"nominal": {}, "outer": {"dose": 1.04}, "inner": {"defocus_nm": 50 * scale, "dose": 0.96}},
                "resist": {"diffusion_nm": 8 * scale},
            }
        )
        sim = process.simulator()
        assert scale_of(sim) == scale
        deck = {"deck": process.deck} if method == "rule_aware" else {}
        results.append(opc.solve(target(), sim, method=method, **few_steps(method, scale), **deck))
    assert np.mean(results[0].mask != results[1].mask) < 1e-4
    for name, value in results[0].options.items():
        if name.endswith("_nm") and isinstance(value, float):
            assert results[1].options[name] == pytest.approx(2 * value)
    if results[0].polygons:
        np.testing.assert_allclose(np.ptp(results[1].polygons[0][0]), 2 * np.ptp(results[0].polygons[0][0]), rtol=1e-2)


def test_options_that_are_given_are_nanometres_whatever_the_optics():
    process = small("iline-na048")
    result = opc.solve(target(), process.simulator(), method="curvy", n_steps=1, pixel_nm=64.0)
    assert result.options["pixel_nm"] == 64.0
