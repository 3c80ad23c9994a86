"""A test without the mark ``network`` reaches no other machine, and one without ``realdata`` sees no data."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys

import pytest

from maskopt_lib.data import manifest

refused = pytest.raises(pytest.fail.Exception, match=r"reaches for .*mark it `network`")


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")])
def test_a_connection_to_another_machine_ends_the_test(family, host):
    with socket.socket(family) as opened, refused:
        opened.connect((host, 80))


def test_a_name_is_not_looked_up():
    with refused:
        socket.create_connection(("example.invalid", 80))


def test_a_download_is_not_taken_for_a_missing_file(tmp_path, monkeypatch):
    monkeypatch.delenv("MASKOPT_MIRROR", raising=False)
    monkeypatch.setenv("MASKOPT_CACHE", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)  # one on this machine would be reached instead
    with refused, contextlib.suppress(Exception):
        manifest.fetch("iccad13/clips/M1_test1.glp")


def test_this_machine_may_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        pass
    assert socket.getaddrinfo("localhost", 80) and socket.getaddrinfo("192.0.2.1", 80)


def test_a_test_without_the_mark_realdata_sees_no_data_and_neither_does_what_it_starts():
    known = manifest.load_manifest()
    assert known.mirror is None and not any(known.available(name) for name in known.names())
    program = "from maskopt_lib.data.manifest import load_manifest as load; print(load().mirror, load().cache)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert told.split() == ["None", str(known.cache)]


def test_the_fixture_real_data_is_a_mark(request, real_data):
    assert request.node.get_closest_marker("realdata")
