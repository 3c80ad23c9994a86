"""`make faults`: do to real runs what happens in life, and print a table of what was tried, survived and lost."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import disks
import lives
import saves
from outcome import HEAD, Outcome

REPOSITORY = Path(__file__).resolve().parents[2]


def main() -> None:
    """Run all families, or those that are named; exit status 1 where something was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", help="such as saves, disks, ablation, sweeps")
    chosen = parser.parse_args().families
    folder = Path(tempfile.mkdtemp(prefix="maskopt-faults-"))
    lab = lives.Study(folder / "study", REPOSITORY)

    def stored() -> Iterator[Outcome]:
        yield from saves.killed_saves(folder / "saves")
        yield from saves.killed_writers(folder / "files")
        yield from saves.reader_beside_writer(folder / "reader")
        yield from saves.threads_of_one_process(folder / "threads")

    def damage() -> Iterator[Outcome]:
        run_dir = lab.out_dir(lives.ABLATION, "undisturbed")
        if not run_dir.is_dir():
            lives.undisturbed(lab, lives.ABLATION)
        yield from saves.damaged_files(run_dir)
        yield from saves.moved(run_dir, folder)

    families: dict[str, Callable[[], Iterator[Outcome]]] = {
        "saves": stored,
        "disks": lambda: disks.full_disk(folder / "disk", folder / "source"),
        "ablation": lambda: lives.ablation(lab),
        "damage": damage,
        "workers": lambda: lives.spread_over_workers(lab),
        "sweeps": lambda: lives.sweeps(lab),
        "studies": lambda: lives.studies(lab),
        "dataset": lambda: lives.dataset(lab),
        "scheduler": lambda: lives.scheduler(lab),
        "training": lambda: lives.training(lab),
    }
    if unknown := set(chosen) - set(families):
        parser.error(f"no such family: {', '.join(sorted(unknown))}; there are: {', '.join(families)}")
    begun, outcomes = time.monotonic(), []
    say(HEAD)
    for name in chosen or families:
        for outcome in families[name]():
            outcomes.append(outcome)
            say(outcome.row)
            for sentence in outcome.lost[:3]:
                say(f"    {sentence}")
    lost = sum(len(outcome.lost) for outcome in outcomes)
    tried = sum(outcome.tried for outcome in outcomes)
    say(f"{'all':<66} {tried:>6} {tried - lost:>9} {lost:>5}   in {time.monotonic() - begun:.0f} s")
    if lost:
        say(f"kept for a look: {folder}")
        sys.exit(1)
    shutil.rmtree(folder, ignore_errors=True)


def say(line: str) -> None:
    """A line, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
