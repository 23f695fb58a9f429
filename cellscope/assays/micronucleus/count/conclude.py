"""From the networks' answers to the rows, pictures and files of one field or crop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.micronucleus.classes import CROP, MICRONUCLEUS, NORMAL
from cellscope.assays.micronucleus.classify.calibration import (
    DECISION,
    crop_probability,
    field_probability,
    threshold_at,
)
from cellscope.assays.micronucleus.classify.crops import owners
from cellscope.assays.micronucleus.count.figures import as_features, draw_overlay, gallery_of
from cellscope.assays.micronucleus.count.objects import (
    apply_corrections,
    cell_table,
    localise,
    mark_unseen,
    micronucleus_table,
    scorable,
    summary_of,
)
from cellscope.assays.micronucleus.count.rates import BETWEEN_LINES, ErrorRates, new_line_rates
from cellscope.assays.micronucleus.field.state import State
from cellscope.assays.micronucleus.find.instances import MICRONUCLEUS as MN_THRESHOLD
from cellscope.assays.micronucleus.find.instances import reachable, score_cells
from cellscope.engine.assay import Result, Subject
from cellscope.errors import UsageError
from cellscope.imaging.doubt import trusted_pixel_size
from cellscope.imaging.measure import add_physical

NUCLEUS_UM = (2.5, 60.0)
"""Smallest and largest nucleus, micrometres, with a wide margin."""


def decision(subject: Subject[State]) -> float:
    """Give the probability from which a cell counts as positive: the user's, by specificity, or one half.

    Raises
    ------
    UsageError
        For --specificity with a model that was not calibrated.
    """
    options = subject.options
    if options.threshold is not None:
        return float(options.threshold)
    if options.specificity is None:
        return DECISION
    calibration = subject.cards["classify"].training.get("calibration") or {}
    if not calibration.get("normal"):
        raise UsageError("--specificity: the model was not calibrated on validation cells; give --threshold")
    return threshold_at(calibration, options.specificity)


def line_rates(subject: Subject[State], threshold: float) -> ErrorRates | None:
    """Give how calls of one field may differ on a new cell line; None where the model does not know."""
    spread = (subject.cards["classify"].training.get("calibration") or {}).get(BETWEEN_LINES)
    return None if spread is None else new_line_rates(spread, threshold, 1)


def conclude(subject: Subject[State]) -> Result:
    """Turn a finished subject into its rows, pictures and files."""
    return _conclude_crop(subject) if subject.kind == CROP else _conclude_field(subject)


def _conclude_field(subject: Subject[State]) -> Result:
    state, options = subject.state, subject.options
    grey, labels, measured = state.grey, state.labels, state.measured
    assert labels is not None
    assert state.diameter is not None
    warnings = list(state.warnings)
    ids = [int(label) for label in measured["label"]]
    maps = state.mn_logits
    logits = maps if maps is not None else np.full(grey.shape, -20.0, np.float32)
    reach = reachable(labels, state.diameter, owner=state.owner)
    finder_scores = score_cells(logits, labels, state.diameter, ids)
    probability = field_probability(state.logits, finder_scores, subject.cards["classify"].thresholds)
    background = float(np.median(grey[labels == 0])) if (labels == 0).any() else float(grey.min())
    able = scorable(measured, grey.shape, background, keep_border=options.keep_border)
    threshold = decision(subject)
    table = cell_table(
        measured,
        probability,
        threshold=threshold,
        review_margin=options.review_margin,
        able=able,
        logits=state.logits,
        finder_scores=finder_scores,
    )
    lost = apply_corrections(table, labels, options.corrected.get(subject.name, ()))
    if lost:
        warnings.append(f"{lost} corrections are for places where no nucleus was found")
    positive = [int(label) for label in table.loc[table["class"] == MICRONUCLEUS, "label"]]
    mn_threshold = subject.cards["nuclei"].thresholds.get("mn_threshold", MN_THRESHOLD)
    mn_labels, parents, scores = localise(logits, reach, positive, mn_threshold)
    mark_unseen(table, parents)
    if not able.any():
        found_none = "no nucleus found" if not ids else f"none of the {len(ids)} objects found can be scored"
        warnings.append(f"{found_none}; is this the DNA channel, and is --nucleus-diameter right?")
    owned = np.zeros(int(mn_labels.max()) + 1, np.int32)
    owned[list(parents)] = list(parents.values())
    owned = owned[mn_labels]
    pixel, doubts = trusted_pixel_size(subject.image, state.diameter if ids else None, NUCLEUS_UM, "nuclei")
    found = micronucleus_table(mn_labels, parents, scores, pixel)
    return Result(
        objects=add_physical(table.drop(columns="unseen"), pixel).assign(unseen=table["unseen"]),
        summary=summary_of(table, line_rates(subject, threshold)),
        artefacts={
            ".labels.tif": labels,
            ".micronuclei.tif": mn_labels,
            ".overlay.png": draw_overlay(grey, labels, mn_labels, table),
            ".geojson": as_features(subject.name, labels, table),
            ".gallery.json": gallery_of(subject.name, grey, table, owned, state.diameter, options.gallery),
        },
        warnings=warnings + doubts,
        tables={"micronuclei": found},
    )


def crop_cell_probability(subject: Subject[State]) -> float:
    """Combine finder and classifier scores of the cell in the middle of a crop, as in a field.

    Where the finder sees no nucleus, the classifier alone is asked.
    """
    state, thresholds = subject.state, subject.cards["classify"].thresholds
    labels = state.labels
    if state.mn_logits is None or labels is None or not labels.any():
        return float(crop_probability(state.logits, thresholds)[0])
    assert state.diameter is not None
    middle = owners(labels)[labels.shape[0] // 2, labels.shape[1] // 2]
    finder_scores = score_cells(state.mn_logits, labels, state.diameter, [int(middle)])
    return float(field_probability(state.logits, finder_scores, thresholds, kind="cell")[0])


def _conclude_crop(subject: Subject[State]) -> Result:
    probability = crop_cell_probability(subject)
    threshold = decision(subject)
    positive = probability >= threshold
    row: dict[str, Any] = {
        "label": 1,
        "class": MICRONUCLEUS if positive else NORMAL,
        "score": probability if positive else 1 - probability,
        "review": bool(abs(probability - threshold) < subject.options.review_margin),
        f"p_{NORMAL}": 1 - probability,
        f"p_{MICRONUCLEUS}": probability,
        "scorable": True,
    }
    return Result(
        objects=pd.DataFrame([row]), summary=crop_summary(positive=positive), warnings=list(subject.state.warnings)
    )


def crop_summary(*, positive: bool) -> dict[str, Any]:
    """Give the counts of a crop, which shows one cell; micronuclei are not counted in it."""
    return {"n_nuclei": 1, "n_micronucleated": int(positive), "mn_frequency": float(positive)}
