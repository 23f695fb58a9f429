"""What every reader yields: an image with either one class or many instances."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Instance:
    """One annotated chromosome of a metaphase.

    Attributes
    ----------
    bbox : tuple of float
        ``x, y, width, height`` in pixels, COCO's convention.
    mask : (height, width) bool array over the box rounded outwards, or None
        None where the source gives boxes only.
    class_ : str or None
        One of the 24 classes; None where unknown.
    ignore : bool
        True for what must not teach anything: merged homologues that the source cannot tell apart.
    """

    bbox: tuple[float, float, float, float]
    mask: np.ndarray | None = None
    class_: str | None = None
    ignore: bool = False


@dataclass
class Record:
    """One image of a source: a metaphase with `instances`, or a single chromosome with `class_`.

    Attributes
    ----------
    name : str
        Unique within the source.
    path : Path
        The image file.
    group : str
        Patient, cell, case, culture or slide: what a split must keep together.
    case : str
        Another name of the group, by which further data sets of the same laboratory may know it; empty where there is
        none.
    abnormal : bool
        True for a cell known to hold a structural or numerical abnormality.
    train_only : bool
        True where the group's relation to others is unknown, so that it may only be trained on.
    facts : dict
        More columns of `items.csv`.
    shape : (height, width), optional
        Of the image that `instances` belong to, where the annotation tells.
    source : Path, optional
        The file with the annotation, for messages.
    """

    name: str
    path: Path
    group: str
    instances: list[Instance] | None = None
    class_: str = ""
    case: str = ""
    abnormal: bool = False
    train_only: bool = False
    facts: dict[str, str] = field(default_factory=dict)
    shape: tuple[int, int] | None = None
    source: Path | None = None


def crop_mask(mask: np.ndarray) -> tuple[tuple[float, float, float, float], np.ndarray]:
    """Cut a whole-image mask to its bounding box.

    Parameters
    ----------
    mask : (H, W) bool, not empty

    Returns
    -------
    bbox : tuple
        ``x, y, width, height``.
    mask : (height, width) bool
    """
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    y, x = int(rows[0]), int(columns[0])
    cut = mask[y : rows[-1] + 1, x : columns[-1] + 1]
    return (float(x), float(y), float(cut.shape[1]), float(cut.shape[0])), np.ascontiguousarray(cut)
