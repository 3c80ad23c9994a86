"""Kernels for other programs, read back as those read them, and sets of unknown origin."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskopt_lib import layout, optics
from maskopt_lib.errors import GridMismatchError, KernelFileError
from maskopt_lib.study.applications import kernel_files


@pytest.fixture(scope="module")
def worked():
    """The worked example: NA 0.85, annular 0.88 / 0.44, 24 kernels on 35 x 35 frequencies at two planes."""
    source = optics.AnnularSource(sigma_inner=0.44, sigma_outer=0.88)
    system = optics.OpticalSystem(na=0.85, source=source)
    return optics.padded(optics.build_kernels(system, defocus_nm=(0.0, 60.0)), 17)


@pytest.fixture(scope="module")
def mask():
    return {"tips": layout.demo_clips()["demo-metal-tips"].rasterize(8, antialiased=False)}


def test_kernels_in_every_layout_read_as_their_programs_do_give_our_image(worked, mask, tmp_path):
    differences = kernel_files.read_back(worked, kernel_files.write_all(worked, tmp_path), mask)
    assert float(differences["largest_difference"].max()) < 1e-5
    assert worked.spectra.shape == (2, 24, 35, 35)


def test_what_is_written_is_read_back_and_sound(worked, tmp_path):
    folders = kernel_files.write_all(worked, tmp_path)
    back = optics.read_openilt(folders["OpenILT, LithoBench: .pt"])
    assert np.abs(back.spectra - worked.spectra).max() < 1e-12 and np.allclose(back.weights, worked.weights)
    for folder in folders.values():
        found = optics.inspect(folder)
        assert found.is_sound and "sound" in str(found)
        assert float(found.measured["clear_field"].sel(reading=found.best)[0]) == pytest.approx(
            worked.clear_field[0], 1e-5
        )


def test_the_files_hold_what_openilt_says(worked, tmp_path):
    optics.write_openilt(worked, tmp_path)
    tensors = {path.stem: torch.load(path, weights_only=True) for path in (tmp_path / "kernels").glob("*.pt")}
    assert tensors["focus"].shape == (35, 35, 24) and tensors["focus"].dtype == torch.complex128
    assert torch.equal(tensors["ct_focus"], tensors["focus"].conj().transpose(0, 1).resolve_conj())
    scales = torch.load(tmp_path / "scales" / "focus.pt", weights_only=True)
    combined = (scales[:9].sqrt() * tensors["focus"][..., :9]).sum(-1)
    assert torch.allclose(tensors["combo_focus"], combined)


def test_a_header_read_four_bytes_early_is_found(tmp_path):
    ideal = optics.load("embedded-ideal")
    optics.write_kernels(ideal, tmp_path / "bin", order="openilt", header_bytes=24)
    found = optics.inspect(tmp_path / "bin")
    assert not found.is_sound and "The header has 24 bytes, not 20" in str(found)
    early = optics.read_kernels([tmp_path / "bin" / "M1OPC", tmp_path / "bin" / "M1OPC_def"], order="openilt")
    optics.write_openilt(early, tmp_path / "pt")
    found = optics.inspect(tmp_path / "pt")
    assert not found.is_sound and found.best == "real parts moved back by one bin along fy"
    assert float(found.measured["overlap"].sel(reading=found.best).max()) < 1e-6


def test_an_optics_without_a_symmetry_is_said_and_slots_of_another_set_too(tmp_path):
    tilted = optics.OpticalSystem(na=0.8, source=optics.circular(0.6), zernike_waves=((7, 0.05),))
    kernels = optics.build_kernels(tilted, numerics=optics.ImagingNumerics(period_nm=1024.0, n_kernels=12))
    optics.write_curvyilt(kernels, tmp_path)
    assert "changes under a flip of y, a transposition" in str(optics.inspect(tmp_path, period_nm=1024.0))
    array = np.load(tmp_path / "optKernel_bc.npy")
    array[2:] = array[2:, :, ::-1]
    np.save(tmp_path / "optKernel_bc.npy", array)
    assert "NOT the conjugates" in str(optics.inspect(tmp_path, period_nm=1024.0))


def test_weights_of_other_kernels_are_no_sound_set(worked, tmp_path):
    optics.write_curvyilt(worked, tmp_path)
    scales = np.load(tmp_path / "optKernel_scale.npy")
    np.save(tmp_path / "optKernel_scale.npy", 3 * scales[:, ::-1])
    found = optics.inspect(tmp_path)
    assert not found.is_sound and "do NOT fall" in str(found) and "NOT near 1" in str(found)


def test_what_is_no_set_and_what_does_not_fit_is_refused(worked, tmp_path):
    with pytest.raises(KernelFileError, match="no kernels of a known layout"):
        optics.inspect(tmp_path)
    with pytest.raises(GridMismatchError, match="do not fit into 21 x 21"):
        optics.padded(worked, 10)
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "focus.pt").write_bytes(b"no tensor")
    with pytest.raises(KernelFileError, match="holds no tensor"):
        optics.inspect(tmp_path)
