"""The spread between cell lines: rates found again, coverage of new lines, the command from `eval` to `predict`."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cellscope.assays.micronucleus.count.rates import BETWEEN_LINES, new_line_rates
from cellscope.assays.micronucleus.training.calibrate import read_cells
from cellscope.assays.micronucleus.training.spread import covered, field_counts, fit_side, fit_spread
from cellscope.cli.root import app
from cellscope.errors import UsageError
from cellscope.models.file import load_model, read_card


def expit(x):
    return 1 / (1 + np.exp(-x))


def lines_of_cells(rng, lines, *, fields=4, cells=100, name="L", between=(0.5, 1.0), within=0.3):
    """Scores whose share above a half has logits of 2 (carriers) and -2.2 (others), plus those of line and field."""
    parts = []
    for line in range(lines):
        shift = rng.normal(0, 1, 2) * between
        for field in range(fields):
            carrier = rng.random(cells) < rng.uniform(0.03, 0.5)
            centre = np.where(carrier, 2.0 + shift[0], -2.2 + shift[1]) + np.where(carrier, *rng.normal(0, within, 2))
            score = expit(centre + rng.logistic(0, 1, cells))
            image, class_ = f"{name}{line}/{field}", np.where(carrier, "micronucleus", "normal")
            parts.append(
                pd.DataFrame({"image": image, "line": f"{name}{line}", "class": class_, "p": score, "scorable": True})
            )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def fitted():
    cells = lines_of_cells(np.random.default_rng(4), 6)
    return cells, fit_spread(cells)


def test_rates_and_their_spread_are_found_again():
    rng = np.random.default_rng(0)
    lines = np.repeat([f"L{number}" for number in range(60)], 4)
    total = np.full(240, 200)
    at = -2.0 + np.repeat(rng.normal(0, 0.9, 60), 4) + rng.normal(0, 0.4, 240)
    mean, line, field = fit_side(rng.binomial(total, expit(at)), total, lines)
    assert mean == pytest.approx(-2.0, abs=0.3)
    assert line == pytest.approx(0.9, abs=0.2)
    assert field == pytest.approx(0.4, abs=0.08)


def test_lines_that_do_not_differ_give_a_small_spread_that_is_not_zero():
    lines = np.repeat(["A", "B", "C"], 5)
    _, line, field = fit_side(np.full(15, 20), np.full(15, 200), lines)
    assert 0 < line < 0.4
    assert 0 < field < 0.4


def test_counts_of_a_field_by_hand():
    cells = pd.DataFrame(
        [
            ("a", "X", "micronucleus", 0.9, True),  # called
            ("a", "X", "micronucleus", 0.2, True),  # missed by the classifier
            ("a", "X", "normal", 0.7, True),  # called wrongly
            ("a", "X", "normal", 0.1, False),  # cannot be scored
            ("a", "X", "", 0.8, True),  # no nucleus at all, called
            ("a", "X", "normal", np.nan, False),  # not found
        ],
        columns=["image", "line", "class", "p", "scorable"],
    )
    row = field_counts(cells, 0.5).iloc[0]
    assert row["n_true":].tolist() == [5, 2, 4, 3, 1, 2, 2, 2]


def test_intervals_hold_on_new_lines_where_chance_alone_does_not(fitted):
    _, spread = fitted
    assert spread["coverage"] >= 0.9
    assert spread["coverage_of_others"] >= 0.9
    new = lines_of_cells(np.random.default_rng(7), 25, name="N", fields=3)
    for threshold, most in ((0.5, 0.75), (0.95, 0.3)):
        assert covered(new, spread, threshold)["covered"].mean() >= 0.9
        assert covered(new, None, threshold)["covered"].mean() < most


def test_a_stricter_threshold_calls_less(fitted):
    _, spread = fitted
    loose, strict = new_line_rates(spread, 0.5, 1), new_line_rates(spread, 0.95, 1)
    assert (loose.sensitivity, loose.false_positive) == pytest.approx((expit(2.0), expit(-2.2)), abs=0.12)
    assert strict.sensitivity < loose.sensitivity
    assert strict.false_positive < loose.false_positive


def test_one_line_tells_nothing_about_another():
    cells = lines_of_cells(np.random.default_rng(1), 1)
    with pytest.raises(UsageError, match="two left-out cell lines"):
        fit_spread(cells)
    two = pd.concat([cells, cells.assign(line="other", image="other")])
    with pytest.raises(UsageError, match="no scorable cell is truly micronucleus"):
        fit_spread(two[two["class"] == "normal"])


def written(cells, path):
    cells.rename(columns={"p": "p_micronucleus"}).to_csv(path, index=False)
    return path


def test_the_command_writes_a_model_that_predict_obeys(fitted, untrained, drawn, tmp_path):
    cells, _ = fitted
    halves = [cells[cells["line"] <= "L2"], cells[cells["line"] > "L2"]]
    tables = []
    for number, part in enumerate(halves):
        folder = tmp_path / f"measured{number}"
        folder.mkdir()
        (folder / "eval.json").write_text(json.dumps({"split": "left-out"}))
        written(part, folder / "cells.csv")
        tables.append(str(folder))
    words = [
        "micronucleus",
        "calibrate",
        *tables,
        "-m",
        str(untrained["classify"]),
        "-o",
        str(tmp_path / "out"),
        "--json",
    ]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout.splitlines()[-1])
    assert facts["lines"] == [f"L{number}" for number in range(6)]
    card, tensors = load_model(tmp_path / "out/model.safetensors", assay="micronucleus", part="classify")
    calibration = card.training["calibration"]
    assert calibration["normal"] == read_card(untrained["classify"]).training["calibration"]["normal"]
    assert calibration[BETWEEN_LINES]["fields"] == 24
    old = load_model(untrained["classify"], assay="micronucleus", part="classify")[1]
    assert all((tensors[name] == value).all() for name, value in old.items())
    sources = pd.read_csv(tmp_path / "out/left_out.csv")
    assert sources["source"].tolist() == [*facts["lines"], "mean", "worst"]
    assert pd.read_csv(tmp_path / "out/fields.csv")["covered"].mean() == pytest.approx(facts["coverage"], abs=1e-3)
    assert CliRunner().invoke(app, words).exit_code == 2  # results are there
    widths = []
    for number, model in enumerate((untrained["classify"], tmp_path / "out")):
        out = tmp_path / f"predicted{number}"
        words = ["micronucleus", "predict", str(drawn / "fields"), "--nuclei", str(drawn / "masks"), "-o", str(out)]
        words += ["-m", str(untrained["nuclei"]), "-m", str(model), "--device", "cpu", "--num-workers", "0", "-q"]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.stderr
        table, images = pd.read_csv(out / "frequency.csv"), pd.read_csv(out / "images.csv")
        assert ((table["adjusted_low"] <= table["adjusted_per_1000"]) & (table["adjusted_high"] <= 1000)).all()
        widths.append([table["per_1000_high"][0] - table["per_1000_low"][0]])
        widths[-1].append(float((images["mn_frequency_high"] - images["mn_frequency_low"]).mean()))
    assert widths[1][0] >= widths[0][0]  # all cells may be called: then the interval of chance reaches far enough
    assert widths[1][1] > widths[0][1]


def test_predictions_of_a_training_that_left_lines_out_are_read(fitted, tmp_path):
    cells, _ = fitted
    folder = tmp_path / "run"
    folder.mkdir()
    few = cells.head(3).rename(columns={"line": "left-out"}).assign(**{"class": ["normal", "", "micronucleus"]})
    written(few.assign(p=[0.2, 0.3, np.nan]).drop(columns="scorable"), folder / "predictions.csv")
    read = read_cells([folder])
    assert read["line"].tolist() == ["L0"] * 3
    assert read["class"].tolist() == ["normal", "", "micronucleus"]
    assert read["scorable"].tolist() == [True, True, False]


def test_tables_that_cannot_be_used(fitted, tmp_path):
    cells, _ = fitted
    table = written(cells.head(50), tmp_path / "a.csv")
    with pytest.raises(UsageError, match="is in another table too"):
        read_cells([table, written(cells.head(20), tmp_path / "b.csv")])
    with pytest.raises(UsageError, match=r"has no cells\.csv"):
        read_cells([tmp_path])
    written(cells.head(5).assign(p=1.5), tmp_path / "c.csv")
    with pytest.raises(UsageError, match="line 2: a line and a probability"):
        read_cells([tmp_path / "c.csv"])
