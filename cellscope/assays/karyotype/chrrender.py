"""ChrRender: Mask R-CNN with PointRend's mask head (Wang et al., section II-B1), on torchvision's parts."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign, clip_boxes_to_image, roi_align
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from cellscope.assays.karyotype.render_head import RenderHead
from cellscope.errors import ModelError

TRUTH_SIDE = 112

#: Named sets of arguments for `ChrRender`. `chrrender-50` is the paper's; `chrrender-18s` is what the built-in
#: weights use.
ARCHS: dict[str, dict[str, Any]] = {
    "chrrender-50": {
        "backbone": "resnet50",
        "stages": 4,
        "fpn_channels": 256,
        "anchor_sizes": (32, 64, 128, 256, 512),
        "box_hidden": 1024,
        "mask_hidden": 1024,
        "point_hidden": 256,
        "steps": 3,
        "fpn_norm": False,
    },
    "chrrender-18": {
        "backbone": "resnet18",
        "stages": 4,
        "anchor_sizes": (12, 24, 48, 96, 192),
        "box_refinements": 1,
    },
    "chrrender-18s": {
        "backbone": "resnet18",
        "stages": 3,
        "anchor_sizes": (16, 32, 64, 128),
        "box_refinements": 1,
    },
    "chrrender-test": {
        "backbone": "resnet10t",
        "stages": 3,
        "fpn_channels": 16,
        "anchor_sizes": (16, 32, 64, 128),
        "box_hidden": 16,
        "mask_hidden": 16,
        "point_hidden": 16,
        "steps": 1,
    },
}


class Trunk(nn.Module):
    """A timm backbone with a feature pyramid on its last `stages` stages and one pooled level above."""

    def __init__(self, name: str, stages: int, channels: int, norm: bool, pretrained: bool):
        super().__init__()
        indices = tuple(range(1, stages + 1))
        self.body = timm.create_model(name, features_only=True, out_indices=indices, in_chans=1, pretrained=pretrained)
        info: Any = self.body.feature_info
        if info.reduction()[0] != 4:
            raise ModelError(
                f"backbone {name} has no feature map at a quarter of the image; use a ResNet- or ConvNeXt-like one"
            )
        self.fpn = FeaturePyramidNetwork(
            info.channels(), channels, LastLevelMaxPool(), norm_layer=nn.BatchNorm2d if norm else None
        )
        self.out_channels = channels

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """(B, 1, H, W) -> levels "0" (a quarter), "1", ..., "pool"."""
        maps = self.body(images)
        return self.fpn(OrderedDict((str(index), level) for index, level in enumerate(maps)))


class ChrRender(nn.Module):
    """Detect chromosomes and render a mask for each; overlapping ones keep their own masks.

    Parameters
    ----------
    backbone : str
        A timm model with a feature map at stride 4.
    stages : int
        How many of its stages feed the pyramid (4 is usual; 3 leaves out the stage at stride 32).
    fpn_channels, box_hidden, mask_hidden, point_hidden : int
    anchor_sizes : tuple of int
        One size in pixels per level, finest first; ratios are 0.5, 1 and 2.
    steps : int
        See `RenderHead`.
    fpn_norm : bool
        Batch normalisation in the pyramid: helps a training from scratch.
    box_nms : float
        Box overlap above which the weaker box is dropped; crossing chromosomes need more than the usual 0.5.
    score_threshold : float
    max_detections : int
    box_refinements : int
        How often the boxes found go through the box head again, as Cascade R-CNN's do (Cai and Vasconcelos 2018),
        with the same head each time: boxes of long, curved chromosomes reach their ends.
    pretrained : bool
        ImageNet weights for the backbone, from timm's cache or download.
    """

    def __init__(
        self,
        backbone: str = "resnet18",
        stages: int = 3,
        fpn_channels: int = 128,
        anchor_sizes: tuple[int, ...] = (16, 32, 64, 128),
        box_hidden: int = 256,
        mask_hidden: int = 256,
        point_hidden: int = 128,
        steps: int = 2,
        fpn_norm: bool = True,
        box_nms: float = 0.7,
        score_threshold: float = 0.05,
        max_detections: int = 120,
        box_refinements: int = 0,
        pretrained: bool = False,
    ):
        super().__init__()
        if len(anchor_sizes) != stages + 1:
            raise ModelError(
                f"{stages} stages make {stages + 1} pyramid levels, but {len(anchor_sizes)} anchor sizes were given"
            )
        self.box_refinements = box_refinements
        self.backbone = Trunk(backbone, stages, fpn_channels, fpn_norm, pretrained)
        ratios = ((0.5, 1.0, 2.0),) * len(anchor_sizes)
        anchors = AnchorGenerator(tuple((size,) for size in anchor_sizes), ratios)
        self.rpn = RegionProposalNetwork(
            anchors,
            RPNHead(fpn_channels, 3),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=128,
            positive_fraction=0.5,
            pre_nms_top_n={"training": 800, "testing": 1000},
            post_nms_top_n={"training": 400, "testing": 400},
            nms_thresh=0.7,
        )
        levels = [str(index) for index in range(stages)]
        self.roi_heads = RoIHeads(
            MultiScaleRoIAlign(levels, 7, 2, canonical_scale=56, canonical_level=4 if stages == 4 else 3),
            TwoMLPHead(fpn_channels * 49, box_hidden),
            FastRCNNPredictor(box_hidden, 2),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=96,
            positive_fraction=0.33,
            bbox_reg_weights=None,
            score_thresh=score_threshold,
            nms_thresh=box_nms,
            detections_per_img=max_detections,
        )
        self.render_head = RenderHead(
            fpn_channels,
            conv_channels=fpn_channels,
            hidden=mask_hidden,
            point_hidden=point_hidden,
            steps=steps,
        )

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None) -> Any:
        """Give losses in training, detections otherwise.

        Parameters
        ----------
        images : list of (1, H, W) float
            From `normalise_tone`, at the model's scale.
        targets : list of dict, in training
            ``boxes`` (N, 4) x0 y0 x1 y1; ``masks`` (N, H, W) uint8; ``mask_ok`` (N,) bool, False where the mask is
            not known, so that box-only images train the detector alone.

        Returns
        -------
        dict of losses, or list of dict
            ``boxes`` (N, 4), ``scores`` (N,), ``masks`` (N, S, S) probabilities over each box.
        """
        batch, sizes = _pad(images)
        features = self.backbone(batch)
        image_list = ImageList(batch, sizes)
        if self.training:
            assert targets is not None
            for target in targets:
                target["labels"] = torch.ones(len(target["boxes"]), dtype=torch.int64, device=batch.device)
            proposals, losses = self.rpn(image_list, features, targets)
            return losses | self._train_heads(features, proposals, sizes, targets, tuple(batch.shape[-2:]))  # type: ignore[arg-type]
        proposals, _ = self.rpn(image_list, features)
        return self._detect(features, proposals, sizes, tuple(batch.shape[-2:]))  # type: ignore[arg-type]

    def _train_heads(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: list[tuple[int, int]],
        targets: list[dict[str, Tensor]],
        padded: tuple[int, int],
    ) -> dict[str, Tensor]:
        heads = self.roi_heads
        proposals, matched, labels, regression = heads.select_training_samples(proposals, targets)
        pooled = heads.box_head(heads.box_roi_pool(features, proposals, sizes))
        scores, deltas = heads.box_predictor(pooled)
        class_loss, box_loss = fastrcnn_loss(scores, deltas, labels, regression)
        losses = {"loss_classifier": class_loss, "loss_box_reg": box_loss}
        boxes, truths = [], []
        for proposal, match, label, target in zip(proposals, matched, labels, targets, strict=True):
            if len(target["boxes"]) == 0:  # torchvision matches every proposal with box 0, which is not there
                proposal, match, label = proposal[:0], match[:0], label[:0]
            use = (label > 0) & target["mask_ok"][match]
            boxes.append(proposal[use])
            truths.append(_masks_in_boxes(target["masks"], match[use], proposal[use]))
        masks = torch.cat(truths)
        if len(masks):
            foreground = torch.zeros(len(masks), dtype=torch.int64, device=masks.device)
            losses |= self.render_head.losses(features["0"], boxes, foreground, masks, padded)
        return losses

    def _detect(
        self,
        features: dict[str, Tensor],
        proposals: list[Tensor],
        sizes: list[tuple[int, int]],
        padded: tuple[int, int],
    ) -> list[dict[str, Tensor]]:
        heads = self.roi_heads
        pooled = heads.box_head(heads.box_roi_pool(features, proposals, sizes))
        scores, deltas = heads.box_predictor(pooled)
        boxes, kept, _ = heads.postprocess_detections(scores.float(), deltas.float(), proposals, sizes)
        for _ in range(self.box_refinements):
            boxes, kept = self._refine(features, boxes, kept, sizes)
        flat = torch.zeros(sum(map(len, boxes)), dtype=torch.int64, device=scores.device)
        masks = self.render_head.render(features["0"], boxes, flat, padded).split([len(box) for box in boxes])
        return [
            {"boxes": box, "scores": score, "masks": mask} for box, score, mask in zip(boxes, kept, masks, strict=True)
        ]


    def _refine(
        self,
        features: dict[str, Tensor],
        boxes: list[Tensor],
        confidences: list[Tensor],
        sizes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Put boxes through the box head once more; a confidence becomes the mean of the old and the new one."""
        heads = self.roi_heads
        counts = [len(box) for box in boxes]
        scores, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, boxes, sizes)))
        moved = heads.box_coder.decode(deltas.float(), boxes)[:, 1].split(counts)
        again = scores.float().softmax(1)[:, 1].split(counts)
        return (
            [clip_boxes_to_image(box, size) for box, size in zip(moved, sizes, strict=True)],
            [(old + new) / 2 for old, new in zip(confidences, again, strict=True)],
        )


def _pad(images: list[Tensor], multiple: int = 32) -> tuple[Tensor, list[tuple[int, int]]]:
    """Stack images of different sizes, zeros (background) at the right and bottom."""
    sizes = [(image.shape[-2], image.shape[-1]) for image in images]
    height = -(-max(size[0] for size in sizes) // multiple) * multiple
    width = -(-max(size[1] for size in sizes) // multiple) * multiple
    batch = images[0].new_zeros(len(images), images[0].shape[0], height, width)
    for index, image in enumerate(images):
        batch[index, :, : image.shape[-2], : image.shape[-1]] = image
    return batch.contiguous(memory_format=torch.channels_last), sizes  # convolutions keep it, and are faster in it


def _masks_in_boxes(masks: Tensor, match: Tensor, boxes: Tensor) -> Tensor:
    """Resample the matched true masks over each box: (N, TRUTH_SIDE, TRUTH_SIDE) float."""
    if len(boxes) == 0:
        return boxes.new_zeros(0, TRUTH_SIDE, TRUTH_SIDE)
    rois = torch.cat([match[:, None].to(boxes.dtype), boxes], 1)
    return roi_align(masks[:, None].to(boxes.dtype), rois, TRUTH_SIDE, sampling_ratio=1, aligned=True)[:, 0]


def build_chrrender(arch: str, **changes: Any) -> ChrRender:
    """Build a named architecture, with arguments changed on request.

    Raises
    ------
    ModelError
        If the name is unknown.
    """
    if arch not in ARCHS:
        raise ModelError(f"unknown architecture {arch!r} for karyotype detect; use one of {', '.join(ARCHS)}")
    return ChrRender(**(ARCHS[arch] | changes))
