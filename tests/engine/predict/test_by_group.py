"""groups.csv: what the images of a group come to together, by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from cellscope.assays.histo.measure.groups import summarise_groups
from cellscope.assays.nucleus_seg.measure.groups import summarise
from cellscope.models.card import ModelCard

IMAGES = pd.DataFrame(
    {
        "image": ["a1", "a2", "b1", "x", "c1"],
        "status": ["ok", "ok", "ok", "ok", "failed"],
        "unfamiliar": [True, False, False, False, None],
        "group": ["a", "a", "b", "", "c"],
        "n_objects": [2, 1, 1, 1, None],
        "n_review": [1, 0, 0, 0, None],
        "n_other": [0, 1, 0, 0, None],
        "n_spindle": [2, 0, 1, 1, None],
        "n_unsure": [1, 1, 0, 0, None],
        "area_mm2": [0.5, 0.5, 0.25, 0.25, None],
    }
)
OBJECTS = pd.DataFrame(
    {
        "image": ["a1", "a1", "a2", "b1", "x"],
        "review": [True, False, False, False, False],
        "cut_by_border": [False, True, False, False, False],
        "area": [10.0, 99.0, 30.0, 7.0, 8.0],
    }
)


def test_measures_of_nuclei_by_group() -> None:
    (table,) = summarise(IMAGES, OBJECTS, SimpleNamespace(), {}).tables.values()
    table = table.set_index("group")
    assert list(table.index) == ["all", "a", "b", "c"]
    assert table.loc["a", ["n_images", "n_failed", "n_unfamiliar", "n_nuclei", "n_review", "n_whole"]].tolist() == [
        2, 0, 1, 3, 1, 2,
    ]  # fmt: skip
    assert table.loc["a", ["area_q25", "area_median", "area_q75"]].tolist() == [15, 20, 25]  # of 10 and 30
    assert table.loc["all", "n_nuclei"] == 5
    assert table.loc["c", ["n_images", "n_failed", "n_nuclei"]].tolist() == [1, 1, 0]
    assert pd.isna(table.loc["c", "area_median"])


def test_counts_and_densities_by_group() -> None:
    card = ModelCard.weightless("histo", "nuclei", "otsu", ("other", "spindle"))
    (table,) = summarise_groups(IMAGES, OBJECTS[:0], None, {"nuclei": card}).tables.values()
    table = table.set_index("group")
    assert table.loc["a", ["n_nuclei", "n_other", "n_spindle", "n_unsure", "area_mm2"]].tolist() == [3, 1, 2, 2, 1]
    assert table.loc["b", ["density_per_mm2", "spindle_per_mm2", "other_per_mm2"]].tolist() == [4, 4, 0]
    assert table.loc["all", "density_per_mm2"] == pytest.approx(5 / 1.5)


def test_no_area_where_one_image_has_none_and_no_table_without_groups() -> None:
    card = ModelCard.weightless("histo", "nuclei", "otsu", ("nucleus",))
    unknown = IMAGES.assign(area_mm2=[0.5, None, 0.25, 0.25, None])
    (table,) = summarise_groups(unknown, OBJECTS[:0], None, {"nuclei": card}).tables.values()
    table = table.set_index("group")
    assert pd.isna(table.loc["a", "area_mm2"])
    assert table.loc["b", "area_mm2"] == 0.25
    assert not summarise(IMAGES.drop(columns="group"), OBJECTS, None, {}).tables
