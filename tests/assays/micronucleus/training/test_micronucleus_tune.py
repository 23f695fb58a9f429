"""Calibration of both witnesses, on fields or on crops alone, and `train --steps 0`, which does nothing else."""

import numpy as np
import pytest
import torch
from drawn.micronucleus import write_mnfinder
from torch.utils.data import DataLoader

from cellscope.assays.micronucleus.datasets.fields import load_fields
from cellscope.assays.micronucleus.datasets.prepare import prepare
from cellscope.assays.micronucleus.options import MicronucleusPrepareOptions, TrainOptions
from cellscope.assays.micronucleus.training.classifier_data import CropViews, load_crops
from cellscope.assays.micronucleus.training.train import train
from cellscope.assays.micronucleus.training.tune import tune_classifier
from cellscope.errors import UsageError
from cellscope.io.prepared import PreparedDataset
from cellscope.models.file import load_model

ALL_TO_VALIDATE = MicronucleusPrepareOptions(splits=(0.0, 1.0, 0.0))


class Bright(torch.nn.Module):
    """A finder without training: what is bright and broad is nucleus, what is bright alone is micronucleus."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(20.0))

    def forward(self, x):
        light = x[:, :1]
        broad = torch.nn.functional.avg_pool2d(light, 9, stride=1, padding=4, count_include_pad=False)
        nucleus = self.gain * (torch.minimum(light, 2 * broad) - 0.5)
        return torch.cat([nucleus, 4 * broad - 2, self.gain * (light - 2 * broad)], 1)


class Blind(Bright):
    """A finder that sees nothing anywhere."""

    def forward(self, x):
        return x.new_full((len(x), 3, *x.shape[-2:]), -9.0)


class Mean(torch.nn.Module):
    """A classifier that looks at the light alone."""

    def __init__(self):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, crops):
        light = self.gain * crops.mean((1, 2, 3))
        return torch.stack([-light, light], 1)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tune")
    source = write_mnfinder(folder / "mnfinder", {"2024-01-01_RPE1": 3})
    prepare([source], folder / "cells", ALL_TO_VALIDATE)
    return folder / "cells"


@pytest.mark.parametrize("where", ["fields", "crops"])
def test_both_witnesses_are_weighed(cells, where):
    dataset = PreparedDataset.open(cells, assay="micronucleus")
    crops = load_crops(dataset, "val")
    fields = load_fields(dataset, "val") if where == "fields" else []
    loader = DataLoader(CropViews(crops, 64, seed=None), 8)
    thresholds, calibration = tune_classifier(Mean(), loader, Bright(), fields, 64, crops=crops)
    both = {f"{kind}_{name}" for kind in ("field", "cell") for name in ("offset", "classify", "finder")}
    assert set(thresholds) == both | {"crop_offset", "crop_scale"}
    assert (thresholds["field_offset"] == thresholds["cell_offset"]) == (where == "crops")
    assert np.isfinite(list(thresholds.values())).all()
    assert calibration["measured_on"] == where
    assert 8 <= len(calibration["normal"]) + len(calibration["micronucleus"]) <= len(crops) == 12
    assert ("fields" in calibration) == (where == "fields")


def test_a_finder_that_finds_nothing_is_no_witness(cells):
    dataset = PreparedDataset.open(cells, assay="micronucleus")
    crops = load_crops(dataset, "val")
    loader = DataLoader(CropViews(crops, 64, seed=None), 8)
    thresholds, calibration = tune_classifier(Mean(), loader, Blind(), load_fields(dataset, "val"), 64, crops=crops)
    assert set(thresholds) == {"crop_offset", "crop_scale"}
    assert calibration["measured_on"] == "crops"


def options(untrained):
    return TrainOptions(
        part="classify", arch="mv2-se-tr1", input_size=64, steps=0, init=str(untrained["classify"]),
        finder=str(untrained["nuclei"]), device="cpu",
    )  # fmt: skip


def test_without_steps_the_network_stays_and_the_calibration_is_new(untrained, cells, tmp_path):
    train(cells, tmp_path / "run", options(untrained), argv=[])
    (before, old), (after, new) = (
        load_model(path, assay="micronucleus", part="classify")
        for path in (untrained["classify"], tmp_path / "run" / "model.safetensors")
    )
    assert all(np.allclose(old[name], new[name], atol=1e-3) for name in old)
    assert after.training["tuned_on"]["dataset_hash"] == PreparedDataset.open(cells, assay="micronucleus").hash
    assert after.thresholds["crop_scale"] != before.thresholds.get("crop_scale")
    assert after.training["calibration"] != before.training["calibration"]


def test_there_must_be_cells_to_tune_on(untrained, tmp_path):
    source = write_mnfinder(tmp_path / "mnfinder", {"2024-01-01_RPE1": 1})
    prepare([source], tmp_path / "cells", MicronucleusPrepareOptions(splits=(1.0, 0.0, 0.0)))
    with pytest.raises(UsageError, match="--splits 0,1,0"):
        train(tmp_path / "cells", tmp_path / "run", options(untrained), argv=[])
