"""Calibration on the validation split at the end of a training, kept in the model file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader

from cellscope.assays.micronucleus.classes import CLASSES, NORMAL
from cellscope.assays.micronucleus.classes import MICRONUCLEUS as MICRONUCLEATED
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
    return tune_finders([(network, fields)])


def tune_finders(judged: Sequence[tuple[torch.nn.Module, list[Field]]]) -> dict[str, float]:
    """Choose ``mn_threshold`` over the fields of several finders, each judging those that it has not seen."""
    pairs_of = [(network, field) for network, fields in judged for field in fields if field.complete]
    if not pairs_of:
        return {"mn_threshold": MICRONUCLEUS}
    hits = np.zeros((len(CANDIDATES), 3))
    for network, field in pairs_of:
        network.eval()
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


def score_found(classifier: torch.nn.Module | None, finder: torch.nn.Module, field: Field, size: int) -> pd.DataFrame:
    """Score the nuclei of a field that the finder finds with both networks, as `predict` does.

    Parameters
    ----------
    classifier : CropClassifier or None
        None leaves its logits empty.
    finder : Finder
    field : Field
    size : int
        Side of the classifier's input.

    Returns
    -------
    DataFrame
        A row per nucleus found, then one per outlined nucleus that was not found: ``image``, ``label`` (0 where not
        found), ``true_label`` (0 where none is outlined), ``class`` (of the outlined one, else empty),
        ``classify_logit`` and ``finder_logit`` (empty where not found).
    """
    finder.eval()
    maps = maps_of(finder, field)
    found = nuclei_of(maps[0], maps[1], field.diameter)
    true_of = {label: true for true, label in matched_labels(field.nuclei, found).items()}
    labels = list(range(1, int(found.max()) + 1))
    logits = np.full(len(labels), np.nan)
    if classifier is not None and labels:
        logits = crop_logits(classifier, _views(field, found, labels, size))
    diameter = median_diameter(found) or field.diameter
    missed = sorted(set(np.unique(field.nuclei)[1:].tolist()) - set(true_of.values()))
    table = pd.DataFrame(
        {
            "image": field.id,
            "label": labels + [0] * len(missed),
            "true_label": [true_of.get(label, 0) for label in labels] + missed,
            "classify_logit": np.append(logits, np.full(len(missed), np.nan)),
            "finder_logit": np.append(score_cells(maps[2], found, diameter, labels), np.full(len(missed), np.nan)),
        }
    )
    positive = field.positive()
    classes = ["" if not true else MICRONUCLEATED if true in positive else NORMAL for true in table["true_label"]]
    table.insert(3, "class", classes)
    return table


def _views(field: Field, found: np.ndarray, labels: list[int], size: int) -> list[np.ndarray]:
    """Cut the cells out as the classifier sees them."""
    diameter = median_diameter(found) or field.diameter
    table = label_table(found, shapes=("area",)).set_index("label").loc[labels]
    owner = owners(found)
    return [
        crop_view(normalise_crop(cell_crop(field.grey, found, owner, int(label), (row, column), diameter)), size)
        for label, row, column in zip(table.index, table["centroid-0"], table["centroid-1"], strict=True)
    ]


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
        calibration = calibration_of(crop_probability(logits, thresholds), positive, "crops")
    if finder is None:
        return thresholds, calibration
    finder.eval()
    if crops:
        scored = score_crops(network, finder, crops, size)
        thresholds |= calibrate_crops(scored)
        known = scored[scored["finder_logit"].notna()]
        if "cell_offset" in thresholds:  # a finder that finds nothing yet gives no score
            together = field_probability(
                known["classify_logit"].to_numpy(float), known["finder_logit"].to_numpy(float), thresholds, kind="cell"
            )
            calibration = calibration_of(together, (known["class"] == MICRONUCLEATED).to_numpy(), "crops")
    fields = [field for field in fields if field.complete]
    if fields:
        table = pd.concat([score_found(network, finder, field, size) for field in fields], ignore_index=True)
        matched = table[(table["label"] > 0) & (table["true_label"] > 0)]
        logits, finder_scores = (matched[name].to_numpy(float) for name in ("classify_logit", "finder_logit"))
        positive = (matched["class"] == MICRONUCLEATED).to_numpy()
        both = fit_both("field", logits, finder_scores, positive)
        if both:
            thresholds |= both
            calibration = calibration_of(field_probability(logits, finder_scores, thresholds), positive, "fields")
            calibration["fields"] = [field.id for field in fields]
    return thresholds, calibration


def score_crops(classifier: torch.nn.Module, finder: torch.nn.Module, crops: Sequence[Crop], size: int) -> pd.DataFrame:
    """Score stored crops with both networks, as `predict` does.

    Returns
    -------
    DataFrame
        ``id``, ``class``, ``classify_logit``, ``finder_logit`` (empty where the finder sees no nucleus).
    """
    views = [crop_view(crop.pixels.astype(np.float32), size) for crop in crops]
    return pd.DataFrame(
        {
            "id": [crop.id for crop in crops],
            "class": [CLASSES[crop.label] for crop in crops],
            "classify_logit": crop_logits(classifier, views),
            "finder_logit": [score_crop(finder, crop) for crop in crops],
        }
    )


def calibrate_crops(scored: pd.DataFrame, weights: np.ndarray | None = None) -> dict[str, float]:
    """Fit what turns the scores of crops into probabilities: both together, and the classifier alone.

    Parameters
    ----------
    scored : DataFrame
        From `score_crops`.
    weights : (N,) float, optional
        Of the rows.
    """
    weights = np.ones(len(scored)) if weights is None else weights
    positive, known = (scored["class"] == MICRONUCLEATED).to_numpy(), scored["finder_logit"].notna().to_numpy()
    logits, finder_scores = (scored[name].to_numpy(float) for name in ("classify_logit", "finder_logit"))
    offset, scale = fit_logistic(logits[:, None], positive, weights=weights)
    thresholds = {"crop_offset": _short(offset), "crop_scale": _short(scale)}
    both = fit_both("cell", logits[known], finder_scores[known], positive[known], weights=weights[known])
    return thresholds | both | {name.replace("cell", "field"): weight for name, weight in both.items()}


def calibration_of(probabilities: np.ndarray, positive: np.ndarray, measured_on: str) -> dict[str, Any]:
    """Give the probabilities of the calibration's cells by class, for thresholds at a specificity and corrections."""
    return {
        "measured_on": measured_on,
        "normal": [_short(value) for value in np.sort(probabilities[~positive])],
        "micronucleus": [_short(value) for value in np.sort(probabilities[positive])],
    }


def _short(value: float) -> float:
    return float(f"{value:.5g}")
