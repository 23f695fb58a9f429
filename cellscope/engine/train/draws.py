"""Reproducible weighted draws of training items, for trainings that are resumed and for several processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler


class WeightedDraws(Sampler):
    """Draw items, each as often as its weight says; skips what a resumed training has seen.

    Items of equal weight come once in every pass, in another order each time, as in the papers' epochs; others are
    drawn with replacement. Of several training processes each takes every n-th draw.

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
        order = self._order(self.draws * world)
        for position in range(self.start, self.draws):
            draw = position * world + rank
            yield int(order[draw]), draw

    def _order(self, draws: int) -> np.ndarray:
        """Give the items of all draws: (draws,) int; of a longer training the first are the same."""
        rng, count = np.random.default_rng([self.seed, 7]), len(self.probability)
        if np.allclose(self.probability, 1 / count, rtol=1e-9, atol=0):
            passes = [rng.permutation(count) for _ in range(-(-draws // count))]
            return np.concatenate(passes)[:draws] if passes else np.zeros(0, int)
        return rng.choice(count, draws, p=self.probability)
