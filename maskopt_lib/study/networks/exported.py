"""Weights of a run of notebook 31 as files to pass on, with their hashes and a card: ``make weights``.

Of the seeds of a network the one with the least L2 in the check that was kept is taken; that check is of the validation
split, so no tile that a benchmark scores has a say in it.
"""

import shutil
from pathlib import Path

import click
import pandas as pd
import yaml

from maskopt_lib import files
from maskopt_lib.data import schema
from maskopt_lib.errors import MaskOptError
from maskopt_lib.models import weights
from maskopt_lib.models.training.checkpoints import WEIGHTS
from maskopt_lib.runs.locks import FolderLock
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
    out : folder of the files ``<network>-<layer>-<kind>.safetensors``, ``SHA256.yaml`` and ``README.md``; files of an
        earlier export that have the same names are replaced.

    Returns
    -------
    Table over the names of the files: network, layer, kind, seed, n_seeds, size_mb, scores of its check, sha256.

    Raises
    ------
    MissingDataError : the run left no trainings, or weights are gone.
    SchemaError : weights are damaged.
    """
    run_dir = trainings.run_of(run_dir, run_dir)
    listed = load_result(run_dir, trainings.RESULT).to_dataframe()
    rows = {}
    for (network, layer, kind), seeds in listed.groupby(["network", "layer", "kind"], sort=False):
        best = seeds.loc[seeds[schema.L2].idxmin()]
        source = run_dir / trainings.TRAININGS / best["folder"] / WEIGHTS
        weights.load(source)  # whole, and of the network that it names
        name = f"{network}-{layer}-{kind}".lower().replace(" ", "-").replace(",", "")
        with files.replacing(out / f"{name}.safetensors") as beside:
            shutil.copyfile(source, beside)
        rows[name] = {
            **{"network": network, "layer": layer, "kind": kind, "seed": int(best["seed"]), "n_seeds": len(seeds)},
            **{"parameters": int(best["n_parameters"]), "size_mb": source.stat().st_size / 1e6},
            **{score: float(best[score]) for score in _SCORES},
            "sha256": files.sha256_of(source),
        }
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("file")
    files.write_bytes(out / HASHES, yaml.safe_dump(table["sha256"].to_dict()).encode())
    files.write_bytes(out / CARD, _card(run_dir, table).encode())
    return table


def _card(run_dir: Path, table: pd.DataFrame) -> str:
    """What the files are, made by what, and how good in their check."""
    record = record_of(run_dir)
    folder = load_result(run_dir, trainings.RESULT).to_dataframe()["folder"].iloc[0]
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
