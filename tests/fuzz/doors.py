"""Values at every door: images in other forms, which give the same, and such as no door may take; odd options."""

from __future__ import annotations

import functools
import random
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import damage
import numpy as np
import torch
import xarray as xr
from children import Case, Family
from click.testing import CliRunner
from hypothesis import strategies as st

from maskopt_lib import layout, litho, metrics, models, opc, optics
from maskopt_lib.__main__ import main as command
from maskopt_lib.errors import MaskOptError
from maskopt_lib.models import weights

N, PIXEL_NM = 64, 32.0


@functools.cache
def embedded() -> optics.SocsKernels:
    """The kernels that every child has from its parent."""
    return optics.load("embedded")


_UNWANTED = ("took what no image is", "refused an image that is right")


def _image(n: int = N) -> np.ndarray:
    image = np.zeros((n, n), np.float32)
    image[n // 4 : n // 2, n // 8 : n // 2] = image[5 * n // 8 : 6 * n // 8, n // 4 : 7 * n // 8] = 1
    return image


def _same_forms(image: np.ndarray) -> dict[str, Any]:
    """The image in other forms, which mean the same."""
    n = len(image)
    wide = np.zeros((2 * n, 3 * n), np.float32)
    wide[::2, ::3] = image
    return {
        "bool": image.astype(bool),
        "uint8": image.astype(np.uint8),
        "float64": image.astype(float),
        "Fortran": image.copy("F"),
        "strides": wide[::2, ::3],
        "turned twice": image[::-1, ::-1].copy()[::-1, ::-1],
        "big-endian": image.astype(">f4"),
        "int64": image.astype(np.int64),
        "list": image.astype(int).tolist(),
        "torch": torch.from_numpy(image),
        "torch bool": torch.from_numpy(image > 0),
        "torch float64": torch.from_numpy(image).double(),
        "read-only": _locked(image),
        "torch with gradient": torch.from_numpy(image).requires_grad_(),
        "xarray": xr.DataArray(image, dims=("y", "x")),
        "xarray (x, y)": xr.DataArray(image.T, dims=("x", "y")),
        "float16": image.astype(np.float16),
        "torch strides": torch.from_numpy(wide)[::2, ::3],
        "bfloat16": torch.from_numpy(image).bfloat16(),
    }


def _locked(image: np.ndarray) -> np.ndarray:
    image = image.copy()
    image.flags.writeable = False
    return image


def _wrong_forms(image: np.ndarray, rng: random.Random) -> dict[str, Any]:
    """What no image is."""
    hole = image.copy()
    hole[rng.randrange(len(image)), rng.randrange(len(image))] = rng.choice((np.nan, np.inf, -np.inf, -0.5, 2.0, 255.0))
    return {
        "one odd pixel": hole,
        "255": image * 255,
        "uint8 255": (image * 255).astype(np.uint8),
        "complex": image + 0j,
        "complex phase": image * 1j,
        "text": image.astype(str),
        "objects": image.astype(object),
        "one axis": image[0],
        "no axis": np.float32(1),
        "not square": image[:, :-2],
        "empty": image[:0],
        "None": None,
        "a path": "mask.png",
        "dict": {},
        "dates": np.zeros(image.shape, "M8[s]"),
        "torch complex": torch.from_numpy(image) + 0j,
        "ragged": [[1, 0], [1]],
        "negative": -image,
        "a record": np.zeros(image.shape, [("a", "f4")]),
        "huge": np.lib.stride_tricks.as_strided(np.ones(1, np.uint8), (2**21, 2**21), (0, 0)),
        "masked": np.ma.masked_array(image, image > 0),
    }


def _images(
    rng: random.Random, act: Callable[[Any], Any], *, n: int = N, square: bool = True, optional: bool = False
) -> Case:
    """A door is given one of the forms: the same result as of the plain image, or its own refusal.

    Parameters
    ----------
    square : whether the door takes square images only.
    needed : whether None is no image for it.
    """
    image = _image(n)
    same = rng.random() < 0.5
    forms = _same_forms(image) if same else _wrong_forms(image, rng)
    form = rng.choice(
        sorted(set(forms) - ({"not square"} if not square else set()) - ({"None"} if optional else set()))
    )

    def tried() -> Any:
        try:
            return act(forms[form])
        except MaskOptError:
            if same:
                return None
            raise

    def check(found: Any) -> str | None:
        if not same:
            return _UNWANTED[0]
        if found is None:
            return _UNWANTED[1]
        expected = act(image)
        return (
            None
            if np.allclose(_plain(found), _plain(expected), rtol=1e-6, atol=1e-6, equal_nan=True)
            else "another result"
        )

    return Case(f"image: {form}", tried, check)


def _plain(found: Any) -> np.ndarray:
    if isinstance(found, xr.Dataset):
        return np.concatenate([np.ravel(v.values.astype(float)) for v in found.data_vars.values()])
    return np.asarray(found.detach() if isinstance(found, torch.Tensor) else found, float)


def simulators(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Images at the simulator, and odd arguments of its making."""
    kernels = embedded()
    if rng.random() < 0.7:
        sim = litho.Simulator(kernels)
        door = rng.choice((sim.aerial, sim.printed, sim.resist, sim.intensity))
        return _images(rng, door)
    name = rng.choice(
        ("threshold", "steepness", "diffusion_nm", "dose", "focus", "energy_lost", "dtype", "device", "n_out", "mode")
    )
    value = rng.choice((*damage.ODD_NUMBERS, torch.float16, "cuda:99", "cpu:5", 1e9))

    def act() -> Any:
        if name in ("threshold", "steepness", "diffusion_nm"):
            made = litho.Simulator(kernels, resist=litho.ThresholdResist(**{name: value}))
        elif name in ("dose", "focus"):
            corner = litho.ProcessCorner(**{"name": "nominal", "focus": 0, "dose": 1.0} | {name: value})
            made = litho.Simulator(kernels, corners=[corner])
        else:
            made = litho.Simulator(kernels, **({name: value} if name != "n_out" else {}))
        return made.resist(_image(), **({"n_out": value} if name == "n_out" else {}))

    return Case(f"{name}={value!r:.40}", act, _finite)


def _finite(found: Any) -> str | None:
    if found is None:
        return None
    return None if np.isfinite(_plain(found)).all() else "a result that is not finite"


def scores(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Images and odd arguments at the metrics."""
    sim, image = litho.Simulator(embedded()), _image()
    doors: dict[str, Callable[[Any], Any]] = {
        "evaluate": lambda mask: metrics.evaluate(mask, image, sim, only=["l2_nm2", "shots", "msa_nm2", "vertices"]),
        "evaluate, target": lambda target: metrics.evaluate(image, target, sim, only=["pvb_nm2", "epe15"]),
        "min_width_nm": lambda mask: metrics.min_width_nm(mask, PIXEL_NM),
        "min_radius_nm": lambda mask: metrics.min_radius_nm(mask, PIXEL_NM),
        "count_shots": metrics.count_shots,
        "count_vertices": lambda mask: metrics.count_vertices(mask, PIXEL_NM),
        "shape_rules": lambda mask: list(metrics.shape_rules(mask, PIXEL_NM)),
        "rule_report": lambda mask: metrics.rule_report(mask, {"min_width_nm": 40.0}, PIXEL_NM) and 1.0,
    }
    name = rng.choice(sorted(doors))
    if rng.random() < 0.65:
        case = _images(rng, doors[name], square=name.startswith("evaluate"))
        return Case(f"{name}: {case.said}", case.act, case.check)
    value = rng.choice(damage.ODD_NUMBERS)
    odd: dict[str, Callable[[], Any]] = {
        "pixel_nm of min_width_nm": lambda: metrics.min_width_nm(image, value),
        "pixel_nm of min_radius_nm": lambda: metrics.min_radius_nm(image, value),
        "pixel_nm of count_vertices": lambda: metrics.count_vertices(image, value),
        "pixel_nm of shape_rules": lambda: list(metrics.shape_rules(image, value)),
        "shot_grid": lambda: metrics.evaluate(image, image, sim, only=["shots"], shot_grid=value),
        "tolerance": lambda: metrics.evaluate(image, image, sim, only=["vertices"], vertex_tolerance_nm=value),
        "only": lambda: metrics.evaluate(image, image, sim, only=value),
        "deck": lambda: metrics.rule_report(image, {"min_width_nm": value}, PIXEL_NM) and 1.0,
    }
    which = rng.choice(sorted(odd))
    return Case(f"{which}={value!r:.40}", odd[which], _finite)


def options(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Options of the solvers: refused where they are made, or a mask of 0 and 1."""
    method = rng.choice(sorted(opc.METHODS))
    known = [field.name for field in fields(opc.options_of(method))] or ["nothing"]
    strategy = (
        st.sampled_from([value for value in damage.ODD_NUMBERS if not isinstance(value, complex)])
        | st.floats()
        | st.integers()
        | st.text(max_size=5)
        | st.lists(st.floats(), max_size=3)
    )
    name, value = rng.choice(known), damage.drawn(strategy, rng)
    if isinstance(value, int) and value > 50 and "step" in name:
        value = 10**400
    runs = rng.random() < 0.25 and not ("step" in name and isinstance(value, int | float) and value > 3)

    def act() -> Any:
        changes = {key: 2 for key in known if key == "n_steps"} | {name: value}
        made = opc.options_of(method, **changes)
        if not runs:
            return made
        sim = litho.Simulator(embedded())
        return opc.solve(_image(256).astype(np.uint8), sim, method=method, options=made).mask

    def check(found: Any) -> str | None:
        if runs:
            mask = _plain(found)
            return None if ((mask == 0) | (mask == 1)).all() else "a mask that is not binary"
        taken = getattr(found, name)
        if isinstance(taken, float) and not np.isfinite(taken):
            return "took what is not finite"
        return None

    return Case(f"{method}: {name}={value!r:.40}", act, check)


def solvers(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Targets and first masks in other forms at the solvers."""
    sim, image = litho.Simulator(embedded()), _image(128)
    method = rng.choice(("identity", "pixel_ilt", "curvy"))
    steps = {} if method == "identity" else {"n_steps": 1}
    if method == "identity" or rng.random() < 0.5:
        return _images(rng, lambda target: opc.solve(target, sim, method=method, **steps).mask, n=128)
    return _images(
        rng, lambda first: opc.solve(image, sim, method=method, initial=first, **steps).mask, n=128, optional=True
    )


def predictions(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Images and odd arguments at the networks."""
    torch.manual_seed(0)
    model = weights.load(sources / "network.safetensors")
    if rng.random() < 0.5:
        image = _image(1024)
        same = rng.random() < 0.5
        forms = _same_forms(image) if same else _wrong_forms(image, rng)
        form = rng.choice(sorted(set(forms) - {"list", "huge"}))

        def of(given: Any) -> Any:
            if isinstance(given, torch.Tensor | np.ndarray) and given.ndim:
                return given[None]
            return given.expand_dims("sample") if isinstance(given, xr.DataArray) else given

        def check(found: Any) -> str | None:
            expected = models.predict(model, image[None])
            return (None if np.array_equal(found, expected) else "another mask") if same else _UNWANTED[0]

        return Case(f"image: {form}", lambda: models.predict(model, of(forms[form])), check)
    name = rng.choice(("batch", "cells", "kind", "context_nm", "dial"))
    value = rng.choice((*damage.ODD_NUMBERS, [0, 0], "opc", np.nan))

    def act() -> Any:
        return models.predict(model, _image(1024)[None].repeat(2, 0), **{name: value})

    def binary(found: np.ndarray) -> str | None:
        expected = models.predict(model, _image(1024)[None].repeat(2, 0))
        return None if np.array_equal(found, expected) else "another mask"

    return Case(f"{name}={value!r:.40}", act, binary)


def written(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Odd arguments of write_mask; what is written is read back as the mask."""
    name = rng.choice(
        (
            "layer",
            "pixel_nm",
            "origin_nm",
            "vertex_tolerance_nm",
            "database_nm",
            "cell",
            "max_points",
            "contours",
            "path",
            "image",
            "beside",
        )
    )
    if name == "image":
        return _images(rng, lambda mask: layout.write_mask(mask, folder / "mask.oas", 8.0, contours="pixel").area_nm2)
    layers = (
        (300, 70_000),
        (-1, 0),
        (1.7, 0),
        (0, 0),
        "11/0",
        "1/2/3",
        (1,),
        (2**40, 0),
        (True, 0),
        ("1", "2"),
        "metal1",
    )
    values: dict[str, tuple] = {
        "layer": layers,
        "origin_nm": ((3e8, 0), (np.nan, 0), (1, 2, 3), (0.3, 0.3), (-(2**31), 0), "ab"),
        "cell": ("", "x" * 40_000, "\N{GREEK SMALL LETTER MU}", "a b", "\0", 3, "*"),
        "contours": ("smooth", "pixel", "", None, 3),
        "path": ("mask.txt", "mask.gds.gds", "no/folder/mask.gds", ".", "", "mask.GDS", "mask.oas.gz"),
        "beside": ("nothing.gds", sources / "layouts" / "cells.gds", sources / "layouts" / "own.glp", "", folder),
    }
    value = rng.choice(values.get(name, damage.ODD_NUMBERS))
    ending = rng.choice((".gds", ".oas"))

    def act() -> Any:
        arguments = {"path": folder / f"mask{ending}", "pixel_nm": 8.0, "contours": "pixel"} | {name: value}
        if name == "path":
            arguments["path"] = folder / str(value)
        return layout.write_mask(_image(), **arguments)

    def check(found: layout.WrittenMask) -> str | None:
        if name in ("layer", "cell", "pixel_nm", "max_points", "path"):
            clip = layout.read_clip(found.path, found.layer, window_nm=1024.0)
            wanted = float(_image().sum()) * float(value if name == "pixel_nm" else 8.0) ** 2
            area = clip.rasterize(pixel_nm=8.0).sum() * 64 if name != "pixel_nm" else found.area_nm2
            return None if abs(area - wanted) <= 1e-6 * wanted else f"{area} nm2 in the file, {wanted} in the mask"
        return None if np.isfinite(found.area_nm2) else "an area that is not finite"

    return Case(f"{name}={value!r:.40} {ending}", act, check)


def read_arguments(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Odd arguments of the readers."""
    path = sources / "layouts" / rng.choice(("cells.gds", "cells.oas", "own.glp"))
    odd = damage.ODD_NUMBERS
    box = (0, 0, 400, 400)
    values: dict[str, tuple] = {
        "layer": ((11, 0), "11/0", (-1, 0), "no", (1.5, 0), 3, "", (True, False), ("a", "b"), "11/x", "-1/0", (11,)),
        "window_nm": odd,
        "grid_nm": odd,
        "cell": ("TOP", "CELL", "no", "", 3),
        "name": ("", 3, "x" * 9999, "../x"),
        "placement": ("contest", "no", (np.nan, 0), (1,), (1e300, 0), 3, ("a", "b")),
        "region_nm": (
            (0, 0, 0, 0),
            (np.nan, *box[1:]),
            (400, 400, 0, 0),
            (0, 0, 1e300, 1),
            box[:3],
            "abcd",
            (0, 0, np.inf, 1),
        ),
        "layers": ("freepdk45", "no", {"a": (1, 2)}, {"a": "x"}, {1: 2}, [], 3, "no.yaml", "/"),
        "errata": (None, 3),
    }
    name = rng.choice(sorted(values))
    value = rng.choice(values[name])
    arguments = {"layer": None if path.suffix == ".glp" else (11, 0)} | {name: value}
    return Case(
        f"{path.name}: {name}={value!r:.40}",
        lambda: layout.read_clip(path, **arguments),
        lambda clip: None if all(np.isfinite(p).all() for p in clip.polygons) and len(clip.polygons) else "no polygons",
    )


def pictures(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Rasters of a clip with odd pixels."""
    clip = layout.read_clip(sources / "layouts" / "own.glp")
    value = damage.drawn(st.sampled_from(damage.ODD_NUMBERS) | st.floats() | st.integers(-4, 5000), rng)
    return Case(f"pixel_nm={value!r:.40}", lambda: clip.rasterize(pixel_nm=value), lambda found: _finite(found.sum()))


def commands(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Words at the command line, in any order and number."""
    for name in ("cells.gds", "own.glp", "mask.oas"):
        shutil.copy(sources / "layouts" / name, folder)
    names = sorted(command.commands)
    words = (
        "--help",
        "--layer",
        "11/0",
        "--out",
        "out.oas",
        "out.gds",
        "--region",
        "0",
        "200",
        "--process",
        "contest",
        "nothing.yaml",
        "-1",
        "nan",
        "",
        "cells.gds",
        "own.glp",
        "mask.oas",
        "--nothing",
        "/",
        ".",
        "embedded",
        "--pixel-nm",
        "8",
        "--order",
        "file",
        "out.json",
        "out.txt",
        "--cell",
        "TOP",
        "\N{GREEK SMALL LETTER MU}.gds",
    )
    chosen = [rng.choice((*names, *names, "no"))] + [rng.choice(words) for _ in range(rng.choice((0, 1, 2, 3, 4)))]
    if chosen[0] == "optimize":
        chosen.append("--nothing")

    def act() -> tuple[int, str]:
        result = CliRunner().invoke(command, chosen)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        refused = result.exception and result.exception.__context__
        if (cause := refused and refused.__cause__) and not _ended(result.exit_code, result.stderr):
            raise cause  # what the command said in one line is looked at as it was
        return result.exit_code, result.stderr

    return Case(" ".join(chosen), act, lambda found: _ended(*found))


def _ended(status: int, stderr: str) -> str | None:
    """Whether a command ended as it should: with 0, or with 1 or 2 and one line that says why."""
    lines = [line for line in stderr.splitlines() if line.startswith("Error: ")]
    if status == 0:
        return "an error and exit status 0" if lines else None
    # click says before its own refusals how the command is used; warnings stand before the error.
    said = [line for line in stderr.splitlines() if line and not line.startswith(("Usage: ", "Try ", "Warning: "))]
    return None if status in (1, 2) and len(said) == len(lines) == 1 else f"exit status {status}: {stderr[:500]}"


FAMILIES = [
    Family("simulator", 130, simulators),
    Family("metrics", 150, scores),
    Family("options", 220, options),
    Family("solvers", 70, solvers),
    Family("predict", 70, predictions),
    Family("write_mask", 130, written),
    Family("read_clip arguments", 110, read_arguments),
    Family("raster", 50, pictures),
    Family("command line", 90, commands),
]
