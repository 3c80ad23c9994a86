"""Two sets of records or results: every stored number that moved beyond its tolerance, and figures side by side.

Examples
--------
>>> before = xr.Dataset({"l2_nm2": ("sample", [100.0, 200.0], {"units": "nm2"})}, coords={"sample": ["a", "b"]})
>>> now = before.copy(data={"l2_nm2": [100.0, 240.0]})
>>> moved(before, now)[["place", "before", "now"]].values.tolist()
[['sample=b', 200.0, 240.0]]
"""

import html
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import files
from maskopt_lib.errors import MissingDataError, SchemaError
from maskopt_lib.runs.paths import root
from maskopt_lib.runs.reference import FOLDER, load_result, stored_names

#: By how much a number may move, by its unit: (share of it, in that unit). Threads and batches move L2 by 0.05 %,
#: double precision moves it by up to 3 % where a solver's steps are chaotic (notebook 44).
TOLERANCES = {"nm2": (0.01, 8.0), "nm": (0.01, 0.1), "%": (0.01, 1.0), "1": (0.01, 1.0)}
#: What is measured anew in every run and never the same: listed, and no reason to say that something moved.
MEASURED = ("s", "min", "h", "ms", "GB", "MB", "GiB")
_OTHER = (0.01, 0.0)
#: Larger stores, those of images, are not compared number by number.
LARGEST_BYTES = 50_000_000
_LISTED = 12
_COLUMNS = ["variable", "place", "before", "now", "tolerance", "is_measured"]


@dataclass(frozen=True)
class Comparison:
    """What moved between two sets.

    Attributes
    ----------
    moved : one row a number: store, variable, place, before, now, tolerance, is_measured.
    one_sided : stores that only one of the sets has, as sentences.
    figures : pictures that are drawn otherwise: name -> (before, now).
    n_stores : stores that both have.
    """

    moved: pd.DataFrame
    one_sided: list[str]
    figures: dict[str, tuple[Path, Path]]
    n_stores: int

    @property
    def n_moved(self) -> int:
        """Numbers that moved beyond their tolerance, times and memory left out."""
        return int((~self.moved["is_measured"]).sum())


def moved(before: xr.Dataset, now: xr.Dataset) -> pd.DataFrame:
    """Numbers and texts of one store that are not what they were.

    Parameters
    ----------
    before, now : the store then and now; labels that only one of them has are a row each.

    Returns
    -------
    Rows with ``variable``, ``place`` (labels of the number), ``before``, ``now``, ``tolerance`` and ``is_measured``.
    """
    rows = []
    for dim in sorted(set(before.indexes) & set(now.indexes) & set(before.dims) & set(now.dims)):
        then, today = (pd.Index(ds.indexes[dim].astype(str)) for ds in (before, now))
        if not then.equals(today):
            rows += [[dim, label, "there", "gone", "", False] for label in then.difference(today)]
            rows += [[dim, label, "lacking", "there", "", False] for label in today.difference(then)]
            if then.is_unique and today.is_unique:
                both = [label for label in then if label in set(today)]
                before = before.isel({dim: then.get_indexer(both)})
                now = now.isel({dim: today.get_indexer(both)})
    for name in sorted(map(str, {*before.data_vars, *now.data_vars})):
        if name not in before or name not in now:
            rows.append([name, "", *(("there", "gone") if name in before else ("lacking", "there")), "", False])
            continue
        one, other = before[name], now[name]
        if set(one.dims) == set(other.dims):
            other = other.transpose(*one.dims)
        if one.shape != other.shape:
            rows.append([name, "shape", str(dict(one.sizes)), str(dict(other.sizes)), "", False])
            continue
        rows += _moved_values(one, other)
    return pd.DataFrame(rows, columns=_COLUMNS)


def _moved_values(one: xr.DataArray, other: xr.DataArray) -> list[list]:
    units = other.attrs.get("units", "1")
    is_measured = units in MEASURED or str(one.name).startswith(("runtime", "seconds", "processor s"))
    share, least = TOLERANCES.get(units, _OTHER)
    a, b = one.values, other.values
    if a.dtype.kind in "fiub" and b.dtype.kind in "fiub":
        a, b = a.astype(float), b.astype(float)
        with np.errstate(invalid="ignore"):
            differs = ~((abs(b - a) <= share * abs(a) + least) | (a == b) | (np.isnan(a) & np.isnan(b)))
        text = f"{100 * share:g} % or {least:g} {units}".removesuffix(" 1")
    else:
        differs, text = a.astype(str) != b.astype(str), "none"
    rows = []
    for at in np.argwhere(differs):
        labels = (
            f"{dim}={one[dim].values[i] if dim in one.coords else i}" for dim, i in zip(one.dims, at, strict=True)
        )
        place = tuple(at)
        rows.append([str(one.name), ", ".join(labels), a[place], b[place], text, is_measured])
    return rows


def compare(base: Path, now: Path) -> Comparison:
    """Hold two folders against each other: both of records, or both of results.

    Parameters
    ----------
    base, now : folders of notebooks; those that only one has are named, and are no difference.

    Raises
    ------
    MissingDataError : there are no stores, or none that both have.
    """
    then, today = _stores(base), _stores(now)
    if not then or not today or not then.keys() & today.keys():
        empty = next((folder for folder, stores in ((base, then), (now, today)) if not stores), None)
        raise MissingDataError(
            f"no results or records at {empty}" if empty else f"{base} and {now} have no result in common"
        )
    parts, both = [], sorted(then.keys() & today.keys())
    for name in both:
        before, after = (load_result(stores[name], Path(name).name) for stores in (then, today))
        if max(before.nbytes, after.nbytes) <= LARGEST_BYTES:
            parts.append(moved(before, after).assign(store=name))
    lacking = [
        f"{name}: only {where}"
        for names, where in ((then.keys() - today.keys(), "before"), (today.keys() - then.keys(), "now"))
        for name in sorted(names)
    ]
    pictures = {
        name: (path, now / name)
        for path in sorted(base.rglob("*.png"))
        for name in [path.relative_to(base).as_posix()]
        if (now / name).exists() and (now / name).read_bytes() != path.read_bytes()
    }
    rows = pd.concat(parts, ignore_index=True).astype({"is_measured": bool})
    return Comparison(moved=rows, one_sided=lacking, figures=pictures, n_stores=len(both))


def _stores(folder: Path) -> dict[str, Path]:
    """Folder of every store, by its path below the set without ending."""
    found = {}
    for pattern in ("[0-9][0-9]_*", "[0-9][0-9]_*/*"):
        for run in filter(Path.is_dir, sorted(folder.glob(pattern))):
            if run.suffix != ".zarr":
                found |= {f"{run.relative_to(folder).as_posix()}/{name}": run for name in stored_names(run)}
    return found


@contextmanager
def sets(base: str) -> Iterator[tuple[Path, Path]]:
    """The two folders that a base means: of results where it is a folder of those, else of records.

    Parameters
    ----------
    base : folder of results or of records (or of a whole study), or a commit, whose records are taken.

    Raises
    ------
    SchemaError : it is neither.
    """
    folder = Path(base).expanduser()
    folder = next((f for f in (folder / "results", folder / "data_manifest" / "records") if f.is_dir()), folder)
    if folder.is_dir():
        has_records = any(folder.glob("[0-9][0-9]_*/*.nc"))
        yield folder, FOLDER if has_records else root() / "results"
        return
    with tempfile.TemporaryDirectory() as place:
        archive = Path(place) / "records.tar"
        command = ["git", "-C", str(root()), "archive", "-o", str(archive), base, "data_manifest/records"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SchemaError(f"BASE={base!r} is no folder and no commit with records: {done.stderr.strip()}")
        with tarfile.open(archive) as packed:
            packed.extractall(place, filter="data")
        yield Path(place) / "data_manifest" / "records", FOLDER


def write_page(found: Comparison, base: str, folder: Path) -> Path:
    """Write ``index.html`` with its figures to a folder, and return its path."""
    files.remove(folder)
    n_measured = int(found.moved["is_measured"].sum())
    blocks = [
        f"<p>{found.n_stores} stored results beside those of <code>{html.escape(base)}</code>: "
        f"<b>{found.n_moved} numbers moved</b> beyond their tolerance; {n_measured} times and "
        f"amounts of memory, which are never the same, and {len(found.figures)} figures are drawn otherwise.</p>"
    ]
    for title, is_measured in (("What moved", False), ("Measured anew", True)):
        rows = found.moved[found.moved["is_measured"] == is_measured]
        blocks.append(f"<h2>{title}</h2>" + ("" if len(rows) else "<p>Nothing.</p>"))
        for (store, variable), group in rows.groupby(["store", "variable"], sort=False):
            more = f", {len(group)} of them, the first {_LISTED}" if len(group) > _LISTED else ""
            shown = group[["place", "before", "now", "tolerance"]].head(_LISTED)
            blocks.append(f"<h3>{html.escape(f'{store}: {variable}{more}')}</h3>{shown.to_html(index=False, border=0)}")
    blocks.append("<h2>Figures</h2>")
    for name, pair in found.figures.items():
        images = []
        for when, path in zip(("before", "now"), pair, strict=True):
            files.write_bytes(folder / when / name, path.read_bytes())
            images.append(f'<figure><img src="{when}/{name}" alt="{when}"><figcaption>{when}</figcaption></figure>')
        blocks.append(f"<h3>{html.escape(name)}</h3><div class=pair>{''.join(images)}</div>")
    blocks.append(f"<h2>On one side only</h2><p>{'<br>'.join(map(html.escape, found.one_sided)) or 'Nothing.'}</p>")
    page = folder / "index.html"
    files.write_bytes(page, f"{_HEAD}<h1>What moved</h1>{''.join(blocks)}</main>".encode())
    return page


_HEAD = """<!doctype html><html lang=en><meta charset=utf-8>
<meta name=viewport content="width=device-width">
<title>What moved</title><style>
:root { color-scheme: light dark; font: 15px/1.5 sans-serif }
main { max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; display: block; overflow-x: auto } td, th { padding: .2rem .7rem; text-align: left }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem }
figure { margin: 0 } img { max-width: 100%; background: white }</style><main>"""
