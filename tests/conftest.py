"""What every test runs under: no CUDA unless asked, two threads, the same hypothesis examples each time, no network,
and no data but where a test says by its mark ``realdata`` that it reads them.

So a test without that mark is the same in a world with data and in one without, by construction, and needs no second
run; `.ci/run` repeats those with it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from maskopt_lib.optics import SocsKernels

# Before torch is imported: a test that passes on the CPU must not depend on which machine has a GPU.
if not os.environ.get("MASKOPT_TEST_GPU"):
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("OMP_NUM_THREADS", "2")
# Threads that wait must not spin long: on a shared machine they would hold the core that others need to go on.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

#: Scripts of their own, run by `make bench`, `make faults` and `make fuzz`; they are not collected for doctests.
collect_ignore_glob = ["bench/*", "faults/*", "fuzz/*"]

#: Marks that run only when `-m` names them.
OFF_BY_DEFAULT = {
    "slow": "slow: run with -m slow",
    "gpu": "needs a CUDA device: run with MASKOPT_TEST_GPU=1 and -m gpu",
    "network": "uses the network: run with -m network",
}


#: Kernel sets that a session computes once, with their hashes: whether a test wrote into one is looked at in the end.
_MADE_ONCE: dict[str, tuple[SocsKernels, str]] = {}


def _made_once(make: Callable[[str], SocsKernels]) -> Callable[[str], SocsKernels]:
    def made(name: str) -> SocsKernels:
        from maskopt_lib.optics.kernels import kernels_digest

        if name not in _MADE_ONCE:
            kernels = make(name)
            _MADE_ONCE[name] = kernels, kernels_digest(kernels)
        return _MADE_ONCE[name][0]

    return made


def pytest_configure(config: pytest.Config) -> None:
    import torch
    from hypothesis import settings

    from maskopt_lib.optics import library

    # Two seconds of eigenvalues, which some eighty tests ask for.
    for name in ("embedded", "embedded-ideal"):
        library.KERNELS[name] = _made_once(library.KERNELS[name])

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    settings.register_profile("study", derandomize=True, deadline=None, print_blob=True, database=None)
    settings.load_profile("study")


def pytest_sessionfinish(session: pytest.Session) -> None:
    from maskopt_lib.optics.kernels import kernels_digest

    for name, (kernels, digest) in _MADE_ONCE.items():
        if kernels_digest(kernels) != digest:
            raise pytest.UsageError(f"a test wrote into the kernel set {name!r}, which all tests share")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what reads data, and skip what is off by default, visibly: a skipped test is seen in the summary."""
    asked = config.getoption("-m") or ""
    for item in items:
        if "real_data" in getattr(item, "fixturenames", ()):
            item.add_marker("realdata")
        for mark, reason in OFF_BY_DEFAULT.items():
            if mark not in asked and item.get_closest_marker(mark):
                item.add_marker(pytest.mark.skip(reason=reason))


#: Whether the test that runs is marked ``network``.
_may_connect = False


def _no_network(event: str, arguments: tuple) -> None:
    """End a test without the mark ``network`` that looks up a foreign name or connects to another machine.

    An audit hook sees every socket of this process, whichever library opens it, and what it raises is no
    ``Exception``: code that takes a failed download for a missing file cannot swallow it.
    """
    if _may_connect or event not in ("socket.connect", "socket.getaddrinfo"):
        return
    if event == "socket.getaddrinfo":
        host = arguments[0]
        reaches_out = not _is_number(host)  # of a number it is a formality, and connecting follows
    else:
        opened, address = arguments
        # Not datagrams: dask "connects" one to learn this machine's own address, and nothing is sent.
        reaches_out = opened.family in (socket.AF_INET, socket.AF_INET6) and opened.type == socket.SOCK_STREAM
        host = address[0] if reaches_out else None
    if reaches_out and not _is_this_machine(host):
        pytest.fail(f"a test reaches for {host}: mark it `network`, or have `real_data` check the files that it needs")


def _is_number(host: str | bytes | None) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


def _is_this_machine(host: str | bytes | None) -> bool:
    host = host.decode() if isinstance(host, bytes) else host
    return host in (None, "", "localhost", socket.gethostname()) or (
        _is_number(host) and ipaddress.ip_address(host).is_loopback
    )


sys.addaudithook(_no_network)


#: For tests without a mark, and what they start: no mirror, an empty cache, a proxy where nobody listens.
_EMPTY = tempfile.TemporaryDirectory(prefix="maskopt-no-data-")
_WITHOUT = {
    "MASKOPT_MIRROR": None,
    "MASKOPT_CACHE": _EMPTY.name,
    **dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9"),
    **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "all_proxy", "ALL_PROXY"), None),
    "no_proxy": "localhost,127.0.0.1",
}


@contextmanager
def _environment(values: Mapping[str, str | None]) -> Iterator[None]:
    kept = {name: os.environ.pop(name, None) for name in values}
    os.environ.update({name: value for name, value in values.items() if value is not None})
    try:
        yield
    finally:
        for name, value in kept.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item):
    global _may_connect
    _may_connect = item.get_closest_marker("network") is not None
    reads_data = _may_connect or item.get_closest_marker("realdata") is not None
    try:
        with _environment({} if reads_data else _WITHOUT):
            return (yield)
    finally:
        _may_connect = False


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
def contest_kernels(real_data):
    """``contest_kernels(name)``: a set of the contest, named as for ``optics.load``; skips where a file is lacking."""
    from maskopt_lib import optics
    from maskopt_lib.data import manifest

    def load(name: str):
        folder = "curvyilt" if name == "iccad13-symmetrised" else "openilt"
        for file in manifest.names(f"iccad13/kernels/{folder}/"):
            if not file.endswith("LICENSE"):
                real_data(file)
        return optics.load(name)

    return load


@pytest.fixture
def genuine(contest_kernels):
    """The contest's kernels."""
    return contest_kernels("iccad13")


@pytest.fixture
def symmetrised(contest_kernels):
    """The set that CurvyILT used."""
    return contest_kernels("iccad13-symmetrised")
