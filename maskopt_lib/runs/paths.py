"""Where relative paths of a study begin: at the root of the repository, from whatever folder it is run."""

import os
from pathlib import Path

from maskopt_lib.errors import SchemaError


def root() -> Path:
    """The study's root: ``MASKOPT_ROOT``, else the repository that the library is in, else the working folder.

    Raises
    ------
    SchemaError : ``MASKOPT_ROOT`` is not the full path of a folder.
    """
    if named := os.environ.get("MASKOPT_ROOT"):
        folder = Path(named).expanduser()
        # A notebook has another working folder than who runs it.
        if not folder.is_absolute() or not folder.is_dir():
            raise SchemaError(f"MASKOPT_ROOT is {named!r}; it must be the full path of a folder that is there")
        return folder.resolve()
    repository = Path(__file__).resolve().parents[2]
    return repository if (repository / "notebooks").is_dir() else Path.cwd()


def run_folder(out_dir: str | Path, notebook: str, named: str | Path = "") -> Path:
    """Folder of another notebook's run that a run reads.

    Parameters
    ----------
    out_dir : of the run that asks, ``results/<notebook>/<variant>``.
    notebook : whose results it reads.
    named : the folder; by default the one beside ``out_dir``, of the same variant. A run in ``scratch`` takes that of
        ``quick`` where there is none in ``scratch``.
    """
    if named:
        return resolved(named)
    folder = resolved(out_dir)
    beside = folder.parent.parent / notebook
    is_tried_out = folder.name == "scratch" and not (beside / folder.name).is_dir()
    return beside / ("quick" if is_tried_out else folder.name)


def results_folder(out_dir: str | Path) -> Path:
    """Folder that results are written to.

    Raises
    ------
    SchemaError : it holds the study, or is among its notebooks: ``""`` and ``/`` are no folders of results.
    """
    folder = resolved(out_dir)
    real = folder.resolve()
    if root().is_relative_to(real) or real.is_relative_to(root() / "notebooks"):
        raise SchemaError(f"out_dir {str(out_dir)!r} is {real}, no place for results; take one such as results/mine")
    return folder


def located(name: str) -> str:
    """Path of a file that is below :func:`root`; any other name as it is, such as that of a file of the manifest.

    Examples
    --------
    >>> located("README.md") == str(root() / "README.md"), located("M1_test1.glp"), located("")
    (True, 'M1_test1.glp', '')
    """
    path = resolved(name)
    return str(path) if name and path.exists() else name


def relative(path: str | Path) -> str:
    """A path as records keep it: from :func:`root` where it is inside, so that it is nobody's machine's.

    Examples
    --------
    >>> relative(root() / "results" / "15_ilt_ablation")
    'results/15_ilt_ablation'
    """
    path = resolved(path)
    return path.relative_to(root()).as_posix() if path.is_relative_to(root()) else path.as_posix()


def resolved(path: str | Path) -> Path:
    """A path as it is where it is absolute, else below :func:`root`.

    Examples
    --------
    >>> resolved("results/15_ilt_ablation").relative_to(root()).as_posix()
    'results/15_ilt_ablation'
    """
    return root() / Path(path).expanduser()
