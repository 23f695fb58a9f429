"""Frequencies: dispersion and correction worked by hand, intervals checked by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from cellscope.assays.micronucleus.count.frequency import corrected_frequency, dispersion, interval, within_errors
from cellscope.metrics.intervals import wilson


def test_dispersion_is_pearsons_test():
    positive, total = np.array([5, 12, 3, 20]), np.array([100, 120, 90, 110])
    found = dispersion(positive, total)
    statistic, p, df, _ = chi2_contingency(np.stack([positive, total - positive]), correction=False)
    assert found.index == pytest.approx(statistic / df)
    assert found.p_value == pytest.approx(p)


@pytest.mark.parametrize(("positive", "total"), [([3], [10]), ([0, 0], [10, 20]), ([10, 5], [10, 5]), ([0, 3], [0, 9])])
def test_dispersion_is_undefined_without_contrast(positive, total):
    assert dispersion(np.array(positive), np.array(total)).index is None


def test_interval_widens_with_dispersion():
    plain = interval(30, 1000)
    assert plain == wilson(30, 1000)
    assert interval(30, 1000, 0.5) == plain  # never narrower than chance
    # an index of 4 is a quarter of the cells
    wide, quarter = interval(32, 1000, 4.0), wilson(8, 250)
    assert wide == pytest.approx(quarter, rel=1e-9)
    # fields of 1 % and 40 %: the root of the index is more normal deviations than a level can tell from certainty
    index = dispersion(np.array([10, 400]), np.array([1000, 1000])).index
    assert index > 400
    low, high = interval(410, 2000, index)
    for end in (low, high):  # Wilson's ends lie 1.96 of their own standard errors away
        assert abs(0.205 - end) == pytest.approx(1.959964 * np.sqrt(index * end * (1 - end) / 2000), rel=1e-5)


def test_correction_by_hand():
    # 12 % called; 90 % of carriers and 10 % of the others are called: (0.12 - 0.10) / (0.90 - 0.10) = 0.025
    found = corrected_frequency(120, 1000, true_positive=90, positives=100, false_positive=10, negatives=100)
    assert found.frequency == pytest.approx(0.025)
    assert found.low == 0.0
    assert 0.05 < found.high < 0.12


def test_correction_without_information_is_undefined():
    nothing = {"true_positive": 5, "positives": 10, "false_positive": 5, "negatives": 10}
    assert corrected_frequency(3, 10, **nothing).frequency is None
    assert corrected_frequency(0, 0, true_positive=9, positives=10, false_positive=0, negatives=10).low is None


@given(st.integers(0, 300), st.integers(0, 100), st.integers(0, 100))
def test_correction_stays_in_bounds(positive, hits, alarms):
    found = corrected_frequency(positive, 300, true_positive=hits, positives=100, false_positive=alarms, negatives=100)
    if found.frequency is not None:
        assert 0 <= found.low <= found.frequency <= found.high <= 1


def test_corrected_interval_holds_the_truth():
    rng = np.random.default_rng(5)
    true, sensitivity, specificity, runs, held = 0.06, 0.85, 0.97, 600, 0
    for _ in range(runs):
        called = rng.binomial(1500, true * sensitivity + (1 - true) * (1 - specificity))
        found = corrected_frequency(
            called,
            1500,
            true_positive=rng.binomial(150, sensitivity),
            positives=150,
            false_positive=rng.binomial(180, 1 - specificity),
            negatives=180,
        )
        held += found.low <= true <= found.high
    assert held / runs > 0.93


def test_a_count_within_the_error_rates():
    assert within_errors(20, 1000, false_positive=4, negatives=180)  # 2 % called, about 2 % wrong calls
    assert not within_errors(300, 1000, false_positive=4, negatives=180)
    assert not within_errors(0, 0, false_positive=4, negatives=180)
