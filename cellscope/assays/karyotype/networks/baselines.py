"""The classifiers the paper compares ChrNet4 with (Table II): ResNet-50, ResNeXt-50 and SE-ResNet-50, from timm."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

#: For 24 classes 89.86, 87.85 and 99.46 MiB of float32. The paper prints 89.96 for ResNet-50, which a bias in every
#: convolution gives (26,560 numbers more); they would do nothing before batch normalisation and are left out.
ARCHS: dict[str, dict[str, Any]] = {
    "resnet50": {"backbone": "resnet50"},
    "resnext50": {"backbone": "resnext50_32x4d"},
    "se-resnet50": {"backbone": "seresnet50"},
}
#: Reduction of the squeeze-and-excitation layers.
REDUCTION = 16


class Baseline(nn.Module):
    """A timm network with one linear layer; the interface of `ChrNet`.

    Parameters
    ----------
    classes : int
    backbone : str
        A timm model. The squeeze-and-excitation layers of ``seresnet50`` have no biases, which is what the paper's
        count of parameters says; those of pretrained weights are left out.
    pretrained : bool
        ImageNet weights.
    weights : Path, optional
        Their file; see `timm_network`.
    """

    #: Which arm is up is not learnt.
    polarity = None
    in_channels = 3

    def __init__(
        self, classes: int = 24, backbone: str = "resnet50", pretrained: bool = False, weights: Path | None = None
    ):
        from cellscope.nn.pretrained import timm, timm_network  # imports timm, which predicting does without

        super().__init__()
        changes: dict[str, Any] = {}
        if backbone.startswith("se"):
            layer = partial(timm.layers.SEModule, rd_ratio=1 / REDUCTION, bias=False)
            changes = {"block_args": {"attn_layer": layer}, "pretrained_strict": False}
        self.body = timm_network(backbone, pretrained=pretrained, weights=weights, num_classes=0, **changes)
        self.feature_size = int(self.body.num_features)  # type: ignore[arg-type]
        self.fc = nn.Linear(self.feature_size, classes)

    @property
    def stages(self) -> list[nn.Module]:
        """The stages, first to last: their outputs can be explained."""
        return [getattr(self.body, f"layer{number}") for number in range(1, 5)]

    def forward(self, x: Tensor) -> tuple[Tensor, None, Tensor]:
        """(B, 3, H, W) -> logits (B, classes), no polarity, features (B, F)."""
        features = self.body(x)
        return self.fc(features), None, features
