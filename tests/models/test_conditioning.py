"""What networks are told beside the target arrives, and what is not told changes nothing."""

import pytest
import torch
from mask_networks import NAMES, blocks, settled

from maskopt_lib import models
from maskopt_lib.data.tile_views import tag_planes
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.models import Conditioning, TileInput
from maskopt_lib.models.conditioning import TAGS, Conditioner
from maskopt_lib.models.inputs import NO_CELL

TARGET = blocks(2, 8)


def conditioning(tag="none", **told):
    return Conditioning(tag=tag, n_cells=0 if tag == "none" else 4, **told)


def network(name, told):
    torch.manual_seed(0)
    model = models.build(name, width=1 / 8, pixel_nm=8, conditioning=told)
    if told.tag == "film":
        torch.nn.init.normal_(model.conditioner.scale_shift.weight)
    return settled(model, TileInput.of(TARGET, cell=0))


@pytest.mark.parametrize(
    "told, change",
    [
        *((conditioning(tag), {"cell": 3}) for tag in TAGS if tag != "none"),
        (conditioning(kinds=("opc", "ilt")), {"kind": 1}),
        (conditioning(context=True), {"context_nm": 64.0}),
        (conditioning(dial=True), {"dial": 1.0}),
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_told_changes_the_mask(name, told, change):
    model = network(name, told)
    with torch.no_grad():
        before = model(TileInput.of(TARGET, cell=0))
        after = model(TileInput.of(TARGET, **({"cell": 0} | change)))
    assert float((before - after).std() / before.std()) > 1e-3


@pytest.mark.parametrize("tag", TAGS)
def test_every_tile_is_told_its_own(tag):
    model = network("neural_ilt", conditioning(tag, kinds=("opc", "ilt"), context=True, dial=True))
    one = {"cell": [1, 3], "kind": [1, 0], "context_nm": [16.0, 128.0], "dial": [0.2, 0.9]}
    with torch.no_grad():
        both = model(TileInput.of(TARGET, **{name: torch.tensor(values) for name, values in one.items()}))
        for i in range(2):
            alone = model(TileInput.of(TARGET[i : i + 1], **{name: values[i] for name, values in one.items()}))
            assert float((both[i] - alone[0]).abs().max()) < 1e-3 * float(both.std())


def test_planes_of_the_tag_are_those_of_the_dataset():
    cell = torch.tensor([3, 1])
    planes = Conditioner(conditioning("one_hot"), 1).planes(TileInput.of(TARGET, cell=cell))
    assert torch.equal(planes, torch.cat([TARGET, tag_planes(cell, 4, 128)], dim=1))


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("kinds", [("ilt",), ("opc", "ilt")])
def test_planes_are_as_many_as_announced(tag, kinds):
    told = conditioning(tag, kinds=kinds, context=True, dial=True)
    planes = Conditioner(told, 1).planes(TileInput.of(TARGET, cell=1, context_nm=32.0, dial=0.5))
    assert planes.shape == (2, told.n_planes, 128, 128)
    assert torch.equal(planes[:, 0], TARGET[:, 0])
    assert (planes[:, -2] == 0.25).all() and (planes[:, -1] == 0.5).all()


@pytest.mark.parametrize("tag", ["one_hot", "embedding"])
def test_a_cell_that_is_not_told_has_empty_planes(tag):
    planes = Conditioner(conditioning(tag), 1).planes(TileInput.of(TARGET, cell=torch.tensor([2, NO_CELL])))
    assert planes[0, 1:].any() and not planes[1, 1:].any()


@pytest.mark.parametrize("name", NAMES)
def test_film_is_the_identity_at_the_start_and_for_cells_not_told(name):
    plain = network(name, conditioning())
    model = models.build(name, width=1 / 8, pixel_nm=8, conditioning=conditioning("film")).eval()
    missing = model.load_state_dict(plain.state_dict(), strict=False).missing_keys
    assert sorted(missing) == ["conditioner.cells.weight", "conditioner.scale_shift.weight"]
    with torch.no_grad():
        expected = plain(TileInput.of(TARGET))
        at_start = model(TileInput.of(TARGET, cell=torch.tensor([0, 3])))
        torch.nn.init.normal_(model.conditioner.scale_shift.weight)
        told, not_told = (model(TileInput.of(TARGET, cell=cell)) for cell in (0, NO_CELL))
    assert torch.equal(at_start, expected) and torch.equal(not_told, expected) and not torch.equal(told, expected)


def test_film_learns_from_the_first_step():
    model = network("neural_ilt", conditioning("film"))
    torch.nn.init.zeros_(model.conditioner.scale_shift.weight)
    model(TileInput.of(TARGET, cell=torch.tensor([0, 1]))).square().sum().backward()
    assert model.conditioner.scale_shift.weight.grad.abs().sum() > 0


def test_mistakes_are_told():
    with pytest.raises(UnknownNameError, match="known: none, one_hot, embedding, film"):
        Conditioning(tag="planes")
    with pytest.raises(ValueError, match="n_cells"):
        Conditioning(tag="film")
    with pytest.raises(ValueError, match="once"):
        Conditioning(kinds=("ilt", "ilt"))
    with pytest.raises(UnknownNameError, match="draws: ilt"):
        Conditioning().kind("opc")
    with pytest.raises(GridMismatchError, match=r"\(n, 1, y, x\)"):
        TileInput.of(TARGET[:, 0])
    with pytest.raises(GridMismatchError, match="cell of 2 tiles"):
        TileInput.of(TARGET, cell=torch.tensor([1, 2, 3]))
