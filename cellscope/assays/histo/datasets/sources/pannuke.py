"""PanNuke: three folds of patches in NumPy files, ``images.npy``, ``masks.npy`` and ``types.npy`` (the tissues)."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import numpy as np

from cellscope.assays.histo.classes import PIXEL_SIZE_UM
from cellscope.assays.histo.datasets.sources.tissue_record import Annotated, Choices, Record, Source
from cellscope.errors import DatasetError

TYPES = ("neoplastic", "inflammatory", "connective", "dead", "epithelial")
"""The first five channels of a mask, in their order; the sixth is the background (Gamper et al. 2020)."""

#: The first of the official splits: train on fold 1, choose on fold 2, test on fold 3.
SPLITS = ("train", "val", "test")
_FOLD = re.compile(r"fold[ _-]?(\d)", re.IGNORECASE)


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds images and masks of at least one fold."""
    return folder.is_dir() and any(folder.rglob("images.npy")) and any(folder.rglob("masks.npy"))


def read(folder: Path, choices: Choices) -> Source:
    """List the patches of all folds; the fold column keeps theirs, and a patch is a group of its own.

    Raises
    ------
    DatasetError
        If a fold lacks a file or its files do not fit together.
    """
    images, masks, tissues = (_by_fold(folder, f"{name}.npy") for name in ("images", "masks", "types"))
    if images.keys() != masks.keys():
        odd = min(images.keys() ^ masks.keys())
        raise DatasetError(f"{folder}: fold {odd} has no {'masks' if odd in images else 'images'}.npy")
    several = len(images) > 1
    if several and sorted(images) != list(range(1, len(images) + 1)):
        raise DatasetError(f"{folder} holds the folds {', '.join(map(str, sorted(images)))}; all are needed, or one")
    records = []
    for fold, path in sorted(images.items()):
        pictures, annotation = _open(path), _open(masks[fold])
        if pictures.ndim != 4 or pictures.shape[3] != 3 or annotation.shape != (*pictures.shape[:3], len(TYPES) + 1):
            raise DatasetError(
                f"{path}: images of shape {pictures.shape} and masks of shape {annotation.shape} do not fit; PanNuke "
                f"has (N, 256, 256, 3) and (N, 256, 256, {len(TYPES) + 1})"
            )
        named = _open(tissues[fold]) if fold in tissues else np.full(len(pictures), "")
        if len(named) != len(pictures):
            raise DatasetError(f"{tissues[fold]}: {len(named)} tissues for {len(pictures)} images")
        records += [
            Record(
                f"fold{fold}-{number:04d}",
                path,
                partial(load, path, masks[fold], number),
                f"fold{fold}-{number:04d}",
                fixed_split=SPLITS[fold - 1] if len(images) == len(SPLITS) else "",
                fixed_fold=fold - 1 if several else None,
                tissue=str(named[number]),
            )
            for number in range(len(pictures))
        ]
    return Source(records, TYPES, PIXEL_SIZE_UM)


def load(images: Path, masks: Path, number: int) -> Annotated:
    """Read one patch; where nuclei of two types overlap, the later channel is on top."""
    pixels, mask = np.asarray(_open(images)[number]), np.asarray(_open(masks)[number])
    if pixels.min() < 0 or pixels.max() > 255:
        raise DatasetError(f"{images}: image {number} holds values outside 0 .. 255")
    labels = np.zeros(mask.shape[:2], np.int32)
    types: dict[int, str] = {}
    for channel, type_ in enumerate(TYPES):
        values, inverse = np.unique(mask[..., channel], return_inverse=True)
        own = inverse.reshape(labels.shape) + len(types) + (values[0] != 0)  # numbers continue those of other channels
        labels = np.where(mask[..., channel] != 0, own, labels).astype(np.int32)
        first = len(types) + 1
        types |= dict.fromkeys(range(first, first + int((values != 0).sum())), type_)
    visible = set(np.unique(labels).tolist())
    return Annotated(
        np.rint(pixels).astype(np.uint8),
        labels,
        {number: type_ for number, type_ in types.items() if number in visible},
    )


def _by_fold(folder: Path, name: str) -> dict[int, Path]:
    found: dict[int, Path] = {}
    for path in sorted(folder.rglob(name)):
        inner = _FOLD.findall(path.relative_to(folder.parent).as_posix())
        fold = int(inner[-1]) if inner else 1
        if found.setdefault(fold, path) != path:
            raise DatasetError(
                f"{folder} holds two files {name} of fold {fold}; name their folders fold1, fold2, fold3"
            )
    return found


def _open(path: Path) -> np.ndarray:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DatasetError(f"{path}: cannot be read as a NumPy array ({error}); download it again") from error
