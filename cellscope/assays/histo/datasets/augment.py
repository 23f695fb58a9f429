"""Changes of the training windows: geometry, stain, camera (the paper's Table 1, and a wider set)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from skimage.color import hed_from_rgb, rgb_from_hed


@dataclass(frozen=True)
class Changes:
    """How far each change goes; 0 leaves it out.

    Attributes
    ----------
    scale : (low, high)
        Factor of size.
    rotation : float
        Degrees, either way.
    shear : float
        Degrees, either way.
    flips : bool
    elastic : (probability, strength)
        Displacement fields smoothed with sigma 5 pixels, times up to this strength.
    stain_shift, stain_factor : float
        Of the haematoxylin and the eosin channel, either way; shift in units of 1/255 optical density.
    blur, noise : float
        Largest sigma in pixels; largest standard deviation as a share of 255. Each with probability 0.3.
    contrast : bool
        CLAHE (clip limit 1 to 2), gamma (0.9 to 1.1) and sharpening (up to 0.2), with probability 0.4.
    light : float
        Brightness, contrast, gamma and colour balance, either way.
    jpeg : float
        Probability of another round of JPEG compression.
    resolution : float
        Probability of a scanner that resolves less: fewer pixels, down to half per side, enlarged again.
    shift : bool
        Windows lie anywhere; without it, around the places of a grid alone.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    rotation: float = 0.0
    shear: float = 0.0
    flips: bool = False
    elastic: tuple[float, float] = (0.0, 0.0)
    stain_shift: float = 0.0
    stain_factor: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    contrast: bool = False
    light: float = 0.0
    jpeg: float = 0.0
    resolution: float = 0.0
    shift: bool = True


_BASIC = Changes(scale=(0.9, 1.1), rotation=90.0, shear=5.0, flips=True)
_MODERATE = replace(_BASIC, stain_shift=8.0, stain_factor=0.05)
_STRONG = replace(_MODERATE, blur=0.5, noise=0.025)
LEVELS = {
    "baseline": Changes(shift=False),
    "basic": _BASIC,
    "moderate": _MODERATE,
    "strong": _STRONG,
    "full": replace(_STRONG, elastic=(0.3, 20.0), contrast=True),
    "wide": Changes(
        scale=(0.75, 1.6), rotation=180.0, shear=8.0, flips=True, elastic=(0.2, 20.0), stain_shift=12.0,
        stain_factor=0.35, blur=1.0, noise=0.03, contrast=True, light=0.15, jpeg=0.15, resolution=0.2,
    ),
}  # fmt: skip
"""The paper's five levels, and the wider one of the default recipe: other laboratories stain more differently."""


def draw_geometry(changes: Changes, rng: np.random.Generator) -> np.ndarray:
    """Draw a linear map (2, 2): scale, rotation, shear and mirror."""
    angle = np.deg2rad(rng.uniform(-changes.rotation, changes.rotation))
    shear = np.tan(np.deg2rad(rng.uniform(-changes.shear, changes.shear)))
    scale = np.exp(rng.uniform(*np.log(changes.scale)))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = turn @ np.array([[1.0, shear], [0.0, 1.0]]) * scale
    if changes.flips:
        matrix = matrix * rng.choice([-1.0, 1.0], 2)
    return matrix


def draw_displacement(changes: Changes, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray | None:
    """Draw an elastic displacement field (h, w, 2) float32 in pixels, or None."""
    chance, strength = changes.elastic
    if rng.random() >= chance:
        return None
    field = rng.uniform(-1, 1, (*shape, 2)).astype(np.float32) * np.float32(rng.uniform(0, strength))
    return cv2.GaussianBlur(field, (0, 0), 5.0)


def change_appearance(image: np.ndarray, changes: Changes, rng: np.random.Generator) -> np.ndarray:
    """Change stain, light and camera.

    Parameters
    ----------
    image : (H, W, 3) uint8, RGB
    changes : Changes
    rng : Generator

    Returns
    -------
    (H, W, 3) uint8
    """
    x: np.ndarray = image
    if changes.stain_factor and rng.random() < 0.8:
        x = _stain(x, changes, rng)
    if changes.light:
        x = _light(x, changes.light, rng)
    if changes.resolution and rng.random() < changes.resolution:
        x = _coarser(x, rng)
    if changes.blur and rng.random() < 0.3:
        if rng.random() < 0.5:
            x = cv2.GaussianBlur(x, (0, 0), max(rng.uniform(0, changes.blur), 0.05))
        else:
            noise = rng.normal(0, rng.uniform(0, changes.noise) * 255, x.shape)
            x = np.clip(x + noise, 0, 255).astype(np.uint8)
    if changes.contrast and rng.random() < 0.4:
        x = _contrast(x, rng)
    if rng.random() < changes.jpeg:
        _, coded = cv2.imencode(".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 95))])
        x = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return x


def _stain(x: np.ndarray, changes: Changes, rng: np.random.Generator) -> np.ndarray:
    """Scale and shift haematoxylin and eosin (Ruifrok and Johnston 2001), each on its own."""
    density = -np.log(np.maximum(x.astype(np.float32), 1) / 255)
    stains = density @ hed_from_rgb.astype(np.float32)
    factor = np.ones(3, np.float32)
    shift = np.zeros(3, np.float32)
    factor[:2] = rng.uniform(1 - changes.stain_factor, 1 + changes.stain_factor, 2)
    shift[:2] = rng.uniform(-changes.stain_shift, changes.stain_shift, 2) / 255
    changed = (stains * factor + shift) @ rgb_from_hed.astype(np.float32)
    return (np.exp(-np.clip(changed, 0, 6)) * 255).astype(np.uint8)


def _light(x: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Another lamp and camera: a table per colour, so that it costs nothing."""
    levels = np.linspace(0, 1, 256)
    gamma = np.exp(rng.uniform(-2, 2) * strength)
    contrast, shift = 1 + rng.uniform(-1, 1) * strength, rng.uniform(-0.5, 0.5) * strength
    tables = [
        np.clip(((levels * (1 + rng.uniform(-0.5, 0.5) * strength)) ** gamma - 0.5) * contrast + 0.5 + shift, 0, 1)
        for _ in range(3)
    ]
    return cv2.LUT(x, (np.stack(tables, -1)[:, None] * 255).astype(np.uint8).reshape(1, 256, 3))


def _coarser(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Show what a scanner with larger pixels would: 20x where the others have 40x."""
    height, width = x.shape[:2]
    share = rng.uniform(0.5, 0.9)
    small = cv2.resize(x, (round(width * share), round(height * share)), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _contrast(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    clahe = cv2.createCLAHE(rng.uniform(1, 2), (8, 8))
    x = np.stack([clahe.apply(np.ascontiguousarray(x[..., channel])) for channel in range(3)], -1)
    x = cv2.LUT(x, (np.linspace(0, 1, 256) ** rng.uniform(0.9, 1.1) * 255).astype(np.uint8))
    alpha = rng.uniform(0, 0.2)
    sharp = cv2.addWeighted(x, 2.0, cv2.GaussianBlur(x, (0, 0), 1.0), -1.0, 0)
    return cv2.addWeighted(x, 1 - alpha, sharp, alpha, 0)
