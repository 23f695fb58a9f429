"""``cellscope review`` of H&E tiles, fields of micronuclei and divisions, asked as the page asks."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.histo import tissue
from drawn.micronucleus import draw_field
from drawn.mitosis import division, write_composite
from drawn.reviewing import serving

from cellscope.cli.root import app


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        app(list(map(str, words)))
    return int(stopped.value.code or 0)


def rows(out: Path, image: str, name: str = "objects") -> pd.DataFrame:
    table = pd.read_csv(out / f"corrections/{name}.csv", dtype={"image": str})
    return table[table["image"] == image].reset_index(drop=True)


def test_a_persons_count_of_micronuclei_makes_the_frequency(tmp_path: Path) -> None:
    field = draw_field()
    tifffile.imwrite(tmp_path / "field.tif", field.grey)
    out = tmp_path / "out"
    assert run("micronucleus", "predict", tmp_path / "field.tif", "-o", out, "--input", "field", "-q") == 0
    before = pd.read_csv(out / "objects.csv")
    assert len(before) >= 3
    first, second, third = before["label"].tolist()[:3]
    with serving(out) as served:
        served.edit(0, do="count", label=first, count=3)
        served.edit(0, do="count", label=second, count=0)
        shown = served.edit(0, do="scorable", label=third, value=False)
        one = next(entry for entry in shown["objects"] if entry["label"] == first)
        assert (one["class"], one["name"], one["review"]) == ("micronucleus", "3", False)
        refused = served.send(0, edit={"do": "count", "label": first, "count": 99})
        assert "0 to 30" in refused.json()["error"]
        served.settle()
    after = rows(out, "field.tif").set_index("label")
    assert after["n_micronuclei"][[first, second]].tolist() == [3, 0]
    assert after["class"][[first, second]].tolist() == ["micronucleus", "normal"]
    assert after["scorable"][third] == False  # noqa: E712 - numpy's
    assert after["corrected"][[first, second, third]].all()
    image = rows(out, "field.tif", "images").iloc[0]
    scored = after[after["scorable"]]
    assert image["n_nuclei"] == len(scored)
    assert image["n_micronuclei"] == scored["n_micronuclei"].sum()
    assert image["mn_frequency"] == pytest.approx((scored["class"] == "micronucleus").mean(), abs=1e-5)
    frequency = pd.read_csv(out / "corrections/frequency.csv").iloc[0]
    assert frequency["n_micronucleated"] == (scored["class"] == "micronucleus").sum()
    original = pd.read_csv(out / "objects.csv")
    pd.testing.assert_frame_equal(original, before)
    assert after.columns.tolist() == original.columns.drop(["label"]).tolist()


def test_nuclei_of_a_tile_are_joined_and_removed(tmp_path: Path) -> None:
    pixels, _, _ = tissue(1)
    cv2.imwrite(str(tmp_path / "tile.png"), pixels[..., ::-1])
    out = tmp_path / "out"
    words = ("-m", "otsu", "--pixel-size", "0.25", "-q", "--no-tissue")
    assert run("histo", "predict", tmp_path / "tile.png", "-o", out, *words) == 0
    before = pd.read_csv(out / "objects.csv")
    labels = tifffile.imread(out / "tile.labels.tif").astype(int)
    first, second, third = before["label"].tolist()[:3]
    with serving(out) as served:
        served.edit(0, do="remove", label=first)
        served.edit(0, do="confirm", label=second)
        served.settle()
        after = rows(out, "tile.png").set_index("label")
        assert first not in after.index
        assert after["corrected"].to_dict() == {label: label == second for label in after.index}
        corrected = tifffile.imread(out / "corrections/tile.labels.tif").astype(int)
        np.testing.assert_array_equal(corrected, np.where(labels == first, 0, labels))
        kept = [name for name in before.columns if name not in ("image", "label", "review", "reasons", "score")]
        untouched = before.set_index("label").loc[[third], kept]
        pd.testing.assert_frame_equal(after.loc[[third], kept], untouched)  # as predict measured it
        image = rows(out, "tile.png", "images").iloc[0]
        assert image["n_objects"] == len(before) - 1
        assert image["density_per_mm2"] == pytest.approx((len(before) - 1) / image["area_mm2"], rel=1e-4)
        rows_, columns = np.nonzero(labels == first)
        found = served.edit(0, do="add", point=[float(columns.mean()) + 0.5, float(rows_.mean()) + 0.5])
        assert max(one["label"] for one in found["objects"]) == labels.max() + 1


def test_calls_of_divisions_make_the_fraction_of_their_condition(tmp_path: Path) -> None:
    for number in range(2):
        pair = division(number, abnormal=bool(number))
        write_composite(tmp_path / f"images/dose_{number}Gy/cell_{number}.tif", pair)
    out = tmp_path / "out"
    words = ("--group-by", "folder", "--input", "sequence", "-q", "--device", "cpu")
    assert run("mitosis", "predict", tmp_path / "images", "-o", out, *words) == 0
    with serving(out) as served:
        names = [one["image"] for one in served.get("api/run")["images"]]
        assert served.get("api/run")["classes"] == ["normal", "abnormal", "unsure"]
        served.edit(0, do="class", label=1, **{"class": "abnormal"})
        shown = served.edit(1, do="class", label=1, **{"class": "unsure"})
        assert shown["objects"][0]["class"] == "unsure"
        assert served.send(0, edit={"do": "class", "label": 1, "class": "odd"}).status_code == 422
        assert served.client.get("api/image/0/file/filmstrip.png").headers["content-type"] == "image/png"
        served.settle()
    first, second = (rows(out, name).iloc[0] for name in names)
    assert (first["class"], first["review"], first["corrected"], first["score"]) == ("abnormal", False, True, 1)
    assert second["reasons"] == "a person is unsure"
    assert second["class"] == pd.read_csv(out / "objects.csv").set_index("image")["class"][names[1]]  # the network's
    image = rows(out, names[0], "images").iloc[0]
    assert (image["n_abnormal"], image["abnormal_fraction"]) == (1, 1)
    conditions = pd.read_csv(out / "corrections/conditions.csv")
    assert conditions["n_abnormal"].sum() == 1 + (second["class"] == "abnormal")
    assert not (out / "corrections" / Path(names[0]).with_suffix(".filmstrip.png")).exists()
