"""The view of a chromosome that a classifier is shown, as its model card asks for it.

Ways of bringing chromosomes into line (Wang et al., section II-B2 and Table I): ``moments`` turns the mask's long
axis upright, ``hough`` turns the strongest straight edge upright (Algorithm 1), and ``none`` shows the chromosome as
it lies, with its surroundings. ``straighten``, the default, goes beyond the paper: bent chromosomes are resampled
along their middle line first, since the bands of a U lie across no single axis.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from cellscope.assays.karyotype.classify.straighten import straightened
from cellscope.assays.karyotype.classify.upright import VIEW, main_axis, upright_view
from cellscope.imaging.scaling import resize_to

#: Share of the chromosome's length that must lie on one straight edge to be believed.
LEAST_VOTES = 0.3
ROTATIONS = ("straighten", "moments", "hough", "none")


def view_settings(height: int = VIEW[0], width: int = VIEW[1], rotate: str = "straighten") -> dict[str, Any]:
    """Describe the view for the model card."""
    return {"kind": "chromosome", "height": height, "width": width, "rotate": rotate}


def rotation_of(settings: Mapping[str, Any], wanted: str = "auto") -> str:
    """Give the rotation a user wants, or the one the classifier was trained with."""
    return wanted if wanted != "auto" else str(settings.get("rotate", "straighten"))


def view_of(
    image: np.ndarray, mask: np.ndarray, settings: Mapping[str, Any], *, rotate: str = "auto", **variation: Any
) -> np.ndarray:
    """Cut one chromosome out as the classifier wants it.

    Parameters
    ----------
    image : (H, W) float32
        Normalised: bright on dark, a little larger than the mask.
    mask : (H, W) bool
    settings : mapping
        From `view_settings` (the model card's ``normalisation``).
    rotate : str
        ``auto`` does what the classifier was trained with.
    **variation
        As for `upright_view`; ``none`` knows only ``half_turn`` and ``mirror``.

    Returns
    -------
    (height, width) float32
    """
    size = (int(settings.get("height", VIEW[0])), int(settings.get("width", VIEW[1])))
    method = rotation_of(settings, rotate)
    if method == "none":
        return _as_it_lies(image, size, bool(variation.get("half_turn")), bool(variation.get("mirror")))
    if method == "hough":
        found = hough_angle(image, mask)
        if found is not None:
            # upright_view turns by the moments' angle; the difference is left to be turned.
            extra = float(variation.pop("extra_angle", 0.0)) + found - main_axis(mask)[1]
            return upright_view(image, mask, size=size, extra_angle=extra, **variation)
    if method == "straighten":
        image, mask = straightened(image, mask) or (image, mask)
    return upright_view(image, mask, size=size, **variation)


def _as_it_lies(image: np.ndarray, size: tuple[int, int], half_turn: bool, mirror: bool) -> np.ndarray:
    """Fit the image, with all that is in it, into the view: strategy A of Table I."""
    scale = min(size[0] / image.shape[0], size[1] / image.shape[1])
    shape = tuple(max(1, min(round(side * scale), limit)) for side, limit in zip(image.shape, size, strict=True))
    fitted = resize_to(image, shape)
    if half_turn:
        fitted = fitted[::-1, ::-1]
    if mirror:
        fitted = fitted[:, ::-1]
    view = np.zeros(size, np.float32)
    top, left = (size[0] - shape[0]) // 2, (size[1] - shape[1]) // 2
    view[top : top + shape[0], left : left + shape[1]] = fitted
    return view


def hough_angle(image: np.ndarray, mask: np.ndarray) -> float | None:
    """Find the direction of a chromosome's strongest straight edge (Algorithm 1: Canny, then Hough lines).

    Parameters
    ----------
    image : (H, W) float32
        Normalised.
    mask : (H, W) bool, not empty

    Returns
    -------
    float or None
        Radians from the vertical (down), in (-pi/2, pi/2], as `upright.main_axis` counts
        them. None where no edge is straight over three tenths of the length, as in small, round or strongly bent
        chromosomes: the fallback is the mask's moments.
    """
    rows, columns = np.nonzero(mask)
    length = float(np.hypot(np.ptp(rows), np.ptp(columns)))
    as_bytes = np.pad((np.clip(np.where(mask, image, 0), 0, 1) * 255).astype(np.uint8), 2)
    edges = cv2.Canny(cv2.GaussianBlur(as_bytes, (0, 0), 1.0), 50, 150)
    lines = cv2.HoughLines(edges, 1, np.pi / 180, max(5, round(LEAST_VOTES * length)))
    if lines is None:
        return None
    theta = float(lines[0, 0, 1])
    # The line runs along (-sin, cos) of its normal's angle; it has no direction, so half turns do not count.
    angle = -theta
    return angle + np.pi if angle <= -np.pi / 2 else angle
