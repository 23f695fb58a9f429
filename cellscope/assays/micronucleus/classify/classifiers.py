"""Every network that can classify crops: MobileViT-MN and its variants, and baselines of Table 4."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cellscope.assays.micronucleus.classify import attended, lite, mobilevit
from cellscope.assays.micronucleus.classify.mobilevit import CLASSES, CURVES, IMAGENET, CropClassifier
from cellscope.errors import ModelError, UsageError
from cellscope.options.resolve import nearest

TIMM = {
    "mobilenet": "mobilenetv1_100",
    "vgg16": "vgg16",
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "efficientnet-b0": "efficientnet_b0",
}
TORCHVISION = ("googlenet", "alexnet")
ARCHS = (*lite.ARCHS, *mobilevit.ARCHS, *TIMM, *TORCHVISION, *attended.ARCHS)
"""What ``--arch`` takes: ours on EfficientNet-Lite; the rows of Table 2; Table 4's MobileNet, VGG-16, GoogLeNet,
ResNet and AlexNet, those with attention, and two more that peers use."""


def tone_for(arch: str, asked: str, *, pretrained: bool) -> str:
    """Say how a network gets grey crops: as asked, or as ImageNet for the baselines that start from its weights."""
    from_imagenet = (*TIMM, *TORCHVISION, *attended.ARCHS)
    return IMAGENET if pretrained and arch in from_imagenet else asked


def build_classifier(
    arch: str, *, classes: int = CLASSES, pretrained: bool = False, weights: Path | None = None, tone: str = CURVES
) -> CropClassifier:
    """Make a classifier of crops by name.

    Parameters
    ----------
    arch : str
        One of `ARCHS`.
    classes : int
    pretrained : bool
        With ImageNet weights from timm or torchvision (downloaded, or from their caches).
    weights : Path, optional
        A file of those weights to take instead, as timm or torchvision publish them: .safetensors, .pth or .bin.
    tone : str
        Of `CropClassifier`; see `tone_for`.

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
    if arch in lite.ARCHS:
        return CropClassifier(lite.build_lite(arch, classes=classes, pretrained=pretrained, weights=weights), tone)
    try:
        with _online() if pretrained and weights is None else contextlib.nullcontext():
            network = _build(attended.ARCHS.get(arch, arch), classes, pretrained, weights)
        if weights is not None:
            _check_names(network, weights)
        if arch in attended.ARCHS:
            network = attended.attend(arch, network, classes)
        return CropClassifier(network, tone)
    except Exception as error:  # whatever a failed download raises in the libraries' many layers
        if not pretrained:
            raise
        reason = " ".join(str(error).split())[:120]
        if weights is not None:
            raise ModelError(f"{weights}: no ImageNet weights of {arch} ({reason})") from error
        raise ModelError(
            f"--init imagenet: the ImageNet weights of {arch} are not available ({reason}); "
            "connect once so that they are cached, give their file with --imagenet, or train with --init none"
        ) from error


def _online() -> contextlib.AbstractContextManager[None]:
    from cellscope.nn.pretrained import hub_or_cache  # imports timm, see `_build`

    return hub_or_cache()


def _check_names(network: nn.Module, weights: Path) -> None:
    """Raise ValueError for a file whose layers are those of another network, which timm would leave out one by one."""
    from timm.models import load_state_dict

    own = set(network.state_dict())
    if len(own & set(load_state_dict(str(weights)))) < len(own) / 2:
        raise ValueError("most of the network's layers are not in it")


def _build(arch: str, classes: int, pretrained: bool, weights: Path | None) -> nn.Module:
    if arch in mobilevit.ARCHS:
        return mobilevit.build_mobilevit(
            **mobilevit.ARCHS[arch], classes=classes, pretrained=pretrained, weights=weights
        )
    import timm  # here and below: predicting with the built-in network does without, and they take long to import
    from timm.models import load_state_dict

    if arch in TIMM:
        made: nn.Module = timm.create_model(
            TIMM[arch], num_classes=classes, pretrained=pretrained, **mobilevit.from_file(weights)
        )
        return made
    import torchvision.models as zoo

    kind = {"googlenet": zoo.GoogLeNet_Weights, "alexnet": zoo.AlexNet_Weights}[arch].IMAGENET1K_V1
    online = kind if pretrained and weights is None else None
    network: Any
    if arch == "googlenet":
        if online is not None:
            network = zoo.googlenet(weights=online)
        else:
            network = zoo.googlenet(aux_logits=False, init_weights=False)
        network.transform_input = False
    else:
        network = zoo.alexnet(weights=online)
    if pretrained and weights is not None:
        tensors = load_state_dict(str(weights))
        network.load_state_dict({k: v for k, v in tensors.items() if not k.startswith(("aux1.", "aux2."))})
    if arch == "googlenet":
        network.fc = nn.Linear(network.fc.in_features, classes)
    else:
        network.classifier[6] = nn.Linear(4096, classes)
    found: nn.Module = network
    return found


def rebuild(arch: str, arguments: dict[str, Any], tensors: dict[str, torch.Tensor]) -> CropClassifier:
    """Make a classifier and load its tensors; errors as `build_classifier`, and torch's for tensors that do not fit."""
    network = build_classifier(
        arch, classes=int(arguments.get("classes", CLASSES)), tone=str(arguments.get("tone", CURVES))
    )
    network.load_state_dict(tensors)
    return network
