"""Where annotation files and their images lie in a source."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cellscope.errors import DatasetError
from cellscope.io.annotations.document import load_json, read_text
from cellscope.io.leftovers import files_below
from cellscope.io.read import SUFFIXES
from cellscope.io.text import one_line

_SHORT = 2**20


def image_files(folder: Path) -> list[Path]:
    """List the images below a folder."""
    return files_below(folder, SUFFIXES)


def json_files(source: Path, known: Callable[[Any], bool], word: str) -> list[Path]:
    """List the JSON files of a format: the source itself, or those below it.

    Parameters
    ----------
    source : Path
    known : callable
        Whether the content is of the format.
    word : str
        What the text holds if it is: a file that is broken, but holds it, is listed, so that reading it says how.
    """
    if source.is_file():
        places = [source] if source.name.lower().endswith((".json", ".json.gz")) else []
    else:
        places = files_below(source, (".json", ".json.gz"))
    found = []
    for path in places:
        try:
            fits = known(load_json(path))
        except DatasetError:
            fits = _mentions(path, word)
        if fits:
            found.append(path)
    return found


def _mentions(path: Path, word: str) -> bool:
    """Tell whether a file that is broken speaks of what only this format has."""
    try:
        return word in read_text(path)[:_SHORT]
    except DatasetError:
        try:
            return word.encode() in path.read_bytes()[:_SHORT]
        except OSError as error:
            raise DatasetError(f"{one_line(path)}: cannot be read ({error.strerror or error})") from error
