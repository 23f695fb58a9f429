"""Random changes of stain, light and camera: another laboratory's smear, as far as arithmetic can make one."""

from __future__ import annotations

import cv2
import numpy as np

from cellscope.assays.nucleus_seg.classes import NUCLEUS, OUTSIDE


def change_appearance(image: np.ndarray, rng: np.random.Generator, *, width: float = 1.0) -> np.ndarray:
    """Change stain, background colour, tone, colour, sharpness and noise at random.

    Parameters
    ----------
    image : (H, W, 3) uint8
    rng : Generator
    width : float
        How wide the ranges are: factors to the power of it, differences times it.

    Returns
    -------
    (H, W, 3) uint8
    """
    x: np.ndarray = image.astype(np.float32) / 255
    if rng.random() < 0.35:
        x = _white_balanced(x)
    if rng.random() < 0.7:
        x = _stain(x, rng, width)
    if rng.random() < 0.5:
        x = x * rng.uniform(0.75**width, 1.1**width, 3).astype(np.float32)  # the lamp's colour
    if rng.random() < 0.6:
        x = np.clip(x, 0, 1) ** np.float32(2 ** rng.uniform(-0.7 * width, 0.7 * width))
    if rng.random() < 0.6:
        gain, offset = rng.uniform(0.7**width, 1.3**width), rng.uniform(-0.12 * width, 0.12 * width)
        x = (x - 0.5) * np.float32(gain) + np.float32(0.5 + offset)
    if rng.random() < 0.5:
        x = _hue_saturation(np.clip(x, 0, 1), rng, width)
    if rng.random() < 0.04:
        x = np.repeat(x.mean(2, keepdims=True), 3, 2)
    if rng.random() < 0.3:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.6 * width))
    elif rng.random() < 0.15:
        soft = cv2.GaussianBlur(x, (0, 0), 1.0)
        x = x + (x - soft) * np.float32(rng.uniform(0.3, 1.2))  # a camera that sharpens
    if rng.random() < 0.25:
        x = x + rng.normal(0, rng.uniform(0.005, 0.04 * width), x.shape).astype(np.float32)
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


def _stain(x: np.ndarray, rng: np.random.Generator, width: float) -> np.ndarray:
    """Mix and scale the optical densities of the three channels: other dyes, taken up more or less."""
    density = _density(x)
    own, others = rng.uniform(0.65**width, 1.45**width, 3), rng.uniform(-0.15 * width, 0.2 * width, (3, 3))
    mix = np.eye(3) * own + others * (1 - np.eye(3))
    return np.exp(-np.clip(density @ mix.T.astype(np.float32), 0, 6)).astype(np.float32)


def _hue_saturation(x: np.ndarray, rng: np.random.Generator, width: float) -> np.ndarray:
    hsv = cv2.cvtColor(x, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-25 * width, 25 * width)) % 360
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.5**width, 1.5**width), 0, 1)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


def borrow_stain(
    image: np.ndarray, mask: np.ndarray, other: np.ndarray, other_mask: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Give an image the background and the nuclei of another one's colours: one laboratory's smear stained by another.

    Per channel the optical density is moved and stretched so that the means of both go where they are in the other
    image, or a random part of the way; everything else (cytoplasm, red cells) falls where that takes it.

    Parameters
    ----------
    image, other : (H, W, 3) uint8
    mask, other_mask : (H, W) uint8, codes of `classes`
    rng : Generator

    Returns
    -------
    (H, W, 3) uint8
        `image` itself where one of them lacks nucleus or background.
    """
    # Every other pixel of the other image will do: it may be a whole smear.
    mine, theirs = _anchors(image, mask), _anchors(other[::2, ::2], other_mask[::2, ::2])
    if mine is None or theirs is None:
        return image
    share = rng.uniform(0.3, 1.0)
    contrast, wanted = mine[1] - mine[0], theirs[1] - theirs[0]
    # A channel in which the nuclei hardly show cannot be stretched without making noise of it.
    stretch = np.clip(wanted / np.maximum(contrast, 0.1), 0.4, 2.5) ** share
    moved = mine[0] + share * (theirs[0] - mine[0])
    density = moved + (_density(image.astype(np.float32) / 255) - mine[0]) * stretch
    return (np.exp(-np.clip(density, 0, 6)) * 255).astype(np.uint8)


def stain_red_cells(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Stain what lies outside the annotated cells, red cells above all, paler or darker, up to near the nuclei.

    Parameters
    ----------
    image : (H, W, 3) uint8
    mask : (H, W) uint8, codes of `classes`
    rng : Generator

    Returns
    -------
    (H, W, 3) uint8
        `image` itself where it lacks nucleus or background.
    """
    anchors = _anchors(image, mask)
    if anchors is None:
        return image
    paper, nucleus = anchors
    density = _density(image.astype(np.float32) / 255)
    factor = 2 ** (rng.uniform(-1, 1.6) + rng.uniform(-0.4, 0.4, 3))
    above = np.maximum(density - paper, 0)
    # Bent, not cut, at three quarters of the nuclei's density: no stain makes red cells as dark as those.
    ceiling = np.maximum(0.75 * (nucleus - paper), 0.05)
    stained = ceiling * np.tanh(above * factor / ceiling)
    outside = cv2.GaussianBlur((mask <= OUTSIDE).astype(np.float32), (0, 0), 1.0)[..., None]
    changed = density + outside * (np.minimum(density, paper) + stained - density)
    return (np.exp(-np.clip(changed, 0, 6)) * 255).astype(np.uint8)


def _density(x: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 in [0, 1] -> natural optical density."""
    return -np.log(np.clip(x, 1 / 255, 1))


def _anchors(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Give the mean densities of bare background (the brighter half outside the cells) and of nuclei, each (3,)."""
    nucleus, outside = image[mask == NUCLEUS], image[mask <= OUTSIDE]
    if len(nucleus) < 30 or len(outside) < 30:
        return None
    bright = outside[outside[:, 1] >= np.median(outside[:, 1])]
    return _density(bright.astype(np.float32) / 255).mean(0), _density(nucleus.astype(np.float32) / 255).mean(0)
