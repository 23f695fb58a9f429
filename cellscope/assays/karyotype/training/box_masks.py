"""Masks for chromosomes of which only the box was annotated: a trained network draws them into the true boxes.

With a mask, an image turns by any angle in training and not by quarter turns alone, its chromosomes can be cut out and
pasted elsewhere, and its tangles teach the mask branch too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from cellscope.assays.karyotype.assay import build
from cellscope.assays.karyotype.datasets.metaphase import Metaphase, erase_ignored
from cellscope.assays.karyotype.detect.detections import Detection, place
from cellscope.assays.karyotype.detect.inputs import CANONICAL
from cellscope.assays.karyotype.detect.scale import resize
from cellscope.assays.karyotype.networks.chrrender import ChrRender
from cellscope.errors import UsageError
from cellscope.metrics.detection import box_iou
from cellscope.models.file import load_model
from cellscope.models.registry import locate

#: IoU of a drawn mask's extent and the annotated box below which the mask is not believed, and teaches no masks.
BELIEVED = 0.8
#: Pixels by which boxes must reach beyond drawn masks, on the median, before that is taken for a margin.
LEAST_MARGIN = 1.5


def load_painter(model: str) -> ChrRender:
    """Load the network that draws the masks.

    Raises
    ------
    UsageError
        If it has no mask branch, or none that takes our normalised images.
    """
    card, tensors = load_model(locate(model), assay="karyotype", part="detect")
    network = build(card, tensors)
    ours = card.normalisation.get("kind", CANONICAL) == CANONICAL
    if not (ours and isinstance(network, ChrRender) and network.render_head is not None):
        raise UsageError(f"{model} ({card.arch}) predicts no masks at the scale of the training; give a ChrRender")
    return network.to(memory_format=torch.channels_last)


@torch.inference_mode()
def draw_masks(metaphases: Iterable[Metaphase], network: ChrRender) -> list[Metaphase]:
    """Give metaphases a mask for every box.

    Parameters
    ----------
    metaphases : iterable of Metaphase
        Those whose masks are all known are given back as they are.
    network : ChrRender
        In evaluation mode.

    Returns
    -------
    list of Metaphase
        ``masks`` without None; ``believed`` tells which may teach masks: those that were known, and those drawn whose
        extent agrees with the box (IoU of `BELIEVED` at least).
    """
    return [one if all(mask is not None for mask in one.masks) else _drawn(one, network) for one in metaphases]


def _drawn(metaphase: Metaphase, network: ChrRender) -> Metaphase:
    metaphase = _tightened(metaphase, network)
    masks, believed = list(metaphase.masks), [mask is not None for mask in metaphase.masks]
    for index, found in enumerate(_paint(metaphase, network)):
        if masks[index] is not None:
            continue
        box, (x, y) = metaphase.boxes[index], metaphase.offsets[index]
        mask = np.zeros((int(np.ceil(box[3])) - y, int(np.ceil(box[2])) - x), np.uint8)
        if found is None:
            mask[:] = 1
        else:
            left, top = found.bbox[0] - x, found.bbox[1] - y
            mask[top : top + found.mask.shape[0], left : left + found.mask.shape[1]] = found.mask
            believed[index] = bool(box_iou(found.bbox[None].astype(float), box[None])[0, 0] >= BELIEVED)
        masks[index] = mask
    return replace(metaphase, masks=masks, believed=believed)


def _tightened(metaphase: Metaphase, network: ChrRender) -> Metaphase:
    """Take off a margin of the boxes that only drawn masks show: that of cells without five chromosomes that lie alone.

    A known mask is a cut of its box: it stays where it was, and is cut to the smaller box.
    """
    if metaphase.margin > 0:
        return metaphase
    gaps = [
        np.mean(np.abs(found.bbox - box))
        for box, found in zip(metaphase.boxes, _paint(metaphase, network), strict=True)
        if found is not None
    ]
    margin = float(np.median(gaps)) if gaps else 0.0
    if margin < LEAST_MARGIN:
        return metaphase
    height, width = metaphase.image.shape
    low, high = metaphase.boxes[:, :2], metaphase.boxes[:, 2:]
    shrink = np.minimum(margin, 0.3 * (high - low))
    boxes = np.hstack([np.maximum(low + shrink, 0), np.minimum(high - shrink, [width, height])]).astype(np.float32)
    masks: list[np.ndarray | None] = []
    offsets = np.floor(boxes[:, :2]).astype(int)
    for mask, (old_x, old_y), (x, y), box in zip(metaphase.masks, metaphase.offsets, offsets, boxes, strict=True):
        rows, columns = slice(y - old_y, int(np.ceil(box[3])) - old_y), slice(x - old_x, int(np.ceil(box[2])) - old_x)
        masks.append(None if mask is None else mask[rows, columns])
    return replace(metaphase, boxes=boxes, masks=masks, offsets=offsets, margin=margin)


def _paint(metaphase: Metaphase, network: ChrRender) -> list[Detection | None]:
    """Draw a mask into every box, at the image's own resolution."""
    image = resize(erase_ignored(metaphase), metaphase.scale)
    boxes = torch.from_numpy(metaphase.boxes * np.resize(np.asarray(metaphase.scale, np.float32), 4))
    drawn = network.masks_in(torch.from_numpy(image)[None], boxes).float().numpy()
    shape = metaphase.image.shape
    return [place(box, mask, shape, 1.0) for box, mask in zip(metaphase.boxes, drawn, strict=True)]
