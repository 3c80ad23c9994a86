"""One notebook executed into its folder of results: nobody else writes there, and a failed run is kept for reading.

The executed notebook is ``partial.ipynb`` until its last cell is done, and ``run.ipynb`` then: a run that failed, or
that was killed, is never taken for a result.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from maskopt_lib import files
from maskopt_lib.runs import params
from maskopt_lib.runs.locks import FolderLock
from maskopt_lib.runs.paths import results_folder

RUN, PARTIAL = "run.ipynb", "partial.ipynb"
#: What the cells of a run print, where it is not shown.
LOG = "run.log"
#: How long one waits for another run in the same folder, in s; two studies at once then do the same work once.
LONGEST_WAIT_S = 7 * 24 * 3600.0


def execute(
    notebook: str,
    parameters: Mapping[str, Any],
    out_dir: str | Path,
    *,
    show_progress: bool = True,
    log: Path | None = None,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Path:
    """Run a notebook from the first cell to the last; gives the path of ``run.ipynb``.

    Parameters
    ----------
    notebook : name such as ``"15_ilt_ablation"``.
    parameters : name -> value, in place of its defaults.
    out_dir : folder of its results, from the study's root where it is not absolute.
    show_progress : a bar on the terminal.
    log : file that what the kernel itself says goes to, instead of the terminal.
    tell : called with a sentence when there is one to wait for.

    Raises
    ------
    SchemaError : the folder is not one for results.
    UnknownNameError : the notebook has no such parameter, before anything runs.
    BusyFolderError : another process writes to the folder.
    papermill.PapermillExecutionError : a cell failed; ``partial.ipynb`` shows it.
    """
    params.check_names(notebook, parameters)
    folder = results_folder(out_dir)
    with FolderLock(folder, notebook, wait_s=LONGEST_WAIT_S, tell=tell):
        import papermill  # seconds, which who only reads results need not spend

        with _errors_to(log):
            papermill.execute_notebook(
                params.path_of(notebook),
                folder / PARTIAL,
                {**parameters, "out_dir": str(folder)},
                kernel_name="python3",
                cwd=params.NOTEBOOKS,
                log_output=True,
                progress_bar=show_progress,
                request_save_on_cell_execute=True,
            )
        files.flush(folder / PARTIAL)
        files.put(folder / PARTIAL, folder / RUN)
    return folder / RUN


def log_to(path: Path | None = None) -> None:
    """Show what cells print, as papermill's own command does; or write it to a file, whose folder is made."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    where = {} if path is None else {"filename": path, "encoding": "utf-8"}  # at its end: the kernel writes there too
    logging.basicConfig(level=logging.INFO, format="%(message)s", **where)


@contextmanager
def _errors_to(path: Path | None) -> Iterator[None]:
    """This process's standard error, and that of the children it begins, at the end of a file."""
    if path is None:
        yield
        return
    terminal = os.dup(2)
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
