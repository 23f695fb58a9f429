"""Calibration on the validation split at the end of a training, kept in the model file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from cellscope.assays.micronucleus.classify.calibration import (
    crop_probability,
    field_probability,
    fit_both,
    fit_logistic,
)
from cellscope.assays.micronucleus.classify.crops import SIDE, cell_crop, crop_view, normalise_crop, owners
from cellscope.assays.micronucleus.datasets.fields import SMALLEST, Field
from cellscope.assays.micronucleus.field.field import estimate_diameter, median_diameter, normalise_field
from cellscope.assays.micronucleus.field.scaling import finder_maps, finder_view
from cellscope.assays.micronucleus.find.instances import MICRONUCLEUS, micronuclei_of, nuclei_of, reachable, score_cells
from cellscope.assays.micronucleus.training.classifier_data import Crop
from cellscope.imaging.labels import label_table
from cellscope.metrics.instances import matched_labels

CANDIDATES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
BATCH = 64


def _device(network: torch.nn.Module) -> torch.device:
    return next(network.parameters()).device


@torch.no_grad()
def maps_of(network: torch.nn.Module, field: Field) -> np.ndarray:
    """Run the finder over an annotated field at its true scale: (3, H, W) float32."""
    view = torch.from_numpy(finder_view(field.normalised, field.diameter))[None].to(_device(network))
    return finder_maps(network(view)[0].float().cpu().numpy(), field.grey.shape)


def tune_finder(network: torch.nn.Module, fields: list[Field]) -> dict[str, float]:
    """Choose ``mn_threshold``: the probability at which most micronuclei are found for the fewest wrong ones (F1).

    A found one is right when it touches a true one of at least 5 pixels. Fields in which not all micronuclei are
    outlined cannot tell.
    """
    fields = [field for field in fields if field.complete]
    if not fields:
        return {"mn_threshold": MICRONUCLEUS}
    network.eval()
    hits = np.zeros((len(CANDIDATES), 3))
    for field in fields:
        logits = maps_of(network, field)[2]
        reach = reachable(field.nuclei, field.diameter)
        areas = np.bincount(field.micronuclei.ravel())
        true = {label for label in range(1, len(areas)) if areas[label] >= SMALLEST}
        for number, candidate in enumerate(CANDIDATES):
            found, _, _ = micronuclei_of(logits, reach, threshold=candidate)
            pairs = np.unique(np.stack([found.ravel(), field.micronuclei.ravel()])[:, (found.ravel() > 0)], axis=1)
            right = {int(f) for f, t in pairs.T if t}
            reached = {int(t) for _, t in pairs.T} & true
            hits[number] += (len(reached), len(true) - len(reached), int(found.max()) - len(right))
    f1 = 2 * hits[:, 0] / np.maximum(2 * hits[:, 0] + hits[:, 1] + hits[:, 2], 1)
    best = int(np.argmax(f1))
    return {"mn_threshold": CANDIDATES[best], "mn_f1": round(float(f1[best]), 4)}


@torch.no_grad()
def crop_logits(network: torch.nn.Module, views: list[np.ndarray]) -> np.ndarray:
    """Classify views (1, S, S): the logits of micronucleus against normal, (N,) float64."""
    network.eval()
    found = [np.zeros(0)]
    for start in range(0, len(views), BATCH):
        batch = torch.from_numpy(np.stack(views[start : start + BATCH])).to(_device(network))
        logits = network(batch).float().cpu().numpy().astype(float)
        found.append(logits[:, 1] - logits[:, 0])
    return np.concatenate(found)


def score_field(
    classifier: torch.nn.Module, finder: torch.nn.Module, field: Field, size: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score the nuclei of a field that the finder finds with both networks, as `predict` does.

    Returns
    -------
    logits, finder_scores : (N,) float64
        Of the found nuclei that an outlined one corresponds to.
    positive : (N,) bool
    """
    finder.eval()
    maps = maps_of(finder, field)
    found = nuclei_of(maps[0], maps[1], field.diameter)
    pairs = matched_labels(field.nuclei, found)
    diameter = median_diameter(found) or field.diameter
    table = label_table(found, shapes=("area",)).set_index("label").loc[list(pairs.values())]
    owner = owners(found)
    views = [
        crop_view(normalise_crop(cell_crop(field.grey, found, owner, int(label), (row, column), diameter)), size)
        for label, row, column in zip(table.index, table["centroid-0"], table["centroid-1"], strict=True)
    ]
    finder_scores = score_cells(maps[2], found, diameter, list(pairs.values()))
    positive = field.positive()
    return crop_logits(classifier, views), finder_scores, np.array([label in positive for label in pairs], bool)


@torch.no_grad()
def score_crop(finder: torch.nn.Module, crop: Crop) -> float:
    """Ask the finder about the cell in the middle of a stored crop, as `predict` does; NaN where it sees no nucleus."""
    pixels = crop.pixels.astype(np.float32)
    height, width = pixels.shape
    diameter = estimate_diameter(pixels) or max(height, width) / SIDE
    view = torch.from_numpy(finder_view(normalise_field(pixels), diameter))[None].to(_device(finder))
    maps = finder_maps(finder(view)[0].float().cpu().numpy(), pixels.shape)
    labels = nuclei_of(maps[0], maps[1], diameter)
    if not labels.any():
        return float("nan")
    middle = int(owners(labels)[height // 2, width // 2])
    return float(score_cells(maps[2], labels, diameter, [middle])[0])


def tune_classifier(
    network: torch.nn.Module,
    loader: DataLoader | None,
    finder: torch.nn.Module | None,
    fields: list[Field],
    size: int,
    *,
    crops: Sequence[Crop] = (),
) -> tuple[dict[str, float], dict[str, Any]]:
    """Calibrate on validation data: each score, and both together, in fields or else in crops.

    Parameters
    ----------
    network : CropClassifier
    loader : DataLoader of (views, labels, micronuclei), or None
        Validation crops.
    finder : Finder or None
        The nucleus finder the model will be used with.
    fields : list of Field
        Validation fields; may be empty. Those in which not all micronuclei are outlined do not count.
    size : int
        Side of the network's input.
    crops : sequence of Crop
        Those of `loader`, for the finder.

    Returns
    -------
    thresholds : dict of float
        For the model card: see `cellscope.assays.micronucleus.classify.calibration`.
    calibration : dict
        Probabilities of the validation cells by class, with what they were measured on.
    """
    thresholds: dict[str, float] = {}
    calibration: dict[str, Any] = {}
    if loader is not None:
        views, labels, _ = zip(*loader, strict=True)
        positive = torch.cat(labels).numpy() == 1
        logits = crop_logits(network, list(torch.cat(views).numpy()))
        offset, scale = fit_logistic(logits[:, None], positive)
        thresholds |= {"crop_offset": _short(offset), "crop_scale": _short(scale)}
        calibration = _by_class(crop_probability(logits, thresholds), positive, "crops")
    if finder is None:
        return thresholds, calibration
    finder.eval()
    if crops:
        finder_scores = np.array([score_crop(finder, crop) for crop in crops])
        known = np.isfinite(finder_scores)
        both = fit_both("cell", logits[known], finder_scores[known], positive[known])
        if both:  # a finder that finds nothing yet gives no score
            thresholds |= both | {name.replace("cell", "field"): weight for name, weight in both.items()}
            together = field_probability(logits[known], finder_scores[known], thresholds, kind="cell")
            calibration = _by_class(together, positive[known], "crops")
    fields = [field for field in fields if field.complete]
    if fields:
        found = [score_field(network, finder, field, size) for field in fields]
        logits, finder_scores, positive = (np.concatenate(values) for values in zip(*found, strict=True))
        both = fit_both("field", logits, finder_scores, positive)
        if both:
            thresholds |= both
            calibration = _by_class(field_probability(logits, finder_scores, thresholds), positive, "fields")
            calibration["fields"] = [field.id for field in fields]
    return thresholds, calibration


def _by_class(probabilities: np.ndarray, positive: np.ndarray, measured_on: str) -> dict[str, Any]:
    return {
        "measured_on": measured_on,
        "normal": [_short(value) for value in np.sort(probabilities[~positive])],
        "micronucleus": [_short(value) for value in np.sort(probabilities[positive])],
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")
