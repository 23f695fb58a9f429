"""What a network is shown of a sequence: intensities made alike, frames chosen, a square of known size cut out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from cellscope.assays.mitosis.sequences.tracks import SCALES, follow_cell, long_axis, smoothed
from cellscope.errors import InputError

FRAMES = 12
"""Frames of a sequence in the paper: two hours at ten minutes each."""

TRAINED_PIXEL_UM = 1.1518
"""Pixel size of the shared training sequences (20x, 0.868 pixels per micrometre)."""

REFERENCE_SIDE = 64.0
FOLLOWED_SIDE = 48.0
"""Width of a square that follows the cell, in pixels of the training data: two daughters side by side."""


def normalise(pair: np.ndarray, tone: str = "absorption") -> np.ndarray:
    """Make sequences alike that differ in lamp, exposure and staining.

    Parameters
    ----------
    pair : (T, 2, H, W) float32
        Transmitted light and nuclei, any unit.
    tone : str
        ``absorption``: transmitted light as contrast against its median (absorption scales with the light, so dividing
        removes the lamp), in units of a fifth. ``spread``: in units of half of what lies between its 5th and 95th
        percentile, which removes the camera's black level and contrast too.

    Returns
    -------
    (T, 2, H, W) float32
        Transmitted light, 0 is background, clipped to +-4. Nuclei between their 10th and 99.7th percentile,
        square root, 0 to about 1.2. All percentiles are over the whole sequence, so that frames stay comparable.
    """
    light, nuclei = pair[:, 0], pair[:, 1]
    middle = float(np.median(light))
    if tone == "spread":
        darkest, brightest = (float(value) for value in np.percentile(light, [5.0, 95.0]))
        contrast = 0.2 * (light - middle) / max((brightest - darkest) / 2, 1e-6)
    elif abs(middle) < 1e-6:  # already background-subtracted
        contrast = light / max(float(np.percentile(np.abs(light), 95)), 1e-6) * 0.3
    else:
        contrast = light / middle - 1.0
    low, high = (float(value) for value in np.percentile(nuclei, [10.0, 99.7]))
    share = (nuclei - low) / max(high - low, 1e-6)
    return np.stack([np.clip(contrast / 0.2, -4, 4), np.sqrt(np.clip(share, 0, 1.5))], axis=1).astype(np.float32)


def tone_of(settings: Mapping[str, Any]) -> str:
    """Say how `normalise` treats transmitted light for a network of these settings."""
    return str(settings.get("tone", "absorption"))


def choose_frames(count: int, wanted: int, policy: str) -> np.ndarray:
    """Say which frames a network sees.

    Parameters
    ----------
    count : int
        Frames there are.
    wanted : int
        Frames the network was trained with.
    policy : str
        ``any``: all. ``pad``: of fewer, the last is repeated; of more, `wanted` at even distances. ``sample``: `wanted`
        at even distances, also of fewer. ``refuse``: an error unless there are `wanted`.

    Returns
    -------
    (T,) int64, rising

    Raises
    ------
    InputError
        One frame only; another number than `wanted` under ``refuse``.
    """
    if count < 2:
        raise InputError("one frame is not a sequence; give at least two frames (12 of ten minutes are usual)")
    if policy == "any" or count == wanted:
        return np.arange(count)
    if policy == "refuse":
        raise InputError(f"{count} frames, and the model was trained with {wanted}; --frames pad or sample takes them")
    if policy == "pad" and count < wanted:
        return np.minimum(np.arange(wanted), count - 1)
    return np.rint(np.linspace(0, count - 1, wanted)).astype(np.int64)


def field_of_view(side: float, pixel_size_um: float | None, settings: Mapping[str, Any]) -> float:
    """Say how wide a square the network sees, in pixels of the sequence.

    Parameters
    ----------
    side : float
        Mean of height and width, pixels.
    pixel_size_um : float or None
        None is taken for the training sequences' own.
    settings : mapping
        ``zoom_power``: 1 shows the whole sequence whatever its size, 0 always the same piece of the sample; between, a
        crop that is twice as wide is shown at less than twice the width, so that cells keep nearly their size.
        ``follow``: the square follows the dividing cell and is ``field`` wide, `FOLLOWED_SIDE` where that is not said.
    """
    scale = (pixel_size_um or TRAINED_PIXEL_UM) / TRAINED_PIXEL_UM
    if settings.get("follow"):
        return float(settings.get("field", FOLLOWED_SIDE)) / scale
    field_of_view = REFERENCE_SIDE * (side * scale / REFERENCE_SIDE) ** float(settings["zoom_power"])
    return field_of_view / scale


@dataclass(frozen=True)
class Trace:
    """Where the dividing cell is in each frame, and which way it lies.

    Attributes
    ----------
    shift : (T, 2) float32
        x and y in pixels from the middle of the frames, smoothed over three frames: the square glides, it does not
        shake.
    turn : (T,) float32
        Direction of the long axis of its chromatin, radians from the x axis towards y.
    """

    shift: torch.Tensor
    turn: torch.Tensor


def follow_trace(nuclei: np.ndarray) -> Trace:
    """Follow the dividing cell through (T, H, W) float32 nuclei as `normalise` gives them."""
    nuclei = smoothed(nuclei**2)  # undo the square root
    places = follow_cell(nuclei, SCALES[1][0])
    padded = np.concatenate([places[:1], places, places[-1:]])
    glide = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    middle = (np.array(nuclei.shape[1:]) - 1) / 2
    shift = (glide - middle)[:, ::-1].astype(np.float32).copy()
    return Trace(torch.from_numpy(shift), torch.from_numpy(long_axis(nuclei, places).astype(np.float32)))


def sample(flat: torch.Tensor, grid: torch.Tensor, trace: Trace | None, *, turned: bool = False) -> torch.Tensor:
    """Sample frames on a grid, each displaced along the cell's path where one is given.

    Parameters
    ----------
    flat : (T, C, H, W) float32
    grid : (1, size, size, 2)
        From `affine_grid`.
    trace : Trace or None
    turned : bool
        Turn the grid in each frame as the cell lies, so that its long axis runs along the rows of the result.

    Returns
    -------
    (T, C, size, size) float32; outside the frames 0, which is background
    """
    frames, channels, height, width = flat.shape
    if trace is None:
        sampled = F.grid_sample(flat.flatten(0, 1)[None], grid, align_corners=False, padding_mode="zeros")
        return sampled.view(frames, channels, *grid.shape[1:3])
    half = torch.tensor([width, height], dtype=torch.float32) / 2
    pixels = (grid * half).expand(frames, -1, -1, -1)
    if turned:
        cos, sin = trace.turn.cos()[:, None, None], trace.turn.sin()[:, None, None]
        x, y = pixels.unbind(-1)
        pixels = torch.stack([x * cos - y * sin, x * sin + y * cos], -1)
    moved = (pixels + trace.shift[:, None, None]) / half
    return F.grid_sample(flat, moved, align_corners=False, padding_mode="zeros")


def affine_grid(
    fov: torch.Tensor, extent: tuple[int, int], size: int, *, angle: Any = 0.0, mirror: Any = 1.0, shift: Any = 0.0
) -> torch.Tensor:
    """Make the sampling grid that cuts squares out of images, turned, mirrored and shifted.

    Parameters
    ----------
    fov : (B,) float
        Width of each square in pixels.
    extent : (height, width) of the images
    size : int
        Pixels of the result.
    angle, mirror, shift
        Scalars or (B,), (B,), (B, 2): radians, +-1, and pixels (x, y) from the middle.

    Returns
    -------
    (B, size, size, 2) float32, for `torch.nn.functional.grid_sample` with ``align_corners=False``
    """
    count = len(fov)
    height, width = extent
    angle = torch.as_tensor(angle, dtype=torch.float32).expand(count)
    mirror = torch.as_tensor(mirror, dtype=torch.float32).expand(count)
    shift = torch.as_tensor(shift, dtype=torch.float32).expand(count, 2)
    cos, sin = torch.cos(angle) * fov, torch.sin(angle) * fov
    rows = [
        torch.stack([cos * mirror / width, -sin / width, 2 * shift[:, 0] / width], 1),
        torch.stack([sin * mirror / height, cos / height, 2 * shift[:, 1] / height], 1),
    ]
    return F.affine_grid(torch.stack(rows, 1), [count, 1, size, size], align_corners=False)


def network_view(normalised: np.ndarray, pixel_size_um: float | None, settings: Mapping[str, Any]) -> np.ndarray:
    """Cut the square the network sees out of the middle of a normalised sequence.

    Parameters
    ----------
    normalised : (T, 2, H, W) float32
        From `normalise`.
    pixel_size_um : float or None
    settings : mapping
        ``size`` (pixels of the result), ``zoom_power``, ``follow`` and ``turn``, from the model card.

    Returns
    -------
    (T, 2, size, size) float32; outside the sequence 0, which is background
    """
    height, width = normalised.shape[2:]
    fov = torch.tensor([field_of_view((height + width) / 2, pixel_size_um, settings)])
    grid = affine_grid(fov, (height, width), int(settings["size"]))
    trace = follow_trace(normalised[:, 1]) if settings.get("follow") else None
    pixels = torch.from_numpy(np.ascontiguousarray(normalised))
    return sample(pixels, grid, trace, turned=bool(settings.get("turn"))).numpy()
