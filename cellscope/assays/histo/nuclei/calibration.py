"""Calibration of type probabilities and scores, fitted on validation tiles."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cellscope.models.card import ModelCard

if TYPE_CHECKING:
    from cellscope.assays.histo.datasets.tiles import Tile

TEMPERATURE = "temperature"
SCORE_SLOPE, SCORE_BIAS = "score_slope", "score_bias"


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


def calibrate_score(score: np.ndarray, card: ModelCard) -> np.ndarray:
    """Make of what the network says inside nuclei the probability that each matches a real one (IoU over 0.5).

    Parameters
    ----------
    score : (N,) float
        Mean probability of nucleus.
    card : ModelCard
        Without fitted values the score stays as it is.

    Returns
    -------
    (N,) float32
    """
    from cellscope.metrics.calibration import apply_line

    if SCORE_SLOPE not in card.thresholds:
        return np.asarray(score, np.float32)
    slope, bias = float(card.thresholds[SCORE_SLOPE]), float(card.thresholds[SCORE_BIAS])
    return apply_line(score, slope, bias).astype(np.float32)


def fit_calibration(tiles: list[Tile], maps: list[np.ndarray], settings: dict[str, float]) -> dict[str, float]:
    """Find what `calibrate` and `calibrate_score` need.

    The temperature comes from nuclei that were found where the truth has one (IoU over 0.5) of known type, the line of
    the score from all that were found; each source weighs by its nuclei.

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
        For the model card's thresholds. No temperature where no tile has types or there is one type, no line where all
        or none that were found match.
    """
    from cellscope.assays.histo.nuclei.known import known_nuclei
    from cellscope.assays.histo.nuclei.postprocess import find_nuclei
    from cellscope.metrics.calibration import best_slope_and_bias, best_temperature, log_odds
    from cellscope.metrics.instances import overlaps, pairs_by_overlap

    logs, truths, scores, matched = [], [], [], []
    for tile, said in zip(tiles, maps, strict=True):
        nuclei = known_nuclei(find_nuclei(said, **settings), tile.unknown)  # type: ignore[arg-type]
        pairs = overlaps(tile.labels, nuclei.labels)
        rows, columns, _ = pairs_by_overlap(pairs)
        found = pairs.found[columns] - 1
        scores.append(nuclei.score)
        matched.append(np.isin(np.arange(len(nuclei.score)), found))
        if not tile.typed or said.shape[-1] < 5:
            continue
        kinds = tile.types[pairs.truth[rows]]
        known = kinds > 0
        logs.append(np.log(np.clip(nuclei.probabilities[found[known]], 1e-6, 1)))
        truths.append(kinds[known] - 1)
    fitted: dict[str, float] = {}
    if sum(map(len, truths)):
        fitted[TEMPERATURE] = best_temperature(np.concatenate(logs), np.concatenate(truths))
    right = np.concatenate(matched) if matched else np.zeros(0, bool)
    if right.any() and not right.all():
        line = best_slope_and_bias(log_odds(np.concatenate(scores)), right, balanced=False)
        fitted[SCORE_SLOPE], fitted[SCORE_BIAS] = line
    return fitted
