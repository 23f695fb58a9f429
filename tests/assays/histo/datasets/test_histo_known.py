"""Public sets in the shared layout of images, label images and tables of types: what is known of them is put in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn.histo import tissue
from drawn.histo_sources import opened, target, write

from cellscope.assays.histo.classes import CLASSES
from cellscope.assays.histo.datasets.known import KNOWN, PANNUKE, licence_of
from cellscope.assays.histo.datasets.prepare import prepare
from cellscope.assays.histo.options import HistoPrepareOptions as Options

SIDE = 96
#: Items and nuclei of every real set.
REAL = {
    "monuseg_train17": (17, 12010),
    "nuinsseg": (664, 30667),
    "tnbc": (50, 4024),
    "gbm40": (40, 4976),
    "lgg_tcga28": (28, 3641),
    "cpm15": (15, 2905),
    "pannuke49": (49, 1096),
    "dsb2018_brightfield": (119, 5619),
}


def write_set(folder: Path, names: list[str], *, types: tuple[str, ...] = ()) -> Path:
    """Write ``images/*.jpg``, ``instances/*.png`` and, with types, ``types/*.csv``, every nucleus of the next type."""
    for number, name in enumerate(names):
        image, labels, _ = tissue(number, SIDE, nuclei=6)
        write(folder / "images" / f"{name}.jpg", image)
        write(folder / "instances" / f"{name}.png", labels.astype(np.uint16))
        if types:
            rows = [f"{label},{types[label % len(types)]}" for label in range(1, labels.max() + 1)]
            (folder / "types").mkdir(exist_ok=True)
            (folder / "types" / f"{name}.csv").write_text("\n".join(["id,type", *rows, ""]))
    return folder


def prepared(folder: Path, out: Path, **options: object) -> pd.DataFrame:
    prepare([folder], out, Options(**options))
    table = opened(out).items
    return table.set_index(table["id"].str.split("/").str[1])


@pytest.mark.parametrize(
    ("set_", "names", "groups"),
    [
        ("tnbc", ["01_1", "01_2", "11_1"], ["tnbc/01", "tnbc/01", "tnbc/11"]),
        ("gbm40", ["01", "02"], ["gbm40/all", "gbm40/all"]),
        ("dsb2018_brightfield", ["a", "test_b"], ["dsb2018_brightfield/all"] * 2),
        (
            "nuinsseg",
            ["human_umbilical_cord_01", "human_umbilical_cord_02", "mouse_liver_01", "human_liver_01"],
            ["nuinsseg/human_liver", *["nuinsseg/human_umbilical_cord"] * 2, "nuinsseg/mouse_liver"],
        ),
        (
            "lgg_tcga28",
            ["TCGA-DB-5270-R01_p1", "TCGA-DB-5270-R01_p2", "TCGA-FG-A4MT-R01_p1"],
            ["TCGA-DB-5270", "TCGA-DB-5270", "TCGA-FG-A4MT"],
        ),
        ("cpm15", ["image01_20x", "image08_40x"], ["cpm15/image01_20x", "cpm15/image08_40x"]),
        ("pannuke49", ["image_13", "image_14", "f2_00387"], ["pannuke49/f2_00387", *["pannuke49/image"] * 2]),
        ("mine", ["01_1", "01_2"], ["mine/01_1", "mine/01_2"]),
    ],
)
def test_groups(tmp_path: Path, set_: str, names: list[str], groups: list[str]) -> None:
    table = prepared(write_set(tmp_path / set_, names), tmp_path / "out")
    assert sorted(table["group"]) == groups
    assert set(table["source"]) == {set_}
    assert (table.groupby("group")["split"].nunique() == 1).all()


def test_the_organ_is_in_the_name_or_known_of_the_set_or_of_the_tissue_source_site(tmp_path: Path) -> None:
    table = prepared(write_set(tmp_path / "nuinsseg", ["human_umbilical_cord_01", "mouse_liver_01"]), tmp_path / "a")
    assert table["organ"].to_dict() == {"human_umbilical_cord_01": "umbilical cord", "mouse_liver_01": "liver"}
    assert table["species"].tolist() == ["human", "mouse"]
    assert (table["laboratory"] == "vienna").all()
    names = ["TCGA-18-5592-01Z-00-DX1", "TCGA-HE-7128-01Z-00-DX1", "TCGA-ZZ-7128-01Z-00-DX1"]
    table = prepared(write_set(tmp_path / "monuseg_train17", names), tmp_path / "b")
    assert table["organ"].tolist() == ["lung", "kidney", ""]
    assert prepared(write_set(tmp_path / "tnbc", ["01_1"]), tmp_path / "c")["organ"].tolist() == ["breast"]
    table = prepared(write_set(tmp_path / "mine", ["human_liver_01"]), tmp_path / "d")
    assert list(table)[7:] == ["source"]  # of what is not known there is no column


def test_the_objective_in_the_name_gives_the_scale(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "cpm15", ["image01_20x", "image08_40x"])
    prepared(folder, tmp_path / "out")
    labels = [tissue(number, SIDE, nuclei=6)[1] for number in (0, 1)]
    np.testing.assert_array_equal(target(tmp_path / "out", "cpm15/image01_20x")[0], np.kron(labels[0], np.ones((2, 2))))
    np.testing.assert_array_equal(target(tmp_path / "out", "cpm15/image08_40x")[0], labels[1])


def test_a_scale_that_is_not_known_is_said_to_be_assumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepared(write_set(tmp_path / "tnbc", ["01_1"]), tmp_path / "a")
    assert "assumed" not in capsys.readouterr().err
    prepared(write_set(tmp_path / "dsb2018_brightfield", ["x"]), tmp_path / "b")
    assert "dsb2018_brightfield: no pixel size is known; 0.25 um is assumed" in capsys.readouterr().err


def test_pannukes_types_become_the_built_in_models(tmp_path: Path) -> None:
    types = tuple(PANNUKE)
    folder = write_set(tmp_path / "pannuke49", ["f2_00387", "f2_00408"], types=types)
    prepared(folder, tmp_path / "merged")
    assert opened(tmp_path / "merged").info["classes"] == list(CLASSES)
    labels, found = target(tmp_path / "merged", "pannuke49/f2_00387")
    assert found == {label: PANNUKE[types[label % len(types)]] for label in range(1, labels.max() + 1)}
    prepared(folder, tmp_path / "own", types="all")
    assert opened(tmp_path / "own").info["classes"] == sorted(types)
    assert target(tmp_path / "own", "pannuke49/f2_00387")[1] == {
        label: types[label % len(types)] for label in range(1, labels.max() + 1)
    }


def test_types_that_are_not_the_sets_own_are_left_alone(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "pannuke49", ["a"], types=("mine", "epithelial"))
    prepared(folder, tmp_path / "out")
    assert opened(tmp_path / "out").info["classes"] == ["epithelial", "mine"]


def test_licences() -> None:
    assert licence_of("TNBC", "labels").startswith("TNBC, Naylor")
    assert licence_of("fold1", "pannuke") == KNOWN["pannuke"].licence
    assert licence_of("mine", "labels") == "the user's own"


@pytest.mark.realdata
@pytest.mark.parametrize("set_", REAL)
def test_the_real_sets(real_data: Path, tmp_path: Path, set_: str) -> None:
    folder = real_data / "histo" / set_
    if not folder.is_dir():
        pytest.skip(f"no {set_}")
    table = prepared(folder, tmp_path / "out")
    info = opened(tmp_path / "out").info
    assert (len(table), info["sources"][0]["nuclei"]) == REAL[set_]
    assert info["sources"][0]["format"] == "labels"
    if set_ == "nuinsseg":
        assert table["group"].nunique() == 31
        assert table["organ"].ne("").all()
    if set_ == "monuseg_train17":
        assert table["organ"].ne("").all()
    if set_ == "pannuke49":
        assert info["classes"] == list(CLASSES)
        assert info["sources"][0]["typed"] == 1096
