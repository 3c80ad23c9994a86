"""Every real file of the study by name: from a mirror, the cache or its public address, always verified by SHA-256.

``data_manifest/registry.txt`` says which files there are; ``data_manifest/sources.yaml`` says where they come from. The
hash decides, not the place::

    MASKOPT_MIRROR   a folder with the same relative paths; read first, never written to
    MASKOPT_CACHE    where downloads are kept; by default the user's cache folder, as pooch finds it

Examples
--------
>>> names("iccad13/clips/M1_test1.")
['iccad13/clips/M1_test1.glp']
>>> info("iccad13/clips/M1_test1.glp").licence
'MIT (Copyright (c) 2023 Stanley Zheng)'
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pooch
import requests
from tqdm import tqdm

from maskopt_lib import files, yaml_files
from maskopt_lib.data.folder import FOLDER
from maskopt_lib.errors import HashMismatchError, MissingDataError, UnknownNameError

_TIMEOUT_S = 30
_NO_CONNECTION = "no connection to the server (offline, or a proxy refuses it)"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One line of the registry."""

    name: str
    sha256: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Source:
    """One group of files from one commit of one public repository.

    Attributes
    ----------
    group : its name, also the name of its card, ``data_manifest/cards/<group>.md``.
    repository, commit : where the files are from.
    what : one sentence on what they are.
    licence : of the files; ``licence_file`` is the manifest file that states it, None where upstream states none.
    redistribution : what the licence lets one pass on.
    citation : what to cite.
    needed_by : notebooks whose ``paper`` variant reads these files.
    files : name -> bytes.
    """

    group: str
    repository: str
    commit: str
    what: str
    licence: str
    licence_file: str | None
    redistribution: str
    citation: tuple[str, ...]
    needed_by: tuple[str, ...]
    files: Mapping[str, int]

    @classmethod
    def read(cls, listed: Mapping[str, Any]) -> Source:
        """A source as ``sources.yaml`` lists it, with its group."""
        values = {field.name: listed[field.name] for field in fields(cls)}
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})

    @property
    def n_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(self.files.values())


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """What the manifest knows about one file; ``n_bytes`` is its size, the rest is as in Entry and Source."""

    name: str
    group: str
    n_bytes: int
    sha256: str
    url: str
    licence: str
    redistribution: str
    citation: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A registry of files and the two places where they may be; the functions of this module use the study's own.

    Attributes
    ----------
    folder : where ``sources.yaml`` is; read when first asked for, as fetching one file needs the registry only.
    entries : name -> entry.
    mirror : folder read first and never written to, or None.
    cache : folder that downloads go to.
    """

    folder: Path
    entries: Mapping[str, Entry]
    mirror: Path | None
    cache: Path

    def __post_init__(self) -> None:
        if self.mirror is not None and not self.mirror.is_dir():
            raise MissingDataError(
                f"MASKOPT_MIRROR names {self.mirror}, which is not a folder; correct it, or unset it to use the "
                "cache and the public addresses"
            )

    @cached_property
    def sources(self) -> Mapping[str, Source]:
        """Group -> source."""
        listed = yaml_files.read(self.folder / "sources.yaml").value
        return {group: Source.read({"group": group} | entry) for group, entry in listed.items()}

    def names(self, prefix: str = "") -> list[str]:
        """Names of all files that begin with ``prefix``, in the order of the registry."""
        return [name for name in self.entries if name.startswith(prefix)]

    def entry(self, name: str) -> Entry:
        """The registry's line for ``name``."""
        try:
            return self.entries[name]
        except KeyError:
            close = difflib.get_close_matches(name, self.entries, n=5)
            hint = f"close to it: {', '.join(close)}; " if close else ""
            raise UnknownNameError(
                f"the manifest has no file {name!r}; {hint}groups: {', '.join(self.sources)}; "
                f"manifest.names(prefix) lists all {len(self.entries)} files"
            ) from None

    def source(self, group: str) -> Source:
        """The source of one group of files."""
        try:
            return self.sources[group]
        except KeyError:
            raise UnknownNameError(
                f"the manifest has no group {group!r}; known groups: {', '.join(self.sources)}"
            ) from None

    def info(self, name: str) -> FileInfo:
        """All that the manifest knows about one file."""
        entry = self.entry(name)
        source = next(source for source in self.sources.values() if name in source.files)
        of_source = {key: getattr(source, key) for key in ("group", "licence", "redistribution", "citation")}
        return FileInfo(**vars(entry), n_bytes=source.files[name], **of_source)

    def local(self, name: str) -> Path | None:
        """The verified file on this machine, or None where neither mirror nor cache has one; never uses the network.

        Raises
        ------
        HashMismatchError : a file of that name is there with other contents. In the cache it is set aside, so that the
            next call can download it again; in the mirror it is left as it is.
        """
        entry = self.entry(name)
        if self.mirror is not None and (path := self.mirror / name).is_file():
            sha256 = pooch.file_hash(str(path))
            if sha256 != entry.sha256:
                raise HashMismatchError(
                    f"{name}: the mirror holds other contents than the manifest expects, at {path}: SHA-256 expected "
                    f"{entry.sha256}, found {sha256}. The file was left as it is: replace it, or unset MASKOPT_MIRROR."
                )
            return path
        if (path := self.cache / name).is_file():
            _verify_or_set_aside(path, entry, place="the cache")
            return path
        return None

    def available(self, name: str) -> bool:
        """Whether mirror or cache has the file with the right contents, without using the network."""
        try:
            return self.local(name) is not None
        except HashMismatchError:
            return False

    def fetch(self, name: str, *, progress: bool = False) -> Path:
        """A verified local file, from the mirror, else the cache, else its public address.

        Parameters
        ----------
        name : as in ``registry.txt``, for example ``"iccad13/clips/M1_test1.glp"``.
        progress : show a progress bar while downloading.

        Returns
        -------
        Path of the file. Treat it as read-only.

        Raises
        ------
        UnknownNameError : the manifest has no such file.
        HashMismatchError : mirror, cache or download hold other contents; the message gives both hashes and the place.
        MissingDataError : the file is not here and could not be downloaded; the message says what to do.
        """
        path = self.local(name)
        return path if path is not None else self._download(self.entry(name), progress=progress)

    def _download(self, entry: Entry, *, progress: bool) -> Path:
        target = self.cache / entry.name
        files.sweep(target.parent)
        download = pooch.HTTPDownloader(progressbar=progress, timeout=_TIMEOUT_S)
        try:
            with files.replacing(target, check=partial(_verify_or_set_aside, entry=entry, place=entry.url)) as beside:
                download(entry.url, str(beside), None)
        except requests.RequestException as error:
            raise MissingDataError(
                f"{entry.name} is neither in the mirror ({self.mirror or 'MASKOPT_MIRROR is not set'}) nor in the "
                f"cache ({self.cache}), and could not be downloaded from {entry.url}: {_brief(error)}. Run `make data` "
                "with a network connection, or point MASKOPT_MIRROR to a folder that has the file under that name."
            ) from error
        return target

    def fetch_group(self, group: str, *, progress: bool = False) -> dict[str, Path]:
        """All files of one group, name -> verified path; raises as ``fetch`` does at the first that is missing."""
        return {name: self.fetch(name, progress=progress) for name in self.source(group).files}

    def collect(self, groups: Sequence[str], *, download: bool = True) -> dict[str, str]:
        """Try every file of some groups; return name -> reason for those that cannot be had.

        Parameters
        ----------
        groups : names of groups.
        download : False to look at mirror and cache only.

        Notes
        -----
        What is already there and verified is not fetched again, so an interrupted call continues where it stopped.
        After three files in a row without a connection the rest is looked for on this machine only: no hours of
        timeouts.
        """
        missing: dict[str, str] = {}
        without_connection = 0
        names = [name for group in groups for name in self.source(group).files]
        with tqdm(names, desc="data", unit="file") as bar:
            for name in bar:
                try:
                    if self.local(name) is not None:
                        continue
                    if not download:
                        missing[name] = "in neither mirror nor cache"
                    elif without_connection >= 3:
                        missing[name] = _NO_CONNECTION
                    else:
                        self.fetch(name)
                        without_connection = 0
                except HashMismatchError as error:
                    missing[name] = str(error)
                except MissingDataError as error:
                    missing[name] = _brief(error.__cause__) if error.__cause__ else str(error)
                    is_offline = isinstance(error.__cause__, (requests.ConnectionError, requests.Timeout))
                    without_connection = without_connection + 1 if is_offline else 0
        return missing


def _verify_or_set_aside(path: Path, entry: Entry, *, place: str) -> None:
    """Return silently when the file has the right contents, else rename it and raise."""
    sha256 = pooch.file_hash(str(path))
    if sha256 == entry.sha256:
        return
    name = Path(entry.name).name
    rejected = path.with_name(f"{name}.rejected-{sha256[:8]}")
    path.replace(rejected)
    raise HashMismatchError(
        f"{entry.name}: {place} gave other contents than the manifest expects: SHA-256 expected {entry.sha256}, found "
        f"{sha256}. The file was set aside as {rejected}; run the command again to download it anew from {entry.url}."
    )


def _brief(error: BaseException) -> str:
    """The root of a chain of network errors, without the addresses of objects that requests prints."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return f"no answer within {_TIMEOUT_S} s"
    if isinstance(error, requests.ConnectionError):
        return _NO_CONNECTION
    return f"{type(error).__name__}: {error}"


def load_manifest(folder: Path = FOLDER, *, mirror: Path | None = None, cache: Path | None = None) -> Manifest:
    """Read ``registry.txt`` and ``sources.yaml`` of one folder.

    Parameters
    ----------
    folder : the manifest folder.
    mirror : folder with the same relative paths; by default ``MASKOPT_MIRROR``, where set.
    cache : folder for downloads; by default ``MASKOPT_CACHE``, else the user's cache folder.
    """
    if not (folder / "registry.txt").is_file():
        raise MissingDataError(
            f"no manifest at {folder}: it comes with the repository and with the library; install the library again"
        )
    # The file is in pooch's format; pooch's own reader allows for quoted names and takes 40 ms, at every fetch.
    lines = (folder / "registry.txt").read_text(encoding="utf-8").splitlines()
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    entries = {name: Entry(name=name, sha256=sha256, url=url) for name, sha256, url in rows}
    if mirror is None and (named := os.environ.get("MASKOPT_MIRROR")):
        mirror = Path(named).expanduser().resolve()
    if cache is None:
        cache = Path(os.environ.get("MASKOPT_CACHE") or pooch.os_cache("maskopt-study")).expanduser().resolve()
    return Manifest(folder=folder, entries=entries, mirror=mirror, cache=cache)


def names(prefix: str = "") -> list[str]:
    """Names of all files of the study that begin with ``prefix``, in the order of the registry."""
    return load_manifest().names(prefix)


def available(name: str) -> bool:
    """Whether mirror or cache has the file with the right contents; never uses the network."""
    return load_manifest().available(name)


def fetch(name: str, *, progress: bool = False) -> Path:
    """A verified local file of the study; see :meth:`Manifest.fetch`."""
    return load_manifest().fetch(name, progress=progress)


def info(name: str) -> FileInfo:
    """Group, bytes, hash, address, licence and citation of one file of the study."""
    return load_manifest().info(name)


def groups(needed_by: str | None = None) -> list[str]:
    """Names of all groups of files, or of those that the ``paper`` variant of one notebook reads."""
    sources = load_manifest().sources.values()
    return [source.group for source in sources if needed_by is None or needed_by in source.needed_by]


def fetch_group(group: str, *, progress: bool = False) -> dict[str, Path]:
    """All files of one group, name -> verified path; see :meth:`Manifest.fetch_group`."""
    return load_manifest().fetch_group(group, progress=progress)
