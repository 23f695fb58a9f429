"""Prediction: ids of a foreign mask kept, corrections, thresholds, conditions, and inputs that will not do."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
from contract_check import check
from drawn.imported import NOT_NEEDED, assert_without
from drawn.micronucleus import draw_field
from typer.testing import CliRunner

from cellscope.assays.micronucleus.classify.calibration import (
    error_counts,
    field_probability,
    fit_logistic,
    threshold_at,
)
from cellscope.assays.micronucleus.count.corrections import read_corrections
from cellscope.assays.micronucleus.count.objects import apply_corrections
from cellscope.assays.micronucleus.count.rates import ErrorRates
from cellscope.assays.micronucleus.count.rows import Measured, cells_of, frequency_row
from cellscope.assays.micronucleus.field.field import grey_of
from cellscope.cli.root import app
from cellscope.errors import InputError, UsageError
from cellscope.io.choice import Choice, Wants
from cellscope.io.read import read


def run(models, *words):
    chosen = [word for path in models.values() for word in ("-m", str(path))]
    common = ["--device", "cpu", "--num-workers", "0", "--precision", "32"]
    return CliRunner().invoke(app, ["micronucleus", "predict", *map(str, words), *chosen, *common])


NO_CELLS = cells_of(pd.DataFrame(columns=["image"]), pd.DataFrame({"image": []}))


def test_predicting_imports_only_what_it_needs(untrained, drawn, tmp_path):
    words = ["micronucleus", "predict", str(drawn / "fields/control/a.tif"), "-o", str(tmp_path / "out")]
    words += [word for path in untrained.values() for word in ("-m", str(path))]
    more = ("timm", "torchvision", "scipy.optimize", "skimage.io", "pycocotools")
    assert_without((*NOT_NEEDED, *more), [*words, "--device", "cpu", "-q"])
    assert (tmp_path / "out/report.html").is_file()


@pytest.fixture(scope="module")
def predicted(untrained, drawn, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "out"
    result = run(
        untrained, drawn / "fields", "-o", out, "--nuclei", drawn / "masks", "--group-by", "folder", "--threshold", 0
    )
    assert result.exit_code == 0, result.stderr
    return out


def test_ids_of_a_foreign_mask_are_kept(predicted, drawn):
    labels = tifffile.imread(predicted / "control/a.labels.tif")
    assert set(np.unique(labels)) == {0, 11, 12, 13, 14}
    assert np.array_equal(labels, cv2.imread(str(drawn / "masks/control/a_mask.png"), cv2.IMREAD_UNCHANGED))
    objects = pd.read_csv(predicted / "objects.csv")
    assert sorted(set(objects["label"])) == [11, 12, 13, 14]


def test_positive_cells_have_micronuclei_with_parents(predicted):
    objects = pd.read_csv(predicted / "objects.csv")
    assert (objects["class"] == "micronucleus").all()  # threshold 0
    found = pd.read_csv(predicted / "micronuclei.csv")
    assert list(found.columns[:5]) == ["image", "label", "parent", "score", "area"]
    counts = found.groupby(["image", "parent"]).size()
    for row in objects.to_dict("records"):
        assert row["n_micronuclei"] == counts.get((row["image"], row["label"]), 0)
    stored = tifffile.imread(predicted / "control/a.micronuclei.tif")
    assert set(np.unique(stored)) - {0} == set(found.loc[found["image"] == "control/a.tif", "label"])


def test_frequencies_per_condition(predicted):
    table = pd.read_csv(predicted / "frequency.csv")
    assert table["group"].tolist() == ["all", "control", "treated"]
    assert table["n_nuclei"].tolist() == [12, 8, 4]
    assert table["per_1000"].tolist() == [1000.0] * 3
    assert (table["per_1000_low"] < 1000).all()
    record = json.loads((predicted / "run.json").read_text())
    assert any("calls 100.0% of normal cells micronucleated" in line for line in record["summary"]["warnings"])
    page = (predicted / "report.html").read_text()
    assert page.count('class="cell') >= 12


def test_corrections_are_applied_and_marked(untrained, drawn, tmp_path):
    table = tmp_path / "corrections.csv"
    table.write_text("image,label,centroid-0,centroid-1,class\na.tif,99,40,40,normal\na.tif,98,110,111,micronucleus\n")
    words = [drawn / "fields/control/a.tif", "--nuclei", drawn / "masks/control/a_mask.png", "--threshold", 0]
    result = run(untrained, *words, "-o", tmp_path / "out", "--corrections", table)
    assert result.exit_code == 0, result.stderr
    assert check("micronucleus", tmp_path / "out") == []
    objects = pd.read_csv(tmp_path / "out/objects.csv").set_index("label")
    assert objects.loc[11, ["class", "score", "review", "corrected"]].tolist() == ["normal", 1.0, False, True]
    assert objects.loc[14, ["class", "corrected"]].tolist() == ["micronucleus", True]
    assert objects.loc[12, "corrected"] == False  # noqa: E712 - numpy's own False
    assert pd.read_csv(tmp_path / "out/images.csv")["n_micronucleated"].tolist() == [3]
    table.write_text("image,centroid-0,centroid-1,class\na.tif,40,40,broken\n")
    bad = run(untrained, *words, "-o", tmp_path / "b", "--corrections", table)
    assert (bad.exit_code, "'broken' is not a class" in bad.stderr) == (2, True)


def test_a_correction_without_a_nucleus_is_counted():
    labels = np.zeros((20, 20), np.int32)
    labels[:4, :4] = 3
    table = pd.DataFrame({"label": [3], "class": ["normal"], "score": [0.8], "review": [True], "corrected": [False]})
    assert apply_corrections(table, labels, [(1, 1, "micronucleus"), (18, 18, "normal")]) == 1
    assert table.loc[0].tolist() == [3, "micronucleus", 1.0, False, True]


def test_bad_fields_fail_alone_with_one_line(untrained, drawn, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    grey = draw_field(size=300).grey
    tifffile.imwrite(folder / "black.tif", np.zeros((300, 300), np.uint8))
    tifffile.imwrite(folder / "rgb.tif", np.stack([grey, grey // 2, grey], 2), photometric="rgb")
    burnt = grey.copy()
    burnt[:100] = 65535
    tifffile.imwrite(folder / "burnt.tif", burnt)
    result = run(untrained, folder, "-o", tmp_path / "out")
    assert result.exit_code == 3
    images = pd.read_csv(tmp_path / "out/images.csv", keep_default_na=False).set_index("image")
    assert images.loc["rgb.tif", "error"].startswith("rgb.tif: the image has 3 channels")
    assert (images.loc["black.tif", "status"], images.loc["black.tif", "n_nuclei"]) == ("ok", "0")
    assert images.loc["black.tif", "mn_frequency"] == ""
    warnings = {
        entry["image"]: entry["warnings"] for entry in json.loads((tmp_path / "out/run.json").read_text())["inputs"]
    }
    assert any("all black" in line for line in warnings["black.tif"])
    assert any("saturated" in line for line in warnings["burnt.tif"])
    chosen = run(untrained, folder / "rgb.tif", "-o", tmp_path / "b", "--channel", 1)
    assert chosen.exit_code == 0, chosen.stderr


def test_a_mask_shared_by_several_nuclei_is_refused(untrained, drawn, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), (draw_field(1, size=300).nuclei > 0).astype(np.uint8))
    words = [drawn / "fields/control/a.tif", "--nuclei", tmp_path / "a.png", "-o", tmp_path / "out"]
    result = run(untrained, *words)
    assert result.exit_code == 1
    assert "--binary split" in pd.read_csv(tmp_path / "out/images.csv")["error"][0]


def test_crops_are_one_object_each(untrained, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    grey = draw_field().grey
    cv2.imwrite(str(folder / "cell.png"), grey[5:80, 5:80])
    cv2.imwrite(str(folder / "close.png"), np.ascontiguousarray(grey[33:66, 33:66]))
    inside = cv2.GaussianBlur(np.random.default_rng(1).normal(0, 1, (96, 96)), (0, 0), 5)  # chromatin, no background
    cv2.imwrite(str(folder / "inside.png"), np.rint(140 + 25 * inside / inside.std()).astype(np.uint8))
    cv2.imwrite(str(folder / "tiny.png"), grey[:20, :20])
    cv2.imwrite(str(folder / "blank.png"), np.full((60, 60), 9, np.uint8))
    result = run(untrained, folder, "-o", tmp_path / "out")
    assert result.exit_code == 3
    images = pd.read_csv(tmp_path / "out/images.csv", keep_default_na=False).set_index("image")
    assert images.loc["cell.png", ["status", "kind", "n_objects"]].tolist() == ["ok", "crop", "1"]
    assert "smaller than its nucleus" in images.loc["inside.png", "error"]
    assert "too small" in images.loc["tiny.png", "error"]
    assert "nothing stands out" in images.loc["blank.png", "error"]
    assert check("micronucleus", tmp_path / "out") == []


def test_a_crop_filled_by_its_nucleus_is_refused():
    from cellscope.assays.micronucleus.assay import check_crop
    from cellscope.errors import InputError

    y, x = np.mgrid[:64, :64]
    disc = ((y - 32) ** 2 + (x - 32) ** 2 < 38**2) * 900.0 + 100
    with pytest.raises(InputError, match="smaller than its nucleus"):
        check_crop(disc.astype(np.float32), "a.png")


def test_the_logistic_fit_by_hand():
    # 3 of 4 positive at x = 1, 1 of 4 at x = 0: logits log 3 and -log 3
    x = np.repeat([0.0, 1.0], 4)[:, None]
    positive = np.array([1, 0, 0, 0, 1, 1, 1, 0], bool)
    offset, weight = fit_logistic(x, positive)
    assert offset == pytest.approx(-np.log(3), abs=0.15)  # a slight ridge pulls the weight
    assert weight == pytest.approx(2 * np.log(3), abs=0.3)


def test_probabilities_and_thresholds():
    card = {"field_offset": 1.0, "field_classify": 2.0, "field_finder": 3.0}
    found = field_probability(np.array([0.5]), np.array([-1.0]), card)
    assert found == pytest.approx(1 / (1 + np.exp(1.0)))  # 1 + 1 - 3
    calibration = {"normal": [0.1, 0.2, 0.3, 0.4], "micronucleus": [0.25, 0.9]}
    cut = threshold_at(calibration, 0.75)  # one of four may be called
    assert 0.3 < cut <= 0.4
    assert error_counts(calibration, cut) == {"true_positive": 1, "positive": 2, "false_positive": 1, "negative": 4}
    assert threshold_at(calibration, 0.99) > 0.4


def test_counts_of_a_group_by_hand():
    images = pd.DataFrame({"n_nuclei": [100, 100], "n_micronucleated": [2, 4], "n_micronuclei": [3, 5]})
    errors = {"true_positive": 90, "positive": 100, "false_positive": 3, "negative": 100}
    row, warnings = frequency_row("treated", images, Measured(errors), NO_CELLS)
    assert (row["per_1000"], row["mn_per_nucleus"]) == (30, 0.04)
    assert row["adjusted_per_1000"] == pytest.approx(0)  # 3 % called, as of normal cells
    assert any("false positives" in line for line in warnings)


def test_a_frequency_of_unfamiliar_images_says_so():
    images = pd.DataFrame({"n_nuclei": [100, 100], "n_micronucleated": [20, 22], "n_micronuclei": [20, 25]})
    for flags, number, told in (([True, False], 1, True), ([None, False], 0, False), ([None, None], None, False)):
        row, warnings = frequency_row("new", images.assign(unfamiliar=flags), Measured(), NO_CELLS)
        assert row["n_unfamiliar"] == number  # not 0 where no image was judged
        assert any("1 of 2 images are unlike" in line for line in warnings) == told
    audited = Measured(rates=ErrorRates(0.9, 0.1, np.array([[0.9, 0.1]]), np.ones(1), "an audit"))
    row, warnings = frequency_row("new", images.assign(unfamiliar=True), audited, NO_CELLS)
    assert (row["n_unfamiliar"], any("unlike" in line for line in warnings)) == (2, False)


def test_options_that_contradict_each_other(untrained, drawn, tmp_path):
    both = run(untrained, drawn / "fields", "-o", tmp_path / "a", "--threshold", 0.4, "--specificity", 0.99)
    assert (both.exit_code, "give one of them" in both.stderr) == (2, True)
    path = tmp_path / "x.csv"
    path.write_text("image,centroid-0,centroid-1\na,1,2\n")
    with pytest.raises(UsageError, match="no column class"):
        read_corrections(path)


def test_a_thumbnail_marks_only_the_micronuclei_of_its_own_cell():
    from cellscope.assays.micronucleus.count.figures import gallery_of

    rng = np.random.default_rng(0)
    grey = rng.random((80, 80)).astype(np.float32)
    cell = {"scorable": True, "class": "micronucleus", "review": False, "p_micronucleus": 0.9}
    table = pd.DataFrame([{"label": 1, "centroid-0": 40.0, "centroid-1": 40.0, **cell}])
    none, other, own = (np.zeros((80, 80), np.int32) for _ in range(3))
    other[44:48, 44:48], own[44:48, 44:48] = 2, 1
    pictures = [gallery_of("a", grey, table, parents, 20.0, 5)["cells"][0]["picture"] for parents in (none, other, own)]
    assert pictures[0] == pictures[1]
    assert pictures[0] != pictures[2]


def test_channels_are_chosen_and_pages_without_a_name_are_not_taken_for_channels(tmp_path):
    grey = draw_field(1, size=64).grey
    stain = {"wants": Wants.STAIN}
    named = {"imagej": True, "metadata": {"axes": "CYX", "Labels": ["tubulin", "DAPI"]}}
    tifffile.imwrite(tmp_path / "stack.tif", np.stack([grey // 2, grey]), **named)
    with pytest.raises(InputError, match=r"stack.tif: the file holds 2 channels.*--channel .*1 \(DAPI\)"):
        read(tmp_path / "stack.tif", **stain)
    for name in ("1", "DAPI", "dapi"):
        image = read(tmp_path / "stack.tif", choice=Choice(channel=name), **stain)
        assert np.array_equal(grey_of(image.pixels, image.name), grey)
    tifffile.imwrite(tmp_path / "pages.tif", np.stack([grey // 2, grey]), photometric="minisblack", metadata=None)
    with pytest.raises(InputError, match=r"pages.tif: the file holds 2 pages and does not say what they are"):
        read(tmp_path / "pages.tif", **stain)
    image = read(tmp_path / "pages.tif", choice=Choice(channel="1"), **stain)
    assert np.array_equal(image.pixels[..., 0], grey)
    assert "2 pages" in image.warnings[0]
