"""ChrNet4: ResNeXt blocks with channel attention (Wang et al., section II-B3 and Fig. 3)."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cellscope.assays.karyotype.networks import baselines
from cellscope.errors import ModelError, UsageError
from cellscope.nn.attention import SqueezeExcite

#: `chrnet4` is the paper's (16,355,160 parameters for 24 classes); `chrnet4-slim` serves the built-in weights.
ARCHS: dict[str, dict[str, Any]] = {
    "chrnet4": {},
    # Cardinality 1: grouped convolutions cost three times as much on a CPU at this width.
    "chrnet4-slim": {"base": 32, "groups": 1, "in_channels": 1, "polarity": True, "dropout": 0.2},
}


class ChrBlock(nn.Module):
    """1x1, grouped 3x3, 1x1 convolutions, then the attention layer, then the shortcut."""

    def __init__(self, inputs: int, width: int, outputs: int, stride: int, groups: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
            SqueezeExcite(outputs, 16, bias=False, activation=nn.LeakyReLU(0.01, inplace=True)),
        )
        self.shortcut = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
            if stride != 1 or inputs != outputs
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', H / stride, W / stride)."""
        return torch.relu(self.body(x) + self.shortcut(x))


class ChrNet(nn.Module):
    """The chromosome classifier.

    Parameters
    ----------
    classes : int
    base : int
        Width of the first stage's 3x3 convolutions (128 in the paper); the stages double it and put out twice their
        width.
    depths : tuple of int
    groups : int
        Cardinality (32 in the paper).
    in_channels : int
    dropout : float
        Before the last layer; the paper has none.
    polarity : bool
        A second output: whether the short arm points up. The paper has none.
    """

    def __init__(
        self,
        classes: int = 24,
        base: int = 128,
        depths: tuple[int, ...] = (2, 3, 3, 2),
        groups: int = 32,
        in_channels: int = 3,
        dropout: float = 0.0,
        polarity: bool = False,
    ):
        super().__init__()
        stem = 64 if base >= 64 else base
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, stem, 7, 2, 3, bias=False),
            nn.BatchNorm2d(stem),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        )
        blocks: list[nn.Module] = []
        inputs = stem
        for stage, depth in enumerate(depths):
            width = base * 2**stage
            for index in range(depth):
                blocks.append(ChrBlock(inputs, width, 2 * width, 2 if stage and index == 0 else 1, groups))
                inputs = 2 * width
        self.blocks = nn.Sequential(*blocks)
        self.depths = depths
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, classes)
        self.polarity = nn.Linear(inputs, 1) if polarity else None
        self.feature_size = inputs
        self.in_channels = in_channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def stages(self) -> list[nn.Module]:
        """The last block of each stage: their outputs can be explained."""
        return [self.blocks[last - 1] for last in accumulate(self.depths)]

    def features(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, F) pooled features: what the centre loss pulls together."""
        return self.blocks(self.stem(x)).mean((2, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """Classify chromosomes.

        Parameters
        ----------
        x : (B, C, H, W) float

        Returns
        -------
        logits : (B, classes)
        polarity : (B,) logit that the short arm is up, or None
        features : (B, F)
        """
        features = self.features(x)
        hidden = self.dropout(features)
        polarity = self.polarity(hidden)[:, 0] if self.polarity is not None else None
        return self.fc(hidden), polarity, features


#: What classifies: the same attributes and outputs.
Classifier = ChrNet | baselines.Baseline


class CentreLoss(nn.Module):
    """Squared distance of features to their class's moving centre (Wen et al., ECCV 2016; the paper's equation 3).

    Parameters
    ----------
    classes, features : int
    rate : float
        How fast centres follow the batch (0.5 in the cited work).
    reduction : str
        ``sum`` is the paper's equation 3: squared distances summed over features and batch. ``mean`` is half their mean
        over both, independent of the width.
    """

    centres: Tensor

    def __init__(self, classes: int, features: int, rate: float = 0.5, reduction: str = "mean"):
        super().__init__()
        self.rate, self.reduction = rate, reduction
        self.register_buffer("centres", torch.zeros(classes, features))

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """(B, F) features and (B,) labels -> loss; in training the centres follow."""
        features = features.float()
        squared = (features - self.centres[labels]).square()
        loss = squared.sum() if self.reduction == "sum" else 0.5 * squared.mean(1).mean()
        if self.training:
            with torch.no_grad():
                count = torch.bincount(labels, minlength=len(self.centres)).float()
                total = torch.zeros_like(self.centres).index_add_(0, labels, features.detach())
                present = count > 0
                # Written as the cited update: sum of (centre - x) over (1 + count), times the rate.
                delta = (self.centres * count[:, None] - total) / (1 + count)[:, None]
                self.centres[present] -= self.rate * delta[present]
        return loss


def build_chrnet(arch: str, *, classes: int, **changes: Any) -> ChrNet:
    """Build a named architecture for a number of classes.

    Raises
    ------
    ModelError
        If the name is unknown.
    """
    if arch not in ARCHS:
        known = ", ".join([*ARCHS, *baselines.ARCHS])
        raise ModelError(f"unknown architecture {arch!r} for karyotype classify; use one of {known}")
    return ChrNet(classes=classes, **(ARCHS[arch] | changes))


def build_classifier(arch: str, *, classes: int, pretrained: bool = False, weights: Path | None = None) -> Classifier:
    """Build ChrNet or one of the paper's baselines by name; `weights` is the file of the ImageNet weights, if any.

    Raises
    ------
    ModelError
        If the name is unknown.
    UsageError
        If ImageNet weights are wanted of a network that has none.
    """
    if arch in baselines.ARCHS:
        return baselines.Baseline(classes=classes, pretrained=pretrained, weights=weights, **baselines.ARCHS[arch])
    if pretrained:
        raise UsageError(
            f"there are no ImageNet weights for {arch}; --init imagenet is for {', '.join(baselines.ARCHS)} and the "
            "detector, --init MODEL for every network"
        )
    return build_chrnet(arch, classes=classes)


def for_network(views: torch.Tensor, channels: int) -> torch.Tensor:
    """Centre views around 0, repeated for networks that take colour: (B, 1, H, W) -> (B, channels, H, W)."""
    return ((views - 0.4) / 0.4).expand(-1, channels, -1, -1)


def classify_views(network: Classifier, views: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Average log probabilities over the view and its half turn, since which arm is up is not known.

    Parameters
    ----------
    network : ChrNet or Baseline
    views : (B, 1, H, W) float

    Returns
    -------
    log_probabilities : (B, K) float32
        Normalised.
    short_arm_up : (B,) float32 logit, or None
        Antisymmetric under the half turn.
    """
    parts, ups = [], []
    for turned in (False, True):
        inputs = torch.flip(views, (2, 3)) if turned else views
        logits, polarity, _ = network(for_network(inputs, network.in_channels))
        parts.append(F.log_softmax(logits.float(), 1))
        if polarity is not None:
            ups.append(-polarity.float() if turned else polarity.float())
    scores = F.log_softmax(torch.stack(parts).mean(0), 1)
    return scores, torch.stack(ups).mean(0) if ups else None
