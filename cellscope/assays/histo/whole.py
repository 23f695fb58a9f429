"""Maps of a whole tile, window by window: what validation and calibration look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cellscope.assays.histo.model import normalise, to_maps
from cellscope.imaging.tiles import Grid, cut_window


@torch.no_grad()
def whole_maps(network: Any, image: np.ndarray, *, batch: int = 2) -> np.ndarray:
    """Give the maps of an image at the network's scale.

    Parameters
    ----------
    network : Module
        In eval mode.
    image : (H, W, 3) uint8
    batch : int
        Windows at once.

    Returns
    -------
    (H, W, 3 + K) float16
        See `cellscope.assays.histo.maps`.
    """
    height, width = image.shape[:2]
    grid = Grid((height, width), network.core, network.margin)
    device = next(network.parameters()).device
    corners = grid.corners
    maps: np.ndarray | None = None
    for first in range(0, len(corners), batch):
        places = corners[first : first + batch]
        windows = np.stack([cut_window(image, grid, corner) for corner in places]).transpose(0, 3, 1, 2)
        inputs = normalise(torch.from_numpy(windows).to(device).float() / 255)
        outputs = to_maps(network(inputs.contiguous(memory_format=torch.channels_last))).cpu().numpy()
        if maps is None:
            maps = np.empty((height, width, outputs.shape[-1]), np.float16)
        for (row, column), found in zip(places, outputs, strict=True):
            here = maps[row : row + grid.core, column : column + grid.core]
            here[:] = found[: here.shape[0], : here.shape[1]]
    assert maps is not None
    return maps
