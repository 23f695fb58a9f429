"""SN-AM (B-ALL and myeloma marrow): crops of 350 x 350 centred on each annotated nucleus, as in the paper.

The public set holds whole fields; the paper's experts drew the masks. Expected are fields in ``images`` with masks of
the same name in ``nuclei``: 0 outside, and 255 or one number per nucleus inside.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from skimage.measure import label as components

from cellscope.assays.nucleus_seg.classes import NUCLEUS, OUTSIDE
from cellscope.assays.nucleus_seg.datasets.sources.pairs import MASKS, image_files
from cellscope.assays.nucleus_seg.datasets.sources.smear_record import Annotated, Record, load_pair, read_values
from cellscope.errors import DatasetError
from cellscope.imaging.labels import relabel
from cellscope.io.annotations.pairing import Rule, pair
from cellscope.io.leftovers import files_below

#: Side of a crop, pixels ("uniformly set to 350 x 350", paper, Dataset Construction).
SIDE = 350
RULE = Rule("mask", ("",), ("nuclei",), MASKS)


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds ``images`` and ``nuclei``."""
    return (folder / "images").is_dir() and (folder / "nuclei").is_dir()


def read(folder: Path) -> Iterator[Record]:
    """Yield one record per annotated nucleus; all crops of one field are one group."""
    images, masks = image_files(folder / "images"), files_below(folder / "nuclei", RULE.suffixes)
    for path, mask in pair(images, masks, folder, RULE).items():
        if mask is None:
            raise DatasetError(f"{path}: there is no mask {path.stem} in nuclei/")
        for number, centre in enumerate(_centres(mask), 1):
            load = partial(_load, path, mask, centre)
            yield Record(f"{path.stem}-{number:03}", path, load, path.stem)


def _coded(mask: np.ndarray, _path: Path) -> np.ndarray:
    return np.where(mask > 0, NUCLEUS, OUTSIDE).astype(np.uint8)


def _labels(path: Path) -> np.ndarray:
    values = read_values(path).astype(np.int64)
    return relabel(values) if len(np.unique(values)) > 2 else components(values > 0, connectivity=2)


def _centres(path: Path) -> list[tuple[int, int]]:
    """Find the centre of every nucleus: numbers where the mask has several, components where it has one."""
    labels = _labels(path)
    centres = []
    for number in range(1, labels.max() + 1):
        rows, columns = np.nonzero(labels == number)
        centres.append((round(float(rows.mean())), round(float(columns.mean()))))
    return centres


def _load(image: Path, mask: Path, centre: tuple[int, int]) -> Annotated:
    whole = load_pair(image, mask, _coded)
    labels = _labels(mask)
    return Annotated(
        centred_crop(whole.image, centre, SIDE, 0),
        centred_crop(whole.mask, centre, SIDE, OUTSIDE),
        relabel(centred_crop(labels, centre, SIDE, 0)),
    )


def centred_crop(array: np.ndarray, centre: tuple[int, int], side: int, fill: int) -> np.ndarray:
    """Cut a square centred on a point; what lies outside the image is filled (black, in the paper).

    Parameters
    ----------
    array : (H, W) or (H, W, C)
    centre : (row, column)
    side : int
    fill : int

    Returns
    -------
    (side, side) or (side, side, C), dtype of `array`
    """
    crop = np.full((side, side, *array.shape[2:]), fill, array.dtype)
    top, left = centre[0] - side // 2, centre[1] - side // 2
    inside = array[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)]
    y, x = max(-top, 0), max(-left, 0)
    crop[y : y + inside.shape[0], x : x + inside.shape[1]] = inside
    return crop
