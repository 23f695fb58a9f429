"""What the stages of micronucleus leave for one another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from cellscope.imaging.tiling import Grid


@dataclass(eq=False, repr=False)
class State:
    """A field or a crop on its way.

    Attributes
    ----------
    grey : (H, W) float32
        The channel of the nuclei.
    warnings : list of str
    normalised : (H, W) float32
        At the finder's tone.
    diameter : float or None
        Of the nuclei, pixels: given, estimated or found; None where nothing stands out.
    grid : Grid or None
        The windows on their way through the finder; None for one.
    mn_logits : (H, W) float32 or None
        The finder's logit of micronucleus for every pixel.
    labels : (H, W) int32 or None
        The nuclei.
    measured : DataFrame
        A row per nucleus.
    owner : (H, W) int32
        The nearest nucleus of every pixel.
    logits : (N,) float
        The classifier's logit of every cell.
    """

    grey: np.ndarray = field(init=False)
    warnings: list[str] = field(init=False)
    normalised: np.ndarray = field(init=False)
    diameter: float | None = None
    grid: Grid | None = None
    mn_logits: np.ndarray | None = None
    labels: np.ndarray | None = None
    measured: pd.DataFrame = field(init=False)
    owner: np.ndarray = field(init=False)
    logits: np.ndarray = field(init=False)
