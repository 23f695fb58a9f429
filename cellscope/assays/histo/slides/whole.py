"""Maps of a whole tile, cut and joined as in prediction: for validation and calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from cellscope.assays.histo.networks.registry import geometry_of
from cellscope.assays.histo.slides.stage import segment
from cellscope.assays.histo.slides.windows import Box, Tiling, cut_tiles, cut_views, is_even, join_views


@torch.no_grad()
def whole_maps(network: Any, image: np.ndarray, *, views: int = 1) -> np.ndarray:
    """Give the maps of an image at the network's scale.

    Parameters
    ----------
    network : Module
        In eval mode.
    image : (H, W, 3) uint8
    views : int
        Copies of each tile to average, see `cellscope.assays.histo.nuclei.augmentation`.

    Returns
    -------
    (H, W, 3 + K) float16
        See `cellscope.assays.histo.nuclei.maps`.
    """
    height, width = image.shape[:2]
    grid = Tiling(*geometry_of(network)).grid((height, width))
    tiles = cut_tiles(image, 1.0, Box(0, 0, height, width), grid)
    wanted = [not is_even(tile) for tile in tiles]
    if not any(wanted):
        wanted[0] = True  # the network says how many maps there are
    device = next(network.parameters()).device
    outputs = [segment(network, [torch.from_numpy(view).to(device)])[0] for view in cut_views(tiles, wanted, views)]
    return join_views(outputs, wanted, views, grid)
