"""Tuning of the post-processing thresholds on validation tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellscope.assays.histo.nuclei.calibration import fit_calibration
from cellscope.assays.histo.nuclei.known import known_nuclei
from cellscope.assays.histo.nuclei.postprocess import find_nuclei
from cellscope.assays.histo.nuclei.sizes import sizes_at
from cellscope.assays.histo.options import PredictOptions
from cellscope.assays.histo.slides.whole import whole_maps
from cellscope.metrics.instance_counts import count_types, panoptic
from cellscope.metrics.instances import aji, overlaps, pairs_by_overlap

if TYPE_CHECKING:
    import torch

    from cellscope.assays.histo.datasets.tiles import Tile

#: What is tried, one setting after the other, in this order; where several do as well the first is kept.
TRIED: dict[str, tuple[float, ...]] = {
    "threshold": (0.5, 0.45, 0.4, 0.55, 0.6),
    "edge": (0.12, 0.09, 0.07, 0.05, 0.04, 0.16, 0.2),
    "min_score": (0.0, 0.6, 0.65, 0.7, 0.75, 0.8),
    "min_area": (24, 40, 60, 80),
}


#: Views of a tile as in prediction by default.
VIEWS = PredictOptions.views


def tried_at(pixel_size_um: float | None) -> dict[str, tuple[float, ...]]:
    """Give what is tried at a scale: `TRIED`, with areas as large in micrometres, and other filters than the usual."""
    sizes = sizes_at(pixel_size_um)
    if not sizes:
        return TRIED
    areas = [round(area * sizes["min_area"] / TRIED["min_area"][0]) for area in TRIED["min_area"]]
    filters = {"sigma": (sizes["sigma"], 0.75, 1.0, 1.25), "opening": (sizes["opening"], 1, 3)}
    return {**TRIED, "min_area": tuple(dict.fromkeys(areas)), **filters}


def tune(network: torch.nn.Module, tiles: list[Tile], pixel_size_um: float | None = None) -> dict[str, float]:
    """Find the settings with the highest mean of AJI and PQ, then the temperature of the types.

    Parameters
    ----------
    network : Module
        In eval mode.
    tiles : list of Tile
        Validation; each source counts alike.
    pixel_size_um : float, optional
        Of the tiles; 0.25 if not given.

    Returns
    -------
    dict
        For the model card's thresholds: those of `tried_at`, of `sizes_at` and of `fit_calibration`. Empty without
        tiles.
    """
    if not tiles:
        return {}
    maps = [whole_maps(network, tile.image, views=VIEWS) for tile in tiles]
    tried = tried_at(pixel_size_um)
    chosen = sizes_at(pixel_size_um) | {name: values[0] for name, values in tried.items()}
    best = agreement(tiles, maps, chosen)
    for name, values in tried.items():
        for value in values[1:]:
            score = agreement(tiles, maps, chosen | {name: value})
            if score > best:
                best, chosen = score, chosen | {name: value}
    return chosen | fit_calibration(tiles, maps, chosen)


def agreement(tiles: list[Tile], maps: list[np.ndarray], settings: dict[str, float]) -> float:
    """Give the mean over sources of the mean over tiles of (AJI + PQ) / 2; a tile without nuclei counts nothing."""
    scores: dict[str, list[float]] = {}
    for tile, found in zip(tiles, maps, strict=True):
        nuclei = known_nuclei(find_nuclei(found, **settings), tile.unknown)  # type: ignore[arg-type]
        pairs = overlaps(tile.labels, nuclei.labels)
        quality = panoptic(count_types(pairs, pairs_by_overlap(pairs))[0])[2]
        scores.setdefault(tile.source, []).append((aji(pairs) + float(quality)) / 2)
    means = [np.nanmean(values) for values in scores.values() if np.isfinite(values).any()]
    return float(np.mean(means)) if means else 0.0
