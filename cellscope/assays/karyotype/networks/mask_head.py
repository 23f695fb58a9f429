"""The mask branch of Mask R-CNN (He et al., ICCV 2017): the paper's baseline to ChrRender's rendered masks."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import roi_align

SIDE = 14


class ConvMaskHead(nn.Module):
    """Pool 14 x 14, convolve, double: one 28 x 28 mask per class.

    Parameters
    ----------
    pooler : Module
        ``(features, boxes, image_sizes) -> (sum N, C, 14, 14)``.
    in_channels, hidden, n_classes : int
    layers : int
        3 x 3 convolutions (4 as published).
    """

    def __init__(self, pooler: nn.Module, in_channels: int, hidden: int, n_classes: int, layers: int = 4):
        super().__init__()
        self.pooler = pooler
        widths = [in_channels, *[hidden] * layers]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise(widths))
        self.deconv = nn.ConvTranspose2d(hidden, hidden, 2, 2)
        self.predictor = nn.Conv2d(hidden, n_classes, 1)
        for module in (*self.convs, self.deconv):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
        nn.init.normal_(self.predictor.weight, std=0.001)
        nn.init.zeros_(self.predictor.bias)  # type: ignore[arg-type]

    def logits(self, features: dict[str, Tensor], boxes: list[Tensor], sizes: list[tuple[int, int]]) -> Tensor:
        """Mask logits of all classes: (sum N, K, 28, 28)."""
        x = self.pooler(features, boxes, sizes)
        for conv in self.convs:
            x = F.relu(conv(x))
        return self.predictor(F.relu(self.deconv(x)))

    def losses(
        self,
        features: dict[str, Tensor],
        boxes: list[Tensor],
        labels: Tensor,
        masks: Tensor,
        sizes: list[tuple[int, int]],
    ) -> dict[str, Tensor]:
        """Binary cross entropy of the true class's mask.

        Parameters
        ----------
        features : dict of (B, C, H, W) float
        boxes : B tensors (N_b, 4)
        labels : (sum N_b,) int64
            Foreground class of each box, counted from 0.
        masks : (sum N_b, S, S) float
            True masks resampled over each box.
        sizes : list of (height, width)
        """
        logits = self.logits(features, boxes, sizes)
        own = logits[torch.arange(len(labels), device=labels.device), labels]
        exact = masks[:, None].float()  # under autocast they are bfloat16, in which nothing is resampled with antialias
        truth = F.interpolate(exact, own.shape[-2:], mode="bilinear", align_corners=False, antialias=True)
        return {"loss_mask": F.binary_cross_entropy_with_logits(own, (truth[:, 0] >= 0.5).to(own.dtype))}

    @torch.no_grad()
    def render(
        self, features: dict[str, Tensor], boxes: list[Tensor], labels: Tensor, sizes: list[tuple[int, int]]
    ) -> Tensor:
        """Mask probabilities (sum N, 28, 28) over each box."""
        if len(labels) == 0:
            return next(iter(features.values())).new_zeros(0, 2 * SIDE, 2 * SIDE)
        logits = self.logits(features, boxes, sizes)
        return logits[torch.arange(len(labels), device=labels.device), labels].float().sigmoid()


def masks_in_boxes(masks: Tensor, match: Tensor, boxes: Tensor, side: int) -> Tensor:
    """Resample matched true masks over boxes.

    Parameters
    ----------
    masks : (M, H, W)
    match : (N,) int64
        Which mask is each box's.
    boxes : (N, 4) float
    side : int

    Returns
    -------
    (N, side, side) float
    """
    if len(boxes) == 0:
        return boxes.new_zeros(0, side, side)
    rois = torch.cat([match[:, None].to(boxes.dtype), boxes], 1)
    return roi_align(masks[:, None].to(boxes.dtype), rois, side, sampling_ratio=1, aligned=True)[:, 0]
