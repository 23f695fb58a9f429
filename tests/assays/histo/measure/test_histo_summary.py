"""Counts of `images.csv`, and the warning that types are unsure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from cellscope.assays.histo.measure.rois import RegionCounts
from cellscope.assays.histo.measure.summary import summarise
from cellscope.engine.assay import Subject
from cellscope.imaging.regions import Regions
from cellscope.io.image import Image
from cellscope.models.card import ModelCard


def subject(classes: tuple[str, ...]) -> Subject[Any]:
    card = ModelCard.weightless("histo", "nuclei", "otsu", classes, pixel_size_um=0.25)
    image = Image(np.zeros((100, 100, 3), np.uint8), 0.25)
    return cast("Subject[Any]", SimpleNamespace(cards={"nuclei": card}, image=image))


@pytest.mark.parametrize(("nuclei", "unsure", "warned"), [(40, 21, True), (40, 20, False), (19, 19, False)])
def test_types_of_which_most_are_unsure_are_said(nuclei: int, unsure: int, warned: bool) -> None:
    summary, notes = summarise(subject(("other", "spindle")), {"spindle": nuclei}, 0, 1e4, unsure)
    assert (summary["n_other"], summary["n_spindle"], summary["n_unsure"]) == (0, nuclei, unsure)
    assert summary["spindle_per_mm2"] == pytest.approx(nuclei / (1e4 * 0.25**2 / 1e6))
    assert [f"{unsure} of {nuclei} nuclei are of unsure type" in note for note in notes] == [True] * warned


def test_unsure_types_are_counted_by_region() -> None:
    corners = [[[x, 0], [x + 10, 0], [x + 10, 10], [x, 10], [x, 0]] for x in (0, 10)]
    regions = Regions([(np.array(ring, float),) for ring in corners], names=("a", "b"))
    counts = RegionCounts(regions, ("other", "spindle"))
    table = pd.DataFrame(
        {
            "centroid-0": 5.0,
            "centroid-1": [2.0, 4.0, 14.0],
            "class": ["other", "spindle", "spindle"],
            "review": [True, True, False],
            "reasons": ["type unsure", "cut by the border; type unsure", "very large"],
        }
    )
    counts.add(table)
    counts.add(table[2:])
    assert counts.table((20, 20), None)[["roi", "n_objects", "n_review", "n_unsure"]].to_numpy().tolist() == [
        ["a", 2, 2, 2], ["b", 2, 0, 0],
    ]  # fmt: skip


def test_one_type_is_never_unsure() -> None:
    summary, notes = summarise(subject(("nucleus",)), {"nucleus": 40}, 0, 1e4)
    assert not {"n_unsure", "n_nucleus"} & set(summary)
    assert not notes
