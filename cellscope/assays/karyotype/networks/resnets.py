"""torchvision's ResNets as a backbone: without timm, whose import takes long."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn
from torchvision.models import resnet

RESNETS = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")
"""Those that timm builds in the same way, with the same names of weights."""


class ResNetStages(nn.Module):
    """The stages of a ResNet, first to last, with the names of weights that torchvision and timm use.

    Parameters
    ----------
    name : str
        One of `RESNETS`.
    stages : int
        1 to 4; later ones are left out.
    in_channels : int
    """

    def __init__(self, name: str, stages: int, in_channels: int):
        super().__init__()
        whole: resnet.ResNet = getattr(resnet, name)(zero_init_residual=True)
        self.conv1, self.bn1, self.relu, self.maxpool = whole.conv1, whole.bn1, whole.relu, whole.maxpool
        if in_channels != whole.conv1.in_channels:
            self.conv1 = nn.Conv2d(in_channels, whole.conv1.out_channels, 7, stride=2, padding=3, bias=False)
            nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.channels: list[int] = []
        for number in range(1, stages + 1):
            stage = getattr(whole, f"layer{number}")
            setattr(self, f"layer{number}", stage)
            norms = [module for module in stage[-1].children() if isinstance(module, nn.BatchNorm2d)]
            self.channels.append(norms[-1].num_features)
        self.stages = [f"layer{number}" for number in range(1, stages + 1)]

    def load_imagenet(self, name: str, weights: Path | None) -> None:
        """Take timm's ImageNet weights of the network of that name; see `cellscope.nn.pretrained.timm_network`."""
        from cellscope.nn.pretrained import timm_network  # imports timm, which predicting does without

        whole = timm_network(name, pretrained=True, weights=weights, in_chans=self.conv1.in_channels).state_dict()
        self.load_state_dict({key: whole[key] for key in self.state_dict()})

    def forward(self, images: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> maps at a quarter, an eighth, ... of the size."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = []
        for name in self.stages:
            x = getattr(self, name)(x)
            maps.append(x)
        return maps
