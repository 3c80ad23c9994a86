"""CurvyILT and the solver door: what must hold for any solver, and the published result."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskopt_lib import layout, litho, opc, optics
from maskopt_lib.data import schema
from maskopt_lib.errors import DivergedError, GridMismatchError, UnknownNameError
from maskopt_lib.opc import cleanup, curvy, pixels
from maskopt_lib.opc.objective import spectral_energy, squared_difference
from maskopt_lib.opc.result import check_finite


@pytest.fixture(scope="module")
def sim() -> litho.Simulator:
    return litho.Simulator(optics.load("embedded"))


@pytest.fixture(scope="module")
def targets() -> np.ndarray:
    """Two small metal patterns on a 4 nm grid: fast, and still curvy at 8 nm."""
    target = np.zeros((2, 512, 512), np.uint8)
    target[0, 200:222, 150:360] = target[0, 250:272, 150:300] = 1
    target[1, 180:330, 200:224] = target[1, 180:202, 200:320] = 1
    return target


#: 4 nm pixels hold neither 39 nm nor 25 and 9 nm discs: the nearest that they do.
SMALL = dict(retarget_nm=36.0, cleanup=curvy.CleanUp(open_nm=20.0, close_nm=12.0))


def test_solving_improves_the_print_and_keeps_the_record(sim, targets):
    result = opc.solve(targets, sim, n_steps=60, **SMALL)
    before = (sim.printed(targets)[:, 0].numpy() != targets).sum((1, 2))
    after = (sim.printed(result.mask)[:, 0].numpy() != targets).sum((1, 2))
    assert (after < 0.6 * before).all()
    assert result.mask.shape == targets.shape and result.mask.dtype == np.uint8
    assert set(np.unique(result.mask)) == {0, 1}
    assert result.history["value"].dims == (schema.STEP, schema.SAMPLE, schema.TERM)
    assert result.history.sizes[schema.STEP] == 61
    assert result.stopped_by == "reached the set number of 60 steps"
    assert result.options["retarget_nm"] == 36.0
    assert result.runtime_s == pytest.approx(sum(result.phases_s.values()), rel=1e-6)


def test_a_batch_gives_what_each_clip_alone_gives(sim, targets):
    # Float rounding differs with the batch, and thresholds amplify it: a handful of pixels at most.
    together = opc.solve(targets, sim, n_steps=20, **SMALL).mask
    for i in (0, 1):
        alone = opc.solve(targets[i], sim, n_steps=20, **SMALL)
        assert alone.mask.shape == targets[i].shape
        assert (alone.mask != together[i]).sum() <= 5


def test_each_clip_can_have_its_own_number_of_steps(sim, targets):
    mixed = opc.solve(targets, sim, n_steps=(10, 20), **SMALL)
    alone = opc.solve(targets[1], sim, n_steps=20, **SMALL)
    assert (mixed.mask[1] != alone.mask).sum() <= 5
    assert "10 steps" in mixed.stopped_by and "20 steps" in mixed.stopped_by
    assert np.isnan(mixed.history["value"].values[11:, 0]).all()


def test_inputs_are_left_alone(sim, targets):
    copy = targets.copy()
    opc.solve(targets, sim, n_steps=3, **SMALL)
    np.testing.assert_array_equal(targets, copy)


def test_mirrored_target_gives_mirrored_mask_when_the_optics_is_symmetric(sim, targets):
    # The embedded kernels may be asymmetric; averaging the pair over the flip makes a symmetric set.
    kernels = sim.kernels
    mirrored = np.concatenate([kernels.spectra, kernels.spectra[..., ::-1]], axis=1) / np.sqrt(2)
    symmetric = litho.Simulator(replace(kernels, spectra=mirrored, weights=np.tile(kernels.weights, 2), name="sym"))
    mask = opc.solve(targets[1], symmetric, n_steps=25, **SMALL).mask
    flipped = opc.solve(targets[1][:, ::-1].copy(), symmetric, n_steps=25, **SMALL).mask
    assert (mask != flipped[:, ::-1]).sum() <= 0.002 * mask.sum()


def test_switches_change_what_they_say(sim, targets):
    plain = dict(n_steps=8, cleanup=None)
    results = {
        "all": opc.solve(targets[1], sim, **plain, retarget_nm=36.0).history["value"],
        "no retargeting": opc.solve(targets[1], sim, **plain, retarget_nm=None).history["value"],
        "no spectrum": opc.solve(targets[1], sim, **plain, retarget_nm=36.0, spectral_weight=0).history["value"],
    }
    start = {name: values.isel(step=0, sample=0) for name, values in results.items()}
    assert start["no retargeting"].sel(term="fidelity") > start["all"].sel(term="fidelity")
    assert start["no retargeting"].sel(term="pv_band") == start["all"].sel(term="pv_band")
    assert (results["no spectrum"].sel(term="spectral") == 0).all()
    early = opc.solve(targets[1], sim, n_steps=8, **SMALL, loop=curvy.LoopMorphology(after_step=1))
    assert not np.array_equal(early.history["value"], results["all"])


def test_loop_morphology_schedule():
    loop = curvy.LoopMorphology()
    assert [s for s in range(58) if loop.acts(s)] == [52, 54, 56]


def test_stop_condition_ends_the_run_with_its_reason(sim, targets):
    stop = opc.NoImprovement(patience=5, relative=0.5)
    result = opc.solve(targets[0], sim, n_steps=100, stop=stop, **SMALL)
    assert "no clip improved by 50.0%" in result.stopped_by
    assert result.history.sizes[schema.STEP] < 100


def test_divergence_is_an_error_that_says_what_to_do():
    with pytest.raises(DivergedError, match="learning rate"):
        check_finite(2, [np.ones(2), np.array([1.0, np.nan])])


def test_wrong_names_and_grids_are_refused(sim, targets):
    with pytest.raises(UnknownNameError, match="curvy"):
        opc.solve(targets, sim, method="magic")
    with pytest.raises(UnknownNameError, match="published"):
        opc.solve(targets, sim, preset="best")
    with pytest.raises(UnknownNameError, match="learning_rate"):
        opc.solve(targets, sim, learnign_rate=1.0)
    with pytest.raises(ValueError, match="binary"):
        opc.solve(targets * 0.5, sim)
    with pytest.raises(GridMismatchError, match="retarget_nm"):
        opc.solve(targets, sim, retarget_nm=39.0)  # 39 nm on a 4 nm grid
    with pytest.raises(UnknownNameError, match="adam"):
        curvy.CurvyOptions(optimizer="adma")


def test_box_mean_equals_average_pooling_and_is_its_own_adjoint():
    image = torch.rand(2, 19, 23, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected = torch.nn.functional.avg_pool2d(image[:, None], 5, stride=1, padding=2)[:, 0]
    torch.testing.assert_close(pixels.smooth(image, 5), expected)
    assert torch.autograd.gradcheck(lambda i: pixels.smooth(i, 5), (image,))


@pytest.mark.parametrize("n", [16, 17])
@pytest.mark.parametrize("squared", [True, False])
def test_spectral_energy_equals_the_transform(n, squared):
    mask = torch.rand(2, n, n, dtype=torch.float64, generator=torch.Generator().manual_seed(n))
    spectrum = torch.fft.fftshift(torch.fft.fft2(mask), dim=(-2, -1))
    c = n // 2
    spectrum[:, c - 1 : c + 1, c - 1 : c + 1] = 0
    expected = torch.linalg.matrix_norm(spectrum)
    torch.testing.assert_close(spectral_energy(mask, squared=squared), expected**2 if squared else expected)
    assert torch.autograd.gradcheck(lambda m: spectral_energy(m, squared=squared), (mask.requires_grad_(),))


def test_squared_difference_counts_pixels_and_refuses_to_broadcast():
    a = torch.zeros(2, 4, 4)
    b = a.clone()
    b[1, :2] = 1
    assert squared_difference(a, b).tolist() == [0, 8]
    with pytest.raises(ValueError, match="one shape"):
        squared_difference(a, b[:1])


@pytest.mark.realdata
def test_published_preset_reproduces_a_published_clip(real_data, symmetrised):
    # Released result table, case 10: L2 7127, PV band 15013 (nm2), with the symmetrised kernels.
    clip = layout.read_clip(real_data("iccad13/clips/M1_test10.glp"))
    sim = litho.Simulator(symmetrised)
    target = clip.rasterize(pixel_nm=1)
    printed = sim.printed(opc.solve(target, sim, preset="published").mask).numpy()
    assert (printed[0] != target).sum() == pytest.approx(7127, rel=0.01)
    assert (printed[1] != printed[2]).sum() == pytest.approx(15013, rel=0.01)


def test_noise_on_the_start_is_seeded_and_changes_the_mask_a_little(sim, targets):
    def mask(**changes):
        return opc.solve(targets[0], sim, n_steps=20, **SMALL, **changes).mask

    quiet, noisy = mask(), mask(start_noise=0.05, seed=1)
    assert np.array_equal(noisy, mask(start_noise=0.05, seed=1))
    assert not np.array_equal(noisy, mask(start_noise=0.05, seed=2))
    assert 0 < (noisy != quiet).sum() < 0.1 * quiet.sum()


def test_nested_options_take_dictionaries(sim, targets):
    changed = opc.solve(targets[0], sim, n_steps=2, retarget_nm=36.0, cleanup={"open_nm": 20.0, "close_nm": 12.0})
    assert changed.options["cleanup"] == {
        "open_nm": 20.0, "close_nm": 12.0, "round_corners": True, "min_area_nm2": 0.0, "min_hole_nm2": 0.0,
    }  # fmt: skip
    with pytest.raises(UnknownNameError, match="no option of cleanup 'opening'"):
        opc.solve(targets[0], sim, cleanup={"opening": 3})


def test_an_initial_mask_is_where_the_descent_starts(sim, targets):
    first = opc.solve(targets, sim, n_steps=40, **SMALL)
    again = opc.solve(targets, sim, n_steps=1, initial=first.mask, **SMALL)
    from_target = opc.solve(targets, sim, n_steps=1, **SMALL)
    start = {"step": 0, "term": "fidelity"}
    assert (again.history["value"].sel(start) < 0.5 * from_target.history["value"].sel(start)).all()
    with pytest.raises(GridMismatchError, match="initial masks"):
        opc.solve(targets, sim, initial=first.mask[0])


def test_small_shapes_and_holes_are_removed_by_area():
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    mask[0, 4:8, 4:8] = mask[0, 20:50, 20:50] = 1
    mask[0, 30:33, 30:33] = 0
    only_areas = cleanup.CleanUp(open_nm=None, close_nm=None, min_area_nm2=4 * 17, min_hole_nm2=4 * 10)
    cleaned = only_areas(mask, pixel_nm=2.0)
    expected = torch.zeros_like(mask)
    expected[0, 20:50, 20:50] = 1
    assert torch.equal(cleaned, expected)
    exactly = cleanup.CleanUp(open_nm=None, close_nm=None, min_area_nm2=4 * 16, min_hole_nm2=4 * 9)
    assert torch.equal(exactly(mask, pixel_nm=2.0), mask)


def test_options_that_are_a_sequence_take_dictionaries(sim, targets):
    levels = [{"pixel_nm": 16.0, "n_steps": 2}, {"pixel_nm": 8.0, "n_steps": 3}]
    result = opc.solve(targets[0], sim, method="multilevel", levels=levels)
    assert [(level["pixel_nm"], level["n_steps"]) for level in result.options["levels"]] == [(16.0, 2), (8.0, 3)]
    with pytest.raises(UnknownNameError, match="no option of levels 'steps'"):
        opc.solve(targets[0], sim, method="multilevel", levels=[{"pixel_nm": 8.0, "steps": 3}])
