"""The circle of every assay: predict, correct in review, prepare, train from the model, predict with the new one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import pandas as pd
import pytest
import tifffile
from drawn.histo import tissue
from drawn.karyotype import metaphase
from drawn.micronucleus import draw_field
from drawn.mitosis import division, write_composite
from drawn.nucleus_seg import smear
from drawn.reviewing import Served, serving

from cellscope.cli.root import app

COMMON = ("--device", "cpu", "-q")


def run(*words: object) -> None:
    with pytest.raises(SystemExit) as stopped:
        app(list(map(str, words)))
    assert not stopped.value.code, words


def histo(folder: Path) -> None:
    for number in (1, 2, 3):
        cv2.imwrite(str(folder / f"{number}.png"), tissue(number, 128, 12)[0][..., ::-1])


def nucleus_seg(folder: Path) -> None:
    for number in (1, 2, 3):
        cv2.imwrite(str(folder / f"{number}.png"), smear(number, (120, 140), cells=2, radius=11)[0][..., ::-1])


def micronucleus(folder: Path) -> None:
    for number in (1, 2, 3):
        tifffile.imwrite(folder / f"{number}.tif", draw_field(number).grey)


def mitosis(folder: Path) -> None:
    for number in (1, 2, 3):
        pair = division(number, abnormal=number == 1, frames=12, side=36)
        write_composite(folder / f"{number}.tif", pair)


def karyotype(folder: Path) -> None:
    for number in (1, 2, 3):
        cv2.imwrite(str(folder / f"{number}.png"), metaphase(number).pixels)


def give_class(name: str) -> Callable[[Served, int, int], None]:
    def change(served: Served, number: int, label: int) -> None:
        served.edit(number, do="class", label=label, **{"class": name})

    return change


def remove(served: Served, number: int, label: int) -> None:
    served.edit(number, do="remove", label=label)


def count(served: Served, number: int, label: int) -> None:
    served.edit(number, do="count", label=label, count=2 if number != 1 else 0)


def call(served: Served, number: int, label: int) -> None:
    served.edit(number, do="class", label=label, **{"class": "normal" if number else "abnormal"})


CIRCLES = {
    "histo": (histo, give_class("spindle"), "histo-nuclei", ("--no-tissue", "--pixel-size", "0.25"), ()),
    "nucleus-seg": (nucleus_seg, remove, "nucleus-seg-nuclei", (), ()),
    "micronucleus": (micronucleus, count, "micronucleus-classify", ("--input", "field"), ("--part", "classify")),
    "mitosis": (mitosis, call, "mitosis-classify", ("--input", "sequence"), ()),
    "karyotype": (karyotype, give_class("7"), "karyotype-classify", (), ("--part", "classify")),
}


@pytest.mark.slow
@pytest.mark.parametrize("assay", CIRCLES)
def test_corrections_teach(assay: str, tmp_path: Path) -> None:
    draw, change, model, options, training = CIRCLES[assay]
    images, out, dataset, trained = (tmp_path / name for name in ("images", "out", "dataset", "trained"))
    images.mkdir()
    draw(images)
    run(assay, "predict", images, "-o", out, *options, *COMMON, "--num-workers", 0)
    with serving(out) as served:
        names = [one["image"] for one in served.get("api/run")["images"]]
        for number in range(len(names)):
            objects = served.get(f"api/image/{number}")["objects"]
            change(served, number, objects[0]["label"])
            assert served.send(number, reviewed=True).status_code == 200
    corrected = pd.read_csv(out / "corrections/objects.csv", dtype={"image": str})
    run(assay, "prepare", out, "-o", dataset, "--splits", "0.67,0.33,0", "-q")
    items = pd.read_csv(dataset / "items.csv", dtype=str)
    assert {Path(name).stem.partition("-")[0] for name in items["group"]} == {"1", "2", "3"}
    if assay == "mitosis":
        assert sorted(items["class"]) == sorted(corrected["class"])
    if assay == "histo":
        types = pd.concat([pd.read_csv(path) for path in dataset.glob("targets/**/*.csv")])
        assert types["class"].value_counts().to_dict() == corrected["class"].value_counts().to_dict()
    words = ("--init", model, "--steps", 2, "--batch-size", 2, "--set", "val_every=2", "--num-workers", 0, *training)
    run(assay, "train", dataset, "-o", trained, *words, *COMMON)
    again = tmp_path / "again"
    words = ("-m", trained / "model.safetensors", *options, *COMMON, "--num-workers", 0)
    run(assay, "predict", images, "-o", again, *words)
    assert pd.read_csv(again / "images.csv")["status"].tolist() == ["ok"] * 3
    models = {one["sha256"] for one in json.loads((again / "run.json").read_text())["models"]}
    assert models - {one["sha256"] for one in json.loads((out / "run.json").read_text())["models"]}
