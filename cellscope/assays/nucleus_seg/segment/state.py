"""What the stages of nucleus-seg leave for one another."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from cellscope.assays.nucleus_seg.segment.passes import Pass


@dataclass(eq=False, repr=False)
class State:
    """An image on its way.

    Attributes
    ----------
    colour : bool
        Its three channels differ.
    diameter : float or None
        Of its nuclei, pixels: estimated, found or given.
    stated : float or None
        The diameter found at the scale of a pixel size that is doubted.
    again : bool
        The first estimate of the scale was far off.
    passes : list of Pass
        What is on its way through the network.
    maps : (H, W, K) uint8 or None
        What the network says, averaged over the passes.
    shift : dict
        Summary columns of the check on a shifted grid.
    """

    colour: bool = field(init=False)
    diameter: float | None = field(init=False)
    stated: float | None = None
    again: bool = False
    passes: list[Pass] = field(default_factory=list)
    maps: np.ndarray | None = None
    shift: dict[str, Any] = field(default_factory=dict)
