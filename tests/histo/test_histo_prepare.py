"""`histo prepare`: every layout in, one prepared dataset out, and what is wrong with a source in one line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from pycocotools import mask as rle
from scipy.io import savemat
from synthetic_tissue import TYPES, tissue, write_tiles

from cellscope.assays.histo.prepare import at_scale, prepare
from cellscope.assays.histo.sources import FORMATS, Annotated, Choices
from cellscope.assays.histo.sources.mat import ALL, MERGES
from cellscope.assays.histo.sources.pannuke import TYPES as PANNUKE
from cellscope.errors import DatasetError, UsageError
from cellscope.imaging.polygons import collection, feature, outlines
from cellscope.io.prepared import PreparedDataset


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack")
    else:
        cv2.imwrite(str(path), pixels[..., ::-1] if pixels.ndim == 3 else pixels)


def opened(out: Path) -> PreparedDataset:
    return PreparedDataset.open(out, assay="histo")


def target(out: Path, name: str) -> tuple[np.ndarray, dict[int, str] | None]:
    """Read an item's labels and types."""
    row = opened(out).items.set_index("id").loc[name]
    path = out / row["target"]
    table = path.with_suffix(".csv")
    types = None
    if table.exists():
        rows = pd.read_csv(table, dtype={"class": str})
        types = dict(zip(rows["id"].tolist(), rows["class"].tolist(), strict=True))
    return tifffile.imread(path), types


def types_at(labels: np.ndarray, types: dict[int, str], where: np.ndarray, expected: dict[int, str]) -> None:
    """Check that every nucleus of `where` lies under one label, of the type expected."""
    for number, type_ in expected.items():
        (found,) = np.unique(labels[where == number])
        assert types[int(found)] == type_


def test_png_and_csv_with_an_untyped_source(tmp_path: Path) -> None:
    typed = write_tiles(tmp_path / "consep", 5)
    untyped = write_tiles(tmp_path / "monuseg", 3, typed=False)
    for path in untyped.rglob("tile1.png"):
        path.rename(path.with_name("TCGA-AR-A1AK-01Z-00-DX1.png"))
    prepare([typed, untyped], tmp_path / "out", splits=(0.5, 0.25, 0.25))
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
    prepare([source], first)
    prepare([source], second)
    assert opened(first).hash == opened(second).hash
    table = source / "types/train_1.csv"
    table.write_text(table.read_text().replace("1,2", "1,1", 1).replace("1,3", "1,1", 1).replace("1,4", "1,1", 1))
    prepare([source], third)
    assert opened(third).hash != opened(first).hash
    with pytest.raises(UsageError, match="already holds a dataset"):
        prepare([source], first)
    prepare([source], first, overwrite=True)
    assert opened(first).hash == opened(third).hash


@pytest.mark.parametrize("merge", ["hovernet", "paper", "all"])
def test_matlab_labels_with_seven_types(tmp_path: Path, merge: str) -> None:
    image, labels, _ = tissue(0)
    count = int(labels.max())
    codes = np.arange(count) % 7 + 1
    for part, name in (("Train", "train_1"), ("Test", "test_1")):
        write(tmp_path / f"CoNSeP/{part}/Images/{name}.png", image)
        (tmp_path / f"CoNSeP/{part}/Labels").mkdir()
        content = {"inst_map": labels.astype(float), "inst_type": codes[:, None].astype(float)}
        if part == "Test":  # the same by the map of types
            content = {"inst_map": labels.astype(float), "type_map": np.append(0, codes)[labels].astype(float)}
        savemat(tmp_path / f"CoNSeP/{part}/Labels/{name}.mat", content)
    prepare([tmp_path / "CoNSeP"], tmp_path / "out", types=merge)
    dataset = opened(tmp_path / "out")
    assert dataset.info["sources"][0]["format"] == "mat"
    assert dataset.info["classes"] == list(dict.fromkeys(MERGES[merge]))
    assert dataset.items.set_index("id")["split"].to_dict() == {
        "CoNSeP/test-test_1": "test",
        "CoNSeP/train-train_1": "train",
    }
    for name in dataset.items["id"]:
        drawn, types = target(tmp_path / "out", name)
        np.testing.assert_array_equal(drawn, labels)
        assert types == {number: MERGES[merge][code - 1] for number, code in enumerate(codes, 1)}


def test_the_merges_are_the_published_ones() -> None:
    assert dict(zip(ALL, MERGES["hovernet"], strict=True)) == {
        "other": "other",
        "inflammatory": "inflammatory",
        "normal_epithelial": "epithelial",
        "malignant_epithelial": "epithelial",
        "fibroblast": "spindle",
        "muscle": "spindle",
        "endothelial": "spindle",
    }
    assert MERGES["paper"][2:5] == ("normal_epithelial", "malignant_epithelial", "spindle")


def test_matlab_labels_without_types(tmp_path: Path) -> None:
    image, labels, _ = tissue(1)
    for name in ("train/Images/TCGA-AR-A1AK-01Z-00-DX1.tif", "test_same/Images/b.tif", "test_diff/Images/c.tif"):
        write(tmp_path / "kumar" / name, image)
        mat = tmp_path / "kumar" / name.replace("Images", "Labels").replace(".tif", ".mat")
        mat.parent.mkdir(parents=True)
        savemat(mat, {"inst_map": labels})
    prepare([tmp_path / "kumar"], tmp_path / "out")
    items = opened(tmp_path / "out").items.set_index("id")
    assert items["split"].to_dict() == {
        "kumar/train-TCGA-AR-A1AK-01Z-00-DX1": "train",
        "kumar/test_same-b": "test",
        "kumar/test_diff-c": "test",
    }
    assert opened(tmp_path / "out").info["classes"] == ["nucleus"]
    assert target(tmp_path / "out", "kumar/test_same-b")[1] is None


def write_pannuke(folder: Path, folds: tuple[int, ...] = (1, 2, 3)) -> list[tuple[np.ndarray, np.ndarray, dict]]:
    """Two patches per fold; numbers start anew in every channel, as a nucleus of PanNuke's masks may."""
    tiles = []
    for fold in folds:
        images, masks = np.zeros((2, 64, 64, 3)), np.zeros((2, 64, 64, 6))
        for number in range(2):
            image, labels, types = tissue(10 * fold + number, 64, nuclei=8, types=("inflammatory", "epithelial"))
            images[number] = image
            masks[number, ..., 5] = labels == 0
            for channel, name in enumerate(PANNUKE):
                own = np.isin(labels, [label for label, type_ in types.items() if type_ == name])
                masks[number, ..., channel] = np.where(own, labels + 100, 0)
            tiles.append((image, labels, types))
        base = folder / f"Fold {fold}"
        for part, array in (
            ("images/images", images),
            ("masks/masks", masks),
            ("images/types", np.array(["Breast", "Colon"])),
        ):
            path = base / part.replace("/", f"/fold{fold}/")
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path.with_suffix(".npy"), array)
    return tiles


def test_pannuke_keeps_its_folds(tmp_path: Path) -> None:
    tiles = write_pannuke(tmp_path / "pannuke")
    prepare([tmp_path / "pannuke"], tmp_path / "out")
    dataset = opened(tmp_path / "out")
    assert dataset.info["classes"] == list(PANNUKE)
    assert dataset.info["folds"] == 3
    assert dataset.info["tissues"]["pannuke/fold2-0001"] == "Colon"
    assert dataset.items["fold"].tolist() == ["0", "0", "1", "1", "2", "2"]
    assert dataset.items["split"].tolist() == ["train", "train", "val", "val", "test", "test"]
    for name, (_, labels, expected) in zip(dataset.items["id"], tiles, strict=True):
        drawn, types = target(tmp_path / "out", name)
        assert types is not None
        np.testing.assert_array_equal(drawn > 0, labels > 0)
        assert drawn.max() == labels.max() == len(types)
        types_at(drawn, types, labels, expected)
    with pytest.raises(UsageError, match="--folds 2: a source comes in 3 folds"):
        prepare([tmp_path / "pannuke"], tmp_path / "two", folds=2)


def test_pannuke_that_does_not_fit(tmp_path: Path) -> None:
    write_pannuke(tmp_path / "two", (1, 3))
    with pytest.raises(DatasetError, match="folds 1, 3; all are needed"):
        prepare([tmp_path / "two"], tmp_path / "out")
    write_pannuke(tmp_path / "pannuke")
    masks = tmp_path / "pannuke/Fold 2/masks/fold2/masks.npy"
    np.save(masks, np.zeros((2, 64, 64, 5)))
    with pytest.raises(DatasetError, match=r"masks of shape \(2, 64, 64, 5\) do not fit"):
        prepare([tmp_path / "pannuke"], tmp_path / "out")
    np.save(masks, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match="cannot be read as a NumPy array"):
        prepare([tmp_path / "pannuke"], tmp_path / "out")
    masks.unlink()
    with pytest.raises(DatasetError, match=r"fold 2 has no masks\.npy"):
        prepare([tmp_path / "pannuke"], tmp_path / "out")


XML = (
    """<Annotations MicronsPerPixel="{um}"><Annotation Id="1"><Regions>{regions}</Regions></Annotation></Annotations>"""
)


def region(*points: tuple[float, float]) -> str:
    vertices = "".join(f'<Vertex X="{x}" Y="{y}"/>' for x, y in points)
    return f"<Region><Vertices>{vertices}</Vertices></Region>"


def test_aperio_xml(tmp_path: Path) -> None:
    image, _, _ = tissue(3)
    first, second = region((10, 10), (30, 10), (30, 30), (10, 30)), region((25, 25), (50, 25), (50, 50), (25, 50))
    name = "TCGA-B0-5698-01Z-00-DX1"
    write(tmp_path / f"MoNuSeg/Tissue Images/{name}.tif", image)
    xml = tmp_path / f"MoNuSeg/Annotations/{name}.xml"
    xml.parent.mkdir()
    xml.write_text(XML.format(um="0.252", regions=first + second + region((1, 1))))
    prepare([tmp_path / "MoNuSeg"], tmp_path / "out")
    drawn, types = target(tmp_path / "out", f"MoNuSeg/{name}")
    assert types is None
    assert drawn.shape == image.shape[:2]  # 0.252 um is 40x
    expected = np.zeros(drawn.shape, int)
    expected[25:50, 25:50] = 2
    expected[10:30, 10:30] = 1  # the first in the file is on top
    np.testing.assert_array_equal(drawn, expected)
    xml.write_text(XML.format(um="0.5", regions=first))
    prepare([tmp_path / "MoNuSeg"], tmp_path / "half")
    assert target(tmp_path / "half", f"MoNuSeg/{name}")[0].shape == (320, 320)
    xml.write_text(XML.format(um="0.25", regions=region((500, 10), (530, 10), (530, 30))))
    with pytest.raises(DatasetError, match="1 outlines lie outside"):
        prepare([tmp_path / "MoNuSeg"], tmp_path / "bad")
    xml.write_text("<Annotations ")
    with pytest.raises(DatasetError, match="cannot be parsed"):
        prepare([tmp_path / "MoNuSeg"], tmp_path / "bad")


def write_coco(folder: Path, **changes: object) -> tuple[np.ndarray, dict[int, str]]:
    image, labels, types = tissue(4)
    write(folder / "images/a.png", image)
    annotations = []
    for number, type_ in types.items():
        coded = rle.encode(np.asfortranarray((labels == number).astype(np.uint8)))
        annotations.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": TYPES.index(type_) + 1,
                "segmentation": {"size": coded["size"], "counts": coded["counts"].decode()},
                "bbox": [0, 0, 1, 1],
            }
        )
    content = {
        "images": [{"id": 1, "file_name": "a.png", "height": 160, "width": 160, "case": "p7"}],
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for number, name in enumerate(TYPES, 1)],
    }
    (folder / "annotations.json").write_text(json.dumps(content | changes))
    return labels, types


def test_coco(tmp_path: Path) -> None:
    labels, types = write_coco(tmp_path / "coco")
    prepare([tmp_path / "coco"], tmp_path / "out")
    drawn, found = target(tmp_path / "out", "coco/a")
    np.testing.assert_array_equal(drawn, labels)
    assert found == types
    assert opened(tmp_path / "out").items["group"].tolist() == ["coco/p7"]
    assert opened(tmp_path / "out").info["classes"] == [name for name in TYPES if name in types.values()]
    prepare([tmp_path / "coco"], tmp_path / "all", classes=TYPES)
    assert opened(tmp_path / "all").info["classes"] == list(TYPES)
    with pytest.raises(DatasetError, match="is not among --classes round"):
        prepare([tmp_path / "coco"], tmp_path / "bad", classes=("round",))
    write_coco(tmp_path / "stray", categories=[{"id": 2, "name": "inflammatory"}])
    with pytest.raises(DatasetError, match=r"has the category [34], but declared are 2"):
        prepare([tmp_path / "stray"], tmp_path / "bad")
    write_coco(tmp_path / "boxes", annotations=[{"id": 9, "image_id": 1, "category_id": 2, "bbox": [0, 0, 5, 5]}])
    with pytest.raises(DatasetError, match="annotation 9 has no outline"):
        prepare([tmp_path / "boxes"], tmp_path / "bad")


def test_label_tiff_with_a_table_of_classes(tmp_path: Path) -> None:
    image, labels, types = tissue(5)
    write(tmp_path / "own/case1.tif", image)
    write(tmp_path / "own/case1_labels.tif", labels.astype(np.uint32))
    known = {label: type_ for label, type_ in types.items() if label != 2}
    rows = "\n".join(f"{label},{type_}" for label, type_ in known.items())
    (tmp_path / "own/case1.csv").write_text(f"label,class\n{rows}\n2,\n")
    prepare([tmp_path / "own"], tmp_path / "out")
    drawn, found = target(tmp_path / "out", "own/case1")
    np.testing.assert_array_equal(drawn, labels)
    assert found == known  # nucleus 2 is of unknown type
    assert opened(tmp_path / "out").info["classes"] == sorted(set(known.values()))


def test_types_by_number_need_names(tmp_path: Path) -> None:
    source = write_tiles(tmp_path / "own", 2)
    for path in source.rglob("train_*"):
        path.rename(path.with_name(path.name.replace("train_", "slide")))
    with pytest.raises(UsageError, match="types are numbers; name them in their order with --classes"):
        prepare([source], tmp_path / "out")
    prepare([source], tmp_path / "out", classes=("a", "b", "c", "d"))
    assert opened(tmp_path / "out").info["classes"] == ["a", "b", "c", "d"]
    with pytest.raises(DatasetError, match=r"the type [34] is none of the declared 1 to 2 \(a, b\)"):
        prepare([source], tmp_path / "bad", classes=("a", "b"))


def test_qupath_geojson_of_what_predict_writes(tmp_path: Path) -> None:
    image, labels, types = tissue(6)
    write(tmp_path / "qupath/images/a.tif", image)
    shapes = outlines(labels)
    found = [
        feature(shapes[label], image="a", label=label, classification=type_, colour=(1, 2, 3), measurements={})
        for label, type_ in types.items()
    ]
    del found[0]["properties"]["classification"]
    square = {"type": "Polygon", "coordinates": [[[0, 0], [159, 0], [159, 159], [0, 159], [0, 0]]]}
    area = {"type": "Feature", "geometry": square, "properties": {"objectType": "annotation"}}
    (tmp_path / "qupath/images/a.geojson").write_text(json.dumps(collection([area, *found])))
    prepare([tmp_path / "qupath"], tmp_path / "out")
    drawn, known = target(tmp_path / "out", "qupath/a")
    np.testing.assert_array_equal(drawn, labels)
    assert known == {label: type_ for label, type_ in types.items() if label != 1}
    line = {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "properties": {}}
    (tmp_path / "qupath/images/a.geojson").write_text(json.dumps([line]))
    with pytest.raises(DatasetError, match="object 1: a LineString has no area"):
        prepare([tmp_path / "qupath"], tmp_path / "bad")
    (tmp_path / "qupath/images/a.geojson").write_text("[1, 2")
    with pytest.raises(DatasetError, match="cannot be read as GeoJSON"):
        prepare([tmp_path / "qupath"], tmp_path / "bad")


def test_a_qupath_cell_gives_its_nucleus(tmp_path: Path) -> None:
    cell = {"type": "Polygon", "coordinates": [[[5, 5], [25, 5], [25, 25], [5, 25], [5, 5]]]}
    nucleus = {"type": "Polygon", "coordinates": [[[10, 10], [14, 10], [14, 13], [10, 13], [10, 10]]]}
    one = {
        "type": "Feature",
        "geometry": cell,
        "nucleusGeometry": nucleus,
        "properties": {"objectType": "cell", "classification": {"names": ["Tumor", "Positive"]}},
    }
    write(tmp_path / "qupath/a.png", tissue(0)[0])
    (tmp_path / "qupath/a.geojson").write_text(json.dumps([one]))
    prepare([tmp_path / "qupath"], tmp_path / "out")
    drawn, types = target(tmp_path / "out", "qupath/a")
    assert (drawn > 0).sum() == 12
    assert (drawn[10:13, 10:14] == 1).all()
    assert types == {1: "Tumor: Positive"}


def test_another_scale_is_resampled(tmp_path: Path) -> None:
    source = write_tiles(tmp_path / "own", 1, typed=False)
    prepare([source], tmp_path / "out", pixel_size=0.5)
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
        prepare([typed, tmp_path / "pannuke"], tmp_path / "out")
    with pytest.raises(UsageError, match="two sources have the same name"):
        prepare([typed, typed], tmp_path / "out")


def bad(folder: Path, labels: np.ndarray, types: str | None = None) -> Path:
    write(folder / "images/train_1.png", tissue(1)[0])
    write(folder / "instances/train_1.png", labels.astype(np.uint16))
    (folder / "types").mkdir(exist_ok=True)
    (folder / "types/train_1.csv").write_text(types or "id,type\n1,2\n")
    return folder


def test_numbers_that_are_not_unique(tmp_path: Path) -> None:
    labels = np.zeros((160, 160), int)
    labels[10:20, 10:20] = labels[120:130, 140:150] = 1
    source = bad(tmp_path / "consep", labels)
    with pytest.raises(
        DatasetError, match=r"number 1 is not unique: its 2 pieces lie far apart \(one at row 120, column 140\)"
    ):
        prepare([source], tmp_path / "out")
    prepare([source], tmp_path / "out", pieces="split")
    drawn, types = target(tmp_path / "out", "consep/train_1")
    assert drawn[15, 15] == 1
    assert drawn[125, 145] == 2
    assert types == {1: "inflammatory", 2: "inflammatory"}
    labels[120:130, 140:150] = 0
    labels[24:28, 10:20] = 1  # the same nucleus, crossed by another
    prepare([bad(tmp_path / "crossed" / "consep", labels)], tmp_path / "near")
    assert target(tmp_path / "near", "consep/train_1")[0].max() == 1


def test_tables_that_do_not_fit(tmp_path: Path) -> None:
    labels = np.zeros((160, 160), int)
    labels[10:20, 10:20], labels[40:50, 40:50] = 1, 5
    cases = {
        "id,type\n1,9\n5,2\n": r"train_1\.csv: the type 9 is none of the declared 1 to 4",
        "id,type\n1,2\n5,3\n1,3\n": "nucleus 1 has two types, inflammatory and epithelial",
        "id,type\n1,2\n5,3\n7,3\n": "1 nuclei of the table are not in the label image, 7 the first",
        "id,type\none,2\n": "must hold whole numbers",
        "number,type\n1,2\n": "no column id or label",
    }
    for number, (text, message) in enumerate(cases.items()):
        with pytest.raises(DatasetError, match=message):
            prepare([bad(tmp_path / str(number) / "consep", labels, text)], tmp_path / "out")
    prepare([bad(tmp_path / "gap" / "consep", labels, "id,type\n1,2\n5,3\n")], tmp_path / "out")
    drawn, types = target(tmp_path / "out", "consep/train_1")
    assert types == {1: "inflammatory", 2: "epithelial"}  # numbered 1..N
    assert drawn[45, 45] == 2


def test_label_images_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="the label image is 159 x 160 pixels but its image is 160 x 160"):
        prepare([bad(tmp_path / "a" / "consep", np.ones((160, 159)))], tmp_path / "out")
    source = write_tiles(tmp_path / "own", 1, typed=False)
    write(source / "instances/tile1.png", tissue(1)[0])
    with pytest.raises(DatasetError, match="has colours"):
        prepare([source], tmp_path / "out")
    (source / "instances/tile1.png").unlink()
    write(source / "instances/tile1.tif", np.full((160, 160), 0.5, np.float32))
    with pytest.raises(DatasetError, match="labels are fractions"):
        prepare([source], tmp_path / "out")
    write(source / "images/tile2.png", tissue(2)[0])
    with pytest.raises(DatasetError, match=r"tile2\.png: there is no label image for it"):
        prepare([source], tmp_path / "out")
    write(source / "images/tile1.png", tissue(1)[0][..., 0])
    (source / "images/tile2.png").unlink()
    with pytest.raises(DatasetError, match="grey"):
        prepare([source], tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="in no known layout"):
        prepare([tmp_path / "empty"], tmp_path / "out")
    with pytest.raises(UsageError, match="unknown format 'consepp'"):
        prepare([source], tmp_path / "out", format="consepp")
    with pytest.raises(UsageError, match="does not exist"):
        prepare([tmp_path / "nowhere"], tmp_path / "out")


def test_matlab_files_that_cannot_be_used(tmp_path: Path) -> None:
    image, labels, _ = tissue(1)
    write(tmp_path / "set/Images/a.png", image)
    mat = tmp_path / "set/Labels/a.mat"
    mat.parent.mkdir()
    numbers = np.arange(1, labels.max() + 1)
    two = np.where(labels == 1, np.arange(160) % 2 + 1, labels > 0)
    contents = {
        "has no inst_map; it holds other": {"other": labels},
        "inst_type has 1 entries but inst_map holds": {"inst_map": labels, "inst_type": np.ones((1, 1))},
        "the type 8 is none of the declared 1 to 7": {"inst_map": labels, "inst_type": np.where(numbers == 2, 8, 1)},
        "nucleus 1 has two types, 1 and 2": {"inst_map": labels, "type_map": two},
        "type_map is of shape": {"inst_map": labels, "type_map": two[1:]},
    }
    for message, content in contents.items():
        savemat(mat, content)
        with pytest.raises(DatasetError, match=message):
            prepare([tmp_path / "set"], tmp_path / "out")
    mat.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(600))
    with pytest.raises(DatasetError, match=r"version 7\.3, which is not read; save it again"):
        prepare([tmp_path / "set"], tmp_path / "out")
    mat.write_bytes(b"nothing of the kind")
    with pytest.raises(DatasetError, match="cannot be read as a MATLAB file"):
        prepare([tmp_path / "set"], tmp_path / "out")
    mat.unlink()
    savemat(mat.with_name("b.mat"), {"inst_map": labels})
    with pytest.raises(DatasetError, match=r"there is no label file a\.mat"):
        prepare([tmp_path / "set"], tmp_path / "out")


@pytest.mark.realdata
def test_the_real_sets(real_data: Path, tmp_path: Path) -> None:
    found = FORMATS["consep"].read(real_data / "histo/consep", Choices())
    assert len(found.records) == 27
    prepare([real_data / "histo/consep", real_data / "histo/monuseg"], tmp_path / "out")
    sources = opened(tmp_path / "out").info["sources"]
    assert [(s["format"], s["items"], s["nuclei"], s["typed"]) for s in sources] == [
        ("consep", 27, 15555, 15555),
        ("labels", 13, 4949, 0),
    ]
