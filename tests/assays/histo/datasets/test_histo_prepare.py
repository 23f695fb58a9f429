"""`histo prepare`: one prepared dataset of several sources, and what is wrong with a source in one line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn.histo import TYPES, tissue, write_tiles
from drawn.histo_sources import opened, target, write, write_pannuke

from cellscope.assays.histo.datasets.prepare import at_scale, prepare
from cellscope.assays.histo.datasets.sources import FORMATS, Annotated, Choices
from cellscope.assays.histo.options import HistoPrepareOptions as Options
from cellscope.errors import DatasetError, UsageError


def test_png_and_csv_with_an_untyped_source(tmp_path: Path) -> None:
    typed = write_tiles(tmp_path / "consep", 5)
    untyped = write_tiles(tmp_path / "monuseg", 3, typed=False)
    for path in untyped.rglob("tile1.png"):
        path.rename(path.with_name("TCGA-AR-A1AK-01Z-00-DX1.png"))
    prepare([typed, untyped], tmp_path / "out", Options(splits=(0.5, 0.25, 0.25)))
    dataset = opened(tmp_path / "out")
    assert dataset.info["classes"] == list(TYPES)
    assert dataset.info["pixel_size_um"] == 0.25
    assert [source["format"] for source in dataset.info["sources"]] == ["consep", "labels"]
    assert dataset.items.set_index("id").loc["monuseg/TCGA-AR-A1AK-01Z-00-DX1", "group"] == "TCGA-AR-A1AK"
    image, labels, types = tissue(2)
    drawn, found = target(tmp_path / "out", "consep/train_2")
    np.testing.assert_array_equal(drawn, labels)
    assert found == types
    assert target(tmp_path / "out", "monuseg/tile2")[1] is None
    stored = cv2.imread(str(tmp_path / "out/images/consep/train_2.png"))[..., ::-1]
    np.testing.assert_array_equal(stored, image)


def test_the_same_bytes_twice_and_a_hash_over_the_types(tmp_path: Path) -> None:
    source = write_tiles(tmp_path / "consep", 3)
    first, second, third = (tmp_path / name for name in ("a", "b", "c"))
    prepare([source], first, Options())
    prepare([source], second, Options())
    assert opened(first).hash == opened(second).hash
    table = source / "types/train_1.csv"
    table.write_text(table.read_text().replace("1,2", "1,1", 1).replace("1,3", "1,1", 1).replace("1,4", "1,1", 1))
    prepare([source], third, Options())
    assert opened(third).hash != opened(first).hash
    with pytest.raises(UsageError, match="already holds a dataset"):
        prepare([source], first, Options())
    prepare([source], first, Options(overwrite=True))
    assert opened(first).hash == opened(third).hash


def test_another_scale_is_resampled(tmp_path: Path) -> None:
    source = write_tiles(tmp_path / "own", 1, typed=False)
    prepare([source], tmp_path / "out", Options(pixel_size=0.5))
    labels = tissue(1)[1]
    drawn, _ = target(tmp_path / "out", "own/tile1")
    np.testing.assert_array_equal(drawn, np.kron(labels, np.ones((2, 2), int)))
    small = at_scale(
        Annotated(np.zeros((8, 8, 3), np.uint8), np.eye(8, dtype=np.int32) * np.arange(1, 9), {8: "a"}), 0.0625
    )
    assert small.labels.shape == (2, 2)
    assert set(np.unique(small.labels)) == {0, 1, 2}  # two of eight nuclei still have a pixel


def test_two_typed_sources_must_agree(tmp_path: Path) -> None:
    typed = write_tiles(tmp_path / "consep", 2)
    write_pannuke(tmp_path / "pannuke", (1,))
    with pytest.raises(
        DatasetError, match=r"consep has the types other, .* but pannuke has neoplastic, .* prepare them apart"
    ):
        prepare([typed, tmp_path / "pannuke"], tmp_path / "out", Options())
    with pytest.raises(UsageError, match="two sources have the same name"):
        prepare([typed, typed], tmp_path / "out", Options())


def bad(folder: Path, labels: np.ndarray, types: str | None = None) -> Path:
    write(folder / "images/train_1.png", tissue(1)[0])
    write(folder / "instances/train_1.png", labels.astype(np.uint16))
    (folder / "types").mkdir(exist_ok=True)
    (folder / "types/train_1.csv").write_text(types or "id,type\n1,2\n")
    return folder


def test_numbers_that_are_not_unique(tmp_path: Path) -> None:
    labels = np.zeros((160, 160), int)
    labels[10:20, 10:20] = labels[120:130, 140:150] = 1
    labels[60:70, 60:70] = 2
    source = bad(tmp_path / "consep", labels)
    with pytest.raises(
        DatasetError, match=r"number 1 is not unique: its 2 pieces lie far apart \(one at row 120, column 140\)"
    ):
        prepare([source], tmp_path / "out", Options())
    prepare([source], tmp_path / "out", Options(pieces="split"))
    drawn, types = target(tmp_path / "out", "consep/train_1")
    assert drawn[15, 15] == 1
    assert drawn[125, 145] == 3
    assert types == {1: "inflammatory", 3: "inflammatory"}
    labels[120:130, 140:150] = 0
    labels[24:28, 10:20] = 1  # the same nucleus, crossed by another
    prepare([bad(tmp_path / "crossed" / "consep", labels)], tmp_path / "near", Options())
    assert target(tmp_path / "near", "consep/train_1")[0].max() == 2


def test_tables_that_do_not_fit(tmp_path: Path) -> None:
    labels = np.zeros((160, 160), int)
    labels[10:20, 10:20], labels[40:50, 40:50] = 1, 5
    cases = {
        "id,type\n1,9\n5,2\n": r"train_1\.csv: the type 9 is not one of the declared 1 to 4",
        "id,type\n1,2\n5,3\n1,3\n": "nucleus 1 has two types, inflammatory and epithelial",
        "id,type\n1,2\n5,3\n7,3\n": "1 nuclei of the table are not in the label image, 7 the first",
        "id,type\none,2\n": "must hold whole numbers",
        "number,type\n1,2\n": "no column id or label",
    }
    for number, (text, message) in enumerate(cases.items()):
        with pytest.raises(DatasetError, match=message):
            prepare([bad(tmp_path / str(number) / "consep", labels, text)], tmp_path / "out", Options())
    prepare([bad(tmp_path / "gap" / "consep", labels, "id,type\n1,2\n5,3\n")], tmp_path / "out", Options())
    drawn, types = target(tmp_path / "out", "consep/train_1")
    assert types == {1: "inflammatory", 2: "epithelial"}  # numbered 1..N
    assert drawn[45, 45] == 2


def test_label_images_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the label image is 159 x 160 pixels but its image is 160 x 160"):
        prepare([bad(tmp_path / "a" / "consep", np.ones((160, 159)))], tmp_path / "out", Options())
    source = write_tiles(tmp_path / "own", 1, typed=False)
    write(source / "instances/tile1.png", tissue(1)[0])
    with pytest.raises(DatasetError, match="has colours"):
        prepare([source], tmp_path / "out", Options())
    (source / "instances/tile1.png").unlink()
    write(source / "instances/tile1.tif", np.full((160, 160), 0.5, np.float32))
    with pytest.raises(DatasetError, match="labels are fractions"):
        prepare([source], tmp_path / "out", Options())
    write(source / "images/tile2.png", tissue(2)[0])
    with pytest.raises(DatasetError, match=r"tile2\.png: there is no label image for it"):
        prepare([source], tmp_path / "out", Options())
    write(source / "images/tile1.png", tissue(1)[0][..., 0])
    (source / "images/tile2.png").unlink()
    with pytest.raises(DatasetError, match="grey"):
        prepare([source], tmp_path / "out", Options())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="in no known layout"):
        prepare([tmp_path / "empty"], tmp_path / "out", Options())
    with pytest.raises(UsageError, match="unknown format 'consepp'"):
        prepare([source], tmp_path / "out", Options(format="consepp"))
    with pytest.raises(UsageError, match="does not exist"):
        prepare([tmp_path / "nowhere"], tmp_path / "out", Options())


@pytest.mark.realdata
def test_the_real_sets(real_data: Path, tmp_path: Path) -> None:
    found = FORMATS["consep"].read(real_data / "histo/consep", Choices())
    assert len(found.records) == 27
    prepare([real_data / "histo/consep", real_data / "histo/monuseg"], tmp_path / "out", Options())
    sources = opened(tmp_path / "out").info["sources"]
    assert [(s["format"], s["items"], s["nuclei"], s["typed"]) for s in sources] == [
        ("consep", 27, 15555, 15555),
        ("labels", 13, 4949, 0),
    ]


def test_tiles_of_a_patient_stay_together(tmp_path: Path) -> None:
    """Plain label masks say nothing of patients; ``--group-by`` does."""
    source = write_tiles(tmp_path / "own", 6, typed=False)
    for path in (*source.rglob("tile?.png"), *source.rglob("tile?.tif")):
        path.rename(path.with_name(f"P{int(path.stem[4]) % 3}_{path.name}"))
    prepare([source], tmp_path / "out", Options(splits=(0.4, 0.3, 0.3), group_by=r"(P\d)_"))
    items = opened(tmp_path / "out").items
    assert sorted(items["group"].unique()) == ["P0", "P1", "P2"]
    assert (items.groupby("group")["split"].nunique() == 1).all()
    assert items["split"].nunique() == 3
