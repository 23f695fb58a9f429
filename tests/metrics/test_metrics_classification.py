import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellscope.metrics import classification as c

TRUTH = ["a", "a", "a", "b", "b", "c"]
SAID = ["a", "a", "b", "b", "c", "c"]


def test_hand_worked_table():
    assert c.confusion_matrix(TRUTH, SAID, ["a", "b", "c"]).tolist() == [[2, 1, 0], [0, 1, 1], [0, 0, 1]]
    assert c.accuracy(TRUTH, SAID) == pytest.approx(4 / 6)
    assert c.balanced_accuracy(TRUTH, SAID) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    table = c.per_class(TRUTH, SAID, ["a", "b", "c"]).set_index("class")
    assert table["n"].tolist() == [3, 2, 1]
    assert table["n_predicted"].tolist() == [2, 2, 2]
    assert table["recall"].tolist() == pytest.approx([2 / 3, 1 / 2, 1])
    assert table["precision"].tolist() == pytest.approx([1, 1 / 2, 1 / 2])
    assert table["f1"].tolist() == pytest.approx([0.8, 0.5, 2 / 3])


def test_what_is_undefined_is_none():
    table = c.per_class(["a", "a"], ["a", "unassigned"], ["a", "b", "unassigned"]).set_index("class")
    assert table.loc["b", ["recall", "precision", "f1"]].tolist() == [None, None, None]
    assert table.loc["unassigned", "recall"] is None
    assert table.loc["unassigned", "precision"] == 0
    assert table.loc["unassigned", "f1"] == 0
    # A class that is never true does not enter the balanced accuracy.
    assert c.balanced_accuracy(["a", "a"], ["a", "unassigned"]) == 0.5
    assert c.accuracy([], []) is None
    assert c.balanced_accuracy([], []) is None
    assert c.expected_calibration_error(np.zeros((0, 3)), np.zeros(0, int)) is None
    assert c.roc_auc(np.array([True, True]), np.array([0.1, 0.2])) is None
    assert c.roc_auc(np.array([False]), np.array([0.1])) is None
    assert c.average_precision(np.array([False]), np.array([0.1])) is None


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="same length"):
        c.accuracy(["a"], ["a", "b"])
    with pytest.raises(ValueError, match="not among the classes: z"):
        c.confusion_matrix(["a"], ["z"], ["a"])
    with pytest.raises(ValueError, match="twice"):
        c.confusion_matrix(["a"], ["a"], ["a", "a"])
    with pytest.raises(ValueError, match="NaN"):
        c.roc_auc(np.array([True, False]), np.array([np.nan, 0.5]))
    with pytest.raises(ValueError, match="do not match"):
        c.reliability_table(np.ones((2, 2)), np.zeros(3, int))


def test_roc_auc_by_hand():
    assert c.roc_auc(np.array([1, 1, 0, 0]), np.array([0.9, 0.4, 0.6, 0.1])) == 0.75
    assert c.roc_auc(np.array([1, 0, 1, 0]), np.array([0.5, 0.5, 0.5, 0.5])) == 0.5
    # One tied pair of three pairs won: (1 + 1 + 0.5) / 3 does not depend on the order given.
    assert c.roc_auc(np.array([0, 1, 0, 0]), np.array([0.7, 0.7, 0.2, 0.1])) == pytest.approx(2.5 / 3)


scored = st.lists(st.tuples(st.booleans(), st.integers(0, 6)), min_size=2, max_size=40)


@given(scored)
def test_roc_auc_is_the_share_of_pairs_in_the_right_order(pairs):
    positive = np.array([one for one, _ in pairs])
    score = np.array([value / 7 for _, value in pairs])
    wins = [1.0 if high > low else 0.5 if high == low else 0.0 for high in score[positive] for low in score[~positive]]
    assert c.roc_auc(positive, score) == (pytest.approx(np.mean(wins)) if wins else None)
    if wins:
        assert c.roc_auc(~positive, -score) == pytest.approx(np.mean(wins))
        assert c.roc_auc(positive, np.exp(score) * 3) == pytest.approx(np.mean(wins))


def test_average_precision_by_hand():
    # Ranked 1 0 1 0: precision 1 at recall 1/2, 2/3 at recall 1.
    assert c.average_precision(np.array([1, 0, 1, 0]), np.array([4, 3, 2, 1.0])) == pytest.approx(0.5 + 0.5 * 2 / 3)
    # All tied: one threshold, precision is the prevalence.
    assert c.average_precision(np.array([1, 0, 0, 1]), np.zeros(4)) == 0.5


@given(scored)
def test_average_precision_follows_its_definition_and_not_the_order(pairs):
    positive = np.array([one for one, _ in pairs])
    score = np.array([float(value) for _, value in pairs])
    expected, before = 0.0, 0.0
    for threshold in sorted(set(score.tolist()), reverse=True):
        taken = score >= threshold
        recall = positive[taken].sum() / max(positive.sum(), 1)
        expected += (recall - before) * positive[taken].mean()
        before = recall
    assert c.average_precision(positive, score) == (pytest.approx(expected) if positive.any() else None)
    shuffle = np.random.default_rng(0).permutation(len(score))
    assert c.average_precision(positive[shuffle], score[shuffle]) == (
        pytest.approx(expected) if positive.any() else None
    )


def test_calibration_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.45, 0.55]])
    truth = np.array([0, 1, 1, 0])
    table = c.reliability_table(probabilities, truth, bins=4)
    assert table["n"].tolist() == [0, 0, 2, 2]  # 0.55 and 0.7 in (0.5, 0.75], 0.8 and 0.9 above
    assert table["confidence"].tolist() == [None, None, pytest.approx(0.625), pytest.approx(0.85)]
    assert table["accuracy"].tolist() == [None, None, 0.5, 0.5]
    assert c.expected_calibration_error(probabilities, truth, bins=4) == pytest.approx((0.125 * 2 + 0.35 * 2) / 4)
    # A value on an edge belongs below it, one of exactly 1 to the last bin.
    edge = c.reliability_table(np.array([[0.5, 0.5], [1.0, 0.0]]), np.array([0, 0]), bins=2)
    assert edge["n"].tolist() == [1, 1]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=60), st.permutations(range(5)))
def test_scores_do_not_depend_on_the_names_of_the_classes(pairs, renamed):
    truth = np.array([one for one, _ in pairs])
    said = np.array([two for _, two in pairs])
    new = np.array(renamed)
    assert c.accuracy(new[truth], new[said]) == c.accuracy(truth, said)
    assert c.balanced_accuracy(new[truth], new[said]) == pytest.approx(c.balanced_accuracy(truth, said))
    before = c.per_class(truth, said, range(5)).set_index("class")
    after = c.per_class(new[truth], new[said], range(5)).set_index("class")
    assert after.loc[new, "f1"].tolist() == before["f1"].tolist()
    matrix = c.confusion_matrix(truth, said, range(5))
    assert np.array_equal(c.confusion_matrix(new[truth], new[said], new.tolist()), matrix)
    assert matrix.sum() == len(pairs)
    assert c.accuracy(truth, said) == pytest.approx(np.trace(matrix) / len(pairs))


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_a_perfect_prediction_scores_one(labels):
    truth = np.array(labels)
    assert c.accuracy(truth, truth) == c.balanced_accuracy(truth, truth) == 1
    assert set(c.per_class(truth, truth, range(4))["recall"]) <= {1.0, None}
    assert c.expected_calibration_error(np.eye(4)[truth], truth) == 0
    positive = truth == 0
    if positive.any():
        assert c.average_precision(positive, positive.astype(float)) == 1
        assert c.roc_auc(positive, positive.astype(float)) in (1, None)
