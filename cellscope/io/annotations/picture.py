"""Images of a source of `prepare`, read by the same rule as the inputs of `predict`; what was odd is noted."""

from __future__ import annotations

from pathlib import Path

from cellscope.io.annotations.tally import note
from cellscope.io.choice import Choice, Wants
from cellscope.io.image import Image
from cellscope.io.read import read
from cellscope.io.text import one_line


def read_picture(path: Path, wants: Wants, choice: Choice = Choice()) -> Image:  # noqa: B008  frozen
    """Read an image that somebody annotated.

    Parameters
    ----------
    path : Path
    wants : Wants
    choice : Choice

    Returns
    -------
    Image

    Raises
    ------
    InputError
        What is wrong with the file.
    """
    image = read(path, wants=wants, choice=choice)
    for warning in image.warnings:
        note(f"{one_line(path.name)}: {warning}")
    if image.turned:
        note(
            f"{one_line(path.name)}: its EXIF orientation turns it; its outlines or masks must be those of the turned "
            "image, as image viewers show it (or save it without the orientation and check them)"
        )
    return image
