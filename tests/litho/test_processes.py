"""Processes: the presets against closed forms, what a file may say, and what the resist's diffusion does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from maskopt_lib import layout, litho, opc, optics
from maskopt_lib.errors import GridMismatchError, MissingDataError, OptionError, SchemaError, UnknownNameError
from maskopt_lib.optics.source import PixelSource
from maskopt_lib.optics.tcc import abbe_systems, half_width_of, tcc_matrix

PRESETS = [name for name in optics.process_names() if name != "contest"]
LIGHT = {"wavelength_nm": 193, "na": 0.8, "source": {"shape": "circular", "sigma": 0.5}}


@pytest.fixture(scope="module")
def process(request):
    return litho.load_process(request.param)


def grating(process: litho.Process, order: int) -> np.ndarray:
    """(y, x) transmission ``1/2 + 1/2 cos`` along x, ``order`` times over the field."""
    n = 2 * process.kernels.half_width + 22
    return np.tile(0.5 + 0.5 * np.cos(2 * np.pi * order * np.arange(n) / n), (n, 1))


def overlap(radius: float, distance: float) -> float:
    """Area that a disc of some radius, so far off, has in common with the unit disc."""
    if distance <= 1 - radius:
        return math.pi * radius**2
    if distance >= 1 + radius:
        return 0.0
    a, b = (distance**2 + radius**2 - 1) / (2 * distance * radius), (distance**2 + 1 - radius**2) / (2 * distance)
    root = (1 + radius + distance) * (1 + radius - distance) * (1 - radius + distance) * (radius - 1 + distance)
    return radius**2 * math.acos(a) + math.acos(b) - math.sqrt(root) / 2


@pytest.mark.parametrize("process", PRESETS, indirect=True)
def test_a_clear_mask_is_an_open_frame(process):
    np.testing.assert_allclose(process.kernels.clear_field, 1.0, atol=2 * 5e-3)
    image = process.simulator().intensity(torch.ones(128, 128))
    assert float(image.amax((1, 2)).sub(image.amin((1, 2))).max()) < 1e-4


@pytest.mark.parametrize("process", PRESETS, indirect=True)
def test_no_pitch_below_the_limit_of_resolution_is_imaged_and_one_above_it_is(process):
    limit = process.period_nm / process.resolution_nm
    blank = optics.aerial_image(grating(process, math.floor(limit) + 1), process.kernels)
    assert np.ptp(blank) < 1e-9
    # Half of the pitch at which all light of the axis still passes is surely resolved.
    seen = optics.aerial_image(grating(process, math.floor(process.period_nm / process.unit_nm)), process.kernels)
    assert np.ptp(seen) > 0.05


@pytest.mark.parametrize("process", PRESETS, indirect=True)
def test_half_the_depth_of_focus_is_a_quarter_of_a_wave_at_the_rim(process):
    system = replace(process.system, defocus_nm=process.depth_of_focus_nm / 2, obliquity="none")
    at_rim = system.pupil(np.array(0.0), np.array(1.0))
    assert np.angle(at_rim) == pytest.approx(-np.pi / 2, abs=1e-9)
    if process.na < 0.5 and process.system.immersion_index == 1:
        assert process.depth_of_focus_nm == pytest.approx(process.wavelength_nm / process.na**2, rel=0.07)


@pytest.mark.parametrize("process", PRESETS, indirect=True)
def test_the_contrast_of_a_weak_grating_is_the_share_of_the_source_in_the_shifted_pupil(process):
    """``T(f, 0) / T(0, 0)`` of a scalar system: the pupil's overlap with the discs that the source is made of."""
    system = replace(process.system, polarisation="scalar", obliquity="none")
    numerics = replace(process.numerics, source_step_sigma=0.02)
    half = half_width_of(system, numerics)
    row = np.zeros((2 * half + 1, 2 * half + 1), bool)
    row[half, half:] = True
    systems = abbe_systems(system, numerics)
    transfer = np.real(np.einsum("sf,s->f", systems[:, row], systems[:, half, half].conj()))
    shifts = np.arange(half + 1) * process.unit_nm / process.period_nm
    source = system.source
    if hasattr(source, "sigma_inner"):
        discs = [(source.sigma_outer, 0.0, 0.0, 1.0), (source.sigma_inner, 0.0, 0.0, -1.0)]
    else:
        at = np.deg2rad(source.angles_deg)
        discs = [
            (source.sigma_radius, source.sigma_centre * np.cos(a), source.sigma_centre * np.sin(a), 1.0) for a in at
        ]
    discs = [disc for disc in discs if disc[0] > 0]
    whole = sum(sign * math.pi * radius**2 for radius, _, _, sign in discs)
    expected = [sum(s * overlap(r, math.hypot(x + f, y)) for r, x, y, s in discs) / whole for f in shifts]
    np.testing.assert_allclose(transfer / transfer[0], expected, atol=0.02)


@pytest.mark.parametrize("process", PRESETS, indirect=True)
def test_what_the_left_out_systems_add_is_below_the_accuracy(process):
    few = process.kernels
    numerics = replace(process.numerics, n_kernels=None, intensity_lost=0.0)
    whole = abbe_systems(process.system, replace(numerics, half_width=few.half_width))
    assert len(few.weights[0]) < 100
    n, pitch = 4 * few.half_width + 2, max(1, round(process.period_nm / process.unit_nm))
    x = np.arange(n)
    lines = np.tile((x * pitch * 2 // n) % 2, (n, 1)).astype(float)
    spectrum = np.fft.fftshift(np.fft.fft2(lines, norm="forward"))
    band = slice(n // 2 - few.half_width, n // 2 + few.half_width + 1)
    fields = np.fft.ifft2(whole * spectrum[band, band], s=(n, n), norm="forward")
    kept = np.fft.ifft2(few.spectra[0] * spectrum[band, band], s=(n, n), norm="forward")
    lost = (np.abs(fields) ** 2).sum(0) - np.einsum("k,kyx->yx", few.weights[0], np.abs(kept) ** 2)
    assert -1e-9 < lost.min() and lost.max() < 2 * 5e-3


def test_diffusion_lowers_every_frequency_of_the_image_as_a_normal_density_does():
    process = litho.load_process({"optics": LIGHT, "field": {"period_nm": 1024, "pixel_nm": 4}})
    mask = torch.as_tensor(grating(process, 2), dtype=torch.float64)
    sharp, blurred = (
        np.fft.rfft(
            litho.Simulator(process.kernels, resist=litho.ThresholdResist(diffusion_nm=d), dtype=torch.float64)
            .intensity(mask)[0, 0]
            .numpy()
        )
        for d in (0.0, 20.0)
    )
    for harmonic in (0, 2, 4):
        factor = math.exp(-2 * (math.pi * 20.0 * harmonic / 1024) ** 2)
        assert abs(sharp[harmonic]) > 1e-3
        assert abs(blurred[harmonic] / sharp[harmonic]) == pytest.approx(factor, rel=1e-9)


def test_the_contest_is_a_file_of_its_kernels_corners_and_resist():
    process = litho.load_process("contest")
    assert process.corners == litho.CONTEST_CORNERS
    assert (process.resist, process.kernel_set) == (litho.ThresholdResist(), "iccad13")


def test_a_kernel_set_is_a_process_and_its_numbers_are_those_of_the_set():
    process, kernels = litho.load_process("embedded"), optics.load("embedded")
    assert process.name == "embedded" and process.corners == litho.CONTEST_CORNERS
    assert np.array_equal(process.kernels.spectra, kernels.spectra)
    assert process.through_focus([0.0, 30.0]).focus_names[:2] == ("focus", "defocus")


def test_optics_load_takes_a_file_and_a_source_map_beside_it(tmp_path):
    values = np.zeros((21, 21))
    values[10, 10] = 1
    np.savetxt(tmp_path / "my source.csv", values, delimiter=",")
    path = tmp_path / "my prócess.yaml"
    path.write_text(
        "optics:\n  wavelength_nm: 193\n  na: 0.6\n  source: {map: my source.csv}\n  zernike_waves: {7: 2e-2}\n"
        "field: {period_nm: 1024}\ncorners:\n  nominal: {}\n  outer: {dose: 1.1}\n"
        "  inner: {defocus_nm: -60, dose: 0.9}\nlayers: {core: 37/4}\nmask_rules: {min_width_nm: 60}\n",
        encoding="utf-8",
    )
    kernels, process = optics.load(path), litho.load_process(str(path))
    assert np.array_equal(kernels.spectra, process.kernels.spectra)
    assert kernels.defocus_nm == (0.0, -60.0) and kernels.focus_names == ("focus", "defocus")
    assert isinstance(process.system.source, PixelSource) and process.system.source.step_sigma == pytest.approx(0.1)
    assert process.system.zernike_waves == ((7, 0.02),)
    assert process.corners[1].intensity_factor == pytest.approx(1.1)
    assert (process.layers, process.deck) == ({"core": "37/4"}, {"min_width_nm": 60.0})
    assert process.pixel_nm == 4 and "'my prócess': 193 nm, NA 0.6" in repr(process)
    assert process.through_focus([-60, 0, 30]).defocus_nm == (0.0, -60.0, 30.0)
    path.write_text(path.read_text(encoding="utf-8") + "resist: {threshold: 0.31, diffusion_nm: 9}\n", encoding="utf-8")
    process = litho.load_process(path)
    for kernels in (optics.load(path), process.kernels, process.through_focus([30])):
        sim = litho.Simulator(kernels)  # kernels of a file bring its corners and resist along
        assert sim.process == process.corners
        assert sim.resist_model == litho.ThresholdResist(threshold=0.31, diffusion_nm=9)


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("optics: {wavelengh_nm: 193}", UnknownNameError, r"line 1, optics.wavelengh_nm.*did you mean wavelength_nm\?"),
        ("optics:\n  na: 0.5\n", SchemaError, "line 1, optics: lacks wavelength_nm, source"),
        (
            "optics: {wavelength_nm: 193, na: .nan, source: {shape: circular, sigma: 0.5}}",
            SchemaError,
            "line 1, optics.na: na must be a finite number",
        ),
        ("resist: {}\n", SchemaError, "needs either optics, or kernels"),
        ("kernels: iccad31\n", UnknownNameError, r"line 1, kernels: no kernel set 'iccad31' \(did you mean iccad13"),
        ("kernels: iccad13\nresist:\n  threshold: .inf\n", SchemaError, "line 3, resist.threshold: must be a finite"),
        ("kernels: iccad13\nresist:\n  threshold: -1\n", SchemaError, "line 3, resist.threshold: must be above 0"),
        ("kernels: iccad13\ncorners: {nominal: {}}\n", SchemaError, "line 2, corners: lacks outer, inner"),
        ("kernels: iccad13\nmask_rules: {min_width: 3}\n", UnknownNameError, "did you mean min_width_nm"),
        ("kernels: iccad13\nmask_rules: [min_width_nm]\n", SchemaError, "line 2, mask_rules: a rule deck is a name"),
        ("kernels: iccad13\nlayers: 4\n", SchemaError, "line 2, layers: a layer map"),
        ("- kernels\n", SchemaError, "holds"),
    ],
)
def test_a_file_that_cannot_be_used_says_file_line_and_key(tmp_path, text, error, said):
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(error, match=said):
        litho.load_process(path)


@pytest.mark.parametrize(
    ("optics_changes", "field", "error", "said"),
    [
        ({"na": float("nan")}, {}, SchemaError, "na must be a finite number"),
        ({"na": "high"}, {}, SchemaError, "na must be a finite number, got 'high'"),
        ({"na": 1.2}, {}, SchemaError, "immersion_index=1.44"),
        ({"polarisation": "azimutal"}, {}, UnknownNameError, "known: scalar"),
        ({"zernike_waves": {0: 0.1}}, {}, SchemaError, "zernike_waves pairs"),
        ({"zernike_waves": {7: "a"}}, {}, SchemaError, "zernike_waves pairs"),
        ({"zernike_waves": [0.1]}, {}, SchemaError, "zernike_waves: Noll's index: coefficient"),
        ({"source": {"shape": "anular"}}, {}, UnknownNameError, r"did you mean annular\?"),
        ({"source": {"shape": "circular", "sigma": -0.5}}, {}, SchemaError, "source.*sigma"),
        ({"source": {"shape": "circular"}}, {}, SchemaError, "sigma"),
        ({"source": {"shape": "circular", "sigma": 2}}, {}, SchemaError, "reaches sigma = 2, .* rim of the pupil"),
        (
            {"source": {"shape": "dipole", "axis": "x", "sigma_centre": 0.9, "sigma_radius": 0.2}},
            {},
            SchemaError,
            "reaches sigma = 1.1, ",
        ),
        ({"source": {"map": "none.npy"}}, {}, MissingDataError, "none.npy cannot be read"),
        ({"source": {"map": "/dev/zero"}}, {}, SchemaError, "/dev/zero is no file of at most"),
        ({}, {"accuracy": 0.5}, SchemaError, "accuracy must be above 0 and at most 0.1"),
        ({}, {"period_nm": 1000, "pixel_nm": 3}, GridMismatchError, "no whole number of pixels"),
        ({}, {"period_nm": 1e9}, GridMismatchError, "up to 16384"),
        ({}, {"n_kernels": 0}, SchemaError, "n_kernels of 1 or more"),
    ],
)
def test_sections_with_impossible_values_are_refused(optics_changes, field, error, said):
    with pytest.raises(error, match=said):
        litho.load_process({"optics": LIGHT | optics_changes, "field": field})


def test_a_plane_from_which_light_leaves_the_field_is_refused():
    """At NA 0.8 light of a point spreads 4/3 nm a nm."""
    process = litho.load_process({"optics": LIGHT, "field": {"period_nm": 1024, "pixel_nm": 8}})
    assert process.through_focus([-765.0]).defocus_nm[-1] == -765.0
    with pytest.raises(SchemaError, match="771 nm out of focus light spreads 1028 nm"):
        process.through_focus([0.0, -771.0])


def test_a_map_whose_header_asks_for_all_memory_is_refused(tmp_path):
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    with pytest.raises(SchemaError, match=r"huge.npy holds no map of numbers"):
        litho.load_process({"optics": LIGHT | {"source": {"map": str(tmp_path / "huge.npy")}}})


def test_a_name_that_is_none_is_said_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"did you mean euv-na033\?.*known: contest"):
        litho.load_process("euv-na33")
    with pytest.raises(MissingDataError, match="no file"):
        optics.load("my_process.yaml")


def test_the_field_grows_with_what_is_looked_at_and_with_the_accuracy():
    system = litho.load_process({"optics": LIGHT}).system
    coarse, fine = (optics.numerics_for(system, accuracy=a, window_nm=1000) for a in (1e-2, 1e-3))
    assert 1000 < coarse.period_nm < fine.period_nm
    assert optics.numerics_for(system, window_nm=2000).period_nm > fine.period_nm


def test_tcc_is_what_the_kernels_make():
    process = litho.load_process({"optics": LIGHT, "field": {"period_nm": 512, "accuracy": 1e-4}})
    numerics = replace(process.numerics, half_width=process.kernels.half_width)
    whole = tcc_matrix(abbe_systems(process.system, numerics))
    kept = tcc_matrix(np.sqrt(process.kernels.weights[0])[:, None, None] * process.kernels.spectra[0])
    assert np.abs(kept - whole).max() < 2e-3


def square(side_nm: float, window_nm: float) -> layout.Clip:
    low, high = (window_nm - side_nm) / 2, (window_nm + side_nm) / 2
    outline = [(low, low), (high, low), (high, high), (low, high)]
    return layout.Clip(name="square", polygons=[outline], layer="metal1", window_nm=window_nm)


def test_a_target_is_a_clip_on_the_field_of_the_process():
    process = litho.load_process("euv-na033")
    target = process.target(square(32, process.period_nm))
    assert target.shape == (768, 768) and float(target.sum()) * process.pixel_nm**2 == 32**2
    sim = process.simulator()
    assert sim.grid(target).pixel_nm == process.pixel_nm
    with pytest.raises(GridMismatchError, match="read the clip with window_nm=384"):
        process.target(square(32, 2048))
    with pytest.raises(GridMismatchError, match=r"spans 384 nm, kernel set .* repeats after 2048 nm"):
        litho.load_process("dry193-na075-photonics").simulator().aerial(target)
    with pytest.raises(GridMismatchError, match="repeats after 2048 nm"):
        opc.solve(target, litho.load_process("dry193-na075-photonics").simulator(), method="identity")


def test_features_below_resolution_are_said(recwarn):
    process = litho.load_process("iline-na048")
    process.target(square(400, process.period_nm))
    assert not [one for one in recwarn if "k1" in str(one.message)]
    with pytest.warns(UserWarning, match=r"'square' has a width of 96 nm, k1 = 0.13 for 365 nm and NA 0.48"):
        process.target(square(96, process.period_nm))
    image = np.zeros((64, 64), np.uint8)
    image[8:56, 10:30] = image[8:56, 33:53] = 1
    with pytest.warns(UserWarning, match="has a space of 48 nm"):
        assert process.smallest_k1(image) == pytest.approx(48 / process.unit_nm)


def test_sources_that_no_memory_holds_and_kernels_without_a_name_are_refused():
    light = {"wavelength_nm": 365, "na": 0.5, "source": {"shape": "circular", "sigma": 1e9}}
    with pytest.raises(SchemaError, match="rim of the pupil"):
        litho.load_process({"name": "huge", "optics": light}).kernels  # noqa: B018
    with pytest.raises(OptionError, match="smaller sigma"):
        optics.AnnularSource(sigma_outer=1e9).sample(0.1)
    for nameless in ([], {"name": "x"}, 5):
        with pytest.raises((UnknownNameError, SchemaError)):
            optics.load(nameless)


@pytest.mark.parametrize("name", [[1], {"a": 1}, None, 3])
def test_a_kernel_set_whose_name_is_no_text(name):
    with pytest.raises(UnknownNameError, match="no kernel set"):
        litho.load_process({"kernels": name})
