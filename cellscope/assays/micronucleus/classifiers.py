"""Every network that can classify crops: MobileViT-MN and its variants, and the baselines of Table 4."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import nn

from cellscope.assays.micronucleus import mobilevit
from cellscope.assays.micronucleus.mobilevit import CLASSES, CropClassifier
from cellscope.config import nearest
from cellscope.errors import ModelError, UsageError

TIMM = {
    "mobilenet": "mobilenetv1_100",
    "vgg16": "vgg16",
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "efficientnet-b0": "efficientnet_b0",
}
TORCHVISION = ("googlenet", "alexnet")
ARCHS = (*mobilevit.ARCHS, *TIMM, *TORCHVISION)
"""What ``--arch`` takes: the rows of Table 2, then Table 4's MobileNet, VGG-16, GoogLeNet, ResNet and AlexNet, and two
more that peers use."""

SMALLEST_INPUT = {"googlenet": 32, "alexnet": 64}


def build_classifier(arch: str, *, classes: int = CLASSES, pretrained: bool = False) -> CropClassifier:
    """Make a classifier of crops by name.

    Parameters
    ----------
    arch : str
        One of `ARCHS`.
    classes : int
    pretrained : bool
        With ImageNet weights from timm or torchvision (downloaded, or from their caches).

    Raises
    ------
    UsageError
        No such architecture.
    ModelError
        The ImageNet weights cannot be had, usually for want of a connection.
    """
    if arch not in ARCHS:
        raise UsageError(
            f"unknown --arch {arch!r} for the part classify; there are {', '.join(ARCHS)}{nearest(arch, ARCHS)}"
        )
    try:
        return CropClassifier(_build(arch, classes, pretrained))
    except Exception as error:  # whatever a failed download raises in the libraries' many layers
        if not pretrained:
            raise
        reason = " ".join(str(error).split())[:120]
        raise ModelError(
            f"--init imagenet: the ImageNet weights of {arch} cannot be had ({reason}); "
            "connect once so that they are cached, or train with --init none"
        ) from error


def _build(arch: str, classes: int, pretrained: bool) -> nn.Module:
    if arch in mobilevit.ARCHS:
        return mobilevit.build_mobilevit(**mobilevit.ARCHS[arch], classes=classes, pretrained=pretrained)
    if arch in TIMM:
        made: nn.Module = timm.create_model(TIMM[arch], num_classes=classes, pretrained=pretrained)
        return made
    import torchvision.models as zoo

    if arch == "googlenet":
        if pretrained:
            network = zoo.googlenet(weights=zoo.GoogLeNet_Weights.IMAGENET1K_V1)
            network.transform_input = False
        else:
            network = zoo.googlenet(aux_logits=False, init_weights=False)
        network.fc = nn.Linear(network.fc.in_features, classes)
        return network
    network = zoo.alexnet(weights=zoo.AlexNet_Weights.IMAGENET1K_V1 if pretrained else None)
    network.classifier[6] = nn.Linear(4096, classes)
    return network


def rebuild(arch: str, arguments: dict[str, Any], tensors: dict[str, torch.Tensor]) -> CropClassifier:
    """Make a classifier and load its tensors; errors as `build_classifier`, and torch's for tensors that do not fit."""
    network = build_classifier(arch, classes=int(arguments.get("classes", CLASSES)))
    network.load_state_dict(tensors)
    return network
