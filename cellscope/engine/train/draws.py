"""Reproducible weighted draws of training items, for trainings that are resumed and for several processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler


class WeightedDraws(Sampler):
    """Draw items with replacement; skips what a resumed training has seen.

    Of several training processes each takes every n-th draw.

    Parameters
    ----------
    weights : (N,) float, at least 0
        How often each item is drawn, in any unit.
    draws : int
        Of one process, from the first step to the last.
    seed : int
    start : int
        Draws that the process has made before.
    """

    def __init__(self, weights: np.ndarray, draws: int, seed: int, start: int = 0):
        total = np.asarray(weights, float)
        self.probability, self.draws, self.seed, self.start = total / total.sum(), draws, seed, start

    def __len__(self) -> int:
        """Count all draws, also those before `start`: Lightning counts a resumed loader from the beginning."""
        return self.draws

    def __iter__(self) -> Iterator[Any]:
        """Yield items from draw `start` to the last."""
        return (item for item, _ in self.numbered())

    def numbered(self) -> Iterator[tuple[int, int]]:
        """Yield (item, number of the draw); no two processes share a number."""
        together = torch.distributed.is_available() and torch.distributed.is_initialized()
        rank, world = (torch.distributed.get_rank(), torch.distributed.get_world_size()) if together else (0, 1)
        order = np.random.default_rng([self.seed, 7]).choice(
            len(self.probability), self.draws * world, p=self.probability
        )
        for position in range(self.start, self.draws):
            draw = position * world + rank
            yield int(order[draw]), draw
