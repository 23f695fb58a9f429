"""Run lengths of masks, as COCO and CVAT have them, checked and decoded in Python: no C code sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_PIXELS = 2**28


def parse_counts(counts: Any) -> np.ndarray:
    """Give run lengths as numbers.

    Parameters
    ----------
    counts : list of int, str or bytes
        A text is COCO's compressed form: 5 bits a letter, from the lowest; the sixth bit says that more follow; from
        the fourth number on the difference to the one before the last (``rleFrString`` of the COCO API).

    Returns
    -------
    (N,) int64

    Raises
    ------
    ValueError
        What is wrong, in words that follow "its run lengths".
    """
    if isinstance(counts, (str, bytes)):
        runs = _unpack(counts.encode("latin-1", "replace") if isinstance(counts, str) else counts)
    elif isinstance(counts, (list, tuple)):
        if not all(isinstance(count, int) and not isinstance(count, bool) for count in counts):
            raise ValueError("hold something other than whole numbers")
        if counts and max(map(abs, counts)) > 2**40:
            raise ValueError("hold a number that is too large")
        runs = np.array(counts, np.int64)
    else:
        raise ValueError("are neither a list nor a text")
    if len(runs) and int(runs.min()) < 0:
        raise ValueError("hold a negative number")
    return runs


def _unpack(text: bytes) -> np.ndarray:
    codes = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if len(codes) and (codes.min() < 0 or codes.max() > 63):
        raise ValueError("hold a letter that COCO's compression does not use")
    ends = np.flatnonzero((codes & 0x20) == 0)
    if len(codes) and (not len(ends) or ends[-1] != len(codes) - 1):
        raise ValueError("end in the middle of a number")
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    lengths = ends - starts + 1
    if len(lengths) and lengths.max() > 8:
        raise ValueError("hold a number that is too large")
    place = np.arange(len(codes)) - np.repeat(starts, lengths)
    values = np.add.reduceat((codes & 0x1F) << (5 * place), starts) if len(starts) else starts
    negative = (codes[ends] & 0x10) > 0
    values = values - (negative.astype(np.int64) << (5 * lengths))
    # x[i] += x[i - 2] from the fourth on: a running sum over every other number, the second and third its starts
    for first in (1, 2):
        values[first::2] = np.cumsum(values[first::2])
    return values


def decode(runs: np.ndarray, height: int, width: int, *, by_columns: bool = True) -> np.ndarray:
    """Draw run lengths, the first of them outside.

    Parameters
    ----------
    runs : (N,) int64, not negative
    height, width : int
    by_columns : bool
        COCO goes down the columns, CVAT along the rows.

    Returns
    -------
    (height, width) bool

    Raises
    ------
    ValueError
        If they do not add up to the size.
    """
    total = int(runs.sum()) if len(runs) else 0
    if height * width > MOST_PIXELS or total != height * width:
        raise ValueError(f"add up to {total} pixels, but its size is {width} x {height}")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return np.ascontiguousarray(inside.reshape(width, height).T) if by_columns else inside.reshape(height, width)


def check_size(size: Any) -> tuple[int, int]:
    """Check COCO's ``size``: (height, width); ValueError in words that follow "its run lengths"."""
    usable = isinstance(size, Sequence) and not isinstance(size, str) and len(size) == 2
    if not usable or not all(isinstance(side, int) and 0 < side < 2**31 for side in size):
        raise ValueError(f"state the size {str(size)[:40]!r}, which is not a height and a width")
    return int(size[0]), int(size[1])
