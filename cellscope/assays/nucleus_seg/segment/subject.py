"""What the stages ask of an image on its way: its colours, its scale, what the network said."""

from __future__ import annotations

import numpy as np

from cellscope.assays.nucleus_seg.segment.instances import Maps
from cellscope.assays.nucleus_seg.segment.passes import LIMITS
from cellscope.engine.assay import Subject
from cellscope.imaging.smear import to_rgb8

PART = "nuclei"
#: The baseline's name.
OTSU = "otsu"


def rgb_of(subject: Subject) -> np.ndarray:
    """Give the image as (H, W, 3) uint8.

    Raises
    ------
    InputError
        If it has no colour channels.
    """
    return to_rgb8(subject.image.pixels, subject.name)


def network_diameter(subject: Subject) -> float:
    """Give the nucleus diameter, pixels, that the network wants to see; 0 for one that takes images as they are."""
    return float(subject.cards[PART].normalisation.get("diameter", 0.0))


def factor_of(subject: Subject, diameter: float) -> float:
    """Give the factor that brings nuclei of a diameter to the network's scale."""
    return float(np.clip(network_diameter(subject) / diameter, *LIMITS))


def maps_of(output: np.ndarray, subject: Subject) -> Maps:
    """Name the maps of `segment`: [cytoplasm,] nucleus[, distance]."""
    classes = len(subject.cards[PART].normalisation.get("pixel_classes", ("background", "cytoplasm", "nucleus")))
    maps = [np.ascontiguousarray(output[..., index]) for index in range(output.shape[-1])]
    cytoplasm = maps.pop(0) if classes == 3 else None
    return Maps(maps[0], cytoplasm, maps[1] if len(maps) > 1 else None, network_diameter(subject))
