"""The clips of a benchmark, by name and in natural order; and layouts as the inputs of a run."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from maskopt_lib.data import manifest
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.layout.clip import CONTEST_CORE_NM, WINDOW_NM, Clip
from maskopt_lib.layout.clip_reader import BENCHMARK_FOLDERS, read_clip
from maskopt_lib.layout.demo import demo_clips
from maskopt_lib.layout.writer import write_mask

BENCHMARKS = (*BENCHMARK_FOLDERS, "demo-metal", "demo-via")


def benchmark_names(benchmark: str) -> list[str]:
    """Names of all clips of a benchmark, natural order (M1_test2 before M1_test10). Nothing is fetched.

    Raises
    ------
    UnknownNameError : lists the known benchmarks.

    Examples
    --------
    >>> benchmark_names("iccad13")[:2], benchmark_names("iccad13")[-1]
    (['M1_test1', 'M1_test2'], 'M1_test10')
    """
    if benchmark in BENCHMARK_FOLDERS:
        names = [PurePosixPath(n).stem for n in manifest.names(BENCHMARK_FOLDERS[benchmark]) if n.endswith(".glp")]
        return sorted(names, key=lambda name: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)])
    if benchmark in BENCHMARKS:
        return [name for name in demo_clips() if name.startswith(benchmark)]
    raise UnknownNameError(f"no benchmark {benchmark!r}; known: {', '.join(BENCHMARKS)}")


def benchmark_clips(benchmark: str, names: Sequence[str] | None = None) -> dict[str, Clip]:
    """Clips of a benchmark by name, placed as it places them.

    Parameters
    ----------
    benchmark : "iccad13", "stdmetal", "stdcontact" (files of the manifest), "demo-metal" or "demo-via" (embedded).
    names : which clips, and in which order; None takes all, in natural order.

    Raises
    ------
    UnknownNameError : unknown benchmark or clip.
    MissingDataError : a file is neither here nor could be fetched.
    """
    known = benchmark_names(benchmark)
    chosen = known if names is None else list(names)
    for name in chosen:
        if name not in known:
            raise UnknownNameError(
                f"{benchmark} has no clip {name!r}; it has {', '.join(known[:12])}"
                + (f" and {len(known) - 12} more (layout.benchmark_names)" if len(known) > 12 else "")
            )
    if benchmark in BENCHMARK_FOLDERS:
        return {name: read_clip(f"{BENCHMARK_FOLDERS[benchmark]}{name}.glp") for name in chosen}
    clips = demo_clips()
    return {name: clips[name] for name in chosen}


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
