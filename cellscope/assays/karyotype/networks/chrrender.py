"""ChrRender: Mask R-CNN with PointRend's mask head (Wang et al., section II-B1), on torchvision's parts.

The paper's baselines, Faster R-CNN and Mask R-CNN, are the same network with another mask branch or none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.ops import clip_boxes_to_image

from cellscope.assays.karyotype.networks.box_heads import box_heads, pad_images, pooler, proposal_network
from cellscope.assays.karyotype.networks.conventions import exact_loss
from cellscope.assays.karyotype.networks.mask_head import SIDE, ConvMaskHead, masks_in_boxes
from cellscope.assays.karyotype.networks.render_head import RenderHead
from cellscope.assays.karyotype.networks.trunk import Trunk
from cellscope.errors import ModelError

TRUTH_SIDE = 112


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
    mask : str
        ``points`` renders masks (ChrRender), ``conv`` is Mask R-CNN's branch, ``none`` Faster R-CNN.
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
        ImageNet weights for the backbone.
    weights : Path, optional
        Their file; see `cellscope.nn.pretrained.timm_network`.
    in_channels, classes : int
        Classes without the background.
    conventions : str
        ``detectron2`` computes exactly what detectron2 does (see `cellscope.assays.karyotype.networks.conventions`).
    stride_in_1x1, frozen_norm : bool
        See `Trunk`.
    proposals : int, optional
        Boxes that the second stage gets; 400, or 1000 by detectron2's conventions.
    pixel_mean, pixel_std : tuple of float, optional
        Per channel, subtracted and divided by first; of images in the range 0 to 255.
    grey_range : float, optional
        Images come normalised, in one channel: it is repeated and multiplied by this first.
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
        weights: Path | None = None,
        mask: Literal["points", "conv", "none"] = "points",
        in_channels: int = 1,
        classes: int = 1,
        conventions: Literal["torchvision", "detectron2"] = "torchvision",
        stride_in_1x1: bool = False,
        frozen_norm: bool = False,
        proposals: int | None = None,
        pixel_mean: tuple[float, ...] | None = None,
        pixel_std: tuple[float, ...] | None = None,
        grey_range: float | None = None,
    ):
        super().__init__()
        if mask not in ("points", "conv", "none") or conventions not in ("torchvision", "detectron2"):
            raise ModelError(f"no mask branch {mask!r} or conventions {conventions!r}; the model file is damaged")
        if len(anchor_sizes) != stages + 1:
            raise ModelError(
                f"{stages} stages make {stages + 1} pyramid levels, but {len(anchor_sizes)} anchor sizes were given"
            )
        exact = self.exact = conventions == "detectron2"
        self.classes, self.in_channels, self.box_refinements = classes, in_channels, box_refinements
        self.backbone = Trunk(
            backbone,
            stages,
            fpn_channels,
            fpn_norm,
            pretrained,
            weights=weights,
            in_channels=in_channels,
            frozen=frozen_norm,
            stride_in_1x1=stride_in_1x1,
        )
        self.rpn = proposal_network(fpn_channels, anchor_sizes, exact=exact, proposals=proposals)
        levels = [str(index) for index in range(stages)]
        self.roi_heads = box_heads(
            fpn_channels,
            levels,
            hidden=box_hidden,
            classes=classes,
            score_threshold=score_threshold,
            nms=box_nms,
            most=max_detections,
            exact=exact,
        )
        self.render_head: RenderHead | ConvMaskHead | None = None
        if mask == "points":
            self.render_head = RenderHead(
                fpn_channels,
                conv_channels=fpn_channels,
                hidden=mask_hidden,
                point_hidden=point_hidden,
                n_classes=classes,
                steps=steps,
            )
        elif mask == "conv":
            self.render_head = ConvMaskHead(pooler(levels, SIDE, exact=exact), fpn_channels, mask_hidden, classes)
        self.pixel_mean: Tensor
        self.pixel_std: Tensor
        self.normalises, self.grey_range = pixel_mean is not None, grey_range
        if pixel_mean is not None:
            scale = pixel_std or (1.0,) * len(pixel_mean)
            self.register_buffer("pixel_mean", torch.tensor(pixel_mean)[:, None, None], persistent=False)
            self.register_buffer("pixel_std", torch.tensor(scale)[:, None, None], persistent=False)

    def forward(self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None) -> Any:
        """Give losses in training, detections otherwise.

        Parameters
        ----------
        images : list of (C, H, W) float
            From `normalise_tone`, at the model's scale; 0 to 255 for a model with `pixel_mean`.
        targets : list of dict, in training
            ``boxes`` (N, 4) x0 y0 x1 y1; ``masks`` (N, H, W) uint8; ``mask_ok`` (N,) bool, False where the mask is
            not known, so that box-only images train the detector alone. ``labels`` (N,) int64, from 1, where there is
            more than one class.

        Returns
        -------
        dict of losses, or list of dict
            ``boxes`` (N, 4), ``scores`` (N,), ``labels`` (N,) from 1, and, unless the network has no mask branch,
            ``masks`` (N, S, S), probabilities over each box.
        """
        if self.grey_range is not None:
            images = [image.expand(self.in_channels, -1, -1) * self.grey_range for image in images]
        if self.normalises:
            images = [(image - self.pixel_mean) / self.pixel_std for image in images]
        batch, sizes = pad_images(images)
        features = self.backbone(batch)
        image_list = ImageList(batch, sizes)
        if self.training:
            assert targets is not None
            for target in targets:
                if self.classes == 1:
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
        class_loss, box_loss = (exact_loss if self.exact else fastrcnn_loss)(scores, deltas, labels, regression)
        losses = {"loss_classifier": class_loss, "loss_box_reg": box_loss}
        if self.render_head is None:
            return losses
        if self.exact and isinstance(self.render_head, RenderHead):
            # PointRend learns masks in the boxes that the box head predicts (TRAIN_ON_PRED_BOXES)
            every = torch.cat(labels)
            moved = heads.box_coder.decode(deltas.detach().float(), proposals)[torch.arange(len(every)), every]
            proposals = list(moved.split([len(one) for one in proposals]))
        boxes, truths, names = [], [], []
        for proposal, match, label, target in zip(proposals, matched, labels, targets, strict=True):
            if len(target["boxes"]) == 0:  # torchvision matches every proposal with box 0, which is not there
                proposal, match, label = proposal[:0], match[:0], label[:0]
            use = (label > 0) & target["mask_ok"][match]
            boxes.append(proposal[use])
            names.append(label[use] - 1)
            truths.append(masks_in_boxes(target["masks"], match[use], proposal[use], TRUTH_SIDE))
        masks = torch.cat(truths)
        if not len(masks):
            return losses
        if isinstance(self.render_head, ConvMaskHead):
            return losses | self.render_head.losses(features, boxes, torch.cat(names), masks, sizes)
        return losses | self.render_head.losses(features["0"], boxes, torch.cat(names), masks, padded)

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
        boxes, kept, labels = heads.postprocess_detections(scores.float(), deltas.float(), proposals, sizes)
        for _ in range(self.box_refinements):
            boxes, kept = self._refine(features, boxes, kept, labels, sizes)
        found = [
            {"boxes": box, "scores": score, "labels": label}
            for box, score, label in zip(boxes, kept, labels, strict=True)
        ]
        if self.render_head is None:
            return found
        masks = self._render(features, boxes, torch.cat(labels) - 1, sizes, padded)
        split = masks.split([len(box) for box in boxes])
        return [one | {"masks": mask} for one, mask in zip(found, split, strict=True)]

    def _render(
        self,
        features: dict[str, Tensor],
        boxes: list[Tensor],
        classes: Tensor,
        sizes: list[tuple[int, int]],
        padded: tuple[int, int],
    ) -> Tensor:
        if isinstance(self.render_head, ConvMaskHead):
            return self.render_head.render(features, boxes, classes, sizes)
        assert self.render_head is not None
        return self.render_head.render(features["0"], boxes, classes, padded)

    def masks_in(self, image: Tensor, boxes: Tensor) -> Tensor:
        """Draw masks into given boxes, whatever the detector would find there.

        Parameters
        ----------
        image : (C, H, W) float
            As for `forward`; of a network of one class, with a mask branch.
        boxes : (N, 4) float
            x0, y0, x1, y1 in its pixels.

        Returns
        -------
        (N, S, S) float
            Probabilities over each box.
        """
        batch, sizes = pad_images([image])
        classes = torch.zeros(len(boxes), dtype=torch.int64, device=boxes.device)
        return self._render(self.backbone(batch), [boxes], classes, sizes, tuple(batch.shape[-2:]))  # type: ignore[arg-type]

    def _refine(
        self,
        features: dict[str, Tensor],
        boxes: list[Tensor],
        confidences: list[Tensor],
        labels: list[Tensor],
        sizes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Put boxes through the box head once more; a confidence becomes the mean of the old and the new one."""
        heads = self.roi_heads
        counts = [len(box) for box in boxes]
        if not sum(counts):  # torchvision's box coder gives no boxes back in another shape
            return boxes, confidences
        each, label = torch.arange(sum(counts), device=labels[0].device), torch.cat(labels)
        scores, deltas = heads.box_predictor(heads.box_head(heads.box_roi_pool(features, boxes, sizes)))
        moved = heads.box_coder.decode(deltas.float(), boxes)[each, label].split(counts)
        again = scores.float().softmax(1)[each, label].split(counts)
        return (
            [clip_boxes_to_image(box, size) for box, size in zip(moved, sizes, strict=True)],
            [(old + new) / 2 for old, new in zip(confidences, again, strict=True)],
        )
