"""The four networks of the benchmark: published sizes, any pixels, moved targets, what their discriminators can say."""

import pytest
import torch
from mask_networks import ADVERSARIAL, NAMES, blocks, settled

from maskopt_lib import models
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.models import Conditioning, TileInput
from maskopt_lib.models.inputs import n_pixels

#: Trained numbers of the public code at its own pixels, counted there: network, preset, pixel in nm, count.
PUBLISHED = [
    ("gan_opc", "published", 4, 36_551_972),
    ("neural_ilt", "published", 2, 7_787_905),
    ("neural_ilt", "original", 2, 7_781_761),
    ("damo", "published", 1, 97_545_089),
    ("cfno", "published", 2, 1_867_073),
]


def n_parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name, preset, pixel_nm, count", PUBLISHED)
def test_counts_are_those_published(name, preset, pixel_nm, count):
    with torch.device("meta"):
        assert models.build(name, preset=preset, pixel_nm=pixel_nm).n_parameters == count


def test_counts_of_the_branches_of_cfno():
    with torch.device("meta"):
        model = models.build("cfno", pixel_nm=2)
    parts = model.fourier, model.local, model.decoder, model.last
    assert [n_parameters(part) for part in parts] == [599_584, 481_536, 757_728, 28_225]


@pytest.mark.parametrize("name, pixel_nm, count", [("gan_opc", 4, 88_384_771), ("damo", 1, 597_128)])
def test_counts_of_discriminators_are_those_published(name, pixel_nm, count):
    with torch.device("meta"):
        assert n_parameters(models.build(name, pixel_nm=pixel_nm).discriminator()) == count


def test_the_rival_of_gan_opc_has_a_width_of_its_own():
    with torch.device("meta"):
        wide, narrow = (models.build("gan_opc", width=1 / 2, rival_width=factor) for factor in (1, 1 / 4))
        assert wide.n_parameters == narrow.n_parameters
        alone = models.build("gan_opc", width=1 / 8).discriminator()
        assert n_parameters(narrow.discriminator()) == n_parameters(alone) < n_parameters(wide.discriminator()) / 10


@pytest.mark.parametrize("name", NAMES)
def test_only_cfno_depends_on_the_pixel(name):
    with torch.device("meta"):
        counts = {models.build(name, pixel_nm=p).n_parameters for p in (1, 2, 4, 8)}
    assert len(counts) == (4 if name == "cfno" else 1)


@pytest.mark.parametrize("name", NAMES)
def test_corrections_do_not_enlarge_a_network(name):
    with torch.device("meta"):
        counts = {models.build(name, preset=p).n_parameters for p in models.MODELS[name].PRESETS if p != "original"}
    assert len(counts) == 1


@pytest.mark.parametrize("pixel_nm", [1, 2, 4, 8])
@pytest.mark.parametrize("name", NAMES)
def test_any_pixel(name, pixel_nm):
    with torch.device("meta"):
        model = models.build(name, pixel_nm=pixel_nm)
        x = TileInput.of(torch.empty(2, 1, n_pixels(pixel_nm), n_pixels(pixel_nm)))
        logits = model(x)
        assert logits.shape == x.target.shape
        if name in ADVERSARIAL:
            assert model.discriminator()(x.target, logits.sigmoid()).shape == (2, 1)


@pytest.mark.parametrize("name", NAMES)
def test_shorter_types_inside_give_nearly_the_same_logits(name):
    torch.manual_seed(0)
    x = TileInput.of(blocks(2, 8))
    model = settled(
        models.build(name, preset="corrected" if name != "neural_ilt" else "published", width=1 / 8, pixel_nm=8), x
    )
    with torch.inference_mode():
        exact = model(x)
        with torch.autocast("cpu", torch.bfloat16):
            short = model(x)
    assert short.dtype == torch.float32
    assert 0 < float((short - exact).square().mean() / exact.var()) < 0.2**2


@pytest.mark.parametrize("name", NAMES)
def test_tiles_of_other_pixels_are_refused(name):
    with pytest.raises(GridMismatchError, match="works at 8 nm"):
        models.build(name, width=1 / 16, pixel_nm=8)(TileInput.of(torch.zeros(1, 1, 256, 256)))


# GAN-OPC and DAMO halve the image five times, CFNO cuts it into patches of up to 128 nm.
@pytest.mark.parametrize("name, pixel_nm, step", [("gan_opc", 1, 32), ("damo", 1, 32), ("cfno", 2, 64)])
def test_a_moved_target_gives_a_moved_mask(name, pixel_nm, step):
    torch.manual_seed(0)
    target = blocks(1, pixel_nm)
    model = settled(models.build(name, preset="corrected", width=1 / 16, pixel_nm=pixel_nm), TileInput.of(target))
    with torch.inference_mode():
        logits, moved = (model(TileInput.of(torch.roll(target, (s, -s), (2, 3)))) for s in (0, step))
    n = target.shape[-1]
    # The border, where zeros begin, reaches no pixel here.
    middle = ..., slice(n // 2 - 64, n // 2 + 64), slice(n // 2 - 64, n // 2 + 64)
    followed = torch.roll(logits, (step, -step), (2, 3))[middle]
    spread = logits[middle].std()
    assert (followed - moved[middle]).abs().max() < 1e-3 * spread
    assert (logits[middle] - moved[middle]).abs().max() > 0.1 * spread


@pytest.mark.parametrize("tag", ["none", "embedding", "film"])
@pytest.mark.parametrize("name, preset", [(n, p) for n in NAMES for p in models.MODELS[n].PRESETS])
def test_gradients_reach_every_parameter(name, preset, tag):
    torch.manual_seed(0)
    conditioning = Conditioning(tag=tag, n_cells=0 if tag == "none" else 3)
    x = TileInput.of(blocks(2, 8), cell=torch.tensor([0, 2]))
    model = models.build(name, preset=preset, width=1 / 8, pixel_nm=8, conditioning=conditioning)
    if tag == "film":
        torch.nn.init.normal_(model.conditioner.scale_shift.weight)
    # In evaluation, since a batch norm in training takes away whatever the bias before it adds.
    logits = settled(model, x)(x)
    (logits * torch.randn_like(logits)).sum().backward()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_gradients_reach_every_parameter_of_a_corrected_discriminator(name):
    torch.manual_seed(0)
    judge = models.build(name, preset="corrected", width=1 / 8, pixel_nm=8).discriminator()
    target, mask = blocks(4, 8), blocks(4, 8, seed=1).requires_grad_()
    settled(judge, target, mask)(target, mask).sum().backward()
    assert not [name for name, p in judge.named_parameters() if not p.grad.abs().sum() > 0]
    assert mask.grad.abs().sum() > 0


@pytest.mark.parametrize("preset, is_pair", [("published", False), ("corrected", True)])
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_only_a_corrected_discriminator_sees_the_target(name, preset, is_pair):
    torch.manual_seed(0)
    judge = models.build(name, preset=preset, width=1 / 8, pixel_nm=8).discriminator()
    mask = blocks(4, 8, seed=1)
    # In training: the published one may be silent in evaluation.
    with torch.no_grad():
        verdicts = [judge(target, mask) for target in (blocks(4, 8), blocks(4, 8, seed=2))]
    assert (not torch.equal(*verdicts)) == is_pair


def test_the_published_discriminator_of_gan_opc_never_calls_a_mask_drawn():
    torch.manual_seed(0)
    masks = blocks(8, 8)
    with torch.no_grad():
        found = {
            preset: models.build("gan_opc", preset=preset, width=1 / 8, pixel_nm=8).discriminator()(masks, masks)
            for preset in ("published", "corrected")
        }
    assert (found["published"] >= 0).all() and (found["published"] == 0).any()
    assert (found["corrected"] != 0).all()


def test_the_discriminator_of_damo_means_probabilities():
    torch.manual_seed(0)
    judge = models.build("damo", width=1 / 8, pixel_nm=8).discriminator().eval()
    mask = blocks(4, 8)
    with torch.no_grad():
        halved = torch.nn.functional.interpolate(mask, scale_factor=0.5, mode="bilinear", align_corners=False)
        parts = [scale(seen).sigmoid() for scale, seen in zip(judge.scales, (mask, halved), strict=True)]
        torch.testing.assert_close(judge(mask, mask).sigmoid(), sum(parts) / 2)


def test_residual_blocks_that_make_nothing_change_nothing():
    torch.manual_seed(0)
    model = models.build("damo", preset="corrected", width=1 / 8, pixel_nm=8).eval()
    for block in model.blocks:
        torch.nn.init.zeros_(block[1].weight)
    x = TileInput.of(blocks(1, 8))
    with torch.no_grad():
        without = model.last(model.decoder(model.encoder(model.first(x.target))))
        assert torch.equal(model(x), without)


def test_fourier_patches_are_a_linear_layer_on_patches():
    """Against the sums written out: unitary transforms of a patch's rows in a row, and of the channels back."""
    torch.manual_seed(0)
    layer = models.cfno.FourierPatches(2, 3, 4)
    torch.nn.init.normal_(layer.bias)
    layer.mix = torch.nn.Identity()
    image = torch.randn(1, 2, 8, 8)
    values = image[0, :, 4:8, 0:4].reshape(-1).to(torch.complex64)
    k = torch.arange(32)
    forth = torch.exp(-2j * torch.pi * k[:, None] * k / 32) / 32**0.5
    back = torch.exp(2j * torch.pi * k[:3, None] * k[:3] / 3) / 3**0.5
    weight, bias = torch.view_as_complex(layer.weight), torch.view_as_complex(layer.bias)
    expected = (back @ (weight.T @ (forth @ values) + bias)).real
    torch.testing.assert_close(layer(image)[0, :, 1, 0], expected)


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_and_a_spec_make_the_same_network_again(name):
    def logits(make):
        torch.manual_seed(3)
        with torch.no_grad():
            return make().eval()(TileInput.of(blocks(1, 8), cell=1)), make().spec

    conditioning = Conditioning(tag="embedding", n_cells=2, kinds=("opc", "ilt"), context=True, dial=True)
    preset = list(models.MODELS[name].PRESETS)[-1]
    told = {"preset": preset, "width": 0.1, "pixel_nm": 8, "conditioning": conditioning}
    first, spec = logits(lambda: models.build(name, **told))
    again, same = logits(lambda: models.from_spec(spec))
    assert torch.equal(first, again) and spec == same and spec["options"]["preset"] == preset


@pytest.mark.parametrize(
    "told, match",
    [
        ({"name": "unet"}, "known: gan_opc, neural_ilt"),
        ({"name": "damo", "preset": "best"}, "known: published, corrected"),
        ({"name": "damo", "pixel_nm": 3}, "known: 1, 2, 4, 8"),
        ({"name": "damo", "depth": 3}, "known: preset, width, pixel_nm, residual, pair"),
        ({"name": "cfno", "self_training": "on"}, "known: none, vanishing, replacing"),
    ],
)
def test_unknown_names_are_told_from_known_ones(told, match):
    with pytest.raises(UnknownNameError, match=match):
        models.build(**told)
