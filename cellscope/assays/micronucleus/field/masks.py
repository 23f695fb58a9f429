"""Nuclei that another tool outlined: which file, and what its pixels mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage.measure import label as components
from skimage.measure import regionprops

from cellscope.errors import InputError
from cellscope.io.beside import find_beside
from cellscope.io.image import Image
from cellscope.io.read import read

ENDINGS = ("", ".labels", "_labels", "_label", "_mask", "_masks", "_cp_masks", "_nuclei")
SUFFIXES = (".tif", ".tiff", ".png")
FRAGMENT = 0.2
"""A piece of less than this share of a nucleus's largest piece is a slip of the brush, not a second nucleus."""


def find_mask(place: str, image: str) -> Path:
    """Find the mask of an image; InputError if there is none."""
    return find_beside(Path(place), image, ENDINGS, SUFFIXES)


def read_mask(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read a mask as `labels_of` takes it."""
    return labels_of(read(path), shape)


def labels_of(mask: Image, shape: tuple[int, ...]) -> np.ndarray:
    """Check a mask and give its labels.

    Parameters
    ----------
    mask : Image
        Labels (any integer type), or colours on black: one colour per nucleus.
    shape : (H, W) of the field

    Returns
    -------
    (H, W) int32
        A label image's own numbers; colours are numbered in order of their first pixel.

    Raises
    ------
    InputError
        If sizes differ, a value is not a whole number, or one id is shared by several nuclei.
    """
    pixels = mask.pixels
    if pixels.shape[:2] != tuple(shape):
        raise InputError(
            f"{mask.name}: the mask is {mask.width} x {mask.height} pixels and its field {shape[1]} x {shape[0]}"
        )
    if pixels.shape[2] == 1:
        values = pixels[..., 0]
        if values.dtype.kind == "f" and not np.array_equal(values, np.rint(values)):
            raise InputError(f"{mask.name}: the mask holds fractions; a label image has whole numbers")
        if values.min() < 0 or values.max() >= 2**31:
            raise InputError(f"{mask.name}: labels must lie between 0 and {2**31 - 1}")
        labels = values.astype(np.int32)
    else:
        colour = (pixels[..., :3].astype(np.int64) << np.array([32, 16, 0])).sum(2)
        values, first, inverse = np.unique(colour, return_index=True, return_inverse=True)
        rank = np.zeros(len(values), np.int32)
        order = [index for index in np.argsort(first) if values[index] != 0]
        rank[order] = np.arange(1, len(order) + 1)
        labels = rank[inverse].reshape(shape)
    shared = shared_ids(labels)
    if shared:
        shown = ", ".join(map(str, shared[:5]))
        ids = "1 id is" if len(shared) == 1 else f"{len(shared)} ids are"
        what = (
            "looks like a mask of foreground and background"
            if len(np.unique(labels)) == 2
            else "is not one per nucleus"
        )
        raise InputError(
            f"{mask.name}: {ids} shared by several nuclei ({shown}): the mask {what}; "
            "label its connected components first"
        )
    return labels


def shared_ids(labels: np.ndarray) -> list[int]:
    """Return the labels that several separate nuclei share; specks beside a nucleus do not count.

    Parameters
    ----------
    labels : (H, W) int
    """
    areas: dict[int, list[float]] = {}
    for region in regionprops(components(labels, connectivity=2)):
        row, column = region.coords[0]
        areas.setdefault(int(labels[row, column]), []).append(float(region.area))
    return sorted(
        label for label, sizes in areas.items() if len(sizes) > 1 and sorted(sizes)[-2] >= FRAGMENT * max(sizes)
    )
