"""What the numbers of a label image mean: one per object, foreground and background, or classes; never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from skimage.measure import label as components

from cellscope.errors import DatasetError
from cellscope.io.annotations.tally import note
from cellscope.io.text import one_line

FRAGMENT = 0.2
"""A piece of less than this share of a number's largest piece is a slip of the brush, not a second object."""

FEW = 10
"""Classes are few: more numbers than this are objects, or damage."""

MOST = 2**24

BORDER = 0.8
"""Share of the border that no object covers: a number that does is the background."""


@dataclass(frozen=True)
class Pieces:
    """How the numbers of a label image lie.

    Attributes
    ----------
    values : (N,) int64
        Numbers other than 0.
    pieces : (N,) int
        Separate pieces of each, specks left out.
    dominant : (N,) float
        Share of the largest piece in each.
    areas : (N,) int
        Pixels.
    """

    values: np.ndarray
    pieces: np.ndarray
    dominant: np.ndarray
    areas: np.ndarray

    @property
    def single(self) -> bool:
        """Whether there is one number only, in several pieces: foreground and background."""
        return len(self.values) == 1 and int(self.pieces[0]) > 1

    @property
    def classes(self) -> bool:
        """Whether the numbers are classes: a few, which come in several pieces each."""
        several = self.pieces > 1
        enough = bool(self.pieces.sum() >= 2 * len(several))
        return 1 < len(self.values) <= FEW and bool(several.mean() > 0.5) and enough

    @property
    def instances(self) -> bool:
        """Whether the numbers are objects: nearly all in one piece, of a few pixels at least."""
        whole = (self.dominant >= 1 - FRAGMENT) & (self.areas >= 5)
        return bool(len(self.values)) and float(whole.mean()) >= 1 - FRAGMENT


def pieces_of(values: np.ndarray) -> Pieces:
    """Look how the numbers of a label image lie.

    Parameters
    ----------
    values : (H, W) integer
    """
    numbers, inverse = np.unique(values, return_inverse=True)
    codes = inverse.reshape(values.shape).astype(np.int32) + (1 if numbers[0] != 0 else 0)
    parts, count = components(codes, background=0, connectivity=2, return_num=True)
    areas = np.bincount(parts.ravel(), minlength=count + 1)[1:]
    owner = np.zeros(count + 1, np.int64)
    owner[parts.ravel()] = codes.ravel()
    owner = owner[1:]
    total = int(codes.max())
    largest = np.zeros(total + 1, np.int64)
    np.maximum.at(largest, owner, areas)
    bodies = np.bincount(owner[areas >= FRAGMENT * largest[owner]], minlength=total + 1)
    sums = np.bincount(owner, weights=areas, minlength=total + 1)
    kept = numbers[numbers != 0].astype(np.int64)
    return Pieces(kept, bodies[1:], largest[1:] / np.maximum(sums[1:], 1), sums[1:].astype(np.int64))


def whole_numbers(values: np.ndarray, shape: tuple[int, ...], path: Path, image: str = "its image") -> np.ndarray:
    """Check that values are whole numbers, one per pixel of an image.

    Parameters
    ----------
    values : (H, W), (H, W, 1) or (H, W, C) with equal channels
    shape : of the image
    path : Path
        Of the labels, for messages.
    image : str
        What to call the image.

    Returns
    -------
    (H, W) int32

    Raises
    ------
    DatasetError
        For colours, another size, fractions, negative or very large numbers.
    """
    shown = one_line(path)
    if values.ndim == 3:
        if (values != values[..., :1]).any():
            raise DatasetError(f"{shown}: the label image has colours; give one number per object in one channel")
        values = values[..., 0]
    if values.ndim != 2 or values.shape != tuple(shape[:2]):
        raise DatasetError(
            f"{shown}: the label image is {' x '.join(map(str, values.shape[::-1]))} pixels but {image} is "
            f"{shape[1]} x {shape[0]}; they must be of one size"
        )
    if values.dtype.kind == "f" and not (np.isfinite(values).all() and np.array_equal(values, np.floor(values))):
        raise DatasetError(f"{shown}: the labels are fractions; give one whole number per object and 0 outside")
    if values.size and (values.min() < 0 or values.max() >= MOST):
        raise DatasetError(f"{shown}: labels must lie in 0 .. {MOST - 1}, not {values.min():g} .. {values.max():g}")
    return values.astype(np.int32)


def as_instances(labels: np.ndarray, path: Path, *, binary: str = "refuse") -> np.ndarray:
    """Make sure that a label image has one number per object.

    Parameters
    ----------
    labels : (H, W) int32
    path : Path
        For messages.
    binary : str
        ``split`` makes the connected pieces of a mask of foreground and background objects; ``refuse`` does not.

    Returns
    -------
    (H, W) int32

    Raises
    ------
    DatasetError
        For a mask of foreground and background, a map of classes, or one whose background has a number.
    """
    found = pieces_of(labels)
    if not len(found.values):
        return labels
    shown = one_line(path)
    refuse_background(labels, found, shown)
    if found.single:
        if binary == "split":
            split = components(labels, background=0, connectivity=2).astype(np.int32)
            note(f"binary masks are split: connected foreground is one object ({one_line(path.name)} the first)")
            return split
        raise DatasetError(
            f"{shown}: the mask has one number only ({found.values[0]}) for {found.pieces[0]} separate pieces: it is "
            "binary, foreground and background; give every object a number of its own, or let --binary split make each "
            "connected piece an object"
        )
    if found.classes:
        listed = ", ".join(map(str, found.values[:5]))
        raise DatasetError(
            f"{shown}: the numbers ({listed}) come in {int(found.pieces.sum())} separate pieces: they look like "
            "classes, not like objects; give every object a number of its own"
        )
    return labels


def refuse_background(labels: np.ndarray, found: Pieces, shown: str) -> None:
    """Refuse a label image in which the background is an object: inverted, or numbered from 1.

    Raises
    ------
    DatasetError
        If one number covers the whole image, or most of it and nearly all of its border.
    """
    top = int(np.argmax(found.areas))
    number, share = int(found.values[top]), float(found.areas[top]) / labels.size
    if share == 1:
        raise DatasetError(
            f"{shown}: the mask has the number {number} everywhere: there is no background (0); is the mask in another "
            "channel or page, such as alpha?"
        )
    border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    if share > 0.5 and float(np.mean(border == number)) > BORDER:
        raise DatasetError(
            f"{shown}: the number {number} covers {share:.0%} of the image and its border: it looks like the "
            "background, and the mask inverted; 0 must be outside"
        )
