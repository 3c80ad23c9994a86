"""The manifest of outputs is that of the records that are there."""

from maskopt_lib.runs import outputs, reference
from maskopt_lib.runs.paths import root
from maskopt_lib.yaml_files import read


def test_it_lists_every_record_and_only_those():
    listed = read(root() / outputs.MANIFEST).value
    files = {path for path in reference.FOLDER.rglob("*") if path.suffix in (".nc", ".png")}
    assert {root() / entry["file"] for entry in listed["manifest"]} == files, "run `make records`"
    assert listed == outputs.manifest(), "run `make records`"


def test_every_command_names_a_notebook_and_its_scale():
    made = {entry["comment"].rpartition("; ")[2] for entry in outputs.manifest()["manifest"]}
    assert "make notebook NB=18 VARIANT=paper" in made and "make notebook NB=31 VARIANT=cpu" in made
    assert all(line.split()[-1] in ("VARIANT=paper", "VARIANT=cpu") for line in made)
