"""One image in every form that arrays come in is one image; what is none is refused with what was found."""

import numpy as np
import pytest
import torch
import xarray as xr

from maskopt_lib import litho, opc, optics
from maskopt_lib.errors import ImageError, OptionError
from maskopt_lib.images import binary, grey, real
from maskopt_lib.metrics import evaluate, l2_nm2

N = 128
IMAGE = np.zeros((N, N), np.uint8)
IMAGE[40:100, 30:52] = IMAGE[20:90, 64:80] = 1

FORMS = {
    "uint8": lambda a: a,
    "bool": lambda a: a.astype(bool),
    "int64": lambda a: a.astype(np.int64),
    "uint16": lambda a: a.astype(np.uint16),
    "float16": lambda a: a.astype(np.float16),
    "long double": lambda a: a.astype(np.longdouble),
    "big-endian": lambda a: a.astype(">f4"),
    "big-endian whole": lambda a: a.astype(">i4"),
    "Fortran": lambda a: np.asfortranarray(a, np.float32),
    "reversed": lambda a: np.ascontiguousarray(a[::-1, ::-1])[::-1, ::-1],
    "strided": lambda a: np.repeat(np.repeat(a, 2, 0), 3, 1)[::2, ::3],
    "read-only": lambda a: np.frombuffer(a.astype(np.float32).tobytes(), np.float32).reshape(a.shape),
    "lists": lambda a: a.tolist(),
    "tensor": torch.from_numpy,
    "bool tensor": lambda a: torch.from_numpy(a).bool(),
    "bfloat16 tensor": lambda a: torch.from_numpy(a).bfloat16(),
    "tensor with gradient": lambda a: torch.from_numpy(a).double().requires_grad_(),
    "transposed tensor": lambda a: torch.from_numpy(a.T.copy()).mT,
    "DataArray": lambda a: xr.DataArray(a, dims=("y", "x")),
    "transposed DataArray": lambda a: xr.DataArray(a.T, dims=("x", "y")),
}

NONE = {
    "8-bit": (IMAGE * 255, "0 to 255; divide an 8-bit picture by 255"),
    "negative": (IMAGE - 1.0, "-1 to 0"),
    "nan": (np.where(IMAGE, np.nan, 0), "got nan"),
    "inf": (np.where(IMAGE, np.inf, 0), "inf"),
    "complex": (IMAGE * 1j, "complex.*phase"),
    "complex tensor": (torch.from_numpy(IMAGE) * 1j, "complex.*phase"),
    "objects": (IMAGE.astype(object), "dtype object"),
    "text": (IMAGE.astype(str), "dtype <U"),
    "ragged": ([[0, 1], [0]], "cannot be read as an array"),
    "dates": (IMAGE.astype("M8[s]"), "dtype datetime64"),
    "empty": (np.zeros((N, 0)), "at least one pixel"),
    "a line": (IMAGE[0], "at least one pixel, got shape"),
    "huge": (np.broadcast_to(np.uint8(1), (2**21, 2**21)), "2097152 x 2097152 pixels; 32768 a side"),
    "huge tensor": (torch.ones(1, 1).expand(2**16, 2**16), "65536 x 65536 pixels; 32768 a side"),
    "masked": (np.ma.masked_equal(IMAGE, 1), "masked values"),
}


@pytest.fixture(scope="module")
def sim():
    return litho.Simulator(optics.load("embedded"))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_an_image_is_the_same_image(form, sim):
    image = form(IMAGE)
    np.testing.assert_array_equal(binary(image), IMAGE)
    np.testing.assert_array_equal(grey(image), IMAGE)
    assert l2_nm2(image, IMAGE, 16.0) == 0
    torch.testing.assert_close(sim.aerial(image).detach(), sim.aerial(IMAGE), rtol=0, atol=0)
    np.testing.assert_array_equal(opc.solve(image, sim, method="identity").mask, IMAGE)
    assert evaluate(image, IMAGE, sim, only=["shots"]).shots == 2


@pytest.mark.parametrize(("image", "message"), NONE.values(), ids=NONE)
def test_what_is_no_image_is_refused_at_every_door(image, message, sim):
    doors = [
        grey,
        binary,
        sim.aerial,
        sim.printed,
        sim.intensity,
        lambda a: sim.aerial_in_middle(a, pixel_nm=16),
        lambda a: opc.solve(a, sim, method="identity"),
        lambda a: opc.solve(IMAGE, sim, method="curvy", initial=a),
        lambda a: evaluate(a, IMAGE, sim),
        lambda a: evaluate(IMAGE, a, sim),
        lambda a: l2_nm2(a, IMAGE, 1.0),
    ]
    for door in doors:
        with pytest.raises(ImageError, match=message):
            door(image)


def test_grey_goes_where_it_means_something(sim):
    half = IMAGE * np.float32(0.5)
    torch.testing.assert_close(sim.intensity(half), sim.intensity(IMAGE) / 4)
    for door in (binary, lambda a: opc.solve(a, sim, method="identity"), lambda a: evaluate(IMAGE, a, sim)):
        with pytest.raises(ImageError, match=r"14\.9 % of its pixels are grey.*antialiased=False"):
            door(half)


def test_nothing_is_copied_that_need_not_be():
    assert np.shares_memory(binary(IMAGE), IMAGE) and np.shares_memory(grey(IMAGE[::-1]), IMAGE)
    assert np.shares_memory(real(torch.from_numpy(IMAGE)), IMAGE)


def test_intensities_are_finite_and_pixels_are_lengths():
    assert real(IMAGE * 7.0).max() == 7
    with pytest.raises(ImageError, match="not finite"):
        real(np.where(IMAGE, np.inf, 0))
    for pixel_nm in (0, -1, 1e-320, np.nan, np.inf, "1", True, None):
        with pytest.raises(OptionError, match="pixel_nm must be a number above 0"):
            l2_nm2(IMAGE, IMAGE, pixel_nm)


def test_coordinates_that_fall_are_refused():
    image = xr.DataArray(IMAGE, dims=("y", "x"), coords={"y": np.arange(N)[::-1], "x": np.arange(N)})
    with pytest.raises(ImageError, match=r"y of the mask falls.*sortby\('y'\)"):
        grey(image)
    np.testing.assert_array_equal(grey(image.sortby("y")), IMAGE[::-1])
