"""Faults of real runs: every process that takes part is killed, two run at once; in the end it is as if undisturbed."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import xarray as xr
from outcome import Outcome

from maskopt_lib import files, study
from maskopt_lib.data.tile_store import TileStore

#: What differs from run to run by nature: times and memory.
_MEASURED = ("s", "GB", "%")


@dataclass(frozen=True, kw_only=True)
class Work:
    """A notebook at a scale of seconds.

    Attributes
    ----------
    notebook : its name.
    parameters : in place of its defaults.
    not_compared : results that hold times alone.
    """

    notebook: str
    parameters: dict[str, Any] = field(default_factory=dict)
    not_compared: tuple[str, ...] = ()


ABLATION = Work(
    notebook="15_ilt_ablation",
    parameters={"clips": ["demo-metal-tips"], "n_steps": 12, "variations": {"spectral_weight": [0.0]}, "seeds": [1]},
)
SPREAD = Work(
    notebook="15_ilt_ablation",
    parameters=ABLATION.parameters | {"clips": ["demo-metal-tips", "demo-metal-cell"], "workers": 2},
)
DATASET = Work(
    notebook="22_build_dataset",
    parameters={
        "layers": ["metal1", "via1"], "n_windows": {"metal1": 40, "via1": 40}, "n_labels": {"metal1": 3, "via1": 3},
        "label_context_nm": {"metal1": 32, "via1": 128}, "shard_size": 16, "batch": 1,
    },
    not_compared=("table_rates.zarr",),
)  # fmt: skip
TRAINING = Work(
    notebook="31_train_models",
    parameters={"networks": {"CFNO": {"model": "cfno", "preset": "corrected"}}, "steps": 16, "check_every": 2},
    not_compared=("table_trainings.zarr",),
)


def _listen() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored by what runs behind a shell, as this may


class Study:
    """A root of its own with the repository's notebooks, so that nothing of a fault reaches real results."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self.root = folder
        folder.mkdir(parents=True)
        for name in ("notebooks", "maskopt_lib", "data_manifest", "Makefile", "pyproject.toml"):
            (folder / name).symlink_to(repository / name)
        if (repository / ".venv").exists():
            (folder / ".venv").symlink_to(repository / ".venv")
        self.environment = os.environ | {
            "MASKOPT_ROOT": str(folder),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(repository),
        }

    def command(self, work: Work, out: str) -> list[str]:
        """What executes a notebook into a folder of results."""
        file = self.root / f"{out}.yaml"
        file.write_text(json.dumps(work.parameters))
        words = ["execute", work.notebook, "quick", "--parameters", str(file), "--out", str(self.out_dir(work, out))]
        return [sys.executable, "-m", "maskopt_lib.runs", *words]

    def out_dir(self, work: Work, out: str) -> Path:
        """Folder of results."""
        return self.root / "results" / work.notebook / out

    def start(self, command: list[str]) -> subprocess.Popen:
        """A process; what it says goes to a file beside the results."""
        log = (self.root / "log.txt").open("a")
        with log:
            return subprocess.Popen(
                command, cwd=self.root, env=self.environment, stdout=log, stderr=subprocess.STDOUT, preexec_fn=_listen
            )

    def finish(self, work: Work, out: str) -> str | None:
        """Run to the end, undisturbed; a word on what went wrong."""
        code = self.start(self.command(work, out)).wait(timeout=900)
        return (
            None if code == 0 else f"{work.notebook}: the rerun ended with status {code}, see {self.root / 'log.txt'}"
        )


def contents(run_dir: Path) -> dict[str, xr.Dataset | str]:
    """Name of each result -> what it holds, without times and record; of a dataset and of weights their hash."""
    found = {}
    for store in sorted(run_dir.glob("*.zarr")):
        ds = study.load(store).load()
        timed = [name for name, v in ds.variables.items() if v.attrs.get("units") in _MEASURED and name not in ds.dims]
        ds = ds.drop_vars(timed)
        ds.attrs = {k: v for k, v in ds.attrs.items() if k not in ("record", "title") and not k.endswith("_s")}
        found[store.name] = ds
    if (run_dir / "dataset").is_dir():
        found["dataset"] = TileStore(run_dir / "dataset").digest()
    for file in sorted(run_dir.glob("trainings/*/*.safetensors")):
        found[f"weights of {file.parent.name}"] = files.sha256_of(file)
    return found


def compared(reference: dict, run: dict, without: tuple[str, ...] = ()) -> str | None:
    """A word on results that differ."""
    apart = sorted(name for name in {*reference, *run} - {*without} if not _same(reference.get(name), run.get(name)))
    return f"differs from the undisturbed run: {', '.join(apart)}" if apart else None


def _same(a: xr.Dataset | str | None, b: xr.Dataset | str | None) -> bool:
    return a.identical(b) if isinstance(a, xr.Dataset) and isinstance(b, xr.Dataset) else a is not None and a == b


def descendants(process: subprocess.Popen) -> list[psutil.Process]:
    """All processes below one."""
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kernels(process: subprocess.Popen) -> list[psutil.Process]:
    return [child for child in descendants(process) if "ipykernel" in " ".join(_words(child))]


def _workers(process: subprocess.Popen) -> list[psutil.Process]:
    return [child for child in descendants(process) if "spawn_main" in " ".join(_words(child))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _itself(process: subprocess.Popen) -> list[psutil.Process]:
    return [psutil.Process(process.pid)] if process.poll() is None else []


def killed(
    lab: Study, work: Work, reference: dict, longest_s: float, *, what: str, n: int, seed: int = 0,
    victims: Callable[[subprocess.Popen], list[psutil.Process]] = _itself, signals: tuple[int, ...] = (signal.SIGKILL,),
) -> Iterator[Outcome]:  # fmt: skip
    """Signal a process of a run at random moments, each time taken up again; then hold it to the undisturbed run."""
    outcome, drawn = Outcome(f"{what}, then again; final results the same"), random.Random(seed)
    out = f"disturbed-{what.replace(' ', '-').replace('/', '-')}"
    struck, horizon_s = 0, longest_s
    for _ in range(5 * n):
        if struck == n:
            break
        process = lab.start(lab.command(work, out))
        moment = time.monotonic() + drawn.uniform(0.15, 0.95) * horizon_s
        while time.monotonic() < moment and process.poll() is None:
            time.sleep(0.02)
        until, found = time.monotonic() + 120, []
        # A worker is struck at its work, which has begun once a part is there.
        parts = lab.out_dir(work, out) / "parts"
        while process.poll() is None and time.monotonic() < until:
            if (found := victims(process)) and (victims is not _workers or any(parts.rglob("*.npz"))):
                break
            time.sleep(0.02)
        if process.poll() is not None or not found:
            # Over before it was struck, as there was little left to do: no try. The next is struck sooner.
            process.wait()
            horizon_s *= 0.7
            files.remove(lab.out_dir(work, out))  # all of it: a dataset without its parts does not know their times
            continue
        family = descendants(process)
        found[0].send_signal(signals[struck % len(signals)])
        struck += 1
        if victims is _workers:
            code = process.wait(timeout=600)  # another worker does its task
            outcome.note(f"the run ended with status {code}" if code else None)
            files.remove(lab.out_dir(work, out))
            continue
        process.wait(timeout=120)
        _, alive = psutil.wait_procs(family, timeout=15)
        outcome.note(f"{len(alive)} processes outlive the run" if alive else None)
        for orphan in alive:
            orphan.kill()
    trouble = lab.finish(work, out) or compared(reference, contents(lab.out_dir(work, out)), work.not_compared)
    outcome.note(trouble)
    yield outcome


def undisturbed(lab: Study, work: Work) -> tuple[dict, float]:
    """What an undisturbed run holds, and its seconds."""
    begun = time.monotonic()
    if trouble := lab.finish(work, "undisturbed"):
        raise RuntimeError(trouble)
    return contents(lab.out_dir(work, "undisturbed")), time.monotonic() - begun


def ablation(lab: Study) -> Iterator[Outcome]:
    """Papermill, kernel, signals, clocks, damage of parts, two at once: on a notebook of solvers."""
    reference, seconds = undisturbed(lab, ABLATION)
    yield from killed(lab, ABLATION, reference, seconds, what="kill -9 of papermill", n=5, seed=1)
    yield from killed(lab, ABLATION, reference, seconds, what="kill -9 of the kernel", n=5, seed=2, victims=_kernels)
    both = (signal.SIGINT, signal.SIGTERM)
    yield from killed(lab, ABLATION, reference, seconds, what="SIGINT or SIGTERM to a run", n=4, seed=3, signals=both)
    yield parts_damaged(lab, ABLATION, reference)
    yield clock_set_back(lab, ABLATION, reference)
    yield two_at_once(lab, ABLATION, reference)


def spread_over_workers(lab: Study) -> Iterator[Outcome]:
    """A worker of two is killed in the middle."""
    reference, seconds = undisturbed(lab, SPREAD)
    yield from killed(lab, SPREAD, reference, seconds, what="kill -9 of a dask worker", n=3, seed=4, victims=_workers)


def dataset(lab: Study) -> Iterator[Outcome]:
    """Builds of a dataset."""
    reference, seconds = undisturbed(lab, DATASET)
    yield from killed(lab, DATASET, reference, seconds, what="kill -9 of a dataset build", n=4, seed=5)
    yield two_at_once(lab, DATASET, reference)


def scheduler(lab: Study) -> Iterator[Outcome]:
    """A dataset built by a scheduler of its own with two workers; one of them is killed in the middle."""
    if not lab.out_dir(DATASET, "undisturbed").is_dir():
        undisturbed(lab, DATASET)
    reference = contents(lab.out_dir(DATASET, "undisturbed"))
    outcome = Outcome("a dask scheduler with two workers, one killed; final results the same")
    port = 8786 + os.getpid() % 1000
    address = f"tcp://127.0.0.1:{port}"
    python = [sys.executable, "-m"]
    servers = [
        lab.start(
            [*python, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
        )
    ]
    try:
        for _ in range(2):
            worker = [
                *python,
                "distributed.cli.dask_worker",
                address,
                "--nworkers",
                "1",
                "--nthreads",
                "1",
                "--no-dashboard",
            ]
            servers.append(lab.start([*worker, "--local-directory", str(lab.root)]))
        work = replace(DATASET, parameters=DATASET.parameters | {"scheduler": address})
        process = lab.start(lab.command(work, "scheduler"))
        parts = lab.out_dir(work, "scheduler") / "parts"
        until = time.monotonic() + 300
        while len(list(parts.glob("labels-*.npz"))) < 2 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        for child in psutil.Process(servers[1].pid).children(recursive=True):
            child.kill()
        servers[1].kill()
        code = process.wait(timeout=600)
        found = {} if code else contents(lab.out_dir(work, "scheduler"))
        outcome.note(f"ended with status {code}" if code else compared(reference, found, work.not_compared))
    finally:
        for server in servers:
            for child in descendants(server):
                child.kill()
            server.kill()
            server.wait()
    yield outcome


def training(lab: Study) -> Iterator[Outcome]:
    """Trainings; they need a dataset."""
    build = lab.out_dir(DATASET, "undisturbed")
    if not (build / "dataset").is_dir():
        undisturbed(lab, DATASET)
    work = replace(TRAINING, parameters=TRAINING.parameters | {"build": str(build), "layers": ["metal1"]})
    reference, seconds = undisturbed(lab, work)
    yield from killed(lab, work, reference, seconds, what="kill -9 of a training", n=4, seed=6)


def parts_damaged(lab: Study, work: Work, reference: dict) -> Outcome:
    """All parts of a finished run lost, cut or flipped; the next run makes them again, without a word of traceback."""
    outcome, out = Outcome("parts lost, cut and flipped; run again: final results the same"), "parts-damaged"
    shutil.copytree(lab.out_dir(work, "undisturbed"), lab.out_dir(work, out))
    rng = random.Random(0)
    for i, part in enumerate(sorted((lab.out_dir(work, out) / "parts").rglob("*.npz"))):
        data = part.read_bytes()
        at = rng.randrange(len(data))
        if i % 3 == 0:
            part.unlink()
        else:
            part.write_bytes(data[:at] if i % 3 == 1 else data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    outcome.note(lab.finish(work, out) or compared(reference, contents(lab.out_dir(work, out)), work.not_compared))
    return outcome


def clock_set_back(lab: Study, work: Work, reference: dict) -> Outcome:
    """All files of an unfinished run are from tomorrow, as after a clock was set back; it goes on from its parts."""
    outcome, out = Outcome("clock set back by a day in the middle of a run; final results the same"), "clock"
    shutil.copytree(lab.out_dir(work, "undisturbed"), lab.out_dir(work, out))
    folder = lab.out_dir(work, out)
    parts = sorted((folder / "parts").rglob("*.npz"))
    for path in [*folder.glob("*.zarr"), *parts[::2]]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    tomorrow = time.time() + 24 * 3600
    for path in folder.rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    kept = {path: path.read_bytes() for path in parts[1::2]}
    trouble = lab.finish(work, out) or compared(reference, contents(folder), work.not_compared)
    if not trouble and any(path.read_bytes() != data for path, data in kept.items()):
        trouble = "whole parts were made again"
    outcome.note(trouble)
    return outcome


def two_at_once(lab: Study, work: Work, reference: dict) -> Outcome:
    """Two processes run one notebook into one folder at the same time."""
    outcome, out = Outcome(f"two runs of {work.notebook} at once in one folder"), "two-at-once"
    processes = [lab.start(lab.command(work, out)) for _ in range(2)]
    codes = [process.wait(timeout=900) for process in processes]
    trouble = f"ended with status {codes}" if any(codes) else None
    outcome.note(trouble or compared(reference, contents(lab.out_dir(work, out)), work.not_compared))
    return outcome


def studies(lab: Study) -> Iterator[Outcome]:
    """Two `make study` at once on one folder, of a part of the notebooks; both end well, and load."""
    outcome = Outcome("two `make study` at once on one folder")
    if shutil.which("make") is None or not (lab.root / ".venv").exists():
        yield Outcome("two `make study` at once on one folder (no make or no .venv: not tried)")
        return
    names = "02_validate_metrics 16_ilt_anatomy"
    command = ["make", "study", f"NOTEBOOKS={names}", "JOBS=1"]
    processes = [lab.start(command) for _ in range(2)]
    codes = [process.wait(timeout=900) for process in processes]
    outcome.note(f"ended with status {codes}" if any(codes) else None)
    for name in names.split():
        try:
            found = contents(lab.root / "results" / name / "quick")
            outcome.note(None if found else f"{name} left nothing")
        except Exception as error:
            outcome.note(f"{name}: {type(error).__name__}: {error}")
    yield outcome


def sweeps(lab: Study) -> Iterator[Outcome]:
    """The parent of a sweep killed in the middle; two sweeps at once."""
    grid = lab.root / "grid.yaml"
    grid.write_text(
        json.dumps({"n_steps": [4, 6]} | {k: [v] for k, v in ABLATION.parameters.items() if k != "n_steps"})
    )

    def command(name: str) -> list[str]:
        words = ["sweep", ABLATION.notebook, str(grid), "--name", name, "--jobs", "2"]
        return [sys.executable, "-m", "maskopt_lib.runs", *words]

    def folder(name: str) -> Path:
        return lab.root / "results" / ABLATION.notebook / f"sweep-{name}"

    begun = time.monotonic()
    code = lab.start(command("undisturbed")).wait(timeout=900)
    seconds = time.monotonic() - begun
    reference = contents(folder("undisturbed"))
    outcome = Outcome("kill -9 of a sweep's parent, then again; final results the same")
    outcome.note(f"the undisturbed sweep ended with status {code}" if code else None)
    drawn = random.Random(7)
    for _ in range(3):
        process = lab.start(command("disturbed"))
        time.sleep(drawn.uniform(0.3, 0.9) * seconds)
        family = descendants(process)
        process.kill()
        process.wait()
        _, alive = psutil.wait_procs(family, timeout=15)
        outcome.note(f"{len(alive)} points outlive the sweep" if alive else None)
    code = lab.start(command("disturbed")).wait(timeout=900)
    outcome.note(f"the rerun ended with status {code}" if code else compared(reference, contents(folder("disturbed"))))
    yield outcome
    outcome = Outcome("two sweeps at once in one folder")
    processes = [lab.start(command("both")) for _ in range(2)]
    codes = [process.wait(timeout=900) for process in processes]
    outcome.note(f"ended with status {codes}" if any(codes) else compared(reference, contents(folder("both"))))
    yield outcome
