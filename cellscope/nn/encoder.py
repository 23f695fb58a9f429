"""EfficientNet-Lite as the encoder of other networks: features at five strides, any channels, an ImageNet start."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from cellscope.errors import UsageError
from cellscope.nn.efficientnet_lite import SCALES, EfficientNetLite
from cellscope.nn.imagenet import DEVIATION, MEAN, TIMM_DEVIATION, TIMM_MEAN, Weights, packaged, read_weights

MIXTURES: dict[int, tuple[tuple[float, ...], ...]] = {
    1: ((1.0,), (1.0,), (1.0,)),
    2: ((1.0, 0.0), (0.5, 0.5), (0.0, 1.0)),
    3: ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    4: ((0.75, 0.0, 0.0, 0.25), (0.0, 0.75, 0.0, 0.25), (0.0, 0.0, 0.75, 0.25)),
}
"""Channels of a picture -> how red, green and blue are mixed of them at the start; where all are equal it is grey."""


class Encoder(nn.Module):
    """EfficientNet-Lite over pictures of one to four channels, values between 0 and 1.

    A 1x1 convolution before the first layer mixes the channels to three colours and normalises them as the weights
    want it. It learns with the rest, and is exact at the borders, where channels folded into the first layer are not.

    Parameters
    ----------
    name : str
        ``lite0``, ``lite1`` or ``lite2``: 2.9, 3.7 and 4.4 million numbers at five levels, without head.
    inputs : int
        Channels, 1 to 4.
    levels : int
        Features at strides 2, 4, ... 2**levels, at most 5.
    head : bool
        With the last 1x1 convolution, for `pooled`.

    Attributes
    ----------
    channels : tuple of int
        Of the features, finest first; lite0: 16, 24, 40, 112, 320.

    Raises
    ------
    UsageError
        No such network, or another number of channels.

    References
    ----------
    M. Tan, Q. Le, EfficientNet, ICML 2019; R. Liu, Higher accuracy on vision models with EfficientNet-Lite, 2020.
    """

    def __init__(self, name: str = "lite0", inputs: int = 3, *, levels: int = 5, head: bool = False):
        super().__init__()
        if name not in SCALES:
            raise UsageError(f"there is no encoder {name}; those there are: {', '.join(SCALES)}")
        if inputs not in MIXTURES:
            raise UsageError(f"an encoder takes one to four channels, not {inputs}")
        self.name = name
        self.colours = nn.Conv2d(inputs, 3, 1)
        self.body = EfficientNetLite(name, levels=levels, head=head, classes=0)
        self.channels = self.body.channels
        self.normalise_by(MEAN, DEVIATION)

    def normalise_by(self, mean: tuple[float, ...], deviation: tuple[float, ...]) -> None:
        """Let the first convolution mix `MIXTURES` and normalise them by mean and deviation of red, green and blue."""
        mixture = torch.tensor(MIXTURES[self.colours.in_channels])
        centre, spread = torch.tensor(mean), torch.tensor(deviation)
        with torch.no_grad():
            self.colours.weight.copy_((mixture / spread[:, None])[..., None, None])
            self.colours.bias.copy_(-centre / spread)  # type: ignore[union-attr]

    def accept_normalised(self, mean: float | tuple[float, ...], deviation: float | tuple[float, ...]) -> None:
        """Take pixels that were normalised by these figures, in place of pixels between 0 and 1."""
        inputs = self.colours.in_channels
        centre, spread = (torch.as_tensor(value).expand(inputs) for value in (mean, deviation))
        with torch.no_grad():
            weight = self.colours.weight[..., 0, 0]
            self.colours.bias += weight @ centre  # type: ignore[operator]
            self.colours.weight.copy_((weight * spread)[..., None, None])

    def load_imagenet(self, file: Path | None = None) -> None:
        """Take ImageNet weights of ``--imagenet FILE``, of the installed package, or timm's.

        Raises
        ------
        ModelError
            There are none; it names where they were sought.
        """
        weights = imagenet_weights(f"tf_efficientnet_{self.name}", file)
        own = self.body.state_dict()
        self.body.load_state_dict({key: weights.tensors[key] for key in own})
        self.normalise_by(weights.mean, weights.deviation)

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """(B, inputs, H, W) -> features at strides 2, 4, ...; sides that are no multiple are rounded up."""
        return self.body.stages(self.colours(pictures))

    def pooled(self, pictures: Tensor) -> Tensor:
        """(B, inputs, H, W) -> (B, 1280) what the classifier of ImageNet would see; needs the head."""
        return self.body.pool(self.forward(pictures)[-1])


def imagenet_weights(name: str, file: Path | None = None) -> Weights:
    """Get ImageNet weights: of the file, else of the installed package, else timm's (its cache, or a download).

    Parameters
    ----------
    name : str
        timm's name of the network, a key of `PACKAGES`.
    file : Path, optional
        What ``--imagenet`` names.

    Raises
    ------
    ModelError
        There are none, and it names where they were sought; the file or package holds something else.
    """
    path = file or packaged(name)
    if path is not None:
        return read_weights(path, name)
    from cellscope.nn.pretrained import timm_network  # imports timm, which predicting does without

    return Weights(timm_network(name, pretrained=True).state_dict(), TIMM_MEAN, TIMM_DEVIATION)
