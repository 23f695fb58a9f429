"""Maps of a whole tile, window by window: for validation and calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cellscope.assays.histo.networks.registry import normalise, to_maps
from cellscope.assays.histo.nuclei.augmentation import augmented, average
from cellscope.imaging.tiling import Grid, cut_window


@torch.no_grad()
def whole_maps(network: Any, image: np.ndarray, *, views: int = 1) -> np.ndarray:
    """Give the maps of an image at the network's scale.

    Parameters
    ----------
    network : Module
        In eval mode.
    image : (H, W, 3) uint8
    views : int
        Copies of each window to average, see `cellscope.assays.histo.nuclei.augmentation`.

    Returns
    -------
    (H, W, 3 + K) float16
        See `cellscope.assays.histo.nuclei.maps`.
    """
    height, width = image.shape[:2]
    grid = Grid((height, width), network.core, network.margin)
    device = next(network.parameters()).device
    maps: np.ndarray | None = None
    for row, column in grid.corners:
        window = cut_window(image, grid, (row, column)).transpose(2, 0, 1)
        inputs = normalise(torch.from_numpy(np.stack(augmented(window, views))).to(device).float() / 255)
        outputs = to_maps(network(inputs.contiguous(memory_format=torch.channels_last))).cpu().numpy()
        found = average(list(outputs))
        if maps is None:
            maps = np.empty((height, width, found.shape[-1]), np.float16)
        here = maps[row : row + grid.core, column : column + grid.core]
        here[:] = found[: here.shape[0], : here.shape[1]]
    assert maps is not None
    return maps
