"""Parts of an image that nobody annotated teach nothing and count for nothing."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from drawn.histo import tissue, write_tiles
from drawn.histo_sources import opened
from drawn.nuclei import packed

from cellscope.assays.histo.datasets.prepare import prepare
from cellscope.assays.histo.datasets.tiles import Tile, Windows, load_tile
from cellscope.assays.histo.nuclei.known import known_nuclei
from cellscope.assays.histo.nuclei.postprocess import Nuclei
from cellscope.assays.histo.options import HistoPrepareOptions, TrainOptions
from cellscope.assays.histo.training.losses import branch_losses
from cellscope.io.annotations.areas import unknown_area
from cellscope.io.annotations.outline import AnnotatedImage, Outline, Polygons
from cellscope.io.annotations.tally import gathering


def only_tile(out: Path) -> Tile:
    dataset = opened(out)
    return load_tile(out, next(dataset.items.itertuples()), tuple(dataset.info["classes"]))


def square(x: float, y: float, side: float, class_: str, kind: str = "annotation") -> dict:
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    properties = {"objectType": kind, **({"classification": {"name": class_}} if class_ else {})}
    return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}


def from_qupath(folder: Path, features: list[dict], **options) -> Tile:
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), np.full((100, 120, 3), 200, np.uint8))
    (folder / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    with gathering():
        prepare([folder], folder / "out", HistoPrepareOptions(**options))
    return only_tile(folder / "out")


NUCLEI = [square(12, 12, 8, "a"), square(30, 12, 8, "b"), square(12, 30, 8, "a")]


@pytest.mark.parametrize(
    "region", [square(8, 8, 40, "Region*"), square(8, 8, 40, ""), square(8, 8, 40, "Tumor")], ids=["*", "none", "named"]
)
def test_outside_the_region_of_all_nuclei_nothing_is_known(tmp_path: Path, region: dict) -> None:
    found = from_qupath(tmp_path / "q", [region, *NUCLEI])
    assert found.labels.max() == 3
    expected = np.ones((100, 120), bool)
    expected[8:48, 8:48] = False
    np.testing.assert_array_equal(found.unknown, expected)


def test_of_detections_too(tmp_path: Path) -> None:
    nuclei = [{**one, "properties": {**one["properties"], "objectType": "detection"}} for one in NUCLEI]
    found = from_qupath(tmp_path / "q", [square(8, 8, 40, "Tumor"), *nuclei])
    assert found.labels.max() == 3
    assert found.unknown is not None
    assert not found.unknown[8:48, 8:48].any()
    assert found.unknown[50:].all()


def test_a_nucleus_beside_the_region_says_that_the_region_is_no_limit(tmp_path: Path) -> None:
    found = from_qupath(tmp_path / "q", [square(8, 8, 40, "Region*"), *NUCLEI, square(70, 70, 8, "a")])
    assert found.labels.max() == 4
    assert found.unknown is None


def test_areas_to_ignore(tmp_path: Path) -> None:
    """Any class with an asterisk, as QuPath means it; a nucleus that is outlined all the same is known."""
    found = from_qupath(tmp_path / "q", [square(60, 40, 30, "Artefact*"), *NUCLEI, square(62, 42, 8, "a")])
    expected = np.zeros((100, 120), bool)
    expected[40:70, 60:90] = True
    expected[42:50, 62:70] = False
    np.testing.assert_array_equal(found.unknown, expected)


@pytest.mark.parametrize("outlined", [True, False], ids=["outline", "box"])
def test_coco_crowds(tmp_path: Path, outlined: bool) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((100, 120, 3), 200, np.uint8))
    boxes = [((12, 12, 8, 8), 0), ((60, 40, 30, 30), 1)]
    annotations = [
        {"id": number, "image_id": 1, "category_id": 1, "iscrowd": crowd, "area": w * h, "bbox": [x, y, w, h],
         "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]] if outlined or not crowd else []}
        for number, ((x, y, w, h), crowd) in enumerate(boxes, 1)
    ]  # fmt: skip
    images = [{"id": 1, "file_name": "a.png", "width": 120, "height": 100}]
    coco = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "nucleus"}]}
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    with gathering():
        prepare([tmp_path], tmp_path / "out", HistoPrepareOptions())
    found = only_tile(tmp_path / "out")
    assert found.labels.max() == 1
    assert found.unknown is not None
    assert found.unknown[41:69, 61:89].all()
    assert not found.unknown[:39].any()


def star(points: int, radius: float, x: float, y: float) -> Polygons:
    """Give a star with a round hole."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    outside = radius * (1 + 0.2 * np.sin(9 * angle))
    return Polygons(
        (tuple(np.stack([x + r * np.cos(angle), y + r * np.sin(angle)], 1) for r in (outside, 0.2 * radius)),)
    )


def ignored(area: Polygons, shape: tuple[int, int]) -> np.ndarray:
    image = AnnotatedImage(Path("a.png"), Path("a.json"), [], "a", ignored=[Outline("object 1", "Ignore*", area)])
    found = unknown_area(image, shape)
    assert found is not None
    return found


def test_areas_are_filled_by_the_centres_of_pixels_however_many_points_they_have() -> None:
    """As nuclei are, and partly outside; filled as they are, the large one would take minutes."""
    expected = np.zeros((100, 120), np.int32)
    star(200, 40, 20, 70).draw(expected, 1)
    np.testing.assert_array_equal(ignored(star(200, 40, 20, 70), expected.shape), expected > 0)
    start = time.process_time()
    found = ignored(star(20_000, 700, 1000, 1000), (2000, 2000))
    assert time.process_time() - start < 20
    assert found.sum() == pytest.approx(np.pi * 700**2 * (1 + 0.2**2 / 2 - 0.2**2), rel=1e-3)


def test_what_a_broken_off_prepare_left_is_not_taken_up(tmp_path: Path) -> None:
    source = write_tiles(tmp_path / "own", 1)
    prepare([source], tmp_path / "out", HistoPrepareOptions(outlined="some"))
    assert only_tile(tmp_path / "out").unknown is not None
    (tmp_path / "out/dataset.json").unlink()  # written last
    shutil.rmtree(source / "types")
    prepare([source], tmp_path / "out", HistoPrepareOptions())
    found = only_tile(tmp_path / "out")
    assert found.unknown is None
    assert not found.typed


def test_an_image_whose_name_says_unknown_keeps_its_labels(tmp_path: Path) -> None:
    source = write_tiles(tmp_path / "own", 1, typed=False)
    for path in sorted(source.rglob("tile1*")):
        path.rename(path.with_name(path.name.replace("tile1", "breast_unknown")))
    prepare([source], tmp_path / "out", HistoPrepareOptions())
    assert only_tile(tmp_path / "out").labels.max() == len(np.unique(tissue(1)[1])) - 1


def test_masks_beside_label_images_at_another_scale(tmp_path: Path) -> None:
    source = write_tiles(tmp_path / "own", 1, typed=False)
    mask = np.zeros(tissue(1)[1].shape, np.uint8)
    mask[:20] = 255
    (source / "unknown").mkdir()
    cv2.imwrite(str(source / "unknown/tile1.png"), mask)
    prepare([source], tmp_path / "out", HistoPrepareOptions(pixel_size=0.5))
    found = only_tile(tmp_path / "out")
    assert len(opened(tmp_path / "out").items) == 1
    np.testing.assert_array_equal(found.unknown, (np.kron(mask, np.ones((2, 2))) > 0) & (found.labels == 0))


def test_masks_of_no_image_and_how_much_is_unknown_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write_tiles(tmp_path / "own", 2, typed=False)
    shape = tissue(1)[1].shape
    (source / "unknown").mkdir()
    for name in ("tile1", "tile9"):
        cv2.imwrite(str(source / f"unknown/{name}.png"), np.full(shape, 255, np.uint8))
    prepare([source], tmp_path / "out", HistoPrepareOptions())
    said = capsys.readouterr().err
    assert "1 dropped: masks of what is not annotated that belong to no image (tile9.png)" in said
    background = (tissue(1)[1] == 0).sum() / (2 * np.prod(shape))
    assert f"own: {background:.1%} of the pixels are not annotated" in said


def test_outlined_some(tmp_path: Path) -> None:
    found = from_qupath(tmp_path / "q", [square(50, 50, 8, "a")], outlined="some")
    assert found.unknown is not None
    assert not found.unknown[54 - 14 : 54 + 14, 54].any()
    assert found.unknown[54, 54 + 18] and found.unknown[:30].all()  # noqa: PT018


def test_unknown_pixels_move_no_loss() -> None:
    labels = packed(160, 20)
    unknown = np.zeros(labels.shape, bool)
    unknown[:, 60:] = True
    unknown &= labels == 0
    image = np.full((160, 160, 3), 200, np.uint8)
    types = np.where(np.arange(labels.max() + 1) > 0, 1, 0).astype(np.int64)
    options = TrainOptions(augment="baseline")
    known, hidden = (
        Windows([Tile("a/x", "a", image, labels, types, mask)], 128, 0, options) for mask in (None, unknown)
    )
    whole, part = known[0, 0], hidden[0, 0]
    gone = part["nucleus"] == -1
    background = whole["nucleus"] == 0
    assert 0.05 < gone[background].float().mean() < 0.95  # a part of what is background where all is known
    assert torch.equal(part["nucleus"][~gone], whole["nucleus"][~gone])
    assert (part["type"][gone] == -1).all()
    assert (whole["nucleus"][gone] <= 0).all()
    batch = {name: value[None] for name, value in part.items()}
    settings = {
        "np_loss": "bce+dice",
        "tp_loss": "focal+dice",
        "gamma_positive": 1,
        "gamma_negative": 1,
        "focal_gamma": 2,
    }
    said = torch.randn(1, 6, 128, 128, generator=torch.Generator().manual_seed(0))
    other = torch.where(gone[None, None], said + 3 * torch.randn_like(said), said)
    first, second = branch_losses(said, batch, **settings), branch_losses(other, batch, **settings)
    for name in ("np", "hv_mse", "tp"):
        torch.testing.assert_close(first[name], second[name])


def test_found_where_nothing_is_known_is_neither_right_nor_wrong() -> None:
    labels = np.zeros((20, 40), np.int32)
    labels[2:8, 2:8], labels[2:8, 16:24], labels[12:18, 30:36] = 1, 2, 3
    unknown = np.zeros(labels.shape, bool)
    unknown[:, 19:] = True  # five of eight columns of the second, all of the third
    nuclei = Nuclei(labels, np.eye(3, dtype=np.float32), np.array([0.5, 0.6, 0.7], np.float32))
    assert known_nuclei(nuclei, None) is nuclei
    kept = known_nuclei(nuclei, unknown)
    np.testing.assert_array_equal(kept.labels, np.where(labels == 1, 1, 0))
    assert kept.score.tolist() == [0.5]
    unknown[:, 19] = False  # four of eight: half is not more than half
    kept = known_nuclei(nuclei, unknown)
    np.testing.assert_array_equal(kept.labels, np.where(labels < 3, labels, 0))
    assert kept.probabilities.tolist() == [[1, 0, 0], [0, 1, 0]]
