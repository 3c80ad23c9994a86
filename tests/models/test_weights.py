"""Weights come back as they were saved, and only as what they say they are."""

import json

import pytest
import torch
from mask_networks import NAMES, blocks, settled
from safetensors.torch import load_file, save_file

from maskopt_lib import models
from maskopt_lib.errors import DamagedFileError, HashMismatchError, MissingDataError, SchemaError
from maskopt_lib.models import Conditioning, TileInput, weights

TARGET = blocks(2, 8)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return models.build("neural_ilt", width=1 / 16, pixel_nm=8)


@pytest.mark.parametrize("name", NAMES)
def test_weights_come_back_to_the_last_bit(name, tmp_path):
    told = Conditioning(tag="film", n_cells=3, kinds=("opc", "ilt"), context=True)
    model = models.build(name, preset="published", width=1 / 16, pixel_nm=8, conditioning=told)
    settled(model, TileInput.of(TARGET, cell=0))
    about = {"seed": 3, "rule": {"layer": "metal1", "steps": [1, 2]}}
    digest = weights.save(model, tmp_path / "w.safetensors", about)
    generator = torch.get_rng_state()
    found = weights.load(tmp_path / "w.safetensors", sha256=digest)
    assert torch.equal(torch.get_rng_state(), generator)
    assert found.spec == model.spec and not found.training
    assert all(torch.equal(value, found.state_dict()[key]) for key, value in model.state_dict().items())
    x = TileInput.of(TARGET, cell=2, kind=1, context_nm=32.0)
    with torch.no_grad():
        assert torch.equal(model(x), found(x))
    assert weights.about(tmp_path / "w.safetensors") == about


def test_the_same_weights_are_the_same_file(model, tmp_path):
    digests = {weights.save(model, tmp_path / f"{i}.safetensors", {"a": 1, "b": 2}) for i in range(8)}
    assert len(digests) == 1 and not list(tmp_path.glob(".*"))


def test_a_file_that_is_not_what_it_says_is_refused(model, tmp_path):
    path = tmp_path / "w.safetensors"
    with pytest.raises(MissingDataError, match="train"):
        weights.load(path)
    weights.save(model, path, {})
    with pytest.raises(HashMismatchError, match="expected 0000"):
        weights.load(path, sha256="0" * 64)
    tensors = load_file(path)
    save_file(tensors, tmp_path / "silent.safetensors")
    with pytest.raises(SchemaError, match="does not say"):
        weights.load(tmp_path / "silent.safetensors")
    damaged = path.read_bytes()[:-10]
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    with pytest.raises(SchemaError, match="damaged"):
        weights.load(tmp_path / "damaged.safetensors")
    with pytest.raises(SchemaError, match="plain JSON"):
        weights.save(model, path, {"seed": {1, 2}})


def test_weights_of_another_network_are_refused(model, tmp_path, monkeypatch):
    wide = models.build("neural_ilt", width=1 / 8, pixel_nm=8)
    monkeypatch.setattr(type(wide), "spec", model.spec)
    weights.save(wide, tmp_path / "w.safetensors", {})
    monkeypatch.undo()
    with pytest.raises(SchemaError, match="does not hold the weights of the neural_ilt"):
        weights.load(tmp_path / "w.safetensors")


def test_a_byte_that_changed_is_an_error(tmp_path):
    model = models.build("neural_ilt", width=1 / 16, pixel_nm=8)
    weights.save(model, tmp_path / "w.safetensors", {"rule": "none"})
    data = bytearray((tmp_path / "w.safetensors").read_bytes())
    for place in (len(data) - 100, len(data) // 2):
        flipped = bytearray(data)
        flipped[place] ^= 1
        (tmp_path / "w.safetensors").write_bytes(flipped)
        with pytest.raises(HashMismatchError, match="not as it was written"):
            weights.load(tmp_path / "w.safetensors")


def test_a_record_with_what_json_does_not_know(tmp_path):
    model = models.build("neural_ilt", width=1 / 16, pixel_nm=8)
    weights.save(model, tmp_path / "w.safetensors", {"rule": "none"})
    tensors = load_file(tmp_path / "w.safetensors")
    record = json.dumps({"spec": model.spec, "about": {"loss": float("nan")}, "sha256": "0" * 64})
    save_file(tensors, tmp_path / "odd.safetensors", {"record": record})
    with pytest.raises(DamagedFileError, match=r"odd.safetensors cannot be read"):
        weights.load(tmp_path / "odd.safetensors")
