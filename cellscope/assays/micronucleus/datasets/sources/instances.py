"""Fields with a label image each, in which small bodies have labels of their own that a table judges (BBBC038).

``images/*``, ``labels/<name>.png`` and ``mn_candidates.csv`` (``image,label,visual``, the last ``mn``, ``unclear`` or
``debris``). Such sets outline nuclei for another purpose: a label may be a micronucleus, but not every micronucleus has
one. So a cell counts as normal only where its surroundings show nothing that could be one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy import ndimage
from skimage.measure import regionprops

from cellscope.assays.micronucleus.classes import MICRONUCLEUS, NORMAL
from cellscope.assays.micronucleus.classify.crops import owners
from cellscope.assays.micronucleus.datasets.sources.field_record import FieldRecord
from cellscope.assays.micronucleus.datasets.sources.mnfinder import mask_of, masks_of
from cellscope.assays.micronucleus.field.field import grey_of, to_integers
from cellscope.errors import DatasetError, InputError
from cellscope.imaging.labels import relabel
from cellscope.io.choice import Choice, Wants
from cellscope.io.leftovers import files_below
from cellscope.io.read import SUFFIXES, read
from cellscope.io.table import read_table

TABLE = "mn_candidates.csv"
VERDICTS = ("mn", "unclear", "debris")
SMALL = 0.12
"""A label of less than this share of the field's median nucleus is no nucleus."""

LEAST_DIAMETER = 20.0
"""Median nucleus diameter, pixels, from which on a micronucleus would be seen at all."""

USUAL = (0.4, 2.0)
"""Area of a normal cell's nucleus, in medians: neither a fragment nor two in one."""

ROUND = 0.9
"""Least solidity of a normal cell's nucleus."""

REACH = 0.7
"""How far from a nucleus a body may lie that could be its micronucleus, in median diameters."""

CONTRAST = 5.0
"""How bright such a body is at least above the background, in its robust standard deviations."""

DIM = 0.3
"""A micronucleus may be this bright beside its nucleus; where noise hides that, no cell is surely normal."""

RIM = 0.1
"""How far outside its label a nucleus still glows, in median diameters."""

PER_FIELD = 8
"""Normal cells taken of a field: further ones look like these."""


def detect(source: Path) -> bool:
    """Tell whether `source` is a folder with images, labels and the table."""
    return (source / TABLE).is_file() and all((source / part).is_dir() for part in ("images", "labels"))


def read_source(source: Path, options: Any) -> Iterator[FieldRecord]:
    """Yield the fields. Fields of one size are one group: neighbours may be crops of one plate.

    Raises
    ------
    DatasetError
        For a missing or unreadable label image, one of another size than its image, or a table that does not fit.
    """
    verdicts = _verdicts(source / TABLE)
    images = files_below(source / "images", SUFFIXES, deep=False)
    masks = masks_of(source, "labels", images)
    for path in images:
        try:
            image = read(path, choice=Choice.of(options), wants=Wants.STAIN)
            grey = grey_of(image.pixels, path.name)
        except InputError as error:
            raise DatasetError(str(error)) from error
        labels = mask_of(masks[path], grey.shape).astype(np.int32)
        judged = verdicts.pop(path.stem, {})
        absent = sorted(set(judged) - set(np.unique(labels).tolist()))
        if absent:
            raise DatasetError(f"{source / TABLE}: {path.stem} has no label {absent[0]}")
        record = field_of(path.stem, source.resolve().name, to_integers(grey, image.pixels.dtype), labels, judged)
        height, width = grey.shape
        record.group = f"{width}x{height}"
        yield record
    if verdicts:
        raise DatasetError(f"{source / TABLE} names {next(iter(verdicts))}, which is not in images/")


def _verdicts(table: Path) -> dict[str, dict[int, str]]:
    found: dict[str, dict[int, str]] = {}
    for row in read_table(table, ("image", "label", "visual")):
        if row["visual"] not in VERDICTS or not row["label"].isdigit():
            raise DatasetError(
                f"{table}: {row['image']}, label {row['label']}: {row['visual']!r} is none of {', '.join(VERDICTS)}"
            )
        found.setdefault(row["image"], {})[int(row["label"])] = row["visual"]
    return found


def field_of(name: str, line: str, grey: np.ndarray, labels: np.ndarray, judged: dict[int, str]) -> FieldRecord:
    """Part a field's labels into nuclei and micronuclei, and tell whose cells are surely what they are.

    Parameters
    ----------
    name, line : str
    grey : (H, W) uint8 or uint16
    labels : (H, W) int
    judged : dict
        Label -> one of `VERDICTS`; further labels below `SMALL` are neither nucleus nor micronucleus.

    Returns
    -------
    FieldRecord
        Not `complete`; `classes` holds the carriers of micronuclei, and up to `PER_FIELD` normal cells.
    """
    areas = np.bincount(labels.ravel())
    areas[0] = 0
    median = float(np.median(areas[areas > 0])) if areas.any() else 0.0
    bodies = {label for label in np.flatnonzero(areas).tolist() if areas[label] < SMALL * median} | judged.keys()
    nuclei = relabel(np.where(np.isin(labels, list(bodies)), 0, labels))
    chosen = [label for label, verdict in judged.items() if verdict == "mn"]
    micronuclei = relabel(np.where(np.isin(labels, chosen), labels, 0))
    owner = owners(nuclei)
    parents = {region.label: _parent(owner, region.coords) for region in regionprops(micronuclei)}
    parents = {label: parent for label, parent in parents.items() if parent}
    classes = dict.fromkeys(parents.values(), MICRONUCLEUS)
    for label in _normal(name, grey, labels, nuclei, owner, 2 * float(np.sqrt(median / np.pi))):
        classes.setdefault(label, NORMAL)
    return FieldRecord(name, line, grey, nuclei, micronuclei, parents, classes, complete=False)


def _parent(owner: np.ndarray, pixels: np.ndarray) -> int:
    """Give the nucleus that most of a body's pixels lie nearest to."""
    return int(np.bincount(owner[tuple(pixels.T)]).argmax())


def _normal(
    name: str, grey: np.ndarray, labels: np.ndarray, nuclei: np.ndarray, owner: np.ndarray, diameter: float
) -> list[int]:
    """List nuclei with nothing near them that could be a micronucleus, in an order that only their names decide."""
    if diameter < LEAST_DIAMETER:
        return []
    bodies = _bodies(grey, labels, nuclei, diameter)
    if bodies is None:
        return []
    doubted = set(np.unique(owner[bodies]).tolist())
    height, width = nuclei.shape
    usual = np.median([region.area for region in regionprops(nuclei)])
    found = []
    for region in regionprops(nuclei):
        top, left, bottom, right = region.bbox
        whole = top > 0 and left > 0 and bottom < height and right < width
        alike = USUAL[0] * usual <= region.area <= USUAL[1] * usual and region.solidity >= ROUND
        if whole and alike and region.label not in doubted:
            found.append(int(region.label))
    found.sort(key=lambda label: hashlib.sha256(f"{name}/{label}".encode()).digest())
    return found[:PER_FIELD]


def _bodies(grey: np.ndarray, labels: np.ndarray, nuclei: np.ndarray, diameter: float) -> np.ndarray | None:
    """Find what is bright or labelled near a nucleus and is none: (H, W) bool; None where noise would hide it.

    The glow around a nucleus falls off smoothly; a body stands out from what is around it (white top hat).
    """
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    far = ndimage.distance_transform_edt(nuclei == 0)
    outside = far > max(2.5, RIM * diameter)
    if not outside.any():
        return None
    # nuclei would fill the openings beside them: they are painted with what lies around
    nearest = ndimage.distance_transform_edt(~outside, return_distances=False, return_indices=True)
    painted = smooth[tuple(nearest)]
    side = 2 * round(0.25 * diameter) + 1
    raised = cv2.morphologyEx(painted, cv2.MORPH_TOPHAT, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side)))
    calm = raised[outside]
    usual = float(np.median(calm))
    least = usual + CONTRAST * (1.4826 * float(np.median(np.abs(calm - usual))) + 0.5)
    if DIM * float(np.median(smooth[nuclei > 0]) - np.median(smooth[outside])) < least:
        return None
    return ((raised > least) & outside | (labels > 0) & (nuclei == 0)) & (far <= REACH * diameter)
