"""What every test runs under: no CUDA unless asked, two threads, the same hypothesis examples each time."""

from __future__ import annotations

import os

import pytest

# Before torch is imported: a test that passes on the CPU must not depend on which machine has a GPU.
if not os.environ.get("MASKOPT_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("OMP_NUM_THREADS", "2")
# Threads that wait must not spin long: on a shared machine they would hold the core that others need to go on.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

#: Benchmarks are scripts, run by `make bench`; they are not collected for doctests.
collect_ignore_glob = ["bench/*"]

#: Marks that run only when `-m` names them.
OFF_BY_DEFAULT = {
    "slow": "slow: run with -m slow",
    "gpu": "needs a CUDA device: run with MASKOPT_TEST_GPU=1 and -m gpu",
    "network": "uses the network: run with -m network",
}


def pytest_configure(config: pytest.Config) -> None:
    import torch
    from hypothesis import settings

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    settings.register_profile("study", derandomize=True, deadline=None, print_blob=True, database=None)
    settings.load_profile("study")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is off by default, visibly: a deselected test is not seen in the summary, a skipped one is."""
    asked = config.getoption("-m") or ""
    for item in items:
        for mark, reason in OFF_BY_DEFAULT.items():
            if mark not in asked and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture
def real_data():
    """``real_data(name)``: verified path of a manifest file; skips, with the reason, where this machine has none."""
    from maskopt_lib.data import manifest

    known = manifest.load_manifest()

    def path(name: str):
        # A file with a wrong hash raises here: a broken mirror is a failure, not a reason to skip.
        if (found := known.local(name)) is None:
            pytest.skip(f"{name} is in neither mirror nor cache: set MASKOPT_MIRROR or run `make data`")
        return found

    return path


@pytest.fixture
def genuine(real_data):
    """The contest's kernels."""
    from maskopt_lib import optics

    for folder in ("M1OPC", "M1OPC_def"):
        for name in ["scales.txt", *(f"fh{k}.bin" for k in range(24))]:
            real_data(f"iccad13/kernels/openilt/{folder}/{name}")
    return optics.load("iccad13")
