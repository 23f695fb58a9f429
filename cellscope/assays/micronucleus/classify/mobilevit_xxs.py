"""MobileViT-XXS (Mehta and Rastegari, 2022), plain: the network the paper starts from.

timm has it too, and its weights load here, name by name. But importing timm and, with it, torchvision takes as long as
importing all the rest that `predict` needs, so this network stands on PyTorch alone.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

PATCH = 2
"""Side of the patches whose pixels attend to their like in all others."""

HEADS = 4
STEM, FEATURES = 16, 320
STAGES = ((16, 1, 1, 0, 0), (24, 2, 3, 0, 0), (48, 2, 1, 64, 2), (64, 2, 1, 80, 4), (80, 2, 1, 96, 3))
"""Channels, stride, MV2 blocks; then width and layers of the transformer of the MobileViT block after them, or 0."""


class ConvNormAct(nn.Sequential):
    """Convolution without bias, batch norm and, unless told otherwise, SiLU."""

    conv: nn.Module
    bn: nn.BatchNorm2d

    def __init__(self, inputs: int, outputs: int, size: int = 1, *, stride: int = 1, groups: int = 1, act: bool = True):
        conv = nn.Conv2d(inputs, outputs, size, stride, size // 2, groups=groups, bias=False)
        layers: list[tuple[str, nn.Module]] = [("conv", conv), ("bn", nn.BatchNorm2d(outputs))]
        super().__init__(OrderedDict([*layers, ("act", nn.SiLU(inplace=True))] if act else layers))


class InvertedResidual(nn.Module):
    """MV2 block: widen, filter each channel, narrow; with a shortcut where input and output agree in shape.

    ``attn`` stands between filter and narrowing; nothing in the plain network.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, widen: int = 2):
        super().__init__()
        middle = widen * inputs
        self.residual = inputs == outputs and stride == 1
        self.conv1_1x1 = ConvNormAct(inputs, middle)
        self.conv2_kxk = ConvNormAct(middle, middle, 3, stride=stride, groups=middle)
        self.attn: nn.Module = nn.Identity()
        self.conv3_1x1 = ConvNormAct(middle, outputs, act=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, outputs, H / stride, W / stride)."""
        y: Tensor = self.conv3_1x1(self.attn(self.conv2_kxk(self.conv1_1x1(x))))
        return x + y if self.residual else y


class Attention(nn.Module):
    """Self-attention of several heads.

    Written out: PyTorch's fused kernel takes ten times as long for the gradient of so short sequences on CPUs.
    """

    def __init__(self, width: int):
        super().__init__()
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> the same."""
        batch, length, width = x.shape
        query, key, value = self.qkv(x).reshape(batch, length, 3, HEADS, width // HEADS).permute(2, 0, 3, 1, 4)
        weights = ((query * (width // HEADS) ** -0.5) @ key.transpose(-2, -1)).softmax(-1)
        mixed: Tensor = self.proj((weights @ value).transpose(1, 2).reshape(batch, length, width))
        return mixed


class TransformerLayer(nn.Module):
    """Attention and a two-layer network, each after its norm and beside a shortcut."""

    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(width, 2 * width), act=nn.SiLU(), fc2=nn.Linear(2 * width, width))
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> the same."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class MobileVitBlock(nn.Module):
    """MobileViT block: a local filter, a transformer over all patches, and both fused with the input."""

    def __init__(self, channels: int, width: int, layers: int):
        super().__init__()
        self.conv_kxk: nn.Module = ConvNormAct(channels, channels, 3)
        self.conv_1x1 = nn.Conv2d(channels, width, 1, bias=False)
        self.transformer = nn.Sequential(*(TransformerLayer(width) for _ in range(layers)))
        self.norm = nn.LayerNorm(width)
        self.conv_proj = ConvNormAct(width, channels)
        self.conv_fusion = ConvNormAct(2 * channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> the same; sides that are no multiple of the patch are stretched on the way."""
        local = self.conv_1x1(self.conv_kxk(x))
        size = local.shape[-2:]
        rows, columns = (math.ceil(side / PATCH) for side in size)
        whole = (rows * PATCH, columns * PATCH)
        if size != whole:
            local = functional.interpolate(local, whole, mode="bilinear", align_corners=False)
        batch, width = local.shape[:2]
        # pixels at one place of their patch form one sequence, over all patches
        y = local.reshape(batch, width, rows, PATCH, columns, PATCH).permute(0, 3, 5, 2, 4, 1)
        y = self.norm(self.transformer(y.reshape(batch * PATCH * PATCH, rows * columns, width)))
        y = y.reshape(batch, PATCH, PATCH, rows, columns, width).permute(0, 5, 3, 1, 4, 2).reshape(batch, width, *whole)
        if size != whole:
            y = functional.interpolate(y, size, mode="bilinear", align_corners=False)
        out: Tensor = self.conv_fusion(torch.cat((x, self.conv_proj(y)), 1))
        return out


class Head(nn.Module):
    """Mean over the map, then a linear layer."""

    def __init__(self, channels: int, classes: int):
        super().__init__()
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, classes)."""
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


class MobileViT(nn.Module):
    """MobileViT-XXS with random weights, drawn as timm draws them.

    Parameters
    ----------
    classes : int
    """

    def __init__(self, classes: int):
        super().__init__()
        self.stem = ConvNormAct(3, STEM, 3, stride=2)
        stages, inputs = [], STEM
        for channels, stride, count, width, layers in STAGES:
            blocks: list[nn.Module] = []
            for number in range(count):
                blocks.append(InvertedResidual(inputs, channels, stride if number == 0 else 1))
                inputs = channels
            if layers:
                blocks.append(MobileVitBlock(channels, width, layers))
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.final_conv = ConvNormAct(inputs, FEATURES)
        self.head = Head(FEATURES, classes)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, classes) logits."""
        out: Tensor = self.head(self.final_conv(self.stages(self.stem(x))))
        return out


def initialise(network: nn.Module) -> None:
    """Draw weights: convolutions by their outputs (He et al.), linear layers narrowly; residual branches begin shut."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan))
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
            nn.init.zeros_(module.bias)
        elif isinstance(module, InvertedResidual) and module.residual:
            nn.init.zeros_(module.conv3_1x1.bn.weight)
