"""The effective index method: its limits, and coupling that falls exponentially."""

from __future__ import annotations

import numpy as np
import pytest

from maskopt_lib.study.applications.waveguides import FULL_VECTOR, Waveguide


def test_the_index_goes_from_the_cladding_to_the_slab_and_grows_with_the_width():
    guide = Waveguide()
    index = guide.effective_index(np.array([1.0, 300.0, 450.0, 600.0, 1e5]))
    assert (np.diff(index) > 0).all()
    assert index[0] == pytest.approx(guide.cladding, abs=1e-3) and index[-1] == pytest.approx(
        guide.slab_index, abs=1e-4
    )
    assert guide.core > guide.slab_index > guide.cladding
    assert Waveguide(thickness_nm=1e5).slab_index == pytest.approx(guide.core, abs=1e-4)
    assert np.isnan(guide.effective_index(np.array([np.nan]))).all()


def test_the_mode_of_a_slab_solves_its_equation():
    guide = Waveguide()
    k = 2 * np.pi / guide.wavelength_nm
    kappa = k * np.sqrt(guide.core**2 - guide.slab_index**2)
    gamma = k * np.sqrt(guide.slab_index**2 - guide.cladding**2)
    assert np.tan(kappa * guide.thickness_nm / 2) == pytest.approx(gamma / kappa, rel=1e-8)


def test_coupling_falls_exponentially_with_the_gap_as_the_field_beside_a_guide():
    guide, gaps = Waveguide(), np.arange(200.0, 801.0, 100.0)
    coupling = guide.coupling_per_um(gaps, 448.0)
    decay = -np.diff(np.log(coupling)) / np.diff(gaps)
    assert decay == pytest.approx(guide.decay_per_nm(448.0), rel=0.03)
    assert abs(decay[-1] / guide.decay_per_nm(448.0) - 1) < 1e-3


def test_equal_widths_reflect_nothing_and_wrong_indices_are_refused():
    widths = np.array([450.0])
    assert Waveguide().grating_coupling_per_um(widths, widths) == 0
    with pytest.raises(ValueError, match="does not guide"):
        Waveguide(core=1.4)


def test_errors_against_a_full_vector_solver_are_those_that_are_said():
    guide = Waveguide()
    widths, index = (np.array(list(part(FULL_VECTOR["index"])), float) for part in (dict.keys, dict.values))
    gaps, coupling = (np.array(list(part(FULL_VECTOR["coupling"])), float) for part in (dict.keys, dict.values))
    ours = guide.effective_index(widths)
    assert ours / index == pytest.approx([1.037, 1.027, 1.023, 1.017], abs=1e-3)
    assert (ours[-1] - ours[0]) / (index[-1] - index[0]) == pytest.approx(0.81, abs=0.01)
    beside = guide.coupling_per_um(gaps, 440.0)
    assert beside / coupling == pytest.approx(1.36, abs=0.04)
    falls = np.diff(np.log(beside)) / np.diff(np.log(coupling))
    assert falls == pytest.approx(0.95, abs=0.01)


def test_guides_too_near_for_an_odd_mode_have_no_coupling():
    assert np.isnan(Waveguide().coupling_per_um(np.array([10.0]), 100.0)).all()
