"""Files in image folders that are no inputs: what every search leaves out, and why.

One rule for all verbs: what `cellscope` itself wrote, hidden files and folders (``.ipynb_checkpoints``, ``._a.tif`` of
macOS), and what file managers keep (``Thumbs.db``, ``__MACOSX``).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from cellscope.io.text import one_line

RESULT_SUFFIXES = (
    ".labels.tif", ".cells.tif", ".micronuclei.tif", ".overlay.png", ".karyogram.png", ".filmstrip.png", ".explain.png",
    ".density.png", ".cut.png", ".turned.png",
)  # fmt: skip
"""What `predict` writes per image."""

_BESIDE = {
    "preview.png": "dataset.json", "curves.png": "run.json", "conditions.png": "run.json", "curve.png": "curve.json",
}  # fmt: skip
"""Pictures with a name that users may have too: results where that record lies beside them."""

_KEPT_BY_SYSTEMS = {"thumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "lost+found"}
_SHOWN = 3

RESULT, FORK, NOTEBOOK, HIDDEN, SYSTEM = (
    "results of cellscope",
    "files that macOS put beside others (._*)",
    "copies that notebooks keep (.ipynb_checkpoints)",
    "hidden files",
    "files that systems keep",
)


def why_left_out(name: str, neighbours: Collection[str] = ()) -> str | None:
    """Tell why a file or folder of this name is no input; None where it may be one.

    Parameters
    ----------
    name : str
    neighbours : collection of str
        Names in the same folder: some pictures are results only beside a record.

    Examples
    --------
    >>> why_left_out("._a.tif"), why_left_out("a.overlay.png"), why_left_out("a.tif")
    ('files that macOS put beside others (._*)', 'results of cellscope', None)
    """
    lower = name.lower()
    if lower == ".ipynb_checkpoints":
        return NOTEBOOK
    if lower.startswith("._"):
        return FORK
    if lower.startswith("."):
        return HIDDEN
    if lower in _KEPT_BY_SYSTEMS:
        return SYSTEM
    figures = lower == "figures" and "eval.json" in neighbours
    result = lower.endswith(RESULT_SUFFIXES) or figures or _BESIDE.get(lower) in neighbours
    return RESULT if result else None


class Leftovers:
    """What a search left out: reason -> names, for one line each."""

    def __init__(self) -> None:
        self._files: dict[str, set[str]] = {}

    def add(self, why: str, path: str | os.PathLike[str]) -> None:
        """Keep a file that was left out; one that several searches leave out counts once."""
        self._files.setdefault(why, set()).add(os.fspath(path))

    def lines(self) -> list[str]:
        """Say how many files were left out and why, a line per reason."""
        said = []
        for why, files in sorted(self._files.items()):
            count = len(files)
            names = sorted(Path(path).name for path in files)
            shown = ", ".join(map(one_line, names[:_SHOWN])) + (", ..." if count > _SHOWN else "")
            way_out = "; to use such a file, name it itself or rename it" if why == RESULT else ""
            said.append(f"{count} file{'s' * (count > 1)} left out as {why}: {shown}{way_out}")
        return said


_CURRENT: ContextVar[Leftovers | None] = ContextVar("leftovers", default=None)


@contextmanager
def noting_leftovers(found: Leftovers | None = None) -> Iterator[Leftovers]:
    """Gather what all searches within the block leave out."""
    found = found or Leftovers()
    token = _CURRENT.set(found)
    try:
        yield found
    finally:
        _CURRENT.reset(token)


def leave_out(why: str, path: str | os.PathLike[str]) -> None:
    """Note a file that a search leaves out, where somebody gathers them (`noting_leftovers`)."""
    gathered = _CURRENT.get()
    if gathered is not None:
        gathered.add(why, path)


def leave_out_folder(why: str, folder: Path, endings: tuple[str, ...]) -> None:
    """Note the files below a folder that a search leaves out."""
    if _CURRENT.get() is not None:
        for where, _, names in os.walk(folder):
            for name in names:
                if name.lower().endswith(endings):
                    leave_out(why, Path(where, name))


def files_below(
    folder: Path, suffixes: Collection[str], *, deep: bool = True, keep_results: bool = False
) -> list[Path]:
    """List the files below a folder, those that are left out by `why_left_out` excepted.

    Parameters
    ----------
    folder : Path
    suffixes : collection of str
        Lower case, with the dot.
    deep : bool
        Sub-folders too. Linked folders are not followed.
    keep_results : bool
        Take what `predict` wrote as well: its label images can be corrected and learnt from.

    Returns
    -------
    list of Path
        Sorted.
    """
    endings = tuple(suffixes)
    found: list[Path] = []
    for where, folders, names in os.walk(folder):
        kept = []
        for name in sorted(folders) if deep else ():
            if (why := why_left_out(name, names)) is not None:
                leave_out_folder(why, Path(where, name), endings)
            else:
                kept.append(name)
        folders[:] = kept
        for name in names:
            if not name.lower().endswith(endings):
                continue
            why = why_left_out(name, names)
            if why is None or (why == RESULT and keep_results):
                if Path(where, name).is_file():
                    found.append(Path(where, name))
            else:
                leave_out(why, Path(where, name))
    return sorted(found)


def folders_below(folder: Path) -> list[Path]:
    """List the folders directly below one, sorted, without those that are left out."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and why_left_out(path.name) is None)
