"""What `prepare` stored beside the masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cellscope.assays.nucleus_seg.classes import nuclei_of
from cellscope.io.annotations.label_image import read_label_image


def read_nuclei(root: Path, target: str) -> np.ndarray | None:
    """Read the numbers of a mask's nuclei.

    Parameters
    ----------
    root : Path
        Of the dataset.
    target : str
        The mask, relative to it.

    Returns
    -------
    (H, W) int or None
        None where the mask alone tells the nuclei apart.
    """
    path = root / nuclei_of(target)
    return read_label_image(path).values.astype(np.int32) if path.is_file() else None
