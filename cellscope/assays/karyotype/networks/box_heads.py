"""The parts of ChrRender that find boxes: proposals, pooling and heads, as torchvision or detectron2 has them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign

from cellscope.assays.karyotype.networks.conventions import AlignedPooler, ExactAnchors, ExactHeads, ExactProposals


def proposal_network(
    channels: int, anchor_sizes: Sequence[int], *, exact: bool, proposals: int | None
) -> RegionProposalNetwork:
    """Return the network that proposes boxes.

    Parameters
    ----------
    channels : int
        Of every level of the pyramid.
    anchor_sizes : sequence of int
        One size in pixels per level, finest first; ratios are 0.5, 1 and 2.
    exact : bool
        By detectron2's conventions.
    proposals : int or None
        Boxes that the second stage gets; None: 400, or 1000 by detectron2's conventions.
    """
    ratios = ((0.5, 1.0, 2.0),) * len(anchor_sizes)
    anchors = (ExactAnchors if exact else AnchorGenerator)(tuple((size,) for size in anchor_sizes), ratios)
    kept = proposals or (1000 if exact else 400)
    return (ExactProposals if exact else RegionProposalNetwork)(
        anchors,
        RPNHead(channels, 3),
        fg_iou_thresh=0.7,
        bg_iou_thresh=0.3,
        batch_size_per_image=256 if exact else 128,
        positive_fraction=0.5,
        pre_nms_top_n={"training": 2000 if exact else 800, "testing": 1000},
        post_nms_top_n={"training": kept, "testing": kept},
        nms_thresh=0.7,
    )


def pooler(levels: list[str], side: int, *, exact: bool) -> nn.Module:
    """Return what pools boxes out of the named levels of the pyramid, each to `side` x `side`."""
    if exact:
        return AlignedPooler(levels, side)
    return MultiScaleRoIAlign(levels, side, 2, canonical_scale=56, canonical_level=4 if len(levels) == 4 else 3)


def box_heads(
    channels: int,
    levels: list[str],
    *,
    hidden: int,
    classes: int,
    score_threshold: float,
    nms: float,
    most: int,
    exact: bool,
) -> RoIHeads:
    """Return what classifies proposals and moves their edges.

    Parameters
    ----------
    channels : int
        Of every level of the pyramid.
    levels : list of str
        Their names, finest first.
    hidden : int
        Units of the two hidden layers.
    classes : int
        Without the background.
    score_threshold : float
    nms : float
        Box overlap above which the weaker box is dropped.
    most : int
        Detections in an image.
    exact : bool
        By detectron2's conventions.
    """
    return (ExactHeads if exact else RoIHeads)(
        pooler(levels, 7, exact=exact),
        TwoMLPHead(channels * 49, hidden),
        FastRCNNPredictor(hidden, classes + 1),
        fg_iou_thresh=0.5,
        bg_iou_thresh=0.5,
        batch_size_per_image=512 if exact else 96,
        positive_fraction=0.25 if exact else 0.33,
        bbox_reg_weights=None,
        score_thresh=score_threshold,
        nms_thresh=nms,
        detections_per_img=most,
    )


def pad_images(images: list[Tensor], multiple: int = 32) -> tuple[Tensor, list[tuple[int, int]]]:
    """Stack images of different sizes, zeros (background) at the right and bottom.

    Parameters
    ----------
    images : list of (C, H, W) float
    multiple : int
        Of which both sides of the batch are.

    Returns
    -------
    batch : (N, C, H', W') float
    sizes : list of (height, width)
        Of the images before.
    """
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    height = -(-max(size[0] for size in sizes) // multiple) * multiple
    width = -(-max(size[1] for size in sizes) // multiple) * multiple
    batch = images[0].new_zeros(len(images), images[0].shape[0], height, width)
    for index, image in enumerate(images):
        batch[index, :, : image.shape[-2], : image.shape[-1]] = image
    return batch.contiguous(memory_format=torch.channels_last), sizes  # convolutions keep it, and are faster in it
