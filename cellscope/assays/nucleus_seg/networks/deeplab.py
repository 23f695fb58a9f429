"""DeepLabV3 as the paper counted it: ResNet-50-v1s at stride 8, ASPP 12, 24, 36: 41,806,762 parameters."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

RATES = (12, 24, 36)


def _convolve(inputs: int, outputs: int, size: int = 1, rate: int = 1) -> nn.Sequential:
    padding = rate if size == 3 else 0
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=padding, dilation=rate, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class DeepLabV3(nn.Module):
    """DeepLabV3 on timm's ``resnet50s`` (deep stem of 64, 64 and 128 channels).

    The 1000-way classifier of the backbone is never called; it is kept since the paper's count holds it. The
    image-level branch averages over the whole input, so on a grid of windows results depend on the window.

    Parameters
    ----------
    classes : int
    """

    def __init__(self, classes: int = 2):
        super().__init__()
        import timm  # here, since the other networks do without and it takes long to import

        self.backbone: Any = timm.create_model("resnet50s", pretrained=False, output_stride=8)
        self.branches = nn.ModuleList([_convolve(2048, 256), *(_convolve(2048, 256, 3, rate) for rate in RATES)])
        self.whole = _convolve(2048, 256)
        self.project = nn.Sequential(*_convolve(5 * 256, 256), nn.Dropout(0.5))
        self.classify = nn.Sequential(*_convolve(256, 256, 3), nn.Dropout(0.1), nn.Conv2d(256, classes, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) -> (N, classes, H, W) logits."""
        features = self.backbone.forward_features(x)
        size = features.shape[-2:]
        pooled = self.whole(F.adaptive_avg_pool2d(features, 1)).expand(-1, -1, *size)
        joined = torch.cat([*(branch(features) for branch in self.branches), pooled], 1)
        return F.interpolate(
            self.classify(self.project(joined)), size=x.shape[-2:], mode="bilinear", align_corners=False
        )
