"""Label images in TIFF: the page that holds the labels, its numbers as stored."""

from __future__ import annotations

from typing import BinaryIO

import numpy as np
from tifffile import TiffFile, TiffFileError, TiffPage

from cellscope.io.convert import Refused
from cellscope.io.formats.tiff_open import open_tiff
from cellscope.io.formats.tiff_page import check_page
from cellscope.io.text import reason

REDUCED_OR_MASK = 0b101
PALETTE = 3
MOST_PAGES = 64


def read_tiff_labels(handle: BinaryIO, max_pixels: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Decode the page that holds labels.

    Parameters
    ----------
    handle : binary file
    max_pixels : int

    Returns
    -------
    values : (H, W) or (H, W, C)
        As stored: not inverted, not stretched; of a palette the indices.
    notes : tuple of str

    Raises
    ------
    Refused
        Damaged or too large, or several pages hold something.
    """
    try:
        with open_tiff(handle) as tif:
            pages = _full_pages(tif)
            if len(pages) > MOST_PAGES:
                raise Refused(f"holds {len(pages)} pages; save the page with the labels of this image as a file")
            found: list[tuple[int, np.ndarray]] = []
            first = None
            for number, page in pages:
                check_page(page, max_pixels)
                values = _values(page)
                first = values if first is None else first
                if values.any():
                    found.append((number, values))
            if first is None:
                raise Refused("the TIFF holds no image; it is damaged or cut short")
            if len(found) > 1 and not all(np.array_equal(found[0][1], other) for _, other in found[1:]):
                numbers = ", ".join(str(number) for number, _ in found[:8])
                raise Refused(
                    f"several of its {len(pages)} pages hold labels (pages {numbers}, counted from 0); save the page "
                    "that belongs to the image as a file of its own"
                )
            if not found:
                return first, ()
            number, values = found[0]
            notes = (f"of its {len(pages)} pages only page {number} holds labels; it is taken",) if number else ()
            return values, notes
    except TiffFileError as error:
        raise Refused(f"the TIFF is damaged or cut short ({reason(error)}); copy or export it again") from error


def _full_pages(tif: TiffFile) -> list[tuple[int, TiffPage]]:
    """List the pages of the largest size that are no thumbnails: smaller ones are levels of a pyramid."""
    pages = [(number, page) for number, page in enumerate(tif.pages) if isinstance(page, TiffPage)]
    full = [(n, page) for n, page in pages if not int(getattr(page, "subfiletype", 0) or 0) & REDUCED_OR_MASK] or pages
    if not full:
        return []
    largest = max(page.imagewidth * page.imagelength for _, page in full)
    return [(n, page) for n, page in full if page.imagewidth * page.imagelength == largest]


def _values(page: TiffPage) -> np.ndarray:
    array = np.asarray(page.asarray())
    if page.planarconfig == 2 and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    while array.ndim > 2 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3):
        raise Refused(f"its page is of shape {array.shape}; a label image has height x width")
    if int(page.photometric) == PALETTE and array.ndim == 3:
        array = array[..., 0]
    return array
