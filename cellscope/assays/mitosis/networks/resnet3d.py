"""The 3D ResNet50 of the paper's Table 3, which takes a sequence for a volume (Hara et al., CVPR 2018)."""

from __future__ import annotations

import torch
from torch import nn


class _Bottleneck(nn.Module):
    def __init__(self, inner: int, width: int, stride: int):
        super().__init__()
        outer = 4 * width
        self.conv1 = nn.Conv3d(inner, width, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.conv2 = nn.Conv3d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm3d(width)
        self.conv3 = nn.Conv3d(width, outer, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(outer)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or inner != outer:
            self.downsample = nn.Sequential(nn.Conv3d(inner, outer, 1, stride, bias=False), nn.BatchNorm3d(outer))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        inner = self.relu(self.bn1(self.conv1(x)))
        inner = self.relu(self.bn2(self.conv2(inner)))
        return self.relu(self.bn3(self.conv3(inner)) + (x if self.downsample is None else self.downsample(x)))


class ResNet3D(nn.Module):
    """Kernels over time and space: (B, T, 2, H, W) -> logits (B, K).

    Names of parameters are those of ``r3d50`` in the repository 3D-ResNets-PyTorch, whose Kinetics-700 weights load
    with `load_kinetics`: stem 7x7x7 with stride 1 in time and 2 in space, then max pooling, blocks 3, 4, 6, 3.
    """

    def __init__(self, classes: int):
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d(3, 2, 1)
        inner = 64
        for number, (width, depth) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 1):
            blocks = []
            for place in range(depth):
                blocks.append(_Bottleneck(inner, width, 2 if number > 1 and place == 0 else 1))
                inner = 4 * width
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inner, classes)

    def forward(self, sequences: torch.Tensor) -> torch.Tensor:
        """Classify sequences as volumes, in the paper's colours."""
        light, nuclei = sequences[:, :, :1], sequences[:, :, 1:2]
        volume = torch.cat([light + nuclei, light, light], 2).transpose(1, 2)
        features = self.maxpool(self.relu(self.bn1(self.conv1(volume))))
        for number in range(1, 5):
            features = getattr(self, f"layer{number}")(features)
        logits: torch.Tensor = self.fc(features.mean((2, 3, 4)))
        return logits

    @property
    def backbone(self) -> nn.ModuleList:
        """All layers but the last."""
        return nn.ModuleList([child for name, child in self.named_children() if name != "fc"])

    def load_kinetics(self, state: dict[str, torch.Tensor]) -> None:
        """Take over the weights of ``r3d50`` (all but the last layer); KeyError if they are another network's."""
        own = {name: value for name, value in self.state_dict().items() if not name.startswith("fc.")}
        self.load_state_dict({name: state[name] for name in own}, strict=False)
