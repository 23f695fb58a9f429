"""An input as this assay takes it: the pages of a small TIFF stack are channels, of which ``--channel`` chooses one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from cellscope.errors import InputError
from cellscope.io.image import Image
from cellscope.io.read import MAX_PIXELS, count_pages, read

MOST_CHANNELS = 16
"""A stack of more pages is no set of channels but slices or time points."""


def read_field(path: Path, max_pixels: int = MAX_PIXELS, options: Any = None) -> Image:
    """Read a field or crop; pages of equal size and kind become its channels.

    Parameters
    ----------
    path : Path
    max_pixels : int
    options : object
        Not used; what an assay's reader is called with.

    Raises
    ------
    InputError
        As for `cellscope.io.read.read`, and for a stack of more than `MOST_CHANNELS` pages.
    """
    count = count_pages(path)
    if count == 1:
        return read(path, max_pixels=max_pixels)
    if count > MOST_CHANNELS:
        raise InputError(
            f"{path.name}: the file holds {count} pages, slices or time points; save the one that shows the nuclei, or "
            "a projection, as a file of its own"
        )
    pages = [read(path, page=number, max_pixels=max_pixels) for number in range(count)]
    kinds = {(page.pixels.shape, page.pixels.dtype) for page in pages}
    if len(kinds) > 1 or pages[0].channels > 1:
        return read(path, max_pixels=max_pixels)  # a thumbnail or a mask among them: the reader knows which page counts
    return replace(pages[0], pixels=np.ascontiguousarray(np.concatenate([page.pixels for page in pages], 2)))
