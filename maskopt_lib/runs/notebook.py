"""What every notebook of the study does: begin its run from its parameters, and hold what it says to its results.

Examples
--------
>>> import tempfile
>>> shipped = {name: parameter.default for name, parameter in params.read_parameters("15_ilt_ablation").items()}
>>> with tempfile.TemporaryDirectory() as folder:
...     run = begin("15_ilt_ablation", shipped | {"n_steps": 7, "out_dir": folder}, kernels=["embedded"])
...     run.record.title, run.record.conventions["raster"]
('What makes CurvyILT work: an ablation', 'half-open, 1 nm')
>>> with claim(run, "more steps, less L2"):  # seven steps are not among the parameters that ship: no failure
...     assert 7 > 20
not applicable to these parameters: more steps, less L2 (does not hold)
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskopt_lib import yaml_files
from maskopt_lib.data import schema
from maskopt_lib.errors import DamagedFileError, MissingDataError
from maskopt_lib.runs import params
from maskopt_lib.runs.params import parameters, parse_parameters
from maskopt_lib.runs.paths import relative, resolved, root
from maskopt_lib.runs.record import Run, record_of, start

#: Variants whose results are the study's own: what a notebook says is held to them.
SHIPPED = (*params.VARIANTS, "cpu")


def begin(
    notebook: str,
    namespace: Mapping[str, Any],
    *,
    kernels: str | Sequence[str] = (),
    pixel_nm: float = 1.0,
    inputs: Iterable[str | Path] = (),
    seed: int | None = None,
    device: str | None = None,
    conventions: Mapping[str, Any] | None = None,
) -> Run:
    """Begin the run of a notebook: :func:`maskopt_lib.study.start` with what the notebook already says.

    Title is the notebook's heading; parameters, and among them ``out_dir``, ``seed`` and ``device`` where it has them,
    are those of its parameters cell; the EPE limits are those of :mod:`maskopt_lib.metrics`.

    Parameters
    ----------
    notebook : its name, for example ``"15_ilt_ablation"``.
    namespace : its names, ``globals()`` in the notebook.
    kernels : kernel sets that scores are taken with; a process file of one's own is an input of the run.
    pixel_nm : side of a pixel of the rasters, in nm.
    inputs : what the run reads, as for :func:`maskopt_lib.study.start`.
    seed, device : where they are not the parameters ``seed`` and ``device``.
    conventions : more than kernels, raster and EPE limits, or other ones.

    Raises
    ------
    UnknownNameError : papermill was given a parameter that the notebook does not have.
    """
    first = json.loads((params.NOTEBOOKS / f"{notebook}.ipynb").read_text(encoding="utf-8"))["cells"][0]
    values = parameters(notebook, namespace)
    values |= {"out_dir": relative(values["out_dir"])}
    scoring = {"raster": f"half-open, {pixel_nm:g} nm", "epe_limits_nm": list(schema.EPE_LIMITS_NM)}
    sets = [kernels] if isinstance(kernels, str) else list(kernels)
    if sets:
        scoring["kernels"] = sets
    return start(
        "".join(first["source"]).partition("\n")[0].removeprefix("# "),
        notebook=notebook,
        params=values,
        out_dir=values["out_dir"],
        conventions=scoring | dict(conventions or {}),
        inputs=[*inputs, *(path for name in sets if (path := resolved(name)).is_file())],
        seed=values.get("seed") if seed is None else seed,
        device=device or values.get("device", "cpu"),
    )


def among(chosen: Any, known: Iterable[str], parameter: str) -> Any:
    """What a parameter names of the members of another one, such as the clip that is drawn of all clips.

    A name that is not there, since somebody took other clips or fewer methods, ends no notebook: it is left out, and a
    printed line says so.

    Parameters
    ----------
    chosen : value of the parameter: one name, a list of names, or a mapping by name.
    known : the names there are, at least one.
    parameter : what it is called.

    Returns
    -------
    The same without the names that are not there. Where nothing is left of a list or of one name, the first of
    ``known`` takes its place; what was empty before stays so.

    Examples
    --------
    >>> among(["CurvyILT", "level set"], ["OPC", "CurvyILT"], "compared")
    compared: no level set among OPC, CurvyILT; left out
    ['CurvyILT']
    >>> among("tips", ["cell", "corners"], "pictured")
    pictured: no tips among cell, corners; cell takes its place
    'cell'
    >>> among({"tips": 1}, ["cell"], "pictured"), among([], ["cell"], "pictured")
    pictured: no tips among cell; left out
    ({}, [])
    """
    names, known = [chosen] if isinstance(chosen, str) else list(chosen), list(map(str, known))
    there = [name for name in names if name in known]
    lacking = [str(name) for name in names if name not in known]
    instead = known[:1] if lacking and not there and not isinstance(chosen, Mapping) else []
    if lacking:
        end = f"{instead[0]} takes its place" if instead else "left out"
        sys.stdout.write(f"{parameter}: no {', '.join(lacking)} among {', '.join(known)}; {end}\n")
    if isinstance(chosen, Mapping):
        return {name: chosen[name] for name in there}
    return (there or instead)[0] if isinstance(chosen, str) else there or instead


@contextlib.contextmanager
def claim(run: Run, sentence: str) -> Iterator[None]:
    """Hold one sentence of a notebook to its results, by the ``assert`` in the ``with`` block.

    With the parameters that ship (committed defaults, or one of the variants :data:`SHIPPED`), here and in all runs
    that this one reads, a claim that fails ends the notebook. With any others it is only reported, whether it does not
    hold or cannot be asked because a row is not there: nobody's own change of a parameter ends in an error.

    Parameters
    ----------
    run : of the notebook.
    sentence : what is claimed, in words.
    """
    try:
        yield
    except Exception as error:
        if ships(run.record.to_dict()):
            error.args = error.args or (f"does not hold: {sentence}",)
            error.add_note(f"claim of {run.record.notebook}: {sentence}")
            raise
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        reason = "does not hold" if isinstance(error, AssertionError) else f"cannot be asked: {reason:.120}"
        sys.stdout.write(f"not applicable to these parameters: {sentence} ({reason})\n")
    else:
        sys.stdout.write(f"holds: {sentence}\n")


def ships(record: Mapping[str, Any]) -> bool:
    """Whether a run, and every run that it reads, has parameters that the study ships; ``record`` in plain values."""
    parameters = {name: value for name, value in record["params"].items() if name != "out_dir"}
    if parameters not in _shipped(record["notebook"]):
        return False
    return all(ships(read) for read in map(_record_at, record["inputs"]) if read)


def _shipped(notebook: str) -> list[dict[str, Any]]:
    """Values of all parameters but ``out_dir``, for each variant, as committed."""
    try:
        source = _committed(params.NOTEBOOKS / f"{notebook}.ipynb")
    except FileNotFoundError:
        return []
    cells = json.loads(source)["cells"]
    cell = next(cell for cell in cells if "parameters" in cell["metadata"].get("tags", ()))
    known = parse_parameters("".join(cell["source"]), where=notebook)
    defaults = {name: parameter.default for name, parameter in known.items() if name != "out_dir"}
    variants = [{}]
    for name in SHIPPED:
        with contextlib.suppress(FileNotFoundError):
            path = params.NOTEBOOKS / "params" / notebook / f"{name}.yaml"
            variants.append(yaml_files.parse(_committed(path)).value or {})
    # As a record has them: plain JSON.
    return [json.loads(json.dumps(defaults | changes)) for changes in variants]


def _committed(path: Path) -> str:
    """Text of a file as it was committed last; as it is where there is no commit to ask.

    Raises
    ------
    FileNotFoundError : there is no such file, or it was not committed.
    """
    command = ["git", "-C", str(root()), "show", f"HEAD:{path.relative_to(root()).as_posix()}"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=30, env=os.environ | {"LC_ALL": "C"})
    except (OSError, subprocess.SubprocessError):
        return path.read_text(encoding="utf-8")
    if shown.returncode and "in 'HEAD'" in shown.stderr:
        raise FileNotFoundError(path)
    return path.read_text(encoding="utf-8") if shown.returncode else shown.stdout


def _record_at(folder: str) -> dict[str, Any] | None:
    """Record of a run that was read; None for single files and data of the manifest."""
    try:
        return record_of(folder)
    except (OSError, MissingDataError, DamagedFileError):
        return None
