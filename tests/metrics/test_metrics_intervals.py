import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellscope.metrics.intervals import bootstrap, wilson


def test_wilson_agrees_with_published_values():
    # Newcombe, Stat. Med. 17 (1998) table I, method 3: 81/263, 15/148, 0/20, 1/29.
    for k, n, low, high in [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ]:
        assert wilson(k, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_no_trials_is_undefined_and_nonsense_is_refused():
    assert wilson(0, 0) == (None, None)
    for k, n, level in [(3, 2, 0.95), (-1, 5, 0.95), (1, 2, 1.0), (1, 2, 0.0)]:
        with pytest.raises(ValueError, match=r"possible|level"):
            wilson(k, n, level)


@given(st.integers(1, 500), st.data())
def test_wilson_holds_the_proportion_mirrors_and_solves_its_equation(n, data):
    k = data.draw(st.integers(0, n))
    low, high = wilson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert wilson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)
    # The limits are the proportions p at which the score test is just on the edge: |k/n - p| = z sqrt(p (1 - p) / n).
    for limit in (low, high):
        if 0 < limit < 1:
            assert abs(k / n - limit) == pytest.approx(1.959963984540054 * math.sqrt(limit * (1 - limit) / n), abs=1e-9)
    wide = wilson(k, n, 0.99)
    assert wide[0] <= low
    assert wide[1] >= high


def test_bootstrap_resamples_groups_not_items():
    # Two groups: the mean of a resample can only be 0, 0.5 or 1, whatever the number of items in each.
    values = np.array([0.0] * 50 + [1.0] * 50)
    groups = ["a"] * 50 + ["b"] * 50
    seen = set()

    def mean(indices):
        seen.add(float(values[indices].mean()))
        return float(values[indices].mean())

    assert bootstrap(groups, mean, n=200) == (0.0, 1.0)
    assert seen == {0.0, 0.5, 1.0}
    # The same values with every item its own group are known far better.
    low, high = bootstrap(range(100), mean, n=500)
    assert 0.38 < low < 0.46
    assert 0.54 < high < 0.62


def test_bootstrap_keeps_the_items_of_a_group_together():
    groups = np.array(["x", "y", "x", "z", "y", "x"])
    members = {"x": [0, 2, 5], "y": [1, 4], "z": [3]}

    def statistic(indices):
        counts = np.bincount(indices, minlength=6)
        assert sum(counts[items[0]] for items in members.values()) == 3
        for items in members.values():
            assert len(set(counts[items])) == 1
        return 0.0

    assert bootstrap(groups, statistic, n=50) == (0.0, 0.0)


def test_bootstrap_of_a_normal_mean_has_the_textbook_width():
    values = np.random.default_rng(3).normal(size=400)
    low, high = bootstrap(range(400), lambda indices: float(values[indices].mean()), n=2000)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.08)
    assert low < values.mean() < high


def test_bootstrap_repeats_with_the_seed_and_ignores_group_names():
    values = np.random.default_rng(0).normal(size=30)
    groups = [number // 3 for number in range(30)]

    def mean(indices):
        return float(values[indices].mean())

    first = bootstrap(groups, mean, n=100, seed=4)
    assert first == bootstrap(groups, mean, n=100, seed=4)
    assert first == bootstrap([f"slide {9 - group}" for group in groups], mean, n=100, seed=4)
    assert first != bootstrap(groups, mean, n=100, seed=5)


def test_bootstrap_is_undefined_with_one_group_or_a_statistic_that_rarely_exists():
    assert bootstrap(["a", "a"], lambda indices: 1.0) == (None, None)
    assert bootstrap([], lambda indices: 1.0) == (None, None)
    assert bootstrap([1, 2], lambda indices: None) == (None, None)
    assert bootstrap([1, 2], lambda indices: float("nan")) == (None, None)
    # Undefined when item 0 is not drawn: (2/3)^3 = 30 % of the resamples, few enough.
    assert bootstrap([0, 1, 2], lambda indices: 1.0 if 0 in indices else None, n=300) == (1.0, 1.0)


def test_bootstrap_refuses_impossible_settings():
    for arguments in ({"n": 0}, {"level": 1.0}):
        with pytest.raises(ValueError, match="at least 1"):
            bootstrap([1, 2], lambda indices: 0.0, **arguments)
