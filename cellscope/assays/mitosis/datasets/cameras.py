"""Sequences as another microscope would have recorded them, before they are normalised."""

from __future__ import annotations

import numpy as np

from cellscope.imaging.camera import OTHERS, Camera, photograph

NUCLEI = Camera(gain=0.5, gamma=0.25, blur=1.0, noise=0.02, resolution=0.2, compression=0.1)
"""Of the fluorescence: no black level, for what is below the background is gone once channels are taken apart."""


def other_microscope(pair: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Record a sequence anew.

    Parameters
    ----------
    pair : (T, 2, H, W) float32
        Transmitted light and nuclei as they were stored, not normalised.
    rng : Generator

    Returns
    -------
    (T, 2, H, W) float32
        In shares of the detector's range. In half of the sequences nuclei are cut off where both together exceed the
        range: in a picture whose red is light plus nuclei a brighter lamp costs the brightest chromatin.
    """
    top = 255.0 if pair.max() <= 255 else 1.2 * float(pair.max())
    light, nuclei = (photograph((pair[:, place] / top)[..., None], camera, rng)[..., 0]
                     for place, camera in ((0, OTHERS), (1, NUCLEI)))  # fmt: skip
    if rng.random() < 0.5:
        nuclei = np.minimum(nuclei, 1 - light)
    return np.stack([light, np.maximum(nuclei, 0)], 1)
