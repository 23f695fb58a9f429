"""Dose curves: the worked example of the IAEA's manual, an independent optimiser, coverage, bad tables."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from typer.testing import CliRunner

from cellscope.assays.micronucleus.dose.command import dose_rows
from cellscope.assays.micronucleus.dose.curve import curve_from, fit_curve
from cellscope.assays.micronucleus.dose.estimate import estimate_dose, poisson_limits
from cellscope.assays.micronucleus.dose.samples import new_counts
from cellscope.assays.micronucleus.options import DoseOptions
from cellscope.cli.root import app
from cellscope.errors import UsageError

#: IAEA, Cytogenetic Dosimetry (EPR-Biodosimetry 2011), gamma rays, after Barquinero et al. 1995: dose, cells, counts.
IAEA = [
    (0, 5000, 8), (0.1, 5002, 14), (0.25, 2008, 22), (0.5, 2002, 55), (0.75, 1832, 100), (1, 1168, 109),
    (1.5, 562, 100), (2, 333, 103), (3, 193, 108), (4, 103, 103), (5, 59, 107),
]  # fmt: skip


def test_the_manuals_curve():
    curve = fit_curve(IAEA)
    assert curve.coefficients == pytest.approx((0.00128, 0.02104, 0.06303), abs=6e-6)
    errors = np.sqrt(np.diag(curve.covariance))
    assert errors == pytest.approx((0.00047, 0.00516, 0.00401), abs=6e-6)
    assert curve.dispersion < 1  # no overdispersion: the covariance is Poisson's own
    assert curve.degrees == 8


def test_the_manuals_dose():
    found = estimate_dose(fit_curve(IAEA), 25, 500)
    assert found.dose == pytest.approx(0.73, abs=0.005)
    assert 0.5 < found.low < 0.6
    assert 0.9 < found.high < 1.0
    assert (found.per_cell_low * 500, found.per_cell_high * 500) == pytest.approx(poisson_limits(25))
    assert poisson_limits(25) == pytest.approx((16.179, 36.905), abs=1e-3)  # Garwood's table


def test_another_program_agrees():
    """Biodose Tools' documented fit of the same counts, and its Merkle interval (83 %, 83 %) for 100 in 361 cells."""
    curve = fit_curve(IAEA)
    assert curve.coefficients == pytest.approx((0.001280319, 0.021038724, 0.063032534), rel=1e-5)
    theirs = [
        [2.222231e-07, -9.949044e-07, 4.379944e-07],
        [-9.949044e-07, 2.660101e-05, -1.510494e-05],
        [4.379944e-07, -1.510494e-05, 1.605914e-05],
    ]
    assert np.asarray(curve.covariance) == pytest.approx(np.array(theirs), rel=1e-4)
    found = estimate_dose(curve, 100, 361)
    assert (found.low, found.dose, found.high) == pytest.approx((1.712, 1.931, 2.187), abs=6e-4)


def test_an_independent_optimiser_agrees():
    rng = np.random.default_rng(2)
    dose = np.array([0, 0.25, 0.5, 1, 2, 3, 4.0])
    cells = np.full(7, 1000)
    mean = cells * (0.02 + 0.05 * dose + 0.03 * dose**2)
    rows = [(d, n, int(k)) for d, n, k in zip(dose, cells, rng.poisson(mean), strict=True)]
    counts = np.array([k for _, _, k in rows])

    def loss(log_weights):
        c, a, b = np.exp(log_weights)
        expected = cells * (c + a * dose + b * dose**2)
        return float(np.sum(expected - counts * np.log(expected)))

    best = minimize(
        loss,
        np.log([0.02, 0.05, 0.03]),
        method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-12, "maxiter": 9000},
    )
    assert fit_curve(rows).coefficients == pytest.approx(np.exp(best.x), rel=1e-5)


@pytest.mark.filterwarnings("ignore:The Identity link function")
@pytest.mark.parametrize("rough", [0, 3])
def test_another_package_fits_the_same_quasi_poisson_curve(rough):
    """statsmodels' generalised linear model, identity link, scaled by Pearson's chi-square; where it is installed."""
    models = pytest.importorskip("statsmodels.api")
    dose = np.array([0, 0.25, 0.5, 1, 1.5, 2, 3, 4.0])
    cells = np.array([5000, 3000, 2000, 1500, 1000, 800, 500, 300])
    mean = cells * (0.015 + 0.03 * dose + 0.06 * dose**2)
    sign = np.array([1, -1, 1, -1, -1, 1, 1, -1])
    counts = np.rint(mean + rough * sign * np.sqrt(mean)).astype(int)
    curve = fit_curve(list(zip(dose, cells, counts, strict=True)))
    design = cells[:, None] * np.stack([np.ones_like(dose), dose, dose**2], 1)
    family = models.families.Poisson(models.families.links.Identity())
    theirs = models.GLM(counts, design, family=family).fit(scale="X2", start_params=[0.02, 0.02, 0.05], tol=1e-12)
    assert curve.coefficients == pytest.approx(theirs.params, rel=1e-6)
    assert curve.dispersion == pytest.approx(theirs.scale, rel=1e-6)
    assert curve.dispersion > 5 if rough else curve.dispersion < 1
    # below 1 the dispersion narrows nothing here: the covariance stays Poisson's own
    shape = theirs.cov_params() * max(theirs.scale, 1) / theirs.scale
    assert np.asarray(curve.covariance) == pytest.approx(shape, rel=1e-4)


def test_doses_of_a_run_include_what_new_lines_do_and_the_adjustment(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    head = "group,n_nuclei,n_micronuclei,n_left_out_lines,mn_per_nucleus_low,mn_per_nucleus_high,"
    head += "adjusted_mn_per_nucleus,adjusted_mn_low,adjusted_mn_high\n"
    (run / "frequency.csv").write_text(
        head + "plain,500,25,0,0.001,0.3,,,\nlines,500,25,4,0.01,0.15,0.04,0.0,0.12\nfew,500,25,4,0.049,0.051,,,\n"
    )
    curve = fit_curve(IAEA)
    _, table = dose_rows(curve, new_counts(DoseOptions(counts=str(run))))
    table = table.set_index("name")
    merkle = estimate_dose(curve, 25, 500)
    for name in ("plain", "few"):  # without lines nothing changes, and limits within Merkle's change nothing
        assert table.loc[name, ["dose", "low", "high"]].tolist() == [merkle.dose, merkle.low, merkle.high]
    assert table.loc["lines", "dose"] == merkle.dose
    assert table.loc["lines", "low"] < merkle.low < merkle.high < table.loc["lines", "high"]
    assert curve.yields(table.loc["lines", "adjusted_dose"]) == pytest.approx(0.04)
    assert table.loc["lines", "adjusted_low"] == 0 < table.loc["lines", "adjusted_dose"]
    assert curve.yields(table.loc["lines", "adjusted_high"]) > 0.12  # the curve's band is in it
    assert table["adjusted_dose"].isna().tolist() == [True, False, True]


def test_a_dose_of_unfamiliar_images_says_so(tmp_path):
    (tmp_path / "frequency.csv").write_text(
        "group,n_fields,n_nuclei,n_micronuclei,n_unfamiliar\nnew,4,500,150,2\nknown,4,500,150,1\nolder,4,500,150,\n"
    )
    _, table = dose_rows(fit_curve(IAEA), new_counts(DoseOptions(counts=str(tmp_path))))
    notes = table.set_index("name")["note"]
    assert notes["new"] == "2 of 4 images are unlike the training images: the count cannot be relied on"
    assert notes["known"] == notes["older"] == ""


def test_overdispersion_widens_everything_by_its_root():
    # three times the deviation from the same curve: nine times the chi-square
    base = [(d, 100_000, 1000 + 200 * d + 100 * d * d) for d in range(6)]
    sign = [1, -1, 1, -1, -1, 1]
    rough = [(d, n, k + s * round(3 * k**0.5)) for (d, n, k), s in zip(base, sign, strict=True)]
    curve = fit_curve(rough)
    assert curve.dispersion > 5
    assert curve.p_value < 1e-4
    smooth = fit_curve([(d, n, round(n * float(curve.yields(d)))) for d, n, _ in rough])
    ratio = np.sqrt(np.diag(curve.covariance) / np.diag(smooth.covariance))
    assert ratio == pytest.approx(np.full(3, np.sqrt(curve.dispersion)), rel=1e-3)
    assert estimate_dose(curve, 2000, 100_000).low < estimate_dose(smooth, 2000, 100_000).low


def test_doses_come_back_and_intervals_hold():
    curve = fit_curve(IAEA)
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        found = estimate_dose(curve, int(rng.poisson(500 * float(curve.yields(1.5)))), 500)
        held += found.low <= 1.5 <= found.high
    assert held / 300 > 0.93
    exact = estimate_dose(curve, round(1e6 * float(curve.yields(2.5))), 1_000_000)
    assert exact.dose == pytest.approx(2.5, abs=1e-3)


def test_counts_at_and_below_the_background():
    curve = fit_curve(IAEA)
    nothing = estimate_dose(curve, 0, 500)
    assert (nothing.dose, nothing.low) == (0.0, 0.0)
    assert nothing.high > 0
    assert "background" in nothing.note
    assert "extrapolation" in estimate_dose(curve, 2500, 100).note


def test_no_coefficient_is_negative():
    rows = [(0, 1000, 20), (1, 1000, 15), (2, 1000, 60), (3, 1000, 150)]
    curve = fit_curve(rows)
    assert min(curve.coefficients) >= 0
    assert curve.coefficients[1] == 0
    assert curve.covariance[1] == (0, 0, 0)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([(0, 10, -1), (1, 10, 2), (2, 10, 3)], "row 1.*below zero"),
        ([(0, 10, 1), (1, 0, 2), (2, 10, 3)], "row 2.*no cells"),
        ([(0, 10, 1), (1, 10, 2.5), (2, 10, 3)], "row 2.*whole"),
        ([(0, 10, 1), (1, 10, 2)], "three different doses"),
        ([(0, 10, 0), (1, 10, 0), (2, 10, 0)], "no micronucleus was counted"),
        ([(0, 10, 0), (1, float("nan"), 0), (2, 10, 0)], "row 2.*numbers"),
    ],
)
def test_bad_tables_are_refused(rows, words):
    with pytest.raises(UsageError, match=words):
        fit_curve(rows)


def test_the_command_fits_stores_and_estimates(tmp_path):
    table = tmp_path / "calibration.csv"
    table.write_text("dose,cells,micronuclei\n" + "".join(f"{d},{n},{k}\n" for d, n, k in IAEA))
    first = ["micronucleus", "dose", str(table), "-o", str(tmp_path / "a"), "--cells", "500", "--micronuclei", "25"]
    result = CliRunner().invoke(app, [*first, "--json"])
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    stored = tmp_path / "a" / "curve.json"
    assert curve_from(json.loads(stored.read_text()), "x").coefficients == tuple(facts["coefficients"])
    report = (tmp_path / "a" / "report.html").read_text()
    assert all(f"{value:.4g}" in report for value in facts["coefficients"])
    counts = tmp_path / "counts.csv"
    counts.write_text("name;cells;micronuclei\nworker A;500;25\n")
    second = ["micronucleus", "dose", str(stored), "-o", str(tmp_path / "b"), "--counts", str(counts)]
    assert CliRunner().invoke(app, second).exit_code == 0
    doses = pd.read_csv(tmp_path / "b" / "doses.csv")
    assert doses.loc[0, "name"] == "worker A"
    assert doses.loc[0, "dose"] == pytest.approx(facts["doses"][0]["dose"])
    assert CliRunner().invoke(app, second).exit_code == 2  # results are there
    table.write_text("dose,cells,micronuclei\n0,100,-3\n1,100,5\n2,100,9\n")
    bad = CliRunner().invoke(app, ["micronucleus", "dose", str(table), "-o", str(tmp_path / "c")])
    assert bad.exit_code == 2
    assert "below zero" in bad.stderr
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("cell", ["nan", "inf", "many", "1,5", ""])
def test_a_count_that_is_no_number_is_refused(tmp_path, cell):
    table = tmp_path / "counts.csv"
    table.write_text(f"name;cells;micronuclei\na;{cell};2\n")
    with pytest.raises(UsageError, match=r"row 1: cells is .*not a number"):
        new_counts(DoseOptions(counts=str(table)))


def test_a_stored_curve_of_another_model_is_refused_and_survives_being_overwritten(tmp_path):
    table = tmp_path / "calibration.csv"
    table.write_text("dose,cells,micronuclei\n" + "".join(f"{d},{n},{k}\n" for d, n, k in IAEA))
    out = ["-o", str(tmp_path / "a"), "--overwrite"]

    def dose(*words):
        return CliRunner().invoke(app, ["micronucleus", "dose", *words, *out])

    assert dose(str(table), "--model", "linear").exit_code == 0
    stored = tmp_path / "a" / "curve.json"
    other = dose(str(stored), "--model", "linear-quadratic")
    assert other.exit_code == 2
    assert "is linear; fit the calibration table anew" in other.stderr
    assert json.loads(stored.read_text())["model"] == "linear"  # a refused command removes nothing
    for words in (["--model", "linear"], []):
        again = dose(str(stored), "--cells", "500", "--micronuclei", "25", *words)
        assert again.exit_code == 0, again.stderr
        assert json.loads(stored.read_text())["model"] == "linear"
