"""Annotated metaphases of a prepared dataset: boxes, masks where they are known, what must not teach anything."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as rle

from cellscope.assays.karyotype.detect.scale import detector_scale
from cellscope.imaging.tone import foreground, normalise_tone
from cellscope.io.prepared import PreparedDataset
from cellscope.io.read import read


@dataclass
class Metaphase:
    """An annotated metaphase, normalised, at its own resolution.

    Attributes
    ----------
    image : (H, W) float32
        From `normalise_tone`.
    scale : float or (2,) float
        Factor to the detector's scale; along x and y where a data set resizes them differently.
    boxes : (N, 4) float32
        x0, y0, x1, y1.
    masks : list of N (h, w) uint8 arrays or None
        Over the box rounded outwards; pseudo-masks where the source has boxes only and the chromosome lies alone.
    offsets : (N, 2) int
        x, y of each mask's first pixel.
    ignored : list of (x, y, mask)
        Regions to be erased: what must not teach anything.
    classes : list of str or None
    margin : float
        What was taken off each side of a box-only image's boxes, in pixels.
    believed : list of bool, optional
        Which masks may teach masks, where some were drawn by a network (see `training.box_masks`).
    """

    name: str
    source: str
    image: np.ndarray
    scale: Any
    boxes: np.ndarray
    masks: list[np.ndarray | None]
    offsets: np.ndarray
    ignored: list[tuple[int, int, np.ndarray]]
    classes: list[str | None]
    margin: float = 0.0
    believed: list[bool] | None = None

    @property
    def trusted(self) -> list[bool]:
        """Which masks may teach masks: those that are known, less those drawn by a network and not believed."""
        return [mask is not None for mask in self.masks] if self.believed is None else self.believed


def load_metaphase(root: Path, row: Any, *, tight: bool = False) -> Metaphase:
    """Read one metaphase item of a prepared dataset.

    Parameters
    ----------
    root : Path
        The dataset.
    row : named tuple
        A row of its items.
    tight : bool
        Take off the margin that the boxes of a box-only image were drawn with (see `box_margin`): what a detector
        that also learns from masks should be taught. Without it, boxes are as annotated: what it is measured by.
    """
    image, _ = normalise_tone(read(root / row.image).pixels[..., 0].astype(np.float32))
    target = json.loads((root / row.target).read_text())
    boxes, masks, offsets, ignored, classes = [], [], [], [], []
    annotations = target["annotations"]
    every_box = np.array([annotation["bbox"] for annotation in annotations], np.float32).reshape(-1, 4)
    pseudo, margin = None, 0.0
    if not all(annotation["segmentation"] for annotation in annotations):
        pseudo = foreground(image)
        if tight:
            margin = box_margin(every_box, pseudo)
            shrink = np.minimum(margin, 0.3 * every_box[:, 2:])
            every_box = np.hstack([every_box[:, :2] + shrink, every_box[:, 2:] - 2 * shrink]).astype(np.float32)
    for index, annotation in enumerate(annotations):
        x, y, w, h = map(float, every_box[index])
        x0, y0 = max(int(np.floor(x)), 0), max(int(np.floor(y)), 0)
        x1, y1 = min(int(np.ceil(x + w)), image.shape[1]), min(int(np.ceil(y + h)), image.shape[0])
        if x1 - x0 < 2 or y1 - y0 < 2:
            continue
        mask: np.ndarray | None
        if annotation["segmentation"]:
            mask = np.ascontiguousarray(rle.decode(annotation["segmentation"])[y0:y1, x0:x1])
        else:
            assert pseudo is not None
            mask = _pseudo_mask(pseudo[y0:y1, x0:x1], index, every_box)
        if annotation.get("ignore") and mask is not None:
            ignored.append((x0, y0, mask))
            continue
        boxes.append([x, y, x + w, y + h])
        masks.append(mask)
        offsets.append([x0, y0])
        classes.append(annotation["class"])
    return Metaphase(
        row.id,
        row.id.split("/", 1)[0],
        image,
        detector_scale(image),
        np.array(boxes, np.float32).reshape(-1, 4),
        masks,
        np.array(offsets, int).reshape(-1, 2),
        ignored,
        classes,
        margin,
    )


def box_margin(boxes: np.ndarray, foreground_: np.ndarray) -> float:
    """Estimate how far outside the chromosomes an image's boxes were drawn.

    Parameters
    ----------
    boxes : (N, 4) float
        x, y, width, height.
    foreground_ : (H, W) bool

    Returns
    -------
    float
        Pixels per side: the median, over boxes whose foreground is one component that does not reach the box's border,
        of the mean distance between the two; 0 where fewer than five boxes tell.
    """
    gaps = []
    for x, y, w, h in boxes:
        x0, y0 = max(int(x), 0), max(int(y), 0)
        cut = foreground_[y0 : int(np.ceil(y + h)), x0 : int(np.ceil(x + w))].astype(np.uint8)
        if cut.size == 0:
            continue
        _, _, stats, _ = cv2.connectedComponentsWithStats(cut)
        if len(stats) < 2:
            continue
        left, top, width, height, area = stats[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))]
        right, bottom = cut.shape[1] - left - width, cut.shape[0] - top - height
        if min(left, top, right, bottom) > 0 and area > 0.8 * cut.sum():
            gaps.append((left + top + right + bottom) / 4)
    return float(np.median(gaps)) if len(gaps) >= 5 else 0.0


def _pseudo_mask(foreground_in_box: np.ndarray, index: int, boxes: np.ndarray) -> np.ndarray | None:
    """Take the foreground in a box for the mask, but only where no other box comes near: else the mask is not known."""
    x, y, w, h = boxes[index]
    others = np.delete(boxes, index, 0)
    overlap_w = np.minimum(x + w, others[:, 0] + others[:, 2]) - np.maximum(x, others[:, 0])
    overlap_h = np.minimum(y + h, others[:, 1] + others[:, 3]) - np.maximum(y, others[:, 1])
    shared = (np.clip(overlap_w, 0, None) * np.clip(overlap_h, 0, None)).sum()
    if shared > 0.02 * w * h or foreground_in_box.mean() < 0.15:
        return None
    _, labels, stats, _ = cv2.connectedComponentsWithStats(foreground_in_box.astype(np.uint8))
    if len(stats) < 2:
        return None
    return (labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)


def erase_ignored(metaphase: Metaphase) -> np.ndarray:
    """Give the image with the regions to ignore set to background."""
    if not metaphase.ignored:
        return metaphase.image
    image = metaphase.image.copy()
    for x, y, mask in metaphase.ignored:
        grown = cv2.dilate(np.pad(mask.astype(np.uint8), 3), np.ones((7, 7), np.uint8))
        y0, x0 = max(y - 3, 0), max(x - 3, 0)
        cut = grown[y0 - (y - 3) :, x0 - (x - 3) :][: image.shape[0] - y0, : image.shape[1] - x0]
        image[y0 : y0 + cut.shape[0], x0 : x0 + cut.shape[1]][cut > 0] = 0.0
    return image


def load_metaphases(
    dataset: PreparedDataset, split: str, *, limit: int | None = None, tight: bool = False
) -> list[Metaphase]:
    """Read the metaphases of a split, `limit` of them spread evenly; `tight` as in `load_metaphase`."""
    rows = dataset.split(split)
    rows = rows[rows["target"] != ""]
    if limit is not None and len(rows) > limit:
        rows = rows.iloc[np.linspace(0, len(rows) - 1, limit).round().astype(int)]
    return [dataset.keep(load_metaphase(dataset.root, row, tight=tight)) for row in rows.itertuples()]
