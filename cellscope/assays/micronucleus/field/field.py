"""A field of nuclei as the networks see it: one channel, one range of brightness, one size of nucleus."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.segmentation import watershed

from cellscope.errors import InputError

MIN_DIAMETER, MAX_DIAMETER = 6.0, 400.0
"""Smallest and largest nucleus, in pixels, that a field is taken to hold."""

LINEAR_TOP = 3.0
ASINH = 10.0
SATURATED = 0.02
SATURATED_NUCLEI = 0.2
"""Shares of all pixels, and of the bright ones, at the highest grey value above which a field is called saturated."""


def grey_of(pixels: np.ndarray, name: str) -> np.ndarray:
    """Give the one channel of an image that was read, or any of several equal ones (a grey image saved as RGB).

    Parameters
    ----------
    pixels : (H, W, C) uint8, uint16 or float32
    name : str
        For the message.

    Returns
    -------
    (H, W) float32

    Raises
    ------
    InputError
        If the channels differ: then a person chooses which one is read.
    """
    count = pixels.shape[2]
    if any(not np.array_equal(pixels[..., 0], pixels[..., other]) for other in range(1, count)):
        raise InputError(
            f"{name}: the image has {count} channels; say which one shows the DNA with --channel 0..{count - 1}"
        )
    return pixels[..., 0].astype(np.float32)


def to_integers(grey: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Give a channel back as integers, for storage: its own values where it came as integers, else stretched to 16 bit.

    Parameters
    ----------
    grey : (H, W) float32
    dtype
        Of the file.
    """
    if dtype.kind == "u":
        return grey.astype(dtype)
    low, high = float(grey.min()), float(grey.max())
    return np.rint((grey - low) * (65535.0 / max(high - low, 1e-6))).astype(np.uint16)


def exposure_warnings(pixels: np.ndarray, grey: np.ndarray) -> list[str]:
    """Say what is wrong with the exposure: nothing there, or too much.

    Parameters
    ----------
    pixels : (H, W, C)
        As read, for the highest value its type can have.
    grey : (H, W) float32
        The channel used.
    """
    low, high = float(grey.min()), float(grey.max())
    if low == high:
        return [
            "the field is all black: no signal" if high <= 0 else "the field is blank: every pixel has the same value"
        ]
    top = float(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else None
    full = grey >= (top if top is not None else high)
    bright = bright_mask(grey)
    if bright is not None and (share := float(np.mean(full[bright]))) > SATURATED_NUCLEI:
        return [f"{share:.0%} of the nuclei's pixels are saturated: micronuclei that touch a nucleus are lost in it"]
    share = float(np.mean(full))
    if share > SATURATED:
        return [f"{share:.0%} of the pixels are saturated: micronuclei that touch a nucleus are lost in it"]
    return []


def normalise_field(grey: np.ndarray) -> np.ndarray:
    """Map background to 0 and the usual nucleus to 1.

    Otsu's threshold is taken on the square root of the signal, so that a few very bright (mitotic) nuclei do not hide
    the many dim ones.

    Parameters
    ----------
    grey : (H, W) float32

    Returns
    -------
    (H, W) float32
        All zero for a blank field.
    """
    mask = bright_mask(grey)
    if mask is None:
        return np.zeros(grey.shape, np.float32)
    background = float(np.median(grey[~mask]))
    scale = float(np.median(grey[mask])) - background
    return ((grey - background) / max(scale, 1e-6)).astype(np.float32)


def bright_mask(grey: np.ndarray) -> np.ndarray | None:
    """Threshold (Otsu, on the square root of the slightly blurred signal); None where nothing stands out."""
    root = _root_signal(grey)
    if root is None:
        return None
    mask = np.asarray(root > threshold_otsu(root))
    return mask if mask.any() and not mask.all() else None


def _root_signal(grey: np.ndarray) -> np.ndarray | None:
    """Square root of the slightly blurred signal over its darkest pixels; None for a blank image."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    low, high = np.percentile(smooth, [0.5, 99.95])
    return np.sqrt(np.clip(smooth - low, 0, high - low)) if high > low else None


def separation(grey: np.ndarray, mask: np.ndarray) -> float:
    """Tell how well two levels describe an image: the share of the variance that lies between a mask and the rest.

    Nuclei on a background have 0.8 and more (19 of 20 crops of the training fields); the texture inside one nucleus has
    0.6, a little less than noise of one level.

    Parameters
    ----------
    grey : (H, W) float
    mask : (H, W) bool
        From `bright_mask`, not None.
    """
    root = _root_signal(grey)
    if root is None:
        return 0.0
    share = float(mask.mean())
    between = share * (1 - share) * (float(root[mask].mean()) - float(root[~mask].mean())) ** 2
    return between / max(float(root.var()), 1e-12)


def as_channels(normalised: np.ndarray) -> np.ndarray:
    """Give the finder's input: the signal as it is, and compressed so that dim micronuclei show.

    Parameters
    ----------
    normalised : (H, W) float32

    Returns
    -------
    (2, H, W) float32
    """
    linear = np.clip(normalised, -0.5, LINEAR_TOP)
    return np.stack([linear, np.arcsinh(ASINH * linear) / 3.0]).astype(np.float32)


def estimate_diameter(grey: np.ndarray) -> float | None:
    """Guess the median diameter of a nucleus, in pixels, before any network has run; None for an empty field.

    Touching nuclei and debris blur the guess; the finder's first pass corrects it if it is far off.
    """
    mask = bright_mask(grey)
    if mask is None:
        return None
    _, _, stats, _ = cv2.connectedComponentsWithStats(ndimage.binary_fill_holes(mask).astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA].astype(float)
    areas = areas[areas >= np.pi / 4 * MIN_DIAMETER**2]
    if not areas.size:
        return None
    # Weighted by area: specks are many but small.
    order = np.argsort(areas)
    middle = np.searchsorted(np.cumsum(areas[order]), areas.sum() / 2)
    typical = areas[order][middle]
    return equivalent_diameter(np.median(areas[areas > typical / 4]))


def equivalent_diameter(area: float) -> float:
    """Diameter of the disc of an area."""
    return float(2 * np.sqrt(area / np.pi))


def median_diameter(labels: np.ndarray) -> float | None:
    """Median equivalent diameter of the objects of a label image; None when there are none."""
    areas = np.bincount(labels.ravel())[1:]
    areas = areas[areas > 0]
    return equivalent_diameter(np.median(areas)) if areas.size else None


def classical_nuclei(grey: np.ndarray) -> np.ndarray:
    """Find nuclei without a network: Otsu's threshold, then a watershed of the distance to the background.

    The reference the learnt finder is measured against, and the finder of `prepare` where a table gives only points.

    Parameters
    ----------
    grey : (H, W) float32

    Returns
    -------
    (H, W) int32
    """
    diameter = estimate_diameter(grey)
    mask = bright_mask(grey)
    if diameter is None or mask is None:
        return np.zeros(grey.shape, np.int32)
    mask = ndimage.binary_fill_holes(mask)
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0)
    size = max(int(diameter * 0.5) | 1, 3)
    peaks = (distance == ndimage.maximum_filter(distance, size)) & mask
    markers, _ = ndimage.label(peaks, np.ones((3, 3)))
    labels = watershed(-distance, markers, mask=mask)
    areas = np.bincount(labels.ravel())
    small = areas < 0.1 * np.pi / 4 * diameter**2
    small[0] = True
    lookup = np.where(small, 0, np.cumsum(~small))
    return lookup[labels].astype(np.int32)
