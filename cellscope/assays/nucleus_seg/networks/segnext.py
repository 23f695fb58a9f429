"""MSFF-SegNeXt (the seed paper) and plain SegNeXt-T: MSCAN-T, Hamburger, edge-guided attention.

MSFF-SegNeXt has 6,138,072 parameters with two classes: encoder 3,903,584, edge-guided attention 1,781,110, squeeze
123,392, squeeze again 131,584, Hamburger 131,840, align 66,048, classifier 514. Plain SegNeXt-T has 4,225,378.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from cellscope.assays.nucleus_seg.networks.mscan import WIDTHS, Mscan

WIDTH = 256
#: Non-negative matrix factorisation: rank, and steps in training and in evaluation.
RANK, TRAIN_STEPS, EVAL_STEPS = 64, 6, 7
GREY = (0.299, 0.587, 0.114)


class Nmf(nn.Module):
    """Replace features by their non-negative factorisation of low rank (Geng et al. 2021).

    The bases start from a fixed draw, so that equal inputs give equal outputs.
    """

    bases: torch.Tensor

    def __init__(self, width: int, rank: int = RANK):
        super().__init__()
        start = torch.rand((1, width, rank), generator=torch.Generator().manual_seed(0))
        self.register_buffer("bases", F.normalize(start, dim=1), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w), not negative -> the same shape, not negative."""
        shape = x.shape
        kind = "cpu" if x.is_meta else x.device.type
        with torch.autocast(kind, enabled=False):  # products of many small numbers
            flat = x.float().flatten(2)
            bases = self.bases.expand(len(x), -1, -1)
            with torch.no_grad():
                weights = (flat.transpose(1, 2) @ bases).softmax(-1)
                for _ in range(TRAIN_STEPS if self.training else EVAL_STEPS):
                    weights = _fit_weights(flat, bases, weights)
                    bases = bases * (flat @ weights) / (bases @ (weights.transpose(1, 2) @ weights) + 1e-6)
            weights = _fit_weights(flat, bases, weights)
            return (bases @ weights.transpose(1, 2)).reshape(shape)


def _fit_weights(flat: torch.Tensor, bases: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """One multiplicative update of the (N, h * w, R) weights."""
    return weights * (flat.transpose(1, 2) @ bases) / (weights @ (bases.transpose(1, 2) @ bases) + 1e-6)


class Hamburger(nn.Module):
    """1 x 1, ReLU, factorisation, 1 x 1, norm, and the input added (the MSFF paper's equations 3 and 4).

    The ReLU before the factorisation is SegNeXt's; the published MSFF file lacks it, but the factorisation is defined
    for non-negative input only.

    Parameters
    ----------
    width : int
    form : str
        ``equation``: ``Y = Z + BN(H(Z))``, the text's equation 4. ``published``: group normalisation and a ReLU of the
        sum, as in SegNeXt and in the published MSFF file. Both have as many parameters.
    """

    def __init__(self, width: int = WIDTH, form: str = "published"):
        super().__init__()
        self.equation = form == "equation"
        self.lower = nn.Conv2d(width, width, 1)
        self.factorise = Nmf(width)
        norm = nn.BatchNorm2d(width) if self.equation else nn.GroupNorm(32, width)
        self.upper = nn.Sequential(nn.Conv2d(width, width, 1, bias=False), norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        together = x + self.upper(self.factorise(F.relu(self.lower(x))))
        return together if self.equation else F.relu(together)


class Cbam(nn.Module):
    """Channel attention, then spatial attention (reduction 16, biased, no norm)."""

    def __init__(self, width: int, reduction: int = 16):
        super().__init__()
        self.channel = nn.Sequential(
            nn.Linear(width, width // reduction), nn.ReLU(), nn.Linear(width // reduction, width)
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) -> (N, C, h, w)."""
        gate = self.channel(x.mean((2, 3))) + self.channel(x.amax((2, 3)))
        x = x * gate.sigmoid()[..., None, None]
        return x * self.spatial(torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)).sigmoid()


class EdgeGuidedAttention(nn.Module):
    """Fuse high-level features with what the decoder takes for background, for boundary, and with the image's edges.

    Parameter counts are the authors'; the order of operations is that of MEGANet, which the module comes from.
    """

    def __init__(self, width: int = WIDTH):
        super().__init__()
        self.fuse = nn.Sequential(
            nn.Conv2d(3 * width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.weigh = nn.Sequential(nn.Conv2d(width, 1, 3, padding=1), nn.BatchNorm2d(1), nn.Sigmoid())
        self.refine = Cbam(width)

    def forward(self, edges: torch.Tensor, x: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
        """Edge map (N, 1, h, w), encoder's features and decoder's features, both (N, C, h, w) -> (N, C, h, w)."""
        p = decoded.sigmoid()
        reverse, boundary = x * (1 - p), x * laplacian(p)
        fused = self.fuse(torch.cat([reverse, boundary, x * edges], 1))
        return self.refine(fused * self.weigh(fused) + x)


def _per_channel(x: torch.Tensor, kernel: list[list[float]]) -> torch.Tensor:
    weight = torch.tensor(kernel, device=x.device, dtype=x.dtype)[None, None].expand(x.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(x, [len(kernel) // 2] * 4, mode="replicate"), weight, groups=x.shape[1])


_BLUR = [[a * b / 256 for b in (1, 4, 6, 4, 1)] for a in (1, 4, 6, 4, 1)]


def laplacian(x: torch.Tensor) -> torch.Tensor:
    """Subtract from each channel its smoothed copy: one level of a Laplacian pyramid."""
    return x - _per_channel(x, _BLUR)


def edge_map(images: torch.Tensor, detector: str) -> torch.Tensor:
    """Find the edges of an image at half its resolution (element 1 of the published five-level pyramid).

    Parameters
    ----------
    images : (N, 3, H, W)
    detector : str
        ``sobel`` or ``laplacian``.

    Returns
    -------
    (N, 1, H // 2, W // 2) float, not negative, with a largest value of 1 per image
    """
    grey = (images.float() * torch.tensor(GREY, device=images.device)[:, None, None]).sum(1, keepdim=True)
    half = F.avg_pool2d(_per_channel(grey, _BLUR), 2, ceil_mode=True)
    if detector == "sobel":
        across = _per_channel(half, [[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
        down = _per_channel(half, [[-1.0, -2.0, -1.0], [0.0, 0.0, 0.0], [1.0, 2.0, 1.0]])
        strength = (across.square() + down.square()).sqrt()
    else:
        strength = laplacian(half).abs()
    return strength / strength.amax((2, 3), keepdim=True).clamp(min=1e-6)


def _reduce(inputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, WIDTH, 1, bias=False), nn.GroupNorm(32, WIDTH), nn.ReLU(inplace=True))


class SegNext(nn.Module):
    """SegNeXt-T: MSCAN-T and the light Hamburger decoder at 1/8.

    Parameters
    ----------
    classes : int
    """

    def __init__(self, classes: int = 2):
        super().__init__()
        self.encoder = Mscan()
        self.squeeze = _reduce(sum(WIDTHS[1:]))
        self.hamburger = Hamburger()
        self.align = _reduce(WIDTH)
        self.drop = nn.Dropout2d(0.1)
        self.classify = nn.Conv2d(WIDTH, classes, 1)
        self.apply(_start)

    def decode(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Four maps -> (N, 256, H / 8, W / 8)."""
        size = maps[1].shape[-2:]
        resized = [F.interpolate(one, size=size, mode="bilinear", align_corners=False) for one in maps[1:]]
        return self.align(self.hamburger(self.squeeze(torch.cat(resized, 1))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W), sides multiples of 32 -> (N, classes, H, W) logits."""
        return self.finish(self.decode(self.encoder(x)), x)

    def finish(self, features: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Classify at 1/8 and enlarge to the input's size."""
        return F.interpolate(
            self.classify(self.drop(features)), size=x.shape[-2:], mode="bilinear", align_corners=False
        )


class MsffSegNext(SegNext):
    """MSFF-SegNeXt: the same with edges and a second pass through the same Hamburger.

    Parameters
    ----------
    classes : int
    edge : str
        ``sobel`` or ``laplacian``, the detector of the edge map (Table 6).
    hamburgers : int
        2 as published; 1 keeps only the one before the edge-guided attention (Table 6).
    hamburger : str
        See `Hamburger`.
    """

    def __init__(self, classes: int = 2, edge: str = "sobel", hamburgers: int = 2, hamburger: str = "published"):
        super().__init__(classes)
        if hamburger != "published":
            self.hamburger = Hamburger(form=hamburger)
            self.hamburger.apply(_start)
        self.edge, self.hamburgers = edge, hamburgers
        self.edge_attention = EdgeGuidedAttention()
        self.squeeze_again = _reduce(2 * WIDTH)
        self.edge_attention.apply(_start)
        self.squeeze_again.apply(_start)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W), sides multiples of 32 -> (N, classes, H, W) logits."""
        maps = self.encoder(x)
        decoded = self.decode(maps)
        size = decoded.shape[-2:]
        high = F.interpolate(maps[3], size=size, mode="bilinear", align_corners=False)
        edges = F.interpolate(edge_map(x, self.edge), size=size, mode="bilinear", align_corners=False).to(high.dtype)
        guided = self.edge_attention(edges, high, decoded)
        joined = self.squeeze_again(torch.cat([decoded, guided], 1))
        if self.hamburgers == 2:
            joined = self.align(self.hamburger(joined))
        return self.finish(joined, x)


def _start(module: nn.Module) -> None:
    """Draw the first weights as SegNeXt does: convolutions by their outputs, norms at one."""
    if isinstance(module, nn.Conv2d):
        outputs = module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0, math.sqrt(2 / outputs))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
