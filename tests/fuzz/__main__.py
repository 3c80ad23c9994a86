"""`make fuzz`: give every reader and every door damaged, hostile and mistaken inputs; print what became of them.

What failed is kept below results/fuzz; `python tests/fuzz --replay FILE` does it again in this process, with its
traceback.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import gc
import importlib
import json
import pkgutil
import random
import resource
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

import children
import doors
import guided
import layouts
import sources
import stored
import texts
import torch

import maskopt_lib
from maskopt_lib.runs.paths import root

FAMILIES = {family.name: family for module in (layouts, texts, stored, doors) for family in module.FAMILIES}
KEPT = root() / "results" / "fuzz"
COLUMNS = (children.RIGHT, children.OWN, *children.BAD, children.NOT_MADE)


def main() -> None:
    """Try all families, or those that are named; exit status 1 where an input was not answered as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", help=f"of {', '.join(FAMILIES)}, guided")
    parser.add_argument("--seed", type=int, default=16)
    parser.add_argument("--times", type=float, default=1.0, help="as many inputs as by default, times this")
    parser.add_argument("--jobs", type=int, default=2, help="inputs at a time")
    parser.add_argument("--guided-s", type=float, default=15, help="seconds for each reader that coverage guides")
    parser.add_argument("--replay", type=Path, help="an input that failed, as it is kept below results/fuzz")
    chosen = parser.parse_args()
    if unknown := set(chosen.families) - {*FAMILIES, "guided"}:
        parser.error(f"no such family: {', '.join(sorted(unknown))}; there are: {', '.join(FAMILIES)}, guided")
    folder = Path(tempfile.mkdtemp(prefix="maskopt-fuzz-"))
    try:
        _everything_imported()
        children.in_child(lambda: sources.make(folder))
        if chosen.replay:
            _replay(json.loads(chosen.replay.read_text()), folder)
        elif _tried(chosen, folder):
            sys.exit(1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _tried(chosen: argparse.Namespace, folder: Path) -> int:
    """Number of inputs that were not answered as they should be, after the table is printed."""
    begun = time.monotonic()
    shutil.rmtree(KEPT, ignore_errors=True)
    say(f"{'family':<28} {'tried':>6} " + " ".join(f"{column:>9}" for column in COLUMNS) + "  CPU [s]")
    total: collections.Counter[str] = collections.Counter()
    for name in chosen.families or [*FAMILIES, "guided"]:
        if name == "guided":
            findings = guided.findings(folder, seconds=chosen.guided_s, jobs=chosen.jobs, say=say)
        else:
            family = FAMILIES[name]
            n = max(1, round(family.tried * chosen.times))
            findings = children.tried([(family, range(n))], folder, seed=chosen.seed, jobs=chosen.jobs)
        used_s = _used_s()
        counts: dict[str, collections.Counter[str]] = {}
        bad = []
        for finding, n in findings:
            counts.setdefault(finding.family, collections.Counter())[finding.outcome] += n
            if finding.outcome in children.BAD or (finding.outcome == children.NOT_MADE and finding.why):
                bad.append(finding)
        for family, of_family in counts.items():
            say(_row(family, of_family) + (f" {_used_s() - used_s:>8.0f}" if len(counts) == 1 else ""))
            total += of_family
        for finding in bad:
            _keep(finding)
        for finding in sorted(bad, key=_rank)[:5]:
            say(f"    {finding.index}: {finding.outcome}: {finding.said}: {finding.why.splitlines()[0]:.160}")
    failed = sum(total[outcome] for outcome in children.BAD)
    say(f"{_row('all', total)} {_used_s():>8.0f}   in {time.monotonic() - begun:.0f} s, seed {chosen.seed}")
    if failed:
        say(f"kept: {KEPT}; python tests/fuzz --replay FILE does one again")
    return failed


def _used_s() -> float:
    """Of the processor, by all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _row(name: str, counts: collections.Counter[str]) -> str:
    tried = counts.total() - counts[children.NOT_MADE]
    return f"{name:<28} {tried:>6} " + " ".join(f"{counts[column]:>9}" for column in COLUMNS)


def _rank(finding: children.Finding) -> tuple[int, int]:
    """The worst first, what could not be made last."""
    return (*children.BAD, children.NOT_MADE).index(finding.outcome), finding.index


def _keep(finding: children.Finding) -> None:
    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"{finding.family.replace(' ', '_').replace('/', '-')}-{finding.index}.json"
    path.write_text(json.dumps(dataclasses.asdict(finding), indent=1) + "\n")


def _replay(kept: dict, folder: Path) -> None:
    if kept["family"] in guided.READERS:
        guided.replay(kept)
        return
    work = folder / "work"
    work.mkdir()
    rng = random.Random(f"{kept['seed']} {kept['family']} {kept['index']}")
    case = FAMILIES[kept["family"]].make(rng, folder, work)
    say(case.said)
    result = case.act()
    say(f"returns {result!r:.300}; {case.check(result) or 'right'}")


def _everything_imported() -> None:
    for module in pkgutil.walk_packages(maskopt_lib.__path__, "maskopt_lib."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    torch.set_num_threads(1)
    doors.embedded()
    warnings.simplefilter("ignore")
    gc.collect()
    gc.freeze()  # children share its memory


def say(line: str) -> None:
    """A line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
