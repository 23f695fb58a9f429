"""Table 4's baselines with attention: VGG-16, GoogLeNet, ResNet-50 and AlexNet, and the light AlexNet.

The table cites them as 19; its citations are two too high (it cites VGG, reference 12, as 14), so that they are those
of reference 17, Wei et al., BMC Med. Inform. Decis. Mak. 22:138 (2022): "AlexNet without any dense layers" with "two
attention modules". How these work is taken from Yan et al., Melanoma recognition via visual attention, IPMI 2019.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ARCHS = {
    "vgg16-att": "vgg16",
    "googlenet-att": "googlenet",
    "resnet50-att": "resnet50",
    "alexnet-light": "alexnet",
    "alexnet-ca": "alexnet",
    "aalnet": "alexnet",
}
"""Name -> the network that gives layers and ImageNet weights."""

WIDTH = 256
"""Channels in which an attention module compares its map with the last one (Yan et al.)."""


class MapAttention(nn.Module):
    """Weigh the places of an earlier map by the last one: A = sigmoid(w * relu(W_f * F + up(W_g * G))).

    Parameters
    ----------
    channels, last_channels : int
        Of the earlier map F and the last one G.
    """

    def __init__(self, channels: int, last_channels: int):
        super().__init__()
        self.of_map = nn.Conv2d(channels, WIDTH, 1, bias=False)
        self.of_last = nn.Conv2d(last_channels, WIDTH, 1, bias=False)
        self.weigh = nn.Conv2d(WIDTH, 1, 1)

    def forward(self, earlier: Tensor, last: Tensor) -> Tensor:
        """(B, C, H, W), (B, D, h, w) -> mean of the weighed map, (B, C)."""
        up = F.interpolate(self.of_last(last), size=earlier.shape[-2:], mode="bilinear", align_corners=False)
        weights = torch.sigmoid(self.weigh(F.relu(self.of_map(earlier) + up)))
        return (weights * earlier).mean((2, 3))


class Attended(nn.Module):
    """A network whose classifier also gets two earlier maps, weighed by attention.

    Parameters
    ----------
    first, second, last : Module
        Its convolutions in three parts: image -> F1 -> F2 -> G.
    channels : tuple of int
        Of F1, F2 and G.
    head : Module
        G -> features, (B, `features`).
    features, classes : int
    """

    def __init__(
        self,
        first: nn.Module,
        second: nn.Module,
        last: nn.Module,
        channels: tuple[int, int, int],
        head: nn.Module,
        features: int,
        classes: int,
    ):
        super().__init__()
        self.first, self.second, self.last, self.head = first, second, last, head
        self.attend_first = MapAttention(channels[0], channels[2])
        self.attend_second = MapAttention(channels[1], channels[2])
        self.fc = nn.Linear(features + channels[0] + channels[1], classes)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> logits, (B, K)."""
        first = self.first(images)
        second = self.second(first)
        last = self.last(second)
        seen = [self.head(last), self.attend_first(first, last), self.attend_second(second, last)]
        out: Tensor = self.fc(torch.cat(seen, 1))
        return out


def attend(arch: str, base: Any, classes: int) -> nn.Module:
    """Make a network of `ARCHS` out of the one that it is built on, whose weights it keeps.

    Parameters
    ----------
    arch : str
    base : Module
        timm's VGG-16 or ResNet-50, torchvision's GoogLeNet or AlexNet; its last layer is not used.
    classes : int

    Returns
    -------
    Module
        Rows that add 0.7 or 0.8 M parameters to their network keep its dense layers; the light ones have none.
    """
    if arch == "vgg16-att":
        layers = list(base.features)  # the pooling layers are 16, 23 and 30
        base.reset_classifier(0)
        parts = (nn.Sequential(*layers[:17]), nn.Sequential(*layers[17:24]), nn.Sequential(*layers[24:]))
        return Attended(*parts, (256, 512, 512), nn.Sequential(base.pre_logits, base.head), 4096, classes)
    if arch == "resnet50-att":
        stem = nn.Sequential(base.conv1, base.bn1, base.act1, base.maxpool, base.layer1, base.layer2)
        return Attended(stem, base.layer3, base.layer4, (512, 1024, 2048), base.global_pool, 2048, classes)
    if arch == "googlenet-att":
        stem = nn.Sequential(base.conv1, base.maxpool1, base.conv2, base.conv3, base.maxpool2)
        first = nn.Sequential(stem, base.inception3a, base.inception3b)
        fourth = [getattr(base, f"inception4{letter}") for letter in "abcde"]
        second = nn.Sequential(base.maxpool3, *fourth)
        last = nn.Sequential(base.maxpool4, base.inception5a, base.inception5b)
        head = nn.Sequential(base.avgpool, nn.Flatten(), base.dropout)
        return Attended(first, second, last, (480, 832, 1024), head, 1024, classes)
    light = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    if arch == "alexnet-light":
        return nn.Sequential(base.features, light, nn.Linear(256, classes))
    layers = list(base.features)  # the pooling layers are 2, 5 and 12
    parts = (nn.Sequential(*layers[:3]), nn.Sequential(*layers[3:6]), nn.Sequential(*layers[6:]))
    if arch == "aalnet":
        return Attended(*parts, (64, 192, 256), light, 256, classes)
    dense = nn.Sequential(base.avgpool, nn.Flatten(), *list(base.classifier)[:-1])
    return Attended(*parts, (64, 192, 256), dense, 4096, classes)
