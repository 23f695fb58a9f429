"""Images of a source of `prepare`, read by the same rule as the inputs of `predict`; what was odd is noted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from cellscope.io.annotations.tally import note
from cellscope.io.choice import Choice, Wants
from cellscope.io.image import Image
from cellscope.io.read import read
from cellscope.io.text import one_line

_CHOSEN: ContextVar[Choice] = ContextVar("choice", default=Choice())  # noqa: B039  frozen


@contextmanager
def choosing(options: object) -> Iterator[None]:
    """Let `read_picture` within the block take what options choose of files with several planes."""
    token = _CHOSEN.set(Choice.of(options))
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def chosen() -> Choice:
    """Give what `choosing` chose; nothing outside of it."""
    return _CHOSEN.get()


def read_picture(path: Path, wants: Wants) -> Image:
    """Read an image that somebody annotated, of several planes what `choosing` says.

    Parameters
    ----------
    path : Path
    wants : Wants

    Returns
    -------
    Image

    Raises
    ------
    InputError
        What is wrong with the file.
    """
    image = read(path, wants=wants, choice=chosen())
    for warning in image.warnings:
        note(f"{one_line(path.name)}: {warning}")
    if image.turned:
        note(
            f"{one_line(path.name)}: its EXIF orientation turns it; its outlines or masks must be those of the turned "
            "image, as image viewers show it (or save it without the orientation and check them)"
        )
    return image
