"""Files that belong to an input but lie elsewhere: the mask another tool made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from cellscope.errors import InputError
from cellscope.io.text import one_line


def find_beside(place: Path, image: str, endings: Sequence[str], suffixes: Sequence[str]) -> Path:
    """Find the file that belongs to an image.

    Parameters
    ----------
    place : Path
        The file itself, or a folder that holds one file per image.
    image : str
        The contract's ``image``.
    endings : sequence of str
        What may follow the image's stem, such as ``_mask``; ``""`` for the same name.
    suffixes : sequence of str
        File suffixes that may follow, with the dot.

    Returns
    -------
    Path
        In a folder, first below the image's own sub-folders, then at its top.

    Raises
    ------
    InputError
        If there is none.
    """
    if place.is_file():
        return place
    stem = PurePosixPath(image).with_suffix("")
    for where in dict.fromkeys((place / stem.parent, place)):
        for ending in endings:
            for suffix in suffixes:
                path = where / f"{stem.name}{ending}{suffix}"
                if path.is_file():
                    return path
    wanted = ", ".join(f"{stem.name}{ending}" for ending in endings)
    raise InputError(
        f"{one_line(image)}: nothing in {one_line(place)} belongs to it ({wanted} with {', '.join(suffixes)})"
    )
