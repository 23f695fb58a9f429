"""Nuclei that another tool outlined: which file, and what its pixels mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from skimage.measure import label as components
from skimage.measure import regionprops

from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations.label_image import LabelImage, read_label_image
from cellscope.io.annotations.meaning import as_instances, whole_numbers
from cellscope.io.annotations.pairing import Rule, find_partner
from cellscope.io.text import one_line

RULE = Rule(
    "mask",
    ("", ".labels", "_labels", "_label", "_mask", "_masks", "_cp_masks", "_seg", "_nuclei"),
    ("masks", "labels"),
    (".tif", ".tiff", ".png", ".npy"),
)
FRAGMENT = 0.2
"""A piece of less than this share of a nucleus's largest piece is a slip of the brush, not a second nucleus."""


def find_mask(source: str, image: str, path: Path) -> Path:
    """Find the mask of an image, named `image` and read from `path`, in a folder of masks; or `source` is the mask.

    Raises
    ------
    InputError
        If there is none, or several.
    """
    return find_partner(Path(source), image, path, RULE)


def read_mask(path: Path, shape: tuple[int, ...], *, binary: str = "refuse") -> np.ndarray:
    """Read a mask as `labels_of` takes it."""
    return labels_of(read_label_image(path), shape, binary=binary)


def labels_of(mask: LabelImage, shape: tuple[int, ...], *, binary: str = "refuse") -> np.ndarray:
    """Check a mask and give its labels.

    Parameters
    ----------
    mask : LabelImage
        Labels (any integer type), or colours on black: one colour per nucleus.
    shape : (H, W) of the field
    binary : str
        ``split`` makes each connected piece of a mask of foreground and background a nucleus; ``refuse`` does not.

    Returns
    -------
    (H, W) int32
        A label image's own numbers; colours are numbered in order of their first pixel.

    Raises
    ------
    InputError
        If sizes differ, a value is not a whole number, the mask is inverted or of classes, or one id is shared by
        several nuclei.
    """
    values, name = mask.values, one_line(mask.path.name)
    if values.shape[:2] != tuple(shape):
        raise InputError(
            f"{name}: the mask is {values.shape[1]} x {values.shape[0]} pixels and its field {shape[1]} x {shape[0]}"
        )
    if values.ndim == 3:
        values = numbered_colours(values)
    try:
        labels = whole_numbers(values, shape, mask.path, "its field")
        labels = as_instances(labels, mask.path, binary=binary)
    except DatasetError as error:
        raise InputError(str(error)) from error
    shared = shared_ids(labels)
    if shared:
        shown = ", ".join(map(str, shared[:5]))
        ids = "1 id is" if len(shared) == 1 else f"{len(shared)} ids are"
        raise InputError(
            f"{name}: {ids} shared by several nuclei ({shown}): the mask is not one per nucleus; label its connected "
            "components first"
        )
    return labels


def numbered_colours(pixels: np.ndarray) -> np.ndarray:
    """Give colours on black, (H, W, 3), numbers in the order of their first pixel: (H, W) int32."""
    colour = (pixels.astype(np.int64) << np.array([32, 16, 0])).sum(2)
    values, first, inverse = np.unique(colour, return_index=True, return_inverse=True)
    rank = np.zeros(len(values), np.int32)
    order = [index for index in np.argsort(first) if values[index] != 0]
    rank[order] = np.arange(1, len(order) + 1)
    return rank[inverse].reshape(pixels.shape[:2])


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
