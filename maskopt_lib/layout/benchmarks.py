"""Clips by name: of a benchmark, in natural order, and embedded ones of our own; and layouts as the inputs of a run."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from maskopt_lib.data import manifest
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.layout.clip import CONTEST_CORE_NM, WINDOW_NM, Clip
from maskopt_lib.layout.clip_reader import BENCHMARK_FOLDERS, read_clip
from maskopt_lib.layout.writer import write_mask

BENCHMARKS = (*BENCHMARK_FOLDERS, "demo-metal", "demo-via")
VIA_NM = 70.0
#: The rules the patterns keep, nm.
MIN_WIDTH_NM, MIN_SPACE_NM = 70.0, 70.0


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


def demo_clips() -> dict[str, Clip]:
    """All embedded clips by name, always the same: "demo-metal" begins those of metal, "demo-via" those of vias.

    Small patterns of our own in the manner of a 45 nm process, for a first run without any data. Metal: lines of 70 to
    110 nm, spaces of 70 nm and more, with line ends facing each other, bends and dense and lonely neighbourhoods. Vias:
    squares of 70 nm. Drawn on whole nm in a core of 1024 nm, which stands in the middle of the 2048 nm window.

    Examples
    --------
    >>> clips = demo_clips()
    >>> clips["demo-via-isolated"].area_nm2
    4900.0
    >>> len([name for name in clips if name.startswith("demo-metal")])
    8
    """
    offset = ((WINDOW_NM - CONTEST_CORE_NM) / 2,) * 2
    return {
        name: Clip(name=name, polygons=polygons, layer=layer, offset_nm=offset)
        for layer, patterns in (("metal1", _METAL), ("via1", _VIA))
        for name, pattern in patterns.items()
        for polygons in [pattern()]
    }


def _box(x: float, y: float, width: float, height: float) -> np.ndarray:
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], dtype=float)


def _outline(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, dtype=float)


def _lines() -> list[np.ndarray]:
    # Five dense lines at a pitch of 140 nm, ends staggered, and one of twice the distance.
    tops = (860, 800, 860, 740, 860)
    dense = [_box(140 + 140 * i, 160, 70, top - 160) for i, top in enumerate(tops)]
    return [*dense, _box(910, 240, 80, 520)]


def _tips() -> list[np.ndarray]:
    # Three pairs of line ends 70, 90 and 110 nm apart, and a long line beside them.
    out = []
    for row, gap in enumerate((70, 90, 110)):
        y = 180 + 170 * row
        out += [_box(110, y, 400 - gap / 2, 80), _box(510 + gap / 2, y, 400 - gap / 2, 80)]
    return [*out, _box(110, 700, 800, 100)]


def _nested_corners() -> list[np.ndarray]:
    # L within L, the inner one lonely on its open side.
    out = []
    for k in range(3):
        a, b = 150 + 150 * k, 870
        out.append(_outline((a, a), (b, a), (b, a + 80), (a + 80, a + 80), (a + 80, b), (a, b)))
    return out


def _tee_and_cup() -> list[np.ndarray]:
    tee = _outline((150, 720), (150, 630), (310, 630), (310, 180), (400, 180), (400, 630), (560, 630), (560, 720))
    cup = _outline((660, 820), (660, 300), (930, 300), (930, 720), (850, 720), (850, 390), (740, 390), (740, 820))
    return [
        tee,
        cup,
        _box(150, 180, 70, 360),
        _box(490, 180, 80, 340),
        _box(150, 800, 430, 80),
        _box(670, 130, 260, 90),
    ]


def _jogs() -> list[np.ndarray]:
    lower = _outline((120, 160), (480, 160), (480, 420), (820, 420), (820, 500), (400, 500), (400, 240), (120, 240))
    upper = _outline((120, 330), (330, 330), (330, 590), (820, 590), (820, 670), (250, 670), (250, 410), (120, 410))
    stub = _outline((570, 130), (900, 130), (900, 330), (810, 330), (810, 210), (570, 210))
    return [lower, upper, stub, _box(90, 490, 90, 180), _box(120, 780, 700, 80)]


def _combs() -> list[np.ndarray]:
    # Two combs, each with its teeth between those of the other.
    lower = [(40, 140), (990, 140), (990, 650), (910, 650)]
    for x in (620, 330, 40):
        lower += [(x + 290, 230), (x + 80, 230), (x + 80, 650), (x, 650)]
    upper = [(190, 850), (190, 310), (260, 310)]
    for x in (480, 770):
        upper += [(x - 220, 760), (x, 760), (x, 310), (x + 70, 310)]
    upper += [(840, 850)]
    return [_outline(*lower), _outline(*upper)]


def _cell() -> list[np.ndarray]:
    # Two rails and the short connections of a gate between them.
    rails = [_box(60, 100, 900, 110), _box(60, 820, 900, 110)]
    output = _outline((720, 300), (800, 300), (800, 650), (640, 650), (640, 570), (720, 570))
    inner = _outline((200, 730), (200, 290), (440, 290), (440, 370), (280, 370), (280, 730))
    return [*rails, output, inner, _box(380, 460, 80, 270), _box(540, 290, 80, 190), _box(900, 290, 70, 450)]


def _array_of_vias() -> list[np.ndarray]:
    # Four by four with one corner left out and one via apart.
    grid = [_box(200 + 150 * i, 200 + 150 * j, VIA_NM, VIA_NM) for j in range(4) for i in range(4) if (i, j) != (3, 3)]
    return [*grid, _box(840, 840, VIA_NM, VIA_NM)]


def _random_vias() -> list[np.ndarray]:
    # Places of a routing grid of 140 nm, drawn from a fixed seed, no two of them side by side.
    rng = np.random.default_rng(45)
    taken: list[tuple[int, int]] = []
    for i, j in rng.permutation([(i, j) for i in range(6) for j in range(6)]).tolist():
        if len(taken) < 9 and all(abs(i - k) + abs(j - m) > 1 for k, m in taken):
            taken.append((i, j))
    return [_box(127 + 140 * i, 127 + 140 * j, VIA_NM, VIA_NM) for i, j in sorted(taken)]


_METAL = {
    "demo-metal-lines": _lines,
    "demo-metal-isolated": lambda: [_box(470, 190, 80, 640)],
    "demo-metal-tips": _tips,
    "demo-metal-corners": _nested_corners,
    "demo-metal-tee": _tee_and_cup,
    "demo-metal-jogs": _jogs,
    "demo-metal-combs": _combs,
    "demo-metal-cell": _cell,
}
_VIA = {
    "demo-via-isolated": lambda: [_box(477, 477, VIA_NM, VIA_NM)],
    "demo-via-row": lambda: [_box(160 + 155 * i, 480, VIA_NM, VIA_NM) for i in range(5)],
    "demo-via-array": _array_of_vias,
    "demo-via-random": _random_vias,
}
