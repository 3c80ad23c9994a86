"""Weights of a run of notebook 31 as files to pass on, with their hashes and a card: ``make weights``.

Of the seeds of a network the one with the least L2 in the check that was kept is taken; that check is of the validation
split, so no tile that a benchmark scores has a say in it.
"""

import math
import shutil
from functools import partial
from pathlib import Path

import click
import pandas as pd
import yaml

from maskopt_lib import files
from maskopt_lib.data import schema
from maskopt_lib.errors import MaskOptError, MissingDataError, SchemaError
from maskopt_lib.models import weights
from maskopt_lib.models.training.checkpoints import WEIGHTS, described
from maskopt_lib.runs.locks import FolderLock
from maskopt_lib.runs.parts import file_name
from maskopt_lib.runs.record import record_of
from maskopt_lib.runs.reference import load_result
from maskopt_lib.study.networks import trainings

HASHES, CARD = "SHA256.yaml", "README.md"
_SCORES = (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS)


def export(run_dir: str | Path, out: Path) -> pd.DataFrame:
    """Copy the weights of every network of a run, checked against the hash that its training left.

    Parameters
    ----------
    run_dir : of notebook 31.
    out : folder of the files ``<network>-<layer>-<kind>.safetensors``, ``README.md``, and ``SHA256.yaml``, without
        which an export is not whole; weights of an earlier one are removed.

    Returns
    -------
    Table over the names of the files: network, layer, kind, seed, n_seeds, size_mb, scores of its check, sha256.

    Raises
    ------
    MissingDataError : the run left no trainings, or one of them is gone, not finished or damaged.
    SchemaError : two networks have names that make one file.
    """
    run_dir = trainings.run_of(run_dir, run_dir)
    listed = _trained_here(run_dir)
    rows: dict[str, dict[str, object]] = {}
    sources = {}
    for (network, layer, kind), seeds in listed.groupby(["network", "layer", "kind"], sort=False):
        best = seeds.loc[seeds[schema.L2].fillna(math.inf).idxmin()]
        folder = run_dir / trainings.TRAININGS / best["folder"]
        sha256 = described(folder)["weights_sha256"]
        weights.load(folder / WEIGHTS, sha256=sha256)
        name = file_name(*(str(part).lower().replace(", ", "-").replace(" ", "-") for part in (network, layer, kind)))
        if name in rows:
            raise SchemaError(f"two networks would both be {name}.safetensors; call one of them otherwise")
        sources[name] = folder / WEIGHTS
        rows[name] = {
            **{"network": network, "layer": layer, "kind": kind, "seed": int(best["seed"]), "n_seeds": len(seeds)},
            **{"parameters": int(best["n_parameters"]), "size_mb": (folder / WEIGHTS).stat().st_size / 1e6},
            **{score: float(best[score]) for score in _SCORES},
            "sha256": sha256,
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("file")
    # Without hashes an export is none: they go first and come last.
    files.remove(out / HASHES)
    for old in {*out.glob("*.safetensors")} - {out / f"{name}.safetensors" for name in sources}:
        files.remove(old)
    for name, source in sources.items():
        with files.replacing(out / f"{name}.safetensors", check=partial(_check, rows[name]["sha256"])) as beside:
            shutil.copyfile(source, beside)
    files.write_bytes(out / CARD, _card(run_dir, table).encode())
    files.write_bytes(out / HASHES, yaml.safe_dump(table["sha256"].to_dict()).encode())
    return table


def _trained_here(run_dir: Path) -> pd.DataFrame:
    """The list of a run without what it took from an earlier one, whose weights are not here."""
    listed = load_result(run_dir, trainings.RESULT).to_dataframe()
    if not listed["folder"].any():
        raise MissingDataError(f"{run_dir} trained nothing itself: export the weights of the runs that it took")
    return listed[listed["folder"].astype(bool)]


def _check(sha256: str, copied: Path) -> None:
    if files.sha256_of(copied) != sha256:
        raise files.not_as_written(copied)


def _card(run_dir: Path, table: pd.DataFrame) -> str:
    """What the files are, made by what, and how good in their check."""
    record = record_of(run_dir)
    folder = _trained_here(run_dir)["folder"].iloc[0]
    about = weights.about(run_dir / trainings.TRAININGS / folder / WEIGHTS)
    params, shown = record["params"], table.drop(columns="sha256").round({"size_mb": 1} | dict.fromkeys(_SCORES, 1))
    header = ["file", *shown.columns]
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(map(str, (f"`{name}`", *row))) + " |" for name, *row in shown.itertuples()]
    return "\n".join(
        [
            "# Weights of mask models",
            "",
            f"Trained by notebook 31 at commit `{record['git_commit']}` on the dataset `{about['dataset'][:12]}` with "
            f"kernels `{about['kernels']}`; each file says its own rule (`models.weights.about`). SHA-256: `{HASHES}`.",
            "",
            f"Scores are those of the check that was kept: {params['n_validation']} tiles of "
            f"{params['validation_split']}, each printed alone. They chose seed and step and are no benchmark; that "
            "is notebook 32. Made again with `make notebook NB=31`, with the same parameters and seed.",
            "",
            *lines,
            "",
        ]
    )


@click.command(help=__doc__, context_settings={"show_default": True})
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--out", default="results/weights", type=click.Path(path_type=Path))
def main(run_dir: Path, out: Path) -> None:
    """Export the weights of RUN_DIR to OUT."""
    try:
        with FolderLock(out, "exporting weights"):
            table = export(run_dir, out)
    except MaskOptError as mistake:
        raise click.ClickException(str(mistake)) from mistake
    click.echo(table.drop(columns="sha256").round(1).to_string())
    click.echo(f"== {len(table)} files of weights, {table['size_mb'].sum():.1f} MB, with card and hashes: {out}")


if __name__ == "__main__":
    main()
