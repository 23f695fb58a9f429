"""Where a large image can be cut without cutting a clump of touching nuclei."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from cellscope.imaging.labels import look_up


def clump_windows(mask: np.ndarray, block: int, margin: int) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Cut a large mask into windows, no clump of which is cut: each is worked on where it fits into fast memory.

    A clump, with what is less than two pixels away, belongs to the block that holds the upper left corner of its
    bounding box; those larger than a block go together into one window more. Nothing that follows depends on `block`
    but the time it takes.

    Parameters
    ----------
    mask : (h, w) bool
    block : int
        Side, pixels.
    margin : int
        Pixels of the image around the clumps, where there are any.

    Yields
    ------
    window : (rows, columns)
    own : (rows, columns) bool
        The pixels of the clumps that belong to the window.
    """
    height, width = mask.shape
    if max(height, width) <= 1.5 * block:
        yield (slice(0, height), slice(0, width)), mask
        return
    coarse = _halved(mask)
    _, parts, boxes, _ = cv2.connectedComponentsWithStats(coarse, connectivity=8, ltype=cv2.CV_32S)
    left, top, wide, high = (2 * boxes[:, column].astype(int) for column in range(4))
    owner = top // block * (width // block + 1) + left // block + 1
    owner[np.maximum(wide, high) > block] = 0
    owner[0] = -1  # background
    margin += margin % 2
    for number in np.unique(owner[1:]):
        mine = owner == number
        rows, columns = (
            slice(max(int(start[mine].min()) - margin, 0), min(int((start + size)[mine].max()) + margin, side))
            for start, size, side in ((top, high, height), (left, wide, width))
        )
        half = parts[rows.start // 2 : (rows.stop + 1) // 2, columns.start // 2 : (columns.stop + 1) // 2]
        own = _doubled(look_up(mine, half))[: rows.stop - rows.start, : columns.stop - columns.start]
        yield (rows, columns), own & mask[rows, columns]


def _halved(mask: np.ndarray) -> np.ndarray:
    """Tell of every 2 x 2 pixels whether any is in the mask, uint8: a fourth of the work for who looks for clumps."""
    height, width = mask.shape
    even = mask if height % 2 == width % 2 == 0 else np.pad(mask, ((0, height % 2), (0, width % 2)))
    pairs = np.ascontiguousarray(even).view(np.uint16)
    return ((pairs[0::2] | pairs[1::2]) != 0).view(np.uint8)


def _doubled(mask: np.ndarray) -> np.ndarray:
    """Make 2 x 2 pixels of every one."""
    return np.repeat((mask * np.uint16(0x0101)).view(bool), 2, axis=0)
