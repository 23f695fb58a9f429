"""Adjusted frequencies: what a person decided is kept, what lines do is included, coverage by simulation."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import beta

from cellscope.assays.micronucleus.count.adjustment import Counts, adjusted_frequency, observed_interval
from cellscope.assays.micronucleus.count.frequency import corrected_frequency
from cellscope.assays.micronucleus.count.rates import calibrated_rates, new_line_rates
from cellscope.assays.micronucleus.count.rows import Measured, adjust, cells_of, frequency_row
from cellscope.metrics.intervals import wilson

ERRORS = {"true_positive": 90, "positive": 100, "false_positive": 10, "negative": 100}
SPREAD = {
    "lines": ["A", "B", "C", "D"],
    "thresholds": [0.1, 0.5, 0.9],
    "sensitivity": {"mean": [3.0, 2.0, 0.0], "line": [0.6, 0.6, 0.6], "field": [0.3, 0.3, 0.3]},
    "false_positive": {"mean": [-1.0, -2.2, -4.0], "line": [1.0, 1.0, 1.0], "field": [0.4, 0.4, 0.4]},
}


def test_without_decisions_the_estimate_is_rogan_and_gladens():
    found = adjusted_frequency(Counts(0, 0, 1000, 250), calibrated_rates(ERRORS))
    known = corrected_frequency(
        250, 1000, true_positive=90, positives=100, false_positive=10, negatives=100
    )  # Lang and Reiczigel
    assert found.frequency == pytest.approx((0.25 - 0.1) / 0.8) == pytest.approx(known.frequency)
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.04)


def test_all_decided_is_the_observed_share_with_jeffreys_interval():
    found = adjusted_frequency(Counts(500, 20, 0, 0), calibrated_rates(ERRORS))
    assert found.frequency == pytest.approx(0.04)
    assert (found.low, found.high) == pytest.approx(beta(20.5, 480.5).ppf([0.025, 0.975]), abs=2e-4)


def test_what_a_person_confirmed_is_not_adjusted_away():
    # 4 confirmed, 54 called normal and not looked at: at false positives of 10 % alone, 58 cells would hold 6
    kept = adjusted_frequency(Counts(4, 4, 54, 0), calibrated_rates(ERRORS))
    assert 1000 * kept.frequency > 1000 * 4 / 58
    none = adjusted_frequency(Counts(0, 0, 58, 4), calibrated_rates(ERRORS))
    assert none.frequency == 0
    assert kept.low > 0


def test_the_likelihood_with_decisions_by_simulation():
    """All called positive are decided, none of the others: as a person does with the gallery."""
    rng = np.random.default_rng(3)
    true, se, fp, runs, held, means = 0.05, 0.9, 0.1, 150, 0, []
    rates = calibrated_rates({k: 100 * v for k, v in ERRORS.items()})
    for _ in range(runs):
        carriers = rng.binomial(1000, true)
        hits, alarms = rng.binomial(carriers, se), rng.binomial(1000 - carriers, fp)
        found = adjusted_frequency(Counts(hits + alarms, hits, 1000 - hits - alarms, 0), rates)
        held += found.low <= true <= found.high
        means.append(found.frequency)
    assert held / runs > 0.9
    assert np.mean(means) == pytest.approx(true, abs=0.002)


def test_rates_are_interpolated_between_thresholds_and_tighten_with_fields():
    at = new_line_rates(SPREAD, 0.5, 1)
    assert (at.sensitivity, at.false_positive) == pytest.approx((1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(2.2))))
    assert new_line_rates(SPREAD, 0.7, 1).false_positive < at.false_positive
    assert new_line_rates(SPREAD, 1.0, 1).false_positive == pytest.approx(1 / (1 + np.exp(4.0)))
    assert at.weights.sum() == pytest.approx(1)
    logit = np.log(at.points / (1 - at.points))
    deviation = np.sqrt(at.weights @ (logit - at.weights @ logit) ** 2)
    assert deviation == pytest.approx([np.hypot(0.6, 0.3), np.hypot(1.0, 0.4)], rel=1e-6)
    many = np.log(new_line_rates(SPREAD, 0.5, 100).points / (1 - new_line_rates(SPREAD, 0.5, 100).points))
    assert np.sqrt(at.weights @ (many - at.weights @ many) ** 2) == pytest.approx([0.6, 1.0], rel=0.01)


def test_a_new_line_widens_the_interval_around_the_count():
    counts = Counts(0, 0, 200, 40)
    plain, wide = observed_interval(counts, None), observed_interval(counts, new_line_rates(SPREAD, 0.5, 1))
    assert plain == wilson(40, 200)
    assert wide[0] < 0.02 < plain[0] < plain[1] < wide[1]


def test_intervals_hold_over_new_lines_and_those_of_chance_do_not():
    rng = np.random.default_rng(1)
    plain, wide, adjusted = [], [], []
    rates = new_line_rates(SPREAD, 0.5, 1)
    for _ in range(150):
        shift = rng.normal()
        se, fp = (
            1
            / (
                1
                + np.exp(
                    -(SPREAD[side]["mean"][1] + shift * np.hypot(SPREAD[side]["line"][1], SPREAD[side]["field"][1]))
                )
            )
            for side in ("sensitivity", "false_positive")
        )
        true = rng.uniform(0.02, 0.5)
        counts = Counts(0, 0, 150, rng.binomial(150, true * se + (1 - true) * fp))
        for held, (low, high) in (
            (plain, observed_interval(counts, None)),
            (wide, observed_interval(counts, rates)),
            (adjusted, (lambda f: (f.low, f.high))(adjusted_frequency(counts, rates))),
        ):
            held.append(low <= true <= high)
    assert np.mean(wide) >= 0.9
    assert np.mean(adjusted) >= 0.9
    assert np.mean(plain) < 0.75


def test_a_model_without_left_out_lines_keeps_todays_interval():
    found = adjust(Counts(0, 0, 1000, 250), Measured(ERRORS), 5, None)
    known = corrected_frequency(250, 1000, true_positive=90, positives=100, false_positive=10, negatives=100)
    assert found == known
    assert adjust(Counts(0, 0, 10, 2), Measured(), 1, None) is None


def test_a_row_with_decisions_and_unseen_micronuclei():
    images = pd.DataFrame({"image": ["a"], "n_nuclei": [58], "n_micronucleated": [4], "n_micronuclei": [3]})
    cells = pd.DataFrame(
        {
            "image": "a",
            "class": ["micronucleus"] * 4 + ["normal"] * 54,
            "scorable": "True",
            "corrected": ["True"] * 4 + ["False"] * 54,
            "unseen": ["True", "False", "False", "False"] + ["False"] * 54,
            "n_micronuclei": [0, 1, 1, 1] + [0] * 54,
        }
    )
    row, _ = frequency_row("all", images, Measured(ERRORS), cells_of(cells, images))
    assert (row["n_decided"], row["n_unseen"]) == (4, 1)
    assert row["adjusted_per_1000"] >= row["per_1000"] == pytest.approx(1000 * 4 / 58)
    assert row["mn_per_nucleus"] == pytest.approx(3 / 58)
    # every carrier has one, as those in which one is seen; 3 were seen of 4 cells
    assert row["adjusted_mn_per_nucleus"] == pytest.approx(row["adjusted_per_1000"] / 1000)
    assert row["mn_per_nucleus_high"] == pytest.approx(row["per_1000_high"] / 1000 * 3 / 4)


def test_crops_have_no_number_of_micronuclei():
    images = pd.DataFrame({"image": ["a"], "n_nuclei": [1], "n_micronucleated": [1], "n_micronuclei": [np.nan]})
    cells = pd.DataFrame({"image": ["a"], "class": ["micronucleus"], "scorable": ["True"]})
    row, _ = frequency_row("all", images, Measured(ERRORS), cells_of(cells, images))
    for name in ("n_micronuclei", "mn_per_nucleus", "n_unseen", "mn_per_nucleus_high", "adjusted_mn_per_nucleus"):
        assert row[name] is None
