"""Use the examples of `maskopt_lib.registry` at every door, as a program where they are installed."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np

from maskopt_lib import litho, models, opc, optics, study
from maskopt_lib.models import weights


def loaded() -> set[str]:
    return {"grown", "one_layer"} & set(sys.modules)


def main(folder: Path) -> None:
    assert not loaded(), "loaded at import"
    assert opc.METHODS["curvy"] and models.MODELS["gan_opc"] and not loaded(), "loaded for a name of the library"
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert {"grown", "curvy"} < set(opc.METHODS) and "one_layer" in models.MODELS
    told = sorted(str(w.message) for w in said if "left out" in str(w.message))
    assert [line.partition(" (")[0] for line in told] == [
        "network 'empty' of broken",
        "solver 'broken' of broken",
        "solver 'curvy' of broken",
    ], told

    sim = litho.Simulator(optics.load("embedded"))
    targets = study.targets("demo-metal", ["demo-metal-isolated"], pixel_nm=4)
    result = opc.solve(targets.values, sim, method="grown", by_nm=12)
    assert result.method == "grown" and result.options == {"by_nm": 12}
    assert result.mask.sum() > targets.values.sum()
    run = study.start("Plugins", notebook="00_plugins", params={}, out_dir=folder / "run")
    rows = [study.Trial(method="grown", label=f"{by} nm", options={"by_nm": by}) for by in (4, 8)]
    scores, _ = study.solve_and_score(targets, {"embedded": sim.kernels}, rows, run, scores=["l2_nm2"])
    assert scores["l2_nm2"].shape == (1, 2, 1) and bool((scores["l2_nm2"] > 0).all())

    model = models.build("one_layer", width=0.5, pixel_nm=8)
    weights.save(model, folder / "one.safetensors", {})
    images = np.zeros((1, 1024, 1024), np.uint8)
    images[:, 400:600, 500:560] = 1
    masks = [models.predict(m, images) for m in (model, weights.load(folder / "one.safetensors"))]
    assert masks[0].shape == images.shape and np.array_equal(*masks)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
