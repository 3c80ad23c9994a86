"""Signatures: equal for equal images and for no others, of crops and of turns as of the cropped and turned images."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from maskopt_lib import layout
from maskopt_lib.data.turns import TURNS, composed, turned
from maskopt_lib.layout import signature


def images(n: int, side: int, seed: int = 0) -> np.ndarray:
    """Random pixels, sparse to dense, coarse to fine."""
    rng = np.random.default_rng(seed)
    coarse = [np.kron(rng.random((side // k, side // k)) < p, np.ones((k, k))) for k, p in _kinds(rng, n)]
    return np.stack(coarse).astype(np.uint8)


def _kinds(rng, n):
    return [(int(rng.choice([1, 2, 4])), rng.uniform(0.05, 0.95)) for _ in range(n)]


def test_corners_give_the_image_back():
    for image in images(50, 8):
        found = signature.corners(image)
        difference = np.zeros((9, 9), int)
        difference[(found[:, 1] + 8) // 2, (found[:, 0] + 8) // 2] = found[:, 2]
        np.testing.assert_array_equal(difference.cumsum(0).cumsum(1)[:8, :8], image)


def test_all_images_of_four_by_four_pixels_are_told_apart():
    bits = np.unpackbits(np.arange(1 << 16, dtype=">u2").view(np.uint8)).reshape(-1, 4, 4)
    found = signature.signatures_of(bits)[:, 0, 0]
    assert len(np.unique(found)) == 1 << 16
    assert found[0] == 0  # nothing there


def test_a_signature_is_that_of_the_shapes_wherever_the_frame_ends():
    for image in images(30, 16):
        wide = np.pad(image, 24)
        assert signature.signatures_of(wide[None])[0].tolist() == signature.signatures_of(image[None])[0].tolist()
    moved = np.roll(np.pad(image, 4), 1, axis=1)
    assert signature.signatures_of(moved[None])[0, 0, 0] != signature.signatures_of(image[None])[0, 0, 0]


@pytest.mark.parametrize("side", [2, 6, 10, 16])
def test_signatures_of_crops_and_turns_are_those_of_the_cropped_and_turned_images(side):
    pictures = images(40, 16)
    fast = signature.signatures_of(pictures, [side])[:, 0]
    edge = (16 - side) // 2
    for turn in TURNS:
        slow = signature.signatures_of(turned(pictures[:, edge : 16 - edge, edge : 16 - edge], turn))[:, 0, 0]
        np.testing.assert_array_equal(fast[:, turn], slow)


def test_the_canonical_one_is_shared_by_all_eight_and_says_how_to_get_there():
    pictures = images(200, 8)
    every = np.concatenate([turned(pictures, turn) for turn in TURNS])
    smallest, turn = signature.canonical(signature.signatures_of(every)[:, 0])
    assert (smallest.reshape(8, -1) == smallest[:200]).all()
    there = np.stack([turned(image, t) for image, t in zip(every, turn, strict=True)])
    np.testing.assert_array_equal(signature.signatures_of(there)[:, 0, 0], smallest)
    # From one image to its turned copy by way of what both are carried to.
    for i, j in itertools.product(range(0, 1600, 97), range(8)):
        other = i % 200 + 200 * j
        way = composed(int(turn[i]), next(t for t in TURNS if composed(int(turn[other]), t) == 0))
        np.testing.assert_array_equal(turned(every[i], way), every[other])


@pytest.mark.parametrize("group", [(0,), (0, 2), (0, 5), (0, 4), (0, 1, 2, 3), (0, 2, 5, 7), TURNS])
def test_canonical_ones_are_equal_exactly_where_a_turn_of_the_group_leads_over(group):
    assert {composed(a, b) for a in group for b in group} == set(group)
    pictures = images(60, 4, seed=2)
    pictures = np.concatenate([pictures, turned(pictures, 1), turned(pictures, 5), turned(pictures, 6)])
    smallest, _ = signature.canonical(signature.signatures_of(pictures)[:, 0], group)
    for i, a in enumerate(pictures):
        for j in range(i, len(pictures), 7):
            leads = any(np.array_equal(turned(a, t), pictures[j]) for t in group)
            assert (smallest[i] == smallest[j]) == leads


def test_no_images_have_no_signatures():
    assert signature.signatures_of(np.zeros((0, 8, 8))).shape == (0, 1, 8)
    assert not signature.signatures_of(np.zeros((3, 8, 8))).any()


@pytest.mark.realdata
@pytest.mark.parametrize("layer", ["metal1", "contact", "via1"])
def test_real_tiles_have_equal_signatures_exactly_where_their_images_are_equal(real_data, layer):
    real_data("nangate45/designs/gcd_dense_routed.def")
    rule = layout.TileRule()
    design = layout.read_design("gcd_dense_routed")
    windows = layout.tile_windows(design, rule).isel(tile=slice(None, None, 3))
    seen: dict[tuple[float, bytes], set[int]] = {}
    met: dict[tuple[float, int], set[bytes]] = {}
    for tiles in layout.cut_tiles(design, layer, windows, rule):
        for context, column in zip(rule.contexts_nm, tiles.signature.T, strict=True):
            for packed, number in zip(tiles.content, column.tolist(), strict=True):
                edge = round(rule.context_nm - context)
                inner = np.unpackbits(packed[edge : len(packed) - edge], axis=1, bitorder="little")
                picture = np.packbits(inner[:, edge : inner.shape[1] - edge]).tobytes()
                seen.setdefault((context, picture), set()).add(number)
                met.setdefault((context, number), set()).add(picture)
    assert all(len(numbers) == 1 for numbers in seen.values())
    assert all(len(pictures) == 1 for pictures in met.values())
    assert len(seen) > 700
