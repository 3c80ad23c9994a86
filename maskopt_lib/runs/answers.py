"""Answers: one sentence a question, its numbers read from stored results, with where these are from.

Examples
--------
>>> scores = xr.DataArray([9.0, 10.0, 11.0], dims="sample")
>>> with_interval(scores)
'10.0 (9.0 to 11.0)'
>>> gain_with_interval(scores, 0.9 * scores)
'10.0 % (10.0 to 10.0)'
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from IPython.display import Markdown

from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError
from maskopt_lib.runs import bootstrap
from maskopt_lib.runs.effects import gain
from maskopt_lib.runs.paths import resolved, root
from maskopt_lib.runs.record import Run, in_history, record_of
from maskopt_lib.runs.reference import load_result
from maskopt_lib.runs.tables import TABLE, table_frame


def with_interval(values: xr.DataArray, *, digits: int = 1) -> str:
    """A mean over ``sample`` with the 95 % interval of a bootstrap that draws samples; or a stored one.

    Parameters
    ----------
    values : over ``sample``; or over ``statistic`` (mean, low, high), as :mod:`maskopt_lib.runs.bootstrap` leaves it.
    digits : after the point.
    """
    if bootstrap.STATISTIC not in values.dims:
        samples = np.arange(values.sizes[schema.SAMPLE])
        values = bootstrap.intervals(values.to_dataset(name="value"), samples)["value"]
    mean, low, high = (
        f"{float(values.sel({bootstrap.STATISTIC: name})):,.{digits}f}"
        for name in (bootstrap.MEAN, bootstrap.LOW, bootstrap.HIGH)
    )
    return f"{mean} ({low} to {high})"


def gain_with_interval(base: xr.DataArray, other: xr.DataArray, *, digits: int = 1) -> str:
    """By how many percent the mean of ``other`` is smaller on the same samples, with its 95 % interval.

    Parameters
    ----------
    base, other : over ``sample``.
    digits : after the point.
    """
    pair = (score.expand_dims(schema.SEED) for score in (base, other))
    effect = gain(*pair, np.arange(base.sizes[schema.SAMPLE]))
    low, high = effect.interval
    return f"{effect.mean:.{digits}f} % ({low:.{digits}f} to {high:.{digits}f})"


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Answers of a run: what they read is remembered, and stands below each of them.

    Attributes
    ----------
    run : that gives the answers.
    folders : of the results, by the name of the notebook without its number
        (:func:`maskopt_lib.study.stored_runs`).
    """

    run: Run
    folders: Mapping[str, Path]
    _read: dict[tuple[str, str], xr.Dataset] = field(default_factory=dict, repr=False)
    _said: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)

    def load(self, notebook: str, name: str) -> xr.Dataset:
        """A stored result, which the next answer is from.

        Parameters
        ----------
        notebook : its name without the number.
        name : of the result.

        Raises
        ------
        MissingDataError : it is not there.
        """
        stored = load_result(self.folders[notebook], name)
        self._read[notebook, name] = stored
        return stored

    def table(self, notebook: str, name: str) -> pd.DataFrame:
        """A stored table, which the next answer is from; its caption is ``attrs["caption"]``."""
        stored = self.load(notebook, TABLE + name)
        table = table_frame(stored)
        table.attrs["caption"] = stored.attrs["caption"]
        return table

    def about(self, question: str) -> None:
        """Begin a question: what is loaded from here on is what its answer is from."""
        self._read.clear()
        self._said[question] = {}

    def say(self, sentence: str) -> Markdown:
        """Answer the question that was begun last.

        Parameters
        ----------
        sentence : with its numbers and their intervals.

        Returns
        -------
        The sentence, and below it notebook and record that its numbers are from: commit, day, kernels, raster, scale.

        Raises
        ------
        SchemaError : there is no question, or nothing was read for it.
        """
        if not self._said or not self._read:
            raise SchemaError("an answer needs a question (about) and stored results that it is from (load, table)")
        lines = [self._origin(notebook, name, stored) for (notebook, name), stored in self._read.items()]
        origin = "<br>".join(dict.fromkeys(lines))
        self._said[list(self._said)[-1]] |= {"answer": sentence, "origin": origin}
        return Markdown(f"**{sentence}**\n\n<small>{origin}</small>")

    def save(self) -> xr.Dataset:
        """All answers as one result, over ``question``."""
        ds = xr.Dataset(coords={"question": list(self._said)})
        for name, long_name in (("answer", "answer"), ("origin", "where its numbers are from")):
            ds[name] = schema.column("question", [said[name] for said in self._said.values()], long_name)
        self.run.save(ds, "answers")
        return ds

    def _origin(self, notebook: str, name: str, stored: xr.Dataset) -> str:
        record = record_of(stored)
        said = record["conventions"]
        scale = Path(record["params"].get("out_dir", "")).name or "scratch"
        kernels = said.get("kernels") or "named in it"
        stale = " (not in this history)" if in_history(record["git_commit"]) is False else ""
        parts = {
            "commit": f"`{record['git_commit'][:8]}`{stale}, {record['created_at'][:10]}",
            "kernels": kernels if isinstance(kernels, str) else ", ".join(kernels),
            "raster": said.get("raster", "none"),
            "scale": f"`{scale}`",
        }
        folder = resolved(self.folders[notebook])
        file = next((path for path in (folder / f"{name}.nc", folder / f"{name}.zarr") if path.exists()), folder)
        notebook_file = root() / "notebooks" / f"{record['notebook']}.ipynb"
        if not notebook_file.exists():  # recorded under an earlier number
            notebook_file = next((root() / "notebooks").glob(f"[0-9][0-9]_{notebook}.ipynb"))
        of = ", ".join(f"{what} {text}" for what, text in parts.items())
        return f"[{notebook_file.stem}]({self._link(notebook_file)}), [{name}]({self._link(file)}): {of}"

    def _link(self, path: Path) -> str:
        """From the folder that the executed notebook is in."""
        return Path(os.path.relpath(path, self.run.out_dir)).as_posix()
