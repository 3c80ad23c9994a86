"""What the interactive page shows of stored masks: `python notebooks/site/views.py results/11_ilt_iccad13/paper ...`.

A view is a sealed JSON file, one a clip and kernel set: for each method an image whose pixels hold target, mask and
prints as bits, the scores as stored, and the signed edge error at every site. Prints are imaged here from the stored
masks; the site itself only reads. Views of embedded clips are committed; those of fetched clips stay in `results/`.
"""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import xarray as xr

from maskopt_lib import files, litho, metrics, optics, study
from maskopt_lib.data import schema
from maskopt_lib.runs import reference

#: Bits of a pixel, from the lowest, times a step: a browser's management of colours may err by less than half of it.
LAYERS, STEP = ("target", "mask", "nominal", "outer", "inner"), 8
SCORES = ("l2_nm2", "pvb_nm2", "epe15", "epe3", "shots", "msa_nm2", "msd_nm")
FOLDER = "views"


def write_views(run_dir: Path, out: Path) -> list[Path]:
    """Views of every clip of a run under every kernel set.

    Parameters
    ----------
    run_dir : of a notebook that leaves `masks.zarr` over kernels, method and sample, and names its benchmark.
    out : folder of the views, `<kernels>/<clip>.json`.
    """
    stored = study.load(run_dir / "masks.zarr")
    record, scores = study.record_of(stored), study.load_result(run_dir, "scores")
    written = []
    for kernel_set in stored["kernels"].values.tolist():
        sim = litho.Simulator(optics.load(kernel_set))
        for clip, target in study.Clips(record["params"]["benchmark"], stored["sample"].values.tolist()).items():
            masks = study.load_masks(run_dir / "masks.zarr", kernels=kernel_set, sample=clip)
            of_clip = scores.sel({"kernels": kernel_set, "sample": clip})
            view = {
                "clip": clip,
                "kernels": kernel_set,
                "pixel_nm": masks.attrs["pixel_nm"],
                "record": {name: record[name] for name in ("title", "notebook", "created_at", "git_commit", "device")},
                "methods": {
                    label: _method(target, mask, sim, of_clip.sel({"method": label}))
                    for label, mask in zip(masks["method"].values.tolist(), masks, strict=True)
                },
            }
            sites = metrics.target_sites(target, masks.attrs["pixel_nm"])
            view["sites_nm"] = {axis: sites[f"{axis}_nm"].values.tolist() for axis in "xy"}
            written.append(out / kernel_set / f"{clip}.json")
            files.write_json(written[-1], view)
    return written


def _method(target: np.ndarray, mask: xr.DataArray, sim: litho.Simulator, scores: xr.Dataset) -> dict[str, Any]:
    pixel_nm = mask.attrs["pixel_nm"]
    aerial = sim.aerial(mask.values.astype(np.float32))
    prints = dict(zip(sim.corners, sim.resist_model.hard(aerial).cpu().numpy(), strict=True))
    nominal = aerial[list(sim.corners).index(schema.CORNERS[0])].cpu().numpy()
    sites = metrics.epe_sites(nominal, target, pixel_nm=pixel_nm, threshold=sim.threshold)
    return {
        "image": _image({"target": target, "mask": mask.values} | prints),
        "scores": {
            name: round(float(scores[name]), 2) for name in SCORES if name in scores and np.isfinite(scores[name])
        },
        "edge_error_nm": [None if np.isnan(e) else round(float(e), 2) for e in sites["edge_error_nm"].values],
    }


def _image(layers: Mapping[str, np.ndarray]) -> str:
    """PNG in base 64, its first row at the top of the layout."""
    bits = sum(STEP * (layers[name] > 0).astype(np.uint8) << i for i, name in enumerate(LAYERS))
    return base64.b64encode(iio.imwrite("<bytes>", np.asarray(bits)[::-1], extension=".png")).decode()


def main() -> None:
    """Views of the runs named, beside them; with `--keep` among the committed records."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--keep", action="store_true", help="among the committed records; for embedded clips only")
    chosen = parser.parse_args()
    for run_dir in chosen.runs:
        if chosen.keep and not study.record_of(run_dir)["params"]["benchmark"].startswith("demo"):
            parser.error(f"{run_dir} shows clips of others; views of them stay in results/")
        for path in write_views(run_dir, reference.FOLDER / FOLDER if chosen.keep else run_dir / FOLDER):
            sys.stdout.write(f"{path.stat().st_size / 1e3:8.0f} kB  {path}\n")


if __name__ == "__main__":
    main()
