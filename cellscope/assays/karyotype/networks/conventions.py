"""The details in which detectron2's R-CNN differs from torchvision's; its weights give its results only with these.

Anchors are not rounded and lie at fixed strides, proposals are ranked by logits, boxes are pooled with aligned corners
and as many samples as they have pixels, and no small box is dropped.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork
from torchvision.ops import batched_nms, clip_boxes_to_image, roi_align

CANONICAL_SIDE, CANONICAL_LEVEL = 224, 4
FINEST_LEVEL = 2


class ExactAnchors(AnchorGenerator):
    """Anchors that are not rounded, at strides 4, 8, 16 ... of the levels, whatever the size of the maps."""

    def generate_anchors(
        self,
        scales: list[int],
        aspect_ratios: list[float],
        dtype: torch.dtype = torch.float32,
        device: torch.device | None = None,
    ) -> Tensor:
        """Give one level's anchors around the origin: (sizes x ratios, 4), ratios fastest."""
        boxes = []
        for side in scales:
            for ratio in aspect_ratios:
                width = (side**2 / ratio) ** 0.5
                height = ratio * width
                boxes.append([-width / 2, -height / 2, width / 2, height / 2])
        return torch.tensor(boxes, dtype=dtype, device=device)

    def forward(self, image_list: ImageList, feature_maps: list[Tensor]) -> list[Tensor]:
        """Give every image's anchors (sum of A H W over the levels, 4)."""
        first = feature_maps[0]
        self.set_cell_anchors(first.dtype, first.device)
        strides = [[torch.tensor(2**level, device=first.device)] * 2 for level in _levels(len(feature_maps))]
        sizes = [[int(side) for side in one.shape[-2:]] for one in feature_maps]
        return [torch.cat(self.grid_anchors(sizes, strides))] * len(image_list.image_sizes)


def _levels(count: int) -> range:
    return range(FINEST_LEVEL, FINEST_LEVEL + count)


class ExactProposals(RegionProposalNetwork):
    """Proposals ranked and suppressed by their logits: probabilities saturate, and ties would fall elsewhere."""

    def filter_proposals(
        self,
        proposals: Tensor,
        objectness: Tensor,
        image_shapes: list[tuple[int, int]],
        num_anchors_per_level: list[int],
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Keep the best of each level, suppress within levels, keep the best of all."""
        count = len(proposals)
        logits = objectness.detach().reshape(count, -1)
        levels = torch.cat([torch.full((n,), i, device=logits.device) for i, n in enumerate(num_anchors_per_level)])
        best = self._get_top_n_idx(logits, num_anchors_per_level)
        boxes, scores = [], []
        for image, (height, width) in enumerate(image_shapes):
            chosen = best[image]
            box, score, level = proposals[image, chosen], logits[image, chosen], levels[chosen]
            box = clip_boxes_to_image(box, (height, width))
            keep = torch.isfinite(box).all(1) & torch.isfinite(score) & (box[:, 2:] > box[:, :2]).all(1)
            box, score, level = box[keep], score[keep], level[keep]
            keep = batched_nms(box.float(), score, level, self.nms_thresh)[: self.post_nms_top_n()]
            boxes.append(box[keep])
            scores.append(score[keep])
        return boxes, scores

    def compute_loss(
        self, objectness: Tensor, pred_bbox_deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Cross entropy, and the absolute error of boxes (no rounded corner), over all that were sampled."""
        positive, negative = (torch.where(torch.cat(found))[0] for found in self.fg_bg_sampler(labels))
        sampled, every = torch.cat([positive, negative]), torch.cat(labels)
        targets = torch.cat(regression_targets)
        boxes = F.l1_loss(pred_bbox_deltas[positive], targets[positive], reduction="sum") / max(len(sampled), 1)
        logits = objectness.flatten()[sampled]
        return F.binary_cross_entropy_with_logits(logits.float(), every[sampled].float()), boxes


def exact_loss(
    scores: Tensor, deltas: Tensor, labels: list[Tensor], regression_targets: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Cross entropy of the classes, and the absolute error of boxes over all that were sampled, as detectron2 has it.

    Parameters are those of torchvision's `fastrcnn_loss`, whose box loss has a rounded corner (beta 1/9).
    """
    every, targets = torch.cat(labels), torch.cat(regression_targets)
    found = torch.where(every > 0)[0]
    own = deltas.reshape(len(every), -1, 4)[found, every[found]]
    return F.cross_entropy(scores, every), F.l1_loss(own, targets[found], reduction="sum") / max(len(every), 1)


class ExactHeads(RoIHeads):
    """Final detections without a least box size."""

    def postprocess_detections(
        self,
        class_logits: Tensor,
        box_regression: Tensor,
        proposals: list[Tensor],
        image_shapes: list[tuple[int, int]],
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
        """Threshold, suppress per class and cap; background is column 0, labels count from 1."""
        counts = [len(one) for one in proposals]
        decoded = self.box_coder.decode(box_regression, proposals)
        probabilities = class_logits.softmax(-1)
        found: tuple[list[Tensor], list[Tensor], list[Tensor]] = ([], [], [])
        for boxes, scores, shape in zip(decoded.split(counts), probabilities.split(counts), image_shapes, strict=True):
            finite = torch.isfinite(boxes).flatten(1).all(1) & torch.isfinite(scores).all(1)
            boxes, scores = clip_boxes_to_image(boxes[finite], shape)[:, 1:], scores[finite][:, 1:]
            rows, labels = torch.nonzero(scores > self.score_thresh, as_tuple=True)
            chosen_boxes, chosen_scores = boxes[rows, labels], scores[rows, labels]
            keep = batched_nms(chosen_boxes.float(), chosen_scores, labels, self.nms_thresh)[: self.detections_per_img]
            for values, kept in zip(found, (chosen_boxes, chosen_scores, labels + 1), strict=True):
                values.append(kept[keep])
        return found


class AlignedPooler(nn.Module):
    """RoIAlign with aligned corners; the level by the box's size as in the FPN paper, equation 1.

    Parameters
    ----------
    levels : list of str
        Names of the pyramid's levels, finest first (stride 4).
    side : int
        Of the output.
    """

    def __init__(self, levels: list[str], side: int):
        super().__init__()
        self.levels, self.side = levels, side

    def forward(self, features: dict[str, Tensor], boxes: list[Tensor], _sizes: list[tuple[int, int]]) -> Tensor:
        """Pool boxes: (sum N, C, side, side)."""
        every = torch.cat(boxes)
        image = torch.cat([torch.full((len(one),), i, device=every.device) for i, one in enumerate(boxes)])
        rois = torch.cat([image[:, None].to(every.dtype), every], 1)
        sides = (every[:, 2:] - every[:, :2]).prod(1).sqrt()
        level = torch.floor(CANONICAL_LEVEL + torch.log2(sides / CANONICAL_SIDE + 1e-8))
        level = level.clamp(FINEST_LEVEL, FINEST_LEVEL + len(self.levels) - 1).to(torch.int64) - FINEST_LEVEL
        finest = features[self.levels[0]]
        pooled = finest.new_zeros(len(every), finest.shape[1], self.side, self.side)
        for number, name in enumerate(self.levels):
            mine = torch.nonzero(level == number)[:, 0]
            scale = 1 / 2 ** (FINEST_LEVEL + number)
            # 0 samples per cell lets their number follow the box's size.
            values = roi_align(features[name], rois[mine].to(finest.dtype), self.side, scale, 0, aligned=True)
            pooled = pooled.index_copy(0, mine, values)
        return pooled
