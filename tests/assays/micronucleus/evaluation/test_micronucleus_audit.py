"""The audit: a blind random sample, rates by hand and their coverage, from the page to frequency and dose."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cellscope.assays.micronucleus.count.adjustment import Counts, adjusted_frequency
from cellscope.assays.micronucleus.evaluation.audit import read_scores
from cellscope.assays.micronucleus.evaluation.audit_page import audit_page
from cellscope.assays.micronucleus.evaluation.audit_rates import audited_rates, draw_sample
from cellscope.cli.root import app
from cellscope.errors import UsageError


def called(positive, normal):
    classes = ["micronucleus"] * positive + ["normal"] * normal
    return pd.DataFrame({"image": "a.tif", "label": range(1, len(classes) + 1), "class": classes})


def test_half_of_the_sample_was_called_positive_and_the_order_is_random():
    cells = called(300, 700)
    sample = draw_sample(cells, 200, seed=1)
    assert (sample["class"] == "micronucleus").sum() == 100
    assert sample["label"].is_unique
    assert 20 < (sample["class"].iloc[:100] == "micronucleus").sum() < 80
    assert draw_sample(cells, 200, seed=1).equals(sample)
    assert not draw_sample(cells, 200, seed=2).equals(sample)
    assert (draw_sample(called(5, 700), 200, seed=0)["class"] == "micronucleus").sum() == 5
    assert len(draw_sample(called(5, 700), 200, seed=0)) == 200
    assert len(draw_sample(called(300, 4), 200, seed=0)) == 200
    assert len(draw_sample(called(3, 4), 200, seed=0)) == 7


def test_rates_by_hand():
    # 100 of 1000 called; of ten each looked at, 8 called and 1 other carry: 80 + 90 carriers, 20 + 810 others
    scores = {("a.tif", label): int(label <= 8) for label in range(1, 11)}
    scores |= {("a.tif", label): int(label == 101) for label in range(101, 111)}
    rates, table = audited_rates(called(100, 900), scores)
    assert rates.sensitivity == pytest.approx(80 / 170)
    assert rates.false_positive == pytest.approx(20 / 830)
    found = table.set_index("measure")
    assert found.loc["specificity", "value"] == pytest.approx(810 / 830)
    assert (found["low"] < found["value"]).all()
    assert (found["high"] > found["value"]).all()
    assert found["n"].tolist() == [20, 20, 10, 10]
    assert adjusted_frequency(Counts(0, 0, 1000, 100), rates).frequency == pytest.approx(0.17)


def test_audited_frequencies_hold_the_truth():
    rng = np.random.default_rng(8)
    true, held, runs = 0.08, 0, 60
    for _ in range(runs):
        carrier = rng.random(2000) < true
        positive = rng.random(2000) < np.where(carrier, 0.75, 0.10)
        cells = pd.DataFrame(
            {"image": "a", "label": np.arange(2000), "class": np.where(positive, "micronucleus", "normal")}
        )
        sample = draw_sample(cells, 300, seed=int(rng.integers(1e6)))
        scores = {("a", int(label)): int(carrier[label]) for label in sample["label"]}
        rates, _ = audited_rates(cells, scores)
        found = adjusted_frequency(Counts(0, 0, 2000, int(positive.sum())), rates)
        held += found.low <= true <= found.high
    assert held / runs >= 0.9


def test_scores_that_cannot_be_used(tmp_path):
    cells = called(10, 10)
    with pytest.raises(UsageError, match="no cell called normal is scored"):
        audited_rates(cells, {("a.tif", 1): 1})
    with pytest.raises(UsageError, match=r"cell 99 of a\.tif is scored"):
        audited_rates(cells, {("a.tif", 99): 1})
    path = tmp_path / "scores.csv"
    path.write_text("image,label,micronuclei\na,1,0\na,2,3+\na,3,x\na,4,\n")
    assert read_scores(path) == {("a", 1): 0, ("a", 2): 3}
    for bad, words in (
        ("a,1,many", "whole numbers"),
        ("a,1,0\na,1,1", "once per cell"),
        ("a,1,x", "no cell is scored"),
    ):
        path.write_text(f"image,label,micronuclei\n{bad}\n")
        with pytest.raises(UsageError, match=words):
            read_scores(path)


def test_names_cannot_leave_the_page():
    page = audit_page([('"><script>alert(1)</script>', 1, np.zeros((8, 8, 3), np.uint8))])
    assert page.count("<script>") == 1
    assert "&lt;script&gt;alert" in page


def test_from_a_run_to_its_audited_frequency_and_dose(untrained, drawn, tmp_path):
    out = tmp_path / "run"
    words = [
        "micronucleus",
        "predict",
        drawn / "fields",
        "--nuclei",
        drawn / "masks",
        "-o",
        out,
        "--group-by",
        "folder",
    ]
    words += ["-m", untrained["nuclei"], "-m", untrained["classify"], "--device", "cpu", "--num-workers", "0", "-q"]
    invoke = lambda *parts: CliRunner().invoke(app, [str(part) for part in parts])  # noqa: E731
    assert invoke(*words).exit_code == 0
    # what random weights call is no matter: every second cell is called positive
    objects, images = pd.read_csv(out / "objects.csv"), pd.read_csv(out / "images.csv")
    objects["class"] = np.where(np.arange(len(objects)) % 2, "micronucleus", "normal")
    objects.to_csv(out / "objects.csv", index=False)
    images.assign(n_micronucleated=2).to_csv(out / "images.csv", index=False)
    result = invoke("micronucleus", "audit", out, "-o", tmp_path / "audit", "--cells", 10, "--seed", 3)
    assert result.exit_code == 0, result.stderr
    sheet = pd.read_csv(tmp_path / "audit/audit.csv")
    assert list(sheet.columns) == ["image", "label", "centroid-0", "centroid-1", "micronuclei"]
    assert len(sheet) == 10
    assert (tmp_path / "audit/audit.html").read_text().count("<figure") == 10
    call = dict(zip(zip(objects["image"], objects["label"], strict=True), objects["class"], strict=True))
    calls = [call[key] for key in zip(sheet["image"], sheet["label"], strict=True)]
    assert calls.count("micronucleus") == 5
    sheet["micronuclei"] = [0] * 10
    for kind, number in (("micronucleus", 4), ("normal", 1)):
        sheet.loc[[place for place, own in enumerate(calls) if own == kind][:number], "micronuclei"] = 1
    sheet.to_csv(tmp_path / "scores.csv", index=False)
    taken = invoke(
        "micronucleus", "audit", out, "--scores", tmp_path / "scores.csv", "-o", tmp_path / "taken", "--json"
    )
    assert taken.exit_code == 0, taken.stderr
    facts = json.loads(taken.stdout)
    assert facts["scored"] == 10
    assert (facts["sensitivity"], facts["specificity"]) == pytest.approx((0.8, 0.8))  # four of five, by either call
    table = pd.read_csv(tmp_path / "taken/frequency.csv")
    assert table["group"].tolist() == ["all", "control", "treated"]
    assert table["adjusted_per_1000"].tolist() == pytest.approx([500] * 3)  # half called, half carriers
    assert (tmp_path / "taken/report.html").is_file()
    (tmp_path / "curve.csv").write_text("dose,cells,micronuclei\n0,1000,10\n1,1000,60\n2,1000,200\n3,1000,420\n")
    words = ["micronucleus", "dose", tmp_path / "curve.csv", "--counts", tmp_path / "taken", "-o", tmp_path / "dose"]
    dosed = invoke(*words)
    assert dosed.exit_code == 0, dosed.stderr
    assert (pd.read_csv(tmp_path / "dose/doses.csv")["adjusted_dose"] > 2).all()
