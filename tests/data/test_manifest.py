"""The manifest: the hash decides, a wrong file is refused and set aside, and what is missing is said. No network."""

from __future__ import annotations

import functools
import hashlib
import http.server
import re
import threading

import pytest

from maskopt_lib.data import manifest
from maskopt_lib.data.__main__ import main, report
from maskopt_lib.errors import HashMismatchError, MissingDataError, UnknownNameError

GOOD, BAD = b"BEGIN\nEND\n", b"<html>not found</html>"
SHA = hashlib.sha256(GOOD).hexdigest()
BAD_SHA = hashlib.sha256(BAD).hexdigest()
NAME = "group/clip.glp"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A folder served on this machine, standing in for the public addresses."""
    monkeypatch.setenv("NO_PROXY", "*")
    folder = tmp_path / "server"
    folder.mkdir()
    asked: list[str] = []

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, daemon=True)
        thread.start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}", asked
        httpd.shutdown()
        thread.join()


@pytest.fixture
def make(tmp_path):
    """A manifest of its own, with `n` files that all have the contents GOOD."""

    def made(url: str = "http://127.0.0.1:9", *, mirror=None, n: int = 1) -> manifest.Manifest:
        folder = tmp_path / "manifest"
        folder.mkdir(exist_ok=True)
        names = [NAME] + [f"group/clip{i}.glp" for i in range(1, n)]
        (folder / "registry.txt").write_text(
            "# made for a test\n" + "".join(f"{name} {SHA} {url}/{name.replace('/', '_')}\n" for name in names)
        )
        (folder / "sources.yaml").write_text(
            "group:\n  repository: a/b\n  commit: c\n  what: clips\n  licence: MIT (somebody)\n  licence_file: null\n"
            "  redistribution: allowed\n  citation: [somebody]\n  needed_by: [11_test]\n  files:\n"
            + "".join(f"    {name}: {len(GOOD)}\n" for name in names)
        )
        return manifest.load_manifest(folder, mirror=mirror, cache=tmp_path / "cache")

    return made


def put(folder, contents: bytes, name: str = NAME):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
    return path


def test_mirror_is_read_and_never_written(make, tmp_path):
    path = put(tmp_path / "mirror", GOOD)
    known = make(mirror=tmp_path / "mirror")
    assert known.fetch(NAME) == path
    assert not (tmp_path / "cache").exists()
    assert [p for p in (tmp_path / "mirror").rglob("*") if p.is_file()] == [path]


def test_wrong_file_in_mirror_is_refused_and_left_alone(make, tmp_path):
    path = put(tmp_path / "mirror", BAD)
    known = make(mirror=tmp_path / "mirror")
    with pytest.raises(HashMismatchError) as error:
        known.fetch(NAME)
    for part in (NAME, SHA, BAD_SHA, str(path)):
        assert part in str(error.value)
    assert path.read_bytes() == BAD
    assert not known.available(NAME)


def test_mirror_that_is_no_folder_is_said(make, tmp_path):
    with pytest.raises(MissingDataError, match="MASKOPT_MIRROR"):
        make(mirror=tmp_path / "nowhere")


def test_cached_file_is_used_without_network(make, tmp_path):
    path = put(tmp_path / "cache", GOOD)
    assert make().fetch(NAME) == path


def test_wrong_file_in_cache_is_set_aside_then_downloaded(make, tmp_path, server):
    folder, url, _ = server
    put(folder, GOOD, NAME.replace("/", "_"))
    path = put(tmp_path / "cache", BAD)
    known = make(url)
    with pytest.raises(HashMismatchError) as error:
        known.fetch(NAME)
    rejected = path.with_name(f"clip.glp.rejected-{BAD_SHA[:8]}")
    for part in (NAME, SHA, BAD_SHA, str(rejected)):
        assert part in str(error.value)
    assert rejected.read_bytes() == BAD and not path.exists()
    assert known.fetch(NAME).read_bytes() == GOOD


def test_download_is_kept_and_not_repeated(make, tmp_path, server):
    folder, url, asked = server
    put(folder, GOOD, NAME.replace("/", "_"))
    known = make(url)
    assert not known.available(NAME) and asked == []
    assert known.fetch(NAME) == known.fetch(NAME) == tmp_path / "cache" / NAME
    assert len(asked) == 1
    assert [p.name for p in (tmp_path / "cache" / "group").iterdir()] == ["clip.glp"]


def test_wrong_download_is_set_aside(make, tmp_path, server):
    folder, url, _ = server
    put(folder, BAD, NAME.replace("/", "_"))
    with pytest.raises(HashMismatchError) as error:
        make(url).fetch(NAME)
    assert url in str(error.value) and BAD_SHA in str(error.value)
    assert [p.name for p in (tmp_path / "cache" / "group").iterdir()] == [f"clip.glp.rejected-{BAD_SHA[:8]}"]


def test_missing_file_says_name_address_and_remedy(make, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(MissingDataError) as error:
        make().fetch(NAME)  # nothing listens on the discard port
    for part in (NAME, "http://127.0.0.1:9/group_clip.glp", "make data", "MASKOPT_MIRROR"):
        assert part in str(error.value)


def test_server_without_the_file_is_told_from_no_connection(make, server):
    _, url, _ = server
    with pytest.raises(MissingDataError, match="the server answered 404"):
        make(url).fetch(NAME)


def test_unknown_name_lists_what_is_close(make):
    with pytest.raises(UnknownNameError, match=re.escape(NAME)):
        make().fetch("group/clip.gds")
    with pytest.raises(UnknownNameError, match="known groups: group"):
        make().source("nothing")


def test_collect_continues_where_it_stopped(make, tmp_path, server):
    folder, url, asked = server
    known = make(url, n=3)
    put(folder, GOOD, "group_clip.glp")
    put(folder, BAD, "group_clip1.glp")
    missing = known.collect(["group"])
    assert sorted(missing) == ["group/clip1.glp", "group/clip2.glp"]
    assert "404" in missing["group/clip2.glp"] and BAD_SHA in missing["group/clip1.glp"]
    asked.clear()
    put(folder, GOOD, "group_clip1.glp")
    put(folder, GOOD, "group_clip2.glp")
    assert known.collect(["group"]) == {}
    assert sorted(asked) == ["/group_clip1.glp", "/group_clip2.glp"]
    assert known.collect(["group"], download=False) == {}


def test_collect_gives_up_on_a_network_that_is_down_but_names_all(make, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    tried = []
    monkeypatch.setattr(
        manifest.pooch, "HTTPDownloader", lambda **_: lambda url, *_: tried.append(url) or _raise_no_connection()
    )
    missing = make(n=6).collect(["group"])
    assert len(missing) == 6 and len(tried) == 3
    assert all("no connection" in reason for reason in missing.values())


def _raise_no_connection():
    raise manifest.requests.ConnectionError("refused")


def test_report_counts_and_names(make):
    known = make(n=3)
    text = report(known, ["group"], {"group/clip1.glp": "the server answered 404 Not Found"})
    assert "2/3" in text and "group/clip1.glp" in text and "404" in text and "MIT" in text
    text = report(known, ["group"], {"group/clip1.glp": "group/clip1.glp: the mirror holds other contents"})
    assert text.count("group/clip1.glp") == 1


def test_main_exits_with_failure_when_something_is_missing(make, tmp_path, monkeypatch, capsys):
    known = make(n=2)
    monkeypatch.setattr(manifest, "load_manifest", lambda: known)
    put(tmp_path / "cache", GOOD)

    def status(*words: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(words)
        return ended.value.code

    assert status("--check") == 1
    assert "1/2" in capsys.readouterr().out
    put(tmp_path / "cache", GOOD, "group/clip1.glp")
    assert status("--check", "--needed-by", "11_test") == 0
    assert status("--groups") == status("--groups", "group") == 0
    assert status("--groups", "nothing") == 2
    assert "no group 'nothing'" in capsys.readouterr().err
    assert status("--needed-by", "12_other") == 0
    assert "no data needed" in capsys.readouterr().out


# The study's own manifest


def test_every_row_of_the_registry_is_well_formed():
    known = manifest.load_manifest()
    assert len(known.entries) == sum(len(source.files) for source in known.sources.values())
    for entry in known.entries.values():
        assert re.fullmatch(r"[0-9a-f]{64}", entry.sha256), entry
        assert not entry.name.startswith("/") and ".." not in entry.name, entry


def test_every_address_is_pinned_to_the_commit_of_its_source():
    known = manifest.load_manifest()
    for source in known.sources.values():
        assert re.fullmatch(r"[0-9a-f]{40}", source.commit), source.group
        pinned = f"https://raw.githubusercontent.com/{source.repository}/{source.commit}/"
        for name in source.files:
            assert known.entries[name].url.startswith(pinned), name


def test_every_source_has_card_licence_citation_and_rule():
    known = manifest.load_manifest()
    cards = {path.stem for path in (manifest.FOLDER / "cards").glob("*.md")}
    assert cards == set(known.sources)
    headings = ("**Why**", "**A sample**", "**How many**", "**How produced**", "**Licence**", "**Splits**")
    for source in known.sources.values():
        card = (manifest.FOLDER / "cards" / f"{source.group}.md").read_text(encoding="utf-8")
        assert all(heading in card for heading in (*headings, "**Known limits**", "**Not for**")), source.group
        assert source.licence and source.redistribution and source.citation and source.what, source.group
        # Upstream states no licence, or the manifest holds the file that states it.
        assert (source.licence_file is None) == source.licence.startswith("not stated"), source.group
        assert source.licence_file is None or source.licence_file in known.entries, source.group


def test_declared_sizes_add_up():
    import yaml

    listed = yaml.safe_load((manifest.FOLDER / "sources.yaml").read_text(encoding="utf-8"))
    for group, fields in listed.items():
        assert fields["n_files"] == len(fields["files"]), group
        assert fields["bytes"] == sum(fields["files"].values()) == manifest.load_manifest().source(group).n_bytes


def test_info_joins_registry_and_source():
    info = manifest.info("iccad13/clips/M1_test1.glp")
    assert info.group == "iccad13_clips" and info.n_bytes == 699 and info.licence.startswith("MIT")


def test_files_needed_by_a_notebook():
    assert "golden_curvyilt" in manifest.groups("02_validate_metrics")
    assert set(manifest.groups("11_ilt_iccad13")) < set(manifest.groups())


@pytest.mark.realdata
def test_files_here_have_the_declared_size(real_data):
    for name in manifest.names("iccad13/"):
        assert real_data(name).stat().st_size == manifest.info(name).n_bytes
