"""Layouts, mask values, duplicates."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from drawn.nucleus_seg import smear

from cellscope.assays.nucleus_seg.classes import OUTSIDE, cells_of, class_indices, nucleus_diameter
from cellscope.assays.nucleus_seg.datasets.prepare import prepare
from cellscope.assays.nucleus_seg.datasets.sources.snam import centred_crop
from cellscope.assays.nucleus_seg.datasets.stored import read_nuclei
from cellscope.assays.nucleus_seg.evaluation.scores import true_cells
from cellscope.assays.nucleus_seg.options import NucleusPrepareOptions as Options
from cellscope.errors import DatasetError, UsageError


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), array[..., ::-1] if array.ndim == 3 else array)


def items(out: Path) -> pd.DataFrame:
    return pd.read_csv(out / "items.csv", dtype=str, keep_default_na=False)


def test_the_wbc_layout(nucleus_dataset: Path) -> None:
    table = items(nucleus_dataset)
    assert len(table) == 12
    assert {name.split("/")[0] for name in table["id"]} == {"generated-dataset1", "generated-dataset2"}
    same = table[table["id"].str.endswith(("dataset1-000", "dataset1-001"))]
    assert same["group"].nunique() == 1  # pixel for pixel the same image
    assert same["split"].nunique() == 1
    assert same["fold"].nunique() == 1
    info = json.loads((nucleus_dataset / "dataset.json").read_text())
    assert info["classes"] == ["background", "cytoplasm", "nucleus"]
    mask = cv2.imread(str(nucleus_dataset / table["target"][0]), 0)
    assert set(np.unique(mask)) == {0, 128, 255}


def test_stray_values_of_wbc_masks_fall_to_the_nearest_class(tmp_path: Path) -> None:
    image, mask = smear(0)
    mask[0, :4] = (37, 70, 190, 214)
    write(tmp_path / "in/dataset2/001.bmp", image)
    write(tmp_path / "in/dataset2/001.png", mask)
    prepare([tmp_path / "in"], tmp_path / "out", Options(splits=(1, 0, 0)))
    found = cv2.imread(str(tmp_path / "out" / items(tmp_path / "out")["target"][0]), 0)
    assert found[0, :4].tolist() == [0, 128, 128, 255]


def test_pairs_by_naming_rule_and_by_table(tmp_path: Path) -> None:
    for number in range(3):
        image, mask = smear(number)
        write(tmp_path / f"rule/slide{number % 2}/images/{number}.jpg", image)
        write(tmp_path / f"rule/slide{number % 2}/masks/{number}.png", (mask == 255).astype(np.uint8) * 255)
        write(tmp_path / f"table/{number}.png", image)
        write(tmp_path / f"table/{number}_gt.png", mask)
    (tmp_path / "table/list.csv").write_text("image,mask,group\n0.png,0_gt.png,p1\n1.png,1_gt.png,p1\n")
    prepare([tmp_path / "rule", tmp_path / "table/list.csv"], tmp_path / "out", Options())
    table = items(tmp_path / "out").set_index("id")
    assert sorted(table.index) == ["list/0", "list/1", "rule/slide0-0", "rule/slide0-2", "rule/slide1-1"]
    assert table.loc["rule/slide0-0", "group"] == table.loc["rule/slide0-2", "group"] == "rule/slide0"
    assert table.loc["list/0", "group"] == "list/p1"
    alone = cv2.imread(str(tmp_path / "out" / table.loc["rule/slide0-0", "target"]), 0)
    assert set(np.unique(alone)) == {OUTSIDE, 255}  # without cytoplasm masks nobody knows what is background
    assert set(np.unique(class_indices(alone))) == {3, 2}


def numbered(number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw two nuclei that touch, one of three lobes, and twelve others; their numbers."""
    labels = np.zeros((120, 160), np.uint16)
    cv2.circle(labels, (40, 40), 16, 1, -1)
    cv2.circle(labels, (70, 40), 16, 7, -1)
    labels[:, 55] = 0  # no pixel is shared, and no gap is left: they meet at column 56
    labels[:, 55][labels[:, 54] == 1] = 1
    for x in (90, 112, 134):
        cv2.circle(labels, (x, 75), 8, 9, -1)
    for place in range(12):
        cv2.circle(labels, (10 + 12 * place, 110), 4, 20 + place, -1)
    image = np.full((120, 160, 3), 225, np.uint8)
    image[labels > 0] = (110, 70, 150 + number)
    return image, labels


def test_touching_nuclei_with_numbers_stay_two_and_lobes_one(tmp_path: Path) -> None:
    for number in range(2):
        image, labels = numbered(number)
        write(tmp_path / f"in/images/{number}.png", image)
        write(tmp_path / f"in/masks/{number}.png", labels)
    image, mask = smear(3)
    write(tmp_path / "levels/images/2.png", image)
    write(tmp_path / "levels/masks/2.png", mask)
    prepare([tmp_path / "in", tmp_path / "levels"], tmp_path / "out", Options(splits=(0.5, 0.5, 0)))
    table = items(tmp_path / "out")
    found = [read_nuclei(tmp_path / "out", target) for target in table["target"]]
    assert [one is None for one in found] == [False, False, True]
    np.testing.assert_array_equal(found[0], np.searchsorted([0, 1, 7, 9, *range(20, 32)], labels))
    stored = cv2.imread(str(tmp_path / "out" / table["target"][0]), 0)
    assert true_cells(stored, found[0]) == 2 + 1 + 12
    assert true_cells(stored) == 1 + 3 + 12  # what the mask alone would say
    before = json.loads((tmp_path / "out/dataset.json").read_text())["hash"]
    again, labels = tmp_path / "again", labels.copy()
    labels[labels == 9] = 7
    write(tmp_path / "in/masks/1.png", labels)
    prepare([tmp_path / "in", tmp_path / "levels"], again, Options(splits=(0.5, 0.5, 0)))
    masks = [(root / table["target"][1]).read_bytes() for root in (tmp_path / "out", again)]
    assert masks[0] == masks[1]
    assert json.loads((again / "dataset.json").read_text())["hash"] != before


@pytest.mark.parametrize(("value", "cells"), [(255, 3), (65535, 3), (1, 1)])
def test_beside_numbered_masks_255_is_no_number(tmp_path: Path, value: int, cells: int) -> None:
    """Three nuclei, far apart, in a mask of foreground and background; three lobes of the nucleus number 1."""
    image, labels = numbered()
    write(tmp_path / "in/images/0.png", image)
    write(tmp_path / "in/masks/0.png", labels)
    write(tmp_path / "in/images/1.png", image)
    write(tmp_path / "in/masks/1.png", np.where(labels == 9, value, 0).astype(np.uint16))
    prepare([tmp_path / "in"], tmp_path / "out", Options(splits=(1, 0, 0)))
    target = items(tmp_path / "out").set_index("id").loc["in/1", "target"]
    mask = cv2.imread(str(tmp_path / "out" / target), 0)
    assert true_cells(mask, read_nuclei(tmp_path / "out", target)) == cells


def test_what_a_broken_off_prepare_left_is_not_taken_up(tmp_path: Path) -> None:
    image, labels = numbered()
    write(tmp_path / "in/images/0.png", image)
    write(tmp_path / "in/masks/0.png", labels)
    prepare([tmp_path / "in"], tmp_path / "out", Options(splits=(1, 0, 0)))
    (tmp_path / "out/dataset.json").unlink()  # written last
    write(tmp_path / "in/masks/0.png", (labels > 0).astype(np.uint8) * 255)
    prepare([tmp_path / "in"], tmp_path / "out", Options(splits=(1, 0, 0)))
    assert read_nuclei(tmp_path / "out", items(tmp_path / "out")["target"][0]) is None


def test_outlines_of_touching_nuclei_part_the_cytoplasm(tmp_path: Path) -> None:
    image, _labels = numbered()
    write(tmp_path / "in/a.png", image)
    rings = {
        "nucleus": [[24, 24, 55, 56], [55, 24, 86, 56]],
        "cell": [[10, 10, 100, 70]],
    }
    shapes = [
        {"label": name, "shape_type": "rectangle", "points": [[a, b], [c, d]]}
        for name, boxes in rings.items()
        for a, b, c, d in boxes
    ]
    made = {"imagePath": "a.png", "imageHeight": 120, "imageWidth": 160, "shapes": shapes, "version": "5.0.0"}
    (tmp_path / "in/a.json").write_text(json.dumps(made | {"flags": {}, "imageData": None}))
    prepare([tmp_path / "in"], tmp_path / "out", Options(splits=(1, 0, 0)))
    target = items(tmp_path / "out")["target"][0]
    mask, nuclei = cv2.imread(str(tmp_path / "out" / target), 0), read_nuclei(tmp_path / "out", target)
    cells = cells_of(mask, nuclei)
    assert set(np.unique(mask)) == {0, 128, 255}
    assert np.unique(cells).tolist() == [0, 1, 2]
    assert (cells > 0).sum() == (mask > 0).sum() == 90 * 60
    assert {len(np.unique(part)) for part in (cells[10:70, 10:54], cells[10:70, 57:100])} == {1}
    assert cells_of(mask).max() == 1


def test_the_snam_layout_cuts_crops_filled_with_black(tmp_path: Path) -> None:
    image, mask = smear(1, (400, 500), cells=3, radius=30)
    write(tmp_path / "snam/images/a.png", image)
    write(tmp_path / "snam/nuclei/a.png", (mask == 255).astype(np.uint8) * 255)
    prepare([tmp_path / "snam"], tmp_path / "out", Options(splits=(1, 0, 0)))
    table = items(tmp_path / "out")
    assert len(table) == 3
    assert table["group"].nunique() == 1
    for row in table.itertuples():
        crop = cv2.imread(str(tmp_path / "out" / row.image))
        target = cv2.imread(str(tmp_path / "out" / row.target), 0)
        assert crop.shape == (350, 350, 3)
        assert target[175, 175] == 255
        assert nucleus_diameter(target) == pytest.approx(60, abs=3)
    assert centred_crop(np.ones((3, 3), int), (0, 0), 4, 7).tolist() == [
        [7, 7, 7, 7],
        [7, 7, 7, 7],
        [7, 7, 1, 1],
        [7, 7, 1, 1],
    ]


def test_the_raabin_layout_and_bccd(tmp_path: Path) -> None:
    image, mask = smear(2)
    write(tmp_path / "raabin/Original/Lymphocyte/95-5_1.png", image)
    write(tmp_path / "raabin/Ground Truth/Lymphocyte/95-5_1.jpg", mask)
    write(tmp_path / "bccd/images/BloodImage_00001.jpg", image)
    write(tmp_path / "bccd/masks/BloodImage_00001.png", mask)
    prepare([tmp_path / "raabin", tmp_path / "bccd"], tmp_path / "out", Options())
    table = items(tmp_path / "out").set_index("id")
    assert table.loc["raabin/Lymphocyte-95-5_1", "group"] == "raabin/95-5"
    assert table.loc["bccd/BloodImage_00001", "group"] == "bccd/BloodImage_00001"


def test_bad_masks_are_named(tmp_path: Path) -> None:
    image, mask = smear(0)
    write(tmp_path / "size/images/a.png", image)
    write(tmp_path / "size/masks/a.png", mask[:-1])
    with pytest.raises(DatasetError, match=r"a\.png: the mask is 96 x 95 pixels but its image a\.png is 96 x 96"):
        prepare([tmp_path / "size"], tmp_path / "out", Options())
    mask[5, 5] = 37
    write(tmp_path / "values/images/a.png", image)
    write(tmp_path / "values/masks/a.png", mask)
    with pytest.raises(DatasetError, match="holds 37, but declared are 0, 128, 255"):
        prepare([tmp_path / "values"], tmp_path / "out", Options())
    write(tmp_path / "grey/images/a.png", image[..., 0])
    write(tmp_path / "grey/masks/a.png", smear(0)[1])
    with pytest.raises(DatasetError, match="grey"):
        prepare([tmp_path / "grey"], tmp_path / "out", Options())
    write(tmp_path / "alone/images/a.png", image)
    write(tmp_path / "alone/images/b.png", image)
    write(tmp_path / "alone/masks/a.png", smear(0)[1])
    with pytest.raises(DatasetError, match=r"b\.png: there is no mask"):
        prepare([tmp_path / "alone"], tmp_path / "out", Options())
    with pytest.raises(UsageError, match="does not exist"):
        prepare([tmp_path / "nowhere"], tmp_path / "out", Options())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="no known layout"):
        prepare([tmp_path / "empty"], tmp_path / "out", Options())


def test_prepare_is_deterministic(nucleus_source: Path, nucleus_dataset: Path, tmp_path: Path) -> None:
    prepare([nucleus_source], tmp_path / "again", Options(splits=(0.5, 0.25, 0.25), folds=2))
    first, second = ((folder / "dataset.json").read_bytes() for folder in (nucleus_dataset, tmp_path / "again"))
    assert first == second


def test_a_source_held_out_is_all_test(nucleus_source: Path, tmp_path: Path) -> None:
    options = Options(splits=(0.7, 0.3, 0.0), hold_out="generated-dataset2")
    prepare([nucleus_source], tmp_path / "out", options)
    table = items(tmp_path / "out")
    held = table["id"].str.startswith("generated-dataset2/")
    assert held.sum() == 4
    assert (table["split"][held] == "test").all()
    assert set(table["split"][~held]) == {"train", "val"}
    with pytest.raises(UsageError, match="no source elsewhere; there are"):
        prepare([nucleus_source], tmp_path / "b", Options(hold_out="elsewhere"))


@pytest.mark.realdata
def test_the_real_sets(real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "nucleus-seg"
    prepare([folder / "wbc_zheng2018", folder / "bccd"], tmp_path / "out", Options())
    table = items(tmp_path / "out")
    assert len(table) == 440
    assert table["group"].nunique() == 439  # one exact duplicate in dataset1


def test_pictures_known_to_show_one_cell_are_one_group(tmp_path: Path) -> None:
    names = {"bccd": "BloodImage_00038", "bccd247": "BloodImage_00037", "lisc10": "eosi_13"}
    for number, (source, name) in enumerate(names.items()):
        for more, stem in enumerate((name, "eosi_14" if source == "lisc10" else "BloodImage_00001")):
            image, mask = smear(10 * number + more)
            write(tmp_path / source / f"images/{stem}.png", image)
            write(tmp_path / source / f"masks/{stem}.png", mask)
    prepare([tmp_path / name for name in names], tmp_path / "out", Options())
    table = items(tmp_path / "out").set_index("id")
    group = table["group"].to_dict()
    assert group["bccd/BloodImage_00038"] == group["bccd247/BloodImage_00037"]
    assert group["lisc10/eosi_13"] == group["lisc10/eosi_14"]
    assert table["group"].nunique() == 4  # the same file name in another set is another image
    assert table["laboratory"].value_counts().to_dict() == {"bccd": 4, "lisc": 2}
    prepare([tmp_path / "bccd247"], tmp_path / "alone", Options())
    assert set(items(tmp_path / "alone")["group"]) == {"bccd247/BloodImage_00001", "bccd247/BloodImage_00037"}


@pytest.mark.realdata
def test_the_real_smears(real_data: Path, tmp_path: Path) -> None:
    sources = [real_data / "nucleus-seg" / name for name in ("bccd", "bccd247", "lisc10")]
    if not all(source.is_dir() for source in sources):
        pytest.skip("not all of the smears are there")
    prepare(sources, tmp_path / "out", Options())
    info = json.loads((tmp_path / "out" / "dataset.json").read_text())
    assert [(source["format"], source["items"]) for source in info["sources"]] == [
        ("bccd", 120),
        ("bccd", 247),
        ("pairs", 10),
    ]
    assert not any(source["licence"] == "the user's own" for source in info["sources"])
    table = items(tmp_path / "out")
    assert table["group"].nunique() == len(table) - 2
    for target in table["target"]:
        assert set(np.unique(cv2.imread(str(tmp_path / "out" / target), 0))) == {0, 128, 255}
