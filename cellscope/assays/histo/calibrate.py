"""Type probabilities that mean what they say: a temperature found on validation tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellscope.models.card import ModelCard

if TYPE_CHECKING:
    import torch

    from cellscope.assays.histo.data import Tile

TEMPERATURE = "temperature"


def calibrate(probabilities: np.ndarray, card: ModelCard) -> np.ndarray:
    """Bring the type probabilities of nuclei to the card's temperature.

    Parameters
    ----------
    probabilities : (N, K) float
        Means over the nuclei's pixels; rows sum to 1.
    card : ModelCard

    Returns
    -------
    (N, K) float32
        Rows sum to 1.
    """
    temperature = float(card.thresholds.get(TEMPERATURE, 1.0))
    powers = np.clip(np.asarray(probabilities, float), 1e-6, 1) ** (1 / temperature)
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


def fit_calibration(network: torch.nn.Module, tiles: list[Tile]) -> dict[str, float]:
    """Find the temperature from nuclei that were found where the truth has one (IoU over 0.5) of known type.

    Parameters
    ----------
    network : Module
        In eval mode.
    tiles : list of Tile
        Validation.

    Returns
    -------
    dict
        For the model card's thresholds; empty where no tile has types or there is one type.
    """
    from cellscope.assays.histo.postprocess import find_nuclei
    from cellscope.assays.histo.whole import whole_maps
    from cellscope.metrics.calibration import best_temperature
    from cellscope.metrics.instances import overlaps, pairs_by_overlap

    logs, truths = [], []
    for tile in tiles:
        if not tile.typed:
            continue
        nuclei = find_nuclei(whole_maps(network, tile.image))
        if nuclei.probabilities.shape[1] < 2:
            return {}
        pairs = overlaps(tile.labels, nuclei.labels)
        rows, columns, _ = pairs_by_overlap(pairs)
        kinds = tile.types[pairs.truth[rows]]
        known = kinds > 0
        logs.append(np.log(np.clip(nuclei.probabilities[pairs.found[columns[known]] - 1], 1e-6, 1)))
        truths.append(kinds[known] - 1)
    if not sum(map(len, truths)):
        return {}
    return {TEMPERATURE: best_temperature(np.concatenate(logs), np.concatenate(truths))}
