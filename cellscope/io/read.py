"""Read an image file of any supported kind into an `Image`, or say in one line why not.

What is taken of a file with several planes is decided by the rule of `cellscope.io.choice`. Nothing is decoded before
the size has been checked against `max_pixels`, and a file that is not wholly there is an error, never a half-empty
image.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cellscope.io.choice import Choice, Wants
from cellscope.io.image import Image
from cellscope.io.open import MAX_PIXELS, one_line_errors, open_source
from cellscope.io.planes import check_scene, take, told
from cellscope.io.scene import Scene
from cellscope.io.select import select
from cellscope.io.wsi import slide_scene

STACK_SUFFIXES: frozenset[str] = frozenset(
    {".tif", ".tiff", ".btf", ".tf8", ".stk", ".lsm", ".qptiff", ".nd2", ".czi", ".lif", ".lof", ".oib", ".oif", ".oir"}
    | {".zarr"}
)
"""Suffixes of files that can hold many planes, lower case."""

SUFFIXES: frozenset[str] = STACK_SUFFIXES | {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".jp2", ".j2k"}
"""Suffixes of the files `read` understands, lower case."""


def read(
    path: str | os.PathLike[str],
    *,
    choice: Choice = Choice(),  # noqa: B008  frozen
    wants: Wants = Wants.ANY,
    max_pixels: int = MAX_PIXELS,
) -> Image:
    """Read one image.

    Parameters
    ----------
    path : path
        A file of a format that docs/inputs.md lists.
    choice : Choice
        What the user chose of a file with several planes.
    wants : Wants
        What is needed of the file.
    max_pixels : int
        Largest number of pixels to decode; checked before decoding.

    Returns
    -------
    Image
        Grey as C = 1, colour as C = 3 (palette and CMYK converted, alpha over the stain's background, EXIF orientation
        applied), as uint8, uint16 or float32 by the rule of `cellscope.io.convert`; pixel size by the rule of
        `cellscope.io.pixel_size`.

    Raises
    ------
    InputError
        One line with the file's name for everything that can be wrong with it: missing, a folder, not readable, empty,
        cut short, damaged, not an image, too small, too large, NaN or infinite values, an unsupported type; a choice
        that only a person can make, with the list.
    """
    path = Path(path)
    with one_line_errors(path), closing(open_source(path, max_pixels)) as source:
        chosen = select(source.scenes, choice, wants)
        scene = source.scenes[chosen.scene]
        check_scene(scene, chosen, max_pixels)
        taken = take(source, chosen)
        return Image(
            taken.pixels,
            scene.pixel_size_um,
            path.name,
            chosen.warnings + scene.warnings + taken.warnings,
            told(scene, chosen, len(source.scenes), taken),
            taken.turned,
        )


@dataclass(frozen=True)
class FileFacts:
    """What a file holds.

    Attributes
    ----------
    path : Path
    format : str
        For people.
    scenes : tuple of Scene
    slide : bool
        A whole slide that `read` refuses: only what takes slides can use it.
    """

    path: Path
    format: str
    scenes: tuple[Scene, ...]
    slide: bool = False


def describe(path: str | os.PathLike[str], *, max_pixels: int = MAX_PIXELS) -> FileFacts:
    """Look at a file: its scenes, axes, channels and pixel sizes.

    Raises
    ------
    InputError
        As for `read`.
    """
    path = Path(path)
    with one_line_errors(path):
        found = slide_scene(path)
    if found is not None:
        return FileFacts(path, found[0], (found[1],), slide=True)
    with one_line_errors(path), closing(open_source(path, max_pixels)) as source:
        return FileFacts(path, source.format, source.scenes)
