"""The distribution of micronuclei: published dispersion indices, another package's fit, counts that cannot tell."""

import numpy as np
import pytest

from cellscope.assays.micronucleus.count.distribution import (
    disperse,
    distribution_row,
    expected,
    negative_binomial_size,
)

#: IAEA, Cytogenetic Dosimetry (EPR-Biodosimetry 2011), table of dicentrics after gamma rays (Barquinero et al. 1995):
#: cells with 0, 1, 2 ... dicentrics, dispersion index, Papworth's u. Biodose Tools tests that only the third is
#: overdispersed.
PUBLISHED = [
    ([4992, 8], 1.00, None),
    ([4988, 14], 1.00, -0.13),
    ([1987, 20, 1], 1.08, 2.61),
    ([1947, 55], 0.97, -0.86),
    ([1736, 92, 4], 1.03, 0.79),
    ([1064, 99, 5], 1.00, None),
    ([474, 76, 12], 1.06, 1.08),
    ([251, 63, 17, 2], 1.14, 1.82),
    ([104, 72, 15, 2], 0.83, -1.64),
    ([35, 41, 21, 4, 2], 0.88, -0.84),
    ([11, 19, 11, 9, 6, 3], 1.15, 0.81),
]


@pytest.mark.parametrize(("cells_with", "index", "u"), PUBLISHED)
def test_the_manuals_dispersion_indices(cells_with, index, u):
    found = disperse(np.array(cells_with))
    assert found.index == pytest.approx(index, abs=0.0051)
    assert (found.u > 1.96) == (cells_with == [1987, 20, 1])
    if u is not None:
        assert found.u == pytest.approx(u, abs=0.0051)


def test_another_package_fits_the_same_negative_binomial():
    """statsmodels' maximum likelihood fit of the mean and the dispersion; where it is installed."""
    models = pytest.importorskip("statsmodels.api")
    cells_with = np.array([930, 45, 15, 6, 3, 1])
    found = disperse(cells_with)
    counts = np.repeat(np.arange(6), cells_with)
    theirs = models.NegativeBinomial(counts, np.ones(len(counts))).fit(disp=0, maxiter=500, gtol=1e-10)
    assert np.exp(theirs.params[0]) == pytest.approx(found.mean, rel=1e-5)
    assert 1 / theirs.params[1] == pytest.approx(found.size, rel=1e-3)
    assert theirs.aic == pytest.approx(found.negative_binomial_aic, rel=1e-7)
    poisson = models.Poisson(counts, np.ones(len(counts))).fit(disp=0)
    assert poisson.aic == pytest.approx(found.poisson_aic, rel=1e-7)
    assert found.negative_binomial_aic < found.poisson_aic


def test_expected_cells_are_those_of_the_distributions():
    from scipy.stats import nbinom, poisson

    assert expected(1000, 0.1, None) == pytest.approx(
        [*(1000 * poisson.pmf([0, 1, 2], 0.1)), 1000 * poisson.sf(2, 0.1)]
    )
    of_scipy = nbinom(0.5, 0.5 / (0.5 + 0.1))
    assert expected(1000, 0.1, 0.5) == pytest.approx([*(1000 * of_scipy.pmf([0, 1, 2])), 1000 * of_scipy.sf(2)])


@pytest.mark.parametrize("cells_with", [[100], [99, 1], [50, 50], [90, 10]])
def test_without_overdispersion_there_is_no_negative_binomial(cells_with):
    assert negative_binomial_size(np.array(cells_with)) is None


def test_a_row_by_hand():
    row = distribution_row("treated", np.array([0, 0, 0, 0, 0, 1, 1, 2, 3, 5]), unseen=2)
    assert [row[f"cells_{x}"] for x in ("0", "1", "2", "3_or_more")] == [5, 2, 1, 2]
    assert (row["n_cells"], row["n_micronuclei"], row["n_unseen"], row["mean"]) == (10, 12, 2, 1.2)
    # 1 + 1 + 4 + 9 + 25 = 40 less 10 x 1.44, over 9
    assert row["variance"] == pytest.approx(25.6 / 9)
    assert row["papworth_u"] == pytest.approx((25.6 / 9 / 1.2 - 1) * np.sqrt(9 / (2 * (1 - 1 / 12))))
    for kind in ("poisson", "negative_binomial"):
        assert sum(row[f"{kind}_{x}"] for x in ("0", "1", "2", "3_or_more")) == pytest.approx(10)
    none = distribution_row("none", np.zeros(5, int), unseen=0)
    assert (none["cells_0"], none["dispersion_index"], none["papworth_u"], none["poisson_0"]) == (5, None, None, 5)
