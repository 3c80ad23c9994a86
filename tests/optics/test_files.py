"""Kernel files: round trips, the two array orders, and what is said of a broken file."""

from __future__ import annotations

import numpy as np
import pytest

from maskopt_lib import optics
from maskopt_lib.errors import HashMismatchError, KernelFileError, UnknownNameError
from maskopt_lib.optics.files import read_kernel_file, read_scales


@pytest.fixture(scope="module")
def kernels():
    # A set without any symmetry, so a mixed-up order cannot go unnoticed.
    source = optics.PoleSource(angles_deg=(10.0, 95.0), sigma_centre=0.5, sigma_radius=0.2, brightness=(1.0, 0.4))
    system = optics.OpticalSystem(na=0.8, source=source, zernike_waves=((7, 0.03), (5, 0.02)))
    numerics = optics.ImagingNumerics(period_nm=1024.0, n_kernels=4)
    return optics.build_kernels(system, numerics=numerics, defocus_nm=(0.0, 40.0))


@pytest.mark.parametrize("order", ["openilt", "file"])
def test_written_kernels_come_back(kernels, tmp_path, order):
    folders = optics.write_kernels(kernels, tmp_path, order=order)
    back = optics.read_kernels(folders, order=order, defocus_nm=(0.0, 40.0), period_nm=1024.0)
    # Files hold float32 kernels of unit norm and weights in full.
    np.testing.assert_allclose(back.spectra, kernels.spectra, atol=1e-7)
    np.testing.assert_allclose(back.weights, kernels.weights, rtol=1e-12)
    assert back.defocus_nm == kernels.defocus_nm and back.focus_names == kernels.focus_names
    assert optics.tcc_distance(kernels, back).tcc_distance.max() < 1e-6


def test_the_orders_are_transposes(kernels, tmp_path):
    folders = optics.write_kernels(kernels, tmp_path, order="openilt")
    one, other = (optics.read_kernels(folders, order=order) for order in ("openilt", "file"))
    np.testing.assert_array_equal(other.spectra, one.spectra.swapaxes(-1, -2))
    stored = read_kernel_file(folders[0] / "fh1.bin")
    np.testing.assert_array_equal(one.spectra[0, 1], stored.T)
    np.testing.assert_array_equal(other.spectra[0, 1], stored)


def test_a_file_has_the_contests_bytes(kernels, tmp_path):
    folder = optics.write_kernels(kernels, tmp_path, order="openilt")[0]
    raw = (folder / "fh0.bin").read_bytes()
    n = 2 * kernels.half_width + 1
    assert len(raw) == 20 + 8 * n * n + 4 and raw[-4:] == bytes(4)
    assert np.frombuffer(raw[:12], ">i4").tolist() == [n, n, 2]
    assert (folder / "scales.txt").read_text().split()[0] == "4"


def test_weights_take_up_the_norm(kernels, tmp_path):
    doubled = optics.SocsKernels(
        spectra=2 * kernels.spectra, weights=kernels.weights / 4, focus_names=kernels.focus_names,
        defocus_nm=kernels.defocus_nm, period_nm=kernels.period_nm, name="doubled",
    )  # fmt: skip
    back = optics.read_kernels(optics.write_kernels(doubled, tmp_path, order="file"), order="file")
    np.testing.assert_allclose(np.linalg.norm(back.spectra, axis=(-2, -1)), 1, rtol=1e-6)
    np.testing.assert_allclose(back.weights, kernels.weights, rtol=1e-12)


@pytest.fixture
def folder(kernels, tmp_path):
    return optics.write_kernels(kernels, tmp_path, order="openilt")[0]


def spoil(path, change):
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda raw: raw[:-100], "bytes, a kernel of"),
        (lambda raw: raw + b"\0" * 8, "bytes, a kernel of"),
        (lambda raw: raw[:7], "shorter than the 24-byte header"),
        (lambda raw: np.frombuffer(raw, "<i4").byteswap().tobytes(), "little-endian"),
        (lambda raw: b"\x89PNG" + raw[4:], "not a kernel file"),
        (lambda raw: raw[:20] + np.array(np.nan, ">f4").tobytes() + raw[24:], "not finite"),
    ],
)
def test_a_broken_kernel_file_is_named(folder, change, said):
    spoil(folder / "fh2.bin", change)
    with pytest.raises(KernelFileError, match=f"fh2.bin.*{said}.*make data"):
        optics.read_kernels([folder], order="openilt")


def test_missing_files_are_named(folder):
    (folder / "fh3.bin").unlink()
    with pytest.raises(KernelFileError, match=r"fh3\.bin: missing, .*scales.txt announces 4 kernels"):
        optics.read_kernels([folder], order="openilt")
    (folder / "scales.txt").unlink()
    with pytest.raises(KernelFileError, match=r"no scales\.txt"):
        optics.read_kernels([folder], order="openilt")


@pytest.mark.parametrize("text", ["", "3\n1\n2\n", "two\n1\n2\n", "2\n1\nx\n", "1\nnan\n"])
def test_broken_scales_are_named(folder, text):
    (folder / "scales.txt").write_text(text)
    with pytest.raises(KernelFileError, match=r"scales\.txt"):
        read_scales(folder / "scales.txt")


def test_the_order_has_no_default_and_no_other_names(folder):
    with pytest.raises(UnknownNameError, match="openilt, file"):
        optics.read_kernels([folder], order="C")
    with pytest.raises(TypeError, match="order"):
        optics.read_kernels([folder])


def test_symmetrised_arrays(tmp_path):
    rng = np.random.default_rng(0)
    array = (rng.random((4, 3, 5, 5)) + 1j * rng.random((4, 3, 5, 5))).astype(np.complex64)
    scales = rng.random((4, 3)).astype(np.float32)
    np.save(tmp_path / "k.npy", array)
    np.save(tmp_path / "s.npy", scales)
    kernels = optics.read_symmetrised(tmp_path / "k.npy", tmp_path / "s.npy")
    np.testing.assert_array_equal(kernels.spectra, array[:2])
    np.testing.assert_array_equal(kernels.weights, scales[:2])
    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(KernelFileError, match=r"o.npy: cannot be read as an array .*make data"):
        optics.read_symmetrised(tmp_path / "o.npy", tmp_path / "s.npy")
    (tmp_path / "t.npy").write_bytes((tmp_path / "k.npy").read_bytes()[:200])
    with pytest.raises(KernelFileError, match=r"t.npy: cannot be read"):
        optics.read_symmetrised(tmp_path / "t.npy", tmp_path / "s.npy")
    with pytest.raises(KernelFileError, match=r"s.npy: expected .* 4 axes"):
        optics.read_symmetrised(tmp_path / "s.npy", tmp_path / "s.npy")


def test_a_byte_that_changed_in_a_written_kernel_is_an_error(tmp_path):
    folders = optics.write_kernels(optics.load("embedded"), tmp_path, order="file")
    settings = {"order": "file", "defocus_nm": (0.0, 40.0)}
    optics.read_kernels(folders, **settings)
    data = bytearray((folders[0] / "fh3.bin").read_bytes())
    data[500] ^= 1
    (folders[0] / "fh3.bin").write_bytes(data)
    with pytest.raises(HashMismatchError, match=r"fh3\.bin is not as SHA256SUMS"):
        optics.read_kernels(folders, **settings)
