"""What the stages of mitosis leave for one another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from cellscope.assays.mitosis.sequences.windows import Window


@dataclass(eq=False, repr=False)
class State:
    """A sequence, or the divisions of a movie, on their way; the lists hold an entry per division.

    Attributes
    ----------
    pixels : (t, H, W, C) array or None
        Of a sequence, until it is cut: the frames that are used, rising, each once.
    windows : list of Window
        Of a movie, until it is cut: the pixels around each division.
    pixel : float or None
        Pixel size, micrometres, where the nuclei do not contradict it.
    warnings : list of str
    shown : list of (T, 2, H, W) float
        What is classified and drawn: transmitted light and nuclei.
    measured : list of (features,) float32
        Measurements; empty arrays for a model that does not ask for them.
    frames : list of (T,) int64
    reasons : list of list of str
        For review.
    places : list of dict or None
        Columns that say where a division lies; None for a sequence.
    named : list of dict
        What the tracking program calls the track and the spot of each division of a movie.
    p_views : (N, K) float
        What the networks over frames say.
    p : list of (K,) float
        Calibrated probabilities.
    """

    pixels: np.ndarray | None = None
    windows: list[Window] = field(default_factory=list)
    pixel: float | None = None
    warnings: list[str] = field(default_factory=list)
    shown: list[np.ndarray] = field(default_factory=list)
    measured: list[np.ndarray] = field(default_factory=list)
    frames: list[np.ndarray] = field(default_factory=list)
    reasons: list[list[str]] = field(default_factory=list)
    places: list[dict[str, Any] | None] = field(default_factory=list)
    named: list[dict[str, str]] = field(default_factory=list)
    p_views: np.ndarray = field(init=False)
    p: list[np.ndarray] = field(default_factory=list)
