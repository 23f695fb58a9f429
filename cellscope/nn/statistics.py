"""Few numbers for a picture: feature maps pooled over space, and what a picture itself is like."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SIDE = 128
"""Pixels along the shorter side that are looked at for intensities."""

LEVELS = (0.01, 0.25, 0.5, 0.75, 0.99)
"""Quantiles of the intensity."""

MOST_CHANNELS = 4
"""Channels that are told apart; of more, mean and spread over the channels are given."""


def pooled(maps: Tensor, count: int) -> Tensor:
    """Pool feature maps.

    Parameters
    ----------
    maps : (count * k, C, ...) float
        k maps per item, those of an item behind one another.
    count : int

    Returns
    -------
    (count, 2 * C) float32
        Mean and standard deviation of each channel over space and over the maps of an item; of features without
        space, (count, C), the features.
    """
    maps = maps.float()
    flat = maps.reshape(count, -1, maps.shape[1], maps[0, 0].numel()).transpose(1, 2).flatten(2)
    if flat.shape[-1] == 1:
        return flat[..., 0]
    spread, mean = torch.var_mean(flat, -1, correction=0)
    return torch.cat([mean, spread.sqrt()], 1)


def image_statistics(batch: Tensor) -> Tensor:
    """Say what pictures are like: intensities, contrast, sharpness at three scales, how channels go together.

    Parameters
    ----------
    batch : (B, C, H, W) float

    Returns
    -------
    (B, S) float32
        S is 11 per channel, and one per pair of them; 22 for pictures of more than `MOST_CHANNELS` channels.
    """
    batch = batch.float()
    count, channels = batch.shape[:2]
    if channels > MOST_CHANNELS:
        each = _per_channel(batch.flatten(0, 1)[:, None]).view(count, channels, -1)
        spread, mean = torch.var_mean(each, 1, correction=0)
        return torch.cat([mean, spread.sqrt()], 1)
    step = max(min(batch.shape[-2:]) // SIDE, 1)
    few = batch[..., ::step, ::step].flatten(2)
    centred = few - few.mean(-1, keepdim=True)
    norm = centred.norm(dim=-1).clamp_min(1e-6)
    pairs = [
        (centred[:, one] * centred[:, other]).sum(-1) / (norm[:, one] * norm[:, other])
        for one in range(channels)
        for other in range(one)
    ]
    together = [torch.stack(pairs, 1)] if pairs else []
    return torch.cat([_per_channel(batch), *together], 1)


def _per_channel(batch: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, 11 * C)."""
    step = max(min(batch.shape[-2:]) // SIDE, 1)
    few = batch[..., ::step, ::step].flatten(2)
    spread, mean = torch.var_mean(few, -1, correction=0)
    spread = spread.sqrt()
    skew = ((few - mean[..., None]) ** 3).mean(-1) / spread.clamp_min(1e-4) ** 3
    ordered = few.sort(-1).values
    at = [round(level * (few.shape[-1] - 1)) for level in LEVELS]
    found = [mean, (spread + 1e-3).log(), skew.clamp(-10, 10), *ordered[..., at].unbind(-1)]
    scaled = batch
    for _ in range(3):
        found.append(((_steepness(scaled) + 1e-4) / (spread + 1e-3)).log())
        if min(scaled.shape[-2:]) >= 4:
            scaled = functional.avg_pool2d(scaled, 2)
    return torch.stack(found, -1).flatten(1)


def _steepness(pictures: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C) mean difference between neighbours, along every fourth row and column."""
    total = pictures.new_zeros(pictures.shape[:2])
    if pictures.shape[-1] > 1:
        total = total + pictures[..., ::4, :].diff(dim=-1).abs().mean((-1, -2))
    if pictures.shape[-2] > 1:
        total = total + pictures[..., ::4].diff(dim=-2).abs().mean((-1, -2))
    return total / 2
