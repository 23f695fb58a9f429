"""The output maps of a network, between the network and the post-processing."""

from __future__ import annotations

import numpy as np

NUCLEUS, HORIZONTAL, VERTICAL, TYPES = 0, 1, 2, 3
"""Channels of the maps, (h, w, 3 + K) float16: probability of nucleus in [0, 1]; distance to the nucleus's centre along
columns and along rows, each scaled per nucleus to [-1, 1] (left and top negative); then K type probabilities, which sum
to 1 over the types (there is no background among them)."""


def nucleus(maps: np.ndarray) -> np.ndarray:
    """Give the probability of nucleus, (h, w)."""
    return maps[..., NUCLEUS]


def distances(maps: np.ndarray) -> np.ndarray:
    """Give the horizontal and vertical distances, (h, w, 2)."""
    return maps[..., HORIZONTAL:TYPES]


def types(maps: np.ndarray) -> np.ndarray:
    """Give the type probabilities, (h, w, K)."""
    return maps[..., TYPES:]
