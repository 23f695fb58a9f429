"""The networks: a backbone over each frame, an LSTM over frames, dense layers; and several of them as one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cellscope.assays.mitosis.networks.backbones import TIMM, Gao, MitoBackbone, Timm
from cellscope.assays.mitosis.networks.lite import LiteGru
from cellscope.assays.mitosis.networks.resnet3d import ResNet3D
from cellscope.assays.mitosis.sequences.tracks import FEATURES
from cellscope.errors import UsageError
from cellscope.nn.efficientnet_lite import SCALES

PAPER_SIZE = 78

MUTE = 6e4
"""Spread given to a measurement that did not vary in training: near the largest float16, it comes to nothing."""

#: Name -> keyword arguments of `build_network`, and how a network sees sequences (`view.network_view`).
ARCHS: dict[str, dict[str, Any]] = {
    "mitonet": {"backbone": "mitonet", "widths": [16, 32, 64, 128], "size": 64, "zoom_power": 0.5},
    "mitonet-follow": {
        "backbone": "mitonet",
        "widths": [16, 32, 64, 128],
        "size": 48,
        "zoom_power": 0.0,
        "follow": True,
    },
    "mitonet-turned": {
        "backbone": "mitonet",
        "widths": [16, 32, 64, 128],
        "size": 32,
        "zoom_power": 0.0,
        "follow": True,
        "turn": True,
    },
    "mitonet-wide": {"backbone": "mitonet", "widths": [32, 64, 96, 160], "size": 64, "zoom_power": 0.5},
    "lite0-gru": {
        "backbone": "lite0",
        "mirrors": 2,
        "size": 80,
        "zoom_power": 0.0,
        "follow": True,
        "turn": True,
        "field": 56.0,
        "tone": "spread",
    },
    "tracknet": {"backbone": "tracks", "features": FEATURES, "hidden": 64, "size": 0, "zoom_power": 1.0},
    "gao-lstm": {"backbone": "gao", "size": PAPER_SIZE, "zoom_power": 1.0},
    "resnet50-lstm": {"backbone": "resnet50", "size": PAPER_SIZE, "zoom_power": 1.0},
    "vgg16-lstm": {"backbone": "vgg16", "size": PAPER_SIZE, "zoom_power": 1.0},
    "xception-lstm": {"backbone": "xception", "size": PAPER_SIZE, "zoom_power": 1.0},
    "mobilenet-lstm": {"backbone": "mobilenet", "size": PAPER_SIZE, "zoom_power": 1.0},
    "resnet50-3d": {"backbone": "resnet50-3d", "size": PAPER_SIZE, "zoom_power": 1.0},
}

#: Channels and side of the feature map of one 78x78 frame.
_MAPS = {"gao": (32, 3), "resnet50": (2048, 3), "vgg16": (512, 2), "xception": (2048, 3), "mobilenet": (960, 3)}


def as_composite(sequences: torch.Tensor) -> torch.Tensor:
    """Turn (B, T, 2, H, W) into the paper's colours: red transmitted light plus nuclei, green and blue light alone."""
    light, nuclei = sequences[:, :, :1], sequences[:, :, 1:2]
    return torch.cat([light + nuclei, light, light], 2)


class TimeDistributed(nn.Module):
    """The paper's classifier (its Figure 5): the same CNN over every frame, flatten, LSTM, dense layers.

    Parameters
    ----------
    backbone : str
        ``gao`` or a key of `backbones.TIMM`.
    classes : int
    pretrained, weights
        ImageNet weights through timm, and their file.
    lstm, dense : int
        Units; the paper's are 64 and 150.
    drop_lstm, drop_dense : float
        The paper's are 0.4 and 0.2.
    """

    def __init__(
        self,
        backbone: str,
        classes: int,
        *,
        pretrained: bool = False,
        weights: Path | None = None,
        lstm: int = 64,
        dense: int = 150,
        drop_lstm: float = 0.4,
        drop_dense: float = 0.2,
    ):
        super().__init__()
        channels, side = _MAPS[backbone]
        self.backbone: nn.Module = (
            Gao() if backbone == "gao" else Timm(backbone, pretrained=pretrained, weights=weights)
        )
        self.lstm = nn.LSTM(channels * side * side, lstm, batch_first=True)
        self.dense = nn.Linear(lstm, dense)
        self.head = nn.Sequential(
            nn.Dropout(drop_lstm), self.dense, nn.ReLU(), nn.Dropout(drop_dense), nn.Linear(dense, classes)
        )

    def forward(self, sequences: torch.Tensor) -> torch.Tensor:
        """(B, T, 2, 78, 78) -> logits (B, K); any T."""
        count, frames = sequences.shape[:2]
        images = as_composite(sequences).flatten(0, 1).contiguous(memory_format=torch.channels_last)
        features = self.backbone(images).flatten(1).view(count, frames, -1)
        _, (last, _) = self.lstm(features)
        logits: torch.Tensor = self.head(last[-1])
        return logits


class MitoNet(nn.Module):
    """Our small network: `MitoBackbone`, mean and maximum over space, LSTM, one dense layer.

    Parameters
    ----------
    widths : sequence of int
    classes : int
    drop : float
    """

    def __init__(self, widths: Any = (16, 32, 64, 128), classes: int = 2, *, drop: float = 0.4):
        super().__init__()
        self.backbone = MitoBackbone(tuple(widths))
        self.project = nn.Sequential(nn.Linear(2 * widths[-1], 96), nn.LayerNorm(96), nn.GELU())
        self.lstm = nn.LSTM(96, 64, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(drop), nn.Linear(64 + 64 + 96, classes))

    def forward(self, sequences: torch.Tensor) -> torch.Tensor:
        """(B, T, 2, H, W) -> logits (B, K); any T."""
        count, frames = sequences.shape[:2]
        maps = self.backbone(sequences).float()
        pooled = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)
        features = self.project(pooled).view(count, frames, -1)
        states, _ = self.lstm(features)
        logits: torch.Tensor = self.head(torch.cat([states[:, -1], states.mean(1), features.mean(1)], 1))
        return logits


class TrackNet(nn.Module):
    """A small network over the measurements of `tracks.measure`.

    Parameters
    ----------
    features, hidden, classes : int

    Attributes
    ----------
    mean, scale : (features,) float
        Of the training sequences; set by `standardise_by`.
    """

    mean: torch.Tensor
    scale: torch.Tensor

    def __init__(self, features: int, hidden: int = 64, classes: int = 2):
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.body = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(features, hidden), nn.GELU(), nn.Dropout(0.5), nn.Linear(hidden, classes)
        )

    def standardise_by(self, measurements: torch.Tensor) -> None:
        """Take mean and spread from (N, features) measurements; what never varied will say nothing."""
        mean, spread = measurements.mean(0), measurements.std(0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(spread > 1e-3 * mean.abs() + 1e-5, spread, MUTE))

    def standard(self, measurements: torch.Tensor) -> torch.Tensor:
        """Bring measurements to mean 0 and spread 1, at most 4."""
        return ((measurements - self.mean) / self.scale).clamp(-4, 4)

    def forward(self, measurements: torch.Tensor) -> torch.Tensor:
        """(B, features) -> logits (B, K)."""
        logits: torch.Tensor = self.body(self.standard(measurements))
        return logits


class Classifier(nn.Module):
    """What a model file holds: a network over frames, a network over measurements, or both."""

    def __init__(self, views: nn.Module | None, tracks: nn.Module | None):
        super().__init__()
        self.views, self.tracks = views, tracks


class Members(nn.Module):
    """Several networks of one kind as one; its output is the logarithm of their mean probability."""

    def __init__(self, networks: list[nn.Module]):
        super().__init__()
        self.members = nn.ModuleList(networks)

    def forward(self, sequences: torch.Tensor) -> torch.Tensor:
        """(B, ...) -> log probabilities (B, K)."""
        each = torch.stack([member(sequences).float().log_softmax(1) for member in self.members])
        return torch.logsumexp(each, 0) - torch.log(torch.tensor(float(len(self.members))))


def arguments_of(arch: str) -> dict[str, Any]:
    """Return the arguments of an architecture by name; UsageError names those there are."""
    if arch not in ARCHS:
        raise UsageError(f"--arch {arch}: mitosis knows {', '.join(ARCHS)}")
    return dict(ARCHS[arch])


def build_network(
    arguments: Mapping[str, Any], classes: int, *, pretrained: bool = False, weights: Path | None = None
) -> nn.Module:
    """Build a network from the arguments in a model card.

    Parameters
    ----------
    arguments : mapping
        A value of `ARCHS`; ``members`` > 1 makes that many of it.
    classes : int
    pretrained : bool
        ImageNet weights; UsageError where there are none.
    weights : Path, optional
        The file of them that ``--imagenet`` names.
    """
    backbone = arguments["backbone"]
    if pretrained and backbone not in TIMM and backbone not in SCALES:
        raise UsageError(f"there are no ImageNet weights for {backbone}; use --init none or a model file")

    def one() -> nn.Module:
        if backbone == "tracks":
            return TrackNet(int(arguments["features"]), int(arguments["hidden"]), classes)
        if backbone == "mitonet":
            return MitoNet(arguments["widths"], classes)
        if backbone == "resnet50-3d":
            return ResNet3D(classes)
        if backbone in SCALES:
            network = LiteGru(
                backbone, classes, levels=int(arguments.get("levels", 5)), mirrors=int(arguments["mirrors"])
            )
            if pretrained:
                network.backbone.load_imagenet(weights)
            return network
        return TimeDistributed(backbone, classes, pretrained=pretrained, weights=weights)

    members = int(arguments.get("members", 1))
    network = one() if members == 1 else Members([one() for _ in range(members)])
    return network.to(memory_format=torch.channels_last) if backbone != "resnet50-3d" else network


VIEWS, TRACKS = "views", "tracks"


def kinds_of(arguments: Mapping[str, Any]) -> tuple[str, ...]:
    """Say what a model of these arguments takes: `VIEWS`, `TRACKS` or both."""
    if "parts" in arguments:
        return tuple(arguments["parts"])
    return (TRACKS,) if arguments["backbone"] == "tracks" else (VIEWS,)


def build_classifier(arguments: Mapping[str, Any], classes: int, tensors: Mapping[str, torch.Tensor]) -> Classifier:
    """Build the networks of a model file with their weights; KeyError or RuntimeError if they do not fit."""
    if "parts" not in arguments:
        network = build_network(arguments, classes)
        network.load_state_dict(dict(tensors))
        return Classifier(*((None, network) if kinds_of(arguments) == (TRACKS,) else (network, None)))
    built = {name: build_network(part, classes) for name, part in arguments["parts"].items()}
    whole = Classifier(built.get(VIEWS), built.get(TRACKS))
    whole.load_state_dict(dict(tensors))
    return whole


_MIRRORS: dict[int, tuple[tuple[int, ...], ...]] = {
    1: ((),),
    2: ((), (-1, -2)),
    4: ((), (-1,), (-2,), (-1, -2)),
}


def probabilities(network: nn.Module, sequences: torch.Tensor, *, flips: bool = True) -> torch.Tensor:
    """Mean class probabilities of a sequence and, with `flips`, its mirror images: (B, T, 2, H, W) -> (B, K).

    All three of them, or those that the network asks for in an attribute ``mirrors``.
    """
    first = network.members[0] if isinstance(network, Members) else network
    views = _MIRRORS[int(getattr(first, "mirrors", 4)) if flips else 1]
    each = [network(sequences.flip(axes) if axes else sequences).float().softmax(1) for axes in views]
    return torch.stack(each).mean(0)
