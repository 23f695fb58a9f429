"""A slide whose nuclei a person corrected in QuPath: its outlines with the changes, and the results made from them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from cellscope.assays.histo.assay import ASSAY, SLIDE
from cellscope.assays.histo.classes import PART
from cellscope.assays.histo.measure.rois import COLUMN as ROI
from cellscope.assays.histo.measure.rois import names_at
from cellscope.assays.histo.measure.rows import context, measure_nuclei
from cellscope.assays.histo.nuclei.postprocess import Nuclei
from cellscope.assays.histo.slides.joining import Whole, joined
from cellscope.assays.histo.slides.plan import Pixels
from cellscope.assays.histo.slides.regions import make_plan
from cellscope.assays.histo.slides.seams import Resolved
from cellscope.assays.histo.slides.state import State
from cellscope.assays.histo.slides.windows import Box
from cellscope.engine.assay import Assay, Result, Subject
from cellscope.errors import InputError
from cellscope.imaging.label_edits import TAKE
from cellscope.imaging.polygons import Ring, mask_of, outline, rings
from cellscope.imaging.taken import SMALLEST
from cellscope.io.annotations.geojson import measurements
from cellscope.review.protocol import Edit, Original
from cellscope.review.stage import edited_assay

GEOJSON = (".geojson", ".geojson.gz")
BAND, WIDE = 1024, 8192
"""Height and width of what is drawn at once, input pixels."""
KEPT = ("shifted_grid_dice", "shifted_grid_count")

Outline = list[Ring]


@dataclass(eq=False, repr=False)
class OutlinedState(State):
    """A slide with a person's changes.

    Attributes
    ----------
    outlines : dict
        Label -> rings, in the slide's pixels. No two share a pixel.
    told : dict
        Label -> the class that a person gave, or an empty text; whatever was drawn or changed is there.
    fresh : list of int
        Labels to be measured anew.
    original : Original
    """

    outlines: dict[int, Outline] = field(default_factory=dict)
    told: dict[int, str] = field(default_factory=dict)
    fresh: list[int] = field(default_factory=list)
    original: Original = field(init=False)


def corrected(original: Original, edits: Sequence[Edit]) -> Assay:
    """Give the assay that takes a slide through its edits; no network runs."""
    change = partial(_change, original, edits)
    plain = replace(ASSAY, large=None, layers={})
    return edited_assay(plain, change, part=PART, kinds=(SLIDE,), state=OutlinedState, conclude=conclude)


def _change(original: Original, edits: Sequence[Edit], subject: Subject[OutlinedState]) -> list[np.ndarray]:
    """Carry out the edits; no item for a network.

    Raises
    ------
    InputError
        The GeoJSON of `predict` is not there; an edit that is none of a slide.
    """
    found = next((original.artefacts[name] for name in GEOJSON if name in original.artefacts), None)
    if found is None:
        raise InputError(f"{subject.name}: the GeoJSON that predict wrote is not there")
    state = subject.state
    state.original = original
    state.outlines = {int(measurements(one)["label"]): rings(one["geometry"]) for one in found}
    used = max(state.outlines, default=0)
    for number, edit in enumerate(edits, 1):
        if edit.get("do") != TAKE:
            raise InputError(f"edit {number}: nuclei of a slide are changed in QuPath")
        used = _take(state, edit, (subject.image.height, subject.image.width), used)
    return []


def _take(state: OutlinedState, edit: Edit, shape: tuple[int, int], used: int) -> int:
    """Bring in the changes of one file; give the largest label used so far."""
    redrawn = [one["label"] for one in edit["drawn"] if "label" in one]
    for label in [*edit["removed"], *redrawn]:
        if state.outlines.pop(label, None) is None:
            raise InputError(f"take: there is no nucleus {label}")
    for label in edit["removed"]:
        state.told.pop(label, None)
    state.fresh = [label for label in state.fresh if label in state.outlines]
    near = _Near(state.outlines)
    for one in edit["drawn"]:
        if "label" not in one:
            used += 1
        label = one.get("label", used)
        free = _free(one["outline"], near, shape)
        if free is None:
            state.told.pop(label, None)
            continue
        state.outlines[label] = free
        near.add(label, free)
        state.fresh.append(label)
        state.told[label] = one.get("class") or state.told.get(label, "")
    for label, name in edit["classes"].items():
        if int(label) in state.outlines:
            state.told[int(label)] = name
    return used


class _Near:
    """Find the outlines around a place."""

    def __init__(self, outlines: Mapping[int, Outline]):
        self.outlines = dict(outlines)
        self.labels = list(self.outlines)
        self.boxes = [_box(one) for one in self.outlines.values()]
        self._array = np.array(self.boxes, float).reshape(-1, 4)

    def add(self, label: int, one: Outline) -> None:
        self.outlines[label] = one
        self.labels.append(label)
        self.boxes.append(_box(one))

    def at(self, box: tuple[float, float, float, float]) -> list[int]:
        """List the labels whose boxes meet a box (left, top, right, bottom)."""
        if len(self._array) < len(self.boxes) - 256:
            self._array = np.array(self.boxes, float)
        left, top, right, bottom = box
        all_ = self._array
        hit = (all_[:, 0] < right) & (all_[:, 2] > left) & (all_[:, 1] < bottom) & (all_[:, 3] > top)
        found = [self.labels[place] for place in np.flatnonzero(hit)]
        for place in range(len(all_), len(self.boxes)):  # added since
            other = self.boxes[place]
            if other[0] < right and other[2] > left and other[1] < bottom and other[3] > top:
                found.append(self.labels[place])
        return found


def _box(one: Outline) -> tuple[float, float, float, float]:
    points = np.concatenate([np.asarray(ring, float) for ring in one])
    return (*map(float, points.min(0)), *map(float, points.max(0)))  # type: ignore[return-value]


def _free(one: Outline, near: _Near, shape: tuple[int, int]) -> Outline | None:
    """Give what an outline holds that is in the slide and no other nucleus's; None for too little."""
    mask, (top, left) = mask_of(one)
    rows, columns = np.arange(top, top + mask.shape[0]), np.arange(left, left + mask.shape[1])
    mask &= ((rows >= 0) & (rows < shape[0]))[:, None] & ((columns >= 0) & (columns < shape[1]))
    box = (left, top, left + mask.shape[1], top + mask.shape[0])
    others = np.zeros(mask.shape, np.int32)
    for label in near.at(box):
        _draw(others, near.outlines[label], (top, left), 1)
    mask &= others == 0
    return None if mask.sum() < SMALLEST else rings(outline(mask, (top, left)))


def _draw(labels: np.ndarray, one: Outline, origin: tuple[int, int], number: int) -> None:
    """Draw an outline into a window of the slide."""
    mask, (top, left) = mask_of(one)
    row, column = top - origin[0], left - origin[1]
    window = labels[max(row, 0) : max(row + mask.shape[0], 0), max(column, 0) : max(column + mask.shape[1], 0)]
    inside = mask[max(-row, 0) :, max(-column, 0) :][: window.shape[0], : window.shape[1]]
    window[inside] = number


def rows_of(subject: Subject[OutlinedState]) -> pd.DataFrame:
    """Give the rows: those of `predict`, and those of what was drawn, measured as `predict` does."""
    state, names = subject.state, subject.cards[PART].classes
    table = state.original.rows
    table = table[table["label"].isin(list(state.outlines)) & ~table["label"].isin(state.fresh)]
    near, pixels = _Near(state.outlines), Pixels(subject.image)
    try:
        drawn = [_measured(subject, label, near, pixels) for label in state.fresh]
    finally:
        pixels.close()
    table = pd.concat([table, *drawn], ignore_index=True)[list(state.original.rows.columns)]
    told = table["label"].isin(list(state.told))
    for label, name in state.told.items():
        if name:
            at = table["label"] == label
            table.loc[at, "class"] = name
            if len(names) > 1:
                table.loc[at, [f"p_{one}" for one in names]] = np.eye(len(names))[list(names).index(name)]
    table.loc[told, ["score", "review"]] = [1.0, False]
    table["reasons"] = table["reasons"].where(~told, "").fillna("")
    table["corrected"] = told.to_numpy(bool)
    return table.sort_values("label", kind="stable").reset_index(drop=True)


def _measured(subject: Subject[OutlinedState], label: int, near: _Near, pixels: Pixels) -> pd.DataFrame:
    """Measure one nucleus in the slide's own pixels."""
    state, names, shape = subject.state, subject.cards[PART].classes, (subject.image.height, subject.image.width)
    around = context(subject.image.pixel_size_um)
    left, top, right, bottom = _box(state.outlines[label])
    whole = Box(int(top) - around, int(left) - around, int(bottom) + around + 1, int(right) + around + 1)
    rgb, box = pixels.region(0, whole)
    labels = np.zeros(rgb.shape[:2], np.int32)
    for other in near.at((box.left, box.top, box.right, box.bottom)):
        _draw(labels, state.outlines[other], (box.top, box.left), 2)
    _draw(labels, state.outlines[label], (box.top, box.left), 1)
    before = state.original.rows[state.original.rows["label"] == label]
    probabilities = np.zeros((2, len(names)), np.float32)
    probabilities[:, 0] = 1.0
    if len(before) and len(names) > 1:
        probabilities[:] = before[[f"p_{name}" for name in names]].to_numpy(np.float32)
    nuclei = Nuclei(labels, probabilities, np.ones(2, np.float32))
    table = measure_nuclei(
        rgb, nuclei, names, subject.image.pixel_size_um, origin=(box.top, box.left), shape=shape,
        review_below=subject.options.review_below,
    )  # fmt: skip
    table = table[table["label"] == 1].assign(label=label)
    if state.regions is not None:
        table[ROI] = names_at(state.regions, *(table[f"centroid-{axis}"].to_numpy(float) for axis in (0, 1)))
    return table


class Outlined(Whole):
    """A slide made of outlines, drawn part by part whenever a part is asked for."""

    def __init__(self, subject: Subject[OutlinedState], table: pd.DataFrame):
        self.subject, self.outlines = subject, subject.state.outlines
        assert subject.state.plan is not None
        self.plan = subject.state.plan
        self.shape = (subject.image.height, subject.image.width)
        self.table = table
        parts: dict[tuple[int, int], list[int]] = {}
        for row, label in enumerate(table["label"].tolist()):
            left, top, _, _ = _box(subject.state.outlines[label])
            parts.setdefault((int(top) // BAND, int(left) // WIDE), []).append(row)
        self.parts = [parts[place] for place in sorted(parts)]
        self.tops = [place[0] * BAND for place in sorted(parts)]
        self.results = _Drawn(self)
        numbers = [np.array([0, *table["label"].iloc[rows]], np.int32) for rows in self.parts]
        self.resolved = Resolved(numbers, [{} for _ in numbers], int(table["label"].max()) if len(table) else 0)

    def tables(self) -> Iterator[pd.DataFrame]:
        """Give the rows by label."""
        yield self.table

    def count(self) -> int:
        """Count the nuclei."""
        return len(self.table)

    def _own(self, number: int, _result: Result) -> pd.DataFrame:
        rows = self.table.iloc[self.parts[number]].reset_index(drop=True)
        return rows.assign(label=np.arange(1, len(rows) + 1))

    def part(self, number: int) -> Result:
        """Draw a part: its label image, cut to where its nuclei lie, under the numbers 1..n."""
        outlines = [self.outlines[label] for label in self.table["label"].iloc[self.parts[number]]]
        boxes = np.array([_box(one) for one in outlines])
        top, left = int(boxes[:, 1].min()), int(boxes[:, 0].min())
        bottom, right = int(np.ceil(boxes[:, 3].max())), int(np.ceil(boxes[:, 2].max()))
        labels = np.zeros((min(bottom, self.shape[0]) - top, min(right, self.shape[1]) - left), np.int32)
        for place, one in enumerate(outlines, 1):
            _draw(labels, one, (top, left), place)
        return Result(
            pd.DataFrame(), {"shift": None, "corrupt": []}, artefacts={"labels": labels, "place": np.array([top, left])}
        )


class _Drawn(Sequence[Result]):
    def __init__(self, whole: Outlined):
        self._whole = whole

    def __len__(self) -> int:
        return len(self._whole.parts)

    def __getitem__(self, number: Any) -> Any:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self._whole.part(number)


def conclude(subject: Subject[OutlinedState]) -> Result:
    """Write everything that ``predict`` writes of a slide."""
    original = subject.state.original
    subject.state.plan = make_plan(subject, model_um=subject.cards[PART].pixel_size_um, baseline=False)
    try:
        table = rows_of(subject)
        result = joined(subject, Outlined(subject, table))
    finally:
        subject.state.plan.pixels.close()
    kept = {name: original.summary.get(name) or None for name in KEPT}
    return replace(result, objects=table, rows=None, summary={**result.summary, **kept})


def show(subject: Subject[OutlinedState]) -> dict[str, Any]:
    """Give the nuclei with their classes."""
    state = subject.state
    rows = state.original.rows
    classes = dict(zip(rows["label"].tolist(), rows["class"].tolist(), strict=True))
    first = subject.cards[PART].classes[0]
    objects = [
        {
            "label": label,
            "class": state.told.get(label) or classes.get(label, first),
            "review": False,
            "reasons": [],
            "corrected": label in state.told,
            "outline": state.outlines[label],
        }
        for label in sorted(state.outlines)
    ]
    return {"objects": objects, "facts": [("nuclei", len(objects))]}
