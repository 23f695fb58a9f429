"""Where tissue lies on a slide, from a small picture of it."""

from __future__ import annotations

import cv2
import numpy as np

from cellscope.imaging.labels import remove_small
from cellscope.imaging.stain import optical_density

#: Glass is at least this bright, and its colours differ by no more than this.
_GLASS_LEAST, _GLASS_TINT = 150, 24
#: What white is taken for where no glass is in sight.
_WHITE = (243.0, 243.0, 243.0)
#: Share of the pixels that makes glass believable.
_GLASS_SHARE = 0.002
#: Least optical density of green above the glass: pale stroma has 0.08 and more.
_FAINTEST = 0.04
#: Least difference between the densities of green and of red or blue; grey things have none.
_LEAST_COLOUR = 0.02
#: Denser than this, inks and borders are told by their hue.
_DENSE = 0.3
#: Pixels around an ink that are a mixture of it and glass.
_RIM = 3
#: Pixel size of a thumbnail whose scale is not known, micrometres.
_USUAL_UM = 8.0
#: Finest pixel at which tissue is searched, micrometres.
_FINEST_UM = 4.0
#: Gaps up to twice this wide are closed, pieces smaller than its square dropped, micrometres.
_CLOSE_UM = 50.0
#: By how much the outline is widened, micrometres: little, because densities are counted over this area.
_WIDEN_UM = 10.0


def glass_colour(rgb: np.ndarray) -> np.ndarray:
    """Find the colour of empty glass: the most frequent one among bright greys.

    Parameters
    ----------
    rgb : (h, w, 3) uint8

    Returns
    -------
    (3,) float32
        Nearly white where the picture shows no glass.
    """
    pixels = rgb.reshape(-1, 3)
    low, high = pixels.min(1), pixels.max(1)
    glass = (low >= _GLASS_LEAST) & (high.astype(int) - low <= _GLASS_TINT)
    if glass.sum() < max(_GLASS_SHARE * len(pixels), 1):
        return np.array(_WHITE, np.float32)
    level = np.bincount(low[glass], minlength=256).astype(float)
    mode = int(np.convolve(level, np.ones(5), "same").argmax())
    near = glass & (np.abs(low.astype(int) - mode) <= 3)
    return np.asarray(np.median(pixels[near], 0), np.float32)


def stained(rgb: np.ndarray) -> np.ndarray:
    """Tell which pixels have the hue of H&E: green is absorbed most, and more than by the glass; no ink beside.

    Marker pens absorb red (blue, green), everything alike (black), or green and blue alike and strongly (red).

    Parameters
    ----------
    rgb : (h, w, 3) uint8

    Returns
    -------
    (h, w) bool
    """
    glass = glass_colour(rgb)
    balanced = np.clip(rgb.astype(np.float32) * (255.0 / np.maximum(glass, 1.0)), 0, 255).astype(np.uint8)
    density = optical_density(balanced)
    red, green, blue = density[..., 0], density[..., 1], density[..., 2]
    darkest, lightest = density.max(-1), density.min(-1)
    grey = darkest - lightest < 0.15 * darkest
    # Dense haematoxylin absorbs red nearly as much as green, sometimes a little more; ink far more.
    blue_or_green = red > 1.15 * green + 0.05
    red_pen = (green > 0.7) & (blue > 0.65 * green) & (red < 0.15 * green)
    ink = ((grey | blue_or_green) & (darkest > _DENSE)) | red_pen
    # Single pixels of such a hue are nuclei and dust; a stroke or a border is wider, and its rim is mixed with glass.
    strokes = cv2.morphologyEx(ink.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return (
        (green > _FAINTEST)
        & (green - np.minimum(red, blue) > _LEAST_COLOUR)
        & ~ink
        & (cv2.dilate(strokes, _disc(_RIM)) == 0)
    )


def tissue_mask(thumbnail: np.ndarray, pixel_size_um: float | None = None) -> np.ndarray:
    """Find tissue on a picture of a slide: all that is stained, a little widened, without specks.

    Meant to leave out glass, not to cut close: what is lost here is not segmented at all.

    Parameters
    ----------
    thumbnail : (h, w, 3) uint8, sRGB
        White or grey glass; marks of pens, black borders and the slide's edge are told by their colour.
    pixel_size_um : float or None
        Of the picture; 8 where unknown.

    Returns
    -------
    (h, w) bool
    """
    pixel = pixel_size_um or _USUAL_UM
    height, width = thumbnail.shape[:2]
    if pixel < _FINEST_UM:  # finer shows no more tissue, and closing gaps takes time with the square of their width
        factor = pixel / _FINEST_UM
        size = (max(round(width * factor), 1), max(round(height * factor), 1))
        small = tissue_mask(cv2.resize(thumbnail, size, interpolation=cv2.INTER_AREA), _FINEST_UM)
        return cv2.resize(small.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST_EXACT) > 0
    smooth = cv2.medianBlur(np.ascontiguousarray(thumbnail), 3)
    found = stained(cv2.GaussianBlur(smooth, (0, 0), 1.0)).astype(np.uint8)
    radius = max(round(_CLOSE_UM / pixel), 1)
    opened = cv2.morphologyEx(found, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    pad = 2 * radius  # so that tissue at the border is not worn away by the closing
    padded = cv2.copyMakeBorder(opened, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, _disc(radius))[pad:-pad, pad:-pad]
    pieces = cv2.connectedComponents(closed, connectivity=8)[1]
    kept = remove_small(pieces, max((_CLOSE_UM / pixel) ** 2, 4)) > 0
    return cv2.dilate(kept.astype(np.uint8), _disc(max(round(_WIDEN_UM / pixel), 1))) > 0


def _disc(radius: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
