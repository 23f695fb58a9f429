"""EfficientNet-Lite 0, 1 and 2 (Tan and Le, 2019; Liu, 2020), plain: layers and names as in timm's ``tf_`` variants.

timm has them too, and their weights load here, name by name. But what `predict` needs must not import timm, which takes
as long as all the rest, so these networks stand on PyTorch alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

STEM, FEATURES, CLASSES = 32, 1280, 1000
"""Channels of the stem, of the last 1x1 convolution, and the classes of ImageNet; the same in all of the family."""

STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3), (5, 2, 6, 192, 4),
          (3, 1, 6, 320, 1))  # fmt: skip
"""Kernel, stride, widening, channels, blocks of each stage of lite0."""

SCALES = {"lite0": (1.0, 1.0), "lite1": (1.0, 1.1), "lite2": (1.1, 1.2)}
"""By how much channels and blocks of the others are more; first and last stage keep their single block."""

LEVELS = (0, 1, 2, 4, 6)
"""Stages whose results stand at strides 2, 4, 8, 16 and 32."""

EPSILON = 1e-3
"""Of batch normalisation, as the weights were trained."""


def same(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Convolve a picture with TensorFlow's ``SAME`` padding: what is odd of it goes to the bottom and the right.

    Strided convolutions of networks that come from TensorFlow see their pixels half a stride apart from PyTorch's own
    padding, and their weights expect it.

    Parameters
    ----------
    x : (B, C, H, W)
    conv : Conv2d
        Without padding.

    Returns
    -------
    (B, C', ceil(H / stride), ceil(W / stride))
    """
    size, stride = conv.kernel_size[0], conv.stride[0]
    tall, wide = (max((math.ceil(side / stride) - 1) * stride + size - side, 0) for side in x.shape[-2:])
    out: Tensor = conv(functional.pad(x, (wide // 2, wide - wide // 2, tall // 2, tall - tall // 2)))
    return out


def _conv(inputs: int, outputs: int, size: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    padding = size // 2 if stride == 1 else 0
    return nn.Conv2d(inputs, outputs, size, stride, padding, groups=groups, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=EPSILON)


class Separable(nn.Module):
    """Filter each channel, then mix them: the block of the first stage."""

    folds = (("conv_dw", "bn1"), ("conv_pw", "bn2"))

    def __init__(self, inputs: int, outputs: int, size: int):
        super().__init__()
        self.conv_dw, self.bn1 = _conv(inputs, inputs, size, groups=inputs), _norm(inputs)
        self.conv_pw, self.bn2 = _conv(inputs, outputs), _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, outputs, H, W)."""
        out: Tensor = self.bn2(self.conv_pw(functional.relu6(self.bn1(self.conv_dw(x)), inplace=True)))
        return out


class InvertedResidual(nn.Module):
    """Widen, filter each channel, narrow; with a shortcut where input and output agree in shape."""

    folds = (("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3"))

    def __init__(self, inputs: int, outputs: int, size: int, stride: int, widen: int):
        super().__init__()
        middle = inputs * widen
        self.residual = stride == 1 and inputs == outputs
        self.conv_pw, self.bn1 = _conv(inputs, middle), _norm(middle)
        self.conv_dw, self.bn2 = _conv(middle, middle, size, stride, groups=middle), _norm(middle)
        self.conv_pwl, self.bn3 = _conv(middle, outputs), _norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, outputs, H / stride, W / stride)."""
        y = functional.relu6(self.bn1(self.conv_pw(x)), inplace=True)
        y = self.conv_dw(y) if self.conv_dw.stride[0] == 1 else same(y, self.conv_dw)
        y = functional.relu6(self.bn2(y), inplace=True)
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.residual else y


def stages_of(name: str) -> list[tuple[int, int, int, int, int]]:
    """Give kernel, stride, widening, channels and blocks of each stage of a network of the family."""
    wider, deeper = SCALES[name]
    ends = (0, len(STAGES) - 1)
    return [
        (size, stride, widen, _round(channels * wider), blocks if place in ends else math.ceil(blocks * deeper))
        for place, (size, stride, widen, channels, blocks) in enumerate(STAGES)
    ]


def _round(channels: float) -> int:
    """Round to a multiple of 8, by no more than a tenth down."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


class EfficientNetLite(nn.Module):
    """The network with random weights, drawn as timm draws them.

    Parameters
    ----------
    name : str
        ``lite0``, ``lite1`` or ``lite2``.
    levels : int
        Build what gives features at strides 2, 4, ... 2**levels, at most 5.
    head : bool
        With the 1x1 convolution to `FEATURES` channels behind the last stage; needs five levels.
    classes : int
        Outputs of the classifier behind the head; 0 for none.
    """

    folds = (("conv_stem", "bn1"), ("conv_head", "bn2"))

    def __init__(self, name: str = "lite0", *, levels: int = 5, head: bool = True, classes: int = CLASSES):
        super().__init__()
        if (head and levels < len(LEVELS)) or (classes and not head):
            raise ValueError("a head stands on five levels, a classifier on a head")
        self.conv_stem, self.bn1 = _conv(3, STEM, 3, 2), _norm(STEM)
        stages, inputs = [], STEM
        self.channels: tuple[int, ...] = ()
        for place, (size, stride, widen, outputs, count) in enumerate(stages_of(name)[: LEVELS[levels - 1] + 1]):
            blocks: list[nn.Module] = []
            for number in range(count):
                first = number == 0
                blocks.append(
                    Separable(inputs, outputs, size)
                    if widen == 1
                    else InvertedResidual(inputs, outputs, size, stride if first else 1, widen)
                )
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
            if place in LEVELS:
                self.channels += (outputs,)
        self.blocks = nn.Sequential(*stages)
        self.conv_head: nn.Module = _conv(inputs, FEATURES) if head else nn.Identity()
        self.bn2: nn.Module = _norm(FEATURES) if head else nn.Identity()
        self.classifier: nn.Module = nn.Linear(FEATURES, classes) if classes else nn.Identity()
        initialise(self)

    def stages(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W), normalised -> features at strides 2, 4, ... of `channels`, finest first."""
        x = functional.relu6(self.bn1(same(x, self.conv_stem)), inplace=True)
        found = []
        for place, stage in enumerate(self.blocks):
            x = stage(x)
            if place in LEVELS:
                found.append(x)
        return found

    def pool(self, x: Tensor) -> Tensor:
        """Map of the last stage, (B, C, h, w) -> head and mean over space, (B, FEATURES)."""
        return functional.relu6(self.bn2(self.conv_head(x)), inplace=True).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W), normalised -> (B, classes) logits, or (B, FEATURES) without a classifier."""
        out: Tensor = self.classifier(self.pool(self.stages(x)[-1]))
        return out


def initialise(network: nn.Module) -> None:
    """Draw weights as TensorFlow's own code does: by what each neuron sends, grouped convolutions by group."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan = math.prod(module.kernel_size) * module.out_channels // module.groups
            nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan))
        elif isinstance(module, nn.Linear):
            reach = 1.0 / math.sqrt(module.out_features)
            nn.init.uniform_(module.weight, -reach, reach)
            nn.init.zeros_(module.bias)


def names(name: str) -> list[str]:
    """Name the tensors of a whole network, classifier included, in order: timm's names."""
    return list(_shapes(name))


def _shapes(name: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        return {key: value.shape for key, value in EfficientNetLite(name).state_dict().items()}


def renamed(tensors: Sequence[Tensor], name: str) -> dict[str, Tensor]:
    """Give the tensors of a whole network, classifier included, timm's names, by their order.

    Files of other projects hold the same tensors in the same order under other names.

    Raises
    ------
    ValueError
        Their number or a shape is another network's.
    """
    own = _shapes(name)
    if len(tensors) != len(own):
        raise ValueError(f"{len(tensors)} tensors, and EfficientNet-{name} has {len(own)}")
    for (key, wanted), given in zip(own.items(), tensors, strict=True):
        if wanted != given.shape:
            raise ValueError(f"{tuple(given.shape)} where {key} has {tuple(wanted)}")
    return dict(zip(own, tensors, strict=True))
