"""Measures by hand, the dose-only baseline, honest intervals, conditions."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from cellscope.assays.mitosis.assay import calibrate, call, combine
from cellscope.assays.mitosis.evaluation.evaluate import Measured, _figures, items_table, measures
from cellscope.assays.mitosis.evaluation.scores import majority_by, scores, within_mixed
from cellscope.assays.mitosis.evaluation.sides import Sides
from cellscope.assays.mitosis.report.summary import conditions_table, dose_of
from cellscope.assays.mitosis.sequences.names import normal_class
from cellscope.errors import UsageError
from cellscope.metrics.calibration import apply_line, best_slope_and_bias, best_weights_and_bias, log_odds
from cellscope.metrics.intervals import f1_wilson, wider, wilson
from cellscope.models.card import ModelCard


def test_scores_by_hand():
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    p = np.array([0.9, 0.8, 0.3, 0.6, 0.1, 0.2, 0.1, 0.1])
    found = scores(labels, np.stack([1 - p, p], 1))
    assert found["accuracy"] == pytest.approx(6 / 8)
    assert found["precision"] == pytest.approx(2 / 3)
    assert found["recall"] == pytest.approx(2 / 3)
    assert found["specificity"] == pytest.approx(4 / 5)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["roc_auc"] == pytest.approx(14 / 15)
    assert found["f1_balanced"] == pytest.approx(2 * (2 / 3) / (1 + 2 / 3 + 1 / 5))
    nothing = scores(np.zeros(2, int), np.array([[0.9, 0.1], [0.8, 0.2]]))
    assert nothing["recall"] is nothing["f1"] is nothing["roc_auc"] is None


def test_of_several_classes_all_but_the_normal_one_are_positive():
    """One multipolar division called lagging is rightly abnormal; one lagging called bipolar is missed."""
    classes = ("bipolar", "lagging", "multipolar")
    truth = np.array([0, 0, 1, 1, 2, 2])
    p = np.array([[0.9, 0.1, 0], [0.3, 0.4, 0.3], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0, 0.6, 0.4], [0.1, 0, 0.9]])
    found = scores(truth, p)
    assert (found["recall"], found["precision"], found["specificity"]) == (3 / 4, 3 / 4, 1 / 2)
    assert found["accuracy"] == pytest.approx(4 / 6)
    # chance that an abnormal one has more of 1 - p(bipolar): 0.9, 0.5, 1, 0.9 against 0.1, 0.7
    assert found["roc_auc"] == pytest.approx(7 / 8)
    table = pd.DataFrame({"image": list("abcdef"), "group": list("abcdef"), "line": "", "dose": "4"})
    table["class"] = [classes[number] for number in truth]
    table = table.join(pd.DataFrame(p, columns=[f"p_{name}" for name in classes]))
    listed = {metric.name: metric for metric in measures(table, classes, 0.5)}
    assert {name: listed[name].value for name in found} == pytest.approx(found)
    assert "lagging or multipolar positive" in listed["recall"].convention
    # the normal class may stand elsewhere: the model's card says which it is
    turned = table.rename(columns={"p_bipolar": "p_lagging", "p_lagging": "p_bipolar"})
    turned["class"] = table["class"].replace({"bipolar": "lagging", "lagging": "bipolar"})
    sides = Sides((0, 2), {name: number for number, name in enumerate(classes)})
    again = {metric.name: metric.value for metric in measures(turned, classes, 0.5, sides=sides)}
    assert again["recall"] == found["recall"]
    assert again["roc_auc"] == found["roc_auc"]


def test_other_kinds_than_the_models_are_compared_as_normal_and_abnormal():
    card = ModelCard.weightless("mitosis", "classify", "none", ("normal", "abnormal"))
    prepared = SimpleNamespace(info={"classes": ["bipolar", "lagging", "multipolar"]})
    sides = Sides.of(card, prepared, {"bipolar", "lagging", "multipolar"})
    assert sides.positive == (1,)
    assert [sides.truth[name] for name in ("normal", "abnormal", "bipolar", "lagging", "multipolar")] == [0, 1, 0, 1, 1]
    rows = pd.DataFrame({"id": list("abcd"), "group": list("abcd")})
    rows["class"] = ["bipolar", "bipolar", "lagging", "multipolar"]
    shown = np.zeros((12, 2, 8, 8), np.float16)
    abnormal = dict(zip("abcd", (0.1, 0.7, 0.9, 0.2), strict=True))
    said = {name: Measured(np.array([1 - p, p]), shown, np.arange(12)) for name, p in abnormal.items()}
    table = items_table(rows, said, {}, card.classes, 0.5)
    assert list(table["predicted"]) == ["normal", "abnormal", "abnormal", "normal"]
    metrics = measures(table, card.classes, 0.5, sides=sides)
    assert {metric.name: metric.value for metric in metrics}["accuracy"] == 0.5
    assert {"confusion", "reliability", "errors"} <= set(_figures(table, said, card.classes, sides, metrics, "test"))
    with pytest.raises(UsageError, match="prepare it with --normal CLASS"):
        Sides.of(card, SimpleNamespace(info={"classes": ["a", "b"]}), {"a", "b"})
    with pytest.raises(UsageError, match="is one of the model's abnormal classes"):
        Sides.of(card, SimpleNamespace(info={"classes": ["normal", "abnormal"], "normal": "abnormal"}), {"normal"})


@pytest.mark.parametrize("names", [["abnormal", "multipolar"], ["a", "b"], ["aberrant", "lagging chromosomes"]])
def test_a_kind_of_abnormal_divisions_is_never_taken_for_the_normal_class(names):
    assert normal_class(names) is None


def test_dose_alone():
    doses, groups = ["0", "0", "0", "8", "8", "8", "15"], list("abcdefg")
    labels = np.array([0, 0, 1, 1, 1, 0, 1])
    # each from the others of its dose; 15 Gy stands alone: the most frequent class elsewhere is a tie, the lower wins
    assert majority_by(doses, labels, groups).tolist() == [0, 0, 0, 0, 0, 1, 0]
    assert within_mixed(doses, labels, 1).tolist() == [True] * 6 + [False]
    assert within_mixed(doses, labels, 2).tolist() == [False] * 7


def test_f1_interval_is_wilsons_of_the_proportion_it_rests_on():
    low, high = f1_wilson(4, 0, 0)
    assert high == 1.0
    assert 0.5 < low < 0.8  # four of four is not certainty
    j = wilson(6, 10)
    assert f1_wilson(6, 2, 2) == (2 * j[0] / (1 + j[0]), 2 * j[1] / (1 + j[1]))
    assert f1_wilson(0, 0, 0) == (None, None)
    assert wider((0.2, 0.4), (0.3, 0.5)) == (0.2, 0.5)
    assert wider((None, None), (0.3, 0.5)) == wider((0.3, 0.5), (None, None)) == (0.3, 0.5)


def test_a_skewed_set_gives_honest_intervals():
    """Table 4 of the paper: 20 normal and 4 abnormal, all of them right."""
    table = pd.DataFrame({"image": [f"i{k}" for k in range(24)], "group": [f"g{k % 6}" for k in range(24)]})
    table["line"], table["dose"] = "PC3", "4"
    table["class"] = ["abnormal"] * 4 + ["normal"] * 20
    table["predicted"] = table["class"]
    table["p_abnormal"] = [0.9] * 4 + [0.1] * 20
    table["p_normal"] = 1 - table["p_abnormal"]
    found = {metric.name: metric for metric in measures(table, ("normal", "abnormal"), 0.5)}
    assert found["f1"].value == found["recall"].value == found["roc_auc"].value == 1.0
    assert found["recall"].low < 0.55
    assert found["f1"].low < 0.75
    assert found["roc_auc"].low < 0.55
    assert found["accuracy"].low > 0.8
    assert found["within_doses.accuracy"].value is None  # four abnormal are fewer than five


def test_calibration_lines():
    rng = np.random.default_rng(0)
    positive = rng.random(4000) < 0.2
    z = np.where(positive, 1.0, -1.0) + rng.normal(0, 1, 4000)  # log odds at equal frequency are 2 z
    slope, bias = best_slope_and_bias(z, positive)
    assert slope == pytest.approx(2.0, abs=0.2)
    assert bias == pytest.approx(0.0, abs=0.2)
    (one, other), _ = best_weights_and_bias(np.stack([z, rng.normal(0, 1, 4000)], 1), positive)
    assert one == pytest.approx(2.0, abs=0.2)
    assert other < 0.15
    assert best_slope_and_bias(z, np.ones(4000, bool)) == (1.0, 0.0)
    assert apply_line(np.array([0.5]), 3.0, 0.0) == pytest.approx([0.5])
    assert log_odds(np.array([0.0, 1.0])) == pytest.approx([-13.8155, 13.8155], abs=1e-3)


def test_probabilities_and_calls():
    p = np.array([[0.7, 0.3]])
    np.testing.assert_allclose(calibrate(p, {}), p)
    np.testing.assert_allclose(calibrate(p, {"slope": 1.0, "bias": 0.0}), p)
    np.testing.assert_allclose(combine(p, p, {"views": 0.5, "tracks": 0.5}), p)
    assert combine(p, p, {"views": 0.5, "tracks": 0.5, "bias": 3.0})[0, 1] > 0.8
    assert [call(np.array([0.6, 0.4]), threshold) for threshold in (0.3, 0.4, 0.5)] == [1, 1, 0]
    assert call(np.array([0.2, 0.5, 0.3]), 0.5) == 1


def test_doses_in_names():
    assert dose_of("4") == (4.0, "")
    assert dose_of("PC3_4Gy") == (4.0, "PC3")
    assert dose_of("2.5 Gy") == (2.5, "")
    assert dose_of("0,5") == (0.5, "")
    assert dose_of("PC3_0,5 Gy") == (0.5, "PC3")
    assert dose_of("HeLa, 4Gy") == (4.0, "HeLa")
    assert dose_of("control") == (None, "control")


def test_conditions_by_hand():
    images = pd.DataFrame({"image": ["a", "b", "c", "d"], "group": ["10Gy", "2Gy", "2Gy", ""]})
    images["unfamiliar"] = [False, True, False, True]
    objects = pd.DataFrame({"image": list("aabcd"), "class": ["abnormal", "normal", "normal", "abnormal", "abnormal"]})
    objects["review"] = [True, False, False, False, True]
    table = conditions_table(images, objects, {"abnormal"})
    assert table["group"].tolist() == ["2Gy", "10Gy"]
    counts = table[["n_inputs", "n", "n_abnormal", "n_review", "n_unfamiliar"]]
    assert counts.to_numpy().tolist() == [[2, 2, 1, 0, 1], [1, 2, 1, 1, 0]]
    assert (table["low"][0], table["high"][0]) == wilson(1, 2)
