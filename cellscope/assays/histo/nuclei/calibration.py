"""Calibration of type probabilities: a temperature fitted on validation tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellscope.models.card import ModelCard

if TYPE_CHECKING:
    from cellscope.assays.histo.datasets.tiles import Tile

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


def fit_calibration(tiles: list[Tile], maps: list[np.ndarray], settings: dict[str, float]) -> dict[str, float]:
    """Find the temperature from nuclei that were found where the truth has one (IoU over 0.5) of known type.

    Parameters
    ----------
    tiles : list of Tile
        Validation.
    maps : list of (H, W, 3 + K) float16
        What the network says of each.
    settings : dict
        Of `find_nuclei`.

    Returns
    -------
    dict
        For the model card's thresholds; empty where no tile has types or there is one type.
    """
    from cellscope.assays.histo.nuclei.postprocess import find_nuclei
    from cellscope.metrics.calibration import best_temperature
    from cellscope.metrics.instances import overlaps, pairs_by_overlap

    logs, truths = [], []
    for tile, said in zip(tiles, maps, strict=True):
        if not tile.typed or said.shape[-1] < 5:
            continue
        nuclei = find_nuclei(said, **settings)  # type: ignore[arg-type]
        pairs = overlaps(tile.labels, nuclei.labels)
        rows, columns, _ = pairs_by_overlap(pairs)
        kinds = tile.types[pairs.truth[rows]]
        known = kinds > 0
        logs.append(np.log(np.clip(nuclei.probabilities[pairs.found[columns[known]] - 1], 1e-6, 1)))
        truths.append(kinds[known] - 1)
    if not sum(map(len, truths)):
        return {}
    return {TEMPERATURE: best_temperature(np.concatenate(logs), np.concatenate(truths))}
