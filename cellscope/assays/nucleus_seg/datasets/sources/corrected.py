"""A run that a person reviewed: images with the nuclei that stand there now."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from cellscope.assays.nucleus_seg.classes import NUCLEUS, OUTSIDE
from cellscope.assays.nucleus_seg.datasets.sources.smear_record import Record, load_pair
from cellscope.io.corrections import is_corrected_run, reviewed_images


def detect(folder: Path) -> bool:
    """Tell whether `folder` is a run of nucleus-seg with corrections."""
    return is_corrected_run(folder, "nucleus-seg")


def read(folder: Path) -> Iterator[Record]:
    """Yield the images that were marked as reviewed; those in one sub-folder are one group.

    Cytoplasm is not what was looked at: outside nuclei it stays unknown.

    Raises
    ------
    DatasetError
        No image was reviewed, or one is not there.
    """
    for one in reviewed_images(folder):
        labels = one.file(".labels.tif")
        if labels is None:
            continue
        name = PurePosixPath(one.image).with_suffix("")
        group = str(name.parent) if len(name.parts) > 1 else str(name)
        yield Record(str(name), one.path, partial(load_pair, one.path, labels, _nuclei, numbered=_always), group)


def _always(_labels: np.ndarray) -> bool:
    return True


def _nuclei(labels: np.ndarray, _path: Path) -> np.ndarray:
    return np.where(labels > 0, NUCLEUS, OUTSIDE).astype(np.uint8)
