"""Random changes of stain, light and camera: another laboratory's smear, as far as arithmetic can make one."""

from __future__ import annotations

import cv2
import numpy as np


def change_appearance(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change stain, background colour, tone, colour, sharpness and noise at random.

    Parameters
    ----------
    image : (H, W, 3) uint8
    rng : Generator

    Returns
    -------
    (H, W, 3) uint8
    """
    x: np.ndarray = image.astype(np.float32) / 255
    if rng.random() < 0.35:
        x = _white_balanced(x)
    if rng.random() < 0.7:
        x = _stain(x, rng)
    if rng.random() < 0.5:
        x = x * rng.uniform(0.75, 1.1, 3).astype(np.float32)  # the lamp's colour
    if rng.random() < 0.6:
        x = np.clip(x, 0, 1) ** np.float32(2 ** rng.uniform(-0.7, 0.7))
    if rng.random() < 0.6:
        x = (x - 0.5) * np.float32(rng.uniform(0.7, 1.3)) + np.float32(0.5 + rng.uniform(-0.12, 0.12))
    if rng.random() < 0.5:
        x = _hue_saturation(np.clip(x, 0, 1), rng)
    if rng.random() < 0.04:
        x = np.repeat(x.mean(2, keepdims=True), 3, 2)
    if rng.random() < 0.3:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.6))
    elif rng.random() < 0.15:
        soft = cv2.GaussianBlur(x, (0, 0), 1.0)
        x = x + (x - soft) * np.float32(rng.uniform(0.3, 1.2))  # a camera that sharpens
    if rng.random() < 0.25:
        x = x + rng.normal(0, rng.uniform(0.005, 0.04), x.shape).astype(np.float32)
    changed: np.ndarray = (np.clip(x, 0, 1) * 255).astype(np.uint8)
    if rng.random() < 0.2:
        quality = int(rng.integers(30, 90))
        _, coded = cv2.imencode(".jpg", changed, [cv2.IMWRITE_JPEG_QUALITY, quality])
        changed = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))
    return changed


def _white_balanced(x: np.ndarray) -> np.ndarray:
    """Make the bright part of the image white."""
    white = np.percentile(x.reshape(-1, 3)[::5], 90, axis=0).astype(np.float32)
    return np.clip(x / np.maximum(white, 0.2), 0, 1.2)


def _stain(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mix and scale the optical densities of the three channels: other dyes, taken up more or less."""
    density = -np.log(np.clip(x, 1 / 255, 1))
    mix = np.eye(3) * rng.uniform(0.65, 1.45, 3) + rng.uniform(-0.15, 0.2, (3, 3)) * (1 - np.eye(3))
    return np.exp(-np.clip(density @ mix.T.astype(np.float32), 0, 6)).astype(np.float32)


def _hue_saturation(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    hsv = cv2.cvtColor(x, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-25, 25)) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.5, 1.5), 0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
