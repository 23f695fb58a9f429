"""Stated pixel sizes against what is seen: nuclei ten times too large or too small are no nuclei of that size."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from scipy import ndimage

from cellscope.imaging.smear import otsu_classes

FEWEST = 10
"""Objects from which on their sizes say something of the pixel size."""


class Sized(Protocol):
    """An image, slide or movie."""

    @property
    def pixel_size_um(self) -> float | None:
        """As stated."""

    @property
    def pixel_size_given(self) -> bool:
        """Stated by the user, not by the file."""


def trusted_pixel_size(
    image: Sized, seen_px: float | None, bounds_um: tuple[float, float], what: str
) -> tuple[float | None, list[str]]:
    """Give the pixel size to measure with: the stated one, or None where what is seen contradicts it.

    Parameters
    ----------
    image : image, slide or movie
    seen_px : float or None
        Typical size of the objects, pixels; None where there are none to tell by.
    bounds_um : (float, float)
        Smallest and largest size that such objects can have, micrometres.
    what : str
        What they are, plural, for the warning.

    Returns
    -------
    pixel_size_um : float or None
    warnings : list of str
        One line where it is doubted. A size that the user gave is used all the same.
    """
    size = image.pixel_size_um
    if not size or not seen_px:
        return size, []
    seen = seen_px * size
    if bounds_um[0] <= seen <= bounds_um[1]:
        return size, []
    said = (
        f"with the stated pixel size of {size:.3g} um the {what} would be about {seen:.2g} um in size, where "
        f"{bounds_um[0]:g} to {bounds_um[1]:g} um are possible"
    )
    if image.pixel_size_given:
        return size, [f"{said}; check --pixel-size"]
    return None, [f"{said}; it is not believed: sizes are estimated from the image, and nothing is given in um"]


def stained_sizes(rgb: np.ndarray, *, side: int = 1024) -> tuple[float, float] | None:
    """Measure the darkest objects of a bright-field image.

    Parameters
    ----------
    rgb : (H, W, 3) uint8
    side : int
        Only the middle of this size is looked at in a larger image.

    Returns
    -------
    (typical, large) or None
        Median, weighted by area, and 90th percentile of the diameters of inscribed circles, pixels; None where fewer
        than `FEWEST` objects stand out.
    """
    top, left = (max((length - side) // 2, 0) for length in rgb.shape[:2])
    mask = otsu_classes(rgb[top : top + side, left : left + side]) == 2
    numbers, count = ndimage.label(mask)
    if count < FEWEST:
        return None
    distance = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    radius = np.asarray(ndimage.maximum(distance, numbers, np.arange(1, count + 1)))
    area = np.bincount(numbers.ravel())[1:].astype(float)
    kept = radius >= 2
    if int(kept.sum()) < FEWEST:
        return None
    radius, area = radius[kept], area[kept]
    order = np.argsort(radius)
    middle = order[np.searchsorted(np.cumsum(area[order]), area.sum() / 2)]
    return 2 * float(radius[middle]), 2 * float(np.percentile(radius, 90))
