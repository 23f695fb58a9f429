"""``cellscope review`` of inputs that show one object, and of movies: a gallery whose classes a person gives."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn.karyotype import single
from drawn.micronucleus import PLACES, draw_field
from drawn.mitosis import composite, division, field, write_event_tables
from drawn.reviewing import CHROMIUM, DRIVER, chromium, serving, wait

from cellscope.assays.mitosis import assay as mitosis
from cellscope.cli.root import app

COMMON = ("-q", "--device", "cpu", "--num-workers", 0)
EVENTS = [(6, 40, 50, False), (8, 40, 150, True), (12, 110, 60, False), (15, 110, 150, True)]


def run(*words: object) -> int:
    with pytest.raises(SystemExit) as stopped:
        app(list(map(str, words)))
    return int(stopped.value.code or 0)


def table(out: Path, name: str = "objects") -> pd.DataFrame:
    return pd.read_csv(out / f"corrections/{name}.csv", dtype={"image": str})


def crops(folder: Path) -> Path:
    for number in (1, 2):
        grey = np.pad(draw_field(number).grey, 40, mode="edge")
        for place, (row, column) in enumerate(PLACES):
            path = folder / f"images/slide{number}/{place}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, grey[row + 5 : row + 75, column + 5 : column + 75])
    assert run("micronucleus", "predict", folder / "images", "-o", folder / "out", *COMMON) == 0
    return folder / "out"


def movie(folder: Path) -> Path:
    pixels = field(EVENTS)
    metadata = {"axes": "TYXS", "finterval": 600.0}
    tifffile.imwrite(folder / "movie.tif", composite(pixels), imagej=True, metadata=metadata)
    places = [(frame, row, column) for frame, row, column, _ in EVENTS]
    events, *_ = write_event_tables(folder / "tables", places, pixels.shape[1:3])
    words = ("--events", events, "--pixel-size", 1.3, *COMMON)
    assert run("mitosis", "predict", folder / "movie.tif", "-o", folder / "out", *words) == 0
    return folder / "out"


def test_crops_are_classed_counted_and_teach(tmp_path: Path) -> None:
    out = crops(tmp_path)
    before = pd.read_csv(out / "objects.csv", dtype={"image": str})
    with serving(out) as served:
        images = served.get("api/run")["images"]
        assert [one["page"] for one in images] == ["gallery"] * 8
        assert [one["cells"][0]["class"] for one in images] == before["class"].tolist()
        wanted = ["micronucleus" if number % 2 else "normal" for number in range(8)]
        for number, name in enumerate(wanted[:7]):
            shown = served.edit(number, do="class", label=1, **{"class": name})
            assert shown["line"]["cells"] == [{"label": 1, "class": name, "review": False, "corrected": True}]
            assert served.send(number, reviewed=True).status_code == 200
        served.edit(7, do="confirm", label=1)
        assert (
            "normal, micronucleus" in served.send(0, edit={"do": "class", "label": 1, "class": "odd"}).json()["error"]
        )
        assert served.send(0, edit={"do": "count", "label": 1, "count": 2}).status_code == 422
        picture = served.client.get("api/image/0/object/1")
        assert cv2.imdecode(np.frombuffer(picture.content, np.uint8), 0).shape == (70, 70)
        assert served.client.get("api/image/0/object/2").status_code == 422
        served.settle()
    after = table(out)
    assert after["class"].tolist()[:7] == wanted[:7]
    assert after["class"][7] == before["class"][7]
    assert after["corrected"].all()
    assert not after["review"].any()
    kept = [name for name in before.columns if name.startswith("p_")]
    pd.testing.assert_frame_equal(after[kept], before[kept])  # the network's
    assert table(out, "frequency")["n_micronucleated"][0] == (after["class"] == "micronucleus").sum()
    assert table(out, "images")["n_micronucleated"].tolist()[:7] == [int(name != "normal") for name in wanted[:7]]
    dataset = tmp_path / "dataset"
    assert run("micronucleus", "prepare", out, "-o", dataset, "--splits", "0.5,0.5,0", "-q") == 0
    items = pd.read_csv(dataset / "items.csv", dtype=str)
    assert items["class"].tolist() == wanted[:7]  # the eighth was not marked as reviewed
    assert items["group"].nunique() == 2


def test_single_chromosomes_are_classed_and_teach(tmp_path: Path) -> None:
    images, out, dataset = (tmp_path / name for name in ("images", "out", "dataset"))
    images.mkdir()
    for number, name in enumerate(("1", "7", "21", "X")):
        cv2.imwrite(str(images / f"{number}.png"), single(name, number))
    assert run("karyotype", "predict", images, "-o", out, "--input", "chromosome", *COMMON) == 0
    with serving(out) as served:
        for number, name in enumerate(("2", "unassigned", "Y")):
            served.edit(number, do="class", label=1, **{"class": name})
            served.send(number, reviewed=True)
        assert served.get("api/image/0")["facts"] == [["class", "2"]]
        served.settle()
    assert table(out)["class"].tolist()[:3] == ["2", "unassigned", "Y"]
    assert run("karyotype", "prepare", out, "-o", dataset, "--splits", "1,0,0", "-q") == 0
    assert pd.read_csv(dataset / "items.csv", dtype=str)["class"].tolist() == ["2", "Y"]


def test_divisions_of_a_movie_are_called_and_teach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mitosis, "MOST_STRIPS", 3)  # the fourth is drawn from the movie when it is asked for
    monkeypatch.setattr("cellscope.assays.mitosis.editing.review.MOST_STRIPS", 3)
    out = movie(tmp_path)
    page = cv2.imread(str(out / "movie.filmstrip.png"))
    with serving(out) as served:
        (line,) = served.get("api/run")["images"]
        assert [one["label"] for one in line["cells"]] == [1, 2, 3, 4]
        strips = []
        for label in (1, 2, 3, 4):
            found = cv2.imdecode(np.frombuffer(served.client.get(f"api/image/0/object/{label}").content, np.uint8), 1)
            strips.append(found)
        assert len({one.tobytes() for one in strips}) == 4
        height = len(strips[0])
        parts = [page[len(page) - (3 - k) * height :][:height].tobytes() for k in range(3)]
        drawn = [label for label, one in enumerate(strips, 1) if one.tobytes() in parts]
        assert len(drawn) == 3
        assert strips[0].shape == strips[3].shape
        for label, name in enumerate(("abnormal", "normal", "unsure"), 1):
            shown = served.edit(0, do="class", label=label, **{"class": name})
        served.edit(0, do="confirm", label=4)
        assert dict(map(tuple, shown["facts"]))["unsure"] == 1
        served.send(0, reviewed=True)
        served.settle()
    after = table(out)
    assert after["class"].tolist()[:2] == ["abnormal", "normal"]
    assert after["review"].tolist() == [False, False, True, False]
    assert table(out, "images")["n_abnormal"][0] == (after["class"] == "abnormal").sum()
    dataset = tmp_path / "dataset"
    assert run("mitosis", "prepare", out, "-o", dataset, "--splits", "1,0,0", "-q") == 0
    items = pd.read_csv(dataset / "items.csv", dtype=str)
    assert items["class"].tolist() == ["abnormal", "normal", after["class"][3]]
    sequence = tifffile.imread(dataset / items["image"][0])
    assert sequence.shape == (12, 72, 72, 2) or sequence.shape == (12, 2, 72, 72)
    assert json.loads((dataset / "dataset.json").read_text())["pixel_size_um"] == 1.3  # as the run was told


def test_classes_are_not_given_to_other_divisions_than_those_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table of divisions names as many as before, and another one."""
    out = movie(tmp_path)
    with serving(out) as served:
        served.send(0, reviewed=True)
        served.settle()
    events = Path(json.loads((out / "run.json").read_text())["options"]["mitosis"]["events"])
    frame, row, column, _ = EVENTS[0]
    changed = events.read_text().replace(f"{frame},{row},{column}", f"{frame},{row + 60},{column}")
    assert changed != events.read_text()
    events.write_text(changed)
    assert run("mitosis", "prepare", out, "-o", tmp_path / "dataset", "-q") == 2
    assert "the table was changed after predict" in capsys.readouterr().err


def test_sequences_teach_as_they_were_seen(tmp_path: Path) -> None:
    """Of two in a file each is its own; the channel of the nuclei and the size of a pixel are those of the run."""
    seen = [division(number, abnormal=bool(number)) for number in (0, 1)]
    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as writer:
        for one in seen:
            writer.write(np.moveaxis(one[..., ::-1], -1, 1), metadata={"axes": "TCYX"}, photometric="minisblack")
    words = ("--scene", "all", "--nuclei-channel", 0, "--pixel-size", 1.3, "--input", "sequence", *COMMON)
    assert run("mitosis", "predict", tmp_path / "two.ome.tif", "-o", tmp_path / "out", *words) == 0
    with serving(tmp_path / "out") as served:
        for number, name in enumerate(("normal", "abnormal")):
            served.edit(number, do="class", label=1, **{"class": name})
            served.send(number, reviewed=True)
        served.settle()
    assert run("mitosis", "prepare", tmp_path / "out", "-o", tmp_path / "set", "--splits", "1,0,0", "-q") == 0
    items = pd.read_csv(tmp_path / "set/items.csv", dtype=str)
    assert items["class"].tolist() == ["normal", "abnormal"]
    for path, one in zip(items["image"], seen, strict=True):
        found = tifffile.imread(tmp_path / "set" / path)
        found = np.moveaxis(found, 1, -1) if found.shape[1] == 2 else found
        np.testing.assert_array_equal(found, one)
    assert json.loads((tmp_path / "set/dataset.json").read_text())["pixel_size_um"] == 1.3


def test_a_review_in_which_nothing_was_done_binds_nobody(tmp_path: Path) -> None:
    out = crops(tmp_path)
    with serving(out):
        pass
    record = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(record | {"finished": "2030-01-01T00:00:00+00:00"}))
    with serving(out) as served:
        served.edit(0, do="confirm", label=1)
        served.settle()
    assert table(out)["corrected"].sum() == 1


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None or DRIVER is None, reason="no Chromium with its driver found")
def test_the_gallery_by_mouse_and_by_key(tmp_path: Path) -> None:
    pytest.importorskip("selenium")
    from selenium.webdriver import ActionChains, Keys

    out = movie(tmp_path)
    with serving(out) as served, chromium() as driver:
        driver.get(served.address)
        wait(lambda: len(driver.find_elements("css selector", "#gallery .strip")) == 4)
        chosen = (
            "return [...document.querySelectorAll('.strip[aria-pressed=\"true\"]')].map((one) => +one.dataset.label)"
        )
        calls = "return [...document.querySelectorAll('.strip .call')].map((one) => one.textContent)"

        def press(key: str, label: int) -> None:
            ActionChains(driver).send_keys(key).perform()
            wait(lambda: driver.execute_script(chosen) == [label])

        wait(lambda: driver.execute_script(chosen))
        driver.find_elements("css selector", ".strip")[0].click()
        wait(lambda: driver.execute_script(chosen) == [1])
        press("a", 2)
        press(Keys.ARROW_RIGHT, 3)
        press(Keys.ARROW_LEFT, 2)
        press("1", 3)
        press("u", 4)
        assert served.get("api/run")["reviewed"] == 0
        driver.find_element("css selector", '#tools [data-do="confirm"]').click()
        wait(lambda: served.get("api/run")["reviewed"] == 1)  # each was decided
        found = driver.execute_script(calls)
        assert [one.split()[0] for one in found[:3]] == ["abnormal", "normal", "unsure"]
        assert all(one.endswith("✓") for one in found)
        wait(lambda: driver.execute_script(chosen) == [3])  # the unsure one is still to review
        ActionChains(driver).key_down(Keys.CONTROL).send_keys("z").key_up(Keys.CONTROL).perform()
        wait(lambda: not served.get("api/run")["images"][0]["cells"][3]["corrected"])
        broken = "return [...document.querySelectorAll('.strip img')].filter((one) => !one.naturalWidth).length"
        wait(lambda: driver.execute_script(broken) == 0)  # pictures may come later than what was done
        wrong = [one for one in driver.get_log("browser") if one["level"] == "SEVERE"]
        assert wrong == []


def test_one_of_several_scenes_is_refused_where_another_one_would_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = [draw_field(number).grey for number in (1, 2)]
    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as writer:
        for grey in fields:
            writer.write(grey, metadata={"axes": "YX"}, photometric="minisblack")
    tifffile.imwrite(tmp_path / "one.tif", fields[0])
    inputs = (tmp_path / "two.ome.tif", tmp_path / "one.tif")
    for at, (path, code) in enumerate(zip(inputs, (2, 0), strict=True)):
        out, dataset = tmp_path / f"out{at}", tmp_path / f"set{at}"
        assert run("micronucleus", "predict", path, "--scene", "all", "--input", "field", "-o", out, *COMMON) == 0
        with serving(out) as served:
            for number in range(len(served.get("api/run")["images"])):
                served.send(number, reviewed=True)
            served.settle()
        assert run("micronucleus", "prepare", out, "-o", dataset, "--splits", "1,0,0", "-q") == code
    assert "is one of several scenes of two.ome.tif" in capsys.readouterr().err


def test_other_planes_than_those_reviewed_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planes = np.stack([draw_field(number).grey for number in (1, 2)])
    tifffile.imwrite(tmp_path / "two.ome.tif", planes, metadata={"axes": "CYX"}, photometric="minisblack")
    out, read = tmp_path / "out", ("--channel", "1", "--input", "field")
    assert run("micronucleus", "predict", tmp_path / "two.ome.tif", *read, "-o", out, *COMMON) == 0
    with serving(out) as served:
        served.send(0, reviewed=True)
        served.settle()
    for number, (given, code) in enumerate((((), 2), (("--channel", "0"), 2), (("--channel", "1"), 0))):
        words = ("micronucleus", "prepare", out, "-o", tmp_path / f"set{number}", "--splits", "1,0,0", "-q", *given)
        assert run(*words) == code
        refused = "were read with --channel 1 when they were reviewed" in capsys.readouterr().err
        assert refused == (code == 2)
