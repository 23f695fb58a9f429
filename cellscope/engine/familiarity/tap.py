"""Features of what goes through a network, taken on the way: no second pass."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from cellscope.errors import ModelError
from cellscope.nn.statistics import image_statistics, pooled


class Tap:
    """Listen to one layer of a network.

    Parameters
    ----------
    module : Module
    layer : str
        Name of a submodule; of one that gives several maps, the last, or ``name:2`` for another.

    Raises
    ------
    ModelError
        The network has no such layer.
    """

    def __init__(self, module: torch.nn.Module, layer: str):
        name, _, index = layer.partition(":")
        found = dict(module.named_modules()).get(name)
        if not name or found is None or (index and not index.lstrip("-").isdecimal()):
            raise ModelError(f"the network has no layer {layer!r}; it has {_listed(module)}")
        self.layer = layer
        self._index = int(index) if index else -1
        self._count = 0
        self._seen: torch.Tensor | None = None
        self._handle = found.register_forward_hook(self._hear)

    def _hear(self, _module: torch.nn.Module, _inputs: Any, output: Any) -> None:
        if not self._count:
            return
        maps = _map_of(output, self._index)
        if maps is not None and len(maps) and len(maps) % self._count == 0:
            # pooled at once, since what comes after may write into the map
            self._seen = pooled(maps, self._count)
        self._count = 0  # of several views of an item the first counts

    def begin(self, count: int) -> None:
        """Get ready for a batch of that many items."""
        self._count, self._seen = count, None

    def read(self, batch: torch.Tensor) -> np.ndarray | None:
        """Give the features of what has just gone through the network.

        Parameters
        ----------
        batch : (B, C, H, W) float32
            What the network got.

        Returns
        -------
        (B, F) float32, or None
            Mean and spread of each channel of the layer's output over space (and over frames, where an item went
            through as several pictures), then the statistics of the item itself. None where the layer was not used,
            or not with the whole batch at once.
        """
        seen, self._seen, self._count = self._seen, None, 0
        return None if seen is None else torch.cat([seen, image_statistics(batch)], 1).cpu().numpy()

    def close(self) -> None:
        """Listen no longer."""
        self._handle.remove()


def first_layer(module: torch.nn.Module, names: Iterable[str]) -> str | None:
    """Give the first of several layers that a network has."""
    known = dict(module.named_modules())
    return next((name for name in names if name.partition(":")[0] in known), None)


def _map_of(output: Any, index: int) -> torch.Tensor | None:
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, (list, tuple)):
        output = output[index] if -len(output) <= index < len(output) else None
    return output if isinstance(output, torch.Tensor) and output.ndim >= 2 else None


def _listed(module: torch.nn.Module) -> str:
    return ", ".join(name for name, _ in module.named_children()) or "none"
