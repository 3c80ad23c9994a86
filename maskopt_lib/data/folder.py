"""Where the manifest lies."""

from pathlib import Path

_INSTALLED = Path(__file__).resolve().parents[1] / "data_manifest"
#: The manifest: inside the package as a wheel installs it, beside the package in the repository.
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _INSTALLED.parents[1] / "data_manifest"
