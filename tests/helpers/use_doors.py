"""Go through every door of the installed library once, as a program in somebody's folder."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from maskopt_lib import data, figures, layout, litho, metrics, models, opc, optics, study
from maskopt_lib.data import manifest
from maskopt_lib.errors import MissingDataError
from maskopt_lib.models import shipped, weights
from maskopt_lib.optics import settings


def main(installed: Path) -> None:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "maskopt_lib":
            assert installed in Path(module.__file__).parents, f"{module.__file__} is not what was installed"

    sim = litho.Simulator(optics.load("embedded"), device="cpu")
    clip = layout.demo_clips()["demo-metal-isolated"]
    target = clip.rasterize(pixel_nm=4, antialiased=False)
    result = opc.solve(target, sim, method="level_set", n_steps=2)
    score = metrics.evaluate(result.mask, target, sim, only=["l2_nm2", "epe15"])
    assert sim.printed(target).shape == sim.aerial(target).shape == (3, 512, 512) and score["l2_nm2"].item() > 0
    for suffix in (".oas", ".gds"):
        path = Path.cwd() / f"maske ü{suffix}"
        layout.write_mask(target, path, pixel_nm=4, contours="pixel", layer="metal1")
        back = layout.read_clip(path, "metal1", placement=(0, 0)).rasterize(pixel_nm=4, antialiased=False)
        assert np.array_equal(back, target)

    for name in settings.process_names():
        process = litho.load_process(name)
        assert process.deck and process.pixel_nm > 0 and f"{process.wavelength_nm:g} nm" in repr(process)
    assert layout.layer_names("freepdk45")["metal1"] == (11, 0) and layout.design_names()
    assert litho.load_process("immersion193-na135").deck and study.read_deck("curvilinear")
    assert len(data.published("iccad13")) and data.golden_scores().sizes["sample"] == 10
    value = result.history["value"].isel(sample=0).assign_attrs(long_name="objective", units="1")
    assert figures.curves(value, along="step", lines="term")
    shipped.path("ours-metal1")
    try:  # its network looks through the contest's kernels
        model = weights.load(shipped.path("ours-via1"))
    except MissingDataError as error:
        assert "MASKOPT_MIRROR" in str(error)
    else:
        assert model.n_parameters and manifest.fetch("iccad13/kernels/openilt/M1OPC/scales.txt").is_file()
    model = models.build("neural_ilt", width=1 / 16, pixel_nm=8)
    assert models.predict(model, np.zeros((1, 1024, 1024), np.uint8)).shape == (1, 1024, 1024)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
