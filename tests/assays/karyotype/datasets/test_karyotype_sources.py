"""Readers of public layouts, on files made here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn.karyotype import (
    CLASSES,
    Generated,
    karyotype,
    metaphase,
    rod,
    single,
    write_adir,
    write_class_folders,
    write_clusters,
    write_coco,
    write_karyonet,
)

from cellscope.assays.karyotype.classes import refuse_from_zero
from cellscope.assays.karyotype.datasets.sources import FORMATS, adir, bioimlab, folders
from cellscope.assays.karyotype.datasets.sources.adir import MEGABASES, instances_of
from cellscope.assays.karyotype.datasets.sources.metaphase_record import Instance
from cellscope.errors import DatasetError
from cellscope.io.sources import choose_format


def whole(instance: Instance, shape: tuple[int, int]) -> np.ndarray:
    full = np.zeros(shape, bool)
    x, y = int(np.floor(instance.bbox[0])), int(np.floor(instance.bbox[1]))
    full[y : y + instance.mask.shape[0], x : x + instance.mask.shape[1]] = instance.mask
    return full


# ---- ADIR


def test_overlap_pixels_belong_to_every_chromosome_they_touch() -> None:
    class_map = np.zeros((60, 60), np.uint8)
    first, _ = rod((60, 60), (30, 30), 0.0, 46, 8)
    second, _ = rod((60, 60), (30, 30), np.pi / 2, 40, 8)
    class_map[first], class_map[second], class_map[first & second] = 3, 24, 255
    found = {instance.class_: whole(instance, class_map.shape) for instance in instances_of(class_map)}
    assert set(found) == {"3", "Y"}
    np.testing.assert_array_equal(found["3"], first)
    np.testing.assert_array_equal(found["Y"], second)


def test_two_copies_are_two_instances_and_specks_are_none() -> None:
    class_map = np.zeros((60, 60), np.uint8)
    class_map[5:45, 5:12] = 1
    class_map[5:45, 30:37] = 1
    class_map[50:52, 50:53] = 1
    found = instances_of(class_map)
    assert sorted(instance.bbox for instance in found) == [(5, 5, 7, 40), (30, 5, 7, 40)]


def test_merged_homologues_are_marked_to_be_ignored() -> None:
    class_map = np.zeros((80, 200), np.uint8)
    for place, value in enumerate((1, 4, 8, 12, 16)):
        height = round(MEGABASES[value - 1] / 4)
        class_map[2 : 2 + height, 20 * place : 20 * place + 7] = value
        class_map[2 : 2 + height, 20 * place + 10 : 20 * place + 17] = value
    height = round(MEGABASES[5] / 4)
    class_map[2 : 2 + height, 120:134] = 6  # two sixes side by side, touching
    found = instances_of(class_map)
    assert [instance.class_ for instance in found if instance.ignore] == ["6"]
    assert len(found) == 11


def test_an_overlap_does_not_bridge_pieces_it_does_not_touch() -> None:
    class_map = np.zeros((40, 80), np.uint8)
    class_map[5:35, 5:10] = 2
    class_map[5:35, 40:45] = 2
    class_map[15:20, 60:66] = 255
    assert len(instances_of(class_map)) == 2


def test_adir_folder(tmp_path: Path) -> None:
    cells = [metaphase(0, touching=0), metaphase(1, touching=0, sex="XX")]
    write_adir(tmp_path, cells)
    assert adir.detect(tmp_path)
    records = list(adir.read(tmp_path))
    assert [record.group for record in records] == ["V00", "V01"]
    for record, cell in zip(records, cells, strict=True):
        kept = [instance for instance in record.instances if not instance.ignore]
        assert 44 <= len(record.instances) <= 46  # homologues that cross merge
        assert {instance.class_ for instance in kept} <= set(cell.classes)
        for instance in kept[:8]:
            best = max(
                (whole(instance, cell.pixels.shape) & mask).sum() / (whole(instance, cell.pixels.shape) | mask).sum()
                for mask, class_ in zip(cell.masks, cell.classes, strict=True)
                if class_ == instance.class_
            )
            assert best > 0.95
    (tmp_path / "classmap" / "V0101XY.png").unlink()
    with pytest.raises(DatasetError, match=r"classmap.*V0101XY\.png"):
        list(adir.read(tmp_path))


# ---- COCO


@pytest.mark.parametrize(("style", "least"), [("rle", 1.0), ("polygon", 0.75)])
def test_coco_masks(tmp_path: Path, style: str, least: float) -> None:
    cell = metaphase(2)
    write_coco(tmp_path, [cell], style=style)
    assert FORMATS["coco"].detect(tmp_path)
    (record,) = FORMATS["coco"].read(tmp_path)
    assert [instance.class_ for instance in record.instances] == cell.classes
    for instance, mask, box in zip(record.instances, cell.masks, cell.boxes, strict=True):
        got = whole(instance, cell.pixels.shape)
        assert (got & mask).sum() / (got | mask).sum() >= least
        assert instance.bbox == (box[0], box[1], box[2] - box[0], box[3] - box[1])


def test_coco_boxes_only(tmp_path: Path) -> None:
    write_coco(tmp_path, [metaphase(2)], style="boxes")
    (record,) = FORMATS["coco"].read(tmp_path)
    assert all(instance.mask is None for instance in record.instances)


def test_bioimlab_groups_and_singles(tmp_path: Path) -> None:
    write_coco(tmp_path, [metaphase(seed) for seed in (0, 1, 2)], singles=2, per_cell=5, groups=["p1", "p1", "p2"])
    assert choose_format(tmp_path, None, FORMATS) == "bioimlab"
    records = list(bioimlab.read(tmp_path))
    spreads, singles = records[:3], records[3:]
    assert [record.group for record in spreads] == ["p1", "p1", "p2"]
    assert [record.train_only for record in spreads] == [False, False, True]  # the third is no known patient's
    assert len(singles) == 10
    assert {record.group for record in singles} == {"p1"}
    assert not any(record.train_only for record in singles)
    assert singles[0].class_ == "12"  # in the order of the file names
    assert {record.class_ for record in singles} <= set(CLASSES)
    assert len({record.name for record in records}) == 13
    lone = tmp_path / "single" / "77"
    lone.mkdir()
    cv2.imwrite(str(lone / "77 23.bmp"), single("X"))
    (extra,) = [record for record in bioimlab.read(tmp_path) if record.group == "cell77"]
    assert extra.class_ == "X"
    assert extra.train_only
    cv2.imwrite(str(lone / "77 zz.bmp"), single("X"))
    with pytest.raises(DatasetError, match=r"77 zz\.bmp"):
        list(bioimlab.read(tmp_path))


def test_coco_with_a_missing_image(tmp_path: Path) -> None:
    write_coco(tmp_path, [metaphase(0)])
    (tmp_path / "images" / "cell00.png").unlink()
    with pytest.raises(DatasetError, match=r"cell00\.png"):
        list(FORMATS["coco"].read(tmp_path))


def test_a_json_that_is_not_coco_is_no_coco_folder(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2]")
    (tmp_path / "b.json").write_text("{broken")
    assert not FORMATS["coco"].detect(tmp_path)


# ---- class folders


def test_class_folders_group_by_cell_and_culture(tmp_path: Path) -> None:
    write_class_folders(tmp_path, {"97002128.7": ["1", "X"], "97002128.9": ["2"], "other": ["Y"]})
    assert folders.detect(tmp_path)
    records = list(folders.read(tmp_path))
    assert sorted((record.group, record.class_) for record in records) == [
        ("97002128", "1"),
        ("97002128", "2"),
        ("97002128", "X"),
        ("other", "Y"),
    ]
    assert len({record.name for record in records}) == 4


def test_class_folders_without_cells_group_by_file_name(tmp_path: Path) -> None:
    for name in ("cellA_1.png", "cellA_2.png", "cellB_1.png"):
        (tmp_path / "7").mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / "7" / name), single("7"))
    assert [record.group for record in folders.read(tmp_path)] == ["cellA", "cellA", "cellB"]


def test_other_folders_are_not_class_folders(tmp_path: Path) -> None:
    assert not folders.detect(tmp_path)
    (tmp_path / "holiday").mkdir()
    cv2.imwrite(str(tmp_path / "holiday" / "a.png"), single("7"))
    assert not folders.detect(tmp_path)


def test_each_layout_is_told_from_the_others(tmp_path: Path) -> None:
    write_coco(tmp_path / "coco", [metaphase(0)])
    write_coco(tmp_path / "bioimlab", [metaphase(0)], singles=1, per_cell=2)
    write_adir(tmp_path / "adir", [metaphase(0)])
    write_class_folders(tmp_path / "folders", {"a": karyotype()[:4]})
    write_karyonet(tmp_path / "karyonet")
    write_clusters(tmp_path / "clusters")
    for name in ("coco", "bioimlab", "adir", "folders", "karyonet", "clusters"):
        assert next(key for key, reader in FORMATS.items() if reader.detect(tmp_path / name)) == name


def test_generated_metaphases_are_what_they_claim() -> None:
    cell: Generated = metaphase(0, crossing=2, touching=0)
    assert len(cell.masks) == len(cell.classes) == 46
    together = np.sum(cell.masks, axis=0)
    assert (together > 1).sum() > 20
    assert (metaphase(0, crossing=0, touching=0).masks[0] & metaphase(0, crossing=0, touching=0).masks[1]).sum() == 0


@pytest.mark.parametrize("prefix", ["", "chr", "class_"])
def test_numbers_from_0_are_no_chromosomes(prefix):
    with pytest.raises(DatasetError, match="numbers from 0, so that 1 would be chromosome 2"):
        refuse_from_zero([f"{prefix}{number}" for number in range(24)], "coco.json")
    refuse_from_zero([f"{prefix}{number}" for number in range(25)], "coco.json")  # 0 is what is unknown
    refuse_from_zero([f"{prefix}{name}" for name in ("0", "1", "2", "X", "Y")], "coco.json")
    refuse_from_zero([f"{prefix}{number}" for number in range(1, 24)], "coco.json")
