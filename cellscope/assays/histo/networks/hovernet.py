"""HoVer-Net as published (Graham et al. 2019, mode ``original``), with which the HistoNeXt paper compares itself.

A pre-activation ResNet-50 whose first layer keeps the resolution, and three dense decoders without padding, so that
270 x 270 pixels give the central 80 x 80.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from cellscope.errors import UsageError

#: Inner width, output channels, units and stride of the encoder's stages.
STAGES = ((64, 256, 3, 1), (128, 512, 4, 2), (256, 1024, 6, 2), (512, 2048, 3, 2))
#: Kernel of the decoders.
KERNEL = 5


def _norm(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=True))


class _SamePad(nn.Module):
    """TensorFlow's padding of a 3 x 3 convolution: with stride 2 and an even side only at the right and bottom."""

    def __init__(self, stride: int):
        super().__init__()
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> padded."""
        total = max(3 - (x.shape[-1] % self.stride or self.stride), 0)
        return F.pad(x, (total // 2, total - total // 2) * 2)


class ResidualStage(nn.Module):
    """Pre-activation bottlenecks; the first has no normalisation of its own, the stage before it ended with one."""

    def __init__(self, channels: int, inner: int, out: int, units: int, stride: int):
        super().__init__()
        self.units = nn.ModuleList()
        for number in range(units):
            given = out if number else channels
            step = 1 if number else stride
            unit = [
                nn.Conv2d(given, inner, 1, bias=False),
                _norm(inner),
                _SamePad(step),
                nn.Conv2d(inner, inner, 3, stride=step, bias=False),
                _norm(inner),
                nn.Conv2d(inner, out, 1, bias=False),
            ]
            self.units.append(nn.Sequential(*([_norm(given)] if number else []), *unit))
        self.shortcut = nn.Conv2d(channels, out, 1, stride=stride, bias=False)
        self.last = _norm(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) -> (N, out, H / stride, W / stride)."""
        shortcut = self.shortcut(x)
        for unit in self.units:
            x = shortcut = unit(x) + shortcut
        return self.last(x)


class Encoder(nn.Module):
    """The pre-activation ResNet-50: maps at full, half, quarter and eighth resolution of the 264 pixels inside."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, bias=False), _norm(64))
        channels, stages = 64, []
        for inner, out, units, stride in STAGES:
            stages.append(ResidualStage(channels, inner, out, units, stride))
            channels = out
        self.stages = nn.ModuleList(stages)
        self.bottom = nn.Conv2d(channels, 1024, 1, bias=False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """(N, 3, 270, 270) -> four maps, fine to coarse, the finest two cropped to what the decoders need."""
        x, maps = self.stem(images), []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return [_centre(maps[0], 80), _centre(maps[1], 60), maps[2], self.bottom(maps[3])]


def _centre(x: torch.Tensor, side: int) -> torch.Tensor:
    start = (x.shape[-1] - side) // 2
    return x[..., start : start + side, start : start + side]


class DenseDecoderBlock(nn.Module):
    """Dense units whose 5 x 5 convolutions (four groups, no padding) make the map smaller by 4 each."""

    def __init__(self, channels: int, units: int):
        super().__init__()
        self.units = nn.ModuleList(
            nn.Sequential(
                _norm(channels + 32 * number),
                nn.Conv2d(channels + 32 * number, 128, 1, bias=False),
                _norm(128),
                nn.Conv2d(128, 32, KERNEL, groups=4, bias=False),
            )
            for number in range(units)
        )
        self.channels = channels + 32 * units
        self.last = _norm(self.channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, s, s) -> (N, C + 32 units, s - 4 units, same)."""
        for unit in self.units:
            new = unit(x)
            x = torch.cat([_centre(x, new.shape[-1]), new], 1)
        return self.last(x)


class Decoder(nn.Module):
    """One branch: up by repetition, add the encoder's map, convolve.

    Parameters
    ----------
    outputs : int
    """

    def __init__(self, outputs: int):
        super().__init__()
        third, second = DenseDecoderBlock(256, 8), DenseDecoderBlock(128, 4)
        self.third = nn.Sequential(
            nn.Conv2d(1024, 256, KERNEL, bias=False), third, nn.Conv2d(third.channels, 512, 1, bias=False)
        )
        self.second = nn.Sequential(
            nn.Conv2d(512, 128, KERNEL, bias=False), second, nn.Conv2d(second.channels, 256, 1, bias=False)
        )
        self.first = nn.Sequential(
            nn.Conv2d(256, 64, KERNEL, padding=KERNEL // 2, bias=False), _norm(64), nn.Conv2d(64, outputs, 1)
        )

    def forward(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Turn the maps of `Encoder` into (N, outputs, 80, 80), the input's central pixels."""
        x = self.third(_up(maps[3]) + maps[2])
        x = self.second(_up(x) + maps[1])
        return self.first(_up(x) + maps[0])


def _up(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


class HoverNet(nn.Module):
    """The network of Graham et al. with its three branches.

    Parameters
    ----------
    types : int
        Types of nuclei, without the background.
    pretrained, weights
        There are no ImageNet weights of this ResNet-50 in timm: UsageError.
    """

    core, margin, fixed = 80, 95, True

    def __init__(self, types: int, pretrained: bool = False, weights: Path | None = None, family: str = "hovernet"):
        super().__init__()
        if pretrained or weights is not None:
            raise UsageError(
                "--init imagenet: timm has no weights of HoVer-Net's pre-activation ResNet-50; use --init none or a "
                "model"
            )
        assert family == "hovernet"
        self.encoder = Encoder()
        self.np, self.hv, self.tp = Decoder(2), Decoder(2), Decoder(types + 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Read (N, 3, 270, 270) and give (N, 4 + types + 1, 80, 80): NP, HV, TP of the central pixels."""
        maps = self.encoder(images)
        return torch.cat([branch(maps) for branch in (self.np, self.hv, self.tp)], 1)
