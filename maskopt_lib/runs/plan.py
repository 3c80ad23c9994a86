"""What a study will run, what each notebook of it costs, how much time is left, and what to open in the end.

The plan is a file in the folder of the results. A notebook of it is done when its executed file is newer than the plan:
so whoever finishes one, in whatever process, can say what is left.

Examples
--------
>>> spoken(50), spoken(800), spoken(9000)
('50 s', '13 min', '2.5 h')
"""

import re
import time
from collections.abc import Iterable
from pathlib import Path

from maskopt_lib import files, yaml_files
from maskopt_lib.runs import params
from maskopt_lib.runs.execute import RUN
from maskopt_lib.runs.paths import relative, root

PLAN = "plan.json"
#: Of a notebook that has never been timed, in s.
UNKNOWN_S = 60.0
#: What to open first, and why: (notebook, what is to be seen).
OPEN = (
    ("00_first_mask", "one clip before and after"),
    ("17_optimize_your_layout", "your own layout: what it takes and gives"),
    ("11_ilt_iccad13", "all methods side by side"),
    ("90_results", "the answers of the whole study, from its records"),
)
_RUNS = re.compile(r"maskopt_lib\.runs execute (\S+) (\S+)")


def cost_s(notebook: str, variant: str) -> float | None:
    """Seconds that a notebook takes, as seen; None where it has not run."""
    return yaml_files.read(params.NOTEBOOKS / "costs.yaml").value.get(notebook, {}).get(variant)


def spoken(seconds: float) -> str:
    """A time in one unit, as precise as an estimate is."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def make_plan(commands: str, *, jobs: int) -> list[str]:
    """Write down what will run.

    Parameters
    ----------
    commands : that make would run, as ``make -n`` prints them.
    jobs : notebooks at a time.

    Returns
    -------
    Lines that say what it costs; none where there is nothing to run.
    """
    todo = dict.fromkeys(_RUNS.findall(commands))
    costs = {f"{notebook}/{variant}": cost_s(notebook, variant) for notebook, variant in todo}
    expected = {name: cost or UNKNOWN_S for name, cost in costs.items()}
    files.write_json(root() / "results" / PLAN, {"begun": time.time(), "expected_s": expected})
    if not costs:
        return []
    listed = [f"{name.split('/')[0]} {spoken(cost) if cost else 'not timed yet'}" for name, cost in costs.items()]
    wide = max(map(len, listed)) + 3
    rows = ["".join(text.ljust(wide) for text in listed[i : i + 3]).rstrip() for i in range(0, len(listed), 3)]
    total = spoken(sum(expected.values()) / max(1, jobs))
    head = (
        f"== {len(costs)} notebooks, about {total} on two cores; what each says: results/<notebook>/<variant>/run.log"
    )
    return [head, *(f"   {row}" for row in rows)]


def left() -> str:
    """How much of the plan is left, in words; nothing where there is no plan or all of it is done."""
    try:
        plan = files.read_json(root() / "results" / PLAN)
    except FileNotFoundError:
        return ""
    begun, expected = plan["begun"], plan["expected_s"]
    done = {name for name in expected if _is_newer(root() / "results" / name / RUN, begun)}
    todo_s, done_s = (sum(expected[name] for name in names) for names in (expected.keys() - done, done))
    if not todo_s or not done_s:
        return ""
    # As fast as until now: whatever the machine, and however many run at a time.
    seconds = (time.time() - begun) * todo_s / done_s
    return f"{len(expected) - len(done)} of {len(expected)} to go, about {spoken(seconds)}"


def to_open(variant: str) -> Iterable[str]:
    """Lines that say what to look at first, of what is there."""
    for notebook, why in OPEN:
        run = root() / "results" / notebook / variant / RUN
        if run.exists():
            yield f"   open {relative(run)}: {why}"


def _is_newer(path: Path, begun: float) -> bool:
    return path.exists() and path.stat().st_mtime >= begun
