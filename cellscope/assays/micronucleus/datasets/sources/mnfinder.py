"""MNFinder's layout: ``images/``, ``nucleus_masks/`` and ``mn_masks/`` of equal file names, anywhere below the source.

Masks are RGBA (alpha 0 is background, the colour is the cell, and a micronucleus has the colour of its nucleus), or
label images in which a micronucleus has the number of its nucleus.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from skimage.measure import label as components
from skimage.measure import regionprops

from cellscope.assays.micronucleus.classes import MICRONUCLEUS, NORMAL
from cellscope.assays.micronucleus.datasets.sources.record import FieldRecord
from cellscope.assays.micronucleus.field.field import choose_channel, to_integers
from cellscope.assays.micronucleus.field.reading import read_field
from cellscope.errors import DatasetError, InputError
from cellscope.io.read import SUFFIXES

MASK_SUFFIXES = (".png", ".tif", ".tiff")
DAY = re.compile(r"\d{4}-\d\d-\d\d")
SMALLEST = 5
"""Micronuclei of fewer pixels do not make a cell positive: annotators' single clicks, and noise."""

FRAGMENT = 0.2
"""A piece of a nucleus of less than this share of its largest piece is a slip of the brush, not a second nucleus."""


def detect(source: Path) -> bool:
    """Tell whether anything below `source` is laid out so."""
    return source.is_dir() and any(True for _ in _sets(source))


def _sets(source: Path) -> Iterator[Path]:
    """Yield the folders that hold the three."""
    for masks in sorted(source.rglob("nucleus_masks")):
        if (masks.parent / "images").is_dir() and (masks.parent / "mn_masks").is_dir():
            yield masks.parent


def read_source(source: Path, options: Any) -> Iterator[FieldRecord]:
    """Yield the fields; the cell line is the set's folder name after its last ``_`` (``2022-05-26_RPE1`` -> ``RPE1``).

    Raises
    ------
    DatasetError
        For a missing or unreadable mask, or one of another size than its image.
    """
    for folder in _sets(source):
        part = folder.parent.name if folder.parent != source else ""
        prefix = "-".join(filter(None, (part, folder.name)))
        for path in sorted(p for p in (folder / "images").iterdir() if p.suffix.lower() in SUFFIXES):
            try:
                image = read_field(path)
                grey = choose_channel(image.pixels, options.channel, path.name)
            except InputError as error:
                raise DatasetError(str(error)) from error
            nuclei, micronuclei = (
                mask_of(folder / kind, path.stem, grey.shape) for kind in ("nucleus_masks", "mn_masks")
            )
            day, _, line = folder.name.rpartition("_")
            record = field_of(f"{prefix}-{path.stem}", line, to_integers(grey, image.pixels.dtype), nuclei, micronuclei)
            record.facts = {"line": line, "day": day if DAY.fullmatch(day) else ""}
            yield record


def mask_of(folder: Path, stem: str, shape: tuple[int, ...]) -> np.ndarray:
    """Read the mask of a name: (H, W) int64 codes, 0 background.

    Raises
    ------
    DatasetError
        If it is missing, unreadable, or of another size than `shape`.
    """
    path = next((folder / (stem + suffix) for suffix in MASK_SUFFIXES if (folder / (stem + suffix)).is_file()), None)
    if path is None:
        raise DatasetError(f"{folder / stem}.*: there is no mask of that name ({', '.join(MASK_SUFFIXES)})")
    pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise DatasetError(f"{path}: the mask cannot be read")
    if pixels.shape[:2] != tuple(shape):
        raise DatasetError(
            f"{path}: the mask is {pixels.shape[1]} x {pixels.shape[0]}, its image {shape[1]} x {shape[0]}"
        )
    return decode(pixels)


def decode(pixels: np.ndarray) -> np.ndarray:
    """Turn a mask file's pixels into codes: 0 background, equal where the colour or the label is.

    Parameters
    ----------
    pixels : (H, W) integer labels, (H, W, 3) colours on black, or (H, W, 4) with alpha
    """
    if pixels.ndim == 2:
        return pixels.astype(np.int64)
    colour = (pixels[..., :3].astype(np.int64) << np.array([16, 8, 0])).sum(2)
    inside = pixels[..., 3] > 0 if pixels.shape[2] == 4 else colour > 0
    return np.where(inside, colour + 1, 0)


def field_of(name: str, line: str, grey: np.ndarray, nucleus_codes: np.ndarray, mn_codes: np.ndarray) -> FieldRecord:
    """Give nuclei and micronuclei numbers and tie them by their codes.

    A code used for several nuclei (it happens in the public set) makes several nuclei; a micronucleus of that code
    belongs to the nearest of them.
    """
    nuclei = np.zeros(nucleus_codes.shape, np.int32)
    code_of: list[int] = [0]
    shared = 0
    pieces = components(nucleus_codes, connectivity=1)
    regions: dict[int, list[Any]] = {}
    for region in regionprops(pieces):
        row, column = region.coords[0]
        regions.setdefault(int(nucleus_codes[row, column]), []).append(region)
    for code, parts in sorted(regions.items()):
        largest = max(part.area for part in parts)
        bodies = [part for part in parts if part.area >= FRAGMENT * largest]
        shared += len(bodies) > 1
        for part in bodies:
            code_of.append(code)
            nuclei[tuple(part.coords.T)] = len(code_of) - 1
    if shared:
        print(f"{name}: {shared} mask colours are shared by several nuclei; each piece counts as one", file=sys.stderr)
    micronuclei = components(mn_codes, connectivity=1).astype(np.int32)
    centres = {region.label: np.array(region.centroid) for region in regionprops(nuclei)}
    labels_of: dict[int, list[int]] = {}
    for label, code in enumerate(code_of[1:], 1):
        labels_of.setdefault(code, []).append(label)
    parents = {}
    classes = dict.fromkeys(centres, NORMAL)
    for region in regionprops(micronuclei):
        row, column = region.coords[0]
        candidates = labels_of.get(int(mn_codes[row, column]), [])
        if not candidates:
            continue
        distances = [float(np.hypot(*(centres[label] - region.centroid))) for label in candidates]
        parents[int(region.label)] = candidates[int(np.argmin(distances))]
        if region.area >= SMALLEST:
            classes[parents[int(region.label)]] = MICRONUCLEUS
    return FieldRecord(name, line, grey, nuclei, micronuclei, parents, classes)
