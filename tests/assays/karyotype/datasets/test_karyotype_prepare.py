"""Preparing: the same bytes every time, groups whole, nothing overwritten unasked."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn.karyotype import karyotype, metaphase, write_adir, write_class_folders, write_coco
from pycocotools import mask as rle

from cellscope.assays.karyotype.datasets.prepare import prepare
from cellscope.errors import DatasetError, UsageError
from cellscope.io.prepared import PreparedDataset, content_hash
from cellscope.io.read import read
from cellscope.options.common import PrepareOptions


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every layout: masks with singles, boxes, class maps, class folders."""
    root = tmp_path_factory.mktemp("sources")
    write_coco(root / "masks", [metaphase(0), metaphase(1, inverted=True), metaphase(2)], singles=2, per_cell=3)
    write_coco(root / "boxes", [metaphase(seed) for seed in (3, 4, 5)], style="boxes", groups=["a", "a", "b"])
    write_adir(root / "maps", [metaphase(6), metaphase(7)])
    write_class_folders(root / "singles", {f"cell{i}": karyotype()[: 4 + i] for i in range(5)})
    return [root / name for name in ("masks", "boxes", "maps", "singles")]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_same_source_and_seed_give_the_same_bytes(sources: list[Path], tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert prepare(sources, tmp_path / name, PrepareOptions(seed=3, folds=3)) == 0
    first, second = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    assert len(first) > 30


def test_another_seed_deals_otherwise_but_keeps_the_files(sources: list[Path], tmp_path: Path) -> None:
    prepare(sources, tmp_path / "one", PrepareOptions(seed=0))
    prepare(sources, tmp_path / "two", PrepareOptions(seed=1))
    first, second = contents(tmp_path / "one"), contents(tmp_path / "two")
    assert {name for name in first if first[name] != second[name]} <= {"items.csv", "dataset.json"}
    splits = [pd.read_csv(tmp_path / name / "items.csv", index_col="id")["split"] for name in ("one", "two")]
    assert not splits[0].equals(splits[1])


def test_a_prepared_dataset_holds_the_contract(sources: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(sources, out, PrepareOptions(folds=2))
    table = pd.read_csv(out / "items.csv", keep_default_na=False, dtype=str)
    assert list(table) == ["id", "split", "fold", "group", "image", "target", "class", "source", "code"]
    assert (table["source"] == table["id"].str.split("/").str[0]).all()
    assert len(table) == 3 + 6 + 3 + 2 + sum(4 + i for i in range(5))
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert (table.groupby("group")["fold"].nunique() == 1).all()
    assert set(table["fold"]) == {"0", "1"}
    assert set(table["split"]) == {"train", "val", "test"}
    assert table.loc[table["id"] == "masks/cell02", "split"].item() == "train"  # of no known patient
    for name in [*table["image"], *table["target"]]:
        assert not name or (out / name).is_file()
    info = json.loads((out / "dataset.json").read_text())
    assert info["schema"] == "cellscope.dataset/1"
    assert info["assay"] == "karyotype"
    assert info["classes"] == [*map(str, range(1, 23)), "X", "Y"]
    assert [source["format"] for source in info["sources"]] == ["bioimlab", "coco", "adir", "folders"]
    assert all(source["licence"] for source in info["sources"])
    assert info["hash"] == content_hash(out, table)
    assert sum(info["counts"].values()) == info["items"] == len(table)


def test_targets_hold_the_masks_and_classes(sources: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(sources[:2], out, PrepareOptions())
    cell = metaphase(1, inverted=True)
    np.testing.assert_array_equal(read(out / "images/masks/cell01.png").pixels[..., 0], cell.pixels)
    target = json.loads((out / "targets/masks/cell01.json").read_text())
    assert (target["height"], target["width"]) == cell.pixels.shape
    for annotation, mask, class_ in zip(target["annotations"], cell.masks, cell.classes, strict=True):
        np.testing.assert_array_equal(rle.decode(annotation["segmentation"]).astype(bool), mask)
        assert annotation["class"] == class_
        assert not annotation["ignore"]
    boxes = json.loads((out / "targets/boxes/cell03.json").read_text())["annotations"]
    assert [annotation["segmentation"] for annotation in boxes] == [None] * 46


def test_an_existing_dataset_is_refused_unless_overwrite(sources: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    prepare(sources[2:3], out, PrepareOptions())
    before = contents(out)
    with pytest.raises(UsageError, match="--overwrite"):
        prepare(sources[3:], out, PrepareOptions())
    assert contents(out) == before
    prepare(sources[3:], out, PrepareOptions(overwrite=True))
    assert not list(out.glob("images/**/*.png"))
    assert PreparedDataset.open(out, assay="karyotype").items["target"].eq("").all()


def test_sources_that_are_no_use(sources: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        prepare([tmp_path / "nowhere"], tmp_path / "out", PrepareOptions())
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "notes.txt").write_text("hello")
    with pytest.raises(DatasetError, match=r"odd .*known layout.*--format"):
        prepare([tmp_path / "odd"], tmp_path / "out", PrepareOptions())
    with pytest.raises(UsageError, match="unknown format 'voc'"):
        prepare(sources[:1], tmp_path / "out", PrepareOptions(format="voc"))
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "masks").symlink_to(sources[0])
    with pytest.raises(UsageError, match="same name"):
        prepare([sources[0], tmp_path / "again" / "masks"], tmp_path / "out", PrepareOptions())
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    write_coco(tmp_path / "src", [metaphase(0)])
    (tmp_path / "src" / "images" / "cell00.png").write_bytes(b"not a picture")
    with pytest.raises(DatasetError, match=r"cell00\.png"):
        prepare([tmp_path / "src"], tmp_path / "out", PrepareOptions())


def test_too_many_folds(sources: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--folds 9"):
        prepare(sources[2:3], tmp_path / "out", PrepareOptions(folds=9))


@pytest.mark.realdata
def test_bioimlab(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "karyotype" / "bioimlab"
    if not (source / "instances.json").is_file():
        pytest.skip("no BioImLab set")
    prepare([source], tmp_path / "out", PrepareOptions())
    table = PreparedDataset.open(tmp_path / "out", assay="karyotype").items
    spreads = table[table["target"] != ""]
    assert len(spreads) == 138
    assert (table.groupby("group")["split"].nunique() == 1).all()
    counts = [len(json.loads((tmp_path / "out" / name).read_text())["annotations"]) for name in spreads["target"]]
    assert sum(counts) == 5680


@pytest.mark.realdata
def test_adir_cells_hold_about_46(real_data: Path) -> None:
    from cellscope.assays.karyotype.datasets.sources import adir

    folder = real_data / "karyotype" / "adir_mfish"
    if not adir.detect(folder):
        pytest.skip("no ADIR set")
    counts = [len(record.instances) for record, _ in zip(adir.read(folder), range(20), strict=False)]
    assert 42 <= np.median(counts) <= 49


@pytest.mark.realdata
def test_real_images_are_read_and_their_polarity_found(real_data: Path) -> None:
    from cellscope.imaging.tone import is_bright_on_dark, to_grey

    found = 0
    for pattern, bright in (
        ("bioimlab/metaphase/*.jpg", True),
        ("adir_mfish/dapi/*.png", True),
        ("tseng2023_gband/images/*.jpg", False),
    ):
        for path in sorted((real_data / "karyotype").glob(pattern))[:10]:
            assert is_bright_on_dark(to_grey(read(path).pixels)) is bright, path.name
            found += 1
    if not found:
        pytest.skip("no karyotype sets")
