"""What an input is, and what a detector is shown of a metaphase, as its model card asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image as Picture

from cellscope.assays.karyotype.detect.scale import detector_scale, resize
from cellscope.errors import ModelError
from cellscope.imaging.scaling import resize_to
from cellscope.io.image import Image

METAPHASE, CHROMOSOME = "metaphase", "chromosome"
KINDS = (METAPHASE, CHROMOSOME)
#: Images with no side longer than this hold one chromosome, unless --input says otherwise.
LARGEST_CHROMOSOME = 256
#: Brings chromosomes to one size whatever the image's.
CANONICAL = "metaphase"
#: Resizes whole images: the paper's 256 x 256, or detectron2's shortest edge.
RESIZED = "resized"


def kind_of(image: Image) -> str:
    """Tell a metaphase from a single chromosome by the image's size."""
    return CHROMOSOME if max(image.height, image.width) <= LARGEST_CHROMOSOME else METAPHASE


def kind_of_item(row: Any) -> str:
    """Tell what an item of a prepared dataset is: metaphases have a target, single chromosomes a class."""
    return METAPHASE if row["target"] else CHROMOSOME


def network_input(
    normalisation: Mapping[str, Any], pixels: np.ndarray, normalised: np.ndarray
) -> tuple[np.ndarray, float | np.ndarray]:
    """Prepare one metaphase for a detector.

    Parameters
    ----------
    normalisation : mapping
        Of the model card. ``kind``: ``metaphase`` with ``canonical_side``, or ``resized`` with ``square`` (side) or
        ``min_size`` and ``max_size``, and ``tone``: ``normalised``, or ``raw`` for the image's own 8-bit
        colours in ``order``.
    pixels : (H, W) or (H, W, C)
        The image.
    normalised : (H, W) float32
        From `cellscope.imaging.tone.normalise_tone`.

    Returns
    -------
    item : (C, h, w) float32
    scale : float or (2,) float
        From the image's pixels to the item's; along x and y where they differ.

    Raises
    ------
    ModelError
        If the card asks for something else.
    """
    kind = normalisation.get("kind", CANONICAL)
    if kind == CANONICAL:
        scale = detector_scale(normalised, float(normalisation["canonical_side"]))
        return np.ascontiguousarray(resize(normalised, scale)[None]), scale
    if kind != RESIZED:
        raise ModelError(f"the detector wants images prepared as {kind!r}, which this cellscope does not know")
    height, width = normalised.shape
    size = resized_shape(normalisation, (height, width))
    scale_xy = np.array([size[1] / width, size[0] / height])
    if normalisation.get("tone", "normalised") == "normalised":
        return resize_to(normalised, size)[None], scale_xy
    colour = as_colour8(pixels)
    if normalisation.get("order", "RGB") == "BGR":
        colour = colour[..., ::-1]
    # Pillow's bilinear filter, as in detectron2: OpenCV's does not average when it shrinks.
    small = Picture.fromarray(np.ascontiguousarray(colour)).resize(size[::-1], Picture.Resampling.BILINEAR)
    return np.ascontiguousarray(np.asarray(small, np.float32).transpose(2, 0, 1)), scale_xy


def resized_shape(normalisation: Mapping[str, Any], shape: tuple[int, int]) -> tuple[int, int]:
    """Give (height, width) after resizing: a square, or the shortest side brought to a size within a longest.

    >>> resized_shape({"min_size": 800, "max_size": 1333}, (576, 768)), resized_shape({"square": 256}, (576, 768))
    ((800, 1067), (256, 256))
    """
    if normalisation.get("square"):
        side = int(normalisation["square"])
        return side, side
    scale = normalisation["min_size"] / min(shape)
    longest = max(shape) * scale
    if longest > normalisation["max_size"]:
        scale *= normalisation["max_size"] / longest
    return int(shape[0] * scale + 0.5), int(shape[1] * scale + 0.5)


def as_colour8(pixels: np.ndarray) -> np.ndarray:
    """Give an image as (H, W, 3) uint8 RGB; deeper ones are brought to 8 bits by their 0.01 and 99.99 percentiles."""
    image = pixels if pixels.ndim == 3 else pixels[..., None]
    image = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    if image.dtype == np.uint8:
        return image
    low, high = np.percentile(image, [0.01, 99.99])
    return np.clip(np.rint((image.astype(np.float32) - low) * (255.0 / max(high - low, 1e-6))), 0, 255).astype(np.uint8)
