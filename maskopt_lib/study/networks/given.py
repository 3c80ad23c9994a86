"""Masks that were made elsewhere, as files.

They come by the number of their tile in the store (``TileDataset(...)[i]["sample"]``): an npz with ``samples`` (n,) and
``masks`` (n, y, x), or a folder of ``<number>.png``, ``<number>.oas`` or ``<number>.gds``, 1 nm a pixel.
"""

from pathlib import Path

import cv2
import numpy as np

from maskopt_lib import layout
from maskopt_lib.errors import ImageError, MissingDataError
from maskopt_lib.files import reading, sha256_of
from maskopt_lib.images import binary
from maskopt_lib.models.inputs import IMAGE_NM

#: Endings of files with one mask each.
ENDINGS = (".png", ".oas", ".gds")
_REMEDY = "write it with numpy.savez: samples (n,) and masks (n, y, x)"


def samples_of(path: str | Path) -> np.ndarray:
    """(n,) numbers of the tiles that there are masks of, ascending."""
    return np.array(sorted(_places(Path(path))))


def read_given(path: str | Path, samples: np.ndarray) -> np.ndarray:
    """(n, y, x) uint8 masks of tiles, by their numbers in the store.

    Raises
    ------
    MissingDataError : there is no such file or folder, or a tile has no mask in it.
    ImageError : masks of different sizes, or not binary.
    """
    places = _places(Path(path))
    if lacking := [int(sample) for sample in samples if sample not in places]:
        raise MissingDataError(
            f"{path} has no mask of the tiles {lacking[:8]}; it has those of {sorted(places)[:8]} ..."
        )
    if Path(path).suffix == ".npz":
        with reading(path, _REMEDY), np.load(path, allow_pickle=False) as arrays:
            masks = list(arrays["masks"][[places[sample] for sample in samples.tolist()]])
    else:
        masks = [_read_one(places[sample]) for sample in samples.tolist()]
    if len({mask.shape for mask in masks}) != 1:
        raise ImageError(f"{path}: masks have several sizes; give all of 1024 nm, or all of the whole field, at 1 nm")
    return binary(np.stack(masks), "masks", axes=3, pixel_nm=1.0).astype(np.uint8)


def digest_of(path: str | Path) -> list[str]:
    """Hashes of all files with masks."""
    path = Path(path)
    return [sha256_of(each) for each in ([path] if path.is_file() else sorted(path.iterdir()))]


def _places(path: Path) -> dict[int, int | Path]:
    """Number of a tile -> where its mask is: place in the arrays, or file."""
    if path.suffix == ".npz" and path.is_file():
        with reading(path, _REMEDY), np.load(path, allow_pickle=False) as arrays:
            if not {"samples", "masks"} <= set(arrays.files):
                raise MissingDataError(
                    f"{path} holds {', '.join(arrays.files)}; it needs samples (n,) and masks (n, y, x)"
                )
            return {int(sample): i for i, sample in enumerate(arrays["samples"])}
    found = {int(each.stem): each for each in path.glob("*") if each.suffix in ENDINGS and each.stem.isdigit()}
    if not found:
        raise MissingDataError(
            f"no masks at {path}: neither an npz nor a folder of <number of the tile>.png, .oas or .gds"
        )
    return found


def _read_one(path: Path) -> np.ndarray:
    if path.suffix == ".png":
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise ImageError(f"{path} is no picture that can be read; give a PNG of 0 and 255, 1 nm a pixel")
        return (image >= 128).astype(np.uint8)
    box = layout.read_clip(path, placement=(0, 0), window_nm=IMAGE_NM)
    return box.rasterize(pixel_nm=1)
