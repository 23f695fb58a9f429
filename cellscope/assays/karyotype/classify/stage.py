"""The second stage of a prediction: class and orientation of each upright chromosome, and Grad-CAM maps."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch

from cellscope.assays.karyotype.classes import CLASSES
from cellscope.assays.karyotype.classify.explain import draw_explained
from cellscope.assays.karyotype.classify.upright import single_chromosome
from cellscope.assays.karyotype.classify.views import view_of
from cellscope.assays.karyotype.detect.detections import Detection
from cellscope.assays.karyotype.detect.inputs import CHROMOSOME
from cellscope.assays.karyotype.detect.state import State
from cellscope.assays.karyotype.networks.chrnet import Classifier, classify_views
from cellscope.engine.assay import Subject
from cellscope.errors import InputError
from cellscope.imaging.tone import to_grey

PAD = 6
#: Chromosomes in a batch on a CPU: about a third of a cell.
CPU_BATCH = 16


def cut_chromosomes(subject: Subject[State]) -> list[np.ndarray]:
    """Turn every detection upright; or, for an image of one chromosome, that one."""
    if subject.kind == CHROMOSOME:
        grey = to_grey(subject.image.pixels)
        normalised, mask = single_chromosome(grey)
        if not normalised.any():
            raise InputError(f"{subject.name}: nothing stands out from the background; is this a chromosome?")
        subject.state.grey, subject.state.mask = grey, mask
        return [_view(subject, normalised, mask)]
    return [_view(subject, *cut_out(subject.state.normalised, detection)) for detection in subject.state.detections]


def cut_out(normalised: np.ndarray, detection: Detection) -> tuple[np.ndarray, np.ndarray]:
    """Cut a detection out of a normalised metaphase, with some of its surroundings: image and mask."""
    height, width = normalised.shape
    x0, y0, x1, y1 = map(int, detection.bbox)
    left, top = max(x0 - PAD, 0), max(y0 - PAD, 0)
    cut = normalised[top : min(y1 + PAD, height), left : min(x1 + PAD, width)]
    mask = np.zeros(cut.shape, bool)
    mask[y0 - top : y1 - top, x0 - left : x1 - left] = detection.mask
    return cut, mask


def _view(subject: Subject[State], image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    settings = subject.cards["classify"].normalisation
    return view_of(image, mask, settings, rotate=subject.options.rotate)[None]


def cut_explained(subject: Subject[State]) -> list[np.ndarray]:
    """Show the classifier the same views again where its decisions are to be explained."""
    return cut_chromosomes(subject) if subject.options.explain else []


def draw_heat_maps(subject: Subject[State], outputs: list[np.ndarray]) -> None:
    """Draw the heat maps: chromosomes by their most probable class, the surest first."""
    if not outputs:
        return
    scores = subject.state.log_probabilities
    order = sorted(range(len(outputs)), key=lambda row: (int(scores[row].argmax()), -float(scores[row].max())))
    views = [view[0] for view in cut_chromosomes(subject)]
    names = [f"{row + 1}: {CLASSES[int(scores[row].argmax())]}  {np.exp(scores[row].max()):.2f}" for row in order]
    subject.state.explained = draw_explained([views[row] for row in order], [outputs[row] for row in order], names)


def classify(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[tuple[np.ndarray, float | None]]:
    """Run the classifier: per item the log probabilities (K,) and the logit that the short arm is up."""
    scores, polarity = classify_views(cast(Classifier, module), torch.stack(batch))
    ups = [None] * len(batch) if polarity is None else polarity.float().cpu().tolist()
    return list(zip(scores.float().cpu().numpy(), ups, strict=True))


def store_probabilities(subject: Subject[State], outputs: list[Any]) -> None:
    """Keep the classifier's outputs, tempered as the model card says."""
    subject.state.log_probabilities = tempered(subject, outputs)
    known = [output[1] for output in outputs]
    subject.state.polarity = None if any(value is None for value in known) else np.array(known, float)


def tempered(subject: Subject[State], outputs: list[Any]) -> np.ndarray:
    """Give the classifier's log probabilities, (N, 24), at the temperature that makes them honest."""
    temperature = subject.cards["classify"].thresholds.get("temperature", 1.0)
    scores = np.array([output[0] for output in outputs], float).reshape(-1, len(CLASSES)) / temperature
    return scores - np.logaddexp.reduce(scores, axis=1, keepdims=True) if len(scores) else scores
