"""What the values of a laboratory's own masks mean, found out from all masks of a source together.

The values 0, 1, 2 can be background, cytoplasm and nucleus, or two nuclei with a number each. Cytoplasm surrounds its
nucleus and two nuclei lie apart, so some masks tell; the others of the same source mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from cellscope.assays.nucleus_seg.classes import BACKGROUND, CYTOPLASM, NUCLEUS, OUTSIDE
from cellscope.assays.nucleus_seg.datasets.sources.smear_record import by_table, read_values, three_levels
from cellscope.errors import DatasetError
from cellscope.io.annotations.meaning import FEW, pieces_of
from cellscope.io.annotations.tally import note
from cellscope.io.text import one_line

FOREGROUND = ({255}, {65535})
ALONE = ({1}, *FOREGROUND)
"""The only value of a mask of nuclei alone; 1 is the number of a single nucleus, too."""

LEVELS = {BACKGROUND, CYTOPLASM, NUCLEUS}
SURROUNDED = 0.5
"""Share of a nucleus's outline along cytoplasm from which on 1 and 2 are these two."""

Code = Callable[[np.ndarray, Path], np.ndarray]


def meaning_of(masks: Sequence[Path]) -> Code:
    """Find out what the values of a source's masks mean.

    Returns
    -------
    callable
        Turns a mask's values (H, W) and its path into the codes of `classes`.

    Raises
    ------
    DatasetError
        If masks cannot be read, contradict each other, can mean either, or hold no nucleus at all.
    """
    numbered: Path | None = None
    levels: Path | None = None
    unclear: Path | None = None
    nucleus = False
    for path in masks:
        values = read_values(path)
        kind = _kind(values)
        numbered = path if kind == "numbered" and numbered is None else numbered
        levels = path if kind == "levels" and levels is None else levels
        unclear = path if kind == "unclear" and unclear is None else unclear
        nucleus = nucleus or bool(set(np.unique(values).tolist()) - {BACKGROUND, CYTOPLASM})
    if numbered and levels:
        raise DatasetError(
            f"{one_line(levels)} holds 0, 1, 2 for background, cytoplasm and nucleus, but {one_line(numbered)} has one "
            "number per nucleus; prepare them as two sources"
        )
    if unclear and not numbered and not levels:
        raise DatasetError(
            f"{one_line(unclear)}: 0, 1, 2 can be background, cytoplasm and nucleus, or two numbered nuclei; save "
            "levels as 0, 128, 255, or nuclei as 0 and 255"
        )
    if masks and not nucleus:
        raise DatasetError(f"{one_line(masks[0])}: none of the {len(masks)} masks holds a nucleus (255)")
    if numbered:
        note(f"the masks are label images with one number per nucleus ({one_line(numbered.name)} the first)")
        return _numbered
    if levels:
        return _small_levels
    return _plain


def is_numbered(code: Code, values: np.ndarray) -> bool:
    """Tell whether a mask's values are the numbers of its nuclei, not 255 for all of them."""
    return code is _numbered and set(np.unique(values).tolist()) - {0} not in FOREGROUND


def _kind(values: np.ndarray) -> str:
    """Tell what a mask alone says: ``numbered``, ``levels``, ``unclear``, or nothing."""
    found = set(np.unique(values).tolist()) - {0}
    if not found or found in ALONE or found <= LEVELS or found == {2}:
        return ""
    if found == {1, 2}:
        return _one_and_two(values)
    if len(found) <= FEW and {CYTOPLASM, NUCLEUS} <= found:
        return ""  # levels with a stray value, which is refused
    if values.dtype.kind == "f" and not np.array_equal(values, np.floor(values)):
        return ""
    return "numbered" if len(found) > 1 and pieces_of(values.astype(np.int64)).instances else ""


def _one_and_two(values: np.ndarray) -> str:
    """Tell whether 2 lies within 1 (levels) or apart from it (two nuclei)."""
    count, pieces = cv2.connectedComponents((values == 2).astype(np.uint8), connectivity=8)
    ring = np.ones((3, 3), np.uint8)
    shares = []
    for number in range(1, count):
        own = (pieces == number).astype(np.uint8)
        around = (cv2.dilate(own, ring) > 0) & (own == 0)
        shares.append(float(np.mean(values[around] == 1)) if around.any() else 0.0)
    surrounded = [share >= SURROUNDED for share in shares]
    if all(surrounded):
        return "levels"
    apart = not any(surrounded) and all(pieces_of(values.astype(np.int64)).pieces == 1)
    return "numbered" if apart else "unclear"


def _numbered(mask: np.ndarray, path: Path) -> np.ndarray:
    found = set(np.unique(mask).tolist()) - {0}
    if len(found) > 2 and not found <= LEVELS and not pieces_of(mask.astype(np.int64)).instances:
        return three_levels(mask, path)  # names the values
    return np.where(mask > 0, NUCLEUS, OUTSIDE).astype(np.uint8)


def _small_levels(mask: np.ndarray, path: Path) -> np.ndarray:
    if int(mask.max()) == 1:
        note(f"{one_line(path.name)} holds 0 and 1 only: cytoplasm without a nucleus, as the other masks have 0, 1, 2")
    return three_levels(mask, path)


def _plain(mask: np.ndarray, path: Path) -> np.ndarray:
    """Read a three-level mask, or one of nuclei alone where it holds one value besides 0.

    A mask with the values 0 and 1 is one of nuclei alone; with 2, or with 128, it has cytoplasm.
    """
    found = set(np.unique(mask).tolist()) - {0}
    if not found or found in ALONE:
        return np.where(mask > 0, NUCLEUS, OUTSIDE).astype(np.uint8)
    if len(found) == 1 and not found & {2, CYTOPLASM}:
        (value,) = found
        note(f"{one_line(path.name)} holds 0 and {value}: {value} is taken for nucleus")
        return by_table({0: OUTSIDE, int(value): NUCLEUS})(mask, path)
    return three_levels(mask, path)
