"""Photonic devices from drawing to masks: gauges against shapes that are known, corrections, and the whole way."""

from __future__ import annotations

import numpy as np
import pytest
from click.testing import CliRunner

from maskopt_lib import layout, litho, study
from maskopt_lib.__main__ import main
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.layout.photonic_devices import Gauge
from maskopt_lib.study.applications import corrections, devices, measures
from maskopt_lib.study.areas import own_layout

PROCESS = "dry193-na075-photonics"
DECK = {"min_width_nm": 130.0, "min_space_nm": 130.0, "msd_nm": 134.0, "msa_nm2": 30000.0, "min_radius_nm": 50.0}


@pytest.fixture(scope="module")
def process():
    return devices.in_field(PROCESS, {"period_nm": 1024, "pixel_nm": 4, "n_kernels": 12})


def test_a_gauge_measures_a_profile_below_the_pixel_and_knows_what_is_lost():
    away = np.abs(np.arange(-300, 301)) * 1.0
    assert measures._length(100.25 - away, silicon=True) == pytest.approx(200.5)
    assert measures._length(away - 100.25, silicon=False) == pytest.approx(200.5)
    assert np.isnan(measures._length(away - 100.0, silicon=True)), "the middle of a waveguide is gone"
    assert np.isnan(measures._length(away * 0 + 1.0, silicon=True)), "it ends nowhere"


def test_an_outline_moves_by_what_is_asked_and_a_rule_rounds_corners():
    target = np.zeros((256, 256), np.uint8)
    target[64:192, 64:192] = 1
    wider = corrections.moved(target, 4.0, 2.0)
    assert wider[128].sum() == 132 and wider.sum() >= 132**2 - 16
    assert (corrections.moved(target, 0.0, 2.0) == target).all()
    around = corrections.density(target, 100.0, 2.0)
    assert around[128, 64] == pytest.approx(0.5, abs=0.02) and around[64, 64] == pytest.approx(0.25, abs=0.02)
    grown = corrections.rule_mask(target, (0.0, -40.0), 100.0, 2.0)
    assert grown[61:64, 61:64].any() and not grown[61:64, 120:136].any(), "convex corners, in little silicon, get more"


def test_a_biased_line_is_found_by_the_bias_and_fed_back_edges_come_closer(process):
    sim = process.simulator()
    target = np.zeros((256, 256), np.uint8)
    target[:180, 80:176] = 1
    off = [
        np.nanmean(np.abs(corrections._errors(mask, target, sim, 4.0)[0]))
        for mask in (target, corrections.fed_back(target, sim, process.unit_nm, 4.0))
    ]
    assert off[1] < off[0]
    assert abs(corrections.best_bias(target, sim, 4.0)) <= 16.0
    bias, slope = corrections.fitted_rule(target, sim, process.unit_nm, 4.0)
    assert np.isfinite([bias, slope]).all()


@pytest.fixture(scope="module")
def made(tmp_path_factory, process):
    folder = tmp_path_factory.mktemp("device")
    device = layout.photonic_device(
        "coupler", length_nm=256.0, turn_nm=256.0, apart_nm=64.0, width_nm=256.0, gap_nm=192.0
    )
    run = study.start("A coupler", notebook="test", params={}, out_dir=folder)
    source = device.write(folder / "coupler.gds", sensitive=(10, 0))
    region = (-192.0, -256.0, 192.0, 256.0)
    corrected = devices.correct(
        source, process, run, region_nm=region, context_nm=192.0, core_nm=512.0, deck=DECK,
        options={"free_steps": 0, "n_steps": 20}, sensitivity=[("10/0", 4.0)],
    )  # fmt: skip
    return device, corrected


def test_a_device_goes_from_drawing_to_masks_that_print_closer(made):
    device, corrected = made
    assert list(corrected.masks) == [
        devices.UNCORRECTED, devices.BIAS, devices.RULE, devices.FEEDBACK, devices.ILT, devices.SENSITIVE,
    ]  # fmt: skip
    measured, outlines = measures.through_window(corrected.masks, corrected.area, corrected.plan, device.gauges)
    nominal = measured["contour_mean_abs_nm"].sel(dose=1.0, defocus_nm=0.0)
    assert float(nominal.sel({"method": devices.ILT})) < float(nominal.sel({"method": devices.UNCORRECTED}))
    assert outlines[devices.ILT].sizes["place"] > 100
    widths = measured["printed_nm"].isel(gauge=(measured["kind"] == "width").values)
    more, less = (widths.sel(dose=dose, defocus_nm=0.0) for dose in (1.05, 0.95))
    assert (more > less).all(), "silicon is what the mask leaves clear: more dose, wider"
    row = devices.summary(measured)
    assert {"gap_mean_nm", "coupling_percent", "index_change"} <= set(row)
    shapes = devices.outlines(corrected, DECK)
    assert int(shapes["broken_rules"].sel({"method": devices.ILT})) == 0
    seams = devices.seams_and_times({"coupler": corrected}, {"coupler": outlines})
    assert int(seams["windows"][0]) == 1 and float(seams["wall_s"][0]) > 0
    table = devices.sheet(row)
    assert list(table.columns.get_level_values(1)) == list(corrected.masks)


def test_a_gauge_outside_the_region_is_left_out(made):
    _, corrected = made
    far = Gauge("width", 1e6, 0.0, 90.0, 448.0)
    one = {devices.UNCORRECTED: corrected.masks[devices.UNCORRECTED]}
    measured, _ = measures.through_window(one, corrected.area, corrected.plan, [far])
    assert measured.sizes["gauge"] == 0


def test_a_device_of_somebodys_file_has_its_polygons_and_gauges(made):
    device, corrected = made
    own = devices.of_file(corrected.area.layout_file, "1/0", gauges=[["gap", 0, 0, 90, 192]])
    assert own.name == "coupler" and own.area_nm2 == pytest.approx(device.area_nm2, rel=1e-6)
    assert own.gauges == (Gauge("gap", 0, 0, 90, 192),) and own.region_nm[2] > device.region_nm[2]
    with pytest.raises(UnknownNameError, match="kind of gauge"):
        devices.of_file(corrected.area.layout_file, "1/0", gauges=[["slot", 0, 0, 90, 192]])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--sensitive", "9/9", 2], "9/9"),
        (["--sensitive", "10/0", -1], "weight"),
        (["--sensitive", "10/0", "nan"], "weight"),
        (["--sensitive", "10/0", 2, "--method", "curvy"], "whose objective takes weights"),
    ],
)
def test_a_map_that_cannot_be_is_refused_before_anything_is_solved(made, tmp_path, asked, said):
    _, corrected = made
    command = ["optimize", corrected.area.layout_file, "--layer", "1/0", "--process", PROCESS, *asked]
    result = CliRunner().invoke(main, [str(each) for each in [*command, "--out", tmp_path / "mask.gds"]])
    assert result.exit_code == 1 and said in result.stderr and not (tmp_path / "mask.gds").exists()


@pytest.mark.filterwarnings("ignore::maskopt_lib.errors.LayoutWarning")  # corners of its circles lie between pixels
def test_a_ring_of_another_tool_goes_through_with_one_command(tmp_path):
    import json
    import subprocess
    import sys
    from pathlib import Path

    from klayout import db

    script = Path(__file__).with_name("draw_ring.py")
    drawing, out = tmp_path / "ring.gds", tmp_path / "mask.gds"
    subprocess.run([sys.executable, script, drawing, "0.4"], check=True, timeout=120)
    process = tmp_path / "p.yaml"
    light = "optics: {wavelength_nm: 193, na: 0.75, source: {shape: circular, sigma: 0.6}}"
    rules = f"mask_rules: {DECK}"
    grid = "field: {period_nm: 2048, pixel_nm: 8, n_kernels: 8}\nresist: {threshold: 0.3}"
    process.write_text(f"{light}\n{grid}\n{rules}\n")
    arguments = ["optimize", drawing, "--layer", "1/0", "--region", -640, -640, 640, 640, "--process", process]
    arguments += ["--context-nm", 384, "--mask-layer", "1/10", "--beside", "--preset", "outline", "--out", out]
    arguments += ["--option", "n_steps=4", "--markers", tmp_path / "m.lyrdb"]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["scores"]["rule_aware"]["contour_mean_abs_nm"] < 20
    both = db.Layout()
    both.read(str(out))
    assert {(info.layer, info.datatype) for info in both.layer_infos()} >= {(1, 0), (1, 10)}
    assert litho.load_process(process).pixel_nm == 8 and own_layout.KEEPS_RULES == "rule_aware"
