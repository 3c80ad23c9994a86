"""Masks of whole fields by networks: each core is drawn as its tile alone would be, and shown what training showed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskopt_lib import layout, metrics, models, optics
from maskopt_lib.errors import GridMismatchError, SchemaError
from maskopt_lib.litho import Simulator
from maskopt_lib.models import weights
from maskopt_lib.study.networks import fields as network_masks
from maskopt_lib.study.networks.fields import network_mask

RULE = {"rule": {"context_nm": 32, "kind": "ilt"}, "kernels": "embedded"}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    torch.manual_seed(0)
    model = models.build("neural_ilt", width=1 / 16, pixel_nm=8)
    path = tmp_path_factory.mktemp("weights") / "weights.safetensors"
    weights.save(model, path, RULE)
    return path


def test_a_field_is_the_cores_of_its_tiles(file):
    field = np.zeros((1024, 2048), np.uint8)
    field[300:340, 200:900] = 1
    field[300:1000, 560:600] = 1
    mask, seconds, said = network_mask(file, field, batch=1)
    assert said == RULE and seconds > 0 and mask.shape == field.shape
    # The core from (512, 512) on: 32 nm around it are shown.
    image = np.zeros((1024, 1024), np.uint8)
    image[224:768, 224:800] = field[480:1024, 480:1056]
    alone = models.predict(weights.load(file), image[None])[0]
    np.testing.assert_array_equal(mask[512:1024, 512:1024], alone[256:768, 256:768])
    # Nothing within 32 nm of these cores: they stay dark, whatever the network makes of emptiness.
    assert not mask[:, 1024:].any()


def test_the_identity_draws_the_field_itself(file, monkeypatch):
    field = (np.random.default_rng(0).random((1024, 1024)) < 0.5).astype(np.uint8)
    monkeypatch.setattr(network_masks.models, "predict", lambda model, images, **told: images)
    for core_in_middle in (False, True):
        np.testing.assert_array_equal(network_mask(file, field, core_in_middle=core_in_middle)[0], field)


def test_cores_stand_where_the_region_is(file, monkeypatch):
    seen = []
    monkeypatch.setattr(network_masks.models, "predict", lambda model, images, **told: seen.append(images) or images)
    field = np.zeros((1024, 1024), np.uint8)
    field[300:724, 300:724] = 1
    network_mask(file, field, core_in_middle=True)
    network_mask(file, field)
    one, four = seen
    np.testing.assert_array_equal(one, field[None])
    assert len(four) == 4


def test_an_unrolled_descent_minds_what_stands_beside_a_core(tmp_path, monkeypatch):
    path = tmp_path / "own.safetensors"
    own = models.build("unrolled_litho", preset="own", pixel_nm=8, n_steps=4, n_descents=4, kernels="embedded")
    weights.save(own, path, RULE)
    field = layout.demo_clips()["demo-metal-tips"].rasterize(pixel_nm=1)[512:1536, 512:1536]
    sim = Simulator(optics.load("embedded"))
    l2 = []
    for rim_nm in (0.0, network_masks.RIM_NM):
        monkeypatch.setattr(network_masks, "RIM_NM", rim_nm)
        mask, _, _ = network_mask(path, field)
        l2.append(metrics.evaluate_core(mask[None], field[None], sim, core_nm=512)["l2_nm2"].item())
    # The core in the middle is where four of the network's meet.
    assert l2[1] < 0.85 * l2[0]


def test_a_tile_is_drawn_with_its_eight_neighbours(monkeypatch):
    shown = []
    monkeypatch.setattr(network_masks.models, "predict", lambda m, images, **told: shown.append(told) or images)
    field = (np.random.default_rng(0).random((1, 2048, 2048)) < 0.5).astype(np.uint8)
    model = models.build("neural_ilt", width=1 / 16, pixel_nm=8)
    images, masks = network_masks.draw_in_place(model, RULE["rule"], field, cells=[3], kind="ilt")
    # Who draws what is shown draws the layout, and of the tile's own image what its context lets be seen.
    np.testing.assert_array_equal(masks, field)
    np.testing.assert_array_equal(images[0, 224:800, 224:800], field[0, 736:1312, 736:1312])
    assert not images[0, :224].any()
    # The tile's cell is told, those of its neighbours are not.
    assert shown[0]["cells"].tolist() == [-1] * 4 + [3] + [-1] * 4
    # What has nothing in sight stays dark, but for the tile itself, which is asked for.
    _, dark = network_masks.draw_in_place(model, RULE["rule"], 0 * field, cells=[3], kind="ilt")
    assert not dark.any() and len(shown[1]["cells"]) == 1


def test_what_cannot_be_drawn_is_refused(file, tmp_path):
    with pytest.raises(GridMismatchError, match="whole cores wide"):
        network_mask(file, np.zeros((1000, 1024)))
    other = tmp_path / "other.safetensors"
    weights.save(weights.load(file), other, {"note": "nothing"})
    with pytest.raises(SchemaError, match="does not say how its network was trained"):
        network_mask(other, np.zeros((512, 512)))
