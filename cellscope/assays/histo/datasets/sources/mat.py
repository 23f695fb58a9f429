"""CoNSeP, CPM-17 and KUMAR as HoVer-Net has them: ``Images`` beside ``Labels`` with a MATLAB file per image.

The MATLAB file holds ``inst_map`` and, in CoNSeP, ``type_map`` and ``inst_type`` with seven types.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from cellscope.assays.histo.classes import CLASSES, PIXEL_SIZE_UM
from cellscope.assays.histo.datasets.sources.mat_file import check_matrices
from cellscope.assays.histo.datasets.sources.tissue_record import (
    Annotated,
    Choices,
    Record,
    Source,
    check_labels,
    check_types,
    colour,
    group_of,
    image_files,
    open_image,
)
from cellscope.errors import DatasetError

ALL = (
    "other", "inflammatory", "normal_epithelial", "malignant_epithelial", "fibroblast", "muscle", "endothelial",
)  # fmt: skip
"""CoNSeP's types in the order of its codes 1 to 7 (Graham et al. 2019)."""

PAPER = ("other", "inflammatory", "normal_epithelial", "malignant_epithelial", "spindle")
"""The merge of the paper, section Training Data: the three kinds of spindle-shaped nuclei are one."""

READ = ("inst_map", "inst_type", "type_map")
"""Variables that are read."""

#: Name of a merge -> what each of the seven codes becomes.
MERGES = {
    "hovernet": (CLASSES[0], CLASSES[1], CLASSES[2], CLASSES[2], CLASSES[3], CLASSES[3], CLASSES[3]),
    "paper": (*PAPER[:4], PAPER[4], PAPER[4], PAPER[4]),
    "all": ALL,
}


def _label_folders(folder: Path) -> list[Path]:
    """Find the folders ``Labels`` that hold MATLAB files and have ``Images`` beside them."""
    return sorted(
        path
        for path in (folder, *folder.rglob("*"))
        if path.is_dir() and path.name.lower() == "labels" and any(path.glob("*.mat")) and _images(path) is not None
    )


def _images(labels: Path) -> Path | None:
    return next((p for p in sorted(labels.parent.iterdir()) if p.is_dir() and p.name.lower() == "images"), None)


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds images beside MATLAB label files."""
    return folder.is_dir() and bool(_label_folders(folder))


def read(folder: Path, choices: Choices) -> Source:
    """List the images; those in a folder ``test*`` stay in the test split, a TCGA case in the name groups.

    The types are CoNSeP's seven, merged as `choices.types` says, or those of ``--classes`` by number.

    Raises
    ------
    DatasetError
        If an image has no label file or one cannot be read.
    """
    merged = choices.classes or MERGES[choices.types]
    records, typed = [], False
    for labels in _label_folders(folder):
        images = _images(labels)
        assert images is not None
        part = labels.parent.name.lower() if labels.parent != folder else ""
        for image in image_files(images):
            path = labels / f"{image.stem}.mat"
            if not path.is_file():
                raise DatasetError(f"{image}: there is no label file {path.name} in {labels}")
            typed = typed or not {"inst_type", "type_map"}.isdisjoint(_names(path))
            records.append(
                Record(
                    "-".join(filter(None, (part, image.stem))),
                    path,
                    partial(load, image, path, merged),
                    group_of(image.stem),
                    "test" if part.startswith("test") else "",
                )
            )
    classes = tuple(dict.fromkeys(merged)) if typed else ()
    return Source(records, classes, PIXEL_SIZE_UM if typed and not choices.classes else None)


def load(image: Path, path: Path, merged: tuple[str, ...]) -> Annotated:
    """Read an image and its MATLAB file.

    Parameters
    ----------
    image, path : Path
    merged : tuple of str
        What the type codes 1, 2, ... become.

    Raises
    ------
    DatasetError
        If the file is no MATLAB file before version 7.3, lacks ``inst_map``, or its numbers or types are not in order.
    """
    content = _open(path)
    if "inst_map" not in content:
        held = ", ".join(sorted(_names(path))) or "nothing"
        raise DatasetError(f"{path}: the file has no inst_map; it holds {held}")
    picture = open_image(image)
    pixels = colour(picture, image)
    labels = check_labels(np.asarray(content["inst_map"]), pixels.shape, path)
    codes = _codes(content, labels, path)
    types = None
    if codes is not None:
        wrong = sorted({code for code in codes.values() if not 1 <= code <= len(merged)})
        if wrong:
            raise DatasetError(
                f"{path}: the type {wrong[0]} is not one of the declared 1 to {len(merged)} ({', '.join(merged)}); "
                "correct the file or declare all types with --classes"
            )
        named = [(number, merged[code - 1]) for number, code in codes.items()]
        types = check_types(named, labels, merged, path)
    return Annotated(pixels, labels, types, picture.pixel_size_um)


def _codes(content: dict[str, Any], labels: np.ndarray, path: Path) -> dict[int, int] | None:
    """Give every nucleus its code: from ``inst_type``, in the order of rising numbers, or from ``type_map``."""
    numbers = np.unique(labels)
    numbers = numbers[numbers > 0]
    if "inst_type" in content:
        given = np.asarray(content["inst_type"]).ravel()
        if len(given) != len(numbers):
            raise DatasetError(
                f"{path}: inst_type has {len(given)} entries but inst_map holds {len(numbers)} nuclei; every nucleus "
                "needs a number of its own and one type"
            )
        return {int(number): int(code) for number, code in zip(numbers, given, strict=True)}
    if "type_map" not in content:
        return None
    map_ = np.asarray(content["type_map"])
    if map_.shape != labels.shape:
        raise DatasetError(f"{path}: type_map is of shape {map_.shape} but inst_map of {labels.shape}")
    low, high = (np.asarray(f(map_, labels, numbers), int) for f in (ndimage.minimum, ndimage.maximum))
    if len(numbers) and (low != high).any():
        first = int(np.flatnonzero(low != high)[0])
        raise DatasetError(
            f"{path}: nucleus {numbers[first]} has two types, {low[first]} and {high[first]}; give every nucleus a "
            "number of its own and one type"
        )
    return {int(number): int(code) for number, code in zip(numbers, low, strict=True)}


def _open(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    check_matrices(path, READ)
    return dict(_reading(partial(loadmat, variable_names=list(READ)), path))


def _names(path: Path) -> set[str]:
    from scipy.io import whosmat

    return {name for name, _, _ in _reading(whosmat, path)}


def _reading(function: Any, path: Path) -> Any:
    try:
        return function(str(path))
    except NotImplementedError as error:  # what scipy raises for version 7.3, another format (HDF5); no set here has it
        raise DatasetError(
            f"{path}: the file is of MATLAB's version 7.3, which is not read; save it again with save(..., '-v7')"
        ) from error
    except Exception as error:  # scipy's reader fails in many ways on a damaged file
        raise DatasetError(f"{path}: cannot be read as a MATLAB file ({error}); download it again") from error
