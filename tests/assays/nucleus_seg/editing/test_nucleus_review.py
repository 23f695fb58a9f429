"""``cellscope review`` of nuclei, and the circle: predict, review, prepare, train, predict."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import httpx
import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.nucleus_seg import smear
from drawn.reviewing import Served, serving, wait

from cellscope.cli.root import app

CENTRES = 3


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        app(list(map(str, words)))
    return int(stopped.value.code or 0)


@pytest.fixture(scope="session")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nuclei")
    (folder / "images").mkdir()
    for number in range(3):
        pixels, _ = smear(number, (160, 200), cells=CENTRES, radius=11)
        cv2.imwrite(str(folder / f"images/{number}.png"), pixels[..., ::-1])
    assert run("nucleus-seg", "predict", folder / "images", "-o", folder / "out", "-m", "otsu", "-q") == 0
    return folder / "out"


@pytest.fixture
def out(predicted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(predicted, tmp_path / "out"))


@pytest.fixture
def served(out: Path) -> Iterator[Served]:
    with serving(out) as found:
        yield found


def labels_of(out: Path, stem: str = "0") -> np.ndarray:
    return np.asarray(tifffile.imread(out / f"{stem}.labels.tif")).astype(int)


def centre(labels: np.ndarray, label: int) -> tuple[float, float]:
    rows, columns = np.nonzero(labels == label)
    return float(columns.mean()) + 0.5, float(rows.mean()) + 0.5


def test_nuclei_are_cut_joined_removed_and_found_again(served: Served, out: Path) -> None:
    before = labels_of(out)
    assert before.max() == CENTRES
    x, y = centre(before, 1)
    cut = served.edit(0, do="split", label=1, line=[[x - 20, y], [x + 20, y]])
    assert [one["label"] for one in cut["objects"]] == [1, 2, 3, 4]
    served.settle()
    corrected = out / "corrections"
    after = labels_of(corrected)
    np.testing.assert_array_equal(np.isin(after, (1, 4)), before == 1)
    assert abs(int((after == 1).sum()) - int((after == 4).sum())) < 0.2 * (before == 1).sum()
    table = pd.read_csv(corrected / "objects.csv", dtype={"image": str})
    mine = table[table["image"] == "0.png"].set_index("label")
    assert mine["corrected"].to_dict() == {1: True, 2: False, 3: False, 4: True}
    assert mine["area"].to_dict() == {label: int((after == label).sum()) for label in (1, 2, 3, 4)}
    features = json.loads((corrected / "0.geojson").read_text())["features"]
    assert sorted(one["properties"]["measurements"]["label"] for one in features) == [1, 2, 3, 4]
    original = pd.read_csv(out / "objects.csv", dtype={"image": str})
    assert table.columns[: len(original.columns)].tolist() == original.columns.tolist()
    served.edit(0, do="join", labels=[1, 4])
    served.edit(0, do="remove", label=1)
    x, y = centre(before, 1)
    found = served.edit(0, do="add", point=[x, y])
    assert [one["label"] for one in found["objects"]] == [2, 3, 5]  # a label is never used twice
    served.settle()
    again = labels_of(corrected) == 5
    assert (again & (before == 1)).sum() / (again | (before == 1)).sum() > 0.7
    images = pd.read_csv(corrected / "images.csv", dtype={"image": str}).set_index("image")
    assert images["n_objects"].tolist() == [3, 3, 3]
    assert images["corrected"].tolist() == [True, False, False]


def test_an_outline_takes_nothing_from_a_neighbour(served: Served, out: Path) -> None:
    before = labels_of(out)
    height, width = before.shape
    served.edit(0, do="outline", label=2, points=[[0, 0], [width, 0], [width, height], [0, height]])
    served.settle()
    after = labels_of(out / "corrections")
    for other in (1, 3):
        np.testing.assert_array_equal(after == other, before == other)
    assert ((after == 2) | (before == 1) | (before == 3)).all()
    refused = served.send(0, edit={"do": "add", "points": [[0, 0], [5, 0], [5, 5]]})
    assert refused.status_code == 422
    assert "no other object's" in refused.json()["error"]


def test_confirmed_nuclei_are_not_asked_about_again(served: Served, out: Path) -> None:
    waiting = [one["label"] for one in served.get("api/image/0")["objects"]]
    shown = served.edit(0, do="confirm", labels=waiting)
    assert not any(one["review"] for one in shown["objects"])
    served.settle()
    table = pd.read_csv(out / "corrections/objects.csv", dtype={"image": str})
    assert table.loc[table["image"] == "0.png", "review"].tolist() == [False] * CENTRES


def test_what_a_person_looked_at_teaches(
    served: Served, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    x, y = centre(labels_of(out), 2)
    served.edit(0, do="remove", label=2)
    served.edit(0, do="add", points=[[x - 9, y - 9], [x + 9, y - 9], [x + 9, y + 9], [x - 9, y + 9]])
    for number in (0, 1):
        served.send(number, reviewed=True)
    served.edit(2, do="remove", label=1)  # changed, but not looked at as a whole
    served.settle()
    dataset = tmp_path / "dataset"
    assert run("nucleus-seg", "prepare", out, "-o", dataset, "--splits", "0.5,0.5,0") == 0
    items = pd.read_csv(dataset / "items.csv", dtype=str)
    assert sorted(items["id"]) == ["out/0", "out/1"]
    mask = cv2.imread(str(dataset / items.set_index("id")["target"]["out/0"]), cv2.IMREAD_UNCHANGED)
    labels = labels_of(out / "corrections")
    np.testing.assert_array_equal(mask == 255, labels > 0)
    assert set(np.unique(mask)) == {64, 255}  # cytoplasm is unknown outside nuclei
    drawn = (labels == labels.max()).sum()
    assert 18 * 18 <= drawn <= 19 * 19  # centres that lie on the outline count


def test_nothing_reviewed_teaches_nothing(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with serving(out) as served:
        served.edit(0, do="remove", label=1)
    assert run("nucleus-seg", "prepare", out, "-o", tmp_path / "dataset") == 2
    assert "no image was marked as reviewed" in capsys.readouterr().err


def start(out: Path) -> tuple[subprocess.Popen[str], str]:
    words = [sys.executable, "-m", "cellscope", "review", str(out), "--no-browser", "--who", "Ada"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@pytest.mark.slow
def test_nothing_is_lost_when_the_server_is_killed(out: Path) -> None:
    """A real process, killed with changes just made and tables still to be written; the next one has all of it."""
    process, address = start(out)
    origin = {"Origin": address.rsplit("/", 2)[0]}
    try:
        with httpx.Client(headers=origin, timeout=60) as client:
            for revision, edit in enumerate(({"do": "remove", "label": 1}, {"do": "confirm", "label": 2})):
                body = {"revision": revision, "edit": edit}
                assert client.post(f"{address}api/image/0", json=body).status_code == 200
    finally:
        process.kill()  # SIGKILL: nothing is tidied up
        process.wait()
    process, address = start(out)  # and nobody is told that another one has the folder open
    try:
        with httpx.Client(headers={"Origin": address.rsplit("/", 2)[0]}, timeout=60) as client:
            shown = client.get(f"{address}api/image/0").json()
            assert [one["label"] for one in shown["objects"]] == [2, 3]
            assert [one["do"] for one in shown["history"]] == ["remove", "confirm"]
            wait(lambda: client.get(f"{address}api/run").json()["saved"])
            undone = client.post(f"{address}api/image/0", json={"revision": shown["revision"], "undo": True}).json()
            assert [one["do"] for one in undone["history"]] == ["remove"]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    table = pd.read_csv(out / "corrections/objects.csv", dtype={"image": str})
    assert table.loc[table["image"] == "0.png", ["label", "corrected"]].values.tolist() == [[2, False], [3, False]]
    assert (out / "corrections/report.html").is_file()
