"""Raabin-WBC's cells with nucleus and cytoplasm masks: ``Original/<class>/*`` and ``Ground Truth/<class>/*``."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cellscope.assays.nucleus_seg.datasets.sources.pairs import image_files
from cellscope.assays.nucleus_seg.datasets.sources.smear_record import Record, load_pair, tolerant
from cellscope.errors import DatasetError

IMAGES = ("Original", "original", "Images")
MASKS = ("Ground Truth", "GroundTruth", "ground truth", "GrTh")


def _folders(folder: Path) -> tuple[Path, Path] | None:
    images = next((folder / name for name in IMAGES if (folder / name).is_dir()), None)
    masks = next((folder / name for name in MASKS if (folder / name).is_dir()), None)
    return (images, masks) if images and masks else None


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds originals beside their ground truth."""
    return folder.is_dir() and _folders(folder) is not None


def read(folder: Path) -> Iterator[Record]:
    """Yield one record per original; masks are JPEG, so ranges decide: nucleus from 200, cytoplasm 64 to 199.

    The slide is the part of the file's name before the first ``_``, where there is one; it groups.

    Raises
    ------
    DatasetError
        If the layout is another or an original has no mask.
    """
    found = _folders(folder)
    if found is None:
        raise DatasetError(f"{folder} is not in Raabin's layout: it lacks Original/ or 'Ground Truth'/")
    originals, truths = found
    masks = {path.relative_to(truths).with_suffix(""): path for path in image_files(truths)}
    for path in image_files(originals):
        place = path.relative_to(originals).with_suffix("")
        if place not in masks:
            raise DatasetError(f"{path}: there is no mask {place} in {truths.name}")
        name = "-".join(place.parts)
        slide = path.stem.split("_")[0] if "_" in path.stem else name
        yield Record(name, path, partial(load_pair, path, masks[place], tolerant), slide)
