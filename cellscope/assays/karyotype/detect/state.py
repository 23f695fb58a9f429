"""What the stages of karyotype leave for one another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from cellscope.assays.karyotype.detect.detections import Detection
    from cellscope.metrics.coco import Instances


@dataclass(eq=False, repr=False)
class State:
    """A metaphase or a single chromosome on its way.

    Attributes
    ----------
    grey : (H, W) uint8 or float32
        The image without colours.
    normalised : (H, W) float32
        Of a metaphase: at the detector's tone.
    bright : bool
        Chromosomes are bright on dark.
    scale : float, or float64 (2,) for rows and columns
        Pixels of the detector's input per pixel of the metaphase.
    detections : list of Detection
    raw : Instances or None
        Of an item that is measured: all that the detector gives, untouched.
    mask : (H, W) bool
        Of a single chromosome.
    log_probabilities : (N, 24) float
        Of every chromosome.
    polarity : (N,) float or None
        Logit that the short arm is up; None for a classifier that does not tell.
    explained : (H, W, 3) uint8 or None
        The picture of the heat maps.
    """

    grey: np.ndarray = field(init=False)
    normalised: np.ndarray = field(init=False)
    bright: bool = field(init=False)
    scale: float | np.ndarray = field(init=False)
    detections: list[Detection] = field(init=False)
    mask: np.ndarray = field(init=False)
    log_probabilities: np.ndarray = field(init=False)
    polarity: np.ndarray | None = field(init=False)
    raw: Instances | None = None
    explained: np.ndarray | None = None
