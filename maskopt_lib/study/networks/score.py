"""Masks that were made elsewhere, scored as the benchmark scores its own: ``make score MASKS=...``.

How files hold them: :mod:`maskopt_lib.study.networks.given`. Masks of 1024 nm are those of tiles: in place their cores
stand among masks that the labels' solver makes of all that is around. Masks of the whole field (2048 nm) stand among
their own neighbours.
"""

import math
from pathlib import Path

import click
import numpy as np
import pandas as pd

from maskopt_lib import files, optics
from maskopt_lib.data import schema
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import MaskOptError, MissingDataError
from maskopt_lib.runs.locks import FolderLock
from maskopt_lib.runs.record import record_of
from maskopt_lib.study.dataset import cut, plan
from maskopt_lib.study.networks.benchmark import Bench, Comparison
from maskopt_lib.study.networks.given import samples_of
from maskopt_lib.study.networks.names import OF_ALONE, PLACED_SCORES


def score_given(
    bench: Bench, masks: Path, name: str, layer: str, *, split: str, context_nm: int, kind: str
) -> Comparison:
    """Masks that were made elsewhere beside the layout as its own mask and the labels, on the tiles that they are of.

    Parameters
    ----------
    bench : where they are scored.
    masks : see the module.
    name : row of the table.
    layer, split, context_nm, kind : of the tiles, and of the labels beside them.

    Raises
    ------
    MissingDataError : a mask is of no labelled tile of this split.
    """
    tiles = bench.choose(layer, split=split, context_nm=context_nm, kinds=(kind,), in_place=False)
    samples = samples_of(masks)
    if other := sorted(set(samples.tolist()) - set(tiles.samples)):
        raise MissingDataError(
            f"tiles {other[:8]} are not among the {len(tiles.samples)} labelled ones of {layer}, {split}"
        )
    chosen = bench.placed(tiles.part(np.flatnonzero(np.isin(tiles.samples, samples))))
    return bench.compare({}, chosen, kind, given={name: masks})


@click.command(help=__doc__, context_settings={"show_default": True})
@click.argument("masks", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--build", default="results/22_build_dataset/quick", type=click.Path(path_type=Path), help="Run of notebook 22."
)
@click.option("--layer", default="metal1")
@click.option("--split", default="unseen_cell")
@click.option("--kind", default="ilt", help="Labels that stand beside them.")
@click.option("--name", default="", help="Row of the table; the file's name without.")
@click.option("--out", default="results/score", type=click.Path(path_type=Path))
def main(masks: Path, build: Path, layer: str, split: str, kind: str, name: str, out: Path) -> None:
    """Score masks of tiles, and add a row to OUT/scores.csv."""
    name = name or masks.stem
    if not (build / "record.json").is_file():
        raise click.ClickException(f"no dataset at {build}: make notebook NB=22, or make mini-dataset")
    try:
        # Who scores beside another into one table waits, or one of the two rows would be lost.
        with FolderLock(out, f"scoring {name}", wait_s=math.inf, tell=click.echo):
            table, path = _add_row(masks, build, layer, split, kind, name, out)
    except MaskOptError as mistake:
        raise click.ClickException(str(mistake)) from mistake
    click.echo(table.T.to_string())
    click.echo(f"== row {name!r} added to {path}")


def _add_row(
    masks: Path, build: Path, layer: str, split: str, kind: str, name: str, out: Path
) -> tuple[pd.DataFrame, Path]:
    """The rows compared, and the table to which that of these masks was added."""
    params = record_of(build)["params"]
    context_nm, kernels = params["label_context_nm"][layer], optics.load(params["kernel_set"])
    sources = plan.sources_of(params["designs"])
    bench = Bench(store=build / cut.STORE, run_dir=out, kernels=kernels, sources=sources)
    compared = score_given(bench, masks, name, layer, split=split, context_nm=context_nm, kind=kind)
    columns = [*PLACED_SCORES, *OF_ALONE.values()]
    table = compared.scores[columns].mean((schema.SEED, schema.SAMPLE)).to_dataframe()
    about = {"layer": layer, "split": split, "n_tiles": len(compared.tiles.samples), "kernels": kernels.name}
    table = table.assign(**about, dataset=TileStore(build / cut.STORE).digest())
    path = out / "scores.csv"
    before = pd.read_csv(path, index_col=0) if path.is_file() else None
    files.write_bytes(path, pd.concat([before, table.loc[[name]]]).to_csv().encode())
    return table, path


if __name__ == "__main__":
    main()
