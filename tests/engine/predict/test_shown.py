"""Where the report cannot show everything, what a person should look at comes first."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from cellscope.engine.predict.journal import Entry
from cellscope.engine.predict.shown import LARGEST, first_to_look_at, only_object, own_picture, review_first
from cellscope.io.choice import Choice


def entry(image: str, status: str = "ok", warnings: tuple[str, ...] = (), path: str = "") -> Entry:
    return Entry(image, status, {}, path, [], list(warnings))


def test_cards_are_of_what_needs_a_look() -> None:
    entries = [entry(f"{n:03}.tif") for n in range(300)]
    entries[250] = entry("250.tif", warnings=("odd",))
    entries[299] = entry("299.tif", "failed")
    chosen = [one.image for one in first_to_look_at(entries, {"280.tif": 5, "290.tif": 7, "003.tif": 0}, 200)]
    assert chosen[:6] == ["299.tif", "290.tif", "280.tif", "250.tif", "000.tif", "001.tif"]
    assert len(chosen) == 200
    assert first_to_look_at(entries[:200], {"150.tif": 9}, 200)[:2] == [entries[150], entries[0]]  # before other pages
    assert first_to_look_at(entries[:50], {"040.tif": 9}, 200) == entries[:50]  # one page holds them: by name


def table(path: Path, rows: int, marked: set[int]) -> Path:
    frame = pd.DataFrame({"image": "NA", "label": range(rows), "review": [n in marked for n in range(rows)], "x": 0.5})
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("marked", [{2100, 2300, 7}, set(), set(range(500, 2500))])
def test_rows_to_review_come_first(tmp_path: Path, marked: set[int]) -> None:
    path = table(tmp_path / "objects.csv", 2521, marked)
    shown, note = review_first(path, 100, 10**6, {"image": str}, 2521)
    others = [n for n in range(2521) if n not in marked]
    assert shown["label"].tolist() == [*sorted(marked), *others][:100]
    assert (shown["image"] == "NA").all()
    assert note == f"100 of 2521 rows, the {min(len(marked), 100)} to review first; objects.csv has all of them"


def test_rows_that_fit_keep_their_order(tmp_path: Path) -> None:
    path = table(tmp_path / "objects.csv", 100, {99})
    shown, note = review_first(path, 100, 400, {"image": str}, 100)
    assert (shown["label"].tolist(), note) == (list(range(100)), "")
    assert len(review_first(path, 100, 200, {"image": str}, 100)[0]) == 50  # a page holds so many cells


def test_an_input_without_a_figure_is_shown_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cv2.imwrite(str(tmp_path / "crop.png"), np.full((20, 30), 7, np.uint8))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    [(caption, pixels)] = own_picture(entry("crop.png", path=str(tmp_path / "crop.png")), Choice())
    assert (caption, pixels.shape[:2]) == ("Input", (20, 30))
    for name, status in (("bad.png", "ok"), ("none.png", "ok"), ("crop.png", "failed")):
        assert own_picture(entry(name, status, path=str(tmp_path / name)), Choice()) == []
    monkeypatch.setattr("cellscope.engine.predict.shown.LARGEST", 10)
    assert own_picture(entry("crop.png", path=str(tmp_path / "crop.png")), Choice()) == []
    assert LARGEST > 2**20


def test_the_class_of_a_single_object() -> None:
    columns = ["label", "class", "score", "review"]
    assert only_object(columns, [["1", "X", "0.9", "True"]]) == [("class", "X"), ("score", "0.9"), ("review", "yes")]
    assert only_object(columns, [["1", "7", "0.9", "False"]]) == [("class", "7"), ("score", "0.9")]
    assert only_object(columns, [["1", "7", "0.9", "False"]] * 2) == []
