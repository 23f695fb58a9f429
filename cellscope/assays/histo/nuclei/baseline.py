"""The classical baseline, `-m otsu`: Otsu's threshold on haematoxylin, touching nuclei separated by a watershed."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.filters import threshold_otsu

from cellscope.assays.histo.nuclei.holes import fill_holes
from cellscope.assays.histo.nuclei.postprocess import Nuclei
from cellscope.imaging.labels import marker_watershed, relabel, remove_small
from cellscope.imaging.stain import stains

#: Smoothing before the threshold, and the opening after it, pixels at 0.25 um.
SIGMA, OPENING = 1.5, 5
#: A nucleus's middle is the highest point of the smoothed distance map within this width, pixels.
APART = 19
#: Smaller objects are dropped, pixels: a disc of 2 um.
MIN_AREA = 50


def haematoxylin(image: np.ndarray) -> np.ndarray:
    """Give the haematoxylin of H&E, (h, w) float32, by colour deconvolution (Ruifrok 2001), smoothed."""
    stain = np.ascontiguousarray(stains(image)[..., 0], np.float32)
    return np.asarray(cv2.GaussianBlur(stain, (0, 0), SIGMA), np.float32)


def otsu_threshold(image: np.ndarray) -> float:
    """Give Otsu's threshold of the haematoxylin, for windows of one slide to share.

    Parameters
    ----------
    image : (h, w, 3) uint8
        The slide made small, or a part of it with tissue.
    """
    return float(threshold_otsu(haematoxylin(image)))


def otsu_nuclei(image: np.ndarray, *, threshold: float | None = None) -> Nuclei:
    """Give the baseline's nuclei.

    Parameters
    ----------
    image : (h, w, 3) uint8
        H&E at about 0.25 um per pixel.
    threshold : float, optional
        From `otsu_threshold`; without it, that of this image.

    Returns
    -------
    Nuclei
        Of one type; the baseline is never less than sure, so every score is 1.
    """
    stain = haematoxylin(image)
    dark = stain > (float(threshold_otsu(stain)) if threshold is None else threshold)
    ellipse = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (OPENING, OPENING))
    opened = cv2.morphologyEx(dark.astype(np.uint8), cv2.MORPH_OPEN, ellipse)
    labels = relabel(fill_holes(remove_small(_parted(opened), MIN_AREA)), by_position=True)
    count = int(labels.max(initial=0))
    return Nuclei(labels, np.ones((count, 1), np.float32), np.ones(count, np.float32))


def _parted(mask: np.ndarray) -> np.ndarray:
    """Part touching nuclei, (h, w) uint8 -> int32: local maxima of the distance to the background, a watershed."""
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = np.asarray(cv2.GaussianBlur(distance, (0, 0), 1.0), np.float32)
    around = cv2.dilate(distance, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (APART, APART)))
    peaks = ((distance == around) & (mask > 0)).astype(np.uint8)
    _, markers = cv2.connectedComponents(peaks, connectivity=8, ltype=cv2.CV_32S)
    return marker_watershed(distance, markers, mask > 0)
