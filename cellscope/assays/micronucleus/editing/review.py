"""Micronuclei in ``cellscope review``: nuclei of fields with class and number of micronuclei, and crops by class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.micronucleus.assay import ASSAY
from cellscope.assays.micronucleus.classes import CROP, FIELD, MICRONUCLEUS, NORMAL
from cellscope.assays.micronucleus.count.conclude import crop_summary, decision, line_rates
from cellscope.assays.micronucleus.count.figures import as_features, draw_overlay, gallery_of
from cellscope.assays.micronucleus.count.objects import cell_table, micronucleus_table, scorable, summary_of
from cellscope.assays.micronucleus.field.field import grey_of
from cellscope.assays.micronucleus.field.state import State
from cellscope.engine.assay import Assay, Result, Subject
from cellscope.imaging.label_edits import EditedLabels
from cellscope.imaging.labels import label_table
from cellscope.imaging.measure import add_physical
from cellscope.imaging.polygons import outlines, rings
from cellscope.imaging.shown_labels import complete_outline, shown_objects, tell_rows, typical_area
from cellscope.metrics.calibration import log_odds
from cellscope.review.called import CalledState, called_assay, called_objects
from cellscope.review.labelled import LABELS, labelled_assay
from cellscope.review.protocol import Edit, Original, Review

MICRONUCLEI = ".micronuclei.tif"
USUAL_AREA = 1500.0
"""Of a nucleus where there is none to compare with, pixels."""
MOST = 30
"""Micronuclei that a cell can be said to have."""


@dataclass(eq=False, repr=False)
class EditedState(State):
    """A field with a person's changes."""

    edited: EditedLabels = field(init=False)
    original: Original = field(init=False)


def _count(state: EditedLabels, edit: Mapping[str, Any]) -> None:
    """Say how many micronuclei a cell has."""
    state.mask(edit["label"])
    count = edit["count"]
    if not isinstance(count, int) or not 0 <= count <= MOST:
        raise ValueError(f"a cell has 0 to {MOST} micronuclei, not {count}")
    told = state.told.setdefault(edit["label"], {})
    told |= {"count": count, "class": MICRONUCLEUS if count else NORMAL}


def _scorable(state: EditedLabels, edit: Mapping[str, Any]) -> None:
    """Say whether a cell can be scored."""
    state.mask(edit["label"])
    state.told.setdefault(edit["label"], {})["scorable"] = bool(edit["value"])


def _class(state: EditedLabels, edit: Mapping[str, Any]) -> None:
    """Give a cell a class; a normal cell has no micronucleus."""
    if edit["class"] not in (NORMAL, MICRONUCLEUS):
        raise ValueError(f"a cell is {NORMAL} or {MICRONUCLEUS}, not {edit['class']}")
    state.mask(edit["label"])
    told = state.told.setdefault(edit["label"], {})
    told["class"] = edit["class"]
    if edit["class"] == NORMAL:
        told["count"] = 0
    elif told.get("count") == 0:
        del told["count"]


EDITS = {"count": _count, "scorable": _scorable, "class": _class}


def corrected(original: Original, edits: Sequence[Edit]) -> Assay:
    """Give the assay that takes a field or crop through its edits."""
    if original.summary["kind"] == CROP:
        return called_assay(
            ASSAY, original, edits, part="classify", kinds=(CROP,), known=(NORMAL, MICRONUCLEUS), conclude=conclude_crop
        )
    return labelled_assay(ASSAY, original, edits, state=EditedState, conclude=conclude, more=EDITS)


def conclude_crop(subject: Subject[CalledState]) -> Result:
    """Write the row and the count of a crop."""
    return Result(subject.state.table, crop_summary(positive=(subject.state.table["class"] == MICRONUCLEUS).any()))


def conclude(subject: Subject[EditedState]) -> Result:
    """Write everything that ``predict`` writes, from the corrected cells."""
    edited, original = subject.state.edited, subject.state.original
    grey = grey_of(subject.image.pixels, subject.name)
    table = rows_of(subject, grey)
    micronuclei, parents, scores = outlined(edited, original, table)
    pixel = subject.image.pixel_size_um
    owned = np.zeros(int(micronuclei.max(initial=0)) + 1, np.int32)
    owned[list(parents)] = list(parents.values())
    diameter = float(np.sqrt(4 * typical_area(edited.labels, USUAL_AREA) / np.pi))
    return Result(
        objects=add_physical(table.drop(columns="unseen"), pixel).assign(unseen=table["unseen"]),
        summary=summary_of(table, line_rates(subject, decision(subject))),
        artefacts={
            LABELS: edited.labels,
            MICRONUCLEI: micronuclei,
            ".overlay.png": draw_overlay(grey, edited.labels, micronuclei, table),
            ".geojson": as_features(subject.name, edited.labels, table),
            ".gallery.json": gallery_of(
                subject.name, grey, table, owned[micronuclei], diameter, subject.options.gallery
            ),
        },
        tables={"micronuclei": micronucleus_table(micronuclei, parents, scores, pixel)},
    )


def rows_of(subject: Subject[EditedState], grey: np.ndarray) -> pd.DataFrame:
    """Give the rows of ``objects.csv``: what the networks said of cells they saw, what a person said of others.

    A cell that the networks did not see has a probability of 0 or 1, by the class that it was given.
    """
    edited, original = subject.state.edited, subject.state.original
    measured = label_table(edited.labels, grey)
    labels = measured["label"].astype(int).tolist()
    known = original.rows.set_index("label")
    sources = [label if label in known.index else edited.origin.get(label, label) for label in labels]
    before = known.reindex(sources)
    told = [edited.told.get(label, {}) for label in labels]
    given = np.array([float(one.get("class") == MICRONUCLEUS) for one in told])
    probability = before[f"p_{MICRONUCLEUS}"].fillna(pd.Series(given, index=before.index)).to_numpy(float)
    background = float(np.median(grey[edited.labels == 0])) if (edited.labels == 0).any() else float(grey.min())
    able = scorable(measured, grey.shape, background, keep_border=subject.options.keep_border)
    seen = before["scorable"].notna().to_numpy()
    able = np.where(seen, before["scorable"].eq(True).to_numpy(), able)
    able = np.array([one.get("scorable", can) for one, can in zip(told, able, strict=True)], bool)
    table = cell_table(
        measured, probability, threshold=decision(subject), review_margin=subject.options.review_margin, able=able,
        logits=log_odds(before["classifier_probability"].to_numpy(float)),
        finder_scores=log_odds(before["finder_probability"].to_numpy(float)),
    )  # fmt: skip
    tell_rows(table, edited)
    counted = before["n_micronuclei"].fillna(0).to_numpy(int)
    table["n_micronuclei"] = [one.get("count", int(count)) for one, count in zip(told, counted, strict=True)]
    table.loc[table["class"] == NORMAL, "n_micronuclei"] = 0
    table["unseen"] = (table["class"] == MICRONUCLEUS) & (table["n_micronuclei"] == 0)
    return table


def outlined(
    edited: EditedLabels, original: Original, table: pd.DataFrame
) -> tuple[np.ndarray, dict[int, int], dict[int, float]]:
    """Give the micronuclei that were outlined, of cells that still carry some.

    What a person counted is a number; nothing is drawn for it.
    """
    labels = original.artefacts[MICRONUCLEI].astype(np.int32)
    rows = original.tables["micronuclei"]
    carriers = set(table.loc[table["n_micronuclei"] > 0, "label"].astype(int))
    parents, scores = {}, {}
    for row in rows.to_dict("records"):
        parent = int(row["parent"])
        parent = parent if parent in carriers else edited.origin.get(parent, 0)
        if parent in carriers:
            parents[int(row["label"])] = parent
            scores[int(row["label"])] = float(row["score"])
    kept = np.where(np.isin(labels, list(parents)), labels, 0)
    return kept, parents, scores


def show(subject: Subject[Any]) -> dict[str, Any]:
    """Give the browser the class of a crop; of a field its cells, their micronuclei, and the frequency."""
    if subject.kind == CROP:
        objects = called_objects(subject.state.table)
        return {"objects": objects, "facts": [("call", one["class"]) for one in objects]}
    table = rows_of(subject, grey_of(subject.image.pixels, subject.name)).set_index("label")
    objects = shown_objects(subject.state.edited, subject.state.original.rows, NORMAL)
    for one in objects:
        row = table.loc[one["label"]]
        count = int(row["n_micronuclei"])
        one |= {"class": str(row["class"]), "scorable": bool(row["scorable"]), "review": bool(row["review"])}
        one["name"] = f"{count or '+'}" if row["class"] == MICRONUCLEUS else ""
        one["notes"] = [f"{count} micronuclei", f"probability {row[f'p_{MICRONUCLEUS}']:.2f}"]
        if not row["scorable"]:
            one["notes"].append("not scorable")
    micronuclei, *_ = outlined(subject.state.edited, subject.state.original, table.reset_index())
    summary = summary_of(table.reset_index())
    frequency = summary["mn_frequency"]
    return {
        "objects": objects,
        "facts": [
            ("scorable", summary["n_nuclei"]),
            ("with micronuclei", summary["n_micronucleated"]),
            ("frequency", "" if frequency is None else f"{frequency:.3f}"),
        ],
        "marks": [rings(shape) for shape in outlines(micronuclei).values()],
        "width": subject.image.width,
        "height": subject.image.height,
    }


def complete(subject: Subject[EditedState], edit: Edit) -> Edit:
    """Outline the nucleus at a place."""
    if subject.kind == CROP or edit.get("do") != "add" or "points" in edit:
        return edit
    edited = subject.state.edited
    grey = grey_of(subject.image.pixels, subject.name)
    return complete_outline(edit, edited, grey, typical_area(edited.labels, USUAL_AREA))


def classes(_models: Mapping[str, Any]) -> Sequence[str]:
    """Give the classes that a person can name."""
    return (NORMAL, MICRONUCLEUS)


REVIEW = Review(
    originals={FIELD: (LABELS, MICRONUCLEI), CROP: ()},
    page={FIELD: "objects", CROP: "gallery"},
    corrected=corrected,
    show=show,
    classes=classes,
    tools=("class", "confirm", "count", "scorable", "join", "split", "outline", "add", "remove"),
    complete=complete,
    outlined=True,
)
