"""Batches of sequences as networks see them: plain, or varied for training, the same for all frames of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cellscope.assays.mitosis.datasets.cameras import other_microscope
from cellscope.assays.mitosis.datasets.sequences import Sequences
from cellscope.assays.mitosis.sequences.view import Trace, affine_grid, normalise, sample

TURN = 0.25
"""Most that a square which lies as the cell does is turned in training, radians; half as much more in each frame."""

OTHER_CAMERA = 0.8
"""Share of sequences that another microscope records, with ``--augment camera``."""


def plain_batch(sequences: Sequences, index: Sequence[int], settings: Mapping[str, Any]) -> torch.Tensor:
    """Give sequences as a network sees them in prediction: (B, T, 2, size, size) float32."""
    fields = sequences.fields(settings)
    return torch.stack([_sample(sequences.pixels[i], sequences.traces[i], fields[i : i + 1], settings) for i in index])


def varied_batch(
    sequences: Sequences, index: Sequence[int], settings: Mapping[str, Any], kind: str, fields: torch.Tensor
) -> torch.Tensor:
    """Give varied views for training, drawn from torch's global generator.

    Parameters
    ----------
    sequences : Sequences
    index : sequence of int
    settings : mapping
        ``size``, ``zoom_power``, ``follow``, ``turn``.
    kind : str
        ``paper``: flips, rotation by up to 90 degrees, uniform noise, elastic deformation on a grid of 3x3 nodes.
        ``strong``: rotation by any angle, zoom, shift and elastic deformation; contrast, brightness and gamma of each
        channel, blur and noise; frames shifted, dropped or repeated; now and then one channel left out. ``camera``: as
        strong, but light, sharpness and noise are varied before normalisation, as another microscope would have
        recorded them. ``none``.
    fields : (N,) float
        `Sequences.fields` of all.

    Returns
    -------
    (B, T, 2, size, size) float32
    """
    if kind == "none":
        return torch.stack(
            [_sample(sequences.pixels[i], sequences.traces[i], fields[i : i + 1], settings) for i in index]
        )
    camera, strong = kind == "camera", kind in ("strong", "camera")
    views = []
    for i in index:
        order = _jitter(len(sequences.pixels[i])) if strong else torch.arange(len(sequences.pixels[i]))
        pixels, trace = sequences.pixels[i], sequences.traces[i]
        if camera and torch.rand(1) < OTHER_CAMERA:
            rng = np.random.default_rng(int(torch.randint(2**62, (1,))))
            pair = other_microscope(sequences.recorded[i].astype(np.float32), rng)
            pixels = torch.from_numpy(normalise(pair, sequences.tone))
        pixels = pixels[order]
        trace = Trace(trace.shift[order], trace.turn[order])
        fov = fields[i : i + 1] * (torch.exp(_uniform(0.2)) if strong else 1.0)
        angle = torch.rand(1) * (2 * torch.pi if strong else torch.pi / 2)
        if settings.get("turn"):  # as the cell lies, more or less, either way round
            angle = _uniform(TURN) + torch.pi * (torch.rand(1) < 0.5)
            trace = Trace(trace.shift, trace.turn + _uniform(TURN / 2, len(trace.turn)))
        mirror = (torch.rand(1) < 0.5).float() * 2 - 1
        shift = torch.cat([_uniform(5.0), _uniform(5.0)])[None] if strong else torch.zeros(1, 2)
        nodes = 4 if strong else 3
        elastic = (torch.rand(1, 2, nodes, nodes) * 2 - 1) * 0.07
        view = _sample(pixels, trace, fov, settings, elastic, angle=angle, mirror=mirror, shift=shift)
        views.append(view if strong or torch.rand(1) < 0.5 else view.flip(-2))
    batch = torch.stack(views)
    if camera:
        return _without_one_channel(batch)
    return _without_one_channel(_vary_tone(batch)) if strong else batch + (torch.rand_like(batch) * 2 - 1) * 0.05


def _uniform(most: float, count: int = 1) -> torch.Tensor:
    return (torch.rand(count) * 2 - 1) * most


def _sample(
    pixels: torch.Tensor,
    trace: Trace,
    fov: torch.Tensor,
    settings: Mapping[str, Any],
    elastic: torch.Tensor | None = None,
    **turn: Any,
) -> torch.Tensor:
    size = int(settings["size"])
    height, width = pixels.shape[2:]
    grid = affine_grid(fov, (height, width), size, **turn)
    if elastic is not None:
        bend = F.interpolate(elastic, (size, size), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
        grid = grid + bend * fov / torch.tensor([width, height])
    turned = bool(settings.get("turn"))
    return sample(pixels.float(), grid, trace if settings.get("follow") else None, turned=turned)


def _jitter(frames: int) -> torch.Tensor:
    """Shift a sequence by up to two frames (its first or last is repeated), or drop one frame and repeat one."""
    chance = float(torch.rand(1))
    if chance < 0.3:
        by = int(torch.randint(-2, 3, (1,)))
        return (torch.arange(frames) + by).clamp(0, frames - 1)
    if chance < 0.5:
        dropped, repeated = torch.randint(0, frames, (2,)).tolist()
        kept = [place for place in range(frames) if place != dropped]
        repeated = min(repeated, len(kept) - 1)
        kept.insert(repeated, kept[repeated])
        return torch.tensor(kept)
    return torch.arange(frames)


def _vary_tone(batch: torch.Tensor) -> torch.Tensor:
    """Vary contrast, brightness, gamma, sharpness and noise; each sequence as a whole."""
    count = len(batch)

    def each(most: float) -> torch.Tensor:
        return _uniform(most, count).view(count, 1, 1, 1)

    light = batch[:, :, 0] * torch.exp(each(0.5)) + each(0.3)
    nuclei = (batch[:, :, 1] * torch.exp(each(0.3))).clamp_min(0) ** torch.exp(each(0.35))
    batch = torch.stack([light, nuclei], 2)
    blurred = torch.rand(count) < 0.4
    if blurred.any():
        side = torch.tensor([1.0, 2.0, 1.0]) / 4
        kernel = (side[:, None] * side).expand(2, 1, 3, 3)
        batch[blurred] = F.conv2d(batch[blurred].flatten(0, 1), kernel, padding=1, groups=2).view_as(batch[blurred])
    return batch + torch.randn_like(batch) * torch.rand(count, 1, 1, 1, 1) * 0.1


def _without_one_channel(batch: torch.Tensor) -> torch.Tensor:
    """Empty one channel of a tenth of the sequences."""
    left_out = torch.rand(len(batch))
    batch[:, :, 0][left_out < 0.05] = 0
    batch[:, :, 1][(left_out >= 0.05) & (left_out < 0.1)] = 0
    return batch
