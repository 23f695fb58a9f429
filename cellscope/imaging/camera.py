"""Augmentation that simulates other cameras: lamp, objective, detector and file format.

One recipe for the training of all assays. What is drawn once holds for all frames and channels given together, for one
acquisition has one lamp and one focus; noise is drawn for every pixel. What differs in the sample (stain, shape, pose)
is the assays' own affair.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np


@dataclass(frozen=True)
class Camera:
    """How far each change goes; 0 leaves it out.

    Attributes
    ----------
    gain : float
        Light and amplification: logarithm of the factor, either way. What exceeds the range is cut off, as a detector
        does.
    offset : float
        Black level, share of the range, either way.
    gamma : float
        Logarithm of the exponent, either way.
    uneven : float
        How much darker or brighter one end of the field may be, share of the light.
    blur : float
        Largest sigma, pixels, in half of the pictures.
    noise : float
        Largest standard deviation at full light, share of the range; half of it grows with the light as photons do.
    resolution : float
        Share of the pictures that lose up to half of their resolution and are sampled up again.
    compression : float
        Share of the pictures that went through a JPEG of quality 40 to 95.
    """

    gain: float = 0.0
    offset: float = 0.0
    gamma: float = 0.0
    uneven: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    resolution: float = 0.0
    compression: float = 0.0


OTHERS = Camera(
    gain=0.25, offset=0.06, gamma=0.25, uneven=0.15, blur=1.2, noise=0.03, resolution=0.25, compression=0.2
)  # fmt: skip
"""What another laboratory's microscope may do to the same cells."""


def without(camera: Camera, *names: str) -> Camera:
    """Leave changes out by name, as measurements of what each is worth need it."""
    return replace(camera, **dict.fromkeys(names, 0.0))


def photograph(frames: np.ndarray, camera: Camera, rng: np.random.Generator) -> np.ndarray:
    """Show an acquisition as another camera would have taken it.

    Parameters
    ----------
    frames : (T, H, W, C) float32
        Between 0 and 1, the range of the detector; C of 3 is compressed as colours, others channel by channel.
    camera : Camera
    rng : Generator
        The same state gives the same pictures.

    Returns
    -------
    (T, H, W, C) float32, between 0 and 1
    """
    out = np.asarray(frames, np.float32)
    sigma = rng.uniform(0.3, 1.0) * camera.blur if rng.random() < 0.5 else 0.0
    if sigma > 0.1:
        out = _each(out, lambda plane: cv2.GaussianBlur(plane, (0, 0), sigma))
    out = out * np.float32(np.exp(rng.uniform(-camera.gain, camera.gain)))
    if camera.uneven:
        out = out * _slope(out.shape[1:3], rng.uniform(-camera.uneven, camera.uneven), rng.uniform(0, 2 * np.pi))
    out = np.clip(out, 0, 1) ** np.float32(np.exp(rng.uniform(-camera.gamma, camera.gamma)))
    out = out + np.float32(rng.uniform(-camera.offset, camera.offset))
    deviation = np.float32(rng.uniform(0, camera.noise))
    if deviation:
        spread = deviation * (0.5 + 0.5 * np.sqrt(np.clip(out, 0, 1)))
        out = out + spread * rng.standard_normal(out.shape, np.float32)
    out = np.clip(out, 0, 1)
    if rng.random() < camera.resolution:
        out = _coarser(out, rng.uniform(0.5, 0.95))
    if rng.random() < camera.compression:
        out = _compressed(out, int(rng.integers(40, 96)))
    return out.astype(np.float32, copy=False)


def _each(frames: np.ndarray, change: object) -> np.ndarray:
    """Apply a function of (H, W) to every frame and channel."""
    planes = [[change(np.ascontiguousarray(plane)) for plane in np.moveaxis(frame, -1, 0)] for frame in frames]  # type: ignore[operator]
    return np.moveaxis(np.array(planes, np.float32), 1, -1)


def _slope(size: tuple[int, int], strength: float, direction: float) -> np.ndarray:
    """Make a factor that rises across the field from 1 - strength to 1 + strength: (1, H, W, 1)."""
    rows, columns = (np.linspace(-1, 1, side, dtype=np.float32) for side in size)
    along = rows[:, None] * np.sin(direction) + columns * np.cos(direction)
    return (1 + strength * along / np.sqrt(2))[None, ..., None].astype(np.float32)


def _coarser(frames: np.ndarray, factor: float) -> np.ndarray:
    height, width = frames.shape[1:3]
    small = max(round(width * factor), 1), max(round(height * factor), 1)

    def change(plane: np.ndarray) -> np.ndarray:
        down = cv2.resize(plane, small, interpolation=cv2.INTER_AREA)
        return cv2.resize(down, (width, height), interpolation=cv2.INTER_LINEAR)

    return _each(frames, change)


def _compressed(frames: np.ndarray, quality: int) -> np.ndarray:
    def change(plane: np.ndarray) -> np.ndarray:
        stored = np.rint(plane * 255).astype(np.uint8)
        _, data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED), np.float32) / 255

    if frames.shape[-1] == 3:
        return np.stack([change(np.ascontiguousarray(frame)) for frame in frames])
    return _each(frames, change)
