"""ADIR (PSI) M-FISH: DAPI metaphases with a per-pixel class map, turned into instances."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.datasets.sources.metaphase_record import Instance, Record, crop_mask
from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.leftovers import files_below

OVERLAP = 255
MIN_AREA = 30
#: A component this many times larger than half of its class's area is taken for two homologues that touch.
MERGED = 1.5


def detect(folder: Path) -> bool:
    """Tell whether `folder` has ADIR's ``dapi`` and ``classmap`` folders."""
    return (folder / "dapi").is_dir() and (folder / "classmap").is_dir()


def read(folder: Path) -> Iterator[Record]:
    """Yield the metaphases; the group is the slide (first three characters of the name)."""
    for path in files_below(folder / "dapi", (".png",), deep=False):
        map_path = folder / "classmap" / path.name
        try:
            class_map = read_label_image(map_path).values
        except InputError as error:
            raise DatasetError(f"{map_path} is missing or unreadable ({error})") from error
        yield Record(
            name=path.stem,
            path=path,
            group=path.stem[:3],
            instances=instances_of(class_map),
            facts={"code": path.stem[5:]},
        )


def instances_of(class_map: np.ndarray) -> list[Instance]:
    """Turn a class map into chromosomes.

    Each class's pixels, joined through the overlap pixels they touch, fall into components. Overlap pixels belong to
    every chromosome they touch. Homologues that touch cannot be told apart in a class map: a component that holds
    most of a two-copy class is marked `ignore`.

    Parameters
    ----------
    class_map : (H, W) uint8
        0 background, 1..22, 23 = X, 24 = Y, 255 overlap.

    Returns
    -------
    list of Instance
    """
    overlap = class_map == OVERLAP
    eight = np.ones((3, 3), int)
    areas = {}
    parts: dict[int, list[np.ndarray]] = {}
    for value in range(1, len(CLASSES) + 1):
        own = class_map == value
        if own.sum() < MIN_AREA:
            continue
        # Only overlap regions that touch this class may bridge its pieces.
        overlap_labels, _ = ndimage.label(overlap, eight)
        touched = np.unique(overlap_labels[ndimage.binary_dilation(own, eight) & overlap])
        joined = own | np.isin(overlap_labels, touched[touched > 0])
        labels, count = ndimage.label(joined, eight)
        own_area = np.bincount(labels[own], minlength=count + 1)
        parts[value] = [labels == index for index in range(1, count + 1) if own_area[index] >= MIN_AREA]
        areas[value] = [int(own_area[index]) for index in range(1, count + 1) if own_area[index] >= MIN_AREA]
    # Area per unit of genome is nearly constant in one cell, so what one copy of a class should cover can be told.
    single = _copy_area(areas)
    instances = []
    for value, masks in parts.items():
        for mask, area in zip(masks, areas[value], strict=True):
            bbox, cut = crop_mask(mask)
            instances.append(Instance(bbox, cut, CLASSES[value - 1], ignore=area > MERGED * single[value]))
    return instances


# Approximate lengths in megabases (GRCh38), for relative size only.
MEGABASES = (
    248,
    242,
    198,
    190,
    182,
    171,
    159,
    145,
    138,
    134,
    135,
    133,
    114,
    107,
    102,
    90,
    83,
    80,
    59,
    64,
    47,
    51,
    156,
    57,
)


def _copy_area(areas: dict[int, list[int]]) -> dict[int, float]:
    ratios = [area / MEGABASES[value - 1] for value, listed in areas.items() for area in listed]
    per_megabase = float(np.median(ratios)) if ratios else 1.0
    return {value: per_megabase * MEGABASES[value - 1] for value in areas}
