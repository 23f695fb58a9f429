"""Images with masks by a naming rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from cellscope.assays.nucleus_seg.datasets.sources.meaning import is_numbered, meaning_of
from cellscope.assays.nucleus_seg.datasets.sources.smear_record import Record, load_pair
from cellscope.errors import DatasetError
from cellscope.io.annotations.label_image import SUFFIXES as MASKS
from cellscope.io.annotations.pairing import IMAGE_FOLDERS, Rule, images_among, pair
from cellscope.io.leftovers import files_below
from cellscope.io.read import SUFFIXES

ENDINGS = ("", "_mask", "-mask", "_masks", "_gt", "-gt", "_label", "_labels", "_seg", "_cp_masks")
RULE = Rule("mask", ENDINGS, ("masks", "mask"), MASKS)


def image_files(folder: Path) -> list[Path]:
    """List the image files below a folder, sorted."""
    return files_below(folder, SUFFIXES)


def find_pairs(folder: Path) -> dict[Path, Path | None]:
    """List images with their masks; files that serve as a mask are no images."""
    files = files_below(folder, MASKS)
    images = [path for path in images_among(files, folder, RULE) if path.suffix.lower() in SUFFIXES]
    return pair(images, files, folder, RULE)


def detect(folder: Path) -> bool:
    """Tell whether some image in `folder` has a mask by a naming rule."""
    return folder.is_dir() and any(find_pairs(folder).values())


def read(folder: Path, code: Callable[[np.ndarray, Path], np.ndarray] | None = None) -> Iterator[Record]:
    """Yield one record per image; those in one sub-folder (a slide, a patient) are one group.

    Images that lie in `folder` itself or in its ``images`` are a group each.

    Parameters
    ----------
    folder : Path
    code : callable, optional
        What mask values mean; found out from all masks together by default.

    Raises
    ------
    DatasetError
        If an image has no mask.
    """
    pairs = find_pairs(folder)
    code = code or meaning_of([mask for mask in pairs.values() if mask is not None])
    for path, mask in pairs.items():
        if mask is None:
            raise DatasetError(
                f"{path}: there is no mask for it; expected is masks/{path.stem}.png beside its folder, or "
                f"{path.stem}_mask.png beside it"
            )
        inner = [part for part in path.relative_to(folder).parts[:-1] if part.lower() not in IMAGE_FOLDERS]
        name = "-".join([*inner, path.stem])
        load = partial(load_pair, path, mask, code, numbered=partial(is_numbered, code))
        yield Record(name, path, load, "-".join(inner) or name)
