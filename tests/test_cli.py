"""The commands of ``python -m maskopt_lib``: what they say, and with which exit status they end."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from klayout import db

from maskopt_lib import layout, litho, metrics, optics
from maskopt_lib.__main__ import main

OWN_PROCESS = """optics: {wavelength_nm: 193, na: 0.9, source: {shape: circular, sigma: 0.6}}
field: {period_nm: 1024, pixel_nm: 4}
"""


@pytest.fixture
def run():
    """Run a command: exit status, stdout, stderr."""

    def invoke(*arguments: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return invoke


def test_help_lists_the_commands_without_importing_what_they_use(run):
    status, said, _ = run("--help")
    assert status == 0 and all(f"  {name} " in said for name in main.commands)


def test_usage_ends_with_2_and_refusals_with_1_in_one_line(run):
    assert run("kernels")[0] == 2 and run("no-such-command")[0] == 2
    status, said, refused = run("kernels", "embeded")
    assert (status, said) == (1, "") and refused.startswith("Error: ") and "embedded-ideal" in refused


def test_kernels_are_told_and_written_as_they_are(run, tmp_path):
    status, said, _ = run("kernels", "embedded", "--out", tmp_path / "ü k")
    told, expected = json.loads(said), optics.load("embedded")
    assert status == 0 and told["weights"] == expected.weights.tolist()
    back = optics.read_kernels(told["written"], order="openilt")
    assert np.allclose(back.spectra * np.sqrt(back.weights)[..., None, None],
                       expected.spectra * np.sqrt(expected.weights)[..., None, None], atol=1e-6)  # fmt: skip


def test_kernels_for_other_programs_are_written_and_inspected(run, tmp_path):
    for layout_name, where in (("openilt", "kernels/focus.pt"), ("curvyilt", "optKernel_bc.npy")):
        folder = tmp_path / layout_name
        written = run(
            "kernels", "embedded-ideal", "--layout", layout_name, "--n-kernels", 6, "--side", 37, "--out", folder
        )
        assert written[0] == 0 and (folder / where).exists()
        assert optics.inspect(folder).readings["as stored"].spectra.shape == (2, 6, 37, 37)
        status, said, _ = run("kernels", "--inspect", folder)
        assert status == 0 and "sound" in said and "NOT" not in said
    # Six systems are kept for the accuracy asked for, more where more are asked for.
    light = "optics: {wavelength_nm: 193, na: 0.5, source: {shape: circular, sigma: 0.3}}"
    own = tmp_path / "own.yaml"
    own.write_text(f"{light}\nfield: {{period_nm: 2048, pixel_nm: 8, accuracy: 0.05}}\n")
    kept, more = (json.loads(run("kernels", own, *asked)[1])["weights"][0] for asked in ((), ("--n-kernels", 9)))
    assert len(kept) < 9 == len(more) and np.allclose(kept, more[: len(kept)])
    status, _, refused = run("kernels", "embedded", "--n-kernels", 1000)
    assert status == 1 and "--n-kernels 1000 are asked for" in refused
    assert run("kernels", "embedded", "--inspect", folder)[0] == 2
    status, _, refused = run("kernels", "--inspect", tmp_path)
    assert status == 1 and "no kernels of a known layout" in refused


@pytest.fixture
def two_layers(tmp_path):
    """A layout of two cells: a bar of 64 x 400 nm twice, 64 nm apart, on metal 1, and a square in the top cell."""
    drawing = db.Layout()
    drawing.dbu = 1e-3
    bar, top = drawing.create_cell("BAR"), drawing.create_cell("TOP")
    bar.shapes(drawing.layer(11, 0)).insert(db.Box(0, 0, 64, 400))
    for x in (1000, 1128):
        top.insert(db.CellInstArray(bar.cell_index(), db.Trans(x, 2000)))
    top.shapes(drawing.layer(70000, 3)).insert(db.Box(-100, -100, 100, 100))
    drawing.write(str(tmp_path / "zwei Lagen ü.oas"))
    return tmp_path / "zwei Lagen ü.oas"


def test_info_says_what_is_drawn_and_what_it_asks_of_a_process(run, two_layers):
    status, said, _ = run("info", two_layers, "--process", "immersion193-na135")
    told = json.loads(said)
    assert status == 0 and (told["top"], told["cells"], told["database_unit_nm"]) == ("TOP", 2, 1.0)
    bars, square = told["layers"]["11/0"], told["layers"]["70000/3"]
    assert bars["name"] == "metal1" and bars["shapes"] == 2 and bars["box_nm"] == [1000, 2000, 1192, 2400]
    assert (bars["width_nm"], bars["space_nm"]) == (64, 64)
    assert bars["k1"] == pytest.approx(64 * 1.35 / 193, abs=1e-3)
    assert square == {
        "name": "", "shapes": 1, "box_nm": [-100, -100, 100, 100], "width_nm": None, "space_nm": None, "k1": None,
    }  # fmt: skip


def test_info_of_the_contest_s_format(run, tmp_path):
    (tmp_path / "a.glp").write_text(
        "BEGIN\nEQUIV 1 1000 MICRON +X,+Y\nCNAME T\nLEVEL M1\nCELL T PRIME\nRECT N M1 10 20 30 40\nENDMSG\n"
    )
    told = json.loads(run("info", tmp_path / "a.glp")[1])
    assert told["layers"]["1/0"] == {"name": "M1", "shapes": 1, "box_nm": [10, 20, 40, 60]}


def test_a_mask_is_scored_where_it_lies_in_its_layout(run, two_layers, tmp_path):
    clip = layout.read_clip(two_layers, "metal1")
    image = clip.rasterize(pixel_nm=4, antialiased=False)
    x, y = clip.offset_nm
    layout.write_mask(image, tmp_path / "mask.oas", 4, contours="pixel", origin_nm=(-x, -y))
    arguments = ("--layer", "metal1", "--pixel-nm", 4)
    status, said, _ = run("score", tmp_path / "mask.oas", two_layers, *arguments, "--out", tmp_path / "scores.json")
    told = json.loads((tmp_path / "scores.json").read_text())
    sim = litho.Simulator(optics.load("embedded"))
    expected = metrics.evaluate(image, image, sim)
    assert (status, said) == (0, "") and told["process"] == "embedded" and told["shots"] == 2
    assert told["l2_nm2"] == expected["l2_nm2"].item() and told["epe_sites"] == expected["epe_sites"].item()
    layout.write_mask(
        image, tmp_path / "both.oas", 4, contours="pixel", origin_nm=(-x, -y), layer=(111, 0), beside=two_layers
    )
    status, said, _ = run("score", tmp_path / "both.oas", two_layers, *arguments, "--region", 900, 1900, 1200, 2500)
    assert status == 0 and json.loads(said)["l2_nm2"] == told["l2_nm2"]
    # A border cuts what is counted, not what is printed: what lies beyond it shines in.
    parts = [json.loads(run("score", tmp_path / "both.oas", two_layers, *arguments, "--region", *box)[1]) for box in
             ((900, 1900, 1096, 2500), (1096, 1900, 1300, 2500))]  # fmt: skip
    assert sum(part["l2_nm2"] for part in parts) == told["l2_nm2"]
    assert sum(part["epe_sites"] for part in parts) == told["epe_sites"]
    status, _, refused = run("score", tmp_path / "mask.oas", two_layers)
    assert status == 1 and "layer" in refused


def test_convert_writes_one_layer_merged_and_flat(run, tmp_path):
    drawing = db.Layout()
    drawing.dbu = 5e-4
    cell, top = drawing.create_cell("A"), drawing.create_cell("TOP")
    ring = db.Region(db.Box(0, 0, 400, 400)) - db.Region(db.Box(100, 100, 300, 300))
    cell.shapes(drawing.layer(3, 0)).insert(ring)
    for turn in (db.Trans(0, 0), db.Trans(db.Trans.R90, 800, 0)):
        top.insert(db.CellInstArray(cell.cell_index(), turn))
    top.shapes(drawing.layer(9, 1)).insert(db.Box(0, 0, 5, 5))
    drawing.write(str(tmp_path / "a.gds"))
    status, said, _ = run("convert", tmp_path / "a.gds", tmp_path / "ü b.oas", "--layer", "3/0", "--to-layer", "metal1")
    told = json.loads(said)
    assert status == 0 and told["layer"] == [11, 0] and told["area_nm2"] == 2 * (200**2 - 100**2)
    back = db.Layout()
    back.read(told["file"])
    found = db.Region(back.top_cell().begin_shapes_rec(back.layer(11, 0)))
    assert back.cells() == 1 and back.dbu == drawing.dbu
    assert (found ^ db.Region(top.begin_shapes_rec(drawing.layer(3, 0)))).is_empty()
    for arguments, word in (
        ((), "several layers"),
        (("--layer", "4/0"), "no polygon"),
        (("--layer", "metal9"), "metal9"),
    ):
        status, said, refused = run("convert", tmp_path / "a.gds", tmp_path / "c.oas", *arguments)
        assert (status, said) == (1, "") and word in refused and not (tmp_path / "c.oas").exists()
    assert run("convert", tmp_path / "a.gds", tmp_path / "c.txt", "--layer", "3/0")[0] == 1


@pytest.mark.filterwarnings("always::maskopt_lib.errors.LayoutWarning")
def test_convert_says_once_what_it_leaves_out(run, tmp_path):
    drawing = db.Layout()
    shapes = drawing.create_cell("TOP").shapes(drawing.layer(3, 0))
    shapes.insert(db.Box(0, 0, 50, 40))
    shapes.insert(db.Box(0, 90, 50, 90))
    drawing.write(str(tmp_path / "a.gds"))
    status, said, warned = run("convert", tmp_path / "a.gds", tmp_path / "b.oas")
    assert status == 0 and json.loads(said)["area_nm2"] == 50 * 40
    assert warned.count("1 shape of layer (3, 0) without area, left out") == 1


def test_convert_reads_the_contest_s_format(run, tmp_path):
    (tmp_path / "a.glp").write_text(
        "BEGIN\nEQUIV 1 1000 MICRON +X,+Y\nCNAME T\nLEVEL M1\nCELL T PRIME\n"
        "RECT N M1 0 0 30 40\nPGON N M1 0 0 0 20 50 20 50 0\nENDMSG\n"
    )
    told = json.loads(run("convert", tmp_path / "a.glp", tmp_path / "a.gds", "--to-layer", "11/0")[1])
    assert told["area_nm2"] == 30 * 40 + 20 * 20 and told["polygons"] == 1
    assert layout.read_clip(tmp_path / "a.gds", "metal1").bounds_nm


def test_what_the_library_calls_otherwise_is_said_as_the_command_line_has_it(run, two_layers, tmp_path):
    for arguments, said, not_said in (
        (("optimize", two_layers, "--method", "identity"), "choose one with --layer", "layer="),
        (
            ("optimize", two_layers, "--layer", "11/0", "--region", 0, 0, 0, 0),
            "--region (0.0, 0.0, 0.0, 0.0) has no",
            "core_nm",
        ),
        (("optimize", two_layers, "--layer", "11/0", "--layers", "mine"), "no layer names", "layers="),
    ):
        status, _, refused = run(*arguments, "--out", tmp_path / "mask.oas")
        assert status == 1 and said in refused and not_said not in refused, refused
    drawing = db.Layout()
    drawing.create_cell("A")
    drawing.create_cell("B")
    drawing.write(str(tmp_path / "two.oas"))
    assert "choose one with --cell" in run("info", tmp_path / "two.oas")[2]


def test_what_a_careless_user_asks_for_is_refused_before_anything_is_solved(run, two_layers, tmp_path):
    """Among it: to write over what is read, or one file twice, which would lose it."""
    (tmp_path / "mine.yaml").write_text(OWN_PROCESS)
    kept = {path: path.read_bytes() for path in (two_layers, tmp_path / "mine.yaml")}
    out, process = tmp_path / "mask.oas", ("--process", tmp_path / "mine.yaml")
    for arguments, status, said in (
        (("--json", out), 1, "written twice"),
        (("--around", out), 1, "written twice"),
        (("--json", two_layers), 1, "is read"),
        (("--picture", tmp_path / "x.png", "--json", tmp_path / "mine.yaml"), 1, "is read"),
        (("--markers", two_layers), 2, "no .lyrdb"),
        (("--mask-layer", "110/0"), 1, "on one layer"),
        (("--vertex-tolerance-nm", "inf"), 1, "--vertex-tolerance-nm inf"),
        (("--device", "tpu"), 1, "no device 'tpu'"),
        (("--pixel-nm", "nan"), 1, "--pixel-nm must be"),
        (("--pixel-nm", 0), 2, "--pixel-nm"),
        (("--pixel-nm", 3), 1, "the field, 1024 nm, must be whole in pixels of 3 nm"),
        (("--context-nm", 600), 1, "leaves 0 nm of a field of 1024 nm"),
        (("--region", 1000, 2000, 1100.3, 2100), 1, "the region's width, 100.3 nm, must be whole"),
        (("--workers", 0), 2, "--workers"),
    ):
        asked = ("optimize", two_layers, "--layer", "11/0", *process, "--method", "identity", "--out", out)
        found, told, refused = run(*asked, *arguments)
        assert (found, told) == (status, "") and said in refused and not out.exists(), (arguments, refused)
        assert {path: path.read_bytes() for path in kept} == kept, arguments
    assert run("optimize", two_layers, "--out", tmp_path)[0] == 1


def test_a_process_file_with_another_unit_or_a_map_that_is_none_says_where(run, two_layers, tmp_path):
    for text, said in (
        (OWN_PROCESS.replace("193", "0.193"), "line 1, optics.wavelength_nm: 0.193 nm is not within 1 to 2000 nm"),
        (OWN_PROCESS + "layers: {wg: [37, 4, 1]}\n", "line 3, layers: the layer map: wg is [layer, datatype]"),
        (OWN_PROCESS + "mask_rules: nope\n", "line 3, mask_rules: no rule deck 'nope'"),
    ):
        (tmp_path / "mine.yaml").write_text(text)
        status, _, refused = run("info", two_layers, "--process", tmp_path / "mine.yaml")
        assert status == 1 and said in refused, refused


def test_what_is_read_is_not_written_over(run, two_layers, tmp_path):
    """Neither by another command, nor a file that a design's folder names."""
    (tmp_path / "map.yaml").write_text("metal1: [11, 0]\n")
    (tmp_path / "design.yaml").write_text(
        f"file: {two_layers.name}\nname: a\nfamily: a\nstate: routed\nlayers: [metal1]\nlicence: mine\n"
        "redistribution: false\nplatform: {layer_map: map.yaml, outline: [235, 0]}\n"
    )
    assert json.loads(run("info", tmp_path)[1])["layers"]["11/0"]["name"] == "metal1"
    mask, names = tmp_path / "mask.oas", ("--layers", tmp_path / "map.yaml")
    layout.write_mask(np.ones((8, 8)), mask, 4)
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for arguments in (
        ("convert", two_layers, two_layers, "--layer", "11/0"),
        ("convert", two_layers, tmp_path / "map.yaml", "--layer", "11/0", *names),
        *(
            ("score", mask, two_layers, "--layer", "11/0", *names, "--out", path)
            for path in (mask, two_layers, names[1])
        ),
        *(("optimize", tmp_path, "--method", "identity", "--out", path) for path in (two_layers, names[1])),
        ("optimize", tmp_path, "--method", "identity", "--out", tmp_path / "x.oas", "--json", tmp_path / "design.yaml"),
    ):
        status, told, refused = run(*arguments)
        assert (status, told) == (1, "") and "is read" in refused, (arguments, refused)
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept, arguments


def test_info_counts_without_expanding_and_convert_takes_a_region(run, tmp_path):
    drawing = db.Layout()
    drawing.dbu = 1e-3
    dot, top = drawing.create_cell("DOT"), drawing.create_cell("TOP")
    dot.shapes(drawing.layer(11, 0)).insert(db.Box(0, 0, 10, 10))
    dot.shapes(drawing.layer(11, 0)).insert(db.Text("far away", db.Trans(0, 0)))
    array = db.CellInstArray(dot.cell_index(), db.Trans(), db.Vector(20, 0), db.Vector(0, 20), 30000, 30000)
    top.insert(array)
    drawing.write(str(tmp_path / "many.oas"))
    assert json.loads(run("info", tmp_path / "many.oas")[1])["layers"]["11/0"]["shapes"] > 900_000_000
    status, _, refused = run("convert", tmp_path / "many.oas", tmp_path / "all.oas")
    assert status == 1 and "a smaller --region" in refused
    told = json.loads(run("convert", tmp_path / "many.oas", tmp_path / "few.oas", "--region", 5, 0, 105, 40)[1])
    assert told["polygons"] == 12 and told["area_nm2"] == 2 * (5 * 10 + 4 * 100 + 5 * 10)


def test_texts_make_no_layer_larger(run, tmp_path):
    drawing = db.Layout()
    top = drawing.create_cell("TOP")
    top.shapes(drawing.layer(11, 0)).insert(db.Box(0, 0, 10, 10))
    top.shapes(drawing.layer(11, 0)).insert(db.Text("far away", db.Trans(9000, 9000)))
    drawing.write(str(tmp_path / "a.gds"))
    assert json.loads(run("info", tmp_path / "a.gds")[1])["layers"]["11/0"] == {
        "name": "metal1", "shapes": 1, "box_nm": [0, 0, 10, 10],
    }  # fmt: skip


def test_a_mask_that_is_being_made_is_said_with_the_names_of_the_command_line(run, two_layers, tmp_path):
    folder = str(tmp_path / "mask.oas.work")
    code = f"from maskopt_lib.runs.locks import FolderLock; lock = FolderLock({folder!r}, 'optimize')"
    with subprocess.Popen(
        [sys.executable, "-c", f"{code}; print('taken', flush=True); input()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as other:  # fmt: skip
        assert other.stdout.readline() == b"taken\n"
        asked = ("optimize", two_layers, "--layer", "11/0", "--method", "identity", "--out", tmp_path / "mask.oas")
        status, _, refused = run(*asked)
        other.stdin.close()
    assert status == 1 and f"process {other.pid}" in refused and refused.rstrip().endswith("choose another --out")
