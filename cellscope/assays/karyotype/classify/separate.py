"""The chromosomes of a metaphase as images of their own: as cut, as turned and cropped (Wang et al., Fig. 4 c to e)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from cellscope.assays.karyotype.classify.stage import cut_out
from cellscope.assays.karyotype.classify.views import view_of
from cellscope.assays.karyotype.detect.detections import Detection

FOLDER = ".chromosomes"
"""What the folder of a metaphase's chromosomes is called, behind its stem."""


def separated(
    normalised: np.ndarray,
    named: Iterable[tuple[int, str, Detection]],
    settings: Mapping[str, Any],
    *,
    rotate: str,
    bright_on_dark: bool,
) -> dict[str, np.ndarray]:
    """Draw every chromosome twice.

    Parameters
    ----------
    normalised : (H, W) float32
        The metaphase, bright on dark.
    named : iterable of (label, class, Detection)
    settings : mapping
        How the classifier wants chromosomes turned (its model card's ``normalisation``).
    rotate : str
        See `view_of`.
    bright_on_dark : bool
        As the image was; chromosomes are drawn so again.

    Returns
    -------
    dict
        ``.chromosomes/<label>-<class>.cut.png``: the chromosome as it lies, alone on its background, a few pixels
        larger than its mask; ``.turned.png``: turned and cropped as the classifier sees it. (h, w) uint8 each.
    """
    pictures: dict[str, np.ndarray] = {}
    for label, class_, detection in named:
        cut, mask = cut_out(normalised, detection)
        turned = view_of(cut, mask, settings, rotate=rotate)
        for name, picture in (("cut", np.where(mask, cut, 0.0)), ("turned", turned)):
            grey = (np.clip(picture, 0, 1) * 255).astype(np.uint8)
            pictures[f"{FOLDER}/{label:02d}-{class_}.{name}.png"] = grey if bright_on_dark else 255 - grey
    return pictures
