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

import numpy as np
from skimage.measure import label as components
from skimage.measure import regionprops

from cellscope.assays.micronucleus.classes import MICRONUCLEUS, NORMAL
from cellscope.assays.micronucleus.datasets.sources.field_record import FieldRecord
from cellscope.assays.micronucleus.field.field import grey_of, to_integers
from cellscope.errors import DatasetError, InputError
from cellscope.io.annotations.label_image import read_label_image
from cellscope.io.annotations.meaning import pieces_of, refuse_background
from cellscope.io.annotations.pairing import Rule, pair
from cellscope.io.annotations.picture import read_picture
from cellscope.io.choice import Wants
from cellscope.io.leftovers import files_below
from cellscope.io.read import SUFFIXES

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".npy")
ENDINGS = ("", "_mask", "_masks", "_cp_masks", "_labels", "_nuclei", "_mn")
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
        images = files_below(folder / "images", SUFFIXES, deep=False)
        masks = [masks_of(folder, kind, images) for kind in ("nucleus_masks", "mn_masks")]
        for path in images:
            try:
                image = read_picture(path, Wants.STAIN)
                grey = grey_of(image.pixels, path.name)
            except InputError as error:
                raise DatasetError(str(error)) from error
            nuclei, micronuclei = (mask_of(found[path], grey.shape) for found in masks)
            if nuclei.any():
                outlined = (nuclei > 0).astype(np.int32)
                refuse_background(outlined, pieces_of(outlined), str(masks[0][path]))
            day, _, line = folder.name.rpartition("_")
            record = field_of(f"{prefix}-{path.stem}", line, to_integers(grey, image.pixels.dtype), nuclei, micronuclei)
            record.facts = {"line": line, "day": day if DAY.fullmatch(day) else ""}
            yield record


def masks_of(folder: Path, kind: str, images: list[Path]) -> dict[Path, Path]:
    """Find the masks of one kind of all images of a set."""
    files = files_below(folder / kind, MASK_SUFFIXES, deep=False)
    found = {}
    for image, mask in pair(images, files, folder, Rule("mask", ENDINGS, (kind,), MASK_SUFFIXES)).items():
        if mask is None:
            raise DatasetError(
                f"{folder / kind / image.stem}.*: there is no mask of that name ({', '.join(MASK_SUFFIXES)})"
            )
        found[image] = mask
    return found


def mask_of(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Read a mask of an image of a shape: (H, W) int64 codes, see `decode`.

    Raises
    ------
    DatasetError
        If it cannot be read or is of another size.
    """
    try:
        pixels = read_label_image(path, alpha=True).values
    except InputError as error:
        raise DatasetError(str(error)) from error
    if pixels.shape[:2] != tuple(shape):
        raise DatasetError(
            f"{path}: the mask is {pixels.shape[1]} x {pixels.shape[0]}, its image {shape[1]} x {shape[0]}"
        )
    return decode(pixels)


def decode(pixels: np.ndarray) -> np.ndarray:
    """Turn a mask file's pixels into codes: 0 background, equal where the colour or the label is.

    Parameters
    ----------
    pixels : (H, W) integer labels, (H, W, 3) colours on black, or either with alpha as one more channel
    """
    if pixels.ndim == 2:
        return pixels.astype(np.int64)
    channels = pixels.shape[2]
    grey = channels == 2
    shifts = np.zeros(1, int) if grey else np.array([0, 8, 16])
    colour = (pixels[..., : 1 if grey else 3].astype(np.int64) << shifts).sum(2)
    inside = pixels[..., -1] > 0 if channels in (2, 4) else colour > 0
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
