"""Parts: arrays come back as they were, and no damage of a file is ever read."""

from __future__ import annotations

import numpy as np
import pytest

from maskopt_lib.errors import DamagedFileError
from maskopt_lib.runs.parts import Bits, file_name, is_whole, part_path, read_part, said_of, write_part


@pytest.fixture
def part(tmp_path):
    path = part_path(tmp_path, "curvy", "clip 1", key="k")
    bits = np.zeros((5, 7), np.uint8)
    bits[2, 3] = 1
    write_part(path, {"n": np.arange(4), "x": np.float32(2.5)}, {"title": "ä b"}, bits={"image": bits})
    return path


def test_a_part_comes_back_as_it_was(part):
    arrays = read_part(part)
    assert arrays["n"].tolist() == [0, 1, 2, 3] and arrays["x"] == 2.5
    assert arrays["image"].shape == (5, 7) and arrays["image"].sum() == 1
    assert list(read_part(part, ["x"])) == ["x"]
    assert said_of(part) == {"title": "ä b"} and is_whole(part)
    assert [path.name for path in part.parent.iterdir()] == [part.name]
    # The file is a plain npz: nobody needs this library to look into it.
    with np.load(part) as plain:
        assert plain["n"].tolist() == [0, 1, 2, 3]


def test_the_same_part_gives_the_same_file(part, tmp_path):
    again = tmp_path / "again.npz"
    write_part(
        again, {"n": np.arange(4), "x": np.float32(2.5)}, {"title": "ä b"}, bits={"image": read_part(part)["image"]}
    )
    assert again.read_bytes() == part.read_bytes()


def test_every_damage_is_seen(part):
    whole = part.read_bytes()
    for i in range(len(whole)):
        for damaged in (whole[:i], whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :]):
            part.write_bytes(damaged)
            assert not is_whole(part) and said_of(part) is None
            with pytest.raises(DamagedFileError, match="repeat the run"):
                read_part(part)
    part.unlink()
    assert not is_whole(part) and said_of(part) is None
    with pytest.raises(FileNotFoundError):
        read_part(part)


def test_objects_are_refused(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_part(tmp_path / "a.npz", {"n": np.array([object()])})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(3, 8), (5, 9), (1, 1)])
def test_bits_hold_an_image(shape):
    image = np.random.default_rng(0).integers(0, 2, shape).astype(np.uint8)
    bits = Bits.of(image, 2)
    np.testing.assert_array_equal(bits.image, image)
    assert Bits.of_packed(bits.packed, shape, 2) == bits
    assert bits.digest() != Bits.of(1 - image, 2).digest() != Bits.of(1 - image, 4).digest()


def test_names_are_those_of_every_file_system():
    assert file_name("a b/c", "<µ>", 3) == "a_b_c-_µ_-3"
    assert file_name("u\u0308") == file_name("ü") != file_name("ä")
    assert max(len(file_name("ü" * n).encode()) for n in (80, 81, 300)) <= 160


def test_a_long_name_is_shortened_and_stays_distinct(tmp_path):
    one, other = (part_path(tmp_path, "m" * 300 + end + "n" * 300, key="0123") for end in "ab")
    assert one != other and one.name.endswith("-0123.npz")
    write_part(one, {"n": np.arange(3)})
    assert is_whole(one)
