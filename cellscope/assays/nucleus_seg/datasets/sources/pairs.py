"""Images with masks by a naming rule."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from cellscope.assays.nucleus_seg.datasets.sources.record import Record, either, load_pair
from cellscope.errors import DatasetError
from cellscope.io.read import SUFFIXES

#: Folder of the images -> folder of the masks beside it.
FOLDERS = {"images": "masks", "image": "mask", "imgs": "masks", "img": "mask"}
#: What may follow the image's name in the mask's.
ENDINGS = ("_mask", "-mask", "_masks", "_gt", "-gt", "_label", "_labels", "_seg")


def image_files(folder: Path) -> list[Path]:
    """List the image files below a folder, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def find_mask(image: Path, files: set[Path]) -> Path | None:
    """Find an image's mask by the naming rules.

    The same name in a folder ``masks`` beside the folder ``images``; the name with an ending such as ``_mask`` in
    either folder; or the same name with another suffix, PNG or TIFF, beside an image that is neither.
    """
    folders = [image.parent]
    if image.parent.name in FOLDERS:
        folders.insert(0, image.parent.parent / FOLDERS[image.parent.name])
    for folder in folders:
        for ending in ("", *ENDINGS):
            for suffix in (".png", ".tif", ".tiff", ".bmp", ".jpg"):
                path = folder / f"{image.stem}{ending}{suffix}"
                lossless_beside = folder != image.parent or ending or suffix in (".png", ".tif", ".tiff")
                if path != image and path in files and lossless_beside:
                    return path
    return None


def is_mask(path: Path) -> bool:
    """Tell by its name whether a file is a mask."""
    return path.parent.name in FOLDERS.values() or path.stem.endswith(ENDINGS)


def find_pairs(folder: Path) -> list[tuple[Path, Path | None]]:
    """List images with their masks; files that serve as a mask are no images."""
    files = set(image_files(folder))
    found = [(path, find_mask(path, files)) for path in sorted(files) if not is_mask(path)]
    masks = {mask for _, mask in found if mask is not None}
    return [(path, mask) for path, mask in found if path not in masks]


def detect(folder: Path) -> bool:
    """Tell whether some image in `folder` has a mask by a naming rule."""
    return folder.is_dir() and any(mask is not None for _, mask in find_pairs(folder))


def read(folder: Path, code: Callable[[np.ndarray, Path], np.ndarray] = either) -> Iterator[Record]:
    """Yield one record per image; those in one sub-folder (a slide, a patient) are one group.

    Images that lie in `folder` itself or in its ``images`` are a group each.

    Raises
    ------
    DatasetError
        If an image has no mask.
    """
    for path, mask in find_pairs(folder):
        if mask is None:
            raise DatasetError(
                f"{path}: there is no mask for it; expected is masks/{path.stem}.png beside its folder, or "
                f"{path.stem}_mask.png beside it"
            )
        inner = [part for part in path.relative_to(folder).parts[:-1] if part not in FOLDERS]
        name = "-".join([*inner, path.stem])
        yield Record(name, path, partial(load_pair, path, mask, code), "-".join(inner) or name)
