"""Thresholds tuned on the validation split at the end of a training and kept in the model file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from cellscope.assays.karyotype.datasets.metaphase import Metaphase
from cellscope.assays.karyotype.detect.detections import Detection, detections_of
from cellscope.assays.karyotype.networks.chrnet import Classifier, classify_views
from cellscope.metrics.calibration import best_temperature
from cellscope.metrics.detection import box_iou, match
from cellscope.models.file import read_card
from cellscope.models.registry import locate

CANDIDATES = np.round(np.arange(0.05, 0.91, 0.05), 2)
SLACK = 0.01
DEFAULT_SCORE = 0.5


def best_score_threshold(truths: list[np.ndarray], found: list[list[Detection]]) -> float:
    """Find the confidence above which detections are best kept.

    Parameters
    ----------
    truths : list of (N, 4) float
        True boxes per image, x0 y0 x1 y1.
    found : list of lists of Detection

    Returns
    -------
    float
        The lowest candidate whose F1 (one to one, box IoU above 0.5) is within 0.01 of the best: a chromosome too
        many is deleted faster than a missing one is drawn.
    """
    scores = []
    for candidate in CANDIDATES:
        hits = truth_total = found_total = 0
        for truth, detections in zip(truths, found, strict=True):
            boxes = np.array([d.bbox for d in detections if d.score >= candidate], float).reshape(-1, 4)
            hits += len(match(box_iou(truth, boxes)))
            truth_total += len(truth)
            found_total += len(boxes)
        scores.append(2 * hits / max(truth_total + found_total, 1))
    best = max(scores)
    if best == 0:
        return DEFAULT_SCORE
    return float(next(c for c, score in zip(CANDIDATES, scores, strict=True) if score >= best - SLACK))


@torch.no_grad()
def tune_detector(network: torch.nn.Module, loader: DataLoader | None, metaphases: list[Metaphase]) -> dict[str, float]:
    """Run the detector over the validation metaphases and choose ``score_threshold``."""
    if loader is None:
        return {"score_threshold": DEFAULT_SCORE}
    network.eval()
    truths, found = [], []
    for images, indices in loader:
        for output, index in zip(network([image.to(_device(network)) for image in images]), indices, strict=True):
            metaphase = metaphases[index]
            truths.append(metaphase.boxes)
            found.append(detections_of(output, metaphase.scale, metaphase.image.shape))
    return {"score_threshold": best_score_threshold(truths, found)}


def margin_of(metaphases: list[Metaphase]) -> dict[str, float]:
    """Give ``bright_field_box_margin``: the usual margin of box-only images, in pixels of the detector's scale.

    Boxes of bright-field images are reported with it, so that they compare with boxes drawn by people.
    """
    margins = [metaphase.margin * float(np.mean(metaphase.scale)) for metaphase in metaphases if metaphase.margin > 0]
    return {"bright_field_box_margin": round(float(np.median(margins)), 2)} if margins else {}


@torch.no_grad()
def tune_classifier(network: Classifier, loader: DataLoader | None) -> dict[str, float]:
    """Run the classifier over the validation chromosomes and choose ``temperature``."""
    if loader is None:
        return {"temperature": 1.0}
    network.eval()
    scores, labels = [], []
    for views, label, _ in loader:
        scores.append(classify_views(network, views.to(_device(network)))[0].float().cpu())
        labels.append(label)
    return {"temperature": round(best_temperature(torch.cat(scores).double().numpy(), torch.cat(labels).numpy()), 4)}


def inherited(init: str, names: Sequence[str]) -> dict[str, float]:
    """Give the thresholds of the model that a training starts from, of those that it does not tune itself."""
    if init in ("none", "imagenet"):
        return {}
    thresholds = read_card(locate(init)).thresholds
    return {name: thresholds[name] for name in names if name in thresholds}


def _device(network: torch.nn.Module) -> Any:
    return next(network.parameters()).device
