"""Layouts as a run's inputs, and one of the embedded clips that needs no download."""

from pathlib import Path, PurePosixPath

import numpy as np

from maskopt_lib.data import manifest
from maskopt_lib.layout.clip import CONTEST_CORE_NM, WINDOW_NM
from maskopt_lib.layout.demo import demo_clips
from maskopt_lib.layout.writer import write_mask


def layout_inputs(path: str | Path) -> list[str | Path]:
    """A layout as :func:`maskopt_lib.study.start` takes its inputs: a file's path, a file of the manifest by its name.

    Examples
    --------
    >>> layout_inputs("M1_test4.glp"), layout_inputs("")
    (['iccad13/clips/M1_test4.glp'], [])
    """
    text = str(path)
    if not text:
        return []
    if Path(path).is_file():
        return [Path(path)]
    names = [name for name in manifest.names() if name == text or PurePosixPath(name).name == text]
    return list(names[:1])


def demo_layout(folder: str | Path) -> Path:
    """Write the embedded metal clips side by side as a layout file of their own, ``demo_layout.oas``.

    Returns
    -------
    Path of the file: layer metal1, eight patterns of 1024 nm in two rows from (0, 0).
    """
    margin = round(WINDOW_NM - CONTEST_CORE_NM) // 2
    cores = [
        clip.rasterize(1)[margin:-margin, margin:-margin]
        for name, clip in demo_clips().items()
        if name.startswith("demo-metal")
    ]
    path = Path(folder) / "demo_layout.oas"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_mask(np.block([cores[:4], cores[4:8]]), path, layer="metal1", contours="pixel", cell="DEMO")
    return path
