"""`histo prepare`: every layout, well-formed and not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn.histo import TYPES, tissue, write_tiles
from drawn.histo_sources import opened, target, write, write_pannuke
from pycocotools import mask as rle
from scipy.io import savemat

from cellscope.assays.histo.datasets.prepare import prepare
from cellscope.assays.histo.datasets.sources.mat import ALL, MERGES
from cellscope.assays.histo.datasets.sources.pannuke import TYPES as PANNUKE
from cellscope.assays.histo.options import HistoPrepareOptions as Options
from cellscope.errors import DatasetError, UsageError
from cellscope.imaging.polygons import collection, feature, outlines


def types_at(labels: np.ndarray, types: dict[int, str], where: np.ndarray, expected: dict[int, str]) -> None:
    """Check that every nucleus of `where` lies under one label, of the type expected."""
    for number, type_ in expected.items():
        (found,) = np.unique(labels[where == number])
        assert types[int(found)] == type_


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
    prepare([tmp_path / "CoNSeP"], tmp_path / "out", Options(types=merge))
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
    prepare([tmp_path / "kumar"], tmp_path / "out", Options())
    items = opened(tmp_path / "out").items.set_index("id")
    assert items["split"].to_dict() == {
        "kumar/train-TCGA-AR-A1AK-01Z-00-DX1": "train",
        "kumar/test_same-b": "test",
        "kumar/test_diff-c": "test",
    }
    assert opened(tmp_path / "out").info["classes"] == ["nucleus"]
    assert target(tmp_path / "out", "kumar/test_same-b")[1] is None


def test_pannuke_keeps_its_folds(tmp_path: Path) -> None:
    tiles = write_pannuke(tmp_path / "pannuke")
    prepare([tmp_path / "pannuke"], tmp_path / "out", Options())
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
        prepare([tmp_path / "pannuke"], tmp_path / "two", Options(folds=2))


def test_pannuke_that_does_not_fit(tmp_path: Path) -> None:
    write_pannuke(tmp_path / "two", (1, 3))
    with pytest.raises(DatasetError, match="folds 1, 3; all are needed"):
        prepare([tmp_path / "two"], tmp_path / "out", Options())
    write_pannuke(tmp_path / "pannuke")
    masks = tmp_path / "pannuke/Fold 2/masks/fold2/masks.npy"
    np.save(masks, np.zeros((2, 64, 64, 5)))
    with pytest.raises(DatasetError, match=r"masks of shape \(2, 64, 64, 5\) do not fit"):
        prepare([tmp_path / "pannuke"], tmp_path / "out", Options())
    np.save(masks, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DatasetError, match="cannot be read as a NumPy array"):
        prepare([tmp_path / "pannuke"], tmp_path / "out", Options())
    masks.unlink()
    with pytest.raises(DatasetError, match=r"fold 2 has no masks\.npy"):
        prepare([tmp_path / "pannuke"], tmp_path / "out", Options())


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
    prepare([tmp_path / "MoNuSeg"], tmp_path / "out", Options())
    drawn, types = target(tmp_path / "out", f"MoNuSeg/{name}")
    assert types is None
    assert drawn.shape == image.shape[:2]  # 0.252 um is 40x
    expected = np.zeros(drawn.shape, int)
    expected[25:50, 25:50] = 2
    expected[10:30, 10:30] = 1  # the first in the file is on top
    np.testing.assert_array_equal(drawn, expected)
    xml.write_text(XML.format(um="0.5", regions=first))
    prepare([tmp_path / "MoNuSeg"], tmp_path / "half", Options())
    assert target(tmp_path / "half", f"MoNuSeg/{name}")[0].shape == (320, 320)
    xml.write_text(XML.format(um="0.25", regions=region((500, 10), (530, 10), (530, 30))))
    with pytest.raises(DatasetError, match=r"region 1 lies outside the image .* another magnification"):
        prepare([tmp_path / "MoNuSeg"], tmp_path / "bad", Options())
    xml.write_text("<Annotations ")
    with pytest.raises(DatasetError, match="cannot be parsed"):
        prepare([tmp_path / "MoNuSeg"], tmp_path / "bad", Options())


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
    prepare([tmp_path / "coco"], tmp_path / "out", Options())
    drawn, found = target(tmp_path / "out", "coco/a")
    np.testing.assert_array_equal(drawn, labels)
    assert found == types
    assert opened(tmp_path / "out").items["group"].tolist() == ["coco/p7"]
    assert opened(tmp_path / "out").info["classes"] == [name for name in TYPES if name in types.values()]
    prepare([tmp_path / "coco"], tmp_path / "all", Options(classes=TYPES))
    assert opened(tmp_path / "all").info["classes"] == list(TYPES)
    with pytest.raises(DatasetError, match="is not among --classes round"):
        prepare([tmp_path / "coco"], tmp_path / "bad", Options(classes=("round",)))
    write_coco(tmp_path / "stray", categories=[{"id": 2, "name": "inflammatory"}])
    with pytest.raises(DatasetError, match=r"has the category [34], but declared are 2"):
        prepare([tmp_path / "stray"], tmp_path / "bad", Options())
    write_coco(tmp_path / "boxes", annotations=[{"id": 9, "image_id": 1, "category_id": 2, "bbox": [0, 0, 5, 5]}])
    with pytest.raises(DatasetError, match="annotation 9 has no outline"):
        prepare([tmp_path / "boxes"], tmp_path / "bad", Options())


def test_label_tiff_with_a_table_of_classes(tmp_path: Path) -> None:
    image, labels, types = tissue(5)
    write(tmp_path / "own/case1.tif", image)
    write(tmp_path / "own/case1_labels.tif", labels.astype(np.uint32))
    known = {label: type_ for label, type_ in types.items() if label != 2}
    rows = "\n".join(f"{label},{type_}" for label, type_ in known.items())
    (tmp_path / "own/case1.csv").write_text(f"label,class\n{rows}\n2,\n")
    prepare([tmp_path / "own"], tmp_path / "out", Options())
    drawn, found = target(tmp_path / "out", "own/case1")
    np.testing.assert_array_equal(drawn, labels)
    assert found == known  # nucleus 2 is of unknown type
    assert opened(tmp_path / "out").info["classes"] == sorted(set(known.values()))


def test_types_by_number_need_names(tmp_path: Path) -> None:
    source = write_tiles(tmp_path / "own", 2)
    for path in source.rglob("train_*"):
        path.rename(path.with_name(path.name.replace("train_", "slide")))
    with pytest.raises(UsageError, match="types are numbers; name them in their order with --classes"):
        prepare([source], tmp_path / "out", Options())
    prepare([source], tmp_path / "out", Options(classes=("a", "b", "c", "d")))
    assert opened(tmp_path / "out").info["classes"] == ["a", "b", "c", "d"]
    with pytest.raises(DatasetError, match=r"the type [34] is not one of the declared 1 to 2 \(a, b\)"):
        prepare([source], tmp_path / "bad", Options(classes=("a", "b")))


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
    prepare([tmp_path / "qupath"], tmp_path / "out", Options())
    drawn, known = target(tmp_path / "out", "qupath/a")
    np.testing.assert_array_equal(drawn, labels)
    assert known == {label: type_ for label, type_ in types.items() if label != 1}
    line = {"type": "Feature", "geometry": {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "properties": {}}
    (tmp_path / "qupath/images/a.geojson").write_text(json.dumps([line]))
    with pytest.raises(DatasetError, match="object 1: a LineString has no area"):
        prepare([tmp_path / "qupath"], tmp_path / "bad", Options())
    (tmp_path / "qupath/images/a.geojson").write_text("[1, 2")
    with pytest.raises(DatasetError, match="cannot be read as GeoJSON"):
        prepare([tmp_path / "qupath"], tmp_path / "bad", Options())


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
    prepare([tmp_path / "qupath"], tmp_path / "out", Options())
    drawn, types = target(tmp_path / "out", "qupath/a")
    assert (drawn > 0).sum() == 12
    assert (drawn[10:13, 10:14] == 1).all()
    assert types == {1: "Tumor: Positive"}


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
        "the type 8 is not one of the declared 1 to 7": {"inst_map": labels, "inst_type": np.where(numbers == 2, 8, 1)},
        "nucleus 1 has two types, 1 and 2": {"inst_map": labels, "type_map": two},
        "type_map is of shape": {"inst_map": labels, "type_map": two[1:]},
    }
    for message, content in contents.items():
        savemat(mat, content)
        with pytest.raises(DatasetError, match=message):
            prepare([tmp_path / "set"], tmp_path / "out", Options())
    mat.write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(600))
    with pytest.raises(DatasetError, match=r"version 7\.3, which is not read; save it again"):
        prepare([tmp_path / "set"], tmp_path / "out", Options())
    mat.write_bytes(b"nothing of the kind")
    with pytest.raises(DatasetError, match="cannot be read as a MATLAB file"):
        prepare([tmp_path / "set"], tmp_path / "out", Options())
    mat.unlink()
    savemat(mat.with_name("b.mat"), {"inst_map": labels})
    with pytest.raises(DatasetError, match=r"there is no label file a\.mat"):
        prepare([tmp_path / "set"], tmp_path / "out", Options())
