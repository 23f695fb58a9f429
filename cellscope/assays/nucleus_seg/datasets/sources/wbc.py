"""White blood cells of Zheng et al. 2018, the set of the paper's Table 7: ``dataset1`` and ``dataset2`` with masks."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from cellscope.assays.nucleus_seg.datasets.sources.smear_record import Record, load_pair, tolerant
from cellscope.errors import DatasetError
from cellscope.io.leftovers import files_below

FOLDERS = {"dataset1": "dataset1", "dataset2": "dataset2", "Dataset 1": "dataset1", "Dataset 2": "dataset2"}


def detect(folder: Path) -> bool:
    """Tell whether `folder` holds one of the two sets, images beside masks of the same name."""
    return folder.is_dir() and any(any((folder / name).glob("*.bmp")) for name in FOLDERS)


def read(folder: Path) -> Iterator[Record]:
    """Yield one record per ``.bmp`` with a ``.png`` of the same name: 0 background, 128 cytoplasm, 255 nucleus.

    Five masks of dataset2 hold stray values, so ranges decide: nucleus from 200, cytoplasm 64 to 199. The set does not
    say which patient or slide a cell is from: every image is a group of its own.
    """
    for name, part in FOLDERS.items():
        for path in files_below(folder / name, (".bmp",), deep=False):
            mask = path.with_suffix(".png")
            if not mask.is_file():
                raise DatasetError(f"{path}: there is no mask {mask.name} beside it")
            yield Record(
                f"{part}-{path.stem}", path, partial(load_pair, path, mask, tolerant), f"{part}-{path.stem}", part
            )
