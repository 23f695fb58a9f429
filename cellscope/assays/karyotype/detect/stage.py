"""The first stage of a prediction: a metaphase normalised for the detector, and the detections that are kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch

from cellscope.assays.karyotype.detect.detections import (
    Detection,
    detections_of,
    drop_pale,
    drop_thick,
    raw_instances,
    with_foreground,
)
from cellscope.assays.karyotype.detect.inputs import CANONICAL, network_input
from cellscope.assays.karyotype.detect.pairs import joined
from cellscope.assays.karyotype.detect.scale import LIMITS, resize
from cellscope.assays.karyotype.detect.state import State
from cellscope.engine.assay import Subject
from cellscope.imaging.scaling import far_off
from cellscope.imaging.tone import normalise_tone, to_grey

#: Typical square root of a chromosome's box, in units of the detector's canonical side; the detector runs
#: again at another scale where they are off by more than a factor.
USUAL_BOX = 1.45
TOLERANCE = 1.5
POLARITIES: dict[str, bool | None] = {"auto": None, "bright": True, "dark": False}
#: Share of the usual tone below which a detection is no chromosome, for dark and for bright chromosomes: fluorescence
#: differs more from one chromosome to the next.
PALE = {False: 0.5, True: 0.3}
#: Share of the score threshold down to which the rest of the cell may call for a chromosome; the lower one where the
#: model card tells what overlapping outlines are.
CANDIDATES, MORE_CANDIDATES = 1 / 3, 1 / 9
#: Mask IoU above which the cell sees the better of two outlines alone, although it could tell.
ALIKE = 0.75


def candidates(score_threshold: float, *, assign: bool, joined: bool = False) -> float:
    """Give the least score of detections that the cell should see, `joined` as in `detect.pairs`."""
    if not assign:
        return score_threshold
    return score_threshold * (MORE_CANDIDATES if joined else CANDIDATES)


def cut_metaphase(subject: Subject[State]) -> list[np.ndarray]:
    """Normalise tone and scale: one item, the whole metaphase."""
    grey = to_grey(subject.image.pixels)
    normalised, bright = normalise_tone(grey, bright_on_dark=POLARITIES[subject.options.polarity])
    item, scale = network_input(subject.cards["detect"].normalisation, subject.image.pixels, normalised)
    state = subject.state
    state.grey, state.normalised, state.bright, state.scale = grey, normalised, bright, scale
    return [item]


def _canonical_side(subject: Subject[State]) -> float:
    return float(subject.cards["detect"].normalisation["canonical_side"])


def _scaled(normalised: np.ndarray, scale: float) -> np.ndarray:
    return np.ascontiguousarray(resize(normalised, scale)[None])


def detect(module: torch.nn.Module, batch: list[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """Run the detector; outputs on the CPU."""
    return [{name: value.float().cpu() for name, value in output.items()} for output in module(batch)]


def filter_detections(subject: Subject[State], outputs: list[Any]) -> None:
    """Keep what is confident enough, at the image's own resolution."""
    if not outputs:
        return
    options = subject.options
    assign = not options.no_assignment
    more = assign and joined(subject.cards["detect"].thresholds, bright=subject.state.bright)
    threshold = candidates(score_threshold(subject), assign=assign, joined=more)
    shape = subject.state.normalised.shape
    duplicates = {"iou": ALIKE, "contained": 1.0} if more else {}
    found = detections_of(
        outputs[0], subject.state.scale, shape, threshold=options.mask_threshold, duplicates=duplicates
    )
    if subject.truth is not None:
        subject.state.raw = raw_instances(outputs[0], subject.state.scale, shape, threshold=options.mask_threshold)
    kept = [detection for detection in found if detection.score >= threshold]
    if "masks" not in outputs[0]:
        kept = with_foreground(kept, subject.state.normalised)
    kept = drop_thick(kept, shape)
    kept = drop_pale(kept, subject.state.normalised, limit=PALE[subject.state.bright])
    if not subject.state.bright:
        margin = subject.cards["detect"].thresholds.get("bright_field_box_margin", 0.0)
        margin /= float(np.mean(subject.state.scale))
        kept = [replace(detection, margin=margin) for detection in kept]
    subject.state.detections = kept


def score_threshold(subject: Subject[State]) -> float:
    """Give the least confidence of a chromosome: what the user says, else what the detector was tuned to."""
    if subject.options.score_threshold is not None:
        return float(subject.options.score_threshold)
    return float(subject.cards["detect"].thresholds.get("score_threshold", 0.5))


def cut_again(subject: Subject[State]) -> list[np.ndarray]:
    """Give the metaphase at a better scale when the chromosomes found are far from their usual size."""
    detections: list[Detection] = subject.state.detections
    if len(detections) < 5 or subject.cards["detect"].normalisation.get("kind", CANONICAL) != CANONICAL:
        return []
    boxes = np.array([detection.bbox for detection in detections], float)
    before = cast(float, subject.state.scale)  # other kinds alone have two
    side = float(np.median(np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])))) * before
    usual = USUAL_BOX * _canonical_side(subject)
    if not far_off(side, usual, TOLERANCE):
        return []
    scale = float(np.clip(before * usual / side, *LIMITS))
    if abs(scale / before - 1) < 0.05:
        return []
    subject.state.scale = scale
    return [_scaled(subject.state.normalised, scale)]
