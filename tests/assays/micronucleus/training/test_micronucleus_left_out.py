"""`train --leave-out line`: lines are judged by networks that have not seen them, which calibrates the final model."""

import json

import numpy as np
import pandas as pd
import pytest
from drawn.micronucleus import write_mnfinder

from cellscope.assays.micronucleus.classify.calibration import field_probability, fit_both
from cellscope.assays.micronucleus.datasets.fields import load_fields
from cellscope.assays.micronucleus.datasets.prepare import prepare
from cellscope.assays.micronucleus.options import MicronucleusPrepareOptions, TrainOptions
from cellscope.assays.micronucleus.training.classifier_data import load_crops
from cellscope.assays.micronucleus.training.train import train
from cellscope.errors import UsageError
from cellscope.io.leave_out import is_left_out
from cellscope.io.prepared import PreparedDataset
from cellscope.models.file import load_model, read_card

FINDER = {"part": "nuclei", "arch": "unet-xs", "steps": 30, "batch_size": 4, "learning_rate": 1e-2, "crop": 96}
CLASSIFIER = {"part": "classify", "arch": "lite0-mn", "steps": 2, "batch_size": 4, "input_size": 32}
SHARED = {"num_workers": 0, "warmup_steps": 2, "val_every": 30, "precision": "32", "leave_out": "line"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("turns")
    source = write_mnfinder(folder / "mnfinder", {"2024-01-01_RPE1": 2, "2024-01-02_U2OS": 2})
    prepare([source], folder / "cells", MicronucleusPrepareOptions(splits=(1.0, 0.0, 0.0)))
    train(folder / "cells", folder / "nuclei", TrainOptions(**FINDER, **SHARED), argv=[])
    train(
        folder / "cells",
        folder / "classify",
        TrainOptions(**CLASSIFIER, **SHARED, finder=str(folder / "nuclei")),
        argv=[],
    )
    return folder


def test_every_nucleus_of_every_field_is_judged_once_by_who_had_not_seen_its_line(runs):
    table = pd.read_csv(runs / "classify/predictions.csv", keep_default_na=False, na_values={"p_micronucleus": [""]})
    fields = load_fields(PreparedDataset.open(runs / "cells", assay="micronucleus"), "all")
    outlined = {(field.id, int(label)) for field in fields for label in np.unique(field.nuclei)[1:]}
    rows = table[table["true_label"] > 0]
    assert sorted(zip(rows["image"], rows["true_label"], strict=True)) == sorted(outlined)
    for image, own in table.groupby("image"):
        assert set(own["left-out"]) == {f"line={image.split('/')[0]}"}
    for turn in ("RPE1", "U2OS"):
        card = read_card(runs / f"classify/without-{turn}/model.safetensors")
        assert card.training["leave_out"] == f"line={turn}"
        assert card.training["n_items"] == 8


def test_a_line_has_no_say_in_its_own_figures(runs):
    table = pd.read_csv(runs / "classify/predictions.csv").dropna(subset=["p_micronucleus"])
    own, others = (table[(table["left-out"] == "line=RPE1") == mine] for mine in (True, False))
    others = others[others["class"].notna()]
    thresholds = fit_both(
        "field", others["classify_logit"], others["finder_logit"], (others["class"] == "micronucleus").to_numpy()
    )
    expected = field_probability(own["classify_logit"], own["finder_logit"], thresholds)
    np.testing.assert_allclose(own["p_micronucleus"], expected, rtol=1e-3, atol=1e-4)


def test_the_model_of_all_carries_what_the_left_out_lines_said(runs):
    sources = pd.read_csv(runs / "classify/left_out.csv").set_index("source")
    assert list(sources.index) == ["line=RPE1", "line=U2OS", "mean", "worst"]
    assert sources.loc["worst", "auc"] == sources.loc[["line=RPE1", "line=U2OS"], "auc"].min()
    assert sources.loc["worst", "frequency_mae"] == sources.loc[["line=RPE1", "line=U2OS"], "frequency_mae"].max()
    card, _ = load_model(runs / "classify/model.safetensors", assay="micronucleus", part="classify")
    assert card.training["learn_from"] == "all"
    assert card.training["calibration"]["measured_on"] == "left-out fields"
    assert card.metrics["left_out_auc_mean"] == pytest.approx(sources.loc["mean", "auc"], rel=1e-4)
    assert {"field_offset", "cell_offset", "crop_scale"} <= set(card.thresholds)
    assert "mn_threshold" in read_card(runs / "nuclei/model.safetensors").thresholds
    assert json.loads((runs / "classify/run.json").read_text())["runs"] == ["without-RPE1", "without-U2OS", "all"]


def test_resuming_a_finished_run_trains_nothing_anew(runs):
    before = {path: path.stat().st_mtime_ns for path in (runs / "nuclei").glob("*/model.safetensors")}
    train(runs / "cells", runs / "nuclei", TrainOptions(**FINDER, **SHARED, resume="auto"), argv=[])
    assert before == {path: path.stat().st_mtime_ns for path in (runs / "nuclei").glob("*/model.safetensors")}


def test_what_is_left_out_is_in_no_split_even_when_all_are_learnt_from(runs):
    dataset = PreparedDataset.open(runs / "cells", assay="micronucleus")
    without = dataset.leaving_out(is_left_out(dataset.items, "line=RPE1"))
    assert {field.source for field in load_fields(without, "all")} == {"U2OS"}
    assert {crop.source for crop in load_crops(without, "all")} == {"U2OS"}


def test_the_classifier_asks_for_finders_that_left_out_the_same(runs):
    with pytest.raises(UsageError, match="--finder RUN"):
        train(runs / "cells", runs / "other", TrainOptions(**CLASSIFIER, **SHARED), argv=[])
    by_day = {**SHARED, "leave_out": "day"}
    with pytest.raises(UsageError, match="not trained with the same --leave-out"):
        train(
            runs / "cells", runs / "other", TrainOptions(**CLASSIFIER, **by_day, finder=str(runs / "nuclei")), argv=[]
        )
